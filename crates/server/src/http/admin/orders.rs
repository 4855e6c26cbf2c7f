//! What orders have in common: whose hand gives them, the room where they are carried out, and who of the
//! guards has heard of it.

use portcullis_authority::ledger::Position;
use portcullis_authority::operators::{Denial, OperatorRole, StaffBook as _};
use portcullis_authority::proposals::{Hand, Proposal, Room};
use schemars::JsonSchema;
use serde::Serialize;

use super::call::Visit;

impl Visit {
    /// This operator, as the rules of orders see them.
    ///
    /// # Errors
    /// Trouble.
    pub(super) async fn hand(&self) -> Result<Hand, Denial> {
        let operator = self.operator();
        let staff = self.store().staff().await?;
        Ok(Hand {
            id: operator.id.clone(),
            operates: operator.may(&[OperatorRole::Operator, OperatorRole::Owner]),
            approves: operator.may(&[OperatorRole::Approver]),
            owns: operator.may(&[OperatorRole::Owner]),
            kin: staff.kin(operator, self.now()),
            origin: self.origin.clone(),
        })
    }

    /// Has something done where orders are carried out.
    pub(super) async fn order<T>(&self, work: impl AsyncFnOnce(Room<'_>) -> T) -> T {
        let keyring = self.lodge.house.authority.keyring();
        work(Room { desk: self.desk(), staff: self.store(), keyring: &keyring }).await
    }

    /// Where in the feed an ending stands and, if the call asked to wait, which guards have applied it.
    pub(super) async fn heard_by(&self, position: Option<Position>) -> Heard {
        let hub = &self.lodge.house.hub;
        let mut heard =
            Heard { position: position.map(|at| at.to_string()), guards: None, dead_at_latest: None };
        if let (Some(position), Some(patience)) = (position, self.wait) {
            let receipt = hub.settle(position, hub.time_ms(), patience).await;
            let since = receipt.committed_at;
            let applied = receipt.applied.into_iter().map(|one| GuardLine {
                guard: one.guard,
                applied: true,
                after_ms: Some(one.at.saturating_sub(since)),
            });
            let missing = |guard| GuardLine { guard, applied: false, after_ms: None };
            heard.guards = Some(applied.chain(receipt.waiting.into_iter().map(missing)).collect());
            heard.dead_at_latest = Some(receipt.dead_at_latest / 1000);
        }
        heard
    }
}

/// How far an ending has come.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "HeardBy")]
pub(super) struct Heard {
    /// Where in the feed it stands.
    position: Option<String>,
    /// With `Prefer: wait=N`: every connected guard.
    #[serde(skip_serializing_if = "Option::is_none")]
    guards: Option<Vec<GuardLine>>,
    /// Seconds since the epoch: by then no guard accepts any of it, connected or not.
    #[serde(skip_serializing_if = "Option::is_none")]
    dead_at_latest: Option<u64>,
}

/// A guard, and whether it has applied an ending.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "GuardLine")]
struct GuardLine {
    guard: String,
    applied: bool,
    /// Milliseconds from the commit to the guard's word.
    after_ms: Option<u64>,
}

/// A proposal as it is shown.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "Proposal")]
pub(super) struct Shown {
    id: String,
    kind: String,
    what: serde_json::Value,
    /// Of kind and content; an approval names it.
    digest: String,
    /// Operator id.
    proposer: String,
    reason: String,
    created_at: u64,
    expires_at: u64,
    /// `open`, `done`, `refused`, `withdrawn` or `expired`.
    state: &'static str,
    decided_by: Option<String>,
    decided_at: Option<u64>,
    break_glass: bool,
    acknowledged_by: Option<String>,
}

impl Shown {
    /// The proposal as of a moment.
    pub fn of(it: Proposal, now: u64) -> Self {
        Self {
            state: it.state_at(now).as_str(),
            // What does not read was altered, and is shown as it stands.
            what: serde_json::from_str(&it.what).unwrap_or(serde_json::Value::String(it.what)),
            id: it.id,
            kind: it.kind,
            digest: it.digest,
            proposer: it.proposer,
            reason: it.reason,
            created_at: it.created_at,
            expires_at: it.expires_at,
            decided_by: it.decided_by,
            decided_at: it.decided_at,
            break_glass: it.break_glass,
            acknowledged_by: it.acknowledged_by,
        }
    }
}

/// Glass was broken: as loud as a log can be.
pub(super) fn cry(visit: &Visit, what: &str) {
    tracing::error!(
        operator = visit.operator().id,
        what,
        "break-glass: an owner acted without a second person"
    );
}
