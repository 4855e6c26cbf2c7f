//! The personal fields of a row: what the chain is committed to instead of them, and how they are sealed together
//! with the salt that opens the commitment. Why, is in `chain.rs`.

use portcullis_authority::ledger::AuditRecord;
use ring::hmac;
use ring::rand::{SecureRandom as _, SystemRandom};

use crate::cipher::{AUDIT_ADDRESS, AUDIT_DETAIL, Cipher, Field, Mark, is_sealed};
use crate::db::Fault;
use crate::rows::base64url;

/// Bytes of a salt.
const SALT: usize = 16;
/// Characters of a salt; a commitment has 43.
pub(super) const SALT_CHARS: usize = 22;

/// A personal field: its name in the commitment, and where it stands.
pub(super) type Place = (&'static str, Field);

pub(super) const ADDRESS: Place = ("address", AUDIT_ADDRESS);
pub(super) const DETAIL: Place = ("detail", AUDIT_DETAIL);

/// Random salts for a group of records, from one draw, and what seals their fields.
pub(super) struct Salts<'a> {
    bytes: Vec<u8>,
    cipher: &'a Cipher,
}

impl<'a> Salts<'a> {
    pub fn shake(records: &[&AuditRecord], cipher: &'a Cipher) -> Result<Self, Fault> {
        let fields = |r: &&AuditRecord| usize::from(r.address.is_some()) + usize::from(r.detail.is_some());
        let mut bytes = vec![0; SALT * records.iter().map(fields).sum::<usize>()];
        SystemRandom::new().fill(&mut bytes).map_err(|why| Fault::unreadable("chance", why))?;
        Ok(Self { bytes, cipher })
    }

    fn next(&mut self) -> String {
        base64url(&self.bytes.split_off(self.bytes.len().saturating_sub(SALT)))
    }

    /// A field and its seal as they are to stand in the row.
    pub fn keep(&mut self, place: Place, seq: i64, text: Option<String>) -> Result<Columns, Fault> {
        let Some(text) = text else { return Ok((None, None)) };
        let salt = self.next();
        match self.cipher.seals() {
            true => sealed(self.cipher, place, seq, (&salt, &text)),
            false => Ok((Some(text), Some(salt))),
        }
    }

    pub fn mark(&self, address: &str) -> Option<String> {
        self.cipher.seals().then(|| self.cipher.mark(Mark::AuditAddress, address))
    }
}

/// A field and its seal.
pub(super) type Columns = (Option<String>, Option<String>);

/// Salt and text in one sealed field, and the commitment beside it.
pub(super) fn sealed(
    cipher: &Cipher,
    place: Place,
    seq: i64,
    (salt, text): (&str, &str),
) -> Result<Columns, Fault> {
    let field = cipher.seal(place.1, &seq.to_string(), &format!("{salt}{text}"))?;
    Ok((Some(field), Some(commit(place.0, text, salt))))
}

/// Salt and text of a sealed field.
pub(super) fn salted(
    cipher: &Cipher,
    field: Field,
    seq: i64,
    sealed: &str,
) -> Result<(String, String), Fault> {
    let opened = cipher.open(field, &seq.to_string(), sealed.to_owned())?;
    let parts = opened.split_at_checked(SALT_CHARS);
    let (salt, text) = parts.ok_or_else(|| Fault::unreadable("an audit record", "a field has no salt"))?;
    Ok((salt.to_owned(), text.to_owned()))
}

/// What a field of the log says.
pub(crate) fn opened(
    cipher: &Cipher,
    field: Field,
    seq: i64,
    text: Option<String>,
) -> Result<Option<String>, Fault> {
    match text {
        Some(text) if is_sealed(&text) => salted(cipher, field, seq, &text).map(|(_, text)| Some(text)),
        plain => Ok(plain),
    }
}

/// What stands for a personal field in the hash. A field without its salt stands for nothing, and so does
/// a salt without its field: neither was ever written like this.
pub(super) fn commitment(name: &str, field: Option<&str>, seal: Option<&str>) -> Option<String> {
    match (field, seal) {
        (Some(sealed), Some(left)) if is_sealed(sealed) => (left.len() > SALT_CHARS).then(|| left.to_owned()),
        (Some(field), Some(salt)) => Some(commit(name, field, salt)),
        (None, Some(left)) if left.len() > SALT_CHARS => Some(left.to_owned()),
        (Some(_) | None, _) => None,
    }
}

pub(super) fn commit(name: &str, field: &str, salt: &str) -> String {
    let mut tag = hmac::Context::with_key(&hmac::Key::new(hmac::HMAC_SHA256, salt.as_bytes()));
    tag.update(name.as_bytes());
    tag.update(b"\0");
    tag.update(field.as_bytes());
    base64url(tag.sign().as_ref())
}

pub(super) fn remains(name: &str, field: Option<&str>, seal: Option<&str>) -> Option<String> {
    field.and_then(|field| commitment(name, Some(field), seal))
}
