//! The feed's key and its successor, in the key directory. A successor is published beside the key that signs before it
//! signs anything, and the key before it afterwards, so that servers change over one by one and no guard meets a
//! signature that nobody vouches for. Each of the three steps is followed by a start of every server.

use portcullis_authority::keyring;
use portcullis_authority::refusal::Trouble;
use serde_json::{Value, json};

use super::{FEED, KeyDirectory, bytes_of, disk, trouble};

/// Private: it signs when its turn comes.
const NEXT: &str = "feed.next.jwk";
/// The public half of the one before.
const BEFORE: &str = "feed.before.jwk";
/// Public halves of those that are published no more: what they have signed in the audit log is checked with them.
const PAST: &str = "feed.past.jwk";

impl KeyDirectory {
    /// Makes a feed key that stands by: published, and signing nothing. Answers its name.
    ///
    /// # Errors
    /// Trouble when one stands by already, or from the disk.
    pub fn prepare_feed_key(&self) -> Result<String, Trouble> {
        if self.has(NEXT) {
            return Err(trouble("a feed key stands by already; portcullis keys feed sign lets it sign"));
        }
        let mut next = keyring::generate("EdDSA", &self.manifest().region)?;
        next["use"] = "rv".into();
        self.write_jwk(NEXT, &next)?;
        Ok(name(&next))
    }

    /// Lets the feed key that stands by sign, and keeps the public half of the one before. Answers its name. It may
    /// be interrupted and done again.
    ///
    /// # Errors
    /// Trouble when none stands by, or from the disk.
    pub fn promote_feed_key(&self) -> Result<String, Trouble> {
        if !self.has(NEXT) {
            return Err(trouble("no feed key stands by; portcullis keys feed prepare makes one"));
        }
        let (next, before) = (self.feed_key(NEXT)?, self.feed_key(FEED)?);
        // Where it was interrupted the key signs already, and what was kept is the one before it.
        if next["kid"] != before["kid"] {
            if self.has(BEFORE) && self.load_jwk(BEFORE)?["kid"] != before["kid"] {
                let why = "the feed key before this one is still published; portcullis keys feed forget comes first";
                return Err(trouble(why));
            }
            self.write_jwk(BEFORE, &keyring::public_half(&before)?)?;
            self.write_jwk(FEED, &next)?;
        }
        disk::remove(&self.path().join(NEXT))?;
        Ok(name(&next))
    }

    /// The public half of the feed key before, which checks what it signed.
    ///
    /// # Errors
    /// Trouble when there is none.
    pub fn feed_key_before(&self) -> Result<Value, Trouble> {
        match self.has(BEFORE) {
            true => self.load_jwk(BEFORE),
            false => Err(trouble("there is no feed key before this one")),
        }
    }

    /// Publishes the feed key before no more, and keeps its public half for the audit log. It may be interrupted and
    /// done again.
    ///
    /// # Errors
    /// Trouble from the disk.
    pub fn forget_feed_key(&self) -> Result<(), Trouble> {
        let (before, mut past) = (self.feed_key_before()?, self.feed_keys_past()?);
        if past.iter().all(|key| key["kid"] != before["kid"]) {
            past.push(before);
            self.write_jwk(PAST, &json!({ "keys": past }))?;
        }
        disk::remove(&self.path().join(BEFORE))
    }

    /// The public halves of feed keys that are published no more.
    pub(super) fn feed_keys_past(&self) -> Result<Vec<Value>, Trouble> {
        if !self.has(PAST) {
            return Ok(Vec::new());
        }
        let set = self.load_jwk(PAST)?;
        let keys = set["keys"].as_array().ok_or_else(|| self.wrong(PAST, "it is not a set of keys"))?;
        Ok(keys.clone())
    }

    /// What is published beside the feed key that signs: public halves.
    pub(super) fn feed_keys_beside(&self) -> Result<Vec<Value>, Trouble> {
        let mut beside = Vec::new();
        for file in self.feed_files_beside().filter(|file| *file != PAST) {
            let key = if file == NEXT { self.feed_key(NEXT)? } else { self.load_jwk(file)? };
            beside.push(keyring::public_half(&key)?);
        }
        Ok(beside)
    }

