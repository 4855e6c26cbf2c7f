//! A line of the table: what is asked where, by whom, and what comes back.

use futures_util::future::LocalBoxFuture;
use portcullis_authority::operators::{Denial, OperatorRole};
use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde::Serialize;
use serde_json::Value;

use super::call::{Call, Visit};

/// Every operator may ask.
pub const ANYBODY: &[OperatorRole] = &OperatorRole::ALL;
/// Those who look.
pub const SEEING: &[OperatorRole] =
    &[OperatorRole::Operator, OperatorRole::Approver, OperatorRole::Auditor, OperatorRole::Owner];
/// Those who change things.
pub const ACTING: &[OperatorRole] = &[OperatorRole::Operator, OperatorRole::Owner];
/// Those who say who the operators are.
pub const OWNING: &[OperatorRole] = &[OperatorRole::Owner];

/// What a handler has to say; the status comes from the table.
pub enum Reply {
    Json(Value),
    Nothing,
    /// Anything that is not one JSON document: CSV, JSON lines, a stream.
    Other(actix_web::HttpResponse),
}

pub type Answer = Result<Reply, Denial>;
pub type Answering = LocalBoxFuture<'static, Answer>;
/// Describes a type in the document.
pub type Shape = fn(&mut SchemaGenerator) -> Schema;

/// One endpoint.
pub struct Route {
    pub method: Method,
    /// Below [`super::BASE`].
    pub path: &'static str,
    /// Any of these; empty for what is open to everybody.
    pub roles: &'static [OperatorRole],
    /// A sentence.
    pub summary: &'static str,
    pub handler: Handler,
    pub query: Option<Shape>,
    pub body: Option<Shape>,
    pub answer: Option<Shape>,
    pub success: Success,
    /// Every answer is noted in the audit.
    pub personal: bool,
}

#[derive(Clone, Copy)]
pub enum Handler {
    /// For whoever comes.
    Open(fn(Call) -> Answering),
    /// For an operator who was proved and has one of the roles.
    Gated(fn(Visit) -> Answering),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Method {
    Get,
    Post,
    Put,
    Patch,
    Delete,
}

/// What an answer means when it is no refusal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Success {
    Done,
    Created,
    /// It goes on after the answer.
    Accepted,
    /// Done, and there is nothing to say.
    Nothing,
}

impl Method {
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Get => "GET",
            Self::Post => "POST",
            Self::Put => "PUT",
            Self::Patch => "PATCH",
            Self::Delete => "DELETE",
        }
    }

    pub fn verb(self) -> actix_web::http::Method {
        use actix_web::http::Method as Verb;
        match self {
            Self::Get => Verb::GET,
            Self::Post => Verb::POST,
            Self::Put => Verb::PUT,
            Self::Patch => Verb::PATCH,
            Self::Delete => Verb::DELETE,
        }
    }
}

impl Route {
    /// An endpoint for operators with any of these roles.
    pub const fn new(
        method: Method,
        path: &'static str,
        roles: &'static [OperatorRole],
        summary: &'static str,
        handler: fn(Visit) -> Answering,
    ) -> Self {
        Self::made(method, path, roles, summary, Handler::Gated(handler))
    }

    /// An endpoint for whoever comes.
    pub const fn open(
        method: Method,
        path: &'static str,
        summary: &'static str,
        handler: fn(Call) -> Answering,
    ) -> Self {
        Self::made(method, path, &[], summary, Handler::Open(handler))
    }

    const fn made(
        method: Method,
        path: &'static str,
        roles: &'static [OperatorRole],
        summary: &'static str,
        handler: Handler,
    ) -> Self {
        Self {
            method,
            path,
            roles,
            summary,
            handler,
            query: None,
            body: None,
            answer: None,
            success: Success::Nothing,
            personal: false,
        }
    }

    /// Parameters of the query, as a struct.
    pub const fn asks(self, query: Shape) -> Self {
        Self { query: Some(query), ..self }
    }

    /// The body, as a struct.
    pub const fn takes(self, body: Shape) -> Self {
        Self { body: Some(body), ..self }
    }

    pub const fn answers(self, answer: Shape) -> Self {
        Self { answer: Some(answer), success: Success::Done, ..self }
    }

    /// Answers with what was made.
    pub const fn creates(self, answer: Shape) -> Self {
        Self { answer: Some(answer), success: Success::Created, ..self }
    }

    /// Answers with what was begun.
    pub const fn begins(self, answer: Shape) -> Self {
        Self { answer: Some(answer), success: Success::Accepted, ..self }
    }

    /// Shows personal data: every answer is noted in the audit.
    pub const fn about_people(self) -> Self {
        Self { personal: true, ..self }
    }
}

/// A type in the document.
pub fn shape<T: JsonSchema>(generator: &mut SchemaGenerator) -> Schema {
    generator.subschema_for::<T>()
}

/// An answer with this document.
pub fn json(body: &impl Serialize) -> Answer {
    use portcullis_authority::refusal::Trouble;
    serde_json::to_value(body).map(Reply::Json).map_err(|why| Trouble::new("an answer", why).into())
}
