//! Somebody wants to be forgotten: what is personal about them goes, everything of theirs ends, and their id
//! stays, so that the history still says what happened and to how many. It cannot be undone, so it needs two
//! persons.
//!
//! The audit log is forgotten right after the deed (`Store::forget_person`), because its rows are many.

use async_trait::async_trait;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::cuts::person as find_person;
use crate::ledger::{Act, FactorAct};
use crate::offboarding::Departure;
use crate::operators::Denial;
use crate::proposals::{Executor, Order, Proposal, Reason, Room, State, Work};
use crate::provisioning::Kind;
use crate::provisioning::change::Change;
use crate::refusal::Trouble;
use crate::registry::Person;

/// The kind of proposal that an erasure is.
pub const KIND: &str = "erasure";
/// Where addresses of people who were forgotten are; RFC 2606 section 2 keeps it from ever being real.
const NOWHERE: &str = "erased.invalid";

/// Erasing what is personal about somebody.
pub struct Erasure;

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct What {
    person: String,
    /// Ids of things whose history names the person; found when it is proposed.
    #[serde(default)]
    memberships: Vec<String>,
}

/// Who was forgotten, and which things' history names them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Forgotten {
    pub person: String,
    pub resources: Vec<String>,
}

/// Whom a proposal has erased; nobody when it is another kind or was not carried out.
pub fn forgotten(proposal: &Proposal) -> Option<Forgotten> {
    if proposal.kind != KIND || proposal.state != State::Done {
        return None;
    }
    let what: What = serde_json::from_str(&proposal.what).ok()?;
    let resources = std::iter::once(what.person.clone()).chain(what.memberships).collect();
    Some(Forgotten { person: what.person, resources })
}

#[async_trait]
impl Executor for Erasure {
    fn kind(&self) -> &'static str {
        KIND
    }

    async fn canonical(&self, room: Room<'_>, what: &Value) -> Result<String, Denial> {
        let named: What = serde_json::from_value(what.clone())
            .map_err(|_| Denial::invalid("what", "An erasure is {\"person\": ...}."))?;
        let person = find_person(room, &named.person).await?;
        if is_erased(&person) {
            return Err(Denial::conflict("This person has been erased already."));
        }
        let departure = Departure::of(room, person).await?;
        departure.must_orphan_nobody()?;
        let mut memberships: Vec<_> = departure.places.iter().map(|place| place.id.clone()).collect();
        memberships.sort_unstable();
        let what = What { person: departure.person.id, memberships };
        Ok(serde_json::to_string(&what).expect("texts always serialise"))
    }

    async fn work(&self, room: Room<'_>, order: &Order<'_>) -> Result<Work, Denial> {
        let what: What =
            serde_json::from_str(&order.proposal.what).map_err(|e| Trouble::new("proposals", e))?;
        let departure = Departure::of(room, find_person(room, &what.person).await?).await?;
        departure.must_orphan_nobody()?;
        let reason = Reason::read(&order.proposal.reason)?;
        let mut record = departure.record(order.hand, &reason, room.desk.now());
        record.event = "person.erased".into();
        let acts = acts(&departure, room, &format!("erasure {}", order.proposal.id));
        Ok(Work { acts, audit: vec![record] })
    }
}

/// What erases somebody: all of theirs ends, and what is personal about them goes.
pub(crate) fn acts(departure: &Departure, room: Room<'_>, mark: &str) -> Vec<Act> {
    let mut acts = departure.acts(room, mark);
    let personal = [
        Change::DropCard { kind: Kind::User, id: departure.person.id.clone() },
        Change::PutPerson(anonymous(&departure.person)),
    ];
    for act in &mut acts {
        if let Act::Amend(amendment) = act {
            amendment.changes.extend(personal.clone());
        }
    }
    acts.push(Act::Factor(FactorAct::Drop { person: departure.person.id.clone() }));
    acts
}

/// The account that is left: an id, a kind and an organization.
fn anonymous(person: &Person) -> Person {
    Person {
        email: format!("{}@{NOWHERE}", person.id.to_lowercase()),
        password: None,
        password_given: false,
        first_name: String::new(),
        last_name: String::new(),
        time_zone: "UTC".into(),
        customer_group: None,
        disabled: true,
        ..person.clone()
    }
}

pub(crate) fn is_erased(person: &Person) -> bool {
    person.email.ends_with(&format!("@{NOWHERE}"))
}
