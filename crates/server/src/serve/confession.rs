//! Says in the audit log which safety settings protect less than their defaults, when that is not what it said last.
//! Servers of one configuration say it once between them, and not at every start.

use portcullis_authority::ledger::{Act, AuditRecord, Deed, Ledger as _};
use portcullis_authority::refusal::Trouble;
use portcullis_store::{AuditQuery, Store};
use serde_json::json;

use crate::means::Means;
use crate::settings::Settings;

const EVENT: &str = "settings.lowered";
/// Whom the records are about: the log is found by it, however long it has become.
const SUBJECT: &str = "settings";

/// # Errors
/// Trouble with the books.
pub(super) async fn make(settings: &Settings, means: &Means, store: &Store) -> Result<(), Trouble> {
    let lowered = settings.lowered();
    let detail = json!({ "lowered": lowered }).to_string();
    let query = AuditQuery {
        subject: Some(SUBJECT.into()),
        event: Some(EVENT.into()),
        limit: 1,
        ..AuditQuery::default()
    };
    let last = store.audit_search(&query).await?.entries.pop();
    let said = match last {
        Some(last) => last.record.detail.as_deref() == Some(detail.as_str()),
        // Whoever never lowered anything has nothing to take back.
        None => lowered.is_empty(),
    };
    if said {
        return Ok(());
    }
    if !lowered.is_empty() {
        tracing::warn!(settings = lowered.join(", "), "safety settings are below their defaults");
    }
    let record = AuditRecord {
        at: means.clock.now_ms() / 1000,
        event: EVENT.into(),
        subject: Some(SUBJECT.into()),
        detail: Some(detail),
        ..AuditRecord::default()
    };
    store.commit(Deed::new(Act::Note, record)).await.map(drop)
}
