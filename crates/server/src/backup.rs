//! Backups: the books and the files of the key directory in one file under lock, taken while servers run, and
//! put into an empty database of either kind.
//!
//! ```text
//! {"portcullis_backup":1,"version":...,"made_at":...,"feeds":[...],"audit":[...],"key":{...}}
//! pieces of 64 kB (backup/strongbox.rs), in which there are lines:
//!   {"file":"seal.key","text":"..."}    as it lies in the key directory, sealed if it is
//!   and the lines of `portcullis_store::copy_in`
//! ```
//!
//! The key-encryption key is not in it: who has a backup and that key has everything, so they are kept apart.

mod header;
mod strongbox;
mod vessel;

use std::fs::File;
use std::io::{self, BufRead as _, BufReader, Lines, Read as _};
use std::path::{Path, PathBuf};

use portcullis_authority::ledger::{Act, AuditRecord, Deed, Ledger as _, Position};
use portcullis_authority::recovery;
use portcullis_authority::refusal::Trouble;
use portcullis_store::{CopyReader, Rows, Store, copy_in};
use serde::{Deserialize, Serialize};
use serde_json::json;
use zeroize::Zeroize as _;

use crate::books;
use crate::keys::{Keks, KeyDirectory};
use crate::means::Means;
use crate::settings::Settings;

use header::Header;
pub use header::{About, Under};
use strongbox::Unlocking;
use vessel::Vessel;

const NO_KEY: &str = "there is no key to seal it under: name one with --key file:PATH or in the settings \
     (keys.kek). Without one everybody who has the file can read it; if you mean that, say --plain";

/// A first line that is longer is none.
const HEADER_BYTES: u64 = 1 << 20;

/// A file of the key directory.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct KeyFile {
    file: String,
    text: String,
}

impl Drop for KeyFile {
    fn drop(&mut self) {
        self.text.zeroize();
    }
}

/// The lines of a backup, as they are unlocked.
type Text = Lines<BufReader<Unlocking<BufReader<File>>>>;

/// What is in a backup.
#[derive(Debug, Serialize)]
pub struct Contents {
    #[serde(flatten)]
    pub about: About,
    /// Whether only those who have its key can have read or made it.
    pub sealed: bool,
    pub tables: Rows,
    /// Names of the files of the key directory.
    pub key_files: Vec<String>,
    /// Whether every row of the audit log is as it was written; of a backup that was read to its end.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub audit_sound: Option<bool>,
    /// The same in a sentence.
    pub audit_log: String,
}

/// What came of a restoration.
#[derive(Debug)]
pub struct Restored {
    pub contents: Contents,
    /// Where each feed goes on.
    pub feeds: Vec<(String, Position)>,
    /// Where key files were written, or why not.
    pub keys: Keys,
}

/// What became of the key directory.
#[derive(Debug)]
pub enum Keys {
    Written(PathBuf),
    /// It was there, and opens what is in the books.
    Kept(PathBuf),
    /// There were none in the backup.
    None,
}

/// Takes a backup of the books and the key directory that the settings name. It is there whole or not at all,
/// for its owner's eyes only, and never in the place of another file.
///
/// # Errors
/// Trouble in a sentence.
pub async fn take(settings: &Settings, means: &Means, to: &Path, under: Under) -> Result<Contents, Trouble> {
    if matches!(&under, Under::Key(keks) if keks.id().is_none()) {
        return Err(trouble(NO_KEY));
    }
    let files = key_files(&settings.keys.directory)?;
    let key_files: Vec<_> = files.iter().map(|file| file.file.clone()).collect();
    let mut vessel = Vessel::make(to, (under, means), files)?;
    let store = books::open_as_they_stand(settings, means).await?;
    note(&store, means).await?;
    let tables = store.copy_out(&mut vessel).await?;
    let header = vessel.close()?;
    let head = header.about.imprint.audit.0;
    let audit_log = format!("it ends with row {head}; --verify looks at every row.");
    Ok(Contents {
        sealed: !header.is_plain(),
        about: header.about,
        tables,
        key_files,
        audit_sound: None,
        audit_log,
    })
}

