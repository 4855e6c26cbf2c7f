//! Organizations: anybody may found one and owns it then; admins change it, and only the owner can hand it
//! on. None is deleted here.

use portcullis_guard::policy::Action;
use serde_json::Value;

use super::change::Change;
use super::describe::ORGANIZATION_TEXTS;
use super::draft::{Draft, Reader};
use super::estate::role_id;
use super::memberships::{end_of_logins, is_same};
use super::office::Office;
use super::plan::Plan;
use super::{Card, Declined, Kind, Objection};
use crate::registry::{Membership, Organization, Role, RoleKind, Safety};

const SHOWN: [&str; 13] = [
    "slug",
    "domain",
    "region",
    "can_switch_live",
    "subscription_info",
    "api_new_auth",
    "api_auth_redirect",
    "orders_sales_channel_guest_only",
    "memberships",
    "roles",
    "permissions",
    "api_credentials",
    "id",
];
/// Letters of an address that is made from a name.
const LONGEST_SLUG: usize = 50;

pub fn create(office: &Office<'_>, draft: &Draft) -> Result<Plan, Declined> {
    let mut reader = Reader::new(draft, true);
    let name = reader.required("name");
    let region = reader.optional("region").flatten();
    let id = office.id();
    let mut card = Card::new(Kind::Organization, &id, &id, office.now_ms);
    kept(&mut reader, &mut card, office.now_ms);
    reader.finish(&super::with_common(&SHOWN))?;
    let name = name.unwrap_or_default();
    let organization = Organization {
        id: id.clone(),
        slug: slug(office, &name),
        name,
        enterprise: false,
        region: region.unwrap_or_else(|| "eu-west-1".into()),
        algorithm: None,
        profile: None,
        disabled: false,
        safety: Safety::default(),
    };
    let built_in = |word: &str, name: &str, kind| {
        let role = Role {
            id: word.into(),
            organization: id.clone(),
            name: name.into(),
            kind,
            permissions: Vec::new(),
        };
        let card = Card::new(Kind::Role, &role_id(&id, word), &id, office.now_ms);
        [Change::PutRole(role), Change::PutCard(Box::new(card))]
    };
    let place = Membership {
        id: office.id(),
        user: office.bearer.person.id.clone(),
        organization: id.clone(),
        role: "admin".into(),
        owner: true,
        active: true,
        applications: None,
        modes: None,
    };
    let place_card = Card::new(Kind::Membership, &place.id, &id, office.now_ms);
    let mut changes = vec![Change::PutOrganization(organization), Change::PutCard(Box::new(card))];
    changes.extend(built_in("admin", "Admin", RoleKind::Admin));
    changes.extend(built_in("read_only", "Read only", RoleKind::ReadOnly));
    changes.extend([Change::PutMembership(place), Change::PutCard(Box::new(place_card))]);
    Ok(Plan::new(Kind::Organization, id, changes))
}

pub fn update(office: &Office<'_>, id: &str, draft: &Draft) -> Result<Plan, Declined> {
    let mut it = office.estate.organizations.get(id).cloned().ok_or(Declined::Missing)?;
    office.may(id, Kind::Organization, Action::Update)?;
    let mut reader = Reader::new(draft, false);
    let name = reader.required("name");
    let mut card = office.card(Kind::Organization, id, id);
    kept(&mut reader, &mut card, office.now_ms);
    reader.finish(&super::with_common(&SHOWN))?;
    it.name = name.unwrap_or(it.name);
    Ok(Plan::new(Kind::Organization, id, vec![Change::PutOrganization(it), Change::PutCard(Box::new(card))]))
}

/// Hands the organization on to another of its active members, who becomes an admin with it.
pub fn transfer(office: &Office<'_>, id: &str, draft: &Draft) -> Result<Plan, Declined> {
    let place = office.place(id)?;
    if !place.owner {
        return Err(Declined::forbidden("Only the owner can transfer the ownership."));
    }
    let mut reader = Reader::new(draft, true);
    let email = reader.required("new_owner_email");
    reader.finish(&["id"])?;
    let email = email.unwrap_or_default();
    let heir = office.estate.memberships.values().find(|one| {
        let person = office.estate.people.get(&one.user);
        one.organization == id && one.active && person.is_some_and(|it| is_same(&it.email, &email))
    });
    let detail = "must be the address of an active member";
    let heir = heir.ok_or_else(|| Objection::attribute("new_owner_email", detail))?;
    if heir.id == place.id {
        return Ok(Plan::new(Kind::Organization, id, Vec::new()));
    }
    let mut changes = vec![
        Change::PutMembership(Membership { owner: false, ..place.clone() }),
        Change::PutMembership(Membership { owner: true, role: "admin".into(), ..heir.clone() }),
    ];
    if heir.role != "admin" {
        changes.push(end_of_logins(office.desk, heir, "the role was changed"));
    }
    Ok(Plan::new(Kind::Organization, id, changes))
}

/// What we keep for others and never read.
fn kept(reader: &mut Reader<'_>, card: &mut Card, now_ms: u64) {
    reader.common(card, now_ms);
    for name in ORGANIZATION_TEXTS {
        if let Some(text) = reader.optional(name) {
            card.more.insert(name.into(), text.map_or(Value::Null, Value::from));
        }
    }
    if let Some(config) = reader.object_of("config") {
        card.more.insert("config".into(), config.into());
    }
}

/// The name as an address that nobody has yet.
fn slug(office: &Office<'_>, name: &str) -> String {
    let plain = |c: char| if c.is_ascii_alphanumeric() { c.to_ascii_lowercase() } else { '-' };
    let mut words: String = name.chars().map(plain).collect();
    while words.contains("--") {
        words = words.replace("--", "-");
    }
    words.truncate(LONGEST_SLUG);
    let words = words.trim_matches('-');
    let directory = office.desk.registry.directory();
    if !words.is_empty() && directory.organization_by_slug(words).is_none() {
        return words.to_owned();
    }
    format!("{}-{}", if words.is_empty() { "shop" } else { words }, office.id().to_ascii_lowercase())
}
