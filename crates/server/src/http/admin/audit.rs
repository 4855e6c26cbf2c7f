//! The audit log for those who look into it: search, export, proof, checkpoints, and whoever outside is told.
//! Every look at records is noted with what was asked for, before anything is shown.

use futures_util::stream;
use portcullis_authority::ledger::Act;
use portcullis_authority::operators::{Denial, OperatorRole};
use portcullis_authority::refusal::Trouble;
use portcullis_guard::feed::FeedKeys;
use portcullis_store::AuditQuery;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json as object};

use super::call::Visit;
use super::route::{Answer, Method, Reply, Route, json, shape};
use crate::audit::{Csv, JsonLines, Proof, Witness, Written, asked, line, piece, prove};
use crate::http::reply::admin;

/// Those who review.
const REVIEWING: &[OperatorRole] = &[OperatorRole::Auditor, OperatorRole::Owner];
/// Those who may have something told again.
const MENDING: &[OperatorRole] = &[OperatorRole::Owner];
/// Records on a page unless said.
const PAGE: usize = 50;
/// Bytes of a text that is looked for.
const LONGEST_TEXT: usize = 256;
/// Checkpoints and dead letters in one answer.
const MANY: usize = 1000;

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
    .answers(shape::<Verdict>),
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
    .answers(shape::<Requeued>),
];

/// What to look for: everything that is said must fit.
#[derive(Deserialize, JsonSchema)]
#[schemars(rename = "AuditFilter")]
#[serde(deny_unknown_fields)]
struct Filter {
    organization: Option<String>,
    client_id: Option<String>,
    /// Id of a person or application.
    subject: Option<String>,
    /// Somebody anywhere in the chain of those who acted.
    actor: Option<String>,
    event: Option<String>,
    /// Id of a login.
    sid: Option<String>,
    /// Id of a token.
    jti: Option<String>,
    address: Option<String>,
    request_id: Option<String>,
    /// Not before this time.
    since: Option<u64>,
    /// Before this time.
    until: Option<u64>,
    /// `next` of the page before.
    before: Option<u64>,
    /// At most 1000; an export has no end of its own.
    limit: Option<usize>,
    /// Of an export: jsonl or csv.
    format: Option<String>,
}

/// Records, newest first.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "AuditPage")]
struct RecordPage {
    records: Vec<Value>,
    /// Where to go on; a page may be empty and still have one after it.
    next: Option<u64>,
}

#[derive(Deserialize, JsonSchema)]
#[schemars(rename = "AuditFrom")]
#[serde(deny_unknown_fields)]
struct Start {
    /// Begin with this row instead of the first.
    from: Option<u64>,
}

/// What a verification found.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "AuditVerdict")]
struct Verdict {
    sound: bool,
    /// The first row that is not as it was written.
    first_bad: Option<u64>,
    /// The last row that is.
    good: u64,
    /// What the chain itself says.
    chain: String,
    /// Genuine checkpoints.
    checkpoints: usize,
    newest_checkpoint: Option<u64>,
    /// What is wrong beside the chain.
    doubts: Vec<String>,
}

#[derive(Deserialize, JsonSchema)]
#[schemars(rename = "AuditAfter")]
#[serde(deny_unknown_fields)]
struct After {
    /// Only those of rows after this one.
    after: Option<u64>,
}

#[derive(Serialize, JsonSchema)]
#[schemars(rename = "AuditCheckpoints")]
struct CheckpointList {
    /// Each a compact JWS.
    checkpoints: Vec<String>,
    /// Where to go on (`after`), if there may be more.
    next: Option<u64>,
}

#[derive(Serialize, JsonSchema)]
#[schemars(rename = "AuditDestinations")]
struct DestinationList {
    destinations: Vec<Told>,
}

/// How far a destination is.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "AuditDestination")]
struct Told {
    destination: String,
    /// The last row that it was told.
    seq: u64,
    /// Rows that it has not been told.
    behind: u64,
    /// How often it has refused what comes next.
    tries: u64,
    trouble: Option<String>,
}

#[derive(Serialize, JsonSchema)]
#[schemars(rename = "AuditDeadLetters")]
struct LetterList {
    dead_letters: Vec<Letter>,
}

/// Rows that a destination would not take.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "AuditDeadLetter")]
struct Letter {
    destination: String,
    first: u64,
    last: u64,
    at: u64,
    tries: u64,
    trouble: String,
    /// Whether it will be told again.
    again: bool,
}

#[derive(Serialize, JsonSchema)]
#[schemars(rename = "AuditRequeued")]
struct Requeued {
    requeued: usize,
}

