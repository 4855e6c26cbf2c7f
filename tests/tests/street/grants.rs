//! Every way of earning a token, and who may use it.

use std::collections::BTreeSet;

use portcullis_tests::client::{
    BACKEND, Client, DASHBOARD, EXCHANGE, JWT_BEARER, KIOSK, PERSONAL, REHEARSAL, STOREFRONT,
    STOREFRONT_SERVER, STRANGER, SUPPORT, TERMINAL, claims_of,
};
use portcullis_tests::street::no;
use portcullis_tests::{Answer, Ground, Town};
use reqwest::Method;
use serde_json::{Value, json};

fn members(body: &Value) -> BTreeSet<&str> {
    body.as_object().expect("an object").keys().map(String::as_str).collect()
}

pub async fn an_integration_earns_a_token_that_the_shop_serves(ground: &Ground) {
    let town = Town::open_with_shop(ground).await;
    let answer = town.token(&BACKEND, "client_credentials", &[]).await.with_status(200);
    let body = answer.json();
    assert_eq!(
        members(&body),
        BTreeSet::from(["access_token", "token_type", "expires_in", "scope", "created_at"])
    );
    assert_eq!((&body["token_type"], &body["expires_in"]), (&json!("bearer"), &json!(7200)));
    assert_eq!(answer.header("cache-control"), "no-store");
    let token = answer.access_token();
    let claims = claims_of(&token);
    assert_eq!((&claims["sub"], &claims["iss"]), (&json!("client:backend"), &json!(town.issuer())));
    assert_eq!(claims["application"]["public"], false);
    town.shop("/api/orders", &token).await.with_status(200);
    let europe = [("scope", "market:code:europe")];
    let token = town.token(&BACKEND, "client_credentials", &europe).await.with_status(200).access_token();
    let attributes = json!({ "lines": [{ "sku_code": "TSHIRTWH", "quantity": 1 }] });
    let order = json!({ "data": { "type": "orders", "attributes": attributes } }).to_string();
    let made = town.at_shop(Method::POST, "/api/orders", &token).body(order);
    let made = made.header("content-type", "application/vnd.api+json");
    Answer::to(made).await.with_status(201);
}

pub async fn a_guest_and_a_customer_may_do_what_they_may_do(ground: &Ground) {
    let town = Town::open_with_shop(ground).await;
    let market = [("scope", "market:code:europe")];
    let guest = town.token(&STOREFRONT, "client_credentials", &market).await.with_status(200);
    assert!(guest.json()["refresh_token"].is_null(), "a guest has no login to refresh");
    let claims = claims_of(&guest.access_token());
    assert_eq!(claims["application"]["public"], true);
    assert_eq!(claims["application"]["confidential"], false);
    town.shop("/api/skus", &guest.access_token()).await.with_status(200);
    // A guest may not list orders, a customer may list their own.
    let refused = town.shop("/api/orders", &guest.access_token()).await.with_status(403);
    assert!(refused.header("www-authenticate").contains("insufficient_scope"), "{refused:?}");
    let jane = town.jane(&STOREFRONT).await;
    let body = jane.json();
    assert_eq!((&body["owner_id"], &body["owner_type"]), (&json!("custJaneAA"), &json!("customer")));
    town.shop("/api/orders", &jane.access_token()).await.with_status(200);
    let server = town.token(&STOREFRONT_SERVER, "client_credentials", &market).await.with_status(200);
    let claims = claims_of(&server.access_token());
    assert_eq!(
        (&claims["application"]["public"], &claims["application"]["confidential"]),
        (&json!(true), &json!(true))
    );
}

pub async fn a_role_is_what_an_integration_may_do(ground: &Ground) {
    let town = Town::open_with_shop(ground).await;
    let europe = [("scope", "market:code:europe")];
    let token = town.token(&SUPPORT, "client_credentials", &europe).await.with_status(200).access_token();
    let orders = town.shop("/api/orders", &token).await.with_status(200).json();
    let id = orders["data"][0]["id"].as_str().expect("the shelves are not empty").to_owned();
    town.shop(&format!("/api/orders/{id}"), &token).await.with_status(200);
    let delete = town.at_shop(Method::DELETE, &format!("/api/orders/{id}"), &token);
    Answer::to(delete).await.with_status(403);
    let info = Answer::to(town.get("/oauth/tokeninfo").bearer_auth(&token)).await.with_status(200).json();
    assert_eq!(info["role"]["name"], "Customer support");
    assert_eq!(info["permissions"]["orders"]["actions"], json!(["read", "update"]));
}

