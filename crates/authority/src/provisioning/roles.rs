//! Roles: custom ones can be made, renamed and deleted; the two built-in ones are there from the start.

use portcullis_guard::policy::{Action, Permission, subjects};
use serde_json::json;

use super::change::Change;
use super::draft::{Draft, Reader};
use super::estate::role_id;
use super::office::Office;
use super::plan::Plan;
use super::{Card, Declined, Kind, Objection, credentials, memberships};
use crate::registry::{Role, RoleKind};

const SHOWN: [&str; 7] =
    ["kind", "organization", "permissions", "memberships", "api_credentials", "versions", "id"];

pub fn create(office: &Office<'_>, draft: &Draft) -> Result<Plan, Declined> {
    let mut reader = Reader::new(draft, true);
    let home = reader.required_one("organization", Kind::Organization);
    let name = reader.required("name");
    let mut card = Card::new(Kind::Role, "", "", office.now_ms);
    reader.common(&mut card, office.now_ms);
    let conflicts = reader.list("conflicts_with");
    reader.finish(&super::with_common(&SHOWN))?;
    let home = office.organization(home.as_deref())?;
    office.may(&home.id, Kind::Role, Action::Create)?;
    office.enterprise(&home.id, "Custom roles")?;
    let role = Role {
        id: office.id(),
        organization: home.id.clone(),
        name: name.unwrap_or_default(),
        kind: RoleKind::Custom,
        permissions: Vec::new(),
    };
    card.id = role_id(&home.id, &role.id);
    card.organization = home.id.clone();
    let id = card.id.clone();
    declare(office, &mut card, conflicts)?;
    Ok(Plan::new(Kind::Role, id, vec![Change::PutRole(role), Change::PutCard(Box::new(card))]))
}

pub fn update(office: &Office<'_>, id: &str, draft: &Draft) -> Result<Plan, Declined> {
    let mut role = office.estate.roles.get(id).cloned().ok_or(Declined::Missing)?;
    office.may(&role.organization, Kind::Role, Action::Update)?;
    let mut card = office.card(Kind::Role, id, &role.organization);
    let mut reader = Reader::new(draft, false);
    let name = reader.required("name").filter(|name| *name != role.name);
    reader.common(&mut card, office.now_ms);
    let conflicts = reader.list("conflicts_with");
    let top_up = reader.flag("_add_missing_base_permissions") == Some(true);
    if role.kind != RoleKind::Custom && name.is_some() {
        reader.object::<()>(Objection::attribute("name", "cannot be changed for a built-in role"));
    }
    reader.finish(&super::with_common(&SHOWN))?;
    if role.kind == RoleKind::Custom {
        office.enterprise(&role.organization, "Custom roles")?;
        role.name = name.unwrap_or(role.name);
        if top_up {
            add_missing(&mut role);
        }
    }
    declare(office, &mut card, conflicts)?;
    Ok(Plan::new(Kind::Role, id, vec![Change::PutRole(role), Change::PutCard(Box::new(card))]))
}

/// Deletes a role with everything that used it: memberships and invitations end, credentials are switched
/// off, and the tokens of all of them are dead.
pub fn destroy(office: &Office<'_>, id: &str) -> Result<Plan, Declined> {
    let role = office.estate.roles.get(id).ok_or(Declined::Missing)?;
    office.may(&role.organization, Kind::Role, Action::Destroy)?;
    if role.kind != RoleKind::Custom {
        return Err(Declined::forbidden("The built-in roles cannot be deleted."));
    }
    let uses = |kind: Kind| {
        let all = office.estate.all(kind).into_iter();
        all.filter(|one| one.leads_to("role") == Some(id)).collect::<Vec<_>>()
    };
    let mut changes = Vec::new();
    for membership in uses(Kind::Membership) {
        if membership.attributes.get("owner") == Some(&true.into()) {
            return Err(Declined::forbidden("The owner has this role; transfer the ownership first."));
        }
        changes.extend(memberships::ending(office, &membership.id, "its role was deleted"));
    }
    for credential in uses(Kind::ApiCredential) {
        changes.extend(credentials::switched_off(office, &credential.id, true));
    }
    for kind in [Kind::ApplicationMembership, Kind::Permission] {
        changes.extend(uses(kind).into_iter().map(|one| Change::DropCard { kind, id: one.id }));
    }
    for card in office.estate.cards_of(Kind::Role).filter(|card| card.texts("conflicts_with").contains(&id)) {
        let mut card = card.clone();
        let others: Vec<_> = card.texts("conflicts_with").into_iter().filter(|other| *other != id).collect();
        card.more.insert("conflicts_with".into(), json!(others));
        changes.push(Change::PutCard(Box::new(card)));
    }
    changes.push(Change::DropCard { kind: Kind::Role, id: id.into() });
    changes.push(Change::DropRole { organization: role.organization.clone(), id: role.id.clone() });
    Ok(Plan::new(Kind::Role, id, changes))
}

/// Every subject that has no permission yet gets one that allows nothing, to be switched on.
fn add_missing(role: &mut Role) {
    for subject in subjects() {
        if !role.permissions.iter().any(|entry| entry.subject == subject) {
            role.permissions.push(Permission::new(subject, []));
        }
    }
}

fn declare(office: &Office<'_>, card: &mut Card, conflicts: Option<Vec<String>>) -> Result<(), Declined> {
    let Some(conflicts) = conflicts else { return Ok(()) };
    let sound = |id: &String| *id != card.id && office.holds(Kind::Role, id, &card.organization);
    if !conflicts.iter().all(sound) {
        let detail = "must be ids of other roles of this organization";
        return Err(Objection::attribute("conflicts_with", detail).into());
    }
    card.more.insert("conflicts_with".into(), json!(conflicts));
    Ok(())
}
