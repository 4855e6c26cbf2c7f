//! The second factors of people, as operators see them: that there is one, and that it is taken away.

use portcullis_authority::ledger::Ledger as _;
use portcullis_authority::{factors, people};
use schemars::JsonSchema;
use serde::Serialize;

use super::call::Visit;
use super::route::{ACTING, Answer, Method, Reply, Route, SEEING, json, shape};

pub const ROUTES: &[Route] = &[
    Route::new(
        Method::Get,
        "/people/{person}/second-factor",
        SEEING,
        "Says whether a person has a second factor.",
        |visit| Box::pin(show(visit)),
    )
    .answers(shape::<Shown>)
    .about_people(),
    Route::new(
        Method::Delete,
        "/people/{person}/second-factor",
        ACTING,
        "Takes a lost second factor away; the person may enrol another one.",
        |visit| Box::pin(reset(visit)),
    ),
];

/// Whether a person has a second factor.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "PersonSecondFactor")]
struct Shown {
    enrolled: bool,
    /// Seconds since the epoch.
    since: Option<u64>,
    /// Recovery codes that are left.
    recovery_codes: usize,
}

async fn show(visit: Visit) -> Answer {
    let person = people::find(visit.desk(), visit.part("person")).await?;
    let factor = visit.store().factor(&person.id).await?;
    json(&Shown {
        enrolled: factor.is_some(),
        since: factor.as_ref().map(|it| it.since),
        recovery_codes: factor.map_or(0, |it| it.recovery.len()),
    })
}

async fn reset(visit: Visit) -> Answer {
    factors::reset(visit.desk(), visit.part("person"), visit.record("")).await?;
    Ok(Reply::Nothing)
}
