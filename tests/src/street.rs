//! What comes back over HTTP, read to its end.

use std::time::Duration;

use reqwest::header::HeaderMap;
use reqwest::redirect::Policy;
use reqwest::{Client, ClientBuilder, RequestBuilder};
use serde_json::Value;

/// Nothing that is asked here takes so long; a test that hangs should say so.
const PATIENCE: Duration = Duration::from_secs(30);

/// Follows no redirect and believes no proxy, so that what is seen is what the server said.
pub fn walker() -> Client {
    builder().build().expect("a client without special wishes can be made")
}

/// The same with a new connection for each request, so that where several servers stand behind one address each
/// request meets another one than the request before.
pub fn passer_by() -> Client {
    builder().pool_max_idle_per_host(0).build().expect("a client without special wishes can be made")
}

/// The same with cookies.
pub fn browser() -> Client {
    let browser = builder().pool_max_idle_per_host(0).cookie_store(true).build();
    browser.expect("a client with cookies can be made")
}

fn builder() -> ClientBuilder {
    // reqwest has no crypto provider of its own here. Somebody may have chosen already; that is as good.
    let _ = rustls::crypto::ring::default_provider().install_default();
    Client::builder().redirect(Policy::none()).no_proxy().timeout(PATIENCE)
}

/// An answer.
#[derive(Clone, Debug)]
pub struct Answer {
    pub status: u16,
    pub headers: HeaderMap,
    pub body: String,
}

impl Answer {
    /// Sends a request that must be answered.
    pub async fn to(request: RequestBuilder) -> Self {
        Self::try_to(request).await.expect("the server answers")
    }

    /// Sends a request that may find nobody.
    pub async fn try_to(request: RequestBuilder) -> Option<Self> {
        let answer = request.send().await.ok()?;
        let (status, headers) = (answer.status().as_u16(), answer.headers().clone());
        Some(Self { status, headers, body: answer.text().await.ok()? })
    }

    /// A header's value; without the header, nothing.
    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default()
    }

    /// The body as JSON.
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|_| panic!("not JSON: {self:?}"))
    }

    /// A text member of the body.
    pub fn text(&self, name: &str) -> String {
        let text = self.json()[name].as_str().map(str::to_owned);
        text.unwrap_or_else(|| panic!("no {name} in {self:?}"))
    }

    pub fn access_token(&self) -> String {
        self.text("access_token")
    }

    pub fn refresh_token(&self) -> String {
        self.text("refresh_token")
    }

    /// Status and error code, for one comparison.
    pub fn refusal(&self) -> (u16, String) {
        (self.status, self.json()["error"].as_str().unwrap_or_default().to_owned())
    }

    /// The same answer, or the end of the test with everything that was said.
    pub fn with_status(self, status: u16) -> Self {
        assert_eq!(self.status, status, "{self:?}");
        self
    }
}

/// A refusal as [`Answer::refusal`] tells it.
pub fn no(status: u16, code: &str) -> (u16, String) {
    (status, code.to_owned())
}
