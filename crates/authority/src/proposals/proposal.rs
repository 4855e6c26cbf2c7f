//! A privileged change that waits for a second person: what is proposed, by whom, why, until when, and what
//! became of it.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ring::digest;
use serde::{Deserialize, Serialize};

/// A proposal as it is kept.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Proposal {
    /// 22 characters.
    pub id: String,
    /// Whose line in the roster carries it out.
    pub kind: String,
    /// What is proposed, as the one canonical JSON text of its kind.
    pub what: String,
    /// [`digest_of`] kind and text: what was seen is what is done.
    pub digest: String,
    /// Operator id.
    pub proposer: String,
    pub reason: String,
    /// Seconds, as all times here.
    pub created_at: u64,
    pub expires_at: u64,
    pub state: State,
    /// Who approved, refused or withdrew it.
    pub decided_by: Option<String>,
    pub decided_at: Option<u64>,
    /// Carried out by the proposer alone.
    pub break_glass: bool,
    /// The other person who has looked at the broken glass.
    pub acknowledged_by: Option<String>,
    pub acknowledged_at: Option<u64>,
}

/// What became of a proposal. An approval and the change are one transaction, so there is nothing between
/// open and done.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum State {
    Open,
    Done,
    Refused,
    Withdrawn,
    /// Nobody writes this down: an open proposal whose time is over is expired.
    Expired,
}

impl State {
    const ALL: [Self; 5] = [Self::Open, Self::Done, Self::Refused, Self::Withdrawn, Self::Expired];

    pub fn as_str(self) -> &'static str {
        match self {
            Self::Open => "open",
            Self::Done => "done",
            Self::Refused => "refused",
            Self::Withdrawn => "withdrawn",
            Self::Expired => "expired",
        }
    }

    /// The state with this word.
    pub fn from_word(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|state| state.as_str() == word)
    }
}

impl Proposal {
    /// The state as it is seen at a moment.
    pub fn state_at(&self, now: u64) -> State {
        match self.state {
            State::Open if now >= self.expires_at => State::Expired,
            state => state,
        }
    }

    /// Whether kind and text are those that the digest was made of.
    pub fn is_unaltered(&self) -> bool {
        digest_of(&self.kind, &self.what) == self.digest
    }
}

/// What stands for a proposal's content: base64url SHA-256 over its kind and text.
pub fn digest_of(kind: &str, what: &str) -> String {
    let mut hash = digest::Context::new(&digest::SHA256);
    hash.update(b"portcullis-proposal\0");
    hash.update(kind.as_bytes());
    hash.update(b"\0");
    hash.update(what.as_bytes());
    URL_SAFE_NO_PAD.encode(hash.finish())
}

/// The one decision on an open proposal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settlement {
    pub id: String,
    /// Of the content that was decided on.
    pub digest: String,
    pub to: State,
    pub by: String,
    pub now: u64,
}

impl Settlement {
    /// Whether the proposal is as it must be. The books compare the same once more, in the transaction.
    pub fn fits(&self, proposal: &Proposal) -> bool {
        proposal.id == self.id
            && proposal.digest == self.digest
            && proposal.state_at(self.now) == State::Open
            && (self.to == State::Withdrawn || proposal.proposer != self.by)
    }

    pub fn apply(&self, proposal: &mut Proposal) {
        proposal.state = self.to;
        proposal.decided_by = Some(self.by.clone());
        proposal.decided_at = Some(self.now);
    }
}

/// The end of every open proposal of somebody who no longer stands behind them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Orphaning {
    /// Operator id.
    pub proposer: String,
    /// All that are open: the books do it for exactly these or not at all.
    pub ids: Vec<String>,
    /// Who took away what the proposer stood on.
    pub by: String,
    pub now: u64,
}

impl Orphaning {
    /// Whether it is about this proposal.
    pub fn fits(&self, proposal: &Proposal) -> bool {
        proposal.proposer == self.proposer && proposal.state_at(self.now) == State::Open
    }

    pub fn apply(&self, proposal: &mut Proposal) {
        proposal.state = State::Withdrawn;
        proposal.decided_by = Some(self.by.clone());
        proposal.decided_at = Some(self.now);
    }
}

/// Another person has looked at broken glass.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Acknowledgement {
    pub id: String,
    pub by: String,
    pub now: u64,
}

impl Acknowledgement {
    /// Whether the glass is broken, unseen, and was not broken by the same person.
    pub fn fits(&self, proposal: &Proposal) -> bool {
        proposal.id == self.id
            && proposal.break_glass
            && proposal.acknowledged_by.is_none()
            && proposal.proposer != self.by
    }

    pub fn apply(&self, proposal: &mut Proposal) {
        proposal.acknowledged_by = Some(self.by.clone());
        proposal.acknowledged_at = Some(self.now);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_digest_tells_kind_and_text_apart() {
        assert_ne!(digest_of("a", "bc"), digest_of("ab", "c"));
        assert_eq!(digest_of("a", "bc"), digest_of("a", "bc"));
    }

    #[test]
    fn every_state_has_a_word_of_its_own() {
        for state in State::ALL {
            assert_eq!(State::from_word(state.as_str()), Some(state));
        }
    }
}
