//! What those see who watch the server: numbers that move, lines in the log, and never a secret.

use std::collections::BTreeSet;
use std::io::Write;
use std::path::Path;
use std::sync::{Arc, Mutex, OnceLock};
use std::time::{Duration, Instant};

use portcullis::settings::{Destination, Settings};
use portcullis_authority::operators::OperatorRole;
use portcullis_tests::client::{BACKEND, HELPER, JWT_BEARER, PARTNER, STOREFRONT, STRANGER, SUPPORT};
use portcullis_tests::receiver::Manner;
use portcullis_tests::{Answer, Client, Ground, Receiver, Town};
use serde_json::{Value, json};
use tracing_subscriber::fmt::MakeWriter;

use super::code::{PARTNER_BACK, redeem};
use super::exchange::exchange;

pub async fn watchers_see_what_happens_and_nothing_else(ground: &Ground) {
    let receiver = Receiver::open(&[Manner::Answers(200)]);
    let mut town = Town::open_with(ground, |settings| {
        settings.metrics.enabled = true;
        settings.metrics.port = 0;
        tell(settings, &receiver);
    })
    .await;
    town.open_shop();
    town.shopfront().wait_until_ready();
    town.until_shop_has_reported().await;
    let before = numbers(&town).await;
    let said = story(&town).await;
    let token = town.client_token(&BACKEND).await;
    let form = BACKEND.form(&[("token", &token)]);
    let revoked = town.post("/oauth/revoke").form(&form).header("prefer", "wait=5");
    Answer::to(revoked).await.with_status(200);

    let began = Instant::now();
    let propagated = |page: &str| value(page, "portcullis_revocation_propagation_seconds_count");
    let after = loop {
        let page = numbers(&town).await;
        let told = page.contains("portcullis_audit_untold_records{");
        if told && propagated(&page) > propagated(&before) {
            break page;
        }
        assert!(began.elapsed() < Duration::from_secs(20), "{page}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    };
    for name in [
        r#"portcullis_tokens_issued_total{grant="password"}"#,
        r#"portcullis_tokens_issued_total{grant="token-exchange"}"#,
        r#"portcullis_refusals_total{asked="token",code="invalid_client"}"#,
        r#"portcullis_revocations_total{kind="token"}"#,
        r#"portcullis_revocations_total{kind="login"}"#,
        r#"portcullis_http_requests_total{method="POST",route="/oauth/token",status="2xx"}"#,
        r#"portcullis_http_requests_total{method="POST",route="/oauth/token",status="4xx"}"#,
        r#"portcullis_signing_seconds_count{algorithm="ES256"}"#,
        "portcullis_commit_seconds_count",
        "portcullis_commit_group_deeds_count",
        "portcullis_password_seconds_count",
        "portcullis_feed_batches_total",
        "portcullis_feed_sequence",
    ] {
        assert!(value(&after, name) > value(&before, name), "{name} does not move: {after}");
    }
    assert_eq!(value(&after, r#"portcullis_guards{state="live"}"#), 1.0);
    assert_eq!(value(&after, r#"portcullis_keys{state="active"}"#), 1.0);
    let due = value(&after, "portcullis_key_rotation_due_seconds");
    assert!((30.0 * 86_400.0 - 600.0..=30.0 * 86_400.0).contains(&due), "{due}");
    for secret in said.iter().map(String::as_str).chain(["hush", "jane", "127.0.0.1", "backend", "acme"]) {
        assert!(!after.contains(secret), "{secret} in {after}");
    }
    compare(&after);

    let elsewhere = Answer::to(town.get("/metrics")).await;
    assert_eq!(elsewhere.status, 404, "the public address says nothing of it");
    let walker = portcullis_tests::street::walker();
    let lost = Answer::to(walker.get(format!("{}/oauth/token", town.watchers()))).await;
    assert_eq!(lost.status, 404, "and this one nothing else");
}

pub async fn no_secret_is_ever_in_the_log(ground: &Ground) {
    let log = listen();
    let mut town = Town::open_with_office(ground).await;
    town.open_shop();
    town.shopfront().wait_until_ready();
    let mut said = story(&town).await;
    let owner = town.operator(OperatorRole::Owner).await;
    owner.get("/sessions").await.with_status(200);
    said.push(owner.token.clone());
    said.extend(owner.recovery.iter().cloned());
    // Tests that run beside this one are heard too, so the walk is named after this town.
    let walk = format!("a-walk-through-{}", town.issuer().rsplit(':').next().unwrap_or_default());
    let traced = town
        .get("/healthz?token=hush-in-a-query")
        .header("traceparent", "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01")
        .header("x-request-id", &walk);
    Answer::to(traced).await.with_status(200);

    let heard = String::from_utf8(log.lock().unwrap().clone()).expect("a log is text");
    for secret in said.iter().map(String::as_str).chain(["hush"]) {
        let line = heard.lines().find(|line| line.contains(secret));
        assert!(line.is_none(), "{secret} in {line:?}");
    }
    let lines = heard.lines().map(|line| serde_json::from_str::<Value>(line).expect("each line is JSON"));
    let answered: Vec<_> = lines.filter(|line| line["message"] == "answered").collect();
    for line in &answered {
        for (name, kind) in [
            ("method", "text"),
            ("route", "text"),
            ("request_id", "text"),
            ("micros", "number"),
            ("status", "number"),
        ] {
            assert_eq!(line[name].is_string(), kind == "text", "{line}");
            assert_eq!(line[name].is_number(), kind == "number", "{line}");
        }
        assert!(!line["route"].to_string().contains('?'), "{line}");
    }
    let walk: Vec<_> = answered.iter().filter(|line| line["request_id"] == walk.as_str()).collect();
    assert_eq!(walk.len(), 1, "one line for a request");
    assert_eq!(walk[0]["trace_id"], "4bf92f3577b34da6a3ce929d0e0e4736");
    assert_eq!(walk[0]["route"], "/healthz");
}

/// Something of everything; gives every secret that was said in it and does not begin with "hush".
pub async fn story(town: &Town) -> Vec<String> {
    let mut said = Vec::new();
    let machine = town.client_token(&BACKEND).await;
    let jane = town.jane(&STOREFRONT).await;
    let again = town.refresh(&STOREFRONT, &jane.refresh_token()).await.with_status(200);
    let exchanged = exchange(town, &BACKEND, &again.access_token(), &[]).await.with_status(200);
    let wish = json!({ "owner": { "type": "Customer", "id": "custJaneAA" } });
    let assertion = Client::assertion(wish, town.now());
    let behalf = town.token(&HELPER, JWT_BEARER, &[("assertion", &assertion)]).await.with_status(200);
    let code = town.browser().code(&PARTNER, PARTNER_BACK, &[]).await;
    let login = redeem(town, &PARTNER, &code, PARTNER_BACK).await.with_status(200);
    for answer in [&jane, &again, &exchanged, &behalf, &login] {
        said.push(answer.access_token());
    }
    for answer in [&jane, &again, &login] {
        said.push(answer.refresh_token());
    }
    town.shop("/api/skus", &machine).await.with_status(200);
    town.introspect(&machine).await;
    town.introspect_as(&SUPPORT, &machine).await;
    Answer::to(town.get("/oauth/tokeninfo").bearer_auth(&machine)).await.with_status(200);
    town.token(&STRANGER, "client_credentials", &[]).await.with_status(401);
    town.token(&BACKEND.with_secret("hush-wrong"), "client_credentials", &[]).await.with_status(401);
    town.password(&STOREFRONT, "jane@example.com", "hush-not-jane").await.with_status(400);
    town.refresh(&STOREFRONT, "hush-no-handle").await.with_status(400);
    redeem(town, &PARTNER, &code, PARTNER_BACK).await.with_status(400);
    let query = format!("/oauth/token?grant_type=client_credentials&client_secret=hush-backend&code={code}");
    Answer::to(town.post(&query)).await;
    Answer::to(town.get(&format!("/nowhere/{machine}"))).await.with_status(404);
    town.revoke(&STOREFRONT, &again.refresh_token()).await.with_status(200);
    town.revoke(&BACKEND, &machine).await.with_status(200);
    town.revoke(&SUPPORT, &behalf.access_token()).await;
    said.extend([machine, assertion, code]);
    said
}

async fn numbers(town: &Town) -> String {
    let asked = portcullis_tests::street::walker().get(format!("{}/metrics", town.watchers()));
    let page = Answer::to(asked).await.with_status(200);
    assert!(page.header("content-type").starts_with("application/openmetrics-text"), "{page:?}");
    assert!(page.body.ends_with("# EOF\n"));
    page.body
}

/// What stands behind a name; 0 where it is not there yet.
fn value(page: &str, name: &str) -> f64 {
    let line = page.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
    line.map_or(0.0, |value| value.parse().expect("a number"))
}

/// Holds the names against `golden/metrics.txt`. What is there only beside a Redis, a PKCS#11 token or a
/// certificate is looked at there.
fn compare(page: &str) {
    let seen: BTreeSet<String> =
        page.lines().filter_map(|line| line.strip_prefix("# TYPE ")).map(named).collect();
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("golden/metrics.txt");
    let kept = std::fs::read_to_string(&path).unwrap_or_default();
    let elsewhere = ["portcullis_redis_", "portcullis_vault_", "portcullis_tls_"];
    let (beside, kept): (BTreeSet<_>, BTreeSet<_>) =
        kept.lines().map(str::to_owned).partition(|line| elsewhere.iter().any(|part| line.starts_with(part)));
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        let all: Vec<_> = seen.union(&beside).cloned().collect();
        std::fs::write(&path, all.join("\n") + "\n").expect("the file can be written");
        return;
    }
    assert_eq!(seen, kept, "metrics have changed; if they should, run the tests with UPDATE_GOLDEN=1");
}

/// The name that samples have, and the kind.
fn named(described: &str) -> String {
    let (name, kind) = described.split_once(' ').expect("a name and a kind");
    match kind {
        "counter" => format!("{name}_total {kind}"),
        "info" => format!("{name}_info {kind}"),
        _ => format!("{name} {kind}"),
    }
}

fn tell(settings: &mut Settings, receiver: &Receiver) {
    let to = Destination {
        secret: Some(Receiver::secret()),
        ..Destination::at(format!("http://{}/in", receiver.address))
    };
    settings.audit.destinations.insert("siem".into(), to);
}

/// Everything that this process logs from now on, of whichever town.
fn listen() -> Arc<Mutex<Vec<u8>>> {
    static HEARD: OnceLock<Arc<Mutex<Vec<u8>>>> = OnceLock::new();
    let heard = HEARD.get_or_init(|| {
        let heard = Arc::new(Mutex::new(Vec::new()));
        let subscriber = tracing_subscriber::fmt()
            .with_env_filter("info,portcullis=trace,portcullis_authority=trace,portcullis_store=trace,portcullis_guard=trace")
            .with_writer(Ear(heard.clone()))
            .json()
            .flatten_event(true)
            .finish();
        tracing::subscriber::set_global_default(subscriber).expect("nobody else listens in these tests");
        heard
    });
    heard.clone()
}

#[derive(Clone)]
struct Ear(Arc<Mutex<Vec<u8>>>);

impl Write for Ear {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

impl<'a> MakeWriter<'a> for Ear {
    type Writer = Self;

    fn make_writer(&'a self) -> Self {
        self.clone()
    }
}
