//! Carries the feed to Redis. Every server runs one and there is no leader: Redis takes what continues its
//! copy and says what it lacks. Nobody waits for a courier; while Redis is away guards hear by HTTP.
//!
//! What else guards need from Redis is `clerk.rs`.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

use portcullis_authority::desk::Dice;
use portcullis_authority::ledger::Position;
use portcullis_authority::refusal::Trouble;
use portcullis_guard::feed::{Batch, Record};
use portcullis_store::redis::{Answer, Habits, Parcel, RedisFeed, RedisHead};
use tokio::sync::watch;
use tokio::task::JoinHandle;

use super::clerk::name;
use super::{Carried, Hub};

/// How often Redis is asked where it stands, so that what another server left undone is done, and what a
/// failover lost is filled in.
const SWEEP: Duration = Duration::from_millis(250);
/// Rows from SQL in one batch.
const BITE: usize = 8192;
/// A copy that is further behind than this begins anew.
const FAR: u64 = 262_144;
/// Every server seals its tail at a quarter of this many records,
const KEEP_RECORDS: u64 = 524_288;
/// or at 15 minutes; so nobody's manifest needs what is older than this.
const KEEP_MS: u64 = 20 * 60 * 1000;
/// How far apart the marks are by which the past is found again.
const MARK_MS: u64 = 60 * 1000;
/// How long a server stays silent that Redis takes for a zombie.
const FENCE: Duration = Duration::from_secs(5);
/// How soon habits are asked for again that forbid to publish.
const HABITS_AGAIN: Duration = Duration::from_secs(10);
/// An index that another server has begun should be full after this.
const BUILDING: Duration = Duration::from_secs(10);
/// Only a server whose own commits are so fresh may say that Redis is ahead of SQL.
const FRESH_MS: u64 = 3000;

/// One server's way to Redis.
pub struct Courier {
    hub: Arc<Hub>,
    redis: Arc<RedisFeed>,
    dice: Arc<dyn Dice>,
    /// A Redis that may forget is not written to.
    strict: bool,
    /// Where Redis stood when it last said so.
    cursor: Position,
    habits: Option<Habits>,
    silent_until: Option<Instant>,
    marks: VecDeque<(u64, u64)>,
    rebuilding: Option<JoinHandle<Result<bool, Trouble>>>,
    building_since: Option<Instant>,
    away: bool,
}

impl Courier {
    pub fn new(hub: Arc<Hub>, redis: Arc<RedisFeed>, dice: Arc<dyn Dice>, strict: bool) -> Self {
        Self {
            hub,
            redis,
            dice,
            strict,
            cursor: Position { epoch: 0, seq: 0 },
            habits: None,
            silent_until: None,
            marks: VecDeque::new(),
            rebuilding: None,
            building_since: None,
            away: false,
        }
    }

    /// Carries until `stop` says so.
    pub async fn run(mut self, mut stop: watch::Receiver<bool>) {
        let mut positions = self.hub.positions();
        let mut swept = Instant::now();
        loop {
            let due = SWEEP.saturating_sub(swept.elapsed());
            let sweeping = tokio::select! {
                _ = stop.wait_for(|stopped| *stopped) => return,
                _ = positions.changed() => swept.elapsed() >= SWEEP,
                () = tokio::time::sleep(due) => true,
            };
            if self.silent_until.is_some_and(|until| Instant::now() < until) {
                tokio::time::sleep(SWEEP).await;
                continue;
            }
            let round = if sweeping { self.sweep().await } else { self.publish().await };
            if sweeping {
                swept = Instant::now();
            }
            self.tell(round);
        }
    }

    /// Says once that Redis has gone, and once that it is back.
    fn tell(&mut self, round: Result<(), Trouble>) {
        self.hub.note_carried(Carried { up: round.is_ok(), to: self.cursor });
        match round {
            Ok(()) if self.away => {
                tracing::info!("Redis is back, and has the whole feed");
                self.away = false;
            }
            Err(trouble) if !self.away => {
                tracing::warn!(%trouble, "the feed does not reach Redis; guards hear by HTTP alone");
                self.away = true;
                self.habits = None;
            }
            _ => {}
        }
    }

