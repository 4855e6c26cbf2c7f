//! `portcullis login`: an operator signs in and keeps the session.

use std::io::IsTerminal as _;
use std::path::PathBuf;

use clap::Args;
use portcullis_authority::secret::Secret;
use serde_json::{Value, json};

use super::super::remote::{secret_in, shy};
use super::super::{Failure, Outcome};
use super::counter::Counter;
use super::ticket::Ticket;
use crate::demo;
use crate::settings::Settings;

/// Sign in at the operators' listener.
///
/// Keeps the session's token in a file that only you can read, under XDG_CONFIG_HOME or ~/.config. Password and
/// code are asked for unless they are given.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  portcullis login --email ann@example.com
  portcullis login --server https://admin.internal:8090 --email ann@example.com
  portcullis login --demo            the owner of serve --demo")]
pub(in crate::cli) struct Login {
    #[command(flatten)]
    counter: Counter,
    /// Who signs in.
    #[arg(long, env = "PORTCULLIS_ADMIN_EMAIL", value_name = "ADDRESS", required_unless_present = "demo")]
    email: Option<String>,
    /// A file that holds the password.
    #[arg(long, value_name = "FILE")]
    password_file: Option<PathBuf>,
    /// Six digits of the authenticator, or a recovery code.
    #[arg(long, env = "PORTCULLIS_ADMIN_CODE", hide_env_values = true)]
    #[arg(value_parser = shy)]
    code: Option<Secret>,
    /// Sign in as the owner of a demonstration, whose password and seed are public.
    #[arg(long, conflicts_with_all = ["email", "password_file", "code"])]
    demo: bool,
}

impl Login {
    pub fn run(self, _: Settings) -> Outcome {
        let (email, password, code) = match self.demo {
            true => (demo::OWNER.to_owned(), Secret::from(demo::PASSWORD), demo::code_now()?),
            false => self.credentials()?,
        };
        let body = json!({ "email": email, "password": password.expose(), "code": code.expose() });
        let mut answer = self.counter.post_as_nobody("/sessions", &body)?;
        let token = answer["token"].as_str().map(str::to_owned);
        let token = token.ok_or_else(|| Failure::new("the server's answer holds no token."))?;
        let path = Ticket::new(self.counter.address()?, email.clone(), token).keep()?;
        if let Some(members) = answer.as_object_mut() {
            members.remove("token");
        }
        let roles = answer["roles"].as_array().into_iter().flatten().filter_map(Value::as_str);
        let roles = roles.collect::<Vec<_>>().join(", ");
        let sentence = format!("Signed in as {email} ({roles}). The token is in {}.", path.display());
        self.counter.say(&answer, sentence)
    }

    fn credentials(&self) -> Result<(String, Secret, Secret), Failure> {
        let email = self.email.clone().unwrap_or_default();
        let password = match &self.password_file {
            Some(file) => secret_in(file)?,
            None => asked(&format!("Password of {email}: "), "--password-file")?,
        };
        let code = match &self.code {
            Some(code) => code.clone(),
            None => asked("Code: ", "--code")?,
        };
        Ok((email, password, code))
    }
}

/// Asked for without being shown.
pub(super) fn asked(question: &str, instead: &str) -> Result<Secret, Failure> {
    if !std::io::stdin().is_terminal() {
        return Err(Failure::new(format!("there is nobody to ask; give {instead}.")));
    }
    rpassword::prompt_password(question).map(Secret::from).map_err(Failure::new)
}
