//! Why not, in the protocol's own words; and trouble, which is something else.
//!
//! A [`Refusal`] is an answer: it has a code for the program, a sentence for its author and a cause for
//! us, and the cause never crosses the door. [`Trouble`] is a broken part. Neither knows a status code.

use std::borrow::Cow;

/// The error codes that Portcullis says (RFC 6749 sections 4.1.2.1 and 5.2, RFC 7009, RFC 8693, RFC 8707).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Code {
    InvalidRequest,
    InvalidClient,
    InvalidGrant,
    UnauthorizedClient,
    UnsupportedGrantType,
    InvalidScope,
    InvalidTarget,
    /// The vendor's word for an assertion that cannot be used.
    InvalidAssertion,
    AccessDenied,
    UnsupportedResponseType,
    LoginRequired,
    ConsentRequired,
    InvalidToken,
    /// A limit; not OAuth's, which has no word for it.
    TooManyRequests,
}

impl Code {
    /// Every code.
    pub const ALL: [Self; 14] = [
        Self::InvalidRequest,
        Self::InvalidClient,
        Self::InvalidGrant,
        Self::UnauthorizedClient,
        Self::UnsupportedGrantType,
        Self::InvalidScope,
        Self::InvalidTarget,
        Self::InvalidAssertion,
        Self::AccessDenied,
        Self::UnsupportedResponseType,
        Self::LoginRequired,
        Self::ConsentRequired,
        Self::InvalidToken,
        Self::TooManyRequests,
    ];

    /// The word on the wire.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::InvalidRequest => "invalid_request",
            Self::InvalidClient => "invalid_client",
            Self::InvalidGrant => "invalid_grant",
            Self::UnauthorizedClient => "unauthorized_client",
            Self::UnsupportedGrantType => "unsupported_grant_type",
            Self::InvalidScope => "invalid_scope",
            Self::InvalidTarget => "invalid_target",
            Self::InvalidAssertion => "invalid_assertion",
            Self::AccessDenied => "access_denied",
            Self::UnsupportedResponseType => "unsupported_response_type",
            Self::LoginRequired => "login_required",
            Self::ConsentRequired => "consent_required",
            Self::InvalidToken => "invalid_token",
            Self::TooManyRequests => "too_many_requests",
        }
    }
}

/// An answer of "no".
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// For the program.
    pub code: Code,
    /// For its author: what is wrong and what to do.
    pub sentence: Cow<'static, str>,
    /// For us alone: logs and audit.
    pub cause: Cow<'static, str>,
    /// A limit refused it; see [`crate::limits`].
    pub limited: Option<Limited>,
}

/// Which limit, and for how long it holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limited {
    pub limit: u32,
    /// Seconds.
    pub interval: u32,
    /// Seconds.
    pub retry_after: u64,
}

impl Refusal {
    /// A refusal whose sentence says everything.
    pub fn new(code: Code, sentence: impl Into<Cow<'static, str>>) -> Self {
        Self { code, sentence: sentence.into(), cause: Cow::Borrowed(""), limited: None }
    }

    /// The same, with what only we may know.
    pub fn because(self, cause: impl Into<Cow<'static, str>>) -> Self {
        Self { cause: cause.into(), ..self }
    }
}

/// Something of ours is broken or away. The caller may try again; nothing was done.
#[derive(Clone, Debug, thiserror::Error)]
#[error("{what}: {why}")]
pub struct Trouble {
    /// Which part.
    pub what: &'static str,
    /// What it said; for logs only.
    pub why: String,
}

impl Trouble {
    pub fn new(what: &'static str, why: impl std::fmt::Display) -> Self {
        Self { what, why: why.to_string() }
    }
}

/// Not done: refused, or broken.
#[derive(Clone, Debug)]
pub enum Not {
    Refused(Refusal),
    Broken(Trouble),
}

impl From<Refusal> for Not {
    fn from(refusal: Refusal) -> Self {
        Self::Refused(refusal)
    }
}

impl From<Trouble> for Not {
    fn from(trouble: Trouble) -> Self {
        Self::Broken(trouble)
    }
}
