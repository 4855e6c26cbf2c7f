//! A feed's copy in Redis: the stream that guards follow, and an index for readers of single tokens. Losing
//! it costs delay and nothing else, because SQL can fill it again.
//!
//! Appending is compare-and-set, so any number of servers may publish without a leader. Nothing is signed or
//! decided here; `docs/redis.md` describes every key.

mod counts;
mod index;
mod link;

use std::path::PathBuf;
use std::time::Duration;

use portcullis_authority::ledger::Position;
use portcullis_authority::refusal::Trouble;
use portcullis_guard::feed::{Batch, Chain, Digest, Record};
use redis::{AsyncCommands as _, Script, ScriptInvocation, Value};

pub use counts::RedisCounts;
use index::Entry;
use link::Link;

/// How long a blob stays that nobody keeps any more, seconds: a guard that read the manifest before has
/// fetched it by then.
const BLOB_SECONDS: u64 = 3600;
/// How long the manifest's writer may be silent before another writes it, milliseconds.
const DESK_MS: u64 = 5000;
/// What a large thing may take on top of the deadline.
const BULK: Duration = Duration::from_secs(2);

/// Which Redis, and for which feed.
#[derive(Clone)]
pub struct RedisSettings {
    /// As [`Whereabouts::parse`](portcullis_guard::feed::Whereabouts::parse) reads it.
    pub url: String,
    /// Who may vouch for it (PEM), instead of the system's authorities.
    pub root_certificate: Option<PathBuf>,
    pub feed: String,
    /// How long any question may take.
    pub deadline: Duration,
}

/// Without the address, which may hold a password.
impl std::fmt::Debug for RedisSettings {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { url: _, root_certificate, feed, deadline } = self;
        out.debug_struct("RedisSettings")
            .field("root_certificate", root_certificate)
            .field("feed", feed)
            .field("deadline", deadline)
            .finish_non_exhaustive()
    }
}

/// A batch on its way.
pub struct Parcel<'a> {
    pub batch: &'a Batch,
    /// The chain before its first record.
    pub before: &'a Chain,
    /// The same batch, signed.
    pub bytes: &'a [u8],
    /// Records below this number may be forgotten: no manifest needs them any more.
    pub trim: u64,
}

/// What Redis says to a parcel, and where it stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    Appended,
    /// Another server was faster, or the last answer was lost.
    Known(Position),
    /// Records are missing in between.
    Behind(Position),
    /// The first records are there already.
    Overlap(Position),
    /// Nothing is there, or an older epoch: whoever publishes must name a beginning.
    Empty(Position),
    /// Redis knows a newer epoch.
    Fenced(Position),
    /// What is there was not written by a server of this feed. Holds the name of its beginning.
    Altered(Position, String),
}

/// Where the copy stands, as Redis says; anybody with access can have written it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RedisHead {
    pub position: Position,
    pub as_of_ms: u64,
    pub chain: Chain,
    /// The index holds everything that is live.
    pub is_full: bool,
    /// Names this copy: another one begins after a loss.
    pub beginning: String,
    /// The first record that this copy ever held.
    pub first: u64,
}

/// What Redis does with what it is told.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Habits {
    /// `maxmemory-policy`; `None` when we may not ask.
    pub eviction: Option<String>,
    /// Whether it writes to a disk at all.
    pub persists: Option<bool>,
}

/// A feed's copy in Redis.
pub struct RedisFeed {
    link: Link,
    prefix: String,
    append: Script,
    rebuild: Script,
    erase: Script,
    manifest: Script,
}

impl RedisFeed {
    /// Does not connect yet. Needs a runtime.
    ///
    /// # Errors
    /// Trouble with the address.
    pub fn open(settings: &RedisSettings) -> Result<Self, Trouble> {
        Ok(Self {
            link: Link::new(settings)?,
            // One hash tag, so that a cluster keeps the keys of a feed where one script reaches them.
            prefix: format!("rv:{{{}}}:", settings.feed),
            append: Script::new(concat!(include_str!("redis/index.lua"), include_str!("redis/append.lua"))),
            rebuild: Script::new(concat!(include_str!("redis/index.lua"), include_str!("redis/rebuild.lua"))),
            erase: Script::new(include_str!("redis/erase.lua")),
            manifest: Script::new(include_str!("redis/manifest.lua")),
        })
    }

