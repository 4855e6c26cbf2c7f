//! The audit log: that it can be proved, that others are told of it, and that strangers cannot fill it.

use std::process::Output;
use std::time::{Duration, Instant};

use portcullis::settings::{Destination, Settings};
use portcullis_authority::operators::OperatorRole;
use portcullis_store::{AuditQuery, Store};
use portcullis_tests::client::{BACKEND, STOREFRONT_SERVER};
use portcullis_tests::program::command;
use portcullis_tests::receiver::Manner;
use portcullis_tests::{Answer, Ground, Receiver, Town};
use serde_json::{Value, json};

pub async fn every_record_reaches_a_destination_in_order_whatever_happens_to_it(ground: &Ground) {
    let receiver = Receiver::open(&[
        Manner::Answers(503),
        Manner::HangsUp,
        Manner::Dawdles(Duration::from_millis(600)),
        Manner::Answers(200),
        Manner::Answers(429),
    ]);
    let mut town = Town::open_with(ground, |settings| tell(settings, &receiver, 3)).await;
    let begin = head(&town).await;
    for _ in 0..5 {
        town.client_token(&BACKEND).await;
    }
    receiver.wait_for(1);
    town.stop();
    town.start_again();
    for _ in 0..5 {
        town.client_token(&BACKEND).await;
    }
    // The server may have been stopped between a yes and its note of it: then the same comes again.
    let mut numbers: Vec<u64> = Vec::new();
    let began = Instant::now();
    while numbers.len() < 10 {
        let taken = receiver.wait_for(10);
        numbers = taken.iter().map(|record| record["seq"].as_u64().expect("a number")).collect();
        numbers.dedup();
        assert!(began.elapsed() < Duration::from_secs(20), "{numbers:?}");
    }
    let expected: Vec<u64> = (begin + 1..).take(numbers.len()).collect();
    assert_eq!(numbers, expected, "in order, and nothing is lost");
    assert!(receiver.requests() > 4, "it was tried again");
    // When it stopped, the server vouched for what it had written.
    let began = Instant::now();
    while receiver.checkpoints().is_empty() {
        assert!(began.elapsed() < Duration::from_secs(20), "no checkpoint comes");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

pub async fn what_a_destination_refuses_is_put_aside_and_told_again_on_request(ground: &Ground) {
    let receiver = Receiver::open(&[Manner::Answers(400), Manner::Answers(400)]);
    let town = Town::open_with(ground, |settings| tell(settings, &receiver, 2)).await;
    wait(&town, async |store| store.audit_deliveries().await.expect("it reads").len() == 2).await;
    town.client_token(&BACKEND).await;
    wait(&town, async |store| !store.dead_letters(None, 9).await.expect("it reads").is_empty()).await;
    let letter =
        town.look(async |store| store.dead_letters(None, 9).await).await.expect("it reads").remove(0);
    assert_eq!((letter.destination.as_str(), letter.tries), ("siem", 2));
    // What comes after is told meanwhile.
    town.client_token(&BACKEND).await;
    let after = receiver.wait_for(1);
    assert_eq!(after[0]["seq"], letter.last + 1);
    let said = audit(&town, &["dead-letters"]);
    assert!(text(&said.stdout).contains("it answered 400"), "{said:?}");
    assert!(text(&audit(&town, &["dead-letters", "--requeue", "siem"]).stdout).starts_with("1 will be"));
    wait(&town, async |store| store.dead_letters(None, 9).await.expect("it reads").is_empty()).await;
    assert!(receiver.wait_for(2).iter().any(|record| record["seq"] == letter.first));
}

pub async fn of_many_records_only_the_one_that_is_not_wanted_is_put_aside(ground: &Ground) {
    let receiver = Receiver::open(&[Manner::Dawdles(Duration::from_millis(900))]);
    let town = Town::open_with(ground, |settings| tell(settings, &receiver, 2)).await;
    wait(&town, async |store| !store.audit_deliveries().await.expect("it reads").is_empty()).await;
    let begin = head(&town).await;
    let disliked = begin + 11;
    receiver.dislike(Some(disliked));
    // The first is being told while the others come, so they are told together.
    for _ in 0..24 {
        town.client_token(&BACKEND).await;
    }
    wait(&town, async |store| !store.dead_letters(None, 9).await.expect("it reads").is_empty()).await;
    let taken = receiver.wait_for(23);
    let mut numbers: Vec<u64> =
        taken.iter().map(|record| record["seq"].as_u64().expect("a number")).collect();
    numbers.dedup();
    let wanted: Vec<u64> = (begin + 1..=begin + 24).filter(|seq| *seq != disliked).collect();
    assert_eq!(numbers, wanted, "the rest comes in order");
    let letters = town.look(async |store| store.dead_letters(None, 9).await).await.expect("it reads");
    let rows: Vec<_> = letters.iter().map(|letter| (letter.first, letter.last)).collect();
    assert_eq!(rows, [(disliked, disliked)]);
    // Refused again it stays; once it is wanted it is told.
    town.look(async |store| store.requeue("siem", None).await).await.expect("it writes");
    wait(&town, async |store| !store.dead_letters(None, 9).await.expect("it reads")[0].again).await;
    receiver.dislike(None);
    town.look(async |store| store.requeue("siem", None).await).await.expect("it writes");
    wait(&town, async |store| store.dead_letters(None, 9).await.expect("it reads").is_empty()).await;
    assert!(receiver.wait_for(24).iter().any(|record| record["seq"] == disliked));
}

pub async fn broken_glass_is_told_apart_and_does_not_wait_behind_others(ground: &Ground) {
    let receiver = Receiver::open(&[]);
    let town = Town::open_with(ground, |settings| {
        tell(settings, &receiver, 3);
        settings.admin.enabled = true;
        settings.admin.port = 0;
    })
    .await;
    wait(&town, async |store| store.audit_deliveries().await.expect("it reads").len() == 2).await;
    let owner = town.operator(OperatorRole::Owner).await;
    assert!(receiver.alerts().is_empty(), "to come in is nothing loud");
    let body = json!({ "kind": "everything", "reason": "keys on the street", "break_glass": true });
    owner.post("/cuts", &body).await.with_status(200);
    let began = Instant::now();
    while receiver.alerts().is_empty() {
        assert!(began.elapsed() < Duration::from_secs(20), "nobody hears of it");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let alerts = receiver.alerts();
    assert_eq!(alerts.len(), 1, "one at a time");
    assert_eq!(
        (&alerts[0]["event"], &alerts[0]["reason"]),
        (&json!("break_glass.used"), &json!("keys on the street"))
    );
    // It comes in its order as well, so that nothing is missing there.
    let began = Instant::now();
    while !receiver.wait_for(1).iter().any(|it| it["event"] == "break_glass.used") {
        assert!(began.elapsed() < Duration::from_secs(20), "a gap in the order");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

pub async fn an_alert_that_nobody_takes_is_tried_again_and_put_aside(ground: &Ground) {
    // The first request of all is the alert: nothing else has happened since the lanes were opened.
    let receiver = Receiver::open(&[Manner::Answers(400); 12]);
    let town = Town::open_with(ground, |settings| {
        tell(settings, &receiver, 2);
        settings.admin.enabled = true;
        settings.admin.port = 0;
    })
    .await;
    wait(&town, async |store| store.audit_deliveries().await.expect("it reads").len() == 2).await;
    let owner = town.operator(OperatorRole::Owner).await;
    let body = json!({ "kind": "everything", "reason": "keys on the street", "break_glass": true });
    owner.post("/cuts", &body).await.with_status(200);
    wait(&town, async |store| {
        !store.dead_letters(Some("siem.alerts"), 9).await.expect("it reads").is_empty()
    })
    .await;
    let said = text(&audit(&town, &["dead-letters"]).stdout);
    assert!(said.contains("siem.alerts"), "{said}");
    assert!(
        text(&audit(&town, &["dead-letters", "--requeue", "siem.alerts"]).stdout).starts_with("1 will be")
    );
    let began = Instant::now();
    while receiver.alerts().is_empty() {
        assert!(began.elapsed() < Duration::from_secs(30), "it is not told again");
        audit(&town, &["dead-letters", "--requeue", "siem.alerts"]);
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
}

pub async fn the_command_line_proves_the_log_and_names_what_was_altered(ground: &Ground) {
    let mut town = Town::open(ground).await;
    for _ in 0..3 {
        town.client_token(&BACKEND).await;
    }
    town.stop();
    let sound = audit(&town, &["verify"]);
    assert!(sound.status.success(), "{sound:?}");
    assert!(text(&sound.stdout).contains("signed checkpoints agree"), "{sound:?}");
    town.tamper_with_audit("UPDATE audit SET reason = 'nothing' WHERE seq = 3").await;
    let altered = audit(&town, &["verify"]);
    assert_eq!(altered.status.code(), Some(1));
    assert!(text(&altered.stderr).contains("row 3 was changed; 2 rows before it"), "{altered:?}");
    assert!(audit(&town, &["verify", "--from", "4"]).status.success(), "what is behind it is sound");
    let said = audit(&town, &["verify", "--json"]);
    let said: Value = serde_json::from_slice(&said.stdout).expect("JSON");
    assert_eq!((&said["sound"], &said["first_bad"]), (&Value::from(false), &Value::from(3)));
    town.start_again();
}

pub async fn a_log_that_was_rewritten_is_found_by_what_was_kept_elsewhere(ground: &Ground) {
    let mut town = Town::open(ground).await;
    for _ in 0..3 {
        town.client_token(&BACKEND).await;
    }
    town.stop();
    let kept = audit(&town, &["checkpoints"]).stdout;
    let file = town.settings.keys.directory.join("kept.txt");
    std::fs::write(&file, &kept).expect("it is written");
    // Everything goes, and is written anew by somebody who knows how.
    let anew = "DELETE FROM audit_checkpoints; DELETE FROM audit; UPDATE audit_head SET seq = 0, hash = ''";
    town.tamper_with_audit(anew).await;
    town.start_again();
    for _ in 0..6 {
        town.client_token(&BACKEND).await;
    }
    town.stop();
    assert!(audit(&town, &["verify"]).status.success(), "the books alone cannot know");
    let file = file.to_str().expect("a path of ours");
    let found = audit(&town, &["verify", "--checkpoints", file]);
    assert_eq!(found.status.code(), Some(1));
    assert!(text(&found.stderr).contains("is not the one in a signed checkpoint"), "{found:?}");
    // A checkpoint that nobody signed is none.
    std::fs::write(file, text(&kept).replace("eyJ", "eyK")).expect("it is written");
    let forged = audit(&town, &["verify", "--checkpoints", file]);
    assert!(text(&forged.stderr).contains("that was handed in"), "{forged:?}");
    town.start_again();
}

pub async fn strangers_are_written_down_a_few_times_and_then_counted(ground: &Ground) {
    let mut town = Town::open(ground).await;
    let stranger = BACKEND.with_secret("not-the-secret");
    for _ in 0..20 {
        town.token(&stranger, "client_credentials", &[]).await.with_status(401);
    }
    // Somebody who is proved is never counted, however often they are refused.
    for _ in 0..6 {
        town.token(&STOREFRONT_SERVER, "client_credentials", &[("scope", "market:id:none")]).await;
    }
    town.stop();
    let query = AuditQuery { event: Some("token.refused".into()), limit: 100, ..AuditQuery::default() };
    let page = town.look(async move |store| store.audit_search(&query).await).await.expect("it reads");
    let (theirs, ours): (Vec<_>, Vec<_>) =
        page.entries.iter().partition(|entry| entry.record.organization.is_none());
    assert_eq!(ours.len(), 6);
    assert_eq!(theirs.len(), 4, "three one by one, and the rest in one: {theirs:?}");
    let counted: Value =
        serde_json::from_str(theirs[0].record.detail.as_deref().expect("a detail")).expect("JSON");
    assert_eq!(counted["more"], 17);
    town.start_again();
}

pub async fn looking_into_the_log_leaves_a_record(ground: &Ground) {
    let town = Town::open(ground).await;
    town.client_token(&BACKEND).await;
    let found = audit(&town, &["search", "--client-id", "backend", "--json"]);
    let found: Value = serde_json::from_slice(&found.stdout).expect("one line of JSON");
    assert_eq!(found["event"], "token.issued");
    let csv = audit(&town, &["export", "--format", "csv"]);
    let csv = text(&csv.stdout);
    assert!(csv.starts_with("seq,time,event,") && csv.contains(",audit.searched,"), "{csv}");
    let lines = audit(&town, &["export", "--event", "audit.exported"]);
    assert_eq!(text(&lines.stdout).lines().count(), 2, "the one before, and this one");
    assert!(audit(&town, &["verify"]).status.success());
}

pub async fn what_is_looked_for_in_the_log_is_bounded(ground: &Ground) {
    let town = Town::open_with_office(ground).await;
    let auditor = town.operator(OperatorRole::Auditor).await;
    let long = "x".repeat(257);
    for path in [
        format!("/audit?subject={long}"),
        format!("/audit/export?jti={long}"),
        "/audit?event=a%00b".to_owned(),
        format!("/audit?organization={}", "%C3%A4".repeat(129)),
    ] {
        auditor.get(&path).await.with_status(422);
    }
    auditor.get(&format!("/audit?subject={}", "x".repeat(256))).await.with_status(200);
}

pub async fn an_auditor_reviews_the_log_and_others_do_not(ground: &Ground) {
    let town = Town::open_with_office(ground).await;
    town.client_token(&BACKEND).await;
    let auditor = town.operator(OperatorRole::Auditor).await;
    let found = auditor.get("/audit?client_id=backend&limit=1").await.with_status(200).json();
    assert_eq!(found["records"][0]["event"], "token.issued");
    let noted = auditor.get("/audit?event=audit.searched").await.with_status(200).json();
    assert_eq!(noted["records"].as_array().map(Vec::len), Some(2), "the one before, and this one");
    assert!(noted["records"][0]["actors"][0].as_str().is_some_and(|actor| !actor.is_empty()));
    let verdict = auditor.get("/audit/verify").await.with_status(200).json();
    assert_eq!(verdict["sound"], true);
    let csv = auditor.get("/audit/export?format=csv").await.with_status(200);
    assert!(csv.header("content-type").starts_with("text/csv") && csv.body.starts_with("seq,time,event,"));
    assert!(csv.body.matches("\r\n").count() > 3);
    auditor.get("/audit/export?format=xml").await.with_status(422);
    auditor.get("/audit?evnt=x").await.with_status(422);
    auditor.get("/audit/checkpoints").await.with_status(200);
    auditor.get("/audit/destinations").await.with_status(200);
    auditor.get("/audit/dead-letters").await.with_status(200);
    auditor.post("/audit/destinations/siem/requeue", &json!({})).await.with_status(403);
    let operator = town.operator(OperatorRole::Operator).await;
    for path in ["/audit", "/audit/export", "/audit/verify", "/audit/checkpoints", "/audit/dead-letters"] {
        operator.get(path).await.with_status(403);
    }
    let owner = town.operator(OperatorRole::Owner).await;
    let none = owner.post("/audit/destinations/siem/requeue", &json!({})).await.with_status(200).json();
    assert_eq!(none["requeued"], 0);
}

pub async fn the_log_is_read_over_the_operators_listener_by_those_who_review(ground: &Ground) {
    let town = Town::open_with_office(ground).await;
    town.client_token(&BACKEND).await;
    let auditor = town.operator(OperatorRole::Auditor).await;
    let ask = |token: &str, arguments: &[&str]| {
        let mut asked = command("portcullis");
        asked.env("PORTCULLIS_ADMIN_URL", town.office()).env("HOME", "/nonexistent");
        if !token.is_empty() {
            asked.env("PORTCULLIS_ADMIN_TOKEN", token);
        }
        asked.arg("audit").args(arguments).output().expect("the program starts")
    };
    let said = |arguments: &[&str]| {
        let seen = ask(&auditor.token, arguments);
        assert!(seen.status.success(), "{arguments:?}: {seen:?}");
        text(&seen.stdout)
    };
    assert!(said(&["verify"]).contains("rows"), "{}", said(&["verify"]));
    let verdict: Value = serde_json::from_str(&said(&["verify", "--json"])).expect("JSON");
    assert_eq!(verdict["sound"], true);
    let table = said(&["search", "--client-id", "backend"]);
    assert!(table.contains("EVENT") && table.contains("token.issued"), "{table}");
    let line: Value =
        serde_json::from_str(&said(&["search", "--client-id", "backend", "--json"])).expect("one line");
    assert_eq!(line["event"], "token.issued");
    assert_eq!(said(&["search", "--limit", "2", "--json"]).lines().count(), 2);
    let csv = said(&["export", "--format", "csv"]);
    assert!(csv.starts_with("seq,time,event,") && csv.contains(",audit.searched,"), "{csv}");
    assert_eq!(
        said(&["export", "--event", "audit.exported"]).lines().count(),
        2,
        "the one before, and this one"
    );
    said(&["checkpoints"]);
    assert!(
        said(&["destinations"]).starts_with("DESTINATION")
            && said(&["dead-letters"]).starts_with("DESTINATION")
    );
    // Who looked is an operator, and not the command line.
    let noted = auditor.get("/audit?event=audit.exported").await.with_status(200).json();
    assert_eq!(noted["records"][0]["actors"], json!([format!("operator:{}", auditor.id)]));
    let operator = town.operator(OperatorRole::Operator).await;
    for arguments in [&["verify"][..], &["search"], &["export"], &["checkpoints"], &["dead-letters"]] {
        let refused = ask(&operator.token, arguments);
        assert_eq!(refused.status.code(), Some(1), "{refused:?}");
        assert!(text(&refused.stderr).contains("refused (403)"), "{refused:?}");
    }
    let requeue = ask(&auditor.token, &["dead-letters", "--requeue", "siem"]);
    assert!(text(&requeue.stderr).contains("owner"), "{requeue:?}");
    let nobody = ask("", &["search"]);
    assert!(text(&nobody.stderr).contains("portcullis login"), "{nobody:?}");
    assert_eq!(
        ask(&auditor.token, &["verify", "--checkpoints", "x"]).status.code(),
        Some(2),
        "it takes --books"
    );
}

pub async fn what_is_old_is_forgotten_and_the_rest_still_proves_itself(ground: &Ground) {
    let mut town = Town::open_with(ground, |settings| settings.audit.retention_days = 30).await;
    for _ in 0..3 {
        town.client_token(&BACKEND).await;
    }
    let old = head(&town).await;
    town.clock.forward(31 * 86400);
    town.stop();
    town.start_again();
    wait(&town, async move |store| store.audit_anchor().await.expect("it reads").seq >= old).await;
    Answer::to(town.get("/healthz")).await.with_status(200);
    town.client_token(&BACKEND).await;
    let said = audit(&town, &["verify"]);
    assert!(said.status.success(), "{said:?}");
    // Nobody else may say where the log begins.
    town.tamper_with_audit("UPDATE audit_anchor SET statement = 'x'").await;
    let doubted = audit(&town, &["verify"]);
    assert!(text(&doubted.stderr).contains("the statement that what was before was old"), "{doubted:?}");
}

fn tell(settings: &mut Settings, receiver: &Receiver, tries: u32) {
    let to = Destination {
        secret: Some(Receiver::secret()),
        tries,
        patience_ms: 300,
        ..Destination::at(format!("http://{}/in", receiver.address))
    };
    settings.audit.destinations.insert("siem".into(), to);
}

async fn head(town: &Town) -> u64 {
    town.look(async |store| store.audit_head().await).await.expect("it reads").seq
}

async fn wait(town: &Town, until: impl AsyncFn(Store) -> bool + Clone + Send + 'static) {
    let began = Instant::now();
    let found = town.look(async move |store| {
        while !until(store.clone()).await {
            if began.elapsed() > Duration::from_secs(20) {
                return false;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        true
    });
    assert!(found.await, "it does not come to that");
}

/// `portcullis audit` on the town's books.
fn audit(town: &Town, arguments: &[&str]) -> Output {
    let mut audit = command("portcullis");
    audit.env("PORTCULLIS__STORE__URL", &town.settings.store.url);
    audit.env("PORTCULLIS__KEYS__DIRECTORY", &town.settings.keys.directory);
    audit.arg("audit").args(arguments).arg("--books");
    audit.output().expect("the program starts")
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}
