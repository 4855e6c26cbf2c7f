//! Members who read each other over the Provisioning API: who looked, at whom and where is in the log, what was seen
//! is not; and what cannot be noted is not shown.

use std::time::Duration;

use portcullis_store::AuditEntry;
use portcullis_tests::client::PERSONAL;
use portcullis_tests::{Answer, Ground, Town};
use serde_json::{Value, json};

use super::coverage::log_of;

const READ: &str = "registry.read";

async fn get(town: &Town, token: &str, path: &str) -> Answer {
    Answer::to(town.get(&format!("/api/{path}")).bearer_auth(token)).await
}

/// What reading this has left, as the details of its records.
async fn left(town: &Town, answer: &Answer) -> Vec<Value> {
    let log = log_of(town).await;
    let id = answer.header("x-request-id");
    let theirs = log.iter().filter(|it| it.record.request_id.as_deref() == Some(id));
    theirs.map(detail).collect()
}

fn detail(entry: &AuditEntry) -> Value {
    serde_json::from_str(entry.record.detail.as_deref().expect("a detail")).expect("JSON")
}

fn place_of(listed: &Answer, email: &str) -> String {
    let all = listed.json()["data"].clone();
    let theirs = all.as_array().expect("a list").iter().find(|it| it["attributes"]["user_email"] == email);
    theirs.expect("they have a place")["id"].as_str().expect("an id").to_owned()
}

pub async fn members_who_see_others_are_noted_with_whom_and_never_with_what(ground: &Ground) {
    let town = Town::open(ground).await;
    let token = town.client_token(&PERSONAL).await;
    let listed = get(&town, &token, "memberships").await.with_status(200);
    assert!(listed.body.contains("paul@example.com"), "{listed:?}");
    let paul = json!({ "kinds": { "memberships": 1 }, "people": ["userPaulAA"] });
    assert_eq!(left(&town, &listed).await, std::slice::from_ref(&paul));
    let log = log_of(&town).await;
    let record = &log.iter().find(|it| it.record.event == READ).expect("it is there").record;
    assert_eq!(record.subject.as_deref(), Some("userRingoA"));
    assert_eq!(record.organization.as_deref(), Some("orgAcmeAAA"));
    assert_eq!(record.client_id.as_deref(), Some("personal"));
    assert_eq!(record.address.as_deref(), Some("127.0.0.1"));
    assert!(record.jti.is_some() && !record.detail.as_ref().expect("a detail").contains('@'));
    // A change of Paul's place, and what was before and after.
    let place = place_of(&listed, "paul@example.com");
    let draft = json!({ "data": { "type": "memberships", "attributes": { "metadata": { "desk": 7 } } } });
    let changed = town.request(reqwest::Method::PATCH, &format!("/api/memberships/{place}"));
    let changed = changed.header("content-type", "application/vnd.api+json").body(draft.to_string());
    Answer::to(changed.bearer_auth(&town.client_token(&PERSONAL).await)).await.with_status(200);
    let versions = json!({ "kinds": { "versions": 1 }, "people": ["userPaulAA"] });
    for (path, expected) in [
        ("versions", versions.clone()),
        (&*format!("memberships/{place}/versions"), versions),
        // Leaving attributes out does not leave the person out: a filter tells them as well.
        (&*format!("memberships/{place}?fields[memberships]=status"), paul.clone()),
        ("roles/orgAcmeAAA.admin?include=memberships", paul.clone()),
    ] {
        let token = town.client_token(&PERSONAL).await;
        let seen = get(&town, &token, path).await.with_status(200);
        assert_eq!(left(&town, &seen).await, [expected], "{path}");
    }
}

pub async fn a_search_for_people_is_noted_whatever_it_finds(ground: &Ground) {
    let town = Town::open(ground).await;
    for filter in ["user_email_eq", "user_first_name_or_user_last_name_eq"] {
        let token = town.client_token(&PERSONAL).await;
        let asked = get(&town, &token, &format!("memberships?filter[q][{filter}]=nobody")).await;
        assert_eq!(asked.clone().with_status(200).json()["data"], json!([]));
        assert_eq!(left(&town, &asked).await, [json!({ "kinds": {}, "looks_for_people": true })], "{filter}");
    }
    let token = town.client_token(&PERSONAL).await;
    let through = "application_memberships?filter[q][membership_user_email_start]=p&page[number]=9";
    let asked = get(&town, &token, through).await.with_status(200);
    assert_eq!(left(&town, &asked).await.len(), 1);
    let log = log_of(&town).await;
    assert!(log.iter().filter(|it| it.record.event == READ).all(|it| !format!("{it:?}").contains("nobody")));
}

pub async fn whoever_reads_themselves_or_nobody_leaves_nothing(ground: &Ground) {
    let town = Town::open(ground).await;
    let token = town.client_token(&PERSONAL).await;
    let listed = get(&town, &token, "memberships").await.with_status(200);
    let own = place_of(&listed, "ringo@example.com");
    for path in [
        "user",
        &format!("memberships/{own}"),
        &format!("memberships/{own}?include=role,organization,versions"),
        "roles?include=organization,permissions",
        "api_credentials",
        "organizations/orgAcmeAAA/relationships/memberships",
        "roles?filter[q][name_eq]=admin",
    ] {
        let seen = get(&town, &token, path).await.with_status(200);
        assert_eq!(left(&town, &seen).await, Vec::<Value>::new(), "{path}");
    }
}

pub async fn the_same_seen_again_within_a_minute_is_one_record(ground: &Ground) {
    let town = Town::open(ground).await;
    let token = town.client_token(&PERSONAL).await;
    let noted = async || log_of(&town).await.iter().filter(|it| it.record.event == READ).count();
    for _ in 0..5 {
        get(&town, &token, "memberships").await.with_status(200);
    }
    assert_eq!(noted().await, 1);
    // Another selection is something else that was seen, and so is the same by another token.
    get(&town, &token, "memberships?filter[q][user_email_eq]=paul@example.com").await.with_status(200);
    assert_eq!(noted().await, 2);
    get(&town, &town.client_token(&PERSONAL).await, "memberships").await.with_status(200);
    assert_eq!(noted().await, 3);
    town.later(61).await;
    get(&town, &token, "memberships").await.with_status(200);
    assert_eq!(noted().await, 4);
}

pub async fn what_cannot_be_noted_is_not_shown(ground: &Ground) {
    let town = Town::open_with(ground, |settings| settings.store.patience_ms = 1000).await;
    let token = town.client_token(&PERSONAL).await;
    let held = town.hold_the_books().await;
    let refused = get(&town, &token, "memberships").await.with_status(503);
    assert!(!refused.body.contains('@'), "{refused:?}");
    get(&town, &token, "roles").await.with_status(200);
    drop(held);
    // What was not noted does not count as told.
    let began = std::time::Instant::now();
    let shown = loop {
        let answer = get(&town, &token, "memberships").await;
        if answer.status == 200 {
            break answer;
        }
        assert!(began.elapsed() < Duration::from_secs(20), "{answer:?}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    };
    assert_eq!(left(&town, &shown).await.len(), 1);
}
