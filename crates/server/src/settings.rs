//! The settings: everything that an operator decides, with defaults that run a server on one machine.
//!
//! Layers are read in `layers.rs`, judged in `findings.rs`. Nothing here is ever taken from a request.

mod audit;
mod day;
mod defaults;
mod findings;
mod layers;
mod limits;
mod lowered;
mod metrics;
mod misspelt;
mod pkcs11;
mod proxies;
mod retention;
mod traces;

use std::path::PathBuf;
use std::time::Duration;

use portcullis_authority::desk::Terms;
use portcullis_authority::registry::Profile;
use portcullis_store::Periods;
use serde::{Deserialize, Serialize};

pub use audit::{Audit, Destination, Road};
pub use day::Day;
pub(crate) use findings::is_loopback;
pub use findings::{Finding, Weight};
pub use layers::Wrong;
pub use limits::Limits;
pub use metrics::Metrics;
pub use pkcs11::Pkcs11;
pub use proxies::{Network, ProxyHeader, TrustedProxies};
pub use retention::Retention;
pub use traces::Traces;

/// Access tokens above this many bytes are not issued: proxies stop at 8 kB for all headers together.
const TOKEN_LIMIT: usize = 4096;

/// All settings.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Settings {
    pub mode: Mode,
    /// `https://auth.<domain>`, byte for byte what tokens say in `iss`. A port of 0 becomes the port that
    /// was bound, for tests.
    pub issuer: String,
    /// The domain under which `<slug>.<domain>` is an organization's old host.
    pub domain: Option<String>,
    pub listen: Listen,
    pub tls: Option<Tls>,
    /// From these alone is `proxy_header` believed.
    pub trusted_proxies: TrustedProxies,
    /// The one header in which they say whom they speak for; every other is a stranger's word.
    pub proxy_header: ProxyHeader,
    pub store: Store,
    pub keys: Keys,
    pub tokens: Tokens,
    pub passwords: Passwords,
    pub limits: Limits,
    pub legacy: Legacy,
    pub feed: Feed,
    pub redis: Option<Redis>,
    pub admin: Admin,
    pub audit: Audit,
    pub retention: Retention,
    pub metrics: Metrics,
    pub traces: Traces,
    pub log: Log,
}

/// How strict the server is with its own settings.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Mode {
    /// One machine, plain HTTP, demo data.
    #[default]
    Dev,
    /// Refuses to start with anything that belongs to a demonstration.
    Production,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Listen {
    pub address: std::net::IpAddr,
    /// 0 takes a free one.
    pub port: u16,
    /// Threads that answer requests; 0 is one per processor.
    pub workers: usize,
    /// How long the server goes on answering after it was asked to stop, while `/readyz` says no: longer
    /// than the load balancer takes to notice.
    pub drain_delay_ms: u64,
}

/// PEM files. Without them the server speaks plain HTTP, for a proxy in front of it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Tls {
    /// The chain, the server's own certificate first. Both files are read again when they change.
    pub certificate: PathBuf,
    pub key: PathBuf,
    /// A plain port on the same address that sends readers over to https, and refuses everything else.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub redirect_port: Option<u16>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Store {
    /// `sqlite:PATH` or `postgres://...`; `?sslmode=verify-full` for TLS.
    pub url: String,
    /// Whose certificates PostgreSQL may show (PEM), where they are not the public ones.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub root_certificate: Option<PathBuf>,
    /// Connections at most.
    pub pool: usize,
    /// How long a request waits for the database before it gives up.
    pub patience_ms: u64,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Keys {
    pub directory: PathBuf,
    /// First part of the ids of new keys; names the feed that their tokens follow.
    pub region: String,
    /// Where the key-encryption key is that seals private files: `file:PATH`, `env:NAME` or
    /// `command:PROGRAM ARGUMENTS`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub kek: Option<String>,
    /// The one before, while files are sealed anew.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub kek_before: Option<String>,
    /// Private files may be unsealed in production too: something else encrypts the disk.
    pub plaintext: bool,
    /// Seconds that a key signs before the next one does; 0 leaves it to people.
    pub rotate_every: u32,
    /// Seconds that a key is published before it signs: as long as anybody keeps our keys in a cache.
    pub publish_ahead: u32,
    /// A token in which keys are made and sign, and which they never leave.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pkcs11: Option<Pkcs11>,
}

