//! What a token may say; nothing signed yet. A grant decides on one of these or refuses.

use std::sync::Arc;

use portcullis_guard::claims::{Actor, Generations, OwnerKind};
use portcullis_guard::policy::WITHIN_MARKETS;
use serde_json::Value;

use crate::client::Caller;
use crate::desk::Desk;
use crate::handle::Handle;
use crate::ledger::Proved;
use crate::refusal::{Code, Not, Refusal};
use crate::registry::{
    Application, ApplicationKind, Directory, Membership, Organization, Person, Scope, Share, Who,
};
use crate::safety::lacks_factor;
use crate::scope::Reach;

/// A role that no policy defines: it grants nothing, wherever it stands.
const NOBODY: &str = "nobody";

/// What a token may say.
#[derive(Clone, Debug)]
pub struct Entitlement {
    pub application: Arc<Application>,
    pub organization: Arc<Organization>,
    pub directory: Arc<Directory>,
    /// The secret was sent.
    pub confidential: bool,
    pub subject: Subject,
    pub reach: Reach,
    /// All must allow an action.
    pub roles: Vec<String>,
    pub act: Option<Box<Actor>>,
    pub custom_claim: Option<Value>,
    pub gv: Generations,
    /// The login that it belongs to already.
    pub sid: Option<String>,
    /// The token must not outlive this, seconds.
    pub not_after: Option<u64>,
    pub auth_time: u64,
    /// How its owner was proved, where it was here that they were.
    pub proved: Option<Proved>,
    pub promise: Promise,
    pub grant: &'static str,
}

/// Whom the token stands for.
#[derive(Clone, Debug, PartialEq)]
pub enum Subject {
    /// Nobody but the application.
    Client,
    Owner(OwnerKind, String),
    /// The person behind a personal credential.
    User(String),
}

/// What is promised beside the access token.
#[derive(Clone, Debug)]
pub enum Promise {
    /// Nothing: it ends by itself.
    Nothing,
    /// A new login with a refresh token.
    Login(Via),
    /// The refresh token that was sent stays good.
    Keep(Handle),
    /// The refresh token that was sent is replaced.
    Rotate(Handle),
    /// It was replaced a moment ago and the answer was lost: the same successor again.
    Again(Handle),
}

/// What a login spends, in the same transaction that opens it.
#[derive(Clone, Debug)]
pub enum Via {
    /// Nothing that could be spent twice: a password, or the vendor's unsigned assertion.
    Plain,
    Code {
        hash: String,
        /// Of the registry that the person's place was looked up in.
        version: u64,
    },
    Assertion {
        digest: String,
        exp: u64,
    },
}

impl Entitlement {
    /// What the caller itself is entitled to, before a grant adds people, roles or promises.
    pub fn of(caller: &Caller, reach: Reach, grant: &'static str, now: u64) -> Self {
        let directory = caller.directory();
        Self {
            application: caller.application().clone(),
            organization: caller.organization().clone(),
            directory: directory.clone(),
            confidential: caller.confidential(),
            subject: Subject::Client,
            reach,
            roles: Vec::new(),
            act: None,
            custom_claim: None,
            gv: generations(directory, caller.application(), 0),
            sid: None,
            not_after: None,
            auth_time: now,
            proved: None,
            promise: Promise::Nothing,
            grant,
        }
    }

    /// Its `sub`.
    pub fn subject_text(&self) -> String {
        match &self.subject {
            Subject::Client => crate::client::subject_of(&self.application.client_id),
            Subject::Owner(_, id) | Subject::User(id) => id.clone(),
        }
    }

    /// Its owner, when there is one.
    pub fn owner(&self) -> Option<(OwnerKind, String)> {
        match &self.subject {
            Subject::Owner(kind, id) => Some((*kind, id.clone())),
            _ => None,
        }
    }
}

/// The generations that a token of this application carries now.
pub fn generations(directory: &Directory, application: &Application, subject: u32) -> Generations {
    Generations(
        subject,
        directory.generation(Scope::Client, &application.client_id),
        directory.generation(Scope::Organization, &application.organization),
        directory.generation(Scope::Everything, ""),
    )
}

/// Whether something promised under `then` has been ended since.
///
/// The subject's generation is read together with the person, so any difference counts: a smaller number
/// is somebody else who was given the id of a person that is gone. The others come from the snapshot of
/// this server, which may be a moment behind the server that made the promise, so only a rise counts.
pub fn superseded(then: Generations, now: Generations) -> bool {
    now.0 != then.0 || now.1 > then.1 || now.2 > then.2 || now.3 > then.3
}

/// The rights of an application by itself.
pub fn own_roles(directory: &Directory, application: &Application) -> Vec<String> {
    match application.kind {
        ApplicationKind::SalesChannel => vec!["sales_channel_guest".into()],
        ApplicationKind::User => vec!["provisioning".into()],
        ApplicationKind::Integration | ApplicationKind::Webapp => {
            vec![share(directory, application).unwrap_or_else(|| NOBODY.into())]
        }
    }
}

