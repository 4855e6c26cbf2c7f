//! The bridge from inside words to outside words: the only room that knows a status code.
//!
//! Every refusal carries both the members of RFC 6749 section 5.2 and the vendor's `errors` list, because
//! each kind of client looks at one of the two and takes the lack of it for success. Causes and the words
//! of broken parts stop here.

pub mod admin;
pub mod json_api;

use std::borrow::Cow;
use std::convert::Infallible;
use std::sync::Arc;

use actix_web::http::StatusCode;
use actix_web::http::header::{self, HeaderMap, HeaderName, HeaderValue, TryIntoHeaderPair};
use actix_web::web::Bytes;
use actix_web::{HttpResponse, HttpResponseBuilder, ResponseError};
use futures_util::Stream;
use portcullis_authority::limits::Standing;
use portcullis_authority::refusal::{Code, Limited, Not, Refusal, Trouble};
use serde::Serialize;
use serde_json::{Value, json};

use crate::feed::Impossible;

/// Which door was knocked at: the vendor words some refusals differently at some of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum At {
    Token,
    Revoke,
    Introspect,
    /// A path of the feed, for guards.
    Feed,
    /// A core API path: a dead token is `INVALID_TOKEN`, and `status` is text as JSON:API has it.
    TokenInfo,
    /// A provisioning API path: a dead token is `UNAUTHORIZED`.
    Provisioning,
}

/// An answer with a body for programs.
pub fn json(body: &impl Serialize) -> HttpResponse {
    with_json(StatusCode::OK, body)
}

/// Plain text that is of this moment only.
pub fn text(text: String) -> HttpResponse {
    no_store(HttpResponse::Ok().content_type("text/plain; charset=utf-8").body(text))
}

/// JSON that is written already.
pub fn json_text(text: String) -> HttpResponse {
    HttpResponse::Ok().content_type("application/json").body(text)
}

/// Bytes of this moment.
pub fn bytes(bytes: Vec<u8>) -> HttpResponse {
    no_store(HttpResponse::Ok().content_type("application/octet-stream").body(bytes))
}

/// Bytes whose address is the hash of their content: they may be kept for ever, by anybody.
pub fn immutable_bytes(bytes: Arc<[u8]>) -> HttpResponse {
    // Shared with whoever else is being answered: a fleet that starts asks for all segments at once.
    let bytes = Bytes::from_owner(bytes);
    let mut answer = HttpResponse::Ok().content_type("application/octet-stream").body(bytes);
    set(&mut answer, (header::CACHE_CONTROL, "public, max-age=31536000, immutable"));
    answer
}

/// Server-sent events, without end.
pub fn events<S>(events: S) -> HttpResponse
where
    S: Stream<Item = Result<Bytes, Infallible>> + 'static,
{
    let mut builder = HttpResponse::Ok();
    builder.content_type("text/event-stream").insert_header((header::CACHE_CONTROL, "no-store"));
    builder.streaming(events)
}

/// What was asked for has been sealed into a segment: fetch the manifest.
pub fn sealed_already() -> HttpResponse {
    problem(StatusCode::GONE, "gone", "This part of the feed is sealed; fetch the manifest.")
}

/// The feed has begun a new epoch, or never was where the guard says: fetch the manifest.
pub fn other_epoch() -> HttpResponse {
    problem(StatusCode::CONFLICT, "conflict", "The feed is not where you say; fetch the manifest.")
}

/// What a guard says of itself cannot be.
pub fn impossible_report(why: Impossible) -> HttpResponse {
    let sentence = match why {
        Impossible::Beyond => "The feed has not got that far; report what you have applied.",
        Impossible::Future => "No batch of the feed is that late; report the as_of of what you have applied.",
    };
    problem(StatusCode::CONFLICT, "conflict", sentence)
}

/// A document that anybody may read from anywhere and keep for five minutes. New keys are published long
/// before they sign, so nobody misses one by that.
pub fn public_document(body: impl Into<String>) -> HttpResponse {
    HttpResponse::Ok()
        .content_type("application/json")
        .insert_header((header::CACHE_CONTROL, "public, max-age=300"))
        .insert_header((header::ACCESS_CONTROL_ALLOW_ORIGIN, "*"))
        .body(body.into())
}

