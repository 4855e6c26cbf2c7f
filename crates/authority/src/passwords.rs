//! Another password for somebody who has a place in an organization: whoever knows it can act as them, so it
//! takes two operators. There is no way to the person but by an operator's hand, so the password is shown
//! once to the one who proposes, who passes it on; before somebody else has confirmed it, it opens nothing.
//!
//! It is computed from the proposal's id with a key of the server, so it is kept nowhere meanwhile.

use async_trait::async_trait;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::cuts::person as find_person;
use crate::desk::Desk;
use crate::ledger::Act;
use crate::operators::Denial;
use crate::people::{Picture, renewed};
use crate::proposals::{Executor, Order, Proposal, Reason, Room, Work};
use crate::provisioning::change::Amendment;
use crate::refusal::Trouble;
use crate::secret::Secret;

/// The kind of proposal that another password is.
pub const KIND: &str = "password";

/// Another password for somebody.
pub struct AnotherPassword;

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct What {
    person: String,
}

/// The password that a proposal sets when it is carried out; none of any other kind.
pub fn proposed(desk: &Desk, proposal: &Proposal) -> Option<Secret> {
    (proposal.kind == KIND).then(|| desk.seal.proposed_password(&proposal.id))
}

#[async_trait]
impl Executor for AnotherPassword {
    fn kind(&self) -> &'static str {
        KIND
    }

    async fn canonical(&self, room: Room<'_>, what: &Value) -> Result<String, Denial> {
        let named: What = serde_json::from_value(what.clone()).map_err(|_| {
            Denial::invalid("what", "Another password is {\"person\": ...}; the password is made for you.")
        })?;
        let what = What { person: find_person(room, &named.person).await?.id };
        Ok(serde_json::to_string(&what).expect("a text always serialises"))
    }

    async fn work(&self, room: Room<'_>, order: &Order<'_>) -> Result<Work, Denial> {
        let what: What =
            serde_json::from_str(&order.proposal.what).map_err(|e| Trouble::new("proposals", e))?;
        let desk = room.desk;
        let hash = desk.slow.password_hash(desk.seal.proposed_password(&order.proposal.id)).await?;
        let seen = Picture::of(desk, &what.person).await?;
        let reason = Reason::read(&order.proposal.reason)?;
        let mut record = order.hand.record("person.password", &reason, desk.now());
        record.subject = Some(seen.person.id.clone());
        record.organization = seen.person.organization.clone();
        let detail = json!({ "proposal": order.proposal.id, "proposer": order.proposal.proposer });
        record.detail = Some(detail.to_string());
        let changes = renewed(desk, &seen.person, Some(hash));
        let act = Act::Amend(Amendment { expected: seen.version(), changes });
        Ok(Work { acts: vec![act], audit: vec![record] })
    }
}
