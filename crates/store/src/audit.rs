//! The audit log: numbered in commit order, each row bound to the one before by a hash, so that a row
//! that was changed, dropped or slipped in later is found.
//!
//! The chain shows tampering by whoever can write rows; whoever can also rewrite the whole chain is held
//! only by a copy of a later hash kept elsewhere. What is worth a row is decided above.

use diesel::prelude::*;
use diesel_async::RunQueryDsl;
use portcullis_authority::ledger::AuditRecord;
use portcullis_authority::refusal::Trouble;
use ring::digest;
use serde::Serialize;

use crate::Store;
use crate::db::{Fault, Rows, both, on, rows_into};
use crate::rows::{self, signed, unsigned};
use crate::schema::{audit, audit_head};

/// Rows in one insert: 17 columns each, well below what PostgreSQL binds.
const BITE: usize = 500;
/// Rows in one step of a verification.
const STRIDE: i64 = 1000;

/// A row of the audit log.
#[derive(Clone, Debug, PartialEq)]
pub struct AuditEntry {
    pub seq: u64,
    pub record: AuditRecord,
    /// base64url SHA-256 over the hash before, the number and the record.
    pub hash: String,
}

/// What a verification found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AuditVerdict {
    /// Rows that are as they were written.
    pub good: u64,
    /// The first row that is not: changed, missing, or cut off at the end.
    pub first_bad: Option<u64>,
}

impl Store {
    /// Rows after a number, oldest first.
    pub async fn audit_page(&self, after: u64, limit: usize) -> Result<Vec<AuditEntry>, Trouble> {
        let rows = self.audit_rows(signed(after), i64::try_from(limit).unwrap_or(i64::MAX)).await?;
        Ok(rows.into_iter().map(StoredAudit::read).collect::<Result<_, _>>()?)
    }

    /// Computes the chain anew from its beginning.
    pub async fn audit_verify(&self) -> Result<AuditVerdict, Trouble> {
        let end = self.audit_end().await?;
        let mut last = (0, String::new());
        while last.0 < end.seq {
            let rows = self.audit_rows(last.0, STRIDE.min(end.seq - last.0)).await?;
            if rows.is_empty() {
                return Ok(verdict(last.0, true));
            }
            for row in rows {
                if row.seq != last.0 + 1 || !row.follows(&last.1) {
                    return Ok(verdict(last.0, true));
                }
                last = (row.seq, row.hash);
            }
        }
        // A last row that fits the one before and not the head was replaced, hash and all.
        let replaced = last.1 != end.hash;
        Ok(verdict(last.0 - i64::from(replaced), replaced))
    }

    async fn audit_rows(&self, after: i64, limit: i64) -> Result<Vec<StoredAudit>, Fault> {
        self.books
            .db
            .within(async {
                Ok(on!(self.books.db, |c| audit::table
                    .filter(audit::seq.gt(after))
                    .order(audit::seq)
                    .limit(limit)
                    .select(StoredAudit::as_select())
                    .load(c)
                    .await?))
            })
            .await
    }

    async fn audit_end(&self) -> Result<AuditEnd, Fault> {
        let (seq, hash) = on!(self.books.db, |c| audit_head::table
            .find(1)
            .select((audit_head::seq, audit_head::hash))
            .get_result(c)
            .await?);
        Ok(AuditEnd { seq, hash })
    }
}

fn verdict(good: i64, bad: bool) -> AuditVerdict {
    AuditVerdict { good: unsigned(good), first_bad: bad.then(|| unsigned(good) + 1) }
}

struct AuditEnd {
    seq: i64,
    hash: String,
}

/// Writing the log inside an open transaction.
pub(crate) trait AuditBook {
    /// Numbers, binds and writes the records, in this order. The counter's row is held until the
    /// transaction ends, so the numbers are in commit order.
    async fn keep_audit(&mut self, records: &[&AuditRecord]) -> Result<(), Fault>;
}

