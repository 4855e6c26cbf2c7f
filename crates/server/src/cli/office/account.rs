//! `portcullis account`: an operator's own account. The invited come in here, and whoever is in changes the
//! password or the second factor.

use std::io::{IsTerminal as _, Write as _};
use std::path::PathBuf;

use clap::{Args, Subcommand};
use portcullis_authority::secret::Secret;
use serde_json::{Value, json};

use super::super::remote::{secret_in, shy};
use super::super::{Failure, Outcome};
use super::counter::Counter;
use super::login::asked;
use super::table::text;
use crate::settings::Settings;

/// Accept an invitation, and change your own password, second factor and recovery codes.
#[derive(Debug, Args)]
pub(in crate::cli) struct Account {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Accept an invitation: choose a password and enrol a second factor.
    ///
    /// Shows the address for an authenticator application and asks for its first code; where there is nobody
    /// to ask, the code is the next line of standard input.
    Accept {
        #[command(flatten)]
        counter: Counter,
        /// A file that holds the invitation's code; asked for unless it is given.
        #[arg(long, value_name = "FILE")]
        invitation_file: Option<PathBuf>,
        /// A file that holds the password; asked for unless it is given. Where the second factor was reset, the
        /// present one.
        #[arg(long, value_name = "FILE")]
        password_file: Option<PathBuf>,
    },
    /// Change your password. Your other sessions end.
    Password {
        #[command(flatten)]
        present: Present,
        /// A file that holds the present password; asked for unless it is given.
        #[arg(long, value_name = "FILE")]
        password_file: Option<PathBuf>,
        /// A file that holds the new password; asked for unless it is given.
        #[arg(long, value_name = "FILE")]
        new_password_file: Option<PathBuf>,
    },
    /// Enrol another second factor in the place of yours. Your other sessions and old recovery codes end.
    SecondFactor {
        #[command(flatten)]
        present: Present,
    },
    /// Make new recovery codes; the old ones end.
    RecoveryCodes {
        #[command(flatten)]
        present: Present,
    },
}

/// Who is at the terminal, shown again.
#[derive(Debug, Args)]
struct Present {
    #[command(flatten)]
    counter: Counter,
    /// Six digits of the authenticator that you have now, or a recovery code; asked for unless it is given.
    #[arg(long, env = "PORTCULLIS_ADMIN_CODE", hide_env_values = true)]
    #[arg(value_parser = shy)]
    code: Option<Secret>,
}

impl Account {
    pub fn run(self, _: Settings) -> Outcome {
        match self.command {
            Command::Accept { counter, invitation_file, password_file } => {
                accept(&counter, invitation_file, password_file)
            }
            Command::Password { present, password_file, new_password_file } => {
                let password = given(password_file, "Present password: ", "--password-file")?;
                let new = given(new_password_file, "New password: ", "--new-password-file")?;
                let code = present.code()?;
                let body = json!({
                    "password": password.expose(), "code": code.expose(), "new_password": new.expose(),
                });
                let answer = present.counter.put("/account/password", &body)?;
                present.counter.say(&answer, "The password is changed; your other sessions have ended.")
            }
            Command::SecondFactor { present } => present.renew_factor(),
            Command::RecoveryCodes { present } => {
                let body = json!({ "code": present.code()?.expose() });
                let answer = present.counter.post("/account/recovery-codes", &body)?;
                present.counter.say(&answer, recovery(&answer))
            }
        }
    }
}

impl Present {
    fn code(&self) -> Result<Secret, Failure> {
        match &self.code {
            Some(code) => Ok(code.clone()),
            None => asked("Present code: ", "--code"),
        }
    }

    fn renew_factor(&self) -> Outcome {
        let code = self.code()?;
        let offer = self.counter.post("/account/second-factor/offer", &json!({}))?;
        let first = first_code(&offer)?;
        let body = json!({
            "code": code.expose(), "enrolment": offer["enrolment"], "first_code": first.expose(),
        });
        let answer = self.counter.put("/account/second-factor", &body)?;
        self.counter.say(&answer, format!("The second factor is the new one.\n{}", recovery(&answer)))
    }
}

fn accept(counter: &Counter, invitation: Option<PathBuf>, password: Option<PathBuf>) -> Outcome {
    let code = given(invitation, "Code of the invitation: ", "--invitation-file")?;
    let seen = counter.post_as_nobody("/invitations/open", &json!({ "code": code.expose() }))?;
    eprintln!("You are invited as {} ({}).", text(&seen, "email"), text(&seen, "roles"));
    let question = if seen["known"] == true { "Present password: " } else { "New password: " };
    let password = given(password, question, "--password-file")?;
    let first = first_code(&seen)?;
    let body = json!({
        "code": code.expose(), "password": password.expose(),
        "enrolment": seen["enrolment"], "first_code": first.expose(),
    });
    let answer = counter.post_as_nobody("/invitations/accept", &body)?;
    let sentence = format!(
        "{} may come in: portcullis login --email {}\n{}",
        text(&answer, "email"),
        text(&answer, "email"),
        recovery(&answer)
    );
    counter.say(&answer, sentence)
}

/// Shows what an authenticator reads, and hears its first code.
fn first_code(offer: &Value) -> Result<Secret, Failure> {
    eprintln!(
        "Put this into an authenticator application; it is shown this once:\n  {}",
        text(offer, "otpauth")
    );
    if std::io::stdin().is_terminal() {
        return asked("First code of the new authenticator: ", "it on standard input");
    }
    let cannot = |e: std::io::Error| Failure::new(format!("standard input cannot be read: {e}."));
    std::io::stderr().flush().map_err(cannot)?;
    let mut line = String::new();
    std::io::stdin().read_line(&mut line).map_err(cannot)?;
    Ok(Secret::from(line.trim()))
}

/// From a file, or from whoever is there.
fn given(file: Option<PathBuf>, question: &str, instead: &str) -> Result<Secret, Failure> {
    match file {
        Some(file) => secret_in(&file),
        None => asked(question, instead),
    }
}

fn recovery(answer: &Value) -> String {
    let codes = answer["recovery_codes"].as_array().into_iter().flatten().filter_map(Value::as_str);
    let lines: Vec<_> = codes.map(|code| format!("  {code}")).collect();
    format!("Recovery codes, which work once each and are shown this once:\n{}", lines.join("\n"))
}
