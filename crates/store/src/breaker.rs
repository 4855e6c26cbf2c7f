//! The circuit breaker before the database. One that hangs would cost every request its whole patience, and with
//! it the connections and the memory of all who wait; so after it has proved to hang, nobody waits: everything is
//! refused at once, but for one try from time to time, and the first answer opens the way again.
//!
//! It goes by one proof: somebody waited a whole patience, and in all that time nobody was answered. A database
//! that is slow, busy or locked in places answers somebody.

use std::sync::atomic::{AtomicU64, Ordering::SeqCst};
use std::time::{Duration, Instant};

use crate::db::Fault;

/// How far tries are apart, at most.
const TRY_EVERY: Duration = Duration::from_millis(500);

/// Times are milliseconds since its birth, which was a while ago: none of them is 0.
pub(crate) struct Breaker {
    birth: Instant,
    every: u64,
    /// When anybody was answered last.
    heard: AtomicU64,
    /// When the next try is due; 0 while the way is open.
    due: AtomicU64,
}

/// Work that was let through, and when.
#[derive(Clone, Copy)]
pub(crate) struct Trial(u64);

impl Breaker {
    pub(crate) fn new(patience: Duration) -> Self {
        let every = u64::try_from(patience.min(TRY_EVERY).as_millis()).unwrap_or(u64::MAX);
        Self { birth: Instant::now(), every, heard: AtomicU64::new(0), due: AtomicU64::new(0) }
    }

    /// Lets work through: all of it while the way is open, and one try at a time when it is shut.
    pub(crate) fn enter(&self) -> Result<Trial, Fault> {
        let (due, now) = (self.due.load(SeqCst), self.now());
        let is_open = due == 0;
        let is_the_try =
            || now >= due && self.due.compare_exchange(due, now + self.every, SeqCst, SeqCst).is_ok();
        if is_open || is_the_try() { Ok(Trial(now)) } else { Err(Fault::Shut) }
    }

    /// Whether nothing is let through at this moment.
    pub(crate) fn is_shut(&self) -> bool {
        self.now() < self.due.load(SeqCst)
    }

    /// The database has answered somebody.
    pub(crate) fn heard(&self) {
        self.heard.store(self.now(), SeqCst);
        if self.due.swap(0, SeqCst) != 0 {
            tracing::warn!("the database answers again");
        }
    }

    /// Somebody has waited for it in vain.
    pub(crate) fn heard_nothing(&self, trial: Trial) {
        if self.heard.load(SeqCst) >= trial.0 {
            return;
        }
        if self.due.swap(self.now() + self.every, SeqCst) == 0 {
            tracing::error!("the database hangs: requests that need it are refused until it answers a try");
        }
    }

    fn now(&self) -> u64 {
        u64::try_from(self.birth.elapsed().as_millis()).unwrap_or(u64::MAX).saturating_add(1)
    }
}

#[cfg(test)]
mod tests {
    use std::thread::sleep;

    use super::*;

    const MOMENT: Duration = Duration::from_millis(20);

    fn breaker() -> Breaker {
        Breaker::new(MOMENT)
    }

    #[test]
    fn a_database_that_answered_nobody_for_a_whole_patience_is_not_asked_again_at_once() {
        let breaker = breaker();
        let trial = breaker.enter().unwrap();
        sleep(MOMENT);
        breaker.heard_nothing(trial);
        assert!(breaker.is_shut());
        assert!(matches!(breaker.enter(), Err(Fault::Shut)));
    }

    #[test]
    fn one_that_answered_somebody_meanwhile_is_only_slow() {
        let breaker = breaker();
        let slow = breaker.enter().unwrap();
        sleep(MOMENT);
        breaker.heard();
        breaker.heard_nothing(slow);
        assert!(!breaker.is_shut() && breaker.enter().is_ok());
    }

    #[test]
    fn one_try_at_a_time_is_let_through_and_its_answer_opens_the_way() {
        let breaker = breaker();
        let trial = breaker.enter().unwrap();
        breaker.heard_nothing(trial);
        sleep(MOMENT * 2);
        let tries = (0..10).filter(|_| breaker.enter().is_ok()).count();
        assert_eq!(tries, 1);
        breaker.heard();
        assert_eq!((0..10).filter(|_| breaker.enter().is_ok()).count(), 10);
    }

    #[test]
    fn a_try_in_vain_keeps_it_shut() {
        let breaker = breaker();
        breaker.heard_nothing(breaker.enter().unwrap());
        sleep(MOMENT * 2);
        breaker.heard_nothing(breaker.enter().unwrap());
        assert!(breaker.is_shut());
    }
}
