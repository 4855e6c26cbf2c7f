//! What a token says, for those who may ask: introspection (RFC 7662) and the vendor's token info. Both
//! run the guard's own check, so they cannot disagree with a service.

use std::sync::Arc;

use portcullis_guard::Claims;
use portcullis_guard::claims::OwnerKind;
use serde_json::{Value, json};

use crate::ask::{Ask, Origin};
use crate::audit;
use crate::client::Caller;
use crate::desk::Desk;
use crate::entitlement::{admit, generations, superseded};
use crate::handle::Handle;
use crate::ledger::{Act, Deed, Family};
use crate::refusal::{Code, Not, Refusal, Trouble};
use crate::registry::{Application, Directory, Who};
use crate::safety::predates_factor;
use crate::secret::{Secret, same};

/// Who asks.
enum Asker {
    /// A service with a guard, by its id: every token of ours.
    Guard(String),
    /// An application: its own tokens and those of its organization.
    Application { client_id: String, organization: String },
}

/// `POST /oauth/introspect`.
///
/// # Errors
/// `invalid_client` without a proof by secret.
pub async fn introspect(desk: &Desk, ask: &Ask) -> Result<Value, Not> {
    let mut asker = None;
    let answer = try_introspect(desk, ask, &mut asker).await;
    if let Err(Not::Refused(refusal)) = &answer {
        desk.limits.failed(desk, ask, None, refusal)?;
        let mut record = audit::refused("introspection.refused", refusal, ask, None, desk);
        match asker {
            Some(Asker::Guard(id)) => record.subject = Some(format!("guard:{id}")),
            Some(Asker::Application { organization, .. }) => record.organization = Some(organization),
            None => {}
        }
        desk.ledger.commit(Deed::new(Act::Note, record)).await?;
    }
    answer
}

async fn try_introspect(desk: &Desk, ask: &Ask, proved: &mut Option<Asker>) -> Result<Value, Not> {
    let asker = &*proved.insert(prove(desk, ask)?);
    let token = ask.need("token")?;
    if let Some(handle) = Handle::read(token, &desk.terms.issuer, &desk.seal) {
        return Ok(match desk.ledger.family(&handle.family).await? {
            Some(family)
                if asker.may_see(&family.client_id, Some(&family.organization))
                    && is_current(desk, &handle, &family)
                    && still_stands(desk, &family).await? =>
            {
                describe_family(desk, &family)
            }
            _ => inactive(),
        });
    }
    let claims = desk.inspector.inspect(token, desk.clock.now_ms())?;
    Ok(match claims {
        Some(claims)
            if asker.may_see(&claims.client_id, claims.organization.as_ref().map(|o| o.id.as_str())) =>
        {
            describe(&claims)
        }
        _ => inactive(),
    })
}

/// `GET /oauth/tokeninfo`.
///
/// # Errors
/// `invalid_token`.
pub async fn token_info(desk: &Desk, bearer: &str) -> Result<Value, Not> {
    let claims = desk.inspector.inspect(bearer, desk.clock.now_ms())?;
    let claims = claims.ok_or_else(|| {
        Refusal::new(Code::InvalidToken, "The access token is not valid, expired or revoked; get a new one.")
    })?;
    let directory = desk.registry.directory();
    let application = directory.application(&claims.client_id);
    let market = claims.market.as_ref();
    let mut info = json!({
        "token": {
            "test": claims.test,
            "market_ids": market.map(|market| &market.id),
            "stock_location_ids": market.map(|market| &market.stock_location_ids),
            "lifespan": claims.exp.saturating_sub(desk.now()),
        },
        "application": {
            "id": claims.application.id,
            "kind": claims.application.kind,
            "name": application.map(|application| &application.name),
            "core": claims.organization.is_some(),
        },
        "permissions": desk.inspector.permissions(&claims),
        "accessible_apps": [],
    });
    if let Some(role) = application.and_then(|application| role_of(&directory, application, &claims)) {
        info["role"] = role;
    }
    if let Some(owner) = owner_of(desk, &claims).await? {
        info["owner"] = owner;
    }
    Ok(info)
}

impl Asker {
    fn may_see(&self, client_id: &str, organization: Option<&str>) -> bool {
        match self {
            Self::Guard(_) => true,
            Self::Application { client_id: own, organization: home } => {
                client_id == own || organization == Some(home)
            }
        }
    }
}

/// A guard account or an application, by secret: whoever only knows a name may not ask (RFC 7662
/// section 2.1).
fn prove(desk: &Desk, ask: &Ask) -> Result<Asker, Refusal> {
    if let Some((id, secret)) = ask.credentials().and_then(|c| Some((&c.client_id, c.secret.as_ref()?))) {
        let name = format!("guard:{id}");
        desk.limits.may_prove(desk, &name, &ask.origin)?;
        match guards_secret(desk, id, secret) {
            Some(true) => {
                desk.limits.was_right(desk, &name, &ask.origin);
                desk.limits.introspection(desk, &name)?;
                return Ok(Asker::Guard(id.clone()));
            }
            Some(false) => desk.limits.was_wrong(desk, &name, &ask.origin),
            None => {}
        }
    }
    let caller = Caller::recognise(desk, ask)?;
    if !caller.confidential() {
        let sentence = "Introspection needs the client_secret; send it with the request.";
        return Err(Refusal::new(Code::InvalidClient, sentence));
    }
    let client_id = caller.application().client_id.clone();
    desk.limits.introspection(desk, &client_id)?;
    Ok(Asker::Application { client_id, organization: caller.organization().id.clone() })
}

