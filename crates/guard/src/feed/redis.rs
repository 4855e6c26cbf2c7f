//! Follows a feed over Redis. Redis carries and is never believed: whoever writes to it can delay a guard
//! until it closes, and cannot make it accept anything.
//!
//! Driving is `worker.rs`, belief `follower.rs`. What needs no proof of its own, the feed's keys and the
//! time, never comes from Redis: see [`Trust`].

mod source;
mod whereabouts;

use std::{
    fmt, io,
    ops::{Deref, DerefMut},
    sync::{Arc, mpsc::sync_channel},
    time::Duration,
};

use self::source::RedisSource;
use super::{FeedKeys, HttpConfig, Sink, View, http::source::HttpSource, worker::Following};

pub use whereabouts::Whereabouts;

/// How far a wall clock may be off that nobody compares.
pub const CLOCK_ERROR: Duration = Duration::from_secs(2);

/// Where Redis is, and what is believed without it.
#[derive(Clone)]
pub struct RedisConfig {
    /// `redis://[user[:password]@]host[:port][/database]`, or `rediss://` for TLS with the system's roots;
    /// for Sentinel and clusters see [`Whereabouts::parse`].
    pub url: String,
    /// Whose certificates Redis may show (PEM), and nobody else's; without it the system's roots.
    pub authorities: Option<String>,
    pub trust: Trust,
}

/// Where the feed's keys and the time come from.
#[derive(Clone, Debug)]
pub enum Trust {
    /// From the issuer, which also hears how far this guard is, and is asked for what the stream in Redis
    /// lacks.
    Issuer(HttpConfig),
    /// From this configuration, for a guard that can reach nothing but Redis: the keys as they are here, and
    /// this machine's clock, which somebody must keep right to within `clock_error`.
    Pinned { issuer: String, keys: FeedKeys, clock_error: Duration },
}

impl fmt::Debug for RedisConfig {
    /// Without the address, which may hold a password.
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(to, "RedisConfig {{ url: .., trust: {:?} }}", self.trust)
    }
}

/// A feed that is being followed over Redis, until it is dropped. An [`HttpFeed`](super::HttpFeed) may follow
/// into the same view; either alone keeps it live.
pub struct RedisFeed(Following);

impl RedisFeed {
    /// Starts to follow the feed that `view` is named for.
    ///
    /// # Errors
    /// An address that is none, authorities that hold no certificate, or no thread to be had. A Redis that is away is no error: it is asked again.
    pub fn start(config: RedisConfig, view: Arc<View>, sink: Arc<dyn Sink>) -> io::Result<Self> {
        let source = RedisSource::new(&config, view.feed())?;
        let mut following = Following::new(view);
        let (issuer, moved) = match config.trust {
            Trust::Issuer(http) => {
                let reporter = HttpSource::new(&http, following.view().feed())?;
                (http.issuer, following.report_with(reporter)?)
            }
            // Nobody listens; telling nobody fails quietly.
            Trust::Pinned { issuer, .. } => (issuer, sync_channel(1).0),
        };
        following.follow(source, issuer, sink, moved)?;
        Ok(Self(following))
    }
}

impl Deref for RedisFeed {
    type Target = Following;

    fn deref(&self) -> &Following {
        &self.0
    }
}

impl DerefMut for RedisFeed {
    fn deref_mut(&mut self) -> &mut Following {
        &mut self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::feed::MAX_STALENESS;

    struct Nobody;

    impl Sink for Nobody {
        fn keys(&self, _: &str) {}
        fn policy(&self, _: &str) {}
    }

    fn config(url: &str) -> RedisConfig {
        let keys = FeedKeys::from_raw([[1; 32]]);
        let trust = Trust::Pinned { issuer: "i".into(), keys, clock_error: CLOCK_ERROR };
        RedisConfig { url: url.into(), authorities: None, trust }
    }

    #[test]
    fn a_password_is_not_printed() {
        assert!(!format!("{:?}", config("redis://guard:hush@localhost")).contains("hush"));
    }

    #[test]
    fn an_address_that_is_none_is_refused_without_repeating_it() {
        let view = Arc::new(View::new("live:eu1", MAX_STALENESS));
        let why = RedisFeed::start(config("http://guard:hush@localhost"), view, Arc::new(Nobody)).err();
        assert!(!why.expect("not Redis").to_string().contains("hush"));
    }

    #[test]
    fn authorities_without_a_certificate_are_refused() {
        let view = Arc::new(View::new("live:eu1", MAX_STALENESS));
        let config = RedisConfig { authorities: Some("nobody".into()), ..config("rediss://localhost") };
        let why = RedisFeed::start(config, view, Arc::new(Nobody)).err();
        assert!(why.expect("nobody is trusted").to_string().contains("no certificate"));
    }

    #[test]
    fn a_guard_without_its_redis_stays_cold() {
        let view = Arc::new(View::new("live:eu1", MAX_STALENESS));
        let feed = RedisFeed::start(config("redis://127.0.0.1:1"), view, Arc::new(Nobody)).unwrap();
        assert!(!feed.wait_until_live(Duration::from_millis(100)));
    }
}
