//! What the commands that end things have in common: a reason, and waiting for the guards.

use clap::Args;
use serde_json::{Value, json};

use super::super::{Failure, Outcome};
use super::counter::Counter;
use super::table::{Table, text, time};

/// Why, and how long to wait.
#[derive(Debug, Args)]
pub(in crate::cli) struct Ordered {
    /// Why; it is kept in the audit log.
    #[arg(long, required_unless_present = "preview")]
    reason: Option<String>,
    /// Wait so many seconds, at most 10, until every connected guard has applied it, and say which have.
    #[arg(long, value_name = "SECONDS", num_args = 0..=1, default_missing_value = "10")]
    pub wait: Option<u64>,
    /// Owners only: do without a second person what needs one. It is loud.
    #[arg(long)]
    break_glass: bool,
}

impl Ordered {
    /// The members that every order has.
    pub fn body(&self) -> Value {
        json!({ "reason": self.reason.as_deref().unwrap_or_default(), "break_glass": self.break_glass })
    }

    /// Says what came of an order. It fails when there was waiting and a guard is behind: whatever runs next
    /// must not take it for heard.
    pub fn tell(&self, counter: &Counter, answer: &Value, ended: &str) -> Outcome {
        match answer["state"].as_str() {
            Some("proposed") => counter.say(answer, proposed(&answer["proposal"])),
            _ => tell(counter, answer, ended),
        }
    }
}

/// Something has ended: where it stands in the feed, and a line for each guard.
pub(super) fn tell(counter: &Counter, answer: &Value, ended: &str) -> Outcome {
    let place = answer["position"].as_str().map_or(String::new(), |place| format!(" (feed {place})"));
    let guards = &answer["guards"];
    if guards.is_null() {
        return counter.say(answer, format!("{ended}{place}."));
    }
    counter.say(answer, format!("{ended}{place}.\n{}", lines(guards)).trim_end())?;
    let missing = guards.as_array().into_iter().flatten().filter(|it| it["applied"] != true).count();
    match missing {
        0 => Ok(()),
        _ => Err(Failure::new(format!(
            "it has ended, and {missing} guards have not applied it yet; none accepts it after {}.",
            time(answer, "dead_at_latest")
        ))),
    }
}

/// What a proposal waits for.
pub(in crate::cli) fn proposed(proposal: &Value) -> String {
    format!(
        "Proposed: {0}. Until {1} an approver other than you confirms it: portcullis proposals approve {0}",
        text(proposal, "id"),
        time(proposal, "expires_at"),
    )
}

fn lines(guards: &Value) -> Table {
    Table::of(
        guards,
        "No guard is connected.",
        &[
            ("guard", |it| text(it, "guard")),
            ("applied", |it| text(it, "applied")),
            ("after ms", |it| text(it, "after_ms")),
        ],
    )
}
