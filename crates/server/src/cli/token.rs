//! `portcullis token`: a token from a running server.

use std::path::PathBuf;

use clap::{Args, ValueEnum};
use portcullis_authority::secret::Secret;
use serde_json::Value;

use super::remote::{Remote, secret_in, token_from};
use super::{Failure, Outcome};
use crate::settings::Settings;

/// Get a token from a running server.
///
/// Prints the access token alone, so that it can go straight into a variable; with --json the whole answer.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  An integration, by its secret:
    export PORTCULLIS_CLIENT_SECRET=demo-backend-secret
    TOKEN=$(portcullis token --client-id demo-backend)

  A guest of the shop window, in one market, without a secret:
    portcullis token --client-id demo-storefront --scope market:code:europe

  A customer who logs in, with the refresh token in the answer:
    PORTCULLIS_PASSWORD=jane-buys-a-lamp \\
      portcullis token --client-id demo-storefront --grant password --username jane@example.com --json

  The next token for a login, with the refresh token on standard input:
    portcullis token --client-id demo-storefront --grant refresh-token < refresh.txt")]
pub(super) struct Token {
    #[command(flatten)]
    remote: Remote,
    /// How the token is earned.
    #[arg(long, value_enum, default_value_t = Grant::ClientCredentials)]
    grant: Grant,
    /// What it is for, for example market:code:europe; everything that the client may have unless said.
    #[arg(long)]
    scope: Option<String>,
    /// E-mail address, for --grant password.
    #[arg(long, required_if_eq("grant", "password"))]
    username: Option<String>,
    /// A file that holds the person's password. Without it: the environment variable PORTCULLIS_PASSWORD.
    #[arg(long, value_name = "FILE")]
    password_file: Option<PathBuf>,
    /// Print the whole answer as JSON.
    #[arg(long)]
    json: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Grant {
    ClientCredentials,
    Password,
    /// The refresh token is read from standard input.
    RefreshToken,
}

impl Token {
    pub fn run(self, settings: &Settings) -> Outcome {
        let proof = self.proof()?;
        let mut fields = vec![("grant_type", self.grant.name())];
        match (self.grant, &proof) {
            (Grant::Password, Some(password)) => {
                fields.push(("username", self.username.as_deref().unwrap_or_default()));
                fields.push(("password", password.expose()));
            }
            (Grant::RefreshToken, Some(token)) => fields.push(("refresh_token", token.expose())),
            _ => {}
        }
        if let Some(scope) = &self.scope {
            fields.push(("scope", scope));
        }
        let answer = self.remote.post(settings, "/oauth/token", &fields)?;
        if self.json {
            println!("{answer:#}");
            return Ok(());
        }
        let token = answer.get("access_token").and_then(Value::as_str);
        println!("{}", token.ok_or_else(|| Failure::new("the answer holds no access token."))?);
        Ok(())
    }

    /// What is shown beside the client's own secret.
    fn proof(&self) -> Result<Option<Secret>, Failure> {
        match (self.grant, &self.password_file) {
            (Grant::ClientCredentials, _) => Ok(None),
            (Grant::RefreshToken, _) => token_from(None).map(Some),
            (Grant::Password, Some(file)) => secret_in(file).map(Some),
            (Grant::Password, None) => match std::env::var("PORTCULLIS_PASSWORD") {
                Ok(password) => Ok(Some(Secret::from(password))),
                Err(_) => {
                    Err(Failure::new("give the password in PORTCULLIS_PASSWORD or by --password-file."))
                }
            },
        }
    }
}

impl Grant {
    fn name(self) -> &'static str {
        match self {
            Self::ClientCredentials => "client_credentials",
            Self::Password => "password",
            Self::RefreshToken => "refresh_token",
        }
    }
}
