//! Two organizations share a server and must never see each other: every endpoint with the other one's
//! token, id or client gives nothing, not even the knowledge that there is something.

use portcullis_tests::browser::sent_back;
use portcullis_tests::client::{
    BACKEND, Client, JWT_BEARER, PARTNER, RIVAL, RIVAL_DASHBOARD, RIVAL_STOREFRONT, STOREFRONT,
};
use portcullis_tests::street::no;
use portcullis_tests::{Answer, Ground, Town};
use reqwest::Method;
use serde_json::json;

use super::code::{PARTNER_BACK, redeem};
use super::exchange::exchange;

pub async fn a_stranger_learns_nothing_about_another_organization(ground: &Ground) {
    let town = Town::open(ground).await;
    let jane = town.jane(&STOREFRONT).await;
    // A token of theirs, and one that never was, get the same answer, byte for byte.
    let unknown = town.introspect_as(&RIVAL, "a.b.c").await.with_status(200);
    for token in [jane.access_token(), jane.refresh_token(), town.client_token(&BACKEND).await] {
        let seen = town.introspect_as(&RIVAL, &token).await.with_status(200);
        assert_eq!(seen.body, unknown.body);
        assert_eq!(seen.json(), json!({ "active": false }));
    }
    // Their customers cannot log in here, and the answer is that of an unknown account.
    let theirs = town.password(&RIVAL_STOREFRONT, "jane@example.com", "hush-jane").await;
    let nobody = town.password(&RIVAL_STOREFRONT, "nobody@example.com", "hush-jane").await;
    assert_eq!((theirs.refusal(), &theirs.body), (no(400, "invalid_grant"), &nobody.body));
    // Their markets do not exist.
    let theirs =
        town.token(&RIVAL_STOREFRONT, "client_credentials", &[("scope", "market:code:europe")]).await;
    let nothing =
        town.token(&RIVAL_STOREFRONT, "client_credentials", &[("scope", "market:code:nowhere")]).await;
    assert_eq!(theirs.refusal(), no(400, "invalid_scope"));
    assert_eq!(theirs.body.replace("europe", "nowhere"), nothing.body);
    let theirs =
        town.token(&RIVAL_STOREFRONT, "client_credentials", &[("scope", "market:id:marketEurA")]).await;
    assert_eq!(theirs.refusal(), no(400, "invalid_scope"));
    // Nor does anything else of theirs show.
    let info = Answer::to(town.get("/oauth/tokeninfo").bearer_auth(town.client_token(&RIVAL).await)).await;
    let info = info.with_status(200).body;
    for name in ["acme", "Acme", "orgAcmeAAA", "support"] {
        assert!(!info.contains(name), "{name} in {info}");
    }
}

pub async fn a_rival_can_neither_see_nor_end_nor_use_what_is_not_its_own(ground: &Ground) {
    let town = Town::open(ground).await;
    let jane = town.jane(&STOREFRONT).await;
    let own = town.password(&RIVAL_STOREFRONT, "rob@example.com", "hush-rob").await.with_status(200);
    for token in [jane.access_token(), jane.refresh_token()] {
        let refused = town.revoke(&RIVAL, &token).await;
        assert_eq!(refused.refusal(), no(403, "unauthorized_client"));
        let refused = town.revoke(&RIVAL_STOREFRONT, &token).await;
        assert_eq!(refused.refusal(), no(403, "unauthorized_client"));
    }
    assert!(town.is_active(&jane.access_token()).await && town.is_active(&jane.refresh_token()).await);
    // Exchange: the subject must be of the caller's own organization, in both directions.
    let refused = exchange(&town, &BACKEND, &own.access_token(), &[]).await;
    assert_eq!(refused.refusal(), no(400, "invalid_grant"));
    let refused = exchange(&town, &RIVAL, &jane.access_token(), &[]).await;
    assert_eq!(refused.refusal(), no(400, "unauthorized_client"));
    // Assertions: the customer must be of the caller's own organization.
    for (id, kind) in [("custRobAAA", "Customer"), ("userGeorge", "User")] {
        let assertion = BACKEND.signed_assertion(town.issuer(), id, &format!("{id}{kind}"), town.now());
        let refused = town.token(&BACKEND, JWT_BEARER, &[("assertion", &assertion)]).await;
        assert_eq!(refused.refusal(), no(400, "invalid_grant"), "{id}");
    }
    let unknown =
        Client::assertion(json!({ "owner": { "type": "Customer", "id": "custRobAAA" } }), town.now());
    let nobody =
        Client::assertion(json!({ "owner": { "type": "Customer", "id": "custNobody" } }), town.now());
    let helper = portcullis_tests::client::HELPER;
    let theirs = town.token(&helper, JWT_BEARER, &[("assertion", &unknown)]).await;
    let nothing = town.token(&helper, JWT_BEARER, &[("assertion", &nobody)]).await;
    assert_eq!(theirs.refusal(), no(400, "invalid_grant"));
    assert_eq!(theirs.body, nothing.body, "somebody else's customer is nobody");
    // A code of theirs is no code here.
    let code = town.browser().code(&PARTNER, PARTNER_BACK, &[]).await;
    assert_eq!(
        redeem(&town, &RIVAL_DASHBOARD, &code, PARTNER_BACK).await.refusal(),
        no(400, "invalid_grant")
    );
    redeem(&town, &PARTNER, &code, PARTNER_BACK).await.with_status(200);
    // A refresh token in a rival's hands is stolen: the login ends, and the rival gets nothing.
    let refused = town.refresh(&RIVAL_STOREFRONT, &jane.refresh_token()).await;
    assert_eq!(refused.refusal(), no(400, "invalid_grant"));
    assert!(!town.is_active(&jane.access_token()).await);
    assert!(town.is_active(&own.access_token()).await);
}

