//! Invitations: how operators come to have an account without anybody else knowing its password or its seed.

use portcullis_authority::operators::{Acceptance, Invitation, OperatorRole, StaffBook as _, Wanted};
use portcullis_authority::secret::Secret;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::account::Offer;
use super::call::{Call, Visit};
use super::route::{ANYBODY, Answer, Method, OWNING, Reply, Route, json, shape};

pub const ROUTES: &[Route] = &[
    Route::new(Method::Get, "/invitations", ANYBODY, "Lists the invitations that are open.", |visit| {
        Box::pin(list(visit))
    })
    .answers(shape::<InvitationList>),
    Route::new(
        Method::Post,
        "/invitations",
        OWNING,
        "Invites an operator by a code that works once.",
        |visit| Box::pin(invite(visit)),
    )
    .takes(shape::<Draft>)
    .creates(shape::<Made>),
    Route::new(
        Method::Post,
        "/operators/{operator}/invitation",
        OWNING,
        "Lets an operator enrol again whose second factor was taken away.",
        |visit| Box::pin(invite_again(visit)),
    )
    .creates(shape::<Made>),
    Route::open(
        Method::Post,
        "/invitations/open",
        "Shows an invitation to whoever has its code, and offers a second factor.",
        |call| Box::pin(open(call)),
    )
    .takes(shape::<Code>)
    .answers(shape::<Opened>),
    Route::open(
        Method::Post,
        "/invitations/accept",
        "Accepts an invitation: sets the password and enrols the second factor.",
        |call| Box::pin(accept(call)),
    )
    .takes(shape::<Accept>)
    .creates(shape::<Accepted>),
    // After its neighbours with words in this place: of two that fit, the first is taken.
    Route::new(Method::Delete, "/invitations/{invitation}", OWNING, "Withdraws an invitation.", |visit| {
        Box::pin(withdraw(visit))
    }),
];

#[derive(Deserialize, JsonSchema)]
#[schemars(rename = "InvitationDraft")]
#[serde(deny_unknown_fields)]
struct Draft {
    email: String,
    /// Of operator, approver, auditor, owner.
    #[schemars(with = "Vec<String>")]
    roles: Vec<OperatorRole>,
    /// Seconds, 60 to 604800; a day unless said.
    #[serde(default)]
    lifetime: Option<u64>,
}

#[derive(Serialize, JsonSchema)]
#[schemars(rename = "InvitationList")]
struct InvitationList {
    invitations: Vec<Shown>,
}

/// An invitation that is open.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "Invitation")]
struct Shown {
    id: String,
    /// Id of the account that it makes or opens.
    operator: String,
    email: String,
    #[schemars(with = "Vec<String>")]
    roles: Vec<OperatorRole>,
    /// Operator id of who invited.
    by: String,
    created_at: u64,
    expires_at: u64,
}

#[derive(Serialize, JsonSchema)]
#[schemars(rename = "InvitationMade")]
struct Made {
    #[serde(flatten)]
    invitation: Shown,
    /// For the invited alone; it works once and is shown this once.
    code: String,
}

#[derive(Deserialize, JsonSchema)]
#[schemars(rename = "InvitationCode")]
#[serde(deny_unknown_fields)]
struct Code {
    code: String,
}

/// What the invited sees.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "InvitationOpened")]
struct Opened {
    email: String,
    #[schemars(with = "Vec<String>")]
    roles: Vec<OperatorRole>,
    expires_at: u64,
    /// The account is there already; accepting takes its present password.
    known: bool,
    #[serde(flatten)]
    offer: Offer,
}

#[derive(Deserialize, JsonSchema)]
#[schemars(rename = "InvitationAcceptance")]
#[serde(deny_unknown_fields)]
struct Accept {
    code: String,
    /// The new password; of an account that is there already, its present one.
    password: String,
    enrolment: String,
    /// The first code of the new authenticator.
    first_code: String,
}

#[derive(Serialize, JsonSchema)]
#[schemars(rename = "InvitationAccepted")]
struct Accepted {
    operator: String,
    email: String,
    #[schemars(with = "Vec<String>")]
    roles: Vec<OperatorRole>,
    /// They work once each and are shown this once.
    recovery_codes: Vec<String>,
}

impl From<Invitation> for Shown {
    fn from(it: Invitation) -> Self {
        Self {
            id: it.id,
            operator: it.operator,
            email: it.email,
            roles: it.roles,
            by: it.by,
            created_at: it.created_at,
            expires_at: it.expires_at,
        }
    }
}

async fn list(visit: Visit) -> Answer {
    let open = visit.store().invitations(visit.now()).await?;
    json(&InvitationList { invitations: open.into_iter().map(Shown::from).collect() })
}

async fn invite(visit: Visit) -> Answer {
    let draft: Draft = visit.body()?;
    let wanted = Wanted { email: draft.email, roles: draft.roles, lifetime: draft.lifetime };
    let made = visit.lodge.porter().invite(visit.operator(), wanted, visit.record("")).await?;
    json(&Made::from(made))
}

async fn invite_again(visit: Visit) -> Answer {
    let porter = visit.lodge.porter();
    let made = porter.invite_again(visit.operator(), visit.part("operator"), visit.record("")).await?;
    json(&Made::from(made))
}

async fn withdraw(visit: Visit) -> Answer {
    visit.lodge.porter().uninvite(visit.part("invitation"), visit.record("")).await?;
    Ok(Reply::Nothing)
}

async fn open(call: Call) -> Answer {
    let sent: Code = call.body()?;
    let seen = call.lodge.porter().open_invitation(&Secret::from(sent.code), &call.origin).await?;
    json(&Opened {
        email: seen.invitation.email,
        roles: seen.invitation.roles,
        expires_at: seen.invitation.expires_at,
        known: seen.known,
        offer: seen.offered.into(),
    })
}

async fn accept(call: Call) -> Answer {
    let sent: Accept = call.body()?;
    let acceptance = Acceptance {
        code: Secret::from(sent.code),
        password: Secret::from(sent.password),
        enrolment: Secret::from(sent.enrolment),
        first: Secret::from(sent.first_code),
    };
    let (operator, codes) = call.lodge.porter().accept_invitation(&acceptance, &call.origin).await?;
    json(&Accepted {
        operator: operator.id,
        email: operator.email,
        roles: operator.roles,
        recovery_codes: codes.iter().map(|code| code.expose().to_owned()).collect(),
    })
}

impl From<(Invitation, Secret)> for Made {
    fn from((invitation, code): (Invitation, Secret)) -> Self {
        Self { invitation: invitation.into(), code: code.expose().to_owned() }
    }
}
