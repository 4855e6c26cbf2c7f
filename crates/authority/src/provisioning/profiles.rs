//! Membership profiles and application memberships: named bundles of "this credential with that role".

use portcullis_guard::policy::Action;
use serde_json::{Value, json};

use super::change::Change;
use super::draft::{Draft, Reader};
use super::memberships::{SCOPES, attach};
use super::office::Office;
use super::plan::Plan;
use super::{Card, Declined, Kind, Objection, shares};

const SHOWN: [&str; 3] = ["organization", "test_enabled", "id"];

pub fn create_profile(office: &Office<'_>, draft: &Draft) -> Result<Plan, Declined> {
    let mut reader = Reader::new(draft, true);
    let home = reader.required_one("organization", Kind::Organization);
    let mut card = Card::new(Kind::MembershipProfile, &office.id(), "", office.now_ms);
    let applications = read_profile(&mut reader, &mut card, office.now_ms);
    reader.finish(&super::with_common(&SHOWN))?;
    card.organization = office.organization(home.as_deref())?.id.clone();
    office.may(&card.organization, Kind::MembershipProfile, Action::Create)?;
    let attached = attach(office, applications, &card, "membership_profile")?;
    Ok(plan(card, attached))
}

pub fn update_profile(office: &Office<'_>, id: &str, draft: &Draft) -> Result<Plan, Declined> {
    let mut card = found(office, Kind::MembershipProfile, id, Action::Update)?;
    let mut reader = Reader::new(draft, false);
    let applications = read_profile(&mut reader, &mut card, office.now_ms);
    reader.finish(&super::with_common(&SHOWN))?;
    let attached = attach(office, applications, &card, "membership_profile")?;
    Ok(plan(card, attached))
}

/// Deletes a profile: the application memberships that it bundled end, and whoever had it has it no more.
pub fn destroy_profile(office: &Office<'_>, id: &str) -> Result<Plan, Declined> {
    found(office, Kind::MembershipProfile, id, Action::Destroy)?;
    let has = |card: &&Card| card.text("membership_profile") == Some(id);
    let mut changes = Vec::new();
    for card in office.estate.cards_of(Kind::ApplicationMembership).filter(has) {
        changes.push(Change::DropCard { kind: card.kind, id: card.id.clone() });
    }
    for card in office.estate.cards_of(Kind::Membership).filter(has) {
        let mut card = card.clone();
        card.more.remove("membership_profile");
        changes.push(Change::PutCard(Box::new(card)));
    }
    changes.push(Change::DropCard { kind: Kind::MembershipProfile, id: id.into() });
    Ok(Plan::new(Kind::MembershipProfile, id, changes))
}

pub fn create_application(office: &Office<'_>, draft: &Draft) -> Result<Plan, Declined> {
    let mut reader = Reader::new(draft, true);
    let home = reader.required_one("organization", Kind::Organization);
    let mut card = Card::new(Kind::ApplicationMembership, &office.id(), "", office.now_ms);
    let credential = reader.required_one("api_credential", Kind::ApiCredential);
    let role = reader.required_one("role", Kind::Role);
    let membership = reader.one("membership", Kind::Membership).flatten();
    let profile = reader.one("membership_profile", Kind::MembershipProfile).flatten();
    read_application(&mut reader, &mut card, office.now_ms);
    reader.finish(&super::with_common(&SHOWN))?;
    card.organization = office.organization(home.as_deref())?.id.clone();
    office.may(&card.organization, Kind::ApplicationMembership, Action::Create)?;
    relate(office, &mut card, "api_credential", Kind::ApiCredential, credential)?;
    relate(office, &mut card, "role", Kind::Role, role)?;
    relate(office, &mut card, "membership", Kind::Membership, membership)?;
    relate(office, &mut card, "membership_profile", Kind::MembershipProfile, profile)?;
    Ok(plan(card, Vec::new()))
}

pub fn update_application(office: &Office<'_>, id: &str, draft: &Draft) -> Result<Plan, Declined> {
    let mut card = found(office, Kind::ApplicationMembership, id, Action::Update)?;
    let mut reader = Reader::new(draft, false);
    let role = reader.required_one("role", Kind::Role);
    let profile = reader.one("membership_profile", Kind::MembershipProfile);
    read_application(&mut reader, &mut card, office.now_ms);
    let shown = [&SHOWN[..], &["api_credential", "membership"]].concat();
    reader.finish(&super::with_common(&shown))?;
    if role.is_some() {
        relate(office, &mut card, "role", Kind::Role, role)?;
    }
    if let Some(profile) = profile {
        relate(office, &mut card, "membership_profile", Kind::MembershipProfile, profile)?;
    }
    Ok(plan(card, Vec::new()))
}

pub fn destroy_application(office: &Office<'_>, id: &str) -> Result<Plan, Declined> {
    let card = found(office, Kind::ApplicationMembership, id, Action::Destroy)?;
    Ok(Plan::new(card.kind, id, vec![Change::DropCard { kind: card.kind, id: id.into() }]))
}

fn read_profile(reader: &mut Reader<'_>, card: &mut Card, now_ms: u64) -> Option<Vec<String>> {
    reader.common(card, now_ms);
    if let Some(name) = reader.required("name") {
        card.more.insert("name".into(), name.into());
    }
    if let Some(scope) = reader.word("access_scope", &SCOPES) {
        card.more.insert("access_scope".into(), scope.into());
    }
    reader.many("application_memberships", Kind::ApplicationMembership)
}

fn read_application(reader: &mut Reader<'_>, card: &mut Card, now_ms: u64) {
    reader.common(card, now_ms);
    if let Some(filters) = reader.object_of("filters") {
        if let Err(objection) = shares::markets(&filters) {
            reader.object::<()>(objection);
        }
        card.more.insert("filters".into(), Value::Object(filters));
    }
}

/// Notes a relationship to a thing of the same organization.
fn relate(
    office: &Office<'_>,
    card: &mut Card,
    name: &'static str,
    kind: Kind,
    id: Option<String>,
) -> Result<(), Declined> {
    if id.as_ref().is_some_and(|id| !office.holds(kind, id, &card.organization)) {
        return Err(Objection::relationship(name, "must exist").into());
    }
    card.more.insert(name.into(), json!(id));
    Ok(())
}

fn found(office: &Office<'_>, kind: Kind, id: &str, action: Action) -> Result<Card, Declined> {
    let card = office.estate.card(kind, id).ok_or(Declined::Missing)?;
    office.may(&card.organization, kind, action)?;
    Ok(card.clone())
}

fn plan(card: Card, more: Vec<Change>) -> Plan {
    let (kind, id) = (card.kind, card.id.clone());
    let mut changes = vec![Change::PutCard(Box::new(card))];
    changes.extend(more);
    Plan::new(kind, id, changes)
}
