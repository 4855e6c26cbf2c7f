//! The second factor of people who sign in at our pages: enrolled by themselves, asked for after the password,
//! taken away by themselves or by an operator. How codes are made and compared is in `operators`.
//!
//! It is for users alone: customers sign in at their shop, by a grant that has no place for a code.

use async_trait::async_trait;
use portcullis_guard::claims::OwnerKind;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::ask::Origin;
use crate::audit;
use crate::authorize::{SignedIn, Visitor, session_of};
use crate::cuts::person_acts;
use crate::desk::Desk;
use crate::endings::remembered_until;
use crate::ledger::{Act, AuditRecord, Deed, Done, FactorAct, PersonFactor, Proved};
use crate::limits::{Account, Attempt};
use crate::operators::second_factor::{self, Kept};
use crate::operators::{Denial, Offered, Taken, recovery_codes};
use crate::people::Picture;
use crate::proposals::{Executor, Hand, Order, Proposal, Reason, Room, Wish, Work};
use crate::refusal::{Code, Not, Refusal, Trouble};
use crate::registry::{Person, Who};
use crate::secret::Secret;

/// What is said of a code, whatever is wrong with it.
pub(crate) const WRONG: &str =
    "The code is wrong or was used before; wait for the next one and try again, or take a recovery code.";
/// The event when somebody who wants to change a second factor is not its person.
const REFUSED: &str = "person.second_factor.refused";
/// The kind of proposal that takes a lost factor away, and the event that tells of it.
const LOST: &str = "second_factor";
const EVENT: &str = "person.second_factor.reset";
/// How often the registry may change under our hands before we say so.
const ATTEMPTS: usize = 5;
const WRONG_PROOF: &str =
    "The password or the code is wrong, or the code was used before; wait for the next one and try again.";

/// Offers a second factor to a person. Nothing changes until it is confirmed.
///
/// # Errors
/// `access_denied` for customers, or trouble.
pub fn offer(desk: &Desk, person: &Person) -> Result<Offered, Not> {
    if person.kind != OwnerKind::User {
        let sentence = "A second factor is for those who sign in here; a customer signs in at the shop.";
        return Err(Refusal::new(Code::AccessDenied, sentence).into());
    }
    let offer = second_factor::offer(desk, &person.id, &person.email)?;
    Ok(Offered { otpauth: offer.otpauth, enrolment: offer.enrolment })
}

/// Enrols the second factor that was offered. Gives the recovery codes, which are shown once, and a new session in
/// the place of this one: whatever was had by the password alone ends in the same deed, so that a thief who was in
/// before, or has shown the password a moment ago, is out.
///
/// # Errors
/// `access_denied` for a wrong password or code or when there is one already, `too_many_requests`, or trouble.
pub async fn enrol(
    desk: &Desk,
    person: &Person,
    (password, enrolment, first): (Secret, &str, &str),
    origin: &Origin,
) -> Result<(Vec<Secret>, SignedIn), Not> {
    let wanted = Wanted { person, refused: REFUSED, origin };
    let (person, attempt) = proved(desk, wanted, password).await?;
    let person = &person;
    let Some(confirmed) = second_factor::confirmed(desk, &person.id, enrolment, first)? else {
        attempt.was_right().await;
        let sentence = "This is no code of the new authenticator; type the one that it shows now.";
        return Err(Refusal::new(Code::AccessDenied, sentence).into());
    };
    let (shown, recovery) = recovery_codes(desk, &person.id);
    let factor = PersonFactor {
        person: person.id.clone(),
        seed: confirmed.seed,
        last_step: confirmed.step,
        since: desk.now(),
        recovery,
    };
    let record = about(person, "person.second_factor.enrolled", desk.now(), origin);
    let exp = remembered_until(desk, &desk.registry.directory(), None);
    let mut acts = vec![Act::Factor(FactorAct::Enrol(factor))];
    acts.extend(person_acts(&person.id, "second factor enrolled", desk.now(), exp));
    // The end of what was before counts on by one, which the books check when the session is opened.
    let person = Person { generation: person.generation + 1, ..person.clone() };
    let (cookie, session) = session_of(desk, &person, Proved::PasswordAndCode);
    let visitor = Visitor { person, auth_time: session.auth_time, proved: session.proved };
    acts.push(Act::OpenSession(session));
    let done = desk.ledger.commit(Deed::new(Act::Several(acts), record)).await?;
    let device = attempt.was_right().await;
    match done {
        Done::Committed { .. } => Ok((shown, SignedIn { cookie, device, visitor })),
        _ => {
            let sentence = "There is a second factor already, or the account has changed meanwhile; load the page again.";
            Err(Refusal::new(Code::AccessDenied, sentence).into())
        }
    }
}

