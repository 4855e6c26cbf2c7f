//! A person left: memberships, logins, browser sessions, tokens and personal credentials end at once, and
//! the account is closed, in one transaction. What was ended is told.
//!
//! An organization is never left without an owner or without an admin by accident: that needs a second
//! person, or first a new owner.

use std::collections::BTreeSet;

use async_trait::async_trait;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::cuts::{person as find_person, person_acts};
use crate::endings::remembered_until;
use crate::ledger::{Act, AuditRecord, Deed, Done, Position};
use crate::operators::Denial;
use crate::proposals::{Executor, Hand, Order, Proposal, Reason, Room, Wish, Work};
use crate::provisioning::change::{Amendment, Change, Keepings};
use crate::provisioning::{Card, Kind, gone_with_place};
use crate::refusal::Trouble;
use crate::registry::{ApplicationKind, Membership, Person, RoleKind, Scope};

/// The kind of proposal that a forced offboarding is.
pub const KIND: &str = "offboarding";
/// How often the registry may change under our hands before we say that we are busy.
const ATTEMPTS: usize = 8;

/// An order as an operator gives it.
pub struct Leaving<'a> {
    /// A person's id, or a user's e-mail address.
    pub person: &'a str,
    pub reason: &'a str,
    /// Though an organization is left without an owner or admin: a proposal.
    pub force: bool,
    /// Do a forced one alone.
    pub break_glass: bool,
}

/// What would end, or has ended.
#[derive(Clone, Debug, Serialize)]
pub struct Farewell {
    pub person: String,
    pub memberships: Vec<Place>,
    /// client_id of personal credentials.
    pub credentials: Vec<String>,
    pub logins: u64,
    pub sessions: u64,
    /// Slugs of organizations that are left without an owner or without an admin.
    pub orphaned: Vec<String>,
}

/// A place in an organization that is given up.
#[derive(Clone, Debug, Serialize)]
pub struct Place {
    pub organization: String,
    pub role: String,
    pub owner: bool,
}

/// What came of an order.
#[derive(Clone, Debug)]
pub enum Left {
    Gone { farewell: Farewell, position: Option<Position> },
    Proposed(Proposal),
}

impl Room<'_> {
    /// What offboarding would end, and nothing happens.
    ///
    /// # Errors
    /// [`Denial`].
    pub async fn farewell(self, person: &str) -> Result<Farewell, Denial> {
        let person = find_person(self, person).await?;
        Ok(Departure::of(self, person).await?.farewell)
    }

    /// Ends everything of a person.
    ///
    /// # Errors
    /// [`Denial`]; then nothing has ended.
    pub async fn offboard(self, hand: &Hand, order: &Leaving<'_>) -> Result<Left, Denial> {
        hand.must_operate()?;
        let person = find_person(self, order.person).await?;
        if order.force {
            return self.offboard_by_force(hand, &person, order).await;
        }
        if order.break_glass {
            return Err(Denial::invalid("break_glass", "break_glass goes with force; leave it out."));
        }
        let reason = Reason::read(order.reason)?;
        let mark = format!("offboarding {}", self.desk.id_text());
        for _ in 0..ATTEMPTS {
            let mut departure = Departure::of(self, person.clone()).await?;
            departure.must_orphan_nobody()?;
            let record = departure.record(hand, &reason, self.desk.now());
            let deed = Deed::new(Act::Several(departure.acts(self, &mark)), record);
            match self.desk.ledger.commit(deed).await? {
                Done::Committed { position } => {
                    // Counted after the fact, so that a login of the last moment is among them.
                    departure.farewell.logins = self.desk.ledger.logins_ended(&person.id, &mark).await?;
                    return Ok(Left::Gone { farewell: departure.farewell, position });
                }
                Done::Lost => {}
                Done::Spent { .. } => {
                    return Err(Trouble::new("ledger", "a departure was answered as spent").into());
                }
            }
        }
        Err(Trouble::new("offboarding", "the registry kept changing").into())
    }

    async fn offboard_by_force(
        self,
        hand: &Hand,
        person: &Person,
        order: &Leaving<'_>,
    ) -> Result<Left, Denial> {
        let what = json!({ "person": person.id });
        let wish = Wish { kind: KIND, what: &what, reason: order.reason, digest: None };
        if !order.break_glass {
            return Ok(Left::Proposed(self.propose(hand, &wish).await?));
        }
        let farewell = Departure::of(self, person.clone()).await?.farewell;
        let settled = self.break_glass(hand, &wish).await?;
        Ok(Left::Gone { farewell, position: settled.position })
    }
}

/// Offboarding somebody whom an organization cannot do without.
pub struct Forced;

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct What {
    person: String,
}

#[async_trait]
impl Executor for Forced {
    fn kind(&self) -> &'static str {
        KIND
    }

    async fn canonical(&self, room: Room<'_>, what: &Value) -> Result<String, Denial> {
        let named: What = serde_json::from_value(what.clone())
            .map_err(|_| Denial::invalid("what", "An offboarding is {\"person\": ...}."))?;
        let what = What { person: find_person(room, &named.person).await?.id };
        Ok(serde_json::to_string(&what).expect("a text always serialises"))
    }

    async fn work(&self, room: Room<'_>, order: &Order<'_>) -> Result<Work, Denial> {
        let what: What =
            serde_json::from_str(&order.proposal.what).map_err(|e| Trouble::new("proposals", e))?;
        let departure = Departure::of(room, find_person(room, &what.person).await?).await?;
        let reason = Reason::read(&order.proposal.reason)?;
        let record = departure.record(order.hand, &reason, room.desk.now());
        let mark = format!("offboarding {}", order.proposal.id);
        Ok(Work { acts: departure.acts(room, &mark), audit: vec![record] })
    }
}

