//! `portcullis organizations entrust`: a role that reaches personal data, for somebody or for an application.

use clap::{ArgGroup, Args};
use serde_json::json;

use super::super::Outcome;
use super::counter::Counter;
use super::ordered::proposed;

/// Who is given what.
#[derive(Debug, Args)]
#[command(group = ArgGroup::new("whom").required(true))]
pub(super) struct Entrust {
    #[command(flatten)]
    counter: Counter,
    /// Id or slug of the organization.
    organization: String,
    /// Id or e-mail address of somebody with an account; a place is made for whoever has none there.
    #[arg(long, value_name = "ID", group = "whom")]
    person: Option<String>,
    /// Client id of an integration.
    #[arg(long, value_name = "CLIENT_ID", group = "whom")]
    application: Option<String>,
    /// Id of the role.
    #[arg(long)]
    role: String,
    /// Open the place to every application, market and mode, whatever it was kept to.
    #[arg(long, requires = "person")]
    all_applications: bool,
    /// Why; it is kept in the audit log.
    #[arg(long)]
    reason: String,
    /// Owners only: do it without a second person. It is loud.
    #[arg(long)]
    break_glass: bool,
}

impl Entrust {
    pub fn run(self) -> Outcome {
        let mut what = json!({ "organization": self.organization, "role": self.role });
        if let Some(person) = &self.person {
            what["person"] = json!(person);
            what["all_applications"] = json!(self.all_applications);
        }
        if let Some(application) = &self.application {
            what["application"] = json!(application);
        }
        let body = json!({
            "kind": "entrustment", "what": what, "reason": self.reason, "break_glass": self.break_glass,
        });
        let made = self.counter.post("/proposals", &body)?;
        let whom = self.person.or(self.application).unwrap_or_default();
        let told = match made["state"] == "done" {
            true => format!("{whom} has the role {} now.", self.role),
            false => proposed(&made),
        };
        self.counter.say(&made, told)
    }
}
