//! `/people/{person}/export`: all that is held on a person, for that person. Without what opens anything:
//! no password, no hash, no seed.

use portcullis_authority::ledger::Ledger as _;
use portcullis_authority::operators::Denial;
use portcullis_authority::people;
use portcullis_authority::provisioning::{Card, Kind};
use portcullis_store::AuditQuery;
use schemars::JsonSchema;
use serde::Serialize;
use serde_json::{Value, json};

use super::call::Visit;
use super::route::{ACTING, Answer, Method, Route, json as answered, shape};
use crate::audit::line;

/// Rows of the audit log in one export.
const MOST_RECORDS: usize = 20_000;
const PAGE: usize = 1000;

pub const ROUTES: &[Route] = &[Route::new(
    Method::Get,
    "/people/{person}/export",
    ACTING,
    "Gathers all that is held on a person, without secrets, for that person.",
    |visit| Box::pin(export(visit)),
)
.answers(shape::<Held>)
.about_people()];

/// All that is held on a person.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "PersonExport")]
struct Held {
    /// Seconds since the epoch.
    as_of: u64,
    /// The account.
    person: Value,
    /// Places in organizations.
    memberships: Vec<Value>,
    /// client_id and name of personal credentials.
    credentials: Vec<Value>,
    /// References, metadata and profiles, of the account and of its memberships.
    cards: Vec<Value>,
    /// Browser sessions that are alive.
    sessions: Vec<Value>,
    /// Logins that are alive.
    logins: Vec<Value>,
    /// Addresses that they came from.
    places: Vec<Value>,
    /// Lines of access reviews.
    reviews: Vec<Value>,
    /// Records of the audit log about them, newest first.
    audit: Vec<Value>,
    /// False when there are more records than were gathered; the audit search has the rest.
    audit_complete: bool,
}

async fn export(visit: Visit) -> Answer {
    let person = people::find(visit.desk(), visit.part("person")).await?;
    let (store, now) = (visit.store(), visit.now());
    let memberships = visit.desk().registry.memberships(&person.id).await?;
    let directory = visit.desk().registry.directory();
    let own = directory.applications().filter(|it| it.user.as_ref() == Some(&person.id));
    let (audit, audit_complete) = records(&visit, &person.id).await?;
    let mut cards = vec![visit.desk().registry.card(Kind::User, &person.id).await?];
    for place in &memberships {
        cards.push(visit.desk().registry.card(Kind::Membership, &place.id).await?);
    }
    let factor = store.factor(&person.id).await?;
    let sessions = store.sessions_of(&person.id, now).await?.into_iter();
    let logins = store.logins_of(&person.id, now).await?.into_iter();
    let places = store.places_of(&person.id).await?.into_iter();
    let reviews = store.review_rows_of(&person.id).await?;
    answered(&Held {
        as_of: now,
        person: json!({
            "id": person.id,
            "kind": person.kind,
            "organization": person.organization,
            "email": person.email,
            "first_name": person.first_name,
            "last_name": person.last_name,
            "time_zone": person.time_zone,
            "customer_group": person.customer_group,
            "has_password": person.password.is_some(),
            "must_choose_password": person.password_given,
            "second_factor_since": factor.map(|it| it.since),
            "disabled": person.disabled,
        }),
        memberships: memberships
            .iter()
            .map(|it| json!({ "id": it.id, "organization": it.organization, "role": it.role, "owner": it.owner, "active": it.active }))
            .collect(),
        credentials: own.map(|it| json!({ "client_id": it.client_id, "name": it.name })).collect(),
        cards: cards.into_iter().flatten().map(told).collect(),
        sessions: sessions.map(|it| json!({ "began_at": it.auth_time, "expires_at": it.expires_at })).collect(),
        logins: logins
            .map(|it| {
                json!({
                    "id": it.id,
                    "client_id": it.client_id,
                    "organization": it.organization,
                    "scope": it.scope,
                    "roles": it.roles,
                    "custom_claim": it.custom_claim,
                    "began_at": it.auth_time,
                    "last_refreshed": it.rotated_at,
                    "expires_at": it.idle_exp.min(it.abs_exp),
                })
            })
            .collect(),
        places: places
            .map(|it| json!({ "address": it.address, "last_used": it.last, "times": it.times }))
            .collect(),
        reviews: reviews
            .iter()
            .map(|(review, row)| json!({ "review": review, "row": row.n, "access": row.access, "decision": row.decision, "reason": row.reason }))
            .collect(),
        audit,
        audit_complete,
    })
}

/// A card without the hash of an invitation's code.
fn told(card: Card) -> Value {
    let mut told = serde_json::to_value(card).unwrap_or_default();
    if let Some(more) = told["more"].as_object_mut() {
        more.remove("invitation");
    }
    told
}

async fn records(visit: &Visit, person: &str) -> Result<(Vec<Value>, bool), Denial> {
    let subject = Some(person.to_owned());
    let mut query = AuditQuery { subject, limit: PAGE, ..AuditQuery::default() };
    let mut found = Vec::new();
    loop {
        let page = visit.store().audit_search(&query).await?;
        found.extend(page.entries.iter().map(line));
        match page.next {
            None => return Ok((found, true)),
            Some(_) if found.len() >= MOST_RECORDS => return Ok((found, false)),
            Some(before) => query.before = Some(before),
        }
    }
}