/// A page. `policy` is its Content-Security-Policy.
pub fn page(html: String, policy: &str) -> HttpResponse {
    html_page(StatusCode::OK, html, policy)
}

/// A page that says why not.
pub fn refused_page(html: String, policy: &str) -> HttpResponse {
    html_page(StatusCode::BAD_REQUEST, html, policy)
}

/// A page that asks to come back when a limit holds no more.
pub fn limited_page(html: String, policy: &str, limited: &Limited) -> HttpResponse {
    let mut answer = html_page(StatusCode::TOO_MANY_REQUESTS, html, policy);
    wait(&mut answer, limited);
    answer
}

/// A page that asks to come back in a moment.
pub fn broken_page(html: String, policy: &str) -> HttpResponse {
    let mut answer = html_page(StatusCode::SERVICE_UNAVAILABLE, html, policy);
    set(&mut answer, (header::RETRY_AFTER, RETRY_SECONDS));
    answer
}

/// Sends the browser on with a GET, whatever it did before: with 307 it would post the password again to
/// the client (RFC 9700 section 4.12).
pub fn see_other(address: &str) -> HttpResponse {
    no_store(HttpResponse::SeeOther().insert_header((header::LOCATION, address)).finish())
}

/// What is read here is read there from now on, in the same way (RFC 9110 section 15.4.9).
pub fn permanently_at(address: &str) -> HttpResponse {
    no_store(HttpResponse::PermanentRedirect().insert_header((header::LOCATION, address)).finish())
}

/// Something came without TLS that nobody else should have seen.
pub fn not_in_the_clear(instead: &str) -> HttpResponse {
    let sentence = format!(
        "Use {instead}, and replace the secrets that you sent: they crossed the network in the clear."
    );
    Denied::Refused(At::Token, Refusal::new(Code::InvalidRequest, sentence)).error_response()
}

/// A preflight that was understood; what it may do is in the headers, if it may do anything.
pub fn preflight() -> HttpResponse {
    HttpResponse::NoContent().finish()
}

/// The server can work, or says what it waits for.
pub fn ready(trouble: Option<&Trouble>) -> HttpResponse {
    match trouble {
        None => no_store(json(&json!({ "status": "ready" }))),
        Some(trouble) => broken(trouble),
    }
}

/// The server goes soon: ask another one.
pub fn leaving() -> HttpResponse {
    let mut answer = problem(
        StatusCode::SERVICE_UNAVAILABLE,
        "leaving",
        "This server is about to stop; send requests to another one.",
    );
    set(&mut answer, (header::RETRY_AFTER, RETRY_SECONDS));
    answer
}

/// There is nothing at this address.
pub async fn nothing_here() -> HttpResponse {
    problem(StatusCode::NOT_FOUND, "not_found", "There is nothing at this address.")
}

/// The address exists, the method does not.
pub fn wrong_method(allow: &'static str) -> HttpResponse {
    let mut answer = problem(
        StatusCode::METHOD_NOT_ALLOWED,
        "method_not_allowed",
        format!("This address answers to {allow}."),
    );
    set(&mut answer, (header::ALLOW, allow));
    answer
}

/// Not done, as the world is told.
#[derive(Debug)]
pub enum Denied {
    Refused(At, Refusal),
    Broken(Trouble),
    /// The body is larger than this many bytes.
    TooLarge(usize),
    /// The body did not arrive in time.
    TooSlow,
}

impl Denied {
    /// For `map_err`: says at which door it was refused.
    pub fn at(at: At) -> impl Fn(Not) -> Self {
        move |not| match not {
            Not::Refused(refusal) => Self::Refused(at, refusal),
            Not::Broken(trouble) => Self::Broken(trouble),
        }
    }
}

