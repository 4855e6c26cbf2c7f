//! Rules that no single address has: what is logged, and who may know a status code.

use super::*;
use std::io::Write;
use std::path::Path;
use std::sync::Mutex;

use tracing_subscriber::fmt::MakeWriter;

#[derive(Clone, Default)]
struct Heard(Arc<Mutex<Vec<u8>>>);

impl Write for Heard {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().write(bytes)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

impl<'a> MakeWriter<'a> for Heard {
    type Writer = Self;

    fn make_writer(&'a self) -> Self {
        self.clone()
    }
}

#[actix_web::test]
async fn the_log_has_one_line_for_a_request_and_no_secret_in_it() {
    let (house, _) = house_at(NOW);
    let heard = Heard::default();
    let subscriber = tracing_subscriber::fmt().with_writer(heard.clone()).with_ansi(false).finish();
    let listening = tracing::subscriber::set_default(subscriber);
    // Another test may have met the log line first, when nobody listened; that verdict is kept until it
    // is taken anew.
    while heard.0.lock().unwrap().is_empty() {
        call(&house, get("/.well-known/jwks.json")).await;
        tracing::callsite::rebuild_interest_cache();
    }
    heard.0.lock().unwrap().clear();
    // What is asked every second and goes well is no line at this level.
    call(&house, get("/healthz")).await;
    let token = call(&house, ask_token("robot")).await.json()["access_token"].clone();
    let body = format!("client_id=robot&client_secret=hush&token={}", token.as_str().unwrap());
    call(&house, post("/oauth/revoke", &body)).await;
    call(&house, authorize("web", "&code=leaked")).await;
    call(&house, post("/oauth/token", "grant_type=x&client_id=stranger&client_secret=hush")).await;
    drop(listening);
    let log = String::from_utf8(heard.0.lock().unwrap().clone()).unwrap();
    assert_eq!(log.matches(" answered ").count(), 4, "{log}");
    assert_eq!(log.lines().count(), 4, "{log}");
    for secret in ["hush", token.as_str().unwrap(), "leaked", "state", "xyz", "stranger", "form="] {
        assert!(!log.contains(secret), "{secret} in {log}");
    }
    for told in ["route=\"/oauth/authorize\"", "client_id=\"robot\"", "status=400", "method=\"POST\""] {
        assert!(log.contains(told), "{told} not in {log}");
    }
}

#[test]
fn only_the_reply_knows_a_status_code() {
    let room = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/http");
    let files = std::fs::read_dir(room).unwrap().map(|file| file.unwrap().path());
    for path in files.filter(|path| path.is_file() && !path.ends_with("reply.rs")) {
        let text = std::fs::read_to_string(&path).unwrap();
        for word in ["StatusCode", "HttpResponse::", "ErrorBad", "ErrorInternal"] {
            assert!(!text.contains(word), "{} has learnt a status code", path.display());
        }
    }
}
