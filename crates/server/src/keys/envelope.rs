//! Private files at rest. Each is sealed with AES-256-GCM under a data key of its own, and the data key under
//! a key-encryption key that is kept elsewhere: in another file, in the environment, or with whoever answers
//! a command. Names and purposes are bound in, so that no file passes for another.
//!
//! ```json
//! { "v": 1, "kek": "<id>", "dek": "<nonce, wrapped data key, tag>", "text": "<nonce, sealed text, tag>" }
//! ```

use std::path::Path;
use std::process::{Command, Stdio};

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use portcullis_authority::refusal::Trouble;
use ring::rand::{SecureRandom as _, SystemRandom};
use ring::{aead, digest};
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use super::disk;
use crate::settings;

/// The key-encryption keys at hand: the one that seals and opens, and one from before that only opens.
#[derive(Clone, Default)]
pub struct Keks {
    pub(super) current: Option<Kek>,
    pub(super) before: Option<Kek>,
}

/// How a file was kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wrap {
    Plain,
    /// Under the key-encryption key of today.
    Current,
    /// Under the one from before.
    Before,
}

/// A key-encryption key and the name that files know it by, which follows from it.
#[derive(Clone)]
pub(super) struct Kek {
    pub(super) id: String,
    key: aead::LessSafeKey,
}

/// A sealed file.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Envelope {
    v: u8,
    kek: String,
    dek: String,
    text: String,
}

const VERSION: u8 = 1;

impl Keks {
    /// Fetches the keys that the settings name.
    ///
    /// # Errors
    /// Trouble naming the setting: nothing there, others can read it, or not 32 bytes.
    pub fn of(settings: &settings::Keys) -> Result<Self, Trouble> {
        let fetch = |name: &str, from: &Option<String>| {
            from.as_deref()
                .map(|from| Kek::fetch(from).map_err(|why| trouble(format!("{name}: {why}"))))
                .transpose()
        };
        let current = fetch("keys.kek", &settings.kek)?;
        let before = fetch("keys.kek_before", &settings.kek_before)?;
        Ok(Self { current, before })
    }

    /// The name of the key that seals.
    pub fn id(&self) -> Option<&str> {
        self.current.as_ref().map(|kek| kek.id.as_str())
    }

    /// The text of a file as it is to be written: sealed if there is a key for it.
    ///
    /// # Errors
    /// Trouble when the system gives no random numbers.
    pub(crate) fn close(&self, name: &str, text: &str) -> Result<String, Trouble> {
        let Some(kek) = &self.current else { return Ok(text.to_owned()) };
        let mut dek = Zeroizing::new([0; 32]);
        random(dek.as_mut())?;
        let sealed = Envelope {
            v: VERSION,
            kek: kek.id.clone(),
            dek: seal(&kek.key, &about("data key", &kek.id, name), dek.as_ref())?,
            text: seal(&aead_key(&dek), &about("file", &kek.id, name), text.as_bytes())?,
        };
        serde_json::to_string_pretty(&sealed).map(|text| text + "\n").map_err(trouble)
    }

    /// The text of a file as it was read, opened.
    ///
    /// # Errors
    /// Trouble in a sentence: no key for it, another one, or altered.
    pub(crate) fn open(&self, name: &str, text: &str) -> Result<(Zeroizing<String>, Wrap), Trouble> {
        let Ok(sealed) = serde_json::from_str::<Envelope>(text) else {
            return Ok((Zeroizing::new(text.to_owned()), Wrap::Plain));
        };
        if sealed.v != VERSION {
            return Err(trouble(format!(
                "{name} is sealed in format {}; this server knows {VERSION}",
                sealed.v
            )));
        }
        let has = |kek: &&Kek| kek.id == sealed.kek;
        let (kek, wrap) = match (self.current.as_ref().filter(has), self.before.as_ref().filter(has)) {
            (Some(kek), _) => (kek, Wrap::Current),
            (None, Some(kek)) => (kek, Wrap::Before),
            (None, None) => return Err(trouble(self.wanting(name, &sealed.kek))),
        };
        let altered = || trouble(format!("{name} does not open: it was altered, or is another file's"));
        let dek = open(&kek.key, &about("data key", &kek.id, name), &sealed.dek).ok_or_else(altered)?;
        let dek: Zeroizing<[u8; 32]> = Zeroizing::new(dek.as_slice().try_into().map_err(|_| altered())?);
        let text = open(&aead_key(&dek), &about("file", &kek.id, name), &sealed.text).ok_or_else(altered)?;
        let text = String::from_utf8(text.to_vec()).map_err(|_| altered())?;
        Ok((Zeroizing::new(text), wrap))
    }

