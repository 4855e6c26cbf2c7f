//! `portcullis retention`: what is held, and for how long.

use clap::Args;
use serde_json::Value;

use super::super::Outcome;
use super::counter::Counter;
use super::table::{Cell, Table, text, time};
use crate::settings::Settings;

/// Say what the books hold, for how long and why, how much of it is over, and what went last.
#[derive(Debug, Args)]
pub(in crate::cli) struct Retention {
    #[command(flatten)]
    counter: Counter,
}

const COLUMNS: &[(&str, Cell)] = &[
    ("table", |it| text(it, "table")),
    ("kept", |it| text(it, "kept")),
    ("set by", |it| text(it, "setting")),
    ("rows", |it| match it["at_least"] == true {
        true => format!("{} or more", text(it, "rows")),
        false => text(it, "rows"),
    }),
    ("oldest", |it| time(it, "oldest")),
    ("due", |it| text(it, "due")),
    ("removed", |it| text(it, "removed")),
    ("when", |it| time(it, "removed_at")),
];

impl Retention {
    pub fn run(self, _: Settings) -> Outcome {
        let answer = self.counter.get("/retention")?;
        self.counter.show(&answer, screen)
    }
}

fn screen(answer: &Value) -> Table {
    Table::of(&answer["kept"], "Nothing is kept.", COLUMNS)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_has_no_period_shows_dashes() {
        let answer = json!({ "kept": [
            { "table": "codes", "kept": "1 hour after their end", "setting": null, "rows": 100_000, "at_least": true,
              "oldest": 0, "due": 3, "removed": 7, "removed_at": 60 },
            { "table": "roles", "kept": "until it is deleted", "setting": null, "rows": 2, "at_least": false,
              "oldest": null, "due": null, "removed": null, "removed_at": null },
        ]});
        let seen = screen(&answer).to_string();
        let lines: Vec<&str> = seen.lines().collect();
        assert!(lines[1].contains("100000 or more") && lines[1].ends_with("1970-01-01T00:01:00Z"), "{seen}");
        let cells: Vec<&str> = lines[2].split_whitespace().collect();
        assert_eq!(cells[cells.len() - 5..], ["2", "-", "-", "-", "-"], "{seen}");
    }
}
