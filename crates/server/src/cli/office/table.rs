//! Lists as tables that read well in a terminal and survive a pipe.

use std::fmt;

use serde_json::Value;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

/// A table from a list in an answer.
pub(in crate::cli) struct Table {
    grid: comfy_table::Table,
    empty: String,
}

/// What a cell shows of an item.
pub type Cell = fn(&Value) -> String;

impl Table {
    /// With these headings; `empty` is said when there is nothing.
    pub fn new(headings: &[&str], empty: &str) -> Self {
        let mut grid = comfy_table::Table::new();
        grid.load_preset(comfy_table::presets::NOTHING)
            .set_header(headings.iter().map(|it| it.to_uppercase()));
        Self { grid, empty: empty.into() }
    }

    pub fn row(&mut self, cells: impl IntoIterator<Item = String>) {
        self.grid.add_row(cells);
    }

    /// A row for each item of a list, with these members.
    pub fn of(list: &Value, empty: &str, columns: &[(&str, Cell)]) -> Self {
        let headings: Vec<&str> = columns.iter().map(|(heading, _)| *heading).collect();
        let mut table = Self::new(&headings, empty);
        for item in list.as_array().into_iter().flatten() {
            table.row(columns.iter().map(|(_, cell)| cell(item)));
        }
        table
    }
}

impl fmt::Display for Table {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.grid.is_empty() {
            return writeln!(out, "{}", self.empty);
        }
        for line in self.grid.lines() {
            writeln!(out, "{}", line.trim())?;
        }
        Ok(())
    }
}

/// A member as text; a list with commas; nothing as a dash.
pub(in crate::cli) fn text(item: &Value, member: &str) -> String {
    match item.get(member) {
        None | Some(Value::Null) => "-".into(),
        Some(Value::String(text)) if text.is_empty() => "-".into(),
        Some(Value::String(text)) => plain(text),
        Some(Value::Bool(true)) => "yes".into(),
        Some(Value::Bool(false)) => "no".into(),
        Some(Value::Array(list)) if list.is_empty() => "-".into(),
        Some(Value::Array(list)) => {
            let words = list.iter().map(|one| one.as_str().map_or_else(|| one.to_string(), plain));
            words.collect::<Vec<_>>().join(", ")
        }
        Some(other) => other.to_string(),
    }
}

/// A member that is seconds since the epoch, as a date and time in UTC.
pub(in crate::cli) fn time(item: &Value, member: &str) -> String {
    item.get(member)
        .and_then(Value::as_i64)
        .and_then(|seconds| OffsetDateTime::from_unix_timestamp(seconds).ok())
        .and_then(|time| time.format(&Rfc3339).ok())
        .unwrap_or_else(|| "-".into())
}

/// Names come from strangers, and a terminal obeys what is written to it.
fn plain(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { '\u{fffd}' } else { c }).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_list_becomes_a_table() {
        let list = json!([
            { "email": "ann@example.com", "roles": ["owner", "auditor"], "at": 0 },
            { "email": "bob@example.com", "roles": [] },
        ]);
        let columns: &[(&str, Cell)] = &[
            ("email", |it| text(it, "email")),
            ("roles", |it| text(it, "roles")),
            ("since", |it| time(it, "at")),
        ];
        let seen = Table::of(&list, "Nobody.", columns).to_string();
        let lines: Vec<&str> = seen.lines().collect();
        assert_eq!(lines.len(), 3);
        assert_eq!(lines[0].split_whitespace().collect::<Vec<_>>(), ["EMAIL", "ROLES", "SINCE"]);
        assert!(lines[1].contains("owner, auditor") && lines[1].ends_with("1970-01-01T00:00:00Z"));
        assert!(lines[2].ends_with('-'));
        assert_eq!(Table::of(&json!([]), "Nobody.", columns).to_string(), "Nobody.\n");
    }

    #[test]
    fn a_name_cannot_command_the_terminal() {
        assert_eq!(text(&json!({ "name": "a\u{1b}[2Jb" }), "name"), "a\u{fffd}[2Jb");
    }
}
