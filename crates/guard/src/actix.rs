//! The guard at an actix door: reads the one `Authorization` header, asks the guard, answers refusals in
//! the words of RFC 6750 and of JSON:API. Decides nothing itself.
//!
//! Two doors that agree. [`Gate`] wraps an app or a scope and lets nothing through that it was not told
//! of. [`Authenticated`] is an argument of a handler: no token, no handler.

mod gate;
mod reply;

use std::future::{Future, ready};
use std::ops::Deref;
use std::pin::Pin;

use actix_web::dev::Payload;
use actix_web::http::header::AUTHORIZATION;
use actix_web::{FromRequest, HttpMessage, HttpRequest, web};

pub use gate::Gate;
pub use reply::{Refused, Replies};

use crate::guard::{Look, Open};
use crate::policy::{Action, Facts, Filter, Subject};
use crate::{Access, Denied, Guard, OnStale};
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
    type Future = Pin<Box<dyn Future<Output = Result<Self, Refused>>>>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        if let Some(found) = request.extensions().get::<Self>() {
            return Box::pin(ready(Ok(found.clone())));
        }
        let replies = request.app_data::<Replies>().cloned().unwrap_or_default();
        let shared = || request.app_data::<web::Data<Guard>>().map(|guard| guard.get_ref());
        let Some(guard) = request.app_data::<Guard>().or_else(shared) else {
            return Box::pin(ready(Err(replies.refuse(Cause::NoGuard))));
        };
        match Inspection::begin(request, guard, &replies, None) {
            Inspection::Done(found) => Box::pin(ready(*found)),
            Inspection::Open(open) => Box::pin(open.ask()),
        }
    }
}

/// How far the check of a request has come without waiting for anybody.
enum Inspection {
    Done(Box<Result<Authenticated, Refused>>),
    /// The guard is stale, and the issuer is to be asked.
    Open(Question),
}

/// What the issuer is to be asked.
struct Question {
    token: String,
    open: Open,
    guard: Guard,
    replies: Replies,
}

impl Inspection {
    /// Looks at the token of a request, under the guard's own policy unless there is another.
    fn begin(request: &HttpRequest, guard: &Guard, replies: &Replies, on_stale: Option<OnStale>) -> Self {
        let token = match bearer(request) {
            Ok(token) => token,
            Err(cause) => return Self::Done(Box::new(Err(replies.refuse(cause)))),
        };
        let (guard, replies) = (guard.clone(), replies.clone());
        match guard.look_now(token, on_stale) {
            Look::Decided(decision) => Self::Done(Box::new(found(guard, replies, decision))),
            Look::AskIssuer(open) => Self::Open(Question { token: token.to_owned(), open, guard, replies }),
        }
    }
}

impl Question {
    /// Asks on a thread that may wait, so that the worker can go on with other requests.
    async fn ask(self) -> Result<Authenticated, Refused> {
        let Self { token, open, guard, replies } = self;
        let asking = guard.clone();
        let decision = web::block(move || asking.ask_issuer(&token, open)).await;
        // A thread that did not come back has not said yes.
        found(guard, replies, decision.unwrap_or(Err(Denied::Stale)))
    }
}

fn found(guard: Guard, replies: Replies, decision: Result<Access, Denied>) -> Result<Authenticated, Refused> {
    match decision {
        Ok(access) => Ok(Authenticated { access, guard, replies }),
        Err(denied) => Err(replies.refuse(Cause::Denied(denied))),
    }
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
