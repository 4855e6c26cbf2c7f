//! `portcullis access`: who has what.

use clap::{Args, Subcommand};

use super::super::Outcome;
use super::address::id;
use super::counter::Counter;
use super::table::{Table, text, time};
use crate::settings::Settings;

/// See who has what since when, by which role, and when it was used last.
#[derive(Debug, Args)]
pub(in crate::cli) struct Access {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// List memberships, applications and operators, and what is remarkable about each.
    List {
        #[command(flatten)]
        counter: Counter,
        /// Only this organization, by id or slug.
        #[arg(long, value_parser = id)]
        organization: Option<String>,
        /// Only what was not used for so many days, as far as is known.
        #[arg(long, value_name = "DAYS")]
        stale: Option<u32>,
    },
}

impl Access {
    pub fn run(self, _: Settings) -> Outcome {
        let Command::List { counter, organization, stale } = self.command;
        let mut asked = format!("stale={}", stale.is_some());
        if let Some(days) = stale {
            asked.push_str(&format!("&stale_days={days}"));
        }
        if let Some(organization) = organization {
            asked.push_str(&format!("&organization={organization}"));
        }
        let answer = counter.get(&format!("/access?{asked}"))?;
        counter.show(&answer, |answer| {
            Table::of(
                &answer["access"],
                "Nobody has anything.",
                &[
                    ("kind", |it| text(it, "kind")),
                    ("id", |it| text(it, "id")),
                    ("who", |it| match text(it, "email") {
                        none if none == "-" => text(it, "holder"),
                        email => email,
                    }),
                    ("organization", |it| text(it, "slug")),
                    ("role", |it| text(it, "role")),
                    ("since", |it| time(it, "since")),
                    ("last used", |it| time(it, "last_used")),
                    ("remarks", |it| text(it, "remarks")),
                ],
            )
        })
    }
}
