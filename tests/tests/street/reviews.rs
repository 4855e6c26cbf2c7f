//! Access reviews: who has what, signed off line by line by somebody else, and what is withdrawn ends at once.

use portcullis_authority::operators::OperatorRole;
use portcullis_tests::client::BACKEND;
use portcullis_tests::office::Colleague;
use portcullis_tests::street::no;
use portcullis_tests::{Answer, Ground, Town};
use serde_json::{Value, json};

async fn opened(who: &Colleague, body: &Value) -> String {
    who.post("/reviews", body).await.with_status(201).text("id")
}

/// The lines of a review that say this.
async fn line(who: &Colleague, review: &str, member: &str, value: &str) -> Value {
    let seen = who.get(&format!("/reviews/{review}")).await.with_status(200).json();
    let lines = seen["lines"].as_array().unwrap();
    let found = lines.iter().find(|it| it["access"][member] == value);
    found.unwrap_or_else(|| panic!("no line with {member} {value} in {seen}")).clone()
}

async fn sign(who: &Colleague, review: &str, row: &Value, verb: &str) -> Answer {
    let path = format!("/reviews/{review}/rows/{}/{verb}", row["n"]);
    who.post(&path, &json!({ "reason": "looked at it, R-1" })).await
}

pub async fn a_withdrawn_line_has_ended_when_it_is_signed(ground: &Ground) {
    let town = Town::open_with_office(ground).await;
    let op = town.operator(OperatorRole::Operator).await;
    let backend = town.client_token(&BACKEND).await;
    let review = opened(&op, &json!({ "organization": "acme" })).await;
    let row = line(&op, &review, "id", "backend").await;
    assert!(row["access"]["last_used"].is_u64(), "its token was issued a moment ago: {row}");
    sign(&op, &review, &row, "withdraw").await.with_status(200);
    assert!(!town.is_active(&backend).await);
    assert_eq!(town.token(&BACKEND, "client_credentials", &[]).await.refusal(), no(401, "invalid_client"));
    sign(&op, &review, &row, "keep").await.with_status(409);
    // Ringo owns Acme and is its only admin.
    let ringo = line(&op, &review, "email", "ringo@example.com").await;
    let refused = sign(&op, &review, &ringo, "withdraw").await.with_status(409);
    assert!(refused.text("detail").contains("without an owner"), "{refused:?}");
    let again = line(&op, &review, "email", "ringo@example.com").await;
    assert_eq!(again["decision"], Value::Null, "what could not be done was not signed");
}

pub async fn a_review_is_closed_whole_and_stays_as_evidence(ground: &Ground) {
    let town = Town::open_with_office(ground).await;
    let op = town.operator(OperatorRole::Operator).await;
    let auditor = town.operator(OperatorRole::Auditor).await;
    let review = opened(&op, &json!({ "organization": "acme", "assignee": op.id })).await;
    let close = format!("/reviews/{review}/close");
    let early = op.post(&close, &json!({})).await.with_status(409);
    assert!(early.text("detail").contains("not decided: 1, 2"), "{early:?}");
    let seen = op.get(&format!("/reviews/{review}")).await.with_status(200).json();
    for row in seen["lines"].as_array().unwrap() {
        sign(&op, &review, row, "keep").await.with_status(200);
    }
    let closed = op.post(&close, &json!({})).await.with_status(200).json();
    assert_eq!(closed["state"], "closed");
    op.post(&close, &json!({})).await.with_status(409);
    sign(&op, &review, &seen["lines"][0], "withdraw").await.with_status(409);
    op.post(&format!("/reviews/{review}/assign"), &json!({ "operator": op.id })).await.with_status(409);
    let evidence = format!("/reviews/{review}/evidence");
    let page = auditor.get(&format!("{evidence}?format=html")).await.with_status(200);
    assert!(page.header("content-type").starts_with("text/html"));
    let digest = closed["digest"].as_str().unwrap();
    assert!(page.body.contains(&format!("{digest} (fits)")), "{}", page.body);
    let csv = auditor.get(&format!("{evidence}?format=csv")).await.with_status(200);
    assert_eq!(csv.body.lines().count() as u64, closed["rows"].as_u64().unwrap() + 1);
    auditor.get(&format!("{evidence}?format=pdf")).await.with_status(422);
    // The numbers lead to the records.
    let numbers = auditor.get(&evidence).await.with_status(200).json()["audit"].clone();
    let numbers: Vec<u64> = serde_json::from_value(numbers).unwrap();
    let audit = town.look(async |store| store.audit_page(0, 100_000).await.unwrap()).await;
    let events: Vec<_> = numbers
        .iter()
        .map(|seq| audit.iter().find(|it| it.seq == *seq).unwrap().record.event.clone())
        .collect();
    assert_eq!(events.first().map(String::as_str), Some("review.opened"));
    assert_eq!(events.last().map(String::as_str), Some("review.closed"));
    let kept = events.iter().filter(|event| *event == "review.kept").count();
    assert_eq!(kept as u64, closed["rows"].as_u64().unwrap());
}

