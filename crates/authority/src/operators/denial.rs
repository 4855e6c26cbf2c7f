//! Why an operator's call was not done, for the program and for its author. Knows no status code; see
//! `server/http/reply/admin.rs`.

use std::borrow::Cow;

use crate::provisioning::{Declined, Objection};
use crate::refusal::{Not, Trouble};

/// Not done.
#[derive(Clone, Debug)]
pub enum Denial {
    /// Nobody has signed in, or no longer. In the same words for every reason.
    Unknown(Cow<'static, str>),
    /// This operator may not do this; the sentence says who may.
    Forbidden(Cow<'static, str>),
    /// There is no such thing.
    Missing(Cow<'static, str>),
    /// It cannot be done as things are now.
    Conflict(Cow<'static, str>),
    /// What was sent cannot be done; never empty.
    Invalid(Vec<Objection>),
    /// Too often; again after so many seconds.
    Later(u64),
    Broken(Trouble),
}

impl Denial {
    pub fn forbidden(sentence: impl Into<Cow<'static, str>>) -> Self {
        Self::Forbidden(sentence.into())
    }

    pub fn missing(sentence: impl Into<Cow<'static, str>>) -> Self {
        Self::Missing(sentence.into())
    }

    pub fn conflict(sentence: impl Into<Cow<'static, str>>) -> Self {
        Self::Conflict(sentence.into())
    }

    /// One member of the body is wrong.
    pub fn invalid(member: &str, sentence: impl Into<Cow<'static, str>>) -> Self {
        Self::Invalid(vec![Objection::attribute(member, sentence)])
    }
}

impl From<Trouble> for Denial {
    fn from(trouble: Trouble) -> Self {
        Self::Broken(trouble)
    }
}

impl From<Not> for Denial {
    fn from(not: Not) -> Self {
        match not {
            Not::Refused(refusal) => Self::Conflict(refusal.sentence),
            Not::Broken(trouble) => Self::Broken(trouble),
        }
    }
}

/// Operators do what an admin may not, by the rules of the Provisioning API.
impl From<Declined> for Denial {
    fn from(declined: Declined) -> Self {
        match declined {
            Declined::Broken(trouble) => Self::Broken(trouble),
            Declined::Invalid(objections) => Self::Invalid(objections),
            Declined::Missing => Self::missing("There is no such thing in this organization."),
            Declined::Forbidden(why) => Self::Forbidden(why),
            Declined::Unknown(refusal) => Self::Conflict(refusal.sentence),
        }
    }
}
