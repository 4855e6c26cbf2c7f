//! The second factors of people, as operators see them: that there is one, and that it is taken away.

use portcullis_authority::factors::Reset;
use portcullis_authority::ledger::Ledger as _;
use portcullis_authority::people;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::call::Visit;
use super::orders::{self, cry};
use super::route::{ACTING, Answer, Method, Route, SEEING, json, shape};

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
        Method::Post,
        "/people/{person}/second-factor/reset",
        ACTING,
        "Takes a lost second factor away; proposes it for somebody with a place in an organization.",
        |visit| Box::pin(reset(visit)),
    )
    .takes(shape::<Resetting>)
    .answers(shape::<Outcome>),
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

#[derive(Deserialize, JsonSchema)]
#[schemars(rename = "SecondFactorReset")]
#[serde(deny_unknown_fields)]
struct Resetting {
    /// Why; kept in the audit log.
    #[serde(default)]
    reason: String,
    /// Owners only: do without a second person what needs one, loudly.
    #[serde(default)]
    break_glass: bool,
}

/// What came of it.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "SecondFactorOutcome")]
struct Outcome {
    /// `done`, or `proposed` when a second person must agree.
    state: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    proposal: Option<orders::Shown>,
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
    let asked: Resetting = visit.body()?;
    let (hand, person) = (visit.hand().await?, visit.part("person"));
    let order = (asked.reason.as_str(), asked.break_glass);
    match visit.order(async |room| room.reset_factor(&hand, person, order).await).await? {
        Reset::Gone => {
            if asked.break_glass {
                cry(&visit, "second_factor");
            }
            json(&Outcome { state: "done", proposal: None })
        }
        Reset::Proposed(proposal) => {
            let proposal = Some(orders::Shown::of(*proposal, visit.now()));
            json(&Outcome { state: "proposed", proposal })
        }
    }
}
