//! The registry: organizations, applications, people, roles. Losing it is an outage.
//!
//! What every request needs is a [`Directory`], an immutable snapshot in memory that the store replaces
//! when something changes; only people, who may be many, are looked up one by one. Nothing here decides.

use std::collections::HashMap;
use std::sync::Arc;

use async_trait::async_trait;
use portcullis_guard::claims::OwnerKind;
pub use portcullis_guard::policy::Permission;
use serde::{Deserialize, Serialize};

use crate::provisioning::change::{Keepings, Traced};
use crate::provisioning::{Card, Kind};
use crate::refusal::Trouble;

/// Where organizations, applications, people and roles are kept.
#[async_trait]
pub trait Registry: Send + Sync {
    /// The current snapshot. Never blocks.
    fn directory(&self) -> Arc<Directory>;
    /// A person, or `None`. `Err` is trouble, never "no such person".
    async fn person(&self, who: Who<'_>) -> Result<Option<Person>, Trouble>;
    /// The memberships of a user, of every status.
    async fn memberships(&self, user: &str) -> Result<Vec<Membership>, Trouble>;
    /// Everything in these organizations, and the card of this user, all of one moment and one version.
    async fn estate(&self, user: &str, organizations: &[String]) -> Result<Keepings, Trouble>;
    /// A secret of an application has just proved it. Never blocks, and may be forgotten: it is for people who
    /// wonder whether a secret is still in use.
    fn secret_used(&self, _client_id: &str, _secret: &str, _now: u64) {}
    /// A card, or `None`.
    async fn card(&self, kind: Kind, id: &str) -> Result<Option<Card>, Trouble>;
    /// The traces of changes in these organizations, oldest first; of very many, the newest.
    async fn changes(&self, organizations: &[String]) -> Result<Vec<Traced>, Trouble>;
}

/// How a person is looked up.
#[derive(Clone, Copy, Debug)]
pub enum Who<'a> {
    Id(&'a str),
    /// A customer signs in with an e-mail address that is unique within the organization.
    CustomerEmail {
        organization: &'a str,
        email: &'a str,
    },
    /// A user signs in with an e-mail address that is unique everywhere.
    UserEmail(&'a str),
}

/// An immutable picture of everything that is small and needed often.
#[derive(Clone, Debug, Default)]
pub struct Directory {
    /// Grows with every change; the `pv` claim.
    pub version: u64,
    organizations: HashMap<String, Arc<Organization>>,
    slugs: HashMap<String, String>,
    applications: HashMap<String, Arc<Application>>,
    /// By organization id and then role id.
    roles: HashMap<(String, String), Arc<Role>>,
    fences: HashMap<String, Arc<Vec<Fence>>>,
    guards: HashMap<String, Arc<GuardAccount>>,
    generations: HashMap<(Scope, String), u32>,
    floor: u32,
}

/// Everything that a [`Directory`] is made from.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Holdings {
    pub version: u64,
    pub organizations: Vec<Organization>,
    pub applications: Vec<Application>,
    pub roles: Vec<Role>,
    pub fences: Vec<Fence>,
    pub guards: Vec<GuardAccount>,
    /// Client, organization and `everything` generations; absent means 0.
    pub generations: Vec<(Scope, String, u32)>,
    /// No generation is below this one, whether it is named or not; see `recovery.rs`.
    #[serde(default)]
    pub floor: u32,
}

impl Directory {
    /// Indexes the holdings.
    pub fn new(holdings: Holdings) -> Self {
        let mut fences: HashMap<String, Vec<Fence>> = HashMap::new();
        for fence in holdings.fences {
            fences.entry(fence.organization.clone()).or_default().push(fence);
        }
        Self {
            version: holdings.version,
            slugs: holdings.organizations.iter().map(|o| (o.slug.clone(), o.id.clone())).collect(),
            organizations: holdings.organizations.into_iter().map(|o| (o.id.clone(), Arc::new(o))).collect(),
            applications: holdings
                .applications
                .into_iter()
                .map(|a| (a.client_id.clone(), Arc::new(a)))
                .collect(),
            roles: holdings
                .roles
                .into_iter()
                .map(|r| ((r.organization.clone(), r.id.clone()), Arc::new(r)))
                .collect(),
            fences: fences.into_iter().map(|(organization, list)| (organization, Arc::new(list))).collect(),
            guards: holdings.guards.into_iter().map(|g| (g.id.clone(), Arc::new(g))).collect(),
            generations: holdings
                .generations
                .into_iter()
                .map(|(scope, id, raised)| ((scope, id), raised))
                .collect(),
            floor: holdings.floor,
        }
    }

