//! Access reviews: a picture of who has what is taken, each line is signed off with a reason, kept or
//! withdrawn, and what is withdrawn ends in the very transaction that notes it. Nobody signs for their own
//! access. What was decided stays as evidence.

mod access;
mod withdrawal;

use async_trait::async_trait;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ring::digest;
use serde::{Deserialize, Serialize};
use serde_json::json;

pub use access::{Access, AccessKind, Extent, Remark, STALE_DAYS, Uses, survey};

use crate::desk::Desk;
use crate::ledger::{Act, AuditRecord, Deed, Done, Position};
use crate::operators::{Denial, OperatorRole, StaffBook, folded};
use crate::proposals::{Hand, Reason};
use crate::refusal::Trouble;

/// Lines of one review: a person has to read them.
const LONGEST: usize = 20_000;
/// How often things may change under our hands before we say that we are busy.
const ATTEMPTS: usize = 8;

/// A review.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Review {
    pub id: String,
    pub extent: Extent,
    /// Operator ids.
    pub opened_by: String,
    /// Seconds, as all times here.
    pub opened_at: u64,
    /// Who signs; nobody named is every operator.
    pub assignee: Option<String>,
    /// How many lines there are.
    pub rows: u64,
    /// How many of them are decided.
    pub decided: u64,
    pub closed_by: Option<String>,
    pub closed_at: Option<u64>,
    /// Of its lines, once it is closed: [`digest_of`].
    pub digest: Option<String>,
}

/// A line of a review.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ReviewRow {
    /// From 1.
    pub n: u64,
    pub access: Access,
    pub decision: Option<Decision>,
    pub decided_by: Option<String>,
    pub decided_at: Option<u64>,
    pub reason: Option<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Decision {
    Keep,
    Withdraw,
}

impl Decision {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Keep => "keep",
            Self::Withdraw => "withdraw",
        }
    }

    /// The decision with this word.
    pub fn from_word(word: &str) -> Option<Self> {
        [Self::Keep, Self::Withdraw].into_iter().find(|one| one.as_str() == word)
    }
}

/// What a deed does to reviews. All but opening are [`Done::Lost`] unless the review is open.
#[derive(Clone, Debug, PartialEq)]
pub enum ReviewAct {
    Open {
        review: Box<Review>,
        rows: Vec<ReviewRow>,
    },
    Assign {
        review: String,
        to: String,
    },
    /// Lost, too, unless the line is undecided and the review is theirs to sign.
    Sign {
        review: String,
        n: u64,
        decision: Decision,
        by: String,
        reason: String,
        now: u64,
    },
    /// Lost, too, while a line is undecided.
    Close {
        review: String,
        by: String,
        now: u64,
        digest: String,
    },
}

/// Where reviews are looked up.
#[async_trait]
pub trait ReviewBook: Send + Sync {
    /// When things were used last.
    async fn uses(&self) -> Result<Uses, Trouble>;
    /// A review with its lines in order.
    async fn review(&self, id: &str) -> Result<Option<(Review, Vec<ReviewRow>)>, Trouble>;
    /// The newest reviews, at most so many.
    async fn reviews(&self, most: usize) -> Result<Vec<Review>, Trouble>;
}

/// The room where reviews are done.
#[derive(Clone, Copy)]
pub struct Reviews<'a> {
    pub desk: &'a Desk,
    pub staff: &'a dyn StaffBook,
    pub book: &'a dyn ReviewBook,
}

/// A signature under one line.
pub struct Signature<'a> {
    pub hand: &'a Hand,
    /// Of the operator: an account elsewhere with this address is their own.
    pub email: &'a str,
    pub decision: Decision,
    pub reason: &'a str,
}

