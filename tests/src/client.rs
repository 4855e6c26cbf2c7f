//! The applications of `fixtures/town.toml`, and the assertions that they sign.

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use ring::hmac;
use serde_json::{Value, json};

/// A registered application.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Client {
    pub id: &'static str,
    pub secret: Option<&'static str>,
}

pub const STOREFRONT: Client = Client::public("storefront");
/// The same application, when it sends the secret that it may have.
pub const STOREFRONT_SERVER: Client = Client::of("storefront", "hush-storefront");
pub const KIOSK: Client = Client::public("kiosk");
pub const BACKEND: Client = Client::of("backend", "hush-backend");
pub const HELPER: Client = Client::of("helper", "hush-helper");
pub const SUPPORT: Client = Client::of("support-desk", "hush-support");
pub const REHEARSAL: Client = Client::of("rehearsal", "hush-rehearsal");
pub const TERMINAL: Client = Client::public("terminal");
pub const DASHBOARD: Client = Client::of("dashboard", "hush-dashboard");
pub const PARTNER: Client = Client::of("partner", "hush-partner");
pub const PERSONAL: Client = Client::of("personal", "hush-personal");
pub const RIVAL: Client = Client::of("rival-backend", "hush-rival-backend");
pub const RIVAL_STOREFRONT: Client = Client::public("rival-storefront");
pub const RIVAL_DASHBOARD: Client = Client::of("rival-dashboard", "hush-rival-dashboard");
/// Nobody.
pub const STRANGER: Client = Client::of("stranger", "hush-stranger");

pub const JWT_BEARER: &str = "urn:ietf:params:oauth:grant-type:jwt-bearer";
pub const EXCHANGE: &str = "urn:ietf:params:oauth:grant-type:token-exchange";
pub const ACCESS_TOKEN: &str = "urn:ietf:params:oauth:token-type:access_token";

impl Client {
    const fn of(id: &'static str, secret: &'static str) -> Self {
        Self { id, secret: Some(secret) }
    }

    const fn public(id: &'static str) -> Self {
        Self { id, secret: None }
    }

    /// The same with another secret.
    pub const fn with_secret(self, secret: &'static str) -> Self {
        Self { secret: Some(secret), ..self }
    }

    /// The same without a secret.
    pub const fn without_secret(self) -> Self {
        Self { secret: None, ..self }
    }

    /// Authentication in the body, followed by more.
    pub fn form<'a>(&self, more: &[(&'a str, &'a str)]) -> Vec<(&'a str, &'a str)> {
        let mut form = vec![("client_id", self.id)];
        form.extend(self.secret.map(|secret| ("client_secret", secret)));
        form.extend_from_slice(more);
        form
    }

    /// Authentication in the header.
    pub fn basic(&self) -> String {
        format!("Basic {}", STANDARD.encode(format!("{}:{}", self.id, self.secret.unwrap_or_default())))
    }

    /// An assertion as the vendor's helper makes it: its signature is a constant and proves nothing.
    pub fn assertion(claims: Value, now: u64) -> String {
        sign(&json!({ "iat": now, "https://commercelayer.io/claims": claims }), b"cl")
    }

    /// An assertion that this application signs with its own secret.
    pub fn signed_assertion(&self, issuer: &str, customer: &str, jti: &str, now: u64) -> String {
        self.signed_assertion_of(issuer, ("Customer", customer), jti, now)
    }

    /// The same for an owner of either kind.
    pub fn signed_assertion_of(&self, issuer: &str, owner: (&str, &str), jti: &str, now: u64) -> String {
        let (kind, id) = owner;
        let claims = json!({
            "iss": self.id, "sub": id, "aud": issuer, "jti": jti, "iat": now, "exp": now + 120,
            "https://commercelayer.io/claims": { "owner": { "type": kind, "id": id } },
        });
        sign(&claims, self.secret.unwrap_or_default().as_bytes())
    }
}

fn sign(claims: &Value, key: &[u8]) -> String {
    let part = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
    let input = format!("{}.{}", part(&json!({ "alg": "HS512", "typ": "JWT" })), part(claims));
    let tag = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA512, key), input.as_bytes());
    format!("{input}.{}", URL_SAFE_NO_PAD.encode(tag))
}

/// The key that signed a token.
pub fn kid_of(token: &str) -> String {
    let part = token.split('.').next().expect("a token has three parts");
    let header: Value =
        serde_json::from_slice(&URL_SAFE_NO_PAD.decode(part).expect("base64url")).expect("JSON");
    header["kid"].as_str().expect("a header names its key").to_owned()
}

/// What a token says, for tests that already know whether to believe it.
pub fn claims_of(token: &str) -> Value {
    let part = token.split('.').nth(1).expect("a token has three parts");
    serde_json::from_slice(&URL_SAFE_NO_PAD.decode(part).expect("base64url")).expect("JSON")
}
