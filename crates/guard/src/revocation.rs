//! What the guard asks of a list of what has ended. Knows neither the feed nor how it travels.

use crate::Access;
use crate::feed::{Freshness, Kind, Picture, View};

/// Knows which tokens have ended.
///
/// The guard asks on *every* check, whether or not the token is in its cache, so an answer must be cheap,
/// must not block and must not panic. `now_ms` is milliseconds since the Unix epoch.
pub trait Revocations: Send + Sync {
    /// Whether a token that is genuine otherwise has ended by now.
    fn verdict(&self, token: &Access, now_ms: u64) -> Verdict;

    /// A number that increases with everything that ends, so that [`Revocations::unchanged`] can answer
    /// without looking a token up again. The guard takes it *before* it asks for the verdict: what arrives
    /// in between shows as a change. `None`, the default, means that there is no such shortcut.
    fn version(&self) -> Option<u64> {
        None
    }

    /// A time that the issuer's clock has certainly reached, milliseconds since the Unix epoch; 0 when
    /// nothing is known. Tokens that have expired by then are refused whatever the guard's own clock shows.
    fn not_before_ms(&self) -> u64 {
        0
    }

    /// How old the list is at `now_ms`, in milliseconds. `None`, the default, when it has no age or was
    /// never complete: then nobody is let in on old news, whatever a route allows.
    fn age_ms(&self, _now_ms: u64) -> Option<u64> {
        None
    }

    /// What there is to see, for dashboards; nothing by default.
    fn picture(&self) -> Option<Picture> {
        None
    }

    /// True only if the list is fresh at `now_ms` *and* nothing has ended since it had this version. When
    /// in doubt, false: the guard then asks for the verdict, which is always right.
    fn unchanged(&self, _version: u64, _now_ms: u64) -> bool {
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

/// Says of every token that it has not ended, for ever. For tests and for tools that only decode.
#[derive(Clone, Copy, Debug, Default)]
pub struct DangerNothingEnded;

impl Revocations for DangerNothingEnded {
    fn verdict(&self, _: &Access, _: u64) -> Verdict {
        Verdict::Live
    }
}

/// A view judges freshness by the server's clock, which it knows, and not by the caller's.
impl Revocations for View {
    fn verdict(&self, token: &Access, _: u64) -> Verdict {
        // Freshness first: what is found afterwards holds everything that the freshness speaks of.
        let freshness = self.freshness_now();
        let Some(names) = token.names(|| self.names(token.key_id(), token.claims())) else {
            return Verdict::Stale;
        };
        match (self.ended_names(names), freshness) {
            (Some(kind), _) => Verdict::Ended(kind),
            (None, Freshness::Live | Freshness::Lagging) => Verdict::Live,
            (None, Freshness::Cold | Freshness::Stale) => Verdict::Stale,
        }
    }

    fn version(&self) -> Option<u64> {
        Some(View::version(self))
    }

    fn not_before_ms(&self) -> u64 {
        self.as_of_ms()
    }

    fn age_ms(&self, _: u64) -> Option<u64> {
        // Without the salt nothing can be looked up, so there is nothing that could be old.
        self.salt().and_then(|_| View::age_ms(self))
    }

    fn picture(&self) -> Option<Picture> {
        Some(View::picture(self))
    }

    fn unchanged(&self, version: u64, _: u64) -> bool {
        let fresh = matches!(self.freshness_now(), Freshness::Live | Freshness::Lagging);
        fresh && View::version(self) == version
    }
}
