//! Coming in, who one is, and who else is in.

use std::collections::{BTreeMap, BTreeSet};

use portcullis_authority::operators::{Credentials, Denial, OperatorRole, OperatorSession, StaffBook as _};
use portcullis_authority::secret::Secret;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::call::{Call, Visit};
use super::route::{ANYBODY, Answer, Method, OWNING, Reply, Route, json, shape};

pub const ROUTES: &[Route] = &[
    Route::open(Method::Post, "/sessions", "Signs in.", |call| Box::pin(begin(call)))
        .takes(shape::<SignIn>)
        .creates(shape::<Begun>),
    Route::new(
        Method::Get,
        "/sessions",
        ANYBODY,
        "Lists the operators who are signed in, and from where.",
        |visit| Box::pin(list(visit)),
    )
    .answers(shape::<SessionList>),
    Route::new(Method::Get, "/sessions/current", ANYBODY, "Says who you are.", |visit| {
        Box::pin(current(visit))
    })
    .answers(shape::<Current>),
    Route::new(Method::Delete, "/sessions/current", ANYBODY, "Signs out.", |visit| Box::pin(end_own(visit))),
    Route::new(Method::Delete, "/sessions/{session}", OWNING, "Ends an operator's session.", |visit| {
        Box::pin(end_other(visit))
    }),
];

/// What is shown at the door.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct SignIn {
    email: String,
    password: String,
    /// Six digits of the authenticator, or a recovery code.
    code: String,
}

/// A session that has begun.
#[derive(Serialize, JsonSchema)]
struct Begun {
    /// The bearer token of every further call; it is shown this once.
    token: String,
    session: String,
    operator: String,
    email: String,
    #[schemars(with = "Vec<String>")]
    roles: Vec<OperatorRole>,
    /// Seconds since the epoch.
    expires_at: u64,
}

/// Who asks.
#[derive(Serialize, JsonSchema)]
struct Current {
    operator: String,
    email: String,
    #[schemars(with = "Vec<String>")]
    roles: Vec<OperatorRole>,
    session: String,
    began_at: u64,
    expires_at: u64,
    /// Recovery codes that are left.
    recovery_codes: usize,
}

#[derive(Serialize, JsonSchema)]
struct SessionList {
    sessions: Vec<Shown>,
}

/// A session of an operator.
#[derive(Serialize, JsonSchema)]
struct Shown {
    id: String,
    operator: String,
    email: String,
    began_at: u64,
    last_used: u64,
    expires_at: u64,
    /// Where it was used from, the last place last.
    addresses: Vec<String>,
    /// Whether this operator is in from several places, by this session or several.
    several_places: bool,
    /// Whether it is the one that asks.
    current: bool,
}

async fn begin(call: Call) -> Answer {
    let shown: SignIn = call.body()?;
    let credentials = Credentials {
        email: shown.email,
        password: Secret::from(shown.password),
        code: Secret::from(shown.code),
    };
    let entry = call.lodge.porter().sign_in(credentials, &call.origin).await?;
    json(&Begun {
        token: entry.token.expose().to_owned(),
        session: entry.session.id,
        operator: entry.operator.id,
        email: entry.operator.email,
        roles: entry.operator.roles,
        expires_at: entry.session.expires_at,
    })
}

async fn current(visit: Visit) -> Answer {
    let (operator, session) = (visit.operator(), visit.session());
    json(&Current {
        operator: operator.id.clone(),
        email: operator.email.clone(),
        roles: operator.roles.clone(),
        session: session.id.clone(),
        began_at: session.began_at,
        expires_at: session.expires_at,
        recovery_codes: operator.recovery.len(),
    })
}

async fn list(visit: Visit) -> Answer {
    let idle = u64::from(visit.lodge.settings().admin.session_idle);
    let mut live = visit.store().operator_sessions(visit.now()).await?;
    live.retain(|session| visit.now() < session.last_used.saturating_add(idle));
    let staff = visit.store().staff().await?;
    let places = places(&live);
    let shown = live.into_iter().map(|session| Shown {
        email: staff.by_id(&session.operator).map(|who| who.email.clone()).unwrap_or_default(),
        several_places: places.get(&session.operator).is_some_and(|places| places.len() > 1),
        current: session.id == visit.session().id,
        id: session.id,
        operator: session.operator,
        began_at: session.began_at,
        last_used: session.last_used,
        expires_at: session.expires_at,
        addresses: session.addresses,
    });
    json(&SessionList { sessions: shown.collect() })
}

/// The places of each operator.
fn places(sessions: &[OperatorSession]) -> BTreeMap<String, BTreeSet<String>> {
    let mut places: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for session in sessions {
        places.entry(session.operator.clone()).or_default().extend(session.addresses.iter().cloned());
    }
    places
}

async fn end_own(visit: Visit) -> Answer {
    let mut record = visit.record("operator.logout");
    record.sid = Some(visit.session().id.clone());
    visit.lodge.porter().end(&visit.session().id, record).await?;
    Ok(Reply::Nothing)
}

async fn end_other(visit: Visit) -> Answer {
    let id = visit.part("session");
    let live = visit.store().operator_sessions(visit.now()).await?;
    let found = live.into_iter().find(|session| session.id == id);
    let Some(session) = found else {
        return Err(Denial::missing("There is no such live session."));
    };
    let mut record = visit.record("operator.session.ended");
    record.sid = Some(session.id.clone());
    record.subject = Some(format!("operator:{}", session.operator));
    visit.lodge.porter().end(&session.id, record).await?;
    Ok(Reply::Nothing)
}
