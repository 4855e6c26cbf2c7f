//! People as operators look at them: searched, with their logins, their sessions, and the places they came
//! from. Whoever asks may ask for anybody; that it was asked is noted above.

use diesel::prelude::*;
use diesel_async::RunQueryDsl;
use portcullis_authority::ledger::{Family, Session};
use portcullis_authority::refusal::Trouble;
use portcullis_authority::registry::Person;
use portcullis_guard::claims::OwnerKind;

use crate::Store;
use crate::db::{Fault, both, on};
use crate::rows::{StoredFamily, StoredPerson, StoredSession, folded, owner_kind, signed, unsigned};
use crate::schema::{audit, families, people, sessions};

/// Rows of one answer about one person.
const MOST: i64 = 500;

/// Which people.
#[derive(Clone, Debug, Default)]
pub struct PeopleSearch {
    /// Part of the address, or a whole id.
    pub text: Option<String>,
    /// Customers of this organization.
    pub organization: Option<String>,
    pub kind: Option<OwnerKind>,
    /// The last id of the page before.
    pub after: Option<String>,
    pub limit: usize,
}

/// Where an account was used from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PlaceOfUse {
    pub address: String,
    /// Seconds.
    pub last: u64,
    pub times: u64,
}

impl Store {
    /// People in the order of their ids. Generations are not read.
    pub async fn people(&self, search: &PeopleSearch) -> Result<Vec<Person>, Trouble> {
        let read = async { Ok(on!(self.books.db, |c| c.people(search).await?)) };
        Ok(self.books.db.within(read).await?)
    }

    /// The logins of a person that have neither ended nor run out.
    pub async fn logins_of(&self, person: &str, now: u64) -> Result<Vec<Family>, Trouble> {
        let read = async { Ok(on!(self.books.db, |c| c.logins(person, now).await?)) };
        Ok(self.books.db.within(read).await?)
    }

    /// The browser sessions of a person that have neither ended nor run out.
    pub async fn sessions_of(&self, person: &str, now: u64) -> Result<Vec<Session>, Trouble> {
        let read = async { Ok(on!(self.books.db, |c| c.browsers(person, now).await?)) };
        Ok(self.books.db.within(read).await?)
    }

    /// The addresses that logins of a person were used from, as far as the audit goes back, newest first.
    pub async fn places_of(&self, person: &str) -> Result<Vec<PlaceOfUse>, Trouble> {
        let read = async { Ok(on!(self.books.db, |c| c.places(person).await?)) };
        Ok(self.books.db.within(read).await?)
    }
}

trait Looking {
    async fn people(&mut self, search: &PeopleSearch) -> Result<Vec<Person>, Fault>;
    async fn logins(&mut self, person: &str, now: u64) -> Result<Vec<Family>, Fault>;
    async fn browsers(&mut self, person: &str, now: u64) -> Result<Vec<Session>, Fault>;
    async fn places(&mut self, person: &str) -> Result<Vec<PlaceOfUse>, Fault>;
}

both! {
    impl Looking {
        async fn people(&mut self, search: &PeopleSearch) -> Result<Vec<Person>, Fault> {
            let mut query = people::table.select(StoredPerson::as_select()).order(people::id).into_boxed();
            if let Some(text) = &search.text {
                let part = format!("%{}%", literally(&folded(text)));
                query = query.filter(people::email.like(part).escape('!').or(people::id.eq(text)));
            }
            if let Some(organization) = &search.organization {
                query = query.filter(people::organization_id.eq(organization));
            }
            if let Some(kind) = search.kind {
                query = query.filter(people::kind.eq(owner_kind(kind)));
            }
            if let Some(after) = &search.after {
                query = query.filter(people::id.gt(after));
            }
            let rows: Vec<StoredPerson> =
                query.limit(i64::try_from(search.limit).unwrap_or(MOST)).load(self).await?;
            rows.into_iter().map(|row| row.read(0, 0)).collect()
        }

        async fn logins(&mut self, person: &str, now: u64) -> Result<Vec<Family>, Fault> {
            let (old, quoted) = (families::owner_id.is_null(), format!("%\"{person}\"%"));
            let rows: Vec<StoredFamily> = families::table
                .filter(families::owner_id.eq(person).or(old.and(families::doc.like(quoted))))
                .filter(families::ended_at.is_null())
                .filter(families::abs_exp.gt(signed(now)))
                .filter(families::idle_exp.gt(signed(now)))
                .order(families::rotated_at.desc())
                .limit(MOST)
                .select(StoredFamily::as_select())
                .load(self)
                .await?;
            rows.into_iter().map(StoredFamily::read).collect()
        }

        async fn browsers(&mut self, person: &str, now: u64) -> Result<Vec<Session>, Fault> {
            let rows: Vec<StoredSession> = sessions::table
                .filter(sessions::person_id.eq(person))
                .filter(sessions::ended_at.is_null())
                .filter(sessions::expires_at.gt(signed(now)))
                .order(sessions::expires_at.desc())
                .limit(MOST)
                .select(StoredSession::as_select())
                .load(self)
                .await?;
            rows.into_iter().map(StoredSession::read).collect()
        }

        async fn places(&mut self, person: &str) -> Result<Vec<PlaceOfUse>, Fault> {
            let last = diesel::dsl::max(audit::at);
            let rows: Vec<(Option<String>, Option<i64>, i64)> = audit::table
                .filter(audit::subject.eq(person))
                .filter(audit::sid.is_not_null())
                .filter(audit::address.is_not_null())
                .group_by(audit::address)
                .select((audit::address, last, diesel::dsl::count_star()))
                .order(last.desc())
                .limit(MOST)
                .load(self)
                .await?;
            let place = |(address, last, times): (Option<String>, Option<i64>, i64)| {
                Some(PlaceOfUse { address: address?, last: unsigned(last?), times: unsigned(times) })
            };
            Ok(rows.into_iter().filter_map(place).collect())
        }
    }
}

/// A text that stands for itself in a pattern.
fn literally(text: &str) -> String {
    text.replace('!', "!!").replace('%', "!%").replace('_', "!_")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn signs_of_a_pattern_stand_for_themselves() {
        assert_eq!(literally("100%_a!b"), "100!%!_a!!b");
    }
}