    /// Appends a batch and its index entries, if it continues what is there. `beginning` names a new copy and
    /// allows to start one.
    ///
    /// # Errors
    /// Trouble when Redis does not answer; it may have appended nevertheless.
    pub async fn append(&self, parcel: &Parcel<'_>, beginning: Option<&str>) -> Result<Answer, Trouble> {
        let batch = parcel.batch;
        let mut call = self.append.prepare_invoke();
        call.key(self.key("log")).key(self.key("head"));
        call.arg(batch.epoch).arg(batch.first).arg(batch.last).arg(parcel.bytes).arg(batch.as_of_ms);
        call.arg(hex(parcel.before)).arg(hex(&batch.chain)).arg(format!("{}-{}", batch.epoch, parcel.trim));
        call.arg(beginning.unwrap_or_default());
        self.add_entries(&mut call, &batch.records);
        let longer = Duration::from_millis(batch.records.len() as u64 / 16);
        let (word, epoch, seq, name): (String, u64, u64, String) =
            self.link.ask(longer, |mut redis| async move { call.invoke_async(&mut redis).await }).await?;
        let at = Position { epoch, seq };
        Ok(match word.as_str() {
            "OK" => Answer::Appended,
            "DUP" => Answer::Known(at),
            "BEHIND" => Answer::Behind(at),
            "OVERLAP" => Answer::Overlap(at),
            "EMPTY" => Answer::Empty(at),
            "FENCED" => Answer::Fenced(at),
            _ => Answer::Altered(at, name),
        })
    }

    /// Where the copy stands; `None` when there is none, or nothing that can be read as one.
    ///
    /// # Errors
    /// Trouble when Redis does not answer.
    pub async fn head(&self) -> Result<Option<RedisHead>, Trouble> {
        let key = self.key("head");
        let fields: Vec<Option<String>> = self
            .link
            .ask(Duration::ZERO, |mut redis| async move {
                redis::cmd("HMGET")
                    .arg(key)
                    .arg(&["e", "s", "t", "h", "x", "i", "f"])
                    .query_async(&mut redis)
                    .await
            })
            .await?;
        Ok(read_head(&fields))
    }

    /// Writes index entries of records from before the stream, in bites; `true` when all were written. After
    /// the last of them the index counts as full. `false` when another copy has begun meanwhile.
    ///
    /// # Errors
    /// Trouble when Redis does not answer; what was written does no harm.
    pub async fn rebuild(&self, beginning: &str, records: &[Record]) -> Result<bool, Trouble> {
        /// Few enough that Redis is not kept from others for long.
        const BITE: usize = 500;
        let mut bites = records.chunks(BITE).peekable();
        loop {
            let bite = bites.next().unwrap_or_default();
            let is_last = bites.peek().is_none();
            let mut call = self.rebuild.prepare_invoke();
            call.key(self.key("head")).arg(beginning).arg(u8::from(is_last));
            self.add_entries(&mut call, bite);
            let goes_on: bool =
                self.link.ask(BULK, |mut redis| async move { call.invoke_async(&mut redis).await }).await?;
            if is_last || !goes_on {
                return Ok(goes_on);
            }
        }
    }

    /// Removes the copy with this beginning, so that a new one can begin. The index stays: it can only say
    /// that more has ended.
    ///
    /// # Errors
    /// Trouble when Redis does not answer.
    pub async fn erase(&self, beginning: &str) -> Result<(), Trouble> {
        let mut call = self.erase.prepare_invoke();
        call.key(self.key("log")).key(self.key("head")).arg(beginning);
        let _: Value = self
            .link
            .ask(Duration::ZERO, |mut redis| async move { call.invoke_async(&mut redis).await })
            .await?;
        Ok(())
    }

    /// Takes or keeps the desk at which manifests are written; with a manifest, shows it. `false` when another
    /// server sits there, or in another epoch. What the manifest names must be there before.
    ///
    /// # Errors
    /// Trouble when Redis does not answer.
    pub async fn show_manifest(
        &self,
        who: &str,
        epoch: u64,
        manifest: Option<&str>,
    ) -> Result<bool, Trouble> {
        let mut call = self.manifest.prepare_invoke();
        call.key(self.key("man")).key(self.key("head")).key(self.key("desk"));
        call.arg(manifest.unwrap_or_default()).arg(epoch).arg(who).arg(DESK_MS);
        self.link.ask(BULK, |mut redis| async move { call.invoke_async(&mut redis).await }).await
    }

    /// Puts something that is fetched by its hash. It stays for an hour unless it is kept.
    ///
    /// # Errors
    /// Trouble when Redis does not answer.
    pub async fn put_blob(&self, name: &Digest, content: &[u8]) -> Result<(), Trouble> {
        let key = self.key(&format!("blob:{name}"));
        self.link.ask(BULK, |mut redis| async move { redis.set_ex(key, content, BLOB_SECONDS).await }).await
    }

