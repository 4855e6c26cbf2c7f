//! The invited, with the code in hand: what it opens, and how it is opened.

use portcullis_guard::claims::OwnerKind;

use super::{ATTEMPTS, Invitation, InvitationAct, place, told};
use crate::ask::Origin;
use crate::audit;
use crate::desk::Desk;
use crate::ledger::{Act, Deed, Done, Proved};
use crate::operators::Denial;
use crate::own_password::{self, Renewal};
use crate::people::Picture;
use crate::provisioning::change::Amendment;
use crate::refusal::{Code, Not, Refusal, Trouble};
use crate::secret::{Secret, hash_random};

/// What the invited sees.
#[derive(Clone, Debug)]
pub struct Invited {
    pub email: String,
    /// Name of the organization in which a place comes with it.
    pub organization: Option<String>,
}

/// Shows an invitation to whoever holds its code. Nothing changes.
///
/// # Errors
/// `invalid_request` in the same words for every reason, `too_many_requests`, or trouble.
pub async fn open(desk: &Desk, code: &Secret, origin: &Origin) -> Result<Invited, Not> {
    // The code itself cannot be guessed.
    desk.limits.visit(desk, origin)?;
    let (invitation, seen) = noted(desk, origin, found(desk, code).await).await?;
    let directory = desk.registry.directory();
    let home = invitation.place.and_then(|(id, _)| directory.organization(&id).map(|it| it.name.clone()));
    Ok(Invited { email: seen.person.email, organization: home })
}

/// Accepts an invitation: the password is chosen, the place is taken, and a session is open. Gives its cookie.
///
/// # Errors
/// As [`open`]; `access_denied` for a password that is not good enough.
pub async fn accept(desk: &Desk, code: &Secret, password: Secret, origin: &Origin) -> Result<Secret, Not> {
    desk.limits.visit(desk, origin)?;
    noted(desk, origin, taken_up(desk, code, password, origin).await).await
}

async fn taken_up(desk: &Desk, code: &Secret, password: Secret, origin: &Origin) -> Result<Secret, Not> {
    let (_, seen) = found(desk, code).await?;
    let hash = own_password::sound(desk, &seen.person, password).await?;
    for _ in 0..ATTEMPTS {
        let (invitation, seen) = found(desk, code).await?;
        let expected = seen.version();
        let Renewal { mut changes, cookie, session, .. } =
            own_password::renewal(desk, seen.person, (hash.clone(), Proved::Password));
        if let Some(named) = &invitation.place {
            changes.extend(place::taken(desk, named, &invitation).await?.ok_or_else(not_open)?);
        }
        let acts = vec![
            Act::Invitation(InvitationAct::Close { id: invitation.id.clone(), now: desk.now() }),
            Act::Amend(Amendment { expected, changes }),
            Act::OpenSession(session),
        ];
        let record = audit::event("person.invitation.accepted", desk.now(), origin);
        let record = told("person.invitation.accepted", &invitation, record);
        match desk.ledger.commit(Deed::new(Act::Several(acts), record)).await? {
            Done::Committed { .. } => return Ok(cookie),
            Done::Spent { .. } => return Err(not_open().into()),
            Done::Lost => {}
        }
    }
    Err(Trouble::new("invitations", "the registry kept changing").into())
}

/// The open invitation of this code and its account, as long as it may be opened: without a password, and with
/// no place but the one that comes with the invitation.
async fn found(desk: &Desk, code: &Secret) -> Result<(Invitation, Picture), Not> {
    let found = desk.ledger.invitation(&hash_random(code.expose()), desk.now()).await?;
    let invitation = found.ok_or_else(not_open)?;
    let seen = match Picture::of(desk, &invitation.person).await {
        Ok(seen) => seen,
        Err(Denial::Broken(trouble)) => return Err(trouble.into()),
        Err(_) => return Err(not_open().into()),
    };
    let person = &seen.person;
    let closed = person.disabled || person.kind != OwnerKind::User || person.password.is_some();
    let has_factor = desk.ledger.factor(&person.id).await?.is_some();
    match closed || has_factor || seen.has_a_place() {
        true => Err(not_open().into()),
        false => Ok((invitation, seen)),
    }
}

/// Writes down that an invitation was refused which is not open; a password that is not good enough is no refusal of
/// the invitation. Whoever shows the code has proved nothing else, so such records are counted as those of strangers.
async fn noted<T>(desk: &Desk, origin: &Origin, done: Result<T, Not>) -> Result<T, Not> {
    if let Err(Not::Refused(refusal)) = &done
        && refusal.code == Code::InvalidRequest
    {
        let mut record = audit::event("person.invitation.refused", desk.now(), origin);
        record.reason = Some(refusal.code.as_str().to_owned());
        desk.ledger.commit(Deed::new(Act::Note, record)).await?;
    }
    done
}

fn not_open() -> Refusal {
    Refusal::new(
        Code::InvalidRequest,
        "This invitation is not open: it was accepted or withdrawn, or has expired; ask whoever invited you for another one.",
    )
}