    pub fn application(&self, client_id: &str) -> Option<&Arc<Application>> {
        self.applications.get(client_id)
    }

    pub fn applications(&self) -> impl Iterator<Item = &Arc<Application>> {
        self.applications.values()
    }

    pub fn organization(&self, id: &str) -> Option<&Arc<Organization>> {
        self.organizations.get(id)
    }

    pub fn organizations(&self) -> impl Iterator<Item = &Arc<Organization>> {
        self.organizations.values()
    }

    pub fn organization_by_slug(&self, slug: &str) -> Option<&Arc<Organization>> {
        self.slugs.get(slug).and_then(|id| self.organizations.get(id))
    }

    pub fn role(&self, organization: &str, id: &str) -> Option<&Arc<Role>> {
        self.roles.get(&(organization.to_owned(), id.to_owned()))
    }

    pub fn roles(&self) -> impl Iterator<Item = &Arc<Role>> {
        self.roles.values()
    }

    /// The markets, stores and stock locations of an organization.
    pub fn fences(&self, organization: &str) -> &[Fence] {
        self.fences.get(organization).map_or(&[], |list| list.as_slice())
    }

    pub fn guard(&self, id: &str) -> Option<&Arc<GuardAccount>> {
        self.guards.get(id)
    }

    /// The current generation; the floor, which is 0 as long as nothing was ever lost, until the first cutoff.
    pub fn generation(&self, scope: Scope, id: &str) -> u32 {
        self.generations.get(&(scope, id.to_owned())).map_or(self.floor, |raised| self.floor.max(*raised))
    }

    /// Shows a generation that was just committed, ahead of the next snapshot. Never backwards.
    pub fn raise(&mut self, scope: Scope, id: &str, generation: u32) {
        let shown = self.generations.entry((scope, id.to_owned())).or_default();
        *shown = generation.max(*shown);
    }
}

/// What a generation counts for. `Subject` covers people and is read with the person.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Scope {
    Subject,
    Client,
    Organization,
    Everything,
    /// A person or client wherever it stands in a chain of actors.
    Actor,
}

/// A tenant.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Organization {
    pub id: String,
    pub slug: String,
    pub name: String,
    #[serde(default)]
    pub enterprise: bool,
    #[serde(default = "default_region")]
    pub region: String,
    /// How its tokens are signed; `None` is the server's default.
    #[serde(default)]
    pub algorithm: Option<String>,
    /// `rfc9068` (default) or `commerce_layer`.
    #[serde(default)]
    pub profile: Option<Profile>,
    #[serde(default)]
    pub disabled: bool,
    /// Left out while nothing is asked for, so that a server of the release before reads it.
    #[serde(default, skip_serializing_if = "Safety::is_usual")]
    pub safety: Safety,
}

/// What an organization asks of those who come in. Operators keep it; see [`crate::safety`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Safety {
    /// No user comes in without a second factor.
    #[serde(default)]
    pub require_second_factor: bool,
    /// Nobody alone permits more on personal data, or gives somebody more of it; see [`crate::personal_data`] and
    /// [`crate::entrustment`].
    #[serde(default)]
    pub second_person_for_personal_data: bool,
}

impl Safety {
    /// Whether nothing is asked for.
    fn is_usual(&self) -> bool {
        *self == Self::default()
    }
}

fn default_region() -> String {
    "eu-west-1".into()
}

/// Header profile of access tokens.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Profile {
    #[default]
    Rfc9068,
    CommerceLayer,
}

