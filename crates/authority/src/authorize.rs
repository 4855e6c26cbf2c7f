//! The authorization request (RFC 6749 section 4.1.1): what a person is asked, and the code that the
//! answer makes. Errors go to the redirect only after the redirect itself has been proved.

use std::borrow::Cow;
use std::sync::Arc;

use oxide_auth::code_grant::authorization::{Authorization as Machine, Error, Input, Output, Request};
use oxide_auth::code_grant::error::AuthorizationErrorType;
use oxide_auth::code_grant::extensions::Pkce;
use oxide_auth::primitives::grant::Extensions;
use oxide_auth::primitives::registrar::{BoundClient, ExactUrl, PreGrant, RegisteredUrl};
use portcullis_guard::claims::OwnerKind;
use serde::{Deserialize, Serialize};
use url::Url;

use crate::ask::{Ask, Origin};
use crate::audit;
use crate::desk::Desk;
use crate::entitlement::{belongs, generations};
use crate::factors;
use crate::ledger::{Act, CodeRow, Deed, Done, Proved, Session};
use crate::limits::{Account, Attempt};
use crate::refusal::{Code, Not, Refusal, Trouble};
use crate::registry::{Application, ApplicationKind, Person, Who};
use crate::safety::{lacks_factor, predates_factor};
use crate::scope;
use crate::secret::{Secret, hash_random};

/// A validated authorization request, waiting for a person's word.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Consent {
    pub client_id: String,
    pub application_name: String,
    pub organization_name: String,
    pub redirect_uri: String,
    pub redirect_named: bool,
    pub scope: String,
    pub state: Option<String>,
    pub challenge: Option<String>,
    /// The organization's own application: it asks no consent.
    pub first_party: bool,
    /// The person must sign in even with a session.
    pub must_sign_in: bool,
    /// No page may be shown (OpenID Connect Core section 3.1.2.1).
    pub must_not_ask: bool,
}

/// An authorization request that goes no further.
#[derive(Debug)]
pub enum Turned {
    /// The redirect is not proved: tell the person, and nobody else.
    Page(Refusal),
    /// Tell the client.
    Redirect(Url),
}

/// A person with a session.
#[derive(Clone, Debug)]
pub struct Visitor {
    pub person: Person,
    /// Seconds.
    pub auth_time: u64,
    pub proved: Option<Proved>,
}

/// A fresh session and its cookie.
#[derive(Debug)]
pub struct SignedIn {
    pub cookie: Secret,
    /// What the browser shall keep, so that strangers cannot slow this person down here.
    pub device: String,
    pub visitor: Visitor,
}

/// What a right password comes to.
#[derive(Debug)]
pub enum Entered {
    /// Inside.
    In(Box<SignedIn>),
    /// The second factor is asked for.
    Half(Half),
    /// An operator has set the password: one of their own is to be chosen first.
    Given(Half),
}

/// Somebody whose password was right, who still has to show a second factor or to choose a password.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Half {
    pub person: String,
    /// Of the person when the password was right: what has ended since ends this, too.
    pub generation: u32,
    /// So far; a form that an older server sealed does not say.
    #[serde(default = "by_password")]
    pub proved: Proved,
    /// When the password was right; a form that an older server sealed does not say.
    #[serde(default)]
    pub at: u64,
    /// What the browser shall keep, as in [`SignedIn`].
    pub device: String,
}

impl Half {
    /// Seconds in which the rest must come: the page is shown again after each mistake, and not for ever.
    const LIFETIME: u64 = 900;

    /// Whether the password was right too long ago.
    pub(crate) fn is_old(&self, now: u64) -> bool {
        self.at != 0 && now > self.at.saturating_add(Self::LIFETIME)
    }
}

fn by_password() -> Proved {
    Proved::Password
}

