//! A seed: organizations, applications, people and roles from a file that people can read and write.
//!
//! The file holds secrets and passwords in plain text; what leaves here holds only their hashes. Every
//! mistake is found in one reading and named with its line and key. Putting the set into the books is the
//! store's business, and doing it twice is fine.

mod addresses;
mod applications;
mod file;
mod mistake;
mod sheet;

use portcullis_authority::desk::Dice;
use portcullis_authority::refusal::Trouble;
use portcullis_authority::registry::{
    Directory, Fence, FenceKind, GuardAccount, Membership, Organization, Person, Role, RoleKind, Safety,
};
use portcullis_authority::secret::{Seal, Secret};
use portcullis_guard::claims::OwnerKind;
use portcullis_guard::policy::{self, Policy};
use portcullis_store::{Conflict, SeedSet};

use crate::means::Passwords;
use file::{File, Text};
pub use mistake::{Mistake, Mistakes};
use sheet::Sheet;

/// What a seed needs to hash with, and what is known already.
pub struct Ground<'a> {
    pub seal: &'a Seal,
    pub passwords: &'a Passwords,
    pub dice: &'a dyn Dice,
    /// An application that is in here keeps a secret that was generated for it before.
    pub known: &'a Directory,
}

/// A seed that has been read, and the secrets that were made on the way: shown once, kept nowhere.
#[derive(Debug)]
pub struct Sown {
    pub set: SeedSet,
    pub generated: Vec<(String, Secret)>,
}

