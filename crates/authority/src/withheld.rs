//! Why an operator's order was not carried out, in a sentence that says what to do. Nothing has changed
//! then. Knows no status code.

use std::borrow::Cow;

use crate::refusal::Trouble;

type Sentence = Cow<'static, str>;

/// An order that was not carried out.
#[derive(Clone, Debug)]
pub enum Withheld {
    /// The order cannot be understood.
    Malformed(Sentence),
    /// What it names does not exist.
    Unknown(Sentence),
    /// Whoever gives it may not.
    Forbidden(Sentence),
    /// It does not fit what is the case now.
    Conflict(Sentence),
    Broken(Trouble),
}

impl Withheld {
    pub fn malformed(sentence: impl Into<Sentence>) -> Self {
        Self::Malformed(sentence.into())
    }

    pub fn unknown(sentence: impl Into<Sentence>) -> Self {
        Self::Unknown(sentence.into())
    }

    pub fn forbidden(sentence: impl Into<Sentence>) -> Self {
        Self::Forbidden(sentence.into())
    }

    pub fn conflict(sentence: impl Into<Sentence>) -> Self {
        Self::Conflict(sentence.into())
    }
}

impl From<Trouble> for Withheld {
    fn from(trouble: Trouble) -> Self {
        Self::Broken(trouble)
    }
}
