//! `portcullis revoke`: end a token, and with a refresh token the whole login.

use clap::Args;
use portcullis_authority::secret::Secret;

use super::Outcome;
use super::remote::{Remote, shy, token_from};
use crate::settings::Settings;

/// End a token.
///
/// An access token ends alone; a refresh token ends its login with all access tokens. When the command
/// returns, the server has it on disk.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  export PORTCULLIS_CLIENT_SECRET=demo-backend-secret
  portcullis revoke --client-id demo-backend \"$TOKEN\"
  echo \"$TOKEN\" | portcullis revoke --client-id demo-backend")]
pub(super) struct Revoke {
    #[command(flatten)]
    remote: Remote,
    /// The token; from standard input when it is left out or is `-`.
    #[arg(value_parser = shy)]
    token: Option<Secret>,
}

impl Revoke {
    pub fn run(self, settings: &Settings) -> Outcome {
        let token = token_from(self.token)?;
        self.remote.post(settings, "/oauth/revoke", &[("token", token.expose())])?;
        println!("Revoked.");
        Ok(())
    }
}
