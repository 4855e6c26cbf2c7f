//! Passwords that people choose themselves: in the place of one that an operator has set, which is good for nothing
//! else, or of one that they know. Everything that was had before ends in the same deed, and the browser in which
//! it is done goes on with a new session.

use crate::ask::Origin;
use crate::audit;
use crate::authorize::{Consent, Half, SignedIn, Visitor, changed_meanwhile, session_of, welcome};
use crate::desk::Desk;
use crate::factors::{self, Wanted};
use crate::ledger::{Act, AuditRecord, Deed, Done, Proved, Session};
use crate::people::{replaced, weakness};
use crate::provisioning::change::{self as registry, Amendment};
use crate::refusal::{Code, Not, Refusal, Trouble};
use crate::registry::{Person, Who};
use crate::secret::Secret;

/// How often the registry may change under our hands before we say that we are busy.
const ATTEMPTS: usize = 8;

/// What somebody types to change a password.
#[derive(Clone, Debug)]
pub struct Change {
    pub present: Secret,
    /// Of the second factor, where there is one.
    pub code: Secret,
    pub new: Secret,
}

/// Somebody who has come in with a password that an operator has set chooses one that nobody else knows, and is
/// in.
///
/// # Errors
/// `access_denied` for a password that is not good enough, `invalid_request` when the person has changed since,
/// or trouble.
pub async fn choose(
    desk: &Desk,
    consent: &Consent,
    half: &Half,
    password: Secret,
    origin: &Origin,
) -> Result<SignedIn, Not> {
    desk.limits.visit(desk, origin)?;
    let is_fresh = !half.is_old(desk.now());
    let stands =
        |it: &Person| is_fresh && !it.disabled && it.password_given && it.generation == half.generation;
    let person = match desk.registry.person(Who::Id(&half.person)).await?.filter(stands) {
        Some(person) => welcome(desk, consent, person).await?,
        None => None,
    };
    let person = person.ok_or_else(changed_meanwhile)?;
    let hash = sound(desk, &person, password).await?;
    let mut record = about(&person, "person.password.chosen", desk, origin);
    record.client_id = Some(consent.client_id.clone());
    let (cookie, visitor) = put(desk, &person, (hash, half.proved), None, record).await?;
    Ok(SignedIn { cookie, device: half.device.clone(), visitor })
}

/// Changes one's own password: by the present one, and a code where there is a second factor. A browser that was
/// left open is not its person.
///
/// # Errors
/// `access_denied` for a wrong password or code, in the same words, and for a new one that is not good enough;
/// `too_many_requests`, `invalid_request` when the person has changed meanwhile, or trouble.
pub async fn change(desk: &Desk, person: &Person, change: Change, origin: &Origin) -> Result<SignedIn, Not> {
    let wanted = Wanted { person, refused: "person.password.refused", origin };
    let (person, attempt) = factors::proved(desk, wanted, change.present).await?;
    let hash = match sound(desk, &person, change.new).await {
        Ok(hash) => hash,
        Err(not) => {
            attempt.was_right().await;
            return Err(not);
        }
    };
    let record = about(&person, "person.password.changed", desk, origin);
    // The password was right whatever becomes of the code, which has a count of its own.
    let device = attempt.was_right().await;
    let shown = factors::shown(desk, Wanted { person: &person, ..wanted }, &change.code).await?;
    let (taken, codes) = shown.unzip();
    let proved = if taken.is_some() { Proved::PasswordAndCode } else { Proved::Password };
    let (cookie, visitor) = put(desk, &person, (hash, proved), taken, record).await?;
    if let Some(codes) = codes {
        codes.was_right().await;
    }
    Ok(SignedIn { cookie, device, visitor })
}

/// What is kept of a password that is good enough, and is another one.
pub(crate) async fn sound(desk: &Desk, person: &Person, password: Secret) -> Result<String, Not> {
    let refused = |why| Not::from(Refusal::new(Code::AccessDenied, why));
    if let Some(why) = weakness(desk, person, password.clone()).await? {
        return Err(refused(why));
    }
    if desk.slow.password_fits(person.password.clone(), password.clone()).await? {
        return Err(refused("This is the password that the account has already; choose another one."));
    }
    Ok(desk.slow.password_hash(password).await?)
}

/// Writes it all down: what was shown is spent, the password is the new one, what was had before has ended, and
/// a new session is open.
async fn put(
    desk: &Desk,
    proved: &Person,
    (hash, by): (String, Proved),
    taken: Option<Act>,
    record: AuditRecord,
) -> Result<(Secret, Visitor), Not> {
    for _ in 0..ATTEMPTS {
        // Of before the look, so that whatever moves while we look undoes the deed.
        let expected = desk.registry.estate("", &[]).await?.version;
        let now = desk.registry.person(Who::Id(&proved.id)).await?;
        // What was proved, was proved of this password and before anything else ended.
        let same = |it: &Person| {
            !it.disabled && it.password == proved.password && it.generation == proved.generation
        };
        let before = now.filter(same).ok_or_else(changed_meanwhile)?;
        let Renewal { changes, person, cookie, session } = renewal(desk, before, (hash.clone(), by));
        let visitor = Visitor { person, auth_time: session.auth_time, proved: session.proved };
        let mut acts: Vec<Act> = taken.clone().into_iter().collect();
        acts.push(Act::Amend(Amendment { expected, changes }));
        acts.push(Act::OpenSession(session));
        match desk.ledger.commit(Deed::new(Act::Several(acts), record.clone())).await? {
            Done::Committed { .. } => return Ok((cookie, visitor)),
            Done::Spent { .. } => return Err(Refusal::new(Code::AccessDenied, factors::WRONG).into()),
            Done::Lost => {}
        }
    }
    Err(Trouble::new("passwords", "the registry kept changing").into())
}

/// An account that begins anew with a password of its own.
pub(crate) struct Renewal {
    pub changes: Vec<registry::Change>,
    pub person: Person,
    pub cookie: Secret,
    /// To be opened after the changes.
    pub session: Session,
}

pub(crate) fn renewal(desk: &Desk, before: Person, (hash, proved): (String, Proved)) -> Renewal {
    let person = Person { password: Some(hash), password_given: false, ..before };
    let changes = replaced(desk, person.clone());
    // The end of what was before counts on by one, which the books check when the session is opened.
    let person = Person { generation: person.generation + 1, ..person };
    let (cookie, session) = session_of(desk, &person, proved);
    Renewal { changes, person, cookie, session }
}

fn about(person: &Person, event: &str, desk: &Desk, origin: &Origin) -> AuditRecord {
    let mut record = audit::event(event, desk.now(), origin);
    record.subject = Some(person.id.clone());
    record
}
