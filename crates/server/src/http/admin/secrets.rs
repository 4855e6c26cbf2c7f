//! The secrets of applications: which live, when each was used last, and the end of one that leaked. Another one is
//! a proposal, see `proposals.rs`.

use portcullis_authority::applications;
use portcullis_authority::registry::{Application, StoredSecret};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::call::Visit;
use super::route::{ACTING, Answer, Method, Reply, Route, SEEING, json, shape};

pub const ROUTES: &[Route] = &[
    Route::new(Method::Get, "/applications", SEEING, "Lists the applications.", |visit| {
        Box::pin(list(visit))
    })
    .asks(shape::<Asked>)
    .answers(shape::<ApplicationList>),
    Route::new(
        Method::Get,
        "/applications/{client}/secrets",
        SEEING,
        "Lists the live secrets of an application, and when each was used last, to the minute.",
        |visit| Box::pin(secrets(visit)),
    )
    .answers(shape::<SecretList>),
    Route::new(
        Method::Delete,
        "/applications/{client}/secrets/{secret}",
        ACTING,
        "Withdraws a secret that leaked, and ends every token of the application; the last live one is proposed.",
        |visit| Box::pin(withdraw(visit)),
    ),
];

#[derive(Deserialize, JsonSchema)]
#[schemars(rename = "ApplicationQuery")]
#[serde(deny_unknown_fields)]
struct Asked {
    /// Id of an organization.
    organization: Option<String>,
}

#[derive(Serialize, JsonSchema)]
struct ApplicationList {
    applications: Vec<ShownApplication>,
}

#[derive(Serialize, JsonSchema)]
#[schemars(rename = "Application")]
struct ShownApplication {
    client_id: String,
    name: String,
    organization: String,
    kind: String,
    disabled: bool,
    /// How many live secrets it has.
    secrets: usize,
}

#[derive(Serialize, JsonSchema)]
struct SecretList {
    secrets: Vec<ShownSecret>,
}

#[derive(Serialize, JsonSchema)]
#[schemars(rename = "Secret")]
struct ShownSecret {
    id: String,
    expires_at: Option<u64>,
    /// Absent when no use is known.
    last_used: Option<u64>,
}

async fn list(visit: Visit) -> Answer {
    let asked: Asked = visit.query()?;
    let directory = visit.desk().registry.directory();
    let within = |it: &Application| asked.organization.as_ref().is_none_or(|id| it.organization == *id);
    let mut shown: Vec<_> = directory
        .applications()
        .filter(|it| within(it))
        .map(|it| ShownApplication {
            client_id: it.client_id.clone(),
            name: it.name.clone(),
            organization: it.organization.clone(),
            kind: it.kind.as_str().into(),
            disabled: it.disabled,
            secrets: live(it, visit.now()).count(),
        })
        .collect();
    shown.sort_unstable_by(|left, right| left.client_id.cmp(&right.client_id));
    json(&ApplicationList { applications: shown })
}

async fn secrets(visit: Visit) -> Answer {
    let application = applications::find(visit.desk(), visit.part("client"))?;
    // What this server saw itself is told at once; what others saw, half a minute later.
    visit.store().write_uses().await?;
    let uses = visit.store().uses_of(&application.client_id).await?;
    let shown = live(&application, visit.now()).map(|it| ShownSecret {
        id: it.id.clone(),
        expires_at: it.expires_at,
        last_used: uses.get(&it.id).copied(),
    });
    json(&SecretList { secrets: shown.collect() })
}

async fn withdraw(visit: Visit) -> Answer {
    let (client, secret) = (visit.part("client"), visit.part("secret"));
    applications::withdraw_secret(visit.desk(), client, secret, visit.record("")).await?;
    Ok(Reply::Nothing)
}

fn live(it: &Application, now: u64) -> impl Iterator<Item = &StoredSecret> {
    it.secrets.iter().filter(move |one| one.expires_at.is_none_or(|end| now < end))
}
