//! What a dashboard reads. Names and labels are a promise to whoever wrote an alert on them.

use std::sync::Arc;
use std::time::Duration;

use portcullis_guard::feed::{Counts, Picture, Position, State, View};
use portcullis_guard::metrics::SourceCounts;
use portcullis_guard::{OnStale, Revocations};

use crate::issuer::Issuer;

/// A page with a number of its own behind every name.
fn page() -> String {
    let issuer = Issuer::new();
    let guard = issuer.guard().build().unwrap();
    guard.authenticate(&issuer.token(|_| {})).unwrap();
    let mut metrics = guard.metrics();
    let position = Position { epoch: 1, seq: 20 };
    let picture = Picture { state: State::Lagging, age_ms: Some(3_100), position, records: 7, bytes: 8_192 };
    metrics.picture = Some(picture);
    let faults = Counts { duplicates: 1, old_epochs: 2, gaps: 3, forgeries: 4 };
    metrics.source("http", SourceCounts { faults, reconnects: 5 }).to_string()
}

#[test]
fn every_name_and_label_is_as_promised() {
    assert_eq!(page(), include_str!("metrics.txt"));
}

#[test]
fn every_line_belongs_to_a_family_that_was_announced() {
    let page = page();
    let mut family = "";
    for line in page.lines() {
        match line.strip_prefix("# TYPE ") {
            Some(rest) => family = rest.split(' ').next().unwrap(),
            None if line.starts_with('#') => {}
            None => {
                let (name, value) = line.rsplit_once(' ').unwrap();
                assert_eq!(name.split('{').next(), Some(family), "{line}");
                assert!(value.parse::<u64>().is_ok(), "{line}");
            }
        }
    }
}

#[test]
fn checks_are_counted_by_outcome_and_by_policy() {
    let issuer = Issuer::new();
    let view = Arc::new(View::new("live:eu1", Duration::from_secs(10)));
    let guard = issuer.guard().shared_revocations(view.clone()).build().unwrap();
    let (token, bad) = (issuer.token(|_| {}), Issuer::new().token(|_| {}));
    let allow = OnStale::AllowUpTo(Duration::MAX);
    let _ = guard.authenticate_under(&token, allow);
    view.set_salt(b"salt");
    view.note_as_of(Position { epoch: 1, seq: 1 }, 1_000);
    for policy in [allow, allow, OnStale::Deny] {
        let _ = guard.authenticate_under(&token, policy);
        let _ = guard.authenticate_under(&bad, policy);
    }
    let metrics = guard.metrics();
    let seen: Vec<_> = metrics.checks.into_iter().filter(|(_, count)| *count > 0).collect();
    assert_eq!(seen, [("accepted", 2), ("bad_signature", 3), ("stale", 2)]);
    let stale: Vec<_> = metrics.stale.iter().map(|row| (row.policy, row.accepted, row.refused)).collect();
    assert_eq!(stale, [("deny", 0, 1), ("introspect", 0, 0), ("allow_up_to", 2, 1)]);
}

#[test]
fn the_state_goes_from_nothing_to_live_to_stale() {
    let state = |view: &View| Revocations::picture(view).unwrap().state;
    let view = View::new("live:eu1", Duration::from_secs(10));
    assert_eq!((state(&view), view.age_ms()), (State::Init, None));
    view.set_salt(b"salt");
    assert_eq!(state(&view), State::Sync);
    let now_ms = view.clock().latest_ms();
    for (seq, age_ms, expected) in
        [(1, 20_000, State::Stale), (2, 5_000, State::Lagging), (3, 0, State::Live)]
    {
        view.note_as_of(Position { epoch: 1, seq }, now_ms - age_ms);
        assert_eq!(state(&view), expected);
        assert!(view.age_ms().is_some_and(|age| age >= age_ms));
    }
}

#[test]
fn nothing_of_a_token_is_on_the_page() {
    let issuer = Issuer::new();
    let guard = issuer.guard().build().unwrap();
    let token = issuer.token(|claims| claims["sub"] = "user:anna".into());
    guard.authenticate(&token).unwrap();
    let _ = guard.authenticate("anna.anna.anna");
    let page = guard.metrics().to_string();
    assert!(!page.contains("anna") && !page.contains("AZJk0gAAcAAAAAAAAAAAAA") && !page.contains("eu1"));
}
