//! The feed as SQL keeps it: a counter that makes numbers gap-free and in commit order, the log, beats,
//! and what a publisher or a snapshot reads (design 1.2).
//!
//! Batches, signatures and transports are elsewhere; nothing here decides what ends.

use diesel::prelude::*;
use diesel_async::RunQueryDsl;
use portcullis_authority::ledger::{LogRow, Position};
use portcullis_authority::refusal::Trouble;
use portcullis_guard::feed::{Kind, Record, chain};
use ring::rand::{SecureRandom, SystemRandom};

use crate::Store;
use crate::db::{Db, Fault, Postgres, Rows, Sqlite, both, glance, on, rows_into, tx};
use crate::rows::{self, StoredRecord, signed, unsigned};
use crate::schema::{rv_feed, rv_log};

/// A record is remembered so long after its `exp`: leeway and clock error of any guard fit in (design 1.9).
pub const AFTERLIFE: u64 = 120;
/// A feed begins with this epoch; a recovery that may have lost records begins the next.
const FIRST_EPOCH: u64 = 1;
/// Rows in one insert, nine columns each.
const BITE: usize = 1000;
/// Rows in one step of a snapshot, so that no single statement takes long.
const STRIDE: i64 = 50_000;

/// Where the feed stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Head {
    pub position: Position,
    /// Goes into every name's id; random per feed.
    pub salt: Vec<u8>,
    /// The chain after the last record (`portcullis_guard::feed::chain`).
    pub chain: [u8; 32],
    /// The newest `as_of` of the records up to the position, milliseconds.
    pub as_of_ms: u64,
}

/// Everything that a guard must know, and the place that it is complete up to.
#[derive(Clone, Debug, PartialEq)]
pub struct LiveRecords {
    pub head: Head,
    /// Unexpired records, oldest first, beats left out.
    pub rows: Vec<LogRow>,
}

/// What somebody has not read yet, and where the feed stood at the same moment.
#[derive(Clone, Debug, PartialEq)]
pub struct News {
    /// Oldest first.
    pub rows: Vec<LogRow>,
    /// The number and the chain of the feed's head; absent when there are no rows.
    pub head: Option<(u64, [u8; 32])>,
}

impl Store {
    /// Where the feed stands now. A row that can be seen is not yet one that a standby has (rule 6): what
    /// a commit of this server has confirmed comes through [`Store::on_commit`].
    pub async fn head(&self) -> Result<Head, Trouble> {
        let stored: StoredFeed = self
            .books
            .db
            .within(async { Ok(on!(self.books.db, |c| c.feed(&self.books.feed).await?)) })
            .await?;
        Ok(stored.read()?)
    }

    /// Rows after a number, oldest first. Also how another process's commits are noticed; hand them to
    /// [`Store::absorb`].
    pub async fn log_after(&self, seq: u64, limit: usize) -> Result<Vec<LogRow>, Trouble> {
        let limit = i64::try_from(limit).unwrap_or(i64::MAX);
        let rows: Vec<StoredRecord> = self
            .books
            .db
            .within(async {
                Ok(on!(self.books.db, |c| rv_log::table
                    .filter(rv_log::feed.eq(&self.books.feed))
                    .filter(rv_log::seq.gt(signed(seq)))
                    .order(rv_log::seq)
                    .limit(limit)
                    .select(StoredRecord::as_select())
                    .load(c)
                    .await?))
            })
            .await?;
        Ok(read_all(rows)?)
    }

