//! Ending what was promised: the deeds of revocation. Each is answered only after it is on disk, and is
//! remembered until the last token that it can match has expired.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use portcullis_guard::Claims;

use crate::ask::{Ask, Origin};
use crate::audit;
use crate::client::Caller;
use crate::desk::Desk;
use crate::handle::Handle;
use crate::ledger::{Act, Deed, Done, Position};
use crate::refusal::{Code, Not, Refusal, Trouble};
use crate::registry::Directory;

/// Seconds that an ending outlives the last token that it can match: a refresh that won the race a moment
/// ago may still be signing, and clocks differ.
pub const MARGIN: u64 = 300;

/// `POST /oauth/revoke` (RFC 7009). `None` when there was nothing to end.
///
/// # Errors
/// `unauthorized_client` without a valid client, for a token of another client, and for a token without a
/// person when the secret was not sent.
pub async fn revoke(desk: &Desk, ask: &Ask) -> Result<Option<Position>, Not> {
    let mut proved = None;
    let answer = try_revoke(desk, ask, &mut proved).await;
    if let Err(Not::Refused(refusal)) = &answer {
        desk.limits.failed(desk, ask, proved.as_ref(), refusal)?;
        let record = audit::refused("revocation.refused", refusal, ask, proved.as_ref(), desk);
        desk.ledger.commit(Deed::new(Act::Note, record)).await?;
    }
    answer
}

async fn try_revoke(desk: &Desk, ask: &Ask, proved: &mut Option<Caller>) -> Result<Option<Position>, Not> {
    let caller = prove(desk, ask)?;
    let caller = &*proved.insert(caller);
    let token = ask.need("token")?;
    if Handle::looks_like_one(token) {
        return revoke_handle(desk, caller, token, ask).await;
    }
    let Some(claims) = desk.inspector.recognise(token) else {
        return Ok(None); // unknown or forged: nothing of ours to end (RFC 7009 section 2.2)
    };
    if claims.client_id != caller.application().client_id {
        return Err(forbidden().because("token of another client").into());
    }
    let nobody = claims.owner.is_none() && claims.user.is_none();
    if nobody && !caller.confidential() {
        return Err(forbidden().because("a token without a person needs the client secret").into());
    }
    let mut record = audit::event("token.revoked", desk.now(), &ask.origin);
    record.organization = Some(caller.organization().id.clone());
    record.client_id = Some(claims.client_id.clone());
    record.subject = Some(claims.sub.clone());
    record.jti = Some(claims.jti.clone());
    record.sid = claims.sid.clone();
    let act = match claims.sid.as_deref().filter(|_| ask.get("revoke_session") == Some("true")) {
        Some(sid) => {
            may_end_login(desk, caller, sid).await?;
            end_of_family(desk, caller.directory(), &claims.client_id, sid, "revoked")
        }
        None => end_of_token(&claims)?,
    };
    position(desk.ledger.commit(Deed::new(act, record)).await?)
}

/// With its secret a client may always end something; without, it is counted by its address.
fn prove(desk: &Desk, ask: &Ask) -> Result<Caller, Refusal> {
    let caller = Caller::recognise(desk, ask).map_err(|refusal| match refusal.limited {
        Some(_) => refusal,
        None => forbidden().because(refusal.cause),
    })?;
    if !caller.confidential() {
        desk.limits.visit(desk, &ask.origin)?;
    }
    Ok(caller)
}

/// A token that was had in exchange carries the sid of somebody else's login, which is not the actor's to
/// end.
async fn may_end_login(desk: &Desk, caller: &Caller, sid: &str) -> Result<(), Not> {
    match desk.ledger.family(sid).await? {
        Some(family) if family.client_id != caller.application().client_id => {
            let sentence = "The login behind this token is another application's; leave out revoke_session to end the token alone.";
            Err(Refusal::new(Code::UnauthorizedClient, sentence).because("login of another client").into())
        }
        _ => Ok(()),
    }
}

/// Ends a login and everything that it gave, for a reason.
///
/// # Errors
/// Trouble when it could not be written down; nothing has ended then.
pub async fn end_family(
    desk: &Desk,
    id: &str,
    reason: &str,
    origin: &Origin,
) -> Result<Option<Position>, Not> {
    let family = desk.ledger.family(id).await?;
    let mut record = audit::event("login.ended", desk.now(), origin);
    record.sid = Some(id.into());
    record.reason = Some(reason.into());
    if let Some(family) = &family {
        record.organization = Some(family.organization.clone());
        record.client_id = Some(family.client_id.clone());
        record.subject = family.owner.as_ref().map(|(_, id)| id.clone());
    }
    let client_id = family.map(|family| family.client_id).unwrap_or_default();
    let act = end_of_family(desk, &desk.registry.directory(), &client_id, id, reason);
    position(desk.ledger.commit(Deed::new(act, record)).await?)
}

/// Until when a cutoff that reaches tokens of this client must be remembered, seconds; an unknown client
/// counts as the one with the longest tokens.
pub fn remembered_until(desk: &Desk, directory: &Directory, client_id: Option<&str>) -> u64 {
    let known = client_id.and_then(|id| directory.application(id));
    let longest = match known {
        Some(application) => application.longest_lifetime,
        None => directory.applications().map(|application| application.longest_lifetime).max().unwrap_or(0),
    };
    desk.now() + u64::from(longest.max(desk.terms.access_lifetime)) + MARGIN
}

async fn revoke_handle(
    desk: &Desk,
    caller: &Caller,
    token: &str,
    ask: &Ask,
) -> Result<Option<Position>, Not> {
    let Some(handle) = Handle::read(token, &desk.terms.issuer, &desk.seal) else { return Ok(None) };
    match desk.ledger.family(&handle.family).await? {
        None => Ok(None),
        Some(family) if family.client_id != caller.application().client_id => {
            Err(forbidden().because("refresh token of another client").into())
        }
        Some(family) if family.owner.is_none() && !caller.confidential() => {
            Err(forbidden().because("a login without a person needs the client secret").into())
        }
        Some(family) => end_family(desk, &family.id, "revoked", &ask.origin).await,
    }
}

fn end_of_family(desk: &Desk, directory: &Directory, client_id: &str, id: &str, reason: &str) -> Act {
    let client_id = (!client_id.is_empty()).then_some(client_id);
    Act::EndFamily {
        id: id.into(),
        reason: reason.into(),
        now: desk.now(),
        // Tokens that others got in exchange for this login's carry its sid too, but never outlive them.
        exp: remembered_until(desk, directory, client_id),
    }
}

fn end_of_token(claims: &Claims) -> Result<Act, Trouble> {
    let bytes = URL_SAFE_NO_PAD.decode(&claims.jti).ok().and_then(|bytes| bytes.try_into().ok());
    let jti = bytes.ok_or_else(|| Trouble::new("revocation", "a token of ours has a malformed jti"))?;
    Ok(Act::EndToken { jti, exp: claims.exp + MARGIN })
}

fn position(done: Done) -> Result<Option<Position>, Not> {
    match done {
        Done::Committed { position } => Ok(position),
        other => Err(Trouble::new("ledger", format!("an ending was answered {other:?}")).into()),
    }
}

fn forbidden() -> Refusal {
    Refusal::new(
        Code::UnauthorizedClient,
        "You may not revoke this token: send the client_id it was issued to, and the client_secret if the client has one or the token stands for nobody.",
    )
}
