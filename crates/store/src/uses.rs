//! When secrets were used last: noted in memory, to the minute, and written behind. It may be forgotten with the
//! process; it decides nothing.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use diesel::prelude::*;
use diesel_async::RunQueryDsl;
use portcullis_authority::refusal::Trouble;

use crate::Store;
use crate::db::{Fault, both, on, tx};
use crate::rows::{signed, unsigned};
use crate::schema::secret_uses;

/// How coarse it is, seconds: so often at most a secret costs a write.
const GRAIN: u64 = 60;

/// What was noted, by client and secret.
#[derive(Default)]
pub(crate) struct Uses(Mutex<HashMap<String, HashMap<String, Use>>>);

struct Use {
    at: u64,
    written: bool,
}

impl Uses {
    /// Notes a use. Memory alone, and none of it new when the minute is the same.
    pub(crate) fn note(&self, client: &str, secret: &str, now: u64) {
        let at = now - now % GRAIN;
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let known = kept.get_mut(client).and_then(|secrets| secrets.get_mut(secret));
        match known {
            Some(known) if known.at >= at => {}
            Some(known) => *known = Use { at, written: false },
            None => {
                let secrets = kept.entry(client.to_owned()).or_default();
                secrets.insert(secret.to_owned(), Use { at, written: false });
            }
        }
    }

    /// What is to be written; it counts as written from now on.
    fn take(&self) -> Vec<(String, String, u64)> {
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let mut news = Vec::new();
        for (client, secrets) in kept.iter_mut() {
            for (secret, known) in secrets.iter_mut().filter(|(_, known)| !known.written) {
                known.written = true;
                news.push((client.clone(), secret.clone(), known.at));
            }
        }
        news
    }
}

impl Store {
    /// Writes down which secrets were used since the last time. What cannot be written is lost until the next
    /// use.
    pub async fn write_uses(&self) -> Result<usize, Trouble> {
        let news = self.books.uses.take();
        if news.is_empty() {
            return Ok(0);
        }
        let _turn = match self.books.db.one_writer() {
            true => Some(self.books.turn.lock().await),
            false => None,
        };
        let write = async {
            tx!(self.books.db, |c| {
                for (client, secret, at) in &news {
                    c.put_use(client, secret, *at).await?;
                }
                Ok::<_, Fault>(news.len())
            })
        };
        Ok(self.books.db.within(write).await?)
    }

    /// When each secret of this application was used last, seconds.
    pub async fn uses_of(&self, client: &str) -> Result<HashMap<String, u64>, Trouble> {
        let rows: Vec<(String, i64)> = self
            .books
            .db
            .within(async {
                Ok(on!(self.books.db, |c| secret_uses::table
                    .filter(secret_uses::client_id.eq(client))
                    .select((secret_uses::secret_id, secret_uses::last_used))
                    .load(c)
                    .await?))
            })
            .await?;
        Ok(rows.into_iter().map(|(secret, at)| (secret, unsigned(at))).collect())
    }
}

trait Wearing {
    async fn put_use(&mut self, client: &str, secret: &str, at: u64) -> Result<(), Fault>;
}

both! {
    impl Wearing {
        /// Never backwards: another server may have seen it later.
        async fn put_use(&mut self, client: &str, secret: &str, at: u64) -> Result<(), Fault> {
            let later = diesel::update(secret_uses::table.find((client, secret)))
                .filter(secret_uses::last_used.lt(signed(at)))
                .set(secret_uses::last_used.eq(signed(at)))
                .execute(self)
                .await?;
            if later == 0 {
                diesel::insert_into(secret_uses::table)
                    .values((
                        secret_uses::client_id.eq(client),
                        secret_uses::secret_id.eq(secret),
                        secret_uses::last_used.eq(signed(at)),
                    ))
                    .on_conflict((secret_uses::client_id, secret_uses::secret_id))
                    .do_nothing()
                    .execute(self)
                    .await?;
            }
            Ok(())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_that_is_used_all_the_time_is_written_once_a_minute() {
        let uses = Uses::default();
        for now in 600..659 {
            uses.note("shop", "s1", now);
        }
        assert_eq!(uses.take(), [("shop".to_owned(), "s1".to_owned(), 600)]);
        uses.note("shop", "s1", 659);
        assert!(uses.take().is_empty());
        uses.note("shop", "s1", 660);
        assert_eq!(uses.take().len(), 1);
    }
}
