//! Operators come in with a password and a second factor, at a listener that is not the public one, and may do
//! what their roles allow.

use portcullis_authority::operators::OperatorRole;
use portcullis_tests::office::Colleague;
use portcullis_tests::program::command;
use portcullis_tests::{Answer, Ground, Town, golden};
use serde_json::json;

/// Nothing of the operators' listener is at the public door, and nothing of the public one in here.
pub async fn the_two_doors_share_nothing(ground: &Ground) {
    let town = Town::open_with_office(ground).await;
    let owner = town.operator(OperatorRole::Owner).await;
    let outside = town.get("/admin/v1/sessions").bearer_auth(&owner.token);
    assert_eq!(Answer::to(outside).await.status, 404);
    assert_eq!(owner.get("/sessions").await.status, 200);
    let inside = Answer::to(owner.request(reqwest::Method::POST, "/../../oauth/token")).await;
    assert_eq!(inside.status, 404);
}

pub async fn a_code_comes_in_once(ground: &Ground) {
    let town = Town::open_with_office(ground).await;
    let ann = Colleague::make(&town, "ann@town.test", &[OperatorRole::Operator]).await;
    let code = ann.code(town.now());
    ann.sign_in(&code).await.with_status(201);
    ann.sign_in(&code).await.with_status(401);
    let recovery = ann.recovery[0].clone();
    ann.sign_in(&recovery).await.with_status(201);
    ann.sign_in(&recovery).await.with_status(401);
    ann.sign_in(&ann.recovery[1]).await.with_status(201);
}

pub async fn every_failure_to_come_in_sounds_alike(ground: &Ground) {
    let town = Town::open_with_office(ground).await;
    let mut ann = Colleague::make(&town, "ann@town.test", &[OperatorRole::Operator]).await;
    let wrong_code = ann.sign_in("000000").await.with_status(401);
    golden::compare("office-not-signed-in", &wrong_code.json(), town.issuer());
    ann.password = "hush-not-this".into();
    let wrong_password = ann.sign_in(&ann.code(town.now())).await.with_status(401);
    ann.email = "nobody@town.test".into();
    let nobody = ann.sign_in(&ann.code(town.now())).await.with_status(401);
    assert_eq!(wrong_code.body, wrong_password.body);
    assert_eq!(wrong_code.body, nobody.body);
}

pub async fn who_keeps_failing_has_to_wait(ground: &Ground) {
    let town = Town::open_with_office(ground).await;
    let mut ann = Colleague::make(&town, "ann@town.test", &[OperatorRole::Operator]).await;
    ann.password = "hush-not-this".into();
    for _ in 0..5 {
        ann.sign_in("000000").await.with_status(401);
    }
    let later = ann.sign_in("000000").await.with_status(429);
    assert!(!later.header("retry-after").is_empty());
    // Of another account nothing was tried from here.
    let bob = Colleague::make(&town, "bob@town.test", &[OperatorRole::Operator]).await;
    bob.sign_in(&bob.code(town.now())).await.with_status(201);
}

pub async fn a_role_opens_its_own_doors_and_no_others(ground: &Ground) {
    let town = Town::open_with_office(ground).await;
    let auditor = town.operator(OperatorRole::Auditor).await;
    auditor.get("/operators").await.with_status(200);
    let body = json!({ "roles": ["owner"] });
    let refused = auditor.put(&format!("/operators/{}/roles", auditor.id), &body).await.with_status(403);
    assert_eq!(refused.header("content-type"), "application/problem+json");
    assert!(refused.text("detail").contains("owner"), "{refused:?}");
}

pub async fn an_owner_changes_others_and_never_themselves(ground: &Ground) {
    let town = Town::open_with_office(ground).await;
    let owner = town.operator(OperatorRole::Owner).await;
    let ann = town.operator(OperatorRole::Operator).await;
    let roles = json!({ "roles": ["auditor", "approver"] });
    let changed = owner.put(&format!("/operators/{}/roles", ann.id), &roles).await.with_status(200);
    assert_eq!(changed.json()["roles"], json!(["approver", "auditor"]));
    owner.put(&format!("/operators/{}/roles", owner.id), &roles).await.with_status(409);
    owner.post(&format!("/operators/{}/disable", owner.id), &json!({})).await.with_status(409);
    ann.get("/sessions/current").await.with_status(200);
    owner.post(&format!("/operators/{}/disable", ann.id), &json!({})).await.with_status(200);
    ann.get("/sessions/current").await.with_status(401);
    owner.post("/operators/nobody/disable", &json!({})).await.with_status(404);
}