/// Everything of a person, of one version of the registry.
pub(crate) struct Departure {
    pub(crate) person: Person,
    pub(crate) places: Vec<Membership>,
    keepings: Keepings,
    farewell: Farewell,
}

impl Departure {
    pub(crate) async fn of(room: Room<'_>, person: Person) -> Result<Self, Denial> {
        let desk = room.desk;
        // Of before the first look, so that whatever moves while we look undoes the deed.
        let version = desk.registry.estate("", &[]).await?.version;
        let directory = desk.registry.directory();
        let personal = |user: &Option<String>| user.as_ref() == Some(&person.id);
        let mut reach: BTreeSet<String> =
            desk.registry.memberships(&person.id).await?.into_iter().map(|it| it.organization).collect();
        let credentials = directory.applications().filter(|it| personal(&it.user));
        reach.extend(credentials.map(|it| it.organization.clone()));
        let reach: Vec<String> = reach.into_iter().collect();
        let keepings = Keepings { version, ..desk.registry.estate(&person.id, &reach).await? };
        let places: Vec<_> = keepings.memberships.iter().filter(|it| it.user == person.id).cloned().collect();
        let name = |id: &str| {
            let found = keepings.organizations.iter().find(|it| it.id == id);
            found.map_or_else(|| id.to_owned(), |it| it.slug.clone())
        };
        let farewell = Farewell {
            memberships: places
                .iter()
                .map(|it| Place {
                    organization: name(&it.organization),
                    role: it.role.clone(),
                    owner: it.owner,
                })
                .collect(),
            credentials: keepings
                .applications
                .iter()
                .filter(|it| it.kind == ApplicationKind::User && personal(&it.user))
                .map(|it| it.client_id.clone())
                .collect(),
            logins: desk
                .ledger
                .live_logins(&crate::ledger::Whose::Person(person.id.clone()), desk.now(), 10_000)
                .await?
                .len() as u64,
            sessions: desk.ledger.live_sessions(&person.id, desk.now()).await?,
            orphaned: places
                .iter()
                .filter(|it| is_last(it, &keepings))
                .map(|it| name(&it.organization))
                .collect(),
            person: person.id.clone(),
        };
        Ok(Self { person, places, keepings, farewell })
    }

    pub(crate) fn must_orphan_nobody(&self) -> Result<(), Denial> {
        match &self.farewell.orphaned[..] {
            [] => Ok(()),
            slugs => Err(Denial::conflict(format!(
                "{} would be left without an owner or without an admin: transfer the ownership or make another admin first, or propose it with force.",
                slugs.join(", ")
            ))),
        }
    }

    /// Conditional first: when the registry has moved on, nothing is done.
    pub(crate) fn acts(&self, room: Room<'_>, mark: &str) -> Vec<Act> {
        let desk = room.desk;
        let exp = remembered_until(desk, &desk.registry.directory(), None);
        let mut changes: Vec<Change> =
            self.places.iter().flat_map(|place| given_up(place, &self.keepings)).collect();
        for application in &self.keepings.applications {
            if self.farewell.credentials.contains(&application.client_id) {
                let mut closed = application.clone();
                closed.disabled = true;
                closed.secrets.clear();
                changes.push(Change::PutApplication(Box::new(closed)));
                let id = application.client_id.clone();
                changes.push(Change::Raise { scope: Scope::Client, id, exp });
            }
        }
        let mut acts = vec![Act::Amend(Amendment { expected: self.keepings.version, changes })];
        acts.push(Act::DisablePerson { id: self.person.id.clone() });
        acts.extend(person_acts(&self.person.id, mark, desk.now(), exp));
        acts
    }

    pub(crate) fn record(&self, hand: &Hand, reason: &Reason, now: u64) -> AuditRecord {
        let mut record = hand.record("person.offboarded", reason, now);
        record.subject = Some(self.person.id.clone());
        record.organization = self.person.organization.clone();
        let detail = json!({
            "memberships": self.farewell.memberships,
            "credentials": self.farewell.credentials,
            "orphaned": self.farewell.orphaned,
        });
        record.detail = Some(detail.to_string());
        record
    }
}

/// The membership, its card, and the cards that hang off it alone.
pub(crate) fn given_up(place: &Membership, keepings: &Keepings) -> Vec<Change> {
    let hangs = |card: &&Card| match card.kind {
        Kind::ApplicationMembership => card.text("membership") == Some(&place.id),
        Kind::Membership => card.id == place.id,
        _ => false,
    };
    let cards = keepings.cards.iter().filter(hangs);
    let mut changes: Vec<_> = cards.map(gone_with_place).collect();
    changes.push(Change::DropMembership { id: place.id.clone() });
    changes
}

/// Whether the organization would be left without an owner, or without anybody who is admin.
pub(crate) fn is_last(place: &Membership, keepings: &Keepings) -> bool {
    let is_admin = |it: &&Membership| {
        keepings.roles.iter().any(|role| {
            role.kind == RoleKind::Admin && role.id == it.role && role.organization == it.organization
        })
    };
    let active = |it: &&Membership| {
        it.active && keepings.people.iter().any(|person| person.id == it.user && !person.disabled)
    };
    let here = keepings.memberships.iter().filter(|it| it.organization == place.organization);
    let others: Vec<_> = here.filter(|it| it.user != place.user).filter(active).collect();
    place.owner && !others.iter().any(|it| it.owner) || is_admin(&place) && !others.iter().any(is_admin)
}