    /// Keeps a blob for another hour; `false` when it is not there.
    ///
    /// # Errors
    /// Trouble when Redis does not answer.
    pub async fn keep_blob(&self, name: &Digest) -> Result<bool, Trouble> {
        let key = self.key(&format!("blob:{name}"));
        let seconds = i64::try_from(BLOB_SECONDS).unwrap_or(i64::MAX);
        self.link.ask(Duration::ZERO, |mut redis| async move { redis.expire(key, seconds).await }).await
    }

    /// Deletes logins that are over from some buckets, and says from where to go on. Only these share keys
    /// that outlive them.
    ///
    /// # Errors
    /// Trouble when Redis does not answer.
    pub async fn sweep(&self, from: u32, buckets: u32, now: u64) -> Result<u32, Trouble> {
        let until = (from + buckets).min(index::LOGIN_BUCKETS);
        for bucket in from..until {
            let key = self.key(&index::login_bucket(bucket));
            let asked = key.clone();
            let logins: Vec<(Vec<u8>, String)> =
                self.link.ask(Duration::ZERO, |mut redis| async move { redis.hgetall(asked).await }).await?;
            let is_over = |exp: &str| exp.parse::<u64>().is_ok_and(|exp| exp + crate::AFTERLIFE < now);
            let over: Vec<_> = logins.into_iter().filter(|(_, exp)| is_over(exp)).map(|(id, _)| id).collect();
            if !over.is_empty() {
                let _: u64 = self
                    .link
                    .ask(Duration::ZERO, |mut redis| async move { redis.hdel(key, over).await })
                    .await?;
            }
        }
        Ok(if until == index::LOGIN_BUCKETS { 0 } else { until })
    }

    /// Asks what Redis does when it is full, and whether it keeps anything.
    ///
    /// # Errors
    /// Trouble when Redis does not answer. Not being allowed to ask is an answer.
    pub async fn habits(&self) -> Result<Habits, Trouble> {
        let eviction = self.config("maxmemory-policy").await?;
        let (appends, saves) = (self.config("appendonly").await?, self.config("save").await?);
        let persists = appends.zip(saves).map(|(appends, saves)| appends == "yes" || !saves.is_empty());
        Ok(Habits { eviction, persists })
    }

    async fn config(&self, name: &str) -> Result<Option<String>, Trouble> {
        let answer = self
            .link
            .ask(Duration::ZERO, |mut redis| async move {
                let asked = redis::cmd("CONFIG").arg("GET").arg(name).query_async(&mut redis).await;
                match asked {
                    // NOPERM, or a service that has taken CONFIG away.
                    Err(why) if matches!(why.code(), Some("NOPERM" | "ERR")) => Ok(Vec::<String>::new()),
                    other => other,
                }
            })
            .await?;
        Ok(answer.into_iter().nth(1))
    }

    fn add_entries(&self, call: &mut ScriptInvocation<'_>, records: &[Record]) {
        for entry in records.iter().filter_map(Entry::of) {
            call.key(self.key(&entry.key)).arg(entry.field).arg(entry.value).arg(entry.expiry);
        }
    }

    fn key(&self, name: &str) -> String {
        format!("{}{name}", self.prefix)
    }
}

fn read_head(fields: &[Option<String>]) -> Option<RedisHead> {
    let field = |at: usize| fields.get(at)?.as_deref();
    Some(RedisHead {
        position: Position { epoch: field(0)?.parse().ok()?, seq: field(1)?.parse().ok()? },
        as_of_ms: field(2)?.parse().ok()?,
        chain: Digest::parse(field(3)?)?.0,
        is_full: field(4) == Some("full"),
        beginning: field(5).unwrap_or_default().to_owned(),
        first: field(6)?.parse().ok()?,
    })
}

fn hex(chain: &Chain) -> String {
    Digest(*chain).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_address_is_not_printed() {
        let settings = RedisSettings {
            url: "redis://:hush@localhost".into(),
            root_certificate: None,
            feed: "live:eu1".into(),
            deadline: Duration::from_millis(250),
        };
        assert!(!format!("{settings:?}").contains("hush"));
    }

    #[test]
    fn a_head_that_cannot_be_read_is_none() {
        let head = |fields: [&str; 7]| read_head(&fields.map(|field| Some(field.to_owned())));
        let chain = "0".repeat(64);
        assert!(head(["1", "2", "3", &chain, "building", "b", "1"]).is_some_and(|head| !head.is_full));
        assert!(head(["1", "2", "3", &chain, "full", "b", "1"]).is_some_and(|head| head.is_full));
        for bad in [["1", "x", "3", &chain, "full", "b", "1"], ["1", "2", "3", "short", "full", "b", "1"]] {
            assert_eq!(head(bad), None);
        }
        assert_eq!(read_head(&[]), None);
    }
}
