//! The Provisioning API's rules: who may read and write organizations, roles, credentials and memberships,
//! and what follows from a change. Knows nothing of HTTP, of JSON:API documents beyond their parts, and of
//! SQL.
//!
//! A request is answered from an [`Estate`]: everything in the bearer's own organizations, of one moment.
//! A change is decided on it, tried out on a copy, and committed only if nothing has moved meanwhile.

mod card;
pub mod change;
mod credentials;
mod decline;
mod describe;
mod draft;
mod duties;
mod estate;
mod extent;
mod identity_providers;
mod kind;
mod memberships;
mod office;
mod organizations;
mod permissions;
pub mod personal;
mod plan;
mod predicate;
mod profiles;
mod query;
mod readings;
mod resource;
mod roles;
mod shares;
mod user;

pub use card::Card;
pub(crate) use card::LINK;
pub(crate) use credentials::{MOST_SECRETS, end_of};
pub use decline::{Declined, Objection, Place};
pub(crate) use describe::permission_id;
pub use draft::Draft;
pub(crate) use duties::are_separate;
pub use estate::{Estate, role_id};
pub use kind::Kind;
pub(crate) use memberships::{end_of_logins, is_same, taken_up};
pub use office::Bearer;
pub use plan::Outcome;
pub(crate) use plan::traced;
pub use query::{LARGEST_PAGE, Page, Query, Search, USUAL_PAGE};
pub use resource::{Link, Resource, To};
pub(crate) use shares::{gone_with_place, narrowed};

use crate::ask::Origin;
use crate::desk::Desk;
use crate::limits::Standing;
use office::Office;
use plan::{Plan, enact};
use readings::Reading;

/// The desk of the Provisioning API, for one bearer.
pub struct Provisioning<'a> {
    desk: &'a Desk,
    bearer: Bearer,
    origin: &'a Origin,
}

/// What a read found, with the estate that inclusions are looked up in.
pub struct Found {
    pub kind: Kind,
    pub things: Vec<Resource>,
    pub estate: Estate,
    /// Whether the answer is a list rather than one thing or none.
    pub several: bool,
}

impl<'a> Provisioning<'a> {
    /// Proves the bearer.
    ///
    /// # Errors
    /// [`Declined::Unknown`], [`Declined::Forbidden`] or trouble.
    pub async fn open(desk: &'a Desk, token: &str, origin: &'a Origin) -> Result<Self, Declined> {
        Ok(Self { desk, bearer: Bearer::prove(desk, token, origin).await?, origin })
    }

