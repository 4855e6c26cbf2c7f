//! Separation of duties: a privileged change is proposed by one operator and confirmed by another within a
//! time limit. The approval and the change are one transaction, so it is done once or not at all; what was
//! seen is what is done, because its digest is compared.
//!
//! What a kind of change does is in its own file (`roster.rs`); nothing here knows one from another.

mod order;
mod proposal;
mod roster;
mod standing;

pub use order::{Hand, Reason, Room};
pub use proposal::{Acknowledgement, Orphaning, Proposal, Settlement, State, digest_of};
pub use roster::{Executor, Order, ROSTER, Work};
pub(crate) use standing::orphaned;

use serde_json::{Value, json};
use standing::Presence;

use crate::ledger::{Act, AuditRecord, Deed, Done, Position};
use crate::operators::Denial;
use crate::refusal::Trouble;

/// How often the registry may change under our hands before we say that we are busy.
const ATTEMPTS: usize = 8;
/// Proposals in one list.
const MOST: usize = 200;
/// Open proposals of one operator: all of them end with the account, in one deed.
const MOST_OPEN: usize = 100;

/// What somebody wants to be done.
pub struct Wish<'a> {
    pub kind: &'a str,
    pub what: &'a Value,
    pub reason: &'a str,
    /// Of what was previewed; compared when it is given.
    pub digest: Option<&'a str>,
}

/// What came of a decision.
#[derive(Clone, Debug)]
pub struct Settled {
    pub proposal: Proposal,
    /// Where the feed stands, when something has ended.
    pub position: Option<Position>,
}

impl<'a> Room<'a> {
    /// Puts a proposal up.
    ///
    /// # Errors
    /// [`Denial`]; then there is none.
    pub async fn propose(self, hand: &Hand, wish: &Wish<'_>) -> Result<Proposal, Denial> {
        for _ in 0..ATTEMPTS {
            let present = self.present(hand).await?;
            present.hand.must_operate()?;
            self.must_have_room(hand).await?;
            let proposal = self.written(hand, wish).await?;
            let record = about("proposal.opened", hand, &proposal, self.desk.now())?;
            let act = Act::Several(vec![present.held(), Act::PutProposal(proposal.clone())]);
            if let Done::Committed { .. } = self.desk.ledger.commit(Deed::new(act, record)).await? {
                return Ok(proposal);
            }
        }
        Err(busy())
    }

    /// Approves a proposal and carries it out.
    ///
    /// # Errors
    /// [`Denial`]; then nothing was done and the proposal is as it was.
    pub async fn approve(self, hand: &Hand, id: &str, digest: &str) -> Result<Settled, Denial> {
        self.noting(hand, id, self.try_approve(hand, id, digest).await).await
    }

    /// Refuses a proposal of somebody else.
    ///
    /// # Errors
    /// [`Denial`]; then it is as it was.
    pub async fn refuse(self, hand: &Hand, id: &str, why: &str) -> Result<Proposal, Denial> {
        let present = self.present(hand).await?;
        present.hand.must_approve()?;
        let reason = Reason::read(why)?;
        let proposal = self.open_one(id).await?;
        // To say no one need not be independent; otherwise whoever proposes could make sure that nobody is.
        if hand.id == proposal.proposer {
            return Err(Denial::forbidden("You may not refuse your own proposal; withdraw it."));
        }
        self.close(&present, proposal, State::Refused, ("proposal.refused", &reason)).await
    }

    /// Takes a proposal back: the proposer's own, or any for an owner.
    ///
    /// # Errors
    /// [`Denial`]; then it is as it was.
    pub async fn withdraw(self, hand: &Hand, id: &str, why: &str) -> Result<Proposal, Denial> {
        let present = self.present(hand).await?;
        present.hand.must_operate()?;
        let reason = Reason::read(why)?;
        let proposal = self.open_one(id).await?;
        if proposal.proposer != hand.id && !present.hand.owns {
            return Err(Denial::forbidden(
                "Only its proposer or an owner withdraws a proposal; an approver refuses it.",
            ));
        }
        self.close(&present, proposal, State::Withdrawn, ("proposal.withdrawn", &reason)).await
    }

