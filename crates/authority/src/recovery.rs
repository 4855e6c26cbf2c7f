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

/// Begins the feed's next epoch and ends everything that was issued so far: tokens, logins, codes and
/// sessions alike.
pub fn promotion(now: u64, reason: &str) -> Deed {
    let act = Act::Promote { numbers: NUMBERS, generations: GENERATIONS };
    let record = AuditRecord {
        at: now,
        event: "feed.promoted".into(),
        reason: Some(reason.into()),
        ..AuditRecord::default()
    };
    Deed::new(act, record)
}
