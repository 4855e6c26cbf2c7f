//! Memberships: whom an organization has taken in, and the invitations that are still open.
//!
//! Everybody is invited: the answer shows a code once, which the inviter hands on, and only the person with
//! that address and that code can accept. Whether there is an account of that address is not looked up, so
//! that nothing can tell, in words or in time. This server sends no mail.

use portcullis_guard::policy::Action;
use serde_json::{Value, json};

use super::change::Change;
use super::draft::{Draft, Reader};
use super::office::{Bearer, Office};
use super::plan::Plan;
use super::{Card, Declined, Kind, Objection};
use crate::desk::Desk;
use crate::endings::remembered_until;
use crate::registry::{Membership, Role};
use crate::secret::{hash_random, same};

const SHOWN: [&str; 12] = [
    "organization",
    "user_email",
    "user_first_name",
    "user_last_name",
    "status",
    "owner",
    "test_enabled",
    "all_applications",
    "versions",
    "invitation_code",
    "access_scope",
    "id",
];
pub const SCOPES: [&str; 3] = ["live_access", "test_access", "all_access"];

pub fn create(office: &Office<'_>, draft: &Draft) -> Result<Plan, Declined> {
    let mut reader = Reader::new(draft, true);
    let home = reader.required_one("organization", Kind::Organization);
    let email = reader.required("user_email").and_then(|email| address(&mut reader, email));
    let role = reader.required_one("role", Kind::Role);
    let mut card = Card::new(Kind::Membership, &office.id(), "", office.now_ms);
    let more = More::read(&mut reader, &mut card, office.now_ms);
    reader.finish(&super::with_common(&SHOWN))?;
    let home = office.organization(home.as_deref())?;
    office.may(&home.id, Kind::Membership, Action::Create)?;
    let role = role_of(office, role.as_deref(), &home.id)?.id.clone();
    let email = email.unwrap_or_default();
    if is_there(office, &home.id, &email) {
        return Err(taken().into());
    }
    card.organization = home.id.clone();
    let attached = more.settle(office, &mut card)?;
    let (id, code) = (card.id.clone(), office.desk.token());
    card.more.insert("user_email".into(), email.into());
    card.more.insert("role".into(), role.into());
    card.more.insert("invitation".into(), hash_random(&code).into());
    let mut changes = vec![Change::PutCard(Box::new(card))];
    changes.extend(attached);
    Ok(Plan::new(Kind::Membership, id, changes).showing("invitation_code", code))
}

pub fn update(office: &Office<'_>, id: &str, draft: &Draft) -> Result<Plan, Declined> {
    let known = office.estate.find(Kind::Membership, id).ok_or(Declined::Missing)?;
    let home = known.organization.clone();
    office.may(&home, Kind::Membership, Action::Update)?;
    let mut reader = Reader::new(draft, false);
    let role = reader.required_one("role", Kind::Role);
    let mut card = office.card(Kind::Membership, id, &home);
    let more = More::read(&mut reader, &mut card, office.now_ms);
    let open = reader.flag("_all_applications") == Some(true);
    reader.finish(&super::with_common(&SHOWN))?;
    let role = role.map(|id| role_of(office, Some(&id), &home).map(|role| role.id.clone())).transpose()?;
    let attached = more.settle(office, &mut card)?;
    let mut changes = Vec::new();
    let mut place = office.estate.memberships.get(id).cloned();
    if let Some(place) = place.as_mut().filter(|_| open) {
        opened(office, place, &card, !attached.is_empty())?;
        changes.push(Change::PutMembership(place.clone()));
    }
    match (place, role) {
        (Some(place), Some(role)) if place.role != role => {
            if place.owner {
                let detail = "is the owner's; transfer the ownership first";
                return Err(Objection::relationship("role", detail).into());
            }
            changes.push(Change::PutMembership(Membership { role, ..place.clone() }));
            changes.push(end_of_logins(office.desk, &place, "the role was changed"));
        }
        (None, Some(role)) => drop(card.more.insert("role".into(), role.into())),
        _ => {}
    }
    changes.push(Change::PutCard(Box::new(card)));
    changes.extend(attached);
    Ok(Plan::new(Kind::Membership, id, changes))
}

