//! So many in so long: the arithmetic of every limit (the generic cell rate algorithm). A bucket is one
//! number, the time at which it will have been paid off; so it needs no timer, and two buckets that counted
//! the same thing apart can be joined by taking the later time.

use serde::{Deserialize, Serialize};

/// A whole `count` may come at once; after that they come back one by one, evenly over `seconds`. A count of 0
/// allows everything.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Allowance {
    pub count: u32,
    pub seconds: u32,
}

/// Where a caller stands, as the vendor's headers tell it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Standing {
    pub limit: u32,
    /// Seconds.
    pub interval: u32,
    pub remaining: u32,
}

impl Allowance {
    pub const fn new(count: u32, seconds: u32) -> Self {
        Self { count, seconds }
    }

    pub fn is_open(self) -> bool {
        self.count == 0
    }

    /// The same for so many callers together.
    pub fn times(self, many: u32) -> Self {
        Self { count: self.count.saturating_mul(many), ..self }
    }

    /// Takes out of a bucket that is paid off at `due` and gives the new time. Whoever has one left may spend
    /// more than that, and waits the longer; otherwise a high cost could never be charged to the last one.
    ///
    /// # Errors
    /// How long until there is one again, in microseconds.
    pub fn take(self, due: u64, now: u64, cost: u32) -> Result<u64, u64> {
        let owed = due.saturating_sub(now);
        let over = owed.saturating_add(self.step()).saturating_sub(self.window());
        match over {
            0 => Ok(now + owed.saturating_add(self.price(cost)).min(self.window())),
            wait => Err(wait),
        }
    }

    /// What `cost` adds to a bucket, in microseconds.
    pub fn price(self, cost: u32) -> u64 {
        self.step().saturating_mul(u64::from(cost))
    }

    pub fn standing(self, due: u64, now: u64) -> Standing {
        let room = self.window().saturating_sub(due.saturating_sub(now));
        let remaining = u32::try_from(room / self.step()).unwrap_or(u32::MAX).min(self.count);
        Standing { limit: self.count, interval: self.seconds, remaining }
    }

    /// How long a full bucket takes to be paid off, in microseconds.
    pub fn window(self) -> u64 {
        self.step().saturating_mul(u64::from(self.count))
    }

    fn step(self) -> u64 {
        (u64::from(self.seconds) * 1_000_000 / u64::from(self.count.max(1))).max(1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const NOW: u64 = 1_800_000_000_000_000;
    const SECOND: u64 = 1_000_000;

    #[test]
    fn a_whole_count_comes_at_once_and_then_one_by_one() {
        let five = Allowance::new(5, 10);
        let mut due = 0;
        for left in (0..5).rev() {
            due = five.take(due, NOW, 1).unwrap();
            assert_eq!(five.standing(due, NOW), Standing { limit: 5, interval: 10, remaining: left });
        }
        assert_eq!(five.take(due, NOW, 1), Err(2 * SECOND));
        assert_eq!(five.take(due, NOW + SECOND, 1), Err(SECOND));
        let due = five.take(due, NOW + 2 * SECOND, 1).unwrap();
        assert!(five.take(due, NOW + 2 * SECOND, 1).is_err());
        assert_eq!(five.standing(due, NOW + 12 * SECOND).remaining, 5);
    }

    #[test]
    fn the_last_one_may_be_a_dear_one() {
        let ten = Allowance::new(10, 10);
        let due = ten.take(0, NOW, 9).unwrap();
        let due = ten.take(due, NOW, 5).unwrap();
        assert_eq!(ten.take(due, NOW, 1), Err(SECOND));
        assert_eq!(ten.standing(due, NOW).remaining, 0);
    }

    proptest! {
        #[test]
        fn no_window_ever_lets_more_than_twice_the_count_through(
            count in 1u32..50, seconds in 1u32..100, gaps in prop::collection::vec(0u64..3 * SECOND, 1..400),
        ) {
            let allowance = Allowance::new(count, seconds);
            let (mut due, mut now, mut passed) = (0, NOW, Vec::new());
            for gap in gaps {
                now += gap;
                if let Ok(next) = allowance.take(due, now, 1) {
                    prop_assert!(next >= due);
                    due = next;
                    passed.push(now);
                }
            }
            for (at, first) in passed.iter().enumerate() {
                let within = passed[at..].iter().filter(|time| **time - first < allowance.window()).count();
                prop_assert!(within as u64 <= 2 * u64::from(count), "{within}");
            }
        }

        #[test]
        fn whoever_waits_as_long_as_told_is_let_in(count in 1u32..50, seconds in 1u32..100, spent in 1u32..200) {
            let allowance = Allowance::new(count, seconds);
            let due = (0..spent).fold(0, |due, _| allowance.take(due, NOW, 1).unwrap_or(due));
            if let Err(wait) = allowance.take(due, NOW, 1) {
                prop_assert!(allowance.take(due, NOW + wait - 1, 1).is_err());
                prop_assert!(allowance.take(due, NOW + wait, 1).is_ok());
            }
        }
    }
}
