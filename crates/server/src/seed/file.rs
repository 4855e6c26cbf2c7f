//! The form of a seed file. Every text that is checked later remembers where it stands.

use portcullis_authority::registry::{ApplicationKind, Mode, OnBehalfOf, Permission, Profile};
use portcullis_authority::secret::Secret;
use serde::{Deserialize, Deserializer};
use toml::Spanned;

/// A text and its place.
pub type Text = Spanned<String>;

/// A whole seed file. `organization` may be left out everywhere when the file has only one.
#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct File {
    pub organizations: Vec<Organization>,
    pub roles: Vec<Role>,
    pub markets: Vec<Fence>,
    pub stores: Vec<Fence>,
    pub stock_locations: Vec<Fence>,
    pub customers: Vec<Person>,
    pub users: Vec<Person>,
    pub memberships: Vec<Membership>,
    pub applications: Vec<Application>,
    pub guards: Vec<Guard>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Organization {
    pub slug: Text,
    /// The slug unless said.
    pub id: Option<Text>,
    pub name: Option<String>,
    #[serde(default)]
    pub enterprise: bool,
    #[serde(default = "region")]
    pub region: String,
    pub algorithm: Option<Text>,
    pub profile: Option<Profile>,
    #[serde(default)]
    pub disabled: bool,
}

impl Organization {
    pub fn id(&self) -> &str {
        self.id.as_ref().unwrap_or(&self.slug).get_ref()
    }
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Role {
    /// Slug or id, here and below.
    pub organization: Option<Text>,
    pub id: Text,
    pub name: Option<String>,
    #[serde(default)]
    pub permissions: Vec<Spanned<Permission>>,
    /// Ids of roles that nobody may have beside this one.
    #[serde(default)]
    pub conflicts_with: Vec<Text>,
}

/// A market, a store or a stock location.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Fence {
    pub organization: Option<Text>,
    pub code: Text,
    /// The code unless said.
    pub id: Option<Text>,
    #[serde(default)]
    pub name: String,
    /// Codes.
    #[serde(default)]
    pub stock_locations: Vec<Text>,
    /// A code.
    pub market: Option<Text>,
    pub geocoder_id: Option<String>,
    #[serde(default)]
    pub allows_external_prices: bool,
    pub price_list: Option<String>,
    pub customer_group: Option<String>,
}

/// A customer or a user.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Person {
    pub organization: Option<Text>,
    pub id: Text,
    pub email: Text,
    #[serde(default, deserialize_with = "secret")]
    pub password: Option<Secret>,
    #[serde(default)]
    pub first_name: String,
    #[serde(default)]
    pub last_name: String,
    #[serde(default = "zone")]
    pub time_zone: String,
    pub customer_group: Option<String>,
    #[serde(default)]
    pub disabled: bool,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Membership {
    pub id: Option<Text>,
    pub organization: Option<Text>,
    /// User id.
    pub user: Text,
    /// Role id.
    pub role: Text,
    #[serde(default)]
    pub owner: bool,
    #[serde(default = "yes")]
    pub active: bool,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Application {
    pub organization: Option<Text>,
    pub client_id: Text,
    /// The client id unless said.
    pub id: Option<Text>,
    pub name: Option<String>,
    pub kind: ApplicationKind,
    /// A sales channel need not prove itself unless said; the others must.
    pub confidential: Option<bool>,
    #[serde(default)]
    pub mode: Mode,
    /// `"generate"` makes one and shows it once.
    #[serde(default, deserialize_with = "secret")]
    pub secret: Option<Secret>,
    /// With it a backend names the visitor that a request is counted for (`x-backend-auth`).
    #[serde(default, deserialize_with = "secret")]
    pub backend_key: Option<Secret>,
    #[serde(default)]
    pub redirect_uris: Vec<Text>,
    #[serde(default)]
    pub origins: Vec<Text>,
    #[serde(default)]
    pub scopes: Vec<Text>,
    pub access_lifetime: Option<Spanned<u32>>,
    pub refresh_lifetime: Option<Spanned<u32>>,
    pub rotate: Option<bool>,
    #[serde(default)]
    pub password_grant: bool,
    #[serde(default)]
    pub pkce_optional: bool,
    #[serde(default)]
    pub first_party: bool,
    pub role: Option<Text>,
    /// `keys` in it is a JWK set with the public keys of its assertions.
    pub on_behalf_of: Option<Spanned<OnBehalfOf>>,
    #[serde(default)]
    pub audience: Vec<String>,
    pub user: Option<Text>,
    pub algorithm: Option<Text>,
    pub profile: Option<Profile>,
    #[serde(default)]
    pub disabled: bool,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Guard {
    pub id: Text,
    #[serde(deserialize_with = "needed_secret")]
    pub secret: Secret,
}

fn secret<'de, D: Deserializer<'de>>(from: D) -> Result<Option<Secret>, D::Error> {
    needed_secret(from).map(Some)
}

fn needed_secret<'de, D: Deserializer<'de>>(from: D) -> Result<Secret, D::Error> {
    // In words of our own: the parser's would repeat the value.
    let wrong = |why: &str| serde::de::Error::custom(why);
    let text = String::deserialize(from).map_err(|_| wrong("a secret is a text in quotes"))?;
    if text.is_empty() {
        return Err(wrong("a secret cannot be empty; leave it out, or say \"generate\""));
    }
    Ok(Secret::from(text))
}

fn region() -> String {
    "eu-west-1".into()
}

fn zone() -> String {
    "UTC".into()
}

fn yes() -> bool {
    true
}