    /// [`Store::log_after`] with the head, in one statement and so of one moment: whoever reads up to the head
    /// can tell by the chain whether this is the history that it has read before.
    pub async fn news_after(&self, seq: u64, limit: usize) -> Result<News, Trouble> {
        let limit = i64::try_from(limit).unwrap_or(i64::MAX);
        let rows: Vec<(StoredRecord, i64, String)> = self
            .books
            .db
            .within(async {
                Ok(on!(self.books.db, |c| rv_log::table
                    .inner_join(rv_feed::table.on(rv_feed::name.eq(rv_log::feed)))
                    .filter(rv_log::feed.eq(&self.books.feed))
                    .filter(rv_log::seq.gt(signed(seq)))
                    .order(rv_log::seq)
                    .limit(limit)
                    .select((StoredRecord::as_select(), rv_feed::seq, rv_feed::chain))
                    .load(c)
                    .await?))
            })
            .await?;
        let head = match rows.last() {
            Some((_, seq, chain)) => Some((unsigned(*seq), rows::bytes("a chain", chain)?)),
            None => None,
        };
        let rows = read_all(rows.into_iter().map(|(row, ..)| row).collect())?;
        Ok(News { rows, head })
    }

    /// How far our clock is at least ahead of the one that the feed's times are read from, milliseconds; behind,
    /// when it is negative. The time that asking takes counts for neither. Over SQLite it is the same clock.
    pub async fn drift_ms(&self) -> Result<i64, Trouble> {
        let before = (self.books.clock)();
        let theirs =
            self.books.db.within(async { Ok(on!(self.books.db, |c| c.began(before).await?)) }).await?;
        let after = (self.books.clock)();
        Ok(match theirs < before {
            true => signed(before - theirs),
            false => -signed(theirs.saturating_sub(after)),
        })
    }

    /// What is unexpired at `now` (seconds), and the head, both of one moment.
    pub async fn live_records(&self, now: u64) -> Result<LiveRecords, Trouble> {
        let mut rows = Vec::new();
        let head = self.each_live(now, &mut |step| rows.extend_from_slice(step)).await?;
        Ok(LiveRecords { head, rows })
    }

    /// The same for whoever has no use for all at once: `take` is given a step at a time, oldest first, and what
    /// it was given counts only if this succeeds. There may be millions, so it is every statement that is
    /// bounded by the store's patience, and not the whole.
    pub async fn each_live(
        &self,
        now: u64,
        take: &mut (dyn FnMut(&[LogRow]) + Send),
    ) -> Result<Head, Trouble> {
        let feed = self.unexpired(signed(now.saturating_sub(AFTERLIFE)), take).await?;
        Ok(feed.read()?)
    }

    async fn unexpired(
        &self,
        after: i64,
        take: &mut (dyn FnMut(&[LogRow]) + Send),
    ) -> Result<StoredFeed, Fault> {
        glance!(self.books.db, |c| {
            let feed = self.books.db.patient(c.feed(&self.books.feed)).await??;
            let mut last = Some(0);
            while let Some(seen) = last {
                let step = read_all(self.books.db.patient(c.step(&self.books.feed, seen, after)).await??)?;
                last = step.last().map(|row| signed(row.position.seq));
                take(&step);
            }
            Ok(feed)
        })
    }

    /// Writes a beat unless somebody did so within [`crate::StoreSettings::beat_gap`] (design 1.2 rule 7). The row, if it was
    /// this server that wrote it; its commit confirms everything before it.
    pub async fn beat(&self) -> Result<Option<LogRow>, Trouble> {
        let _turn = self.books.turn.lock().await;
        let read_before = (self.books.clock)();
        let row = self.books.db.within(self.write_beat(read_before)).await?;
        self.books.confirmed(row.as_slice());
        Ok(row)
    }

    async fn write_beat(&self, read_before: u64) -> Result<Option<LogRow>, Fault> {
        tx!(self.books.db, |c| {
            let as_of_ms = c.began(read_before).await?;
            let due = diesel::update(rv_feed::table.find(&self.books.feed))
                .filter(rv_feed::last_beat_ms.lt(signed(as_of_ms.saturating_sub(self.books.beat_gap_ms))))
                .set(rv_feed::last_beat_ms.eq(signed(as_of_ms)))
                .execute(c)
                .await?;
            let beat = Record { kind: Kind::Beat, flags: 0, exp: 0, val: 0, id: [0; 16] };
            let records = if due == 1 { vec![beat] } else { Vec::new() };
            Ok(c.append(&self.books.feed, &records, as_of_ms).await?.pop())
        })
    }
}

