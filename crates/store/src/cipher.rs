//! Fields that are sealed before they reach a table and opened when they leave it, and the keyed marks by which
//! some of them are found.
//!
//! A sealed field says `pc1:<data key>:<nonce, text, tag>`. It is AES-256-GCM under a key of its own, which
//! HMAC-SHA256 derives from the data key and the place (table, column, row): so a value that was copied to another
//! place does not open, and random nonces never come near the 2^32 of one key at which they begin to matter (NIST
//! SP 800-38D section 8.3), however many records a log gathers. What does not begin with `pc1:` is plain and from
//! before. Where the keys are kept is in `data_keys.rs`.

use std::collections::HashMap;
use std::sync::Arc;

use arc_swap::ArcSwap;
use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD as BASE64URL;
use portcullis_authority::refusal::Trouble;
use ring::rand::{SecureRandom as _, SystemRandom};
use ring::{aead, hmac};
use zeroize::Zeroizing;

use crate::db::Fault;

/// What a sealed field begins with. Neither JSON nor an address does.
pub(crate) const SEALED: &str = "pc1:";
/// What a mark begins with.
const MARKED: &str = "pm1:";

/// Wraps data keys under a key-encryption key, which never comes here.
pub trait KeyWrap: Send + Sync {
    /// The name of the key that wraps from now on.
    fn id(&self) -> String;

    /// A data key wrapped under it; `name` is bound in.
    ///
    /// # Errors
    /// Trouble when there are no random numbers.
    fn wrap(&self, name: &str, key: &[u8; 32]) -> Result<String, Trouble>;

    /// A data key that was wrapped under the key-encryption key of that name.
    ///
    /// # Errors
    /// Trouble in a sentence for the operator: that key is not at hand, or the data key was altered.
    fn unwrap(&self, kek: &str, name: &str, wrapped: &str) -> Result<Zeroizing<[u8; 32]>, Trouble>;
}

/// A column whose texts are sealed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Field {
    table: &'static str,
    column: &'static str,
}

pub(crate) const PERSON: Field = Field { table: "people", column: "doc" };
pub(crate) const OPERATOR: Field = Field { table: "operators", column: "doc" };
pub(crate) const OPERATOR_SESSION: Field = Field { table: "operator_sessions", column: "doc" };
pub(crate) const INVITATION: Field = Field { table: "operator_invitations", column: "doc" };
pub(crate) const CARD: Field = Field { table: "cards", column: "doc" };
pub(crate) const AUDIT_ADDRESS: Field = Field { table: "audit", column: "address" };
pub(crate) const AUDIT_DETAIL: Field = Field { table: "audit", column: "detail" };
pub(crate) const REVIEW_EMAIL: Field = Field { table: "review_rows", column: "email" };
pub(crate) const PROPOSAL: Field = Field { table: "proposals", column: "what" };

const FIELDS: [Field; 9] = [
    PERSON,
    OPERATOR,
    OPERATOR_SESSION,
    INVITATION,
    CARD,
    AUDIT_ADDRESS,
    AUDIT_DETAIL,
    REVIEW_EMAIL,
    PROPOSAL,
];

/// What marks are made for: equal texts of one purpose have equal marks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mark {
    PersonEmail,
    OperatorEmail,
    AuditAddress,
}

const MARKS: [Mark; 3] = [Mark::PersonEmail, Mark::OperatorEmail, Mark::AuditAddress];

impl Mark {
    fn column(self) -> &'static str {
        match self {
            Self::PersonEmail => "people.email",
            Self::OperatorEmail => "operators.email",
            Self::AuditAddress => "audit.address_mark",
        }
    }
}

/// The columns that hold sealed texts, as `table.column`.
pub fn sealed_columns() -> Vec<String> {
    FIELDS.iter().map(|field| format!("{}.{}", field.table, field.column)).collect()
}

/// The columns that hold marks.
pub fn marked_columns() -> Vec<String> {
    MARKS.iter().map(|mark| mark.column().to_owned()).collect()
}

/// The keys at hand. Without a [`KeyWrap`] there are none, and everything stays as it is.
pub(crate) struct Cipher {
    pub(crate) wrap: Option<Arc<dyn KeyWrap>>,
    ring: ArcSwap<KeyRing>,
}

/// Data keys that were unwrapped.
#[derive(Clone, Default)]
pub(crate) struct KeyRing {
    /// The one that seals.
    pub(crate) current: Option<String>,
    pub(crate) keys: HashMap<String, hmac::Key>,
    pub(crate) marks: Option<hmac::Key>,
}

impl Cipher {
    pub(crate) fn new(wrap: Option<Arc<dyn KeyWrap>>) -> Self {
        Self { wrap, ring: ArcSwap::default() }
    }

