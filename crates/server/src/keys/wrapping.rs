//! Who wraps the data keys of the books: the key-encryption key of the settings, or, where there is none, a key
//! that is derived from `seal.key`. That one is always at hand, so it also opens what was wrapped before a
//! key-encryption key was named, and a house that names none is sealed all the same.

use portcullis_authority::refusal::Trouble;
use portcullis_store::KeyWrap;
use ring::hmac;
use zeroize::Zeroizing;

use super::envelope::{Kek, Keks};

/// The key-encryption keys at hand.
pub struct BooksKeks {
    keks: Keks,
    own: Kek,
}

impl BooksKeks {
    /// `seal_master` is what is in `seal.key`.
    pub fn new(keks: Keks, seal_master: &[u8; 32]) -> Self {
        let root = hmac::Key::new(hmac::HMAC_SHA256, seal_master);
        let derived = hmac::sign(&root, b"portcullis key-encryption key of the books v1");
        let mut bytes = Zeroizing::new([0; 32]);
        bytes.copy_from_slice(derived.as_ref());
        Self { keks, own: Kek::new(&bytes) }
    }

    fn today(&self) -> &Kek {
        self.keks.current.as_ref().unwrap_or(&self.own)
    }
}

impl KeyWrap for BooksKeks {
    fn id(&self) -> String {
        self.today().id.clone()
    }

    fn wrap(&self, name: &str, key: &[u8; 32]) -> Result<String, Trouble> {
        self.today().wrap(name, key)
    }

    fn unwrap(&self, kek: &str, name: &str, wrapped: &str) -> Result<Zeroizing<[u8; 32]>, Trouble> {
        let known = [&self.keks.current, &self.keks.before].into_iter().flatten().chain([&self.own]);
        match known.into_iter().find(|known| known.id == kek) {
            Some(known) => known.unwrap(name, wrapped).ok_or_else(|| {
                Trouble::new("keys", format!("the data key {name} does not open: it was altered"))
            }),
            None => Err(Trouble::new("keys", self.wanting(kek))),
        }
    }
}

impl BooksKeks {
    fn wanting(&self, kek: &str) -> String {
        let today = &self.today().id;
        match self.keks.id() {
            Some(_) => format!(
                "the books are sealed under the key-encryption key {kek}, and keys.kek is {today}; name the one that it is, or the old one as keys.kek_before"
            ),
            None => format!(
                "the books are sealed under the key-encryption key {kek}, and this key directory gives {today}: is seal.key the one of the other servers? If a key-encryption key was named, say where it is with keys.kek"
            ),
        }
    }
}

/// Never the keys themselves.
impl std::fmt::Debug for BooksKeks {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(out, "BooksKeks({})", self.today().id)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn keks(current: Option<u8>, before: Option<u8>) -> BooksKeks {
        let kek = |byte: Option<u8>| byte.map(|byte| Kek::new(&[byte; 32]));
        BooksKeks::new(Keks { current: kek(current), before: kek(before) }, &[9; 32])
    }

    fn moved(from: &BooksKeks, to: &BooksKeks) -> Result<Zeroizing<[u8; 32]>, Trouble> {
        to.unwrap(&from.id(), "fields:a", &from.wrap("fields:a", &[7; 32]).unwrap())
    }

    #[test]
    fn a_data_key_opens_under_the_key_that_wrapped_it_today_before_or_in_the_house() {
        for (from, to) in [
            (keks(Some(1), None), keks(Some(1), None)),
            (keks(Some(1), None), keks(Some(2), Some(1))),
            (keks(None, None), keks(None, None)),
            (keks(None, None), keks(Some(1), None)),
        ] {
            assert_eq!(*moved(&from, &to).unwrap(), [7; 32]);
        }
    }

    #[test]
    fn without_that_key_it_says_what_to_do() {
        let why = moved(&keks(Some(1), None), &keks(Some(2), None)).unwrap_err().why;
        assert!(why.contains("keys.kek_before"), "{why}");
        let why = moved(&keks(Some(1), None), &keks(None, None)).unwrap_err().why;
        assert!(why.contains("say where it is with keys.kek"), "{why}");
    }

    #[test]
    fn a_key_of_one_name_does_not_pass_for_another() {
        let keks = keks(Some(1), None);
        let wrapped = keks.wrap("fields:a", &[7; 32]).unwrap();
        assert!(keks.unwrap(&keks.id(), "marks:a", &wrapped).unwrap_err().why.contains("altered"));
    }
}
