//! What goes into the audit trail: who, for whom, from where, and what came of it. Never a token, a code
//! or a secret.

use portcullis_guard::Claims;

use crate::ask::{Ask, Origin};
use crate::client::Caller;
use crate::entitlement::Entitlement;
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

/// A token was refused. `caller` is absent when nobody was proved.
pub fn refused(refusal: &Refusal, ask: &Ask, caller: Option<&Caller>, now: u64) -> AuditRecord {
    let offered = ask.credentials().map(|credentials| short(&credentials.client_id));
    let reason = match refusal.cause.is_empty() {
        true => refusal.code.as_str().to_owned(),
        false => format!("{}: {}", refusal.code.as_str(), refusal.cause),
    };
    AuditRecord {
        organization: caller.map(|caller| caller.organization().id.clone()),
        client_id: caller.map(|caller| caller.application().client_id.clone()).or(offered),
        grant: ask.get("grant_type").map(short),
        reason: Some(reason),
        ..event("token.refused", now, &ask.origin)
    }
}

/// A stranger's text, bounded, so that the audit cannot be flooded by one line.
fn short(text: &str) -> String {
    text.chars().filter(|c| !c.is_control()).take(80).collect()
}
