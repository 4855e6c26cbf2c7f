//! The feed's key and its successor, in the key directory. A successor is published beside the key that signs before it
//! signs anything, and the key before it afterwards, so that servers change over one by one and no guard meets a
//! signature that nobody vouches for. Each of the three steps is followed by a start of every server.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use portcullis_authority::desk::Clock;
use portcullis_authority::keyring;
use portcullis_authority::refusal::Trouble;
use portcullis_guard::feed::keys::key8;
use serde_json::{Value, json};

use super::{FEED, KeyDirectory, bytes_of, disk, trouble};

/// Private: it signs when its turn comes.
const NEXT: &str = "feed.next.jwk";
/// The public half of the one before.
const BEFORE: &str = "feed.before.jwk";
/// Public halves of those that are published no more: what they have signed in the audit log is checked with them.
const PAST: &str = "feed.past.jwk";
/// Members of the private files, in seconds: when a key was made, and since when it signs. Files of before have none.
const MADE_AT: &str = "made_at";
const SIGNS_SINCE: &str = "signs_since";

/// Where the feed's key stands in its change, as its files say.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Succession {
    pub signs: FeedKey,
    /// Stands by.
    pub next: Option<FeedKey>,
    /// Signs no more, and is still published.
    pub before: Option<FeedKey>,
}

/// A feed key without anything private.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FeedKey {
    pub kid: String,
    /// Its short name, under which guards know it.
    pub published_as: String,
    /// Since when it signs, or stands by, where its file says so: seconds.
    pub since: Option<u64>,
}

/// What comes next: the commands of `portcullis keys feed`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    Prepare,
    Sign,
    Forget,
}

impl Succession {
    /// Of a key that stands alone.
    pub fn alone(signs: &Value) -> Self {
        Self { signs: FeedKey::of(signs, SIGNS_SINCE), next: None, before: None }
    }

    pub fn step(&self) -> Step {
        let interrupted = self.next.as_ref().is_some_and(|next| next.kid == self.signs.kid);
        match (&self.before, &self.next) {
            _ if interrupted => Step::Sign,
            (Some(_), _) => Step::Forget,
            (None, Some(_)) => Step::Sign,
            (None, None) => Step::Prepare,
        }
    }
}

impl FeedKey {
    fn of(jwk: &Value, since: &str) -> Self {
        let short = bytes_of(jwk, "x").map(|public| URL_SAFE_NO_PAD.encode(key8(&public)));
        Self { kid: name(jwk), published_as: short.unwrap_or_default(), since: jwk[since].as_u64() }
    }
}

impl Step {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Prepare => "prepare",
            Self::Sign => "sign",
            Self::Forget => "forget",
        }
    }
}

/// A feed key that signs from the first.
///
/// # Errors
/// Trouble when no key can be made.
pub(super) fn first(region: &str, clock: &dyn Clock) -> Result<Value, Trouble> {
    let mut key = made(region, clock)?;
    key[SIGNS_SINCE] = clock.now().into();
    Ok(key)
}

fn made(region: &str, clock: &dyn Clock) -> Result<Value, Trouble> {
    let mut key = keyring::generate("EdDSA", region)?;
    key["use"] = "rv".into();
    key[MADE_AT] = clock.now().into();
    Ok(key)
}

impl KeyDirectory {
    /// Makes a feed key that stands by: published, and signing nothing. Answers its name.
    ///
    /// # Errors
    /// Trouble when one stands by already, or from the disk.
    pub fn prepare_feed_key(&self, clock: &dyn Clock) -> Result<String, Trouble> {
        if self.has(NEXT) {
            return Err(trouble("a feed key stands by already; portcullis keys feed sign lets it sign"));
        }
        let next = made(&self.manifest().region, clock)?;
        self.write_jwk(NEXT, &next)?;
        Ok(name(&next))
    }