    pub(crate) fn ring(&self) -> Arc<KeyRing> {
        self.ring.load_full()
    }

    pub(crate) fn replace(&self, ring: KeyRing) {
        self.ring.store(Arc::new(ring));
    }

    /// Whether what is written now is sealed.
    pub(crate) fn seals(&self) -> bool {
        self.ring.load().current.is_some()
    }

    /// What every field begins with that is sealed under the current key.
    pub(crate) fn current_prefix(&self) -> Option<String> {
        self.ring.load().current.as_ref().map(|id| format!("{SEALED}{id}:"))
    }

    /// A text as it is to stand in that row.
    pub(crate) fn seal(&self, field: Field, row: &str, text: &str) -> Result<String, Fault> {
        let ring = self.ring.load();
        let Some((id, root)) = ring.current.as_ref().and_then(|id| Some((id, ring.keys.get(id)?))) else {
            return Ok(text.to_owned());
        };
        let mut nonce = [0; aead::NONCE_LEN];
        SystemRandom::new().fill(&mut nonce).map_err(|why| Fault::unreadable("chance", why))?;
        let about = field.about(row);
        let mut sealed = text.as_bytes().to_vec();
        field_key(root, &about)
            .seal_in_place_append_tag(
                aead::Nonce::assume_unique_for_key(nonce),
                aead::Aad::from(about.as_bytes()),
                &mut sealed,
            )
            .map_err(|_| Fault::unreadable(field.table, "the text is too long to be sealed"))?;
        Ok(format!("{SEALED}{id}:{}", BASE64URL.encode([&nonce[..], &sealed].concat())))
    }

    /// The text that stands in that row, opened.
    pub(crate) fn open(&self, field: Field, row: &str, text: String) -> Result<String, Fault> {
        let Some(sealed) = text.strip_prefix(SEALED) else { return Ok(text) };
        let altered = || {
            let why = format!("{} of row {row} does not open: it was altered, or is another's", field.column);
            Fault::unreadable(field.table, why)
        };
        let (id, sealed) = sealed.split_once(':').ok_or_else(altered)?;
        let ring = self.ring.load();
        let root = ring.keys.get(id).ok_or_else(|| Fault::Locked { key: id.to_owned() })?;
        let mut bytes = BASE64URL.decode(sealed).map_err(|_| altered())?;
        let nonce =
            bytes.get(..aead::NONCE_LEN).and_then(|nonce| nonce.try_into().ok()).ok_or_else(altered)?;
        let about = field.about(row);
        let opened = field_key(root, &about)
            .open_in_place(
                aead::Nonce::assume_unique_for_key(nonce),
                aead::Aad::from(about.as_bytes()),
                bytes.get_mut(aead::NONCE_LEN..).ok_or_else(altered)?,
            )
            .map_err(|_| altered())?;
        String::from_utf8(opened.to_vec()).map_err(|_| altered())
    }

    /// What stands for a text where it must be found or be unique. Without keys it is the text itself.
    pub(crate) fn mark(&self, mark: Mark, text: &str) -> String {
        match &self.ring.load().marks {
            None => text.to_owned(),
            Some(key) => {
                let mut tag = hmac::Context::with_key(key);
                tag.update(mark.column().as_bytes());
                tag.update(b"\0");
                tag.update(text.as_bytes());
                format!("{MARKED}{}", BASE64URL.encode(tag.sign()))
            }
        }
    }
}

/// One field of one row under a key that is given, kept nowhere: what sealing costs is measured with it
/// (`make bench`).
pub struct SealedSample(Cipher);

impl SealedSample {
    pub fn under(key: &[u8; 32]) -> Self {
        let cipher = Cipher::new(None);
        cipher.replace(KeyRing {
            current: Some("sample".into()),
            keys: HashMap::from([("sample".into(), root(key))]),
            marks: Some(root(key)),
        });
        Self(cipher)
    }

    /// A text as it would stand in the row.
    ///
    /// # Errors
    /// Trouble when there are no random numbers.
    pub fn seal(&self, text: &str) -> Result<String, Trouble> {
        Ok(self.0.seal(PERSON, "sample", text)?)
    }

    /// The text that stands there.
    ///
    /// # Errors
    /// Trouble when it was not sealed here.
    pub fn open(&self, sealed: String) -> Result<String, Trouble> {
        Ok(self.0.open(PERSON, "sample", sealed)?)
    }

    /// What stands for a text where it must be found.
    pub fn mark(&self, text: &str) -> String {
        self.0.mark(Mark::PersonEmail, text)
    }
}

/// Never the keys.
impl std::fmt::Debug for Cipher {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(out, "Cipher({:?})", self.ring.load().current)
    }
}

