//! A row of the log and what binds it: its hash covers the hash before, its number and what it says.
//!
//! Personal fields enter as commitments, HMAC-SHA256 under a salt of their own that stands beside them.
//! Erasing a field deletes the field and puts the commitment in the salt's place: the hash still fits, and
//! nobody can find out by trying all addresses which one it was. See docs/decisions/0013.
//!
//! Where fields are sealed, the salt is sealed together with its field, and the commitment stands beside them from
//! the beginning: the chain is verified without opening anything, and who has the keys finds out in addition
//! whether a sealed field says what was committed to. Erasing such a field only deletes it.

use diesel::prelude::*;
use portcullis_authority::ledger::AuditRecord;
use ring::digest;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use super::AuditEntry;
use super::fields::{
    ADDRESS, DETAIL, Place, SALT_CHARS, Salts, commit, commitment, opened, remains, salted, sealed,
};
use crate::cipher::{AUDIT_ADDRESS, AUDIT_DETAIL, Cipher, Mark, is_sealed};
use crate::db::Fault;
use crate::rows::{self, base64url, signed, unsigned, written};
use crate::schema::audit;

#[derive(Insertable, Queryable, Selectable, Deserialize)]
#[diesel(table_name = audit, treat_none_as_default_value = false)]
pub(crate) struct StoredAudit {
    pub seq: i64,
    pub at: i64,
    pub event: String,
    pub organization_id: Option<String>,
    pub client_id: Option<String>,
    pub subject: Option<String>,
    pub actors: String,
    pub grant_type: Option<String>,
    pub jti: Option<String>,
    pub sid: Option<String>,
    pub scope: Option<String>,
    pub address: Option<String>,
    pub request_id: Option<String>,
    pub reason: Option<String>,
    pub detail: Option<String>,
    pub prev_hash: String,
    pub hash: String,
    pub address_seal: Option<String>,
    pub detail_seal: Option<String>,
    pub address_mark: Option<String>,
}

