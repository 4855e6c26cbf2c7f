//! The registry's reading side: the snapshot that every request looks into, and people one by one.
//!
//! The snapshot is made anew from the tables when something changes. Generations that this process
//! raised are laid over it, so that a snapshot read a moment too early never takes one back.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use arc_swap::ArcSwap;
use async_trait::async_trait;
use diesel::prelude::*;
use diesel_async::RunQueryDsl;
use portcullis_authority::ledger::LogRow;
use portcullis_authority::provisioning::change::{Keepings, Traced};
use portcullis_authority::provisioning::{Card, Kind as CardKind};
use portcullis_authority::refusal::Trouble;
use portcullis_authority::registry::{
    Directory, GuardAccount, Holdings, Membership, Person, Registry, Scope, Who,
};
use portcullis_guard::feed::Kind;

use crate::cipher::{Cipher, Mark};
use crate::db::{Fault, both, glance, on};
use crate::promote::FLOOR;
use crate::rows::{self, StoredMembership, StoredPerson, folded, unsigned, word};
use crate::schema::{
    applications, fences, generations, guards, memberships, organizations, people, registry_version, roles,
};
use crate::{Books, Store};

#[async_trait]
impl Registry for Store {
    fn directory(&self) -> Arc<Directory> {
        self.books.shelf.current.load_full()
    }

    async fn person(&self, who: Who<'_>) -> Result<Option<Person>, Trouble> {
        let text = match who {
            Who::Id(text) | Who::CustomerEmail { email: text, .. } | Who::UserEmail(text) => text,
        };
        // PostgreSQL has trouble with a NUL; nobody is called that.
        if text.contains('\0') {
            return Ok(None);
        }
        let cipher = &self.books.cipher;
        let read = || async { Ok(on!(self.books.db, |c| c.person(who, cipher).await?)) };
        Ok(self.books.reading(read).await?)
    }

    async fn memberships(&self, user: &str) -> Result<Vec<Membership>, Trouble> {
        let rows: Vec<StoredMembership> = self
            .books
            .db
            .within(async {
                Ok(on!(self.books.db, |c| memberships::table
                    .filter(memberships::user_id.eq(user))
                    .order(memberships::id)
                    .select(StoredMembership::as_select())
                    .load(c)
                    .await?))
            })
            .await?;
        Ok(rows.into_iter().map(StoredMembership::read).collect::<Result<_, _>>()?)
    }

    async fn estate(&self, user: &str, organizations: &[String]) -> Result<Keepings, Trouble> {
        self.keepings(user, organizations).await
    }

    fn secret_used(&self, client_id: &str, secret: &str, now: u64) {
        self.books.uses.note(client_id, secret, now);
    }

    async fn card(&self, kind: CardKind, id: &str) -> Result<Option<Card>, Trouble> {
        self.one_card(kind, id).await
    }

    async fn changes(&self, organizations: &[String]) -> Result<Vec<Traced>, Trouble> {
        self.traces(organizations).await
    }
}

impl Store {
    /// Makes the snapshot anew from the tables. If it cannot be read, the one before stays.
    pub async fn reload(&self) -> Result<(), Trouble> {
        Ok(self.books.reload().await?)
    }

    /// Takes notice of rows that another process committed. True when the snapshot was made anew.
    pub async fn absorb(&self, rows: &[LogRow]) -> Result<bool, Trouble> {
        let version = self.directory().version;
        let changed = rows.iter().any(|row| match row.record.kind {
            Kind::Policy => u64::from(row.record.val) > version,
            Kind::Client | Kind::Organization | Kind::Everything | Kind::Actor => true,
            _ => false,
        });
        if changed {
            self.reload().await?;
        }
        Ok(changed)
    }
}

impl Books {
    /// See [`Store::reload`].
    pub(crate) async fn reload(&self) -> Result<(), Fault> {
        // One after another: of two that overlap, the one that read earlier must not be put up later.
        let _alone = self.shelf.reloading.lock().await;
        let read = async { glance!(self.db, |c| c.holdings().await) };
        let holdings = self.db.within_each(STATEMENTS, read).await?;
        self.shelf.replace(holdings);
        Ok(())
    }
}

/// How many statements read the snapshot, the two around them counted.
const STATEMENTS: u32 = 9;

/// Where the snapshot stands.
#[derive(Default)]
pub(crate) struct Shelf {
    current: ArcSwap<Directory>,
    /// Generations that this process raised since it started; also the lock around every replacement.
    raised: Mutex<HashMap<(Scope, String), u32>>,
    reloading: tokio::sync::Mutex<()>,
}

impl Shelf {
    /// Puts a freshly read snapshot up.
    fn replace(&self, holdings: Holdings) {
        let raised = self.raised.lock().unwrap_or_else(PoisonError::into_inner);
        let mut fresh = Directory::new(holdings);
        for ((scope, id), generation) in raised.iter() {
            fresh.raise(*scope, id, *generation);
        }
        self.current.store(Arc::new(fresh));
    }

