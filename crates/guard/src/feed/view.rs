//! What a guard knows of its feed: what has ended, how far it has read, and as of when that is true.
//!
//! Applying records is a join: any order, any number of times, from any number of sources, the result is
//! the same, and nothing that has ended comes back. Who vouches for records is `follower.rs`' business; the
//! server applies its own.

use std::sync::{
    Mutex, OnceLock, PoisonError,
    atomic::{
        AtomicBool, AtomicU32, AtomicU64,
        Ordering::{AcqRel, Acquire, Release},
    },
};
use std::time::Duration;

use super::{
    FLAG_TIME, Kind, Names, Record,
    clock::{FeedClock, Reading},
    names::ends_outright,
    table::{Key, Table},
};
use crate::Claims;

/// A feed that is older than this is late enough to be worth a look.
pub const LAGGING_MS: u64 = 3_000;
/// How old a feed may be before a guard no longer relies on it, unless it is told otherwise.
pub const MAX_STALENESS: Duration = Duration::from_secs(10);
/// Records outlive the tokens they end by this much, which covers every leeway and clock error of a guard.
const GRACE_SECONDS: u64 = 120;
/// One of the table's 64 parts is swept this often, so a dead record stays at most 16 minutes longer.
const SWEEP_EVERY_MS: u64 = 15_000;

/// How much a view may be relied on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Freshness {
    /// Never complete yet: nothing may be accepted.
    Cold,
    Live,
    /// Late, and still within the bound.
    Lagging,
    /// Beyond the bound.
    Stale,
}

/// Where a guard stands with its feed, from its first question on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// Nothing has been heard.
    Init,
    /// The feed has been found and is being read for the first time.
    Sync,
    /// As [`Freshness::Live`].
    Live,
    /// As [`Freshness::Lagging`].
    Lagging,
    /// As [`Freshness::Stale`].
    Stale,
}

impl State {
    /// All of them, in their order.
    pub const ALL: [Self; 5] = [Self::Init, Self::Sync, Self::Live, Self::Lagging, Self::Stale];

    /// The name on a dashboard.
    pub fn word(self) -> &'static str {
        match self {
            Self::Init => "init",
            Self::Sync => "sync",
            Self::Live => "live",
            Self::Lagging => "lagging",
            Self::Stale => "stale",
        }
    }
}

/// What there is to see of a view, at one moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Picture {
    /// Where the guard stands.
    pub state: State,
    /// How old the view is, milliseconds; `None` when it was never complete.
    pub age_ms: Option<u64>,
    /// How far the feed has been read.
    pub position: Position,
    /// Records that are held.
    pub records: usize,
    /// Bytes that hold them.
    pub bytes: usize,
}

/// How far a feed has been read. Later epochs come after earlier ones.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Position {
    pub epoch: u64,
    pub seq: u64,
}

/// One feed as it is known here. Shared by its followers, which write, and any number of checks, which read
/// without a lock.
///
/// Ask for [`View::freshness`] *before* [`View::ended`]: then the answer holds everything that the freshness
/// speaks of. The other way round, a record could arrive between the two.
pub struct View {
    feed: String,
    max_staleness_ms: u64,
    salt: OnceLock<Vec<u8>>,
    table: Table,
    /// Whether any record with a time was ever held; without one, half of the lookups can be spared.
    has_times: AtomicBool,
    version: AtomicU64,
    policy_version: AtomicU32,
    as_of_ms: AtomicU64,
    position: Mutex<Position>,
    /// The newest epoch in which two histories were met; nothing in it moves the time any more.
    forked: AtomicU64,
    sweeps: AtomicU64,
    clock: FeedClock,
}

impl View {
    /// An empty, cold view of the feed with this name.
    pub fn new(feed: impl Into<String>, max_staleness: Duration) -> Self {
        Self {
            feed: feed.into(),
            max_staleness_ms: u64::try_from(max_staleness.as_millis()).unwrap_or(u64::MAX),
            salt: OnceLock::new(),
            table: Table::default(),
            has_times: AtomicBool::new(false),
            version: AtomicU64::new(0),
            policy_version: AtomicU32::new(0),
            as_of_ms: AtomicU64::new(0),
            position: Mutex::new(Position::default()),
            forked: AtomicU64::new(0),
            sweeps: AtomicU64::new(0),
            clock: FeedClock::new(Reading::now()),
        }
    }