impl std::fmt::Display for Denied {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Refused(at, refusal) => write!(out, "{at:?}: {}", refusal.code.as_str()),
            Self::Broken(trouble) => write!(out, "{} is broken", trouble.what),
            Self::TooLarge(limit) => write!(out, "a body of more than {limit} bytes"),
            Self::TooSlow => out.write_str("a body that did not arrive"),
        }
    }
}

impl ResponseError for Denied {
    fn status_code(&self) -> StatusCode {
        match self {
            Self::Refused(at, refusal) => status_of(*at, refusal.code),
            Self::Broken(_) => StatusCode::SERVICE_UNAVAILABLE,
            Self::TooLarge(_) => StatusCode::PAYLOAD_TOO_LARGE,
            Self::TooSlow => StatusCode::REQUEST_TIMEOUT,
        }
    }

    fn error_response(&self) -> HttpResponse {
        match self {
            Self::Refused(at, refusal) => refused(*at, refusal),
            Self::Broken(trouble) => broken(trouble),
            Self::TooLarge(limit) => problem(
                self.status_code(),
                "payload_too_large",
                format!("Send at most {} KiB.", limit / 1024),
            ),
            Self::TooSlow => problem(self.status_code(), "request_timeout", "The body did not arrive."),
        }
    }
}

/// A limit said no; the answer tells of that limit and no other.
pub const LIMITED: StatusCode = StatusCode::TOO_MANY_REQUESTS;
const RETRY_SECONDS: &str = "1";
const BEARER_REALM: &str = "Bearer realm=\"portcullis\"";
/// The cause of a refusal where no token was sent at all.
pub const NO_TOKEN: &str = "no token";
const REALM_BASIC: &str = "Basic realm=\"portcullis\"";

fn status_of(at: At, code: Code) -> StatusCode {
    match (at, code) {
        (At::Revoke, Code::InvalidClient | Code::UnauthorizedClient) => StatusCode::FORBIDDEN,
        (At::TokenInfo | At::Provisioning, Code::AccessDenied) => StatusCode::FORBIDDEN,
        (_, Code::InvalidClient | Code::InvalidToken) => StatusCode::UNAUTHORIZED,
        (_, Code::TooManyRequests) => StatusCode::TOO_MANY_REQUESTS,
        _ => StatusCode::BAD_REQUEST,
    }
}

fn refused(at: At, refusal: &Refusal) -> HttpResponse {
    let status = status_of(at, refusal.code);
    let mut said =
        Said { status, title: refusal.code.as_str(), detail: &refusal.sentence, code: name(status) };
    match (at, refusal.code) {
        // The vendor answers a revocation without a valid client like this, and its clients test for it.
        (At::Revoke, Code::InvalidClient | Code::UnauthorizedClient) => {
            said.title = Code::UnauthorizedClient.as_str();
        }
        (At::TokenInfo, Code::InvalidToken) => said.code = "INVALID_TOKEN",
        _ => {}
    }
    let mut body = said.body();
    if matches!(at, At::TokenInfo | At::Provisioning) {
        body["errors"][0]["status"] = status.as_str().into();
    }
    // The vendor's clients know a limit by `errors` being one object and no list; JSON:API knows lists only.
    if refusal.limited.is_some() && at != At::Provisioning {
        body["errors"] = body["errors"][0].take();
    }
    let mut answer = no_store(with_json(status, &body));
    if let Some(limited) = &refusal.limited {
        wait(&mut answer, limited);
    }
    if status == StatusCode::UNAUTHORIZED {
        // RFC 9110 section 15.5.2: a 401 always names a scheme.
        let challenge = match refusal.code {
            // RFC 6750 section 3.1: whoever sent no token is told the scheme and no error.
            Code::InvalidToken if refusal.cause == NO_TOKEN => BEARER_REALM.into(),
            Code::InvalidToken => bearer_challenge(refusal),
            _ => REALM_BASIC.into(),
        };
        set(&mut answer, (header::WWW_AUTHENTICATE, challenge));
    }
    answer
}

