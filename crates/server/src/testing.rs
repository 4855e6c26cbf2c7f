//! For tests, ours and those of services: a clock that is moved by hand, dice that always fall alike, and
//! a directory that vanishes. Never wire any of it into a server that real people use.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use portcullis_authority::desk::{Clock, Dice};
use portcullis_authority::keyring::generate;
use portcullis_guard::feed::View;
use portcullis_store::{Store, StoreSettings};
use ring::digest;

use crate::feed::{Hub, HubParts, Press};
use crate::keys::{KeyDirectory, Plan, Purpose};
use crate::means::Means;
use crate::settings::Settings;

/// A clock that stands until it is moved.
#[derive(Debug)]
pub struct MovableClock(AtomicU64);

impl MovableClock {
    /// Standing at this second.
    pub fn at(seconds: u64) -> Self {
        Self(AtomicU64::new(seconds * 1000))
    }

    pub fn advance(&self, seconds: u64) {
        self.advance_ms(seconds * 1000);
    }

    pub fn advance_ms(&self, milliseconds: u64) {
        self.0.fetch_add(milliseconds, Ordering::SeqCst);
    }
}

impl Clock for MovableClock {
    fn now_ms(&self) -> u64 {
        self.0.load(Ordering::SeqCst)
    }
}

/// Dice that fall the same in every run: SHA-256 over a seed and a counter.
#[derive(Debug)]
pub struct FixedDice {
    seed: u64,
    thrown: AtomicU64,
}

impl FixedDice {
    pub fn new(seed: u64) -> Self {
        Self { seed, thrown: AtomicU64::new(0) }
    }
}

impl Dice for FixedDice {
    fn fill(&self, bytes: &mut [u8]) {
        for chunk in bytes.chunks_mut(digest::SHA256_OUTPUT_LEN) {
            let turn = self.thrown.fetch_add(1, Ordering::SeqCst);
            let throw = [self.seed.to_be_bytes(), turn.to_be_bytes()].concat();
            chunk.copy_from_slice(&digest::digest(&digest::SHA256, &throw).as_ref()[..chunk.len()]);
        }
    }
}

/// A movable clock and fixed dice, and the clock once more to move it.
pub fn means(seconds: u64) -> (Means, Arc<MovableClock>) {
    let clock = Arc::new(MovableClock::at(seconds));
    (Means { clock: clock.clone(), dice: Arc::new(FixedDice::new(1)) }, clock)
}

/// A hub over empty books in memory, for handlers whose authority keeps its books elsewhere. It does not
/// follow anything, and stays until the process ends.
///
/// # Panics
/// When not even that can be made.
pub fn idle_hub(issuer: &str, clock: Arc<dyn Clock>) -> Arc<Hub> {
    let issuer = issuer.to_owned();
    let made = std::thread::spawn(move || {
        let runtime = tokio::runtime::Runtime::new().expect("tests run where threads can be made");
        let hub = runtime.block_on(async {
            let feed = "test:eu1";
            let told = clock.clone();
            let store = StoreSettings::new("sqlite::memory:", feed);
            let store = Store::open(store, Arc::new(move || told.now_ms())).await?;
            store.beat().await?;
            let (jwk, staleness) = (generate("EdDSA", "eu1")?, Duration::from_secs(10));
            Hub::open(HubParts {
                feed: feed.into(),
                issuer,
                max_staleness: staleness,
                beat: Duration::from_secs(1),
                store,
                clock,
                view: Arc::new(View::new(feed, staleness)),
                press: Press::new(&jwk)?,
                jwks: r#"{"keys":[]}"#.into(),
                keeper: None,
                glass: None,
            })
            .await
        });
        // The writer of its books lives on this runtime.
        std::mem::forget(runtime);
        hub.expect("empty books in memory can be opened")
    });
    made.join().expect("the thread above says itself what it could not make")
}

/// Settings of a small server in this directory: on a free port, over SQLite, with keys of a demonstration that are
/// made here, and passwords that are hashed in no time.
///
/// # Panics
/// When no keys can be made there.
pub fn settings(scratch: &Scratch) -> Settings {
    let mut settings = Settings { issuer: "http://127.0.0.1:0".into(), ..Settings::default() };
    (settings.listen.port, settings.listen.workers) = (0, 1);
    (settings.passwords.memory_kib, settings.passwords.iterations) = (64, 1);
    settings.store.url = format!("sqlite:{}", scratch.path().join("books.db").display());
    settings.keys.directory = scratch.path().join("keys");
    make_keys(&settings, Purpose::Demo);
    settings
}

/// Makes the keys that these settings name, one that signs tokens and one that stands by.
///
/// # Panics
/// When there are keys already.
pub fn make_keys(settings: &Settings, purpose: Purpose) {
    let (means, algorithms) = (Means::system(), ["ES256".to_owned()]);
    let plan = Plan { purpose, region: "eu1", algorithms: &algorithms };
    KeyDirectory::create(&settings.keys.directory, &plan, &*means.clock, &*means.dice)
        .expect("a test makes its keys where there are none");
}

/// A new directory that is removed when this value goes.
#[derive(Debug)]
pub struct Scratch(PathBuf);

impl Scratch {
    /// # Panics
    /// When the system's directory for temporary files cannot be written to.
    pub fn new() -> Self {
        static MADE: AtomicU64 = AtomicU64::new(0);
        let name = format!("portcullis-{}-{}", std::process::id(), MADE.fetch_add(1, Ordering::SeqCst));
        let path = std::env::temp_dir().join(name);
        std::fs::create_dir_all(&path).expect("tests run where temporary files can be made");
        Self(path)
    }

    pub fn path(&self) -> &Path {
        &self.0
    }
}

impl Default for Scratch {
    fn default() -> Self {
        Self::new()
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        // A directory that stays behind is untidy, and no reason to fail a test.
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_dice_fall_alike_and_never_repeat() {
        let throw = |dice: &FixedDice| {
            let mut bytes = [0; 40];
            dice.fill(&mut bytes);
            bytes
        };
        let (left, right) = (FixedDice::new(7), FixedDice::new(7));
        let first = throw(&left);
        assert_eq!(first, throw(&right));
        assert_ne!(first, throw(&left));
        assert_ne!(throw(&FixedDice::new(8)), first);
    }

    #[test]
    fn the_clock_moves_when_told() {
        let (means, clock) = means(1_800_000_000);
        clock.advance(5);
        assert_eq!(means.clock.now(), 1_800_000_005);
    }
}
