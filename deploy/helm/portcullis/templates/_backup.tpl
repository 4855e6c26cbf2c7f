{{/* One of the two containers of a backup: the chart's values, and what `portcullis backup` is told. */}}
{{- define "portcullis.backup.container" -}}
{{- $ := first . -}}
image: "{{ $.Values.image.repository }}:{{ $.Values.image.tag | default $.Chart.AppVersion }}"
imagePullPolicy: {{ $.Values.image.pullPolicy }}
args:
  - --config
  - /etc/portcullis/site/site.toml
  - backup
  {{- range rest . }}
  - {{ . | quote }}
  {{- end }}
  - --key
  - file:/etc/portcullis/backup-key/{{ $.Values.backup.key }}
env:
  - name: POD_NAME
    valueFrom: { fieldRef: { fieldPath: metadata.name } }
  - { name: PORTCULLIS__KEYS__DIRECTORY, value: /etc/portcullis/keys }
  # The cluster's own encryption of Secrets seals them. See docs/keys.md.
  - { name: PORTCULLIS__KEYS__PLAINTEXT, value: "true" }
  - { name: PORTCULLIS__STORE__URL_FILE, value: /etc/portcullis/secrets/{{ $.Values.secrets.storeUrl }} }
  {{- with $.Values.secrets.redisPassword }}
  - { name: PORTCULLIS__REDIS__PASSWORD_FILE, value: /etc/portcullis/secrets/{{ . }} }
  {{- end }}
securityContext:
  allowPrivilegeEscalation: false
  readOnlyRootFilesystem: true
  privileged: false
  capabilities: { drop: [ALL] }
resources: {{- toYaml $.Values.resources | nindent 2 }}
volumeMounts:
  - { name: settings, mountPath: /etc/portcullis/site, readOnly: true }
  - { name: keys, mountPath: /etc/portcullis/keys, readOnly: true }
  - { name: secrets, mountPath: /etc/portcullis/secrets, readOnly: true }
  - { name: backup-key, mountPath: /etc/portcullis/backup-key, readOnly: true }
  - { name: backups, mountPath: /backups }
  {{- if $.Values.roots.configMap }}
  - { name: roots, mountPath: /etc/portcullis/roots, readOnly: true }
  {{- end }}
{{- end -}}