/// Validates an authorization request.
///
/// # Errors
/// [`Turned`], towards the person or the client.
pub fn consider(desk: &Desk, ask: &Ask) -> Result<Consent, Turned> {
    let directory = desk.registry.directory();
    let page = |sentence: &'static str| Turned::Page(Refusal::new(Code::InvalidRequest, sentence));
    let client_id = ask
        .get("client_id")
        .ok_or_else(|| page("The link names no client_id; go back to the application and start again."))?;
    let application = directory.application(client_id).filter(|application| !application.disabled);
    let application = application.ok_or_else(|| {
        page("The application that sent you here is not known; ask its maker for the right link.")
    })?;
    let organization = directory.organization(&application.organization).filter(|found| !found.disabled);
    let organization = organization.ok_or_else(|| {
        page("The application that sent you here is not known; ask its maker for the right link.")
    })?;
    let asked = ask.get("redirect_uri").or_else(|| ask.get("callback_url"));
    let redirect = match_redirect(application, asked).ok_or_else(|| {
        page("The address to return to is not one that the application has registered; ask its maker.")
    })?;
    let turn = |code: Code, sentence: &'static str| {
        Turned::Redirect(error_redirect(desk, &redirect, code, sentence, ask.get("state")))
    };
    if application.kind != ApplicationKind::Webapp {
        return Err(turn(
            Code::UnauthorizedClient,
            "This application may not use the authorization code grant; use one of kind webapp.",
        ));
    }
    if ask.get("request").or(ask.get("request_uri")).is_some() {
        return Err(turn(
            Code::InvalidRequest,
            "Request objects are not supported; send the parameters themselves.",
        ));
    }
    if ask.get("response_mode").is_some_and(|mode| mode != "query") {
        return Err(turn(Code::InvalidRequest, "The only response_mode is query."));
    }
    let reach = scope::resolve(ask.get("scope"), application, &directory, None)
        .map_err(|refusal| Turned::Redirect(refusal_redirect(desk, &redirect, &refusal, ask.get("state"))))?;
    let challenge =
        challenge_of(application, ask).map_err(|sentence| turn(Code::InvalidRequest, sentence))?;
    run_machine(application, ask, &redirect, &reach.text, challenge.is_some())
        .map_err(|(code, sentence)| turn(code, sentence))?;
    let prompts: Vec<&str> = ask.get("prompt").unwrap_or_default().split_ascii_whitespace().collect();
    if prompts.contains(&"none") && prompts.len() > 1 {
        return Err(turn(Code::InvalidRequest, "The prompt none stands alone; leave the others out."));
    }
    // Anybody can pretend to be a public client on a loopback address, so there the person is asked.
    let known = application.confidential || redirect.starts_with("https://");
    Ok(Consent {
        client_id: application.client_id.clone(),
        application_name: application.name.clone(),
        organization_name: organization.name.clone(),
        redirect_uri: redirect,
        redirect_named: asked.is_some(),
        scope: reach.text,
        state: ask.get("state").map(str::to_owned),
        challenge,
        first_party: application.first_party && known && !prompts.contains(&"consent"),
        // With a session, another account can only be chosen by signing in to it.
        must_sign_in: prompts.contains(&"login") || prompts.contains(&"select_account"),
        must_not_ask: prompts == ["none"],
    })
}

/// Signs a person in with a password, and opens a session unless there is a second factor to ask for.
///
/// # Errors
/// `access_denied`, in the same words for every reason, or `too_many_requests`.
pub async fn sign_in(
    desk: &Desk,
    consent: &Consent,
    email: &str,
    password: Secret,
    origin: &Origin,
) -> Result<Entered, Not> {
    let email = email.trim().to_lowercase();
    desk.limits.visit(desk, origin)?;
    let attempt = Attempt::begin(desk, Account::User(&email), origin).await?;
    let found = attempt.look(Who::UserEmail(&email), password).await?;
    let now = desk.now();
    let admitted = match found {
        Some((person, attempt)) => welcome(desk, consent, person).await?.map(|person| (person, attempt)),
        None => None,
    };
    let Some((person, attempt)) = admitted else {
        let mut record = audit::event("sign_in.refused", now, origin);
        record.client_id = Some(consent.client_id.clone());
        desk.ledger.commit(Deed::new(Act::Note, record)).await?;
        return Err(Refusal::new(
            Code::AccessDenied,
            "The e-mail address or the password is wrong; try again.",
        )
        .into());
    };
    let has_factor = desk.ledger.factor(&person.id).await?.is_some();
    if has_factor || person.password_given {
        let device = attempt.was_right().await;
        let (generation, proved) = (person.generation, Proved::Password);
        let half = Half { person: person.id, generation, proved, at: now, device };
        return Ok(if has_factor { Entered::Half(half) } else { Entered::Given(half) });
    }
    let (cookie, session) = session_of(desk, &person, Proved::Password);
    let mut record = audit::event("sign_in", now, origin);
    record.subject = Some(person.id.clone());
    record.client_id = Some(consent.client_id.clone());
    if desk.ledger.commit(Deed::new(Act::OpenSession(session), record)).await? == Done::Lost {
        return Err(changed_meanwhile().into());
    }
    let device = attempt.was_right().await;
    let visitor = Visitor { person, auth_time: now, proved: Some(Proved::Password) };
    Ok(Entered::In(Box::new(SignedIn { cookie, device, visitor })))
}

