//! Who has what, since when, through which role, and when it was used last, of one moment.
//!
//! What cannot be known is not guessed: the audit log tells which tokens were issued and not what was done
//! with them, so no role is called too wide because a part of it went unused. What is called wide here is
//! wide by its own words.

use std::collections::{HashMap, HashSet};

use portcullis_guard::claims::OwnerKind;
use serde::{Deserialize, Serialize};

use super::ReviewBook;
use crate::desk::Desk;
use crate::operators::{Denial, Operator, OperatorRole, StaffBook};
use crate::provisioning::Kind;
use crate::provisioning::change::Keepings;
use crate::refusal::Trouble;
use crate::registry::{Application, Directory, Membership, Role, RoleKind};

/// Days without use after which access is called unused, unless said.
pub const STALE_DAYS: u32 = 90;
/// Seconds in a day.
const DAY: u64 = 86_400;
/// Subjects that hold what is personal about customers.
const PERSONAL: [&str; 4] = ["*", "customers", "customer_addresses", "addresses"];

/// One thing that somebody or something has.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Access {
    pub kind: AccessKind,
    /// Of the membership, the application (its client id) or the operator.
    pub id: String,
    /// Who has it: a person's id, a client id, an operator's id.
    pub holder: String,
    /// Of the person behind it, where there is one.
    pub email: Option<String>,
    /// Organization id; operators belong to none.
    pub organization: Option<String>,
    pub slug: Option<String>,
    pub role: String,
    /// Seconds; what came from a seed file has no beginning that is known.
    pub since: Option<u64>,
    /// Seconds; absent when no use is known.
    pub last_used: Option<u64>,
    pub remarks: Vec<Remark>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AccessKind {
    Membership,
    Application,
    Operator,
}

/// What a reviewer should look at.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Remark {
    /// Nobody used it for so many days, as far as is known.
    Unused,
    /// May do everything there.
    Admin,
    /// Owns the organization, or says who the operators are.
    Owner,
    /// A custom role that reads what is personal about every customer.
    PersonalData,
    /// The account is closed, and still has this.
    AccountClosed,
}

/// When things were used last, seconds, as far as the books know.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Uses {
    /// By client id.
    pub clients: HashMap<String, u64>,
    /// By person and organization.
    pub people: HashMap<(String, String), u64>,
    /// By operator id.
    pub operators: HashMap<String, u64>,
}

/// What is looked at.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Extent {
    /// Organization id; nothing for all, operators included.
    pub organization: Option<String>,
    pub stale_days: u32,
}

impl AccessKind {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Membership => "membership",
            Self::Application => "application",
            Self::Operator => "operator",
        }
    }
}

impl Remark {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Unused => "unused",
            Self::Admin => "admin",
            Self::Owner => "owner",
            Self::PersonalData => "personal_data",
            Self::AccountClosed => "account_closed",
        }
    }
}

impl Extent {
    /// Reads what an operator asked for: an organization's id or slug.
    ///
    /// # Errors
    /// [`Denial::Missing`] and [`Denial::Invalid`].
    pub fn read(desk: &Desk, organization: Option<&str>, days: Option<u32>) -> Result<Self, Denial> {
        let directory = desk.registry.directory();
        let found = |name: &str| {
            let known = directory.organization(name).or_else(|| directory.organization_by_slug(name));
            known.map(|it| it.id.clone()).ok_or_else(|| Denial::missing("There is no such organization."))
        };
        let stale_days = days.unwrap_or(STALE_DAYS);
        if stale_days == 0 || stale_days > 3650 {
            return Err(Denial::invalid("stale_days", "Between 1 and 3650 days."));
        }
        Ok(Self { organization: organization.map(found).transpose()?, stale_days })
    }
}

/// Everything that is had, in a steady order: memberships, applications, operators.
///
/// # Errors
/// Trouble with the books.
pub async fn survey(
    desk: &Desk,
    staff: &dyn StaffBook,
    book: &dyn ReviewBook,
    extent: &Extent,
) -> Result<Vec<Access>, Trouble> {
    let directory = desk.registry.directory();
    let mut reach: Vec<String> = match &extent.organization {
        Some(id) => vec![id.clone()],
        None => directory.organizations().map(|it| it.id.clone()).collect(),
    };
    reach.sort_unstable();
    let looked = Looked {
        keepings: desk.registry.estate("", &reach).await?,
        uses: book.uses().await?,
        directory: &directory,
        stale: desk.now().saturating_sub(u64::from(extent.stale_days) * DAY),
    };
    let mut all = looked.memberships();
    all.extend(looked.applications(desk).await?);
    if extent.organization.is_none() {
        let operators = staff.staff().await?.operators;
        all.extend(operators.iter().filter(|it| !it.disabled).map(|it| looked.operator(it)));
    }
    Ok(all)
}

/// What was looked up, of one moment as far as it changes.
struct Looked<'a> {
    keepings: Keepings,
    uses: Uses,
    directory: &'a Directory,
    /// What was used last before this is unused, seconds.
    stale: u64,
}