/// Why a file could not be sown.
#[derive(Debug, thiserror::Error)]
pub enum NotSown {
    #[error("{0}")]
    Mistakes(#[from] Mistakes),
    #[error("{0}")]
    Broken(#[from] Trouble),
}

/// Reads a seed file.
///
/// # Errors
/// Every mistake in it, or trouble with hashing.
pub fn read(text: &str, ground: &Ground<'_>) -> Result<Sown, NotSown> {
    let file: File = toml::from_str(text).map_err(|error| Mistakes::unreadable(text, &error))?;
    let mut sheet = Sheet::new(text, &file);
    let mut sown = Sown { set: SeedSet::default(), generated: Vec::new() };
    sown.set.organizations =
        file.organizations.iter().enumerate().map(|at| organization(&mut sheet, at)).collect();
    sown.set.roles = roles(&mut sheet, &file);
    sown.set.conflicts = conflicts(&mut sheet, &file);
    sown.set.fences = fences(&mut sheet, &file);
    people(&mut sheet, &file, ground, &mut sown.set)?;
    sown.set.memberships = file.memberships.iter().enumerate().map(|at| membership(&mut sheet, at)).collect();
    applications::read(&mut sheet, &file, ground, &mut sown);
    guards(&mut sheet, &file, ground, &mut sown);
    sheet.finish()?;
    Ok(sown)
}

fn organization(sheet: &mut Sheet<'_>, (n, it): (usize, &file::Organization)) -> Organization {
    let key = |name: &str| format!("organizations[{n}].{name}");
    sheet.id(&it.slug, key("slug"));
    let id = it.id.as_ref().unwrap_or(&it.slug);
    sheet.id(id, key("id"));
    sheet.once("organization", id, key("id"));
    sheet.algorithm(it.algorithm.as_ref(), key("algorithm"));
    Organization {
        id: id.get_ref().clone(),
        slug: it.slug.get_ref().clone(),
        name: it.name.clone().unwrap_or_else(|| it.slug.get_ref().clone()),
        enterprise: it.enterprise,
        region: it.region.clone(),
        algorithm: it.algorithm.as_ref().map(|text| text.get_ref().clone()),
        profile: it.profile,
        disabled: it.disabled,
        // Operators keep it; the store leaves what is there.
        safety: Safety::default(),
    }
}

/// The file's own roles, and the two that every organization has from the start.
fn roles(sheet: &mut Sheet<'_>, file: &File) -> Vec<Role> {
    let built_in = |organization: &file::Organization, id: &str, kind| Role {
        id: id.into(),
        organization: organization.id().into(),
        name: id.into(),
        kind,
        permissions: Vec::new(),
    };
    let mut roles: Vec<Role> = file
        .organizations
        .iter()
        .flat_map(|it| {
            [built_in(it, "admin", RoleKind::Admin), built_in(it, "read_only", RoleKind::ReadOnly)]
        })
        .collect();
    for (n, it) in file.roles.iter().enumerate() {
        let key = |name: &str| format!("roles[{n}].{name}");
        sheet.id(&it.id, key("id"));
        let organization = sheet.organization(it.organization.as_ref(), &it.id, key("organization"));
        if matches!(it.id.get_ref().as_str(), "admin" | "read_only") {
            sheet.wrong(&it.id, key("id"), "admin and read_only exist in every organization already.");
        }
        sheet.once(&format!("role of {organization}"), &it.id, key("id"));
        for permission in &it.permissions {
            // The guard reads a policy strictly, so what it would refuse is refused here.
            let alone = policy::Role::new([permission.get_ref().clone()]);
            if let Err(why) = Policy::new(0).with_role("organization/role", alone) {
                sheet.wrong_at(permission.span(), key("permissions"), format!("{why}."));
            }
        }
        roles.push(Role {
            id: it.id.get_ref().clone(),
            organization,
            name: it.name.clone().unwrap_or_else(|| it.id.get_ref().clone()),
            kind: RoleKind::Custom,
            permissions: it.permissions.iter().map(|permission| permission.get_ref().clone()).collect(),
        });
    }
    roles
}

/// Separation of duties. A membership has one role in a file, so no file gives both to one person; what is
/// in the books beside it, the Provisioning API checks at its next change.
fn conflicts(sheet: &mut Sheet<'_>, file: &File) -> Vec<Conflict> {
    let mut found = Vec::new();
    for (n, it) in file.roles.iter().enumerate().filter(|(_, it)| !it.conflicts_with.is_empty()) {
        let key = || format!("roles[{n}].conflicts_with");
        // A missing organization was noted with the role itself.
        let organization = sheet.known_organization(it.organization.as_ref());
        for other in &it.conflicts_with {
            sheet.role(&organization, other, key());
            if other.get_ref() == it.id.get_ref() {
                sheet.wrong(other, key(), "a role cannot be in conflict with itself.");
            }
        }
        let with = it.conflicts_with.iter().map(|other| other.get_ref().clone()).collect();
        found.push(Conflict { organization, role: it.id.get_ref().clone(), with });
    }
    found
}

fn fences(sheet: &mut Sheet<'_>, file: &File) -> Vec<Fence> {
    let kinds = [
        (FenceKind::StockLocation, "stock_locations", &file.stock_locations),
        (FenceKind::Market, "markets", &file.markets),
        (FenceKind::Store, "stores", &file.stores),
    ];
    let mut fences: Vec<Fence> = Vec::new();
    for (kind, section, entries) in kinds {
        for (n, it) in entries.iter().enumerate() {
            let fence = fence(sheet, &fences, (kind, it), format!("{section}[{n}]"));
            fences.push(fence);
        }
    }
    fences
}

/// `known` are the fences before: stock locations for a market, and markets for a store.
fn fence(
    sheet: &mut Sheet<'_>,
    known: &[Fence],
    (kind, it): (FenceKind, &file::Fence),
    place: String,
) -> Fence {
    let key = |name: &str| format!("{place}.{name}");
    let id = it.id.as_ref().unwrap_or(&it.code);
    sheet.id(id, key("id"));
    sheet.id(&it.code, key("code"));
    let organization = sheet.organization(it.organization.as_ref(), &it.code, key("organization"));
    sheet.once(&format!("{kind:?} of {organization}"), id, key("id"));
    let mut find = |kind: FenceKind, code: &Text, key: String| {
        let fits = |fence: &&Fence| {
            fence.kind == kind && fence.organization == organization && fence.code == *code.get_ref()
        };
        let found = known.iter().find(fits).map(|fence| fence.id.clone());
        if found.is_none() {
            sheet.wrong(
                code,
                key,
                format!("there is no such code {:?} in this organization.", code.get_ref()),
            );
        }
        found
    };
    let stock_locations = it.stock_locations.iter();
    let stock_locations = stock_locations
        .filter_map(|code| find(FenceKind::StockLocation, code, key("stock_locations")))
        .collect();
    let market = it.market.as_ref().and_then(|code| find(FenceKind::Market, code, key("market")));
    Fence {
        kind,
        id: id.get_ref().clone(),
        organization,
        code: it.code.get_ref().clone(),
        name: it.name.clone(),
        stock_locations,
        market,
        geocoder_id: it.geocoder_id.clone(),
        allows_external_prices: it.allows_external_prices,
        price_list: it.price_list.clone(),
        customer_group: it.customer_group.clone(),
    }
}

fn people(sheet: &mut Sheet<'_>, file: &File, ground: &Ground<'_>, set: &mut SeedSet) -> Result<(), Trouble> {
    let kinds =
        [(OwnerKind::Customer, "customers", &file.customers), (OwnerKind::User, "users", &file.users)];
    for (kind, section, entries) in kinds {
        for (n, it) in entries.iter().enumerate() {
            let mut person = person(sheet, (kind, it), &format!("{section}[{n}]"));
            if sheet.is_clean()
                && let Some(password) = &it.password
            {
                person.password = Some(ground.passwords.hash(password)?);
            }
            set.people.push(person);
        }
    }
    Ok(())
}

fn person(sheet: &mut Sheet<'_>, (kind, it): (OwnerKind, &file::Person), place: &str) -> Person {
    let key = |name: &str| format!("{place}.{name}");
    sheet.id(&it.id, key("id"));
    sheet.once("person", &it.id, key("id"));
    let organization = match kind {
        OwnerKind::Customer => {
            Some(sheet.organization(it.organization.as_ref(), &it.id, key("organization")))
        }
        OwnerKind::User => None,
    };
    if kind == OwnerKind::User
        && let Some(named) = &it.organization
    {
        sheet.wrong(named, key("organization"), "a user belongs to an organization by a membership.");
    }
    let email = it.email.get_ref();
    let sound = email.split_once('@').is_some_and(|(name, host)| !name.is_empty() && !host.is_empty());
    if !sound || email.contains(char::is_whitespace) {
        sheet.wrong(&it.email, key("email"), format!("{email:?} is not an e-mail address."));
    }
    sheet.once(&format!("e-mail address of {organization:?}"), &it.email, key("email"));
    Person {
        id: it.id.get_ref().clone(),
        kind,
        organization,
        email: email.clone(),
        password: None,
        password_given: false,
        first_name: it.first_name.clone(),
        last_name: it.last_name.clone(),
        time_zone: it.time_zone.clone(),
        customer_group: it.customer_group.clone(),
        disabled: it.disabled,
        generation: 0,
        actor_generation: 0,
    }
}

fn membership(sheet: &mut Sheet<'_>, (n, it): (usize, &file::Membership)) -> Membership {
    let key = |name: &str| format!("memberships[{n}].{name}");
    let organization = sheet.organization(it.organization.as_ref(), &it.user, key("organization"));
    sheet.user(&it.user, key("user"));
    sheet.role(&organization, &it.role, key("role"));
    sheet.once(&format!("membership in {organization}"), &it.user, key("user"));
    if let Some(id) = &it.id {
        sheet.id(id, key("id"));
    }
    // Long names must not make an id too long; the pair is unique, so is its hash.
    let made = || portcullis_authority::secret::hash_random(&format!("{organization}/{}", it.user.get_ref()));
    Membership {
        id: it.id.as_ref().map_or_else(made, |id| id.get_ref().clone()),
        user: it.user.get_ref().clone(),
        role: it.role.get_ref().clone(),
        owner: it.owner,
        active: it.active,
        organization,
        applications: None,
        modes: None,
    }
}

fn guards(sheet: &mut Sheet<'_>, file: &File, ground: &Ground<'_>, sown: &mut Sown) {
    for (n, it) in file.guards.iter().enumerate() {
        sheet.id(&it.id, format!("guards[{n}].id"));
        sheet.once("guard", &it.id, format!("guards[{n}].id"));
        let name = format!("guard:{}", it.id.get_ref());
        let known = ground.known.guard(it.id.get_ref()).map(|guard| guard.hash.clone());
        let hash = applications::secret_hash(ground, sown, (&name, &it.secret), known);
        sown.set.guards.push(GuardAccount { id: it.id.get_ref().clone(), hash });
    }
}
