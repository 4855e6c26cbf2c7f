//! Everything in the organizations of one person, in memory and of one moment: what requests are answered
//! from, and what a change is tried out on before it is written.
//!
//! An organization that the person does not belong to is not in here, so nothing can find it by mistake.

use std::collections::BTreeMap;

use super::change::{Change, Keepings};
use super::describe;
use super::resource::{Resource, To};
use super::{Card, Kind};
use crate::registry::{Application, Membership, Organization, Person, Role};

/// The organizations of one person.
#[derive(Clone, Debug, Default)]
pub struct Estate {
    pub version: u64,
    pub organizations: BTreeMap<String, Organization>,
    /// By their id in the Provisioning API.
    pub roles: BTreeMap<String, Role>,
    pub applications: BTreeMap<String, Application>,
    pub memberships: BTreeMap<String, Membership>,
    pub people: BTreeMap<String, Person>,
    pub cards: BTreeMap<(Kind, String), Card>,
}

impl Estate {
    pub fn new(keepings: Keepings) -> Self {
        Self {
            version: keepings.version,
            organizations: keepings.organizations.into_iter().map(|it| (it.id.clone(), it)).collect(),
            roles: keepings.roles.into_iter().map(|it| (role_id(&it.organization, &it.id), it)).collect(),
            applications: keepings.applications.into_iter().map(|it| (it.id.clone(), it)).collect(),
            memberships: keepings.memberships.into_iter().map(|it| (it.id.clone(), it)).collect(),
            people: keepings.people.into_iter().map(|it| (it.id.clone(), it)).collect(),
            cards: keepings.cards.into_iter().map(|it| ((it.kind, it.id.clone()), it)).collect(),
        }
    }

    /// The active place of a person in an organization.
    pub fn place(&self, person: &str, organization: &str) -> Option<&Membership> {
        self.memberships
            .values()
            .find(|place| place.active && place.user == person && place.organization == organization)
    }

    /// The role of a place.
    pub fn role_of(&self, place: &Membership) -> Option<&Role> {
        self.roles.get(&role_id(&place.organization, &place.role))
    }

    pub fn card(&self, kind: Kind, id: &str) -> Option<&Card> {
        self.cards.get(&(kind, id.to_owned()))
    }

    /// The card of a thing, or a new one for what came from a seed.
    pub fn card_of(&self, kind: Kind, id: &str, organization: &str, now_ms: u64) -> Card {
        self.card(kind, id).cloned().unwrap_or_else(|| Card::new(kind, id, organization, now_ms))
    }

    pub fn cards_of(&self, kind: Kind) -> impl Iterator<Item = &Card> {
        self.cards.values().filter(move |card| card.kind == kind)
    }

    /// Every thing of a kind; users and versions are not kept here.
    pub fn all(&self, kind: Kind) -> Vec<Resource> {
        describe::all(self, kind)
    }

    pub fn find(&self, kind: Kind, id: &str) -> Option<Resource> {
        describe::one(self, kind, id)
    }

    /// What a relationship leads to, as far as it is kept here.
    pub fn related(&self, from: &Resource, name: &str) -> Option<(Kind, Vec<Resource>)> {
        let link = from.link(name)?;
        let found = match &link.to {
            To::One(id) => id.as_deref().and_then(|id| self.find(link.kind, id)).into_iter().collect(),
            To::Many => {
                let back = from.kind.singular();
                let all = self.all(link.kind).into_iter();
                all.filter(|one| one.leads_to(back) == Some(from.id.as_str())).collect()
            }
        };
        Some((link.kind, found))
    }

    /// Tries a change out.
    pub fn apply(&mut self, change: &Change) {
        match change.clone() {
            Change::PutOrganization(it) => drop(self.organizations.insert(it.id.clone(), it)),
            Change::PutRole(it) => drop(self.roles.insert(role_id(&it.organization, &it.id), it)),
            Change::DropRole { organization, id } => drop(self.roles.remove(&role_id(&organization, &id))),
            Change::PutApplication(it) => drop(self.applications.insert(it.id.clone(), *it)),
            Change::DropApplication { id } => drop(self.applications.remove(&id)),
            Change::PutPerson(it) => drop(self.people.insert(it.id.clone(), it)),
            Change::PutMembership(it) => drop(self.memberships.insert(it.id.clone(), it)),
            Change::DropMembership { id } => drop(self.memberships.remove(&id)),
            Change::PutCard(it) => drop(self.cards.insert((it.kind, it.id.clone()), *it)),
            Change::DropCard { kind, id } => drop(self.cards.remove(&(kind, id))),
            Change::DropPerson { id } => drop(self.people.remove(&id)),
            Change::Raise { .. } | Change::EndLogins { .. } | Change::EndPerson { .. } => {}
        }
    }

    /// Everything that a change touches, tried out in order.
    pub fn with(&self, changes: &[Change]) -> Self {
        let mut after = self.clone();
        changes.iter().for_each(|change| after.apply(change));
        after
    }
}

/// A role's id in the Provisioning API: unlike the id within its organization, it is unique everywhere.
/// No id holds a full stop.
pub fn role_id(organization: &str, id: &str) -> String {
    format!("{organization}.{id}")
}
