//! `portcullis secrets`: the secrets of applications.

use clap::{Args, Subcommand};
use serde_json::json;

use super::super::Outcome;
use super::address::part;
use super::counter::Counter;
use super::ordered::proposed;
use super::table::{Table, text, time};
use crate::settings::Settings;

/// See, rotate and revoke the secrets of applications.
#[derive(Debug, Args)]
pub(in crate::cli) struct Secrets {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// List the applications, or the live secrets of one and when each was used last.
    List {
        #[command(flatten)]
        counter: Counter,
        /// Client id of the application.
        client: Option<String>,
    },
    /// Propose a new secret and print it once. It opens nothing before an approver has confirmed it; from then on
    /// those before go on for the overlap, and then end.
    #[command(after_help = "\
Examples:
  portcullis secrets rotate shop-backend --reason 'yearly, CHG-4'
  portcullis secrets rotate shop-backend --overlap 3600 --expires-in 7776000 --reason 'it leaked, INC-9'")]
    Rotate {
        #[command(flatten)]
        counter: Counter,
        /// Client id of the application.
        client: String,
        /// Seconds that the secrets before go on; a day unless said.
        #[arg(long, value_name = "SECONDS")]
        overlap: Option<u64>,
        /// Seconds after which the new one ends; never unless said.
        #[arg(long, value_name = "SECONDS")]
        expires_in: Option<u64>,
        /// Leave the secrets before alone.
        #[arg(long, conflicts_with = "overlap")]
        keep: bool,
        /// Why; it is kept in the audit log.
        #[arg(long)]
        reason: String,
        /// Owners only: do it without a second person. It is loud.
        #[arg(long)]
        break_glass: bool,
    },
    /// End a secret that leaked, and every token of its application. The last live one is ended by two persons.
    Revoke {
        #[command(flatten)]
        counter: Counter,
        /// Client id of the application.
        client: String,
        /// Id of the secret, see `portcullis secrets list`.
        secret: String,
        /// Why. It takes this for the last live secret: then it is proposed, and ends when an approver has
        /// confirmed it.
        #[arg(long)]
        reason: Option<String>,
        /// Owners only: end the last one without a second person. It is loud.
        #[arg(long, requires = "reason")]
        break_glass: bool,
    },
}

impl Secrets {
    pub fn run(self, _: Settings) -> Outcome {
        match self.command {
            Command::List { counter, client: None } => {
                let answer = counter.get("/applications")?;
                counter.show(&answer, |answer| {
                    Table::of(
                        &answer["applications"],
                        "There are no applications.",
                        &[
                            ("client id", |it| text(it, "client_id")),
                            ("kind", |it| text(it, "kind")),
                            ("organization", |it| text(it, "organization")),
                            ("secrets", |it| text(it, "secrets")),
                            ("name", |it| text(it, "name")),
                        ],
                    )
                })
            }
            Command::List { counter, client: Some(client) } => {
                let answer = counter.get(&format!("/applications/{}/secrets", part(&client)))?;
                counter.show(&answer, |answer| {
                    Table::of(
                        &answer["secrets"],
                        "This application has no live secret.",
                        &[
                            ("secret", |it| text(it, "id")),
                            ("last used", |it| time(it, "last_used")),
                            ("ends", |it| time(it, "expires_at")),
                        ],
                    )
                })
            }
            Command::Rotate { counter, client, overlap, expires_in, keep, reason, break_glass } => {
                let body = json!({
                    "kind": "secret",
                    "what": {
                        "application": client, "rotate": !keep, "overlap": overlap, "expires_in": expires_in,
                    },
                    "reason": reason,
                    "break_glass": break_glass,
                });
                let made = counter.post("/proposals", &body)?;
                let secret = text(&made, "secret");
                let told = match made["state"] == "done" {
                    true => format!("The new secret of {client}, shown this once: {secret}"),
                    false => format!("{} The new secret, shown this once: {secret}", proposed(&made)),
                };
                counter.say(&made, told)
            }
            Command::Revoke { counter, client, secret, reason: Some(reason), break_glass } => {
                let body = json!({
                    "kind": "last_secret",
                    "what": { "application": client, "secret": secret },
                    "reason": reason,
                    "break_glass": break_glass,
                });
                let made = counter.post("/proposals", &body)?;
                match made["state"] == "done" {
                    true => counter.say(&made, ended(&client)),
                    false => counter.say(&made, proposed(&made)),
                }
            }
            Command::Revoke { counter, client, secret, reason: None, .. } => {
                let path = format!("/applications/{}/secrets/{}", part(&client), part(&secret));
                let answer = counter.delete(&path)?;
                counter.say(&answer, ended(&client))
            }
        }
    }
}

fn ended(client: &str) -> String {
    format!("The secret has ended, and every token of {client} with it.")
}