/// `live` or `test`; decides the `test` claim.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Mode {
    Live,
    #[default]
    Test,
}

/// What an application is; decides which grants it may use.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ApplicationKind {
    SalesChannel,
    Integration,
    Webapp,
    User,
}

impl ApplicationKind {
    /// The word in the token.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::SalesChannel => "sales_channel",
            Self::Integration => "integration",
            Self::Webapp => "webapp",
            Self::User => "user",
        }
    }
}

/// A registered client.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Application {
    pub id: String,
    pub client_id: String,
    /// Organization id.
    pub organization: String,
    pub name: String,
    pub kind: ApplicationKind,
    /// Must prove itself with a secret. A sales channel need not, and may.
    pub confidential: bool,
    #[serde(default)]
    pub mode: Mode,
    /// Live secrets, as keyed hashes (see [`crate::secret`]).
    #[serde(default)]
    pub secrets: Vec<StoredSecret>,
    /// Keys with which its backend may name the visitor that a request is counted for, as keyed hashes of
    /// the client `backend:<client_id>`. Left out when there are none, so that an older server can read the rest.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub backend_keys: Vec<StoredSecret>,
    #[serde(default)]
    pub redirect_uris: Vec<String>,
    /// Browser origins that may call the token and revoke endpoints.
    #[serde(default)]
    pub origins: Vec<String>,
    /// Scope parts that it may ask for; empty is every market of the organization.
    #[serde(default)]
    pub scopes: Vec<String>,
    /// Seconds; `None` is the server's default.
    #[serde(default)]
    pub access_lifetime: Option<u32>,
    /// The longest access lifetime that it ever had, seconds: wide cutoffs must outlive its oldest token.
    #[serde(default)]
    pub longest_lifetime: u32,
    /// Seconds from the first login; `None` is the server's default.
    #[serde(default)]
    pub refresh_lifetime: Option<u32>,
    /// Whether refresh tokens rotate; `None`: public clients yes, confidential ones no.
    #[serde(default)]
    pub rotate: Option<bool>,
    /// The legacy password grant, off unless allowed here.
    #[serde(default)]
    pub password_grant: bool,
    /// PKCE may be left out. Never possible for public clients.
    #[serde(default)]
    pub pkce_optional: bool,
    /// Shows no consent page: the organization's own application.
    #[serde(default)]
    pub first_party: bool,
    /// Role id (integration: what it may do; otherwise its share when it acts on behalf of somebody).
    #[serde(default)]
    pub role: Option<String>,
    #[serde(default)]
    pub on_behalf_of: OnBehalfOf,
    /// Audiences of its tokens; empty is the server's default.
    #[serde(default)]
    pub audience: Vec<String>,
    /// The person behind a `user` credential.
    #[serde(default)]
    pub user: Option<String>,
    #[serde(default)]
    pub algorithm: Option<String>,
    #[serde(default)]
    pub profile: Option<Profile>,
    #[serde(default)]
    pub disabled: bool,
}

/// A live secret: a keyed hash, never the secret.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StoredSecret {
    pub id: String,
    /// base64url of the keyed hash.
    pub hash: String,
    /// Seconds since the epoch; `None` does not expire.
    #[serde(default)]
    pub expires_at: Option<u64>,
}

impl StoredSecret {
    pub fn is_live(&self, now: u64) -> bool {
        self.expires_at.is_none_or(|end| now < end)
    }
}

/// Whether and how an application may act for people.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OnBehalfOf {
    #[serde(default)]
    pub enabled: bool,
    #[serde(default)]
    pub assertions: Assertions,
    /// For whom; empty is customers only.
    #[serde(default)]
    pub owner_types: Vec<OwnerKind>,
    /// Public keys (a JWK set) with which it signs assertions; beside them HS512 with its own secret.
    #[serde(default)]
    pub keys: Option<serde_json::Value>,
}

/// How an assertion is trusted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Assertions {
    #[default]
    Signed,
    /// The vendor's helper signs with a constant: trust rests on the client secret in the same request.
    ClientAuthenticated,
}