/// Removes one's own second factor, by the password and a code of it.
///
/// # Errors
/// `access_denied` in the same words for every reason, `too_many_requests`, or trouble.
pub async fn remove(
    desk: &Desk,
    person: &Person,
    (password, code): (Secret, &Secret),
    origin: &Origin,
) -> Result<(), Not> {
    let wanted = Wanted { person, refused: REFUSED, origin };
    let (_, attempt) = proved(desk, wanted, password).await?;
    // After the password: a stolen cookie alone must not use up what the person needs to sign in.
    let codes = Attempt::begin(desk, Account::Factor(&person.id), origin).await?;
    let drop = Act::Factor(FactorAct::Drop { person: person.id.clone() });
    let record = about(person, "person.second_factor.removed", desk.now(), origin);
    let taken = take(desk, person, code, (drop, record)).await?;
    attempt.was_right().await;
    if !taken {
        return Err(not_proved(desk, wanted).await?.into());
    }
    codes.was_right().await;
    Ok(())
}

/// What came of taking a lost second factor away.
#[derive(Clone, Debug)]
pub enum Reset {
    Gone,
    /// It waits for a second person.
    Proposed(Box<Proposal>),
}

/// Takes the second factor of somebody with a place in an organization away; a line of the proposals' roster.
pub struct LostFactor;

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct What {
    person: String,
}

impl Room<'_> {
    /// Takes the second factor of a person away, who may enrol another one. For somebody with a place in an
    /// organization it is only proposed: what is left is the password, and whoever has that is them.
    ///
    /// # Errors
    /// [`Denial::Missing`] without such a person, [`Denial::Conflict`] without a factor, or any other.
    pub async fn reset_factor(
        self,
        hand: &Hand,
        person: &str,
        (reason, break_glass): (&str, bool),
    ) -> Result<Reset, Denial> {
        hand.must_operate()?;
        let why = Reason::read(reason)?;
        let record = |seen: &Picture| gone(hand.record(EVENT, &why, self.desk.now()), seen);
        for _ in 0..ATTEMPTS {
            let seen = Picture::of(self.desk, person).await?;
            let acts = dropping(self.desk, &seen).await?;
            if seen.has_a_place() {
                let what = json!({ "person": person });
                let wish = Wish { kind: LOST, what: &what, reason, digest: None };
                if break_glass {
                    return self.break_glass(hand, &wish).await.map(|_| Reset::Gone);
                }
                return self.propose(hand, &wish).await.map(|it| Reset::Proposed(Box::new(it)));
            }
            if break_glass {
                let sentence = "Nobody else is needed for this person; leave out break_glass.";
                return Err(Denial::invalid("break_glass", sentence));
            }
            let deed = Deed::new(Act::Several(acts), record(&seen));
            if let Done::Committed { .. } = self.desk.ledger.commit(deed).await? {
                return Ok(Reset::Gone);
            }
        }
        Err(Denial::conflict("The registry kept changing; try again."))
    }
}

#[async_trait]
impl Executor for LostFactor {
    fn kind(&self) -> &'static str {
        LOST
    }

    async fn canonical(&self, room: Room<'_>, what: &Value) -> Result<String, Denial> {
        let what: What = serde_json::from_value(what.clone())
            .map_err(|_| Denial::invalid("what", "Name the person: {\"person\": \"<id>\"}."))?;
        dropping(room.desk, &Picture::of(room.desk, &what.person).await?).await?;
        Ok(json!(what).to_string())
    }

    async fn work(&self, room: Room<'_>, order: &Order<'_>) -> Result<Work, Denial> {
        let what: What =
            serde_json::from_str(&order.proposal.what).map_err(|why| Trouble::new("proposals", why))?;
        let seen = Picture::of(room.desk, &what.person).await?;
        let acts = dropping(room.desk, &seen).await?;
        let reason = Reason::read(&order.proposal.reason)?;
        let mut record = gone(order.hand.record(EVENT, &reason, room.desk.now()), &seen);
        let detail = json!({ "proposal": order.proposal.id, "proposer": order.proposal.proposer });
        record.detail = Some(detail.to_string());
        Ok(Work { acts, audit: vec![record] })
    }
}

