//! `portcullis proposals`: privileged changes that wait for a second person.

use clap::{Args, Subcommand};
use serde_json::{Value, json};

use super::super::Outcome;
use super::address::is_id;
use super::counter::Counter;
use super::ordered::tell;
use super::table::{Table, text, time};
use crate::settings::Settings;

/// See, approve, refuse and withdraw what needs two persons.
#[derive(Debug, Args)]
pub(in crate::cli) struct Proposals {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// List proposals, the newest first, and glass that was broken and not yet looked at.
    List {
        #[command(flatten)]
        counter: Counter,
        /// Leave out what is decided or expired.
        #[arg(long)]
        open: bool,
    },
    /// Show a proposal: what would be done, and why.
    Show {
        #[command(flatten)]
        one: One,
    },
    /// Approve somebody else's proposal and carry it out. Approvers only.
    Approve {
        #[command(flatten)]
        one: One,
        /// Of the proposal as you have seen it; otherwise it is shown and approved as it is now.
        #[arg(long)]
        digest: Option<String>,
        /// Wait so many seconds, at most 10, until every connected guard has applied it, and say which have.
        #[arg(long, value_name = "SECONDS", num_args = 0..=1, default_missing_value = "10")]
        wait: Option<u64>,
    },
    /// Refuse somebody else's proposal. Approvers only.
    Refuse {
        #[command(flatten)]
        one: One,
        /// Why; it is kept in the audit log.
        #[arg(long)]
        reason: String,
    },
    /// Take a proposal back: your own, or any as an owner.
    Withdraw {
        #[command(flatten)]
        one: One,
        /// Why; it is kept in the audit log.
        #[arg(long)]
        reason: String,
    },
    /// Note that you have looked at the glass that somebody else broke.
    Acknowledge {
        #[command(flatten)]
        one: One,
    },
}

#[derive(Debug, Args)]
struct One {
    #[command(flatten)]
    counter: Counter,
    /// Its id, see `portcullis proposals list`.
    #[arg(value_parser = id)]
    proposal: String,
}

impl Proposals {
    pub fn run(self, _: Settings) -> Outcome {
        match self.command {
            Command::List { counter, open } => list(&counter, open),
            Command::Show { one } => {
                let answer = one.seen()?;
                one.counter.say(&answer, told(&answer))
            }
            Command::Approve { one, digest, wait } => one.approve(digest, wait),
            Command::Refuse { one, reason } => one.close("refuse", &reason, "Refused."),
            Command::Withdraw { one, reason } => one.close("withdraw", &reason, "Withdrawn."),
            Command::Acknowledge { one } => {
                let answer = one.counter.post(&one.path("/acknowledge"), &json!({}))?;
                one.counter.say(&answer, "Acknowledged.")
            }
        }
    }
}

impl One {
    fn path(&self, end: &str) -> String {
        format!("/proposals/{}{end}", self.proposal)
    }

    fn seen(&self) -> Result<Value, super::super::Failure> {
        self.counter.get(&self.path(""))
    }

    fn approve(&self, digest: Option<String>, wait: Option<u64>) -> Outcome {
        let digest = match digest {
            Some(digest) => digest,
            None => {
                let seen = self.seen()?;
                eprintln!("{}", told(&seen));
                seen["digest"].as_str().unwrap_or_default().to_owned()
            }
        };
        let body = json!({ "digest": digest });
        let answer = self.counter.post_and_wait(&self.path("/approve"), &body, wait)?;
        tell(&self.counter, &answer, "Approved and done")
    }

    fn close(&self, verb: &str, reason: &str, sentence: &str) -> Outcome {
        let answer = self.counter.post(&self.path(&format!("/{verb}")), &json!({ "reason": reason }))?;
        self.counter.say(&answer, sentence)
    }
}

fn list(counter: &Counter, open: bool) -> Outcome {
    let answer = counter.get(&format!("/proposals?open={open}"))?;
    let broken = answer["broken_glass"].as_array().into_iter().flatten();
    for glass in broken {
        eprintln!(
            "GLASS WAS BROKEN by {} at {}: {} {} ({}). Another approver or owner looks at it: portcullis proposals acknowledge {}",
            text(glass, "proposer"),
            time(glass, "created_at"),
            text(glass, "kind"),
            text(glass, "what"),
            text(glass, "reason"),
            text(glass, "id"),
        );
    }
    counter.show(&answer, |answer| {
        Table::of(
            &answer["proposals"],
            "There are no proposals.",
            &[
                ("proposal", |it| text(it, "id")),
                ("state", |it| text(it, "state")),
                ("kind", |it| text(it, "kind")),
                ("what", |it| text(it, "what")),
                ("by", |it| text(it, "proposer")),
                ("reason", |it| text(it, "reason")),
                ("until", |it| time(it, "expires_at")),
            ],
        )
    })
}

fn told(it: &Value) -> String {
    format!(
        "{} {}\n  proposed by  {}\n  because      {}\n  state        {}, until {}\n  digest       {}",
        text(it, "kind"),
        text(it, "what"),
        text(it, "proposer"),
        text(it, "reason"),
        text(it, "state"),
        time(it, "expires_at"),
        text(it, "digest"),
    )
}

fn id(text: &str) -> Result<String, &'static str> {
    let found = is_id(text).then(|| text.to_owned());
    found.ok_or("this is no id of a proposal; portcullis proposals list shows them")
}
