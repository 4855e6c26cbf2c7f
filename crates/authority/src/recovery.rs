//! After the books were put back to an older copy: what came later is lost, endings that were acknowledged
//! among it, and nobody can say which. So the whole past ends, and that is said out loud.
//!
//! Who may do this, and that no other server writes any more, is the operator's business.

use crate::ledger::{Act, AuditRecord, Deed};

/// Numbers of the feed that are left out. A server that followed the lost part stands somewhere among them
/// and must find what comes next ahead of itself.
const NUMBERS: u64 = 1_000_000;
/// How far generations jump. Guards may remember values that only the lost part knew; what is issued from
/// now on must not be taken for older than those.
const GENERATIONS: u32 = 1_000;

/// Who goes on from the same copy twice must not give out the same a second time. So each second since the copy
/// was alive counts too, up to three years: nothing is raised more often for long.
const LONGEST: u64 = 100_000_000;
/// A copy from a machine whose clock was ahead seems to be alive still. So nothing begins below the seconds since
/// 1 January 2026 either: whoever goes on from the same copy later comes out further, whatever it is dated.
const BIRTH: u64 = 1_767_225_600;

/// Begins a new epoch of the feed and ends everything that was issued so far: tokens, logins, codes and
/// sessions alike. `alive` is when the copy was written to last, in seconds like `now`; 0 if it never was.
pub fn promotion(now: u64, alive: u64, reason: &str) -> Deed {
    let since = if alive == 0 { 0 } else { now.saturating_sub(alive).min(LONGEST) };
    let act = Act::Promote {
        epochs: 1 + since,
        numbers: NUMBERS,
        generations: GENERATIONS + u32::try_from(since).unwrap_or(u32::MAX / 2),
        least: u32::try_from(now.saturating_sub(BIRTH)).unwrap_or(u32::MAX / 2),
    };
    let record = AuditRecord {
        at: now,
        event: "feed.promoted".into(),
        reason: Some(reason.into()),
        ..AuditRecord::default()
    };
    Deed::new(act, record)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn jump(now: u64, alive: u64) -> (u64, u32) {
        match promotion(now, alive, "a test").act {
            Act::Promote { epochs, generations, .. } => (epochs, generations),
            other => panic!("a promotion is not {other:?}"),
        }
    }

    #[test]
    fn whoever_goes_on_from_the_same_copy_later_comes_out_further() {
        let (first, second) = (jump(1_000_100, 1_000_000), jump(1_000_160, 1_000_000));
        assert_eq!(first, (101, 1_100));
        assert_eq!(second, (161, 1_160));
    }

    #[test]
    fn a_copy_without_a_time_or_from_a_clock_ahead_still_jumps() {
        for alive in [0, 2_000_000] {
            assert_eq!(jump(1_000_000, alive), (1, 1_000));
        }
        let least = |now| match promotion(now, BIRTH * 2, "a test").act {
            Act::Promote { least, .. } => least,
            other => panic!("a promotion is not {other:?}"),
        };
        assert_eq!((least(BIRTH + 100), least(BIRTH + 160)), (100, 160), "later is further");
        assert_eq!(jump(u64::MAX, 1), (100_000_001, 100_001_000), "and not beyond what a token can hold");
    }
}
