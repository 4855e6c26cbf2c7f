//! The latest that the server's clock can show now. Freshness is judged by it, so every doubt makes it
//! later, never earlier.
//!
//! The answers to `GET /revocations/time` are as trustworthy as the connection. What the feed itself says
//! under its signature is more: a server's clock is never behind an `as_of` it has signed.

use std::{
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicBool, Ordering::Acquire, Ordering::Release},
    },
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use arc_swap::ArcSwap;

/// The doubt about a wall clock that nobody has compared yet.
const UNCOMPARED_ERROR_MS: u64 = 2_000;
/// The two local clocks may drift apart by this much before the server should be asked again.
const SUSPICIOUS_MS: u64 = 1_000;

/// Both local clocks at one moment. The steady one may stand still while a machine sleeps, the wall clock
/// may be set; a forward step of either counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reading {
    pub steady: Instant,
    pub wall_ms: u64,
}

impl Reading {
    pub fn now() -> Self {
        // A wall clock before 1970 counts as 1970, and the steady clock carries on from there.
        let wall = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or(Duration::ZERO);
        Self { steady: Instant::now(), wall_ms: millis(wall) }
    }

    fn steady_since(&self, earlier: &Self) -> u64 {
        millis(self.steady.saturating_duration_since(earlier.steady))
    }

    fn wall_since(&self, earlier: &Self) -> u64 {
        self.wall_ms.saturating_sub(earlier.wall_ms)
    }
}

/// What a server's clock could show at some moment here.
#[derive(Clone, Copy, Debug)]
struct Anchor {
    at: Reading,
    latest_ms: u64,
}

impl Anchor {
    /// A wall clock set back falls behind the steady one and no longer matters; set forward it can only
    /// make things look older than they are.
    fn latest(&self, now: &Reading) -> u64 {
        self.latest_ms.saturating_add(now.steady_since(&self.at).max(now.wall_since(&self.at)))
    }
}

/// The estimate. Reading takes no lock.
pub struct FeedClock {
    anchor: ArcSwap<Anchor>,
    /// The newest signed time and when it came.
    floor: Mutex<Anchor>,
    /// The server has begun to count anew, and was not asked for its time since.
    anew: AtomicBool,
}

impl FeedClock {
    pub(super) fn new(at: Reading) -> Self {
        let anchor = Anchor { at, latest_ms: at.wall_ms.saturating_add(UNCOMPARED_ERROR_MS) };
        let floor = Mutex::new(Anchor { at, latest_ms: 0 });
        Self { anchor: ArcSwap::from_pointee(anchor), floor, anew: AtomicBool::new(false) }
    }

    /// The latest that the server's clock can show now, in milliseconds.
    pub fn latest_ms(&self) -> u64 {
        self.latest_at(&Reading::now())
    }

    /// The same for a moment that is handed in.
    pub fn latest_at(&self, now: &Reading) -> u64 {
        self.anchor.load().latest(now)
    }

    /// The server's clock showed `server_ms`, give or take `error_ms`, at `at`. A server that judges by its
    /// own clock settles it with no error.
    pub fn settle(&self, server_ms: u64, error_ms: u64, at: Reading) {
        let floor = self.floor.lock().unwrap_or_else(PoisonError::into_inner);
        // Only the steady clock carries the floor on, so that a wall clock that once jumped ahead does not
        // close the guard for good.
        let least = floor.latest_ms.saturating_add(at.steady_since(&floor.at));
        let latest_ms = server_ms.saturating_add(error_ms).max(least);
        self.anchor.store(Anchor { at, latest_ms }.into());
        self.anew.store(false, Release);
    }

    /// The server signed a time that is earlier than what it had signed before, so its clock was ahead then.
    /// What it shows now has to be asked; until then the estimate stays where it is, which closes.
    pub(super) fn begin_anew(&self, as_of_ms: u64, at: Reading) {
        let mut floor = self.floor.lock().unwrap_or_else(PoisonError::into_inner);
        *floor = Anchor { at, latest_ms: as_of_ms };
        self.anew.store(true, Release);
    }

    /// Whether the server should be asked at once, because it has begun to count anew.
    pub fn has_begun_anew(&self) -> bool {
        self.anew.load(Acquire)
    }

