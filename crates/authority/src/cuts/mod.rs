//! Ending things at an operator's word: a token, a login, a person, an application, an actor, a role, a key,
//! an organization, everything. What would end is shown first; a reason is required; the wide ones need a
//! second person (`proposals`).
//!
//! Nothing here un-ends. Whoever still has an account, a role or a secret gets new tokens afterwards; taking
//! those away is another order.

mod preview;
mod target;

pub use preview::Preview;
pub use target::{Cut, CutKind, Target};
pub(crate) use target::{organization, person};

use async_trait::async_trait;
use serde_json::{Value, json};

use crate::client::subject_of;
use crate::endings::remembered_until;
use crate::ledger::{Act, AuditRecord, Deed, Done, Position};
use crate::operators::Denial;
use crate::proposals::{Executor, Hand, Order, Proposal, Reason, Room, Wish, Work, digest_of};
use crate::provisioning::change::{Amendment, Change};
use crate::refusal::Trouble;
use crate::registry::{Directory, Role, Scope};

/// The kind of proposal that a wide cut is.
pub const KIND: &str = "cut";
/// How often the registry may change under our hands before we say that we are busy.
const ATTEMPTS: usize = 8;

/// What came of an order to end something.
#[derive(Clone, Debug)]
pub enum Ordered {
    /// It has ended, and the feed says so there.
    Ended { cut: Cut, position: Option<Position> },
    /// It needs somebody else's word first.
    Proposed(Proposal),
}

/// An order as an operator gives it.
pub struct Cutting<'a> {
    pub cut: &'a Cut,
    pub reason: &'a str,
    /// Of what was previewed; compared when it is given.
    pub digest: Option<&'a str>,
    /// Do a wide cut alone.
    pub break_glass: bool,
}

impl Room<'_> {
    /// What would end, and nothing happens.
    ///
    /// # Errors
    /// [`Denial`].
    pub async fn preview(self, cut: &Cut) -> Result<Preview, Denial> {
        preview::of(self, &Target::find(self, cut).await?).await
    }

    /// Ends what is named, or proposes it when it is wide.
    ///
    /// # Errors
    /// [`Denial`]; then nothing has ended.
    pub async fn cut(self, hand: &Hand, order: &Cutting<'_>) -> Result<Ordered, Denial> {
        hand.must_operate()?;
        let target = Target::find(self, order.cut).await?;
        let cut = target.cut();
        if cut.kind.is_wide() {
            return self.cut_wide(hand, &cut, order).await;
        }
        if order.break_glass {
            return Err(Denial::invalid("break_glass", "This cut needs nobody else; leave out break_glass."));
        }
        let reason = Reason::read(order.reason)?;
        if order.digest.is_some_and(|seen| digest_of(KIND, &text(&cut)) != seen) {
            return Err(Denial::conflict("This is not what was previewed; preview it again and compare."));
        }
        let record = record(hand, &target, &reason, self.desk.now());
        for _ in 0..ATTEMPTS {
            let act = Act::Several(acts(self, &target, &reason).await?);
            match self.desk.ledger.commit(Deed::new(act, record.clone())).await? {
                Done::Committed { position } => return Ok(Ordered::Ended { cut, position }),
                Done::Lost => {}
                Done::Spent { .. } => {
                    return Err(Trouble::new("ledger", "a cut was answered as spent").into());
                }
            }
        }
        Err(Trouble::new("cuts", "the registry kept changing").into())
    }

    async fn cut_wide(self, hand: &Hand, cut: &Cut, order: &Cutting<'_>) -> Result<Ordered, Denial> {
        let what = json!(cut);
        let wish = Wish { kind: KIND, what: &what, reason: order.reason, digest: order.digest };
        if order.break_glass {
            let settled = self.break_glass(hand, &wish).await?;
            return Ok(Ordered::Ended { cut: cut.clone(), position: settled.position });
        }
        Ok(Ordered::Proposed(self.propose(hand, &wish).await?))
    }
}

/// Cuts that need two persons.
pub struct WideCut;

#[async_trait]
impl Executor for WideCut {
    fn kind(&self) -> &'static str {
        KIND
    }

    async fn canonical(&self, room: Room<'_>, what: &Value) -> Result<String, Denial> {
        let cut = read(what)?;
        if !cut.kind.is_wide() {
            return Err(Denial::invalid(
                "what",
                "This cut needs nobody else; order it and do not propose it.",
            ));
        }
        Ok(text(&Target::find(room, &cut).await?.cut()))
    }

    async fn work(&self, room: Room<'_>, order: &Order<'_>) -> Result<Work, Denial> {
        let what = serde_json::from_str(&order.proposal.what).map_err(|e| Trouble::new("proposals", e))?;
        let target = Target::find(room, &read(&what)?).await?;
        let reason = Reason::read(&order.proposal.reason)?;
        let mut record = record(order.hand, &target, &reason, room.desk.now());
        record.detail = Some(
            json!({ "cut": target.cut(), "proposal": order.proposal.id, "proposer": order.proposal.proposer })
                .to_string(),
        );
        Ok(Work { acts: acts(room, &target, &reason).await?, audit: vec![record] })
    }
}