    /// Looks where Redis really stands, and goes on from there.
    async fn sweep(&mut self) -> Result<(), Trouble> {
        if self.habits.is_none() && !self.approve().await? {
            return Ok(());
        }
        let head = self.redis.head().await?;
        self.cursor = head.as_ref().map_or(Position { epoch: 0, seq: 0 }, |head| head.position);
        if let Some(head) = &head {
            self.doubt(head).await?;
            self.look_after_index(head).await?;
        }
        self.publish().await
    }

    /// Sends everything from where Redis stands up to our own head.
    async fn publish(&mut self) -> Result<(), Trouble> {
        if self.habits.is_none() {
            return Ok(());
        }
        loop {
            let (head, at) = (self.hub.position(), self.cursor);
            if at.epoch == head.epoch && at.seq >= head.seq {
                return Ok(());
            }
            let (tail_first, _) = self.hub.tail_start();
            let answer = match at.epoch == head.epoch {
                true if at.seq + 1 < tail_first => {
                    self.catch_up(at).await?;
                    continue;
                }
                true => self.send(at.seq, None).await?,
                // Nothing to compare with yet; the answer tells.
                false => self.send(tail_first - 1, None).await?,
            };
            match answer {
                None => return Ok(()),
                Some(Answer::Appended) => {}
                Some(Answer::Known(at) | Answer::Behind(at) | Answer::Overlap(at)) => self.cursor = at,
                Some(Answer::Empty(_)) => {
                    if !self.begin().await? {
                        return Ok(());
                    }
                }
                Some(Answer::Altered(at, beginning)) => self.erase(at, &beginning).await?,
                Some(Answer::Fenced(at)) => return self.stand_back(at).await,
            }
        }
    }

    /// Sends the batch after a number; `None` when there is none.
    async fn send(&mut self, after: u64, beginning: Option<&str>) -> Result<Option<Answer>, Trouble> {
        let Some((stretch, bytes)) = self.hub.stretch_after(after) else { return Ok(None) };
        let trim = self.trim(&stretch.batch);
        let parcel = Parcel { batch: &stretch.batch, before: &stretch.before, bytes: &bytes, trim };
        let answer = self.redis.append(&parcel, beginning).await?;
        if answer == Answer::Appended {
            self.cursor = Position { epoch: stretch.batch.epoch, seq: stretch.batch.last };
        }
        Ok(Some(answer))
    }

    /// Begins a new copy where our tail begins. `false` when there is no tail yet: the next beat makes one.
    async fn begin(&mut self) -> Result<bool, Trouble> {
        let beginning = name(self.dice.as_ref());
        let (tail_first, _) = self.hub.tail_start();
        match self.send(tail_first - 1, Some(&beginning)).await? {
            None => Ok(false),
            Some(Answer::Appended) => {
                tracing::info!(first = tail_first, "a new copy of the feed begins in Redis");
                self.rebuild(beginning);
                Ok(true)
            }
            // Another server was faster; where it stands shows the next time.
            Some(Answer::Known(at) | Answer::Behind(at) | Answer::Overlap(at)) => {
                self.cursor = at;
                Ok(true)
            }
            Some(_) => Ok(false),
        }
    }