    /// Does at once, alone, what needs two persons. Whoever calls this makes it loud.
    ///
    /// # Errors
    /// [`Denial`]; then nothing was done.
    pub async fn break_glass(self, hand: &Hand, wish: &Wish<'_>) -> Result<Settled, Denial> {
        let present = self.present(hand).await?;
        if !present.hand.owns {
            let sentence = "Only an owner breaks glass; leave out break_glass and have it approved.";
            return Err(Denial::forbidden(sentence));
        }
        let mut proposal = self.written(hand, wish).await?;
        proposal.state = State::Done;
        proposal.break_glass = true;
        proposal.decided_by = Some(hand.id.clone());
        proposal.decided_at = Some(proposal.created_at);
        let record = about("break_glass.used", hand, &proposal, proposal.created_at)?;
        for _ in 0..ATTEMPTS {
            // Whoever was an owner a moment ago may be none any more.
            let present = self.present(hand).await?;
            if !present.hand.owns {
                break;
            }
            let first = Act::PutProposal(proposal.clone());
            if let Some(position) = self.carry_out(&present, &proposal, first, record.clone()).await? {
                return Ok(Settled { proposal, position });
            }
        }
        Err(busy())
    }

    /// Notes that another person has looked at broken glass.
    ///
    /// # Errors
    /// [`Denial`].
    pub async fn acknowledge(self, hand: &Hand, id: &str) -> Result<Proposal, Denial> {
        let present = self.present(hand).await?;
        let hand = &present.hand;
        if !hand.approves && !hand.owns {
            return Err(Denial::forbidden(
                "Only an approver or an owner acknowledges broken glass; ask one.",
            ));
        }
        let proposal = self.proposal(id).await?;
        if !proposal.break_glass || proposal.acknowledged_by.is_some() {
            return Err(Denial::conflict("There is nothing to acknowledge here."));
        }
        self.must_be_another(hand, &proposal, "acknowledge the glass that you broke; somebody else must")?;
        let seen = Acknowledgement { id: id.into(), by: hand.id.clone(), now: self.desk.now() };
        let record = about("break_glass.acknowledged", hand, &proposal, seen.now)?;
        let act = Act::Several(vec![present.held(), Act::Acknowledge(seen)]);
        match self.desk.ledger.commit(Deed::new(act, record)).await? {
            Done::Committed { .. } => self.proposal(id).await,
            _ => Err(Denial::conflict("Somebody else has acknowledged it a moment ago.")),
        }
    }

    /// A proposal.
    ///
    /// # Errors
    /// [`Denial::Missing`] or trouble.
    pub async fn proposal(self, id: &str) -> Result<Proposal, Denial> {
        let found = self.desk.ledger.proposal(id).await?;
        found.ok_or_else(|| Denial::missing("There is no proposal with this id; list them to find it."))
    }

    /// The newest proposals; `open` leaves out what is decided or expired.
    ///
    /// # Errors
    /// Trouble.
    pub async fn proposals(self, open: bool) -> Result<Vec<Proposal>, Denial> {
        let now = self.desk.now();
        let mut all = self.desk.ledger.proposals(open, MOST).await?;
        all.retain(|one| !open || one.state_at(now) == State::Open);
        Ok(all)
    }

    /// Broken glass that nobody has acknowledged.
    ///
    /// # Errors
    /// Trouble.
    pub async fn broken_glass(self) -> Result<Vec<Proposal>, Denial> {
        Ok(self.desk.ledger.broken_glass().await?)
    }

    async fn written(self, hand: &Hand, wish: &Wish<'_>) -> Result<Proposal, Denial> {
        let reason = Reason::read(wish.reason)?;
        let what = roster::find(wish.kind)?.canonical(self, wish.what).await?;
        let digest = digest_of(wish.kind, &what);
        if wish.digest.is_some_and(|seen| seen != digest) {
            return Err(Denial::conflict("This is not what was previewed; preview it again and compare."));
        }
        let now = self.desk.now();
        Ok(Proposal {
            id: self.desk.id_text(),
            kind: wish.kind.into(),
            what,
            digest,
            proposer: hand.id.clone(),
            reason: reason.as_str().into(),
            created_at: now,
            expires_at: now + u64::from(self.desk.terms.proposal_lifetime),
            state: State::Open,
            decided_by: None,
            decided_at: None,
            break_glass: false,
            acknowledged_by: None,
            acknowledged_at: None,
        })
    }

    async fn try_approve(self, hand: &Hand, id: &str, digest: &str) -> Result<Settled, Denial> {
        for _ in 0..ATTEMPTS {
            let present = self.present(hand).await?;
            let hand = &present.hand;
            hand.must_approve()?;
            let proposal = self.open_one(id).await?;
            self.must_be_another(hand, &proposal, "approve your own proposal; ask another approver")?;
            if !proposal.is_unaltered() || proposal.digest != digest {
                let sentence = "The proposal is not the one that you have seen; look at it again.";
                return Err(Denial::conflict(sentence));
            }
            present.must_have_a_proposer(&proposal)?;
            let settlement = self.settlement(hand, &proposal, State::Done);
            let record = about("proposal.approved", hand, &proposal, settlement.now)?;
            let first = Act::Settle(settlement);
            if let Some(position) = self.carry_out(&present, &proposal, first, record).await? {
                return Ok(Settled { proposal: self.proposal(id).await?, position });
            }
            // Either somebody else has decided, which the next look tells, or the registry or the operators have
            // moved.
        }
        Err(busy())
    }

