//! What is kept and for how long: it is said, and it is done.

use std::time::{Duration, Instant};

use portcullis_authority::operators::OperatorRole;
use portcullis_store::{AuditQuery, Periods};
use portcullis_tests::client::STOREFRONT;
use portcullis_tests::office::Colleague;
use portcullis_tests::program::command;
use portcullis_tests::{Answer, Ground, Town};
use serde_json::{Value, json};

const DAY: u64 = 86_400;
/// What the server does by itself is done by then.
const PATIENCE: Duration = Duration::from_secs(30);

fn line<'a>(report: &'a Value, table: &str) -> &'a Value {
    let lines = report["kept"].as_array().expect("a list");
    lines.iter().find(|line| line["table"] == table).unwrap_or_else(|| panic!("{table} in {report}"))
}

pub async fn every_operator_may_read_what_is_kept_and_for_how_long(ground: &Ground) {
    let town = Town::open_with_office(ground).await;
    town.jane(&STOREFRONT).await;
    let auditor = town.operator(OperatorRole::Auditor).await;
    let report = auditor.get("/retention").await.with_status(200).json();
    let logins = line(&report, "families");
    assert_eq!((&logins["rows"], &logins["due"]), (&json!(1), &json!(0)), "{logins}");
    assert_eq!(logins["kept"], "90 days after their last possible refresh");
    assert_eq!(logins["setting"], "retention.logins_days");
    assert!(logins["oldest"].as_u64() > Some(town.now()));
    assert!(line(&report, "audit")["rows"].as_u64() > Some(1));
    assert_eq!(report["inactive"], Value::Null, "nobody is watched unless the settings say so");
    let mut nobody = auditor.request(reqwest::Method::GET, "/retention");
    nobody = nobody.header("authorization", "Bearer nothing");
    Answer::to(nobody).await.with_status(401);
    let mut shown = command("portcullis");
    shown.arg("retention").env("PORTCULLIS_ADMIN_URL", town.office());
    let shown = shown.env("PORTCULLIS_ADMIN_TOKEN", &auditor.token).output().expect("it runs");
    let said = String::from_utf8_lossy(&shown.stdout).into_owned();
    for part in ["TABLE", "families", "90 days after", "retention.logins_days", "audit", "reviews"] {
        assert!(said.contains(part), "{part} in {said}");
    }
}

pub async fn what_is_over_is_deleted_counted_and_told(ground: &Ground) {
    let mut town = Town::open_with(ground, |settings| {
        settings.admin.enabled = true;
        settings.admin.port = 0;
        settings.retention.logins_days = 10;
    })
    .await;
    let mut auditor = Colleague::make(&town, "ann@town.test", &[OperatorRole::Auditor]).await;
    town.jane(&STOREFRONT).await;
    // A login lasts two weeks, and is kept for ten days after that.
    restart(&mut town, 23 * DAY);
    come_in(&town, &mut auditor).await;
    let report = auditor.get("/retention").await.with_status(200).json();
    assert_eq!(line(&report, "families")["rows"], 1, "{report}");
    restart(&mut town, 2 * DAY);
    let told = executed(&town, "families").await;
    assert_eq!(told["removed"]["families"], 1, "{told}");
    come_in(&town, &mut auditor).await;
    let report = auditor.get("/retention").await.with_status(200).json();
    let logins = line(&report, "families");
    assert_eq!((&logins["rows"], &logins["removed"]), (&json!(0), &json!(1)), "{report}");
    assert!(logins["removed_at"].as_u64().is_some_and(|at| at <= town.now()));
    let verdict = auditor.get("/audit/verify").await.with_status(200).json();
    assert_eq!(verdict["sound"], true, "{verdict}");
}

