//! `portcullis introspect`: what the server says of a token.

use clap::Args;
use portcullis_authority::secret::Secret;

use super::Outcome;
use super::remote::{Remote, shy, token_from};
use crate::settings::Settings;

/// Ask the server what it says of a token (RFC 7662).
///
/// Prints the answer as JSON. A token that is unknown, expired or revoked is {"active": false}.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  export PORTCULLIS_CLIENT_SECRET=demo-backend-secret
  portcullis introspect --client-id demo-backend \"$TOKEN\"")]
pub(super) struct Introspect {
    #[command(flatten)]
    remote: Remote,
    /// The token; from standard input when it is left out or is `-`.
    #[arg(value_parser = shy)]
    token: Option<Secret>,
}

impl Introspect {
    pub fn run(self, settings: &Settings) -> Outcome {
        let token = token_from(self.token)?;
        let answer = self.remote.post(settings, "/oauth/introspect", &[("token", token.expose())])?;
        println!("{answer:#}");
        Ok(())
    }
}
