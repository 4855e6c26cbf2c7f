//! A role that reaches personal data, given by two operators where an organization asks for that: to somebody with an
//! account, or to an application. What one of its admins may not do over the Provisioning API is proposed here,
//! confirmed by an approver, and written as it would have been there.
//!
//! Whoever has not opened an account yet is invited with a place, which always takes two (`invitations/place.rs`).

use async_trait::async_trait;
use portcullis_guard::claims::OwnerKind;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::cuts::person as find_person;
use crate::desk::Desk;
use crate::ledger::{Act, AuditRecord};
use crate::operators::Denial;
use crate::people;
use crate::proposals::{Executor, Order, Reason, Room, Work};
use crate::provisioning::change::{Amendment, CHANGED, Change};
use crate::provisioning::{
    Estate, Kind, are_separate, end_of, end_of_logins, gone_with_place, is_same, personal, role_id, traced,
};
use crate::refusal::Trouble;
use crate::registry::{ApplicationKind, Membership, Mode, Person, Role, RoleKind, Share};
use crate::safety::find;

/// Gives a role; a line of the proposals' roster.
pub struct Entrustment;

/// By ids: a proposal stays in the audit log, which must be able to forget an address.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct What {
    organization: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    person: Option<String>,
    /// Client id; in the place of a person.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    application: Option<String>,
    /// Id within the organization.
    role: String,
    /// The person is no longer kept to some applications, markets or modes.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    all_applications: bool,
    /// What was there when it was proposed, and must be when it is approved. Looked up, whatever an operator says of it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    had: Option<Had>,
}

/// What the person or the application has in the organization before; nothing for whoever is new there.
#[derive(Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Had {
    /// Id.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    membership: Option<String>,
    /// Id within the organization.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    role: Option<String>,
    /// What the place is kept to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    applications: Option<Vec<Share>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    modes: Option<Vec<Mode>>,
}

/// The organization before and after, and the step between.
struct Step {
    before: Estate,
    after: Estate,
    changes: Vec<Change>,
}

#[async_trait]
impl Executor for Entrustment {
    fn kind(&self) -> &'static str {
        "entrustment"
    }

    async fn canonical(&self, room: Room<'_>, what: &Value) -> Result<String, Denial> {
        let mut what: What = serde_json::from_value(what.clone()).map_err(|_| not_understood())?;
        let home = find(room.desk, &what.organization)?;
        if !home.safety.second_person_for_personal_data {
            return Err(Denial::conflict(
                "This organization does not ask for two persons; its admins do this over the Provisioning API.",
            ));
        }
        what.organization.clone_from(&home.id);
        // The Provisioning API shows roles by an id that is unique everywhere.
        if let Some(id) = what.role.strip_prefix(&role_id(&home.id, "")) {
            what.role = id.to_owned();
        }
        if let Some(person) = &mut what.person {
            *person = find_person(room, person).await?.id;
        }
        let step = what.step(room.desk).await?;
        match personal::takes_two(&step.before, &step.after) {
            Err(_) => {
                what.had = Some(what.has(&step.before));
                Ok(json!(what).to_string())
            }
            Ok(()) => Err(Denial::conflict(
                "This gives nobody more of personal data than before; one admin does it over the Provisioning API.",
            )),
        }
    }

    async fn work(&self, room: Room<'_>, order: &Order<'_>) -> Result<Work, Denial> {
        let what: What =
            serde_json::from_str(&order.proposal.what).map_err(|why| Trouble::new("proposals", why))?;
        let Step { before, after, changes } = what.step(room.desk).await?;
        if what.had != Some(what.has(&before)) {
            return Err(Denial::conflict(
                "The place or the application is not what was proposed any more; propose it anew.",
            ));
        }
        let reason = Reason::read(&order.proposal.reason)?;
        // Members of the organization read it among the versions.
        let who = json!({
            "operators": [order.proposal.proposer, order.hand.id], "proposal": order.proposal.id,
        });
        let told =
            traced(&before, &changes, &after, &who).into_iter().map(|(organization, trace)| AuditRecord {
                organization: Some(organization),
                subject: what.person.clone(),
                client_id: what.application.clone(),
                detail: Some(json!(trace).to_string()),
                ..order.hand.record(CHANGED, &reason, room.desk.now())
            });
        let audit = told.collect();
        let act = Act::Amend(Amendment { expected: before.version, changes });
        Ok(Work { acts: vec![act], audit })
    }
}

