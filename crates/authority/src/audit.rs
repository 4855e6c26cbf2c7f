//! What goes into the audit trail: who, for whom, from where, and what came of it. Never a token, a code
//! or a secret.

use portcullis_guard::Claims;

use crate::ask::{Ask, Origin};
use crate::client::Caller;
use crate::desk::Desk;
use crate::entitlement::Entitlement;
use crate::grants;
use crate::ledger::AuditRecord;
use crate::refusal::Refusal;

/// A record that names only the event and where it came from.
pub fn event(name: &str, now: u64, origin: &Origin) -> AuditRecord {
    AuditRecord {
        at: now,
        event: name.into(),
        address: origin.address.clone(),
        request_id: origin.request_id.clone(),
        ..AuditRecord::default()
    }
}

/// A token was issued.
pub fn issued(entitlement: &Entitlement, claims: &Claims, origin: &Origin) -> AuditRecord {
    let names = entitlement.custom_claim.as_ref().and_then(|claim| claim.as_object());
    let detail = names.map(|members| {
        let names: Vec<&String> = members.keys().collect();
        serde_json::json!({ "custom_claim": names }).to_string()
    });
    AuditRecord {
        organization: Some(entitlement.organization.id.clone()),
        client_id: Some(entitlement.application.client_id.clone()),
        subject: Some(claims.sub.clone()),
        actors: claims.actors().map(|actor| actor.sub.clone()).collect(),
        grant: Some(entitlement.grant.into()),
        jti: Some(claims.jti.clone()),
        sid: claims.sid.clone(),
        scope: Some(claims.scope.clone()),
        detail,
        ..event("token.issued", claims.iat, origin)
    }
}

/// Something was refused. `caller` is absent when nobody was proved; then a client is named only if it is
/// one of ours, because what strangers write into `client_id` has been a secret before.
pub fn refused(
    name: &str,
    refusal: &Refusal,
    ask: &Ask,
    caller: Option<&Caller>,
    desk: &Desk,
) -> AuditRecord {
    let directory = desk.registry.directory();
    let offered = ask.credentials().and_then(|credentials| directory.application(&credentials.client_id));
    let reason = match refusal.cause.is_empty() {
        true => refusal.code.as_str().to_owned(),
        false => format!("{}: {}", refusal.code.as_str(), refusal.cause),
    };
    AuditRecord {
        organization: caller.map(|caller| caller.organization().id.clone()),
        client_id: caller.map(Caller::application).or(offered).map(|found| found.client_id.clone()),
        grant: ask
            .get("grant_type")
            .and_then(|name| grants::find(name).ok())
            .map(|found| found.name().into()),
        reason: Some(reason),
        ..event(name, desk.now(), &ask.origin)
    }
}
