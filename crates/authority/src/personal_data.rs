//! What a role allows on personal data, widened by two operators where an organization asks for that. What one of its
//! admins may not do over the Provisioning API is proposed here, confirmed by an approver, and written as it would have
//! been there. Who is given such a role is `entrustment.rs`.

use async_trait::async_trait;
use portcullis_guard::policy::{Actions, Permission, Restriction};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::desk::Desk;
use crate::ledger::{Act, AuditRecord};
use crate::operators::Denial;
use crate::proposals::{Executor, Order, Reason, Room, Work};
use crate::provisioning::change::{Amendment, CHANGED, Change, Trace};
use crate::provisioning::{Estate, Kind, Resource, permission_id, personal, role_id};
use crate::refusal::Trouble;
use crate::registry::RoleKind;
use crate::safety::find;

/// What one role shall allow on one subject; a line of the proposals' roster.
pub struct Permitting;

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct What {
    /// Id.
    organization: String,
    /// Id within the organization.
    role: String,
    subject: String,
    /// All that it allows afterwards.
    actions: Actions,
    /// All of them must hold.
    #[serde(default)]
    when: Vec<Restriction>,
}

/// The organization before and after, and the step between.
struct Step {
    before: Estate,
    after: Estate,
    /// Ids in the Provisioning API.
    role: String,
    permission: String,
    subject: String,
    changes: Vec<Change>,
}

#[async_trait]
impl Executor for Permitting {
    fn kind(&self) -> &'static str {
        "personal_data"
    }

    async fn canonical(&self, room: Room<'_>, what: &Value) -> Result<String, Denial> {
        let mut what: What = serde_json::from_value(what.clone()).map_err(|_| {
            Denial::invalid(
                "what",
                "A permission on personal data is {\"organization\": id or slug, \"role\": id, \"subject\": \"orders\", \"actions\": [\"read\", ...], \"when\": [restrictions]}; docs/permissions.md has the words.",
            )
        })?;
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
        let step = what.step(room.desk).await?;
        let (was, is) = (step.before.roles.get(&step.role), step.after.roles.get(&step.role));
        if !is.is_some_and(|is| personal::gains(was, is)) {
            return Err(Denial::conflict(
                "This allows no more on personal data than before; one admin does it over the Provisioning API.",
            ));
        }
        Ok(json!(what).to_string())
    }

    async fn work(&self, room: Room<'_>, order: &Order<'_>) -> Result<Work, Denial> {
        let what: What =
            serde_json::from_str(&order.proposal.what).map_err(|why| Trouble::new("proposals", why))?;
        let step = what.step(room.desk).await?;
        let record = AuditRecord {
            organization: Some(what.organization.clone()),
            detail: Some(json!(step.trace(order)).to_string()),
            ..order.hand.record(CHANGED, &Reason::read(&order.proposal.reason)?, room.desk.now())
        };
        let act = Act::Amend(Amendment { expected: step.before.version, changes: step.changes });
        Ok(Work { acts: vec![act], audit: vec![record] })
    }
}

impl What {
    async fn step(&self, desk: &Desk) -> Result<Step, Denial> {
        let before = Estate::new(desk.registry.estate("", std::slice::from_ref(&self.organization)).await?);
        let id = role_id(&self.organization, &self.role);
        let role = before.roles.get(&id).cloned().ok_or_else(|| {
            Denial::invalid("role", "The organization has no such role; its admins list them at /api/roles.")
        })?;
        if role.kind != RoleKind::Custom {
            return Err(Denial::invalid("role", "The permissions of the built-in roles cannot be changed."));
        }
        if !before.organizations.get(&self.organization).is_some_and(|it| it.enterprise) {
            let sentence = "Custom roles need an organization on the enterprise plan.";
            return Err(Denial::invalid("organization", sentence));
        }
        let permission = permission_id(&role, &self.subject);
        let entry =
            Permission { subject: self.subject.clone(), actions: self.actions, when: self.when.clone() };
        let role = personal::permitting(role, entry)?;
        let now_ms = desk.clock.now_ms();
        let mut card = before.card_of(Kind::Permission, &permission, &self.organization, now_ms);
        card.updated_at = now_ms;
        let changes = vec![Change::PutRole(role), Change::PutCard(Box::new(card))];
        let after = before.with(&changes);
        Ok(Step { before, after, role: id, permission, subject: self.subject.clone(), changes })
    }
}

impl Step {
    /// What members of the organization read of it among the versions.
    fn trace(&self, order: &Order<'_>) -> Trace {
        let (was, is) = (self.look(&self.before), self.look(&self.after));
        let mut changes = Resource::differences(was.as_ref(), is.as_ref());
        // The switches that are shown there do not know every action.
        changes.insert("allowed".into(), json!([self.allowed(&self.before), self.allowed(&self.after)]));
        Trace {
            resource_type: Kind::Permission.word().into(),
            resource_id: self.permission.clone(),
            event: if was.is_some() { "update" } else { "create" }.into(),
            changes,
            who: json!({
                "operators": [order.proposal.proposer, order.hand.id], "proposal": order.proposal.id,
            }),
        }
    }

    fn look(&self, estate: &Estate) -> Option<Resource> {
        estate.find(Kind::Permission, &self.permission)
    }

    fn allowed<'a>(&self, estate: &'a Estate) -> Vec<&'a Permission> {
        let role = estate.roles.get(&self.role);
        role.into_iter().flat_map(|it| &it.permissions).filter(|it| it.subject == self.subject).collect()
    }
}
