//! People as operators look at them: searched, with their logins, their sessions, and the places they came
//! from. Whoever asks may ask for anybody; that it was asked is noted above.

use std::collections::HashMap;

use diesel::prelude::*;
use diesel_async::RunQueryDsl;
use portcullis_authority::ledger::{Family, Session};
use portcullis_authority::refusal::Trouble;
use portcullis_authority::registry::Person;
use portcullis_guard::claims::OwnerKind;

use crate::Store;
use crate::audit::opened;
use crate::cipher::{AUDIT_ADDRESS, Cipher, Mark};
use crate::db::{Fault, both, on};
use crate::rows::{StoredFamily, StoredPerson, StoredSession, folded, owner_kind, signed, unsigned};
use crate::schema::{audit, families, people, sessions};

/// Rows of one answer about one person.
const MOST: i64 = 500;
/// People whose addresses are opened in one step.
const STEP: usize = 1000;

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
    /// People in the order of their ids: the one whose address or id the text is, or else all whose address has
    /// it in it. Generations are not read.
    pub async fn people(&self, search: &PeopleSearch) -> Result<Vec<Person>, Trouble> {
        if let Some(text) = &search.text {
            let whole = self.some_people(search, Some(text), None, 1).await?;
            if !whole.is_empty() {
                let after = search.after.as_deref();
                return Ok(self.some_people(search, Some(text), after, search.limit).await?);
            }
        }
        let part = folded(search.text.as_deref().unwrap_or_default());
        let (mut found, mut after) = (Vec::new(), search.after.clone());
        // Addresses are sealed, so the database cannot look into them: they are opened step by step.
        loop {
            let step = if part.is_empty() { search.limit.clamp(1, STEP) } else { STEP };
            let some = self.some_people(search, None, after.as_deref(), step).await?;
            let (last, full) = (some.last().map(|one| one.id.clone()), some.len() == step);
            found.extend(some.into_iter().filter(|one| folded(&one.email).contains(&part)));
            found.truncate(search.limit);
            if !full || found.len() >= search.limit {
                return Ok(found);
            }
            after = last;
        }
    }

    async fn some_people(
        &self,
        search: &PeopleSearch,
        whole: Option<&str>,
        after: Option<&str>,
        most: usize,
    ) -> Result<Vec<Person>, Fault> {
        let cipher = &self.books.cipher;
        let named = whole.map(|text| (text, [cipher.mark(Mark::PersonEmail, &folded(text)), folded(text)]));
        let named = named.as_ref();
        let most = i64::try_from(most).unwrap_or(MOST);
        let read = || async move {
            let rows = on!(self.books.db, |c| c.people(search, named, after, most).await?);
            rows.into_iter().map(|row| row.read(cipher, (0, 0))).collect()
        };
        self.books.reading(read).await
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
        let cipher = &self.books.cipher;
        let read = || async { Ok(on!(self.books.db, |c| c.places(person, cipher).await?)) };
        Ok(self.books.reading(read).await?)
    }
}

trait Looking {
    async fn people(
        &mut self,
        search: &PeopleSearch,
        named: Option<&Named<'_>>,
        after: Option<&str>,
        most: i64,
    ) -> Result<Vec<StoredPerson>, Fault>;
    async fn logins(&mut self, person: &str, now: u64) -> Result<Vec<Family>, Fault>;
    async fn browsers(&mut self, person: &str, now: u64) -> Result<Vec<Session>, Fault>;
    async fn places(&mut self, person: &str, cipher: &Cipher) -> Result<Vec<PlaceOfUse>, Fault>;
}

both! {
    impl Looking {
        async fn people(
            &mut self,
            search: &PeopleSearch,
            named: Option<&Named<'_>>,
            after: Option<&str>,
            most: i64,
        ) -> Result<Vec<StoredPerson>, Fault> {
            let mut query = people::table.select(StoredPerson::as_select()).order(people::id).into_boxed();
            if let Some((id, email)) = named {
                query = query.filter(people::email.eq_any(email).or(people::id.eq(id)));
            }
            if let Some(organization) = &search.organization {
                query = query.filter(people::organization_id.eq(organization));
            }
            if let Some(kind) = search.kind {
                query = query.filter(people::kind.eq(owner_kind(kind)));
            }
            if let Some(after) = after {
                query = query.filter(people::id.gt(after));
            }
            Ok(query.limit(most).load(self).await?)
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

        async fn places(&mut self, person: &str, cipher: &Cipher) -> Result<Vec<PlaceOfUse>, Fault> {
            let last = diesel::dsl::max(audit::at);
            let used = audit::table
                .filter(audit::subject.eq(person))
                .filter(audit::sid.is_not_null())
                .filter(audit::address.is_not_null());
            // Of a sealed address, any of its rows can tell which one it is.
            let marked: Vec<(Option<i64>, Option<i64>, i64)> = used
                .filter(audit::address_mark.is_not_null())
                .group_by(audit::address_mark)
                .select((diesel::dsl::max(audit::seq), last, diesel::dsl::count_star()))
                .order(last.desc())
                .limit(MOST)
                .load(self)
                .await?;
            let witnesses: Vec<i64> = marked.iter().filter_map(|(seq, ..)| *seq).collect();
            let witnesses: Vec<(i64, Option<String>)> = audit::table
                .filter(audit::seq.eq_any(witnesses))
                .select((audit::seq, audit::address))
                .load(self)
                .await?;
            let witnesses: HashMap<_, _> = witnesses.into_iter().collect();
            let plain: Vec<(Option<String>, Option<i64>, i64)> = used
                .filter(audit::address_mark.is_null())
                .group_by(audit::address)
                .select((audit::address, last, diesel::dsl::count_star()))
                .order(last.desc())
                .limit(MOST)
                .load(self)
                .await?;
            let mut places = Vec::new();
            for (seq, last, times) in marked {
                let address = seq.and_then(|seq| witnesses.get(&seq)).cloned().flatten();
                let address = opened(cipher, AUDIT_ADDRESS, seq.unwrap_or_default(), address)?;
                places.push((address, last, times));
            }
            places.extend(plain);
            Ok(together(places))
        }
    }
}

/// An id, and an address as a row may spell it.
type Named<'a> = (&'a str, [String; 2]);

/// Places with all their times, newest first.
fn together(rows: Vec<(Option<String>, Option<i64>, i64)>) -> Vec<PlaceOfUse> {
    let mut places: Vec<PlaceOfUse> = Vec::new();
    for (address, last, times) in rows {
        let (Some(address), Some(last)) = (address, last.map(unsigned)) else { continue };
        match places.iter_mut().find(|place| place.address == address) {
            Some(place) => {
                place.times += unsigned(times);
                place.last = place.last.max(last);
            }
            None => places.push(PlaceOfUse { address, last, times: unsigned(times) }),
        }
    }
    places.sort_by_key(|place| std::cmp::Reverse(place.last));
    places
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_address_is_one_place_however_its_rows_are_kept() {
        let row = |address: &str, last, times| (Some(address.to_owned()), Some(last), times);
        let places = together(vec![row("a", 5, 2), row("b", 9, 1), row("a", 7, 3), (None, Some(1), 1)]);
        let places: Vec<_> = places.iter().map(|it| (it.address.as_str(), it.last, it.times)).collect();
        assert_eq!(places, [("b", 9, 1), ("a", 7, 5)]);
    }
}
