//! The keys of a feed in Redis, over one blocking connection. Believes nothing of what comes back.

use std::{
    io,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use redis::{
    Client, Connection, ConnectionInfo, FromRedisValue, RedisError, RedisResult, TlsCertificates,
    streams::StreamReadReply,
};

use super::{RedisConfig, Trust, Whereabouts};
use crate::feed::{
    Digest, FeedFault, FeedKeys, Position, SealedBatch,
    http::source::HttpSource,
    worker::{Progress, Sealed, Source, Trouble},
};

/// How long Redis may hold a read of the stream, milliseconds; a beat comes each second.
const BLOCK_MS: u64 = 1_000;
/// Entries of one answer, at most.
const COUNT: usize = 1_000;
const CONNECT_WITHIN: Duration = Duration::from_millis(500);
/// Silence for so long means that the connection is not alive, although the stream may be idle.
const ANSWER_WITHIN: Duration = Duration::from_millis(2_500);
/// So many reads without even a beat mean that the stream may have gone on elsewhere.
const SILENCES: u32 = 3;

impl From<RedisError> for Trouble {
    fn from(_: RedisError) -> Self {
        Self
    }
}

/// A feed's keys in Redis, and who is asked for what Redis is not believed about.
pub(in crate::feed) struct RedisSource {
    whereabouts: Whereabouts,
    authorities: Option<TlsCertificates>,
    /// Reads of the stream in a row that brought nothing.
    silences: u32,
    connection: Option<Connection>,
    prefix: String,
    roots: Roots,
    /// The stream lacks something, so the issuer is asked for what comes next.
    has_hole: bool,
}

enum Roots {
    Issuer(HttpSource),
    Pinned { keys: FeedKeys, error_ms: u64, agreed: bool },
}

impl RedisSource {
    pub fn new(config: &RedisConfig, feed: &str) -> io::Result<Self> {
        if config.url.starts_with("rediss") {
            // TLS needs to know whose cryptography it uses. Somebody may have said so already.
            let _ = rustls::crypto::ring::default_provider().install_default();
        }
        let whereabouts = Whereabouts::parse(&config.url, feed)?;
        let roots = match &config.trust {
            Trust::Issuer(http) => Roots::Issuer(HttpSource::new(http, feed)?),
            Trust::Pinned { keys, clock_error, .. } => {
                let error_ms = u64::try_from(clock_error.as_millis()).unwrap_or(u64::MAX);
                Roots::Pinned { keys: keys.clone(), error_ms, agreed: false }
            }
        };
        let prefix = format!("rv:{{{feed}}}:");
        let authorities = authorities(config)?;
        Ok(Self { whereabouts, authorities, silences: 0, connection: None, prefix, roots, has_hole: false })
    }

    /// Asks on the connection that is there, or on a new one. After any failure it is given up, because an
    /// answer that comes late would be taken for the next one's.
    fn ask<T: FromRedisValue>(&mut self, command: &redis::Cmd) -> Result<T, Trouble> {
        let mut connection = match self.connection.take() {
            Some(connection) => connection,
            None => self.connect()?,
        };
        let answer = command.query(&mut connection)?;
        self.connection = Some(connection);
        Ok(answer)
    }

    fn connect(&self) -> Result<Connection, Trouble> {
        let found = self.whereabouts.find(|at| self.client(at))?;
        let connection = self.client(found)?.get_connection_with_timeout(CONNECT_WITHIN)?;
        connection.set_read_timeout(Some(ANSWER_WITHIN))?;
        connection.set_write_timeout(Some(ANSWER_WITHIN))?;
        Ok(connection)
    }

    fn client(&self, at: ConnectionInfo) -> RedisResult<Client> {
        match &self.authorities {
            Some(authorities) => Client::build_with_tls(at, authorities.clone()),
            None => Client::open(at),
        }
    }

    fn get(&mut self, name: &str) -> Result<Option<Vec<u8>>, Trouble> {
        let key = format!("{}{name}", self.prefix);
        self.ask(redis::cmd("GET").arg(key))
    }

    /// The issuer, while the stream has a hole and there is an issuer to ask. Each time may be the last: if
    /// the issuer is away too, Redis is tried again.
    fn mender(&mut self) -> Option<&mut HttpSource> {
        match &mut self.roots {
            Roots::Issuer(issuer) if self.has_hole => Some(issuer),
            _ => None,
        }
    }

    fn blob(&mut self, name: &Digest) -> Result<Option<Vec<u8>>, Trouble> {
        self.get(&format!("blob:{name}"))
    }
}

/// Whose certificates Redis may show, where the configuration says so.
fn authorities(config: &RedisConfig) -> io::Result<Option<TlsCertificates>> {
    let refused = || {
        let why = "the authorities of Redis hold no certificate, or cannot be read";
        io::Error::new(io::ErrorKind::InvalidInput, why)
    };
    let Some(pem) = &config.authorities else { return Ok(None) };
    // Nobody at all would be found out at the first question, and taken for a Redis that is away.
    if !pem.contains("-----BEGIN CERTIFICATE-----") {
        return Err(refused());
    }
    let certificates = TlsCertificates { client_tls: None, root_cert: Some(pem.clone().into_bytes()) };
    // Tried once, so that what cannot be read is said now and not at each connection.
    Client::build_with_tls("rediss://localhost", certificates.clone()).map_err(|_| refused())?;
    Ok(Some(certificates))
}

impl Source for RedisSource {
    fn feed_keys(&mut self) -> Result<FeedKeys, Trouble> {
        match &mut self.roots {
            Roots::Issuer(issuer) => issuer.feed_keys(),
            Roots::Pinned { keys, .. } => Ok(keys.clone()),
        }
    }

    fn time(&mut self) -> Result<(u64, u64), Trouble> {
        match &mut self.roots {
            Roots::Issuer(issuer) => issuer.time(),
            Roots::Pinned { error_ms, .. } => Ok((wall_ms(), *error_ms)),
        }
    }

    fn manifest(&mut self) -> Result<String, Trouble> {
        if let Some(issuer) = self.mender() {
            let manifest = issuer.manifest();
            self.has_hole = manifest.is_ok();
            return manifest;
        }
        let text = self.get("man")?.ok_or(Trouble)?;
        String::from_utf8(text).map_err(|_| Trouble)
    }

    fn segment(&mut self, name: &Digest) -> Result<Option<Vec<u8>>, Trouble> {
        if let Some(issuer) = self.mender() {
            let segment = issuer.segment(name);
            self.has_hole = segment.is_ok();
            return segment;
        }
        self.blob(name)
    }

    /// From where this guard is, never from "now": what came between two questions must not be lost.
    fn tail(&mut self, after: Position, come: Option<&Progress>) -> Result<Option<Sealed>, Trouble> {
        if let Some(issuer) = self.mender() {
            let tail = issuer.tail(after, come);
            // Only "too old" leaves something for the issuer to say; what came fills the hole.
            self.has_hole = matches!(tail, Ok(None));
            return tail;
        }
        let mut command = redis::cmd("XREAD");
        command.arg("COUNT").arg(COUNT).arg("BLOCK").arg(BLOCK_MS);
        command.arg("STREAMS").arg(format!("{}log", self.prefix));
        command.arg(format!("{}-{}", after.epoch, after.seq));
        let answer: Option<StreamReadReply> = self.ask(&command)?;
        self.silences = if answer.is_some() { 0 } else { self.silences + 1 };
        if self.whereabouts.moves() && self.silences >= SILENCES {
            (self.connection, self.silences) = (None, 0);
        }
        let entries = answer.into_iter().flat_map(|answer| answer.keys).flat_map(|stream| stream.ids);
        Ok(Some(entries.map(|entry| read_entry(entry.map.get("b"))).collect()))
    }

    /// A pinned set can be had from anybody. One without a pin is believed from the issuer only.
    fn keys(&mut self, pin: Option<Digest>) -> Result<String, Trouble> {
        if let Some(name) = pin
            && let Some(jwks) = self.blob(&name)?
        {
            return String::from_utf8(jwks).map_err(|_| Trouble);
        }
        match &mut self.roots {
            Roots::Issuer(issuer) => issuer.keys(pin),
            Roots::Pinned { .. } => Err(Trouble),
        }
    }

    fn policy(&mut self, name: &Digest) -> Result<String, Trouble> {
        match (self.blob(name)?, &mut self.roots) {
            (Some(json), _) => String::from_utf8(json).map_err(|_| Trouble),
            (None, Roots::Issuer(issuer)) => issuer.policy(name),
            (None, Roots::Pinned { .. }) => Err(Trouble),
        }
    }

    fn mend(&mut self) {
        self.has_hole = matches!(self.roots, Roots::Issuer(_));
    }

    /// A feed that is signed in the future of our own clock shows that the clock is wrong, and then it cannot
    /// say what is old. Asked once: later the clock is kept right by what is signed.
    fn agrees(&mut self, as_of_ms: u64) -> bool {
        match &mut self.roots {
            Roots::Pinned { error_ms, agreed, .. } if as_of_ms > 0 && !*agreed => {
                *agreed = as_of_ms <= wall_ms().saturating_add(*error_ms);
                *agreed
            }
            _ => true,
        }
    }
}

fn read_entry(field: Option<&redis::Value>) -> Result<SealedBatch, FeedFault> {
    match field {
        Some(redis::Value::BulkString(bytes)) => SealedBatch::decode(bytes),
        _ => Err(FeedFault::Malformed),
    }
}

/// This machine's clock; one before 1970 counts as 1970.
fn wall_ms() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or(Duration::ZERO);
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}
