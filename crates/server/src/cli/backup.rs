//! `portcullis backup`: everything that is needed to go on, in one sealed file.

use std::path::PathBuf;

use clap::Args;
use portcullis_authority::refusal::Trouble;

use super::serve::runtime;
use super::{Failure, Outcome};
use crate::backup::{self, Contents, Under};
use crate::keys::Keks;
use crate::means::Means;
use crate::settings::{self, Settings};

/// Back up the database and the key directory into one file, while servers run.
///
/// It is a picture of one moment, of every table, and of the files of the key directory. It is sealed under the
/// key-encryption key (keys.kek), or under a key of its own, and nobody but its owner can read the file. That key
/// is not in it: keep it elsewhere, for without it the backup is worth nothing.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  portcullis backup /var/backups/portcullis/2026-05-31.backup
  (umask 077; openssl rand -base64 32 > /etc/portcullis/backup.key)
  portcullis backup monday.backup --key file:/etc/portcullis/backup.key
  portcullis backup --verify monday.backup --key file:/etc/portcullis/backup.key

A backup is made beside its name and renamed when it is on disk, and is never written over another file.
portcullis restore puts one into an empty database.")]
pub(super) struct Backup {
    /// Where to write it, or which to verify.
    file: PathBuf,
    #[command(flatten)]
    under: SealedUnder,
    /// Do not seal it: whoever has the file then has every secret of the house.
    #[arg(long, conflicts_with_all = ["key", "verify"])]
    plain: bool,
    /// Read a backup to its end, without any database: whether it is whole and the audit log hangs together.
    #[arg(long)]
    verify: bool,
    /// Answer as JSON.
    #[arg(long)]
    json: bool,
}

// Which key a backup is sealed under. Clap would take a comment of documentation for the command's own.
#[derive(Debug, Args)]
pub(super) struct SealedUnder {
    /// The key that seals it, instead of keys.kek: file:PATH, env:NAME or command:PROGRAM ARGUMENTS, which
    /// gives 32 random bytes in base64.
    #[arg(long, value_name = "FROM")]
    key: Option<String>,
}

impl Backup {
    pub fn run(self, settings: &Settings) -> Outcome {
        let keks = self.under.keks(settings)?;
        if self.verify {
            return self.look(&keks);
        }
        let under = if self.plain { Under::Nothing(keks) } else { Under::Key(keks) };
        let means = Means::system();
        let taken = runtime()?.block_on(backup::take(settings, &means, &self.file, under))?;
        if !taken.sealed {
            eprintln!("This backup is not sealed: whoever has the file has every secret in it.");
        }
        if taken.key_files.is_empty() {
            eprintln!("There was no key directory to back up; without seal.key nothing in it can be used.");
        }
        self.say(&taken)
    }

    fn look(&self, keks: &Keks) -> Outcome {
        let found = backup::verify(&self.file, keks)?;
        self.say(&found)?;
        match found.audit_sound {
            Some(true) => Ok(()),
            _ => Err(Failure::new(format!("the audit log is not as it was written: {}", found.audit_log))),
        }
    }

    fn say(&self, found: &Contents) -> Outcome {
        match self.json {
            true => println!("{}", serde_json::to_string(found).map_err(Failure::new)?),
            false => print!("{}", told(found)),
        }
        Ok(())
    }
}

impl SealedUnder {
    /// The keys that may have sealed a backup.
    pub fn keks(&self, settings: &Settings) -> Result<Keks, Failure> {
        let Some(from) = &self.key else { return Ok(Keks::of(&settings.keys)?) };
        let keys = settings::Keys { kek: Some(from.clone()), kek_before: None, ..settings.keys.clone() };
        Keks::of(&keys).map_err(|Trouble { why, .. }| {
            Failure::new(format!("the key of the backup: {}", why.trim_start_matches("keys.kek: ")))
        })
    }
}

/// What is in a backup, for people.
pub(super) fn told(found: &Contents) -> String {
    let sealed =
        if found.sealed { "sealed" } else { "not sealed: anybody can read it, and could have made it" };
    let mut text =
        format!("backup of {}, by portcullis {}, {sealed}\n", found.about.made_at, found.about.version);
    for feed in &found.about.imprint.feeds {
        text += &format!("feed {} in epoch {} at {}\n", feed.name, feed.epoch, feed.seq);
    }
    text += &format!("audit log: {}\n", found.audit_log);
    text += &format!("key files: {}\n", found.key_files.len());
    for (table, rows) in found.tables.iter().filter(|(_, rows)| **rows > 0) {
        text += &format!("{table:<24} {rows:>10}\n");
    }
    text
}
