//! What a token may say; nothing signed yet. A grant decides on one of these or refuses.

use std::sync::Arc;

use portcullis_guard::claims::{Actor, Generations, OwnerKind};
use serde_json::Value;

use crate::client::Caller;
use crate::desk::Desk;
use crate::handle::Handle;
use crate::refusal::{Code, Not, Refusal};
use crate::registry::{Application, ApplicationKind, Directory, Organization, Person, Scope, Who};
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

/// A person who may be stood for in this organization, and the roles that the person brings.
///
/// # Errors
/// A refusal with the given code and one sentence for every reason; the cause tells them apart for us.
pub async fn admit(
    desk: &Desk,
    directory: &Directory,
    organization: &str,
    owner: (OwnerKind, &str),
    refused: Code,
) -> Result<(Person, Vec<String>), Not> {
    let no = |cause: &'static str| {
        Not::from(
            Refusal::new(
                refused,
                "The owner does not exist in this organization, or is not active; name another.",
            )
            .because(cause),
        )
    };
    let person = desk.registry.person(Who::Id(owner.1)).await?.ok_or_else(|| no("no such person"))?;
    if person.disabled || person.kind != owner.0 {
        return Err(no("disabled, or of the other kind"));
    }
    let roles = match person.kind {
        OwnerKind::Customer if person.organization.as_deref() == Some(organization) => {
            vec!["sales_channel_customer".into()]
        }
        OwnerKind::Customer => return Err(no("customer of another organization")),
        OwnerKind::User => {
            let memberships = desk.registry.memberships(&person.id).await?;
            let place = memberships.iter().find(|m| m.active && m.organization == organization);
            let place = place.ok_or_else(|| no("no active membership"))?;
            let role = directory
                .role(organization, &place.role)
                .ok_or_else(|| no("the membership's role is gone"))?;
            vec![role.claim()]
        }
    };
    Ok((person, roles))
}
