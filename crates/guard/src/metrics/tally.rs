//! Counts checks on their way. Threads count apart from each other, because one shared counter would cost
//! more than the check.

use std::array::from_fn;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::AtomicUsize;
use std::sync::atomic::Ordering::Relaxed;

use super::StaleChecks;
use crate::staleness::OnStale;
use crate::{Access, Denied};

/// More threads than this share.
const SHEETS: usize = 8;
/// One for what was accepted, then one for each code.
const OUTCOMES: usize = 1 + Denied::CODES.len();
/// Accepted and refused for each policy.
const STALE: usize = 2 * OnStale::NAMES.len();

/// All counts, in sheets that are added up when somebody asks.
#[derive(Default)]
pub(crate) struct Tally([Sheet; SHEETS]);

/// What some of the threads have counted, in lines of memory of its own.
#[derive(Default)]
#[repr(align(128))]
struct Sheet {
    outcomes: [AtomicU64; OUTCOMES],
    stale: [AtomicU64; STALE],
}

impl Tally {
    /// Counts a decision that was taken on a route with this policy.
    pub fn count(&self, decision: &Result<Access, Denied>, on_stale: OnStale) {
        let sheet = &self.0[own_sheet()];
        let (outcome, stale) = match decision {
            Ok(access) => (0, access.footing().is_stale().then_some(0)),
            Err(denied) => {
                let code = denied.code();
                let place = Denied::CODES.iter().position(|known| *known == code);
                let stale = matches!(denied, Denied::Stale | Denied::Inactive).then_some(1);
                // INVARIANT: every code is in the list, which a test of `denied.rs` holds true.
                (place.map_or(0, |place| 1 + place), stale)
            }
        };
        sheet.outcomes[outcome].fetch_add(1, Relaxed);
        if let Some(refused) = stale {
            sheet.stale[2 * on_stale.place() + refused].fetch_add(1, Relaxed);
        }
    }

    /// Checks by outcome.
    pub fn checks(&self) -> Vec<(&'static str, u64)> {
        let totals: [u64; OUTCOMES] = from_fn(|at| self.sum(|sheet| &sheet.outcomes[at]));
        ["accepted"].into_iter().chain(Denied::CODES).zip(totals).collect()
    }

    /// What became of good tokens while the guard was stale.
    pub fn stale(&self) -> Vec<StaleChecks> {
        let total = |at: usize| self.sum(|sheet| &sheet.stale[at]);
        let policies = OnStale::NAMES.into_iter().enumerate();
        let row = |(at, policy)| StaleChecks { policy, accepted: total(2 * at), refused: total(2 * at + 1) };
        policies.map(row).collect()
    }

    fn sum(&self, counter: impl Fn(&Sheet) -> &AtomicU64) -> u64 {
        self.0.iter().map(|sheet| counter(sheet).load(Relaxed)).sum()
    }
}

/// The sheet of this thread; threads take turns.
fn own_sheet() -> usize {
    static NEXT: AtomicUsize = AtomicUsize::new(0);
    thread_local!(static OWN: usize = NEXT.fetch_add(1, Relaxed) % SHEETS);
    OWN.with(|own| *own)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_many_threads_count_is_added_up() {
        let tally = Tally::default();
        std::thread::scope(|scope| {
            for _ in 0..2 * SHEETS {
                scope.spawn(|| {
                    (0..100).for_each(|_| tally.count(&Err(Denied::Expired), OnStale::Deny));
                    tally.count(&Err(Denied::Stale), OnStale::AllowUpTo(std::time::Duration::ZERO));
                });
            }
        });
        let threads = 2 * SHEETS as u64;
        let counted: Vec<_> = tally.checks().into_iter().filter(|(_, count)| *count > 0).collect();
        assert_eq!(counted, [("expired", 100 * threads), ("stale", threads)]);
        let stale: Vec<_> = tally.stale().iter().map(|row| (row.policy, row.accepted, row.refused)).collect();
        assert_eq!(stale, [("deny", 0, 0), ("introspect", 0, 0), ("allow_up_to", 0, threads)]);
    }
}
