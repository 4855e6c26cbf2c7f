//! The key directory: where the server's private keys live between two starts.
//!
//! ```text
//! keys/               0700
//!   manifest.json     which keys there are, and how old: pending, active, retired
//!   <kid>.jwk   0600  one private key each
//!   seal.key    0600  32 random bytes: hashes client secrets and refresh tokens
//!   feed.jwk    0600  Ed25519: signs the feed that guards follow
//! ```
//!
//! Files are never changed in place: a new one is written beside, brought to disk and renamed over the old
//! one, so that a crash leaves the one or the other. What a key may be used for is the keyring's business.

mod disk;
mod manifest;

use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use portcullis_authority::desk::{Clock, Dice};
use portcullis_authority::keyring::{self, KeyState, Keyring, StoredKey};
use portcullis_authority::refusal::Trouble;
use serde_json::{Value, json};

pub use disk::open_to_others;
pub use manifest::{Entry, Manifest, Purpose};

const MANIFEST: &str = "manifest.json";
const SEAL: &str = "seal.key";
const FEED: &str = "feed.jwk";

/// A key directory whose manifest has been read.
#[derive(Debug)]
pub struct KeyDirectory {
    path: PathBuf,
    manifest: Manifest,
}

/// Everything that is in it.
pub struct LoadedKeys {
    pub keyring: Vec<StoredKey>,
    pub seal_master: [u8; 32],
    /// The private Ed25519 JWK of the feed, `use` is `rv`.
    pub feed: Value,
}

/// How a new directory is to be.
#[derive(Clone, Debug)]
pub struct Plan<'a> {
    pub purpose: Purpose,
    pub region: &'a str,
    pub algorithms: &'a [String],
}

impl KeyDirectory {
    /// Makes a directory with, for each algorithm, one key that signs and one that stands by; it must not
    /// have a manifest yet.
    ///
    /// # Errors
    /// Trouble when there is one already, for an unknown algorithm, or from the disk.
    pub fn create(path: &Path, plan: &Plan<'_>, clock: &dyn Clock, dice: &dyn Dice) -> Result<Self, Trouble> {
        if path.join(MANIFEST).exists() {
            return Err(trouble(format!("{} has keys already; nothing was changed", path.display())));
        }
        disk::make_private_directory(path)?;
        let manifest = Manifest { purpose: plan.purpose, region: plan.region.into(), keys: Vec::new() };
        let mut directory = Self { path: path.to_owned(), manifest };
        for algorithm in plan.algorithms {
            for state in [KeyState::Active, KeyState::Pending] {
                directory.make_key(algorithm, state, clock)?;
            }
        }
        let mut seal = [0; 32];
        dice.fill(&mut seal);
        let seal = json!({ "kty": "oct", "use": "seal", "k": URL_SAFE_NO_PAD.encode(seal) });
        disk::write_private(&path.join(SEAL), &pretty(&seal))?;
        let mut feed = keyring::generate("EdDSA", plan.region)?;
        feed["use"] = "rv".into();
        disk::write_private(&path.join(FEED), &pretty(&feed))?;
        // The manifest comes last: without it there is no key directory, so a crash before this line
        // leaves nothing that a server would start with.
        directory.write_manifest()?;
        Ok(directory)
    }

    /// Reads the manifest.
    ///
    /// # Errors
    /// Trouble when it is not there or does not read.
    pub fn open(path: &Path) -> Result<Self, Trouble> {
        let text = disk::read(&path.join(MANIFEST))?;
        let manifest = serde_json::from_str(&text)
            .map_err(|e| trouble(format!("{} does not read: {e}", path.join(MANIFEST).display())))?;
        Ok(Self { path: path.to_owned(), manifest })
    }

    /// Reads every key, and refuses files that others can read.
    ///
    /// # Errors
    /// Trouble naming the file.
    pub fn load(&self) -> Result<LoadedKeys, Trouble> {
        let keyring =
            self.manifest.keys.iter().map(|entry| self.load_key(entry)).collect::<Result<_, _>>()?;
        let seal = self.load_jwk(SEAL)?;
        let seal_master = bytes_of(&seal, "k").ok_or_else(|| self.wrong(SEAL, "k is not 32 bytes"))?;
        let feed = self.load_jwk(FEED)?;
        let named = feed["kid"].is_string() && feed["crv"] == "Ed25519" && feed["use"] == "rv";
        if !named || bytes_of(&feed, "d").is_none() {
            return Err(self.wrong(FEED, "it is not a private Ed25519 key with a kid and use \"rv\""));
        }
        let loaded = LoadedKeys { keyring, seal_master, feed };
        Keyring::new(&loaded.keyring)?;
        Ok(loaded)
    }

