//! The endpoints of a feed: addresses, credentials, sizes and times. Believes nothing of what comes back.

use std::io;
use std::time::{Duration, Instant};

use base64::{Engine, engine::general_purpose::STANDARD};
use serde::Serialize;
use ureq::tls::{Certificate, PemItem, RootCerts, TlsConfig, TlsProvider, parse_pem};
use ureq::{Agent, Body, http::Response};

use super::HttpConfig;
use crate::feed::{
    Digest, FeedKeys, Position, RECORD_BYTES,
    batch::{MAX_BATCH_BYTES, MAX_RECORDS, unframe},
    worker::{Progress, Sealed, Source, Trouble},
};

/// A tail answers with the next beat, within a second; this much later the connection is not alive.
const TAIL_TIMEOUT: Duration = Duration::from_secs(5);
/// By this an issuer says that it has heard what came with the question for the tail.
const HEARD: &str = "guard-report";
/// What the server is told how long it may hold a tail.
const TAIL_WAIT_SECONDS: u32 = 25;
const TIMEOUT: Duration = Duration::from_secs(2);
/// Large things come over slow lines as well.
const BULK_TIMEOUT: Duration = Duration::from_secs(10);

const MOST_SEGMENT: u64 = (MAX_RECORDS * RECORD_BYTES) as u64;
const MOST_MANIFEST: u64 = 4 << 20;
const MOST_KEYS: u64 = 1 << 20;
const MOST_POLICY: u64 = 16 << 20;
const MOST_TAIL: u64 = 8 * MAX_BATCH_BYTES as u64;
const MOST_TIME: u64 = 32;
const MOST_ANSWER: u64 = 64 << 10;

impl From<ureq::Error> for Trouble {
    fn from(_: ureq::Error) -> Self {
        Self
    }
}

/// The endpoints. Keeps its connections; one for each thread that asks.
pub(in crate::feed) struct HttpSource {
    agent: Agent,
    base: String,
    feed: String,
    instance: String,
    authorization: String,
    account: Account,
    heard: bool,
}

/// Who asks, in the members of a request to the issuer's other endpoints.
struct Account {
    id: String,
    secret: String,
}

/// The certificates in a PEM text; at least one.
fn certificates(pem: &str) -> io::Result<Vec<Certificate<'static>>> {
    let mut found = Vec::new();
    for item in parse_pem(pem.as_bytes()) {
        if let PemItem::Certificate(certificate) = item.map_err(io::Error::other)? {
            found.push(certificate);
        }
    }
    if found.is_empty() { Err(io::Error::other("no certificate in the PEM text")) } else { Ok(found) }
}

/// Which guard this is, for whoever looks after a fleet of them.
const VERSION: &str = env!("CARGO_PKG_VERSION");

/// The body of a report.
#[derive(Serialize)]
struct Report<'a> {
    guard: &'a str,
    feed: &'a str,
    epoch: u64,
    seq: u64,
    as_of: u64,
    version: &'a str,
}

impl HttpSource {
    pub fn new(config: &HttpConfig, feed: &str) -> io::Result<Self> {
        let mut tls = TlsConfig::builder().provider(TlsProvider::Rustls);
        if let Some(pem) = &config.authorities {
            tls = tls.root_certs(RootCerts::new_with_certs(&certificates(pem)?));
        }
        // A redirect would carry the credentials elsewhere, and the environment has no say in where a
        // guard hears of revocations.
        let agent = Agent::config_builder().tls_config(tls.build()).http_status_as_error(false);
        let agent = agent.max_redirects(0).proxy(None).build();
        let credentials = STANDARD.encode(format!("{}:{}", config.guard, config.secret));
        Ok(Self {
            agent: agent.into(),
            base: config.base.trim_end_matches('/').into(),
            feed: feed.into(),
            instance: config.instance.clone(),
            authorization: format!("Basic {credentials}"),
            account: Account { id: config.guard.clone(), secret: config.secret.clone() },
            heard: false,
        })
    }

    /// Says how far this guard is.
    pub fn report(&self, come: &Progress) -> Result<(), Trouble> {
        let Progress { at: Position { epoch, seq }, as_of_ms } = *come;
        let (guard, feed) = (&self.instance, &self.feed);
        let report = Report { guard, feed, epoch, seq, as_of: as_of_ms, version: VERSION };
        let body = serde_json::to_vec(&report).map_err(|_| Trouble)?;
        let request = self.agent.post(format!("{}/guards/report", self.base));
        let request = request.config().timeout_global(Some(TIMEOUT)).build();
        let request = request.header("Authorization", &self.authorization);
        let answer = request.header("Content-Type", "application/json").send(&body)?;
        // Read to its end, or the connection could not be used again.
        bytes(answer, MOST_KEYS).map(drop)
    }