    /// The first act and the work of the kind, all or nothing; `None` when something had moved.
    async fn carry_out(
        self,
        present: &Presence,
        proposal: &Proposal,
        first: Act,
        record: AuditRecord,
    ) -> Result<Option<Option<Position>>, Denial> {
        let executor = roster::find(&proposal.kind)?;
        let mut work = executor.work(self, &Order { proposal, hand: &present.hand }).await?;
        work.acts.splice(0..0, [present.held(), first]);
        work.audit.insert(0, record);
        let deed = Deed { act: Act::Several(work.acts), audit: work.audit };
        match self.desk.ledger.commit(deed).await? {
            Done::Committed { position } => Ok(Some(position)),
            Done::Lost => Ok(None),
            Done::Spent { .. } => Err(Trouble::new("ledger", "a proposal was answered as spent").into()),
        }
    }

    async fn close(
        self,
        present: &Presence,
        proposal: Proposal,
        to: State,
        (event, reason): (&str, &Reason),
    ) -> Result<Proposal, Denial> {
        let hand = &present.hand;
        let settlement = self.settlement(hand, &proposal, to);
        let mut record = about(event, hand, &proposal, settlement.now)?;
        record.reason = Some(reason.as_str().into());
        let act = Act::Several(vec![present.held(), Act::Settle(settlement)]);
        match self.desk.ledger.commit(Deed::new(act, record)).await? {
            Done::Committed { .. } => self.proposal(&proposal.id).await,
            _ => Err(Denial::conflict(
                "Somebody else has decided on it a moment ago, or the operators were changed; look at it again.",
            )),
        }
    }

    async fn must_have_room(self, hand: &Hand) -> Result<(), Denial> {
        let now = self.desk.now();
        let open = self.desk.ledger.proposals_of(&hand.id).await?;
        match open.iter().filter(|it| it.state_at(now) == State::Open).count() < MOST_OPEN {
            true => Ok(()),
            false => Err(Denial::conflict(
                "There are 100 open proposals of yours; have some of them decided, or withdraw them.",
            )),
        }
    }

    async fn open_one(self, id: &str) -> Result<Proposal, Denial> {
        let proposal = self.proposal(id).await?;
        match proposal.state_at(self.desk.now()) {
            State::Open => Ok(proposal),
            State::Expired => Err(Denial::conflict("The proposal has expired; propose it again.")),
            state => Err(Denial::conflict(format!(
                "The proposal is {} already; nothing is done twice.",
                state.as_str()
            ))),
        }
    }

    fn must_be_another(self, hand: &Hand, proposal: &Proposal, what: &str) -> Result<(), Denial> {
        if hand.id == proposal.proposer {
            return Err(Denial::forbidden(format!("You may not {what}.")));
        }
        if hand.kin.contains(&proposal.proposer) {
            return Err(Denial::forbidden(
                "One of you made or changed the account of the other within the last day, so you are no second person here; ask another approver.",
            ));
        }
        Ok(())
    }

    fn settlement(self, hand: &Hand, proposal: &Proposal, to: State) -> Settlement {
        Settlement {
            id: proposal.id.clone(),
            digest: proposal.digest.clone(),
            to,
            by: hand.id.clone(),
            now: self.desk.now(),
        }
    }

    /// Who tried to approve what they may not is worth a record.
    async fn noting<T>(self, hand: &Hand, id: &str, answer: Result<T, Denial>) -> Result<T, Denial> {
        if let Err(Denial::Forbidden(why)) = &answer {
            let mut record = hand.record("proposal.not_approved", &Reason::read(why)?, self.desk.now());
            record.detail = Some(json!({ "proposal": id }).to_string());
            self.desk.ledger.commit(Deed::new(Act::Note, record)).await?;
        }
        answer
    }
}

/// An audit record about a proposal; the reason is the proposer's.
fn about(event: &str, hand: &Hand, proposal: &Proposal, now: u64) -> Result<AuditRecord, Denial> {
    let what: Value = serde_json::from_str(&proposal.what).map_err(|e| Trouble::new("proposals", e))?;
    let detail = json!({
        "proposal": proposal.id,
        "kind": proposal.kind,
        "what": what,
        "digest": proposal.digest,
        "proposer": proposal.proposer,
    });
    let mut record = hand.record(event, &Reason::read(&proposal.reason)?, now);
    record.detail = Some(detail.to_string());
    Ok(record)
}

fn busy() -> Denial {
    Trouble::new("proposals", "the registry kept changing").into()
}