impl What {
    async fn step(&self, desk: &Desk) -> Result<Step, Denial> {
        let home = std::slice::from_ref(&self.organization);
        let mut before = Estate::new(desk.registry.estate("", home).await?);
        if before.organizations.get(&self.organization).is_none_or(|home| home.disabled) {
            return Err(Denial::invalid("organization", "There is no such organization, or it is closed."));
        }
        let changes = match (&self.person, &self.application) {
            (Some(person), None) => {
                // Looked up after the estate, so that whatever moves meanwhile undoes the deed.
                let person = people::find(desk, person).await?;
                before.people.insert(person.id.clone(), person.clone());
                self.to_member(desk, &before, &person)?
            }
            (None, Some(client_id)) if !self.all_applications => {
                self.to_application(desk, &before, client_id)?
            }
            _ => return Err(not_understood()),
        };
        let after = before.with(&changes);
        are_separate(&before, &after)?;
        Ok(Step { before, after, changes })
    }

    fn has(&self, before: &Estate) -> Had {
        if let Some(client_id) = &self.application {
            let it = before.applications.values().find(|it| it.client_id == *client_id);
            return Had { role: it.and_then(|it| it.role.clone()), ..Had::default() };
        }
        let seen = self.place(before).map(|place| Had {
            membership: Some(place.id.clone()),
            role: Some(place.role.clone()),
            applications: place.applications.clone(),
            modes: place.modes.clone(),
        });
        seen.unwrap_or_default()
    }