pub async fn a_session_ends_when_it_is_told_to(ground: &Ground) {
    let town = Town::open_with_office(ground).await;
    let owner = town.operator(OperatorRole::Owner).await;
    let ann = town.operator(OperatorRole::Operator).await;
    let listed = owner.get("/sessions").await.with_status(200).json();
    let of_ann =
        listed["sessions"].as_array().unwrap().iter().find(|it| it["operator"] == ann.id[..]).unwrap();
    assert_eq!(of_ann["addresses"], json!(["127.0.0.1"]));
    assert_eq!(of_ann["several_places"], false);
    let id = of_ann["id"].as_str().unwrap();
    ann.delete(&format!("/sessions/{id}")).await.with_status(403);
    owner.delete(&format!("/sessions/{id}")).await.with_status(204);
    ann.get("/sessions/current").await.with_status(401);
    owner.delete("/sessions/current").await.with_status(204);
    owner.get("/sessions/current").await.with_status(401);
}

pub async fn a_session_ends_when_nobody_uses_it_and_in_any_case_after_a_day_of_work(ground: &Ground) {
    let town = Town::open_with_office(ground).await;
    let ann = town.operator(OperatorRole::Operator).await;
    let bob = town.operator(OperatorRole::Auditor).await;
    for _ in 0..19 {
        town.clock.forward(25 * 60);
        ann.get("/sessions/current").await.with_status(200);
    }
    bob.get("/sessions/current").await.with_status(401);
    town.clock.forward(10 * 60);
    ann.get("/sessions/current").await.with_status(401);
}

pub async fn a_name_that_was_pointed_here_and_a_page_of_another_site_are_not_heard(ground: &Ground) {
    let town = Town::open_with_office(ground).await;
    let ann = town.operator(OperatorRole::Operator).await;
    let called = |name: &str| ann.request(reqwest::Method::GET, "/sessions/current").header("host", name);
    for ours in ["localhost", "localhost:8090", "127.0.0.1:1", "[::1]:8090"] {
        Answer::to(called(ours)).await.with_status(200);
    }
    for other in ["evil.example", "localhost.evil.example:80", "127.0.0.1.evil.example", ""] {
        let answer = Answer::to(called(other)).await.with_status(421);
        assert_eq!(answer.header("content-type"), "application/problem+json");
    }
    let health = ann.request(reqwest::Method::GET, "/../../healthz").header("host", "evil.example");
    Answer::to(health).await.with_status(421);
    for (name, value) in
        [("origin", "https://evil.example"), ("origin", "null"), ("sec-fetch-site", "cross-site")]
    {
        let page = ann.request(reqwest::Method::GET, "/sessions/current").header(name, value);
        Answer::to(page).await.with_status(403);
    }
}

pub async fn the_state_of_the_server_is_one_screen(ground: &Ground) {
    let mut town = Town::open_with_office(ground).await;
    town.open_shop();
    town.shopfront().wait_until_ready();
    town.until_shop_has_reported().await;
    let auditor = town.operator(OperatorRole::Auditor).await;
    let owner = town.operator(OperatorRole::Owner).await;
    let quiet = auditor.get("/status").await.with_status(200).json();
    assert_eq!(
        (&quiet["duties"]["open_proposals"], &quiet["duties"]["broken_glass"]),
        (&json!(0), &json!(0))
    );
    assert_eq!((&quiet["guards"]["stale"], &quiet["feed"]["alarm"]), (&json!(0), &json!(false)), "{quiet}");
    assert_eq!(
        quiet["guards"]["live"].as_u64().zip(quiet["guards"]["behind"].as_u64()).map(|(a, b)| a + b),
        Some(1)
    );
    assert_eq!(quiet["keys"].as_array().map(Vec::len), Some(1), "{quiet}");
    assert!(
        quiet["feed"]["seq"].as_u64().is_some_and(|seq| seq > 0) && quiet["audit"]["head"].as_u64() > Some(0)
    );
    let lowered = quiet["lowered"].as_array().expect("a list");
    assert!(lowered.contains(&json!("passwords.iterations = 1")), "the town hashes in a hurry: {quiet}");
    owner
        .post("/invitations", &json!({ "email": "zoe@town.test", "roles": ["auditor"] }))
        .await
        .with_status(201);
    owner
        .post("/cuts", &json!({ "kind": "organization", "id": "rival", "reason": "drill" }))
        .await
        .with_status(200);
    let glass = json!({ "kind": "organization", "id": "acme", "reason": "drill", "break_glass": true });
    owner.post("/cuts", &glass).await.with_status(200);
    let busy = auditor.get("/status").await.with_status(200).json();
    for duty in ["open_proposals", "open_invitations", "broken_glass"] {
        assert_eq!(busy["duties"][duty], 1, "{busy}");
    }
    let mut status = command("portcullis");
    status.arg("status").env("PORTCULLIS_ADMIN_URL", town.office());
    let seen = status.env("PORTCULLIS_ADMIN_TOKEN", &auditor.token).output().expect("it runs");
    let said = String::from_utf8(seen.stdout).expect("text");
    for part in [
        "server",
        "books",
        "redis",
        "feed",
        "guards",
        "key",
        "broken glass",
        "dead letters",
        "audit",
        "settings",
    ] {
        assert!(said.lines().any(|line| line.starts_with(part)), "{part} in {said}");
    }
}
