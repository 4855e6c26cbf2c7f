//! `portcullis logout`: the session ends at the server, and its token goes.

use clap::Args;

use super::super::Outcome;
use super::counter::Counter;
use super::ticket::Ticket;
use crate::settings::Settings;

/// Sign out: end the session at the server and remove its token.
#[derive(Debug, Args)]
pub(in crate::cli) struct Logout {
    #[command(flatten)]
    counter: Counter,
}

impl Logout {
    pub fn run(self, _: Settings) -> Outcome {
        // A session that has ended already is no reason to keep its token.
        let ended = self.counter.delete("/sessions/current");
        Ticket::forget()?;
        self.counter.say(&ended?, "Signed out.")
    }
}
