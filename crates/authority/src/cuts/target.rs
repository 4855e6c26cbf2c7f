//! What an operator names to be ended, as it was written and as it was found.

use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::{Deserialize, Serialize};

use crate::endings::{MARGIN, remembered_until};
use crate::handle::Handle;
use crate::operators::Denial;
use crate::proposals::Room;
use crate::registry::{Application, Organization, Person, Role, Who};

/// What shall end, as an operator writes it. Shy: the id may be a token.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Cut {
    pub kind: CutKind,
    /// Which one; nothing for everything.
    #[serde(default)]
    pub id: String,
}

impl std::fmt::Debug for Cut {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(out, "Cut({}, ..)", self.kind.as_str())
    }
}

/// Kinds of things that can be ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CutKind {
    Token,
    Login,
    Person,
    Application,
    Actor,
    Role,
    Key,
    Organization,
    Everything,
}

impl CutKind {
    pub const ALL: [Self; 9] = [
        Self::Token,
        Self::Login,
        Self::Person,
        Self::Application,
        Self::Actor,
        Self::Role,
        Self::Key,
        Self::Organization,
        Self::Everything,
    ];

    pub fn as_str(self) -> &'static str {
        match self {
            Self::Token => "token",
            Self::Login => "login",
            Self::Person => "person",
            Self::Application => "application",
            Self::Actor => "actor",
            Self::Role => "role",
            Self::Key => "key",
            Self::Organization => "organization",
            Self::Everything => "everything",
        }
    }

    /// Whether so many may be behind it that a second person must agree.
    pub fn is_wide(self) -> bool {
        matches!(self, Self::Key | Self::Organization | Self::Everything)
    }
}

/// What was found.
#[derive(Clone, Debug)]
pub enum Target {
    Token {
        jti: String,
        raw: [u8; 16],
        /// How long its end must be remembered, seconds.
        exp: u64,
    },
    Login {
        sid: String,
        client_id: String,
        organization: String,
        owner: Option<String>,
    },
    Person(Box<Person>),
    Application(Arc<Application>),
    /// The subject of a person or a client, wherever it acts.
    Actor(String),
    Role(Arc<Role>),
    Key {
        kid: String,
        /// Still signs: what it signs from now on is dead too.
        signs: bool,
    },
    Organization(Arc<Organization>),
    Everything,
}

impl Target {
    /// Finds what is named.
    ///
    /// # Errors
    /// [`Denial::Missing`] or [`Denial::Invalid`] in sentences that say what is wanted.
    pub async fn find(room: Room<'_>, cut: &Cut) -> Result<Self, Denial> {
        let id = cut.id.trim();
        if id.is_empty() != (cut.kind == CutKind::Everything) {
            return Err(Denial::invalid(
                "id",
                match cut.kind {
                    CutKind::Everything => "everything takes no id; leave it out.".to_owned(),
                    kind => format!("Say which {} shall end.", kind.as_str()),
                },
            ));
        }
        // PostgreSQL has trouble with a NUL; nothing is called that.
        if id.contains('\0') {
            return Err(Denial::invalid("id", "The id holds a NUL."));
        }
        let directory = room.desk.registry.directory();
        match cut.kind {
            CutKind::Token => token(room, id).await,
            CutKind::Login => login(room, id).await,
            CutKind::Person => Ok(Self::Person(Box::new(person(room, id).await?))),
            CutKind::Application => {
                let found =
                    directory.application(id).or_else(|| directory.applications().find(|a| a.id == id));
                let found = found.cloned().map(Self::Application);
                found.ok_or_else(|| Denial::missing("No application has this client_id or id."))
            }
            CutKind::Actor => actor(room, id).await,
            CutKind::Role => role(room, id),
            CutKind::Key => {
                let found = room.keyring.keys().iter().find(|key| key.kid == id);
                let found = found.ok_or_else(|| {
                    Denial::missing(
                        "No key of this server has this key id; `portcullis keys status` lists them.",
                    )
                })?;
                Ok(Self::Key {
                    kid: found.kid.clone(),
                    signs: found.state == crate::keyring::KeyState::Active,
                })
            }
            CutKind::Organization => organization(room, id).map(Self::Organization),
            CutKind::Everything => Ok(Self::Everything),
        }
    }

