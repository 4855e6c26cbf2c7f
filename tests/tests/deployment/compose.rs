//! The compose file: its secrets are those that `prepare.sh` makes, its servers' settings load and are
//! refused nothing, Redis takes its users, and HAProxy is one address in front of two servers.

use std::collections::BTreeMap;
use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use portcullis::testing::Scratch;
use portcullis_tests::client::BACKEND;
use portcullis_tests::ports::free_port;
use portcullis_tests::{Ground, Town};
use yaml_rust2::{Yaml, YamlLoader};

use crate::image::ACCOUNT;
use crate::settings::{production, refusals};
use crate::{has, read, repository};

fn compose() -> Yaml {
    YamlLoader::load_from_str(&read("deploy/compose/compose.yaml")).unwrap().remove(0)
}

fn keys(of: &Yaml) -> Vec<String> {
    of.as_hash().unwrap().keys().map(|key| key.as_str().unwrap().to_owned()).collect()
}

fn texts(of: &Yaml) -> Vec<String> {
    of.as_vec().into_iter().flatten().map(|item| item.as_str().unwrap().to_owned()).collect()
}

/// Secrets as the operator makes them.
fn prepared(scratch: &Scratch) -> PathBuf {
    let secrets = scratch.path().join("secrets");
    let script = repository("deploy/compose/prepare.sh");
    let ran =
        Command::new(script).arg("auth.example.net").env("PORTCULLIS_SECRETS", &secrets).output().unwrap();
    assert!(ran.status.success(), "{}", String::from_utf8_lossy(&ran.stderr));
    secrets
}

/// What compose makes of `${NAME:?why}` and `${NAME:-otherwise}` when the operator says this.
fn filled(text: &str, said: &BTreeMap<&str, &str>) -> String {
    let Some(inner) = text.strip_prefix("${").and_then(|text| text.strip_suffix('}')) else {
        assert!(!text.contains("${"), "{text} is not understood here");
        return text.to_owned();
    };
    let (name, otherwise) =
        inner.split_once(":?").or_else(|| inner.split_once(":-")).expect("one of the two");
    said.get(name).map_or(otherwise.to_owned(), |value| (*value).to_owned())
}

#[test]
fn every_secret_is_made_and_kept_from_others() {
    let scratch = Scratch::new();
    let secrets = prepared(&scratch);
    let compose = compose();
    let named = keys(&compose["secrets"]);
    for secret in &named {
        let file = compose["secrets"][secret.as_str()]["file"].as_str().unwrap();
        let made = secrets.join(file.strip_prefix("./secrets/").unwrap());
        assert!(made.is_file(), "{secret}: prepare.sh does not make {file}");
    }
    assert_eq!(std::fs::metadata(&secrets).unwrap().permissions().mode() & 0o777, 0o700);
    assert!(read(".gitignore").lines().any(|line| line == "/deploy/compose/secrets"));
    for service in keys(&compose["services"]) {
        for used in texts(&compose["services"][service.as_str()]["secrets"]) {
            assert!(named.contains(&used), "{service} uses {used}, which is not defined");
        }
    }
    // Once more changes nothing: passwords that are in use are not overwritten.
    let before = std::fs::read(secrets.join("store-url")).unwrap();
    let again =
        Command::new(repository("deploy/compose/prepare.sh")).env("PORTCULLIS_SECRETS", &secrets).output();
    assert!(!again.unwrap().status.success());
    assert_eq!(std::fs::read(secrets.join("store-url")).unwrap(), before);
}

#[test]
fn the_servers_settings_load_and_are_refused_nothing() {
    let scratch = Scratch::new();
    let secrets = prepared(&scratch);
    let compose = compose();
    let said = BTreeMap::from([
        ("PORTCULLIS_ISSUER", "https://auth.example.net"),
        ("PORTCULLIS_DOMAIN", "example.net"),
    ]);
    for name in ["server-1", "server-2"] {
        let environment = &compose["services"][name]["environment"];
        let variables: Vec<_> = keys(environment)
            .into_iter()
            .map(|key| {
                let value = filled(environment[key.as_str()].as_str().expect("texts alone"), &said);
                (key, value.replace("/run/secrets", &secrets.to_string_lossy()))
            })
            .collect();
        let settings = production(&[], &variables);
        assert_eq!(refusals(&settings), [""; 0]);
        assert_eq!(settings.issuer, "https://auth.example.net");
        let password = std::fs::read_to_string(secrets.join("postgres-password")).unwrap();
        assert!(settings.store.url.contains(&password), "PostgreSQL and the servers agree");
        assert!(settings.redis.unwrap().password.is_some_and(|password| password.len() > 40));
        // HAProxy stands in this network, and its word counts.
        let subnet = &compose["networks"]["front"]["ipam"]["config"][0]["subnet"];
        assert_eq!(environment["PORTCULLIS__TRUSTED_PROXIES"], *subnet);
        let proxy = "172.30.10.7".parse().unwrap();
        assert!(settings.trusted_proxies.trusts(proxy) && !settings.trusted_proxies.everybody());
    }
}

