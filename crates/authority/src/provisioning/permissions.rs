//! Permissions of custom roles: one for each role and subject, kept in the role itself, so that guards get
//! them with the policy.

use portcullis_guard::policy::{self, Action, Actions, Permission, Policy, Restriction};
use serde::Deserialize;
use serde_json::{Map, Value};

use super::change::Change;
use super::describe::permission_id;
use super::draft::{Draft, Reader};
use super::office::Office;
use super::plan::Plan;
use super::{Card, Declined, Kind, Objection};
use crate::registry::{Role, RoleKind};

const SHOWN: [&str; 4] = ["organization", "versions", "id", "restrictions"];
/// The switches of a permission, and what they are about: the vendor's `read` is both halves.
const SWITCHES: [(&str, &[Action]); 4] = [
    ("can_create", &[Action::Create]),
    ("can_read", &[Action::Read, Action::List]),
    ("can_update", &[Action::Update]),
    ("can_destroy", &[Action::Destroy]),
];

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Restrictions {
    #[serde(default)]
    when: Vec<Restriction>,
}

pub fn create(office: &Office<'_>, draft: &Draft) -> Result<Plan, Declined> {
    let mut reader = Reader::new(draft, true);
    let role = reader.required_one("role", Kind::Role);
    let subject = reader.required("subject");
    let switched = switches(&mut reader);
    let restrictions = reader.object_of("restrictions");
    let mut card = Card::new(Kind::Permission, "", "", office.now_ms);
    reader.common(&mut card, office.now_ms);
    reader.finish(&super::with_common(&SHOWN))?;
    let role = role.and_then(|id| office.estate.roles.get(&id));
    let mut role = role.ok_or_else(|| Objection::relationship("role", "must exist"))?.clone();
    allowed(office, &role, Action::Create)?;
    let subject = subject.unwrap_or_default();
    if role.permissions.iter().any(|entry| entry.subject == subject) {
        return Err(Objection::attribute("subject", "has already been taken").into());
    }
    let actions = switched.into_iter().filter(|(_, on)| *on).flat_map(|(actions, _)| actions.to_vec());
    let mut entry = Permission::new(&subject, actions);
    entry.when = restrictions.map(read_restrictions).transpose()?.unwrap_or_default();
    check(&entry)?;
    card.id = permission_id(&role, &subject);
    card.organization = role.organization.clone();
    role.permissions.push(entry);
    let id = card.id.clone();
    Ok(Plan::new(Kind::Permission, id, vec![Change::PutRole(role), Change::PutCard(Box::new(card))]))
}

pub fn update(office: &Office<'_>, id: &str, draft: &Draft) -> Result<Plan, Declined> {
    let (mut role, subject) = find(office, id)?;
    allowed(office, &role, Action::Update)?;
    let mut reader = Reader::new(draft, false);
    let switched = switches(&mut reader);
    let restrictions = reader.object_of("restrictions");
    let mut card = office.card(Kind::Permission, id, &role.organization);
    reader.common(&mut card, office.now_ms);
    let shown = [&SHOWN[..], &["subject", "role"]].concat();
    reader.finish(&super::with_common(&shown))?;
    let mut entries: Vec<&mut Permission> =
        role.permissions.iter_mut().filter(|entry| entry.subject == subject).collect();
    for (actions, on) in switched {
        switch(&mut entries, actions, on);
    }
    match (restrictions, entries.as_mut_slice()) {
        (Some(given), [only]) => only.when = read_restrictions(given)?,
        (Some(given), _) if !given.contains_key("any") => {
            let detail = "differ between actions here; delete the permission and make it anew";
            return Err(Objection::attribute("restrictions", detail).into());
        }
        _ => {}
    }
    entries.iter().try_for_each(|entry| check(entry))?;
    Ok(Plan::new(Kind::Permission, id, vec![Change::PutRole(role), Change::PutCard(Box::new(card))]))
}

pub fn destroy(office: &Office<'_>, id: &str) -> Result<Plan, Declined> {
    let (mut role, subject) = find(office, id)?;
    allowed(office, &role, Action::Destroy)?;
    role.permissions.retain(|entry| entry.subject != subject);
    let drop = Change::DropCard { kind: Kind::Permission, id: id.into() };
    Ok(Plan::new(Kind::Permission, id, vec![Change::PutRole(role), drop]))
}

fn find(office: &Office<'_>, id: &str) -> Result<(Role, String), Declined> {
    let places =
        office.estate.roles.values().flat_map(|role| role.permissions.iter().map(move |it| (role, it)));
    let mut found = places.filter(|(role, entry)| permission_id(role, &entry.subject) == id);
    let (role, entry) = found.next().ok_or(Declined::Missing)?;
    Ok((role.clone(), entry.subject.clone()))
}

fn allowed(office: &Office<'_>, role: &Role, action: Action) -> Result<(), Declined> {
    office.may(&role.organization, Kind::Permission, action)?;
    if role.kind != RoleKind::Custom {
        return Err(Declined::forbidden("The permissions of the built-in roles cannot be changed."));
    }
    office.enterprise(&role.organization, "Custom roles")
}

fn switches(reader: &mut Reader<'_>) -> Vec<(&'static [Action], bool)> {
    let mut given = Vec::new();
    for (name, actions) in SWITCHES {
        given.extend(reader.flag(name).map(|on| (actions, on)));
    }
    given
}

/// Off is off wherever it stands. On joins the first entry, under its restrictions: a switch never widens
/// what is fenced.
fn switch(entries: &mut [&mut Permission], actions: &[Action], on: bool) {
    if on {
        let is_on = entries.iter().any(|entry| entry.actions.contains(actions[0]));
        if let Some(first) = entries.first_mut().filter(|_| !is_on) {
            first.actions = first.actions.iter().chain(actions.iter().copied()).collect();
        }
        return;
    }
    for entry in entries {
        let left: Actions = entry.actions.iter().filter(|action| !actions.contains(action)).collect();
        entry.actions = left;
    }
}

fn read_restrictions(given: Map<String, Value>) -> Result<Vec<Restriction>, Declined> {
    let read: Result<Restrictions, _> = serde_json::from_value(Value::Object(given));
    match read {
        Ok(restrictions) => Ok(restrictions.when),
        Err(why) => Err(Objection::attribute("restrictions", format!("cannot be read: {why}")).into()),
    }
}

/// The guard reads a policy strictly, so what it would refuse is refused here; and a subject is a name,
/// of the vendor's list or of a service of one's own.
pub(super) fn check(entry: &Permission) -> Result<(), Declined> {
    let plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_';
    let name = entry.subject == "*" || entry.subject.len() <= 64 && entry.subject.bytes().all(plain);
    if !name || entry.subject.is_empty() {
        let detail = "must be 1 to 64 lower-case letters, digits and _, or *";
        return Err(Objection::attribute("subject", detail).into());
    }
    let alone = policy::Role::new([entry.clone()]);
    match Policy::new(0).with_role("organization/role", alone) {
        Ok(_) => Ok(()),
        Err(why) => Err(Objection::attribute("restrictions", why.to_string()).into()),
    }
}
