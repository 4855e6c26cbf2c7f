//! `portcullis restore`: a backup put into an empty database, and everything issued before it ended.

use std::path::PathBuf;

use clap::Args;
use serde_json::json;

use super::backup::{SealedUnder, told};
use super::serve::runtime;
use super::{Failure, Outcome};
use crate::backup::{self, Keys, Restored, Under};
use crate::keys::Keks;
use crate::means::Means;
use crate::settings::Settings;

/// Put a backup into an empty database, SQLite or PostgreSQL, whichever the backup is from.
///
/// What was committed after the backup is lost: endings that were answered with 200 among it. Nobody can list
/// them, so everything that was issued so far ends: tokens, logins, codes and sessions. The feed begins a new
/// epoch in the same transaction, and guards follow it by themselves. People and operators sign in again, and
/// clients fetch new tokens.
///
/// Nothing brings back what was changed in organizations, applications, roles or people after the backup: do it
/// again before you open the door. Key files are written where there are none, and never over others.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  portcullis --config deploy/config/production.toml restore monday.backup --fenced
  portcullis restore monday.backup --fenced --key file:/etc/portcullis/backup.key --reason \"INC-12\"

Where the database was put back by other means, such as PostgreSQL's own, portcullis dr promote does the rest.")]
pub(super) struct Restore {
    /// The backup.
    file: PathBuf,
    /// Write the key files alone, where there are none; the database is left as it is.
    #[arg(long, conflicts_with_all = ["fenced", "reason"])]
    keys_only: bool,
    /// Every server is stopped, and the database that was lost cannot be written to any more: what it still
    /// acknowledged would be lost as well.
    #[arg(long)]
    fenced: bool,
    #[command(flatten)]
    under: SealedUnder,
    /// Take a backup that is not sealed, and that anybody could have made.
    #[arg(long, conflicts_with = "key")]
    plain: bool,
    /// For the audit trail.
    #[arg(long, default_value = "the database was restored from a backup")]
    reason: String,
    /// Answer as JSON.
    #[arg(long)]
    json: bool,
}

impl Restore {
    pub fn run(self, settings: &Settings) -> Outcome {
        let keks = self.under.keks(settings)?;
        let under = if self.plain { Under::Nothing(keks) } else { Under::Key(keks) };
        if self.keys_only {
            let keys = backup::restore_keys(settings, &self.file, &under)?;
            print!("{}", about_keys(&keys));
            return Ok(());
        }
        if !self.fenced {
            return Err(Failure::new(
                "nothing was done. Stop every server and whatever could still write to the lost database; then \
                 say so with --fenced.",
            ));
        }
        let means = Means::system();
        let restored =
            runtime()?.block_on(backup::restore((settings, &means), &self.file, &under, &self.reason))?;
        match self.json {
            true => println!("{}", as_json(&restored)),
            false => print!("{}", in_words(&restored)),
        }
        // Not a reason to be without a database; a reason to ask what happened to it.
        if restored.contents.audit_sound != Some(true) {
            let found = &restored.contents.audit_log;
            eprintln!("The audit log was not as it was written when the backup was taken: {found}");
        }
        if Keks::of(&settings.keys)?.id().is_none() && matches!(restored.keys, Keys::Written(_)) {
            eprintln!("If the key files are sealed, a server needs their key-encryption key (keys.kek).");
        }
        Ok(())
    }
}

fn as_json(restored: &Restored) -> serde_json::Value {
    let feeds = restored.feeds.iter();
    let feeds = feeds.map(|(name, at)| json!({ "name": name, "epoch": at.epoch, "seq": at.seq }));
    json!({
        "restored": restored.contents,
        "feeds": feeds.collect::<Vec<_>>(),
        "keys": match &restored.keys {
            Keys::Written(directory) => json!({ "written": directory }),
            Keys::Kept(directory) => json!({ "kept": directory }),
            Keys::None => json!(null),
        },
    })
}

fn in_words(restored: &Restored) -> String {
    let mut text = format!("Restored the {}", told(&restored.contents));
    text += &about_keys(&restored.keys);
    for (name, at) in &restored.feeds {
        text += &format!("The feed {name} goes on in epoch {} at {at}.\n", at.epoch);
    }
    text + &format!(
        "Everything that was issued before has ended: people and operators sign in again, clients fetch new \
             tokens.\nWhat was changed after {} is lost: do again what matters, then start the servers.\n",
        restored.contents.about.made_at
    )
}

fn about_keys(keys: &Keys) -> String {
    match keys {
        Keys::Written(directory) => format!("The key files were written to {}.\n", directory.display()),
        Keys::Kept(directory) => format!("The key files in {} were left as they are.\n", directory.display()),
        Keys::None => "There were no key files in the backup.\n".to_owned(),
    }
}
