//! A colleague has lost the second factor: an owner proposes to take it away, and another person confirms. After
//! that nobody comes in with the account until it is enrolled again by an invitation (`invitation.rs`).

use async_trait::async_trait;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::accounts::keeps_an_owner;
use super::{Denial, Operator, SecondFactor, Staff, StaffAct};
use crate::ledger::Act;
use crate::proposals::{Executor, Order, Reason, Room, Work, orphaned};
use crate::refusal::Trouble;

/// Takes a second factor away; a line of the proposals' roster.
pub struct FactorReset;

/// Whose.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Awaiting {
    /// Operator id.
    pub operator: String,
}

#[async_trait]
impl Executor for FactorReset {
    fn kind(&self) -> &'static str {
        "operator_second_factor"
    }

    async fn canonical(&self, room: Room<'_>, what: &Value) -> Result<String, Denial> {
        let wanted: Awaiting = serde_json::from_value(what.clone())
            .map_err(|_| Denial::invalid("what", "Name the operator: {\"operator\": \"<id>\"}."))?;
        find(&room.staff.staff().await?, &wanted.operator)?;
        Ok(json!(wanted).to_string())
    }

    async fn work(&self, room: Room<'_>, order: &Order<'_>) -> Result<Work, Denial> {
        let wanted: Awaiting =
            serde_json::from_str(&order.proposal.what).map_err(|e| Trouble::new("proposals", e))?;
        let staff = room.staff.staff().await?;
        let found = find(&staff, &wanted.operator)?;
        if order.hand.id == found.id {
            return Err(Denial::forbidden(
                "You may not confirm a change of your own account; ask another approver.",
            ));
        }
        let now = room.desk.now();
        // A seed that nobody was ever shown: no code fits it.
        let seed = SecondFactor::new(room.desk, &found.email)?.sealed(room.desk, &found.id);
        let mut after = Operator { seed, recovery: Vec::new(), awaits_factor: true, ..found.clone() };
        after.was_changed(&order.proposal.proposer, now);
        keeps_an_owner(&staff, &after)?;
        let mut record =
            order.hand.record("operator.second_factor.reset", &Reason::read(&order.proposal.reason)?, now);
        record.subject = Some(found.actor());
        record.detail =
            Some(json!({ "proposal": order.proposal.id, "proposer": order.proposal.proposer }).to_string());
        let (orphaning, noted) = orphaned(room.desk, &after, &record, Some(&order.proposal.id)).await?;
        let put =
            StaffAct::Put { expected: staff.version, operator: Box::new(after), end_sessions: Some(now) };
        let acts = [Some(Act::Staff(put)), orphaning].into_iter().flatten().collect();
        Ok(Work { acts, audit: [vec![record], noted].concat() })
    }
}

fn find<'a>(staff: &'a Staff, id: &str) -> Result<&'a Operator, Denial> {
    let found = staff.by_id(id).filter(|it| !it.disabled);
    found.ok_or_else(|| Denial::missing("There is no such operator, or the account is closed."))
}
