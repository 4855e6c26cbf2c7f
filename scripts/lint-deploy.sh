#!/usr/bin/env bash
# `make lint-deploy`: Helm judges the chart: lint, and the templates with all that can be switched. Builds Helm
# with Go where it is not installed, which takes some minutes the first time.
set -euo pipefail
cd "$(dirname "$0")/.."

chart=deploy/helm/portcullis
helm=$(command -v helm || true)
if [ -z "$helm" ]; then
    command -v go >/dev/null || { echo "Install Helm 3 or Go 1.25 first." >&2; exit 1; }
    tools=${CARGO_TARGET_DIR:-target}/tools
    mkdir -p "$tools"
    helm=$(cd "$tools" && pwd)/helm
    [ -x "$helm" ] || GOBIN=$(dirname "$helm") go install helm.sh/helm/v3/cmd/helm@v3.22.0
fi

render() { "$helm" template portcullis "$chart" --kube-version 1.31.0 --namespace auth "$@"; }
has() { grep -q -- "$1" <<<"$rendered" || { echo "the chart renders no: $1" >&2; exit 1; }; }
lacks() { ! grep -q -- "$1" <<<"$rendered" || { echo "the chart should not render: $1" >&2; exit 1; }; }
refuses() { ! render "$@" >/dev/null 2>&1 || { echo "the chart accepts: $*" >&2; exit 1; }; }

"$helm" lint --strict --kube-version 1.31.0 "$chart"

rendered=$(render)
for kind in Deployment Service ServiceAccount ConfigMap PodDisruptionBudget HorizontalPodAutoscaler NetworkPolicy; do
    has "^kind: $kind$"
done
lacks '^kind: Ingress$'
lacks 9464

rendered=$(render --set metrics.enabled=true,tls.secret=tls,roots.configMap=roots,autoscaling.enabled=false \
    --set ingress.enabled=true,ingress.hosts[0]=auth.example.com,ingress.tlsSecret=tls \
    --set secrets.redisPassword=redis-password,networkPolicy.enabled=true)
has '^kind: Ingress$'
has 'containerPort: 9464'
has 'scheme: HTTPS'
has 'replicas: 3'
has 'PORTCULLIS__REDIS__PASSWORD_FILE'
lacks '^kind: HorizontalPodAutoscaler$'
lacks '^kind: CronJob$'

rendered=$(render --set backup.enabled=true,roots.configMap=roots,secrets.redisPassword=redis-password)
has '^kind: CronJob$'
has 'app.kubernetes.io/name: portcullis-backup$'
has 'claimName: portcullis-backups'
has 'file:/etc/portcullis/backup-key/key'
[ "$(grep -c '^kind: NetworkPolicy$' <<<"$rendered")" = 2 ] || { echo "a backup needs a policy of its own" >&2; exit 1; }

refuses --set backup.schedule=hourly
refuses --set backup.secret=
refuses --set drainSeconds=99
refuses --set ingress.enabled=true
refuses --set secrets.keys=
refuses --set imagee.tag=x
echo "lint-deploy: the chart is sound"
