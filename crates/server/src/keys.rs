//! The key directory: where the server's private keys live between two starts.
//!
//! ```text
//! keys/               0700
//!   manifest.json     which keys there are, and how old: pending, active, retired
//!   <kid>.jwk   0600  one private key each
//!   seal.key    0600  32 random bytes: hashes client secrets and refresh tokens
//!   feed.jwk    0600  Ed25519: signs the feed that guards follow (its successor: keys/succession.rs)
//! ```
//!
//! With a key-encryption key (`keys.kek`) the private files are sealed, see `keys/envelope.rs`.
//!
//! The signing keys here are what a house begins with. The server takes them into the books, and from then on
//! the books say which there are and how old (`keys/keeper.rs`); `seal.key` opens those. With a PKCS#11 token
//! (`keys/vault.rs`) they are made there instead, and no private half of theirs is anywhere else.
//!
//! Files are never changed in place: a new one is written beside, brought to disk and renamed over the old
//! one, so that a crash leaves the one or the other. What a key may be used for is the keyring's business.

mod disk;
mod envelope;
mod keeper;
mod manifest;
mod shredder;
mod succession;
mod vault;
mod wrapping;

use std::path::{Component, Path, PathBuf};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use portcullis_authority::desk::{Clock, Dice};
use portcullis_authority::keyring::{self, KeyState, Keyring, StoredKey};
use portcullis_authority::refusal::Trouble;
use serde_json::{Value, json};
use zeroize::Zeroizing;

pub use disk::open_to_others;
pub use envelope::{Keks, Wrap};
pub use keeper::{Keeper, Tools};
pub use manifest::{Entry, Manifest, Purpose};
pub use succession::{FeedKey, Step, Succession};
pub use vault::Pkcs11Vault;
pub use wrapping::BooksKeks;

const MANIFEST: &str = "manifest.json";
const SEAL: &str = "seal.key";
const FEED: &str = "feed.jwk";

/// A key directory whose manifest has been read.
#[derive(Debug)]
pub struct KeyDirectory {
    path: PathBuf,
    manifest: Manifest,
    keks: Keks,
}

