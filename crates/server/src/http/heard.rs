//! Hears a request out: bounded in size and time, then parsed once into an [`Ask`]. Handlers never see
//! raw bytes.

use std::time::Duration;

use actix_web::dev::Payload;
use actix_web::error::JsonPayloadError;
use actix_web::http::header::{self, HeaderMap, HeaderName};
use actix_web::web::Bytes;
use actix_web::{FromRequest, HttpRequest, web};
use futures_util::future::LocalBoxFuture;
use portcullis_authority::ask::{Ask, Knock};
use portcullis_authority::refusal::{Code, Refusal};
use portcullis_authority::secret::Secret;
use serde::de::DeserializeOwned;

use super::reply::{self, At, Denied};
use super::visit;
use crate::house::House;

/// No honest request comes near: the largest part of one is an assertion of 4 KB.
const BODY_LIMIT: usize = 64 * 1024;
/// A body that drips in holds a connection; this is how long it may where nobody has said otherwise.
const BODY_PATIENCE: Duration = Duration::from_secs(10);
/// Nobody who prefers to wait is kept longer, seconds.
const LONGEST_WAIT: u64 = 10;

/// A request to the token, revocation or introspection endpoint.
pub struct Heard(pub Ask);

impl FromRequest for Heard {
    type Error = Denied;
    type Future = LocalBoxFuture<'static, Result<Self, Denied>>;

    fn from_request(request: &HttpRequest, payload: &mut Payload) -> Self::Future {
        let payload = web::Payload::from_request(request, payload).into_inner();
        let request = request.clone();
        Box::pin(async move {
            let body = whole(&request, payload).await?;
            let mut ask = read(&request, &body).map_err(refused)?;
            if let Some(house) = request.app_data::<web::Data<House>>() {
                hear_visitor(house, &request, &mut ask);
                let named = ask.credentials().map(|offered| offered.client_id.as_str());
                visit::name(&request, house.authority.desk(), named);
            }
            Ok(Self(ask))
        })
    }
}

/// A form that one of our own pages posts.
pub struct Posted(pub Ask);

impl FromRequest for Posted {
    type Error = Denied;
    type Future = LocalBoxFuture<'static, Result<Self, Denied>>;

    fn from_request(request: &HttpRequest, payload: &mut Payload) -> Self::Future {
        let payload = web::Payload::from_request(request, payload).into_inner();
        let request = request.clone();
        Box::pin(async move {
            let body = whole(&request, payload).await?;
            let knock = Knock {
                content_type: text(request.headers(), &header::CONTENT_TYPE).map_err(refused)?,
                body: &body,
                origin: visit::origin(&request),
                ..Knock::default()
            };
            Ok(Self(Ask::read(knock).map_err(refused)?))
        })
    }
}

/// `Prefer: wait=N` (RFC 7240 section 4.3), bounded.
pub fn asked_wait(request: &HttpRequest) -> Option<Duration> {
    let preferences = request.headers().get_all(HeaderName::from_static("prefer"));
    let mut parts =
        preferences.filter_map(|value| value.to_str().ok()).flat_map(|value| value.split([',', ';']));
    let seconds = parts.find_map(|part| part.trim().strip_prefix("wait=")?.trim().parse::<u64>().ok())?;
    Some(Duration::from_secs(seconds.min(LONGEST_WAIT)))
}

/// A document of a guard, heard as patiently as everything else and no more.
pub struct Told<T>(pub T);

impl<T: DeserializeOwned + 'static> FromRequest for Told<T> {
    type Error = Denied;
    type Future = LocalBoxFuture<'static, Result<Self, Denied>>;

    fn from_request(request: &HttpRequest, payload: &mut Payload) -> Self::Future {
        let payload = web::Payload::from_request(request, payload).into_inner();
        let request = request.clone();
        Box::pin(async move {
            let body = whole(&request, payload).await?;
            let read = serde_json::from_slice(&body);
            read.map(Self).map_err(|_| refused(bad("The body is not the JSON that belongs here.")))
        })
    }
}