both! {
    impl AuditBook {
        async fn keep_audit(&mut self, records: &[&AuditRecord]) -> Result<(), Fault> {
            if records.is_empty() {
                return Ok(());
            }
            let count = i64::try_from(records.len()).unwrap_or(i64::MAX);
            let (last, mut hash): (i64, String) = diesel::update(audit_head::table.find(1))
                .set(audit_head::seq.eq(audit_head::seq + count))
                .returning((audit_head::seq, audit_head::hash))
                .get_result(self)
                .await?;
            let mut rows = Vec::with_capacity(records.len());
            for (record, seq) in records.iter().zip(last - count + 1..) {
                let row = StoredAudit::of(record, seq, hash)?;
                hash = row.hash.clone();
                rows.push(row);
            }
            self.write(rows).await?;
            diesel::update(audit_head::table.find(1)).set(audit_head::hash.eq(hash)).execute(self).await?;
            Ok(())
        }
    }
}

#[derive(Insertable, Queryable, Selectable)]
#[diesel(table_name = audit, treat_none_as_default_value = false)]
struct StoredAudit {
    seq: i64,
    at: i64,
    event: String,
    organization_id: Option<String>,
    client_id: Option<String>,
    subject: Option<String>,
    actors: String,
    grant_type: Option<String>,
    jti: Option<String>,
    sid: Option<String>,
    scope: Option<String>,
    address: Option<String>,
    request_id: Option<String>,
    reason: Option<String>,
    detail: Option<String>,
    prev_hash: String,
    hash: String,
}

rows_into!(audit::table, StoredAudit, BITE);

impl StoredAudit {
    fn of(record: &AuditRecord, seq: i64, prev_hash: String) -> Result<Self, Fault> {
        let r = printable(record);
        Ok(Self {
            hash: chained(&prev_hash, seq, &r)?,
            seq,
            at: signed(r.at),
            event: r.event,
            organization_id: r.organization,
            client_id: r.client_id,
            subject: r.subject,
            actors: rows::written("actors", &r.actors)?,
            grant_type: r.grant,
            jti: r.jti,
            sid: r.sid,
            scope: r.scope,
            address: r.address,
            request_id: r.request_id,
            reason: r.reason,
            detail: r.detail,
            prev_hash,
        })
    }

    fn read(self) -> Result<AuditEntry, Fault> {
        Ok(AuditEntry { seq: unsigned(self.seq), hash: self.hash.clone(), record: self.record()? })
    }

    /// Whether this row is what was written after the row with that hash. A row that no longer reads is
    /// not.
    fn follows(&self, before: &str) -> bool {
        let again = self.record().and_then(|record| chained(before, self.seq, &record));
        self.prev_hash == before && again.is_ok_and(|again| again == self.hash)
    }

    fn record(&self) -> Result<AuditRecord, Fault> {
        let actors = rows::read("actors", &self.actors)?;
        Ok(AuditRecord {
            at: unsigned(self.at),
            event: self.event.clone(),
            organization: self.organization_id.clone(),
            client_id: self.client_id.clone(),
            subject: self.subject.clone(),
            actors,
            grant: self.grant_type.clone(),
            jti: self.jti.clone(),
            sid: self.sid.clone(),
            scope: self.scope.clone(),
            address: self.address.clone(),
            request_id: self.request_id.clone(),
            reason: self.reason.clone(),
            detail: self.detail.clone(),
        })
    }
}

/// The record without NUL, which PostgreSQL does not store: what a stranger sends as a client's name must
/// not be able to fail a whole group of deeds.
fn printable(record: &AuditRecord) -> AuditRecord {
    let mut r = record.clone();
    let optional = [
        &mut r.organization,
        &mut r.client_id,
        &mut r.subject,
        &mut r.grant,
        &mut r.jti,
        &mut r.sid,
        &mut r.scope,
        &mut r.address,
        &mut r.request_id,
        &mut r.reason,
        &mut r.detail,
    ];
    for text in optional.into_iter().flatten().chain(&mut r.actors).chain([&mut r.event]) {
        if text.contains('\0') {
            *text = text.replace('\0', "\u{fffd}");
        }
    }
    r
}