    /// The feed's name, for example `live:eu1`.
    pub fn feed(&self) -> &str {
        &self.feed
    }

    /// The server's clock, as it is known here.
    pub fn clock(&self) -> &FeedClock {
        &self.clock
    }

    /// Whether the view may be relied on now. One reading of the clocks, no lock.
    pub fn freshness_now(&self) -> Freshness {
        self.freshness(self.clock.latest_ms())
    }

    /// The same at a moment: `now_ms` is the latest that the server's clock may show.
    pub fn freshness(&self, now_ms: u64) -> Freshness {
        let as_of_ms = self.as_of_ms();
        match now_ms.saturating_sub(as_of_ms) {
            _ if as_of_ms == 0 => Freshness::Cold,
            age if age > self.max_staleness_ms => Freshness::Stale,
            age if age > LAGGING_MS => Freshness::Lagging,
            _ => Freshness::Live,
        }
    }

    /// How old the view is by the latest that the server's clock may show, in milliseconds. `None` when it
    /// was never complete.
    pub fn age_ms(&self) -> Option<u64> {
        let as_of_ms = self.as_of_ms();
        (as_of_ms > 0).then(|| self.clock.latest_ms().saturating_sub(as_of_ms))
    }

    /// What there is to see. Waits for whoever is writing.
    pub fn picture(&self) -> Picture {
        let state = match self.freshness_now() {
            Freshness::Cold if self.salt.get().is_none() => State::Init,
            Freshness::Cold => State::Sync,
            Freshness::Live => State::Live,
            Freshness::Lagging => State::Lagging,
            Freshness::Stale => State::Stale,
        };
        let (records, bytes) = (self.records(), self.bytes());
        Picture { state, age_ms: self.age_ms(), position: self.position(), records, bytes }
    }

    /// What ends this token, if anything does: every scope is looked at and none overrides another. While
    /// the salt is unknown nothing can be looked up by name, and everything counts as ended.
    pub fn ended(&self, kid: &str, claims: &Claims) -> Option<Kind> {
        self.names(kid, claims).map_or(Some(Kind::Everything), |names| self.ended_names(&names))
    }

    /// The names of a token, to be kept beside it. `None` while the salt is unknown.
    pub fn names(&self, kid: &str, claims: &Claims) -> Option<Names> {
        self.salt.get().map(|salt| Names::of(salt, kid, claims))
    }

    /// [`View::ended`] without hashing.
    pub fn ended_names(&self, names: &Names) -> Option<Kind> {
        let times = self.has_times.load(Acquire).then_some(names.issued_at);
        let table = self.table.read();
        names.probes.iter().find(|probe| probe.hits(&table, times)).map(|probe| probe.kind)
    }

    /// Increases with everything that ends. A caller that reads it, then finds a token alive, need not look
    /// again until it has changed.
    pub fn version(&self) -> u64 {
        self.version.load(Acquire)
    }

    /// The newest policy version that the feed spoke of.
    pub fn policy_version(&self) -> u32 {
        self.policy_version.load(Acquire)
    }

    /// The server's time for which the view is complete, in milliseconds; 0 when it never was.
    pub fn as_of_ms(&self) -> u64 {
        self.as_of_ms.load(Acquire)
    }

