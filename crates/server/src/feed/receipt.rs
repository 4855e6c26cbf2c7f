//! A signed receipt: which guards had applied a revocation when the answer was given, which had not, and
//! the latest moment at which any guard could still have accepted what it ends.

use portcullis_authority::ledger::Position;
use serde_json::{Value, json};

use super::GuardState;

/// The type in its header, so that nothing else of ours can pass for one.
pub const TYPE: &str = "rv-receipt+jwt";

/// Bytes of guards' names in a receipt. It travels in a header, and 8 KiB is what proxies give to all headers of
/// an answer; the rest of a larger fleet is counted.
const ROOM: usize = 4096;

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
    /// How many of those are worth the wait.
    pub expected: usize,
    /// Milliseconds: no guard accepts later, connected or not (invariant I3).
    pub dead_at_latest: u64,
}

impl Receipt {
    /// Sorts connected guards, each with whether it is worth the wait, by whether they are there. Nobody can have applied what is beyond `head`, where
    /// the feed ends: a guard that says so lies, or speaks of a feed that is no more, and is waited for.
    pub fn of(
        position: Position,
        head: Position,
        committed_at: u64,
        max_staleness_ms: u64,
        connected: Vec<(GuardState, bool)>,
    ) -> Self {
        let (there, missing): (Vec<_>, Vec<_>) =
            connected.into_iter().partition(|(state, _)| (position..=head).contains(&state.position()));
        Self {
            position,
            committed_at,
            applied: there
                .into_iter()
                .map(|(state, _)| Applied { guard: state.guard, at: state.at })
                .collect(),
            expected: missing.iter().filter(|(_, expected)| *expected).count(),
            waiting: missing.into_iter().map(|(state, _)| state.guard).collect(),
            dead_at_latest: committed_at + max_staleness_ms,
        }
    }

    /// Whether nobody is waited for.
    pub fn is_settled(&self) -> bool {
        self.expected == 0
    }

    /// What is signed. Those who are waited for are named first.
    pub fn payload(&self, iss: &str, feed: &str) -> Value {
        let mut room = ROOM;
        let mut fits = |name: &str, around: usize| {
            let left = room.checked_sub(name.len() + around);
            room = left.unwrap_or(room);
            left.is_some()
        };
        let waiting: Vec<_> = self.waiting.iter().filter(|guard| fits(guard, 3)).collect();
        let applied = self.applied.iter().filter(|applied| fits(&applied.guard, 34));
        let applied: Vec<_> = applied.map(|a| json!({"guard": a.guard, "at": a.at})).collect();
        let unnamed = (self.applied.len() - applied.len(), self.waiting.len() - waiting.len());
        let mut payload = json!({
            "iss": iss,
            "feed": feed,
            "epoch": self.position.epoch,
            "seq": self.position.seq,
            "committed_at": self.committed_at,
            "applied": applied,
            "waiting": waiting,
            "dead_at_latest": self.dead_at_latest,
        });
        if unnamed != (0, 0) {
            payload["unnamed"] = json!({"applied": unnamed.0, "waiting": unnamed.1});
        }
        payload
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const AT: Position = Position { epoch: 1, seq: 5 };

    fn state(guard: &str, epoch: u64, seq: u64) -> (GuardState, bool) {
        let state = GuardState {
            guard: guard.into(),
            epoch,
            seq,
            as_of: 0,
            version: String::new(),
            at: 7,
            excused_until: 0,
        };
        (state, true)
    }

    #[test]
    fn a_receipt_tells_who_is_there_and_who_is_not() {
        let receipt = Receipt::of(AT, AT, 100, 10_000, vec![state("a", 1, 5), state("b", 1, 4)]);
        assert_eq!(receipt.applied, [Applied { guard: "a".into(), at: 7 }]);
        assert_eq!(receipt.waiting, ["b"]);
        assert_eq!(receipt.dead_at_latest, 10_100);
        assert!(!receipt.is_settled());
    }

    #[test]
    fn who_is_excused_is_named_and_not_waited_for() {
        let receipt = Receipt::of(AT, AT, 100, 10_000, vec![state("a", 1, 5), (state("b", 1, 4).0, false)]);
        assert_eq!(receipt.waiting, ["b"]);
        assert!(receipt.is_settled());
    }

    #[test]
    fn a_guard_that_says_more_than_the_feed_holds_is_waited_for() {
        let head = Position { epoch: 1, seq: 6 };
        let boasting = vec![state("a", 1, 7), state("b", 1, u64::MAX), state("c", 2, 0), state("d", 1, 6)];
        let receipt = Receipt::of(AT, head, 100, 10_000, boasting);
        assert_eq!(receipt.waiting, ["a", "b", "c"]);
        assert_eq!(receipt.applied.len(), 1);
    }

    #[test]
    fn a_receipt_of_a_large_fleet_still_fits_into_a_header() {
        let name = |n: u64| format!("{n:04}{}", "x".repeat(76));
        let fleet = (0..1000).map(|n| state(&name(n), 1, 5 - n % 2)).collect();
        let payload = Receipt::of(AT, AT, 100, 10_000, fleet).payload("https://auth.example.com", "live:eu1");
        assert!(payload.to_string().len() < ROOM + 300);
        let named = |list: &str| payload[list].as_array().expect("a list").len();
        assert!(named("waiting") > 40, "those who are waited for come first");
        assert_eq!(payload["unnamed"]["waiting"], 500 - named("waiting"));
        assert_eq!(payload["unnamed"]["applied"], 500 - named("applied"));
    }
}
