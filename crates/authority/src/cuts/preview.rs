//! What a cut would end, before anything happens. Logins are counted from the books and tokens from the
//! newest audit records, because nothing is stored of a token; both are bounded, and it is said when they
//! are not the whole.

use std::collections::BTreeSet;

use serde::Serialize;

use super::target::{Cut, Target};
use super::{KIND, text};
use crate::entitlement::{generations, superseded};
use crate::ledger::{Family, Whose};
use crate::operators::Denial;
use crate::proposals::{Room, digest_of};
use crate::registry::Scope;

/// Logins that are looked at.
const MOST: usize = 5_000;
/// Names that are shown of each kind; the rest is counted.
const NAMES: usize = 10;
/// How far back tokens are counted, seconds: the usual lifetime.
const WINDOW: u64 = 2 * 3600;

/// What would end.
#[derive(Clone, Debug, Serialize)]
pub struct Preview {
    /// The target in its one form.
    pub cut: Cut,
    /// Of the target: send it along, and what was seen is what is done.
    pub digest: String,
    /// Whether a second person must agree.
    pub wide: bool,
    /// Logins that can still be refreshed.
    pub logins: u64,
    pub people: u64,
    pub applications: u64,
    pub organizations: u64,
    /// Browser sessions, of a person.
    pub sessions: u64,
    /// The first names of what is counted above.
    pub names: Names,
    /// Tokens issued within the last two hours, which may be alive; about.
    pub tokens: u64,
    /// When any of it was last used, seconds: a refresh or an issued token.
    pub last_used: Option<u64>,
    /// False when there is more than was looked at, so that every count is "at least".
    pub complete: bool,
    pub remarks: Vec<String>,
}

/// The first few of each, in order.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Names {
    pub people: Vec<String>,
    /// client_id
    pub applications: Vec<String>,
    /// Slugs.
    pub organizations: Vec<String>,
}

pub(super) async fn of(room: Room<'_>, target: &Target) -> Result<Preview, Denial> {
    let (desk, now) = (room.desk, room.desk.now());
    let whose = whose(target);
    let found = desk.ledger.live_logins(&whose, now, MOST + 1).await?;
    let mut complete = found.len() <= MOST;
    let alive: Vec<_> = found.into_iter().filter(|family| is_meant(room, target, family)).collect();
    let issued = desk.ledger.issued(&whose, now.saturating_sub(WINDOW)).await?;
    complete &= issued.complete;
    let sessions = match target {
        Target::Person(person) => desk.ledger.live_sessions(&person.id, now).await?,
        _ => 0,
    };
    let mut seen = Seen::of(room, &alive);
    seen.add(room, target);
    let last_refresh = alive.iter().map(|family| family.rotated_at).max();
    let cut = target.cut();
    Ok(Preview {
        digest: digest_of(KIND, &text(&cut)),
        wide: cut.kind.is_wide(),
        cut,
        logins: alive.len() as u64,
        people: seen.people.len() as u64,
        applications: seen.applications.len() as u64,
        organizations: seen.organizations.len() as u64,
        sessions,
        tokens: issued.tokens,
        last_used: last_refresh.max(issued.last),
        complete,
        remarks: remarks(target),
        names: seen.names(),
    })
}

/// What the books can look for. A role and a key have no column, so more is looked at and then sorted.
fn whose(target: &Target) -> Whose {
    match target {
        Target::Token { jti, .. } => Whose::Token(jti.clone()),
        Target::Login { sid, .. } => Whose::Login(sid.clone()),
        Target::Person(person) => Whose::Person(person.id.clone()),
        Target::Application(application) => Whose::Client(application.client_id.clone()),
        Target::Actor(sub) => Whose::Actor(sub.clone()),
        Target::Role(role) => Whose::Organization(role.organization.clone()),
        Target::Organization(organization) => Whose::Organization(organization.id.clone()),
        Target::Key { .. } | Target::Everything => Whose::Everybody,
    }
}