    /// Writes down whom an answer shows beside the bearer, before it goes out.
    ///
    /// # Errors
    /// Trouble; then the answer must not be given.
    pub async fn shows<'r>(
        &self,
        estate: &Estate,
        things: impl Iterator<Item = &'r Resource>,
    ) -> Result<(), Declined> {
        let reading = Reading::of(&self.bearer.person, estate, things);
        Ok(reading.tell(self.desk, &self.bearer, self.origin).await?)
    }

    /// The same for a query that looked for people: all whom it has found, on whichever page, and where it has found
    /// nobody.
    ///
    /// # Errors
    /// Trouble; then the answer must not be given.
    pub async fn finds(
        &self,
        estate: &Estate,
        search: &Search,
        included: &[Resource],
    ) -> Result<(), Declined> {
        let reading = Reading::of_search(&self.bearer.person, estate, search, included);
        Ok(reading.tell(self.desk, &self.bearer, self.origin).await?)
    }

    /// Everything of a kind.
    ///
    /// # Errors
    /// Trouble.
    pub async fn list(&self, kind: Kind) -> Result<Found, Declined> {
        self.desk.limits.read(self.desk, &self.bearer.person.id).map_err(Declined::Unknown)?;
        let office = Office::open(self.desk, &self.bearer).await?;
        let things = match kind {
            Kind::Version => self.changes(&office.estate, |_| true).await?,
            Kind::User => office.estate.find(kind, &self.bearer.person.id).into_iter().collect(),
            kind => office.estate.all(kind),
        };
        Ok(Found { kind, things, estate: office.estate, several: true })
    }

    /// One thing; the user needs no id.
    ///
    /// # Errors
    /// [`Declined::Missing`] or trouble.
    pub async fn show(&self, kind: Kind, id: &str) -> Result<Found, Declined> {
        self.desk.limits.read(self.desk, &self.bearer.person.id).map_err(Declined::Unknown)?;
        let office = Office::open(self.desk, &self.bearer).await?;
        let found = match kind {
            Kind::Version => self.changes(&office.estate, |one| one.id == id).await?.pop(),
            Kind::User => office.estate.find(kind, &self.bearer.person.id),
            kind => office.estate.find(kind, id),
        };
        let things = vec![found.ok_or(Declined::Missing)?];
        Ok(Found { kind, things, estate: office.estate, several: false })
    }

    /// What a relationship of a thing leads to.
    ///
    /// # Errors
    /// [`Declined::Missing`] for no such thing or relationship, or trouble.
    pub async fn related(&self, kind: Kind, id: &str, name: &str) -> Result<Found, Declined> {
        let Found { things, estate, .. } = self.show(kind, id).await?;
        let from = things.first().ok_or(Declined::Missing)?;
        let link = from.link(name).ok_or(Declined::Missing)?;
        let several = link.to == To::Many;
        let (kind, things) = match link.kind {
            Kind::Version => (Kind::Version, self.versions_of(&estate, from).await?),
            _ => estate.related(from, name).ok_or(Declined::Missing)?,
        };
        Ok(Found { kind, things, estate, several })
    }

    /// The versions of a thing, newest last.
    ///
    /// # Errors
    /// Trouble.
    pub async fn versions_of(&self, estate: &Estate, of: &Resource) -> Result<Vec<Resource>, Declined> {
        let is_about = |one: &change::Traced| {
            one.trace.resource_type == of.kind.word() && one.trace.resource_id == of.id
        };
        self.changes(estate, is_about).await
    }

    /// Makes a thing.
    ///
    /// # Errors
    /// [`Declined`]; then nothing was done.
    pub async fn create(&self, kind: Kind, draft: &Draft) -> Result<Outcome, Declined> {
        self.write(kind == Kind::Membership)?;
        self.enact(async |office| match kind {
            Kind::Organization => organizations::create(office, draft),
            Kind::Role => roles::create(office, draft),
            Kind::Permission => permissions::create(office, draft),
            Kind::ApiCredential => credentials::create(office, draft),
            Kind::Membership => memberships::create(office, draft),
            Kind::MembershipProfile => profiles::create_profile(office, draft),
            Kind::ApplicationMembership => profiles::create_application(office, draft),
            Kind::IdentityProvider => identity_providers::create(office, draft),
            Kind::User | Kind::Version => Err(Declined::Missing),
        })
        .await
    }

    /// Changes a thing.
    ///
    /// # Errors
    /// [`Declined`]; then nothing was done.
    pub async fn update(&self, kind: Kind, id: &str, draft: &Draft) -> Result<Outcome, Declined> {
        self.write(false)?;
        self.enact(async |office| match kind {
            Kind::Organization => organizations::update(office, id, draft),
            Kind::Role => roles::update(office, id, draft),
            Kind::Permission => permissions::update(office, id, draft),
            Kind::ApiCredential => credentials::update(office, id, draft),
            Kind::Membership => memberships::update(office, id, draft),
            Kind::MembershipProfile => profiles::update_profile(office, id, draft),
            Kind::ApplicationMembership => profiles::update_application(office, id, draft),
            Kind::IdentityProvider => identity_providers::update(office, id, draft),
            Kind::User => user::update(office, draft).await,
            Kind::Version => Err(Declined::Missing),
        })
        .await
    }

    /// Deletes a thing and what depended on it.
    ///
    /// # Errors
    /// [`Declined`]; then nothing was done.
    pub async fn destroy(&self, kind: Kind, id: &str) -> Result<Outcome, Declined> {
        self.write(false)?;
        self.enact(async |office| match kind {
            Kind::Role => roles::destroy(office, id),
            Kind::Permission => permissions::destroy(office, id),
            Kind::ApiCredential => credentials::destroy(office, id),
            Kind::Membership => memberships::destroy(office, id),
            Kind::MembershipProfile => profiles::destroy_profile(office, id),
            Kind::ApplicationMembership => profiles::destroy_application(office, id),
            Kind::IdentityProvider => identity_providers::destroy(office, id),
            Kind::Organization | Kind::User | Kind::Version => {
                office.estate.find(kind, id).ok_or(Declined::Missing)?;
                Err(Declined::forbidden("This cannot be deleted here."))
            }
        })
        .await
    }

    /// Makes a new code for an open invitation.
    ///
    /// # Errors
    /// [`Declined`]; then nothing was done.
    pub async fn resend(&self, membership: &str) -> Result<Outcome, Declined> {
        self.write(true)?;
        self.enact(async |office| memberships::resend(office, membership)).await
    }

    /// Takes an invitation up.
    ///
    /// # Errors
    /// [`Declined`]; then nothing was done.
    pub async fn accept(&self, membership: &str, draft: &Draft) -> Result<Outcome, Declined> {
        self.write(true)?;
        enact(self.desk, &self.bearer, self.origin, async || {
            memberships::accept(self.desk, &self.bearer, membership, draft).await
        })
        .await
    }

    /// Hands an organization on.
    ///
    /// # Errors
    /// [`Declined`]; then nothing was done.
    pub async fn transfer(&self, organization: &str, draft: &Draft) -> Result<Outcome, Declined> {
        self.write(false)?;
        self.enact(async |office| organizations::transfer(office, organization, draft)).await
    }

    /// Where the bearer stands with the limits.
    pub fn standing(&self, writes: bool) -> Option<Standing> {
        self.desk.limits.person_standing(self.desk, &self.bearer.person.id, writes)
    }

    /// Invitations tell whether somebody has an account and send letters, so they have a limit of their own;
    /// and a code that came in one must not be guessed.
    fn write(&self, invites: bool) -> Result<(), Declined> {
        let (limits, person) = (&self.desk.limits, &self.bearer.person.id);
        limits.write(self.desk, person).map_err(Declined::Unknown)?;
        match invites {
            true => limits.invite(self.desk, person).map_err(Declined::Unknown),
            false => Ok(()),
        }
    }

    async fn enact(
        &self,
        decide: impl AsyncFn(&Office<'_>) -> Result<Plan, Declined>,
    ) -> Result<Outcome, Declined> {
        enact(self.desk, &self.bearer, self.origin, async || {
            let office = Office::open(self.desk, &self.bearer).await?;
            let plan = decide(&office).await?;
            Ok((office, plan))
        })
        .await
    }

    /// What was changed within the bearer's reach. A request that changed nothing to be seen is in the audit log alone.
    async fn changes(
        &self,
        estate: &Estate,
        fits: impl Fn(&change::Traced) -> bool,
    ) -> Result<Vec<Resource>, Declined> {
        let reach: Vec<String> = estate.organizations.keys().cloned().collect();
        let all = self.desk.registry.changes(&reach).await?;
        let seen = all.iter().filter(|one| !one.trace.changes.is_empty() && fits(one));
        Ok(seen.map(describe::version).collect())
    }
}

/// A letter out of 52.
fn letter(number: u8) -> char {
    char::from(if number < 26 { b'A' + number } else { b'a' + (number - 26) })
}

/// Attributes that everything shows and nobody sets.
fn with_common<'a>(shown: &[&'a str]) -> Vec<&'a str> {
    shown.iter().copied().chain(["created_at", "updated_at", "type"]).collect()
}
