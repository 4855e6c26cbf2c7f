//! A customer asks for their data, or to be forgotten.

use portcullis_authority::operators::OperatorRole;
use portcullis_tests::client::STOREFRONT;
use portcullis_tests::office::Colleague;
use portcullis_tests::{Ground, Town};
use serde_json::{Value, json};

const JANE: &str = "custJaneAA";

pub async fn all_that_is_held_is_given_without_what_opens_anything(ground: &Ground) {
    let town = Town::open_with_office(ground).await;
    let op = town.operator(OperatorRole::Operator).await;
    let auditor = town.operator(OperatorRole::Auditor).await;
    town.jane(&STOREFRONT).await;
    let held = op.get(&format!("/people/{JANE}/export")).await.with_status(200);
    for secret in ["$argon2", "hush-jane", "\"secret\""] {
        assert!(!held.body.contains(secret), "{secret}");
    }
    let held = held.json();
    assert_eq!(held["person"]["email"], "jane@example.com");
    assert_eq!(held["logins"].as_array().unwrap().len(), 1);
    assert_eq!(held["places"][0]["address"], "127.0.0.1");
    let events: Vec<_> = held["audit"].as_array().unwrap().iter().map(|it| it["event"].clone()).collect();
    assert!(events.contains(&json!("token.issued")) && held["audit_complete"] == true, "{events:?}");
    auditor.get(&format!("/people/{JANE}/export")).await.with_status(403);
    op.get("/people/nobody/export").await.with_status(404);
    let audit = town.look(async |store| store.audit_page(0, 10_000).await.unwrap()).await;
    let noted = audit.iter().find(|it| {
        it.record.event == "personal_data.read"
            && it.record.detail.as_deref().is_some_and(|call| call.contains("/export"))
    });
    assert_eq!(noted.unwrap().record.subject.as_deref(), Some(JANE));
}

/// Proposes to erase somebody, and has it approved.
async fn erase(op: &Colleague, ap: &Colleague, person: &str) {
    let wish = op.post("/proposals", &wish(person)).await.with_status(201).json();
    let path = format!("/proposals/{}/approve", wish["id"].as_str().unwrap());
    ap.post(&path, &json!({ "digest": wish["digest"] })).await.with_status(200);
}

fn wish(person: &str) -> Value {
    json!({ "kind": "erasure", "what": { "person": person }, "reason": "asked by letter" })
}

pub async fn whoever_is_erased_leaves_an_id_and_a_whole_chain(ground: &Ground) {
    let town = Town::open_with_office(ground).await;
    let op = town.operator(OperatorRole::Operator).await;
    let ap = town.operator(OperatorRole::Approver).await;
    let jane = town.jane(&STOREFRONT).await.access_token();
    op.post("/proposals", &wish(JANE)).await.with_status(201);
    assert!(town.is_active(&jane).await, "nothing happens before somebody agrees");
    erase(&op, &ap, JANE).await;
    assert!(!town.is_active(&jane).await);
    let left = op.get(&format!("/people/{JANE}/export")).await.with_status(200);
    assert!(!left.body.contains("jane@example.com"), "{}", left.body);
    let left = left.json();
    assert_eq!((&left["person"]["id"], &left["person"]["disabled"]), (&json!(JANE), &json!(true)));
    assert_eq!((&left["logins"], &left["places"]), (&json!([]), &json!([])), "{left}");
    op.post("/proposals", &wish(JANE)).await.with_status(409);
    // The address is free for somebody new.
    let newcomer = json!({
        "kind": "customer", "organization": left["person"]["organization"],
        "email": "jane@example.com", "make_password": true,
    });
    op.post("/people", &newcomer).await.with_status(201);
    let auditor = town.operator(OperatorRole::Auditor).await;
    let verdict = auditor.get("/audit/verify").await.with_status(200).json();
    assert_eq!(verdict["sound"], true, "{verdict}");
    let audit = town.look(async |store| store.audit_page(0, 10_000).await.unwrap()).await;
    let count = |event: &str| audit.iter().filter(|entry| entry.record.event == event).count();
    assert_eq!((count("person.erased"), count("audit.erased")), (1, 1));
}

pub async fn the_evidence_of_a_review_forgets_an_address_and_still_fits(ground: &Ground) {
    let town = Town::open_with_office(ground).await;
    let op = town.operator(OperatorRole::Operator).await;
    let ap = town.operator(OperatorRole::Approver).await;
    let review = op.post("/reviews", &json!({ "organization": "acme" })).await.with_status(201).text("id");
    let seen = op.get(&format!("/reviews/{review}")).await.with_status(200);
    assert!(seen.body.contains("paul@example.com"), "{}", seen.body);
    for row in seen.json()["lines"].as_array().unwrap() {
        let path = format!("/reviews/{review}/rows/{}/keep", row["n"]);
        op.post(&path, &json!({ "reason": "needed" })).await.with_status(200);
    }
    op.post(&format!("/reviews/{review}/close"), &json!({})).await.with_status(200);
    // Nobody can do without the one who owns Acme.
    op.post("/proposals", &wish("userRingoA")).await.with_status(409);
    erase(&op, &ap, "userPaulAA").await;
    let page = op.get(&format!("/reviews/{review}/evidence?format=html")).await.with_status(200);
    assert!(!page.body.contains("paul@example.com") && page.body.contains("userPaulAA"), "{}", page.body);
    assert!(page.body.contains("(fits)"), "{}", page.body);
}