/// Reads a backup to its end without any database: whether it is whole, every row has the cells of its table,
/// and the audit log hangs together.
///
/// # Errors
/// Trouble in a sentence: the file is no backup, was altered or cut, or there is no key for it.
pub fn verify(file: &Path, keks: &Keks) -> Result<Contents, Trouble> {
    Ok(look(file, keks)?.0)
}

/// Puts a backup into the empty database that the settings name, and everything issued before it ends: see
/// `portcullis_authority::recovery`. Key files are written where there are none, once the database has taken the rest.
///
/// # Errors
/// Trouble in a sentence; then the database is as empty as before and nothing was written, unless the sentence says
/// that only the key files are wanting.
pub async fn restore(
    (settings, means): (&Settings, &Means),
    file: &Path,
    under: &Under,
    reason: &str,
) -> Result<Restored, Trouble> {
    let (contents, files) = trusted(file, under)?;
    fitting(settings, &files)?;
    let (header, lines) = open(file, under.keks())?;
    if header.is_plain() && matches!(under, Under::Key(_)) {
        return Err(about(file, "it was exchanged while it was read; nothing was changed in the database"));
    }
    let mut rows = lines.filter(|line| !line.as_ref().is_ok_and(|line| is_key_file(line)));
    let (books, clock) = books::address(settings, means)?;
    let now = means.clock.now();
    let then = |head: &portcullis_store::Head| {
        let mut deed = recovery::promotion(now, head.as_of_ms / 1000, reason);
        deed.audit.insert(0, restored(now, &header.about, reason));
        deed
    };
    let done = copy_in((&books, &clock), &header.about.imprint, &mut rows, &then).await?;
    let keys = put_keys(settings, &files).map_err(|why| {
        let why = why.why;
        trouble(format!(
            "the database is restored, and the key files are not: {why}. Mend that, then restore --keys-only"
        ))
    })?;
    Ok(Restored { contents, feeds: done.feeds, keys })
}

/// Writes the key files of a backup where there are none; the database is left alone.
///
/// # Errors
/// Trouble in a sentence.
pub fn restore_keys(settings: &Settings, file: &Path, under: &Under) -> Result<Keys, Trouble> {
    put_keys(settings, &trusted(file, under)?.1)
}

/// Reads everything once of a backup that only those who have its key can have made; or of one of which somebody
/// has said that it needs none.
fn trusted(file: &Path, under: &Under) -> Result<(Contents, Vec<KeyFile>), Trouble> {
    let (contents, files) = look(file, under.keks())?;
    match (contents.sealed, under) {
        (false, Under::Key(_)) => Err(about(
            file,
            "it is not sealed, so anybody could have made it; if you know where it comes from, say --plain",
        )),
        _ => Ok((contents, files)),
    }
}

/// Reads everything once.
fn look(file: &Path, keks: &Keks) -> Result<(Contents, Vec<KeyFile>), Trouble> {
    let (header, lines) = open(file, keks)?;
    let (mut reader, mut files) = (CopyReader::new(header.about.imprint.clone()), Vec::new());
    for line in lines {
        let line = line.map_err(|why| about(file, why))?;
        match is_key_file(&line) {
            true => files.push(serde_json::from_str::<KeyFile>(&line).map_err(|why| about(file, why))?),
            false => reader.take(&line)?,
        }
    }
    let (tables, audit) = reader.finish()?;
    let key_files = files.iter().map(|file| file.file.clone()).collect();
    let (audit_sound, audit_log) = (Some(audit.is_sound()), audit.to_string());
    let sealed = !header.is_plain();
    Ok((Contents { about: header.about, sealed, tables, key_files, audit_sound, audit_log }, files))
}