/// Where a caller stands, in the vendor's headers: they tell of the average limit.
pub fn stand(headers: &mut HeaderMap, standing: &Standing) {
    let mut say = |name, number: u32| headers.insert(HeaderName::from_static(name), number.into());
    say("x-ratelimit-limit", standing.limit);
    say("x-ratelimit-interval", standing.interval);
    say("x-ratelimit-remaining", standing.remaining);
}

/// When to come again (RFC 9110 section 10.2.3).
fn wait(answer: &mut HttpResponse, limited: &Limited) {
    let Limited { limit, interval, retry_after } = *limited;
    stand(answer.headers_mut(), &Standing { limit, interval, remaining: 0 });
    set(answer, (header::RETRY_AFTER, retry_after.to_string()));
}

/// RFC 6750 section 3.
fn bearer_challenge(refusal: &Refusal) -> String {
    format!(
        "Bearer realm=\"portcullis\", error=\"{}\", error_description=\"{}\"",
        refusal.code.as_str(),
        plain(&refusal.sentence)
    )
}

fn broken(trouble: &Trouble) -> HttpResponse {
    tracing::error!(what = trouble.what, why = %trouble.why, "a part of the server does not work");
    let mut answer = problem(
        StatusCode::SERVICE_UNAVAILABLE,
        "temporarily_unavailable",
        "The server cannot do this at the moment. Nothing was done; try again in a second.",
    );
    set(&mut answer, (header::RETRY_AFTER, RETRY_SECONDS));
    answer
}

fn problem(status: StatusCode, title: &str, detail: impl Into<Cow<'static, str>>) -> HttpResponse {
    let said = Said { status, title, detail: &detail.into(), code: name(status) };
    no_store(with_json(status, &said.body()))
}

struct Said<'a> {
    status: StatusCode,
    title: &'a str,
    detail: &'a str,
    code: &'a str,
}

impl Said<'_> {
    fn body(&self) -> Value {
        json!({
            "error": self.title,
            "error_description": plain(self.detail),
            "errors": [{
                "title": self.title,
                "detail": self.detail,
                "code": self.code,
                "status": self.status.as_u16(),
                "meta": {},
            }],
        })
    }
}

/// The vendor's `code`: the name of the status in capitals.
fn name(status: StatusCode) -> &'static str {
    match status {
        StatusCode::BAD_REQUEST => "BAD_REQUEST",
        StatusCode::UNAUTHORIZED => "UNAUTHORIZED",
        StatusCode::FORBIDDEN => "FORBIDDEN",
        StatusCode::NOT_FOUND => "NOT_FOUND",
        StatusCode::GONE => "GONE",
        StatusCode::CONFLICT => "CONFLICT",
        StatusCode::METHOD_NOT_ALLOWED => "METHOD_NOT_ALLOWED",
        StatusCode::REQUEST_TIMEOUT => "REQUEST_TIMEOUT",
        StatusCode::PAYLOAD_TOO_LARGE => "PAYLOAD_TOO_LARGE",
        StatusCode::TOO_MANY_REQUESTS => "TOO_MANY_REQUESTS",
        _ => "SERVICE_UNAVAILABLE",
    }
}

/// Only the characters that `error_description` may hold (RFC 6749 section 5.2), which are also safe
/// inside a quoted header parameter.
fn plain(sentence: &str) -> String {
    let fitting = |c| match c {
        '"' => '\'',
        '\\' => '/',
        ' '..='~' => c,
        _ => '?',
    };
    sentence.chars().map(fitting).collect()
}

fn with_json(status: StatusCode, body: &impl Serialize) -> HttpResponse {
    match serde_json::to_vec(body) {
        Ok(bytes) => HttpResponseBuilder::new(status).content_type("application/json").body(bytes),
        Err(wrong) => broken(&Trouble::new("writing an answer", wrong)),
    }
}

fn html_page(status: StatusCode, html: String, policy: &str) -> HttpResponse {
    let mut builder = HttpResponseBuilder::new(status);
    builder
        .content_type("text/html; charset=utf-8")
        .insert_header((header::CONTENT_SECURITY_POLICY, policy))
        .insert_header((header::X_FRAME_OPTIONS, "DENY"));
    no_store(builder.body(html))
}

