//! A reader that does not wait until a slot is whole.

#[path = "rules.rs"]
#[expect(dead_code, reason = "one rule finds it out")]
pub mod rules;
#[path = "../../src/feed/table.rs"]
#[expect(dead_code, reason = "the rules need a part of it")]
mod table;

use portcullis_guard::feed::{Id, Kind};

/// In the place of `feed/sync.rs`.
mod sync {
    pub use std::sync::atomic::Ordering::{Relaxed, Relaxed as Acquire, Release};

    pub use crate::scale::{ArcSwap, AtomicU64, Guard, LEAST_SLOTS, Mutex, MutexGuard, PARTS};
}