pub async fn a_person_has_a_credential_of_their_own(ground: &Ground) {
    let town = Town::open_with_shop(ground).await;
    let answer = town.token(&PERSONAL, "client_credentials", &[]).await.with_status(200);
    assert_eq!(answer.json()["scope"], "provisioning-api");
    let token = answer.access_token();
    let claims = claims_of(&token);
    assert_eq!((&claims["user"]["id"], &claims["organization"]), (&json!("userRingoA"), &Value::Null));
    let me = Answer::to(town.get("/api/user").bearer_auth(&token)).await.with_status(200).json();
    assert_eq!(me["data"]["attributes"]["email"], "ringo@example.com");
    let refused = town.shop("/api/orders", &token).await;
    assert!(matches!(refused.status, 401 | 403), "a personal token opens no shop: {refused:?}");
}

pub async fn a_password_is_for_applications_that_may_use_it(ground: &Ground) {
    let town = Town::open(ground).await;
    town.jane(&STOREFRONT).await;
    let wrong = town.password(&STOREFRONT, "jane@example.com", "hush-wrong").await;
    let nobody = town.password(&STOREFRONT, "nobody@example.com", "hush-jane").await;
    assert_eq!(wrong.refusal(), no(400, "invalid_grant"));
    assert_eq!(wrong.body, nobody.body, "a wrong password and an unknown account read the same");
    for client in [KIOSK, BACKEND, DASHBOARD, PERSONAL] {
        let refused = town.password(&client, "jane@example.com", "hush-jane").await;
        assert_eq!(refused.refusal(), no(400, "unauthorized_client"), "{client:?}");
    }
    // Members of an organization are no customers.
    let user = town.password(&STOREFRONT, "ringo@example.com", "hush-ringo").await;
    assert_eq!(user.refusal(), no(400, "invalid_grant"));
}

pub async fn each_kind_of_application_has_its_grants(ground: &Ground) {
    let town = Town::open(ground).await;
    let forbidden: [(&Client, &str); 9] = [
        (&DASHBOARD, "client_credentials"),
        (&TERMINAL, "client_credentials"),
        (&STOREFRONT, "authorization_code"),
        (&BACKEND, "authorization_code"),
        (&PERSONAL, "authorization_code"),
        (&PERSONAL, "refresh_token"),
        (&PERSONAL, JWT_BEARER),
        (&PERSONAL, EXCHANGE),
        (&STOREFRONT, EXCHANGE),
    ];
    for (client, grant) in forbidden {
        let refused = town.token(client, grant, &[("code", "x"), ("refresh_token", "x")]).await;
        assert_eq!(refused.refusal(), no(400, "unauthorized_client"), "{client:?} {grant}");
    }
    for grant in ["implicit", "urn:ietf:params:oauth:grant-type:device_code", "PASSWORD", " password"] {
        let refused = town.token(&BACKEND, grant, &[]).await;
        assert_eq!(refused.refusal(), no(400, "unsupported_grant_type"), "{grant}");
    }
    let refused = Answer::to(town.post("/oauth/token").form(&BACKEND.form(&[]))).await;
    assert_eq!(refused.refusal(), no(400, "invalid_request"));
}

pub async fn an_unknown_client_and_a_wrong_secret_look_alike(ground: &Ground) {
    let town = Town::open(ground).await;
    let mut seen = BTreeSet::new();
    for client in [
        STRANGER,
        STRANGER.without_secret(),
        BACKEND.with_secret("hush-wrong"),
        BACKEND.without_secret(),
        BACKEND.with_secret(""),
        // A secret of somebody else, and the secret of a guard.
        BACKEND.with_secret("hush-helper"),
        Client { id: "shop", secret: Some("hush-guard") },
        Client { id: "guard:shop", secret: Some("hush-guard") },
        STOREFRONT.with_secret("hush-wrong"),
    ] {
        let refused = town.token(&client, "client_credentials", &[]).await;
        assert_eq!(refused.refusal(), no(401, "invalid_client"), "{client:?}");
        assert!(refused.header("www-authenticate").starts_with("Basic "), "{refused:?}");
        seen.insert(refused.body);
    }
    assert_eq!(seen.len(), 1, "{seen:?}");
}