    /// Shows generations that were just committed, without reading anything.
    pub(crate) fn raise(&self, news: Vec<(Scope, String, u32)>) {
        // People carry their own generation and are not in the snapshot.
        let news: Vec<_> = news.into_iter().filter(|(scope, ..)| *scope != Scope::Subject).collect();
        if news.is_empty() {
            return;
        }
        let mut raised = self.raised.lock().unwrap_or_else(PoisonError::into_inner);
        let mut next = Directory::clone(&self.current.load_full());
        for (scope, id, generation) in news {
            next.raise(scope, &id, generation);
            let kept = raised.entry((scope, id)).or_default();
            *kept = generation.max(*kept);
        }
        self.current.store(Arc::new(next));
    }
}

/// Reading the registry.
trait Shelves {
    async fn holdings(&mut self) -> Result<Holdings, Fault>;
    async fn person(&mut self, who: Who<'_>, cipher: &Cipher) -> Result<Option<Person>, Fault>;
}

both! {
    impl Shelves {
        async fn holdings(&mut self) -> Result<Holdings, Fault> {
            let version: i64 =
                registry_version::table.find(1).select(registry_version::version).get_result(self).await?;
            let organizations: Vec<String> =
                organizations::table.select(organizations::doc).order(organizations::id).load(self).await?;
            let applications: Vec<String> =
                applications::table.select(applications::doc).order(applications::id).load(self).await?;
            let roles: Vec<String> =
                roles::table.select(roles::doc).order((roles::organization_id, roles::id)).load(self).await?;
            let fences: Vec<String> = fences::table
                .select(fences::doc)
                .order((fences::organization_id, fences::kind, fences::id))
                .load(self)
                .await?;
            let guards: Vec<(String, String)> = guards::table.order(guards::id).load(self).await?;
            let raised: Vec<(String, String, i64)> =
                generations::table.filter(generations::scope.ne_all(["subject", FLOOR])).load(self).await?;
            let floor: Option<i64> = generations::table
                .find((FLOOR, ""))
                .select(generations::value)
                .get_result(self)
                .await
                .optional()?;
            Ok(Holdings {
                version: unsigned(version),
                organizations: docs("an organization", organizations)?,
                applications: docs("an application", applications)?,
                roles: docs("a role", roles)?,
                fences: docs("a fence", fences)?,
                guards: guards.into_iter().map(|(id, hash)| GuardAccount { id, hash }).collect(),
                generations: raised.into_iter().map(counted).collect::<Result<_, _>>()?,
                floor: word(unsigned(floor.unwrap_or(0))),
            })
        }

        async fn person(&mut self, who: Who<'_>, cipher: &Cipher) -> Result<Option<Person>, Fault> {
            // Rows from before keys had marks hold the address itself.
            let spelt = |email: &str| [cipher.mark(Mark::PersonEmail, &folded(email)), folded(email)];
            let all = people::table.select(StoredPerson::as_select());
            let found = match who {
                Who::Id(id) => all.filter(people::id.eq(id)).get_result(self).await,
                Who::CustomerEmail { organization, email } => {
                    all.filter(people::kind.eq("customer"))
                        .filter(people::organization_id.eq(organization))
                        .filter(people::email.eq_any(spelt(email)))
                        .first(self)
                        .await
                }
                Who::UserEmail(email) => {
                    all.filter(people::kind.eq("user"))
                        .filter(people::email.eq_any(spelt(email)))
                        .first(self)
                        .await
                }
            };
            let Some(row) = found.optional()? else { return Ok(None) };
            let counts: Vec<(String, i64)> = generations::table
                .filter(generations::id.eq_any([row.id.as_str(), ""]))
                .filter(generations::scope.eq_any(["subject", "actor", FLOOR]))
                .select((generations::scope, generations::value))
                .load(self)
                .await?;
            let of = |scope: &str| {
                let known = counts.iter().filter(|(counted, _)| counted == scope || counted == FLOOR);
                known.map(|(_, n)| word(unsigned(*n))).max().unwrap_or(0)
            };
            let person = row.read(cipher, (of("subject"), of("actor")))?;
            match who {
                // A mark that was copied to another's row must not open that one's account.
                Who::CustomerEmail { email, .. } | Who::UserEmail(email) if folded(email) != folded(&person.email) => {
                    Err(Fault::unreadable("people", format!("the mark of row {} is another's", person.id)))
                }
                _ => Ok(Some(person)),
            }
        }
    }
}

pub(crate) fn docs<T: serde::de::DeserializeOwned>(
    what: &'static str,
    docs: Vec<String>,
) -> Result<Vec<T>, Fault> {
    docs.iter().map(|doc| rows::read(what, doc)).collect()
}

fn counted((scope, id, value): (String, String, i64)) -> Result<(Scope, String, u32), Fault> {
    Ok((rows::scope(&scope)?, id, word(unsigned(value))))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_snapshot_that_was_read_too_early_takes_no_generation_back() {
        let shelf = Shelf::default();
        shelf.raise(vec![(Scope::Client, "shop".into(), 5)]);
        shelf.replace(Holdings {
            generations: vec![(Scope::Client, "shop".into(), 4), (Scope::Client, "other".into(), 9)],
            ..Holdings::default()
        });
        shelf.raise(vec![(Scope::Client, "other".into(), 3)]);
        let shown = shelf.current.load_full();
        assert_eq!(shown.generation(Scope::Client, "shop"), 5);
        assert_eq!(shown.generation(Scope::Client, "other"), 9);
    }
}
