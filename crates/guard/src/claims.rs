//! What an access token says: one claim set that serves RFC 9068 and Commerce Layer at once.
//!
//! The server writes this very struct and every guard reads it, so the two cannot drift. Nothing here
//! knows whether a token is genuine; that is [`crate::Guard`]'s business.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::policy::Narrowing;

/// The claims of an access token (RFC 9068 section 2.2, and the vendor's claims beside them).
///
/// Times are whole seconds since the Unix epoch. Unknown members are ignored when reading.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Claims {
    /// Issuer, compared byte for byte.
    pub iss: String,
    /// A customer's or user's id, or `client:<client_id>` when nobody but the application is involved.
    pub sub: String,
    /// The services that this token is for (RFC 7519 section 4.1.3: one string or several).
    #[serde(with = "one_or_many")]
    pub aud: Vec<String>,
    /// The application that obtained the token.
    pub client_id: String,
    /// Issued at, seconds.
    pub iat: u64,
    /// Expires at, seconds.
    pub exp: u64,
    /// 22 characters: 16 bytes in base64url. Names this token in the feed.
    pub jti: String,
    /// The scope exactly as it was asked for.
    pub scope: String,
    /// 22 characters: the login, which is also the refresh family. Absent for client credentials.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sid: Option<String>,
    /// When the person behind the login showed who they are, seconds (RFC 9068 section 2.2.1). A refresh keeps it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub auth_time: Option<u64>,
    /// How they did: `pwd`, and with a second factor `otp` and `mfa` (RFC 8176 section 2). A refresh keeps it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub amr: Vec<String>,
    /// Generations of subject, client, organization and of everything, at the time of issue.
    #[serde(default)]
    pub gv: Generations,
    /// Names of the roles that must *all* allow an action. Empty allows nothing.
    #[serde(default)]
    pub rol: Vec<String>,
    /// The policy version that the server had when it issued the token.
    #[serde(default)]
    pub pv: u64,
    /// What is left of the roles, where the token may do less than they. Absent narrows nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub perm: Option<Narrowing>,
    /// Who acts, when somebody acts for the subject (RFC 8693 section 4.1).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub act: Option<Box<Actor>>,
    /// The tenant. Absent for personal (`user`) credentials.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub organization: Option<Organization>,
    /// The application, in the vendor's words.
    pub application: Application,
    /// The market in scope, when there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub market: Option<Market>,
    /// The customer or user that the token stands for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub owner: Option<Owner>,
    /// The person behind a personal (`user`) credential.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user: Option<User>,
    /// What the application asked to be carried along, enterprise organizations only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub custom_claim: Option<Value>,
    /// True in test mode.
    pub test: bool,
    /// A number in [0, 1), so that two tokens never look alike.
    pub rand: f64,
}

/// Logical clocks: `[subject, client, organization, everything]`. A cutoff raises one of them, and every
/// token that carries a smaller number is dead, whatever the wall clocks say.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Generations(pub u32, pub u32, pub u32, pub u32);

/// Somebody who acts for the subject (RFC 8693 section 4.1); `act` inside is who acted before.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Actor {
    /// The actor's own subject.
    pub sub: String,
    /// The application through which it acts.
    pub client_id: String,
    /// The actor's generation at the time of issue.
    #[serde(default)]
    pub gv: u32,
    /// The token that was shown in exchange.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<Shown>,
    /// The actor before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub act: Option<Box<Actor>>,
}

/// A token that was shown in an exchange (RFC 8693 section 2.1). Whatever ends it ends what was made of it:
/// the token itself, its login, its client, its key.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Shown {
    pub jti: String,
    pub client_id: String,
    /// Its client's generation.
    #[serde(default)]
    pub gv: u32,
    /// The key that signed it.
    pub kid: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sid: Option<String>,
}

/// The tenant, in the vendor's words.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Organization {
    pub id: String,
    pub slug: String,
    pub enterprise: bool,
    pub region: String,
}

/// The application, in the vendor's words. `confidential` is per token: the secret was sent.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Application {
    pub id: String,
    pub client_id: String,
    pub kind: String,
    pub public: bool,
    pub confidential: bool,
}

/// The market in scope.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Market {
    pub id: Vec<String>,
    pub stock_location_ids: Vec<String>,
    pub geocoder_id: Option<String>,
    pub allows_external_prices: bool,
}

/// Whom the token stands for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Owner {
    pub id: String,
    /// `Customer` or `User`.
    #[serde(rename = "type")]
    pub kind: OwnerKind,
}

/// The two kinds of people.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub enum OwnerKind {
    Customer,
    User,
}

/// The person behind a personal credential.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct User {
    pub id: String,
}

impl Claims {
    /// Everyone who acts, nearest first.
    pub fn actors(&self) -> impl Iterator<Item = &Actor> {
        std::iter::successors(self.act.as_deref(), |actor| actor.act.as_deref())
    }
}

/// `aud` may be one string or several (RFC 7519 section 4.1.3); one is written as one.
mod one_or_many {
    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    #[derive(Deserialize)]
    #[serde(untagged)]
    enum OneOrMany {
        One(String),
        Many(Vec<String>),
    }

    pub fn serialize<S: Serializer>(aud: &[String], to: S) -> Result<S::Ok, S::Error> {
        match aud {
            [one] => one.serialize(to),
            many => many.serialize(to),
        }
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Vec<String>, D::Error> {
        Ok(match OneOrMany::deserialize(from)? {
            OneOrMany::One(one) => vec![one],
            OneOrMany::Many(many) => many,
        })
    }
}
