//! Operators at work in the house.

use portcullis_authority::TokenReply;
use portcullis_authority::cuts::{Cut, CutKind, Cutting, Ordered};
use portcullis_authority::ledger::{Act, Deed, Position};
use portcullis_authority::operators::{Denial, Operator, OperatorRole};
use portcullis_authority::proposals::{Hand, Proposal, Room, Settled};
use portcullis_authority::refusal::Refusal;

use super::{House, origin};

/// Ends things and proposes.
pub fn operator(id: &str) -> Hand {
    Hand { id: id.into(), operates: true, approves: false, owns: false, kin: Vec::new(), origin: origin() }
}

/// Decides, and proposes as well.
pub fn approver(id: &str) -> Hand {
    Hand { approves: true, ..operator(id) }
}

pub fn owner(id: &str) -> Hand {
    Hand { owns: true, ..operator(id) }
}

/// Looks.
pub fn auditor(id: &str) -> Hand {
    Hand { operates: false, ..operator(id) }
}

/// Those who run the server. Everybody here was an operator long before.
pub fn crew() -> Vec<Operator> {
    use OperatorRole::{Approver, Auditor, Operator as Ordering, Owner};
    let deciding = &[Ordering, Approver][..];
    let crew = [
        ("op", &[Ordering][..]),
        ("other", &[Ordering]),
        ("ap", deciding),
        ("a1", deciding),
        ("a2", deciding),
        ("a3", deciding),
        ("new", deciding),
        ("boss", &[Owner]),
        ("another", &[Owner]),
        ("au", &[Auditor]),
    ];
    crew.into_iter().map(|(id, roles)| colleague(id, roles)).collect()
}

/// An operator's account.
pub fn colleague(id: &str, roles: &[OperatorRole]) -> Operator {
    Operator::new(id, format!("{id}@crew.test"), roles.to_vec(), 0)
}

pub fn cut(kind: CutKind, id: &str) -> Cut {
    Cut { kind, id: id.into() }
}

pub fn because(cut: &Cut) -> Cutting<'_> {
    Cutting { cut, reason: "INC-7: laptop stolen", digest: None, break_glass: false }
}

impl House {
    /// Has something done in the room where orders are carried out.
    pub async fn order<T>(&self, work: impl AsyncFnOnce(Room<'_>) -> T) -> T {
        let keyring = self.authority.keyring();
        work(Room { desk: self.authority.desk(), staff: &*self.memory, keyring: &keyring }).await
    }

    /// Ends something at once.
    pub async fn end(&self, kind: CutKind, id: &str) -> Option<Position> {
        let cut = cut(kind, id);
        match self.order(async |room| room.cut(&operator("op"), &because(&cut)).await).await.unwrap() {
            Ordered::Ended { position, .. } => position,
            Ordered::Proposed(proposal) => panic!("proposed: {proposal:?}"),
        }
    }

    /// Proposes to end something.
    pub async fn proposed(&self, kind: CutKind, id: &str) -> Proposal {
        let cut = cut(kind, id);
        match self.order(async |room| room.cut(&operator("op"), &because(&cut)).await).await.unwrap() {
            Ordered::Proposed(proposal) => proposal,
            Ordered::Ended { .. } => panic!("ended at once"),
        }
    }

    pub async fn approve(&self, hand: &Hand, proposal: &Proposal) -> Result<Settled, Denial> {
        self.order(async |room| room.approve(hand, &proposal.id, &proposal.digest).await).await
    }
}

impl House {
    /// Refreshes a login at the web application.
    pub async fn refresh_at_web(&self, login: &TokenReply) -> Result<TokenReply, Refusal> {
        let token = login.refresh_token.as_deref().expect("the web application has refresh tokens");
        self.by("web", &[("grant_type", "refresh_token"), ("refresh_token", token)]).await
    }

    /// Writes a proposal into the books as it is.
    pub async fn put(&self, proposal: Proposal) {
        let deed = Deed { act: Act::PutProposal(proposal), audit: Vec::new() };
        self.authority.desk().ledger.commit(deed).await.unwrap();
    }
}