/// Lets a member act through every application again, when nothing says otherwise any more.
fn opened(office: &Office<'_>, place: &mut Membership, card: &Card, attached: bool) -> Result<(), Declined> {
    let mut beside = office.estate.cards_of(Kind::ApplicationMembership);
    let has_own = attached || beside.any(|it| it.text("membership") == Some(&place.id));
    if has_own || card.text("membership_profile").is_some() {
        let detail = "needs a membership without a profile and without application memberships";
        return Err(Objection::attribute("_all_applications", detail).into());
    }
    place.applications = None;
    Ok(())
}

pub fn destroy(office: &Office<'_>, id: &str) -> Result<Plan, Declined> {
    let known = office.estate.find(Kind::Membership, id).ok_or(Declined::Missing)?;
    let place = office.estate.memberships.get(id);
    let own = place.is_some_and(|place| place.user == office.bearer.person.id);
    if !own {
        office.may(&known.organization, Kind::Membership, Action::Destroy)?;
    }
    if place.is_some_and(|place| place.owner) {
        return Err(Declined::forbidden("The owner cannot leave; transfer the ownership first."));
    }
    Ok(Plan::new(Kind::Membership, id, ending(office, id, "the membership was ended")))
}

/// A new code in place of the old one, for an invitation that got lost. What operators offer is theirs to offer again.
pub fn resend(office: &Office<'_>, id: &str) -> Result<Plan, Declined> {
    let known = office.estate.find(Kind::Membership, id).ok_or(Declined::Missing)?;
    office.may(&known.organization, Kind::Membership, Action::Update)?;
    let open = office.estate.card(Kind::Membership, id).filter(|card| card.text("invitation").is_some());
    let Some(mut card) = open.cloned() else {
        return Err(Declined::Invalid(vec![Objection {
            place: super::Place::Document("/data"),
            detail: "The membership is active already.".into(),
        }]));
    };
    if card.link().is_some() {
        return Err(Declined::Invalid(vec![Objection {
            place: super::Place::Document("/data"),
            detail: "Operators sent a link for this membership; they invite again.".into(),
        }]));
    }
    let code = office.desk.token();
    card.updated_at = office.now_ms;
    card.more.insert("invitation".into(), hash_random(&code).into());
    let plan = Plan::new(Kind::Membership, id, vec![Change::PutCard(Box::new(card))]);
    Ok(plan.showing("invitation_code", code))
}

/// Takes an invitation up. Somebody else's, a wrong code and no invitation at all are the same nothing.
pub async fn accept<'a>(
    desk: &'a Desk,
    bearer: &'a Bearer,
    id: &str,
    draft: &Draft,
) -> Result<(Office<'a>, Plan), Declined> {
    let mut reader = Reader::new(draft, true);
    let code = reader.required("invitation_code");
    reader.finish(&[])?;
    let invited = desk.registry.card(Kind::Membership, id).await?.ok_or(Declined::Missing)?;
    let hash = hash_random(&code.unwrap_or_default());
    let fits = invited.text("invitation").is_some_and(|stored| same(stored, &hash));
    let same_person = invited.text("user_email").is_some_and(|email| is_same(email, &bearer.person.email));
    if !fits || !same_person {
        return Err(Declined::Missing);
    }
    let office = Office::over(desk, bearer, std::slice::from_ref(&invited.organization)).await?;
    // What was read before the office was opened may be gone since.
    let card = office.estate.card(Kind::Membership, id).cloned().ok_or(Declined::Missing)?;
    if card.text("invitation") != invited.text("invitation") {
        return Err(Declined::Missing);
    }
    let (place, card) = taken_up(card, &bearer.person.id, office.now_ms);
    let changes = vec![Change::PutMembership(place), Change::PutCard(Box::new(card))];
    Ok((office, Plan::new(Kind::Membership, id, changes)))
}

/// Somebody with this address is here, or was invited.
pub fn taken() -> Objection {
    Objection::attribute("user_email", "has already been taken")
}

/// The membership that a pending card becomes, and what stays on the card.
pub(crate) fn taken_up(mut card: Card, user: &str, now_ms: u64) -> (Membership, Card) {
    let role = card.text("role").unwrap_or_default().to_owned();
    for name in ["invitation", "user_email", "role"] {
        card.more.remove(name);
    }
    card.updated_at = now_ms;
    let place = Membership {
        id: card.id.clone(),
        user: user.into(),
        organization: card.organization.clone(),
        role,
        owner: false,
        active: true,
        applications: None,
        modes: None,
    };
    (place, card)
}