impl Reviews<'_> {
    /// Takes the picture and opens a review of it.
    ///
    /// # Errors
    /// [`Denial`]; then there is none.
    pub async fn open(self, hand: &Hand, extent: Extent, assignee: Option<&str>) -> Result<Review, Denial> {
        hand.must_operate()?;
        if let Some(id) = assignee {
            self.must_be_fit(id).await?;
        }
        let found = survey(self.desk, self.staff, self.book, &extent).await?;
        if found.len() > LONGEST {
            return Err(Denial::invalid(
                "organization",
                format!("{} lines are too many for one review; open one for each organization.", found.len()),
            ));
        }
        let line = |(access, n)| ReviewRow {
            n,
            access,
            decision: None,
            decided_by: None,
            decided_at: None,
            reason: None,
        };
        let rows: Vec<_> = found.into_iter().zip(1..).map(line).collect();
        let review = Review {
            id: self.desk.id_text(),
            extent,
            opened_by: hand.id.clone(),
            opened_at: self.desk.now(),
            assignee: assignee.map(str::to_owned),
            rows: rows.len() as u64,
            decided: 0,
            closed_by: None,
            closed_at: None,
            digest: None,
        };
        let detail = json!({ "rows": review.rows, "assignee": review.assignee });
        let record = self.record("review.opened", hand, &review.id, detail);
        let act = ReviewAct::Open { review: Box::new(review.clone()), rows };
        self.desk.ledger.commit(Deed::new(Act::Review(act), record)).await?;
        Ok(review)
    }

    /// Gives a review to somebody to sign.
    ///
    /// # Errors
    /// [`Denial`]; then it is as it was.
    pub async fn assign(self, hand: &Hand, id: &str, to: &str) -> Result<Review, Denial> {
        hand.must_operate()?;
        self.must_be_fit(to).await?;
        self.one_open(id).await?;
        let record = self.record("review.assigned", hand, id, json!({ "assignee": to }));
        let act = ReviewAct::Assign { review: id.into(), to: to.into() };
        match self.desk.ledger.commit(Deed::new(Act::Review(act), record)).await? {
            Done::Committed { .. } => Ok(self.one(id).await?.0),
            _ => Err(Denial::conflict("The review was closed a moment ago.")),
        }
    }

    /// Signs a line off. What is withdrawn has ended when this answers, and where the feed stands then.
    ///
    /// # Errors
    /// [`Denial`]; then nothing was signed and nothing has ended.
    pub async fn sign(self, id: &str, n: u64, signature: &Signature<'_>) -> Result<Option<Position>, Denial> {
        let (hand, decision) = (signature.hand, signature.decision);
        hand.must_operate()?;
        let reason = Reason::read(signature.reason)?;
        for _ in 0..ATTEMPTS {
            let (review, rows) = self.one_open(id).await?;
            must_be_theirs(hand, &review)?;
            let row = rows.into_iter().find(|row| row.n == n);
            let row = row.ok_or_else(|| Denial::missing("The review has no such line."))?;
            must_be_undecided(&row)?;
            must_be_anothers(signature, &row.access)?;
            let event = match decision {
                Decision::Keep => "review.kept",
                Decision::Withdraw => "review.withdrawn",
            };
            let access = &row.access;
            let detail = json!({ "row": n, "kind": access.kind, "id": access.id, "role": access.role });
            let mut record = self.record(event, hand, id, detail);
            record.reason = Some(reason.as_str().into());
            record.organization = access.organization.clone();
            let sign = ReviewAct::Sign {
                review: id.into(),
                n,
                decision,
                by: hand.id.clone(),
                reason: reason.as_str().into(),
                now: self.desk.now(),
            };
            let (mut acts, mut audit) = (vec![Act::Review(sign)], vec![record]);
            if decision == Decision::Withdraw {
                let ending = withdrawal::of(self, hand, access, &reason).await?;
                acts.extend(ending.acts);
                audit.extend(ending.audit);
            }
            let deed = Deed { act: Act::Several(acts), audit };
            if let Done::Committed { position } = self.desk.ledger.commit(deed).await? {
                return Ok(position);
            }
            // Either the line is decided now, which the next look tells, or what it is about has moved.
        }
        Err(Trouble::new("reviews", "the registry kept changing").into())
    }

    /// Closes a review of which every line is decided.
    ///
    /// # Errors
    /// [`Denial::Conflict`] naming lines that are not.
    pub async fn close(self, hand: &Hand, id: &str) -> Result<Review, Denial> {
        hand.must_operate()?;
        let (review, rows) = self.one_open(id).await?;
        must_be_theirs(hand, &review)?;
        let open: Vec<_> = rows.iter().filter(|row| row.decision.is_none()).map(|row| row.n).collect();
        if !open.is_empty() {
            let first: Vec<_> = open.iter().take(20).map(u64::to_string).collect();
            let more = if open.len() > first.len() { ", ..." } else { "" };
            return Err(Denial::conflict(format!(
                "{} lines are not decided: {}{more}.",
                open.len(),
                first.join(", ")
            )));
        }
        let digest = digest_of(&rows);
        let record = self.record("review.closed", hand, id, json!({ "digest": digest }));
        let act = ReviewAct::Close { review: id.into(), by: hand.id.clone(), now: self.desk.now(), digest };
        match self.desk.ledger.commit(Deed::new(Act::Review(act), record)).await? {
            Done::Committed { .. } => Ok(self.one(id).await?.0),
            _ => Err(Denial::conflict("The review was changed a moment ago; look at it again.")),
        }
    }

    /// A review and its lines.
    ///
    /// # Errors
    /// [`Denial::Missing`] or trouble.
    pub async fn one(self, id: &str) -> Result<(Review, Vec<ReviewRow>), Denial> {
        let found = self.book.review(id).await?;
        found.ok_or_else(|| Denial::missing("There is no such review; list them to find it."))
    }

    async fn one_open(self, id: &str) -> Result<(Review, Vec<ReviewRow>), Denial> {
        let (review, rows) = self.one(id).await?;
        match review.closed_at {
            None => Ok((review, rows)),
            Some(_) => Err(Denial::conflict("The review is closed; what was signed stays.")),
        }
    }

    /// Whether somebody may sign at all.
    async fn must_be_fit(self, operator: &str) -> Result<(), Denial> {
        let staff = self.staff.staff().await?;
        let fit = staff
            .by_id(operator)
            .is_some_and(|it| !it.disabled && it.may(&[OperatorRole::Operator, OperatorRole::Owner]));
        fit.then_some(()).ok_or_else(|| {
            Denial::invalid("assignee", "Name the id of an open account with the role operator or owner.")
        })
    }

    fn record(self, event: &str, hand: &Hand, review: &str, detail: serde_json::Value) -> AuditRecord {
        AuditRecord {
            actors: vec![format!("operator:{}", hand.id)],
            subject: Some(subject_of(review)),
            detail: Some(detail.to_string()),
            ..crate::audit::event(event, self.desk.now(), &hand.origin)
        }
    }
}