pub async fn a_shelf_belongs_to_one_organization(ground: &Ground) {
    let town = Town::open_with_shop(ground).await;
    let europe = [("scope", "market:code:europe")];
    let ours = town.token(&BACKEND, "client_credentials", &europe).await.with_status(200).access_token();
    let theirs = town.client_token(&RIVAL).await;
    let order = json!({"data": {"type": "orders", "attributes": {
        "reference": "only-acme", "lines": [{"sku_code": "TSHIRTWH", "quantity": 1}]}}})
    .to_string();
    let made = town.at_shop(Method::POST, "/api/orders", &ours).body(order.clone());
    let made = made.header("content-type", "application/vnd.api+json");
    let made = Answer::to(made).await.with_status(201).json();
    let path = format!("/api/orders/{}", made["data"]["id"].as_str().expect("an id"));
    town.shop(&path, &ours).await.with_status(200);
    let unseen = town.shop(&path, &theirs).await.with_status(404);
    let nothing = town.shop("/api/orders/NobodyHas1", &theirs).await.with_status(404);
    assert_eq!(unseen.body, nothing.body);
    for (method, body) in [(Method::PATCH, Some(&order)), (Method::DELETE, None)] {
        let mut request = town.at_shop(method, &path, &theirs);
        if let Some(body) = body {
            request = request.body(body.clone()).header("content-type", "application/vnd.api+json");
        }
        let seen = Answer::to(request).await;
        assert!(matches!(seen.status, 400 | 404), "{seen:?}");
    }
    let list = town.shop("/api/orders", &theirs).await.with_status(200);
    assert!(!list.body.contains("only-acme"));
    let name = town.shop("/api/organization", &theirs).await.with_status(200).json();
    assert_eq!(name["data"]["attributes"]["slug"], "rival");
    town.shop(&path, &ours).await.with_status(200);
}

pub async fn a_person_signs_in_only_where_they_belong(ground: &Ground) {
    let town = Town::open(ground).await;
    let browser = town.browser();
    let page = browser.authorize(&PARTNER, PARTNER_BACK, &[]).await.with_status(200);
    let alert = |seen: &Answer| {
        let (_, rest) = seen.body.split_once("role=\"alert\">").expect("the page says what was wrong");
        rest.split_once('<').expect("it ends").0.to_owned()
    };
    let stranger = browser.sign_in(&page, "george@example.com", "hush-george").await.with_status(200);
    let wrong = browser.sign_in(&page, "george@example.com", "hush-wrong").await.with_status(200);
    assert_eq!(alert(&stranger), alert(&wrong));
    // George is signed in at his own place; that session opens nothing at Acme.
    let back = "https://rival.example/callback";
    let page = browser.authorize(&RIVAL_DASHBOARD, back, &[]).await.with_status(200);
    browser.sign_in(&page, "george@example.com", "hush-george").await.with_status(303);
    browser.authorize(&RIVAL_DASHBOARD, back, &[]).await.with_status(200);
    let seen = browser.authorize(&PARTNER, PARTNER_BACK, &[("prompt", "none")]).await.with_status(303);
    assert_eq!(sent_back(&seen)["error"], "login_required");
    let seen = browser.authorize(&PARTNER, PARTNER_BACK, &[]).await.with_status(200);
    assert!(seen.body.contains("name=\"password\"") && !seen.body.contains("george@example.com"));
}
