//! The proof that a token was checked. Whoever holds an [`Access`] got it from a [`crate::Guard`].

use std::sync::Arc;

use crate::claims::Claims;
use crate::payload::Contents;

/// An access token that a guard found genuine, meant for this service, in time and not ended.
///
/// True at the moment of the check; do not keep it longer than the request. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Access(Arc<Known>);

/// What is known of a token whose signature held.
#[derive(Debug)]
struct Known {
    contents: Contents,
    key_id: Box<str>,
    everywhere: bool,
}

impl Access {
    /// Only the guard makes one, after the last check that does not depend on the time of day.
    pub(crate) fn new(contents: Contents, key_id: &str) -> Self {
        let everywhere = contents.claims.market.is_none() && names_all_markets(&contents.claims.scope);
        Self(Arc::new(Known { contents, key_id: key_id.into(), everywhere }))
    }

    /// What the token says.
    pub fn claims(&self) -> &Claims {
        &self.0.contents.claims
    }

    /// The key that signed it.
    pub fn key_id(&self) -> &str {
        &self.0.key_id
    }

    /// True when no market is singled out because the scope is `market:all`. A token without markets whose
    /// scope does not say so is in no market at all.
    pub fn is_everywhere(&self) -> bool {
        self.0.everywhere
    }

    pub(crate) fn contents(&self) -> &Contents {
        &self.0.contents
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