/// Answers that speak of one caller are kept by nobody (RFC 6749 section 5.1).
pub fn no_store(mut answer: HttpResponse) -> HttpResponse {
    answer.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    answer.headers_mut().insert(header::PRAGMA, HeaderValue::from_static("no-cache"));
    answer
}

/// Sets a header. A value that is not fit for one is left out rather than failing the whole answer.
pub fn set(answer: &mut HttpResponse, pair: impl TryIntoHeaderPair) {
    if let Ok((name, value)) = pair.try_into_pair() {
        answer.headers_mut().insert(name, value);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::golden::{compare, compare_denied, shown};

    fn refusal(code: Code) -> Refusal {
        Refusal::new(code, "What is wrong, and what to do.").because("a cause that stays inside")
    }

    #[actix_web::test]
    async fn every_refusal_speaks_both_languages() {
        let cases = [
            ("token-invalid-client", At::Token, Code::InvalidClient),
            ("token-invalid-grant", At::Token, Code::InvalidGrant),
            ("token-invalid-assertion", At::Token, Code::InvalidAssertion),
            ("token-unauthorized-client", At::Token, Code::UnauthorizedClient),
            ("revoke-invalid-client", At::Revoke, Code::InvalidClient),
            ("revoke-invalid-request", At::Revoke, Code::InvalidRequest),
            ("introspect-invalid-client", At::Introspect, Code::InvalidClient),
            ("tokeninfo-invalid-token", At::TokenInfo, Code::InvalidToken),
            ("provisioning-invalid-token", At::Provisioning, Code::InvalidToken),
            ("provisioning-access-denied", At::Provisioning, Code::AccessDenied),
        ];
        for (name, at, code) in cases {
            compare_denied(name, &Denied::Refused(at, refusal(code))).await;
        }
    }

    #[actix_web::test]
    async fn a_limit_is_one_object_for_the_vendors_clients_and_a_list_for_json_api() {
        let limited = Some(Limited { limit: 600, interval: 60, retry_after: 7 });
        let refusal = Refusal { limited, ..refusal(Code::TooManyRequests) };
        for (name, at) in [("token-too-many", At::Token), ("provisioning-too-many", At::Provisioning)] {
            compare_denied(name, &Denied::Refused(at, refusal.clone())).await;
        }
    }

    #[actix_web::test]
    async fn what_goes_wrong_before_the_protocol_is_json_too() {
        compare("not-found", &shown(nothing_here().await).await);
        compare("method-not-allowed", &shown(wrong_method("POST")).await);
        compare_denied("payload-too-large", &Denied::TooLarge(64 * 1024)).await;
        compare_denied("request-timeout", &Denied::TooSlow).await;
    }

    #[actix_web::test]
    async fn trouble_keeps_its_reasons_to_itself() {
        let denied = Denied::Broken(Trouble::new("ledger", "disk 7 at 10.0.0.9 is on fire"));
        let seen = shown(denied.error_response()).await;
        assert!(!seen.to_string().contains("fire"), "{seen}");
        compare("trouble", &seen);
    }

    #[actix_web::test]
    async fn a_cause_never_crosses_the_door() {
        for at in [At::Token, At::Revoke, At::Introspect, At::TokenInfo, At::Provisioning] {
            let seen = shown(refused(at, &refusal(Code::InvalidClient))).await;
            assert!(!seen.to_string().contains("cause"), "{seen}");
        }
    }

    #[test]
    fn a_description_holds_only_what_the_rfc_allows() {
        assert_eq!(plain("a \"b\" \\ ü\n"), "a 'b' / ??");
    }

    #[test]
    fn the_browser_is_sent_on_with_get() {
        let answer = see_other("https://shop.example/cb?code=1");
        assert_eq!(answer.status(), StatusCode::SEE_OTHER);
        assert_eq!(answer.headers().get(header::CACHE_CONTROL).unwrap(), "no-store");
    }
}
