//! Reads of what is personal: whom an answer shows beside the bearer, and the record of it, which holds ids and
//! numbers and nothing of what was shown.
//!
//! Whatever is about somebody else counts, whichever of its attributes were asked for: what is left out of an answer
//! can be asked for by a filter, an order or a number of pages.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;
use serde_json::{Value, json};

use super::Kind;
use super::estate::Estate;
use super::memberships::is_same;
use super::office::Bearer;
use super::query::Search;
use super::resource::Resource;
use crate::ask::Origin;
use crate::desk::Desk;
use crate::ledger::{Act, AuditRecord, Deed};
use crate::refusal::Trouble;
use crate::registry::Person;

/// The event of a record that somebody saw others.
const READ: &str = "registry.read";
/// People, places without an account, and organizations that are named in one record; the rest is counted.
const MOST_NAMED: usize = 100;

/// Whom one answer shows, by organization.
pub(super) struct Reading {
    seen: BTreeMap<String, Seen>,
}

/// Whom it shows in one of them.
#[derive(Default, Serialize)]
struct Seen {
    /// How many things of each kind.
    kinds: BTreeMap<&'static str, usize>,
    people: BTreeSet<String>,
    /// Memberships that have no account behind them: invited, or gone since.
    places: BTreeSet<String>,
    /// In which somebody was looked for in vain, when these are several.
    organizations: BTreeSet<String>,
    looks_for_people: bool,
}

/// Whom a thing is about.
enum About {
    Person(String),
    /// The id of a membership.
    Place(String),
}

impl Reading {
    pub fn of<'r>(bearer: &Person, estate: &Estate, things: impl Iterator<Item = &'r Resource>) -> Self {
        let mut seen = BTreeMap::new();
        for one in things {
            if let Some(about) = about(estate, one) {
                note(&mut seen, (bearer, estate), one, about);
            }
        }
        Self { seen }
    }

    /// What a query tells by its number of hits alone: whom it found, and the organizations in which it found nobody.
    pub fn of_search(bearer: &Person, estate: &Estate, search: &Search, included: &[Resource]) -> Self {
        let Self { mut seen } = Self::of(bearer, estate, included.iter());
        for one in &search.found {
            // Whoever a thing leads to was found by it.
            let through = || one.leads_to("membership").map(|id| behind(estate, id));
            if let Some(about) = about(estate, one).or_else(through) {
                note(&mut seen, (bearer, estate), one, about);
            }
        }
        let others = |id: &&String| {
            let mut members = estate.memberships.values().filter(|it| it.organization == **id);
            let mut cards = estate.cards_of(Kind::Membership).filter(|it| it.organization == **id);
            members.any(|it| it.user != bearer.id) || cards.any(|it| !estate.memberships.contains_key(&it.id))
        };
        let vain: BTreeSet<String> =
            search.among.iter().filter(|id| !seen.contains_key(*id)).filter(others).cloned().collect();
        if !vain.is_empty() {
            let one = if vain.len() == 1 { vain.first().cloned() } else { None };
            let rest = seen.entry(one.unwrap_or_default()).or_default();
            rest.organizations = if vain.len() == 1 { BTreeSet::new() } else { vain };
        }
        seen.values_mut().for_each(|it| it.looks_for_people = true);
        Self { seen }
    }

    /// Has it written down, all of it in one deed. What this bearer has seen by the same token within the last minute
    /// stands in the log already.
    pub async fn tell(&self, desk: &Desk, bearer: &Bearer, origin: &Origin) -> Result<(), Trouble> {
        let (mut audit, mut told) = (Vec::new(), Vec::new());
        for (organization, seen) in &self.seen {
            let what = json!([bearer.claims.jti, origin.address, organization, seen]).to_string();
            if desk.limits.was_told(desk, &what) {
                continue;
            }
            audit.push(AuditRecord {
                organization: Some(organization.clone()).filter(|id| !id.is_empty()),
                detail: Some(seen.detail().to_string()),
                ..bearer.record(READ, desk.now(), origin)
            });
            told.push(what);
        }
        if audit.is_empty() {
            return Ok(());
        }
        desk.ledger.commit(Deed { act: Act::Note, audit }).await?;
        told.iter().for_each(|what| desk.limits.tells(desk, what));
        Ok(())
    }
}

impl Seen {
    fn detail(&self) -> Value {
        let mut detail = json!({ "kinds": self.kinds });
        let all =
            [("people", &self.people), ("places", &self.places), ("organizations", &self.organizations)];
        for (name, ids) in all {
            if !ids.is_empty() {
                detail[name] = ids.iter().take(MOST_NAMED).cloned().collect();
            }
        }
        let more: usize = all.iter().map(|(_, ids)| ids.len().saturating_sub(MOST_NAMED)).sum();
        if more > 0 {
            detail["more"] = more.into();
        }
        if self.looks_for_people {
            detail["looks_for_people"] = true.into();
        }
        detail
    }
}

/// Adds what a thing shows of somebody else.
fn note(
    seen: &mut BTreeMap<String, Seen>,
    (bearer, estate): (&Person, &Estate),
    one: &Resource,
    about: About,
) {
    if is_oneself(bearer, one, &about) {
        return;
    }
    let there = seen.entry(home(estate, one)).or_default();
    *there.kinds.entry(one.kind.word()).or_default() += 1;
    match about {
        About::Person(id) => there.people.insert(id),
        About::Place(id) => there.places.insert(id),
    };
}

/// Whom a thing is about; most are about nobody.
fn about(estate: &Estate, one: &Resource) -> Option<About> {
    let text = |name: &str| one.attributes.get(name).and_then(Value::as_str).unwrap_or_default();
    match one.kind {
        Kind::User => Some(About::Person(one.id.clone())),
        Kind::Membership => Some(behind(estate, &one.id)),
        // It holds what was before and after.
        Kind::Version => match Kind::named(text("resource_type")) {
            Some(Kind::User) => Some(About::Person(text("resource_id").into())),
            Some(Kind::Membership) => Some(behind(estate, text("resource_id"))),
            _ => None,
        },
        Kind::ApiCredential
        | Kind::ApplicationMembership
        | Kind::IdentityProvider
        | Kind::MembershipProfile
        | Kind::Organization
        | Kind::Permission
        | Kind::Role => None,
    }
}

/// The person at a place.
fn behind(estate: &Estate, membership: &str) -> About {
    match estate.memberships.get(membership) {
        Some(place) => About::Person(place.user.clone()),
        None => About::Place(membership.into()),
    }
}

/// An invitation has no account yet; whose it will be, its address says.
fn is_oneself(bearer: &Person, one: &Resource, about: &About) -> bool {
    match about {
        About::Person(id) => *id == bearer.id,
        About::Place(_) => one
            .attributes
            .get("user_email")
            .and_then(Value::as_str)
            .is_some_and(|it| is_same(it, &bearer.email)),
    }
}

/// The organization of a thing; a person belongs to none, and is seen where they have a place.
fn home(estate: &Estate, one: &Resource) -> String {
    match one.kind {
        Kind::User => {
            let place = estate.memberships.values().find(|place| place.user == one.id);
            place.map(|place| place.organization.clone()).unwrap_or_default()
        }
        _ => one.organization.clone(),
    }
}
