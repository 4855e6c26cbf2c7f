//! The wiring between a guard and its feed: keys, policy and revocations arrive here, and nowhere else.

use std::io;
use std::sync::Arc;

use portcullis_guard::feed::{
    Freshness, HttpConfig, HttpFeed, HttpIntrospection, MAX_STALENESS, RedisConfig, RedisFeed, Sink, Trust,
    View,
};
use portcullis_guard::{Builder, Guard, KeySet, Policy};

use crate::settings::Settings;

/// A guard with its feed, for as long as this is kept.
pub struct Followed {
    pub guard: Guard,
    /// What is known of the feed; its freshness is the shop's readiness.
    pub view: Arc<View>,
    /// Dropped, it stops following.
    pub feed: HttpFeed,
    /// The same feed over Redis, into the same view.
    pub redis: Option<RedisFeed>,
}

/// Builds the guard that these settings describe and starts to follow its feed. Until the feed has been
/// read once the guard accepts nothing.
///
/// # Errors
/// Settings that no guard can be built from, or no thread to be had.
pub fn follow(settings: &Settings) -> io::Result<Followed> {
    follow_with(settings, |guard| guard)
}

/// The same with a last word on the guard, for example another clock.
///
/// # Errors
/// As [`follow`].
pub fn follow_with(settings: &Settings, last_word: impl FnOnce(Builder) -> Builder) -> io::Result<Followed> {
    let view = Arc::new(View::new(&settings.feed, MAX_STALENESS));
    let mut config = HttpConfig::new(&settings.issuer, &settings.guard_id, &settings.guard_secret);
    if let Some(address) = &settings.feed_url {
        config = config.base(address);
    }
    if let Some(file) = &settings.ca {
        config = config.authorities(std::fs::read_to_string(file)?);
    }
    let guard = Guard::builder()
        .issuer(&settings.issuer)
        .audience(&settings.audience)
        .environment(settings.environment.into())
        .commerce_layer_profile(settings.commerce_layer)
        .shared_revocations(view.clone())
        .introspection(HttpIntrospection::new(&config)?);
    let guard = last_word(guard).build().map_err(io::Error::other)?;
    let delivery = Arc::new(Delivery(guard.clone()));
    let authorities = settings.redis_ca.as_ref().map(std::fs::read_to_string).transpose()?;
    let redis = settings.redis_url.as_ref().map(|url| {
        let trust = Trust::Issuer(config.clone());
        let redis = RedisConfig { url: url.clone(), authorities: authorities.clone(), trust };
        RedisFeed::start(redis, view.clone(), delivery.clone())
    });
    let redis = redis.transpose()?;
    let feed = HttpFeed::start(config, view.clone(), delivery)?;
    Ok(Followed { guard, view, feed, redis })
}

impl Followed {
    /// What the guard and its sources count, as a page for Prometheus.
    pub fn metrics(&self) -> impl Fn() -> String + Clone + Send + Sync + 'static {
        let (guard, http) = (self.guard.clone(), self.feed.gauge());
        let redis = self.redis.as_ref().map(|redis| redis.gauge());
        move || {
            let page = guard.metrics().source("http", http.read());
            let page = match &redis {
                Some(redis) => page.source("redis", redis.read()),
                None => page,
            };
            page.to_string()
        }
    }

    /// Whether the shop may be sent customers: the keys are there, and the feed is complete and not old.
    pub fn is_ready(guard: &Guard, view: &View) -> bool {
        let fresh = matches!(view.freshness_now(), Freshness::Live | Freshness::Lagging);
        fresh && !guard.keys().is_unread()
    }
}

/// Hands to the guard what travels beside the feed. What cannot be read changes nothing: the guard goes on
/// with what it had, and whoever runs the shop is told.
struct Delivery(Guard);

impl Sink for Delivery {
    fn keys(&self, jwks: &str) {
        match KeySet::from_jwks(jwks) {
            Ok(keys) => _ = self.0.replace_keys(keys),
            Err(why) => eprintln!("portcullis-shop: the issuer's key set cannot be used: {why}"),
        }
    }

    fn policy(&self, json: &str) {
        match Policy::from_json(json) {
            Ok(policy) => self.0.replace_policy(policy),
            Err(why) => eprintln!("portcullis-shop: the issuer's policy cannot be used: {why}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use portcullis_guard::DangerNothingEnded;

    fn delivery() -> Delivery {
        let guard = Guard::builder().issuer("i").audience("a").revocations(DangerNothingEnded);
        Delivery(guard.build().unwrap())
    }

    #[test]
    fn what_cannot_be_read_changes_nothing() {
        let delivery = delivery();
        delivery.policy(r#"{"version":7,"roles":{}}"#);
        delivery.policy("nonsense");
        assert_eq!(delivery.0.policy().version(), 7);
        let before = delivery.0.keys();
        delivery.keys("nonsense");
        assert_eq!(*delivery.0.keys(), *before);
    }

    #[test]
    fn a_shop_that_never_heard_the_feed_is_not_ready() {
        assert!(!Followed::is_ready(&delivery().0, &View::new("live:eu1", MAX_STALENESS)));
    }
}
