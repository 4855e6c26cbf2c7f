//! `portcullis organizations`: which there are, and what each asks of those who come in.

use clap::{Args, Subcommand, ValueEnum};
use serde_json::{Value, json};

use super::super::{Failure, Outcome};
use super::counter::Counter;
use super::ordered::proposed;
use super::people::part;
use super::table::{Table, text};
use crate::settings::Settings;

/// List organizations, and keep what they ask of those who come in.
#[derive(Debug, Args)]
pub(in crate::cli) struct Organizations {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// List the organizations.
    List {
        #[command(flatten)]
        counter: Counter,
    },
    /// Show what an organization asks of those who come in, or change it. Turning something on is done at once;
    /// turning it off is proposed, and an approver confirms it.
    #[command(after_help = "\
Examples:
  portcullis organizations safety acme
  portcullis organizations safety acme --require-second-factor on --reason 'audit finding 12'")]
    Safety {
        #[command(flatten)]
        counter: Counter,
        /// Id or slug of the organization.
        organization: String,
        /// Whether no member comes in without a second factor.
        #[arg(long, requires = "reason")]
        require_second_factor: Option<Switch>,
        /// Why; it is kept in the audit log.
        #[arg(long, requires = "require_second_factor")]
        reason: Option<String>,
        /// Owners only: turn it off without a second person. It is loud.
        #[arg(long, requires = "require_second_factor")]
        break_glass: bool,
    },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Switch {
    On,
    Off,
}

impl Organizations {
    pub fn run(self, _: Settings) -> Outcome {
        match self.command {
            Command::List { counter } => {
                let answer = counter.get("/organizations")?;
                counter.show(&answer, |answer| {
                    Table::of(
                        &answer["organizations"],
                        "There are no organizations.",
                        &[
                            ("slug", |it| text(it, "slug")),
                            ("id", |it| text(it, "id")),
                            ("disabled", |it| text(it, "disabled")),
                            ("second factor", |it| asked(&it["safety"]).into()),
                            ("name", |it| text(it, "name")),
                        ],
                    )
                })
            }
            Command::Safety { counter, organization, require_second_factor: None, .. } => {
                let answer = counter.get(&path(&organization))?;
                counter.say(&answer, format!("A second factor is {} of its members.", asked(&answer)))
            }
            Command::Safety {
                counter,
                organization,
                require_second_factor: Some(switch),
                reason,
                break_glass,
            } => {
                let body = json!({
                    "require_second_factor": switch == Switch::On,
                    "reason": reason,
                    "break_glass": break_glass,
                });
                changed(&counter, counter.patch(&path(&organization), &body)?)
            }
        }
    }
}

fn changed(counter: &Counter, answer: Value) -> Result<(), Failure> {
    let sentence = match answer["state"] == "proposed" {
        true => proposed(&answer["proposal"]),
        false => format!("A second factor is {} of its members.", asked(&answer["safety"])),
    };
    counter.say(&answer, sentence)
}

fn path(organization: &str) -> String {
    format!("/organizations/{}/safety", part(organization))
}

fn asked(safety: &Value) -> &'static str {
    match safety["require_second_factor"] == true {
        true => "required",
        false => "not required",
    }
}