/// SHA-256 over the hash before, the number and the canonical JSON of the record.
fn chained(before: &str, seq: i64, record: &AuditRecord) -> Result<String, Fault> {
    let mut hash = digest::Context::new(&digest::SHA256);
    hash.update(b"portcullis-audit\0");
    hash.update(before.as_bytes());
    hash.update(&unsigned(seq).to_be_bytes());
    hash.update(canonical(record)?.as_bytes());
    Ok(rows::base64url(hash.finish().as_ref()))
}

fn canonical(record: &AuditRecord) -> Result<String, Fault> {
    rows::written("an audit record", &Canonical::of(record))
}

/// Members in order of their names, and what is empty left out: a member that a later version adds does
/// not change the hash of a row that never had it.
#[derive(Serialize)]
struct Canonical<'a> {
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    actors: &'a [String],
    #[serde(skip_serializing_if = "Option::is_none")]
    address: Option<&'a str>,
    at: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    client_id: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    detail: Option<&'a str>,
    event: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    grant: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    jti: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    organization: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    request_id: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    scope: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    sid: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    subject: Option<&'a str>,
}

impl<'a> Canonical<'a> {
    fn of(record: &'a AuditRecord) -> Self {
        // Named one by one, so that a new member of the record does not compile until it is hashed too.
        let AuditRecord {
            at,
            event,
            organization,
            client_id,
            subject,
            actors,
            grant,
            jti,
            sid,
            scope,
            address,
            request_id,
            reason,
            detail,
        } = record;
        Self {
            actors,
            address: address.as_deref(),
            at: *at,
            client_id: client_id.as_deref(),
            detail: detail.as_deref(),
            event,
            grant: grant.as_deref(),
            jti: jti.as_deref(),
            organization: organization.as_deref(),
            reason: reason.as_deref(),
            request_id: request_id.as_deref(),
            scope: scope.as_deref(),
            sid: sid.as_deref(),
            subject: subject.as_deref(),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use serde_json::Value;

    use super::*;

    #[test]
    fn what_is_absent_does_not_enter_the_hash() {
        let record = AuditRecord { at: 7, event: "token.issued".into(), ..AuditRecord::default() };
        assert_eq!(canonical(&record).ok().as_deref(), Some(r#"{"at":7,"event":"token.issued"}"#));
    }

    #[test]
    fn members_enter_the_hash_in_order_of_their_names() {
        let text = |word: &str| Some(word.to_owned());
        let record = AuditRecord {
            at: 7,
            event: "token.issued".into(),
            organization: text("o"),
            client_id: text("c"),
            subject: text("s"),
            actors: vec!["a".into()],
            grant: text("g"),
            jti: text("j"),
            sid: text("i"),
            scope: text("p"),
            address: text("d"),
            request_id: text("q"),
            reason: text("r"),
            detail: text("{}"),
        };
        let written = canonical(&record).unwrap_or_default();
        let sorted: BTreeMap<String, Value> = serde_json::from_str(&written).unwrap_or_default();
        assert_eq!(serde_json::to_string(&sorted).ok(), Some(written));
        assert_eq!(serde_json::to_value(&sorted).ok(), serde_json::to_value(&record).ok());
    }

    #[test]
    fn every_member_enters_the_hash() {
        let plain = AuditRecord::default();
        let before = chained("", 1, &plain).ok();
        for changed in [
            AuditRecord { subject: Some("ann".into()), ..plain.clone() },
            AuditRecord { actors: vec!["bob".into()], ..plain.clone() },
            AuditRecord { detail: Some("{}".into()), ..plain.clone() },
        ] {
            assert_ne!(chained("", 1, &changed).ok(), before);
        }
        assert_ne!(chained("", 2, &plain).ok(), before);
        assert_ne!(chained("x", 1, &plain).ok(), before);
    }
}
