//! Speaking to a running server over HTTP, and where secrets for it come from: the environment or a file,
//! because what stands on a command line can be read by everybody on the machine.

use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::Args;
use portcullis_authority::secret::Secret;
use serde_json::Value;
use ureq::Agent;
use ureq::tls::{Certificate, PemItem, RootCerts, TlsConfig, TlsProvider, parse_pem};

use super::Failure;
use crate::settings::Settings;

/// An answer is a few kilobytes; whoever sends more is not our server.
const LARGEST_ANSWER: u64 = 1024 * 1024;
const PATIENCE: Duration = Duration::from_secs(30);

/// Which server, and as whom.
#[derive(Debug, Args)]
pub(super) struct Remote {
    /// Address of the server; the issuer in the settings unless said.
    #[arg(long, env = "PORTCULLIS_SERVER", value_name = "URL")]
    server: Option<String>,
    /// A PEM file with certificates to trust instead of the public ones.
    #[arg(long, value_name = "FILE")]
    ca: Option<PathBuf>,
    /// Who asks.
    #[arg(long, env = "PORTCULLIS_CLIENT_ID", value_name = "ID")]
    client_id: String,
    /// A file that holds the client secret; it goes before the environment variable
    /// PORTCULLIS_CLIENT_SECRET.
    #[arg(long, value_name = "FILE")]
    client_secret_file: Option<PathBuf>,
    /// The client secret itself. Everybody on this machine can see it while the command runs.
    #[arg(long, env = "PORTCULLIS_CLIENT_SECRET", hide_env_values = true, value_name = "SECRET")]
    #[arg(value_parser = shy)]
    client_secret: Option<Secret>,
}

impl Remote {
    /// Posts a form as this client; a JSON object comes back, or the server's own sentence.
    pub fn post(&self, settings: &Settings, path: &str, fields: &[(&str, &str)]) -> Result<Value, Failure> {
        let server = self.server.as_deref().unwrap_or(&settings.issuer).trim_end_matches('/');
        let secret = match &self.client_secret_file {
            Some(file) => Some(secret_in(file)?),
            None => self.client_secret.clone(),
        };
        let mut form = vec![("client_id", self.client_id.as_str())];
        if let Some(secret) = &secret {
            form.push(("client_secret", secret.expose()));
        }
        form.extend_from_slice(fields);
        let unreachable = |e: ureq::Error| Failure::new(format!("{server} cannot be reached: {e}."));
        let mut answer = agent(self.ca.as_deref(), PATIENCE)?
            .post(format!("{server}{path}"))
            .send_form(form)
            .map_err(unreachable)?;
        let status = answer.status();
        let body: Option<Value> = answer
            .body_mut()
            .with_config()
            .limit(LARGEST_ANSWER)
            .read_to_string()
            .ok()
            .and_then(|text| serde_json::from_str(&text).ok());
        match body {
            Some(body) if status.is_success() => Ok(body),
            Some(body) => Err(Failure::new(refusal(&body, status.as_u16()))),
            None => Err(Failure::new(format!("{server} answered {status} without JSON; is it our server?"))),
        }
    }
}

/// Who asks over HTTP: trusts the public authorities or those in a file, follows nobody elsewhere, and takes
/// refusals for answers.
pub(super) fn agent(ca: Option<&Path>, patience: Duration) -> Result<Agent, Failure> {
    let mut tls = TlsConfig::builder().provider(TlsProvider::Rustls);
    if let Some(file) = ca {
        tls = tls.root_certs(RootCerts::new_with_certs(&certificates(file)?));
    }
    let config = Agent::config_builder()
        .tls_config(tls.build())
        .http_status_as_error(false)
        .max_redirects(0)
        .timeout_global(Some(patience))
        .user_agent(concat!("portcullis/", env!("CARGO_PKG_VERSION")));
    Ok(config.build().new_agent())
}

/// A secret from a file, without the line end that editors add.
pub(super) fn secret_in(file: &Path) -> Result<Secret, Failure> {
    let text = std::fs::read_to_string(file).map_err(|e| cannot_read(file, &e))?;
    Ok(Secret::from(text.trim_end_matches(['\n', '\r'])))
}

/// A token from the command line, or from standard input when there is none or `-`.
pub(super) fn token_from(argument: Option<Secret>) -> Result<Secret, Failure> {
    if let Some(token) = argument.filter(|token| token.expose() != "-") {
        return Ok(token);
    }
    let mut text = String::new();
    let read = std::io::stdin().take(LARGEST_ANSWER).read_to_string(&mut text);
    read.map_err(|e| Failure::new(format!("standard input cannot be read: {e}.")))?;
    match text.trim() {
        "" => Err(Failure::new("give a token as argument or on standard input.")),
        token => Ok(Secret::from(token)),
    }
}

/// For arguments: a text that is not shown by accident.
#[expect(clippy::unnecessary_wraps, reason = "the command line parser wants a result")]
pub(super) fn shy(text: &str) -> Result<Secret, std::convert::Infallible> {
    Ok(Secret::from(text))
}

fn certificates(file: &Path) -> Result<Vec<Certificate<'static>>, Failure> {
    let pem = std::fs::read(file).map_err(|e| cannot_read(file, &e))?;
    let found = parse_pem(&pem).filter_map(|item| match item {
        Ok(PemItem::Certificate(certificate)) => Some(certificate),
        _ => None,
    });
    let found: Vec<_> = found.collect();
    if found.is_empty() {
        return Err(Failure::new(format!("{} holds no certificate in PEM form.", file.display())));
    }
    Ok(found)
}

fn refusal(body: &Value, status: u16) -> String {
    let text = |name: &str| body.get(name).and_then(Value::as_str);
    match (text("error"), text("error_description")) {
        (Some(code), Some(sentence)) => format!("refused ({code}): {sentence}"),
        (Some(code), None) => format!("refused ({code})."),
        _ => format!("the server answered {status}."),
    }
}

fn cannot_read(file: &Path, error: &std::io::Error) -> Failure {
    Failure::new(format!("{} cannot be read: {error}.", file.display()))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_refusal_is_told_in_the_servers_own_words() {
        let body = json!({"error": "invalid_client", "error_description": "Client authentication failed."});
        assert_eq!(refusal(&body, 401), "refused (invalid_client): Client authentication failed.");
        assert_eq!(refusal(&json!({"error": "invalid_grant"}), 400), "refused (invalid_grant).");
        assert_eq!(refusal(&json!([]), 502), "the server answered 502.");
    }
}