    /// Fills what is missing from SQL. Redis' own word for the chain is the start; that it leads to ours is
    /// the proof that both have read the same records.
    async fn catch_up(&mut self, at: Position) -> Result<(), Trouble> {
        let (tail_first, goal) = self.hub.tail_start();
        let wanted = tail_first - 1 - at.seq;
        let head = self.redis.head().await?.filter(|head| head.position == at);
        let Some(head) = head else {
            self.cursor = Position { epoch: 0, seq: 0 };
            return Ok(());
        };
        let rows = match wanted <= FAR {
            true => self.hub.store().log_after(at.seq, usize::try_from(wanted).unwrap_or(usize::MAX)).await?,
            false => Vec::new(),
        };
        let whole = rows.len() as u64 == wanted
            && rows.iter().zip(at.seq + 1..).all(|(row, seq)| row.position == Position { seq, ..at });
        if !whole {
            tracing::info!(at = %at, "what Redis lacks is no longer in SQL; its copy begins anew");
            self.redis.erase(&head.beginning).await?;
            self.cursor = Position { epoch: 0, seq: 0 };
            return Ok(());
        }
        let (mut before, mut as_of_ms, mut parcels) = (head.chain, head.as_of_ms, Vec::new());
        for rows in rows.chunks(BITE) {
            as_of_ms = rows.last().map_or(as_of_ms, |row| row.as_of_ms);
            let (first, records) = (rows[0].position.seq, rows.iter().map(|row| row.record).collect());
            let Some(batch) = Batch::cut(at.epoch, first, as_of_ms, &before, records) else { break };
            let next = batch.chain;
            parcels.push((std::mem::replace(&mut before, next), batch));
        }
        if before != goal {
            return self.erase(at, &head.beginning).await;
        }
        for (before, batch) in parcels {
            let (bytes, trim) = (self.hub.sign(&batch), self.trim(&batch));
            let parcel = Parcel { batch: &batch, before: &before, bytes: &bytes, trim };
            match self.redis.append(&parcel, None).await? {
                Answer::Appended => self.cursor = Position { epoch: batch.epoch, seq: batch.last },
                // Somebody else is at it as well; look again.
                Answer::Known(at) | Answer::Behind(at) | Answer::Overlap(at) => {
                    self.cursor = at;
                    return Ok(());
                }
                _ => {
                    self.cursor = Position { epoch: 0, seq: 0 };
                    return Ok(());
                }
            }
        }
        Ok(())
    }

    /// Somebody who is no server of this feed has written to Redis. Followers do not believe it, readers of
    /// the index might; what is there goes, and SQL fills it again.
    async fn erase(&mut self, at: Position, beginning: &str) -> Result<(), Trouble> {
        tracing::error!(
            at = %at,
            "ALARM: Redis has what SQL does not. It was altered, or SQL was put back to an older copy: then run \
             portcullis dr promote. What Redis has is deleted and written anew"
        );
        self.redis.erase(beginning).await?;
        self.cursor = Position { epoch: 0, seq: 0 };
        Ok(())
    }

    /// Redis cannot know numbers that SQL has not given. A server that cannot commit does not judge: it may
    /// be the one that is behind.
    async fn doubt(&mut self, head: &RedisHead) -> Result<(), Trouble> {
        let ours = self.hub.position();
        if head.position.epoch != ours.epoch || head.position.seq <= ours.seq || self.hub.age_ms() > FRESH_MS
        {
            return Ok(());
        }
        let truth = self.hub.store().head().await?.position;
        if truth.epoch == head.position.epoch && truth.seq < head.position.seq {
            self.erase(head.position, &head.beginning).await?;
        }
        Ok(())
    }

    /// Redis knows a newer epoch: either this server has not heard of it, or it is cut off from the truth.
    async fn stand_back(&mut self, at: Position) -> Result<(), Trouble> {
        let truth = self.hub.store().head().await?.position;
        if truth.epoch > self.hub.position().epoch {
            tracing::error!(epoch = truth.epoch, "the feed has a new epoch; this server reads it anew");
            return self.hub.begin_again().await;
        }
        tracing::error!(
            redis = at.epoch,
            sql = truth.epoch,
            "FENCED: Redis knows a newer epoch than SQL; this server publishes no more to it until they agree"
        );
        self.silent_until = Some(Instant::now() + FENCE);
        Ok(())
    }

    /// A Redis that forgets when it is full would forget what has ended. Says whether it may be used.
    async fn approve(&mut self) -> Result<bool, Trouble> {
        let habits = self.redis.habits().await?;
        for finding in findings(&habits) {
            tracing::warn!("{finding}");
        }
        if self.strict && forgets(&habits) {
            tracing::error!("nothing is published to this Redis: set maxmemory-policy noeviction");
            self.silent_until = Some(Instant::now() + HABITS_AGAIN);
            return Ok(false);
        }
        self.habits = Some(habits);
        Ok(true)
    }

