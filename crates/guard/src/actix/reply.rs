//! The only file that knows how a refusal looks from the street: status, challenge and body.

use std::fmt;
use std::sync::Arc;

use actix_web::http::StatusCode;
use actix_web::http::header::{CACHE_CONTROL, RETRY_AFTER, WWW_AUTHENTICATE};
use actix_web::{HttpResponse, ResponseError};
use serde_json::json;

use crate::{Denied, Forbidden};

/// Seconds after which a client may ask a stale guard again: two beats of the feed.
const RETRY_STALE: &str = "2";

/// How refusals are worded. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Replies {
    realm: Arc<str>,
    commerce_layer: bool,
}

impl Default for Replies {
    fn default() -> Self {
        Self { realm: "commerce".into(), commerce_layer: false }
    }
}

impl Replies {
    /// RFC 6750's way: a token without the right is 403 `insufficient_scope`.
    pub fn new() -> Self {
        Self::default()
    }

    /// The realm of the challenge (RFC 9110 section 11.5); what cannot stand between quotes is left out.
    pub fn realm(mut self, realm: &str) -> Self {
        let plain = |letter: &char| (' '..='~').contains(letter) && !['"', '\\'].contains(letter);
        self.realm = realm.chars().filter(plain).collect::<String>().into();
        self
    }

    /// Whether a token without the right is 401 `UNAUTHORIZED`, as Commerce Layer's API answers and its
    /// clients expect.
    pub fn commerce_layer_profile(mut self, compatible: bool) -> Self {
        self.commerce_layer = compatible;
        self
    }

    pub(super) fn refuse(&self, cause: Cause) -> Refused {
        Refused { cause, replies: self.clone() }
    }
}

/// Why a request was refused.
#[derive(Clone, Copy, Debug)]
pub(super) enum Cause {
    /// No bearer token was sent.
    NoToken,
    /// The request cannot be understood (RFC 6750 section 3.1, `invalid_request`).
    BadRequest(&'static str),
    /// The token was not accepted.
    Denied(Denied),
    /// The token is good and may not do this.
    Forbidden(Forbidden),
    /// The gate was not told of this route.
    Unlisted,
    /// The service has no guard. Nobody gets in.
    NoGuard,
}

/// A refusal that renders itself. `Display` is the line for the log and is never sent.
#[derive(Clone, Debug)]
pub struct Refused {
    cause: Cause,
    replies: Replies,
}

impl Refused {
    /// Why the token was not accepted, if that is the reason.
    pub fn denied(&self) -> Option<Denied> {
        if let Cause::Denied(denied) = self.cause { Some(denied) } else { None }
    }

    /// Why the action was not allowed, if that is the reason.
    pub fn forbidden(&self) -> Option<Forbidden> {
        if let Cause::Forbidden(forbidden) = self.cause { Some(forbidden) } else { None }
    }

    /// Status, error code of RFC 6750 section 3.1, and the vendor's title and code.
    fn words(&self) -> (StatusCode, Option<&'static str>, &'static str, &'static str) {
        match self.cause {
            Cause::NoToken => (StatusCode::UNAUTHORIZED, None, "Missing token", "UNAUTHORIZED"),
            Cause::BadRequest(_) => {
                (StatusCode::BAD_REQUEST, Some("invalid_request"), "Invalid request", "BAD_REQUEST")
            }
            Cause::Denied(Denied::Stale) => {
                (StatusCode::SERVICE_UNAVAILABLE, None, "Service unavailable", "SERVICE_UNAVAILABLE")
            }
            Cause::Denied(_) => {
                (StatusCode::UNAUTHORIZED, Some("invalid_token"), "Invalid token", "INVALID_TOKEN")
            }
            Cause::Forbidden(_) | Cause::Unlisted if self.replies.commerce_layer => {
                (StatusCode::UNAUTHORIZED, Some("insufficient_scope"), "Unauthorized", "UNAUTHORIZED")
            }
            Cause::Forbidden(_) | Cause::Unlisted => {
                (StatusCode::FORBIDDEN, Some("insufficient_scope"), "Forbidden", "FORBIDDEN")
            }
            Cause::NoGuard => {
                (StatusCode::INTERNAL_SERVER_ERROR, None, "Internal error", "INTERNAL_SERVER_ERROR")
            }
        }
    }

    /// The sentence for whoever sent the request.
    fn detail(&self) -> &'static str {
        match &self.cause {
            Cause::NoToken => "This needs an access token.",
            Cause::BadRequest(why) => why,
            Cause::Denied(denied) => denied.sentence(),
            Cause::Forbidden(_) | Cause::Unlisted => "The access token does not allow this.",
            Cause::NoGuard => "The service is not set up.",
        }
    }

    /// The challenge of RFC 6750 section 3. A request without a token learns no error code.
    fn challenge(&self, error: Option<&str>) -> String {
        let realm = &self.replies.realm;
        match error {
            None => format!("Bearer realm=\"{realm}\""),
            Some(error) => {
                let detail = self.detail();
                format!("Bearer realm=\"{realm}\", error=\"{error}\", error_description=\"{detail}\"")
            }
        }
    }
}

impl fmt::Display for Refused {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.cause {
            Cause::NoToken => to.write_str("no_token: no bearer token was sent"),
            Cause::BadRequest(why) => write!(to, "invalid_request: {why}"),
            Cause::Denied(denied) => denied.fmt(to),
            Cause::Forbidden(forbidden) => forbidden.fmt(to),
            Cause::Unlisted => to.write_str("unlisted: the gate was not told of this route"),
            Cause::NoGuard => to.write_str("no_guard: the app data holds no guard"),
        }
    }
}

impl ResponseError for Refused {
    fn status_code(&self) -> StatusCode {
        self.words().0
    }

    fn error_response(&self) -> HttpResponse {
        let (status, error, title, code) = self.words();
        let mut reply = HttpResponse::build(status);
        reply.content_type("application/vnd.api+json").insert_header((CACHE_CONTROL, "no-store"));
        if status == StatusCode::SERVICE_UNAVAILABLE {
            reply.insert_header((RETRY_AFTER, RETRY_STALE));
        } else if !status.is_server_error() {
            reply.insert_header((WWW_AUTHENTICATE, self.challenge(error)));
        }
        let status = status.as_str();
        let told = json!({"title": title, "detail": self.detail(), "code": code, "status": status});
        reply.body(json!({"errors": [told]}).to_string())
    }
}
