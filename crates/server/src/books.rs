//! Opening the books that the settings name, and sowing a seed file into them.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use portcullis_authority::refusal::Trouble;
use portcullis_authority::registry::Registry as _;
use portcullis_authority::secret::{Seal, Secret};
use portcullis_store::{Clock, Counts, Store, StoreSettings};
use zeroize::Zeroizing;

use crate::keys::{BooksKeks, Keks, KeyDirectory, LoadedKeys};
use crate::means::{Means, Passwords};
use crate::seed::{self, Ground, NotSown};
use crate::settings::Settings;

/// What a sowing did.
#[derive(Debug)]
pub struct Harvest {
    pub counts: Counts,
    /// Secrets that were made, by client id; shown once.
    pub generated: Vec<(String, Secret)>,
}

/// Opens the store. Needs a multi-thread runtime, which must outlive it, and the keys, without which nobody can
/// read what is in it.
///
/// # Errors
/// Trouble when the keys are not those of the books, or the database cannot be reached or brought up to date.
pub async fn open(settings: &Settings, means: &Means) -> Result<Store, Trouble> {
    let (store, clock) = address(settings, means)?;
    let keks = Keks::of(&settings.keys)?;
    let seal_master = Zeroizing::new(keys_under(settings, keks.clone())?.seal_master);
    let wrap = Some(Arc::new(BooksKeks::new(keks, &seal_master)) as _);
    Store::open(StoreSettings { wrap, ..store }, clock).await
}

/// Opens the store for whoever moves sealed fields as they stand and looks into none.
///
/// # Errors
/// Trouble when the database cannot be reached or brought up to date.
pub async fn open_as_they_stand(settings: &Settings, means: &Means) -> Result<Store, Trouble> {
    let (store, clock) = address(settings, means)?;
    Store::open(store, clock).await
}

/// Which books, and by which clock.
///
/// # Errors
/// Trouble when there is no place for them.
pub fn address(settings: &Settings, means: &Means) -> Result<(StoreSettings, Clock), Trouble> {
    make_room(&settings.store.url)?;
    let clock = means.clock.clone();
    let store = StoreSettings {
        root_certificate: settings.store.root_certificate.clone(),
        connections: settings.store.pool,
        patience: settings.store.patience(),
        // A little less than the interval, so that a timer that fires early does not skip a beat.
        beat_gap: Duration::from_millis(settings.feed.beat_ms * 9 / 10),
        ..StoreSettings::new(&settings.store.url, &settings.feed.name)
    };
    Ok((store, Arc::new(move || clock.now_ms())))
}

/// Reads the keys that the settings name.
///
/// # Errors
/// Trouble naming the file, or saying how to make them.
pub fn keys(settings: &Settings) -> Result<LoadedKeys, Trouble> {
    keys_under(settings, Keks::of(&settings.keys)?)
}

fn keys_under(settings: &Settings, keks: Keks) -> Result<LoadedKeys, Trouble> {
    let path = &settings.keys.directory;
    if !path.exists() {
        let why = format!(
            "the folder {} is not there; make it with portcullis keys init, or name another (keys.directory)",
            path.display()
        );
        return Err(Trouble::new("keys", why));
    }
    KeyDirectory::open(path)?.under(keks).load()
}

/// Reads a seed file and puts it into the books.
///
/// # Errors
/// Every mistake in the file, or trouble; then nothing has changed.
pub async fn sow(settings: &Settings, means: &Means, store: &Store, text: &str) -> Result<Harvest, NotSown> {
    let seal = Seal::new(&keys(settings)?.seal_master);
    let passwords = Passwords::new(&settings.passwords, means.dice.clone())?;
    let known = store.directory();
    let ground = Ground { seal: &seal, passwords: &passwords, dice: &*means.dice, known: &known };
    let sown = seed::read(text, &ground)?;
    let counts = store.apply(&sown.set).await?;
    Ok(Harvest { counts, generated: sown.generated })
}

/// SQLite makes its file, and not the directory around it.
fn make_room(url: &str) -> Result<(), Trouble> {
    let path = url.strip_prefix("sqlite:").unwrap_or(url);
    let path = path.strip_prefix("//").unwrap_or(path);
    if url.contains("://") && !url.starts_with("sqlite:") || path == ":memory:" {
        return Ok(());
    }
    match Path::new(path).parent() {
        Some(directory) if !directory.as_os_str().is_empty() => std::fs::create_dir_all(directory)
            .map_err(|e| Trouble::new("store", format!("{}: {e}", directory.display()))),
        _ => Ok(()),
    }
}
