//! How far each destination outside has been told, kept so that nothing is lost or told out of order over
//! restarts, and that of several servers one tells it: who holds the lease. The log itself is the queue.
//!
//! What is sent, and how, is the server's business.

use diesel::prelude::*;
use diesel_async::RunQueryDsl;
use portcullis_authority::refusal::Trouble;
use serde::Serialize;

use crate::Store;
use crate::db::{Fault, on, tx};
use crate::rows::{signed, unsigned};
use crate::schema::{audit_dead_letters as letters, audit_destinations as places, audit_head};

/// Who tells which destination.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lease {
    pub destination: String,
    /// Unlike every other server's.
    pub holder: String,
}

/// How far a destination has been told.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Delivery {
    pub destination: String,
    /// The last row that it was told.
    pub seq: u64,
    /// The row of the last checkpoint that it was told.
    pub checkpoint: u64,
    /// How often it would not take what comes next.
    pub tries: u64,
    /// What was wrong the last time.
    pub trouble: Option<String>,
}

/// Rows that a destination would not take.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct DeadLetter {
    pub destination: String,
    pub first: u64,
    pub last: u64,
    /// When it was given up, seconds.
    pub at: u64,
    pub tries: u64,
    pub trouble: String,
    /// Whether it is to be tried again.
    pub again: bool,
}

impl Store {
    /// Takes or keeps the lease until then (milliseconds), and says how far the destination is. `None` while
    /// another server holds it. A new destination is told what happens from now on.
    pub async fn audit_claim(
        &self,
        lease: &Lease,
        now_ms: u64,
        until_ms: u64,
    ) -> Result<Option<Delivery>, Trouble> {
        Ok(self.bite(self.claim(lease, signed(now_ms), signed(until_ms))).await?)
    }

    async fn claim(&self, lease: &Lease, now: i64, until: i64) -> Result<Option<Delivery>, Fault> {
        tx!(self.books.db, |c| {
            let known: Option<String> =
                places::table.find(&lease.destination).select(places::name).get_result(c).await.optional()?;
            if known.is_none() {
                let head: i64 = audit_head::table.find(1).select(audit_head::seq).get_result(c).await?;
                let row = (
                    places::name.eq(&lease.destination),
                    places::seq.eq(head),
                    places::checkpoint_seq.eq(head),
                    places::tries.eq(0),
                    places::holder.eq(""),
                    places::held_until_ms.eq(0),
                );
                diesel::insert_into(places::table).values(row).on_conflict_do_nothing().execute(c).await?;
            }
            let free = places::holder.eq(&lease.holder).or(places::held_until_ms.le(now));
            let held = diesel::update(places::table.find(&lease.destination).filter(free))
                .set((places::holder.eq(&lease.holder), places::held_until_ms.eq(until)))
                .returning((
                    places::name,
                    places::seq,
                    places::checkpoint_seq,
                    places::tries,
                    places::trouble,
                ))
                .get_result(c)
                .await
                .optional()?;
            Ok::<_, Fault>(held.map(delivery))
        })
    }

    /// Lets others take it at once.
    pub async fn audit_release(&self, lease: &Lease) -> Result<(), Trouble> {
        let ours = places::table.find(&lease.destination).filter(places::holder.eq(&lease.holder));
        let write = async {
            Ok(on!(self.books.db, |c| diesel::update(ours)
                .set(places::held_until_ms.eq(0))
                .execute(c)
                .await?))
        };
        self.bite(write).await?;
        Ok(())
    }

    /// Everything up to here was taken. False when the lease has gone to somebody else, who will say it again.
    pub async fn audit_told(&self, lease: &Lease, seq: u64, checkpoint: u64) -> Result<bool, Trouble> {
        let ours = places::table.find(&lease.destination).filter(places::holder.eq(&lease.holder));
        let news = (
            places::seq.eq(signed(seq)),
            places::checkpoint_seq.eq(signed(checkpoint)),
            places::tries.eq(0),
            places::trouble.eq(None::<String>),
        );
        let write = async { Ok(on!(self.books.db, |c| diesel::update(ours).set(news).execute(c).await?)) };
        Ok(self.bite(write).await? > 0)
    }

    /// Nothing was taken, and why. `counts` when it is the destination's own no, which is not repeated for
    /// ever. Answers how often it has said no.
    pub async fn audit_untold(&self, lease: &Lease, trouble: &str, counts: bool) -> Result<u64, Trouble> {
        let ours = places::table.find(&lease.destination).filter(places::holder.eq(&lease.holder));
        let news = (places::tries.eq(places::tries + i64::from(counts)), places::trouble.eq(trouble));
        let write = async {
            Ok(on!(self.books.db, |c| diesel::update(ours)
                .set(news)
                .returning(places::tries)
                .get_result::<i64>(c)
                .await
                .optional()?))
        };
        Ok(self.bite(write).await?.map_or(0, unsigned))
    }

