//! What the table is made of here, in the place of `feed/sync.rs`: loom's atomics and lock, and few places.

use std::ops::Deref;
use std::sync::Arc;

use loom::sync::atomic::AtomicUsize;
use loom::sync::atomic::Ordering::{Acquire, Release};

pub use loom::sync::atomic::AtomicU64;
pub use loom::sync::{Mutex, MutexGuard};

pub const PARTS: usize = 2;
pub const LEAST_SLOTS: usize = 6;

/// Tries a rule in every order of its steps and with every value that a load may see. The rules are small
/// enough for all of them.
pub fn model(rule: fn()) {
    let mut model = loom::model::Builder::new();
    model.preemption_bound = None;
    model.check(rule);
}

/// What the table asks of `arc_swap`, and no more: a reader sees some version that was stored, and with it
/// everything that was written before.
pub struct ArcSwap<T> {
    /// All versions, so that an old one can be seen for as long as the memory model allows. Not loom's lock,
    /// which would order more than a swap does.
    versions: std::sync::Mutex<Vec<Arc<T>>>,
    newest: AtomicUsize,
}

/// A version that was loaded.
pub struct Guard<T>(T);

impl<T> Deref for Guard<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.0
    }
}

impl<T> ArcSwap<T> {
    pub fn from_pointee(first: T) -> Self {
        Self { versions: std::sync::Mutex::new(vec![Arc::new(first)]), newest: AtomicUsize::new(0) }
    }

    pub fn load(&self) -> Guard<Arc<T>> {
        let at = self.newest.load(Acquire);
        Guard(self.versions.lock().expect("nobody panics with it")[at].clone())
    }

    pub fn store(&self, next: Arc<T>) {
        let mut versions = self.versions.lock().expect("nobody panics with it");
        versions.push(next);
        let at = versions.len() - 1;
        drop(versions);
        self.newest.store(at, Release);
    }
}
