//! Who has come in from where before: an honest owner is not kept out by what strangers did elsewhere. Only
//! success writes here, and each subject has few places, so a stranger can neither fill it nor push anybody
//! out.

use std::collections::HashMap;
use std::hash::{BuildHasher as _, RandomState};
use std::sync::{Mutex, MutexGuard, PoisonError};

/// How long a place is remembered, in seconds.
const MEMORY: u64 = 30 * 86_400;
/// A place that was seen so lately is not written down again, in seconds.
const LATELY: u64 = 600;
/// Places of one subject; the oldest makes way.
const PLACES: usize = 8;
const SHARDS: usize = 16;

pub struct Known {
    shards: Vec<Mutex<HashMap<u64, Vec<Place>>>>,
    hasher: RandomState,
    room: usize,
}

struct Place {
    id: u64,
    /// Seconds.
    seen: u64,
}

impl Known {
    pub fn new(subjects: usize) -> Self {
        let shards = (0..SHARDS).map(|_| Mutex::default()).collect();
        Self { shards, hasher: RandomState::new(), room: subjects.div_ceil(SHARDS).max(1) }
    }

    /// Whether the subject came in from there before.
    pub fn knows(&self, subject: &str, place: &str, now: u64) -> bool {
        let (of, id) = (self.hasher.hash_one(subject), self.hasher.hash_one(place));
        let shard = self.shard(of);
        shard.get(&of).is_some_and(|all| all.iter().any(|one| one.id == id && now < one.seen + MEMORY))
    }

    /// The subject has come in from there.
    pub fn remember(&self, subject: &str, place: &str, now: u64) {
        let (of, id) = (self.hasher.hash_one(subject), self.hasher.hash_one(place));
        let mut shard = self.shard(of);
        if !shard.contains_key(&of) && shard.len() >= self.room {
            shard.retain(|_, places| places.iter().any(|place| now < place.seen + MEMORY));
            if shard.len() >= self.room {
                return; // Not remembered, which is only stricter.
            }
        }
        let places = shard.entry(of).or_default();
        match places.iter_mut().find(|place| place.id == id) {
            Some(place) if now < place.seen + LATELY => {}
            Some(place) => place.seen = now,
            None => {
                if places.len() >= PLACES
                    && let Some(oldest) = (0..places.len()).min_by_key(|at| places[*at].seen)
                {
                    places.swap_remove(oldest);
                }
                places.push(Place { id, seen: now });
            }
        }
    }

    /// Whole after every statement, so a panic elsewhere spoils nothing.
    fn shard(&self, id: u64) -> MutexGuard<'_, HashMap<u64, Vec<Place>>> {
        let at = usize::try_from(id % SHARDS as u64).unwrap_or_default();
        self.shards[at].lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: u64 = 1_800_000_000;

    #[test]
    fn a_place_is_known_for_thirty_days_after_it_was_last_seen() {
        let known = Known::new(100);
        assert!(!known.knows("a", "here", NOW));
        known.remember("a", "here", NOW);
        assert!(known.knows("a", "here", NOW) && !known.knows("a", "there", NOW));
        assert!(!known.knows("b", "here", NOW));
        known.remember("a", "here", NOW + 86_400);
        assert!(known.knows("a", "here", NOW + MEMORY));
        assert!(!known.knows("a", "here", NOW + 86_400 + MEMORY));
    }

    #[test]
    fn somebody_elses_travels_push_nobody_out() {
        let known = Known::new(1600);
        known.remember("owner", "home", NOW);
        for n in 0..10_000 {
            known.remember("traveller", &n.to_string(), NOW + n);
        }
        assert!(known.knows("owner", "home", NOW) && !known.knows("traveller", "0", NOW));
    }

    #[test]
    fn the_room_is_bounded() {
        let known = Known::new(SHARDS);
        (0..1000).for_each(|n| known.remember(&n.to_string(), "here", NOW));
        assert!((0..1000).filter(|n| known.knows(&n.to_string(), "here", NOW)).count() <= SHARDS);
    }
}
