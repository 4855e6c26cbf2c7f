//! The gate: hears a call out, proves the operator, looks at the roles, and has what must be noted noted.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;

use actix_web::http::header;
use actix_web::web::{self, Bytes};
use actix_web::{HttpRequest, HttpResponse};
use portcullis_authority::ledger::{Act, AuditRecord, Deed};
use portcullis_authority::operators::Denial;
use portcullis_authority::proposals::Reason;
use portcullis_authority::provisioning::{Objection, Place};
use portcullis_authority::refusal::Trouble;
use serde_json::json;

use super::call::{Call, Visit};
use super::route::{Answer, Handler, Reply, Route};
use crate::http::reply::{Denied, admin};
use crate::http::{heard, visit};
use crate::lodge::Lodge;

/// People who are named in the record of one read; the rest is counted.
const MOST_NAMED: usize = 100;
/// The header in which a caller may say why.
const REASON: &str = "x-reason";

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
            let noted = route.personal.then(|| Look::begin(&visit));
            let lodge = visit.lodge.clone();
            let answer = handler(visit).await?;
            if let Some(look) = noted {
                lodge.desk().ledger.commit(look.deed()).await?;
            }
            Ok(answer)
        }
    }
}

/// What a read of personal data leaves behind: who looked at whom, and why when they said so. It is written
/// before the answer goes out, and after it is known who is in it.
struct Look {
    record: AuditRecord,
    call: String,
    seen: Rc<RefCell<Vec<String>>>,
}

impl Look {
    fn begin(visit: &Visit) -> Self {
        let mut record = visit.record("personal_data.read");
        record.subject = visit.path.get("person").cloned();
        record.reason = visit.reason.as_ref().map(|reason| reason.as_str().to_owned());
        Self { record, call: named(visit.route), seen: visit.seen.clone() }
    }

    fn deed(mut self) -> Deed {
        let seen = self.seen.borrow();
        let mut detail = json!({ "call": self.call });
        match &seen[..] {
            [] => {}
            [one] if self.record.subject.is_none() => self.record.subject = Some(one.clone()),
            [one] if self.record.subject.as_ref() == Some(one) => {}
            several => {
                let first: Vec<_> = several.iter().take(MOST_NAMED).collect();
                detail["people"] = json!(first);
                detail["more"] = json!(several.len() - first.len());
            }
        }
        self.record.detail = Some(detail.to_string());
        Deed::new(Act::Note, self.record)
    }
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
    let reason = reason(request)?;
    Ok(Call { lodge, route, origin, wait, reason, seen: Rc::default(), path, query, body })
}

/// Why somebody looks, for calls that have no body to say it in.
fn reason(request: &HttpRequest) -> Result<Option<Reason>, Denial> {
    let Some(said) = request.headers().get(REASON) else { return Ok(None) };
    let text = std::str::from_utf8(said.as_bytes())
        .map_err(|_| Denial::invalid("reason", "The header x-reason is not UTF-8; write it so."))?;
    Reason::read(text).map(Some)
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