    /// How far the feed has been read.
    pub fn position(&self) -> Position {
        *self.position.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// How many records are held.
    pub fn records(&self) -> usize {
        self.table.len()
    }

    /// Bytes that hold them.
    pub fn bytes(&self) -> usize {
        self.table.bytes()
    }

    /// What names are hashed with, when it is known.
    pub fn salt(&self) -> Option<&[u8]> {
        self.salt.get().map(Vec::as_slice)
    }

    /// Learns the salt. Another one than before is refused, because what was ended under the old one could
    /// no longer be found.
    pub fn set_salt(&self, salt: &[u8]) -> bool {
        self.salt.get_or_init(|| salt.to_vec()) == salt
    }

    /// Takes records in. Says whether anything was new.
    pub fn apply(&self, records: &[Record]) -> bool {
        let mut writer = self.table.write();
        let mut news = 0;
        for record in records {
            news += u64::from(match record.kind {
                Kind::Beat => false,
                Kind::Keys => true,
                Kind::Policy => self.policy_version.fetch_max(record.val, AcqRel) < record.val,
                // However old it seems: the epoch that it is of may be dated earlier than what is known so far.
                kind => {
                    let is_time = record.flags & FLAG_TIME != 0 && !ends_outright(kind);
                    // Before the record, so that nobody finds the flag unset and the record there.
                    if is_time {
                        self.has_times.store(true, Release);
                    }
                    writer.join(Key::new(kind, is_time, &record.id), record.exp, record.val)
                }
            });
        }
        drop(writer);
        // After the records, so that whoever sees the new number finds them.
        self.version.fetch_add(news, AcqRel);
        news > 0
    }

    /// The view is complete up to `position`, and no acknowledgement before `as_of_ms` is missing. Both only
    /// move forward, and the time only together with the place: who knows less than this view knows nothing
    /// later, unless the history was begun again from an older copy, and that must close and not open.
    ///
    /// A new epoch may begin at an earlier time: the server's clock was ahead, and has been set right. It ends
    /// everything that was issued before it (`portcullis dr promote`), so nothing can come back that was
    /// forgotten because its time seemed to have passed.
    pub fn note_as_of(&self, position: Position, as_of_ms: u64) {
        let mut reached = self.position.lock().unwrap_or_else(PoisonError::into_inner);
        if position < *reached || position.epoch <= self.forked.load(Acquire) {
            return;
        }
        if position.epoch == reached.epoch || as_of_ms >= self.as_of_ms() {
            self.clock.not_before(as_of_ms, Reading::now());
            self.as_of_ms.fetch_max(as_of_ms, AcqRel);
        } else if as_of_ms > 0 {
            self.begin_anew(as_of_ms);
        } else {
            return;
        }
        // Held until here, so that no source that is still in the epoch before moves the time of the new one.
        *reached = position;
        drop(reached);
        self.sweep();
    }

    /// First the earlier time and then the clock: whoever reads between the two finds the view too old, and not
    /// too young.
    fn begin_anew(&self, as_of_ms: u64) {
        self.as_of_ms.store(as_of_ms, Release);
        self.sweeps.store(as_of_ms / SWEEP_EVERY_MS, Release);
        self.clock.begin_anew(as_of_ms, Reading::now());
    }

    /// Somebody with the feed's key has told two histories of this epoch, so one of them lacks what the other
    /// has. The view takes records in as before and relies on nothing until a new epoch begins
    /// (`portcullis dr promote`).
    pub fn note_fork(&self, epoch: u64) {
        self.forked.fetch_max(epoch, AcqRel);
    }

    /// Whether the epoch that the view has reached has two histories.
    pub fn is_forked(&self) -> bool {
        let epoch = self.position().epoch;
        epoch > 0 && epoch <= self.forked.load(Acquire)
    }

    /// Records whose `exp` is before this are of no use to anybody. Judged by the feed's own time, which is
    /// never ahead of the server's.
    fn dead_before(&self) -> u32 {
        let seconds = (self.as_of_ms() / 1000).saturating_sub(GRACE_SECONDS);
        u32::try_from(seconds).unwrap_or(u32::MAX)
    }

    fn sweep(&self) {
        let turn = self.as_of_ms() / SWEEP_EVERY_MS;
        if self.sweeps.fetch_max(turn, AcqRel) < turn {
            self.table.write().sweep(turn, self.dead_before());
        }
    }
}

#[cfg(test)]
mod tests;