/// The role that an application has been given, by its name in a token. A role that is gone grants
/// nothing.
pub fn share(directory: &Directory, application: &Application) -> Option<String> {
    let id = application.role.as_ref()?;
    Some(directory.role(&application.organization, id).map_or_else(|| NOBODY.into(), |role| role.claim()))
}

/// A person who may be stood for through an application.
#[derive(Clone, Debug)]
pub struct Admitted {
    pub person: Person,
    /// The roles that the person brings; all must allow an action.
    pub roles: Vec<String>,
    /// The markets that the person is kept to, by id.
    markets: Option<Vec<String>>,
}

impl Admitted {
    /// What is left of a reach for this person.
    ///
    /// # Errors
    /// `invalid_scope` when nothing is.
    pub fn within(&self, reach: Reach, directory: &Directory, organization: &str) -> Result<Reach, Refusal> {
        match &self.markets {
            None => Ok(reach),
            Some(markets) => reach.inside(markets, directory.fences(organization)),
        }
    }

    /// The person's roles and the application's own: a token gets no more than both allow.
    pub fn roles_through(&self, directory: &Directory, application: &Application) -> Vec<String> {
        let mut roles = self.roles.clone();
        roles.extend(share(directory, application).filter(|role| !self.roles.contains(role)));
        roles
    }
}

/// A person who may be stood for through this application, in its organization.
///
/// # Errors
/// A refusal with the given code and one sentence for every reason; the cause tells them apart for us.
pub async fn admit(
    desk: &Desk,
    directory: &Directory,
    application: &Application,
    owner: (OwnerKind, &str),
    refused: Code,
) -> Result<Admitted, Not> {
    let found = belongs(desk, directory, application, owner, refused).await?;
    let asked = (application.organization.as_str(), &found.person);
    match lacks_factor(desk, directory, asked).await? {
        true => Err(not_here(refused, "the organization asks for a second factor, and there is none")),
        false => Ok(found),
    }
}

/// The same before it is known whether the organization asks for a second factor: whoever signs in may still
/// enrol one.
///
/// # Errors
/// As [`admit`].
pub async fn belongs(
    desk: &Desk,
    directory: &Directory,
    application: &Application,
    owner: (OwnerKind, &str),
    refused: Code,
) -> Result<Admitted, Not> {
    let no = |cause: &'static str| not_here(refused, cause);
    let organization = application.organization.as_str();
    let person = desk.registry.person(Who::Id(owner.1)).await?.ok_or_else(|| no("no such person"))?;
    if person.disabled || person.kind != owner.0 {
        return Err(no("disabled, or of the other kind"));
    }
    match person.kind {
        OwnerKind::Customer if person.organization.as_deref() == Some(organization) => {
            Ok(Admitted { person, roles: vec!["sales_channel_customer".into()], markets: None })
        }
        OwnerKind::Customer => Err(no("customer of another organization")),
        OwnerKind::User => {
            let memberships = desk.registry.memberships(&person.id).await?;
            let place = memberships.iter().find(|m| m.active && m.organization == organization);
            let place = place.ok_or_else(|| no("no active membership"))?;
            let shares = place
                .shares(application)
                .ok_or_else(|| no("the membership does not reach the application"))?;
            let (roles, markets) =
                narrowed(directory, place, &shares).ok_or_else(|| no("a role of the membership is gone"))?;
            Ok(Admitted { person, roles, markets })
        }
    }
}

fn not_here(refused: Code, cause: &'static str) -> Not {
    let sentence = "The owner does not exist in this organization, or is not active; name another.";
    Refusal::new(refused, sentence).because(cause).into()
}

/// The roles of a membership and its shares, and the markets that all of these leave. Whoever is kept to
/// markets is kept to them in everything, and not only where a role happens to look at markets.
fn narrowed(
    directory: &Directory,
    place: &Membership,
    shares: &[&Share],
) -> Option<(Vec<String>, Option<Vec<String>>)> {
    let mut roles: Vec<String> = Vec::new();
    for id in std::iter::once(&place.role).chain(shares.iter().map(|share| &share.role)) {
        let role = directory.role(&place.organization, id)?.claim();
        if !roles.contains(&role) {
            roles.push(role);
        }
    }
    let mut kept: Option<Vec<String>> = None;
    for markets in shares.iter().filter_map(|share| share.markets.as_ref()) {
        let both = |before: Vec<String>| before.into_iter().filter(|id| markets.contains(id)).collect();
        kept = Some(kept.map_or_else(|| markets.clone(), both));
    }
    if kept.is_some() {
        roles.push(WITHIN_MARKETS.into());
    }
    Some((roles, kept))
}
