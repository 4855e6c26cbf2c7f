//! `portcullis sessions`: which operators are in, and from where.

use clap::{Args, Subcommand};

use super::super::Outcome;
use super::address::part;
use super::counter::Counter;
use super::table::{Table, text, time};
use crate::settings::Settings;

/// See which operators are signed in and from where, and end a session.
#[derive(Debug, Args)]
pub(in crate::cli) struct Sessions {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// List the sessions that have not ended. SEVERAL says yes where one account is in from several places.
    List {
        #[command(flatten)]
        counter: Counter,
    },
    /// End a session. Owners only.
    End {
        #[command(flatten)]
        counter: Counter,
        /// Its id, see `portcullis sessions list`.
        session: String,
    },
}

impl Sessions {
    pub fn run(self, _: Settings) -> Outcome {
        match self.command {
            Command::List { counter } => {
                let answer = counter.get("/sessions")?;
                counter.show(&answer, |answer| {
                    Table::of(
                        &answer["sessions"],
                        "Nobody is signed in.",
                        &[
                            ("session", |it| text(it, "id")),
                            ("operator", |it| text(it, "email")),
                            ("last used", |it| time(it, "last_used")),
                            ("from", |it| text(it, "addresses")),
                            ("several", |it| text(it, "several_places")),
                            ("this one", |it| text(it, "current")),
                        ],
                    )
                })
            }
            Command::End { counter, session } => {
                let answer = counter.delete(&format!("/sessions/{}", part(&session)))?;
                counter.say(&answer, "The session has ended.")
            }
        }
    }
}
