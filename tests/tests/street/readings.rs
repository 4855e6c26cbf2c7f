//! Members who read each other over the Provisioning API: who looked, at whom and where is in the log, what was seen
//! is not; and what cannot be noted is not shown.

use std::time::Duration;

use portcullis_store::AuditEntry;
use portcullis_tests::client::PERSONAL;
use portcullis_tests::{Answer, Ground, Town};
use reqwest::Method;
use serde_json::{Value, json};

use super::coverage::log_of;

const READ: &str = "registry.read";

async fn send(town: &Town, method: Method, path: &str, draft: &Value) -> Answer {
    let asked = town.request(method, &format!("/api/{path}"));
    let asked = asked.header("content-type", "application/vnd.api+json").body(draft.to_string());
    Answer::to(asked.bearer_auth(&town.client_token(&PERSONAL).await)).await
}

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
    send(&town, Method::PATCH, &format!("memberships/{place}"), &draft).await.with_status(200);
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
    let log = log_of(&town).await;
    assert!(log.iter().filter(|it| it.record.event == READ).all(|it| !format!("{it:?}").contains("nobody")));
}

pub async fn a_search_names_whom_it_finds_though_the_page_is_empty(ground: &Ground) {
    let town = Town::open(ground).await;
    let token = town.client_token(&PERSONAL).await;
    let paul = place_of(&get(&town, &token, "memberships").await, "paul@example.com");
    let found = json!({ "kinds": { "memberships": 1 }, "people": ["userPaulAA"], "looks_for_people": true });
    let vain = json!({ "kinds": {}, "looks_for_people": true });
    // How many fit tells a letter, or what somebody has beside a name.
    for (filter, expected) in [
        ("user_email_start]=pa", &found),
        ("status_eq]=active", &found),
        ("metadata_cont]=no-such-thing", &vain),
    ] {
        let path = format!("memberships?filter[q][id_eq]={paul}&filter[q][{filter}&page[number]=1000");
        let asked = get(&town, &town.client_token(&PERSONAL).await, &path).await.with_status(200);
        assert_eq!(asked.json()["data"], json!([]), "{filter}");
        assert_eq!(left(&town, &asked).await, std::slice::from_ref(expected), "{filter}");
    }
    // Whoever is looked for through something else was looked for.
    let partner = get(&town, &token, "api_credentials?filter[q][client_id_eq]=partner").await;
    let partner = partner.json()["data"][0]["id"].clone();
    let through = json!({ "data": {
        "type": "application_memberships",
        "relationships": {
            "organization": { "data": { "type": "organizations", "id": "orgAcmeAAA" } },
            "membership": { "data": { "type": "memberships", "id": paul } },
            "api_credential": { "data": { "type": "api_credentials", "id": partner } },
            "role": { "data": { "type": "roles", "id": "orgAcmeAAA.support" } },
        },
    } });
    send(&town, Method::POST, "application_memberships", &through).await.with_status(201);
    let path = "application_memberships?filter[q][membership_status_eq]=active&page[number]=9";
    let asked = get(&town, &token, path).await.with_status(200);
    let expected = json!({ "kinds": { "application_memberships": 1 }, "people": ["userPaulAA"], "looks_for_people": true });
    assert_eq!(left(&town, &asked).await, [expected]);
    // A query that is refused has looked at nobody.
    let refused = format!("memberships?filter[q][id_eq]={paul}&include=versions,bogus");
    let refused = get(&town, &town.client_token(&PERSONAL).await, &refused).await.with_status(400);
    assert_eq!(left(&town, &refused).await, Vec::<Value>::new());
}

pub async fn a_search_in_vain_names_every_organization_that_it_went_through(ground: &Ground) {
    let town = Town::open(ground).await;
    let draft = json!({ "data": { "type": "organizations", "attributes": { "name": "Second" } } });
    let made = send(&town, Method::POST, "organizations", &draft).await.with_status(201);
    let second = made.json()["data"]["id"].as_str().expect("an id").to_owned();
    let token = town.client_token(&PERSONAL).await;
    let search = "memberships?filter[q][user_email_eq]=nobody";
    let alone = get(&town, &token, search).await.with_status(200);
    let only = json!({ "kinds": {}, "looks_for_people": true });
    assert_eq!(left(&town, &alone).await, [only], "in the second there is nobody else");
    let invited = json!({ "data": {
        "type": "memberships",
        "attributes": { "user_email": "new@example.com" },
        "relationships": {
            "organization": { "data": { "type": "organizations", "id": second } },
            "role": { "data": { "type": "roles", "id": format!("{second}.admin") } },
        },
    } });
    send(&town, Method::POST, "memberships", &invited).await.with_status(201);
    let both = get(&town, &town.client_token(&PERSONAL).await, search).await.with_status(200);
    let mut through = ["orgAcmeAAA".to_owned(), second];
    through.sort_unstable();
    let expected = json!({ "kinds": {}, "organizations": through, "looks_for_people": true });
    assert_eq!(left(&town, &both).await, [expected]);
}

pub async fn what_changes_nothing_is_in_the_log_and_among_no_versions(ground: &Ground) {
    let town = Town::open(ground).await;
    let token = town.client_token(&PERSONAL).await;
    let path = "roles/orgAcmeAAA.support";
    let name = get(&town, &token, path).await.json()["data"]["attributes"]["name"].clone();
    let draft = json!({ "data": { "type": "roles", "attributes": { "name": name } } });
    let same = send(&town, Method::PATCH, path, &draft).await.with_status(200);
    let id = same.header("x-request-id");
    let log = log_of(&town).await;
    assert!(
        log.iter().any(|it| {
            it.record.request_id.as_deref() == Some(id) && it.record.event == "registry.changed"
        })
    );
    let versions = get(&town, &token, &format!("{path}/versions")).await.with_status(200);
    assert_eq!(versions.json()["data"], json!([]));
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
