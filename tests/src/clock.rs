//! A clock that runs as fast as the world's and can be set forward: beats go on, so guards stay fresh, and
//! two weeks pass in a moment.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use portcullis::means::SystemClock;
use portcullis_authority::desk::Clock;

/// The machine's clock and how far it was set forward.
#[derive(Debug, Default)]
pub struct TownClock(AtomicU64);

impl TownClock {
    /// Sets it forward.
    pub fn forward(&self, seconds: u64) {
        self.0.fetch_add(seconds * 1000, Ordering::SeqCst);
    }

    /// The same clock for a guard.
    pub fn for_guard(self: &Arc<Self>) -> portcullis_guard::Clock {
        let clock = self.clone();
        Arc::new(move || clock.now_ms())
    }
}

impl Clock for TownClock {
    fn now_ms(&self) -> u64 {
        SystemClock.now_ms() + self.0.load(Ordering::SeqCst)
    }
}