    /// The same in the one form that is shown, kept and compared: never a token.
    pub fn cut(&self) -> Cut {
        let (kind, id) = match self {
            Self::Token { jti, .. } => (CutKind::Token, jti.clone()),
            Self::Login { sid, .. } => (CutKind::Login, sid.clone()),
            Self::Person(person) => (CutKind::Person, person.id.clone()),
            Self::Application(application) => (CutKind::Application, application.client_id.clone()),
            Self::Actor(sub) => (CutKind::Actor, sub.clone()),
            Self::Role(role) => (CutKind::Role, format!("{}/{}", role.organization, role.id)),
            Self::Key { kid, .. } => (CutKind::Key, kid.clone()),
            Self::Organization(organization) => (CutKind::Organization, organization.id.clone()),
            Self::Everything => (CutKind::Everything, String::new()),
        };
        Cut { kind, id }
    }
}

/// A person by id, or a user by e-mail address.
///
/// # Errors
/// [`Denial::Missing`] or trouble.
pub async fn person(room: Room<'_>, id: &str) -> Result<Person, Denial> {
    let who = if id.contains('@') { Who::UserEmail(id) } else { Who::Id(id) };
    let found = room.desk.registry.person(who).await?;
    found.ok_or_else(|| Denial::missing("Nobody has this id, and no user has this e-mail address."))
}

async fn token(room: Room<'_>, text: &str) -> Result<Target, Denial> {
    if Handle::looks_like_one(text) {
        return login(room, text).await;
    }
    if let Some(claims) = room.desk.inspector.recognise(text) {
        let raw = raw_id(&claims.jti).ok_or_else(not_an_id)?;
        return Ok(Target::Token { jti: claims.jti, raw, exp: claims.exp + MARGIN });
    }
    // A token that is not stored anywhere is known by its id alone; it lives no longer than any does.
    let raw = raw_id(text).ok_or_else(not_an_id)?;
    let exp = remembered_until(room.desk, &room.desk.registry.directory(), None);
    Ok(Target::Token { jti: text.into(), raw, exp })
}

async fn login(room: Room<'_>, text: &str) -> Result<Target, Denial> {
    let unknown = || {
        Denial::missing(
            "There is no such login: give its sid, its refresh token or one of its access tokens.",
        )
    };
    let sid = match Handle::read(text, &room.desk.terms.issuer, &room.desk.seal) {
        Some(handle) => handle.family,
        None => match room.desk.inspector.recognise(text) {
            Some(claims) => claims
                .sid
                .ok_or_else(|| Denial::missing("This token belongs to no login; end it as a token."))?,
            None => text.to_owned(),
        },
    };
    raw_id(&sid).ok_or_else(unknown)?;
    let family = room.desk.ledger.family(&sid).await?.ok_or_else(unknown)?;
    Ok(Target::Login {
        sid,
        client_id: family.client_id,
        organization: family.organization,
        owner: family.owner.map(|(_, id)| id),
    })
}

/// `client:<client_id>` or the id of a person.
async fn actor(room: Room<'_>, sub: &str) -> Result<Target, Denial> {
    let known = match sub.strip_prefix("client:") {
        Some(client_id) => room.desk.registry.directory().application(client_id).is_some(),
        None => room.desk.registry.person(Who::Id(sub)).await?.is_some(),
    };
    let sentence = "Nobody can act under this name: give client:<client_id> or the id of a person.";
    known.then(|| Target::Actor(sub.into())).ok_or_else(|| Denial::missing(sentence))
}

/// `<organization>/<role>`: also the built-in roles are given within an organization.
fn role(room: Room<'_>, id: &str) -> Result<Target, Denial> {
    let directory = room.desk.registry.directory();
    let (home, role) = id.split_once('/').ok_or_else(|| {
        Denial::invalid("id", "Name a role as <organization>/<role>: roles are given within an organization.")
    })?;
    let home = organization(room, home)?;
    let found = directory.role(&home.id, role).cloned().map(Target::Role);
    found.ok_or_else(|| Denial::missing("The organization has no role with this id."))
}

pub(crate) fn organization(room: Room<'_>, id: &str) -> Result<Arc<Organization>, Denial> {
    let directory = room.desk.registry.directory();
    let found = directory.organization(id).or_else(|| directory.organization_by_slug(id)).cloned();
    found.ok_or_else(|| Denial::missing("No organization has this id or slug."))
}

fn raw_id(text: &str) -> Option<[u8; 16]> {
    URL_SAFE_NO_PAD.decode(text).ok()?.try_into().ok()
}

fn not_an_id() -> Denial {
    Denial::missing("This is neither a token of ours nor the jti of one, which has 22 characters.")
}
