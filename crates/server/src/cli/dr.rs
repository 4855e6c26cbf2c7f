//! `portcullis dr`: what an operator does after a disaster.

use clap::{Args, Subcommand};
use portcullis_authority::ledger::{Done, Ledger as _};
use portcullis_authority::recovery;

use super::serve::runtime;
use super::{Failure, Outcome};
use crate::books;
use crate::means::Means;
use crate::settings::Settings;

#[derive(Debug, Subcommand)]
pub(super) enum Dr {
    Promote(Promote),
}

/// Go on from an older copy of the database.
///
/// A backup, or a standby that had not received everything, lacks what was committed after it: endings that
/// were answered with 200 among it. Nobody can list them, so everything that was issued so far ends: tokens,
/// logins, codes and sessions. The feed begins its next epoch, and guards follow it by themselves. People sign
/// in again and clients fetch new tokens.
///
/// Nothing brings back what was changed in organizations, applications, roles or people after the copy: do
/// it again before you open the door.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  portcullis --config deploy/config/production.toml dr promote --fenced
  portcullis dr promote --fenced --reason \"restored the backup of 03:00\"")]
pub(super) struct Promote {
    /// Every server is stopped, and the database that was lost cannot be written to any more: what it still
    /// acknowledged would be lost as well.
    #[arg(long)]
    fenced: bool,
    /// For the audit trail.
    #[arg(long, default_value = "the database was put back to an older copy")]
    reason: String,
}

impl Dr {
    pub fn run(self, settings: &Settings) -> Outcome {
        let Self::Promote(promote) = self;
        promote.run(settings)
    }
}

impl Promote {
    fn run(self, settings: &Settings) -> Outcome {
        if !self.fenced {
            return Err(Failure::new(
                "nothing was done. Stop every server and whatever could still write to the lost database; then \
                 say so with --fenced.",
            ));
        }
        let means = Means::system();
        let done = runtime()?.block_on(async {
            let store = books::open(settings, &means).await?;
            let alive = store.head().await?.as_of_ms / 1000;
            store.commit(recovery::promotion(means.clock.now(), alive, &self.reason)).await
        })?;
        let Done::Committed { position: Some(position) } = done else {
            return Err(Failure::new(format!("the promotion was answered {done:?}.")));
        };
        println!(
            "The feed {} goes on in epoch {} at {position}. Everything that was issued before has ended.",
            settings.feed.name, position.epoch
        );
        println!(
            "Start the servers now. What was changed in the registry after the copy must be done again."
        );
        Ok(())
    }
}