    /// Those of the files that are there.
    pub(super) fn feed_files_beside(&self) -> impl Iterator<Item = &str> {
        [NEXT, BEFORE, PAST].into_iter().filter(move |file| self.has(file))
    }

    /// A feed key with its private half.
    pub(super) fn feed_key(&self, file: &str) -> Result<Value, Trouble> {
        let key = self.load_jwk(file)?;
        let named = key["kid"].is_string() && key["crv"] == "Ed25519" && key["use"] == "rv";
        match named && bytes_of(&key, "d").is_some() {
            true => Ok(key),
            false => Err(self.wrong(file, "it is not a private Ed25519 key with a kid and use \"rv\"")),
        }
    }

    fn has(&self, file: &str) -> bool {
        self.path().join(file).exists()
    }
}

fn name(key: &Value) -> String {
    key["kid"].as_str().unwrap_or_default().to_owned()
}

#[cfg(test)]
mod tests {
    use super::super::{Plan, Purpose};
    use super::*;
    use crate::means::Means;
    use crate::testing::Scratch;

    fn keys(scratch: &Scratch) -> KeyDirectory {
        let (means, path) = (Means::system(), scratch.path().join("keys"));
        let plan = Plan { purpose: Purpose::Own, region: "eu1", algorithms: &["ES256".to_owned()] };
        KeyDirectory::create(&path, &plan, &*means.clock, &*means.dice).unwrap()
    }

    fn seen(keys: &KeyDirectory) -> (String, Vec<String>) {
        let loaded = keys.load().unwrap();
        assert!(loaded.feed_beside.iter().all(|key| key.get("d").is_none()), "a private half");
        (loaded.feed_kid().to_owned(), loaded.feed_beside.iter().map(name).collect())
    }

    #[test]
    fn a_successor_is_published_before_it_signs_and_the_one_before_afterwards() {
        let scratch = Scratch::new();
        let keys = keys(&scratch);
        let (first, none) = seen(&keys);
        assert!(none.is_empty() && keys.promote_feed_key().is_err() && keys.feed_key_before().is_err());
        let next = keys.prepare_feed_key().unwrap();
        assert_eq!(seen(&keys), (first.clone(), vec![next.clone()]));
        assert!(keys.prepare_feed_key().is_err(), "one at a time");
        assert_eq!(keys.promote_feed_key().unwrap(), next);
        assert_eq!(seen(&keys), (next.clone(), vec![first.clone()]));
        let third = keys.prepare_feed_key().unwrap();
        let why = keys.promote_feed_key().unwrap_err().why;
        assert!(why.contains("forget comes first"), "{why}");
        assert_eq!(name(&keys.feed_key_before().unwrap()), first);
        keys.forget_feed_key().unwrap();
        assert_eq!(seen(&keys), (next, vec![third]));
        let past: Vec<_> = keys.load().unwrap().feed_past.iter().map(name).collect();
        assert_eq!(past, [first], "what it has signed can still be checked");
    }

    #[test]
    fn a_change_that_was_interrupted_is_done_again() {
        let scratch = Scratch::new();
        let keys = keys(&scratch);
        let (first, _) = seen(&keys);
        let next = keys.prepare_feed_key().unwrap();
        let standing = std::fs::read(keys.path().join(NEXT)).unwrap();
        keys.promote_feed_key().unwrap();
        // As after a crash before the last step.
        disk::write_private(&keys.path().join(NEXT), &String::from_utf8(standing).unwrap()).unwrap();
        assert_eq!(keys.promote_feed_key().unwrap(), next);
        assert_eq!(seen(&keys), (next, vec![first]));
    }

    #[test]
    fn a_backup_of_the_directory_has_the_successor_too() {
        let scratch = Scratch::new();
        let keys = keys(&scratch);
        keys.prepare_feed_key().unwrap();
        let files = keys.files().unwrap();
        assert!(files.iter().any(|(file, _)| file == NEXT));
        let named: Vec<_> = files.iter().map(|(file, text)| (file.as_str(), text.as_str())).collect();
        let other = scratch.path().join("other");
        KeyDirectory::put_back(&other, &named).unwrap();
        assert_eq!(seen(&KeyDirectory::open(&other).unwrap()), seen(&keys));
    }
}
