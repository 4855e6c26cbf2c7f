//! Secrets are shy: they print as nothing, are wiped on drop, and are kept only as keyed hashes.
//!
//! The secrets of clients and refresh tokens are random and ours, so one keyed hash is enough: nobody
//! guesses 256 bits, and a slow hash here would be a denial of service. People's passwords are not kept
//! here; see [`crate::desk::Slow`].

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ring::{aead, digest, hkdf, hmac};
use subtle::ConstantTimeEq as _;
use zeroize::Zeroizing;

/// Text that must not be seen.
#[derive(Clone)]
pub struct Secret(Zeroizing<String>);

impl Secret {
    /// The text, for the one place that compares or sends it.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl From<String> for Secret {
    fn from(text: String) -> Self {
        Self(Zeroizing::new(text))
    }
}

impl From<&str> for Secret {
    fn from(text: &str) -> Self {
        Self::from(text.to_owned())
    }
}

impl std::fmt::Debug for Secret {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.write_str("Secret(..)")
    }
}

/// The server's own keys for hashing and sealing, each derived from one master for one purpose.
pub struct Seal {
    clients: hmac::Key,
    refresh: hmac::Key,
    handles: hmac::Key,
    buckets: hmac::Key,
    forms: aead::LessSafeKey,
    kept: aead::LessSafeKey,
    seeds: aead::LessSafeKey,
    signing: aead::LessSafeKey,
    recovery: hmac::Key,
    passwords: hmac::Key,
    proposed_secrets: hmac::Key,
}

impl std::fmt::Debug for Seal {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.write_str("Seal(..)")
    }
}

impl Seal {
    /// Derives the keys (HKDF-SHA256, RFC 5869) from 32 secret bytes.
    pub fn new(master: &[u8; 32]) -> Self {
        let root = hkdf::Salt::new(hkdf::HKDF_SHA256, b"portcullis-seal-v1").extract(master);
        let mac = |purpose: &[u8]| hmac::Key::new(hmac::HMAC_SHA256, derive(&root, purpose).as_ref());
        Self {
            clients: mac(b"client secrets"),
            refresh: mac(b"refresh secrets"),
            handles: mac(b"refresh handles"),
            buckets: mac(b"limits"),
            forms: aead_key(&derive(&root, b"forms")),
            kept: aead_key(&derive(&root, b"kept secrets")),
            seeds: aead_key(&derive(&root, b"second factor seeds")),
            signing: aead_key(&derive(&root, b"signing keys")),
            recovery: mac(b"recovery codes"),
            passwords: mac(b"proposed passwords"),
            proposed_secrets: mac(b"proposed client secrets"),
        }
    }

    /// The stored form of a client secret, bound to its client.
    pub fn client_secret(&self, client_id: &str, secret: &Secret) -> String {
        mac_text(&self.clients, &[client_id.as_bytes(), b"\0", secret.expose().as_bytes()])
    }

    /// The stored form of a refresh secret, bound to its family.
    pub fn refresh_secret(&self, family: &str, secret: &[u8]) -> String {
        mac_text(&self.refresh, &[family.as_bytes(), b"\0", secret])
    }

    /// Proves that this server once made a handle; grants nothing.
    pub fn handle_tag(&self, payload: &str, secret: &[u8]) -> [u8; 16] {
        let full = mac(&self.handles, &[payload.as_bytes(), b"\0", secret]);
        let mut tag = [0; 16];
        tag.copy_from_slice(&full.as_ref()[..16]);
        tag
    }

    /// The name of a limit's bucket, which tells nothing of whom it counts.
    pub fn bucket_name(&self, parts: &[&str]) -> String {
        let whole = parts.join("\0");
        URL_SAFE_NO_PAD.encode(&mac(&self.buckets, &[whole.as_bytes()]).as_ref()[..16])
    }

