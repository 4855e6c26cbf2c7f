//! The registry's writing side: a set of organizations, applications, people and so on, put in by id, all
//! or nothing.
//!
//! What is not in a set stays as it is; nothing is deleted here, because an id that is gone from a file
//! may still be in tokens. Whether somebody may write is decided above.

use diesel::prelude::*;
use diesel::upsert::excluded;
use diesel_async::RunQueryDsl;
use portcullis_authority::ledger::{AuditRecord, LogRow};
use portcullis_authority::provisioning::{Card, Kind as CardKind, role_id};
use portcullis_authority::refusal::Trouble;
use portcullis_authority::registry::{
    Application, Fence, GuardAccount, Membership, Organization, Person, Role,
};
use portcullis_guard::feed::{Kind, Record, name_id};
use serde::{Deserialize, Serialize};

use crate::Store;
use crate::amend::Amending as _;
use crate::audit::AuditBook;
use crate::cipher::{Cipher, Mark};
use crate::db::{Bulk, Fault, bites, both, tx};
use crate::estate::opened_card;
use crate::feed::{Began, FeedBook};
use crate::rows::{
    StoredMembership, StoredPerson, card_kind, fence_kind, folded, read, unsigned, word, written,
};
use crate::schema::{
    applications, cards, fences, guards, memberships, organizations, people, registry_version, roles,
};

/// Rows in one insert.
const BITE: usize = 500;

/// An announcement of a policy never ends by itself; the next one replaces it. Not the largest number, so
/// that whoever adds a leeway to it does not overflow.
pub(crate) const NEVER: u32 = 4_000_000_000;

/// What to put in.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct SeedSet {
    pub organizations: Vec<Organization>,
    pub applications: Vec<Application>,
    pub roles: Vec<Role>,
    pub fences: Vec<Fence>,
    pub guards: Vec<GuardAccount>,
    pub people: Vec<Person>,
    pub memberships: Vec<Membership>,
    pub conflicts: Vec<Conflict>,
}

/// Roles that nobody may have beside a role: separation of duties.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Conflict {
    pub organization: String,
    /// Role id.
    pub role: String,
    /// Ids of the others.
    pub with: Vec<String>,
}

/// How many of each were put in, and the registry's version since.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Counts {
    pub version: u64,
    pub organizations: usize,
    pub applications: usize,
    pub roles: usize,
    pub fences: usize,
    pub guards: usize,
    pub people: usize,
    pub memberships: usize,
}

impl Store {
    /// Puts everything in, in one transaction, with its audit record and the announcement to the guards;
    /// then the snapshot shows it.
    ///
    /// A person's generations are not taken from the set: they are counted, never told.
    pub async fn apply(&self, set: &SeedSet) -> Result<Counts, Trouble> {
        // In a task of its own: a caller who hangs up does not leave it half told.
        let (store, set) = (self.clone(), set.clone());
        let task = tokio::spawn(async move {
            let counts = store.put(&set).await?;
            store.reload().await?;
            tracing::info!(version = counts.version, "the registry has changed");
            Ok(counts)
        });
        task.await.map_err(|why| Trouble::new("store", why))?
    }

    async fn put(&self, set: &SeedSet) -> Result<Counts, Trouble> {
        let _turn = self.books.turn.lock().await;
        let read_before = (self.books.clock)();
        // Cards are read on the way; none of them may be sealed under a key that is not known yet.
        self.books.learn().await?;
        let (counts, rows) = self.write_set(set, read_before).await?;
        self.books.confirmed(&rows);
        Ok(counts)
    }

    async fn write_set(&self, set: &SeedSet, read_before: u64) -> Result<(Counts, Vec<LogRow>), Fault> {
        tx!(self.books.db, |c| {
            let as_of_ms = c.began(read_before).await?;
            // First, so that nobody changes between the look and the writing what is kept here.
            let version = c.next_version().await?;
            let set = &c.keeping_what_narrows(set).await?;
            c.put_tenants(set).await?;
            c.put_applications(&set.applications).await?;
            c.put_people(set, &self.books.cipher).await?;
            c.put_conflicts(&set.conflicts, as_of_ms, &self.books.cipher).await?;
            let counts = set.counts(version);
            let audit = AuditRecord {
                at: as_of_ms / 1000,
                event: "registry.seeded".into(),
                detail: Some(written("counts", &counts)?),
                ..AuditRecord::default()
            };
            c.keep_audit(&[&audit], &self.books.cipher).await?;
            let news = Record {
                kind: Kind::Policy,
                flags: 0,
                exp: NEVER,
                val: word(version),
                id: name_id(&self.books.salt, Kind::Policy, ""),
            };
            Ok::<_, Fault>((counts, c.append(&self.books.feed, &[news], as_of_ms).await?))
        })
    }
}

impl SeedSet {
    fn counts(&self, version: u64) -> Counts {
        Counts {
            version,
            organizations: self.organizations.len(),
            applications: self.applications.len(),
            roles: self.roles.len(),
            fences: self.fences.len(),
            guards: self.guards.len(),
            people: self.people.len(),
            memberships: self.memberships.len(),
        }
    }
}

