//! `portcullis operators`: who may come in. The first owner is made on the books themselves, by somebody who
//! has the server's settings and keys; after that, owners do it over the operators' listener.

use std::path::PathBuf;

use clap::{Args, Subcommand};
use portcullis_authority::operators::OperatorRole;
use portcullis_authority::secret::Secret;
use serde_json::{Value, json};

use super::super::remote::secret_in;
use super::super::serve::runtime;
use super::super::{Failure, Outcome};
use super::address::is_id;
use super::counter::Counter;
use super::ordered::proposed;
use super::table::{Table, text, time};
use crate::means::Means;
use crate::settings::Settings;
use crate::staff;

/// Make, see and change operators' accounts.
#[derive(Debug, Args)]
pub(in crate::cli) struct Operators {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// List the operators.
    List {
        #[command(flatten)]
        counter: Counter,
    },
    /// Make an account, on the books that the settings name.
    ///
    /// Works without a running server, for whoever has its settings and keys: so the first owner comes to be.
    /// Prints once what the new operator needs: a password unless one is given, the address for an
    /// authenticator application, and the recovery codes.
    #[command(after_help = "\
Examples:
  portcullis operators create ann@example.com --role owner
  portcullis --config deploy/config/production.toml operators create bob@example.com --role operator,approver")]
    Create {
        /// E-mail address; operators sign in with it.
        email: String,
        /// Of operator, approver, auditor, owner.
        #[arg(long = "role", value_delimiter = ',', required = true, value_parser = role)]
        roles: Vec<OperatorRole>,
        /// A file that holds the password; one is made up unless it is given.
        #[arg(long, value_name = "FILE")]
        password_file: Option<PathBuf>,
    },
    /// Invite an operator. Owners only.
    ///
    /// Prints a code that works once. The invited accepts it with `portcullis account accept`, chooses a
    /// password and enrols a second factor; nobody else ever knows either.
    Invite {
        #[command(flatten)]
        counter: Counter,
        /// E-mail address; operators sign in with it.
        email: String,
        /// Of operator, approver, auditor, owner.
        #[arg(long = "role", value_delimiter = ',', required = true, value_parser = role)]
        roles: Vec<OperatorRole>,
        /// Seconds until it expires, 60 to 604800; a day unless said.
        #[arg(long, value_name = "SECONDS")]
        lifetime: Option<u64>,
    },
    /// List the invitations that are open.
    Invitations {
        #[command(flatten)]
        counter: Counter,
    },
    /// Withdraw an invitation. Owners only.
    Uninvite {
        #[command(flatten)]
        counter: Counter,
        /// Its id, see `portcullis operators invitations`.
        invitation: String,
    },
    /// Propose to take a lost second factor away. Another person confirms it.
    ///
    /// After that the operator comes in nowhere until an owner invites them again
    /// (`portcullis operators invite-again`) and they enrol another one. The password stays.
    ResetSecondFactor {
        #[command(flatten)]
        counter: Counter,
        /// Id or e-mail address.
        operator: String,
        /// Why; it is kept in the audit log.
        #[arg(long)]
        reason: String,
    },
    /// Let an operator enrol again whose second factor was taken away. Owners only.
    InviteAgain {
        #[command(flatten)]
        counter: Counter,
        /// Id or e-mail address.
        operator: String,
    },
    /// Give an operator these roles and no others. Owners only.
    Roles {
        #[command(flatten)]
        counter: Counter,
        /// Id or e-mail address.
        operator: String,
        /// Of operator, approver, auditor, owner.
        #[arg(long = "role", value_delimiter = ',', required = true, value_parser = role)]
        roles: Vec<OperatorRole>,
    },
    /// Close an operator's account and end its sessions. Owners only.
    Disable {
        #[command(flatten)]
        counter: Counter,
        /// Id or e-mail address.
        operator: String,
    },
    /// Open an operator's account again. Owners only.
    Enable {
        #[command(flatten)]
        counter: Counter,
        /// Id or e-mail address.
        operator: String,
    },
}

