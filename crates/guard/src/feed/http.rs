//! Follows a feed over HTTP, from the issuer or something that stands for it. A second thread reports how far
//! it has come, so that a report never delays the next question.
//!
//! Asking is `http/source.rs`, driving `worker.rs`, and what to believe is decided in `follower.rs`. Only three
//! answers are believed because of where they come from, and should therefore come over TLS from the issuer
//! itself: the feed's keys, the time, and what `http/introspection.rs` asks about one token.

mod introspection;
pub(super) mod source;
#[cfg(test)]
mod tests;

use std::{
    fmt, io,
    ops::{Deref, DerefMut},
    sync::{
        Arc,
        mpsc::{Receiver, RecvTimeoutError},
    },
    time::Duration,
};

use ring::rand::{SecureRandom, SystemRandom};

pub use self::introspection::HttpIntrospection;
use self::source::HttpSource;
use super::{
    View,
    worker::{Following, Progress, Shared, Sink, share_of},
};

/// How often a guard says how far it is when nothing happens.
const REPORT_EVERY: Duration = Duration::from_secs(1);
/// A report that follows a record waits at most so long. Guards that share a server, or a machine, all hear of
/// the same record at once, and each of them should apply it before any of them talks about it.
const AFTER_YOU: Duration = Duration::from_millis(25);

/// Where the feed is and who asks.
#[derive(Clone)]
pub struct HttpConfig {
    pub(super) base: String,
    pub(super) issuer: String,
    pub(super) guard: String,
    pub(super) secret: String,
    pub(super) instance: String,
    pub(super) authorities: Option<String>,
}

impl HttpConfig {
    /// The feed of this issuer, at the issuer's own address; `guard` and `secret` are the guard's account
    /// there.
    pub fn new(issuer: impl Into<String>, guard: impl Into<String>, secret: impl Into<String>) -> Self {
        let issuer = issuer.into();
        let mut random = [0; 4];
        // Without randomness two instances might share a name; a receipt then waits for either of them.
        let _ = SystemRandom::new().fill(&mut random);
        let instance = random.iter().map(|byte| format!("{byte:02x}")).collect();
        Self {
            base: issuer.clone(),
            issuer,
            guard: guard.into(),
            secret: secret.into(),
            instance,
            authorities: None,
        }
    }

    /// Where the endpoints are, when that is not the issuer's own address.
    pub fn base(mut self, address: impl Into<String>) -> Self {
        self.base = address.into();
        self
    }

    /// What this instance of the service is called in receipts and in `GET /feed/guards`, behind the name of
    /// its account; random unless said. Two instances must never share one, or a receipt could say of both
    /// what is true of one.
    pub fn instance(mut self, name: impl Into<String>) -> Self {
        self.instance = name.into();
        self
    }

    /// Trusts these certificates (PEM) and not the public ones.
    pub fn authorities(mut self, pem: impl Into<String>) -> Self {
        self.authorities = Some(pem.into());
        self
    }
}

impl fmt::Debug for HttpConfig {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { base, issuer, guard, instance, .. } = self;
        write!(
            to,
            "HttpConfig {{ base: {base:?}, issuer: {issuer:?}, guard: {guard:?}/{instance:?}, secret: .. }}"
        )
    }
}

/// A feed that is being followed over HTTP, until it is dropped.
pub struct HttpFeed(Following);

impl HttpFeed {
    /// Starts to follow the feed that `view` is named for. Fails only when no thread can be had, or when the
    /// certificates cannot be read.
    pub fn start(config: HttpConfig, view: Arc<View>, sink: Arc<dyn Sink>) -> io::Result<Self> {
        let source = HttpSource::new(&config, view.feed())?;
        let mut following = Following::new(view);
        let moved = following.report_with(HttpSource::new(&config, following.view().feed())?)?;
        following.follow(source, config.issuer, sink, moved)?;
        Ok(Self(following))
    }
}

impl Deref for HttpFeed {
    type Target = Following;

    fn deref(&self) -> &Following {
        &self.0
    }
}

impl DerefMut for HttpFeed {
    fn deref_mut(&mut self) -> &mut Following {
        &mut self.0
    }
}

/// Reports until the thread that asks has ended. An issuer that is told with the questions for the tail needs
/// no reports.
pub(super) fn report(source: &HttpSource, view: &View, shared: &Shared, moved: &Receiver<()>) {
    loop {
        let polite = match moved.recv_timeout(REPORT_EVERY) {
            Ok(()) => share_of(AFTER_YOU),
            Err(RecvTimeoutError::Timeout) => Duration::ZERO,
            Err(RecvTimeoutError::Disconnected) => return,
        };
        if shared.pause(polite) {
            return;
        }
        if let Some(come) = Progress::of(view).filter(|_| shared.must_report()) {
            // Lost reports cost a receipt some waiting; the next one says more.
            let _ = source.report(&come);
        }
    }
}