/// Signs a person in whose password was right, by the second factor.
///
/// # Errors
/// `access_denied`, in the same words for every reason, `too_many_requests`, or `invalid_request` when the
/// person has changed since.
pub async fn sign_in_second(
    desk: &Desk,
    consent: &Consent,
    half: &Half,
    code: &Secret,
    origin: &Origin,
) -> Result<Entered, Not> {
    desk.limits.visit(desk, origin)?;
    let attempt = Attempt::begin(desk, Account::Factor(&half.person), origin).await?;
    let found = desk.registry.person(Who::Id(&half.person)).await?;
    let stands = |person: &Person| {
        !person.disabled && person.generation == half.generation && !half.is_old(desk.now())
    };
    let found = found.filter(stands);
    let person = match found {
        Some(person) => welcome(desk, consent, person).await?,
        None => None,
    };
    let person = person.ok_or_else(changed_meanwhile)?;
    let proved = Proved::PasswordAndCode;
    let (cookie, session) = session_of(desk, &person, proved);
    let (event, act) = match person.password_given {
        true => ("sign_in.second_factor", Act::Note),
        false => ("sign_in", Act::OpenSession(session)),
    };
    let mut record = audit::event(event, desk.now(), origin);
    record.subject = Some(person.id.clone());
    record.client_id = Some(consent.client_id.clone());
    if !factors::take(desk, &person, code, (act, record)).await? {
        let mut record = audit::event("sign_in.refused", desk.now(), origin);
        record.subject = Some(person.id.clone());
        record.client_id = Some(consent.client_id.clone());
        record.reason = Some("wrong second factor, or used before".into());
        desk.ledger.commit(Deed::new(Act::Note, record)).await?;
        return Err(Refusal::new(Code::AccessDenied, factors::WRONG).into());
    }
    attempt.was_right().await;
    if person.password_given {
        return Ok(Entered::Given(Half { proved, ..half.clone() }));
    }
    let visitor = Visitor { person, auth_time: desk.now(), proved: Some(proved) };
    Ok(Entered::In(Box::new(SignedIn { cookie, device: half.device.clone(), visitor })))
}

/// Something about the person is no longer as it was when the password was looked at.
pub(crate) fn changed_meanwhile() -> Refusal {
    Refusal::new(Code::InvalidRequest, "The account has changed meanwhile; go back and start again.")
}

/// A new session of a person, and its cookie.
pub(crate) fn session_of(desk: &Desk, person: &Person, proved: Proved) -> (Secret, Session) {
    let cookie = Secret::from(desk.token());
    let now = desk.now();
    let session = Session {
        hash: hash_random(cookie.expose()),
        person: person.id.clone(),
        generation: person.generation,
        auth_time: now,
        proved: Some(proved),
        expires_at: now + u64::from(desk.terms.session_lifetime),
        ended_at: None,
    };
    (cookie, session)
}

/// The person behind a session cookie, if the session is live and the person may use the application.
///
/// # Errors
/// Trouble only.
pub async fn signed_in(desk: &Desk, consent: &Consent, cookie: &str) -> Result<Option<Visitor>, Trouble> {
    let Some(visitor) = visitor(desk, cookie).await? else { return Ok(None) };
    let Some(person) = welcome(desk, consent, visitor.person).await? else { return Ok(None) };
    let directory = desk.registry.directory();
    let organization = directory.application(&consent.client_id).map_or("", |it| it.organization.as_str());
    let early = predates_factor(desk, &directory, (organization, &person), visitor.auth_time).await?;
    Ok((!early).then_some(Visitor { person, ..visitor }))
}