impl Operators {
    pub fn run(self, settings: Settings) -> Outcome {
        match self.command {
            Command::List { counter } => {
                let answer = counter.get("/operators")?;
                counter.show(&answer, |answer| listed(&answer["operators"]))
            }
            Command::Create { email, roles, password_file } => {
                create(&settings, email, roles, password_file.as_deref().map(secret_in).transpose()?)
            }
            Command::Invite { counter, email, roles, lifetime } => {
                let mut body = json!({ "email": email, "roles": roles });
                if let Some(lifetime) = lifetime {
                    body["lifetime"] = lifetime.into();
                }
                let answer = counter.post("/invitations", &body)?;
                counter.say(&answer, invited(&answer))
            }
            Command::Invitations { counter } => {
                let answer = counter.get("/invitations")?;
                counter.show(&answer, |answer| open(&answer["invitations"]))
            }
            Command::Uninvite { counter, invitation } => {
                let answer = counter.delete(&format!("/invitations/{}", as_id(&invitation)?))?;
                counter.say(&answer, "The invitation is withdrawn.")
            }
            Command::ResetSecondFactor { counter, operator, reason } => {
                let what = json!({ "operator": id_of(&counter, &operator)? });
                let body = json!({ "kind": "operator_second_factor", "what": what, "reason": reason });
                let answer = counter.post("/proposals", &body)?;
                counter.say(&answer, proposed(&answer))
            }
            Command::InviteAgain { counter, operator } => {
                let id = id_of(&counter, &operator)?;
                let answer = counter.post(&format!("/operators/{id}/invitation"), &json!({}))?;
                counter.say(&answer, invited(&answer))
            }
            Command::Roles { counter, operator, roles } => {
                let id = id_of(&counter, &operator)?;
                let answer = counter.put(&format!("/operators/{id}/roles"), &json!({ "roles": roles }))?;
                let sentence = format!("{} is now {}.", text(&answer, "email"), text(&answer, "roles"));
                counter.say(&answer, sentence)
            }
            Command::Disable { counter, operator } => {
                let answer = counter
                    .post(&format!("/operators/{}/disable", id_of(&counter, &operator)?), &json!({}))?;
                let sentence = format!("{} may not come in any more.", text(&answer, "email"));
                counter.say(&answer, sentence)
            }
            Command::Enable { counter, operator } => {
                let answer = counter
                    .post(&format!("/operators/{}/enable", id_of(&counter, &operator)?), &json!({}))?;
                let sentence = format!("{} may come in again.", text(&answer, "email"));
                counter.say(&answer, sentence)
            }
        }
    }
}

fn listed(operators: &Value) -> Table {
    Table::of(
        operators,
        "There are no operators.",
        &[
            ("id", |it| text(it, "id")),
            ("operator", |it| text(it, "email")),
            ("roles", |it| text(it, "roles")),
            ("since", |it| time(it, "created_at")),
            ("disabled", |it| text(it, "disabled")),
        ],
    )
}

fn open(invitations: &Value) -> Table {
    Table::of(
        invitations,
        "There are no open invitations.",
        &[
            ("invitation", |it| text(it, "id")),
            ("invited", |it| text(it, "email")),
            ("roles", |it| text(it, "roles")),
            ("by", |it| text(it, "by")),
            ("until", |it| time(it, "expires_at")),
        ],
    )
}

fn invited(answer: &Value) -> String {
    format!(
        "Invited {} ({}) until {}. The code works once and is shown this once:\n  {}\nThe invited accepts it with: portcullis account accept",
        text(answer, "email"),
        text(answer, "roles"),
        time(answer, "expires_at"),
        text(answer, "code"),
    )
}

fn as_id(text: &str) -> Result<&str, Failure> {
    is_id(text).then_some(text).ok_or_else(|| Failure::new("this is no id; the list shows them."))
}

fn create(settings: &Settings, email: String, roles: Vec<OperatorRole>, password: Option<Secret>) -> Outcome {
    let means = Means::system();
    let made = password.is_none();
    let password = password.unwrap_or_else(|| staff::password(&*means.dice));
    let newcomer = staff::newcomer(email, roles, password.clone());
    let enrolled = runtime()?.block_on(staff::create(settings, &means, newcomer));
    let enrolled = enrolled.map_err(|why| Failure::new(staff::sentence(&why)))?;
    println!("Made {}. What follows is shown this once.", enrolled.operator.email);
    if made {
        println!("Password:        {}", password.expose());
    }
    println!("Authenticator:   {}", enrolled.otpauth.expose());
    for (n, code) in enrolled.recovery.iter().enumerate() {
        let heading = if n == 0 { "Recovery codes:" } else { "" };
        println!("{heading:<16} {}", code.expose());
    }
    println!("Sign in:         portcullis login --email {}", enrolled.operator.email);
    Ok(())
}

/// The id of an operator who is named by address or by id.
fn id_of(counter: &Counter, named: &str) -> Result<String, Failure> {
    let answer = counter.get("/operators")?;
    let fits = |it: &&Value| it["id"] == *named || it["email"] == *named.to_lowercase();
    let found = answer["operators"].as_array().into_iter().flatten().find(fits);
    let id = found.and_then(|it| it["id"].as_str()).map(str::to_owned);
    id.ok_or_else(|| Failure::new(format!("there is no operator {named}.")))
}

fn role(word: &str) -> Result<OperatorRole, String> {
    OperatorRole::named(word).ok_or_else(|| "not one of operator, approver, auditor, owner".to_owned())
}
