//! Follows a feed over HTTP, from the issuer or something that stands for it. A second thread reports how far
//! it has come, so that a report never delays the next question.
//!
//! Asking is `http/source.rs`, driving `worker.rs`, and what to believe is decided in `follower.rs`. Only two
//! answers are believed because of where they come from, and should therefore come over TLS from the issuer
//! itself: the feed's keys, and the time.

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

use self::source::HttpSource;
use super::{
    View,
    worker::{Following, Shared, Sink},
};

/// How often a guard says how far it is when nothing happens.
const REPORT_EVERY: Duration = Duration::from_secs(1);

/// Where the feed is and who asks.
#[derive(Clone)]
pub struct HttpConfig {
    /// The address that the endpoints are relative to, as a rule the issuer's.
    pub base: String,
    /// What manifests must name as their issuer.
    pub issuer: String,
    /// This guard's own id and secret, for HTTP Basic authentication.
    pub guard: String,
    pub secret: String,
}

impl fmt::Debug for HttpConfig {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { base, issuer, guard, secret: _ } = self;
        write!(to, "HttpConfig {{ base: {base:?}, issuer: {issuer:?}, guard: {guard:?}, secret: .. }}")
    }
}

/// A feed that is being followed over HTTP, until it is dropped.
pub struct HttpFeed(Following);

impl HttpFeed {
    /// Starts to follow the feed that `view` is named for. Fails only when no thread can be had.
    pub fn start(config: HttpConfig, view: Arc<View>, sink: Arc<dyn Sink>) -> io::Result<Self> {
        let source = HttpSource::new(&config, view.feed());
        let mut following = Following::new(view);
        let moved = following.report_with(HttpSource::new(&config, following.view().feed()))?;
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

/// Reports until the thread that asks has ended.
pub(super) fn report(source: &HttpSource, view: &View, shared: &Shared, moved: &Receiver<()>) {
    loop {
        if matches!(moved.recv_timeout(REPORT_EVERY), Err(RecvTimeoutError::Disconnected)) {
            return;
        }
        if shared.pause(Duration::ZERO) {
            return;
        }
        if view.as_of_ms() > 0 {
            // Lost reports cost a receipt some waiting; the next one says more.
            let _ = source.report(view.position(), view.as_of_ms());
        }
    }
}
