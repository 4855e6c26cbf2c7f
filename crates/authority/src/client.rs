//! Proves who is calling. A [`Caller`] has one constructor, the proof; so "who is calling?" cannot be
//! answered without having asked.
//!
//! Unknown client, wrong secret, expired secret and disabled client read the same and cost the same: one
//! keyed hash and one comparison, whatever is wrong. What still differs is the time of a hash lookup in
//! memory, which tells nothing that an authorization request would not tell.

use std::net::IpAddr;
use std::sync::Arc;

use crate::ask::{Ask, Credentials};
use crate::desk::Desk;
use crate::refusal::{Code, Refusal};
use crate::registry::{Application, Directory, Organization, StoredSecret};
use crate::secret::{Secret, same};

/// A client that has proved who it is.
#[derive(Clone, Debug)]
pub struct Caller {
    application: Arc<Application>,
    organization: Arc<Organization>,
    directory: Arc<Directory>,
    secret: Option<Secret>,
}

impl Caller {
    /// Authenticates the client of an ask as far as the limits let it: wrong secrets are counted, and who is
    /// proved by a secret is counted by its name, who is not by its address.
    ///
    /// # Errors
    /// `invalid_client`, or `too_many_requests`.
    pub fn admit(desk: &Desk, ask: &Ask) -> Result<Self, Refusal> {
        let caller = Self::recognise(desk, ask)?;
        match caller.confidential() {
            true => desk.limits.client(desk, &caller.application.client_id)?,
            false => desk.limits.visit(desk, &ask.origin)?,
        }
        Ok(caller)
    }

    /// The same for what is not counted here as a request.
    ///
    /// # Errors
    /// `invalid_client`, or `too_many_requests` after too many wrong secrets.
    pub fn recognise(desk: &Desk, ask: &Ask) -> Result<Self, Refusal> {
        let Some(offered) = ask.credentials().filter(|offered| offered.secret.is_some()) else {
            return Self::prove(desk, ask);
        };
        desk.limits.may_prove(desk, &offered.client_id, &ask.origin)?;
        let proved = Self::prove(desk, ask);
        match &proved {
            Ok(_) => desk.limits.was_right(desk, &offered.client_id, &ask.origin),
            Err(_) => desk.limits.was_wrong(desk, &offered.client_id, &ask.origin),
        }
        proved
    }

    /// Authenticates the client of an ask (RFC 6749 section 2.3): by secret, or by name alone when the
    /// application is not confidential.
    ///
    /// # Errors
    /// `invalid_client`, always in the same words.
    fn prove(desk: &Desk, ask: &Ask) -> Result<Self, Refusal> {
        let Some(offered) = ask.credentials() else {
            return Err(Refusal::new(
                Code::InvalidClient,
                "Name the client with client_id, and its client_secret if it has one.",
            ));
        };
        let directory = desk.registry.directory();
        let application = directory.application(&offered.client_id).cloned();
        let proved = compare(desk, offered, application.as_deref());
        let caller = application.and_then(|application| {
            let organization = directory.organization(&application.organization)?.clone();
            let live = !application.disabled && !organization.disabled;
            live.then(|| Self { application, organization, directory, secret: offered.secret.clone() })
        });
        match caller {
            Some(caller) if proved => Ok(caller),
            Some(_) => Err(failed().because("wrong or missing secret")),
            None => Err(failed().because("unknown or disabled client")),
        }
    }

    pub fn application(&self) -> &Arc<Application> {
        &self.application
    }

    pub fn organization(&self) -> &Arc<Organization> {
        &self.organization
    }

    /// The registry as it was when the caller was proved.
    pub fn directory(&self) -> &Arc<Directory> {
        &self.directory
    }

    /// Whether the secret was sent.
    pub fn confidential(&self) -> bool {
        self.secret.is_some()
    }

    /// The proved secret, for assertions that are signed with it.
    pub fn secret(&self) -> Option<&Secret> {
        self.secret.as_ref()
    }

    /// The caller's own subject; no person's id holds a colon.
    pub fn subject(&self) -> String {
        subject_of(&self.application.client_id)
    }
}

/// The backend of an enterprise's application names a visitor, and shows the key that lets it: then limits
/// count the visitor. With a wrong key nothing is said and nobody is heard; wrong keys are counted like wrong
/// secrets.
pub fn hear_visitor(desk: &Desk, ask: &mut Ask, visitor: &str, key: &Secret) {
    let (Some(offered), Ok(visitor)) = (ask.credentials(), visitor.parse::<IpAddr>()) else { return };
    let name = format!("backend:{}", offered.client_id);
    if desk.limits.may_prove(desk, &name, &ask.origin).is_err() {
        return;
    }
    let directory = desk.registry.directory();
    let hash = desk.seal.client_secret(&name, key);
    let application = directory.application(&offered.client_id).filter(|application| {
        let home = directory.organization(&application.organization);
        home.is_some_and(|organization| organization.enterprise)
    });
    let fits = |stored: &StoredSecret| stored.is_live(desk.now()) & same(&hash, &stored.hash);
    let fits = application.iter().flat_map(|it| &it.backend_keys).fold(false, |so_far, it| so_far | fits(it));
    match fits {
        true => ask.origin.visitor = Some(visitor.to_canonical().to_string()),
        false => desk.limits.was_wrong(desk, &name, &ask.origin),
    }
}

/// The subject of a client (RFC 9068 section 2.2; RFC 9700 section 4.15: never to be confused with a
/// person's).
pub fn subject_of(client_id: &str) -> String {
    format!("client:{client_id}")
}

fn compare(desk: &Desk, offered: &Credentials, application: Option<&Application>) -> bool {
    let nothing = Secret::from("");
    let hash = desk.seal.client_secret(&offered.client_id, offered.secret.as_ref().unwrap_or(&nothing));
    let now = desk.now();
    let mut fits = same(&hash, "a stand-in, so that unknown clients cost a comparison too");
    for stored in application.iter().flat_map(|application| &application.secrets) {
        let this = stored.is_live(now) & same(&hash, &stored.hash);
        if this {
            desk.registry.secret_used(&offered.client_id, &stored.id, now);
        }
        fits |= this;
    }
    match &offered.secret {
        Some(_) => fits,
        None => application.is_some_and(|application| !application.confidential),
    }
}

fn failed() -> Refusal {
    Refusal::new(
        Code::InvalidClient,
        "Client authentication failed: the client is not known here, or its secret is missing or wrong.",
    )
}