/// Whether a text of a column is sealed.
pub(crate) fn is_sealed(text: &str) -> bool {
    text.starts_with(SEALED)
}

/// The key that all keys of fields come from, or all marks.
pub(crate) fn root(bytes: &[u8; 32]) -> hmac::Key {
    hmac::Key::new(hmac::HMAC_SHA256, bytes)
}

impl Field {
    /// Where it stands; the row comes last, so that no two places read alike.
    fn about(self, row: &str) -> String {
        format!("portcullis field v1\0{}\0{}\0{row}", self.table, self.column)
    }
}

fn field_key(root: &hmac::Key, about: &str) -> aead::LessSafeKey {
    let derived = hmac::sign(root, about.as_bytes());
    let key = aead::UnboundKey::new(&aead::AES_256_GCM, derived.as_ref());
    aead::LessSafeKey::new(key.expect("HMAC-SHA256 gives the 32 bytes that AES-256 takes"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cipher(current: &str, keys: &[(&str, u8)]) -> Cipher {
        let cipher = Cipher::new(None);
        cipher.replace(KeyRing {
            current: Some(current.to_owned()),
            keys: keys.iter().map(|(id, byte)| ((*id).to_owned(), root(&[*byte; 32]))).collect(),
            marks: Some(root(&[9; 32])),
        });
        cipher
    }

    fn why(fault: Result<String, Fault>) -> String {
        fault.expect_err("it does not open").to_string()
    }

    #[test]
    fn a_field_opens_in_its_own_place_and_nowhere_else() {
        let cipher = cipher("a", &[("a", 1)]);
        let sealed = cipher.seal(PERSON, "ann", "ann@shop.example").unwrap();
        assert!(sealed.starts_with("pc1:a:") && !sealed.contains("ann"), "{sealed}");
        assert_eq!(cipher.open(PERSON, "ann", sealed.clone()).unwrap(), "ann@shop.example");
        for (field, row) in [(PERSON, "bob"), (CARD, "ann"), (OPERATOR, "ann")] {
            assert!(why(cipher.open(field, row, sealed.clone())).contains("another's"), "{field:?} {row}");
        }
    }

    #[test]
    fn whatever_was_altered_does_not_open_and_is_no_panic() {
        let cipher = cipher("a", &[("a", 1), ("b", 2)]);
        let sealed = cipher.seal(PERSON, "ann", "x").unwrap();
        let mut other = sealed.clone().into_bytes();
        let last = other.len() - 5;
        other[last] = if other[last] == b'A' { b'B' } else { b'A' };
        let other = String::from_utf8(other).unwrap();
        for altered in
            ["pc1:", "pc1:a", "pc1:a:", "pc1:a:AAAA", "pc1:a:%%", &other, &sealed.replace(":a:", ":b:")]
        {
            assert!(why(cipher.open(PERSON, "ann", altered.to_owned())).contains("altered"), "{altered}");
        }
    }

    #[test]
    fn an_older_key_opens_and_an_unknown_one_says_its_name() {
        let before = cipher("a", &[("a", 1)]).seal(PERSON, "ann", "x").unwrap();
        let after = cipher("b", &[("a", 1), ("b", 2)]);
        assert_eq!(after.open(PERSON, "ann", before.clone()).unwrap(), "x");
        assert!(after.seal(PERSON, "ann", "x").unwrap().starts_with("pc1:b:"));
        let unknown = cipher("b", &[("b", 2)]).open(PERSON, "ann", before);
        assert!(matches!(unknown, Err(Fault::Locked { key }) if key == "a"));
    }

    #[test]
    fn what_is_plain_stays_readable_and_what_is_sealed_twice_looks_different() {
        let cipher = cipher("a", &[("a", 1)]);
        assert_eq!(cipher.open(PERSON, "ann", "{}".into()).unwrap(), "{}");
        assert_ne!(cipher.seal(PERSON, "ann", "x").unwrap(), cipher.seal(PERSON, "ann", "x").unwrap());
        assert_eq!(Cipher::new(None).seal(PERSON, "ann", "x").unwrap(), "x");
    }

    #[test]
    fn marks_are_equal_for_equal_texts_of_one_purpose() {
        let cipher = cipher("a", &[("a", 1)]);
        let mark = cipher.mark(Mark::PersonEmail, "a@b.example");
        assert_eq!(mark, cipher.mark(Mark::PersonEmail, "a@b.example"));
        assert_ne!(mark, cipher.mark(Mark::PersonEmail, "b@b.example"));
        assert_ne!(mark, cipher.mark(Mark::OperatorEmail, "a@b.example"));
        assert!(mark.starts_with("pm1:") && !mark.contains('@'));
        assert_eq!(Cipher::new(None).mark(Mark::PersonEmail, "a@b.example"), "a@b.example");
    }
}