pub async fn a_scope_comes_back_as_it_was_asked_for(ground: &Ground) {
    let town = Town::open(ground).await;
    for scope in ["market:code:europe", "market:id:marketEurA", "market:all"] {
        let answer = town.token(&STOREFRONT, "client_credentials", &[("scope", scope)]).await;
        assert_eq!(answer.with_status(200).json()["scope"], scope);
    }
    let by_code = [("scope", "market:code:europe")];
    let answer = town.token(&STOREFRONT, "client_credentials", &by_code).await.with_status(200);
    assert_eq!(claims_of(&answer.access_token())["market"]["id"], json!(["marketEurA"]));
    let answer = town.token(&STOREFRONT, "client_credentials", &[("scope", "")]).await.with_status(200);
    assert_eq!(answer.json()["scope"], "market:all");
    // The last one is a market of somebody else.
    for scope in
        ["market:1234", "market:code:nowhere", "admin", "market:code:europe admin", "market:code:mars"]
    {
        let refused = town.token(&STOREFRONT, "client_credentials", &[("scope", scope)]).await;
        assert_eq!(refused.refusal(), no(400, "invalid_scope"), "{scope}");
    }
}

pub async fn a_test_token_opens_nothing_in_the_live_shop(ground: &Ground) {
    let town = Town::open_with_shop(ground).await;
    let token = town.client_token(&REHEARSAL).await;
    assert_eq!(claims_of(&token)["test"], true);
    let refused = town.shop("/api/orders", &token).await.with_status(401);
    assert_eq!(refused.json()["errors"][0]["code"], "INVALID_TOKEN");
    assert!(town.is_active(&token).await, "it is a good token elsewhere");
}

pub async fn a_changed_token_is_no_token(ground: &Ground) {
    let town = Town::open_with_shop(ground).await;
    let token = town.client_token(&BACKEND).await;
    let refresh = town.jane(&STOREFRONT).await.refresh_token();
    let [header, payload, signature] = token.split('.').collect::<Vec<_>>()[..] else {
        panic!("three parts")
    };
    let none = "eyJhbGciOiJub25lIiwidHlwIjoiYXQrand0In0";
    let flipped = |text: &str| match text.strip_prefix('A') {
        Some(rest) => format!("B{rest}"),
        None => format!("A{}", &text[1..]),
    };
    for changed in [
        format!("{header}.{payload}."),
        format!("{header}.{payload}"),
        format!("{none}.{payload}."),
        format!("{none}.{payload}.{signature}"),
        format!("{header}.{}.{signature}", flipped(payload)),
        format!("{header}.{payload}.{}", flipped(signature)),
        format!("{token}="),
        format!("{token}.x"),
        refresh,
        "x".repeat(10_000),
        "%00".into(),
    ] {
        let seen = town.shop("/api/skus", &changed).await;
        assert!(matches!(seen.status, 400 | 401), "{changed}: {seen:?}");
        assert!(!seen.body.contains("\"type\":\"skus\""));
        let info = Answer::to(town.get("/oauth/tokeninfo").bearer_auth(&changed)).await;
        assert_eq!(info.with_status(401).json()["errors"][0]["code"], "INVALID_TOKEN");
    }
    let twice =
        town.at_shop(Method::GET, "/api/skus", &token).header("authorization", format!("Bearer {token}"));
    assert!(matches!(Answer::to(twice).await.status, 400 | 401), "two tokens are no token");
    let query = format!("/api/skus?access_token={token}");
    let seen = Answer::to(town.get(&query)).await;
    assert_ne!(seen.status, 200);
    let address = format!("http://{}{query}", town.shopfront().address);
    let seen = Answer::to(portcullis_tests::street::walker().get(address)).await;
    assert!(matches!(seen.status, 400 | 401), "a token in the query is none: {seen:?}");
}
