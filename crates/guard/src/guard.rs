//! The guard: is this token genuine, for us, in time and not ended; and may it do this? Knows nothing of
//! HTTP (`actix.rs`) and nothing of how keys, policy and revocations come here.

use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::{Acquire, Release};
use std::time::Duration;

use arc_swap::ArcSwap;

use crate::access::Access;
use crate::builder::{Builder, Clock, Environment};
use crate::cache::{self, Cache, Entry};
use crate::introspection::{Inquiry, Question};
use crate::keys::KeySet;
use crate::metrics::{Metrics, Tally};
use crate::payload;
use crate::policy::{
    Action, Compiled, Facts, Filter, Forbidden, Permit, Policy, Registry, Subject, SubjectId,
};
use crate::revocation::{Revocations, Verdict};
use crate::staleness::{Footing, OnStale};
use crate::{Denied, Profile, Unverified, token};

/// The version of a list that has none; [`Revocations::unchanged`] says no to it by default.
const NEVER: u64 = u64::MAX;

/// Checks tokens for one service. Cheap to clone; all clones share keys, policy and cache.
#[derive(Clone)]
pub struct Guard(Arc<Post>);

/// What all clones of a guard share.
struct Post {
    issuer: String,
    /// `None` is every audience.
    audience: Option<String>,
    commerce_layer: bool,
    environment: Environment,
    clock: Clock,
    revocations: Arc<dyn Revocations>,
    registry: Registry,
    keys: ArcSwap<KeySet>,
    policy: ArcSwap<Compiled>,
    cache: Cache,
    on_stale: OnStale,
    inquiry: Option<Inquiry>,
    tally: Tally,
}

/// What a guard finds without asking anybody.
pub(crate) enum Look {
    Decided(Result<Access, Denied>),
    /// The guard is stale, and this route lets the issuer decide.
    AskIssuer(Open),
}

/// A token that is good as far as the guard can tell.
pub(crate) struct Open {
    access: Access,
    /// Of what was signed.
    name: cache::Digest,
    now_ms: u64,
    timeout: Duration,
}

/// A token that is genuine, for us and in time.
enum Found {
    Alive(Access),
    /// Nothing that is known ends it, and not everything is known.
    Stale(Access, cache::Digest),
}

impl Guard {
    /// Begins a guard.
    pub fn builder() -> Builder {
        Builder::new()
    }

    pub(crate) fn new(told: Builder, registry: Registry, revocations: Arc<dyn Revocations>) -> Self {
        Self(Arc::new(Post {
            policy: ArcSwap::from_pointee(Compiled::new(told.policy, &registry)),
            keys: ArcSwap::from_pointee(told.keys),
            cache: Cache::new(told.tokens_kept),
            issuer: told.issuer,
            audience: (!told.any_audience).then_some(told.audience),
            commerce_layer: told.commerce_layer,
            environment: told.environment,
            clock: told.clock,
            on_stale: told.on_stale,
            inquiry: told.introspection.map(Inquiry::new),
            tally: Tally::default(),
            registry,
            revocations,
        }))
    }

    /// Checks an access token at the time of the guard's own clock.
    ///
    /// Never waits for anybody, unless the guard was built with [`OnStale::Introspect`] and is stale.
    ///
    /// # Errors
    /// As [`Guard::check_at`].
    pub fn authenticate(&self, token: &str) -> Result<Access, Denied> {
        self.authenticate_under(token, self.0.on_stale)
    }

    /// As [`Guard::authenticate`], for a route with a policy of its own for when the guard is stale.
    /// [`Access::footing`] tells whether it was needed.
    ///
    /// # Errors
    /// As [`Guard::check_at`].
    pub fn authenticate_under(&self, token: &str, on_stale: OnStale) -> Result<Access, Denied> {
        self.check_under(token, (self.0.clock)(), on_stale)
    }

    /// Checks an access token at `now`, seconds since the Unix epoch.
    ///
    /// # Errors
    /// As [`Guard::check_at`].
    pub fn check(&self, token: &str, now: u64) -> Result<Access, Denied> {
        self.check_at(token, now.saturating_mul(1000))
    }

