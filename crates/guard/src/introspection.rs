//! What a stale guard asks its issuer about one token (RFC 7662), and how seldom. Knows nothing of HTTP;
//! see `feed/http/introspection.rs`.
//!
//! Every guard of a company may go stale at the same moment, and then the issuer is in trouble already. So
//! few questions are asked at once, answers are kept for a moment, and an issuer that does not answer is
//! left alone for a while. Whatever goes wrong, nobody gets in.

use std::collections::HashMap;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::{Acquire, Release};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crate::cache::Digest;
use crate::{Access, Denied};

/// Questions on their way at once, of one guard.
const MOST_AT_ONCE: usize = 32;
/// How long a good answer counts, from when it was asked for.
const KEPT: Duration = Duration::from_secs(1);
/// After so many failures in a row
const MOST_FAILURES: u32 = 20;
/// the issuer is left alone for so long, and then asked once.
const REST: Duration = Duration::from_secs(5);
/// Answers that are kept, good or bad. With more bad ones than this the guard stops asking.
const MOST_KEPT: usize = 16 * 1024;

/// Asks the issuer. An implementation must answer within the time it is given.
pub trait Introspection: Send + Sync {
    /// What the issuer says of this token, within this time.
    ///
    /// # Errors
    /// [`Unanswered`] for anything but the issuer's own word: no connection, no time left, no credentials,
    /// an answer that cannot be read.
    fn ask(&self, token: &str, within: Duration) -> Result<Word, Unanswered>;
}

/// What the issuer says of a token (RFC 7662 section 2.2).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Word {
    /// It is active; the id and the expiry that the issuer read from it.
    Active {
        /// `jti`, by which an answer to somebody else's question is noticed.
        jti: String,
        /// `exp`, seconds since the Unix epoch.
        exp: u64,
    },
    /// It is not, for whatever reason.
    Inactive,
}

/// The issuer has not said anything that can be relied on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Unanswered;

/// What was asked so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Introspections {
    /// Answers that the token is active.
    pub active: u64,
    /// Answers that it is not.
    pub inactive: u64,
    /// Questions without a usable answer.
    pub failed: u64,
    /// Checks that were decided by an answer that was there already.
    pub kept: u64,
    /// Questions that were not asked, because too many were on their way or the issuer was left alone.
    pub shed: u64,
}

/// A guard's way of asking.
pub(crate) struct Inquiry {
    issuer: Box<dyn Introspection>,
    ledger: Mutex<Ledger>,
    /// Until the feed has come this far, some token that it does not end is known to be inactive. The
    /// issuer's time in milliseconds.
    doubt_until_ms: AtomicU64,
}

#[derive(Default)]
struct Ledger {
    active: HashMap<Digest, Active>,
    inactive: HashMap<Digest, u64>,
    at_once: usize,
    failures: u32,
    resting_until: Option<Instant>,
    counts: Introspections,
}

/// A good answer.
struct Active {
    asked: Instant,
    exp: u64,
}

/// One question.
pub(crate) struct Question<'a> {
    pub token: &'a str,
    /// Of what was signed: the token, whatever signature it came with.
    pub name: Digest,
    pub access: &'a Access,
    pub within: Duration,
    /// Now, in seconds.
    pub now: u64,
    /// How far the feed has come, by the issuer's clock in milliseconds.
    pub as_of_ms: u64,
}

impl Inquiry {
    pub fn new(issuer: Box<dyn Introspection>) -> Self {
        Self { issuer, ledger: Mutex::default(), doubt_until_ms: AtomicU64::new(0) }
    }

    /// Whether the issuer has said lately that this token is not active, and the feed has not come so far
    /// yet that it would say so itself. Without this question, a guard that went from stale to late could
    /// accept again what it had refused.
    pub fn doubts(&self, name: impl FnOnce() -> Digest, as_of_ms: u64) -> bool {
        let in_doubt = as_of_ms <= self.doubt_until_ms.load(Acquire);
        in_doubt && self.ledger().inactive.get(&name()).is_some_and(|until_ms| as_of_ms <= *until_ms)
    }

