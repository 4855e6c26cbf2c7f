//! `portcullis status`: how the server is, on one screen.

use clap::Args;
use serde_json::Value;

use super::super::Outcome;
use super::counter::Counter;
use super::table::{Table, text, time};
use crate::settings::Settings;

/// Say how the server is: its stores, the feed, the guards, the keys, and what waits for somebody.
#[derive(Debug, Args)]
pub(in crate::cli) struct Status {
    #[command(flatten)]
    counter: Counter,
}

impl Status {
    pub fn run(self, _: Settings) -> Outcome {
        let answer = self.counter.get("/status")?;
        self.counter.show(&answer, screen)
    }
}

fn screen(it: &Value) -> Table {
    let mut table = Table::new(&["what", "is"], "");
    let mut row = |what: &str, is: String| table.row([what.to_owned(), is]);
    let leaving = if it["leaving"] == true { ", about to stop" } else { "" };
    let up = span(it["uptime"].as_u64().unwrap_or_default());
    row("server", format!("{} for {up}{leaving}, {}", text(it, "version"), text(it, "issuer")));
    let books = &it["books"];
    row(
        "books",
        format!(
            "{}, {} of {} connections in use, {} waiting",
            text(books, "kind"),
            text(books, "connections_in_use"),
            text(books, "connections_most"),
            text(books, "waiting")
        ),
    );
    row("redis", redis(&it["redis"]));
    let feed = &it["feed"];
    let alarm = if feed["alarm"] == true { ", ANOTHER HISTORY THAN BEFORE" } else { "" };
    row(
        "feed",
        format!(
            "{} at {}.{}, {} ms old{alarm}",
            text(feed, "name"),
            text(feed, "epoch"),
            text(feed, "seq"),
            text(feed, "age_ms")
        ),
    );
    let guards = &it["guards"];
    row(
        "guards",
        format!(
            "{} live, {} behind, {} stale",
            text(guards, "live"),
            text(guards, "behind"),
            text(guards, "stale")
        ),
    );
    for key in it["keys"].as_array().into_iter().flatten() {
        let next = match key["until"].is_null() {
            true => "rotated by people".to_owned(),
            false => format!("the next one from {}", time(key, "until")),
        };
        row("key", format!("{} since {}, {next}", text(key, "kid"), time(key, "since")));
    }
    let duties = &it["duties"];
    row("open proposals", text(duties, "open_proposals"));
    row("open invitations", text(duties, "open_invitations"));
    row("broken glass", text(duties, "broken_glass"));
    row("dead letters", text(duties, "dead_letters"));
    row("audit", log(&it["audit"]));
    row("settings", lowered(&it["lowered"]));
    table
}

fn redis(it: &Value) -> String {
    match it["up"].as_bool() {
        None => "none".into(),
        Some(true) => format!("up, {} records behind", text(it, "behind")),
        Some(false) => format!("AWAY, {} records behind", text(it, "behind")),
    }
}

fn log(it: &Value) -> String {
    match (it["checkpoint"].as_u64(), it["checkpoint_age"].as_u64()) {
        (Some(row), Some(age)) => {
            format!("row {}, signed for up to {row} {} ago", text(it, "head"), span(age))
        }
        _ => format!("row {}, not signed for yet", text(it, "head")),
    }
}

fn lowered(list: &Value) -> String {
    let names: Vec<_> = list.as_array().into_iter().flatten().filter_map(Value::as_str).collect();
    match names.is_empty() {
        true => "none protects less than its default".into(),
        false => format!("LESS THAN THE DEFAULTS: {}", names.join(", ")),
    }
}

/// A time as one says it.
fn span(seconds: u64) -> String {
    match seconds {
        172_800.. => format!("{} days", seconds / 86_400),
        7200.. => format!("{} hours", seconds / 3600),
        120.. => format!("{} minutes", seconds / 60),
        _ => format!("{seconds} seconds"),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn the_screen_names_what_is_wrong() {
        let status = json!({
            "version": "1.2.3", "issuer": "https://auth.example", "uptime": 90_000, "leaving": false,
            "books": { "kind": "postgresql", "connections_in_use": 1, "connections_most": 8, "waiting": 0 },
            "redis": { "up": false, "behind": 7 },
            "feed": { "name": "live:eu1", "epoch": 1, "seq": 42, "age_ms": 250, "alarm": true },
            "guards": { "live": 3, "behind": 1, "stale": 0 },
            "keys": [{ "kid": "eu1-a", "algorithm": "ES256", "since": 0, "until": null }],
            "duties": { "open_proposals": 1, "open_invitations": 2, "broken_glass": 1, "dead_letters": 0 },
            "audit": { "head": 99, "checkpoint": 90, "checkpoint_age": 61 },
            "lowered": ["keys.plaintext = true", "passwords.iterations = 1"],
        });
        let seen = screen(&status).to_string();
        let lines: Vec<&str> = seen.lines().collect();
        assert_eq!(lines.len(), 13, "{seen}");
        for part in [
            "1.2.3 for 25 hours",
            "AWAY, 7 records behind",
            "live:eu1 at 1.42",
            "ANOTHER HISTORY",
            "3 live, 1 behind, 0 stale",
            "rotated by people",
            "row 99, signed for up to 90 61 seconds ago",
            "LESS THAN THE DEFAULTS: keys.plaintext = true, passwords.iterations = 1",
        ] {
            assert!(seen.contains(part), "{part} in {seen}");
        }
    }

    #[test]
    fn without_redis_it_says_none() {
        assert_eq!(redis(&Value::Null), "none");
        assert_eq!(
            log(&json!({ "head": 0, "checkpoint": null, "checkpoint_age": null })),
            "row 0, not signed for yet"
        );
    }
}
