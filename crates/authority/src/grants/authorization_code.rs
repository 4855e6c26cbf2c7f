//! The authorization code grant (RFC 6749 section 4.1.3) with PKCE (RFC 7636, S256 only).
//!
//! The machine is run over what the code says; the code is spent later, in the transaction that opens the
//! login, so that a wrong guess never burns somebody else's code. A code that comes twice closes the whole
//! family that it opened (RFC 6749 section 4.1.2).

use std::borrow::Cow;

use async_trait::async_trait;
use chrono::{DateTime, TimeDelta};
use oxide_auth::code_grant::accesstoken::{AccessToken as Machine, Error, Input, Output};
use oxide_auth::code_grant::extensions::Pkce;
use oxide_auth::primitives::grant::{Extensions, Grant as Held};
use oxide_auth::primitives::issuer::{IssuedToken, TokenType};
use portcullis_guard::claims::OwnerKind;

use super::{Grant, machine};
use crate::ask::Ask;
use crate::client::Caller;
use crate::desk::Desk;
use crate::endings;
use crate::entitlement::{Entitlement, Promise, Subject, Via, admit, superseded};
use crate::ledger::CodeRow;
use crate::refusal::{Code, Not, Refusal};
use crate::registry::{Application, ApplicationKind};
use crate::scope;
use crate::secret::hash_random;

pub struct AuthorizationCode;

#[async_trait]
impl Grant for AuthorizationCode {
    fn name(&self) -> &'static str {
        "authorization_code"
    }

    fn allows(&self, application: &Application) -> bool {
        application.kind == ApplicationKind::Webapp
    }

    async fn decide(&self, desk: &Desk, caller: &Caller, ask: &Ask) -> Result<Entitlement, Not> {
        let hash = hash_random(ask.need("code")?);
        let code = desk.ledger.code(&hash).await?.ok_or_else(|| dead("no such code"))?;
        if code.client_id != caller.application().client_id {
            return Err(dead("code of another client").into());
        }
        if let Some(family) = &code.spent_by {
            endings::end_family(desk, family, "code used twice", &ask.origin).await?;
            return Err(dead("used twice").into());
        }
        let now = desk.now();
        if now >= code.expires_at {
            return Err(dead("expired").into());
        }
        check_redirect(&code, ask)?;
        check_verifier(&code, caller.application(), ask)?;
        run_machine(&code, ask)?;
        entitle(desk, caller, code, now).await
    }
}

async fn entitle(desk: &Desk, caller: &Caller, code: CodeRow, now: u64) -> Result<Entitlement, Not> {
    let application = caller.application();
    let owner = (OwnerKind::User, code.person.as_str());
    let directory = caller.directory();
    let version = desk.registry.estate("", &[]).await?.version;
    let admitted = admit(desk, directory, application, owner, Code::InvalidGrant).await?;
    let reach = scope::resolve(Some(&code.scope), application, directory, None)?;
    let reach = admitted.within(reach, directory, &application.organization)?;
    let mut entitlement = Entitlement::of(caller, reach, "authorization_code", now);
    entitlement.gv.0 = admitted.person.generation;
    if superseded(code.gv, entitlement.gv) {
        return Err(dead("ended since the person agreed").into());
    }
    entitlement.roles = admitted.roles_through(directory, application);
    entitlement.subject = Subject::Owner(OwnerKind::User, admitted.person.id);
    entitlement.auth_time = code.auth_time;
    entitlement.proved = code.proved;
    entitlement.promise = Promise::Login(Via::Code { hash: code.hash, version });
    Ok(entitlement)
}

/// The redirect must be repeated, byte for byte, when the authorization request named one.
fn check_redirect(code: &CodeRow, ask: &Ask) -> Result<(), Refusal> {
    match machine::redirect_of(ask) {
        Some(named) if named != code.redirect_uri => Err(dead("another redirect_uri")),
        None if code.redirect_named => Err(dead("redirect_uri left out")),
        _ => Ok(()),
    }
}

/// PKCE in both directions: a challenge needs its verifier, and a verifier needs its challenge
/// (RFC 9700 section 2.1.1).
fn check_verifier(code: &CodeRow, application: &Application, ask: &Ask) -> Result<(), Refusal> {
    let verifier = ask.get("code_verifier");
    let unreserved = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~".contains(&byte);
    match (&code.challenge, verifier) {
        (Some(_), Some(text)) if (43..=128).contains(&text.len()) && text.bytes().all(unreserved) => Ok(()),
        (None, None) if application.pkce_optional && application.confidential => Ok(()),
        _ => Err(dead("code_verifier missing, malformed or unasked for")),
    }
}

fn run_machine(code: &CodeRow, ask: &Ask) -> Result<(), Refusal> {
    let request =
        machine::Settled { ask, client_id: &code.client_id, redirect_uri: Some(&code.redirect_uri) };
    let mut run = Machine::new(&request);
    let mut input = Input::None;
    loop {
        input = match run.advance(input) {
            Output::Authenticate { .. } => Input::Authenticated,
            Output::Recover { .. } => Input::Recovered(Some(Box::new(held(code)?))),
            Output::Extend { extensions, .. } => {
                let challenge = extensions.remove(&Pkce::required());
                let verifier = ask.get("code_verifier").map(Cow::Borrowed);
                if code.challenge.is_some() && Pkce::required().verify(challenge, verifier).is_err() {
                    return Err(dead("wrong code_verifier"));
                }
                Input::Extended { access_extensions: Extensions::new() }
            }
            Output::Issue { .. } => Input::Issued(stand_in()),
            Output::Ok(_) => return Ok(()),
            Output::Err(error) => return Err(machine::refused(kind_of(*error))),
        };
    }
}

/// The code in the machine's own terms.
fn held(code: &CodeRow) -> Result<Held, Refusal> {
    let mut extensions = Extensions::new();
    if let Some(challenge) = &code.challenge {
        let pkce = Pkce::required();
        let kept = pkce.challenge(Some(Cow::Borrowed("S256")), Some(Cow::Borrowed(challenge)));
        extensions.set(&pkce, kept.ok().flatten().ok_or_else(|| dead("the challenge cannot be read"))?);
    }
    Ok(Held {
        owner_id: code.person.clone(),
        client_id: code.client_id.clone(),
        scope: code.scope.parse().map_err(|_| dead("the scope of the code cannot be read"))?,
        redirect_uri: code
            .redirect_uri
            .parse()
            .map_err(|_| dead("the redirect of the code cannot be read"))?,
        // The clock is ours and has been asked; the machine must not ask its own.
        until: DateTime::UNIX_EPOCH + TimeDelta::days(365_000),
        extensions,
    })
}

/// The machine wants to see a token before it says that it is done; ours is made later.
pub(super) fn stand_in() -> IssuedToken {
    IssuedToken {
        token: String::new(),
        refresh: None,
        until: DateTime::UNIX_EPOCH + TimeDelta::days(365_000),
        token_type: TokenType::Bearer,
    }
}

fn dead(cause: &'static str) -> Refusal {
    Refusal::new(
        Code::InvalidGrant,
        "The code is not good: it is unknown, expired, already used, or was made for another client, redirect_uri or code_verifier.",
    )
    .because(cause)
}

fn kind_of(mut error: Error) -> Option<oxide_auth::code_grant::error::AccessTokenErrorType> {
    error.description().map(|description| description.kind())
}