/// Putting things in, inside an open transaction.
pub(crate) trait Seeding {
    async fn put_tenants(&mut self, set: &SeedSet) -> Result<(), Fault>;
    async fn put_applications(&mut self, list: &[Application]) -> Result<(), Fault>;
    async fn put_people(&mut self, set: &SeedSet, cipher: &Cipher) -> Result<(), Fault>;
    async fn mark_plain_addresses(&mut self, people: &[Person], cipher: &Cipher) -> Result<(), Fault>;
    async fn next_version(&mut self) -> Result<u64, Fault>;
    async fn keeping_what_narrows(&mut self, set: &SeedSet) -> Result<SeedSet, Fault>;
    async fn put_conflicts(&mut self, list: &[Conflict], now_ms: u64, cipher: &Cipher) -> Result<(), Fault>;
}

both! {
    impl Seeding {
        /// Organizations first: everything else refers to them.
        async fn put_tenants(&mut self, set: &SeedSet) -> Result<(), Fault> {
            for one in &set.organizations {
                let doc = written("an organization", one)?;
                diesel::insert_into(organizations::table)
                    .values((
                        organizations::id.eq(&one.id),
                        organizations::slug.eq(&one.slug),
                        organizations::doc.eq(&doc),
                    ))
                    .on_conflict(organizations::id)
                    .do_update()
                    .set((organizations::slug.eq(&one.slug), organizations::doc.eq(&doc)))
                    .execute(self)
                    .await?;
            }
            for one in &set.roles {
                let doc = written("a role", one)?;
                diesel::insert_into(roles::table)
                    .values((
                        roles::organization_id.eq(&one.organization),
                        roles::id.eq(&one.id),
                        roles::doc.eq(&doc),
                    ))
                    .on_conflict((roles::organization_id, roles::id))
                    .do_update()
                    .set(roles::doc.eq(&doc))
                    .execute(self)
                    .await?;
            }
            for one in &set.fences {
                let doc = written("a fence", one)?;
                diesel::insert_into(fences::table)
                    .values((
                        fences::organization_id.eq(&one.organization),
                        fences::kind.eq(fence_kind(one.kind)),
                        fences::id.eq(&one.id),
                        fences::code.eq(&one.code),
                        fences::doc.eq(&doc),
                    ))
                    .on_conflict((fences::organization_id, fences::kind, fences::id))
                    .do_update()
                    .set((fences::code.eq(&one.code), fences::doc.eq(&doc)))
                    .execute(self)
                    .await?;
            }
            for one in &set.guards {
                diesel::insert_into(guards::table)
                    .values((guards::id.eq(&one.id), guards::hash.eq(&one.hash)))
                    .on_conflict(guards::id)
                    .do_update()
                    .set(guards::hash.eq(&one.hash))
                    .execute(self)
                    .await?;
            }
            Ok(())
        }

        async fn put_applications(&mut self, list: &[Application]) -> Result<(), Fault> {
            for one in list {
                let before: Option<String> = applications::table
                    .find(&one.id)
                    .select(applications::doc)
                    .first(self)
                    .await
                    .optional()?;
                let before = before.map(|doc| read::<Application>("an application", &doc)).transpose()?;
                let doc = written("an application", &remembering(one, before.as_ref()))?;
                diesel::insert_into(applications::table)
                    .values((
                        applications::id.eq(&one.id),
                        applications::client_id.eq(&one.client_id),
                        applications::organization_id.eq(&one.organization),
                        applications::doc.eq(&doc),
                    ))
                    .on_conflict(applications::id)
                    .do_update()
                    .set((
                        applications::client_id.eq(&one.client_id),
                        applications::organization_id.eq(&one.organization),
                        applications::doc.eq(&doc),
                    ))
                    .execute(self)
                    .await?;
            }
            Ok(())
        }

        /// In bites, because people may be many.
        async fn put_people(&mut self, set: &SeedSet, cipher: &Cipher) -> Result<(), Fault> {
            for bite in set.people.chunks(BITE) {
                self.mark_plain_addresses(bite, cipher).await?;
            }
            let rows = set.people.iter().map(|one| StoredPerson::of(one, cipher)).collect::<Result<_, _>>()?;
            for bite in bites(rows, BITE) {
                let insert = diesel::insert_into(people::table)
                    .values(bite)
                    .on_conflict(people::id)
                    .do_update()
                    .set((
                        people::kind.eq(excluded(people::kind)),
                        people::organization_id.eq(excluded(people::organization_id)),
                        people::email.eq(excluded(people::email)),
                        people::password.eq(excluded(people::password)),
                        people::password_given.eq(excluded(people::password_given)),
                        people::disabled.eq(excluded(people::disabled)),
                        people::doc.eq(excluded(people::doc)),
                    ));
                self.bulk(insert).await?;
            }
            let rows = set.memberships.iter().map(StoredMembership::of).collect::<Result<_, _>>()?;
            for bite in bites(rows, BITE) {
                let insert = diesel::insert_into(memberships::table)
                    .values(bite)
                    .on_conflict(memberships::id)
                    .do_update()
                    .set((
                        memberships::user_id.eq(excluded(memberships::user_id)),
                        memberships::organization_id.eq(excluded(memberships::organization_id)),
                        memberships::role_id.eq(excluded(memberships::role_id)),
                        memberships::active.eq(excluded(memberships::active)),
                        memberships::doc.eq(excluded(memberships::doc)),
                    ));
                self.bulk(insert).await?;
            }
            Ok(())
        }

        /// Rows from before keys had marks hold the address itself. Those of the same addresses get their marks
        /// first, so that the unique indexes see that it is taken.
        async fn mark_plain_addresses(&mut self, people: &[Person], cipher: &Cipher) -> Result<(), Fault> {
            if !cipher.seals() {
                return Ok(());
            }
            let spelt: Vec<String> = people.iter().map(|person| folded(&person.email)).collect();
            let plain: Vec<(String, String)> = people::table
                .filter(people::email.eq_any(&spelt))
                .select((people::id, people::email))
                .load(self)
                .await?;
            for (id, email) in plain {
                diesel::update(people::table.find(id))
                    .set(people::email.eq(cipher.mark(Mark::PersonEmail, &email)))
                    .execute(self)
                    .await?;
            }
            Ok(())
        }

        async fn next_version(&mut self) -> Result<u64, Fault> {
            let version: i64 = diesel::update(registry_version::table.find(1))
                .set(registry_version::version.eq(registry_version::version + 1))
                .returning(registry_version::version)
                .get_result(self)
                .await?;
            Ok(unsigned(version))
        }

        /// The set with what the Provisioning API has kept members to: a file that is sown again must not
        /// open what was closed since, and no file can say it.
        async fn keeping_what_narrows(&mut self, set: &SeedSet) -> Result<SeedSet, Fault> {
            let mut kept = set.clone();
            for one in &mut kept.organizations {
                let known: Option<String> = organizations::table
                    .find(&one.id)
                    .select(organizations::doc)
                    .get_result(self)
                    .await
                    .optional()?;
                if let Some(doc) = known {
                    one.safety = read::<Organization>("an organization", &doc)?.safety;
                }
            }
            // Of whom the file says no password keeps the one that there is. What it says counts: it is how a password
            // that was made for a demonstration, or is lost, is replaced.
            for bite in kept.people.chunks_mut(BITE) {
                let ids: Vec<&str> = bite.iter().map(|person| person.id.as_str()).collect();
                let known: Vec<(String, Option<String>, bool)> = people::table
                    .filter(people::id.eq_any(ids))
                    .filter(people::password.is_not_null())
                    .select((people::id, people::password, people::password_given))
                    .load(self)
                    .await?;
                for (id, password, given) in known {
                    if let Some(person) = bite.iter_mut().find(|it| it.id == id && it.password.is_none()) {
                        (person.password, person.password_given) = (password, given);
                    }
                }
            }
            for bite in kept.memberships.chunks_mut(BITE) {
                let ids: Vec<&str> = bite.iter().map(|place| place.id.as_str()).collect();
                let known: Vec<StoredMembership> = memberships::table
                    .filter(memberships::id.eq_any(ids))
                    .select(StoredMembership::as_select())
                    .load(self)
                    .await?;
                for known in known {
                    let known = known.read()?;
                    if let Some(place) = bite.iter_mut().find(|place| place.id == known.id) {
                        place.applications = known.applications;
                        place.modes = known.modes;
                    }
                }
            }
            Ok(kept)
        }

        /// On the role's card, where the Provisioning API keeps them too. A role of which a set says nothing
        /// keeps its own.
        async fn put_conflicts(
            &mut self,
            list: &[Conflict],
            now_ms: u64,
            cipher: &Cipher,
        ) -> Result<(), Fault> {
            for one in list {
                let id = role_id(&one.organization, &one.role);
                let known: Option<(String, String, String)> = cards::table
                    .find((card_kind(CardKind::Role), &id))
                    .select((cards::kind, cards::id, cards::doc))
                    .first(self)
                    .await
                    .optional()?;
                let mut card = match known {
                    Some(row) => opened_card(cipher, row)?,
                    None => Card::new(CardKind::Role, &id, &one.organization, now_ms),
                };
                let with: Vec<String> =
                    one.with.iter().map(|other| role_id(&one.organization, other)).collect();
                card.more.insert("conflicts_with".into(), with.into());
                self.put_card(&card, cipher).await?;
            }
            Ok(())
        }
    }
}

/// The application with the longest lifetime that it ever had: a cutoff must outlive the tokens that were
/// issued under an earlier setting.
fn remembering(new: &Application, before: Option<&Application>) -> Application {
    let longest = [Some(new), before]
        .into_iter()
        .flatten()
        .map(|one| one.longest_lifetime.max(one.access_lifetime.unwrap_or(0)))
        .fold(0, u32::max);
    Application { longest_lifetime: longest, ..new.clone() }
}
