//! The guard at an actix door: reads the one `Authorization` header, asks the guard, answers refusals in
//! the words of RFC 6750 and of JSON:API. Decides nothing itself.
//!
//! Two doors that agree. [`Gate`] wraps an app or a scope and lets nothing through that it was not told
//! of. [`Authenticated`] is an argument of a handler: no token, no handler.

mod gate;
mod reply;

use std::future::{Ready, ready};
use std::ops::Deref;

use actix_web::dev::Payload;
use actix_web::http::header::AUTHORIZATION;
use actix_web::{FromRequest, HttpMessage, HttpRequest, web};

pub use gate::Gate;
pub use reply::{Refused, Replies};

use crate::policy::{Action, Facts, Filter, Subject};
use crate::{Access, Guard};
use reply::Cause;

/// A request whose access token was checked; dereferences to the [`Access`].
///
/// Behind a [`Gate`] it is the gate's finding. Without one the guard is taken from the app data (a
/// [`Guard`] or `web::Data<Guard>`), and the manner of refusals from a [`Replies`] there, if any.
#[derive(Clone, Debug)]
pub struct Authenticated {
    access: Access,
    guard: Guard,
    replies: Replies,
}

impl Authenticated {
    /// As [`Guard::permit`], with a refusal that a handler can return.
    ///
    /// # Errors
    /// [`Refused`], which renders itself.
    pub fn permit(&self, subject: impl Subject, action: Action, facts: &Facts<'_>) -> Result<(), Refused> {
        let permitted = self.guard.permit(&self.access, subject, action, facts);
        permitted.map_err(|forbidden| self.replies.refuse(Cause::Forbidden(forbidden)))
    }

    /// As [`Guard::filter`], with a refusal that a handler can return.
    ///
    /// # Errors
    /// [`Refused`], which renders itself.
    pub fn filter(&self, subject: impl Subject, action: Action) -> Result<Filter<'_>, Refused> {
        let filter = self.guard.filter(&self.access, subject, action);
        filter.map_err(|forbidden| self.replies.refuse(Cause::Forbidden(forbidden)))
    }
}

impl Deref for Authenticated {
    type Target = Access;

    fn deref(&self) -> &Access {
        &self.access
    }
}

impl FromRequest for Authenticated {
    type Error = Refused;
    type Future = Ready<Result<Self, Refused>>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        if let Some(found) = request.extensions().get::<Self>() {
            return ready(Ok(found.clone()));
        }
        let replies = request.app_data::<Replies>().cloned().unwrap_or_default();
        let shared = || request.app_data::<web::Data<Guard>>().map(|guard| guard.get_ref());
        let Some(guard) = request.app_data::<Guard>().or_else(shared) else {
            return ready(Err(replies.refuse(Cause::NoGuard)));
        };
        ready(authenticate(request, guard, &replies))
    }
}

/// Checks the token of a request.
fn authenticate(request: &HttpRequest, guard: &Guard, replies: &Replies) -> Result<Authenticated, Refused> {
    let token = bearer(request).map_err(|cause| replies.refuse(cause))?;
    let access = guard.authenticate(token).map_err(|denied| replies.refuse(Cause::Denied(denied)))?;
    Ok(Authenticated { access, guard: guard.clone(), replies: replies.clone() })
}

/// The bearer token of a request (RFC 6750 section 2.1): of its only `Authorization` header, and from
/// nowhere else. A token in the query ends up in logs and referrers, so a request that has one beside the
/// header is refused, and one that has nothing else counts as having none (RFC 9700 section 4.3.2).
fn bearer(request: &HttpRequest) -> Result<&str, Cause> {
    let mut headers = request.headers().get_all(AUTHORIZATION);
    let Some(header) = headers.next() else { return Err(Cause::NoToken) };
    if headers.next().is_some() {
        return Err(Cause::BadRequest("There is more than one Authorization header."));
    }
    let unreadable = Cause::BadRequest("The Authorization header is not readable.");
    let header = header.to_str().map_err(|_| unreadable)?;
    let (scheme, token) = header.split_once(' ').unwrap_or((header, ""));
    if !scheme.eq_ignore_ascii_case("bearer") {
        return Err(Cause::NoToken);
    }
    if request.query_string().split('&').any(|pair| pair.split('=').next() == Some("access_token")) {
        return Err(Cause::BadRequest("A token belongs into the Authorization header alone."));
    }
    if token.is_empty() || token.contains([' ', ',', '\t']) {
        return Err(Cause::BadRequest("The Authorization header does not hold one bearer token."));
    }
    Ok(token)
}
