//! Changes to the registry, inside the transaction of a deed: compare the version, then every step in its
//! order, then the announcement to the guards.
//!
//! The version is the lock: its row is held until the transaction ends, so two changes that were decided on
//! the same registry can never both be done. Who may change what is decided above.

use diesel::prelude::*;
use diesel_async::RunQueryDsl;
use portcullis_authority::provisioning::Card;
use portcullis_authority::provisioning::change::{Amendment, Change};
use portcullis_guard::feed::{Kind as Line, Record, name_id};

use crate::SeedSet;
use crate::acts::{Acts, Effect, Ink, ending};
use crate::cipher::{CARD, Cipher};
use crate::db::{Fault, both};
use crate::estate::card_row;
use crate::factors::Factoring;
use crate::invitations::Inviting;
use crate::rows::{self, card_kind, signed, unsigned, word};
use crate::schema::{
    applications, cards, families, memberships, people, people_idle, registry_version, roles, sessions,
};
use crate::seed::{NEVER, Seeding};

/// Changing the registry on an open transaction.
pub(crate) trait Amending {
    /// Does all of it, or is [`Effect::Lost`] when the registry has moved on.
    async fn amend(&mut self, amendment: &Amendment, ink: Ink<'_>) -> Result<Effect, Fault>;
    /// Holds this version until the transaction ends; [`Effect::Lost`] when the registry has moved on.
    async fn hold(&mut self, version: u64) -> Result<Effect, Fault>;
    async fn step(&mut self, change: &Change, ink: Ink<'_>, news: &mut News) -> Result<(), Fault>;
    async fn put_card(&mut self, card: &Card, cipher: &Cipher) -> Result<(), Fault>;
    async fn end_logins(&mut self, of: &Logins<'_>) -> Result<Vec<Record>, Fault>;
    async fn end_person(&mut self, person: &str, reason: &str, now: u64) -> Result<(), Fault>;
}

/// What the guards and the snapshot must hear of.
#[derive(Default)]
pub(crate) struct News {
    records: Vec<Record>,
    raised: Vec<(portcullis_authority::registry::Scope, String, u32)>,
}

/// The logins of one person in one organization.
pub(crate) struct Logins<'a> {
    organization: &'a str,
    person: &'a str,
    reason: &'a str,
    now: u64,
    exp: u64,
}

both! {
    impl Amending {
        async fn amend(&mut self, amendment: &Amendment, ink: Ink<'_>) -> Result<Effect, Fault> {
            let version: Option<i64> = diesel::update(registry_version::table.find(1))
                .filter(registry_version::version.eq(signed(amendment.expected)))
                .set(registry_version::version.eq(registry_version::version + 1))
                .returning(registry_version::version)
                .get_result(self)
                .await
                .optional()?;
            let Some(version) = version else { return Ok(Effect::Lost) };
            let mut news = News::default();
            for change in &amendment.changes {
                self.step(change, ink, &mut news).await?;
            }
            news.records.push(Record {
                kind: Line::Policy,
                flags: 0,
                exp: NEVER,
                val: word(unsigned(version)),
                id: name_id(ink.salt, Line::Policy, ""),
            });
            Ok(Effect::Amended { records: news.records, raised: news.raised })
        }

        async fn hold(&mut self, version: u64) -> Result<Effect, Fault> {
            // Written as it is, which takes the lock that a change would wait for, in both databases.
            let held = diesel::update(registry_version::table.find(1))
                .filter(registry_version::version.eq(signed(version)))
                .set(registry_version::version.eq(registry_version::version))
                .execute(self)
                .await?;
            Ok(if held == 1 { Effect::Quiet } else { Effect::Lost })
        }

        async fn step(&mut self, change: &Change, ink: Ink<'_>, news: &mut News) -> Result<(), Fault> {
            let mut set = SeedSet::default();
            match change {
                Change::PutOrganization(it) => set.organizations.push(it.clone()),
                Change::PutRole(it) => set.roles.push(it.clone()),
                Change::PutApplication(it) => return self.put_applications(&[(**it).clone()]).await,
                Change::PutPerson(it) => set.people.push(it.clone()),
                Change::PutMembership(it) => set.memberships.push(it.clone()),
                Change::PutCard(card) => return self.put_card(card, ink.cipher).await,
                Change::DropRole { organization, id } => {
                    diesel::delete(roles::table.find((organization, id))).execute(self).await?;
                }
                Change::DropApplication { id } => {
                    diesel::delete(applications::table.find(id)).execute(self).await?;
                }
                Change::DropMembership { id } => {
                    diesel::delete(memberships::table.find(id)).execute(self).await?;
                }
                Change::DropCard { kind, id } => {
                    diesel::delete(cards::table.find((card_kind(*kind), id))).execute(self).await?;
                }
                Change::Raise { scope, id, exp } => {
                    if let Effect::Raised { record, scope, id } = self.raise(*scope, id, *exp, ink.salt).await? {
                        news.records.push(record);
                        news.raised.push((scope, id, record.val));
                    }
                }
                Change::EndPerson { person, reason, now } => self.end_person(person, reason, *now).await?,
                Change::DropPerson { id } => {
                    self.drop_factor(id).await?;
                    diesel::delete(people_idle::table.find(id)).execute(self).await?;
                    diesel::delete(people::table.find(id)).execute(self).await?;
                }
                Change::EndLogins { organization, person, reason, now, exp } => {
                    let of = Logins { organization, person, reason, now: *now, exp: *exp };
                    news.records.extend(self.end_logins(&of).await?);
                }
            }
            if !set.organizations.is_empty() || !set.roles.is_empty() {
                self.put_tenants(&set).await?;
            }
            if !set.people.is_empty() || !set.memberships.is_empty() {
                self.put_people(&set, ink.cipher).await?;
            }
            Ok(())
        }

        async fn put_card(&mut self, card: &Card, cipher: &Cipher) -> Result<(), Fault> {
            let place = card_row(card_kind(card.kind), &card.id);
            let doc = cipher.seal(CARD, &place, &rows::written("a card", card)?)?;
            diesel::insert_into(cards::table)
                .values((
                    cards::kind.eq(card_kind(card.kind)),
                    cards::id.eq(&card.id),
                    cards::organization_id.eq(&card.organization),
                    cards::doc.eq(&doc),
                ))
                .on_conflict((cards::kind, cards::id))
                .do_update()
                .set((cards::organization_id.eq(&card.organization), cards::doc.eq(&doc)))
                .execute(self)
                .await?;
            Ok(())
        }

        async fn end_logins(&mut self, of: &Logins<'_>) -> Result<Vec<Record>, Fault> {
            let (old, quoted) = (families::owner_id.is_null(), format!("%\"{}\"%", of.person));
            let ended: Vec<String> = diesel::update(families::table)
                .filter(families::organization_id.eq(of.organization))
                .filter(families::owner_id.eq(of.person).or(old.and(families::doc.like(quoted))))
                .filter(families::ended_at.is_null())
                .filter(families::abs_exp.gt(signed(of.now)))
                .set((families::ended_at.eq(signed(of.now)), families::end_reason.eq(of.reason)))
                .returning(families::id)
                .get_results(self)
                .await?;
            ended.iter().map(|id| Ok(ending(Line::Family, rows::raw_id(id)?, of.exp))).collect()
        }

        async fn end_person(&mut self, person: &str, reason: &str, now: u64) -> Result<(), Fault> {
            let (old, quoted) = (families::owner_id.is_null(), format!("%\"{person}\"%"));
            diesel::update(families::table)
                .filter(families::owner_id.eq(person).or(old.and(families::doc.like(quoted))))
                .filter(families::ended_at.is_null())
                .set((families::ended_at.eq(signed(now)), families::end_reason.eq(reason)))
                .execute(self)
                .await?;
            diesel::update(sessions::table)
                .filter(sessions::person_id.eq(person))
                .filter(sessions::ended_at.is_null())
                .set(sessions::ended_at.eq(signed(now)))
                .execute(self)
                .await?;
            self.close_invitations(person, now).await?;
            Ok(())
        }
    }
}
