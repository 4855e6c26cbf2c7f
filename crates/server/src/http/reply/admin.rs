//! Answers of the operators' listener: JSON, and problems as RFC 9457 has them.

use actix_web::http::StatusCode;
use actix_web::http::header;
use actix_web::web::Bytes;
use actix_web::{HttpResponse, HttpResponseBuilder};
use futures_util::{Stream, StreamExt as _};
use portcullis_authority::ask::Origin;
use portcullis_authority::operators::Denial;
use portcullis_authority::provisioning::{Objection, Place};
use portcullis_authority::refusal::Trouble;
use serde_json::{Value, json};

use super::{BEARER_REALM, RETRY_SECONDS, no_store, set, with_json};
use crate::http::admin::Success;

/// What was asked for.
pub fn done(success: Success, body: &Value) -> HttpResponse {
    no_store(with_json(status(success), body))
}

/// Done, and there is nothing to say.
pub fn nothing() -> HttpResponse {
    no_store(HttpResponse::NoContent().finish())
}

/// A whole document that is not JSON.
pub fn text(kind: &'static str, text: String) -> HttpResponse {
    no_store(HttpResponse::Ok().content_type(kind).body(text))
}

/// More than one document's worth, a piece at a time. What breaks in the middle breaks off the answer, so that
/// nobody takes a part for the whole.
pub fn streamed(
    kind: &'static str,
    pieces: impl Stream<Item = Result<String, Trouble>> + 'static,
) -> HttpResponse {
    let pieces = pieces.map(|piece| piece.map(Bytes::from).map_err(std::io::Error::other));
    let mut answer = HttpResponse::Ok();
    answer.content_type(kind).insert_header((header::CACHE_CONTROL, "no-store"));
    answer.streaming(pieces)
}

/// The status of an answer that is no refusal.
pub fn status(success: Success) -> StatusCode {
    match success {
        Success::Done => StatusCode::OK,
        Success::Created => StatusCode::CREATED,
        Success::Accepted => StatusCode::ACCEPTED,
        Success::Nothing => StatusCode::NO_CONTENT,
    }
}

/// Why not.
pub fn denied(denial: Denial, path: &str, origin: &Origin) -> HttpResponse {
    match denial {
        Denial::Unknown(sentence) => {
            let mut answer = problem(StatusCode::UNAUTHORIZED, "unauthorized", &sentence);
            set(&mut answer, (header::WWW_AUTHENTICATE, BEARER_REALM));
            answer
        }
        Denial::Forbidden(sentence) => problem(StatusCode::FORBIDDEN, "forbidden", &sentence),
        Denial::Missing(sentence) => problem(StatusCode::NOT_FOUND, "not-found", &sentence),
        Denial::Conflict(sentence) => problem(StatusCode::CONFLICT, "conflict", &sentence),
        Denial::Invalid(objections) => invalid(&objections),
        Denial::Later(seconds) => {
            let sentence = format!("Too many failures; try again in {seconds} seconds.");
            let mut answer = problem(StatusCode::TOO_MANY_REQUESTS, "too-many-requests", &sentence);
            set(&mut answer, (header::RETRY_AFTER, seconds.to_string()));
            answer
        }
        Denial::Broken(trouble) => {
            let request_id = origin.request_id.as_deref();
            tracing::error!(%trouble, path, request_id, "a call of an operator failed");
            let sentence = "Something of ours is away; nothing was done. Try again in a moment.";
            let mut answer = problem(StatusCode::SERVICE_UNAVAILABLE, "unavailable", sentence);
            set(&mut answer, (header::RETRY_AFTER, RETRY_SECONDS));
            answer
        }
    }
}

/// Somebody calls us by a name that is not ours (RFC 9110 section 15.5.20).
pub fn misdirected() -> HttpResponse {
    let sentence =
        "This is not called so here; use its address, localhost, or a name that the setting admin.names has.";
    problem(StatusCode::MISDIRECTED_REQUEST, "misdirected", sentence)
}

/// A page of another site asks.
pub fn of_another_site() -> HttpResponse {
    let sentence = "No page of another site is answered here; use the command line or a program.";
    problem(StatusCode::FORBIDDEN, "forbidden", sentence)
}

/// The address does not exist.
pub fn nothing_here() -> HttpResponse {
    problem(
        StatusCode::NOT_FOUND,
        "not-found",
        "There is nothing here; /admin/v1/openapi.json says what there is.",
    )
}

/// The address exists, the method does not.
pub fn wrong_method(allow: &str) -> HttpResponse {
    let sentence = format!("This address answers to {allow}.");
    let mut answer = problem(StatusCode::METHOD_NOT_ALLOWED, "method-not-allowed", &sentence);
    set(&mut answer, (header::ALLOW, allow));
    answer
}

fn invalid(objections: &[Objection]) -> HttpResponse {
    let errors: Vec<Value> = objections.iter().map(error).collect();
    let sentences: Vec<&str> = objections.iter().map(|one| one.detail.as_ref()).collect();
    let mut body = members(StatusCode::UNPROCESSABLE_ENTITY, "invalid", &sentences.join(" "));
    body["errors"] = errors.into();
    written(StatusCode::UNPROCESSABLE_ENTITY, &body)
}

fn error(objection: &Objection) -> Value {
    let place = match &objection.place {
        Place::Attribute(name) | Place::Relationship(name) => format!("#/{name}"),
        Place::Parameter(name) => format!("?{name}"),
        Place::Document(part) => (*part).to_owned(),
    };
    json!({ "pointer": place, "detail": objection.detail })
}

fn problem(status: StatusCode, kind: &str, sentence: &str) -> HttpResponse {
    written(status, &members(status, kind, sentence))
}

fn members(status: StatusCode, kind: &str, sentence: &str) -> Value {
    json!({
        "type": format!("urn:portcullis:problem:{kind}"),
        "title": status.canonical_reason().unwrap_or_default(),
        "status": status.as_u16(),
        "detail": sentence,
    })
}

fn written(status: StatusCode, body: &Value) -> HttpResponse {
    let builder =
        HttpResponseBuilder::new(status).content_type("application/problem+json").body(body.to_string());
    no_store(builder)
}
