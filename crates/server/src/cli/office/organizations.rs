//! `portcullis organizations`: which there are, and what each asks of those who come in.

use clap::{ArgGroup, Args, Subcommand, ValueEnum};
use serde_json::{Value, json};

use super::super::{Failure, Outcome};
use super::address::part;
use super::counter::Counter;
use super::entrust::Entrust;
use super::ordered::proposed;
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
    #[command(group = ArgGroup::new("change"), after_help = "\
Examples:
  portcullis organizations safety acme
  portcullis organizations safety acme --require-second-factor on --reason 'audit finding 12'
  portcullis organizations safety acme --second-person-for-personal-data on --reason 'audit finding 13'")]
    Safety {
        #[command(flatten)]
        counter: Counter,
        /// Id or slug of the organization.
        organization: String,
        /// Whether no member comes in without a second factor.
        #[arg(long, requires = "reason", group = "change")]
        require_second_factor: Option<Switch>,
        /// Whether it takes two operators to permit more on personal data, or to give somebody more of it (see
        /// docs/permissions.md). Nobody's place changes by turning it on; `portcullis access list` shows who has what.
        #[arg(long, requires = "reason", group = "change")]
        second_person_for_personal_data: Option<Switch>,
        /// Why; it is kept in the audit log.
        #[arg(long, requires = "change")]
        reason: Option<String>,
        /// Owners only: turn it off without a second person. It is loud.
        #[arg(long, requires = "change")]
        break_glass: bool,
    },
    /// Propose what a custom role may do with personal data, where that takes two operators. It replaces what the
    /// role may do with that subject so far, and an approver confirms it.
    #[command(after_help = "\
Examples:
  portcullis organizations permit acme --role support --subject orders --actions read,update --reason 'CHG-12'
  portcullis organizations permit acme --role support --subject orders --actions read \\
      --restriction market_scope --restriction '{\"status_in\": [\"placed\"]}' --reason 'CHG-12'")]
    Permit(Permit),
    /// Propose to give somebody, or an application, a role that reaches personal data, where that takes two operators.
    /// An approver confirms it. Whoever has no account yet is invited (`portcullis people invite --organization`).
    #[command(after_help = "\
Examples:
  portcullis organizations entrust acme --person ringo@example.com --role support --reason 'CHG-12'
  portcullis organizations entrust acme --application CLIENT_ID --role support --reason 'CHG-12'")]
    Entrust(Entrust),
}

#[derive(Debug, Args)]
struct Permit {
    #[command(flatten)]
    counter: Counter,
    /// Id or slug of the organization.
    organization: String,
    /// Id of the custom role.
    #[arg(long)]
    role: String,
    /// What it is about, such as orders; * is everything.
    #[arg(long)]
    subject: String,
    /// All that is allowed afterwards: read (show and list), create, update, destroy, trigger, export, admin.
    #[arg(long, value_delimiter = ',', required = true)]
    actions: Vec<String>,
    /// What must hold for it: a word, or JSON of those that take a list. Several must all hold.
    #[arg(long = "restriction", value_name = "RESTRICTION")]
    restrictions: Vec<String>,
    /// Why; it is kept in the audit log.
    #[arg(long)]
    reason: String,
    /// Owners only: do it without a second person. It is loud.
    #[arg(long)]
    break_glass: bool,
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
                            ("personal data", |it| permits(&it["safety"]).into()),
                            ("name", |it| text(it, "name")),
                        ],
                    )
                })
            }
            Command::Safety {
                counter,
                organization,
                require_second_factor,
                second_person_for_personal_data,
                reason,
                break_glass,
            } => {
                let path = format!("/organizations/{}/safety", part(&organization));
                let mut body = json!({ "reason": reason, "break_glass": break_glass });
                let changes = [
                    ("require_second_factor", require_second_factor),
                    ("second_person_for_personal_data", second_person_for_personal_data),
                ];
                for (name, switch) in changes {
                    if let Some(switch) = switch {
                        body[name] = json!(switch == Switch::On);
                    }
                }
                if reason.is_none() {
                    let answer = counter.get(&path)?;
                    return counter.say(&answer, standing(&answer));
                }
                let answer = counter.patch(&path, &body)?;
                let sentence = match answer["state"] == "proposed" {
                    true => proposed(&answer["proposal"]),
                    false => standing(&answer["safety"]),
                };
                counter.say(&answer, sentence)
            }
            Command::Permit(permit) => permit.run(),
            Command::Entrust(entrust) => entrust.run(),
        }
    }
}

impl Permit {
    fn run(self) -> Outcome {
        let when = self.restrictions.iter().map(|text| restriction(text)).collect::<Result<Vec<_>, _>>()?;
        let body = json!({
            "kind": "personal_data",
            "what": {
                "organization": self.organization,
                "role": self.role,
                "subject": self.subject,
                "actions": self.actions,
                "when": when,
            },
            "reason": self.reason,
            "break_glass": self.break_glass,
        });
        let made = self.counter.post("/proposals", &body)?;
        let told = match made["state"] == "done" {
            true => format!("The role {} may do this with {} now.", self.role, self.subject),
            false => proposed(&made),
        };
        self.counter.say(&made, told)
    }
}

/// A word, or an object as it stands in a policy.
fn restriction(text: &str) -> Result<Value, Failure> {
    match text.starts_with('{') {
        true => serde_json::from_str(text)
            .map_err(|why| Failure::new(format!("--restriction {text}: this is no JSON ({why})."))),
        false => Ok(json!(text)),
    }
}

fn standing(safety: &Value) -> String {
    let (factor, permits) = (asked(safety), permits(safety));
    format!(
        "A second factor is {factor} of its members.\nPersonal data is permitted, and given to people and applications, by {permits}."
    )
}

fn asked(safety: &Value) -> &'static str {
    match safety["require_second_factor"] == true {
        true => "required",
        false => "not required",
    }
}

fn permits(safety: &Value) -> &'static str {
    match safety["second_person_for_personal_data"] == true {
        true => "two operators",
        false => "one admin",
    }
}