/// Makes the feed on first use and reads its salt.
pub(crate) async fn open(db: &Db, feed: &str) -> Result<Vec<u8>, Fault> {
    let mut salt = [0; 32];
    SystemRandom::new().fill(&mut salt).map_err(|_| Fault::unreadable("a salt", "no randomness"))?;
    let first = StoredFeed {
        name: feed.to_owned(),
        epoch: signed(FIRST_EPOCH),
        seq: 0,
        salt: rows::base64url(&salt),
        chain: rows::base64url(&chain::start(feed, FIRST_EPOCH)),
        as_of_ms: 0,
        last_beat_ms: 0,
    };
    let stored: StoredFeed = on!(db, |c| {
        diesel::insert_into(rv_feed::table).values(&first).on_conflict_do_nothing().execute(c).await?;
        c.feed(feed).await?
    });
    Ok(stored.read()?.salt)
}

rows_into!(rv_log::table, StoredRecord, BITE);

/// The feed inside an open transaction.
pub(crate) trait FeedBook {
    /// The counter's row.
    async fn feed(&mut self, name: &str) -> Result<StoredFeed, Fault>;
    /// Where the feed stands, as this transaction sees it.
    async fn position(&mut self, name: &str) -> Result<Position, Fault>;
    /// Numbers and writes the records. The last thing that a transaction does: from here to its end,
    /// nobody else gets a number.
    async fn append(&mut self, name: &str, records: &[Record], as_of_ms: u64) -> Result<Vec<LogRow>, Fault>;
}

both! {
    impl FeedBook {
        async fn feed(&mut self, name: &str) -> Result<StoredFeed, Fault> {
            Ok(rv_feed::table.find(name).select(StoredFeed::as_select()).get_result(self).await?)
        }

        async fn position(&mut self, name: &str) -> Result<Position, Fault> {
            let (epoch, seq) =
                rv_feed::table.find(name).select((rv_feed::epoch, rv_feed::seq)).get_result(self).await?;
            Ok(Position { epoch: unsigned(epoch), seq: unsigned(seq) })
        }

        async fn append(&mut self, name: &str, records: &[Record], as_of_ms: u64) -> Result<Vec<LogRow>, Fault> {
            if records.is_empty() {
                return Ok(Vec::new());
            }
            let count = i64::try_from(records.len()).unwrap_or(i64::MAX);
            let taken: StoredFeed = diesel::update(rv_feed::table.find(name))
                .set(rv_feed::seq.eq(rv_feed::seq + count))
                .returning(StoredFeed::as_returning())
                .get_result(self)
                .await?;
            let (rows, chain) = taken.placed(records, as_of_ms)?;
            let stored: Vec<_> = rows.iter().map(|row| StoredRecord::of(name, row)).collect();
            self.write(stored).await?;
            diesel::update(rv_feed::table.find(name))
                .set((
                    rv_feed::chain.eq(rows::base64url(&chain)),
                    rv_feed::as_of_ms.eq(taken.as_of_ms.max(signed(as_of_ms))),
                ))
                .execute(self)
                .await?;
            Ok(rows)
        }
    }
}

/// The next rows of a snapshot.
macro_rules! next_rows {
    ($feed:expr, $seen:expr, $after:expr) => {
        rv_log::table
            .filter(rv_log::feed.eq($feed))
            .filter(rv_log::seq.gt($seen))
            .filter(rv_log::exp.gt($after))
            .filter(rv_log::kind.ne(i64::from(Kind::Beat as u8)))
            .order(rv_log::seq)
            .limit(STRIDE)
            .select(StoredRecord::as_select())
    };
}