impl Looked<'_> {
    fn memberships(&self) -> Vec<Access> {
        let mut places: Vec<_> = self.keepings.memberships.iter().filter(|it| it.active).collect();
        places.sort_unstable_by_key(|it| (&it.organization, &it.user));
        let people: HashMap<_, _> = self.keepings.people.iter().map(|it| (it.id.as_str(), it)).collect();
        let made = self.made(Kind::Membership);
        let access = |place: &&Membership| {
            let person = people.get(place.user.as_str());
            let mut remarks = self.wide(&place.organization, &place.role);
            if place.owner {
                remarks.push(Remark::Owner);
            }
            if person.is_some_and(|it| it.disabled) {
                remarks.push(Remark::AccountClosed);
            }
            let used = self.uses.people.get(&(place.user.clone(), place.organization.clone()));
            self.judged(Access {
                kind: AccessKind::Membership,
                id: place.id.clone(),
                holder: place.user.clone(),
                email: person.map(|it| it.email.clone()),
                slug: self.slug(&place.organization),
                organization: Some(place.organization.clone()),
                role: place.role.clone(),
                since: made.get(place.id.as_str()).copied(),
                last_used: used.copied(),
                remarks,
            })
        };
        places.iter().map(access).collect()
    }

    /// What applications have, personal credentials among them.
    async fn applications(&self, desk: &Desk) -> Result<Vec<Access>, Trouble> {
        let mut open: Vec<_> = self.keepings.applications.iter().filter(|it| !it.disabled).collect();
        open.sort_unstable_by_key(|it| (&it.organization, &it.client_id));
        let made = self.made(Kind::ApiCredential);
        let mut all = Vec::with_capacity(open.len());
        for it in open {
            let person = match &it.user {
                Some(id) => desk.registry.person(crate::registry::Who::Id(id)).await?,
                None => None,
            };
            let mut remarks = match &it.role {
                Some(role) => self.wide(&it.organization, role),
                None => Vec::new(),
            };
            if person.as_ref().is_some_and(|it| it.disabled && it.kind == OwnerKind::User) {
                remarks.push(Remark::AccountClosed);
            }
            all.push(self.judged(Access {
                kind: AccessKind::Application,
                id: it.client_id.clone(),
                holder: it.user.clone().unwrap_or_else(|| it.client_id.clone()),
                email: person.map(|it| it.email),
                slug: self.slug(&it.organization),
                organization: Some(it.organization.clone()),
                role: role_of(it),
                since: made.get(it.id.as_str()).copied(),
                last_used: self.uses.clients.get(&it.client_id).copied(),
                remarks,
            }));
        }
        Ok(all)
    }

    fn operator(&self, it: &Operator) -> Access {
        let owns = it.may(&[OperatorRole::Owner]);
        let words: Vec<_> = it.roles.iter().map(|role| role.as_str()).collect();
        self.judged(Access {
            kind: AccessKind::Operator,
            id: it.id.clone(),
            holder: it.id.clone(),
            email: Some(it.email.clone()),
            organization: None,
            slug: None,
            role: words.join(" "),
            since: Some(it.created_at),
            last_used: self.uses.operators.get(&it.id).copied(),
            remarks: owns.then_some(Remark::Owner).into_iter().collect(),
        })
    }

    /// With the remark that it is unused, where it is. What is younger than the period is not held against it.
    fn judged(&self, mut access: Access) -> Access {
        let newest = access.last_used.max(access.since);
        if newest.is_none_or(|at| at < self.stale) {
            access.remarks.insert(0, Remark::Unused);
        }
        access
    }

    fn wide(&self, organization: &str, role: &str) -> Vec<Remark> {
        let Some(role) = self.directory.role(organization, role) else { return Vec::new() };
        match role.kind {
            RoleKind::Admin => vec![Remark::Admin],
            RoleKind::Custom if reads_personal_data(role) => vec![Remark::PersonalData],
            RoleKind::Custom | RoleKind::ReadOnly => Vec::new(),
        }
    }

    fn slug(&self, organization: &str) -> Option<String> {
        self.directory.organization(organization).map(|it| it.slug.clone())
    }

    /// When things of a kind were made, seconds.
    fn made(&self, kind: Kind) -> HashMap<&str, u64> {
        let cards = self.keepings.cards.iter().filter(|card| card.kind == kind);
        cards.map(|card| (card.id.as_str(), card.created_at / 1000)).collect()
    }
}

fn reads_personal_data(role: &Role) -> bool {
    let personal: HashSet<_> = PERSONAL.into_iter().collect();
    let looks = |actions: portcullis_guard::policy::Actions| {
        use portcullis_guard::policy::Action;
        actions.contains(Action::Read) || actions.contains(Action::List)
    };
    role.permissions
        .iter()
        .any(|it| personal.contains(it.subject.as_str()) && it.when.is_empty() && looks(it.actions))
}

fn role_of(it: &Application) -> String {
    match &it.role {
        Some(role) => format!("{} {role}", it.kind.as_str()),
        None => it.kind.as_str().to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn access(since: Option<u64>, last_used: Option<u64>) -> Access {
        Access {
            kind: AccessKind::Membership,
            id: "m".into(),
            holder: "p".into(),
            email: None,
            organization: None,
            slug: None,
            role: "admin".into(),
            since,
            last_used,
            remarks: Vec::new(),
        }
    }

    #[test]
    fn what_is_new_or_was_used_is_not_called_unused() {
        let directory = Directory::default();
        let looked = Looked {
            keepings: Keepings::default(),
            uses: Uses::default(),
            directory: &directory,
            stale: 1000,
        };
        let unused = |since, used| looked.judged(access(since, used)).remarks == [Remark::Unused];
        assert!(unused(None, None) && unused(Some(999), None) && unused(Some(1), Some(999)));
        assert!(!unused(Some(1000), None) && !unused(None, Some(1000)) && !unused(Some(1), Some(1000)));
    }
}