    /// An index stays `building` when its builder has died; then it is ours to finish.
    async fn look_after_index(&mut self, head: &RedisHead) -> Result<(), Trouble> {
        if let Some(task) = self.rebuilding.take_if(|task| task.is_finished()) {
            match task.await {
                Ok(Ok(_)) => {}
                Ok(Err(trouble)) => tracing::warn!(%trouble, "the index in Redis could not be filled"),
                Err(panicked) => tracing::error!(%panicked, "the index in Redis could not be filled"),
            }
        }
        if head.is_full || head.position.epoch != self.hub.position().epoch {
            self.building_since = None;
            return Ok(());
        }
        let since = *self.building_since.get_or_insert_with(Instant::now);
        if self.rebuilding.is_none() && since.elapsed() >= BUILDING {
            self.rebuild(head.beginning.clone());
        }
        Ok(())
    }

    /// Fills the index with everything live, beside the publishing.
    fn rebuild(&mut self, beginning: String) {
        self.building_since = Some(Instant::now());
        let (hub, redis) = (self.hub.clone(), self.redis.clone());
        self.rebuilding = Some(tokio::spawn(async move {
            let live = hub.store().live_records(hub.time_ms() / 1000).await?;
            let records: Vec<Record> = live.rows.iter().map(|row| row.record).collect();
            let full = redis.rebuild(&beginning, &records).await?;
            tracing::info!(records = records.len(), full, "the index in Redis is written");
            Ok(full)
        }));
    }

    /// The number below which no manifest of any server reaches.
    fn trim(&mut self, batch: &Batch) -> u64 {
        if self.marks.back().is_none_or(|(as_of_ms, _)| as_of_ms + MARK_MS <= batch.as_of_ms) {
            self.marks.push_back((batch.as_of_ms, batch.first));
        }
        while self.marks.get(1).is_some_and(|(as_of_ms, _)| as_of_ms + KEEP_MS <= batch.as_of_ms) {
            self.marks.pop_front();
        }
        let old = self.marks.front().filter(|(as_of_ms, _)| as_of_ms + KEEP_MS <= batch.as_of_ms);
        old.map_or(0, |(_, seq)| *seq).max(batch.last.saturating_sub(KEEP_RECORDS))
    }
}

impl Drop for Courier {
    fn drop(&mut self) {
        if let Some(task) = &self.rebuilding {
            task.abort();
        }
    }
}

/// Whether a full Redis would drop what it was told.
pub(crate) fn forgets(habits: &Habits) -> bool {
    habits.eviction.as_deref().is_some_and(|policy| policy != "noeviction")
}

/// What an operator should know about this Redis.
pub(crate) fn findings(habits: &Habits) -> Vec<String> {
    let eviction = match habits.eviction.as_deref() {
        Some("noeviction") => None,
        Some(policy) => Some(format!(
            "Redis: maxmemory-policy is {policy}, so a full Redis forgets what has ended; set it to noeviction."
        )),
        None => Some(
            "Redis: CONFIG GET is forbidden here, so nobody has checked that maxmemory-policy is noeviction."
                .to_owned(),
        ),
    };
    let disk = (habits.persists == Some(false)).then(|| {
        "Redis: it writes nothing to disk; after a restart guards on it wait until the feed is written anew."
            .to_owned()
    });
    eviction.into_iter().chain(disk).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_redis_that_forgets_or_may_not_be_asked_is_told_of() {
        let habits =
            |eviction: Option<&str>, persists| Habits { eviction: eviction.map(str::to_owned), persists };
        let good = habits(Some("noeviction"), Some(true));
        assert!(!forgets(&good) && findings(&good).is_empty());
        let evicts = habits(Some("allkeys-lru"), Some(true));
        assert!(forgets(&evicts) && findings(&evicts)[0].contains("allkeys-lru"));
        let secretive = habits(None, None);
        assert!(!forgets(&secretive) && findings(&secretive)[0].contains("forbidden"));
        assert!(findings(&habits(Some("noeviction"), Some(false)))[0].contains("disk"));
    }
}
