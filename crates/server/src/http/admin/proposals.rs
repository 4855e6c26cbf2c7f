//! `/proposals`: privileged changes that wait for a second person, and glass that was broken instead.

use portcullis_authority::applications;
use portcullis_authority::erasure;
use portcullis_authority::invitations;
use portcullis_authority::operators::OperatorRole;
use portcullis_authority::passwords;
use portcullis_authority::proposals::{Proposal, Wish};
use portcullis_authority::secret::Secret;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::call::Visit;
use super::orders::{Heard, Shown, cry};
use super::route::{ACTING, ANYBODY, Answer, Method, Route, json, shape};
use crate::http::invitation::link;
use crate::oblivion;

const APPROVING: &[OperatorRole] = &[OperatorRole::Approver];
const WITNESSING: &[OperatorRole] = &[OperatorRole::Approver, OperatorRole::Owner];

pub const ROUTES: &[Route] = &[
    Route::new(Method::Get, "/proposals", ANYBODY, "Lists proposals, the newest first.", |visit| {
        Box::pin(list(visit))
    })
    .asks(shape::<Filter>)
    .answers(shape::<ProposalList>),
    Route::new(Method::Post, "/proposals", ACTING, "Proposes a privileged change.", |visit| {
        Box::pin(propose(visit))
    })
    .takes(shape::<Draft>)
    .creates(shape::<Made>),
    Route::new(Method::Get, "/proposals/{proposal}", ANYBODY, "Shows a proposal.", |visit| {
        Box::pin(show(visit))
    })
    .answers(shape::<Shown>),
    Route::new(
        Method::Post,
        "/proposals/{proposal}/approve",
        APPROVING,
        "Approves somebody else's proposal and carries it out.",
        |visit| Box::pin(approve(visit)),
    )
    .takes(shape::<Approval>)
    .answers(shape::<Approved>),
    Route::new(Method::Post, "/proposals/{proposal}/refuse", APPROVING, "Refuses a proposal.", |visit| {
        Box::pin(refuse(visit))
    })
    .takes(shape::<Why>)
    .answers(shape::<Shown>),
    Route::new(
        Method::Post,
        "/proposals/{proposal}/withdraw",
        ACTING,
        "Takes a proposal back: one's own, or any for an owner.",
        |visit| Box::pin(withdraw(visit)),
    )
    .takes(shape::<Why>)
    .answers(shape::<Shown>),
    Route::new(
        Method::Post,
        "/proposals/{proposal}/acknowledge",
        WITNESSING,
        "Notes that you have looked at the glass that somebody else broke.",
        |visit| Box::pin(acknowledge(visit)),
    )
    .answers(shape::<Shown>),
];

#[derive(Deserialize, JsonSchema)]
#[schemars(rename = "ProposalFilter")]
#[serde(deny_unknown_fields)]
struct Filter {
    /// Leave out what is decided or expired.
    #[serde(default)]
    open: bool,
}

#[derive(Serialize, JsonSchema)]
#[schemars(rename = "ProposalList")]
struct ProposalList {
    proposals: Vec<Shown>,
    /// Done without a second person, and not yet acknowledged by one.
    broken_glass: Vec<Shown>,
}

#[derive(Deserialize, JsonSchema)]
#[schemars(rename = "ProposalDraft")]
#[serde(deny_unknown_fields)]
struct Draft {
    /// Which kind of change.
    kind: String,
    /// What shall be done, as the kind has it.
    what: Value,
    /// Why; kept in the audit log.
    #[serde(default)]
    reason: String,
    /// Owners only: do it without a second person, loudly.
    #[serde(default)]
    break_glass: bool,
}

#[derive(Deserialize, JsonSchema)]
#[schemars(rename = "ProposalApproval")]
#[serde(deny_unknown_fields)]
struct Approval {
    /// Of the proposal that you have seen.
    digest: String,
}

#[derive(Deserialize, JsonSchema)]
#[schemars(rename = "ProposalReason")]
#[serde(deny_unknown_fields)]
struct Why {
    /// Why; kept in the audit log.
    #[serde(default)]
    reason: String,
}

