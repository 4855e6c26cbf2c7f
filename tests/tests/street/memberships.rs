//! People who are kept to some applications of an organization, from the operator's call to the shop.

use portcullis_tests::browser::sent_back;
use portcullis_tests::client::{BACKEND, DASHBOARD, PARTNER, PERSONAL, claims_of};
use portcullis_tests::{Answer, Ground, Town};
use reqwest::Method;
use serde_json::{Value, json};

use super::code::{PARTNER_BACK, redeem};

const DASHBOARD_BACK: &str = "https://app.example/callback";

/// Ringo's write to the Provisioning API.
async fn write(town: &Town, ringo: &str, method: Method, path: &str, data: Value) -> Answer {
    let request = town.request(method, &format!("/api/{path}")).bearer_auth(ringo);
    let body = json!({ "data": data }).to_string();
    Answer::to(request.header("content-type", "application/vnd.api+json").body(body)).await
}

fn to(kind: &str, id: &str) -> Value {
    json!({ "data": { "type": kind, "id": id } })
}

/// Paul's login through an application, as far as he gets.
async fn paul(town: &Town, client: &portcullis_tests::client::Client, back: &str) -> Option<Answer> {
    let browser = town.browser();
    let page = browser.authorize(client, back, &[]).await.with_status(200);
    let mut seen = browser.sign_in(&page, "paul@example.com", "hush-paul").await;
    if seen.status == 200 {
        assert!(seen.body.contains("role=\"alert\""), "{}", seen.body);
        return None;
    }
    if seen.header("location").starts_with('/') {
        let question = browser.open(seen.header("location")).await.with_status(200);
        seen = browser.decide(&question, "allow").await.with_status(303);
    }
    let code = sent_back(&seen).get("code").expect("a code").clone();
    Some(redeem(town, client, &code, back).await.with_status(200))
}

async fn order_in(town: &Town, market: &str) -> String {
    let scope = format!("market:code:{market}");
    let token = town.token(&BACKEND, "client_credentials", &[("scope", &scope)]).await.with_status(200);
    let order = json!({"data": {"type": "orders", "attributes": {
        "lines": [{"sku_code": "TSHIRTWH", "quantity": 1}]}}});
    let made = town.at_shop(Method::POST, "/api/orders", &token.access_token()).body(order.to_string());
    let made = Answer::to(made.header("content-type", "application/vnd.api+json")).await;
    let made = made.with_status(201).json();
    format!("/api/orders/{}", made["data"]["id"].as_str().expect("an id"))
}

pub async fn a_member_who_is_kept_to_one_application_gets_no_token_through_another(ground: &Ground) {
    let town = Town::open_with_shop(ground).await;
    let ringo = town.client_token(&PERSONAL).await;
    let (europe, usa) = (order_in(&town, "europe").await, order_in(&town, "usa").await);
    let before = paul(&town, &PARTNER, PARTNER_BACK).await.expect("open to all so far").access_token();
    town.shop(&usa, &before).await.with_status(200);

    let place = Answer::to(
        town.get("/api/memberships?filter[q][user_email_eq]=paul@example.com").bearer_auth(&ringo),
    );
    let place = place.await.with_status(200).json()["data"][0]["id"].as_str().expect("a place").to_owned();
    let bundle = json!({ "type": "application_memberships",
        "attributes": { "filters": { "market_id_in": ["marketEurA"] } },
        "relationships": { "organization": to("organizations", "orgAcmeAAA"),
            "api_credential": to("api_credentials", "dashboard"), "role": to("roles", "orgAcmeAAA.support"),
            "membership": to("memberships", &place) } });
    let made = write(&town, &ringo, Method::POST, "application_memberships", bundle).await.with_status(201);
    let took = town.until_shop_refuses(&before).await;
    println!("kept to the dashboard: the token of the other application refused after {took:?}");

    assert!(paul(&town, &PARTNER, PARTNER_BACK).await.is_none(), "no token and no question");
    let login = paul(&town, &DASHBOARD, DASHBOARD_BACK).await.expect("the one application");
    let token = login.access_token();
    let claims = claims_of(&token);
    assert_eq!(claims["rol"], json!(["admin", "orgAcmeAAA/support", "within_markets"]));
    assert_eq!(claims["market"]["id"], json!(["marketEurA"]));
    town.shop(&europe, &token).await.with_status(200);
    let elsewhere = town.shop(&usa, &token).await;
    assert!(matches!(elsewhere.status, 403 | 404), "{elsewhere:?}");
    let listed = town.shop("/api/orders", &token).await.with_status(200).body;
    let id = |path: &str| path.rsplit('/').next().expect("a path").to_owned();
    assert!(listed.contains(&id(&europe)) && !listed.contains(&id(&usa)), "{listed}");
    let gone = Answer::to(town.at_shop(Method::DELETE, &europe, &token)).await;
    assert_eq!(gone.status, 403, "the role of the application membership reads and updates");

    let path = format!("application_memberships/{}", made.json()["data"]["id"].as_str().expect("an id"));
    write(&town, &ringo, Method::DELETE, &path, json!({})).await.with_status(204);
    town.until_shop_refuses(&token).await;
    assert!(paul(&town, &DASHBOARD, DASHBOARD_BACK).await.is_none(), "kept to none");
    let open = json!({ "type": "memberships", "id": place, "attributes": { "_all_applications": true } });
    write(&town, &ringo, Method::PATCH, &format!("memberships/{place}"), open).await.with_status(200);
    assert!(paul(&town, &PARTNER, PARTNER_BACK).await.is_some());
}

pub async fn a_token_that_was_asked_for_less_does_less_at_the_shop(ground: &Ground) {
    let town = Town::open_with_shop(ground).await;
    let europe = order_in(&town, "europe").await;
    let scope = "market:all can:read:orders";
    let token = town.token(&BACKEND, "client_credentials", &[("scope", scope)]).await.with_status(200);
    assert_eq!(token.json()["scope"], scope);
    let token = token.access_token();
    town.shop(&europe, &token).await.with_status(200);
    town.shop("/api/orders", &token).await.with_status(200);
    let refused = Answer::to(town.at_shop(Method::DELETE, &europe, &token)).await.with_status(403);
    assert!(refused.header("www-authenticate").contains("insufficient_scope"), "{refused:?}");
    town.shop("/api/skus", &token).await.with_status(403);
    let info = Answer::to(town.get("/oauth/tokeninfo").bearer_auth(&token)).await.with_status(200).json();
    assert_eq!(info["permissions"], json!({ "orders": { "actions": ["read"] } }), "{info}");
}