/// How the audit log names a review: what was signed is found by it.
pub fn subject_of(review: &str) -> String {
    format!("review:{review}")
}

/// What stands for the lines of a review: base64url SHA-256 over their JSON, one line each. Addresses of
/// people are no part of it, so that they can be erased and the evidence still holds.
pub fn digest_of(rows: &[ReviewRow]) -> String {
    let mut hash = digest::Context::new(&digest::SHA256);
    hash.update(b"portcullis-review\0");
    for row in rows {
        let mut row = row.clone();
        row.access.email = None;
        let line = serde_json::to_vec(&row).expect("texts and numbers always serialise");
        hash.update(&line);
        hash.update(b"\n");
    }
    URL_SAFE_NO_PAD.encode(hash.finish())
}

fn must_be_theirs(hand: &Hand, review: &Review) -> Result<(), Denial> {
    match &review.assignee {
        Some(other) if *other != hand.id => {
            Err(Denial::forbidden("The review is assigned to somebody else; have it assigned to you."))
        }
        _ => Ok(()),
    }
}

fn must_be_undecided(row: &ReviewRow) -> Result<(), Denial> {
    match row.decision {
        None => Ok(()),
        Some(_) => Err(Denial::conflict("The line is signed already; nothing is signed twice.")),
    }
}

fn must_be_anothers(signature: &Signature<'_>, access: &Access) -> Result<(), Denial> {
    let own = access.holder == signature.hand.id;
    let same = access.email.as_deref().is_some_and(|email| folded(email) == folded(signature.email));
    match own || same {
        true => Err(Denial::forbidden(
            "Nobody signs for their own access; have the review assigned to somebody else for this line.",
        )),
        false => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_digest_covers_every_decision_and_no_address() {
        let access = Access {
            kind: AccessKind::Operator,
            id: "o".into(),
            holder: "o".into(),
            email: Some("ann@example.com".into()),
            organization: None,
            slug: None,
            role: "owner".into(),
            since: None,
            last_used: None,
            remarks: vec![Remark::Owner],
        };
        let row = ReviewRow {
            n: 1,
            access,
            decision: Some(Decision::Keep),
            decided_by: Some("b".into()),
            decided_at: Some(1),
            reason: Some("needed".into()),
        };
        let whole = digest_of(std::slice::from_ref(&row));
        let mut erased = row.clone();
        erased.access.email = None;
        assert_eq!(digest_of(&[erased]), whole);
        let mut other = row.clone();
        other.decision = Some(Decision::Withdraw);
        assert_ne!(digest_of(&[other]), whole);
        assert_ne!(digest_of(&[row.clone(), row]), whole);
    }
}