    pub fn path(&self) -> &Path {
        &self.path
    }

    pub fn purpose(&self) -> Purpose {
        self.manifest.purpose
    }

    pub fn manifest(&self) -> &Manifest {
        &self.manifest
    }

    /// Adds a pending key: published from the next start on, signing once it is activated.
    ///
    /// # Errors
    /// Trouble for an unknown algorithm, or from the disk.
    pub fn add(&mut self, algorithm: &str, clock: &dyn Clock) -> Result<String, Trouble> {
        let kid = self.make_key(algorithm, KeyState::Pending, clock)?;
        self.write_manifest()?;
        Ok(kid)
    }

    /// Makes a pending key the one that signs, and retires the one before. Answers the key it retired.
    ///
    /// # Errors
    /// Trouble when there is no such pending key, or from the disk.
    pub fn activate(&mut self, kid: &str) -> Result<Option<String>, Trouble> {
        let retired = self.manifest.activate(kid)?;
        self.write_manifest()?;
        Ok(retired)
    }

    /// Takes a key out of service; it stays published for the tokens that it signed.
    ///
    /// # Errors
    /// Trouble when there is no such key, when nothing would sign its algorithm, or from the disk.
    pub fn retire(&mut self, kid: &str) -> Result<(), Trouble> {
        self.manifest.retire(kid)?;
        self.write_manifest()
    }

    fn make_key(&mut self, algorithm: &str, state: KeyState, clock: &dyn Clock) -> Result<String, Trouble> {
        let jwk = keyring::generate(algorithm, &self.manifest.region)?;
        let kid = jwk["kid"].as_str().unwrap_or_default().to_owned();
        let entry = Entry::new(&kid, algorithm, state, clock.now());
        disk::write_private(&self.path.join(&entry.file), &pretty(&jwk))?;
        self.manifest.keys.push(entry);
        Ok(kid)
    }

    fn load_key(&self, entry: &Entry) -> Result<StoredKey, Trouble> {
        if Path::new(&entry.file).components().count() != 1 {
            return Err(self.wrong(MANIFEST, "a key file must lie in the key directory itself"));
        }
        let jwk = self.load_jwk(&entry.file)?;
        if jwk["kid"] != entry.kid.as_str() || jwk["alg"] != entry.alg.as_str() {
            return Err(self.wrong(&entry.file, "its kid and alg are not those in the manifest"));
        }
        if jwk.get("d").is_none() {
            return Err(self.wrong(&entry.file, "it is only the public half of a key"));
        }
        Ok(StoredKey { jwk, state: entry.state })
    }

    fn load_jwk(&self, name: &str) -> Result<Value, Trouble> {
        let path = self.path.join(name);
        let text = disk::read_private(&path)?;
        serde_json::from_str(&text).map_err(|_| self.wrong(name, "it is not JSON"))
    }

    fn write_manifest(&self) -> Result<(), Trouble> {
        let manifest = serde_json::to_value(&self.manifest).map_err(trouble)?;
        disk::write_private(&self.path.join(MANIFEST), &pretty(&manifest))
    }

    fn wrong(&self, name: &str, why: &str) -> Trouble {
        trouble(format!("{}: {why}", self.path.join(name).display()))
    }
}

impl LoadedKeys {
    /// The feed key's private half.
    pub fn feed_seed(&self) -> Result<[u8; 32], Trouble> {
        bytes_of(&self.feed, "d").ok_or_else(|| trouble("the feed key has no private half of 32 bytes"))
    }

    /// The feed key's name.
    pub fn feed_kid(&self) -> &str {
        self.feed["kid"].as_str().unwrap_or_default()
    }
}

/// Never the keys themselves.
impl std::fmt::Debug for LoadedKeys {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(out, "LoadedKeys({} keys)", self.keyring.len())
    }
}

fn bytes_of(jwk: &Value, member: &str) -> Option<[u8; 32]> {
    URL_SAFE_NO_PAD.decode(jwk.get(member)?.as_str()?).ok()?.try_into().ok()
}

fn pretty(value: &Value) -> String {
    format!("{value:#}\n")
}

