//! Organizations, briefly: which there are, and what each asks of those who come in. Everything else about them is the
//! Provisioning API's.

use portcullis_authority::registry::{Organization, Safety};
use portcullis_authority::safety::{self, Setting, Settled};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::call::Visit;
use super::orders::{self, cry};
use super::route::{ACTING, Answer, Method, Route, SEEING, json, shape};

pub const ROUTES: &[Route] = &[
    Route::new(Method::Get, "/organizations", SEEING, "Lists the organizations by their slugs.", |visit| {
        Box::pin(list(visit))
    })
    .answers(shape::<OrganizationList>),
    Route::new(
        Method::Get,
        "/organizations/{organization}/safety",
        SEEING,
        "Shows what an organization asks of those who come in.",
        |visit| Box::pin(show(visit)),
    )
    .answers(shape::<ShownSafety>),
    Route::new(
        Method::Patch,
        "/organizations/{organization}/safety",
        ACTING,
        "Turns a safety setting on, or proposes to turn it off.",
        |visit| Box::pin(change(visit)),
    )
    .takes(shape::<Changing>)
    .answers(shape::<Outcome>),
];

#[derive(Serialize, JsonSchema)]
struct OrganizationList {
    organizations: Vec<ShownOrganization>,
}

#[derive(Serialize, JsonSchema)]
#[schemars(rename = "Organization")]
struct ShownOrganization {
    id: String,
    slug: String,
    name: String,
    disabled: bool,
    safety: ShownSafety,
}

/// What an organization asks of those who come in.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "OrganizationSafety")]
struct ShownSafety {
    /// No member comes in without a second factor.
    require_second_factor: bool,
    /// Nobody alone permits more on personal data, or gives somebody more of it.
    second_person_for_personal_data: bool,
}

/// One setting at a time: each is a change of its own.
#[derive(Deserialize, JsonSchema)]
#[schemars(rename = "SafetyChange")]
#[serde(deny_unknown_fields)]
struct Changing {
    /// Whether members need a second factor.
    require_second_factor: Option<bool>,
    /// Whether it takes two operators to permit more on personal data, or to give somebody more of it. To turn it on
    /// changes nobody's place.
    second_person_for_personal_data: Option<bool>,
    /// Why; kept in the audit log.
    #[serde(default)]
    reason: String,
    /// Owners only: turn it off without a second person, loudly.
    #[serde(default)]
    break_glass: bool,
}

/// What came of it.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "SafetyOutcome")]
struct Outcome {
    /// `done`, or `proposed` when a second person must agree.
    state: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    safety: Option<ShownSafety>,
    #[serde(skip_serializing_if = "Option::is_none")]
    proposal: Option<orders::Shown>,
}

impl From<Safety> for ShownSafety {
    fn from(safety: Safety) -> Self {
        Self {
            require_second_factor: safety.require_second_factor,
            second_person_for_personal_data: safety.second_person_for_personal_data,
        }
    }
}

impl From<&Organization> for ShownOrganization {
    fn from(it: &Organization) -> Self {
        Self {
            id: it.id.clone(),
            slug: it.slug.clone(),
            name: it.name.clone(),
            disabled: it.disabled,
            safety: it.safety.into(),
        }
    }
}

async fn list(visit: Visit) -> Answer {
    let directory = visit.desk().registry.directory();
    let mut organizations: Vec<_> =
        directory.organizations().map(|it| ShownOrganization::from(&**it)).collect();
    organizations.sort_unstable_by(|left, right| left.slug.cmp(&right.slug));
    json(&OrganizationList { organizations })
}

async fn show(visit: Visit) -> Answer {
    let found = safety::find(visit.desk(), visit.part("organization"))?;
    json(&ShownSafety::from(found.safety))
}

async fn change(visit: Visit) -> Answer {
    let asked: Changing = visit.body()?;
    let hand = visit.hand().await?;
    let (setting, wanted) =
        Setting::named(asked.require_second_factor, asked.second_person_for_personal_data)?;
    let wanted = (visit.part("organization"), setting, wanted);
    let order = (asked.reason.as_str(), asked.break_glass);
    match visit.order(async |room| room.keep_safety(&hand, wanted, order).await).await? {
        Settled::Done(safety) => {
            if asked.break_glass {
                cry(&visit, "safety");
            }
            json(&Outcome { state: "done", safety: Some(safety.into()), proposal: None })
        }
        Settled::Proposed(proposal) => {
            let proposal = Some(orders::Shown::of(*proposal, visit.now()));
            json(&Outcome { state: "proposed", safety: None, proposal })
        }
    }
}
