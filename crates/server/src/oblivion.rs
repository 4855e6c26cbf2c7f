//! People who were erased are forgotten by the audit log as well: right after the deed, or a little later when
//! a server stopped in between.

use std::sync::Arc;
use std::time::Duration;

use portcullis_authority::desk::Clock;
use portcullis_authority::erasure::{Forgotten, forgotten};
use portcullis_authority::ledger::{Act, AuditRecord, Deed, Ledger as _, Survey as _};
use portcullis_authority::refusal::Trouble;
use portcullis_store::{AuditQuery, Store};

/// The event of the record that says so.
const ERASED: &str = "audit.erased";
/// How often it is looked for.
const SWEEP: Duration = Duration::from_secs(60);
/// Proposals that are looked at, the newest.
const NEWEST: usize = 200;
/// For so long after an erasure, seconds.
const AFTER: u64 = 7 * 86_400;

/// Erases what the log holds on somebody, and writes down that it was done.
///
/// # Errors
/// Trouble with the books; do it again.
pub async fn forget(store: &Store, who: &Forgotten, now: u64) -> Result<(), Trouble> {
    let rows = store.forget_person(&who.person, &who.resources).await?;
    let record = AuditRecord {
        at: now,
        event: ERASED.into(),
        subject: Some(who.person.clone()),
        reason: Some("erasure".into()),
        detail: Some(serde_json::json!({ "rows": rows }).to_string()),
        ..AuditRecord::default()
    };
    store.commit(Deed::new(Act::Note, record)).await.map(drop)
}

/// Forgets whoever was erased of late. Runs until it is aborted.
pub async fn keep_forgetting(store: Store, clock: Arc<dyn Clock>) {
    loop {
        if let Err(trouble) = again(&store, clock.now()).await {
            tracing::warn!(%trouble, "people who were erased could not be forgotten by the audit log");
        }
        tokio::time::sleep(SWEEP).await;
    }
}

async fn again(store: &Store, now: u64) -> Result<(), Trouble> {
    let all = store.proposals(false, NEWEST).await?;
    for proposal in all.iter().filter(|it| it.decided_at.is_some_and(|at| now < at.saturating_add(AFTER))) {
        if let Some(who) = forgotten(proposal)
            && !is_forgotten(store, &who).await?
        {
            forget(store, &who, now).await?;
        }
    }
    Ok(())
}

/// Once is enough: what operators do about the account later keeps saying from where.
async fn is_forgotten(store: &Store, who: &Forgotten) -> Result<bool, Trouble> {
    let (subject, event) = (Some(who.person.clone()), Some(ERASED.to_owned()));
    let query = AuditQuery { subject, event, limit: 1, ..AuditQuery::default() };
    Ok(!store.audit_search(&query).await?.entries.is_empty())
}