    /// Seals what a browser carries between two pages, with a nonce that is used once.
    pub fn seal_form(&self, nonce: [u8; 12], text: &str) -> String {
        seal(&self.forms, nonce, b"form", text.as_bytes())
    }

    /// Seals a secret of somebody else's that has to be read again one day, with a nonce that is used once.
    pub fn seal_kept(&self, nonce: [u8; 12], secret: &Secret) -> String {
        seal(&self.kept, nonce, b"kept", secret.expose().as_bytes())
    }

    /// Seals the seed of somebody's second factor, with a nonce that is used once; it opens for nobody else.
    pub fn seal_seed(&self, nonce: [u8; 12], whose: &str, seed: &[u8]) -> String {
        seal(&self.seeds, nonce, whose.as_bytes(), seed)
    }

    /// Opens [`Seal::seal_seed`]; `None` for anything else.
    pub fn open_seed(&self, whose: &str, sealed: &str) -> Option<Zeroizing<Vec<u8>>> {
        open(&self.seeds, whose.as_bytes(), sealed).map(Zeroizing::new)
    }

    /// Seals a private signing key, with a nonce that is used once; it opens under its own name only.
    pub fn seal_key(&self, nonce: [u8; 12], kid: &str, jwk: &Secret) -> String {
        seal(&self.signing, nonce, kid.as_bytes(), jwk.expose().as_bytes())
    }

    /// Opens [`Seal::seal_key`]; `None` for anything else.
    pub fn open_key(&self, kid: &str, sealed: &str) -> Option<Zeroizing<String>> {
        String::from_utf8(open(&self.signing, kid.as_bytes(), sealed)?).ok().map(Zeroizing::new)
    }

    /// The stored form of a recovery code, bound to its owner.
    pub fn recovery_code(&self, whose: &str, code: &Secret) -> String {
        mac_text(&self.recovery, &[whose.as_bytes(), b"\0", code.expose().as_bytes()])
    }

    /// The password that a proposal sets when it is carried out, the same whenever it is asked for.
    pub fn proposed_password(&self, proposal: &str) -> Secret {
        Secret::from(mac_text(&self.passwords, &[proposal.as_bytes()]))
    }

    /// The client secret that a proposal adds when it is carried out, the same whenever it is asked for.
    pub fn proposed_secret(&self, proposal: &str) -> Secret {
        Secret::from(format!("pcs_{}", mac_text(&self.proposed_secrets, &[proposal.as_bytes()])))
    }

    /// The code of an invitation that a proposal makes when it is carried out, the same whenever it is asked for.
    pub fn proposed_invitation(&self, proposal: &str) -> Secret {
        Secret::from(mac_text(&self.passwords, &[b"invitation\0", proposal.as_bytes()]))
    }

    /// Opens [`Seal::seal_form`]; `None` for anything else.
    pub fn open_form(&self, sealed: &str) -> Option<String> {
        String::from_utf8(open(&self.forms, b"form", sealed)?).ok()
    }
}

/// Seals a successor under its parent, so that only somebody who holds the parent can open it: the
/// database and all keys of the server together cannot (design 3.2). The key is used once.
pub fn seal_successor(parent: &[u8], family: &str, successor: &[u8; 32]) -> String {
    seal(&successor_key(parent, family), [0; 12], family.as_bytes(), successor)
}

/// Opens [`seal_successor`].
pub fn open_successor(parent: &[u8], family: &str, sealed: &str) -> Option<[u8; 32]> {
    open(&successor_key(parent, family), family.as_bytes(), sealed)?.try_into().ok()
}

/// base64url SHA-256: the stored form of codes and cookies, which are 256 random bits.
pub fn hash_random(token: &str) -> String {
    URL_SAFE_NO_PAD.encode(digest::digest(&digest::SHA256, token.as_bytes()))
}

/// Compares in time that does not depend on where the texts differ.
pub fn same(left: &str, right: &str) -> bool {
    left.as_bytes().ct_eq(right.as_bytes()).into()
}

