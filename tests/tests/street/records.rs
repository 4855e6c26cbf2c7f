//! What goes over the public listener leaves its record as well: the ways to a token and every refusal on them, guards
//! that are turned away, and what members change over the Provisioning API.

use portcullis_store::AuditEntry;
use portcullis_tests::browser::sent_back;
use portcullis_tests::client::{
    ACCESS_TOKEN, BACKEND, DASHBOARD, EXCHANGE, JWT_BEARER, PARTNER, PERSONAL, STOREFRONT,
};
use portcullis_tests::{Answer, Ground, Town};
use reqwest::Method;
use serde_json::{Value, json};

use crate::code::{DASHBOARD_BACK, PARTNER_BACK, redeem};
use crate::coverage::log_of;

const JANE: &str = "custJaneAA";

/// The records that an answer has left.
fn left<'a>(log: &'a [AuditEntry], answer: &Answer) -> Vec<&'a AuditEntry> {
    let id = answer.header("x-request-id");
    assert!(!id.is_empty(), "{answer:?}");
    log.iter().filter(|entry| entry.record.request_id.as_deref() == Some(id)).collect()
}

pub async fn every_way_to_a_token_and_every_refusal_leaves_its_record(ground: &Ground) {
    let town = Town::open(ground).await;
    let mut expected: Vec<(&str, Answer, Option<&str>)> = Vec::new();
    let wrong = BACKEND.with_secret("hush-not-this");
    expected.push((
        "token.issued",
        town.token(&BACKEND, "client_credentials", &[]).await.with_status(200),
        None,
    ));
    expected.push((
        "token.refused",
        town.token(&wrong, "client_credentials", &[]).await.with_status(401),
        None,
    ));
    let jane = town.jane(&STOREFRONT).await;
    let refused = town.password(&STOREFRONT, "jane@example.com", "hush-not-this").await;
    expected.push(("token.refused", refused, None));
    let next = town.refresh(&STOREFRONT, &jane.refresh_token()).await.with_status(200);
    expected.push(("token.refused", town.refresh(&STOREFRONT, "no-such-token").await, None));
    let assertion = BACKEND.signed_assertion(town.issuer(), JANE, "first", town.now());
    let form = [("assertion", assertion.as_str())];
    expected.push((
        "token.issued",
        town.token(&BACKEND, JWT_BEARER, &form).await.with_status(200),
        Some(JANE),
    ));
    expected.push(("token.refused", town.token(&BACKEND, JWT_BEARER, &form).await.with_status(400), None));
    let access = next.access_token();
    let form = [("subject_token", access.as_str()), ("subject_token_type", ACCESS_TOKEN)];
    expected.push(("token.issued", town.token(&BACKEND, EXCHANGE, &form).await.with_status(200), Some(JANE)));
    expected.push(("token.issued", jane, Some(JANE)));
    expected.push(("token.refused", town.token(&BACKEND, "no_such_grant", &[]).await.with_status(400), None));
    expected.push(("revocation.refused", town.revoke(&wrong, &access).await, None));
    expected.push(("introspection.refused", town.introspect_as(&wrong, &access).await, None));
    expected.push(("token.revoked", town.revoke(&STOREFRONT, &access).await.with_status(200), Some(JANE)));
    expected.push(("token.issued", next, Some(JANE)));
    let guard = town.get("/feed/guards").basic_auth("shop", Some("hush-not-this"));
    expected.push(("guard.refused", Answer::to(guard).await.with_status(401), None));
    let browser = town.browser();
    let page = browser.authorize(&PARTNER, PARTNER_BACK, &[]).await.with_status(200);
    let refused = browser.sign_in(&page, "ringo@example.com", "hush-not-this").await;
    expected.push(("sign_in.refused", refused, None));
    let onward = browser.sign_in(&page, "ringo@example.com", "hush-ringo").await.with_status(303);
    let question = browser.open(onward.header("location")).await.with_status(200);
    expected.push(("sign_in", onward, Some("userRingoA")));
    expected.push(("consent.refused", browser.decide(&question, "deny").await, Some("userRingoA")));
    let agreed = browser.decide(&question, "allow").await.with_status(303);
    let code = sent_back(&agreed)["code"].clone();
    expected.push(("consent.given", agreed, Some("userRingoA")));
    let redeemed = redeem(&town, &PARTNER, &code, PARTNER_BACK).await.with_status(200);
    expected.push(("token.issued", redeemed, Some("userRingoA")));
    let again = redeem(&town, &DASHBOARD, "no-such-code", DASHBOARD_BACK).await;
    expected.push(("token.refused", again, None));
    let log = log_of(&town).await;
    for (event, answer, subject) in &expected {
        let theirs = left(&log, answer);
        let found = theirs.iter().find(|entry| entry.record.event == *event);
        let found = found.unwrap_or_else(|| panic!("no {event} came of {answer:?}, but {theirs:?}"));
        if subject.is_some() {
            assert_eq!(found.record.subject.as_deref(), *subject, "{event}");
        }
        assert_eq!(found.record.address.as_deref(), Some("127.0.0.1"), "{event}");
    }
}

