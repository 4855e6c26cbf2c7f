//! Forgetting, in small bites: what has ended long enough ago that nothing can ask for it any more. What that is
//! for each table stands in `retention.rs`.
//!
//! The audit log is cut elsewhere (`audit/anchor.rs`), because a cut is signed.

use std::collections::BTreeMap;
use std::future::Future;

use diesel::prelude::*;
use diesel::sql_types::BigInt;
use diesel_async::RunQueryDsl;
use portcullis_authority::refusal::Trouble;
use portcullis_guard::feed::Kind;

use crate::Store;
use crate::db::{Fault, both, on, tx};
use crate::retention::{After, By, KEPT, Kept, Periods, Until};
use crate::rows::{signed, unsigned};
use crate::schema::{retention_runs, review_rows, reviews, rv_log};

/// Beats and announcements that a later one has replaced stay as long as a stream's tail (design 1.5).
const TAIL: u64 = 15 * 60;

/// However large a bite is asked for; below what one statement may bind.
const LARGEST_BITE: usize = 10_000;

/// Reviews in one transaction: each goes with all of its lines.
const REVIEWS: i64 = 10;

/// How many rows went, by table.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Purged(BTreeMap<&'static str, usize>);

impl Purged {
    /// Whether there was nothing left; otherwise there may be more.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// How many of this table.
    pub fn of(&self, table: &str) -> usize {
        self.0.get(table).copied().unwrap_or_default()
    }
}

impl Store {
    /// Deletes at most `limit` rows of each table that are over at `now` (seconds). Call it now and then,
    /// and again at once while it returns something.
    pub async fn purge(&self, periods: &Periods, now: u64, limit: usize) -> Result<Purged, Trouble> {
        let limit = i64::try_from(limit.min(LARGEST_BITE)).unwrap_or(0);
        let mut purged = Purged::default();
        for kept in KEPT {
            let Until::After(after) = &kept.until else { continue };
            let Some(span) = after.span.seconds(periods) else { continue };
            let over = Over { kept, after, before: signed(now.saturating_sub(span)), now, limit };
            let gone = match after.by {
                By::Key(key) => self.bite(self.old_rows(&over, key)).await?,
                By::Feed => self.bite(self.old_records(&over)).await?,
                By::Review => self.bite(self.old_reviews(&over)).await?,
                By::Cut => 0,
            };
            if gone > 0 {
                purged.0.insert(kept.table, gone);
            }
        }
        Ok(purged)
    }

    /// What was deleted and nobody has told the audit log, by table.
    pub async fn untold(&self) -> Result<BTreeMap<String, u64>, Trouble> {
        let read = async {
            Ok(on!(self.books.db, |c| retention_runs::table
                .filter(retention_runs::untold.gt(0))
                .select((retention_runs::name, retention_runs::untold))
                .load::<(String, i64)>(c)
                .await?))
        };
        let rows = self.books.db.within(read).await?;
        Ok(rows.into_iter().map(|(name, untold)| (name, unsigned(untold))).collect())
    }

    /// Each bite is a transaction of its own and, on SQLite, waits for its turn, so that deeds never wait
    /// for more than one.
    pub(crate) async fn bite<T>(&self, work: impl Future<Output = Result<T, Fault>>) -> Result<T, Fault> {
        let _turn = match self.books.db.one_writer() {
            true => Some(self.books.turn.lock().await),
            false => None,
        };
        self.books.db.within(work).await
    }

    /// Finds some rows and deletes those of them that are still so: a row that somebody touches meanwhile is
    /// looked at again.
    async fn old_rows(&self, over: &Over<'_>, key: &str) -> Result<usize, Fault> {
        let (table, After { time, of, .. }) = (over.kept.table, over.after);
        let query = format!(
            "DELETE FROM {table} WHERE {time} <= $1 AND {of} AND ({key}) IN \
             (SELECT {key} FROM {table} WHERE {time} <= $1 AND {of} LIMIT $2)"
        );
        tx!(self.books.db, |c| {
            let delete = diesel::sql_query(&query).bind::<BigInt, _>(over.before);
            let gone = delete.bind::<BigInt, _>(over.limit).execute(c).await?;
            c.count_gone(table, gone).await?;
            Ok::<_, Fault>(gone)
        })
    }