    /// The place that the person has already.
    fn place<'a>(&self, before: &'a Estate) -> Option<&'a Membership> {
        let mut places = before.memberships.values();
        places.find(|it| Some(&it.user) == self.person.as_ref() && it.organization == self.organization)
    }

    fn role<'a>(&self, before: &'a Estate) -> Result<&'a Role, Denial> {
        let found = before.roles.get(&role_id(&self.organization, &self.role));
        let sentence = "The organization has no such role; its admins list them at /api/roles.";
        found.ok_or_else(|| Denial::invalid("role", sentence))
    }

    /// The place of somebody, with this role from now on; a new one for whoever has none. Nobody shall come in with an
    /// account that somebody else knows the password of.
    fn to_member(&self, desk: &Desk, before: &Estate, person: &Person) -> Result<Vec<Change>, Denial> {
        let role = self.role(before)?.id.clone();
        if person.kind != OwnerKind::User || person.disabled {
            return Err(Denial::conflict(
                "Only a user whose account is open has a place in an organization.",
            ));
        }
        if person.password_given {
            return Err(Denial::conflict(
                "Somebody else has set the password of this account: its person signs in and chooses another first.",
            ));
        }
        let known = self.place(before);
        let place = match known {
            Some(place) => standing(place, &role)?.clone(),
            None => self.newcomer(desk, before, person)?,
        };
        let now_ms = desk.clock.now_ms();
        let mut place = Membership { role, ..place };
        let mut card = before.card_of(Kind::Membership, &place.id, &self.organization, now_ms);
        card.updated_at = now_ms;
        let mut changes = Vec::new();
        if self.all_applications {
            changes.extend(released(before, &place.id));
            card.more.remove("membership_profile");
            card.more.remove("access_scope");
            place.applications = None;
            place.modes = None;
        }
        if known.is_some() {
            changes.push(end_of_logins(desk, &place, "the role was changed"));
        }
        changes.extend([Change::PutMembership(place), Change::PutCard(Box::new(card))]);
        Ok(changes)
    }

    /// The place of somebody who has none yet. Nobody has opened an account without a password, so there is none for it.
    fn newcomer(&self, desk: &Desk, before: &Estate, person: &Person) -> Result<Membership, Denial> {
        if person.password.is_none() {
            return Err(Denial::conflict(
                "Nobody has opened this account yet: invite its person with the place (portcullis people invite --organization).",
            ));
        }
        let mut waiting = before.cards_of(Kind::Membership);
        if waiting.any(|card| card.text("user_email").is_some_and(|email| is_same(email, &person.email))) {
            return Err(Denial::conflict(
                "The organization has invited this person already: have that accepted first, or an admin of it ends the invitation.",
            ));
        }
        Ok(Membership {
            id: desk.id_text(),
            user: person.id.clone(),
            organization: self.organization.clone(),
            role: String::new(),
            owner: false,
            active: true,
            applications: None,
            modes: None,
        })
    }

    fn to_application(&self, desk: &Desk, before: &Estate, client_id: &str) -> Result<Vec<Change>, Denial> {
        let role = self.role(before)?;
        let no = |sentence: &'static str| Err(Denial::invalid("application", sentence));
        let Some(it) = before.applications.values().find(|it| it.client_id == client_id) else {
            return no("The organization has no application with this client id.");
        };
        if it.kind != ApplicationKind::Integration {
            return no("Only an integration is given a role.");
        }
        let enterprise = before.organizations.get(&self.organization).is_some_and(|home| home.enterprise);
        if role.kind == RoleKind::Custom && !enterprise {
            let sentence = "Custom roles need an organization on the enterprise plan.";
            return Err(Denial::invalid("role", sentence));
        }
        let now_ms = desk.clock.now_ms();
        let mut card = before.card_of(Kind::ApiCredential, &it.id, &self.organization, now_ms);
        card.updated_at = now_ms;
        let mut it = it.clone();
        it.role = Some(role.id.clone());
        Ok(vec![
            Change::PutApplication(Box::new(it)),
            Change::PutCard(Box::new(card)),
            end_of(desk, client_id),
        ])
    }
}

/// A place that may be given this role.
fn standing<'a>(place: &'a Membership, role: &str) -> Result<&'a Membership, Denial> {
    if !place.active {
        return Err(Denial::conflict("The membership is not active."));
    }
    match place.owner && place.role != role {
        true => Err(Denial::conflict("The role is the owner's; the owner hands the organization on first.")),
        false => Ok(place),
    }
}

/// What keeps a member to some applications, taken off: bundles that others share stay theirs.
fn released(before: &Estate, place: &str) -> Vec<Change> {
    let own = before.cards_of(Kind::ApplicationMembership);
    own.filter(|card| card.text("membership") == Some(place)).map(gone_with_place).collect()
}

fn not_understood() -> Denial {
    Denial::invalid(
        "what",
        "A role is given by {\"organization\": id or slug, \"role\": id, \"person\": id or e-mail address}, with \"all_applications\": true for a place that is open to every one, or with \"application\": client id in the place of the person.",
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_proposal_from_before_still_reads_and_holds_nothing_of_what_was_there() {
        let read = |text: &str| serde_json::from_str::<What>(text);
        let older = read(r#"{"organization":"o","person":"p","role":"support"}"#).unwrap();
        assert!(older.had.is_none() && older.had != Some(Had::default()), "so it is proposed anew");
        let mut newer = older;
        newer.had = Some(Had { applications: Some(Vec::new()), ..Had::default() });
        assert!(read(&json!(newer).to_string()).unwrap().had == newer.had, "kept to none is not kept to all");
        assert!(read(r#"{"organization":"o","person":"p","role":"support","owner":true}"#).is_err());
    }
}