/// Has the framework's own readers refuse in our words and hold to our limit.
pub fn teach(app: &mut web::ServiceConfig) {
    app.app_data(web::QueryConfig::default().error_handler(|_, _| unread("The query cannot be read.")));
    app.app_data(web::JsonConfig::default().limit(BODY_LIMIT).error_handler(|wrong, _| match wrong {
        JsonPayloadError::Overflow { limit } | JsonPayloadError::OverflowKnownLength { limit, .. } => {
            Denied::TooLarge(limit).into()
        }
        _ => unread("The body is not the JSON that belongs here."),
    }));
}

fn unread(sentence: &'static str) -> actix_web::Error {
    refused(bad(sentence)).into()
}

/// A body, bounded in size and time.
///
/// # Errors
/// [`Denied`] when it is too large, too slow, or torn.
pub async fn whole(
    request: &HttpRequest,
    payload: Result<web::Payload, actix_web::Error>,
) -> Result<Bytes, Denied> {
    let house = request.app_data::<web::Data<House>>();
    let patience = house.map_or(BODY_PATIENCE, |house| Duration::from_millis(house.settings.limits.body_ms));
    let torn = |_| refused(bad("The body could not be read."));
    let body = payload.map_err(torn)?.to_bytes_limited(BODY_LIMIT);
    match tokio::time::timeout(patience, body).await {
        Err(_) => Err(Denied::TooSlow),
        Ok(Err(_)) => Err(Denied::TooLarge(BODY_LIMIT)),
        Ok(Ok(read)) => read.map_err(torn),
    }
}

/// The vendor's way for a backend to say for whom it asks: both headers, once each, or nothing.
fn hear_visitor(house: &House, request: &HttpRequest, ask: &mut Ask) {
    let one = |name| text(request.headers(), &HeaderName::from_static(name)).unwrap_or_default();
    let (visitor, key) = (one("x-true-client-ip").trim(), one("x-backend-auth"));
    if !visitor.is_empty() && !key.is_empty() {
        house.authority.hear_visitor(ask, visitor, &Secret::from(key));
    }
}

fn read(request: &HttpRequest, body: &[u8]) -> Result<Ask, Refusal> {
    let headers = request.headers();
    if std::str::from_utf8(body).is_err() {
        return Err(bad("The body is not UTF-8."));
    }
    let authorization = headers
        .get_all(header::AUTHORIZATION)
        .map(|value| value.to_str().map_err(|_| bad("The Authorization header is not plain text.")))
        .collect::<Result<Vec<_>, _>>()?;
    Ask::read(Knock {
        content_type: text(headers, &header::CONTENT_TYPE)?,
        authorization,
        query: request.query_string(),
        body,
        origin: visit::origin(request),
    })
}

/// The one value of a header that must not be sent twice; absent is empty.
fn text<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Result<&'a str, Refusal> {
    let mut values = headers.get_all(name);
    match (values.next(), values.next()) {
        (None, _) => Ok(""),
        (Some(one), None) => one.to_str().map_err(|_| bad("A header is not plain text.")),
        _ => Err(bad("A header is sent more than once.")),
    }
}

/// The access token of a request.
///
/// # Errors
/// `invalid_token` for anything that is not one bearer token (RFC 6750 section 2.1).
pub fn bearer(request: &HttpRequest) -> Result<&str, Refusal> {
    let refusal = || Refusal::new(Code::InvalidToken, "Send one access token in the Authorization header.");
    if !request.headers().contains_key(header::AUTHORIZATION) {
        return Err(refusal().because(reply::NO_TOKEN));
    }
    text(request.headers(), &header::AUTHORIZATION)
        .ok()
        .and_then(|value| value.split_once(' '))
        .filter(|(scheme, token)| scheme.eq_ignore_ascii_case("bearer") && !token.is_empty())
        .map(|(_, token)| token)
        .ok_or_else(refusal)
}

fn bad(sentence: &'static str) -> Refusal {
    Refusal::new(Code::InvalidRequest, sentence)
}

fn refused(refusal: Refusal) -> Denied {
    Denied::Refused(At::Token, refusal)
}
