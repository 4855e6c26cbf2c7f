//! Invitations to people: an operator says who shall have an account, and the invited chooses a password that
//! nobody else ever knows. The account is there from the first, without a password; the code opens it once.
//!
//! An operator sees the code, so alone they invite only whom nothing hangs on yet. A place in an organization
//! comes with an invitation by two operators ([`WithAPlace`]).

mod accept;
mod place;

pub use accept::{Invited, accept, open};
pub(crate) use place::left_behind;
pub use place::{WithAPlace, proposed};

use portcullis_guard::claims::OwnerKind;
use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::desk::Desk;
use crate::ledger::{Act, AuditRecord, Deed, Done};
use crate::operators::{Denial, folded};
use crate::people::Picture;
use crate::provisioning::change::{Amendment, Change};
use crate::registry::{Person, Who};
use crate::secret::{Secret, hash_random};

/// How every invitation's code begins, so that scanners find one that leaked.
pub const PREFIX: &str = "pcu_";
/// How long an invitation is open, seconds, unless somebody says otherwise; and at most.
const LIFETIME: u64 = 3 * 24 * 3600;
const LONGEST: u64 = 7 * 24 * 3600;
const SHORTEST: u64 = 60;
/// How often the registry may change under our hands before we say so.
const ATTEMPTS: usize = 5;

/// An invitation as it is kept.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Invitation {
    pub id: String,
    /// Of the code.
    pub hash: String,
    /// Whose account it opens.
    pub person: String,
    /// Operator id of who invites.
    pub by: String,
    pub created_at: u64,
    pub expires_at: u64,
    /// The place that comes with it: organization id, and the id of its card.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub place: Option<(String, String)>,
}

/// What a deed does to invitations.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum InvitationAct {
    /// In the place of every one that the same person had before.
    Put(Invitation),
    /// [`Done::Spent`] unless it is open at `now`.
    Close { id: String, now: u64 },
}

/// Who shall be invited.
#[derive(Clone, Debug)]
pub struct Wanted {
    pub email: String,
    pub first_name: String,
    pub last_name: String,
    /// Seconds.
    pub lifetime: Option<u64>,
}

/// Invites somebody who has no account, or one that was never opened. The code is shown once, and whatever
/// code there was before opens nothing more; a place that came with it is offered no longer. `record` says who does
/// it, `by` is their operator id.
///
/// # Errors
/// [`Denial::Invalid`], [`Denial::Conflict`] for an account that is in use or closed, or on which a place
/// hangs already, or trouble.
pub async fn invite(
    desk: &Desk,
    by: &str,
    wanted: &Wanted,
    record: AuditRecord,
) -> Result<(Invitation, Person, Secret), Denial> {
    let code = Secret::from(format!("{PREFIX}{}", desk.token()));
    let lifetime = lifetime(wanted.lifetime)?;
    for _ in 0..ATTEMPTS {
        let (expected, person) = account(desk, wanted).await?;
        let now = desk.now();
        let invitation = Invitation {
            id: desk.id_text(),
            hash: hash_random(code.expose()),
            person: person.id.clone(),
            by: by.into(),
            created_at: now,
            expires_at: now + lifetime,
            place: None,
        };
        let mut changes = vec![Change::PutPerson(person.clone())];
        let mut audit = vec![told("person.invited", &invitation, record.clone())];
        for left in place::left_behind(desk, &person, None).await? {
            audit.push(left.told(&person, record.clone(), place::REPLACED));
            changes.extend(left.changes);
        }
        let acts = vec![
            Act::Amend(Amendment { expected, changes }),
            Act::Invitation(InvitationAct::Put(invitation.clone())),
        ];
        if let Done::Committed { .. } = desk.ledger.commit(Deed { act: Act::Several(acts), audit }).await? {
            return Ok((invitation, person, code));
        }
    }
    Err(busy())
}

