//! Which things, in which order, and how many: the filters of Ransack as the vendor's clients write them
//! (`filter[q][name_or_reference_cont]`), sorting and pages.

use std::cmp::Ordering;
use std::collections::BTreeSet;

use serde_json::Value;

use super::estate::Estate;
use super::predicate::Predicate;
use super::resource::{Resource, To};
use super::{Declined, Kind, Objection};

/// Things on a page unless asked otherwise, and at most.
pub const USUAL_PAGE: usize = 10;
pub const LARGEST_PAGE: usize = 25;
/// Conditions in one query: each costs a look at every thing.
const MOST_FILTERS: usize = 20;

/// What a list is asked for.
#[derive(Clone, Debug, Default)]
pub struct Query {
    /// Name with predicate, and value.
    pub filters: Vec<(String, String)>,
    /// Attributes, with a minus for descending.
    pub sort: Vec<String>,
    /// From 1.
    pub number: usize,
    pub size: usize,
}

/// A part of a list.
#[derive(Clone, Debug)]
pub struct Page {
    pub things: Vec<Resource>,
    /// What looking for people has found, on all pages; `None` when nobody was looked for.
    pub search: Option<Search>,
    /// How many there are on all pages.
    pub records: usize,
    pub pages: usize,
    pub number: usize,
    pub size: usize,
}

/// A search for people.
#[derive(Clone, Debug)]
pub struct Search {
    pub found: Vec<Resource>,
    /// The organizations of whatever could have been found.
    pub among: BTreeSet<String>,
}

impl Query {
    /// Picks, sorts and cuts.
    ///
    /// # Errors
    /// [`Declined::Invalid`] for attributes and predicates that nobody knows, even when the list is empty.
    pub fn run(&self, estate: &Estate, kind: Kind, mut things: Vec<Resource>) -> Result<Page, Declined> {
        if self.filters.len() > MOST_FILTERS {
            return Err(Objection::parameter("filter", "has more than 20 conditions").into());
        }
        let conditions = self.filters.iter().map(|(name, value)| Condition::read(kind, name, value));
        let conditions = conditions.collect::<Result<Vec<_>, _>>()?;
        let keys = self.sort.iter().map(|name| sort_key(kind, name)).collect::<Result<Vec<_>, _>>()?;
        let homes = || things.iter().map(|one| one.organization.clone()).collect();
        let among: Option<BTreeSet<String>> = self.looks_for_people(kind).then(homes);
        // A query that is refused has looked at nothing, so it tells nothing either.
        things.retain(|one| conditions.iter().all(|condition| condition.holds(estate, one)));
        things.sort_by(|left, right| order(&keys, left, right));
        let size = self.size.clamp(1, LARGEST_PAGE);
        let number = self.number.max(1);
        let records = things.len();
        let skipped = (number - 1).saturating_mul(size);
        Ok(Page {
            search: among.map(|among| Search { found: things.clone(), among }),
            things: things.into_iter().skip(skipped).take(size).collect(),
            records,
            pages: records.div_ceil(size),
            number,
            size,
        })
    }
}

impl Query {
    /// Whether it looks for people: how many fit, or that nobody does, tells something of them, whatever is asked.
    fn looks_for_people(&self, kind: Kind) -> bool {
        let about_people = |name: &str| match kind {
            Kind::Membership | Kind::Version => true,
            // Those whom something else leads to.
            _ => name.contains("user_") || name.replace("membership_profile_", "").contains("membership_"),
        };
        self.filters.iter().any(|(name, _)| about_people(name))
    }
}

/// One filter: any or all of some attributes, and what must be true of them.
struct Condition {
    attributes: Vec<String>,
    /// `_and_` rather than `_or_`.
    every: bool,
    predicate: Predicate,
}

impl Condition {
    fn read(kind: Kind, name: &str, value: &str) -> Result<Self, Declined> {
        let place = || format!("filter[q][{name}]");
        let (attributes, predicate) = Predicate::split(name, value)
            .ok_or_else(|| Objection::parameter(place(), "has no predicate that is known here"))?;
        let every = attributes.contains("_and_");
        let attributes: Vec<String> =
            attributes.split(if every { "_and_" } else { "_or_" }).map(str::to_owned).collect();
        match attributes.iter().find(|attribute| !is_known(kind, attribute)) {
            None => Ok(Self { attributes, every, predicate }),
            Some(_) => Err(Objection::parameter(place(), "names an attribute that is not known here").into()),
        }
    }

    fn holds(&self, estate: &Estate, one: &Resource) -> bool {
        let mut each = self.attributes.iter().map(|name| self.predicate.holds(&value_of(estate, one, name)));
        if self.every { each.all(|holds| holds) } else { each.any(|holds| holds) }
    }
}