/// Whether this is the secret of a guard's account.
///
/// # Errors
/// `too_many_requests` after too many wrong ones.
pub fn is_guard(desk: &Desk, id: &str, secret: &Secret, origin: &Origin) -> Result<bool, Refusal> {
    let name = format!("guard:{id}");
    desk.limits.may_prove(desk, &name, origin)?;
    let proved = guards_secret(desk, id, secret) == Some(true);
    match proved {
        true => desk.limits.was_right(desk, &name, origin),
        false => desk.limits.was_wrong(desk, &name, origin),
    }
    Ok(proved)
}

/// Whether a guard's secret fits, at the same cost when there is no such guard.
fn guards_secret(desk: &Desk, id: &str, secret: &Secret) -> Option<bool> {
    let hash = desk.seal.client_secret(&format!("guard:{id}"), secret);
    desk.registry.directory().guard(id).map(|account| same(&account.hash, &hash))
}

fn is_current(desk: &Desk, handle: &Handle, family: &Family) -> bool {
    let now = desk.now();
    let hash = desk.seal.refresh_secret(&family.id, &handle.secret.0);
    let live = family.ended_at.is_none() && now < family.idle_exp && now < family.abs_exp;
    live && handle.n == family.n && same(&hash, &family.secret)
}

/// Whether a refresh would still find the client and the person as they were: the same questions, so that
/// nobody is told "active" of a token that is refused.
async fn still_stands(desk: &Desk, family: &Family) -> Result<bool, Trouble> {
    let directory = desk.registry.directory();
    let live = |application: &&Arc<Application>| {
        let organization = directory.organization(&application.organization);
        !application.disabled && organization.is_some_and(|organization| !organization.disabled)
    };
    let Some(application) = directory.application(&family.client_id).filter(live) else { return Ok(false) };
    let generation = match &family.owner {
        None => 0,
        Some((kind, id)) => {
            let owner = (*kind, id.as_str());
            match admit(desk, &directory, application, owner, Code::InvalidGrant).await {
                Ok(admitted) => {
                    let whose = (family.organization.as_str(), &admitted.person);
                    if predates_factor(desk, &directory, whose, family.auth_time).await? {
                        return Ok(false);
                    }
                    admitted.person.generation
                }
                Err(Not::Refused(_)) => return Ok(false),
                Err(Not::Broken(trouble)) => return Err(trouble),
            }
        }
    };
    Ok(!superseded(family.gv, generations(&directory, application, generation)))
}

fn inactive() -> Value {
    json!({ "active": false })
}

fn describe(claims: &Claims) -> Value {
    let mut value = serde_json::to_value(claims).unwrap_or_else(|_| inactive());
    value["active"] = true.into();
    value["token_type"] = "Bearer".into();
    value
}

fn describe_family(desk: &Desk, family: &Family) -> Value {
    let subject = match &family.owner {
        Some((_, id)) => id.clone(),
        None => crate::client::subject_of(&family.client_id),
    };
    let mut told = json!({
        "active": true,
        "token_type": "refresh_token",
        "iss": desk.terms.issuer,
        "client_id": family.client_id,
        "sub": subject,
        "scope": family.scope,
        "sid": family.id,
        "exp": family.abs_exp,
    });
    if let Some(proved) = family.proved {
        told["auth_time"] = family.auth_time.into();
        told["amr"] = proved.methods().into();
    }
    told
}

/// The role in the vendor's words: the application's, or that of the user behind the token.
fn role_of(directory: &Directory, application: &Application, claims: &Claims) -> Option<Value> {
    let organization = &claims.organization.as_ref()?.id;
    let named = directory.roles().find(|role| {
        &role.organization == organization && claims.rol.first().is_some_and(|name| *name == role.claim())
    });
    let own = application.role.as_ref().and_then(|id| directory.role(organization, id));
    let role = named.or(own)?;
    Some(json!({ "id": role.id, "kind": role.kind, "name": role.name }))
}

async fn owner_of(desk: &Desk, claims: &Claims) -> Result<Option<Value>, Trouble> {
    let id = match (&claims.owner, &claims.user) {
        (Some(owner), _) => &owner.id,
        (None, Some(user)) => &user.id,
        (None, None) => return Ok(None),
    };
    let Some(person) = desk.registry.person(Who::Id(id)).await? else { return Ok(None) };
    let home = claims.organization.as_ref().map(|organization| organization.id.as_str());
    let memberships = desk.registry.memberships(&person.id).await?;
    let owns = memberships.iter().any(|m| m.active && m.owner && Some(m.organization.as_str()) == home);
    let kind = match person.kind {
        OwnerKind::Customer => "Customer",
        OwnerKind::User => "User",
    };
    Ok(Some(json!({
        "id": person.id,
        "type": kind,
        "email": person.email,
        "first_name": person.first_name,
        "last_name": person.last_name,
        "owner": owns,
        "time_zone": person.time_zone,
    })))
}
