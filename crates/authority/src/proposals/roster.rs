//! Which kinds of privileged change there are, and who carries each out. A new kind is one file that
//! implements [`Executor`] and its line in [`ROSTER`].

use async_trait::async_trait;
use serde_json::Value;

use super::{Hand, Proposal, Room};
use crate::ledger::{Act, AuditRecord};
use crate::operators::Denial;

/// Every kind that needs two persons.
pub const ROSTER: &[&dyn Executor] = &[
    &crate::cuts::WideCut,
    &crate::offboarding::Forced,
    &crate::erasure::Erasure,
    &crate::keyring::chain::Handover,
    &crate::passwords::AnotherPassword,
    &crate::operators::FactorReset,
    &crate::applications::AnotherSecret,
    &crate::applications::LastSecret,
    &crate::factors::LostFactor,
    &crate::safety::Lowering,
    &crate::personal_data::Permitting,
    &crate::entrustment::Entrustment,
    &crate::invitations::WithAPlace,
];

/// One kind of privileged change.
#[async_trait]
pub trait Executor: Send + Sync {
    /// Its word.
    fn kind(&self) -> &'static str;

    /// What is proposed, as the one JSON text for it. Two proposals of the same have the same text.
    ///
    /// # Errors
    /// [`Denial`] when it is not understood, or names what does not exist.
    async fn canonical(&self, room: Room<'_>, what: &Value) -> Result<String, Denial>;

    /// What carrying it out does, decided at that moment. It is committed together with the approval.
    ///
    /// # Errors
    /// [`Denial`] when it can no longer be done.
    async fn work(&self, room: Room<'_>, order: &Order<'_>) -> Result<Work, Denial>;
}

/// A proposal on its way to being done.
#[derive(Clone, Copy)]
pub struct Order<'a> {
    pub proposal: &'a Proposal,
    /// Whose word makes it happen: the approver, or who breaks glass.
    pub hand: &'a Hand,
}

/// What is written down together.
#[derive(Clone, Debug, Default)]
pub struct Work {
    pub acts: Vec<Act>,
    pub audit: Vec<AuditRecord>,
}

/// The executor of a kind.
///
/// # Errors
/// [`Denial::Invalid`] naming the kinds that there are.
pub fn find(kind: &str) -> Result<&'static dyn Executor, Denial> {
    ROSTER.iter().copied().find(|executor| executor.kind() == kind).ok_or_else(|| {
        let kinds: Vec<_> = ROSTER.iter().map(|executor| executor.kind()).collect();
        Denial::invalid("kind", format!("No such kind of proposal; there are: {}.", kinds.join(", ")))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_two_executors_share_a_kind() {
        for executor in ROSTER {
            let same = ROSTER.iter().filter(|other| other.kind() == executor.kind());
            assert_eq!(same.count(), 1, "{}", executor.kind());
        }
    }
}
