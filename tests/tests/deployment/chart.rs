//! The Helm chart, as far as it can be judged without Helm: values, schema and templates agree, the settings
//! that it ships load, and the pod keeps to what it needs. `make lint-deploy` builds Helm and has it judge as well.

use std::collections::BTreeSet;
use std::process::Command;

use portcullis::testing::Scratch;
use portcullis_tests::program::command;
use serde_json::Value;
use yaml_rust2::{Yaml, YamlLoader};

use crate::image::ACCOUNT;
use crate::settings::{is_known, named, production, refusals, settings};
use crate::{has, read, repository};

const CHART: &str = "deploy/helm/portcullis";

fn yaml(name: &str) -> Yaml {
    YamlLoader::load_from_str(&read(&format!("{CHART}/{name}"))).unwrap().remove(0)
}

/// Name and text of each template.
fn templates() -> Vec<(String, String)> {
    let files = std::fs::read_dir(repository(CHART).join("templates")).unwrap();
    let names = files.map(|file| file.unwrap().file_name().into_string().unwrap());
    names.map(|name| (name.clone(), read(&format!("{CHART}/templates/{name}")))).collect()
}

/// Every `.Values.a.b` of the templates.
fn used() -> BTreeSet<String> {
    let mut used = BTreeSet::new();
    for (_, text) in templates() {
        for piece in text.split(".Values.").skip(1) {
            let end = piece.find(|c: char| !c.is_ascii_alphanumeric() && c != '.').unwrap_or(piece.len());
            used.insert(piece[..end].trim_end_matches('.').to_owned());
        }
    }
    used
}

/// The names of all values, as the templates would write them: what holds others, and lists and texts.
fn given(values: &Yaml, path: &str, names: &mut BTreeSet<String>) {
    for (key, value) in values.as_hash().into_iter().flatten() {
        let key = key.as_str().unwrap();
        let name = if path.is_empty() { key.to_owned() } else { format!("{path}.{key}") };
        given(value, &name, names);
        names.insert(name);
    }
}

#[test]
fn templates_use_what_the_values_give_and_nothing_is_given_in_vain() {
    let mut names = BTreeSet::new();
    given(&yaml("values.yaml"), "", &mut names);
    let used = used();
    assert!(used.len() > 20, "the templates were not understood: {used:?}");
    for name in &used {
        assert!(names.contains(name), ".Values.{name} has no default");
    }
    for name in &names {
        let inside =
            |other: &String| other.starts_with(&format!("{name}.")) || name.starts_with(&format!("{other}."));
        assert!(used.contains(name) || used.iter().any(inside), "{name} is used nowhere");
    }
}

#[test]
fn the_schema_knows_every_value_and_refuses_others() {
    let schema: Value = serde_json::from_str(&read(&format!("{CHART}/values.schema.json"))).unwrap();
    let values = yaml("values.yaml");
    assert_eq!(schema["additionalProperties"], false);
    for (key, value) in values.as_hash().unwrap() {
        let (key, known) = (key.as_str().unwrap(), &schema["properties"][key.as_str().unwrap()]);
        assert!(known.is_object(), "{key} is not in the schema");
        if known["additionalProperties"] == false {
            for inner in value.as_hash().unwrap().keys() {
                let inner = inner.as_str().unwrap();
                assert!(known["properties"][inner].is_object(), "{key}.{inner} is not in the schema");
            }
        }
    }
    let chart = yaml("Chart.yaml");
    let workspace: toml::Table = read("Cargo.toml").parse().unwrap();
    let version = workspace["workspace"]["package"]["version"].as_str();
    assert_eq!(chart["appVersion"].as_str(), version, "the chart ships this version");
}