#[test]
fn nothing_runs_with_more_rights_than_it_needs() {
    let compose = compose();
    for name in keys(&compose["services"]) {
        let service = &compose["services"][name.as_str()];
        assert_eq!(texts(&service["cap_drop"]), ["ALL"], "{name}");
        assert_eq!(texts(&service["security_opt"]), ["no-new-privileges:true"], "{name}");
        let is_ours = name.starts_with("server-");
        assert!(!is_ours || service["read_only"].as_bool() == Some(true), "{name}");
        assert!(!is_ours || service["user"].as_str() == Some(&format!("{ACCOUNT}:{ACCOUNT}")), "{name}");
        assert_eq!(service["ports"].is_badvalue(), name != "proxy", "{name}: one address for the world");
    }
    assert_eq!(compose["networks"]["back"]["internal"].as_bool(), Some(true));
    let redis = texts(&compose["services"]["redis"]["command"]).join(" ");
    assert!(redis.contains("--maxmemory-policy noeviction") && redis.contains("--appendonly yes"), "{redis}");
}

#[test]
fn redis_has_the_users_of_the_page_about_it() {
    let scratch = Scratch::new();
    let users = std::fs::read_to_string(prepared(&scratch).join("redis-users")).unwrap();
    let rights = |line: &str| line.split_once(" resetkeys ").map(|(_, rights)| rights.to_owned());
    let page = read("docs/redis.md");
    for user in ["portcullis-publisher", "portcullis-guard"] {
        let ours = users.lines().find(|line| line.starts_with(&format!("user {user} "))).and_then(rights);
        let theirs =
            page.lines().find(|line| line.starts_with(&format!("ACL SETUSER {user} "))).and_then(rights);
        assert!(ours.is_some() && ours == theirs, "{user}");
    }
    assert!(users.starts_with("user default off\n"));
}

/// HAProxy with the shipped configuration, in front of these two servers.
struct Proxy {
    child: Child,
    port: u16,
    _scratch: Scratch,
}

impl Proxy {
    fn before(servers: [&str; 2]) -> Self {
        let scratch = Scratch::new();
        let secrets = prepared(&scratch);
        let port = free_port().unwrap();
        let mut command = Command::new("haproxy");
        command.env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin");
        command.arg("-db").arg("-f").arg(repository("deploy/compose/haproxy.cfg"));
        command.env("PORTCULLIS_BIND", format!("127.0.0.1:{port}"));
        command.env("PORTCULLIS_CERTIFICATE", secrets.join("tls.pem"));
        command.env("PORTCULLIS_SERVER_1", servers[0]).env("PORTCULLIS_SERVER_2", servers[1]);
        let child = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        Self { child, port, _scratch: scratch }
    }

    fn at(&self, path: &str) -> String {
        format!("https://127.0.0.1:{}{path}", self.port)
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Everything that compose sets for HAProxy is what its configuration asks for.
#[test]
fn haproxy_is_told_what_it_asks_for() {
    let told = keys(&compose()["services"]["proxy"]["environment"]);
    let asks = read("deploy/compose/haproxy.cfg");
    for name in &told {
        assert!(asks.contains(&format!("\"${{{name}}}\"")), "{name} is not used");
    }
    assert_eq!(asks.matches("\"${").count(), told.len());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_address_survives_the_loss_of_a_server_behind_it() {
    if !has("haproxy", "The address in front of several servers was not tried.") {
        return;
    }
    let mut town = Town::open(&Ground::Sqlite).await;
    let neighbour = town.open_neighbour();
    let address = |url: &str| url.trim_start_matches("http://").to_owned();
    let proxy = Proxy::before([&address(town.issuer()), &address(&neighbour)]);
    // Its certificate is made for a name that this machine does not know; who it is does not matter here.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let http = reqwest::Client::builder().tls_danger_accept_invalid_certs(true).no_proxy().build().unwrap();
    let ask = async || {
        let form = BACKEND.form(&[("grant_type", "client_credentials")]);
        http.post(proxy.at("/oauth/token")).form(&form).send().await.map(|answer| answer.status().as_u16())
    };
    let began = Instant::now();
    while ask().await.ok() != Some(200) {
        assert!(began.elapsed() < Duration::from_secs(15), "nobody answers behind the proxy");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    for path in ["/readyz", "/healthz"] {
        assert_eq!(
            http.get(proxy.at(path)).send().await.unwrap().status().as_u16(),
            404,
            "{path} is not public"
        );
    }
    town.stop();
    let mut answers = Vec::new();
    for _ in 0..40 {
        answers.push(ask().await.expect("an answer"));
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    assert!(answers.iter().all(|status| *status == 200), "{answers:?}");
}
