//! What is written about the metrics elsewhere is held against the list of those that exist, which a rule of
//! the street compares with a running server.

use std::collections::BTreeSet;

const GOLDEN: &str = include_str!("../../../../tests/golden/metrics.txt");
const PAGE: &str = include_str!("../../../../docs/telemetry.md");
const DASHBOARD: &str = include_str!("../../../../deploy/grafana/portcullis.json");
const ALERTS: &str = include_str!("../../../../deploy/prometheus/alerts.yaml");

fn existing() -> BTreeSet<&'static str> {
    GOLDEN.lines().filter_map(|line| line.split(' ').next()).collect()
}

/// Every name of a metric in a text, without what a histogram's parts are called by.
fn named(text: &str) -> BTreeSet<&str> {
    let words = text.split(|c: char| !c.is_ascii_alphanumeric() && c != '_');
    let ours = words.filter(|word| word.starts_with("portcullis_") || word.starts_with("process_"));
    ours.map(|word| {
        let part = ["_bucket", "_sum", "_count"].iter().find_map(|part| word.strip_suffix(part));
        part.unwrap_or(word)
    })
    .collect()
}

fn expressions(value: &serde_json::Value, found: &mut Vec<String>) {
    match value {
        serde_json::Value::Object(members) => {
            found.extend(members.get("expr").and_then(|expr| expr.as_str()).map(str::to_owned));
            members.values().for_each(|value| expressions(value, found));
        }
        serde_json::Value::Array(items) => items.iter().for_each(|item| expressions(item, found)),
        _ => {}
    }
}

#[test]
fn the_page_tells_of_every_metric_and_of_no_other() {
    let told: BTreeSet<_> = PAGE
        .lines()
        .filter_map(|line| line.strip_prefix("| `")?.split_once('`'))
        .map(|(name, _)| name)
        .filter(|name| name.contains('_') && !name.contains('.'))
        .collect();
    assert_eq!(told, existing());
}

#[test]
fn the_dashboard_shows_metrics_that_exist() {
    let mut found = Vec::new();
    expressions(&serde_json::from_str(DASHBOARD).expect("the dashboard is JSON"), &mut found);
    assert!(found.len() > 30, "{}", found.len());
    for expression in &found {
        let names = named(expression);
        assert!(!names.is_empty(), "{expression}");
        assert!(names.is_subset(&existing()), "{expression}");
    }
}

#[test]
fn alerts_are_about_metrics_that_exist_and_say_what_is_wrong() {
    let alerts: Vec<_> = ALERTS.split("- alert: ").skip(1).collect();
    assert!(alerts.len() > 10);
    for alert in alerts {
        assert!(named(alert).is_subset(&existing()), "{alert}");
        assert!(
            alert.contains("expr: ") && alert.contains("severity: ") && alert.contains("summary: "),
            "{alert}"
        );
    }
}
