//! The guard's own check inside the server: introspection and token exchange cannot disagree with a
//! service, because they run the same code over the same view of the feed.

use std::sync::Arc;

use portcullis_authority::desk::Inspector;
use portcullis_authority::refusal::Trouble;
use portcullis_guard::feed::View;
use portcullis_guard::policy::Actions;
use portcullis_guard::{Action, BuildTrouble, Claims, Denied, Environment, Guard, KeySet, Policy};
use serde_json::{Map, Value, json};

/// Looks at tokens for the authority.
pub struct Glass {
    guard: Guard,
}

impl Glass {
    /// A glass for tokens of this issuer.
    ///
    /// # Errors
    /// Trouble when the issuer is empty.
    pub fn new(issuer: &str, view: Arc<View>) -> Result<Self, BuildTrouble> {
        let guard = Guard::builder()
            .issuer(issuer)
            .danger_accept_any_audience()
            .commerce_layer_profile(true)
            .environment(Environment::Any)
            .shared_revocations(view);
        Ok(Self { guard: guard.build()? })
    }

    /// The published keys have changed.
    ///
    /// # Errors
    /// Trouble when no guard would take them.
    pub fn replace_keys(&self, jwks: &str) -> Result<(), Trouble> {
        self.guard.replace_keys(KeySet::from_jwks(jwks).map_err(|e| Trouble::new("keys", e))?);
        Ok(())
    }

    /// Roles have changed.
    pub fn replace_policy(&self, policy: Policy) {
        self.guard.replace_policy(policy);
    }
}

impl Inspector for Glass {
    fn inspect(&self, token: &str, now_ms: u64) -> Result<Option<Claims>, Trouble> {
        match self.guard.check_at(token, now_ms) {
            Ok(access) => Ok(Some(access.claims().clone())),
            Err(Denied::Stale) => Err(Trouble::new("feed", "this server has lost touch with its own log")),
            Err(_) => Ok(None),
        }
    }

    fn recognise(&self, token: &str) -> Option<Claims> {
        self.guard.danger_ever_genuine(token).ok().map(|access| access.claims().clone())
    }

    fn permissions(&self, claims: &Claims) -> Value {
        let words = |action| match action {
            Action::Read | Action::List => "read",
            action => action.word(),
        };
        let of = |actions: Actions| {
            let mut list: Vec<_> = actions.iter().map(words).collect();
            list.dedup();
            json!({ "actions": list })
        };
        self.guard
            .actions(claims)
            .into_iter()
            .map(|(name, actions)| (name.to_owned(), of(actions)))
            .collect::<Map<_, _>>()
            .into()
    }
}