pub async fn whoever_never_comes_is_warned_closed_and_forgotten(ground: &Ground) {
    let mut town = Town::open_with(ground, |settings| {
        settings.admin.enabled = true;
        settings.admin.port = 0;
        settings.retention.inactive_people_days = 60;
        settings.retention.inactive_warning_days = 10;
        settings.retention.erase_inactive_after_days = 20;
    })
    .await;
    let mut auditor = Colleague::make(&town, "ann@town.test", &[OperatorRole::Auditor]).await;
    until_watched(&town).await;
    town.later(40 * DAY).await;
    town.jane(&STOREFRONT).await;
    restart(&mut town, 11 * DAY);
    until_told(&town, "person.inactive.warned", "custRobAAA").await;
    assert_eq!(told(&town, "person.inactive.warned", "custJaneAA").await, 0, "she was here");
    assert_eq!(told(&town, "person.disabled", "custRobAAA").await, 0);
    restart(&mut town, 11 * DAY);
    until_told(&town, "person.disabled", "custRobAAA").await;
    until_told(&town, "person.disabled", "userPaulAA").await;
    // Acme has no other owner, nor has Rival.
    until_told(&town, "person.inactive.held", "userRingoA").await;
    until_told(&town, "person.inactive.held", "userGeorge").await;
    come_in(&town, &mut auditor).await;
    let report = auditor.get("/retention").await.with_status(200).json();
    assert_eq!(
        report["inactive"],
        json!({ "warned": 2, "closed": 2, "erased": 0, "held": ["userGeorge", "userRingoA"] })
    );
    let people = line(&report, "people");
    let kept = people["kept"].as_str().expect("words");
    assert!(kept.contains("closed after 60 days without use, anonymised 20 days later"), "{kept}");
    assert!(kept.contains("held back: userGeorge, userRingoA"), "{kept}");
    let rob = auditor.get("/people/custRobAAA").await.with_status(200).json();
    assert_eq!(
        (&rob["person"]["disabled"], &rob["person"]["email"]),
        (&json!(true), &json!("rob@example.com"))
    );
    restart(&mut town, 21 * DAY);
    until_told(&town, "person.erased", "custRobAAA").await;
    until_told(&town, "audit.erased", "userPaulAA").await;
    assert_eq!(told(&town, "person.inactive.held", "userRingoA").await, 1, "it is said once");
    come_in(&town, &mut auditor).await;
    let rob = auditor.get("/people/custRobAAA").await.with_status(200);
    assert!(!rob.body.contains("rob@example.com") && rob.body.contains("erased.invalid"), "{}", rob.body);
    town.jane(&STOREFRONT).await;
    let verdict = auditor.get("/audit/verify").await.with_status(200).json();
    assert_eq!(verdict["sound"], true, "{verdict}");
}

/// The janitor looks when a server begins, and then once a minute.
fn restart(town: &mut Town, later: u64) {
    town.clock.forward(later);
    town.stop();
    town.start_again();
}

async fn come_in(town: &Town, colleague: &mut Colleague) {
    colleague.move_to(&town.office());
    let entered = colleague.sign_in(&colleague.code(town.now())).await.with_status(201);
    colleague.token = entered.text("token");
}

/// Waits until accounts are watched.
async fn until_watched(town: &Town) {
    let began = Instant::now();
    let watched = town.look(async move |store| {
        let census = async || store.holdings(&Periods::default(), 0).await.expect("it reads");
        while census().await.iter().any(|held| held.table == "people_idle" && held.rows == 0) {
            if began.elapsed() > PATIENCE {
                return false;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        true
    });
    assert!(watched.await, "nobody watches");
}

/// How many records of this event there are about somebody.
async fn told(town: &Town, event: &'static str, subject: &'static str) -> usize {
    let (event, subject) = (Some(event.to_owned()), Some(subject.to_owned()));
    let query = AuditQuery { event, subject, limit: 100, ..AuditQuery::default() };
    let page = town.look(async move |store| store.audit_search(&query).await).await.expect("it reads");
    page.entries.len()
}

async fn until_told(town: &Town, event: &'static str, subject: &'static str) {
    let began = Instant::now();
    while told(town, event, subject).await == 0 {
        assert!(began.elapsed() < PATIENCE, "nobody tells of {event} about {subject}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// The detail of the record that tells of this table.
async fn executed(town: &Town, table: &'static str) -> Value {
    let began = Instant::now();
    loop {
        let query =
            AuditQuery { event: Some("retention.executed".into()), limit: 100, ..AuditQuery::default() };
        let page = town.look(async move |store| store.audit_search(&query).await).await.expect("it reads");
        let details = page.entries.into_iter().filter_map(|entry| entry.record.detail);
        let mut told = details.map(|detail| serde_json::from_str::<Value>(&detail).expect("JSON"));
        if let Some(told) = told.find(|told| !told["removed"][table].is_null()) {
            return told;
        }
        assert!(began.elapsed() < PATIENCE, "nobody tells of {table}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}