/// Whether a thing of this kind has the attribute, directly or through one relationship
/// (`role_name`, `organization_id`).
fn is_known(kind: Kind, name: &str) -> bool {
    let (attributes, ones) = known(kind);
    let own = |attributes: &[&str], name: &str| {
        name == "id" || COMMON.contains(&name) || attributes.contains(&name)
    };
    own(attributes, name)
        || ones.iter().any(|(link, to)| {
            let rest = name.strip_prefix(link).and_then(|rest| rest.strip_prefix('_'));
            rest.is_some_and(|rest| own(known(*to).0, rest))
        })
}

fn value_of(estate: &Estate, one: &Resource, name: &str) -> Value {
    if name == "id" {
        return one.id.clone().into();
    }
    if let Some(value) = one.attributes.get(name) {
        return value.clone();
    }
    let through = one.links.iter().find_map(|link| match &link.to {
        To::One(id) => {
            let rest = name.strip_prefix(link.name)?.strip_prefix('_')?;
            Some((link.kind, id.as_deref(), rest))
        }
        To::Many => None,
    });
    match through {
        Some((_, id, "id")) => id.map_or(Value::Null, Value::from),
        Some((kind, Some(id), rest)) => {
            let there = estate.find(kind, id);
            there.and_then(|there| there.attributes.get(rest).cloned()).unwrap_or(Value::Null)
        }
        _ => Value::Null,
    }
}

const COMMON: [&str; 5] = ["created_at", "updated_at", "reference", "reference_origin", "metadata"];
type Known = (&'static [&'static str], &'static [(&'static str, Kind)]);

/// The attributes of a kind and its relationships to one, so that an empty list refuses the same queries
/// as a full one.
fn known(kind: Kind) -> Known {
    const ORGANIZATION: (&str, Kind) = ("organization", Kind::Organization);
    const ROLE: (&str, Kind) = ("role", Kind::Role);
    const PROFILE: (&str, Kind) = ("membership_profile", Kind::MembershipProfile);
    match kind {
        Kind::Organization => (
            &[
                "name",
                "slug",
                "domain",
                "region",
                "support_phone",
                "support_email",
                "logo_url",
                "favicon_url",
                "primary_color",
                "contrast_color",
                "gtm_id",
                "gtm_id_test",
                "config",
                "subscription_info",
            ],
            &[],
        ),
        Kind::Role => (&["name", "kind", "conflicts_with"], &[ORGANIZATION]),
        Kind::Permission => (
            &["subject", "can_create", "can_read", "can_update", "can_destroy", "restrictions"],
            &[ORGANIZATION, ROLE],
        ),
        Kind::ApiCredential => (
            &[
                "name",
                "kind",
                "confidential",
                "redirect_uri",
                "client_id",
                "scopes",
                "expires_in",
                "mode",
                "custom",
                "disabled",
            ],
            &[ORGANIZATION, ROLE],
        ),
        Kind::Membership => (
            &[
                "user_email",
                "user_first_name",
                "user_last_name",
                "status",
                "owner",
                "access_scope",
                "test_enabled",
                "all_applications",
            ],
            &[ORGANIZATION, ROLE, PROFILE],
        ),
        Kind::MembershipProfile => (&["name", "access_scope", "test_enabled"], &[ORGANIZATION]),
        Kind::ApplicationMembership => (
            &["filters"],
            &[
                ORGANIZATION,
                ROLE,
                PROFILE,
                ("api_credential", Kind::ApiCredential),
                ("membership", Kind::Membership),
            ],
        ),
        Kind::IdentityProvider => (
            &[
                "name",
                "client_id",
                "issuer",
                "domains",
                "token_url",
                "authorize_url",
                "jwks_url",
                "organization",
                "status",
                "txt_record",
                "disabled_at",
            ],
            &[("user", Kind::User)],
        ),
        Kind::User => (&["email", "first_name", "last_name", "time_zone"], &[]),
        Kind::Version => (&["resource_type", "resource_id", "event", "changes", "who"], &[ORGANIZATION]),
    }
}

fn sort_key(kind: Kind, name: &str) -> Result<(String, bool), Declined> {
    let (name, down) = match name.strip_prefix('-') {
        Some(name) => (name, true),
        None => (name, false),
    };
    if name == "id" || COMMON.contains(&name) || known(kind).0.contains(&name) {
        return Ok((name.to_owned(), down));
    }
    Err(Objection::parameter("sort", format!("{name:?} is not an attribute to sort by")).into())
}

/// The keys, then the time of making, then the id: a list always has one order, so that pages fit.
fn order(keys: &[(String, bool)], left: &Resource, right: &Resource) -> Ordering {
    let by = |name: &str| {
        let value = |one: &Resource| match name {
            "id" => Value::from(one.id.clone()),
            name => one.attributes.get(name).cloned().unwrap_or(Value::Null),
        };
        super::predicate::compare(&value(left), &value(right))
    };
    let asked = keys.iter().map(|(name, down)| if *down { by(name).reverse() } else { by(name) });
    asked.fold(Ordering::Equal, Ordering::then).then_with(|| by("created_at")).then_with(|| by("id"))
}
