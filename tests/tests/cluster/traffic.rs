//! People and programs who ask all the time, and count what went wrong.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::time::Duration;

use portcullis_tests::Answer;
use portcullis_tests::client::{BACKEND, PERSONAL, STOREFRONT};
use portcullis_tests::street;
use serde_json::json;
use tokio::task::JoinHandle;

/// Between two questions of one walker: traffic, and no flood.
const STEP: Duration = Duration::from_millis(4);
/// Logins are dearer than the rest.
const LOGIN_EVERY: usize = 10;
/// Writes to the Provisioning API are dearer still.
const ERRAND_EVERY: usize = 25;

/// What was asked, and what was not answered well.
#[derive(Debug, Default)]
pub struct Tally {
    pub sent: usize,
    pub failed: Vec<String>,
}

/// Walkers who ask until they are told to stop.
pub struct Traffic {
    over: Arc<AtomicBool>,
    walkers: Vec<JoinHandle<Tally>>,
}

impl Traffic {
    pub fn begin(issuer: &str, walkers: usize) -> Self {
        let over = Arc::new(AtomicBool::new(false));
        let walk = |n| {
            let walker = Walker::new(issuer, n == 0);
            tokio::spawn(walker.walk(over.clone()))
        };
        let walkers = (0..walkers).map(walk).collect();
        Self { over, walkers }
    }

    /// Ends it, and counts.
    pub async fn end(self) -> Tally {
        self.over.store(true, SeqCst);
        let mut all = Tally::default();
        for walker in self.walkers {
            let tally = walker.await.expect("walkers do not panic");
            all.sent += tally.sent;
            all.failed.extend(tally.failed);
        }
        all
    }
}

/// One who keeps connections open, as services do.
struct Walker {
    issuer: String,
    http: reqwest::Client,
    /// Whether it writes to the Provisioning API; one does, because all would write to the same person.
    writes: bool,
    tally: Tally,
}

impl Walker {
    fn new(issuer: &str, writes: bool) -> Self {
        Self { issuer: issuer.to_owned(), http: street::walker(), writes, tally: Tally::default() }
    }

    async fn walk(mut self, over: Arc<AtomicBool>) -> Tally {
        for round in 0.. {
            if over.load(SeqCst) {
                break;
            }
            self.machine().await;
            if round % LOGIN_EVERY == 0 {
                self.person().await;
            }
            if self.writes && round % ERRAND_EVERY == 0 {
                self.errand(round).await;
            }
            tokio::time::sleep(STEP).await;
        }
        self.tally
    }

    /// A token, and whether it is good.
    async fn machine(&mut self) {
        let form = BACKEND.form(&[("grant_type", "client_credentials")]);
        let Some(answer) = self.post("/oauth/token", &form).await else { return };
        let token = answer.access_token();
        let form = [("client_id", "shop"), ("client_secret", "hush-guard"), ("token", token.as_str())];
        if let Some(seen) = self.post("/oauth/introspect", &form).await
            && seen.json()["active"] != true
        {
            self.tally.failed.push(format!("a fresh token is not active: {seen:?}"));
        }
    }

    /// Jane logs in, stays a while and goes.
    async fn person(&mut self) {
        let named = [("username", "jane@example.com"), ("password", "hush-jane"), ("grant_type", "password")];
        let Some(login) = self.post("/oauth/token", &STOREFRONT.form(&named)).await else { return };
        let refresh = login.refresh_token();
        let form = STOREFRONT.form(&[("grant_type", "refresh_token"), ("refresh_token", &refresh)]);
        let Some(next) = self.post("/oauth/token", &form).await else { return };
        let last = next.refresh_token();
        self.post("/oauth/revoke", &STOREFRONT.form(&[("token", &last)])).await;
    }

    /// Ringo changes his name over the Provisioning API and looks who he is.
    async fn errand(&mut self, round: usize) {
        let form = PERSONAL.form(&[("grant_type", "client_credentials")]);
        let Some(answer) = self.post("/oauth/token", &form).await else { return };
        let (token, name) = (answer.access_token(), format!("Ringo {round}"));
        let data = json!({ "type": "users", "id": "userRingoA", "attributes": { "first_name": name } });
        let write = self.http.patch(format!("{}/api/user", self.issuer)).bearer_auth(&token);
        let write = write.header("content-type", "application/vnd.api+json");
        self.send("PATCH /api/user", write.body(json!({ "data": data }).to_string())).await;
        let read = self.http.get(format!("{}/api/user", self.issuer)).bearer_auth(&token);
        if let Some(seen) = self.send("/api/user", read).await
            && seen.json()["data"]["attributes"]["first_name"] != *name
        {
            self.tally.failed.push(format!("{name} was written, and is not read: {seen:?}"));
        }
    }

    async fn post(&mut self, path: &str, form: &[(&str, &str)]) -> Option<Answer> {
        let request = self.http.post(format!("{}{path}", self.issuer)).form(form);
        self.send(path, request).await
    }

    async fn send(&mut self, path: &str, request: reqwest::RequestBuilder) -> Option<Answer> {
        self.tally.sent += 1;
        let answer = Answer::try_to(request).await;
        match answer {
            Some(answer) if answer.status == 200 => Some(answer),
            other => {
                self.tally.failed.push(format!("{path}: {other:?}"));
                None
            }
        }
    }
}
