//! A few quick faults in the ordinary test run; `make faults` tries all of them for longer.

use std::path::PathBuf;

use portcullis::testing::Scratch;
use portcullis_tests::faults::drill::drill;
use portcullis_tests::faults::{Plan, SCENARIOS, Trouble};

/// Small enough that a busy machine is done in time.
fn plan(scratch: &Scratch) -> Plan {
    Plan {
        server: PathBuf::from(env!("CARGO_BIN_EXE_faults-server")),
        guard: PathBuf::from(env!("CARGO_BIN_EXE_faults-guard")),
        home: scratch.path().to_owned(),
        seconds: 3,
        tokens: 60,
        bound_ms: 2500,
        seed: 1,
    }
}

fn holds(name: &str) {
    let scratch = Scratch::new();
    let scenario =
        SCENARIOS.iter().find(|scenario| scenario.name == name).expect("every name is on the list");
    match (scenario.run)(&plan(&scratch)) {
        Ok(report) => assert!(report.holds(), "{}\n{report}", report.line(name)),
        Err(Trouble::CannotRun(why) | Trouble::Broken(why)) => panic!("{name}: {why}"),
    }
}

#[test]
fn a_server_that_is_killed_keeps_what_it_acknowledged() {
    holds("server-killed");
}

#[test]
fn a_guard_that_starts_without_a_feed_accepts_nothing() {
    holds("guard-restarted");
}

#[test]
fn a_server_whose_clock_goes_back_still_ends_tokens() {
    holds("server-clock-back");
}

#[test]
fn a_database_that_is_put_back_brings_no_token_back() {
    holds("sqlite-put-back");
}

#[test]
fn guards_close_when_nobody_says_that_the_database_was_put_back() {
    holds("sqlite-put-back-unsaid");
}

#[test]
fn a_house_that_loses_redis_a_server_and_the_database_accepts_nothing_that_was_revoked() {
    let scratch = Scratch::new();
    match drill(&Plan { seconds: 10, tokens: 100, ..plan(&scratch) }) {
        Ok(drilled) => {
            assert!(drilled.report.holds(), "{drilled}\n{}", drilled.report);
            assert!(drilled.lost > 0 && drilled.backup_bytes > 0);
        }
        Err(Trouble::CannotRun(why))
            if std::env::var_os("PORTCULLIS_TEST_REDIS").is_none_or(|wish| wish != "required") =>
        {
            eprintln!("the drill DID NOT RUN: {why}");
        }
        Err(Trouble::CannotRun(why) | Trouble::Broken(why)) => panic!("the drill: {why}"),
    }
}

#[test]
fn every_fault_is_explained_to_the_reader() {
    let page = include_str!("../../docs/revocation.md");
    for scenario in SCENARIOS {
        assert!(page.contains(&format!("| `{}` |", scenario.name)), "{}", scenario.name);
    }
}

#[test]
fn every_fault_has_a_name_of_its_own() {
    let mut names: Vec<_> = SCENARIOS.iter().map(|scenario| scenario.name).collect();
    names.sort_unstable();
    names.dedup();
    assert_eq!(names.len(), SCENARIOS.len());
}
