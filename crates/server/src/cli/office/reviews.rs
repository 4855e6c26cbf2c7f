//! `portcullis reviews`: who has what is signed off line by line, and kept as evidence.

use std::path::PathBuf;

use clap::{Args, Subcommand, ValueEnum};
use serde_json::{Value, json};

use super::super::{Failure, Outcome};
use super::address::id;
use super::counter::{Counter, hand_over};
use super::ordered::tell;
use super::table::{Table, text, time};
use crate::settings::Settings;

/// Review who has what: opened, assigned, signed off line by line, closed, and kept as evidence.
#[derive(Debug, Args)]
pub(in crate::cli) struct Reviews {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Take a picture of who has what, and open a review of it.
    Open {
        #[command(flatten)]
        counter: Counter,
        /// Only this organization, by id or slug; otherwise all, and the operators.
        #[arg(long, value_parser = id)]
        organization: Option<String>,
        /// Days without use after which access is called unused.
        #[arg(long, value_name = "DAYS")]
        stale: Option<u32>,
        /// Id of the operator who signs; any operator unless said.
        #[arg(long, value_name = "OPERATOR")]
        assignee: Option<String>,
    },
    /// List reviews, the newest first.
    List {
        #[command(flatten)]
        counter: Counter,
    },
    /// Show a review and its lines.
    Show {
        #[command(flatten)]
        one: One,
        /// Leave out what is decided.
        #[arg(long)]
        open: bool,
    },
    /// Give a review to an operator to sign.
    Assign {
        #[command(flatten)]
        one: One,
        /// Id of the operator.
        operator: String,
    },
    /// Sign that lines stay as they are.
    Keep {
        #[command(flatten)]
        signing: Signing,
    },
    /// Sign that a line is withdrawn, which ends it at once.
    Withdraw {
        #[command(flatten)]
        signing: Signing,
        /// Wait so many seconds, at most 10, until every connected guard has applied it, and say which have.
        #[arg(long, value_name = "SECONDS", num_args = 0..=1, default_missing_value = "10")]
        wait: Option<u64>,
    },
    /// Close a review of which every line is decided.
    Close {
        #[command(flatten)]
        one: One,
    },
    /// Write the evidence: a page that prints well, CSV or JSON.
    Export {
        #[command(flatten)]
        one: One,
        #[arg(long, value_enum, default_value_t = Form::Html)]
        format: Form,
        /// Where to; standard output unless said.
        #[arg(long, value_name = "FILE")]
        output: Option<PathBuf>,
    },
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Form {
    Html,
    Csv,
    Json,
}

#[derive(Debug, Args)]
struct One {
    #[command(flatten)]
    counter: Counter,
    /// Its id, see `portcullis reviews list`.
    #[arg(value_parser = id)]
    review: String,
}

#[derive(Debug, Args)]
struct Signing {
    #[command(flatten)]
    one: One,
    /// The numbers of the lines.
    #[arg(required = true, value_name = "ROW")]
    rows: Vec<u64>,
    /// Why; it is kept in the review and in the audit log.
    #[arg(long)]
    reason: String,
}

impl Reviews {
    pub fn run(self, _: Settings) -> Outcome {
        match self.command {
            Command::Open { counter, organization, stale, assignee } => {
                let body = json!({ "organization": organization, "stale_days": stale, "assignee": assignee });
                let made = counter.post("/reviews", &body)?;
                counter.say(&made, format!("Opened {}: {} lines.", text(&made, "id"), text(&made, "rows")))
            }
            Command::List { counter } => list(&counter),
            Command::Show { one, open } => one.show(open),
            Command::Assign { one, operator } => {
                let after = one.post("/assign", &json!({ "operator": operator }))?;
                one.counter.say(&after, "Assigned.")
            }
            Command::Keep { signing } => signing.sign("keep", None),
            Command::Withdraw { signing, wait } => signing.sign("withdraw", wait),
            Command::Close { one } => {
                let after = one.post("/close", &json!({}))?;
                one.counter.say(&after, format!("Closed. SHA-256 of the lines: {}", text(&after, "digest")))
            }
            Command::Export { one, format, output } => one.export(format, output),
        }
    }
}

impl One {
    fn post(&self, end: &str, body: &Value) -> Result<Value, Failure> {
        self.counter.post(&format!("/reviews/{}{end}", self.review), body)
    }

    fn show(&self, open: bool) -> Outcome {
        let mut seen = self.counter.get(&format!("/reviews/{}", self.review))?;
        if let (true, Some(lines)) = (open, seen["lines"].as_array_mut()) {
            lines.retain(|line| line["decision"].is_null());
        }
        self.counter.show(&seen, |seen| {
            Table::of(
                &seen["lines"],
                "There are no such lines.",
                &[
                    ("row", |it| text(it, "n")),
                    ("kind", |it| text(&it["access"], "kind")),
                    ("id", |it| text(&it["access"], "id")),
                    ("who", |it| text(&it["access"], "email")),
                    ("organization", |it| text(&it["access"], "slug")),
                    ("role", |it| text(&it["access"], "role")),
                    ("last used", |it| time(&it["access"], "last_used")),
                    ("remarks", |it| text(&it["access"], "remarks")),
                    ("decision", |it| text(it, "decision")),
                    ("reason", |it| text(it, "reason")),
                ],
            )
        })
    }

    fn export(&self, format: Form, output: Option<PathBuf>) -> Outcome {
        let word = match format {
            Form::Html => "html",
            Form::Csv => "csv",
            Form::Json => "json",
        };
        let text = self.counter.text(&format!("/reviews/{}/evidence?format={word}", self.review))?;
        hand_over(&text, output.as_deref())
    }
}

impl Signing {
    fn sign(&self, verb: &str, wait: Option<u64>) -> Outcome {
        let counter = &self.one.counter;
        for row in &self.rows {
            let path = format!("/reviews/{}/rows/{row}/{verb}", self.one.review);
            let answer = counter.post_and_wait(&path, &json!({ "reason": self.reason }), wait)?;
            match verb {
                "keep" => counter.say(&answer, format!("Row {row} is kept."))?,
                _ => tell(counter, &answer, &format!("Row {row} is withdrawn"))?,
            }
        }
        Ok(())
    }
}

fn list(counter: &Counter) -> Outcome {
    let answer = counter.get("/reviews")?;
    counter.show(&answer, |answer| {
        Table::of(
            &answer["reviews"],
            "There are no reviews.",
            &[
                ("review", |it| text(it, "id")),
                ("state", |it| text(it, "state")),
                ("opened", |it| time(it, "opened_at")),
                ("by", |it| text(it, "opened_by")),
                ("assignee", |it| text(it, "assignee")),
                ("rows", |it| text(it, "rows")),
                ("decided", |it| text(it, "decided")),
                ("closed", |it| time(it, "closed_at")),
            ],
        )
    })
}
