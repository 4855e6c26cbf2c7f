//! What the guard asks of a list of what has ended. Knows neither the feed nor how it travels.

use crate::Claims;
use crate::feed::Kind;

/// Knows which tokens have ended.
///
/// The guard asks on *every* check, whether or not the token is in its cache, so an answer must be cheap,
/// must not block and must not panic. `now_ms` is milliseconds since the Unix epoch.
pub trait Revocations: Send + Sync {
    /// Whether a genuine token, signed with key `kid`, has ended by now.
    fn verdict(&self, kid: &str, claims: &Claims, now_ms: u64) -> Verdict;

    /// How things stand for this token, so that [`Revocations::unchanged`] can answer without looking the
    /// token up again. The guard takes the mark *before* it asks for the verdict: what arrives in between
    /// shows as a change. `None`, the default, means that there is no such shortcut.
    fn mark(&self, _kid: &str, _claims: &Claims) -> Option<Mark> {
        None
    }

    /// True only if the list is fresh at `now_ms` *and* nothing has been added since the mark was taken
    /// that could end the token it was taken for. When in doubt, false: the guard then asks for the
    /// verdict, which is always right.
    fn unchanged(&self, _mark: &Mark, _now_ms: u64) -> bool {
        false
    }
}

/// Whether a token has ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// The list is fresh and nothing on it ends the token.
    Live,
    /// A record of this kind ends the token. True even when the list is not fresh: nothing un-ends.
    Ended(Kind),
    /// The list is not fresh, so nobody can say. Also the answer before the first complete list.
    Stale,
}

/// Numbers that only whoever made them understands, for example versions of the parts of a list that a
/// token depends on. Whatever depends on a signing key, like every part, belongs to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mark(pub [u64; 8]);

/// Says of every token that it has not ended, for ever. For tests and for tools that only decode.
#[derive(Clone, Copy, Debug, Default)]
pub struct DangerNothingEnded;

impl Revocations for DangerNothingEnded {
    fn verdict(&self, _: &str, _: &Claims, _: u64) -> Verdict {
        Verdict::Live
    }
}