    /// Lets the feed key that stands by sign, and keeps the public half of the one before. Answers its name. It may
    /// be interrupted and done again.
    ///
    /// # Errors
    /// Trouble when none stands by, or from the disk.
    pub fn promote_feed_key(&self, clock: &dyn Clock) -> Result<String, Trouble> {
        if !self.has(NEXT) {
            return Err(trouble("no feed key stands by; portcullis keys feed prepare makes one"));
        }
        let (mut next, before) = (self.feed_key(NEXT)?, self.feed_key(FEED)?);
        // Where it was interrupted the key signs already, and what was kept is the one before it.
        if next["kid"] != before["kid"] {
            if self.has(BEFORE) && self.load_jwk(BEFORE)?["kid"] != before["kid"] {
                let why = "the feed key before this one is still published; portcullis keys feed forget comes first";
                return Err(trouble(why));
            }
            self.write_jwk(BEFORE, &keyring::public_half(&before)?)?;
            next[SIGNS_SINCE] = clock.now().into();
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

    /// What is published beside the feed key that signs: public halves, and which is which.
    pub(super) fn feed_keys_beside(&self, signs: &Value) -> Result<(Vec<Value>, Succession), Trouble> {
        let next = self.has(NEXT).then(|| self.feed_key(NEXT)).transpose()?;
        let before = self.has(BEFORE).then(|| self.load_jwk(BEFORE)).transpose()?;
        let beside = next.iter().chain(&before).map(keyring::public_half).collect::<Result<_, _>>()?;
        let succession = Succession {
            next: next.as_ref().map(|key| FeedKey::of(key, MADE_AT)),
            before: before.as_ref().map(|key| FeedKey::of(key, SIGNS_SINCE)),
            ..Succession::alone(signs)
        };
        Ok((beside, succession))
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

    /// A second later with every question.
    struct Ticking(std::sync::atomic::AtomicU64);

    impl Clock for Ticking {
        fn now_ms(&self) -> u64 {
            self.0.fetch_add(1000, std::sync::atomic::Ordering::SeqCst)
        }
    }

    fn clock() -> Ticking {
        Ticking(1_800_000_000_000.into())
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
        assert!(
            none.is_empty() && keys.promote_feed_key(&clock()).is_err() && keys.feed_key_before().is_err()
        );
        let next = keys.prepare_feed_key(&clock()).unwrap();
        assert_eq!(seen(&keys), (first.clone(), vec![next.clone()]));
        assert!(keys.prepare_feed_key(&clock()).is_err(), "one at a time");
        assert_eq!(keys.promote_feed_key(&clock()).unwrap(), next);
        assert_eq!(seen(&keys), (next.clone(), vec![first.clone()]));
        let third = keys.prepare_feed_key(&clock()).unwrap();
        let why = keys.promote_feed_key(&clock()).unwrap_err().why;
        assert!(why.contains("forget comes first"), "{why}");
        assert_eq!(name(&keys.feed_key_before().unwrap()), first);
        keys.forget_feed_key().unwrap();
        assert_eq!(seen(&keys), (next, vec![third]));
        let past: Vec<_> = keys.load().unwrap().feed_past.iter().map(name).collect();
        assert_eq!(past, [first], "what it has signed can still be checked");
    }

    #[test]
    fn what_comes_next_and_how_old_a_key_is_stand_in_the_files() {
        let scratch = Scratch::new();
        let (keys, clock) = (keys(&scratch), clock());
        let at = |keys: &KeyDirectory| keys.load().unwrap().succession;
        let first = at(&keys);
        assert!(first.signs.since.is_some() && first.next.is_none() && first.before.is_none());
        assert_eq!((first.step(), first.signs.published_as.len()), (Step::Prepare, 11));
        let next = keys.prepare_feed_key(&clock).unwrap();
        let second = at(&keys);
        assert_eq!((second.step(), &second.signs), (Step::Sign, &first.signs));
        let standing = second.next.unwrap();
        assert_eq!((&standing.kid, standing.since), (&next, Some(1_800_000_000)));
        keys.promote_feed_key(&clock).unwrap();
        let third = at(&keys);
        assert_eq!((third.step(), third.next), (Step::Forget, None));
        assert_eq!((&third.signs.kid, third.signs.since), (&next, Some(1_800_000_001)));
        assert_eq!(third.before.unwrap().published_as, first.signs.published_as);
        keys.forget_feed_key().unwrap();
        assert_eq!(at(&keys).step(), Step::Prepare);
    }

    #[test]
    fn a_change_that_was_interrupted_is_done_again() {
        let scratch = Scratch::new();
        let keys = keys(&scratch);
        let (first, _) = seen(&keys);
        let next = keys.prepare_feed_key(&clock()).unwrap();
        let standing = std::fs::read(keys.path().join(NEXT)).unwrap();
        keys.promote_feed_key(&clock()).unwrap();
        // As after a crash before the last step.
        disk::write_private(&keys.path().join(NEXT), &String::from_utf8(standing).unwrap()).unwrap();
        assert_eq!(keys.load().unwrap().succession.step(), Step::Sign, "once more");
        assert_eq!(keys.promote_feed_key(&clock()).unwrap(), next);
        assert_eq!(seen(&keys), (next, vec![first]));
    }

    #[test]
    fn a_backup_of_the_directory_has_the_successor_too() {
        let scratch = Scratch::new();
        let keys = keys(&scratch);
        keys.prepare_feed_key(&clock()).unwrap();
        let files = keys.files().unwrap();
        assert!(files.iter().any(|(file, _)| file == NEXT));
        let named: Vec<_> = files.iter().map(|(file, text)| (file.as_str(), text.as_str())).collect();
        let other = scratch.path().join("other");
        KeyDirectory::put_back(&other, &named).unwrap();
        assert_eq!(seen(&KeyDirectory::open(&other).unwrap()), seen(&keys));
    }
}