/// Everything that is in it.
pub struct LoadedKeys {
    pub keyring: Vec<StoredKey>,
    pub seal_master: [u8; 32],
    /// The private Ed25519 JWK of the feed, `use` is `rv`.
    pub feed: Value,
    /// Public JWKs that are published beside it.
    pub feed_beside: Vec<Value>,
    /// Which of them is which.
    pub succession: Succession,
    /// Public halves of feed keys that are published no more.
    pub feed_past: Vec<Value>,
    /// Files that are not sealed.
    pub plain: Vec<String>,
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
        Self::create_under(Keks::default(), (path, plan), clock, dice)
    }

    /// The same with every private file sealed, if there is a key for that.
    ///
    /// # Errors
    /// See [`KeyDirectory::create`].
    pub fn create_under(
        keks: Keks,
        (path, plan): (&Path, &Plan<'_>),
        clock: &dyn Clock,
        dice: &dyn Dice,
    ) -> Result<Self, Trouble> {
        if path.join(MANIFEST).exists() {
            return Err(trouble(format!("{} has keys already; nothing was changed", path.display())));
        }
        disk::make_private_directory(path)?;
        let manifest = Manifest { purpose: plan.purpose, region: plan.region.into(), keys: Vec::new() };
        let mut directory = Self { path: path.to_owned(), manifest, keks };
        for algorithm in plan.algorithms {
            for state in [KeyState::Active, KeyState::Pending] {
                directory.make_key(algorithm, state, clock)?;
            }
        }
        let mut seal = [0; 32];
        dice.fill(&mut seal);
        let seal = json!({ "kty": "oct", "use": "seal", "k": URL_SAFE_NO_PAD.encode(seal) });
        directory.write_jwk(SEAL, &seal)?;
        directory.write_jwk(FEED, &succession::first(plan.region, clock)?)?;
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
        Ok(Self { path: path.to_owned(), manifest, keks: Keks::default() })
    }

    /// The same directory with the key-encryption keys for its files.
    pub fn under(self, keks: Keks) -> Self {
        Self { keks, ..self }
    }

    /// Reads every key, and refuses files that others can read.
    ///
    /// # Errors
    /// Trouble naming the file.
    pub fn load(&self) -> Result<LoadedKeys, Trouble> {
        let keyring =
            self.manifest.keys.iter().map(|entry| self.load_key(entry)).collect::<Result<_, _>>()?;
        let plain = self.wraps()?.into_iter().filter(|(_, wrap)| *wrap == Wrap::Plain);
        let seal = self.load_jwk(SEAL)?;
        let seal_master = bytes_of(&seal, "k").ok_or_else(|| self.wrong(SEAL, "k is not 32 bytes"))?;
        let feed = self.feed_key(FEED)?;
        let (feed_beside, succession) = self.feed_keys_beside(&feed)?;
        let feed_past = self.feed_keys_past()?;
        let plain = plain.map(|(name, _)| name.to_owned()).collect();
        let loaded = LoadedKeys { keyring, seal_master, feed, feed_beside, succession, feed_past, plain };
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

    /// Adds a pending key: a server takes it in at its next start, and lets it sign when its turn comes.
    ///
    /// # Errors
    /// Trouble for an unknown algorithm, or from the disk.
    pub fn add(&mut self, algorithm: &str, clock: &dyn Clock) -> Result<String, Trouble> {
        let kid = self.make_key(algorithm, KeyState::Pending, clock)?;
        self.write_manifest()?;
        Ok(kid)
    }

    /// Seals every private file that is not sealed under the key-encryption key of today, and says which
    /// those were. It may be interrupted and done again; a server that runs has read its files already.
    ///
    /// # Errors
    /// Trouble when there is no such key, a file does not open, or from the disk.
    pub fn reseal(&self) -> Result<Vec<String>, Trouble> {
        if self.keks.id().is_none() {
            let why =
                "there is no key-encryption key; name one with keys.kek, such as file:/etc/portcullis/kek";
            return Err(trouble(why));
        }
        // First all of them are opened: a key that does not fit one file is better known before any is written.
        let others: Vec<_> = self.wraps()?.into_iter().filter(|(_, wrap)| *wrap != Wrap::Current).collect();
        for (name, _) in &others {
            let (text, _) = self.read_private(name)?;
            disk::write_private(&self.path.join(name), &self.keks.close(name, &text)?)?;
        }
        Ok(others.into_iter().map(|(name, _)| name.to_owned()).collect())
    }

    /// Whether there is a key directory here.
    pub fn is_at(path: &Path) -> bool {
        path.join(MANIFEST).exists()
    }

    /// Every file by its name, as it lies there: sealed, if it is.
    ///
    /// # Errors
    /// Trouble naming the file that cannot be read, or that others can read.
    pub fn files(&self) -> Result<Vec<(String, Zeroizing<String>)>, Trouble> {
        let read = |name: &str| {
            let text = disk::read_private(&self.path.join(name))?;
            Ok((name.to_owned(), Zeroizing::new(text)))
        };
        let mut files = self.private_files().map(read).collect::<Result<Vec<_>, Trouble>>()?;
        // Last, as when they are made: without it there is no key directory.
        files.push((MANIFEST.to_owned(), Zeroizing::new(disk::read(&self.path.join(MANIFEST))?)));
        Ok(files)
    }

    /// Writes files where there is no key directory yet, as [`KeyDirectory::files`] gave them.
    ///
    /// # Errors
    /// Trouble from the disk, or when one would not lie in the directory itself.
    pub fn put_back(path: &Path, files: &[(&str, &str)]) -> Result<(), Trouble> {
        Self::could_put_back(files)?;
        disk::make_private_directory(path)?;
        let (manifest, others): (Vec<_>, Vec<_>) = files.iter().partition(|(name, _)| *name == MANIFEST);
        let mut in_order = others.into_iter().chain(manifest);
        in_order.try_for_each(|(name, text)| disk::write_private(&path.join(name), text))
    }

    /// Whether [`KeyDirectory::put_back`] would take these files.
    ///
    /// # Errors
    /// When one would not lie in the directory itself.
    pub fn could_put_back(files: &[(&str, &str)]) -> Result<(), Trouble> {
        match files.iter().find(|(name, _)| !is_plain_name(name)) {
            Some((name, _)) => Err(trouble(format!("{name} is not the name of a key file"))),
            None => Ok(()),
        }
    }

    /// Whether the secret that opens the books is the same here and in these files.
    ///
    /// # Errors
    /// Trouble when one of the two does not open.
    pub fn opens_the_same(&self, files: &[(&str, &str)]) -> Result<bool, Trouble> {
        let Some((_, theirs)) = files.iter().find(|(name, _)| *name == SEAL) else { return Ok(false) };
        let ours = self.load_jwk(SEAL)?;
        let theirs: Value = serde_json::from_str(&self.keks.open(SEAL, theirs)?.0)
            .map_err(|_| self.wrong(SEAL, "the one in the backup is not JSON"))?;
        Ok(bytes_of(&ours, "k").is_some() && bytes_of(&ours, "k") == bytes_of(&theirs, "k"))
    }

    /// Every private file, and how it is kept.
    fn wraps(&self) -> Result<Vec<(&str, Wrap)>, Trouble> {
        self.private_files().map(|name| Ok((name, self.read_private(name)?.1))).collect()
    }

    fn private_files(&self) -> impl Iterator<Item = &str> {
        let signing = self.manifest.keys.iter().map(|entry| entry.file.as_str());
        signing.chain([SEAL, FEED]).chain(self.feed_files_beside())
    }

    fn make_key(&mut self, algorithm: &str, state: KeyState, clock: &dyn Clock) -> Result<String, Trouble> {
        let jwk = keyring::generate(algorithm, &self.manifest.region)?;
        let kid = jwk["kid"].as_str().unwrap_or_default().to_owned();
        let entry = Entry::new(&kid, algorithm, state, clock.now());
        self.write_jwk(&entry.file, &jwk)?;
        self.manifest.keys.push(entry);
        Ok(kid)
    }

    fn load_key(&self, entry: &Entry) -> Result<StoredKey, Trouble> {
        if !is_plain_name(&entry.file) {
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
        let (text, _) = self.read_private(name)?;
        serde_json::from_str(&text).map_err(|_| self.wrong(name, "it is not JSON"))
    }

    fn read_private(&self, name: &str) -> Result<(Zeroizing<String>, Wrap), Trouble> {
        self.keks.open(name, &Zeroizing::new(disk::read_private(&self.path.join(name))?))
    }

    fn write_jwk(&self, name: &str, jwk: &Value) -> Result<(), Trouble> {
        disk::write_private(&self.path.join(name), &self.keks.close(name, &Zeroizing::new(pretty(jwk)))?)
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

/// Whether it names a file in the directory itself.
fn is_plain_name(name: &str) -> bool {
    let mut parts = Path::new(name).components();
    matches!((parts.next(), parts.next()), (Some(Component::Normal(_)), None))
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
    fn a_new_key_stands_by() {
        let scratch = Scratch::new();
        let (means, _) = means(1_800_000_000);
        let mut directory = made(&scratch);
        let kid = directory.add("ES256", &*means.clock).unwrap();
        let loaded = open(&scratch).load().unwrap();
        let added = loaded.keyring.iter().find(|key| key.jwk["kid"] == kid.as_str()).unwrap();
        assert_eq!(added.state, KeyState::Pending);
        assert!(directory.add("HS256", &*means.clock).is_err());
    }

    #[test]
    fn a_plain_directory_is_sealed_and_sealed_again_under_another_key() {
        let scratch = Scratch::new();
        let before = made(&scratch).load().unwrap();
        assert_eq!(before.plain.len(), 6);
        let kek = |name: &str, byte: u8| {
            let path = scratch.path().join(name);
            disk::write_private(&path, &URL_SAFE_NO_PAD.encode([byte; 32])).unwrap();
            Some(format!("file:{}", path.display()))
        };
        let keks = |now: Option<String>, before: Option<String>| {
            let keys = crate::settings::Keys { kek: now, kek_before: before, ..Default::default() };
            Keks::of(&keys).unwrap()
        };
        let (old, new) = (kek("old", 1), kek("new", 2));
        assert!(open(&scratch).reseal().is_err(), "there is nothing to seal with");
        assert_eq!(open(&scratch).under(keks(old.clone(), None)).reseal().unwrap().len(), 6);
        assert!(open(&scratch).load().unwrap_err().why.contains("keys.kek"));
        assert!(open(&scratch).under(keks(new.clone(), None)).reseal().is_err());
        assert_eq!(open(&scratch).under(keks(new.clone(), old)).reseal().unwrap().len(), 6);
        let directory = open(&scratch).under(keks(new, None));
        let after = directory.load().unwrap();
        assert_eq!((after.seal_master, after.plain.len()), (before.seal_master, 0));
        assert_eq!(directory.reseal().unwrap(), [""; 0], "there is nothing left to do");
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