impl StoredAudit {
    pub(super) fn of(
        record: &AuditRecord,
        seq: i64,
        prev_hash: String,
        salts: &mut Salts<'_>,
    ) -> Result<Self, Fault> {
        // Named one by one, so that a new member of the record does not compile until it is kept too.
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
        } = printable(record);
        let address_mark = address.as_deref().and_then(|address| salts.mark(address));
        let (address, address_seal) = salts.keep(ADDRESS, seq, address)?;
        let (detail, detail_seal) = salts.keep(DETAIL, seq, detail)?;
        let mut row = Self {
            seq,
            at: signed(at),
            event,
            organization_id: organization,
            client_id,
            subject,
            actors: written("actors", &actors)?,
            grant_type: grant,
            jti,
            sid,
            scope,
            address_seal,
            address,
            request_id,
            reason,
            detail_seal,
            detail,
            address_mark,
            prev_hash,
            hash: String::new(),
        };
        row.hash = row.sealed(&row.prev_hash, seq)?;
        Ok(row)
    }

    pub fn read(self, cipher: &Cipher) -> Result<AuditEntry, Fault> {
        let address = opened(cipher, AUDIT_ADDRESS, self.seq, self.address)?;
        let detail = opened(cipher, AUDIT_DETAIL, self.seq, self.detail)?;
        Ok(AuditEntry {
            seq: unsigned(self.seq),
            record: AuditRecord {
                at: unsigned(self.at),
                event: self.event,
                organization: self.organization_id,
                client_id: self.client_id,
                subject: self.subject,
                actors: rows::read("actors", &self.actors)?,
                grant: self.grant_type,
                jti: self.jti,
                sid: self.sid,
                scope: self.scope,
                address,
                request_id: self.request_id,
                reason: self.reason,
                detail,
            },
            hash: self.hash,
        })
    }

    /// Whether this is what was written at this number after the row with that hash. A row that no longer
    /// reads is not.
    pub fn fits(&self, before: &str, seq: i64) -> bool {
        let is = |hash: Result<String, Fault>| hash.is_ok_and(|hash| hash == self.hash);
        is(self.sealed(before, seq))
            || self.address_seal.is_none() && self.detail_seal.is_none() && is(self.plain(before, seq))
    }

    /// Whether the sealed fields say what the row is committed to. Without keys nobody can tell.
    pub fn opens(&self, cipher: &Cipher) -> bool {
        let says = |place: Place, field: &Option<String>, seal: &Option<String>| match field {
            Some(sealed) if is_sealed(sealed) => salted(cipher, place.1, self.seq, sealed)
                .is_ok_and(|(salt, text)| seal.as_ref() == Some(&commit(place.0, &text, &salt))),
            _ => true,
        };
        !cipher.seals()
            || says(ADDRESS, &self.address, &self.address_seal)
                && says(DETAIL, &self.detail, &self.detail_seal)
    }

    /// The row with its fields sealed under the key of today. A field of the first form stays as it is: its
    /// text is what the chain binds.
    pub fn resealed(self, cipher: &Cipher) -> Result<Self, Fault> {
        let anew = |place: Place, field: Option<String>, seal: Option<String>| {
            let (Some(text), Some(seal)) = (&field, &seal) else { return Ok((field, seal)) };
            let (salt, text) = match is_sealed(text) {
                true => salted(cipher, place.1, self.seq, text)?,
                false => (seal.clone(), text.clone()),
            };
            sealed(cipher, place, self.seq, (&salt, &text))
        };
        let open = opened(cipher, AUDIT_ADDRESS, self.seq, self.address.clone())?;
        let (address, address_seal) = anew(ADDRESS, self.address, self.address_seal)?;
        let (detail, detail_seal) = anew(DETAIL, self.detail, self.detail_seal)?;
        let address_mark = open.map(|address| cipher.mark(Mark::AuditAddress, &address));
        Ok(Self { address, address_seal, detail, detail_seal, address_mark, ..self })
    }

    /// Whether something of it was erased.
    pub fn has_erased(&self) -> bool {
        let left = |field: &Option<String>, seal: &Option<String>| {
            field.is_none() && seal.as_ref().is_some_and(|seal| seal.len() > SALT_CHARS)
        };
        left(&self.address, &self.address_seal) || left(&self.detail, &self.detail_seal)
    }

    /// What the address's column is to hold once it is erased; `None` when there is nothing that could be
    /// erased without breaking the chain.
    pub fn address_remains(&self) -> Option<String> {
        remains("address", self.address.as_deref(), self.address_seal.as_deref())
    }

    /// The same of the detail.
    pub fn detail_remains(&self) -> Option<String> {
        remains("detail", self.detail.as_deref(), self.detail_seal.as_deref())
    }

    /// SHA-256 over the hash before, the number and the canonical JSON, with commitments to what is
    /// personal.
    fn sealed(&self, before: &str, seq: i64) -> Result<String, Fault> {
        let address = commitment("address", self.address.as_deref(), self.address_seal.as_deref());
        let detail = commitment("detail", self.detail.as_deref(), self.detail_seal.as_deref());
        let canonical = Canonical::of(self, address.as_deref(), detail.as_deref())?;
        chained(b"portcullis-audit-2\0", before, seq, &canonical)
    }

    /// The same of rows that were written before fields could be erased.
    fn plain(&self, before: &str, seq: i64) -> Result<String, Fault> {
        let canonical = Canonical::of(self, self.address.as_deref(), self.detail.as_deref())?;
        chained(b"portcullis-audit\0", before, seq, &canonical)
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

fn chained(form: &[u8], before: &str, seq: i64, record: &Canonical) -> Result<String, Fault> {
    let mut hash = digest::Context::new(&digest::SHA256);
    hash.update(form);
    hash.update(before.as_bytes());
    hash.update(&unsigned(seq).to_be_bytes());
    hash.update(written("an audit record", record)?.as_bytes());
    Ok(base64url(hash.finish().as_ref()))
}

/// Members in order of their names, and what is empty left out: a member that a later version adds does
/// not change the hash of a row that never had it.
#[derive(Serialize)]
struct Canonical<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    actors: Option<&'a RawValue>,
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
    fn of(row: &'a StoredAudit, address: Option<&'a str>, detail: Option<&'a str>) -> Result<Self, Fault> {
        let actors = match row.actors.as_str() {
            "[]" => None,
            // As it was written: the text of a list of texts has one form only.
            some => Some(serde_json::from_str(some).map_err(|why| Fault::unreadable("actors", why))?),
        };
        Ok(Self {
            actors,
            address,
            at: unsigned(row.at),
            client_id: row.client_id.as_deref(),
            detail,
            event: &row.event,
            grant: row.grant_type.as_deref(),
            jti: row.jti.as_deref(),
            organization: row.organization_id.as_deref(),
            reason: row.reason.as_deref(),
            request_id: row.request_id.as_deref(),
            scope: row.scope.as_deref(),
            sid: row.sid.as_deref(),
            subject: row.subject.as_deref(),
        })
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use serde_json::Value;

    use super::*;

    fn row(record: &AuditRecord) -> StoredAudit {
        let cipher = Cipher::new(None);
        let mut salts = Salts::shake(&[record], &cipher).expect("chance");
        StoredAudit::of(record, 1, String::new(), &mut salts).expect("a row")
    }

    fn canonical(row: &StoredAudit) -> String {
        written("it", &Canonical::of(row, row.address.as_deref(), row.detail.as_deref()).expect("reads"))
            .expect("is written")
    }

    fn full() -> AuditRecord {
        let text = |word: &str| Some(word.to_owned());
        AuditRecord {
            at: 7,
            event: "token.issued".into(),
            organization: text("o"),
            client_id: text("c"),
            subject: text("s"),
            actors: vec!["a\"é".into()],
            grant: text("g"),
            jti: text("j"),
            sid: text("i"),
            scope: text("p"),
            address: text("d"),
            request_id: text("q"),
            reason: text("r"),
            detail: text("{}"),
        }
    }

    #[test]
    fn what_is_absent_does_not_enter_the_hash() {
        let record = AuditRecord { at: 7, event: "token.issued".into(), ..AuditRecord::default() };
        assert_eq!(canonical(&row(&record)), r#"{"at":7,"event":"token.issued"}"#);
    }

    #[test]
    fn members_enter_the_hash_in_order_of_their_names() {
        let written = canonical(&row(&full()));
        let sorted: BTreeMap<String, Value> = serde_json::from_str(&written).expect("it is JSON");
        assert_eq!(serde_json::to_string(&sorted).ok(), Some(written));
        assert_eq!(serde_json::to_value(&sorted).ok(), serde_json::to_value(full()).ok());
    }

    #[test]
    fn a_row_fits_its_place_and_no_other() {
        let row = row(&full());
        assert!(row.fits("", 1) && !row.fits("", 2) && !row.fits("x", 1));
    }

    #[test]
    fn every_member_enters_the_hash() {
        type Change = fn(&mut StoredAudit);
        let changes: [Change; 16] = [
            |r| r.at += 1,
            |r| r.event.push('x'),
            |r| r.organization_id = None,
            |r| r.client_id = None,
            |r| r.subject = Some("t".into()),
            |r| r.actors = "[]".into(),
            |r| r.grant_type = None,
            |r| r.jti = None,
            |r| r.sid = None,
            |r| r.scope = None,
            |r| r.address = Some("e".into()),
            |r| r.address = None,
            |r| r.request_id = None,
            |r| r.reason = None,
            |r| r.detail = Some("[]".into()),
            |r| r.address_seal = None,
        ];
        for (at, change) in changes.iter().enumerate() {
            let mut row = row(&full());
            change(&mut row);
            assert!(!row.fits("", 1), "change {at}");
        }
    }

    #[test]
    fn what_is_erased_leaves_the_row_as_it_was_sealed() {
        let mut row = row(&full());
        let left = row.address_remains().expect("it can be erased");
        (row.address, row.address_seal) = (None, Some(left));
        assert!(row.fits("", 1));
        assert_eq!(row.address_remains(), None);
        let left = row.detail_remains().expect("it can be erased");
        (row.detail, row.detail_seal) = (None, Some(left));
        assert!(row.fits("", 1));
        row.address_seal = row.detail_seal.clone();
        assert!(!row.fits("", 1));
    }

    #[test]
    fn equal_addresses_leave_different_remains() {
        assert_ne!(row(&full()).address_remains(), row(&full()).address_remains());
    }

    #[test]
    fn a_row_of_the_first_form_still_fits() {
        let mut row = row(&full());
        (row.address_seal, row.detail_seal) = (None, None);
        row.hash = row.plain("", 1).expect("a hash");
        assert!(row.fits("", 1));
        assert_eq!(row.address_remains(), None);
        row.address = Some("e".into());
        assert!(!row.fits("", 1));
    }
}