    fn wanting(&self, name: &str, id: &str) -> String {
        match self.id() {
            None => {
                format!("{name} is sealed under the key-encryption key {id}; say where that is with keys.kek")
            }
            Some(ours) => format!(
                "{name} is sealed under the key-encryption key {id}, and keys.kek is {ours}; name the one that it is, or the old one as keys.kek_before"
            ),
        }
    }
}

impl Kek {
    /// From `file:PATH`, `env:NAME` or `command:PROGRAM ARGUMENT...`.
    fn fetch(from: &str) -> Result<Self, String> {
        let text = fetched(from)?;
        Self::read(text.trim()).ok_or_else(|| {
            "it must hold 32 random bytes in base64; openssl rand -base64 32 makes some".into()
        })
    }

    fn read(text: &str) -> Option<Self> {
        let bytes = STANDARD.decode(text).or_else(|_| URL_SAFE_NO_PAD.decode(text)).ok()?;
        let bytes: Zeroizing<[u8; 32]> = Zeroizing::new(Zeroizing::new(bytes).as_slice().try_into().ok()?);
        Some(Self::new(&bytes))
    }

    pub(super) fn new(bytes: &[u8; 32]) -> Self {
        let mut named = digest::Context::new(&digest::SHA256);
        named.update(b"portcullis key-encryption key id v1\0");
        named.update(bytes);
        let id = URL_SAFE_NO_PAD.encode(&named.finish().as_ref()[..9]);
        Self { id, key: aead_key(bytes) }
    }

    /// A data key of the books, wrapped.
    pub(super) fn wrap(&self, name: &str, key: &[u8; 32]) -> Result<String, Trouble> {
        seal(&self.key, &about("key of the books", &self.id, name), key)
    }

    /// A data key of the books; `None` when it was altered or is another's.
    pub(super) fn unwrap(&self, name: &str, wrapped: &str) -> Option<Zeroizing<[u8; 32]>> {
        let bytes = open(&self.key, &about("key of the books", &self.id, name), wrapped)?;
        Some(Zeroizing::new(bytes.as_slice().try_into().ok()?))
    }
}

/// The text of a secret that is kept elsewhere: `file:PATH`, `env:NAME` or `command:PROGRAM ARGUMENT...`.
pub(super) fn fetched(from: &str) -> Result<Zeroizing<String>, String> {
    let text = match from.split_once(':') {
        Some(("file", path)) => disk::read_private(Path::new(path)).map_err(|trouble| trouble.why)?,
        Some(("env", name)) => std::env::var(name).map_err(|_| format!("the environment holds no {name}"))?,
        Some(("command", line)) => told_by(line)?,
        _ => return Err("it must be file:PATH, env:NAME or command:PROGRAM ARGUMENTS".into()),
    };
    Ok(Zeroizing::new(text))
}

/// What a program writes to its standard output. It is run without a shell, and may speak on standard error.
fn told_by(line: &str) -> Result<String, String> {
    let mut words = line.split_whitespace();
    let program = words.next().ok_or("the command is empty")?;
    let told = Command::new(program)
        .args(words)
        .stdin(Stdio::null())
        .stderr(Stdio::inherit())
        .output()
        .map_err(|e| format!("{program} cannot be run: {e}"))?;
    if !told.status.success() {
        return Err(format!("{program} failed: {}", told.status));
    }
    String::from_utf8(told.stdout).map_err(|_| format!("{program} did not answer in text"))
}

fn about(purpose: &str, kek: &str, name: &str) -> Vec<u8> {
    format!("portcullis v{VERSION}\0{purpose}\0{kek}\0{name}").into_bytes()
}

fn aead_key(bytes: &[u8; 32]) -> aead::LessSafeKey {
    let key = aead::UnboundKey::new(&aead::AES_256_GCM, bytes).expect("AES-256 takes 32 bytes");
    aead::LessSafeKey::new(key)
}

/// Under a random nonce. A key-encryption key seals a few files in its life and a data key one, far below
/// the 2^32 at which random nonces of AES-GCM begin to matter (NIST SP 800-38D section 8.3).
fn seal(key: &aead::LessSafeKey, about: &[u8], text: &[u8]) -> Result<String, Trouble> {
    let mut nonce = [0; aead::NONCE_LEN];
    random(&mut nonce)?;
    let mut sealed = text.to_vec();
    key.seal_in_place_append_tag(
        aead::Nonce::assume_unique_for_key(nonce),
        aead::Aad::from(about),
        &mut sealed,
    )
    .map_err(|_| trouble("the text is too long to be sealed"))?;
    Ok(URL_SAFE_NO_PAD.encode([&nonce[..], &sealed].concat()))
}