/// The person behind a session cookie, if the session is live, whatever application it was opened for.
///
/// # Errors
/// Trouble only.
pub async fn visitor(desk: &Desk, cookie: &str) -> Result<Option<Visitor>, Trouble> {
    let Some(session) = desk.ledger.session(&hash_random(cookie)).await? else { return Ok(None) };
    if session.ended_at.is_some() || desk.now() >= session.expires_at {
        return Ok(None);
    }
    let person = desk.registry.person(Who::Id(&session.person)).await?;
    let person = person.filter(|p| !p.disabled && p.generation == session.generation);
    Ok(person.map(|person| Visitor { person, auth_time: session.auth_time, proved: session.proved }))
}

/// Whether the organization asks for a second factor that this person has not enrolled yet.
///
/// # Errors
/// Trouble only.
pub async fn must_enrol(desk: &Desk, consent: &Consent, visitor: &Visitor) -> Result<bool, Trouble> {
    let directory = desk.registry.directory();
    let Some(application) = directory.application(&consent.client_id) else { return Ok(false) };
    lacks_factor(desk, &directory, (&application.organization, &visitor.person)).await
}

/// Ends a session, and says whose it was. A cookie of none that is live ends nothing and leaves nothing.
///
/// # Errors
/// Trouble when it could not be written down.
pub async fn sign_out(desk: &Desk, cookie: &str, origin: &Origin) -> Result<(), Trouble> {
    let (hash, now) = (hash_random(cookie), desk.now());
    let session = desk.ledger.session(&hash).await?;
    let Some(session) = session.filter(|it| it.ended_at.is_none() && now < it.expires_at) else {
        return Ok(());
    };
    let mut record = audit::event("sign_out", now, origin);
    record.subject = Some(session.person);
    desk.ledger.commit(Deed::new(Act::EndSession { hash, now }, record)).await.map(drop)
}

/// The person agreed: a code that works once, and the address that carries it with `iss` (RFC 9207).
///
/// # Errors
/// A refusal when the application or person may no longer; trouble when nothing could be written down.
pub async fn approve(desk: &Desk, consent: &Consent, visitor: &Visitor, origin: &Origin) -> Result<Url, Not> {
    let directory = desk.registry.directory();
    let sentence = "The application that sent you here has changed meanwhile; go back and start again.";
    // Checked when the page was made; the page may have been open for long.
    let still_stands = |application: &&Arc<Application>| {
        !application.disabled && match_redirect(application, Some(&consent.redirect_uri)).is_some()
    };
    let application = directory.application(&consent.client_id).filter(still_stands);
    let application = application.ok_or_else(|| Refusal::new(Code::AccessDenied, sentence))?;
    if must_enrol(desk, consent, visitor).await? {
        let sentence =
            "The organization asks for a second factor; enrol one at /oauth/account and start again.";
        return Err(Refusal::new(Code::AccessDenied, sentence).into());
    }
    let code = desk.token();
    let now = desk.now();
    let row = CodeRow {
        hash: hash_random(&code),
        client_id: consent.client_id.clone(),
        person: visitor.person.id.clone(),
        redirect_uri: consent.redirect_uri.clone(),
        redirect_named: consent.redirect_named,
        scope: consent.scope.clone(),
        challenge: consent.challenge.clone(),
        gv: generations(&directory, application, visitor.person.generation),
        auth_time: visitor.auth_time,
        proved: visitor.proved,
        expires_at: now + u64::from(desk.terms.code_lifetime),
        spent_by: None,
    };
    let mut record = audit::event("consent.given", now, origin);
    record.organization = Some(application.organization.clone());
    record.client_id = Some(consent.client_id.clone());
    record.subject = Some(visitor.person.id.clone());
    record.scope = Some(consent.scope.clone());
    desk.ledger.commit(Deed::new(Act::PutCode(row), record)).await?;
    let mut to = parse(&consent.redirect_uri)?;
    to.query_pairs_mut().append_pair("code", &code);
    finish(desk, &mut to, consent.state.as_deref());
    Ok(to)
}

/// The person said no, or cannot be asked; whoever is signed in is named.
///
/// # Errors
/// Trouble when it could not be written down.
pub async fn decline(
    desk: &Desk,
    consent: &Consent,
    (code, visitor): (Code, Option<&Visitor>),
    origin: &Origin,
) -> Result<Url, Not> {
    let mut record = audit::event("consent.refused", desk.now(), origin);
    record.client_id = Some(consent.client_id.clone());
    record.subject = visitor.map(|visitor| visitor.person.id.clone());
    desk.ledger.commit(Deed::new(Act::Note, record)).await?;
    let sentence = match code {
        Code::LoginRequired => "Nobody is signed in.",
        Code::ConsentRequired => "The person has to be asked, and no page may be shown.",
        _ => "The person did not agree.",
    };
    Ok(error_redirect(desk, &consent.redirect_uri, code, sentence, consent.state.as_deref()))
}

