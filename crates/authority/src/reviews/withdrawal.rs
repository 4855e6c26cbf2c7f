//! What withdrawing a line ends: a membership with its logins, an application with its secrets and tokens, an
//! operator's account with its sessions. Decided on what is there now, and done only if that has not changed.

use super::{Access, AccessKind, Reviews};
use crate::endings::remembered_until;
use crate::ledger::{Act, AuditRecord};
use crate::offboarding::is_last;
use crate::operators::{Denial, StaffAct, closed};
use crate::proposals::{Hand, Reason, Work, orphaned};
use crate::provisioning::change::{Amendment, Change, Keepings};
use crate::provisioning::{Card, Kind, gone_with_place};
use crate::registry::Scope;

/// The acts and records that end this access; none when it has ended since the picture was taken.
pub(super) async fn of(
    reviews: Reviews<'_>,
    hand: &Hand,
    access: &Access,
    reason: &Reason,
) -> Result<Work, Denial> {
    let now = reviews.desk.now();
    if access.kind == AccessKind::Operator {
        return operator(reviews, hand, access, reason).await;
    }
    let reach: Vec<String> = access.organization.iter().cloned().collect();
    let keepings = reviews.desk.registry.estate("", &reach).await?;
    let found = match access.kind {
        AccessKind::Membership => membership(reviews, &keepings, access)?,
        _ => application(reviews, &keepings, access),
    };
    let Some((event, changes)) = found else { return Ok(Work::default()) };
    let mut record = hand.record(event, reason, now);
    record.organization = access.organization.clone();
    match access.kind {
        AccessKind::Membership => record.subject = Some(access.holder.clone()),
        _ => record.client_id = Some(access.id.clone()),
    }
    let acts = vec![Act::Amend(Amendment { expected: keepings.version, changes })];
    Ok(Work { acts, audit: vec![record] })
}

type Found = Option<(&'static str, Vec<Change>)>;

fn membership(reviews: Reviews<'_>, keepings: &Keepings, access: &Access) -> Result<Found, Denial> {
    let Some(place) = keepings.memberships.iter().find(|it| it.id == access.id) else { return Ok(None) };
    if is_last(place, keepings) {
        return Err(Denial::conflict(
            "The organization would be left without an owner or without an admin: transfer the ownership or make another admin first.",
        ));
    }
    let hangs = |card: &&Card| match card.kind {
        Kind::Membership => card.id == place.id,
        Kind::ApplicationMembership => card.text("membership") == Some(&place.id),
        _ => false,
    };
    let cards = keepings.cards.iter().filter(hangs);
    let mut changes: Vec<_> = cards.map(gone_with_place).collect();
    changes.push(Change::DropMembership { id: place.id.clone() });
    changes.push(Change::EndLogins {
        organization: place.organization.clone(),
        person: place.user.clone(),
        reason: "withdrawn in an access review".into(),
        now: reviews.desk.now(),
        exp: remembered_until(reviews.desk, &reviews.desk.registry.directory(), None),
    });
    Ok(Some(("membership.withdrawn", changes)))
}

fn application(reviews: Reviews<'_>, keepings: &Keepings, access: &Access) -> Found {
    let open = |it: &&crate::registry::Application| it.client_id == access.id && !it.disabled;
    let mut it = keepings.applications.iter().find(open)?.clone();
    it.disabled = true;
    it.secrets.clear();
    let exp = remembered_until(reviews.desk, &reviews.desk.registry.directory(), Some(&it.client_id));
    let id = it.client_id.clone();
    let ends = Change::Raise { scope: Scope::Client, id, exp };
    Some(("application.withdrawn", vec![Change::PutApplication(Box::new(it)), ends]))
}

async fn operator(
    reviews: Reviews<'_>,
    hand: &Hand,
    access: &Access,
    reason: &Reason,
) -> Result<Work, Denial> {
    if !hand.owns {
        return Err(Denial::forbidden("Only an owner closes an operator's account; assign this to one."));
    }
    let staff = reviews.staff.staff().await?;
    let now = reviews.desk.now();
    let Some(after) = closed(&staff, &access.id, (&hand.id, now))? else { return Ok(Work::default()) };
    let record =
        AuditRecord { subject: Some(after.actor()), ..hand.record("operator.disabled", reason, now) };
    let (orphaning, noted) = orphaned(reviews.desk, &after, &record, None).await?;
    let put = StaffAct::Put { expected: staff.version, operator: Box::new(after), end_sessions: Some(now) };
    let acts = [Some(Act::Staff(put)), orphaning].into_iter().flatten().collect();
    Ok(Work { acts, audit: [vec![record], noted].concat() })
}