    /// Puts rows aside and goes on behind them.
    pub async fn audit_bury(&self, lease: &Lease, letter: &DeadLetter) -> Result<(), Trouble> {
        Ok(self.bite(self.bury(lease, letter)).await?)
    }

    async fn bury(&self, lease: &Lease, letter: &DeadLetter) -> Result<(), Fault> {
        let row = (
            letters::destination.eq(&letter.destination),
            letters::first_seq.eq(signed(letter.first)),
            letters::last_seq.eq(signed(letter.last)),
            letters::at.eq(signed(letter.at)),
            letters::tries.eq(signed(letter.tries)),
            letters::trouble.eq(&letter.trouble),
            letters::again.eq(false),
        );
        let ours = places::table.find(&lease.destination).filter(places::holder.eq(&lease.holder));
        tx!(self.books.db, |c| {
            let on = (places::seq.eq(signed(letter.last)), places::tries.eq(0));
            if diesel::update(ours).set(on).execute(c).await? > 0 {
                diesel::insert_into(letters::table).values(row).on_conflict_do_nothing().execute(c).await?;
            }
            Ok::<_, Fault>(())
        })
    }

    /// How far every destination is that there ever was.
    pub async fn audit_deliveries(&self) -> Result<Vec<Delivery>, Trouble> {
        let read = async {
            Ok(on!(self.books.db, |c| places::table
                .order(places::name)
                .select((places::name, places::seq, places::checkpoint_seq, places::tries, places::trouble))
                .load(c)
                .await?))
        };
        let rows: Vec<(String, i64, i64, i64, Option<String>)> = self.books.db.within(read).await?;
        Ok(rows.into_iter().map(delivery).collect())
    }

    /// What was put aside, of one destination or of all, the oldest first.
    pub async fn dead_letters(
        &self,
        destination: Option<&str>,
        limit: usize,
    ) -> Result<Vec<DeadLetter>, Trouble> {
        type Row = (String, i64, i64, i64, i64, String, bool);
        let (any, name) = (destination.is_none(), destination.unwrap_or_default());
        let limit = i64::try_from(limit).unwrap_or(i64::MAX);
        let read = async {
            Ok(on!(self.books.db, |c| letters::table
                .filter(letters::destination.eq(name).or(any.into_sql::<diesel::sql_types::Bool>()))
                .order((letters::destination, letters::first_seq))
                .limit(limit)
                .load::<Row>(c)
                .await?))
        };
        let rows = self.books.db.within(read).await?;
        Ok(rows.into_iter().map(letter).collect())
    }

    /// Has them tried again: one, or all of a destination. Answers how many.
    pub async fn requeue(&self, destination: &str, first: Option<u64>) -> Result<usize, Trouble> {
        let (any, first) = (first.is_none(), first.map_or(0, signed));
        let these = letters::table
            .filter(letters::destination.eq(destination))
            .filter(letters::first_seq.eq(first).or(any.into_sql::<diesel::sql_types::Bool>()));
        let write = async {
            Ok(on!(self.books.db, |c| diesel::update(these).set(letters::again.eq(true)).execute(c).await?))
        };
        Ok(self.bite(write).await?)
    }

    /// What came of trying it again: all was taken, or these rows were not, and why. Each of them is put
    /// aside by itself.
    pub async fn audit_retold(&self, letter: &DeadLetter, refused: &[(u64, String)]) -> Result<(), Trouble> {
        Ok(self.bite(self.retold(letter, refused)).await?)
    }

    async fn retold(&self, letter: &DeadLetter, refused: &[(u64, String)]) -> Result<(), Fault> {
        tx!(self.books.db, |c| {
            let this = letters::table.find((&letter.destination, signed(letter.first)));
            diesel::delete(this).execute(c).await?;
            for (seq, trouble) in refused {
                let row = (
                    letters::destination.eq(&letter.destination),
                    letters::first_seq.eq(signed(*seq)),
                    letters::last_seq.eq(signed(*seq)),
                    letters::at.eq(signed(letter.at)),
                    letters::tries.eq(signed(letter.tries)),
                    letters::trouble.eq(trouble),
                    letters::again.eq(false),
                );
                diesel::insert_into(letters::table).values(row).on_conflict_do_nothing().execute(c).await?;
            }
            Ok::<_, Fault>(())
        })
    }
}

fn delivery(
    (destination, seq, checkpoint, tries, trouble): (String, i64, i64, i64, Option<String>),
) -> Delivery {
    Delivery {
        destination,
        seq: unsigned(seq),
        checkpoint: unsigned(checkpoint),
        tries: unsigned(tries),
        trouble,
    }
}

fn letter(
    (destination, first, last, at, tries, trouble, again): (String, i64, i64, i64, i64, String, bool),
) -> DeadLetter {
    DeadLetter {
        destination,
        first: unsigned(first),
        last: unsigned(last),
        at: unsigned(at),
        tries: unsigned(tries),
        trouble,
        again,
    }
}
