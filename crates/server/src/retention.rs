//! The janitor: deletes what the list of the store says is over, tells the audit log how much that was, and has the
//! authority look after accounts that nobody uses. Runs in every server; what two do at once is done and told once.
//!
//! The audit log itself is cut by its notary (`audit/upkeep.rs`), because a cut is signed.

use std::sync::Arc;
use std::time::Duration;

use portcullis_authority::inactivity::{Caretaker, IdleBook as _, IdleTerms};
use portcullis_authority::ledger::{Act, AuditRecord, Deed, Ledger as _};
use portcullis_authority::proposals::Room;
use portcullis_authority::refusal::Trouble;
use portcullis_store::{IdleCensus, Kept, Periods, Span, Store, Until};

use crate::house::House;

/// The table whose rows go by a rule of the authority.
pub const PEOPLE: &str = "people";
const INACTIVE: &str = "retention.inactive_people_days";
/// The event of the record that says what went.
const EXECUTED: &str = "retention.executed";
/// How often rows that are over are looked for.
const SWEEP: Duration = Duration::from_secs(60);
/// Rows of each kind in one transaction.
const BITE: usize = 1000;
/// Accounts that are looked at in one go: each costs a look or two.
const ACCOUNTS: usize = 100;
/// How often accounts are looked for that nobody watches yet, seconds: to find that there are none costs a look at
/// every account.
const CENSUS: u64 = 3600;

/// Who deletes what is over.
pub struct Janitor {
    pub store: Store,
    pub house: Arc<House>,
}

impl Janitor {
    /// Runs until it is aborted.
    pub async fn tend(self) {
        let mut watched = 0;
        loop {
            if let Err(trouble) = self.sweep(&mut watched).await {
                tracing::warn!(%trouble, "old rows could not be deleted");
            }
            tokio::time::sleep(SWEEP).await;
        }
    }

    /// Deletes all that is over, a bite at a time, and has it told, also when it did not get to the end.
    async fn sweep(&self, watched: &mut u64) -> Result<(), Trouble> {
        let swept = self.delete().await;
        self.tell().await?;
        swept?;
        match self.house.settings.retention.inactivity() {
            Some(terms) => self.look_after_accounts(&terms, watched).await,
            None => Ok(()),
        }
    }

    async fn look_after_accounts(&self, terms: &IdleTerms, watched: &mut u64) -> Result<(), Trouble> {
        let now = self.now().await?;
        if now >= watched.saturating_add(CENSUS) {
            while self.store.watch(now, BITE).await? == BITE {}
            *watched = now;
        }
        let keyring = self.house.authority.keyring();
        let room = Room { desk: self.house.authority.desk(), staff: &self.store, keyring: &keyring };
        let caretaker = Caretaker { room, book: &self.store, terms: *terms, now };
        while caretaker.tend(ACCOUNTS).await? {}
        Ok(())
    }

    async fn delete(&self) -> Result<(), Trouble> {
        let periods = self.house.settings.periods();
        loop {
            let purged = self.store.purge(&periods, self.now().await?, BITE).await?;
            if purged.is_empty() {
                return Ok(());
            }
            tracing::debug!(?purged, "purged");
        }
    }

    /// Writes down how much went, if anything did; somebody else may have been faster.
    async fn tell(&self) -> Result<(), Trouble> {
        let untold = self.store.untold().await?;
        if untold.is_empty() {
            return Ok(());
        }
        let at = self.house.authority.desk().now();
        let record = AuditRecord {
            at,
            event: EXECUTED.into(),
            reason: Some("retention".into()),
            detail: Some(serde_json::json!({ "removed": untold }).to_string()),
            ..AuditRecord::default()
        };
        let acts = untold.into_iter().map(|(table, gone)| Act::TellGone { table, gone, at });
        self.store.commit(Deed::new(Act::Several(acts.collect()), record)).await.map(drop)
    }

    /// Guards forget by the feed's own time; a server whose clock is ahead of that one, which may be the
    /// database's, must not forget earlier.
    async fn now(&self) -> Result<u64, Trouble> {
        Ok(self.house.authority.desk().now().min(self.store.head().await?.as_of_ms / 1000))
    }
}

/// What becomes of accounts that nobody uses, in words.
pub fn inactivity(terms: &IdleTerms, census: &IdleCensus) -> String {
    let mut said = format!("closed after {} without use", spoken(terms.closed_after));
    if let Some(after) = terms.erased_after {
        said.push_str(&format!(", anonymised {} later", spoken(after)));
    }
    if !census.held.is_empty() {
        said.push_str(&format!("; held back: {}", census.held.join(", ")));
    }
    said
}

/// How long rows of this kind are kept, in words.
pub fn period(kept: &Kept, periods: &Periods) -> String {
    match kept.until {
        Until::With(what) => what.to_owned(),
        Until::After(after) => match after.span.seconds(periods) {
            None => "for ever".to_owned(),
            Some(0) => format!("until {}", after.moment),
            Some(seconds) => format!("{} after {}", spoken(seconds), after.moment),
        },
    }
}

/// The setting that says it.
pub fn setting(kept: &Kept) -> Option<&'static str> {
    match kept.until {
        Until::After(after) => match after.span {
            Span::Set(setting) => Some(setting.name()),
            Span::Fixed(_) => None,
        },
        Until::With(_) => (kept.table == PEOPLE).then_some(INACTIVE),
    }
}

fn spoken(seconds: u64) -> String {
    let (count, unit) = match seconds {
        86_400.. => (seconds / 86_400, "day"),
        3600.. => (seconds / 3600, "hour"),
        60.. => (seconds / 60, "minute"),
        _ => (seconds, "second"),
    };
    format!("{count} {unit}{}", if count == 1 { "" } else { "s" })
}

#[cfg(test)]
mod tests {
    use portcullis_store::KEPT;

    use super::*;

    /// The table of the page, as it should be.
    fn table() -> String {
        let mut table = String::from("| table | what it holds | kept | setting |\n|---|---|---|---|\n");
        for kept in KEPT {
            let setting = setting(kept).map_or("-".to_owned(), |name| format!("`{name}`"));
            let period = period(kept, &Periods::default());
            table.push_str(&format!("| `{}` | {} | {period} | {setting} |\n", kept.table, kept.what));
        }
        table
    }

    #[test]
    fn the_page_tells_of_every_table_and_its_period() {
        let file = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/retention.md");
        let page = std::fs::read_to_string(&file).unwrap();
        let begin = page.find("| table |").expect("the page has the table");
        let end = begin + page[begin..].find("\n\n").map_or(page[begin..].len(), |it| it + 1);
        if std::env::var_os("UPDATE_GOLDEN").is_some() {
            std::fs::write(&file, format!("{}{}{}", &page[..begin], table(), &page[end..])).unwrap();
            return;
        }
        assert_eq!(page[begin..end], table(), "look at it, then run with UPDATE_GOLDEN=1");
    }

    #[test]
    fn a_period_is_told_in_words() {
        let find = |table: &str| KEPT.iter().find(|kept| kept.table == table).unwrap();
        let periods = Periods { reviews: 0, ..Periods::default() };
        assert_eq!(period(find("families"), &periods), "90 days after their last possible refresh");
        assert_eq!(period(find("codes"), &periods), "1 hour after their end");
        assert_eq!(period(find("sessions"), &periods), "until their end");
        assert_eq!(period(find("reviews"), &periods), "for ever");
        assert_eq!(setting(find("reviews")), Some("retention.reviews_days"));
    }
}
