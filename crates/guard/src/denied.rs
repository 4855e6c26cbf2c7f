//! Why a token was not accepted. Knows nothing of HTTP; the doors (`actix.rs`) choose status and words.

use crate::feed::Kind;

/// Why a token was not accepted. Each reason has a code that never changes ([`Denied::code`]), a sentence
/// for whoever sent the token ([`Denied::sentence`]) and, as `Display`, a line for our own log.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Denied {
    /// Not a compact JWS with the claims of an access token. The words are for the log.
    #[error("malformed: {0}")]
    Malformed(&'static str),
    /// The token names a key that this guard does not have. The key set may be old: fetch it again, at
    /// most once in ten seconds whatever arrives, or strangers decide how often you fetch.
    #[error("unknown_key: no key of that id in the key set")]
    UnknownKey,
    /// The signature is not by the named key with that key's own algorithm.
    #[error("bad_signature: the signature does not hold")]
    BadSignature,
    /// `iss` is somebody else, compared byte for byte (RFC 9068 section 4).
    #[error("wrong_issuer: iss is not the issuer of this guard")]
    WrongIssuer,
    /// This service is not among `aud` (RFC 9068 section 4).
    #[error("wrong_audience: aud does not name this service")]
    WrongAudience,
    /// `exp` has passed (RFC 7519 section 4.1.4).
    #[error("expired: exp has passed")]
    Expired,
    /// `iat` or `nbf` is in the future (RFC 7519 sections 4.1.5 and 4.1.6).
    #[error("not_yet_valid: iat or nbf is in the future")]
    NotYetValid,
    /// `exp` is further from `iat` than any token may live.
    #[error("too_long_lived: the lifetime is longer than any that is issued")]
    TooLongLived,
    /// The token is of another type: an ID token, a refresh token, a logout token (RFC 8725 section 3.11).
    #[error("wrong_type: typ is not that of an access token")]
    WrongType,
    /// A test token in a live service, or the reverse.
    #[error("wrong_environment: a test token in a live service, or the reverse")]
    WrongEnvironment,
    /// The token has ended; which record ended it.
    #[error("revoked: ended by a record about {0:?}")]
    Revoked(Kind),
    /// The guard does not know what has ended lately, asked the issuer, and heard that the token is not
    /// active (RFC 7662 section 2.2). The issuer does not say why.
    #[error("inactive: the issuer says that the token is not active")]
    Inactive,
    /// The guard does not know what has ended lately, or has not heard of any key yet, so it cannot answer.
    /// The token may be good.
    #[error("stale: the feed of revocations is not fresh")]
    Stale,
}

impl Denied {
    /// Every code, in the order of the reasons above.
    pub(crate) const CODES: [&'static str; 13] = [
        "malformed",
        "unknown_key",
        "bad_signature",
        "wrong_issuer",
        "wrong_audience",
        "expired",
        "not_yet_valid",
        "too_long_lived",
        "wrong_type",
        "wrong_environment",
        "revoked",
        "inactive",
        "stale",
    ];

    /// The stable code, for logs, metrics and tests.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Malformed(_) => "malformed",
            Self::UnknownKey => "unknown_key",
            Self::BadSignature => "bad_signature",
            Self::WrongIssuer => "wrong_issuer",
            Self::WrongAudience => "wrong_audience",
            Self::Expired => "expired",
            Self::NotYetValid => "not_yet_valid",
            Self::TooLongLived => "too_long_lived",
            Self::WrongType => "wrong_type",
            Self::WrongEnvironment => "wrong_environment",
            Self::Revoked(_) => "revoked",
            Self::Inactive => "inactive",
            Self::Stale => "stale",
        }
    }

    /// A sentence that may be shown to whoever sent the token. It tells nothing that the sender could not
    /// know: a forger does not learn which check caught him.
    pub fn sentence(&self) -> &'static str {
        match self {
            Self::Expired => "The access token has expired.",
            Self::Revoked(_) => "The access token was revoked.",
            Self::Inactive => "The access token is no longer active.",
            Self::Stale => "Revocations cannot be checked at the moment. The token may be good; try again.",
            _ => "The access token is not valid for this service.",
        }
    }

    /// True when the refusal is about the guard and not about the token. Such a refusal must never look
    /// like a bad token to a client, or clients throw away good tokens and storm the token endpoint.
    pub fn is_stale(&self) -> bool {
        matches!(self, Self::Stale)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_log_line_opens_with_the_code_and_every_code_is_listed() {
        let all = [
            Denied::Malformed("two parts"),
            Denied::UnknownKey,
            Denied::BadSignature,
            Denied::WrongIssuer,
            Denied::WrongAudience,
            Denied::Expired,
            Denied::NotYetValid,
            Denied::TooLongLived,
            Denied::WrongType,
            Denied::WrongEnvironment,
            Denied::Revoked(Kind::Family),
            Denied::Inactive,
            Denied::Stale,
        ];
        assert_eq!(all.map(|denied| denied.code()), Denied::CODES);
        for denied in all {
            assert!(denied.to_string().starts_with(&format!("{}: ", denied.code())));
            assert_eq!(denied.is_stale(), denied == Denied::Stale);
        }
    }
}
