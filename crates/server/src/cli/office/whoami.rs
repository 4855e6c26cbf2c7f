//! `portcullis whoami`: which operator this is.

use clap::Args;

use super::super::Outcome;
use super::counter::Counter;
use super::table::{text, time};
use crate::settings::Settings;

/// Say who you are, with which roles and until when.
#[derive(Debug, Args)]
pub(in crate::cli) struct Whoami {
    #[command(flatten)]
    counter: Counter,
}

impl Whoami {
    pub fn run(self, _: Settings) -> Outcome {
        let answer = self.counter.get("/sessions/current")?;
        let sentence = format!(
            "{} ({}), signed in until {}; {} recovery codes are left.",
            text(&answer, "email"),
            text(&answer, "roles"),
            time(&answer, "expires_at"),
            text(&answer, "recovery_codes"),
        );
        self.counter.say(&answer, sentence)
    }
}