    /// Checks an access token at `now_ms`, milliseconds since the Unix epoch: form, signature, type, issuer,
    /// audience, environment, times (RFC 9068 section 4), and that it has not ended.
    ///
    /// # Errors
    /// [`Denied`]. [`Denied::UnknownKey`] asks for a fresh key set, [`Denied::Stale`] says that the guard
    /// cannot know and the token may be good.
    pub fn check_at(&self, token: &str, now_ms: u64) -> Result<Access, Denied> {
        self.check_under(token, now_ms, self.0.on_stale)
    }

    /// As [`Guard::check_at`], under a policy for when the guard is stale.
    ///
    /// # Errors
    /// As [`Guard::check_at`].
    pub fn check_under(&self, token: &str, now_ms: u64, on_stale: OnStale) -> Result<Access, Denied> {
        match self.look(token, now_ms, on_stale) {
            Look::Decided(decision) => decision,
            Look::AskIssuer(open) => self.ask_issuer(token, open),
        }
    }

    /// Everything but asking the issuer, so nobody is waited for.
    pub(crate) fn look(&self, token: &str, now_ms: u64, on_stale: OnStale) -> Look {
        let post = &*self.0;
        // What ended a token is forgotten once the token has expired by the issuer's own clock. A guard whose
        // clock is behind must not accept it then.
        let now_ms = now_ms.max(post.revocations.not_before_ms());
        let found = post.find(token, now_ms);
        let decision = match (found, on_stale) {
            (Ok(Found::Stale(access, name)), OnStale::Introspect { timeout }) if post.may_ask(now_ms) => {
                return Look::AskIssuer(Open { access, name, now_ms, timeout });
            }
            (Ok(Found::Stale(access, _)), OnStale::AllowUpTo(bound)) => {
                post.on_old_news(access, now_ms, bound)
            }
            (Ok(Found::Stale(..)), _) => Err(Denied::Stale),
            (Ok(Found::Alive(access)), _) => Ok(access),
            (Err(denied), _) => Err(denied),
        };
        post.tally.count(&decision, on_stale);
        Look::Decided(decision)
    }

    /// [`Guard::look`] at the guard's own time, under the guard's own policy unless there is another.
    #[cfg(feature = "actix")]
    pub(crate) fn look_now(&self, token: &str, on_stale: Option<OnStale>) -> Look {
        self.look(token, (self.0.clock)(), on_stale.unwrap_or(self.0.on_stale))
    }

    /// Asks the issuer what [`Guard::look`] could not tell. Waits.
    pub(crate) fn ask_issuer(&self, token: &str, open: Open) -> Result<Access, Denied> {
        let Open { access, name, now_ms, timeout } = open;
        let post = &*self.0;
        let (now, as_of_ms) = (now_ms / 1000, post.revocations.not_before_ms());
        let question = Question { token, name, access: &access, within: timeout, now, as_of_ms };
        let answer = match &post.inquiry {
            Some(inquiry) => inquiry.judge(&question, || post.issuer_ms(now_ms)),
            None => Err(Denied::Stale),
        };
        // The feed may have come to speak of the token meanwhile.
        let ended = match post.revocations.verdict(&access, now_ms) {
            Verdict::Ended(kind) => Err(Denied::Revoked(kind)),
            Verdict::Live | Verdict::Stale => Ok(()),
        };
        let decision = ended.and(answer).map(|()| access.on(Footing::Introspected));
        post.tally.count(&decision, OnStale::Introspect { timeout });
        decision
    }

    /// What the guard has seen and done so far.
    pub fn metrics(&self) -> Metrics {
        let post = &*self.0;
        Metrics {
            picture: post.revocations.picture(),
            checks: post.tally.checks(),
            stale: post.tally.stale(),
            introspections: post.inquiry.as_ref().map(Inquiry::counts).unwrap_or_default(),
            sources: Vec::new(),
        }
    }

    /// Whether a token was ever genuine and for us, ended or not and at whatever time. For whoever ends
    /// tokens: a clock that is wrong must not make a revocation do nothing. Never to let anybody in.
    ///
    /// # Errors
    /// [`Denied`], for reasons other than time and end.
    pub fn danger_ever_genuine(&self, token: &str) -> Result<Access, Denied> {
        self.0.verify(token, &self.0.keys.load())
    }

