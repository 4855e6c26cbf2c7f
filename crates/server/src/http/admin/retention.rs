//! `/retention`: what is held, for how long and why, and what went last. Numbers only; nobody's data is in it.

use portcullis_store::{KEPT, MOST_COUNTED};
use schemars::JsonSchema;
use serde::Serialize;

use super::call::Visit;
use super::route::{Answer, Method, Route, SEEING, json, shape};
use crate::retention::{PEOPLE, inactivity, period, setting};

pub const ROUTES: &[Route] = &[Route::new(
    Method::Get,
    "/retention",
    SEEING,
    "Says what is held, for how long, how much of it is over, and what went last.",
    |visit| Box::pin(show(visit)),
)
.answers(shape::<Report>)];

#[derive(Serialize, JsonSchema)]
#[schemars(rename = "RetentionReport")]
struct Report {
    as_of: u64,
    kept: Vec<Line>,
    /// Absent where nothing is done about accounts that nobody uses.
    inactive: Option<Inactive>,
}

/// Accounts of people that nobody uses.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "RetentionInactive")]
struct Inactive {
    /// Told of, and not closed yet.
    warned: u64,
    /// Closed for that.
    closed: u64,
    /// Anonymised for that.
    erased: u64,
    /// Ids of those whom an organization cannot do without, the first hundred: hand over first.
    held: Vec<String>,
}

/// A table of the books.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "RetentionLine")]
struct Line {
    table: &'static str,
    /// What a row is.
    what: &'static str,
    /// How long it is kept, in words.
    kept: String,
    /// The setting that says so; absent where a rule does.
    setting: Option<&'static str>,
    /// Rows now.
    rows: u64,
    /// There may be more rows than were counted.
    at_least: bool,
    /// The earliest moment that the period counts from; may lie ahead. Absent without a period.
    oldest: Option<u64>,
    /// Rows whose time is over and that the next run deletes. Absent without a period.
    due: Option<u64>,
    /// Rows that went in the last run that found any.
    removed: Option<u64>,
    /// When that was.
    removed_at: Option<u64>,
}

async fn show(visit: Visit) -> Answer {
    let (now, periods) = (visit.now(), visit.lodge.settings().periods());
    let holdings = visit.store().holdings(&periods, now).await?;
    let terms = visit.lodge.settings().retention.inactivity();
    let census = match terms {
        Some(_) => Some(visit.store().idle_census().await?),
        None => None,
    };
    let spoken = terms.zip(census.as_ref()).map(|(terms, census)| inactivity(&terms, census));
    let lines = KEPT.iter().zip(holdings).map(|(kept, held)| Line {
        table: kept.table,
        what: kept.what,
        kept: match (&spoken, kept.table) {
            (Some(spoken), PEOPLE) => format!("{}; {spoken}", period(kept, &periods)),
            _ => period(kept, &periods),
        },
        setting: setting(kept),
        rows: held.rows,
        at_least: held.rows == MOST_COUNTED,
        oldest: held.oldest,
        due: held.due,
        removed: held.removed.map(|(rows, _)| rows),
        removed_at: held.removed.map(|(_, at)| at),
    });
    let kept = lines.collect();
    let inactive =
        census.map(|it| Inactive { warned: it.warned, closed: it.closed, erased: it.erased, held: it.held });
    json(&Report { as_of: now, kept, inactive })
}