fn successor_key(parent: &[u8], family: &str) -> aead::LessSafeKey {
    let root = hkdf::Salt::new(hkdf::HKDF_SHA256, b"portcullis-successor-v1").extract(parent);
    aead_key(&derive(&root, family.as_bytes()))
}

fn derive(root: &hkdf::Prk, purpose: &[u8]) -> Zeroizing<[u8; 32]> {
    let mut key = Zeroizing::new([0; 32]);
    root.expand(&[purpose], hkdf::HKDF_SHA256)
        .and_then(|okm| okm.fill(key.as_mut()))
        .expect("32 bytes are far below the 8,160 that HKDF-SHA256 can give");
    key
}

fn aead_key(key: &[u8; 32]) -> aead::LessSafeKey {
    let key = aead::UnboundKey::new(&aead::AES_256_GCM, key).expect("AES-256 takes 32 bytes");
    aead::LessSafeKey::new(key)
}

fn seal(key: &aead::LessSafeKey, nonce: [u8; 12], about: &[u8], text: &[u8]) -> String {
    let mut sealed = text.to_vec();
    key.seal_in_place_append_tag(
        aead::Nonce::assume_unique_for_key(nonce),
        aead::Aad::from(about),
        &mut sealed,
    )
    .expect("a few kilobytes are far below the limit of AES-GCM");
    URL_SAFE_NO_PAD.encode([&nonce[..], &sealed].concat())
}

fn open(key: &aead::LessSafeKey, about: &[u8], sealed: &str) -> Option<Vec<u8>> {
    let mut bytes = URL_SAFE_NO_PAD.decode(sealed).ok()?;
    let nonce = bytes.get(..12)?.try_into().ok()?;
    let mut sealed = bytes.split_off(12);
    let text = key
        .open_in_place(aead::Nonce::assume_unique_for_key(nonce), aead::Aad::from(about), &mut sealed)
        .ok()?;
    Some(text.to_vec())
}

fn mac(key: &hmac::Key, parts: &[&[u8]]) -> hmac::Tag {
    let mut context = hmac::Context::with_key(key);
    parts.iter().for_each(|part| context.update(part));
    context.sign()
}

fn mac_text(key: &hmac::Key, parts: &[&[u8]]) -> String {
    URL_SAFE_NO_PAD.encode(mac(key, parts))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_parent_opens_its_successor() {
        let sealed = seal_successor(b"parent", "family", &[7; 32]);
        assert_eq!(open_successor(b"parent", "family", &sealed), Some([7; 32]));
        assert_eq!(open_successor(b"other", "family", &sealed), None);
        assert_eq!(open_successor(b"parent", "another", &sealed), None);
    }

    #[test]
    fn a_form_opens_only_unchanged() {
        let seal = Seal::new(&[1; 32]);
        let sealed = seal.seal_form([2; 12], "text");
        assert_eq!(seal.open_form(&sealed).as_deref(), Some("text"));
        assert_eq!(Seal::new(&[2; 32]).open_form(&sealed), None);
        assert_eq!(seal.open_form(&sealed.replace(&sealed[20..21], "-")), None);
        assert_eq!(seal.open_form("short"), None);
    }

    #[test]
    fn a_seed_opens_for_its_owner_only() {
        let seal = Seal::new(&[1; 32]);
        let sealed = seal.seal_seed([2; 12], "ann", b"seed");
        assert_eq!(seal.open_seed("ann", &sealed).as_deref().map(Vec::as_slice), Some(&b"seed"[..]));
        assert!(seal.open_seed("bob", &sealed).is_none());
        assert!(Seal::new(&[2; 32]).open_seed("ann", &sealed).is_none());
    }

    #[test]
    fn a_secret_does_not_print_itself() {
        assert_eq!(format!("{:?}", Secret::from("hush")), "Secret(..)");
    }
}
