//! `portcullis secrets`: the secrets of applications.

use clap::{Args, Subcommand};
use serde_json::json;

use super::super::Outcome;
use super::counter::Counter;
use super::people::part;
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
    /// Make a new secret and print it once. Those before go on for the overlap, and then end.
    #[command(after_help = "\
Examples:
  portcullis secrets rotate shop-backend
  portcullis secrets rotate shop-backend --overlap 3600 --expires-in 7776000")]
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
    },
    /// End a secret that leaked, and every token of its application.
    Revoke {
        #[command(flatten)]
        counter: Counter,
        /// Client id of the application.
        client: String,
        /// Id of the secret, see `portcullis secrets list`.
        secret: String,
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
            Command::Rotate { counter, client, overlap, expires_in, keep } => {
                let body = json!({ "rotate": !keep, "overlap": overlap, "expires_in": expires_in });
                let answer = counter.post(&format!("/applications/{}/secrets", part(&client)), &body)?;
                let secret = text(&answer, "secret");
                counter.say(&answer, format!("The new secret of {client}, shown this once: {secret}"))
            }
            Command::Revoke { counter, client, secret } => {
                let path = format!("/applications/{}/secrets/{}", part(&client), part(&secret));
                let answer = counter.delete(&path)?;
                counter.say(&answer, format!("The secret has ended, and every token of {client} with it."))
            }
        }
    }
}
