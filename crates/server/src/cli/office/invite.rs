//! `portcullis people invite`: somebody new, whose password nobody else ever knows.

use clap::Args;
use serde_json::{Value, json};

use super::super::Outcome;
use super::address::query;
use super::counter::Counter;
use super::ordered::proposed;
use super::table::{Table, text, time};

/// Who shall be invited.
#[derive(Debug, Args)]
pub(super) struct Invite {
    #[command(flatten)]
    counter: Counter,
    /// E-mail address.
    email: String,
    #[arg(long, default_value = "")]
    first_name: String,
    #[arg(long, default_value = "")]
    last_name: String,
    /// Seconds until it expires, 60 to 604800; three days unless said, and with a place always.
    #[arg(long, value_name = "SECONDS", conflicts_with = "organization")]
    lifetime: Option<u64>,
    /// Id or slug of an organization to have a place in.
    #[arg(long, value_name = "ID", requires_all = ["role", "reason"])]
    organization: Option<String>,
    /// Id of the role there.
    #[arg(long, value_name = "ID", requires = "organization")]
    role: Option<String>,
    /// Why; it is kept in the audit log.
    #[arg(long, requires = "organization")]
    reason: Option<String>,
}

impl Invite {
    pub fn run(self) -> Outcome {
        let mut wanted = json!({
            "email": self.email, "first_name": self.first_name, "last_name": self.last_name,
        });
        let folded = self.email.trim().to_lowercase();
        let Some(home) = self.organization else {
            wanted["lifetime"] = json!(self.lifetime);
            let made = self.counter.post("/people/invitations", &wanted)?;
            let until = time(&made, "expires_at");
            let said = format!("Invited {} until {until}.{}", text(&made, "email"), linked(&made));
            return self.counter.say(&made, said);
        };
        // A proposal names an account, so there must be one.
        let found = self.counter.get(&format!("/people{}", query(&[("search", Some(self.email.trim()))])))?;
        let is_there = |it: &Value| text(it, "kind") == "user" && text(it, "email") == folded;
        let known = found["people"].as_array().into_iter().flatten().find(|it| is_there(it));
        let person = match known {
            Some(person) => person["id"].clone(),
            None => {
                wanted["kind"] = "user".into();
                self.counter.post("/people", &wanted)?["person"]["id"].clone()
            }
        };
        let what = json!({ "person": person, "organization": home, "role": self.role });
        let body = json!({ "kind": "invitation", "what": what, "reason": self.reason });
        let made = self.counter.post("/proposals", &body)?;
        self.counter.say(&made, format!("{}{}", proposed(&made), linked(&made)))
    }
}

/// The invitations that are open.
pub(super) fn invited(answer: &Value) -> Table {
    Table::of(
        &answer["invitations"],
        "Nobody is invited.",
        &[
            ("id", |it| text(it, "id")),
            ("email", |it| text(it, "email")),
            ("person", |it| text(it, "person")),
            ("organization", |it| text(it, "organization")),
            ("by", |it| text(it, "by")),
            ("expires", |it| time(it, "expires_at")),
        ],
    )
}

fn linked(answer: &Value) -> String {
    format!(" The link for the invited, shown this once: {}", text(answer, "link"))
}
