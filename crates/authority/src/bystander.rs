//! Whoever stands before a ledger and looks at what is written down. All questions go to the books behind.

use std::sync::Arc;

use async_trait::async_trait;

use crate::invitations::Invitation;
use crate::keyring::KeyChain;
use crate::ledger::{CodeRow, Deed, Done, Family, Issued, Ledger, PersonFactor, Session, Survey, Whose};
use crate::proposals::Proposal;
use crate::refusal::Trouble;

/// Sees every deed on its way to the books. Whoever is one is a [`Ledger`].
#[async_trait]
pub trait Bystander: Send + Sync {
    /// Those behind.
    fn books(&self) -> &Arc<dyn Ledger>;
    /// Has the deed done, or answers for it; see [`Ledger::commit`].
    async fn pass(&self, deed: Deed) -> Result<Done, Trouble>;

    /// Sees a code looked up.
    async fn find_code(&self, hash: &str) -> Result<Option<CodeRow>, Trouble> {
        self.books().code(hash).await
    }

    /// Sees a login looked up.
    async fn find_family(&self, id: &str) -> Result<Option<Family>, Trouble> {
        self.books().family(id).await
    }

    /// Sees a browser session looked up.
    async fn find_session(&self, hash: &str) -> Result<Option<Session>, Trouble> {
        self.books().session(hash).await
    }
}

#[async_trait]
impl<B: Bystander> Ledger for B {
    async fn commit(&self, deed: Deed) -> Result<Done, Trouble> {
        self.pass(deed).await
    }

    async fn code(&self, hash: &str) -> Result<Option<CodeRow>, Trouble> {
        self.find_code(hash).await
    }

    async fn family(&self, id: &str) -> Result<Option<Family>, Trouble> {
        self.find_family(id).await
    }

    async fn session(&self, hash: &str) -> Result<Option<Session>, Trouble> {
        self.find_session(hash).await
    }

    async fn invitation(&self, hash: &str, now: u64) -> Result<Option<Invitation>, Trouble> {
        self.books().invitation(hash, now).await
    }

    async fn invitations_of(&self, person: &str) -> Result<Vec<Invitation>, Trouble> {
        self.books().invitations_of(person).await
    }

    async fn factor(&self, person: &str) -> Result<Option<PersonFactor>, Trouble> {
        self.books().factor(person).await
    }
}

#[async_trait]
impl<B: Bystander> Survey for B {
    async fn key_chain(&self) -> Result<KeyChain, Trouble> {
        self.books().key_chain().await
    }

    async fn live_logins(&self, whose: &Whose, now: u64, most: usize) -> Result<Vec<Family>, Trouble> {
        self.books().live_logins(whose, now, most).await
    }

    async fn issued(&self, whose: &Whose, since: u64) -> Result<Issued, Trouble> {
        self.books().issued(whose, since).await
    }

    async fn live_sessions(&self, person: &str, now: u64) -> Result<u64, Trouble> {
        self.books().live_sessions(person, now).await
    }

    async fn logins_ended(&self, person: &str, reason: &str) -> Result<u64, Trouble> {
        self.books().logins_ended(person, reason).await
    }

    async fn proposal(&self, id: &str) -> Result<Option<Proposal>, Trouble> {
        self.books().proposal(id).await
    }

    async fn proposals_of(&self, proposer: &str) -> Result<Vec<Proposal>, Trouble> {
        self.books().proposals_of(proposer).await
    }

    async fn proposals(&self, open: bool, most: usize) -> Result<Vec<Proposal>, Trouble> {
        self.books().proposals(open, most).await
    }

    async fn broken_glass(&self) -> Result<Vec<Proposal>, Trouble> {
        self.books().broken_glass().await
    }
}
