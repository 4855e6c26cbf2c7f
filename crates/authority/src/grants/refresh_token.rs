//! The refresh grant (RFC 6749 section 6): one row a login, however often it is refreshed.
//!
//! What was sent is classified first, then the machine checks the client. Public clients get a new
//! refresh token at each use; the same token again, from the same client, within the grace, gets the same
//! successor, because two tabs race and answers get lost; anything else is reuse and ends the login
//! (RFC 9700 section 4.14). Roles, generations and the right to act for others are read again each time;
//! how the login was proved is not: an application that may no longer use the password grant keeps the
//! logins that it has, and an operator who wants them gone revokes the application's tokens.

use async_trait::async_trait;
use chrono::{DateTime, TimeDelta};
use oxide_auth::code_grant::refresh::{Error, Input, Output, Refresh as Machine};
use oxide_auth::primitives::grant::{Extensions, Grant as Held};
use oxide_auth::primitives::issuer::{RefreshedToken, TokenType};
use portcullis_guard::claims::Actor;

use super::{Grant, machine};
use crate::ask::Ask;
use crate::client::Caller;
use crate::desk::Desk;
use crate::endings;
use crate::entitlement::{Entitlement, Promise, Subject, admit, own_roles, superseded};
use crate::handle::{Handle, HandleSecret};
use crate::ledger::Family;
use crate::refusal::{Code, Not, Refusal};
use crate::registry::Application;
use crate::safety::predates_factor;
use crate::scope::{self, Reach};
use crate::secret::{open_successor, same};

pub struct RefreshToken;

#[async_trait]
impl Grant for RefreshToken {
    fn name(&self) -> &'static str {
        "refresh_token"
    }

    /// Integrations too: the vendor gives them a refresh token with every assertion.
    fn allows(&self, application: &Application) -> bool {
        super::serves_an_organization(application)
    }

    async fn decide(&self, desk: &Desk, caller: &Caller, ask: &Ask) -> Result<Entitlement, Not> {
        let text = ask.need("refresh_token")?;
        let handle =
            Handle::read(text, &desk.terms.issuer, &desk.seal).ok_or_else(|| dead("not a handle of ours"))?;
        let family = desk.ledger.family(&handle.family).await?.ok_or_else(|| dead("no such family"))?;
        let promise = match classify(desk, caller, &handle, &family) {
            Standing::Dead(cause) => return Err(dead(cause).into()),
            Standing::Reused(cause) => {
                endings::end_family(desk, &family.id, cause, &ask.origin).await?;
                return Err(dead(cause).into());
            }
            Standing::Good(promise) => promise,
        };
        run_machine(&family, ask)?;
        entitle(desk, caller, ask, family, promise).await
    }
}

