//! The proof that a token was checked. Whoever holds an [`Access`] got it from a [`crate::Guard`].

use std::sync::{Arc, OnceLock};

use crate::claims::Claims;
use crate::feed::Names;
use crate::payload::Contents;
use crate::policy::{Action, Numbered, Registry, SubjectId};
use crate::staleness::Footing;

/// An access token that a guard found genuine, meant for this service, in time and not ended.
///
/// True at the moment of the check; do not keep it longer than the request. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Access {
    known: Arc<Known>,
    footing: Footing,
}

/// What is known of a token whose signature held.
#[derive(Debug)]
struct Known {
    contents: Contents,
    key_id: Box<str>,
    everywhere: bool,
    /// The `perm` claim in the numbers of this guard.
    narrowed: Option<Numbered>,
    /// Worked out at the first look into the feed and kept, because it costs a SHA-256 per name.
    names: OnceLock<Names>,
}

impl Access {
    /// Only the guard makes one, after the last check that does not depend on the time of day.
    pub(crate) fn new(contents: Contents, key_id: &str, registry: &Registry) -> Self {
        let everywhere = contents.claims.market.is_none() && names_all_markets(&contents.claims.scope);
        let narrowed = contents.claims.perm.as_ref().map(|perm| perm.numbered(registry));
        let (key_id, names) = (key_id.into(), OnceLock::new());
        let known = Known { contents, key_id, everywhere, narrowed, names };
        Self { known: Arc::new(known), footing: Footing::Fresh }
    }

    /// The same, admitted for another reason.
    pub(crate) fn on(self, footing: Footing) -> Self {
        Self { footing, ..self }
    }

    /// What the token says.
    pub fn claims(&self) -> &Claims {
        &self.known.contents.claims
    }

    /// What the admission rests on: whether the guard was in touch with its feed, and if not, what it went
    /// by.
    pub fn footing(&self) -> Footing {
        self.footing
    }

    /// The key that signed it.
    pub fn key_id(&self) -> &str {
        &self.known.key_id
    }

    /// True when no market is singled out because the scope is `market:all`. A token without markets whose
    /// scope does not say so is in no market at all.
    pub fn is_everywhere(&self) -> bool {
        self.known.everywhere
    }

    /// Whether what the token is narrowed to leaves the action on the subject.
    pub(crate) fn leaves(&self, subject: SubjectId, action: Action) -> bool {
        self.known.narrowed.as_ref().is_none_or(|narrowed| narrowed.leaves(subject, action))
    }

    /// Under which ids the feed could end this token. `work_out` is asked until it knows.
    pub(crate) fn names(&self, work_out: impl FnOnce() -> Option<Names>) -> Option<&Names> {
        match self.known.names.get() {
            Some(names) => Some(names),
            None => work_out().map(|names| self.known.names.get_or_init(|| names)),
        }
    }

    pub(crate) fn contents(&self) -> &Contents {
        &self.known.contents
    }
}

/// Whether one part of the scope is `market:all`, whole and letter for letter. The vendor's documentation
/// separates parts by spaces, its command line by commas.
fn names_all_markets(scope: &str) -> bool {
    scope.split([' ', ',']).any(|part| part == "market:all")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_scope_is_compared_by_whole_parts() {
        for all in ["market:all", "market:all provisioning-api", "store:id:a,market:all"] {
            assert!(names_all_markets(all), "{all}");
        }
        for other in
            ["", "market", "market:all2", "xmarket:all", "Market:all", "market:\u{430}ll", "market:id:all"]
        {
            assert!(!names_all_markets(other), "{other}");
        }
    }
}
