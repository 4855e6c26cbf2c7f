//! A signed receipt: which guards had applied a revocation when the answer was given, which had not, and
//! the latest moment at which any guard could still have accepted what it ends.

use portcullis_authority::ledger::Position;
use serde_json::{Value, json};

use super::GuardState;

/// The type in its header, so that nothing else of ours can pass for one.
pub const TYPE: &str = "rv-receipt+jwt";

/// A guard and when it said that it was there, milliseconds.
#[derive(Clone, Debug, PartialEq)]
pub struct Applied {
    pub guard: String,
    pub at: u64,
}

/// What is known of a revocation when it is answered.
#[derive(Clone, Debug, PartialEq)]
pub struct Receipt {
    pub position: Position,
    /// Milliseconds.
    pub committed_at: u64,
    pub applied: Vec<Applied>,
    pub waiting: Vec<String>,
    /// Milliseconds: no guard accepts later, connected or not (invariant I3).
    pub dead_at_latest: u64,
}

impl Receipt {
    /// Sorts connected guards by whether they are there.
    pub fn of(
        position: Position,
        committed_at: u64,
        max_staleness_ms: u64,
        connected: Vec<GuardState>,
    ) -> Self {
        let (there, missing): (Vec<_>, Vec<_>) =
            connected.into_iter().partition(|state| state.position() >= position);
        Self {
            position,
            committed_at,
            applied: there.into_iter().map(|state| Applied { guard: state.guard, at: state.at }).collect(),
            waiting: missing.into_iter().map(|state| state.guard).collect(),
            dead_at_latest: committed_at + max_staleness_ms,
        }
    }

    /// Whether nobody is waited for.
    pub fn is_settled(&self) -> bool {
        self.waiting.is_empty()
    }

    /// What is signed.
    pub fn payload(&self, iss: &str, feed: &str) -> Value {
        let applied: Vec<_> = self.applied.iter().map(|a| json!({"guard": a.guard, "at": a.at})).collect();
        json!({
            "iss": iss,
            "feed": feed,
            "epoch": self.position.epoch,
            "seq": self.position.seq,
            "committed_at": self.committed_at,
            "applied": applied,
            "waiting": self.waiting,
            "dead_at_latest": self.dead_at_latest,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_receipt_tells_who_is_there_and_who_is_not() {
        let state = |guard: &str, seq| GuardState {
            guard: guard.into(),
            epoch: 1,
            seq,
            as_of: 0,
            version: String::new(),
            at: 7,
        };
        let receipt =
            Receipt::of(Position { epoch: 1, seq: 5 }, 100, 10_000, vec![state("a", 5), state("b", 4)]);
        assert_eq!(receipt.applied, [Applied { guard: "a".into(), at: 7 }]);
        assert_eq!(receipt.waiting, ["b"]);
        assert_eq!(receipt.dead_at_latest, 10_100);
        assert!(!receipt.is_settled());
    }
}