/// A proposal that was made.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "ProposalMade")]
struct Made {
    #[serde(flatten)]
    proposal: Shown,
    /// Of a `password`: the one that it sets once it is carried out; it is shown this once.
    #[serde(skip_serializing_if = "Option::is_none")]
    password: Option<String>,
    /// Of a `secret`: the one that it adds once it is carried out, with the proposal's id for its own; it is shown
    /// this once. It begins with pcs_, so that scanners find it.
    #[serde(skip_serializing_if = "Option::is_none")]
    secret: Option<String>,
    /// Of an `invitation`: what the invited opens once it is carried out; it is shown this once.
    #[serde(skip_serializing_if = "Option::is_none")]
    link: Option<String>,
}

/// A proposal that was carried out.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "ProposalApproved")]
struct Approved {
    #[serde(flatten)]
    proposal: Shown,
    #[serde(flatten)]
    heard: Heard,
}

async fn list(visit: Visit) -> Answer {
    let filter: Filter = visit.query()?;
    let (proposals, broken) =
        visit.order(async |room| (room.proposals(filter.open).await, room.broken_glass().await)).await;
    let all = |list: Vec<Proposal>| list.into_iter().map(|one| Shown::of(one, visit.now())).collect();
    json(&ProposalList { proposals: all(proposals?), broken_glass: all(broken?) })
}

async fn propose(visit: Visit) -> Answer {
    let draft: Draft = visit.body()?;
    let wish = Wish { kind: &draft.kind, what: &draft.what, reason: &draft.reason, digest: None };
    let hand = visit.hand().await?;
    let made = match draft.break_glass {
        true => visit.order(async |room| room.break_glass(&hand, &wish).await).await?.proposal,
        false => visit.order(async |room| room.propose(&hand, &wish).await).await?,
    };
    if draft.break_glass {
        forget(&visit, &made).await;
        cry(&visit, &made.kind);
    }
    let shown = |secret: Option<Secret>| secret.map(|it| it.expose().to_owned());
    let password = shown(passwords::proposed(visit.desk(), &made));
    let secret = shown(applications::proposed(visit.desk(), &made));
    let link = invitations::proposed(visit.desk(), &made).map(|code| link(visit.desk(), &code));
    json(&Made { proposal: Shown::of(made, visit.now()), password, secret, link })
}

async fn show(visit: Visit) -> Answer {
    let found = visit.order(async |room| room.proposal(visit.part("proposal")).await).await?;
    json(&Shown::of(found, visit.now()))
}

async fn approve(visit: Visit) -> Answer {
    let approval: Approval = visit.body()?;
    let (hand, id) = (visit.hand().await?, visit.part("proposal"));
    let settled = visit.order(async |room| room.approve(&hand, id, &approval.digest).await).await?;
    forget(&visit, &settled.proposal).await;
    let heard = visit.heard_by(settled.position).await;
    json(&Approved { proposal: Shown::of(settled.proposal, visit.now()), heard })
}

async fn refuse(visit: Visit) -> Answer {
    let why: Why = visit.body()?;
    let (hand, id) = (visit.hand().await?, visit.part("proposal"));
    let closed = visit.order(async |room| room.refuse(&hand, id, &why.reason).await).await?;
    json(&Shown::of(closed, visit.now()))
}

async fn withdraw(visit: Visit) -> Answer {
    let why: Why = visit.body()?;
    let (hand, id) = (visit.hand().await?, visit.part("proposal"));
    let closed = visit.order(async |room| room.withdraw(&hand, id, &why.reason).await).await?;
    json(&Shown::of(closed, visit.now()))
}

async fn acknowledge(visit: Visit) -> Answer {
    let (hand, id) = (visit.hand().await?, visit.part("proposal"));
    let seen = visit.order(async |room| room.acknowledge(&hand, id).await).await?;
    json(&Shown::of(seen, visit.now()))
}

/// Has the audit log forgotten, too, who was erased. What cannot be done now is done by the upkeep.
async fn forget(visit: &Visit, proposal: &Proposal) {
    if let Some(forgotten) = erasure::forgotten(proposal)
        && let Err(trouble) = oblivion::forget(visit.store(), &forgotten, visit.now()).await
    {
        tracing::warn!(%trouble, "the audit log could not be erased yet");
    }
}