/// What a genuine handle is worth.
enum Standing {
    Good(Promise),
    Dead(&'static str),
    Reused(&'static str),
}

fn classify(desk: &Desk, caller: &Caller, handle: &Handle, family: &Family) -> Standing {
    let now = desk.now();
    let application = caller.application();
    if family.ended_at.is_some() {
        return Standing::Dead("the login has ended");
    }
    if family.client_id != application.client_id {
        return Standing::Reused("refresh token of another client");
    }
    if family.organization != application.organization {
        return Standing::Dead("the client now belongs to another organization");
    }
    if now >= family.idle_exp || now >= family.abs_exp {
        return Standing::Dead("expired");
    }
    let hash = desk.seal.refresh_secret(&family.id, &handle.secret.0);
    if handle.n == family.n && same(&hash, &family.secret) {
        return Standing::Good(match application.rotate.unwrap_or(!application.confidential) {
            true => Promise::Rotate(handle.clone()),
            false => Promise::Keep(handle.clone()),
        });
    }
    if handle.n >= family.n {
        return Standing::Dead("never handed out");
    }
    let recent = now.saturating_sub(family.rotated_at) <= u64::from(desk.terms.refresh_grace);
    let parent = handle.n + 1 == family.n && family.previous.as_deref().is_some_and(|p| same(&hash, p));
    let successor = family.sealed.as_deref().and_then(|s| open_successor(&handle.secret.0, &family.id, s));
    match successor {
        Some(secret) if recent && parent => Standing::Good(Promise::Again(Handle {
            n: family.n,
            secret: HandleSecret(secret),
            ..handle.clone()
        })),
        _ => Standing::Reused("refresh token used again"),
    }
}

async fn entitle(
    desk: &Desk,
    caller: &Caller,
    ask: &Ask,
    family: Family,
    promise: Promise,
) -> Result<Entitlement, Not> {
    let (application, directory) = (caller.application(), caller.directory());
    if family.act.is_some() || family.custom_claim.is_some() {
        super::still_may_act(caller)?;
    }
    if let (Some(_), Some((kind, _))) = (&family.act, &family.owner) {
        super::may_act_for(application, *kind)?;
    }
    let admitted = match &family.owner {
        None => None,
        Some((kind, id)) => {
            let owner = (*kind, id.as_str());
            Some(admit(desk, directory, application, owner, Code::InvalidGrant).await?)
        }
    };
    let person = admitted.as_ref().map(|found| &found.person);
    if let Some(person) = person
        && predates_factor(desk, directory, (&family.organization, person), family.auth_time).await?
    {
        return Err(dead("the login is older than the second factor that is asked for").into());
    }
    let group = person.and_then(|person| person.customer_group.as_deref());
    let resolve = |text: &str| scope::resolve(Some(text), application, directory, group);
    let mut reach = match ask.get("scope").filter(|asked| *asked != family.scope) {
        Some(asked) => narrowed(resolve(asked)?, &resolve(&family.scope)?)?,
        None => resolve(&family.scope)?,
    };
    if let Some(found) = &admitted {
        reach = found.within(reach, directory, &family.organization)?;
    }
    let mut entitlement = Entitlement::of(caller, reach, "refresh_token", desk.now());
    entitlement.gv.0 = person.map_or(0, |person| person.generation);
    if superseded(family.gv, entitlement.gv) {
        return Err(dead("ended by a wider revocation").into());
    }
    entitlement.act = read_chain(&family)?;
    entitlement.roles = match &admitted {
        None => own_roles(directory, application),
        Some(found) => found.roles_through(directory, application),
    };
    if actors_ended(directory, entitlement.act.as_deref()) {
        return Err(dead("an actor in the chain has ended").into());
    }
    entitlement.custom_claim = read_claim(&family)?;
    entitlement.subject = family.owner.map_or(Subject::Client, |(kind, id)| Subject::Owner(kind, id));
    entitlement.auth_time = family.auth_time;
    entitlement.proved = family.proved;
    entitlement.sid = Some(family.id);
    entitlement.promise = promise;
    Ok(entitlement)
}

/// Never more than the login had (RFC 6749 section 6). The login itself keeps its scope.
fn narrowed(asked: Reach, held: &Reach) -> Result<Reach, Refusal> {
    let sentence = "The scope is wider than what was granted; ask for the same or less.";
    asked.within(held).ok_or_else(|| Refusal::new(Code::InvalidScope, sentence))
}

fn actors_ended(directory: &crate::registry::Directory, act: Option<&Actor>) -> bool {
    std::iter::successors(act, |actor| actor.act.as_deref())
        .any(|actor| directory.generation(crate::registry::Scope::Actor, &actor.sub) > actor.gv)
}

fn read_chain(family: &Family) -> Result<Option<Box<Actor>>, Refusal> {
    let read =
        |text: &String| serde_json::from_str(text).map_err(|_| dead("the chain of actors cannot be read"));
    family.act.as_ref().map(read).transpose()
}

fn read_claim(family: &Family) -> Result<Option<serde_json::Value>, Refusal> {
    let read =
        |text: &String| serde_json::from_str(text).map_err(|_| dead("the custom claim cannot be read"));
    family.custom_claim.as_ref().map(read).transpose()
}

/// The machine compares the client. It would compare scopes as texts, so it is not shown the one that is
/// asked for; what that reaches is compared in [`narrowed`].
fn run_machine(family: &Family, ask: &Ask) -> Result<(), Refusal> {
    let request = machine::Settled { ask, client_id: &family.client_id, redirect_uri: None };
    let far = DateTime::UNIX_EPOCH + TimeDelta::days(365_000);
    let mut run = Machine::new(&request);
    let mut input = Input::None;
    loop {
        input = match run.advance(input) {
            Output::Unauthenticated { .. } => Input::Authenticated { scope: None },
            Output::RecoverRefresh { .. } => Input::Recovered {
                scope: None,
                grant: Some(Box::new(Held {
                    owner_id: family.id.clone(),
                    client_id: family.client_id.clone(),
                    scope: family.scope.parse().map_err(|_| dead("the scope of the login cannot be read"))?,
                    redirect_uri: machine::nowhere().to_url(),
                    until: far,
                    extensions: Extensions::new(),
                })),
            },
            Output::Refresh { .. } => Input::Refreshed(RefreshedToken {
                token: String::new(),
                refresh: None,
                until: far,
                token_type: TokenType::Bearer,
            }),
            Output::Ok(_) => return Ok(()),
            Output::Err(error) => return Err(machine::refused(kind_of(error))),
        };
    }
}

fn dead(cause: &'static str) -> Refusal {
    Refusal::new(
        Code::InvalidGrant,
        "The refresh token is not good: it is unknown, expired, revoked, already used, or of another client. Sign in again.",
    )
    .because(cause)
}

fn kind_of(mut error: Error) -> Option<oxide_auth::code_grant::error::AccessTokenErrorType> {
    error.description().map(|description| description.kind())
}