/// What takes the factor of a person away, as long as the registry is as it was looked at.
async fn dropping(desk: &Desk, seen: &Picture) -> Result<Vec<Act>, Denial> {
    let person = seen.person.id.clone();
    if desk.ledger.factor(&person).await?.is_none() {
        return Err(Denial::conflict("This person has no second factor."));
    }
    Ok(vec![
        Act::Unmoved { version: seen.version() },
        Act::Factor(FactorAct::Drop { person: person.clone() }),
        // Whoever sits at an open session must not be the one who enrols next.
        Act::EndSessions { person: Some(person), now: desk.now() },
    ])
}

fn gone(record: AuditRecord, seen: &Picture) -> AuditRecord {
    AuditRecord {
        subject: Some(seen.person.id.clone()),
        organization: seen.person.organization.clone(),
        ..record
    }
}

/// Takes a code and does what it is for, both or neither. False when it is wrong or was taken before.
pub(crate) async fn take(
    desk: &Desk,
    person: &Person,
    code: &Secret,
    (act, record): (Act, AuditRecord),
) -> Result<bool, Trouble> {
    let Some(factor) = desk.ledger.factor(&person.id).await? else { return Ok(false) };
    let Some(taken) = looked_at(desk, person, &factor, code)? else { return Ok(false) };
    let take = Act::Factor(FactorAct::Take { person: person.id.clone(), factor: taken });
    let done = desk.ledger.commit(Deed::new(Act::Several(vec![take, act]), record)).await?;
    Ok(matches!(done, Done::Committed { .. }))
}

/// Somebody at a session who wants to change something of the account.
#[derive(Clone, Copy)]
pub(crate) struct Wanted<'a> {
    pub person: &'a Person,
    /// The event when they are not who they should be.
    pub refused: &'static str,
    pub origin: &'a Origin,
}

/// The password once more: a browser that was left open is not its person. Gives the person as they were when
/// it fitted.
pub(crate) async fn proved<'a>(
    desk: &'a Desk,
    wanted: Wanted<'_>,
    password: Secret,
) -> Result<(Person, Attempt<'a>), Not> {
    let email = &wanted.person.email;
    let attempt = Attempt::begin(desk, Account::User(email), wanted.origin).await?;
    match attempt.look(Who::UserEmail(email), password).await? {
        Some((found, attempt)) if found.id == wanted.person.id => Ok((found, attempt)),
        _ => Err(not_proved(desk, wanted).await?.into()),
    }
}

/// What takes the code, where there is a second factor, and the try to say so.
pub(crate) async fn shown<'a>(
    desk: &'a Desk,
    wanted: Wanted<'_>,
    code: &Secret,
) -> Result<Option<(Act, Attempt<'a>)>, Not> {
    let person = wanted.person;
    let Some(factor) = desk.ledger.factor(&person.id).await? else { return Ok(None) };
    let codes = Attempt::begin(desk, Account::Factor(&person.id), wanted.origin).await?;
    match looked_at(desk, person, &factor, code)? {
        Some(taken) => {
            Ok(Some((Act::Factor(FactorAct::Take { person: person.id.clone(), factor: taken }), codes)))
        }
        None => Err(not_proved(desk, wanted).await?.into()),
    }
}

/// What a code takes of this factor, if it is right.
fn looked_at(
    desk: &Desk,
    person: &Person,
    factor: &PersonFactor,
    code: &Secret,
) -> Result<Option<Taken>, Trouble> {
    let kept =
        Kept { whose: &person.id, email: &person.email, seed: &factor.seed, recovery: &factor.recovery };
    second_factor::taken(desk, kept, code.expose())
}

async fn not_proved(desk: &Desk, Wanted { person, refused, origin }: Wanted<'_>) -> Result<Refusal, Trouble> {
    let record = about(person, refused, desk.now(), origin);
    desk.ledger.commit(Deed::new(Act::Note, record)).await?;
    Ok(Refusal::new(Code::AccessDenied, WRONG_PROOF))
}

fn about(person: &Person, event: &str, now: u64, origin: &Origin) -> AuditRecord {
    let mut record = audit::event(event, now, origin);
    record.subject = Some(person.id.clone());
    record
}
