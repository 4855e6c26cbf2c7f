//! The turnstile: how often somebody may fail to sign in. Each try is counted before it is judged, so that a
//! hundred at once are no way around it. It may forget, after a restart or for lack of room, and then only
//! lets somebody try again.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use super::Denial;

/// Seconds that a failure counts.
const WINDOW: u64 = 15 * 60;
/// What is remembered at most; beyond it the oldest goes.
const ROOM: usize = 10_000;

/// Counts failures by key.
#[derive(Debug, Default)]
pub struct Turnstile(Mutex<HashMap<String, Tries>>);

#[derive(Clone, Copy, Debug)]
struct Tries {
    since: u64,
    count: u32,
}

impl Turnstile {
    /// Counts a try, unless there were so many already.
    ///
    /// # Errors
    /// [`Denial::Later`] with the seconds to wait.
    pub fn enter(&self, key: String, most: u32, now: u64) -> Result<(), Denial> {
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if kept.len() >= ROOM && !kept.contains_key(&key) {
            make_room(&mut kept, now);
        }
        let tries = kept.entry(key).or_insert(Tries { since: now, count: 0 });
        if now.saturating_sub(tries.since) >= WINDOW {
            *tries = Tries { since: now, count: 0 };
        }
        if tries.count >= most {
            return Err(Denial::Later((tries.since + WINDOW).saturating_sub(now).max(1)));
        }
        tries.count += 1;
        Ok(())
    }

    /// The try was no failure: the one who knows is not held up by who does not.
    pub fn forgive(&self, key: &str) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).remove(key);
    }
}

fn make_room(kept: &mut HashMap<String, Tries>, now: u64) {
    kept.retain(|_, tries| now.saturating_sub(tries.since) < WINDOW);
    if kept.len() >= ROOM
        && let Some(oldest) = kept.iter().min_by_key(|(_, tries)| tries.since).map(|(key, _)| key.clone())
    {
        kept.remove(&oldest);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn after_so_many_tries_one_waits_for_the_end_of_the_window() {
        let turnstile = Turnstile::default();
        let enter = |now| turnstile.enter("a".into(), 2, now);
        assert!(enter(0).is_ok() && enter(1).is_ok());
        assert!(matches!(enter(100), Err(Denial::Later(800))));
        assert!(turnstile.enter("b".into(), 2, 100).is_ok(), "others go on");
        assert!(enter(WINDOW).is_ok());
    }

    #[test]
    fn a_success_wipes_the_slate() {
        let turnstile = Turnstile::default();
        assert!(turnstile.enter("a".into(), 1, 0).is_ok());
        turnstile.forgive("a");
        assert!(turnstile.enter("a".into(), 1, 0).is_ok());
    }

    #[test]
    fn it_does_not_grow_without_end() {
        let turnstile = Turnstile::default();
        for n in 0..ROOM as u64 + 10 {
            assert!(turnstile.enter(n.to_string(), 1, n / 1000).is_ok());
        }
        assert!(turnstile.0.lock().unwrap().len() <= ROOM);
    }
}
