//! Where a person is in: browser sessions, logins at applications, and the addresses that they came from.

use portcullis_authority::endings::remembered_until;
use portcullis_authority::ledger::Act;
use portcullis_authority::operators::Denial;
use portcullis_authority::people;
use schemars::JsonSchema;
use serde::Serialize;

use super::call::Visit;
use super::route::{ACTING, Answer, Method, Reply, Route, SEEING, json, shape};

pub const ROUTES: &[Route] = &[
    Route::new(
        Method::Get,
        "/people/{person}/sessions",
        SEEING,
        "Lists the browser sessions and the logins of a person that are alive.",
        |visit| Box::pin(list(visit)),
    )
    .answers(shape::<Used>)
    .about_people(),
    Route::new(
        Method::Delete,
        "/people/{person}/sessions",
        ACTING,
        "Ends every session and login of a person, and every token that was ever given to them.",
        |visit| Box::pin(end_all(visit)),
    ),
    Route::new(
        Method::Delete,
        "/people/{person}/sessions/{session}",
        ACTING,
        "Ends one browser session.",
        |visit| Box::pin(end_session(visit)),
    ),
    Route::new(
        Method::Delete,
        "/people/{person}/logins/{login}",
        ACTING,
        "Ends one login and every token that it gave.",
        |visit| Box::pin(end_login(visit)),
    ),
    Route::new(
        Method::Get,
        "/people/{person}/places",
        SEEING,
        "Says where an account was used from.",
        |visit| Box::pin(places(visit)),
    )
    .answers(shape::<PlaceList>)
    .about_people(),
];

#[derive(Serialize, JsonSchema)]
#[schemars(rename = "SessionsOfPerson")]
struct Used {
    /// At the sign-in page.
    sessions: Vec<BrowserSession>,
    /// At applications: refresh families.
    logins: Vec<Login>,
}

#[derive(Serialize, JsonSchema)]
struct BrowserSession {
    id: String,
    began_at: u64,
    expires_at: u64,
}

#[derive(Serialize, JsonSchema)]
struct Login {
    /// The `sid` of its tokens.
    id: String,
    client_id: String,
    organization: String,
    scope: String,
    began_at: u64,
    last_refreshed: u64,
    expires_at: u64,
}

#[derive(Serialize, JsonSchema)]
struct PlaceList {
    places: Vec<Place>,
}

#[derive(Serialize, JsonSchema)]
struct Place {
    address: String,
    last_used: u64,
    times: u64,
}

async fn list(visit: Visit) -> Answer {
    let person = people::find(visit.desk(), visit.part("person")).await?;
    let sessions = visit.store().sessions_of(&person.id, visit.now()).await?;
    let logins = visit.store().logins_of(&person.id, visit.now()).await?;
    json(&Used {
        // The id is the hash of a cookie of 256 random bits, which opens nothing.
        sessions: sessions
            .into_iter()
            .filter(|it| it.generation == person.generation)
            .map(|it| BrowserSession { id: it.hash, began_at: it.auth_time, expires_at: it.expires_at })
            .collect(),
        logins: logins
            .into_iter()
            .map(|it| Login {
                id: it.id,
                client_id: it.client_id,
                organization: it.organization,
                scope: it.scope,
                began_at: it.auth_time,
                last_refreshed: it.rotated_at,
                expires_at: it.idle_exp.min(it.abs_exp),
            })
            .collect(),
    })
}

async fn end_all(visit: Visit) -> Answer {
    people::end_all(visit.desk(), visit.part("person"), visit.record("")).await?;
    Ok(Reply::Nothing)
}

async fn end_session(visit: Visit) -> Answer {
    let (person, hash) = (visit.part("person"), visit.part("session"));
    let found = visit.desk().ledger.session(hash).await?;
    if found.is_none_or(|session| session.person != person) {
        return Err(Denial::missing("This person has no such session."));
    }
    let mut record = visit.record("person.session.ended");
    record.subject = Some(person.to_owned());
    visit.act(Act::EndSession { hash: hash.to_owned(), now: visit.now() }, record).await?;
    Ok(Reply::Nothing)
}

async fn end_login(visit: Visit) -> Answer {
    let (person, id) = (visit.part("person"), visit.part("login"));
    let found = visit.desk().ledger.family(id).await?;
    let own = found.filter(|it| it.owner.as_ref().is_some_and(|(_, owner)| owner == person));
    let Some(family) = own else {
        return Err(Denial::missing("This person has no such login."));
    };
    let mut record = visit.record("login.ended");
    record.subject = Some(person.to_owned());
    record.sid = Some(family.id.clone());
    record.client_id = Some(family.client_id.clone());
    record.organization = Some(family.organization);
    record.reason = Some("ended by an operator".into());
    let directory = visit.desk().registry.directory();
    let act = Act::EndFamily {
        id: family.id,
        reason: "ended by an operator".into(),
        now: visit.now(),
        exp: remembered_until(visit.desk(), &directory, Some(&family.client_id)),
    };
    visit.act(act, record).await?;
    Ok(Reply::Nothing)
}

async fn places(visit: Visit) -> Answer {
    let person = people::find(visit.desk(), visit.part("person")).await?;
    let places = visit.store().places_of(&person.id).await?;
    let shown = places.into_iter();
    let shown = shown.map(|it| Place { address: it.address, last_used: it.last, times: it.times });
    json(&PlaceList { places: shown.collect() })
}