    /// What the issuer says of a token (RFC 7662 section 2.1). In JSON, which the issuer takes and which needs
    /// no escapes of our own.
    pub fn introspect(&self, token: &str, within: Duration) -> Result<Vec<u8>, Trouble> {
        let Account { id, secret } = &self.account;
        let question = serde_json::json!({"token": token, "client_id": id, "client_secret": secret});
        let request = self.agent.post(format!("{}/oauth/introspect", self.base));
        let request = request.config().timeout_global(Some(within)).build();
        let answer = request.header("Content-Type", "application/json").send(question.to_string())?;
        bytes(ok(answer)?, MOST_ANSWER)
    }

    fn feed_path(&self, rest: &str) -> String {
        format!("/revocations/{}/{rest}", self.feed)
    }

    fn get(&self, path: &str, timeout: Duration) -> Result<Response<Body>, Trouble> {
        let request = self.agent.get(format!("{}{path}", self.base));
        let request = request.config().timeout_global(Some(timeout)).build();
        let is_public = path.starts_with("/.well-known/");
        let request = if is_public { request } else { request.header("Authorization", &self.authorization) };
        Ok(request.call()?)
    }
}

impl Source for HttpSource {
    fn feed_keys(&mut self) -> Result<FeedKeys, Trouble> {
        let jwks = text(ok(self.get("/.well-known/rv-jwks.json", TIMEOUT)?)?, MOST_KEYS)?;
        Ok(FeedKeys::from_jwks(&jwks)?)
    }

    fn time(&mut self) -> Result<(u64, u64), Trouble> {
        let asked = Instant::now();
        let answer = text(ok(self.get("/revocations/time", TIMEOUT)?)?, MOST_TIME)?;
        let trip = u64::try_from(asked.elapsed().as_millis()).unwrap_or(u64::MAX).saturating_add(1);
        let ms: u64 = answer.trim().parse().map_err(|_| Trouble)?;
        // Somewhere on the way the server looked at its clock: half the way ago, give or take half.
        Ok((ms.saturating_add(trip / 2), trip.div_ceil(2)))
    }

    fn manifest(&mut self) -> Result<String, Trouble> {
        text(ok(self.get(&self.feed_path("manifest"), BULK_TIMEOUT)?)?, MOST_MANIFEST)
    }

    fn segment(&mut self, name: &Digest) -> Result<Option<Vec<u8>>, Trouble> {
        let answer = self.get(&self.feed_path(&format!("segments/{name}")), BULK_TIMEOUT)?;
        match answer.status().as_u16() {
            404 | 410 => Ok(None),
            _ => Ok(Some(bytes(ok(answer)?, MOST_SEGMENT)?)),
        }
    }

    /// `None` for too old (410) and for another epoch (409).
    ///
    /// The question says how far this guard is, so that in a fleet one record costs each guard one journey and
    /// not two.
    fn tail(&mut self, after: Position, come: Option<&Progress>) -> Result<Option<Sealed>, Trouble> {
        self.heard = false;
        let Position { epoch, seq } = after;
        let mut path = self.feed_path(&format!("tail?after={epoch}.{seq}&wait={TAIL_WAIT_SECONDS}"));
        if let Some(Progress { at, as_of_ms }) = come {
            let instance = escaped(&self.instance);
            let said =
                format!("&guard={instance}&at={}.{}&as_of={as_of_ms}&version={VERSION}", at.epoch, at.seq);
            path.push_str(&said);
        }
        let answer = self.get(&path, TAIL_TIMEOUT)?;
        self.heard = answer.headers().contains_key(HEARD);
        match answer.status().as_u16() {
            409 | 410 => Ok(None),
            _ => Ok(Some(unframe(&bytes(ok(answer)?, MOST_TAIL)?))),
        }
    }

    fn is_heard(&self) -> bool {
        self.heard
    }

    fn keys(&mut self, _: Option<Digest>) -> Result<String, Trouble> {
        text(ok(self.get("/.well-known/jwks.json", TIMEOUT)?)?, MOST_KEYS)
    }

    fn policy(&mut self, name: &Digest) -> Result<String, Trouble> {
        text(ok(self.get(&format!("/policy/{name}"), TIMEOUT)?)?, MOST_POLICY)
    }
}

/// Text as it may stand in the query of an address (RFC 3986 section 2.3).
pub(super) fn escaped(text: &str) -> String {
    let mut query = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => query.push(byte.into()),
            _ => query.push_str(&format!("%{byte:02X}")),
        }
    }
    query
}

fn ok(answer: Response<Body>) -> Result<Response<Body>, Trouble> {
    if answer.status().as_u16() == 200 { Ok(answer) } else { Err(Trouble) }
}

fn bytes(answer: Response<Body>, most: u64) -> Result<Vec<u8>, Trouble> {
    Ok(answer.into_body().into_with_config().limit(most + 1).read_to_vec()?)
}

fn text(answer: Response<Body>, most: u64) -> Result<String, Trouble> {
    String::from_utf8(bytes(answer, most)?).map_err(|_| Trouble)
}