/// Lifetimes in seconds.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Tokens {
    pub access_lifetime: u32,
    pub refresh_lifetime: u32,
    pub code_lifetime: u32,
    pub refresh_grace: u32,
    pub session_lifetime: u32,
    pub algorithm: String,
    pub profile: Profile,
    #[serde(deserialize_with = "layers::list")]
    pub audience: Vec<String>,
}

/// Argon2id (RFC 9106), and how much of the machine it may take.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Passwords {
    pub memory_kib: u32,
    pub iterations: u32,
    pub parallelism: u32,
    /// Passwords hashed at the same time; 0 is one per processor.
    pub workers: usize,
    /// Passwords that may wait; beyond them the answer is "try again later".
    pub queue: usize,
}

/// The old host and path of each organization.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Legacy {
    pub hosts: bool,
    /// The first day on which they answer no more.
    pub until: Option<Day>,
    /// Since when they are deprecated (RFC 9745).
    pub deprecated: Day,
    /// What the `Sunset` header announces (RFC 8594); by itself it ends nothing.
    pub sunset: Option<Day>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Feed {
    /// `<environment>:<region>`.
    pub name: String,
    /// How old a guard's picture may be before it closes.
    pub max_staleness_ms: u64,
    /// How often the feed says that it is alive.
    pub beat_ms: u64,
}

/// The operators' listener, which is never the public one.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Admin {
    pub enabled: bool,
    pub address: std::net::IpAddr,
    /// 0 takes a free one.
    pub port: u16,
    /// Names that it is called by, beside `localhost` and its addresses; requests for others are refused.
    #[serde(deserialize_with = "layers::list")]
    pub names: Vec<String>,
    /// Seconds after which a session that is not used has ended.
    pub session_idle: u32,
    /// Seconds after which a session has ended, however much it is used.
    pub session_lifetime: u32,
    /// Seconds that a proposal waits for its second person.
    pub proposal_lifetime: u32,
    /// Its own, because its certificate is for another name.
    pub tls: Option<Tls>,
}

/// Carries the feed to guards faster, and to readers in other languages. Without it guards follow over HTTP.
#[derive(Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Redis {
    /// `redis://[user@]host[:port][/database]`, or `rediss://` for TLS; `redis+sentinel://` and
    /// `redis+cluster://` as docs/redis.md has it.
    pub url: String,
    /// Where it is not in the address; best from a file, `PORTCULLIS__REDIS__PASSWORD_FILE`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub password: Option<String>,
    /// Whose certificates Redis may show (PEM), where they are not the public ones.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub root_certificate: Option<PathBuf>,
    /// How long Redis may take for an answer.
    #[serde(default = "Redis::default_patience")]
    pub patience_ms: u64,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Log {
    pub format: LogFormat,
    /// In the words of tracing's `EnvFilter`, for example `info,portcullis=debug`.
    pub filter: String,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LogFormat {
    #[default]
    Text,
    Json,
}

impl Settings {
    /// The part that the rules of the protocol need.
    pub fn terms(&self) -> Terms {
        let tokens = &self.tokens;
        Terms {
            issuer: self.issuer.clone(),
            audience: tokens.audience.clone(),
            algorithm: tokens.algorithm.clone(),
            profile: tokens.profile,
            access_lifetime: tokens.access_lifetime,
            refresh_lifetime: tokens.refresh_lifetime,
            code_lifetime: tokens.code_lifetime,
            refresh_grace: tokens.refresh_grace,
            session_lifetime: tokens.session_lifetime,
            proposal_lifetime: self.admin.proposal_lifetime,
            token_limit: TOKEN_LIMIT,
        }
    }

    /// How long what is over is kept.
    pub fn periods(&self) -> Periods {
        self.retention.periods(self.audit.retention_days)
    }

    /// The same settings with secrets hidden, for people to read.
    pub fn shown(&self) -> Self {
        let mut shown = self.clone();
        hide_password(&mut shown.store.url);
        if let Some(redis) = &mut shown.redis {
            hide_password(&mut redis.url);
            redis.password = redis.password.as_ref().map(|_| "hidden".into());
        }
        for destination in shown.audit.destinations.values_mut() {
            destination.secret = destination.secret.as_ref().map(|_| "hidden".into());
        }
        shown
    }

    /// The port that was bound, put where the issuer says 0.
    pub fn with_port(mut self, port: u16) -> Self {
        if let Some(front) = self.issuer.strip_suffix(":0") {
            self.issuer = format!("{front}:{port}");
        }
        self.listen.port = port;
        self
    }
}

impl Tls {
    /// From these files, with no plain port beside it.
    pub fn of(certificate: impl Into<PathBuf>, key: impl Into<PathBuf>) -> Self {
        Self { certificate: certificate.into(), key: key.into(), redirect_port: None }
    }
}

impl Listen {
    pub fn drain_delay(&self) -> Duration {
        Duration::from_millis(self.drain_delay_ms)
    }
}

impl Store {
    pub fn patience(&self) -> Duration {
        Duration::from_millis(self.patience_ms)
    }
}

impl Redis {
    /// At this address, without a password.
    pub fn at(url: impl Into<String>) -> Self {
        Self {
            url: url.into(),
            password: None,
            root_certificate: None,
            patience_ms: Self::default_patience(),
        }
    }

    /// What the store needs to reach it.
    pub fn reach(&self, feed: &str) -> portcullis_store::redis::RedisSettings {
        let mut url = self.url.clone();
        if let Some(password) = &self.password
            && let Ok(mut parsed) = url::Url::parse(&url)
            && parsed.set_password(Some(password)).is_ok()
        {
            url = parsed.into();
        }
        let deadline = Duration::from_millis(self.patience_ms);
        let root_certificate = self.root_certificate.clone();
        portcullis_store::redis::RedisSettings { url, root_certificate, feed: feed.into(), deadline }
    }

    fn default_patience() -> u64 {
        250
    }
}

/// Without the address, which may hold a password.
impl std::fmt::Debug for Redis {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.debug_struct("Redis").field("patience_ms", &self.patience_ms).finish_non_exhaustive()
    }
}

