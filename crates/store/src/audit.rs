//! The audit log: numbered in commit order, each row bound to the one before by a hash, so that a row
//! that was changed, dropped or slipped in later is found.
//!
//! The chain shows tampering by whoever can write rows; whoever can also rewrite the whole chain is held
//! by signed checkpoints, of which copies are kept elsewhere. What is worth a row is decided above.

mod anchor;
mod chain;
mod fence;
mod fields;
mod outbox;
mod search;
mod verify;

use diesel::prelude::*;
use diesel_async::RunQueryDsl;
use portcullis_authority::ledger::AuditRecord;
use portcullis_authority::refusal::Trouble;

use crate::Store;
use crate::cipher::Cipher;
use crate::db::{Fault, Rows, both, on, rows_into};
use crate::rows::{signed, unsigned};
use crate::schema::{audit, audit_head};

pub use anchor::{AuditMark, Checkpoint};
pub use outbox::{DeadLetter, Delivery, Lease};
pub use search::{AuditPage, AuditQuery};
pub use verify::{AuditFinding, AuditVerdict};

pub(crate) use chain::StoredAudit;
pub(crate) use fence::close;
use fields::Salts;
pub(crate) use fields::opened;
pub(crate) use verify::Walk;

/// Rows in one insert: 20 columns each, well below what PostgreSQL binds.
const BITE: usize = 500;

/// A row of the audit log.
#[derive(Clone, Debug, PartialEq)]
pub struct AuditEntry {
    pub seq: u64,
    /// Without what was erased.
    pub record: AuditRecord,
    /// base64url SHA-256 over the hash before, the number and the record.
    pub hash: String,
}

impl Store {
    /// Rows after a number, oldest first.
    pub async fn audit_page(&self, after: u64, limit: usize) -> Result<Vec<AuditEntry>, Trouble> {
        let (after, limit) = (signed(after), i64::try_from(limit).unwrap_or(i64::MAX));
        let read = || async {
            let rows = self.audit_rows(after, limit).await?;
            rows.into_iter().map(|row| row.read(&self.books.cipher)).collect()
        };
        Ok(self.books.reading(read).await?)
    }

    async fn audit_rows(&self, after: i64, limit: i64) -> Result<Vec<StoredAudit>, Fault> {
        Ok(on!(self.books.db, |c| audit::table
            .filter(audit::seq.gt(after))
            .order(audit::seq)
            .limit(limit)
            .select(StoredAudit::as_select())
            .load(c)
            .await?))
    }

    /// The newest row's number and hash, as the counter has them.
    pub async fn audit_head(&self) -> Result<AuditMark, Trouble> {
        let read = async {
            Ok(on!(self.books.db, |c| audit_head::table
                .find(1)
                .select((audit_head::seq, audit_head::hash))
                .get_result::<(i64, String)>(c)
                .await?))
        };
        let (seq, hash) = self.books.db.within(read).await?;
        Ok(AuditMark { seq: unsigned(seq), hash })
    }
}

/// Writing the log inside an open transaction.
pub(crate) trait AuditBook {
    /// Numbers, binds and writes the records, in this order. The counter's row is held until the
    /// transaction ends, so the numbers are in commit order.
    async fn keep_audit(&mut self, records: &[&AuditRecord], cipher: &Cipher) -> Result<(), Fault>;
}

both! {
    impl AuditBook {
        async fn keep_audit(&mut self, records: &[&AuditRecord], cipher: &Cipher) -> Result<(), Fault> {
            if records.is_empty() {
                return Ok(());
            }
            let mut salts = Salts::shake(records, cipher)?;
            let count = i64::try_from(records.len()).unwrap_or(i64::MAX);
            let (last, mut hash): (i64, String) = diesel::update(audit_head::table.find(1))
                .set(audit_head::seq.eq(audit_head::seq + count))
                .returning((audit_head::seq, audit_head::hash))
                .get_result(self)
                .await?;
            let mut rows = Vec::with_capacity(records.len());
            for (record, seq) in records.iter().zip(last - count + 1..) {
                let row = StoredAudit::of(record, seq, hash, &mut salts)?;
                hash = row.hash.clone();
                rows.push(row);
            }
            self.write(rows).await?;
            diesel::update(audit_head::table.find(1)).set(audit_head::hash.eq(hash)).execute(self).await?;
            Ok(())
        }
    }
}

rows_into!(audit::table, StoredAudit, BITE);
