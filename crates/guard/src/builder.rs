//! What a guard must be told before it stands at a gate.

use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use crate::guard::Guard;
use crate::introspection::Introspection;
use crate::keys::KeySet;
use crate::policy::{Policy, Registry, RegistryFull};
use crate::revocation::Revocations;
use crate::staleness::OnStale;

/// How many verified tokens are kept unless the builder says otherwise: at about 3.5 kB each, 57 MB.
const TOKENS_KEPT: usize = 16 * 1024;

/// Tells the time: milliseconds since the Unix epoch.
pub type Clock = Arc<dyn Fn() -> u64 + Send + Sync>;

/// Which tokens a service lives on, by the claim `test`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Environment {
    /// Tokens that say `test: false`.
    #[default]
    Live,
    /// Tokens that say `test: true`.
    Test,
    /// Both. The service must then keep the two worlds apart itself.
    Any,
}

impl Environment {
    pub(crate) fn admits(self, test: bool) -> bool {
        match self {
            Self::Live => !test,
            Self::Test => test,
            Self::Any => true,
        }
    }
}

/// Why a guard could not be built.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BuildTrouble {
    /// [`Builder::issuer`] was not called, or with nothing.
    #[error("a guard needs the issuer whose tokens it accepts")]
    NoIssuer,
    /// [`Builder::audience`] was not called, or with nothing.
    #[error("a guard needs the audience that tokens must name")]
    NoAudience,
    /// [`Builder::revocations`] was not called.
    #[error("a guard needs a list of what has ended")]
    NoRevocations,
    /// [`Builder::on_stale`] asks the issuer, and [`Builder::introspection`] was not called.
    #[error("a guard that asks its issuer when it is stale needs somebody to ask")]
    NoIntrospection,
    /// More subjects than the registry has numbers for.
    #[error(transparent)]
    Subjects(#[from] RegistryFull),
}

/// Gathers what a [`Guard`] must know. Made by [`Guard::builder`].
pub struct Builder {
    pub(crate) issuer: String,
    pub(crate) audience: String,
    pub(crate) any_audience: bool,
    pub(crate) commerce_layer: bool,
    pub(crate) environment: Environment,
    pub(crate) clock: Clock,
    pub(crate) keys: KeySet,
    pub(crate) policy: Policy,
    pub(crate) subjects: Vec<String>,
    pub(crate) revocations: Option<Arc<dyn Revocations>>,
    pub(crate) tokens_kept: usize,
    pub(crate) on_stale: OnStale,
    pub(crate) introspection: Option<Box<dyn Introspection>>,
}

impl Builder {
    pub(crate) fn new() -> Self {
        Self {
            issuer: String::new(),
            audience: String::new(),
            any_audience: false,
            commerce_layer: false,
            environment: Environment::default(),
            clock: Arc::new(system_clock),
            keys: KeySet::default(),
            policy: Policy::built_in(),
            subjects: Vec::new(),
            revocations: None,
            tokens_kept: TOKENS_KEPT,
            on_stale: OnStale::Deny,
            introspection: None,
        }
    }

    /// The issuer, compared byte for byte with `iss` (RFC 9068 section 4). Required.
    pub fn issuer(mut self, issuer: impl Into<String>) -> Self {
        self.issuer = issuer.into();
        self
    }

    /// The name of this service, one of `aud`, compared byte for byte (RFC 9068 section 4). Required.
    pub fn audience(mut self, audience: impl Into<String>) -> Self {
        self.audience = audience.into();
        self
    }

    /// Accepts tokens for every audience. Only for the issuer itself, which must be able to introspect what
    /// it has issued; a service that does this accepts tokens that were meant for another (RFC 9068
    /// section 5).
    pub fn danger_accept_any_audience(mut self) -> Self {
        self.any_audience = true;
        self
    }

    /// Whether `typ: JWT` is accepted beside `at+jwt`, for applications of the Commerce Layer profile.
    /// Off unless said. Their tokens must have `application` and `jti`, and none of an ID token's claims.
    pub fn commerce_layer_profile(mut self, accepted: bool) -> Self {
        self.commerce_layer = accepted;
        self
    }

    /// Which tokens, by the claim `test`; [`Environment::Live`] unless said.
    pub fn environment(mut self, environment: Environment) -> Self {
        self.environment = environment;
        self
    }

    /// The clock for [`Guard::authenticate`], in milliseconds since the Unix epoch; the system's unless
    /// said.
    pub fn clock(mut self, clock: Clock) -> Self {
        self.clock = clock;
        self
    }

    /// The first key set; without one every token is [`crate::Denied::Stale`] until
    /// [`Guard::replace_keys`].
    pub fn keys(mut self, keys: KeySet) -> Self {
        self.keys = keys;
        self
    }

    /// The first policy; [`Policy::built_in`] unless said.
    pub fn policy(mut self, policy: Policy) -> Self {
        self.policy = policy;
        self
    }

    /// A subject of this service's own, beside those of the registry, for policies and checks to name.
    pub fn subject(mut self, name: impl Into<String>) -> Self {
        self.subjects.push(name.into());
        self
    }

    /// Who knows what has ended. Required: a guard that never asks is spelled
    /// [`crate::DangerNothingEnded`].
    pub fn revocations(self, revocations: impl Revocations + 'static) -> Self {
        self.shared_revocations(Arc::new(revocations))
    }

    /// As [`Builder::revocations`], for a list that others hold too.
    pub fn shared_revocations(mut self, revocations: Arc<dyn Revocations>) -> Self {
        self.revocations = Some(revocations);
        self
    }

    /// How many verified tokens to keep, about; 16,384 (some 57 MB) unless said. With 0 every check
    /// verifies the signature.
    pub fn tokens_kept(mut self, tokens: usize) -> Self {
        self.tokens_kept = tokens;
        self
    }

    /// What becomes of good tokens while the guard has lost touch with its feed, where a route does not say
    /// otherwise; [`OnStale::Deny`] unless said.
    pub fn on_stale(mut self, policy: OnStale) -> Self {
        self.on_stale = policy;
        self
    }

    /// Whom [`OnStale::Introspect`] asks. Without one it is [`OnStale::Deny`].
    pub fn introspection(mut self, issuer: impl Introspection + 'static) -> Self {
        self.introspection = Some(Box::new(issuer));
        self
    }

    /// The guard.
    ///
    /// # Errors
    /// [`BuildTrouble`] names what is missing.
    pub fn build(mut self) -> Result<Guard, BuildTrouble> {
        if self.issuer.is_empty() {
            return Err(BuildTrouble::NoIssuer);
        }
        if self.audience.is_empty() && !self.any_audience {
            return Err(BuildTrouble::NoAudience);
        }
        let revocations = self.revocations.take().ok_or(BuildTrouble::NoRevocations)?;
        if matches!(self.on_stale, OnStale::Introspect { .. }) && self.introspection.is_none() {
            return Err(BuildTrouble::NoIntrospection);
        }
        let registry = Registry::with(&self.subjects)?;
        Ok(Guard::new(self, registry, revocations))
    }
}

fn system_clock() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}
