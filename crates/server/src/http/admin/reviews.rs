//! `/access` and `/reviews`: who has what, and its yearly review, signed line by line and kept as evidence.

use portcullis_authority::operators::Denial;
use portcullis_authority::reviews::{
    Access, AccessKind, Decision, Extent, Review, ReviewBook as _, Reviews, Signature, survey,
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::call::Visit;
use super::orders::Heard;
use super::route::{ACTING, Answer, Method, Reply, Route, SEEING, json, shape};
use crate::evidence::Evidence;
use crate::http::page;
use crate::http::reply::admin;

/// Reviews in one list.
const MOST: usize = 200;

pub const ROUTES: &[Route] = &[
    Route::new(
        Method::Get,
        "/access",
        SEEING,
        "Says who has what since when, by which role, when it was used last, and what is remarkable.",
        |visit| Box::pin(access(visit)),
    )
    .asks(shape::<Looking>)
    .answers(shape::<AccessList>)
    .about_people(),
    Route::new(Method::Get, "/reviews", SEEING, "Lists access reviews, the newest first.", |visit| {
        Box::pin(list(visit))
    })
    .answers(shape::<ReviewList>),
    Route::new(
        Method::Post,
        "/reviews",
        ACTING,
        "Takes a picture of who has what, and opens a review of it.",
        |visit| Box::pin(open(visit)),
    )
    .takes(shape::<Opening>)
    .creates(shape::<Shown>),
    Route::new(Method::Get, "/reviews/{review}", SEEING, "Shows a review with its lines.", |visit| {
        Box::pin(show(visit))
    })
    .answers(shape::<Whole>)
    .about_people(),
    Route::new(
        Method::Post,
        "/reviews/{review}/assign",
        ACTING,
        "Gives a review to an operator to sign.",
        |visit| Box::pin(assign(visit)),
    )
    .takes(shape::<Assignment>)
    .answers(shape::<Shown>),
    Route::new(
        Method::Post,
        "/reviews/{review}/rows/{row}/keep",
        ACTING,
        "Signs that a line of the review stays as it is.",
        |visit| Box::pin(sign(visit, Decision::Keep)),
    )
    .takes(shape::<Why>)
    .answers(shape::<Signed>),
    Route::new(
        Method::Post,
        "/reviews/{review}/rows/{row}/withdraw",
        ACTING,
        "Signs that a line of the review is withdrawn, which ends it at once.",
        |visit| Box::pin(sign(visit, Decision::Withdraw)),
    )
    .takes(shape::<Why>)
    .answers(shape::<Signed>),
    Route::new(
        Method::Post,
        "/reviews/{review}/close",
        ACTING,
        "Closes a review of which every line is decided.",
        |visit| Box::pin(close(visit)),
    )
    .answers(shape::<Shown>),
    Route::new(
        Method::Get,
        "/reviews/{review}/evidence",
        SEEING,
        "What was decided, by whom and why, as a page that prints well, as CSV or as JSON.",
        |visit| Box::pin(evidence(visit)),
    )
    .asks(shape::<Form>)
    .answers(shape::<Whole>)
    .about_people(),
];

#[derive(Deserialize, JsonSchema)]
#[schemars(rename = "AccessQuery")]
#[serde(deny_unknown_fields)]
struct Looking {
    /// Id or slug of an organization; all of them, and the operators, unless said.
    organization: Option<String>,
    /// Days without use after which access is called unused; 90 unless said.
    stale_days: Option<u32>,
    /// Only what is unused.
    #[serde(default)]
    stale: bool,
}

/// Lines: kind, id, holder, email, organization, slug, role, since, last_used, remarks.
#[derive(Serialize, JsonSchema)]
struct AccessList {
    access: Vec<Value>,
}

#[derive(Serialize, JsonSchema)]
struct ReviewList {
    reviews: Vec<Shown>,
}

#[derive(Deserialize, JsonSchema)]
#[schemars(rename = "ReviewOpening")]
#[serde(deny_unknown_fields)]
struct Opening {
    /// Id or slug of an organization; all of them, and the operators, unless said.
    organization: Option<String>,
    /// Days without use after which access is called unused; 90 unless said.
    stale_days: Option<u32>,
    /// Id of the operator who signs; any operator unless said.
    assignee: Option<String>,
}

#[derive(Deserialize, JsonSchema)]
#[schemars(rename = "ReviewAssignment")]
#[serde(deny_unknown_fields)]
struct Assignment {
    /// Id of the operator who signs.
    operator: String,
}

#[derive(Deserialize, JsonSchema)]
#[schemars(rename = "ReviewReason")]
#[serde(deny_unknown_fields)]
struct Why {
    /// Why; kept in the review and in the audit log.
    #[serde(default)]
    reason: String,
}

#[derive(Deserialize, JsonSchema)]
#[schemars(rename = "EvidenceForm")]
#[serde(deny_unknown_fields)]
struct Form {
    /// html, csv or json; json unless said.
    format: Option<String>,
}

/// A review.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "Review")]
struct Shown {
    id: String,
    /// `open` or `closed`.
    state: &'static str,
    /// Organization id; absent for everything.
    organization: Option<String>,
    stale_days: u32,
    opened_by: String,
    opened_at: u64,
    assignee: Option<String>,
    rows: u64,
    decided: u64,
    closed_by: Option<String>,
    closed_at: Option<u64>,
    /// Of its lines, once it is closed.
    digest: Option<String>,
}

/// A review with its lines, and the numbers of its records in the audit log.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "ReviewWithRows")]
struct Whole {
    #[serde(flatten)]
    review: Shown,
    lines: Vec<Value>,
    audit: Vec<u64>,
}

/// A line that was signed.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "ReviewSigned")]
struct Signed {
    row: u64,
    decision: &'static str,
    #[serde(flatten)]
    heard: Heard,
}

impl From<Review> for Shown {
    fn from(it: Review) -> Self {
        Self {
            state: if it.closed_at.is_some() { "closed" } else { "open" },
            id: it.id,
            organization: it.extent.organization,
            stale_days: it.extent.stale_days,
            opened_by: it.opened_by,
            opened_at: it.opened_at,
            assignee: it.assignee,
            rows: it.rows,
            decided: it.decided,
            closed_by: it.closed_by,
            closed_at: it.closed_at,
            digest: it.digest,
        }
    }
}

impl Visit {
    fn reviews(&self) -> Reviews<'_> {
        Reviews { desk: self.desk(), staff: self.store(), book: self.store() }
    }
}

