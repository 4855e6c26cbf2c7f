//! What guards said to one server, for the others over the same books. Words, and not promises: losing them costs
//! a receipt a name, and nothing waits for the disk because of them.

use diesel::prelude::*;
use diesel_async::{RunQueryDsl, SimpleAsyncConnection as _};
use portcullis_authority::ledger::Position;
use portcullis_authority::refusal::Trouble;

use crate::Store;
use crate::db::{Fault, Postgres, Sqlite, both, on, tx};
use crate::rows::{signed, unsigned};
use crate::schema::guard_reports;

/// What a guard said, and when.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GuardWord {
    pub guard: String,
    pub position: Position,
    /// Milliseconds; what it has is complete up to then.
    pub as_of_ms: u64,
    /// Milliseconds of the clock of the server that heard it.
    pub at_ms: u64,
    pub version: String,
}

#[derive(Insertable, AsChangeset, Queryable, Selectable)]
#[diesel(table_name = guard_reports)]
struct StoredWord {
    feed: String,
    guard: String,
    epoch: i64,
    seq: i64,
    as_of_ms: i64,
    at_ms: i64,
    version: String,
}

impl Store {
    /// Writes down what guards said; a later word of the same guard stays.
    pub async fn note_guards(&self, words: &[GuardWord]) -> Result<(), Trouble> {
        let mut rows: Vec<_> = words.iter().map(|word| StoredWord::of(&self.books.feed, word)).collect();
        // All servers in the same order, so that none waits for another that waits for it.
        rows.sort_by(|left, right| left.guard.cmp(&right.guard));
        let write = async {
            tx!(self.books.db, |c| {
                c.need_no_disk().await?;
                for row in &rows {
                    c.put_word(row).await?;
                }
                Ok::<_, Fault>(())
            })
        };
        Ok(self.bite(write).await?)
    }

    /// What guards said since then to any server, milliseconds.
    pub async fn guards_since(&self, at_ms: u64) -> Result<Vec<GuardWord>, Trouble> {
        let read = async {
            Ok(on!(self.books.db, |c| guard_reports::table
                .filter(guard_reports::feed.eq(&self.books.feed))
                .filter(guard_reports::at_ms.ge(signed(at_ms)))
                .select(StoredWord::as_select())
                .load(c)
                .await?))
        };
        let rows: Vec<StoredWord> = self.books.db.within(read).await?;
        Ok(rows.into_iter().map(StoredWord::read).collect())
    }
}

impl StoredWord {
    fn of(feed: &str, word: &GuardWord) -> Self {
        Self {
            feed: feed.to_owned(),
            guard: word.guard.clone(),
            epoch: signed(word.position.epoch),
            seq: signed(word.position.seq),
            as_of_ms: signed(word.as_of_ms),
            at_ms: signed(word.at_ms),
            version: word.version.clone(),
        }
    }

    fn read(self) -> GuardWord {
        GuardWord {
            guard: self.guard,
            position: Position { epoch: unsigned(self.epoch), seq: unsigned(self.seq) },
            as_of_ms: unsigned(self.as_of_ms),
            at_ms: unsigned(self.at_ms),
            version: self.version,
        }
    }
}

trait Hearsay {
    async fn put_word(&mut self, word: &StoredWord) -> Result<(), Fault>;
}

both! {
    impl Hearsay {
        async fn put_word(&mut self, word: &StoredWord) -> Result<(), Fault> {
            let later = diesel::update(guard_reports::table.find((&word.feed, &word.guard)))
                .filter(guard_reports::at_ms.lt(word.at_ms))
                .set(word)
                .execute(self)
                .await?;
            if later == 0 {
                diesel::insert_into(guard_reports::table)
                    .values(word)
                    .on_conflict((guard_reports::feed, guard_reports::guard))
                    .do_nothing()
                    .execute(self)
                    .await?;
            }
            Ok(())
        }
    }
}

/// A transaction that may be lost with the power.
trait Light {
    async fn need_no_disk(&mut self) -> Result<(), Fault>;
}

impl Light for Sqlite {
    /// A file knows no such transactions; nor has it servers that would write any.
    async fn need_no_disk(&mut self) -> Result<(), Fault> {
        Ok(())
    }
}

impl Light for Postgres {
    async fn need_no_disk(&mut self) -> Result<(), Fault> {
        Ok(self.batch_execute("SET LOCAL synchronous_commit TO off").await?)
    }
}