/// Takes an invitation back, and the place that came with it. The account stays, without a password.
///
/// # Errors
/// [`Denial::Missing`] unless it is open, or trouble.
pub async fn withdraw(desk: &Desk, invitation: &Invitation, record: AuditRecord) -> Result<(), Denial> {
    let record = told("person.uninvited", invitation, record);
    for _ in 0..ATTEMPTS {
        let close = InvitationAct::Close { id: invitation.id.clone(), now: desk.now() };
        let mut acts = vec![Act::Invitation(close)];
        if let Some(offered) = &invitation.place {
            acts.extend(place::given_back(desk, offered, invitation).await?);
        }
        match desk.ledger.commit(Deed::new(Act::Several(acts), record.clone())).await? {
            Done::Committed { .. } => return Ok(()),
            Done::Spent { .. } => return Err(not_there()),
            Done::Lost => {}
        }
    }
    Err(busy())
}

/// What is said of an invitation that is not open.
pub fn not_there() -> Denial {
    Denial::missing("There is no such open invitation; list them to see which there are.")
}

/// The account that an invitation shall open, as it is or new, and the version of the registry that it was
/// looked for in.
async fn account(desk: &Desk, wanted: &Wanted) -> Result<(u64, Person), Denial> {
    let email = folded(&wanted.email);
    crate::operators::check_address(&email)?;
    let version = desk.registry.estate("", &[]).await?.version;
    let Some(known) = desk.registry.person(Who::UserEmail(&email)).await? else {
        return Ok((version, newcomer(desk, email, wanted)));
    };
    let seen = Picture::of(desk, &known.id).await?;
    may_be_invited(desk, &seen).await?;
    Ok((seen.version(), seen.person))
}

/// That nobody has opened the account yet, and nothing hangs on it.
async fn may_be_invited(desk: &Desk, seen: &Picture) -> Result<(), Denial> {
    let person = &seen.person;
    if person.kind != OwnerKind::User {
        return Err(Denial::conflict("A customer signs in at the shop; give them a password there."));
    }
    if person.disabled {
        return Err(Denial::conflict("The account with this address is closed; open it again first."));
    }
    if person.password.is_some() {
        return Err(Denial::conflict(
            "There is an account with this address, and it has a password; give it another one if it was forgotten.",
        ));
    }
    if desk.ledger.factor(&person.id).await?.is_some() {
        return Err(Denial::conflict(
            "The account with this address has a second factor, which an invitation would pass by; take that away first.",
        ));
    }
    if seen.has_a_place() {
        return Err(Denial::conflict(
            "The account with this address has a place in an organization, and whoever has the code can act as them: propose another password with a reason, and have an approver confirm it.",
        ));
    }
    Ok(())
}

fn newcomer(desk: &Desk, email: String, wanted: &Wanted) -> Person {
    Person {
        id: desk.id_text(),
        kind: OwnerKind::User,
        organization: None,
        email,
        password: None,
        password_given: false,
        first_name: wanted.first_name.clone(),
        last_name: wanted.last_name.clone(),
        time_zone: "UTC".into(),
        customer_group: None,
        disabled: false,
        generation: 0,
        actor_generation: 0,
    }
}

fn lifetime(wanted: Option<u64>) -> Result<u64, Denial> {
    let lifetime = wanted.unwrap_or(LIFETIME);
    match (SHORTEST..=LONGEST).contains(&lifetime) {
        true => Ok(lifetime),
        false => Err(Denial::invalid("lifetime", "Give 60 to 604800 seconds.")),
    }
}

fn told(event: &str, invitation: &Invitation, record: AuditRecord) -> AuditRecord {
    let organization = invitation.place.as_ref().map(|(organization, _)| organization.clone());
    AuditRecord {
        event: event.into(),
        subject: Some(invitation.person.clone()),
        organization: organization.or(record.organization),
        detail: Some(json!({ "invitation": invitation.id, "invited_by": invitation.by }).to_string()),
        ..record
    }
}

fn busy() -> Denial {
    Denial::conflict("The registry kept changing; try again.")
}
