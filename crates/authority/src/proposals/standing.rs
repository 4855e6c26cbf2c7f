//! Who stands behind a proposal: its proposer, and whoever decides on it, are operators with the right to it at
//! the moment of the deed and not only when they came in. Whoever loses the right loses what they had proposed.

use serde_json::json;

use super::{Hand, Orphaning, Proposal, Room, State};
use crate::desk::Desk;
use crate::ledger::{Act, AuditRecord};
use crate::operators::{Denial, Operator, OperatorRole, Staff, StaffAct};
use crate::refusal::Trouble;

/// What an audit record says of a proposal that lost its proposer.
const WHY: &str = "the proposer's account may no longer propose";

/// An operator as the list has them now.
pub(super) struct Presence {
    pub(super) hand: Hand,
    staff: Staff,
}

impl Room<'_> {
    /// Looks a hand up once more: it has no more rights than when it came in, and none that it lost since.
    ///
    /// # Errors
    /// Trouble.
    pub(super) async fn present(self, hand: &Hand) -> Result<Presence, Denial> {
        let staff = self.staff.staff().await?;
        let found = staff.by_id(&hand.id);
        let stands = |roles: &[OperatorRole]| found.is_some_and(|it| it.stands_as(roles));
        let mut kin = found.map(|it| staff.kin(it, self.desk.now())).unwrap_or_default();
        kin.extend(hand.kin.iter().cloned());
        let hand = Hand {
            operates: hand.operates && stands(OperatorRole::ORDERING),
            approves: hand.approves && stands(&[OperatorRole::Approver]),
            owns: hand.owns && stands(&[OperatorRole::Owner]),
            kin,
            ..hand.clone()
        };
        Ok(Presence { hand, staff })
    }
}

impl Presence {
    /// Goes first in the deed: it is done only while the operators are those that were looked at.
    pub(super) fn held(&self) -> Act {
        Act::Staff(StaffAct::Unmoved { version: self.staff.version })
    }

    /// # Errors
    /// [`Denial::Conflict`] when whoever proposed may no longer do so.
    pub(super) fn must_have_a_proposer(&self, proposal: &Proposal) -> Result<(), Denial> {
        let found = self.staff.by_id(&proposal.proposer);
        match found.is_some_and(|it| it.stands_as(OperatorRole::ORDERING)) {
            true => Ok(()),
            false => Err(Denial::conflict(
                "Whoever proposed this may no longer do so; propose it again yourself and ask another approver.",
            )),
        }
    }
}

/// The end of what an operator had proposed, for the deed that takes away what they stood on; nothing while they
/// still may propose. `record` says who does it, and `but` is a proposal that ends in the same deed.
///
/// # Errors
/// Trouble.
pub(crate) async fn orphaned(
    desk: &Desk,
    after: &Operator,
    record: &AuditRecord,
    but: Option<&str>,
) -> Result<(Option<Act>, Vec<AuditRecord>), Trouble> {
    if after.stands_as(OperatorRole::ORDERING) {
        return Ok((None, Vec::new()));
    }
    let now = desk.now();
    let mut open = desk.ledger.proposals_of(&after.id).await?;
    open.retain(|it| it.state_at(now) == State::Open && Some(it.id.as_str()) != but);
    let noted = open.iter().map(|it| AuditRecord {
        at: now,
        event: "proposal.withdrawn".into(),
        subject: Some(after.actor()),
        scope: None,
        reason: Some(WHY.into()),
        detail: Some(
            json!({ "proposal": it.id, "kind": it.kind, "digest": it.digest, "proposer": it.proposer })
                .to_string(),
        ),
        ..record.clone()
    });
    let noted = noted.collect();
    let by = record.actors.first().map_or(WHY, String::as_str);
    let by = by.strip_prefix("operator:").unwrap_or(by).to_owned();
    let ids = open.into_iter().map(|it| it.id).collect();
    Ok((Some(Act::Orphan(Orphaning { proposer: after.id.clone(), ids, by, now })), noted))
}