/// The first line, and the lines behind it as they are unlocked.
fn open(file: &Path, keks: &Keks) -> Result<(Header, Text), Trouble> {
    let mut from = BufReader::new(File::open(file).map_err(|why| about(file, why))?);
    let mut line = Vec::new();
    (&mut from).take(HEADER_BYTES).read_until(b'\n', &mut line).map_err(|why| about(file, why))?;
    let text = std::str::from_utf8(&line).map_err(|_| about(file, "it is no backup of ours"))?;
    let header = Header::read(text).map_err(|trouble| about(file, trouble.why))?;
    let key = header.key(keks).map_err(|trouble| about(file, trouble.why))?;
    let unlocking = Unlocking::new(from, &key, &line).map_err(|why| about(file, why))?;
    Ok((header, BufReader::new(unlocking).lines()))
}

fn is_key_file(line: &str) -> bool {
    line.starts_with("{\"file\":")
}

/// Who reads everything leaves a record of it; so the backup holds the record of itself.
async fn note(store: &Store, means: &Means) -> Result<(), Trouble> {
    let record = AuditRecord {
        at: means.clock.now(),
        event: "backup.taken".into(),
        reason: Some("command line".into()),
        ..AuditRecord::default()
    };
    store.commit(Deed::new(Act::Note, record)).await.map(drop)
}

fn restored(now: u64, copy: &About, reason: &str) -> AuditRecord {
    let feeds: Vec<_> = copy.imprint.feeds.iter().map(|it| json!([it.name, it.epoch, it.seq])).collect();
    let detail = json!({
        "made_at": copy.made_at,
        "version": copy.version,
        "feeds": feeds,
        "audit": copy.imprint.audit.0,
    });
    AuditRecord {
        at: now,
        event: "backup.restored".into(),
        reason: Some(reason.into()),
        detail: Some(detail.to_string()),
        ..AuditRecord::default()
    }
}

/// What lies in the key directory, as it lies there; nothing when there is none.
fn key_files(directory: &Path) -> Result<Vec<KeyFile>, Trouble> {
    if !KeyDirectory::is_at(directory) {
        return Ok(Vec::new());
    }
    let files = KeyDirectory::open(directory)?.files()?;
    Ok(files.into_iter().map(|(file, text)| KeyFile { file, text: text.to_string() }).collect())
}

/// Keys are written where there are none, and never over others: those that are there must be the same house's.
fn put_keys(settings: &Settings, files: &[KeyFile]) -> Result<Keys, Trouble> {
    let kept = fitting(settings, files)?;
    if matches!(kept, Keys::Written(_)) {
        KeyDirectory::put_back(&settings.keys.directory, &named(files))?;
    }
    Ok(kept)
}

/// What would become of the key directory; nothing is written.
fn fitting(settings: &Settings, files: &[KeyFile]) -> Result<Keys, Trouble> {
    let directory = &settings.keys.directory;
    if files.is_empty() {
        return Ok(Keys::None);
    }
    if !KeyDirectory::is_at(directory) {
        KeyDirectory::could_put_back(&named(files))?;
        return Ok(Keys::Written(directory.clone()));
    }
    let keys = KeyDirectory::open(directory)?.under(Keks::of(&settings.keys)?);
    match keys.opens_the_same(&named(files))? {
        true => Ok(Keys::Kept(directory.clone())),
        false => Err(trouble(format!(
            "the keys in {} are another house's: its seal.key does not open what is in the backup. \
             Name an empty directory with keys.directory. Nothing was changed",
            directory.display()
        ))),
    }
}

fn named(files: &[KeyFile]) -> Vec<(&str, &str)> {
    files.iter().map(|it| (it.file.as_str(), it.text.as_str())).collect()
}

fn about(file: &Path, why: impl std::fmt::Display) -> Trouble {
    trouble(format!("{}: {why}", file.display()))
}

fn trouble(why: impl std::fmt::Display) -> Trouble {
    Trouble::new("backup", why)
}

fn as_io(trouble: Trouble) -> io::Error {
    io::Error::other(trouble.why)
}
