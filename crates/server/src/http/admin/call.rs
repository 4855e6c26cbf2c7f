//! What a handler has in hand: the call, parsed on demand, and the operator who was proved.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::ops::Deref;
use std::rc::Rc;
use std::time::Duration;

use actix_web::web::{self, Bytes};
use portcullis_authority::ask::Origin;
use portcullis_authority::desk::Desk;
use portcullis_authority::ledger::{Act, AuditRecord, Deed, Done};
use portcullis_authority::operators::{Denial, Operator, OperatorSession, Standing};
use portcullis_authority::proposals::Reason;
use portcullis_authority::provisioning::{Objection, Place};
use portcullis_authority::refusal::Trouble;
use portcullis_store::Store;
use serde::de::DeserializeOwned;

use super::route::Route;
use crate::lodge::Lodge;

/// A call by whoever it is.
pub struct Call {
    pub lodge: web::Data<Lodge>,
    pub route: &'static Route,
    pub origin: Origin,
    /// `Prefer: wait=N`.
    pub wait: Option<Duration>,
    /// Why the caller says that it asks.
    pub(super) reason: Option<Reason>,
    /// Whose data the answer shows, as far as the handler has said.
    pub(super) seen: Rc<RefCell<Vec<String>>>,
    pub(super) path: BTreeMap<String, String>,
    pub(super) query: String,
    pub(super) body: Bytes,
}

/// A call by an operator who was proved and may make it.
pub struct Visit {
    pub(super) call: Call,
    pub(super) standing: Standing,
}

impl Call {
    pub fn desk(&self) -> &Desk {
        self.lodge.desk()
    }

    pub fn store(&self) -> &Store {
        &self.lodge.store
    }

    pub fn now(&self) -> u64 {
        self.desk().now()
    }

    /// A part of the path, by the name that it has in the table; empty for a name that it has not.
    pub fn part(&self, name: &str) -> &str {
        self.path.get(name).map_or("", String::as_str)
    }

    /// Notes whose data the answer shows, by their ids.
    pub fn shows(&self, people: impl IntoIterator<Item = String>) {
        let mut seen = self.seen.borrow_mut();
        for person in people {
            if !seen.contains(&person) {
                seen.push(person);
            }
        }
    }

    /// The query as a struct with `deny_unknown_fields`.
    ///
    /// # Errors
    /// [`Denial::Invalid`] saying what is wrong.
    pub fn query<T: DeserializeOwned>(&self) -> Result<T, Denial> {
        web::Query::<T>::from_query(&self.query).map(web::Query::into_inner).map_err(|why| {
            let place = Place::Document("query");
            Denial::Invalid(vec![Objection {
                place,
                detail: format!("The query does not read: {why}.").into(),
            }])
        })
    }

    /// The body as a struct with `deny_unknown_fields`.
    ///
    /// # Errors
    /// [`Denial::Invalid`] saying what is wrong.
    pub fn body<T: DeserializeOwned>(&self) -> Result<T, Denial> {
        serde_json::from_slice(&self.body).map_err(|why| {
            // What serde says may quote a value, and a value may be a password.
            let place = Place::Document("body");
            let sentence = match why.classify() {
                serde_json::error::Category::Data => format!(
                    "The body is not what belongs here (line {}, column {}); see openapi.json.",
                    why.line(),
                    why.column()
                ),
                _ => "The body is not JSON.".to_owned(),
            };
            Denial::Invalid(vec![Objection { place, detail: sentence.into() }])
        })
    }
}

impl Deref for Visit {
    type Target = Call;

    fn deref(&self) -> &Call {
        &self.call
    }
}

impl Visit {
    pub fn operator(&self) -> &Operator {
        self.standing.operator()
    }

    pub fn session(&self) -> &OperatorSession {
        self.standing.session()
    }

    /// An audit record of something that this operator does, for the deed that does it.
    pub fn record(&self, event: &str) -> AuditRecord {
        AuditRecord {
            at: self.now(),
            event: event.into(),
            actors: vec![self.operator().actor()],
            address: self.origin.address.clone(),
            request_id: self.origin.request_id.clone(),
            ..AuditRecord::default()
        }
    }

    /// Does something, with its record in the same deed.
    ///
    /// # Errors
    /// Trouble; then it was not done.
    pub async fn act(&self, act: Act, record: AuditRecord) -> Result<Done, Trouble> {
        self.desk().ledger.commit(Deed::new(act, record)).await
    }
}
