//! Why a request to the Provisioning API was not done, in words that name what to repair. Knows no status
//! code; see `server/http/provisioning/`.

use std::borrow::Cow;

use crate::refusal::{Not, Refusal, Trouble};

/// Not done.
#[derive(Clone, Debug)]
pub enum Declined {
    /// The bearer is nobody here, or asks for too much at once.
    Unknown(Refusal),
    /// The bearer may not do this.
    Forbidden(Cow<'static, str>),
    /// There is no such thing within the bearer's reach; whether there is one elsewhere is not said.
    Missing,
    /// What was sent cannot be done; never empty.
    Invalid(Vec<Objection>),
    Broken(Trouble),
}

/// One thing to repair.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Objection {
    pub place: Place,
    /// A sentence.
    pub detail: Cow<'static, str>,
}

/// Where something is wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Place {
    Attribute(String),
    Relationship(String),
    /// Of the query.
    Parameter(String),
    /// The document as a whole, or one of its members.
    Document(&'static str),
}

impl Objection {
    pub fn attribute(name: &str, detail: impl Into<Cow<'static, str>>) -> Self {
        Self { place: Place::Attribute(name.into()), detail: detail.into() }
    }

    pub fn relationship(name: &str, detail: impl Into<Cow<'static, str>>) -> Self {
        Self { place: Place::Relationship(name.into()), detail: detail.into() }
    }

    pub fn parameter(name: impl Into<String>, detail: impl Into<Cow<'static, str>>) -> Self {
        Self { place: Place::Parameter(name.into()), detail: detail.into() }
    }
}

impl Declined {
    pub fn forbidden(why: impl Into<Cow<'static, str>>) -> Self {
        Self::Forbidden(why.into())
    }
}

impl From<Objection> for Declined {
    fn from(objection: Objection) -> Self {
        Self::Invalid(vec![objection])
    }
}

impl From<Trouble> for Declined {
    fn from(trouble: Trouble) -> Self {
        Self::Broken(trouble)
    }
}

impl From<Not> for Declined {
    fn from(not: Not) -> Self {
        match not {
            Not::Refused(refusal) => Self::Unknown(refusal),
            Not::Broken(trouble) => Self::Broken(trouble),
        }
    }
}