/// A thing of the Provisioning API on its way: made, changed and gone.
struct Thing {
    kind: &'static str,
    attributes: Value,
    changed: Value,
    related: Value,
}

fn things() -> Vec<Thing> {
    let to = |kind: &str, id: &str| json!({ "data": { "type": kind, "id": id } });
    let home = to("organizations", "orgAcmeAAA");
    vec![
        Thing {
            kind: "roles",
            attributes: json!({ "name": "Till" }),
            changed: json!({ "name": "Tills" }),
            related: json!({ "organization": home }),
        },
        Thing {
            kind: "permissions",
            attributes: json!({ "subject": "prices", "can_read": true }),
            changed: json!({ "can_update": true }),
            related: json!({ "role": to("roles", "orgAcmeAAA.support") }),
        },
        Thing {
            kind: "api_credentials",
            attributes: json!({ "name": "Till", "kind": "sales_channel" }),
            changed: json!({ "name": "Tills" }),
            related: json!({ "organization": home }),
        },
        Thing {
            kind: "memberships",
            attributes: json!({ "user_email": "new@example.com" }),
            changed: json!({ "metadata": { "desk": 7 } }),
            related: json!({ "organization": home, "role": to("roles", "orgAcmeAAA.support") }),
        },
    ]
}

pub async fn every_change_by_a_member_leaves_its_record(ground: &Ground) {
    let town = Town::open(ground).await;
    let ringo = town.client_token(&PERSONAL).await;
    let ask = async |method: Method, path: &str, data: Value| {
        let asked = town.request(method, &format!("/api/{path}")).bearer_auth(&ringo);
        let asked = asked.header("content-type", "application/vnd.api+json");
        Answer::to(asked.body(json!({ "data": data }).to_string())).await
    };
    let mut expected = Vec::new();
    for Thing { kind, attributes, changed, related } in things() {
        let draft = json!({ "type": kind, "attributes": attributes, "relationships": related });
        let made = ask(Method::POST, kind, draft).await.with_status(201);
        let id = made.json()["data"]["id"].as_str().expect("an id").to_owned();
        let path = format!("{kind}/{id}");
        let draft = json!({ "type": kind, "id": id, "attributes": changed });
        let after = ask(Method::PATCH, &path, draft).await.with_status(200);
        let gone = ask(Method::DELETE, &path, json!({})).await.with_status(204);
        expected.extend([(format!("{kind} create"), made), (format!("{kind} update"), after)]);
        expected.push((format!("{kind} destroy"), gone));
    }
    let own = json!({ "type": "users", "id": "userRingoA", "attributes": { "first_name": "Richard" } });
    expected.push(("users update".into(), ask(Method::PATCH, "user", own).await.with_status(200)));
    let refused = ask(Method::DELETE, "roles/orgAcmeAAA.admin", json!({})).await.with_status(403);
    let log = log_of(&town).await;
    for (reason, answer) in &expected {
        let theirs = left(&log, answer);
        let found = theirs.iter().find(|it| it.record.reason.as_deref() == Some(reason));
        let found = found.unwrap_or_else(|| panic!("{reason} left {theirs:?}"));
        assert_eq!(found.record.event, "registry.changed", "{reason}");
        assert_eq!(found.record.subject.as_deref(), Some("userRingoA"), "{reason}");
    }
    let refused = left(&log, &refused);
    assert_eq!(refused.len(), 1);
    assert_eq!(
        (refused[0].record.event.as_str(), refused[0].record.subject.as_deref()),
        ("registry.refused", Some("userRingoA"))
    );
}