/// A snapshot inside an open transaction.
trait Snapshot {
    /// The next rows after a number of which `exp` is later than `after`, oldest first.
    async fn step(&mut self, feed: &str, seen: i64, after: i64) -> Result<Vec<StoredRecord>, Fault>;
}

impl Snapshot for Sqlite {
    /// As a call of SQLite's own: on its way through the asynchronous face every value of every row is copied
    /// once more, which for millions of rows is most of the time.
    async fn step(&mut self, feed: &str, seen: i64, after: i64) -> Result<Vec<StoredRecord>, Fault> {
        let feed = feed.to_owned();
        let read = move |connection: &mut diesel::SqliteConnection| {
            diesel::RunQueryDsl::load(next_rows!(&feed, seen, after), connection)
        };
        Ok(self.spawn_blocking(read).await?)
    }
}

impl Snapshot for Postgres {
    async fn step(&mut self, feed: &str, seen: i64, after: i64) -> Result<Vec<StoredRecord>, Fault> {
        Ok(next_rows!(feed, seen, after).load(self).await?)
    }
}

/// When a transaction began, in milliseconds: never later than it took its numbers (design 1.2 rule 1).
pub(crate) trait Began {
    /// `read_before` is our clock, read before the transaction.
    async fn began(&mut self, read_before: u64) -> Result<u64, Fault>;
}

impl Began for Sqlite {
    async fn began(&mut self, read_before: u64) -> Result<u64, Fault> {
        Ok(read_before)
    }
}

impl Began for Postgres {
    /// The clock of the database, which is the same for every server; its `now()` is the transaction's start.
    async fn began(&mut self, _: u64) -> Result<u64, Fault> {
        use diesel::pg::data_types::PgTimestamp;
        use diesel::sql_types::Timestamptz;
        /// Between 1970 and 2000, where PostgreSQL begins to count.
        const MILLENNIUM_MS: i64 = 946_684_800_000;
        let now = diesel::dsl::now.into_sql::<Timestamptz>();
        let PgTimestamp(micros) = diesel::select(now).get_result(self).await?;
        Ok(unsigned(micros.div_euclid(1000).saturating_add(MILLENNIUM_MS)))
    }
}

/// The row of a feed.
#[derive(Insertable, Queryable, Selectable)]
#[diesel(table_name = rv_feed)]
pub(crate) struct StoredFeed {
    name: String,
    epoch: i64,
    seq: i64,
    salt: String,
    chain: String,
    as_of_ms: i64,
    last_beat_ms: i64,
}

impl StoredFeed {
    pub(crate) fn read(self) -> Result<Head, Fault> {
        let salt: [u8; 32] = rows::bytes("a salt", &self.salt)?;
        Ok(Head {
            position: Position { epoch: unsigned(self.epoch), seq: unsigned(self.seq) },
            salt: salt.to_vec(),
            chain: rows::bytes("a chain", &self.chain)?,
            as_of_ms: unsigned(self.as_of_ms),
        })
    }

    /// The records in the last places of the counter, and the chain after them.
    fn placed(&self, records: &[Record], as_of_ms: u64) -> Result<(Vec<LogRow>, [u8; 32]), Fault> {
        let mut chain: [u8; 32] = rows::bytes("a chain", &self.chain)?;
        let first = unsigned(self.seq) + 1 - records.len() as u64;
        let mut rows = Vec::with_capacity(records.len());
        for (record, seq) in records.iter().zip(first..) {
            chain = chain::extend(&chain, record);
            let position = Position { epoch: unsigned(self.epoch), seq };
            rows.push(LogRow { position, as_of_ms, record: *record });
        }
        Ok((rows, chain))
    }
}

fn read_all(rows: Vec<StoredRecord>) -> Result<Vec<LogRow>, Fault> {
    rows.into_iter().map(StoredRecord::read).collect()
}
