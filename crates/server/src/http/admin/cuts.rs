//! `/cuts`: what would end, and ending it.

use portcullis_authority::cuts::{Cut, CutKind, Cutting, Ordered, Preview};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::call::Visit;
use super::orders::{Heard, Shown, cry};
use super::route::{ACTING, Answer, Method, Route, SEEING, json, shape};

pub const ROUTES: &[Route] = &[
    Route::new(
        Method::Post,
        "/cuts/preview",
        SEEING,
        "Says what ending something would end; nothing happens.",
        |visit| Box::pin(preview(visit)),
    )
    .takes(shape::<Named>)
    .answers(shape::<Previewed>)
    .about_people(),
    Route::new(
        Method::Post,
        "/cuts",
        ACTING,
        "Ends a token, login, person, application, actor or role; proposes to end a key, an organization or everything.",
        |visit| Box::pin(make(visit)),
    )
    .takes(shape::<Ordering>)
    .answers(shape::<Outcome>),
];

/// What is meant.
#[derive(Deserialize, JsonSchema)]
#[schemars(rename = "CutTarget")]
#[serde(deny_unknown_fields)]
struct Named {
    /// token, login, person, application, actor, role, key, organization or everything.
    #[schemars(with = "String")]
    kind: CutKind,
    /// Which one; nothing for everything.
    #[serde(default)]
    id: String,
}

#[derive(Deserialize, JsonSchema)]
#[schemars(rename = "CutOrder")]
#[serde(deny_unknown_fields)]
struct Ordering {
    /// token, login, person, application, actor, role, key, organization or everything.
    #[schemars(with = "String")]
    kind: CutKind,
    /// Which one; nothing for everything.
    #[serde(default)]
    id: String,
    /// Why; kept in the audit log.
    #[serde(default)]
    reason: String,
    /// Of the preview: what was seen is what ends.
    #[serde(default)]
    digest: Option<String>,
    /// Owners only: ends a key, an organization or everything without a second person, loudly.
    #[serde(default)]
    break_glass: bool,
}

/// What would end.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "CutPreview")]
struct Previewed {
    #[serde(flatten)]
    #[schemars(with = "serde_json::Map<String, serde_json::Value>")]
    preview: Preview,
    /// Guards that are connected.
    guards: Vec<String>,
}

/// What came of it.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "CutOutcome")]
struct Outcome {
    /// `ended`, or `proposed` when a second person must agree.
    state: &'static str,
    /// What has ended.
    #[schemars(with = "Option<serde_json::Map<String, serde_json::Value>>")]
    #[serde(skip_serializing_if = "Option::is_none")]
    cut: Option<Cut>,
    #[serde(flatten)]
    heard: Option<Heard>,
    #[serde(skip_serializing_if = "Option::is_none")]
    proposal: Option<Shown>,
}

async fn preview(visit: Visit) -> Answer {
    let named: Named = visit.body()?;
    let cut = Cut { kind: named.kind, id: named.id };
    let preview = visit.order(async |room| room.preview(&cut).await).await?;
    visit.shows(preview.names.people.iter().cloned());
    let hub = &visit.lodge.house.hub;
    hub.hear_others().await;
    let connected = hub.reports.connected(hub.time_ms(), hub.max_staleness_ms());
    let guards = connected.into_iter().map(|state| state.guard).collect();
    json(&Previewed { preview, guards })
}

async fn make(visit: Visit) -> Answer {
    let asked: Ordering = visit.body()?;
    let cut = Cut { kind: asked.kind, id: asked.id };
    let order = Cutting {
        cut: &cut,
        reason: &asked.reason,
        digest: asked.digest.as_deref(),
        break_glass: asked.break_glass,
    };
    let hand = visit.hand().await?;
    match visit.order(async |room| room.cut(&hand, &order).await).await? {
        Ordered::Ended { cut, position } => {
            if asked.break_glass {
                cry(&visit, cut.kind.as_str());
            }
            let heard = visit.heard_by(position).await;
            json(&Outcome { state: "ended", cut: Some(cut), heard: Some(heard), proposal: None })
        }
        Ordered::Proposed(proposal) => {
            let proposal = Shown::of(proposal, visit.now());
            json(&Outcome { state: "proposed", cut: None, heard: None, proposal: Some(proposal) })
        }
    }
}