    /// The server signed this time, so its clock is there or beyond.
    pub(super) fn not_before(&self, as_of_ms: u64, at: Reading) {
        let mut floor = self.floor.lock().unwrap_or_else(PoisonError::into_inner);
        if as_of_ms <= floor.latest_ms {
            return;
        }
        *floor = Anchor { at, latest_ms: as_of_ms };
        if self.latest_at(&at) < as_of_ms {
            self.anchor.store((*floor).into());
        }
    }

    /// Whether the two local clocks disagree about how long ago the server was asked.
    pub fn is_suspicious(&self, now: &Reading) -> bool {
        let anchor = self.anchor.load();
        let wall = now.wall_ms.saturating_sub(anchor.at.wall_ms);
        let set_back = now.wall_ms.saturating_add(SUSPICIOUS_MS) < anchor.at.wall_ms;
        set_back || now.steady_since(&anchor.at).abs_diff(wall) > SUSPICIOUS_MS
    }
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn clock() -> (FeedClock, Reading) {
        let start = Reading { steady: Instant::now(), wall_ms: 1_000_000 };
        let clock = FeedClock::new(start);
        clock.settle(5_000_000, 20, start);
        (clock, start)
    }

    fn later(from: Reading, steady_ms: u64, wall_ms: i64) -> Reading {
        let steady = from.steady + Duration::from_millis(steady_ms);
        Reading { steady, wall_ms: from.wall_ms.saturating_add_signed(wall_ms) }
    }

    #[test]
    fn the_error_counts_towards_later() {
        let (clock, start) = clock();
        assert_eq!(clock.latest_at(&later(start, 500, 500)), 5_000_520);
    }

    #[test]
    fn a_wall_clock_set_back_wins_no_time() {
        let (clock, start) = clock();
        let now = later(start, 500, -3_600_000 / 4);
        assert_eq!(clock.latest_at(&now), 5_000_520);
        assert!(clock.is_suspicious(&now));
    }

    #[test]
    fn a_step_forward_or_a_long_sleep_makes_it_later() {
        let (clock, start) = clock();
        let now = later(start, 500, 60_000);
        assert_eq!(clock.latest_at(&now), 5_060_020);
        assert!(clock.is_suspicious(&now));
        assert!(!clock.is_suspicious(&later(start, 60_000, 60_000)));
    }

    #[test]
    fn a_time_that_was_signed_cannot_be_argued_away() {
        let (clock, start) = clock();
        let heard = later(start, 1_000, 1_000);
        clock.not_before(9_000_000, heard);
        assert_eq!(clock.latest_at(&heard), 9_000_000);
        let asked = later(heard, 4_000, 4_000);
        clock.settle(5_005_000, 10, asked);
        assert_eq!(clock.latest_at(&asked), 9_004_000);
    }

    #[test]
    fn a_server_that_counts_anew_is_believed_when_it_has_been_asked() {
        let (clock, start) = clock();
        let ahead = later(start, 1_000, 1_000);
        clock.not_before(8_601_000, ahead);
        clock.settle(8_601_000, 10, ahead);
        let set_right = later(ahead, 5_000, 5_000);
        clock.begin_anew(5_006_000, set_right);
        assert!(clock.has_begun_anew());
        assert_eq!(clock.latest_at(&set_right), 8_606_010, "nobody has asked yet");
        clock.settle(5_006_100, 10, set_right);
        assert!(!clock.has_begun_anew());
        assert_eq!(clock.latest_at(&set_right), 5_006_110);
        // From here on the new time cannot be argued away either.
        clock.settle(4_000_000, 10, later(set_right, 1_000, 1_000));
        assert_eq!(clock.latest_at(&later(set_right, 1_000, 1_000)), 5_007_000);
    }

    #[test]
    fn after_a_jump_of_the_wall_clock_one_answer_puts_it_right() {
        let (clock, start) = clock();
        clock.not_before(4_999_000, start);
        let jumped = later(start, 1_000, 3_600_000);
        assert_eq!(clock.latest_at(&jumped), 8_600_020);
        clock.settle(5_001_000, 10, jumped);
        assert_eq!(clock.latest_at(&jumped), 5_001_010);
    }
}
