//! Who gives an order and why. The person has proved who it is elsewhere; what the rules here need of them
//! is only this.

use crate::ask::Origin;
use crate::audit;
use crate::desk::Desk;
use crate::handle::Handle;
use crate::keyring::Keyring;
use crate::ledger::AuditRecord;
use crate::operators::{Denial, StaffBook};

/// The longest reason, characters: a sentence or two and the number of a ticket.
const LONGEST_REASON: usize = 500;

/// An operator at work.
#[derive(Clone, Debug)]
pub struct Hand {
    /// Operator id.
    pub id: String,
    /// May end things and propose.
    pub operates: bool,
    /// May decide on what others propose.
    pub approves: bool,
    /// May break glass.
    pub owns: bool,
    /// Operators who are no second person to this one: see [`crate::operators::Staff::kin`].
    pub kin: Vec<String>,
    pub origin: Origin,
}

/// Where orders are carried out.
#[derive(Clone, Copy)]
pub struct Room<'a> {
    pub desk: &'a Desk,
    pub staff: &'a dyn StaffBook,
    pub keyring: &'a Keyring,
}

/// Why, in an operator's words: never empty, bounded, and fit for a log line and a printed page.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reason(String);

impl Reason {
    /// Reads what an operator wrote.
    ///
    /// # Errors
    /// [`Denial::Invalid`] for nothing, too much, control characters, and what looks like a token.
    pub fn read(text: &str) -> Result<Self, Denial> {
        let text = text.trim();
        if text.is_empty() {
            return Err(Denial::invalid(
                "reason",
                "Say why: a reason is required and is kept in the audit log.",
            ));
        }
        if text.chars().count() > LONGEST_REASON {
            let sentence = format!("The reason is longer than {LONGEST_REASON} characters; shorten it.");
            return Err(Denial::invalid("reason", sentence));
        }
        if text.chars().any(char::is_control) {
            return Err(Denial::invalid(
                "reason",
                "The reason holds control characters; write it on one line.",
            ));
        }
        if text.split_whitespace().any(|word| Handle::looks_like_one(word) || is_like_a_token(word)) {
            return Err(Denial::invalid(
                "reason",
                "The reason holds a token; leave it out, reasons are kept.",
            ));
        }
        Ok(Self(text.into()))
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// Three parts of which the first is a JSON object: a compact JWS (RFC 7515 section 7.1).
fn is_like_a_token(word: &str) -> bool {
    word.contains("eyJ") && word.matches('.').count() >= 2
}

impl Hand {
    /// An audit record of what this operator does.
    pub fn record(&self, event: &str, reason: &Reason, now: u64) -> AuditRecord {
        AuditRecord {
            actors: vec![format!("operator:{}", self.id)],
            reason: Some(reason.as_str().into()),
            ..audit::event(event, now, &self.origin)
        }
    }

    /// # Errors
    /// [`Denial::Forbidden`] for those who only look.
    pub fn must_operate(&self) -> Result<(), Denial> {
        let sentence = "Your role may look and not change; ask an operator.";
        self.operates.then_some(()).ok_or(Denial::forbidden(sentence))
    }

    /// # Errors
    /// [`Denial::Forbidden`] for those who may not decide.
    pub fn must_approve(&self) -> Result<(), Denial> {
        let sentence = "Only an approver decides on proposals; ask one.";
        self.approves.then_some(()).ok_or(Denial::forbidden(sentence))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reason_is_one_bounded_line_without_tokens() {
        let longest = "ä".repeat(LONGEST_REASON);
        for good in ["left", "  INC-7: laptop stolen ", &longest] {
            assert_eq!(Reason::read(good).unwrap().as_str(), good.trim());
        }
        let too_long = format!("{longest}a");
        for bad in
            ["", "  \t ", "two\nlines", "a\u{7}bell", &too_long, "saw eyJhbGciOiJFUzI1NiJ9.eyJ9.c2ln here"]
        {
            assert!(matches!(Reason::read(bad), Err(Denial::Invalid(_))), "{bad:?}");
        }
    }
}