    /// Whether the token may do `action` on a resource of which the caller knows these facts.
    ///
    /// Every role that the token names must allow it, under each role's own restrictions.
    ///
    /// # Errors
    /// [`Forbidden`] with the reason; a fact that a restriction needs and that is not given is one.
    pub fn permit(
        &self,
        access: &Access,
        subject: impl Subject,
        action: Action,
        facts: &Facts<'_>,
    ) -> Result<(), Forbidden> {
        let subject = self.subject(subject, action)?;
        self.0.policy.load().judge(access, subject, action, Some(facts))
    }

    /// Whether the token may do `action` on *some* resource of this kind, before the resource is known. The
    /// answer still has to see the resource: [`Permit::over`].
    ///
    /// # Errors
    /// [`Forbidden`] when no resource of this kind could be allowed.
    pub fn require<'a>(
        &self,
        access: &'a Access,
        subject: impl Subject,
        action: Action,
    ) -> Result<Permit<'a>, Forbidden> {
        let subject = self.subject(subject, action)?;
        Permit::new(access, self.0.policy.load_full(), subject, action)
    }

    /// What is left to ask of each resource in a collection, so that a list is fenced in the query and not
    /// after it.
    ///
    /// # Errors
    /// [`Forbidden`] when nothing in the collection could be allowed.
    pub fn filter<'a>(
        &self,
        access: &'a Access,
        subject: impl Subject,
        action: Action,
    ) -> Result<Filter<'a>, Forbidden> {
        let subject = self.subject(subject, action)?;
        self.0.policy.load().filter(access, subject, action)
    }

    /// The number of a subject, for callers that look it up once. `None` for a name nobody registered.
    pub fn subject_id(&self, name: &str) -> Option<SubjectId> {
        self.0.registry.find(name)
    }

    /// The keys that are trusted now.
    pub fn keys(&self) -> Arc<KeySet> {
        self.0.keys.load_full()
    }

    /// Trusts these keys and no others from now on. A token whose key is gone is refused at its next check,
    /// cached or not. True if anything changed.
    pub fn replace_keys(&self, keys: KeySet) -> bool {
        let changed = **self.0.keys.load() != keys;
        if changed {
            self.0.keys.store(Arc::new(keys));
        }
        changed
    }

    /// The policy that is in force.
    pub fn policy(&self) -> Arc<Policy> {
        self.0.policy.load().policy()
    }

    /// Puts a policy in force, for every check from now on.
    pub fn replace_policy(&self, policy: Policy) {
        self.0.policy.store(Arc::new(Compiled::new(policy, &self.0.registry)));
    }

    /// True when the token was issued under a newer policy than the one in force here: fetch the policy
    /// before refusing, so that whoever was just given a role can use it.
    pub fn is_behind(&self, access: &Access) -> bool {
        access.claims().pv > self.0.policy.load().policy().version()
    }

    /// The actions that the roles of a token leave possible on each subject, restricted or not.
    pub fn actions(&self, claims: &crate::Claims) -> Vec<(&str, crate::policy::Actions)> {
        self.0.policy.load().actions(claims, &self.0.registry)
    }

    fn subject(&self, subject: impl Subject, action: Action) -> Result<SubjectId, Forbidden> {
        subject.find(&self.0.registry).ok_or(Forbidden::unknown_subject(action))
    }
}

impl Post {
    /// Everything about a token that does not depend on the time of day.
    fn verify(&self, token: &str, keys: &KeySet) -> Result<Access, Denied> {
        let token = Unverified::parse(token)?;
        // Whoever never heard of any key cannot call a token bad.
        if keys.is_unread() {
            return Err(Denied::Stale);
        }
        let key_id = token.key_id().ok_or(Denied::Malformed("no key id"))?;
        keys.key(key_id).ok_or(Denied::UnknownKey)?.verify(&token)?;
        let profile = match token.profile() {
            Some(Profile::CommerceLayer) if !self.commerce_layer => return Err(Denied::WrongType),
            profile => profile.ok_or(Denied::WrongType)?,
        };
        let contents = payload::read(token.payload(), profile)?;
        let claims = &contents.claims;
        if claims.iss != self.issuer {
            return Err(Denied::WrongIssuer);
        }
        if self.audience.as_ref().is_some_and(|audience| !claims.aud.contains(audience)) {
            return Err(Denied::WrongAudience);
        }
        if !self.environment.admits(claims.test) {
            return Err(Denied::WrongEnvironment);
        }
        Ok(Access::new(contents, key_id, &self.registry))
    }

