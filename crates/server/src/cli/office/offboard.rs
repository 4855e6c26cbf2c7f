//! `portcullis offboard`: a person left.

use clap::Args;
use serde_json::{Value, json};

use super::super::Outcome;
use super::counter::Counter;
use super::ordered::Ordered;
use super::table::text;
use crate::settings::Settings;

/// End everything of a person who left: memberships, logins, sessions, tokens and personal credentials.
///
/// All of it in one transaction, and the account is closed. An organization is not left without an owner or an
/// admin: transfer the ownership first, or propose it with --force.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  portcullis offboard ann@example.com --preview
  portcullis offboard ann@example.com --reason \"left on 31 May\" --wait 10")]
pub(in crate::cli) struct Offboard {
    #[command(flatten)]
    counter: Counter,
    /// A person's id, or a user's e-mail address.
    person: String,
    #[command(flatten)]
    ordered: Ordered,
    /// Say what would end, and end nothing.
    #[arg(long, conflicts_with_all = ["reason", "force", "break_glass"])]
    preview: bool,
    /// Though an organization is left without an owner or an admin: proposes it to a second person.
    #[arg(long)]
    force: bool,
}

impl Offboard {
    pub fn run(self, _: Settings) -> Outcome {
        if self.preview {
            let seen = self.counter.post("/offboardings/preview", &json!({ "person": self.person }))?;
            return self.counter.say(&seen, told("Would end", &seen));
        }
        let mut body = self.ordered.body();
        body["person"] = self.person.as_str().into();
        body["force"] = self.force.into();
        let answer = self.counter.post_and_wait("/offboardings", &body, self.ordered.wait)?;
        self.ordered.tell(&self.counter, &answer, &told("Ended", &answer["ended"]))
    }
}

fn told(verb: &str, it: &Value) -> String {
    let places = it["memberships"].as_array().into_iter().flatten();
    let places: Vec<_> =
        places.map(|place| format!("{} as {}", text(place, "organization"), text(place, "role"))).collect();
    let mut said = format!(
        "{verb} for {}: {} logins, {} sessions; memberships: {}; personal credentials: {}",
        text(it, "person"),
        text(it, "logins"),
        text(it, "sessions"),
        if places.is_empty() { "-".to_owned() } else { places.join(", ") },
        text(it, "credentials"),
    );
    if it["orphaned"].as_array().is_some_and(|list| !list.is_empty()) {
        said.push_str(&format!("; left without an owner or admin: {}", text(it, "orphaned")));
    }
    said
}