/// Only active members of the application's organization may sign in to it.
pub(crate) async fn welcome(
    desk: &Desk,
    consent: &Consent,
    person: Person,
) -> Result<Option<Person>, Trouble> {
    let directory = desk.registry.directory();
    let Some(application) = directory.application(&consent.client_id) else { return Ok(None) };
    let owner = (OwnerKind::User, person.id.as_str());
    match belongs(desk, &directory, application, owner, Code::AccessDenied).await {
        Ok(admitted) => Ok(Some(admitted.person)),
        Err(Not::Refused(_)) => Ok(None),
        Err(Not::Broken(trouble)) => Err(trouble),
    }
}

/// Byte for byte one of the registered addresses (RFC 9700 section 2.1); of a loopback literal with plain
/// http, any port (RFC 8252 section 7.3). Left out, it is the only registered one.
fn match_redirect(application: &Application, asked: Option<&str>) -> Option<String> {
    let Some(asked) = asked else {
        return match application.redirect_uris.as_slice() {
            [only] => Some(only.clone()),
            _ => None,
        };
    };
    let fits = |known: &String| {
        known == asked
            || loopback_without_port(known).is_some_and(|k| Some(k) == loopback_without_port(asked))
    };
    application.redirect_uris.iter().any(fits).then(|| asked.to_owned())
}

/// An http address of 127.0.0.1 or [::1], its port left out; compared as text, so that nothing is
/// normalised behind our back.
fn loopback_without_port(text: &str) -> Option<String> {
    for host in ["http://127.0.0.1", "http://[::1]"] {
        let Some(rest) = text.strip_prefix(host) else { continue };
        let rest = match rest.strip_prefix(':') {
            Some(port_and_path) => {
                let (port, path) = port_and_path.split_at(port_and_path.find('/')?);
                port.bytes().all(|byte| byte.is_ascii_digit()).then(|| port.parse::<u16>().ok())??;
                path
            }
            None => rest,
        };
        let sound = rest.starts_with('/') && !rest.contains('#') && !rest.contains('\\');
        return sound.then(|| format!("{host}{rest}"));
    }
    None
}

/// The S256 challenge (RFC 7636 section 4.3): required, except where an operator made it optional for a
/// confidential client.
fn challenge_of(application: &Application, ask: &Ask) -> Result<Option<String>, &'static str> {
    let optional = application.pkce_optional && application.confidential;
    match (ask.get("code_challenge"), ask.get("code_challenge_method")) {
        (None, None) if optional => Ok(None),
        (Some(challenge), Some("S256")) if sound_challenge(challenge) => Ok(Some(challenge.to_owned())),
        (Some(_), _) => {
            Err("The code_challenge_method must be S256, and the code_challenge its 43 characters.")
        }
        (None, _) => Err("PKCE is required: send code_challenge and code_challenge_method=S256."),
    }
}

fn sound_challenge(challenge: &str) -> bool {
    challenge.len() == 43 && challenge.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_')
}

/// What the machine sees: parameters that have been read once.
struct Seen<'a>(&'a Ask);

impl Request for Seen<'_> {
    fn valid(&self) -> bool {
        true
    }
    fn client_id(&self) -> Option<Cow<'_, str>> {
        self.0.get("client_id").map(Cow::Borrowed)
    }
    fn scope(&self) -> Option<Cow<'_, str>> {
        self.0.get("scope").map(Cow::Borrowed)
    }
    fn redirect_uri(&self) -> Option<Cow<'_, str>> {
        self.0.get("redirect_uri").map(Cow::Borrowed)
    }
    fn state(&self) -> Option<Cow<'_, str>> {
        self.0.get("state").map(Cow::Borrowed)
    }
    fn response_type(&self) -> Option<Cow<'_, str>> {
        self.0.get("response_type").map(Cow::Borrowed)
    }
    fn extension(&self, name: &str) -> Option<Cow<'_, str>> {
        self.0.get(name).map(Cow::Borrowed)
    }
}