    /// What is known of a token without asking anybody.
    fn find(&self, token: &str, now_ms: u64) -> Result<Found, Denied> {
        let keys = self.keys.load();
        let (signing_input, signature) = token::halves(token)?;
        let digest = cache::digest(signature);
        if let Some(held) = self.cache.find(&digest, signing_input)
            && let Some(entry) = held.as_ref()
            && entry.reading == keys.reading()
        {
            entry.access.contents().in_time(now_ms / 1000)?;
            if !self.revocations.unchanged(entry.version.load(Acquire), now_ms) {
                match self.alive(&entry.access, now_ms)? {
                    Some(version) => entry.version.store(version, Release),
                    None => return self.stale(entry.access.clone(), signing_input),
                }
            }
            return self.undoubted(entry.access.clone(), signing_input);
        }
        let access = self.verify(token, &keys)?;
        access.contents().in_time(now_ms / 1000)?;
        let alive = self.alive(&access, now_ms)?;
        let version = AtomicU64::new(alive.unwrap_or(NEVER));
        let kept = access.clone();
        let reading = keys.reading();
        self.cache.keep(Entry {
            digest,
            signing_input: signing_input.into(),
            access: kept,
            reading,
            version,
        });
        match alive {
            Some(_) => self.undoubted(access, signing_input),
            None => self.stale(access, signing_input),
        }
    }

    /// That the token has not ended: which version the list had just before it was asked, or nothing when it
    /// is not fresh.
    fn alive(&self, access: &Access, now_ms: u64) -> Result<Option<u64>, Denied> {
        let version = self.revocations.version().unwrap_or(NEVER);
        match self.revocations.verdict(access, now_ms) {
            Verdict::Live => Ok(Some(version)),
            Verdict::Ended(kind) => Err(Denied::Revoked(kind)),
            Verdict::Stale => Ok(None),
        }
    }

    fn undoubted(&self, access: Access, signing_input: &str) -> Result<Found, Denied> {
        self.no_doubt(|| cache::digest(signing_input)).map(|()| Found::Alive(access))
    }

    fn stale(&self, access: Access, signing_input: &str) -> Result<Found, Denied> {
        let name = cache::digest(signing_input);
        self.no_doubt(|| name).map(|()| Found::Stale(access, name))
    }

    /// That the issuer has not called the token inactive a moment ago. Asked by what was signed: a token has
    /// more than one good signature (with ES256 anybody can make the other), and is the same token with each.
    fn no_doubt(&self, name: impl FnOnce() -> cache::Digest) -> Result<(), Denied> {
        let doubted =
            self.inquiry.as_ref().is_some_and(|it| it.doubts(name, self.revocations.not_before_ms()));
        if doubted { Err(Denied::Inactive) } else { Ok(()) }
    }

    /// Admits a token on what is known, if that is not older than the bound.
    fn on_old_news(&self, access: Access, now_ms: u64, bound: Duration) -> Result<Access, Denied> {
        // The age before the verdict, so that the verdict knows at least what the age speaks of.
        let age = self.revocations.age_ms(now_ms).map(Duration::from_millis);
        match self.revocations.verdict(&access, now_ms) {
            Verdict::Ended(kind) => Err(Denied::Revoked(kind)),
            Verdict::Live => Ok(access),
            Verdict::Stale => match age.filter(|age| *age <= bound) {
                Some(age) => Ok(access.on(Footing::Old(age))),
                None => Err(Denied::Stale),
            },
        }
    }

    /// Whether there is somebody to ask, and the list was complete once: a guard that starts accepts nothing,
    /// whoever vouches for it.
    fn may_ask(&self, now_ms: u64) -> bool {
        self.inquiry.is_some() && self.revocations.age_ms(now_ms).is_some()
    }

    /// How far the list has come by the issuer's clock, and the latest that this clock can show.
    fn issuer_ms(&self, now_ms: u64) -> (u64, u64) {
        // A list that has lost its age says no more about when it will have caught up.
        let age_ms = self.revocations.age_ms(now_ms).unwrap_or(u64::MAX);
        let as_of_ms = self.revocations.not_before_ms();
        (as_of_ms, as_of_ms.saturating_add(age_ms))
    }
}

impl std::fmt::Debug for Guard {
    fn fmt(&self, to: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Post { issuer, audience, environment, .. } = &*self.0;
        write!(to, "Guard({issuer:?} for {audience:?}, {environment:?})")
    }
}
