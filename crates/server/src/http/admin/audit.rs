//! The audit log for those who look into it: search, export, proof, checkpoints, and whoever outside is told.
//! Every look at records is noted with what was asked for, before anything is shown.

use futures_util::stream;
use portcullis_authority::ledger::Act;
use portcullis_authority::operators::{Denial, OperatorRole};
use portcullis_authority::refusal::Trouble;
use portcullis_store::AuditQuery;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::json as object;

use super::call::Visit;
use super::route::{Answer, Method, Reply, Route, json, shape};
use crate::audit::{
    CheckpointList, DestinationList, Filter, LetterList, Proof, RecordPage, Witness, asked, is_fit, piece,
    prove,
};
use crate::http::reply::admin;

/// Those who review.
const REVIEWING: &[OperatorRole] = &[OperatorRole::Auditor, OperatorRole::Owner];
/// Those who may have something told again.
const MENDING: &[OperatorRole] = &[OperatorRole::Owner];
pub const ROUTES: &[Route] = &[
    Route::new(Method::Get, "/audit", REVIEWING, "Finds audit records, newest first.", |visit| {
        Box::pin(search(visit))
    })
    .asks(shape::<Filter>)
    .answers(shape::<RecordPage>),
    Route::new(
        Method::Get,
        "/audit/export",
        REVIEWING,
        "Streams audit records, newest first, as JSON lines or CSV.",
        |visit| Box::pin(export(visit)),
    )
    .asks(shape::<Filter>)
    .answers(|_| schemars::json_schema!({ "type": "string" })),
    Route::new(
        Method::Get,
        "/audit/verify",
        REVIEWING,
        "Computes the chain of hashes anew and compares it with the signed checkpoints.",
        |visit| Box::pin(verify(visit)),
    )
    .asks(shape::<Start>)
    .answers(shape::<Proof>),
    Route::new(
        Method::Get,
        "/audit/checkpoints",
        REVIEWING,
        "Lists signed checkpoints, oldest first; keep them elsewhere.",
        |visit| Box::pin(checkpoints(visit)),
    )
    .asks(shape::<After>)
    .answers(shape::<CheckpointList>),
    Route::new(
        Method::Get,
        "/audit/destinations",
        REVIEWING,
        "Says how far destinations outside have been told.",
        |visit| Box::pin(destinations(visit)),
    )
    .answers(shape::<DestinationList>),
    Route::new(
        Method::Get,
        "/audit/dead-letters",
        REVIEWING,
        "Lists what destinations would not take.",
        |visit| Box::pin(dead_letters(visit)),
    )
    .answers(shape::<LetterList>),
    Route::new(
        Method::Post,
        "/audit/destinations/{destination}/requeue",
        MENDING,
        "Has what a destination would not take told again.",
        |visit| Box::pin(requeue(visit)),
    )
    .asks(shape::<First>)
    .answers(shape::<Requeued>),
];

#[derive(Deserialize, JsonSchema)]
#[schemars(rename = "AuditFrom")]
#[serde(deny_unknown_fields)]
struct Start {
    /// Begin with this row instead of the first.
    from: Option<u64>,
}

#[derive(Deserialize, JsonSchema)]
#[schemars(rename = "AuditAfter")]
#[serde(deny_unknown_fields)]
struct After {
    /// Only those of rows after this one.
    after: Option<u64>,
}

#[derive(Deserialize, JsonSchema)]
#[schemars(rename = "AuditFirst")]
#[serde(deny_unknown_fields)]
struct First {
    /// Only the bundle that begins with this row.
    first: Option<u64>,
}

#[derive(Serialize, JsonSchema)]
#[schemars(rename = "AuditRequeued")]
struct Requeued {
    requeued: usize,
}

async fn search(visit: Visit) -> Answer {
    let query: AuditQuery = visit.query::<Filter>()?.checked()?.into();
    note(&visit, "audit.searched", &query).await?;
    json(&crate::audit::find(visit.store(), &query).await?)
}

async fn export(visit: Visit) -> Answer {
    let filter = visit.query::<Filter>()?.checked()?;
    let form = filter.form()?;
    let query: AuditQuery = filter.into();
    note(&visit, "audit.exported", &query).await?;
    let store = visit.store().clone();
    let first = (Some(form.head().to_owned()), Some(query));
    let pieces = stream::try_unfold(first, move |(head, query)| {
        let store = store.clone();
        async move {
            let Some(query) = query else { return Ok::<_, Trouble>(None) };
            let (text, rest) = piece(&store, &query, form).await?;
            Ok(Some((head.unwrap_or_default() + &text, (None, rest))))
        }
    });
    Ok(Reply::Other(admin::streamed(form.kind(), pieces)))
}

/// A verification at work.
static PROVING: tokio::sync::Mutex<()> = tokio::sync::Mutex::const_new(());

async fn verify(visit: Visit) -> Answer {
    let from = visit.query::<Start>()?.from;
    let hub = &visit.lodge.house.hub;
    // It reads the whole log, so one is enough at a time.
    let Ok(_alone) = PROVING.try_lock() else {
        return Err(Denial::conflict("Somebody else is having it verified; try again in a moment."));
    };
    if from.is_some_and(|from| from > 1) && from > Some(visit.store().audit_head().await?.seq) {
        return Err(Denial::invalid(
            "from",
            "The log does not reach that far; leave it out, or begin earlier.",
        ));
    }
    json(&prove(visit.store(), &Witness::new(hub.feed(), hub.witnesses()?), from, &[]).await?)
}

async fn checkpoints(visit: Visit) -> Answer {
    let after = visit.query::<After>()?.after.unwrap_or(0);
    json(&crate::audit::checkpoints(visit.store(), after).await?)
}

async fn destinations(visit: Visit) -> Answer {
    json(&crate::audit::destinations(visit.store()).await?)
}

async fn dead_letters(visit: Visit) -> Answer {
    json(&crate::audit::dead_letters(visit.store()).await?)
}

async fn requeue(visit: Visit) -> Answer {
    let (destination, first) = (visit.part("destination"), visit.query::<First>()?.first);
    if !is_fit(destination) {
        return Err(Denial::missing("There is no such destination."));
    }
    // Written down first: whatever is told again, somebody has asked for it.
    let mut record = visit.record("audit.requeued");
    record.detail = Some(object!({ "destination": destination, "first": first }).to_string());
    visit.act(Act::Note, record).await?;
    let requeued = visit.store().requeue(destination, first).await?;
    json(&Requeued { requeued })
}

/// Who looked for what.
async fn note(visit: &Visit, event: &str, query: &AuditQuery) -> Result<(), Denial> {
    let mut record = visit.record(event);
    record.detail = Some(asked(query).to_string());
    visit.act(Act::Note, record).await?;
    Ok(())
}