fn run_machine(
    application: &Application,
    ask: &Ask,
    redirect: &str,
    scope: &str,
    challenged: bool,
) -> Result<(), (Code, &'static str)> {
    let bad = |sentence| (Code::InvalidRequest, sentence);
    let url = ExactUrl::new(redirect.to_owned()).map_err(|_| bad("The redirect_uri cannot be read."))?;
    let url = RegisteredUrl::from(url);
    let seen = Seen(ask);
    let mut run = Machine::new(&seen);
    let mut input = Input::None;
    loop {
        input = match run.advance(input) {
            Output::Bind { .. } => Input::Bound {
                request: &seen,
                bound_client: BoundClient {
                    client_id: Cow::Owned(application.client_id.clone()),
                    redirect_uri: Cow::Owned(url.clone()),
                },
            },
            Output::Extend => {
                let pkce = Pkce::required();
                let read = |name| ask.get(name).map(Cow::Borrowed);
                let kept = pkce.challenge(read("code_challenge_method"), read("code_challenge"));
                if challenged && kept.is_err() {
                    return Err(bad("PKCE is required: send code_challenge and code_challenge_method=S256."));
                }
                Input::Extended(Extensions::new())
            }
            Output::Negotiate { .. } => Input::Negotiated {
                pre_grant: PreGrant {
                    client_id: application.client_id.clone(),
                    redirect_uri: url.clone(),
                    scope: scope.parse().map_err(|_| {
                        (Code::InvalidScope, "The scope has a character that a scope cannot have.")
                    })?,
                },
                state: ask.get("state").map(str::to_owned),
            },
            Output::Ok { .. } => return Ok(()),
            Output::Err(Error::Redirect(mut url)) => {
                return Err(match url.description().kind() {
                    AuthorizationErrorType::UnsupportedResponseType => {
                        (Code::UnsupportedResponseType, "The only response_type is code.")
                    }
                    AuthorizationErrorType::InvalidScope => (Code::InvalidScope, "The scope cannot be read."),
                    _ => bad("The authorization request lacks a parameter or has one that cannot be read."),
                });
            }
            Output::Err(_) => return Err(bad("The authorization request cannot be read.")),
        };
    }
}

fn refusal_redirect(desk: &Desk, redirect: &str, refusal: &Refusal, state: Option<&str>) -> Url {
    error_redirect(desk, redirect, refusal.code, &refusal.sentence, state)
}

/// RFC 6749 section 4.1.2.1, with `iss` (RFC 9207).
fn error_redirect(desk: &Desk, redirect: &str, code: Code, sentence: &str, state: Option<&str>) -> Url {
    let mut to = Url::parse(redirect).unwrap_or_else(|_| nowhere());
    to.query_pairs_mut().append_pair("error", code.as_str()).append_pair("error_description", sentence);
    finish(desk, &mut to, state);
    to
}

fn finish(desk: &Desk, to: &mut Url, state: Option<&str>) {
    if let Some(state) = state {
        to.query_pairs_mut().append_pair("state", state);
    }
    to.query_pairs_mut().append_pair("iss", &desk.terms.issuer);
}

fn parse(redirect: &str) -> Result<Url, Trouble> {
    Url::parse(redirect)
        .map_err(|e| Trouble::new("registry", format!("a registered redirect is no URL: {e}")))
}

/// Registered redirects are checked when they are registered, so this is never reached; it is not an
/// address that a browser could follow.
fn nowhere() -> Url {
    Url::parse("about:blank").expect("about:blank is a URL")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_port_of_a_loopback_literal_is_free() {
        let at = |text: &str| loopback_without_port(text);
        assert_eq!(at("http://127.0.0.1:51000/cb"), at("http://127.0.0.1/cb"));
        assert_eq!(at("http://[::1]:1/cb?x=1"), at("http://[::1]/cb?x=1"));
        assert_ne!(at("http://127.0.0.1/cb"), at("http://127.0.0.1/cb/../x"));
        for odd in [
            "http://127.0.0.1:99999/cb",
            "http://127.0.0.1:+80/cb",
            "http://127.0.0.1.evil.example/cb",
            "http://127.0.0.1@evil.example/cb",
            "https://127.0.0.1/cb",
            "http://localhost/cb",
            "http://127.0.0.1:1@evil.example/cb",
            "http://127.0.0.1",
            "http://127.0.0.1/cb#x",
        ] {
            assert_eq!(at(odd), None, "{odd}");
        }
    }
}