/// The end of a membership or an invitation and of everything that hangs off it.
pub fn ending(office: &Office<'_>, id: &str, reason: &str) -> Vec<Change> {
    let beside = office.estate.cards_of(Kind::ApplicationMembership);
    let mut changes: Vec<Change> = beside
        .filter(|card| card.text("membership") == Some(id))
        .map(|card| Change::DropCard { kind: card.kind, id: card.id.clone() })
        .collect();
    changes.push(Change::DropCard { kind: Kind::Membership, id: id.into() });
    if let Some(place) = office.estate.memberships.get(id) {
        changes.push(Change::DropMembership { id: id.into() });
        changes.push(end_of_logins(office.desk, place, reason));
    }
    changes
}

/// Ends the person's logins in this organization. The person's own generation is left alone: it counts
/// everywhere, and no admin of one organization may end what somebody does in another.
pub fn end_of_logins(desk: &Desk, place: &Membership, reason: &str) -> Change {
    Change::EndLogins {
        organization: place.organization.clone(),
        person: place.user.clone(),
        reason: reason.into(),
        now: desk.now(),
        exp: remembered_until(desk, &desk.registry.directory(), None),
    }
}

/// An address that somebody could have.
pub fn address(reader: &mut Reader<'_>, email: String) -> Option<String> {
    let sound = email.split_once('@').is_some_and(|(name, host)| {
        !name.is_empty() && host.contains('.') && !host.starts_with('.') && !host.contains('@')
    });
    if sound && !email.contains(char::is_whitespace) {
        return Some(email);
    }
    reader.object(Objection::attribute("user_email", "is not an e-mail address"))
}

/// E-mail addresses are compared without regard to case.
pub fn is_same(left: &str, right: &str) -> bool {
    left.trim().to_lowercase() == right.trim().to_lowercase()
}

fn is_there(office: &Office<'_>, organization: &str, email: &str) -> bool {
    let all = office.estate.all(Kind::Membership);
    let text = |value: &Value| value.as_str().is_some_and(|known| is_same(known, email));
    all.iter()
        .any(|one| one.organization == organization && one.attributes.get("user_email").is_some_and(text))
}

fn role_of<'a>(office: &'a Office<'_>, id: Option<&str>, organization: &str) -> Result<&'a Role, Declined> {
    let found = id.and_then(|id| office.estate.roles.get(id));
    let found = found.filter(|role| role.organization == organization);
    Ok(found.ok_or_else(|| Objection::relationship("role", "must exist"))?)
}

/// What a membership has beside its role.
struct More {
    profile: Option<Option<String>>,
    applications: Option<Vec<String>>,
}

impl More {
    fn read(reader: &mut Reader<'_>, card: &mut Card, now_ms: u64) -> Self {
        reader.common(card, now_ms);
        if let Some(scope) = reader.word("access_scope", &SCOPES) {
            card.more.insert("access_scope".into(), scope.into());
        }
        Self {
            profile: reader.one("membership_profile", Kind::MembershipProfile),
            applications: reader.many("application_memberships", Kind::ApplicationMembership),
        }
    }

    /// Puts the profile on the card; the application memberships that are handed over to it.
    fn settle(self, office: &Office<'_>, card: &mut Card) -> Result<Vec<Change>, Declined> {
        if let Some(profile) = self.profile {
            let known = |id: &String| office.holds(Kind::MembershipProfile, id, &card.organization);
            if profile.as_ref().is_some_and(|id| !known(id)) {
                return Err(Objection::relationship("membership_profile", "must exist").into());
            }
            card.more.insert("membership_profile".into(), json!(profile));
        }
        attach(office, self.applications, card, "membership")
    }
}

/// Hands application memberships over to a membership or a profile.
pub fn attach(
    office: &Office<'_>,
    ids: Option<Vec<String>>,
    to: &Card,
    name: &'static str,
) -> Result<Vec<Change>, Declined> {
    let mut changes = Vec::new();
    for id in ids.unwrap_or_default() {
        let known = office.estate.card(Kind::ApplicationMembership, &id);
        let Some(mut card) = known.filter(|card| card.organization == to.organization).cloned() else {
            return Err(Objection::relationship("application_memberships", "must exist").into());
        };
        card.more.insert(name.into(), to.id.clone().into());
        card.updated_at = office.now_ms;
        changes.push(Change::PutCard(Box::new(card)));
    }
    Ok(changes)
}