    async fn old_reviews(&self, over: &Over<'_>) -> Result<usize, Fault> {
        tx!(self.books.db, |c| {
            let closed = reviews::table.filter(reviews::closed_at.le(over.before));
            let old: Vec<String> = closed.limit(over.limit.min(REVIEWS)).select(reviews::id).load(c).await?;
            let lines = review_rows::table.filter(review_rows::review_id.eq_any(&old));
            let lines = diesel::delete(lines).execute(c).await?;
            let gone = diesel::delete(reviews::table.filter(reviews::id.eq_any(&old))).execute(c).await?;
            c.count_gone(over.kept.table, gone).await?;
            c.count_gone("review_rows", lines).await?;
            Ok::<_, Fault>(gone)
        })
    }

    /// Records that match no living token, beats that have left the tail, and announcements of a policy
    /// that a later one replaced. That keys have changed is no news once the manifest names them. Only what has
    /// ended is counted: a beat says nothing about anybody.
    async fn old_records(&self, over: &Over<'_>) -> Result<usize, Fault> {
        let left = signed(over.now.saturating_sub(TAIL).saturating_mul(1000));
        let (beat, policy) = (i64::from(Kind::Beat as u8), i64::from(Kind::Policy as u8));
        let keys = i64::from(Kind::Keys as u8);
        let ours = rv_log::feed.eq(&self.books.feed);
        let ended = rv_log::kind.ne(beat).or(rv_log::as_of_ms.le(left));
        tx!(self.books.db, |c| {
            let newest: Option<i64> = rv_log::table
                .filter(ours)
                .filter(rv_log::kind.eq(policy))
                .select(diesel::dsl::max(rv_log::seq))
                .first(c)
                .await?;
            let replaced = rv_log::kind.eq(policy).and(rv_log::seq.lt(newest.unwrap_or(0)));
            let old: Vec<(i64, i64)> = rv_log::table
                .filter(ours)
                .filter(
                    rv_log::exp
                        .le(over.before)
                        .and(ended)
                        .or(replaced.or(rv_log::kind.eq(keys)).and(rv_log::as_of_ms.le(left))),
                )
                .limit(over.limit)
                .select((rv_log::seq, rv_log::kind))
                .load(c)
                .await?;
            let endings = old.iter().filter(|(_, kind)| ![beat, policy, keys].contains(kind)).count();
            let old: Vec<i64> = old.into_iter().map(|(seq, _)| seq).collect();
            let gone = rv_log::table.filter(ours).filter(rv_log::seq.eq_any(old));
            let gone = diesel::delete(gone).execute(c).await?;
            c.count_gone(over.kept.table, endings.min(gone)).await?;
            Ok::<_, Fault>(gone)
        })
    }
}

/// What of a table is over.
struct Over<'a> {
    kept: &'a Kept,
    after: &'a After,
    /// The moment up to which rows are over, seconds.
    before: i64,
    now: u64,
    limit: i64,
}

/// Counting what goes, in the transaction in which it goes.
pub(crate) trait Counting {
    /// Remembers that so many rows of a table went, for the audit log to be told.
    async fn count_gone(&mut self, table: &str, gone: usize) -> Result<(), Fault>;
    /// Notes that the audit log is told of so many; false when somebody else has told it.
    async fn tell_gone(&mut self, table: &str, gone: u64, at: u64) -> Result<bool, Fault>;
    /// Notes what went and was told in its own way.
    async fn put_gone(&mut self, table: &str, gone: usize, at: u64) -> Result<(), Fault>;
}

both! {
    impl Counting {
        async fn count_gone(&mut self, table: &str, gone: usize) -> Result<(), Fault> {
            if gone == 0 {
                return Ok(());
            }
            let gone = i64::try_from(gone).unwrap_or(i64::MAX);
            let row = (
                retention_runs::name.eq(table),
                retention_runs::untold.eq(gone),
                retention_runs::removed.eq(0),
                retention_runs::at.eq(0),
            );
            diesel::insert_into(retention_runs::table)
                .values(row)
                .on_conflict(retention_runs::name)
                .do_update()
                .set(retention_runs::untold.eq(retention_runs::untold + gone))
                .execute(self)
                .await?;
            Ok(())
        }

        async fn tell_gone(&mut self, table: &str, gone: u64, at: u64) -> Result<bool, Fault> {
            let gone = signed(gone);
            let told = diesel::update(retention_runs::table.find(table))
                .filter(retention_runs::untold.ge(gone))
                .set((
                    retention_runs::untold.eq(retention_runs::untold - gone),
                    retention_runs::removed.eq(gone),
                    retention_runs::at.eq(signed(at)),
                ))
                .execute(self)
                .await?;
            Ok(told == 1)
        }

        async fn put_gone(&mut self, table: &str, gone: usize, at: u64) -> Result<(), Fault> {
            self.count_gone(table, gone).await?;
            self.tell_gone(table, gone as u64, at).await.map(drop)
        }
    }
}
