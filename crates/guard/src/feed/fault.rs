//! Why something that came over the feed was not believed. Says nothing about tokens.

use thiserror::Error;

/// Why bytes from the feed were not believed. A guard that meets one counts it and starts over from a
/// manifest; it never becomes less strict.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum FeedFault {
    #[error("the bytes do not have the form they claim")]
    Malformed,
    #[error("no feed key has this name")]
    UnknownKey,
    #[error("the signature does not fit the bytes")]
    BadSignature,
    #[error("signed for another feed or by another issuer")]
    OtherFeed,
    #[error("an epoch older than one already seen")]
    OldEpoch,
    #[error("an epoch newer than the one being followed")]
    NewEpoch,
    #[error("records are missing before this batch")]
    Gap,
    #[error("the chain does not continue the one that was verified so far")]
    BrokenChain,
    #[error("the content does not have the hash that names it")]
    WrongHash,
    #[error("the salt of a feed never changes, and this one did")]
    ChangedSalt,
}
