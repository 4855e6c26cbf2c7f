//! What operators write at a server of one version, read at a server of another: everything that the listener of
//! the reader can list is asked for after the writer has left something of each kind in the books.

use std::net::SocketAddr;
use std::process::Command;

use portcullis_authority::desk::Clock as _;
use portcullis_tests::Answer;
use portcullis_tests::clock::TownClock;
use portcullis_tests::office::code_of;
use portcullis_tests::street::walker;
use reqwest::{Method, RequestBuilder};
use serde_json::{Value, json};

pub const EMAIL: &str = "clerk@town.test";

/// An operator with every role, whom each server believes.
pub struct Clerk {
    token: String,
    http: reqwest::Client,
    written: usize,
}

impl Clerk {
    /// Made on the books by one version (`operators create`), and signed in at a server of any.
    pub async fn hire(mut create: Command, office: SocketAddr, clock: &TownClock) -> Self {
        let made = create.output().expect("the program runs");
        let said = String::from_utf8_lossy(&made.stdout).into_owned();
        assert!(made.status.success(), "{made:?}");
        let after = |name: &str| {
            let line = said.lines().find_map(|line| line.strip_prefix(name));
            line.unwrap_or_else(|| panic!("no {name} in {said}")).trim().to_owned()
        };
        let code = code_of(&after("Authenticator:"), clock.now());
        let shown = json!({ "email": EMAIL, "password": after("Password:"), "code": code });
        let mut clerk = Self { token: String::new(), http: walker(), written: 0 };
        let entered = clerk.call(Method::POST, office, "/sessions").json(&shown);
        clerk.token = Answer::to(entered).await.with_status(201).text("token");
        clerk
    }

    /// A person, a review and proposals; where they are known, a secret by proposal and an invitation.
    pub async fn write(&mut self, office: SocketAddr) {
        self.written += 1;
        let email = format!("newcomer-{}@example.com", self.written);
        let newcomer = json!({ "kind": "customer", "organization": "orgAcmeAAA", "email": email, "make_password": true });
        self.post(office, "/people", newcomer).await;
        let reason = format!("drill {}", self.written);
        if !self.knows(office, "/people/invitations").await {
            self.post(office, "/applications/helper/secrets", json!({})).await;
        } else {
            let wish = json!({ "kind": "secret", "what": { "application": "helper" }, "reason": reason });
            self.post(office, "/proposals", wish).await;
            let invited = json!({ "email": format!("invited-{}@example.com", self.written) });
            self.post(office, "/people/invitations", invited).await;
        }
        self.post(office, "/reviews", json!({ "organization": "acme" })).await;
        self.post(office, "/cuts", json!({ "kind": "organization", "id": "rival", "reason": reason })).await;
    }

    /// Everything that can be read there without naming one thing.
    pub async fn read(&self, office: SocketAddr) {
        let ask = |path: &str| Answer::to(self.call(Method::GET, office, path));
        let document = ask("/openapi.json").await.with_status(200).json();
        let paths = document["paths"].as_object().expect("it names its paths").iter();
        let lists = paths.filter(|(path, about)| !path.contains('{') && about["get"].is_object());
        let lists: Vec<_> = lists.filter_map(|(path, _)| path.strip_prefix("/admin/v1")).collect();
        assert!(lists.len() > 10, "the document was not understood: {lists:?}");
        for path in &lists {
            let seen = ask(path).await;
            assert_eq!(seen.status, 200, "{path} at {office}: {seen:?}");
        }
        let people = ask("/people?search=newcomer").await.with_status(200).json();
        let found = people["people"].as_array().map(Vec::len);
        assert_eq!(found, Some(self.written), "{people}");
    }

    /// Whether the version that answers there has this call.
    async fn knows(&self, office: SocketAddr, path: &str) -> bool {
        Answer::to(self.call(Method::GET, office, path)).await.status == 200
    }

    async fn post(&self, office: SocketAddr, path: &str, body: Value) {
        let answer = Answer::to(self.call(Method::POST, office, path).json(&body)).await;
        assert!(matches!(answer.status, 200 | 201), "{path}: {answer:?}");
    }

    fn call(&self, method: Method, office: SocketAddr, path: &str) -> RequestBuilder {
        let call = self.http.request(method, format!("http://{office}/admin/v1{path}"));
        if self.token.is_empty() { call } else { call.bearer_auth(&self.token) }
    }
}