fn trouble(why: impl std::fmt::Display) -> Trouble {
    Trouble::new("keys", why)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;
    use crate::testing::{Scratch, means};

    fn made(scratch: &Scratch) -> KeyDirectory {
        let (means, _) = means(1_800_000_000);
        let algorithms = ["ES256".to_owned(), "EdDSA".to_owned()];
        let plan = Plan { purpose: Purpose::Own, region: "eu1", algorithms: &algorithms };
        KeyDirectory::create(&scratch.path().join("keys"), &plan, &*means.clock, &*means.dice).unwrap()
    }

    fn open(scratch: &Scratch) -> KeyDirectory {
        KeyDirectory::open(&scratch.path().join("keys")).unwrap()
    }

    #[test]
    fn what_was_made_is_what_is_loaded() {
        let scratch = Scratch::new();
        made(&scratch);
        let loaded = open(&scratch).load().unwrap();
        let ring = Keyring::new(&loaded.keyring).unwrap();
        assert_eq!(ring.keys().len(), 4);
        assert!(ring.active("ES256").unwrap().kid.starts_with("eu1."));
        assert!(ring.active("EdDSA").is_ok() && ring.active("RS512").is_err());
        assert_ne!(loaded.seal_master, [0; 32]);
        assert!(loaded.feed_seed().is_ok() && loaded.feed_kid().starts_with("eu1."));
        assert!(!format!("{loaded:?}").contains("\"d\""));
    }

    #[test]
    fn everything_is_for_the_owners_eyes_only() {
        let scratch = Scratch::new();
        let directory = made(&scratch);
        let mode = |path: &Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!(mode(directory.path()), 0o700);
        let mut files = 0;
        for file in std::fs::read_dir(directory.path()).unwrap() {
            assert_eq!(mode(&file.unwrap().path()), 0o600);
            files += 1;
        }
        assert_eq!(files, 7, "manifest, seal, feed and two keys for each algorithm; nothing left beside");
    }

    #[test]
    fn a_file_that_others_can_read_is_refused_by_name() {
        let scratch = Scratch::new();
        let directory = made(&scratch);
        let first = directory.manifest().keys[0].file.clone();
        for name in [SEAL, FEED, first.as_str()] {
            let file = directory.path().join(name);
            for mode in [0o620, 0o604] {
                std::fs::set_permissions(&file, std::fs::Permissions::from_mode(mode)).unwrap();
                let why = open(&scratch).load().unwrap_err().why;
                assert!(why.contains("others can read") && why.contains(name), "{why}");
            }
            std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o600)).unwrap();
        }
        assert!(open(&scratch).load().is_ok());
    }

    #[test]
    fn keys_are_never_made_over_keys() {
        let scratch = Scratch::new();
        let before = made(&scratch).load().unwrap().seal_master;
        let (means, _) = means(1_800_000_001);
        let plan = Plan { purpose: Purpose::Own, region: "eu1", algorithms: &[] };
        let path = scratch.path().join("keys");
        assert!(KeyDirectory::create(&path, &plan, &*means.clock, &*means.dice).is_err());
        assert_eq!(open(&scratch).load().unwrap().seal_master, before);
    }

    #[test]
    fn a_new_key_stands_by_until_it_is_activated() {
        let scratch = Scratch::new();
        let (means, _) = means(1_800_000_000);
        let mut directory = made(&scratch);
        let kid = directory.add("ES256", &*means.clock).unwrap();
        let signs = |scratch: &Scratch| {
            let loaded = open(scratch).load().unwrap();
            Keyring::new(&loaded.keyring).unwrap().active("ES256").unwrap().kid.clone()
        };
        let before = signs(&scratch);
        assert_ne!(before, kid);
        assert_eq!(directory.activate(&kid).unwrap(), Some(before));
        assert_eq!(signs(&scratch), kid);
        assert!(directory.add("HS256", &*means.clock).is_err());
    }

    #[test]
    fn a_key_file_that_is_not_what_the_manifest_says_is_refused() {
        let scratch = Scratch::new();
        let directory = made(&scratch);
        let entry = directory.manifest().keys[0].clone();
        let path = directory.path().join(&entry.file);
        let mut jwk: Value = serde_json::from_str(&std::fs::read_to_string(&path).unwrap()).unwrap();
        let whole = jwk.clone();
        jwk["alg"] = "EdDSA".into();
        disk::write_private(&path, &pretty(&jwk)).unwrap();
        assert!(open(&scratch).load().unwrap_err().why.contains("not those in the manifest"));
        disk::write_private(&path, &pretty(&keyring::public_half(&whole).unwrap())).unwrap();
        assert!(open(&scratch).load().unwrap_err().why.contains("only the public half"));
    }
}