#[test]
fn the_shipped_settings_load_and_every_variable_is_a_setting() {
    for (template, text) in templates() {
        for name in named(&text) {
            assert!(is_known(&name), "{template}: {name}");
        }
        assert_eq!(text.matches("{{").count(), text.matches("}}").count(), "{template}");
        assert!(!text.contains('\t'), "{template}: YAML knows no tabs");
    }
    let scratch = Scratch::new();
    let site = scratch.path().join("site.toml");
    std::fs::write(&site, yaml("values.yaml")["settings"].as_str().unwrap()).unwrap();
    let url = "postgres://portcullis:hush@db/portcullis?sslmode=verify-full";
    let settings = production(&[site], &[("PORTCULLIS__STORE__URL".to_owned(), url.to_owned())]);
    assert_eq!(refusals(&settings), [""; 0]);
    // The pod's port is named in three places.
    let pod = read(&format!("{CHART}/templates/deployment.yaml"));
    assert_eq!(settings.listen.port, 8080);
    assert!(
        pod.contains("PORTCULLIS__LISTEN__PORT, value: \"8080\"")
            && pod.contains("name: public, containerPort: 8080")
    );
}

#[test]
fn the_pod_keeps_to_what_it_needs() {
    let pod = read(&format!("{CHART}/templates/deployment.yaml"));
    for line in [
        "automountServiceAccountToken: false",
        "enableServiceLinks: false",
        "runAsNonRoot: true",
        "seccompProfile: { type: RuntimeDefault }",
        "allowPrivilegeEscalation: false",
        "readOnlyRootFilesystem: true",
        "capabilities: { drop: [ALL] }",
        "httpGet: { path: /readyz, port: public",
        "httpGet: { path: /healthz, port: public",
    ] {
        assert!(pod.contains(line), "{line}");
    }
    for identity in ["runAsUser", "runAsGroup", "fsGroup"] {
        assert!(pod.contains(&format!("{identity}: {ACCOUNT}\n")), "{identity} is the image's account");
    }
    // Secrets come as files: an environment is seen by whoever may look at the process.
    assert!(!pod.contains("secretKeyRef") && !pod.contains("envFrom"));
    let account = read(&format!("{CHART}/templates/serviceaccount.yaml"));
    assert!(account.contains("automountServiceAccountToken: false"));
}