fn open(key: &aead::LessSafeKey, about: &[u8], sealed: &str) -> Option<Zeroizing<Vec<u8>>> {
    let mut bytes = Zeroizing::new(URL_SAFE_NO_PAD.decode(sealed).ok()?);
    let nonce = bytes.get(..aead::NONCE_LEN)?.try_into().ok()?;
    let text = key
        .open_in_place(
            aead::Nonce::assume_unique_for_key(nonce),
            aead::Aad::from(about),
            bytes.get_mut(aead::NONCE_LEN..)?,
        )
        .ok()?;
    Some(Zeroizing::new(text.to_vec()))
}

fn random(bytes: &mut [u8]) -> Result<(), Trouble> {
    SystemRandom::new().fill(bytes).map_err(|_| trouble("the system gives no random numbers"))
}

/// Never the keys themselves.
impl std::fmt::Debug for Keks {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(out, "Keks({:?}, {:?})", self.id(), self.before.as_ref().map(|kek| &kek.id))
    }
}

fn trouble(why: impl std::fmt::Display) -> Trouble {
    Trouble::new("keys", why)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kek(byte: u8) -> Option<Kek> {
        Kek::read(&STANDARD.encode([byte; 32]))
    }

    #[test]
    fn a_sealed_file_opens_under_its_own_key_and_name_only() {
        let keks = Keks { current: kek(1), before: None };
        let sealed = keks.close("seal.key", "hush").unwrap();
        assert!(!sealed.contains("hush"));
        assert_eq!(keks.open("seal.key", &sealed).unwrap(), (Zeroizing::new("hush".into()), Wrap::Current));
        assert!(keks.open("feed.jwk", &sealed).unwrap_err().why.contains("altered, or is another file's"));
        let other = Keks { current: kek(2), before: None };
        assert!(other.open("seal.key", &sealed).unwrap_err().why.contains("keys.kek_before"));
        assert!(Keks::default().open("seal.key", &sealed).unwrap_err().why.contains("with keys.kek"));
    }

    #[test]
    fn while_the_key_changes_both_open_and_the_new_one_seals() {
        let old = Keks { current: kek(1), before: None }.close("f", "hush").unwrap();
        let both = Keks { current: kek(2), before: kek(1) };
        assert_eq!(both.open("f", &old).unwrap().1, Wrap::Before);
        let new = both.close("f", "hush").unwrap();
        let after = Keks { current: kek(2), before: None };
        assert_eq!(after.open("f", &new).unwrap().1, Wrap::Current);
        assert!(after.open("f", &old).is_err());
    }

    #[test]
    fn a_changed_byte_anywhere_is_seen() {
        let keks = Keks { current: kek(1), before: None };
        let sealed: Envelope = serde_json::from_str(&keks.close("f", "hush").unwrap()).unwrap();
        let swap = |text: &str| {
            let first = if text.starts_with('A') { "B" } else { "A" };
            format!("{first}{}", &text[1..])
        };
        for (dek, text) in
            [(swap(&sealed.dek), sealed.text.clone()), (sealed.dek.clone(), swap(&sealed.text))]
        {
            let altered = Envelope { v: 1, kek: sealed.kek.clone(), dek, text };
            assert!(keks.open("f", &serde_json::to_string(&altered).unwrap()).is_err());
        }
        let newer = Envelope { v: 2, ..sealed };
        let why = keks.open("f", &serde_json::to_string(&newer).unwrap()).unwrap_err().why;
        assert!(why.contains("format 2"), "{why}");
    }

    #[test]
    fn a_key_comes_from_a_file_or_a_command_and_from_nowhere_else() {
        let scratch = crate::testing::Scratch::new();
        let path = scratch.path().join("kek");
        disk::write_private(&path, &format!("{}\n", STANDARD.encode([7; 32]))).unwrap();
        let file = Kek::fetch(&format!("file:{}", path.display())).unwrap_or_else(|why| panic!("{why}"));
        let told =
            Kek::fetch(&format!("command:cat {}", path.display())).unwrap_or_else(|why| panic!("{why}"));
        assert_eq!(file.id, told.id);
        for (from, why) in [
            ("command:false", "failed"),
            ("command:", "empty"),
            ("command:/nowhere/at/all", "cannot be run"),
            ("env:PORTCULLIS_TEST_NOBODY_SETS_THIS", "holds no"),
            ("plain", "it must be file:PATH"),
            ("file:/nowhere", "No such file"),
            ("command:echo short", "32 random bytes"),
        ] {
            let seen = Kek::fetch(from).err().unwrap_or_default();
            assert!(seen.contains(why), "{from}: {seen}");
        }
        std::fs::set_permissions(&path, std::os::unix::fs::PermissionsExt::from_mode(0o644)).unwrap();
        assert!(Kek::fetch(&format!("file:{}", path.display())).err().unwrap().contains("others can read"));
    }
}
