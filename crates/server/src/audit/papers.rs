//! What is written about the events of the audit log is held against the list of those that exist, and the list
//! against the code that writes them.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use portcullis_authority::events::EVENTS;

/// What stands before the name of an event where a record is made.
const MAKING: [&str; 4] = ["event(\"", "event: \"", "event = \"", "record(\""];

/// Events that are not called like a setting.
const FAMILIES: [&str; 6] = ["sign_in", "person", "operator", "proposal", "review", "safety"];

fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// The text of every source file that may write a record, but for the list itself and this.
fn sources() -> Vec<String> {
    let mut found = Vec::new();
    for room in ["authority", "store", "server"] {
        gather(&repository().join("crates").join(room).join("src"), &mut found);
    }
    assert!(found.len() > 100, "{}", found.len());
    found
}

fn gather(folder: &Path, found: &mut Vec<String>) {
    for entry in std::fs::read_dir(folder).unwrap().flatten() {
        let path = entry.path();
        let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        if path.is_dir() && name != "tests" {
            gather(&path, found);
        } else if name.ends_with(".rs") && !["events.rs", "papers.rs", "tests.rs"].contains(&name) {
            let text = std::fs::read_to_string(&path).unwrap();
            found.push(text.split("#[cfg(test)]").next().unwrap_or_default().to_owned());
        }
    }
}

#[test]
fn every_record_is_of_an_event_that_is_told_of() {
    let told: BTreeSet<_> = EVENTS.iter().map(|(name, _)| *name).collect();
    for text in sources() {
        for making in MAKING {
            for rest in text.split(making).skip(1) {
                let name = rest.split('"').next().unwrap_or_default();
                assert!(name.is_empty() || told.contains(name), "{name} is not in authority/events.rs");
            }
        }
        // And what stands first in a pair and is spelled like one.
        for family in FAMILIES {
            for rest in text.split(&format!("(\"{family}.")).skip(1) {
                let name = format!("{family}.{}", rest.split('"').next().unwrap_or_default());
                // The name of a file is none.
                let is_one = !name.ends_with(".json");
                assert!(!is_one || told.contains(name.as_str()), "{name} is not in authority/events.rs");
            }
        }
    }
}

#[test]
fn no_event_is_told_of_that_nothing_writes() {
    let sources = sources().concat();
    for (name, _) in EVENTS {
        assert!(sources.contains(&format!("\"{name}\"")), "nothing writes {name}");
    }
}

#[test]
fn the_page_tells_of_every_event() {
    let file = repository().join("docs/audit.md");
    let page = std::fs::read_to_string(&file).unwrap();
    let begin = page.find("| event |").expect("the page has the table");
    let end = begin + page[begin..].find("\n\n").expect("something comes after it") + 1;
    let mut table = String::from("| event | means |\n|---|---|\n");
    for (name, means) in EVENTS {
        table.push_str(&format!("| `{name}` | {means} |\n"));
    }
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        std::fs::write(&file, format!("{}{table}{}", &page[..begin], &page[end..])).unwrap();
        return;
    }
    assert_eq!(page[begin..end], table, "look at it, then run with UPDATE_GOLDEN=1");
}
