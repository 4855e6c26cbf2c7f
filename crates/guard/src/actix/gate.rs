//! A gate around routes. What it was not told of does not open, so a route that somebody adds tomorrow is
//! closed until somebody says what it needs.

use std::collections::HashMap;
use std::future::{Future, Ready, ready};
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;

use actix_web::body::{EitherBody, MessageBody};
use actix_web::dev::{Service, ServiceRequest, ServiceResponse, Transform, forward_ready};
use actix_web::http::Method;
use actix_web::{Error, HttpMessage};

use super::reply::Cause;
use super::{Authenticated, Inspection, Refused, Replies};
use crate::policy::{Action, Forbidden, SubjectId};
use crate::{Guard, OnStale};

/// Middleware that refuses everything it was not told to let through.
///
/// Routes are named by method and *pattern* (`/api/orders/{id}`), as actix matched them, and not by the
/// path that was sent: no spelling of a path can step around a rule.
#[derive(Clone)]
pub struct Gate {
    guard: Guard,
    replies: Replies,
    routes: HashMap<Route, Rule>,
    on_stale: HashMap<Route, OnStale>,
}

/// A method and a pattern.
type Route = (Method, String);

/// What a route needs.
#[derive(Clone, Copy)]
enum Rule {
    /// Nothing.
    Open,
    /// A token.
    Token,
    /// A token whose roles have this permission; no subject if the guard knows none of that name.
    Permission(Option<SubjectId>, Action),
}

impl Gate {
    /// A gate that lets nothing through.
    pub fn new(guard: Guard) -> Self {
        Self { guard, replies: Replies::default(), routes: HashMap::new(), on_stale: HashMap::new() }
    }

    /// How refusals are worded.
    pub fn replies(mut self, replies: Replies) -> Self {
        self.replies = replies;
        self
    }

    /// Lets everybody through to this route, token or not.
    pub fn open(self, method: Method, pattern: &str) -> Self {
        self.rule(method, pattern, Rule::Open)
    }

    /// Lets through whoever has a good token, whatever its roles.
    pub fn token(self, method: Method, pattern: &str) -> Self {
        self.rule(method, pattern, Rule::Token)
    }

    /// Lets through whoever may do this to *some* resource of this kind. Which ones is still for the
    /// handler to ask, with [`Authenticated::permit`] or [`Authenticated::filter`].
    pub fn require(self, method: Method, pattern: &str, subject: &str, action: Action) -> Self {
        let rule = Rule::Permission(self.guard.subject_id(subject), action);
        self.rule(method, pattern, rule)
    }

    /// What becomes of good tokens on this route while the guard has lost touch with its feed, when that is
    /// not what the guard does elsewhere. Says nothing about what the route needs.
    pub fn when_stale(mut self, method: Method, pattern: &str, policy: OnStale) -> Self {
        self.on_stale.insert((method, pattern.to_owned()), policy);
        self
    }

    fn rule(mut self, method: Method, pattern: &str, rule: Rule) -> Self {
        self.routes.insert((method, pattern.to_owned()), rule);
        self
    }

    /// What this request needs, and how far the check of its token has come.
    fn begin(&self, request: &ServiceRequest) -> (Option<Rule>, Option<Inspection>) {
        let route = request.match_pattern().map(|pattern| (request.method().clone(), pattern));
        let rule = route.as_ref().and_then(|route| self.routes.get(route).copied());
        if let Some(Rule::Open) = rule {
            return (rule, None);
        }
        let on_stale = route.and_then(|route| self.on_stale.get(&route).copied());
        let inspection = Inspection::begin(request.request(), &self.guard, &self.replies, on_stale);
        (rule, Some(inspection))
    }

    /// Whether somebody whose token is good may do what the route is for.
    fn decide(&self, rule: Option<Rule>, found: &Authenticated) -> Result<(), Refused> {
        let refuse = |forbidden: Forbidden| self.replies.refuse(Cause::Forbidden(forbidden));
        match rule {
            Some(Rule::Permission(Some(subject), action)) => {
                self.guard.require(found, subject, action).map(drop).map_err(refuse)
            }
            Some(Rule::Permission(None, action)) => Err(refuse(Forbidden::unknown_subject(action))),
            Some(Rule::Token | Rule::Open) => Ok(()),
            None => Err(self.replies.refuse(Cause::Unlisted)),
        }
    }
}

impl<S, B> Transform<S, ServiceRequest> for Gate
where
    S: Service<ServiceRequest, Response = ServiceResponse<B>, Error = Error> + 'static,
    B: MessageBody + 'static,
{
    type Response = ServiceResponse<EitherBody<B>>;
    type Error = Error;
    type InitError = ();
    type Transform = Gated<S>;
    type Future = Ready<Result<Gated<S>, ()>>;

    fn new_transform(&self, service: S) -> Self::Future {
        ready(Ok(Gated { gate: Arc::new(self.clone()), service: Rc::new(service) }))
    }
}

/// A service behind a gate.
pub struct Gated<S> {
    gate: Arc<Gate>,
    service: Rc<S>,
}

impl<S, B> Service<ServiceRequest> for Gated<S>
where
    S: Service<ServiceRequest, Response = ServiceResponse<B>, Error = Error> + 'static,
    B: MessageBody + 'static,
{
    type Response = ServiceResponse<EitherBody<B>>;
    type Error = Error;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Error>>>>;

    forward_ready!(service);

    fn call(&self, request: ServiceRequest) -> Self::Future {
        let (rule, inspection) = self.gate.begin(&request);
        let passed = match inspection {
            None => Ok(()),
            Some(Inspection::Done(found)) => enter(&self.gate, rule, &request, *found),
            Some(Inspection::Open(question)) => {
                let (gate, service) = (self.gate.clone(), self.service.clone());
                return Box::pin(async move {
                    let found = question.ask().await;
                    match enter(&gate, rule, &request, found) {
                        Ok(()) => service.call(request).await.map(ServiceResponse::map_into_left_body),
                        Err(refused) => Ok(request.error_response(refused).map_into_right_body()),
                    }
                });
            }
        };
        match passed {
            Ok(()) => {
                let answer = self.service.call(request);
                Box::pin(async move { answer.await.map(ServiceResponse::map_into_left_body) })
            }
            Err(refused) => {
                let answer = request.error_response(refused).map_into_right_body();
                Box::pin(ready(Ok(answer)))
            }
        }
    }
}

/// Lets a request through with what was found out about its token, or says why not.
fn enter(
    gate: &Gate,
    rule: Option<Rule>,
    request: &ServiceRequest,
    found: Result<Authenticated, Refused>,
) -> Result<(), Refused> {
    let found = found?;
    gate.decide(rule, &found)?;
    request.extensions_mut().insert(found);
    Ok(())
}
