//! The gate: hears a call out, proves the operator, looks at the roles, and has what must be noted noted.

use std::collections::BTreeMap;

use actix_web::http::header;
use actix_web::web::{self, Bytes};
use actix_web::{HttpRequest, HttpResponse};
use portcullis_authority::ledger::Act;
use portcullis_authority::operators::Denial;
use portcullis_authority::provisioning::{Objection, Place};
use portcullis_authority::refusal::Trouble;
use serde_json::json;

use super::call::{Call, Visit};
use super::route::{Answer, Handler, Reply, Route};
use crate::http::reply::{Denied, admin};
use crate::http::{heard, visit};
use crate::lodge::Lodge;

/// Answers a call to this endpoint.
pub async fn answer(
    route: &'static Route,
    lodge: web::Data<Lodge>,
    request: HttpRequest,
    payload: web::Payload,
) -> HttpResponse {
    match pass(route, lodge, &request, payload).await {
        Ok(Reply::Json(body)) => admin::done(route.success, &body),
        Ok(Reply::Nothing) => admin::nothing(),
        Ok(Reply::Other(answer)) => answer,
        Err(denial) => admin::denied(denial, request.path(), &visit::origin(&request)),
    }
}

async fn pass(
    route: &'static Route,
    lodge: web::Data<Lodge>,
    request: &HttpRequest,
    payload: web::Payload,
) -> Answer {
    let origin = visit::origin(request);
    match route.handler {
        Handler::Open(handler) => handler(call(route, lodge, request, payload).await?).await,
        Handler::Gated(handler) => {
            // The operator first: a stranger's body is not worth reading.
            let token = heard::bearer(request).map_err(|refusal| Denial::Unknown(refusal.sentence))?;
            let standing = lodge.porter().prove(token, &origin).await?;
            let call = call(route, lodge, request, payload).await?;
            let visit = Visit { call, standing };
            allow(&visit).await?;
            let noted = route.personal.then(|| look(&visit));
            let desk = visit.lodge.clone();
            let answer = handler(visit).await?;
            if let Some(record) = noted {
                desk.desk().ledger.commit(record).await?;
            }
            Ok(answer)
        }
    }
}

/// What a read of personal data leaves behind: who looked at whom. It is written before the answer goes out.
fn look(visit: &Visit) -> portcullis_authority::ledger::Deed {
    let mut record = visit.record("personal_data.read");
    record.subject = visit.path.get("person").cloned();
    record.detail = Some(json!({ "call": named(visit.route) }).to_string());
    portcullis_authority::ledger::Deed::new(Act::Note, record)
}

async fn allow(visit: &Visit) -> Result<(), Denial> {
    let roles = visit.route.roles;
    if visit.operator().may(roles) {
        return Ok(());
    }
    let mut record = visit.record("operator.refused");
    record.reason = Some("wrong role".into());
    record.detail = Some(json!({ "call": named(visit.route) }).to_string());
    visit.act(Act::Note, record).await?;
    let words: Vec<_> = roles.iter().map(|role| role.as_str()).collect();
    let sentence =
        format!("Your account may not do this; it takes one of these roles: {}.", words.join(", "));
    Err(Denial::forbidden(sentence))
}

fn named(route: &Route) -> String {
    format!("{} {}", route.method.as_str(), route.path)
}

async fn call(
    route: &'static Route,
    lodge: web::Data<Lodge>,
    request: &HttpRequest,
    payload: web::Payload,
) -> Result<Call, Denial> {
    let body = match route.body {
        Some(_) => read(request, payload).await?,
        None => Bytes::new(),
    };
    let path: BTreeMap<_, _> =
        request.match_info().iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
    let query = request.query_string().to_owned();
    let (origin, wait) = (visit::origin(request), heard::asked_wait(request));
    Ok(Call { lodge, route, origin, wait, path, query, body })
}

async fn read(request: &HttpRequest, payload: web::Payload) -> Result<Bytes, Denial> {
    let kind = request.headers().get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok());
    let essence = kind.unwrap_or_default().split(';').next().unwrap_or_default().trim();
    // A page of another site can post a form to this machine's own address, but not JSON.
    if !essence.eq_ignore_ascii_case("application/json") {
        return Err(unheard("Send the body as application/json."));
    }
    heard::whole(request, Ok(payload)).await.map_err(|denied| match denied {
        Denied::TooLarge(_) => unheard("The body is too large."),
        Denied::TooSlow => unheard("The body came too slowly."),
        Denied::Broken(trouble) => Denial::Broken(trouble),
        _ => Trouble::new("a body", "it broke off").into(),
    })
}

fn unheard(sentence: &'static str) -> Denial {
    Denial::Invalid(vec![Objection { place: Place::Document("body"), detail: sentence.into() }])
}
