//! `/offboardings`: a person left.

use portcullis_authority::offboarding::{Farewell, Leaving, Left};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::call::Visit;
use super::orders::{Heard, Shown, cry};
use super::route::{ACTING, Answer, Method, Route, SEEING, json, shape};

pub const ROUTES: &[Route] = &[
    Route::new(
        Method::Post,
        "/offboardings/preview",
        SEEING,
        "Says what a person has that offboarding would end; nothing happens.",
        |visit| Box::pin(preview(visit)),
    )
    .takes(shape::<Named>)
    .answers(shape::<Told>)
    .about_people(),
    Route::new(
        Method::Post,
        "/offboardings",
        ACTING,
        "Ends a person's memberships, logins, sessions, tokens and personal credentials, and closes the account.",
        |visit| Box::pin(offboard(visit)),
    )
    .takes(shape::<Ordering>)
    .answers(shape::<Outcome>),
];

#[derive(Deserialize, JsonSchema)]
#[schemars(rename = "OffboardingTarget")]
#[serde(deny_unknown_fields)]
struct Named {
    /// A person's id, or a user's e-mail address.
    person: String,
}

#[derive(Deserialize, JsonSchema)]
#[schemars(rename = "OffboardingOrder")]
#[serde(deny_unknown_fields)]
struct Ordering {
    /// A person's id, or a user's e-mail address.
    person: String,
    /// Why; kept in the audit log.
    #[serde(default)]
    reason: String,
    /// Though an organization is left without an owner or admin; it is proposed to a second person.
    #[serde(default)]
    force: bool,
    /// Owners only: force it without a second person, loudly.
    #[serde(default)]
    break_glass: bool,
}

/// What a person has, or had.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "OffboardingReport")]
struct Told {
    #[serde(flatten)]
    #[schemars(with = "serde_json::Map<String, serde_json::Value>")]
    farewell: Farewell,
}

/// What came of it.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "OffboardingOutcome")]
struct Outcome {
    /// `ended`, or `proposed` when a second person must agree.
    state: &'static str,
    #[schemars(with = "Option<serde_json::Map<String, serde_json::Value>>")]
    #[serde(skip_serializing_if = "Option::is_none")]
    ended: Option<Farewell>,
    #[serde(flatten)]
    heard: Option<Heard>,
    #[serde(skip_serializing_if = "Option::is_none")]
    proposal: Option<Shown>,
}

async fn preview(visit: Visit) -> Answer {
    let named: Named = visit.body()?;
    let farewell = visit.order(async |room| room.farewell(&named.person).await).await?;
    visit.shows([farewell.person.clone()]);
    json(&Told { farewell })
}

async fn offboard(visit: Visit) -> Answer {
    let asked: Ordering = visit.body()?;
    let order = Leaving {
        person: &asked.person,
        reason: &asked.reason,
        force: asked.force,
        break_glass: asked.break_glass,
    };
    let hand = visit.hand().await?;
    match visit.order(async |room| room.offboard(&hand, &order).await).await? {
        Left::Gone { farewell, position } => {
            if asked.break_glass {
                cry(&visit, "offboarding");
            }
            let heard = visit.heard_by(position).await;
            json(&Outcome { state: "ended", ended: Some(farewell), heard: Some(heard), proposal: None })
        }
        Left::Proposed(proposal) => {
            let proposal = Shown::of(proposal, visit.now());
            json(&Outcome { state: "proposed", ended: None, heard: None, proposal: Some(proposal) })
        }
    }
}
