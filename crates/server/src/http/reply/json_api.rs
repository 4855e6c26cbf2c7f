//! The answers of the Provisioning API: documents of JSON:API, and what went wrong with the place of it
//! (JSON:API 1.1, "Error Objects").

use actix_web::http::{StatusCode, header};
use actix_web::{HttpResponse, ResponseError};
use portcullis_authority::provisioning::{Declined, Objection, Place};
use portcullis_authority::refusal::{Code, Refusal};
use serde_json::{Value, json};

use super::{At, Denied, broken, name, no_store, refused, set, status_of, with_json};

const MEDIA_TYPE: &str = "application/vnd.api+json";

/// A document.
pub fn document(body: &Value) -> HttpResponse {
    typed(with_json(StatusCode::OK, body))
}

/// A thing that was made, and where it is.
pub fn created(body: &Value) -> HttpResponse {
    let mut answer = typed(with_json(StatusCode::CREATED, body));
    if let Some(place) = body["data"]["links"]["self"].as_str() {
        set(&mut answer, (header::LOCATION, place));
    }
    answer
}

/// Something was set going.
pub fn accepted(meta: &Value) -> HttpResponse {
    typed(with_json(StatusCode::ACCEPTED, &json!({ "meta": meta })))
}

/// It is gone.
pub fn gone() -> HttpResponse {
    no_store(HttpResponse::NoContent().finish())
}

/// Not done: for handlers of the Provisioning API.
#[derive(Debug)]
pub enum Unmade {
    Declined(Declined),
    /// Before the rules were asked: a body that is too large or too slow.
    Denied(Denied),
    /// A document that is not JSON:API.
    WrongType,
}

impl From<Declined> for Unmade {
    fn from(declined: Declined) -> Self {
        Self::Declined(declined)
    }
}

impl From<Denied> for Unmade {
    fn from(denied: Denied) -> Self {
        Self::Denied(denied)
    }
}

impl From<Objection> for Unmade {
    fn from(objection: Objection) -> Self {
        Self::Declined(objection.into())
    }
}

impl std::fmt::Display for Unmade {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.write_str("a request to the Provisioning API was not done")
    }
}

impl ResponseError for Unmade {
    fn status_code(&self) -> StatusCode {
        match self {
            Self::Denied(denied) => denied.status_code(),
            Self::WrongType => StatusCode::UNSUPPORTED_MEDIA_TYPE,
            Self::Declined(Declined::Unknown(refusal)) => status_of(At::Provisioning, refusal.code),
            Self::Declined(Declined::Forbidden(_)) => StatusCode::FORBIDDEN,
            Self::Declined(Declined::Missing) => StatusCode::NOT_FOUND,
            Self::Declined(Declined::Broken(_)) => StatusCode::SERVICE_UNAVAILABLE,
            Self::Declined(Declined::Invalid(objections)) => {
                let of_the_thing =
                    |one: &Objection| matches!(one.place, Place::Attribute(_) | Place::Relationship(_));
                if objections.iter().all(of_the_thing) {
                    StatusCode::UNPROCESSABLE_ENTITY
                } else {
                    StatusCode::BAD_REQUEST
                }
            }
        }
    }

    fn error_response(&self) -> HttpResponse {
        let status = self.status_code();
        match self {
            Self::Denied(denied) => denied.error_response(),
            Self::Declined(Declined::Broken(trouble)) => broken(trouble),
            Self::Declined(Declined::Unknown(refusal)) => typed(refused(At::Provisioning, refusal)),
            Self::Declined(Declined::Forbidden(why)) => {
                let refusal = Refusal::new(Code::AccessDenied, why.clone());
                typed(refused(At::Provisioning, &refusal))
            }
            Self::Declined(Declined::Missing) => {
                errors(status, vec![error(status, "Record not found", "There is no such record.", None)])
            }
            Self::WrongType => {
                let detail = "Send application/vnd.api+json.";
                errors(status, vec![error(status, "Unsupported media type", detail, None)])
            }
            Self::Declined(Declined::Invalid(objections)) => {
                errors(status, objections.iter().map(|one| objection(status, one)).collect())
            }
        }
    }
}

fn objection(status: StatusCode, one: &Objection) -> Value {
    let (source, detail) = match &one.place {
        Place::Attribute(name) => {
            (json!({ "pointer": format!("/data/attributes/{name}") }), format!("{name} - {}", one.detail))
        }
        Place::Relationship(name) => {
            (json!({ "pointer": format!("/data/relationships/{name}") }), format!("{name} - {}", one.detail))
        }
        Place::Parameter(name) => (json!({ "parameter": name }), format!("{name} - {}", one.detail)),
        Place::Document(pointer) => (json!({ "pointer": pointer }), one.detail.clone().into_owned()),
    };
    error(status, &one.detail, &detail, Some(source))
}

fn error(status: StatusCode, title: &str, detail: &str, source: Option<Value>) -> Value {
    let code = match status {
        StatusCode::NOT_FOUND => "RECORD_NOT_FOUND",
        StatusCode::UNPROCESSABLE_ENTITY => "VALIDATION_ERROR",
        StatusCode::UNSUPPORTED_MEDIA_TYPE => "UNSUPPORTED_MEDIA_TYPE",
        status => name(status),
    };
    let mut error =
        json!({ "title": title, "detail": detail, "code": code, "status": status.as_str(), "meta": {} });
    if let Some(source) = source {
        error["source"] = source;
    }
    error
}

fn errors(status: StatusCode, list: Vec<Value>) -> HttpResponse {
    typed(with_json(status, &json!({ "errors": list })))
}

/// The media type allows no parameters, and what is in there is one bearer's.
fn typed(answer: HttpResponse) -> HttpResponse {
    let mut answer = no_store(answer);
    set(&mut answer, (header::CONTENT_TYPE, MEDIA_TYPE));
    answer
}