#[test]
fn the_pod_that_takes_backups_keeps_to_the_same_and_is_taken_for_no_server() {
    let job = read(&format!("{CHART}/templates/cronjob.yaml"));
    let container = read(&format!("{CHART}/templates/_backup.tpl"));
    let pod = format!("{job}{container}");
    for line in [
        "automountServiceAccountToken: false",
        "enableServiceLinks: false",
        "runAsNonRoot: true",
        "seccompProfile: { type: RuntimeDefault }",
        "allowPrivilegeEscalation: false",
        "readOnlyRootFilesystem: true",
        "capabilities: { drop: [ALL] }",
        "concurrencyPolicy: Forbid",
        "restartPolicy: Never",
    ] {
        assert!(pod.contains(line), "{line}");
    }
    for identity in ["runAsUser", "runAsGroup", "fsGroup"] {
        assert!(pod.contains(&format!("{identity}: {ACCOUNT}\n")), "{identity} is the image's account");
    }
    assert!(!pod.contains("secretKeyRef") && !pod.contains("envFrom"));
    // What a Service, a Deployment and a disruption budget select is never a pod that takes a backup.
    assert!(job.contains(r#"labels: {{- include "portcullis.backup" . | nindent 12 }}"#));
    let names = read(&format!("{CHART}/templates/_names.tpl"));
    for (names_of, name) in [("selector", "portcullis"), ("backup", "portcullis-backup")] {
        let defined =
            format!("{{{{- define \"portcullis.{names_of}\" -}}}}\napp.kubernetes.io/name: {name}\n");
        assert!(names.contains(&defined), "{defined}");
    }
    // It goes where servers go, and nobody comes in.
    let policy = read(&format!("{CHART}/templates/networkpolicy.yaml"));
    let (_, own) = policy.split_once("---\n").expect("a second policy");
    assert!(own.contains("ingress: []") && own.contains(".Values.networkPolicy.to"), "{own}");
}

/// What the template tells each of the two containers, with the files of a house in the place of the pod's.
fn words_of_the_backup(scratch: &Scratch) -> [Vec<String>; 2] {
    let container = read(&format!("{CHART}/templates/_backup.tpl"));
    let (_, rest) = container.split_once("args:\n").expect("it has words");
    let (lines, _) = rest.split_once("env:\n").expect("and an environment");
    let job = read(&format!("{CHART}/templates/cronjob.yaml"));
    let own = job.lines().filter(|line| line.contains("portcullis.backup.container"));
    let at = |path: &str| scratch.path().join(path).display().to_string();
    let told = own.map(|own| {
        let own: Vec<_> = own.split('"').skip(3).step_by(2).collect();
        let words = lines
            .lines()
            .filter_map(|line| line.trim().strip_prefix("- "))
            .flat_map(|word| if word == "{{ . | quote }}" { own.clone() } else { vec![word] });
        let here = words.map(|word| {
            let word = word.replace("/etc/portcullis/site/site.toml", &at("site.toml"));
            let word =
                word.replace("/etc/portcullis/backup-key/{{ $.Values.backup.key }}", &at("backup.key"));
            word.replace("/backups/$(POD_NAME)", &at("portcullis-backup-29384756-x2x4z"))
        });
        here.collect()
    });
    told.collect::<Vec<Vec<String>>>().try_into().expect("one takes it, and one verifies it")
}

#[test]
fn the_words_of_the_job_take_a_backup_and_verify_it() {
    let scratch = Scratch::new();
    let mut settings = settings(&scratch);
    settings.issuer = "http://127.0.0.1:8080".into();
    std::fs::write(scratch.path().join("site.toml"), toml::to_string(&settings).unwrap()).unwrap();
    let key = scratch.path().join("backup.key");
    std::fs::write(&key, "BwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwc=").unwrap();
    let private = std::os::unix::fs::PermissionsExt::from_mode(0o600);
    std::fs::set_permissions(&key, private).unwrap();
    let site = scratch.path().join("site.toml");
    let seed = repository("deploy/config/demo.toml");
    let seeded = command("portcullis").arg("--config").arg(site).arg("seed").arg(seed).output().unwrap();
    assert!(seeded.status.success(), "{seeded:?}");
    for words in words_of_the_backup(&scratch) {
        let ran = command("portcullis").args(&words).output().unwrap();
        let said = String::from_utf8_lossy(&[ran.stdout, ran.stderr].concat()).into_owned();
        assert!(ran.status.success() && said.contains(", sealed\n"), "{words:?}\n{said}");
    }
}

#[test]
fn the_world_reaches_public_paths_alone() {
    let ingress = read(&format!("{CHART}/templates/ingress.yaml"));
    let service = read(&format!("{CHART}/templates/service.yaml"));
    for hidden in ["metrics", "9464", "admin", "/healthz", "/readyz"] {
        let shown = |text: &str| {
            text.lines().any(|line| !line.trim_start().starts_with('#') && line.contains(hidden))
        };
        assert!(!shown(&ingress) && !shown(&service), "{hidden}");
    }
    // Each prefix is a path of ours, and each of ours that the world needs has one.
    let line = ingress.lines().find(|line| line.contains("range list")).unwrap();
    let prefixes: Vec<_> = line.split('"').skip(1).step_by(2).collect();
    let routes = read("crates/server/src/http/mod.rs");
    for prefix in &prefixes {
        let ours = routes.contains(&format!("\"{prefix}/")) || *prefix == "/api";
        assert!(ours, "nothing answers at {prefix}");
    }
    let paths = routes.match_indices("(\"/").map(|(at, _)| routes[at + 2..].split('"').next().unwrap());
    for path in paths.filter(|path| !matches!(*path, "/" | "/healthz" | "/readyz")) {
        let reached = |prefix: &&str| {
            path.strip_prefix(prefix).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
        };
        assert!(prefixes.iter().any(reached), "{path} is not in the ingress");
    }
}

#[test]
fn helm_finds_nothing_wrong() {
    if !has("helm", "Neither lint nor template ran: make lint-deploy builds Helm and runs both.") {
        return;
    }
    let ran = Command::new(repository("scripts/lint-deploy.sh")).output().expect("bash runs");
    let said = String::from_utf8_lossy(&[ran.stdout, ran.stderr].concat()).into_owned();
    assert!(ran.status.success(), "{said}");
}