/// Whether a login that the books call alive is one of those, and no wider cut has ended it already.
fn is_meant(room: Room<'_>, target: &Target, family: &Family) -> bool {
    let directory = room.desk.registry.directory();
    let Some(application) = directory.application(&family.client_id) else { return false };
    if superseded(family.gv, generations(&directory, application, family.gv.0)) {
        return false;
    }
    match target {
        Target::Role(role) => {
            let claim = role.claim();
            family.roles.contains(&claim) || application.role.as_deref() == Some(role.id.as_str())
        }
        Target::Actor(sub) => {
            let standing = directory.generation(Scope::Actor, sub);
            actors(family).iter().any(|(name, generation)| name == sub && *generation >= standing)
        }
        _ => true,
    }
}

fn actors(family: &Family) -> Vec<(String, u32)> {
    let read = |text: &String| serde_json::from_str::<portcullis_guard::claims::Actor>(text).ok();
    let top = family.act.as_ref().and_then(read);
    std::iter::successors(top.as_ref(), |actor| actor.act.as_deref())
        .map(|actor| (actor.sub.clone(), actor.gv))
        .collect()
}

fn remarks(target: &Target) -> Vec<String> {
    let said: &[&str] = match target {
        Target::Key { signs: true, .. } => &[
            "This key signs: the one that stands by takes over at once.",
            "What a key has signed is not told apart, so these counts are for everything.",
        ],
        Target::Key { signs: false, .. } => {
            &["What a key has signed is not told apart, so these counts are for everything."]
        }
        Target::Role(_) => &[
            "Tokens are those of the whole organization. Whoever still has the role gets new ones at the next login.",
        ],
        Target::Application(_) => &["The application's secrets stay good; replace them if they leaked."],
        Target::Person(_) => {
            &["The account and personal credentials stay; offboard the person to end those too."]
        }
        _ => &[],
    };
    said.iter().map(|&sentence| sentence.to_owned()).collect()
}

/// Who and what stands in some logins.
struct Seen {
    people: BTreeSet<String>,
    applications: BTreeSet<String>,
    organizations: BTreeSet<String>,
}

impl Seen {
    fn of(room: Room<'_>, logins: &[Family]) -> Self {
        let owner = |family: &Family| family.owner.as_ref().map(|(_, id)| id.clone());
        Self {
            people: logins.iter().filter_map(owner).collect(),
            applications: logins.iter().map(|family| family.client_id.clone()).collect(),
            organizations: logins.iter().map(|family| slug(room, &family.organization)).collect(),
        }
    }

    /// What is named is affected, whether it has logins or not.
    fn add(&mut self, room: Room<'_>, target: &Target) {
        match target {
            Target::Person(person) => drop(self.people.insert(person.id.clone())),
            Target::Application(application) => {
                self.applications.insert(application.client_id.clone());
                self.organizations.insert(slug(room, &application.organization));
            }
            Target::Role(role) => drop(self.organizations.insert(slug(room, &role.organization))),
            Target::Organization(organization) => {
                self.organizations.insert(organization.slug.clone());
                let directory = room.desk.registry.directory();
                let ours = directory.applications().filter(|it| it.organization == organization.id);
                self.applications.extend(ours.map(|it| it.client_id.clone()));
            }
            Target::Key { .. } | Target::Everything => {
                let directory = room.desk.registry.directory();
                self.organizations.extend(directory.organizations().map(|it| it.slug.clone()));
                self.applications.extend(directory.applications().map(|it| it.client_id.clone()));
            }
            Target::Token { .. } | Target::Login { .. } | Target::Actor(_) => {}
        }
    }

    fn names(self) -> Names {
        let first = |all: BTreeSet<String>| all.into_iter().take(NAMES).collect();
        Names {
            people: first(self.people),
            applications: first(self.applications),
            organizations: first(self.organizations),
        }
    }
}

fn slug(room: Room<'_>, organization: &str) -> String {
    let directory = room.desk.registry.directory();
    directory.organization(organization).map_or_else(|| organization.to_owned(), |it| it.slug.clone())
}