pub async fn nobody_signs_for_their_own_access_or_in_anothers_place(ground: &Ground) {
    let town = Town::open_with_office(ground).await;
    let op = town.operator(OperatorRole::Operator).await;
    let owner = town.operator(OperatorRole::Owner).await;
    let auditor = town.operator(OperatorRole::Auditor).await;
    auditor.post("/reviews", &json!({})).await.with_status(403);
    let review = opened(&op, &json!({ "assignee": op.id })).await;
    let own = line(&op, &review, "id", &op.id).await;
    let refused = sign(&op, &review, &own, "keep").await.with_status(403);
    assert!(refused.text("detail").contains("their own access"), "{refused:?}");
    let of_auditor = line(&op, &review, "id", &auditor.id).await;
    sign(&op, &review, &of_auditor, "withdraw").await.with_status(403);
    sign(&owner, &review, &of_auditor, "keep").await.with_status(403);
    let assign = format!("/reviews/{review}/assign");
    op.post(&assign, &json!({ "operator": auditor.id })).await.with_status(422);
    op.post(&assign, &json!({ "operator": owner.id })).await.with_status(200);
    sign(&op, &review, &of_auditor, "keep").await.with_status(403);
    sign(&owner, &review, &of_auditor, "withdraw").await.with_status(200);
    auditor.get("/sessions/current").await.with_status(401);
    let of_owner = line(&op, &review, "id", &owner.id).await;
    sign(&owner, &review, &of_owner, "keep").await.with_status(403);
    sign(&owner, &review, &json!({ "n": 9999 }), "keep").await.with_status(404);
    let path = format!("/reviews/{review}/rows/{}/keep", own["n"]);
    owner.post(&path, &json!({})).await.with_status(422);
    op.get("/reviews/nobodys").await.with_status(404);
}

pub async fn of_two_who_sign_at_once_one_does(ground: &Ground) {
    let town = Town::open_with_office(ground).await;
    let op = town.operator(OperatorRole::Operator).await;
    let owner = town.operator(OperatorRole::Owner).await;
    let review = opened(&op, &json!({ "organization": "acme" })).await;
    let row = line(&op, &review, "id", "backend").await;
    let both = tokio::join!(sign(&op, &review, &row, "keep"), sign(&owner, &review, &row, "withdraw"));
    let mut seen = [both.0.status, both.1.status];
    seen.sort_unstable();
    assert_eq!(seen, [200, 409]);
}

pub async fn what_nobody_uses_is_called_unused(ground: &Ground) {
    let town = Town::open_with_office(ground).await;
    let auditor = town.operator(OperatorRole::Auditor).await;
    town.client_token(&BACKEND).await;
    let all = auditor.get("/access").await.with_status(200).json();
    let find =
        |list: &Value, id: &str| list["access"].as_array().unwrap().iter().find(|it| it["id"] == id).cloned();
    let backend = find(&all, "backend").unwrap();
    assert!(!backend["remarks"].as_array().unwrap().contains(&json!("unused")), "{backend}");
    let stale = auditor.get("/access?stale=true&organization=acme").await.with_status(200).json();
    assert_eq!(find(&stale, "backend"), None);
    assert!(!stale["access"].as_array().unwrap().is_empty(), "the rest was never used");
    assert!(stale["access"].as_array().unwrap().iter().all(|it| it["slug"] == "acme"));
    auditor.get("/access?stale_days=0").await.with_status(422);
    auditor.get("/access?organization=nobodys").await.with_status(404);
}