    /// That the issuer calls the token active. `issuer_ms` tells how far the feed has come and the latest
    /// that the issuer's clock can show, once the answer is there.
    pub fn judge(
        &self,
        question: &Question<'_>,
        issuer_ms: impl FnOnce() -> (u64, u64),
    ) -> Result<(), Denied> {
        let asked = Instant::now();
        if self.begin(question, asked)? {
            return Ok(());
        }
        // Gives its place back even if the implementation panics.
        let place = Place(self);
        let answer = self.issuer.ask(question.token, question.within);
        drop(place);
        self.settle(question, asked, answer, issuer_ms())
    }

    /// What was asked so far.
    pub fn counts(&self) -> Introspections {
        self.ledger().counts
    }

    /// True when the answer is known, false when it is to be asked for.
    fn begin(&self, question: &Question<'_>, now: Instant) -> Result<bool, Denied> {
        let mut ledger = self.ledger();
        let kept = ledger.active.get(&question.name);
        if kept.is_some_and(|kept| now.duration_since(kept.asked) < KEPT && question.now < kept.exp) {
            ledger.counts.kept += 1;
            return Ok(true);
        }
        // The feed has come past every doubt, so it speaks for itself again.
        if question.as_of_ms > self.doubt_until_ms.load(Acquire) {
            ledger.inactive.clear();
        }
        let resting = ledger.resting_until.is_some_and(|until| now < until);
        if resting || ledger.at_once >= MOST_AT_ONCE || ledger.inactive.len() >= MOST_KEPT {
            ledger.counts.shed += 1;
            return Err(Denied::Stale);
        }
        if ledger.resting_until.is_some() {
            // Only this one finds out whether the issuer is back.
            ledger.resting_until = Some(now + REST);
        }
        ledger.at_once += 1;
        Ok(false)
    }

    fn settle(
        &self,
        question: &Question<'_>,
        asked: Instant,
        answer: Result<Word, Unanswered>,
        (as_of_ms, latest_ms): (u64, u64),
    ) -> Result<(), Denied> {
        let mut ledger = self.ledger();
        match answer {
            Ok(Word::Inactive) => {
                ledger.answered();
                ledger.counts.inactive += 1;
                ledger.inactive.insert(question.name, latest_ms);
                ledger.active.remove(&question.name);
                self.doubt_until_ms.fetch_max(latest_ms, Release);
                Err(Denied::Inactive)
            }
            Ok(Word::Active { jti, exp }) if jti == question.access.claims().jti && question.now < exp => {
                ledger.answered();
                ledger.counts.active += 1;
                // Somebody who asked at the same time may have heard that it has ended.
                if ledger.inactive.get(&question.name).is_some_and(|until_ms| as_of_ms <= *until_ms) {
                    return Err(Denied::Inactive);
                }
                ledger.keep(question.name, Active { asked, exp });
                Ok(())
            }
            Ok(Word::Active { .. }) | Err(Unanswered) => {
                ledger.counts.failed += 1;
                ledger.failures = ledger.failures.saturating_add(1);
                if ledger.failures >= MOST_FAILURES {
                    ledger.resting_until = Some(Instant::now() + REST);
                }
                Err(Denied::Stale)
            }
        }
    }

    fn ledger(&self) -> MutexGuard<'_, Ledger> {
        // Everything in it is whole after every statement.
        self.ledger.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Ledger {
    fn answered(&mut self) {
        self.failures = 0;
        self.resting_until = None;
    }

    fn keep(&mut self, digest: Digest, answer: Active) {
        if self.active.len() >= MOST_KEPT {
            self.active.retain(|_, kept| kept.asked.elapsed() < KEPT);
        }
        if self.active.len() < MOST_KEPT {
            self.active.insert(digest, answer);
        }
    }
}

/// A place among the questions that are on their way.
struct Place<'a>(&'a Inquiry);

impl Drop for Place<'_> {
    fn drop(&mut self) {
        self.0.ledger().at_once -= 1;
    }
}