fn read(what: &Value) -> Result<Cut, Denial> {
    serde_json::from_value(what.clone()).map_err(|_| {
        Denial::invalid("what", "A cut is {\"kind\": ..., \"id\": ...} with one of the known kinds.")
    })
}

/// The one text of a cut.
fn text(cut: &Cut) -> String {
    serde_json::to_string(cut).expect("two texts always serialise")
}

/// The audit record of a cut: who, what, why.
fn record(hand: &Hand, target: &Target, reason: &Reason, now: u64) -> AuditRecord {
    let mut record = hand.record("cut.made", reason, now);
    record.detail = Some(json!({ "cut": target.cut() }).to_string());
    match target {
        Target::Token { jti, .. } => record.jti = Some(jti.clone()),
        Target::Login { sid, client_id, organization, owner } => {
            record.sid = Some(sid.clone());
            record.client_id = Some(client_id.clone());
            record.organization = Some(organization.clone());
            record.subject = owner.clone();
        }
        Target::Person(person) => {
            record.subject = Some(person.id.clone());
            record.organization = person.organization.clone();
        }
        Target::Application(application) => {
            record.client_id = Some(application.client_id.clone());
            record.organization = Some(application.organization.clone());
        }
        Target::Actor(sub) => record.subject = Some(sub.clone()),
        Target::Role(role) => record.organization = Some(role.organization.clone()),
        Target::Organization(organization) => record.organization = Some(organization.id.clone()),
        Target::Key { .. } | Target::Everything => {}
    }
    record
}

/// What ending it comes to in the books.
async fn acts(room: Room<'_>, target: &Target, reason: &Reason) -> Result<Vec<Act>, Denial> {
    let (desk, now) = (room.desk, room.desk.now());
    let directory = desk.registry.directory();
    let exp = remembered_until(desk, &directory, None);
    let raise = |scope, id: &str| Act::Raise { scope, id: id.into(), exp };
    Ok(match target {
        Target::Token { raw, exp, .. } => vec![Act::EndToken { jti: *raw, exp: *exp }],
        Target::Login { sid, .. } => {
            // Tokens that others got in exchange carry its sid too, so the longest lifetime counts.
            vec![Act::EndFamily { id: sid.clone(), reason: reason.as_str().into(), now, exp }]
        }
        Target::Person(person) => person_acts(&person.id, reason.as_str(), now, exp),
        Target::Application(application) => vec![
            raise(Scope::Client, &application.client_id),
            raise(Scope::Actor, &subject_of(&application.client_id)),
        ],
        Target::Actor(sub) => vec![raise(Scope::Actor, sub)],
        Target::Role(role) => vec![role_act(room, &directory, role, (reason, exp)).await?],
        Target::Key { kid, .. } => vec![Act::EndKey { kid: kid.clone(), exp }],
        Target::Organization(organization) => vec![raise(Scope::Organization, &organization.id)],
        Target::Everything => {
            vec![raise(Scope::Everything, ""), Act::EndSessions { person: None, now }]
        }
    })
}

/// Everything of a person, everywhere: tokens that stand for them and tokens with which they act for others
/// by generation, logins so that nothing is refreshed, and browser sessions.
pub(crate) fn person_acts(id: &str, reason: &str, now: u64, exp: u64) -> Vec<Act> {
    vec![
        Act::Raise { scope: Scope::Subject, id: id.into(), exp },
        Act::Raise { scope: Scope::Actor, id: id.into(), exp },
        Act::CloseLogins { person: id.into(), reason: reason.into(), now },
        Act::EndSessions { person: Some(id.into()), now },
    ]
}

/// A role is held by members and by applications, and ended by ending what they got under it. It is decided
/// on the registry of one version, so nobody is given the role meanwhile and missed.
async fn role_act(
    room: Room<'_>,
    directory: &Directory,
    role: &Role,
    (reason, exp): (&Reason, u64),
) -> Result<Act, Denial> {
    let keepings = room.desk.registry.estate("", std::slice::from_ref(&role.organization)).await?;
    let members = keepings.memberships.iter().filter(|place| place.role == role.id);
    let logins = members.map(|place| Change::EndLogins {
        organization: place.organization.clone(),
        person: place.user.clone(),
        reason: reason.as_str().into(),
        now: room.desk.now(),
        exp,
    });
    let bearers = keepings.applications.iter().filter(|it| it.role.as_deref() == Some(role.id.as_str()));
    let clients = bearers.map(|application| Change::Raise {
        scope: Scope::Client,
        id: application.client_id.clone(),
        exp: remembered_until(room.desk, directory, None),
    });
    let changes = logins.chain(clients).collect();
    Ok(Act::Amend(Amendment { expected: keepings.version, changes }))
}