async fn access(visit: Visit) -> Answer {
    let asked: Looking = visit.query()?;
    let extent = Extent::read(visit.desk(), asked.organization.as_deref(), asked.stale_days)?;
    let mut found = survey(visit.desk(), visit.store(), visit.store(), &extent).await?;
    found.retain(|it| !asked.stale || it.remarks.contains(&portcullis_authority::reviews::Remark::Unused));
    visit.shows(people_in(&found));
    let access = found.iter().map(|it| serde_json::to_value(it).unwrap_or_default()).collect();
    json(&AccessList { access })
}

async fn list(visit: Visit) -> Answer {
    let found = visit.store().reviews(MOST).await?;
    json(&ReviewList { reviews: found.into_iter().map(Shown::from).collect() })
}

async fn open(visit: Visit) -> Answer {
    let asked: Opening = visit.body()?;
    let extent = Extent::read(visit.desk(), asked.organization.as_deref(), asked.stale_days)?;
    let made = visit.reviews().open(&visit.hand().await?, extent, asked.assignee.as_deref()).await?;
    json(&Shown::from(made))
}

async fn show(visit: Visit) -> Answer {
    let seen = Evidence::of(visit.store(), visit.reviews(), visit.part("review")).await?;
    visit.shows(people_in(seen.rows.iter().map(|row| &row.access)));
    whole(seen)
}

async fn assign(visit: Visit) -> Answer {
    let asked: Assignment = visit.body()?;
    let after = visit.reviews().assign(&visit.hand().await?, visit.part("review"), &asked.operator).await?;
    json(&Shown::from(after))
}

async fn sign(visit: Visit, decision: Decision) -> Answer {
    let why: Why = visit.body()?;
    let row = visit.part("row").parse().map_err(|_| Denial::missing("The review has no such line."))?;
    let hand = visit.hand().await?;
    let signature = Signature { hand: &hand, email: &visit.operator().email, decision, reason: &why.reason };
    let position = visit.reviews().sign(visit.part("review"), row, &signature).await?;
    let heard = visit.heard_by(position).await;
    json(&Signed { row, decision: decision.as_str(), heard })
}

async fn close(visit: Visit) -> Answer {
    json(&Shown::from(visit.reviews().close(&visit.hand().await?, visit.part("review")).await?))
}

async fn evidence(visit: Visit) -> Answer {
    let form: Form = visit.query()?;
    let seen = Evidence::of(visit.store(), visit.reviews(), visit.part("review")).await?;
    visit.shows(people_in(seen.rows.iter().map(|row| &row.access)));
    match form.format.as_deref() {
        None | Some("json") => whole(seen),
        Some("csv") => Ok(Reply::Other(admin::text("text/csv; charset=utf-8", seen.csv()))),
        Some("html") => Ok(Reply::Other(page::show(&seen.page(), None))),
        Some(_) => Err(Denial::invalid("format", "The format is html, csv or json.")),
    }
}

/// Ids of the people whose access it is; what an application has by itself is nobody's.
fn people_in<'a>(access: impl IntoIterator<Item = &'a Access>) -> Vec<String> {
    let personal = access.into_iter().filter(|it| it.kind == AccessKind::Membership);
    personal.map(|it| it.holder.clone()).collect()
}

fn whole(seen: Evidence) -> Answer {
    let lines = seen.rows.iter().map(|row| serde_json::to_value(row).unwrap_or_default()).collect();
    json(&Whole { review: seen.review.into(), lines, audit: seen.audit })
}
