//! Invitations to people: how users come to have an account without anybody else knowing its password.

use portcullis_authority::invitations::{self, Invitation, Wanted};
use portcullis_authority::people;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::call::Visit;
use super::route::{ACTING, Answer, Method, Reply, Route, SEEING, json, shape};
use crate::http::invitation::link;

pub const ROUTES: &[Route] = &[
    Route::new(
        Method::Get,
        "/people/invitations",
        SEEING,
        "Lists the invitations to people that are open.",
        |visit| Box::pin(list(visit)),
    )
    .answers(shape::<InvitationList>)
    .about_people(),
    Route::new(
        Method::Post,
        "/people/invitations",
        ACTING,
        "Invites a user by a link that works once. With a place in an organization it is a proposal.",
        |visit| Box::pin(invite(visit)),
    )
    .takes(shape::<Draft>)
    .creates(shape::<Made>),
    Route::new(
        Method::Delete,
        "/people/invitations/{invitation}",
        ACTING,
        "Withdraws an invitation; the account stays, without a password.",
        |visit| Box::pin(withdraw(visit)),
    ),
];

#[derive(Deserialize, JsonSchema)]
#[schemars(rename = "PersonInvitationDraft")]
#[serde(deny_unknown_fields)]
struct Draft {
    email: String,
    #[serde(default)]
    first_name: String,
    #[serde(default)]
    last_name: String,
    /// Seconds, 60 to 604800; three days unless said.
    #[serde(default)]
    lifetime: Option<u64>,
}

#[derive(Serialize, JsonSchema)]
#[schemars(rename = "PersonInvitationList")]
struct InvitationList {
    invitations: Vec<Shown>,
}

/// An invitation that is open.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "PersonInvitation")]
struct Shown {
    id: String,
    /// Id of the account that it opens.
    person: String,
    email: String,
    /// Id of the organization in which a place comes with it.
    organization: Option<String>,
    /// Operator id of who invited.
    by: String,
    created_at: u64,
    expires_at: u64,
}

#[derive(Serialize, JsonSchema)]
#[schemars(rename = "PersonInvitationMade")]
struct Made {
    #[serde(flatten)]
    invitation: Shown,
    /// For the invited alone; it works once and is shown this once.
    link: String,
}

impl Shown {
    fn of(it: Invitation, email: String) -> Self {
        Self {
            id: it.id,
            person: it.person,
            email,
            organization: it.place.map(|(organization, _)| organization),
            by: it.by,
            created_at: it.created_at,
            expires_at: it.expires_at,
        }
    }
}

async fn list(visit: Visit) -> Answer {
    let mut shown = Vec::new();
    for one in visit.store().people_invited(visit.now()).await? {
        // Somebody who was deleted is not waited for any more.
        if let Ok(person) = people::find(visit.desk(), &one.person).await {
            shown.push(Shown::of(one, person.email));
        }
    }
    visit.shows(shown.iter().map(|one| one.person.clone()));
    json(&InvitationList { invitations: shown })
}

async fn invite(visit: Visit) -> Answer {
    let draft: Draft = visit.body()?;
    let wanted = Wanted {
        email: draft.email,
        first_name: draft.first_name,
        last_name: draft.last_name,
        lifetime: draft.lifetime,
    };
    let by = visit.operator().id.clone();
    let (invitation, person, code) =
        invitations::invite(visit.desk(), &by, &wanted, visit.record("")).await?;
    json(&Made { invitation: Shown::of(invitation, person.email), link: link(visit.desk(), &code) })
}

async fn withdraw(visit: Visit) -> Answer {
    let open = visit.store().people_invited(visit.now()).await?;
    let found = open.into_iter().find(|one| one.id == visit.part("invitation"));
    let found = found.ok_or_else(invitations::not_there)?;
    invitations::withdraw(visit.desk(), &found, visit.record("")).await?;
    Ok(Reply::Nothing)
}