/// A named set of permissions within an organization.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Role {
    pub id: String,
    /// Organization id.
    pub organization: String,
    pub name: String,
    pub kind: RoleKind,
    #[serde(default)]
    pub permissions: Vec<Permission>,
}

impl Role {
    /// Its name in a token's `rol` claim: built-in roles by kind, custom ones by organization and id.
    pub fn claim(&self) -> String {
        match self.kind {
            RoleKind::Admin => "admin".into(),
            RoleKind::ReadOnly => "read_only".into(),
            RoleKind::Custom => format!("{}/{}", self.organization, self.id),
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RoleKind {
    Admin,
    ReadOnly,
    Custom,
}

/// A market, a store or a stock location, as far as scopes need it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Fence {
    pub kind: FenceKind,
    pub id: String,
    /// Organization id.
    pub organization: String,
    pub code: String,
    #[serde(default)]
    pub name: String,
    /// Of a market: the stock locations it sells from. Of a store: its market.
    #[serde(default)]
    pub stock_locations: Vec<String>,
    #[serde(default)]
    pub market: Option<String>,
    #[serde(default)]
    pub geocoder_id: Option<String>,
    #[serde(default)]
    pub allows_external_prices: bool,
    #[serde(default)]
    pub price_list: Option<String>,
    /// A private market: only customers of this group get it in scope.
    #[serde(default)]
    pub customer_group: Option<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FenceKind {
    Market,
    Store,
    StockLocation,
}

/// A customer of one organization, or a user of the platform.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Person {
    pub id: String,
    pub kind: OwnerKind,
    /// Organization id, of customers.
    #[serde(default)]
    pub organization: Option<String>,
    pub email: String,
    /// Argon2id in PHC form; `None` cannot sign in with a password.
    #[serde(default)]
    pub password: Option<String>,
    /// Somebody else has set the password: it is good for choosing one's own, and for nothing more. Of users
    /// alone. Left out when it is not so, so that an older server can read the rest.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub password_given: bool,
    #[serde(default)]
    pub first_name: String,
    #[serde(default)]
    pub last_name: String,
    #[serde(default = "default_zone")]
    pub time_zone: String,
    #[serde(default)]
    pub customer_group: Option<String>,
    #[serde(default)]
    pub disabled: bool,
    /// The subject generation, read together with the person.
    #[serde(default)]
    pub generation: u32,
    /// The generation as an actor.
    #[serde(default)]
    pub actor_generation: u32,
}

fn default_zone() -> String {
    "UTC".into()
}

/// A user's place in an organization.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Membership {
    pub id: String,
    pub user: String,
    /// Organization id.
    pub organization: String,
    /// Role id.
    pub role: String,
    #[serde(default)]
    pub owner: bool,
    #[serde(default = "yes")]
    pub active: bool,
    /// The applications through which the person may act here; `None` is every one. Written by the
    /// Provisioning API alone, from application memberships and profiles (`provisioning/shares.rs`).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub applications: Option<Vec<Share>>,
    /// The modes of applications through which the person may act here; `None` is both.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub modes: Option<Vec<Mode>>,
}

impl Membership {
    /// What the membership adds to a token through this application; `None` when it does not reach it.
    pub fn shares(&self, application: &Application) -> Option<Vec<&Share>> {
        if self.modes.as_ref().is_some_and(|modes| !modes.contains(&application.mode)) {
            return None;
        }
        let Some(all) = &self.applications else { return Some(Vec::new()) };
        let own: Vec<&Share> = all.iter().filter(|share| share.application == application.id).collect();
        (!own.is_empty()).then_some(own)
    }
}

/// One application through which a member may act, and what narrows the tokens.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Share {
    /// Application id.
    pub application: String,
    /// Role id; it must allow what the membership's own role allows.
    pub role: String,
    /// Ids of markets; `None` is every one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub markets: Option<Vec<String>>,
}

fn yes() -> bool {
    true
}

/// A guard that may follow the feed.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GuardAccount {
    pub id: String,
    /// Keyed hash of its secret, base64url.
    pub hash: String,
}
