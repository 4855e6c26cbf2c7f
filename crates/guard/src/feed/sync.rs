//! What the table is made of: its atomics, its swap, its lock and its sizes. The test `table_model` puts
//! others in their place, so that loom can try every interleaving of the same table on a small scale.

pub(super) use std::sync::atomic::{
    AtomicU64,
    Ordering::{Acquire, Relaxed, Release},
};
pub(super) use std::sync::{Mutex, MutexGuard};

pub(super) use arc_swap::{ArcSwap, Guard};

/// Parts grow and are swept one at a time, so a rebuild never copies more than this share of the whole.
pub(super) const PARTS: usize = 64;
/// Slots of an empty part.
pub(super) const LEAST_SLOTS: usize = 16;
