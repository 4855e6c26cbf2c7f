//! The guard's own check inside the server: introspection and token exchange cannot disagree with a
//! service, because they run the same code over the same view of the feed.

use std::sync::Arc;

use portcullis_authority::desk::Inspector;
use portcullis_authority::refusal::Trouble;
use portcullis_guard::feed::View;
use portcullis_guard::{
    BuildTrouble, Claims, DangerNothingEnded, Denied, Environment, Guard, KeySet, Policy,
};
use serde_json::Value;

/// Looks at tokens for the authority.
pub struct Glass {
    /// Knows what has ended.
    living: Guard,
    /// Does not ask, for tokens that may have.
    any: Guard,
}

impl Glass {
    /// A glass for tokens of this issuer.
    ///
    /// # Errors
    /// Trouble when the issuer is empty.
    pub fn new(issuer: &str, view: Arc<View>) -> Result<Self, BuildTrouble> {
        let like = || {
            Guard::builder()
                .issuer(issuer)
                .danger_accept_any_audience()
                .commerce_layer_profile(true)
                .environment(Environment::Any)
        };
        Ok(Self {
            living: like().shared_revocations(view).build()?,
            any: like().revocations(DangerNothingEnded).tokens_kept(0).build()?,
        })
    }

    /// The published keys have changed.
    ///
    /// # Errors
    /// Trouble when no guard would take them.
    pub fn replace_keys(&self, jwks: &str) -> Result<(), Trouble> {
        for guard in [&self.living, &self.any] {
            guard.replace_keys(KeySet::from_jwks(jwks).map_err(|e| Trouble::new("keys", e))?);
        }
        Ok(())
    }

    /// Roles have changed.
    pub fn replace_policy(&self, policy: Policy) {
        self.living.replace_policy(policy);
    }
}

impl Inspector for Glass {
    fn inspect(&self, token: &str, now_ms: u64) -> Result<Option<Claims>, Trouble> {
        match self.living.check_at(token, now_ms) {
            Ok(access) => Ok(Some(access.claims().clone())),
            Err(Denied::Stale) => Err(Trouble::new("feed", "this server has lost touch with its own log")),
            Err(_) => Ok(None),
        }
    }

    fn recognise(&self, token: &str, now_ms: u64) -> Option<Claims> {
        self.any.check_at(token, now_ms).ok().map(|access| access.claims().clone())
    }

    fn permissions(&self, claims: &Claims) -> Value {
        self.living.permissions_of(claims)
    }
}