fn hide_password(address: &mut String) {
    if let Ok(mut url) = url::Url::parse(address)
        && url.password().is_some()
        && url.set_password(Some("hidden")).is_ok()
    {
        *address = url.into();
    }
}

impl Legacy {
    /// Whether the old hosts answer at this time (seconds).
    pub fn answers(&self, now: u64) -> bool {
        self.hosts && self.until.is_none_or(|day| now < day.start())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_defaults_are_the_authoritys_own_terms() {
        let (ours, theirs) = (Settings::default().terms(), Terms::default());
        assert_eq!(format!("{ours:?}"), format!("{theirs:?}"));
    }

    #[test]
    fn a_password_in_the_store_address_is_not_shown() {
        let mut settings = Settings::default();
        settings.store.url = "postgres://portcullis:hush@db.internal/books".into();
        let shown = settings.shown().store.url;
        assert_eq!(shown, "postgres://portcullis:hidden@db.internal/books");
    }

    #[test]
    fn a_password_for_redis_is_not_shown_and_is_used() {
        let mut redis = Redis::at("rediss://publisher:hush@redis.internal/1");
        redis.password = Some("h/ush".into());
        let settings = Settings { redis: Some(redis), ..Settings::default() };
        let shown = settings.shown().redis.unwrap();
        assert_eq!(shown.url, "rediss://publisher:hidden@redis.internal/1");
        assert_eq!(shown.password.as_deref(), Some("hidden"));
        assert!(!format!("{settings:?}").contains("ush@"));
        let reach = settings.redis.unwrap().reach("live:eu1");
        assert_eq!(reach.url, "rediss://publisher:h%2Fush@redis.internal/1");
    }

    #[test]
    fn an_issuer_with_port_0_takes_the_port_that_was_bound() {
        let settings = Settings { issuer: "http://127.0.0.1:0".into(), ..Settings::default() };
        assert_eq!(settings.with_port(4711).issuer, "http://127.0.0.1:4711");
        assert_eq!(Settings::default().with_port(4711).issuer, "http://127.0.0.1:8080");
    }

    #[test]
    fn the_old_hosts_fall_silent_on_their_day() {
        let legacy = Legacy { until: Some(Day::of(2027, 1, 1)), ..Legacy::default() };
        assert!(legacy.answers(Day::of(2026, 12, 31).start()));
        assert!(!legacy.answers(Day::of(2027, 1, 1).start()));
        assert!(!Legacy { hosts: false, ..Legacy::default() }.answers(0));
    }
}