async fn search(visit: Visit) -> Answer {
    let query: AuditQuery = visit.query::<Filter>()?.checked()?.into();
    note(&visit, "audit.searched", &query).await?;
    let page = visit.store().audit_search(&query).await?;
    json(&RecordPage { records: page.entries.iter().map(line).collect(), next: page.next })
}

async fn export(visit: Visit) -> Answer {
    let filter = visit.query::<Filter>()?.checked()?;
    let form: &'static (dyn Written + Sync) = match filter.format.as_deref() {
        None | Some("jsonl") => &JsonLines,
        Some("csv") => &Csv,
        Some(_) => return Err(Denial::invalid("format", "The format is jsonl or csv.")),
    };
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

async fn verify(visit: Visit) -> Answer {
    let from = visit.query::<Start>()?.from;
    let hub = &visit.lodge.house.hub;
    let keys = FeedKeys::from_jwks(hub.feed_keys()).map_err(|why| Trouble::new("feed keys", why))?;
    let proof = prove(visit.store(), &Witness::new(hub.feed(), vec![keys]), from, &[]).await?;
    json(&Verdict::of(proof))
}

async fn checkpoints(visit: Visit) -> Answer {
    let after = visit.query::<After>()?.after.unwrap_or(0);
    let page = visit.store().checkpoints(after, MANY).await?;
    let next = page.last().filter(|_| page.len() == MANY).map(|last| last.seq);
    json(&CheckpointList { checkpoints: page.into_iter().map(|it| it.statement).collect(), next })
}

async fn destinations(visit: Visit) -> Answer {
    let head = visit.store().audit_head().await?.seq;
    let told = visit.store().audit_deliveries().await?.into_iter().map(|it| Told {
        destination: it.destination,
        seq: it.seq,
        behind: head.saturating_sub(it.seq),
        tries: it.tries,
        trouble: it.trouble,
    });
    json(&DestinationList { destinations: told.collect() })
}

async fn dead_letters(visit: Visit) -> Answer {
    let letters = visit.store().dead_letters(None, MANY).await?.into_iter().map(|it| Letter {
        destination: it.destination,
        first: it.first,
        last: it.last,
        at: it.at,
        tries: it.tries,
        trouble: it.trouble,
        again: it.again,
    });
    json(&LetterList { dead_letters: letters.collect() })
}

async fn requeue(visit: Visit) -> Answer {
    let destination = visit.part("destination");
    if destination.len() > LONGEST_TEXT || destination.contains('\0') {
        return Err(Denial::missing("There is no such destination."));
    }
    let requeued = visit.store().requeue(destination, None).await?;
    let mut record = visit.record("audit.requeued");
    record.detail = Some(object!({ "destination": destination, "letters": requeued }).to_string());
    visit.act(Act::Note, record).await?;
    json(&Requeued { requeued })
}

/// Who looked for what.
async fn note(visit: &Visit, event: &str, query: &AuditQuery) -> Result<(), Denial> {
    let mut record = visit.record(event);
    record.detail = Some(asked(query).to_string());
    visit.act(Act::Note, record).await?;
    Ok(())
}

impl Filter {
    /// What is asked for is written down with the asking, so it is bounded; and PostgreSQL knows no NUL.
    fn checked(self) -> Result<Self, Denial> {
        let texts = [
            ("organization", &self.organization),
            ("client_id", &self.client_id),
            ("subject", &self.subject),
            ("actor", &self.actor),
            ("event", &self.event),
            ("sid", &self.sid),
            ("jti", &self.jti),
            ("address", &self.address),
            ("request_id", &self.request_id),
            ("format", &self.format),
        ];
        let bad = |text: &String| text.len() > LONGEST_TEXT || text.contains('\0');
        let wrong =
            texts.into_iter().find(|(_, text)| text.as_ref().is_some_and(bad)).map(|(member, _)| member);
        match wrong {
            None => Ok(self),
            Some(member) => {
                let sentence =
                    format!("A filter is at most {LONGEST_TEXT} bytes, without a NUL; shorten it.");
                Err(Denial::invalid(member, sentence))
            }
        }
    }
}

impl From<Filter> for AuditQuery {
    fn from(it: Filter) -> Self {
        Self {
            organization: it.organization,
            client_id: it.client_id,
            subject: it.subject,
            actor: it.actor,
            event: it.event,
            sid: it.sid,
            jti: it.jti,
            address: it.address,
            request_id: it.request_id,
            since: it.since,
            until: it.until,
            before: it.before,
            limit: it.limit.unwrap_or(PAGE),
        }
    }
}

impl Verdict {
    fn of(it: Proof) -> Self {
        Self {
            sound: it.sound,
            first_bad: it.first_bad,
            good: it.good,
            chain: it.chain,
            checkpoints: it.checkpoints,
            newest_checkpoint: it.newest_checkpoint,
            doubts: it.doubts,
        }
    }
}
