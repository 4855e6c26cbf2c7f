//! On behalf of somebody: assertions and token exchange.

use portcullis_tests::client::{
    ACCESS_TOKEN, BACKEND, Client, EXCHANGE, HELPER, JWT_BEARER, RIVAL, STOREFRONT, SUPPORT, claims_of,
};
use portcullis_tests::street::no;
use portcullis_tests::{Answer, Ground, Town};
use serde_json::{Value, json};

fn jane() -> Value {
    json!({ "owner": { "type": "Customer", "id": "custJaneAA" } })
}

/// Exchanges a token, as the client.
pub async fn exchange(town: &Town, client: &Client, subject: &str, more: &[(&str, &str)]) -> Answer {
    let mut form = vec![("subject_token", subject), ("subject_token_type", ACCESS_TOKEN)];
    form.extend_from_slice(more);
    town.token(client, EXCHANGE, &form).await
}

pub async fn an_application_acts_for_a_customer_and_the_token_says_so(ground: &Ground) {
    let town = Town::open_with_shop(ground).await;
    let mut wish = jane();
    wish["custom_claim"] = json!({ "cart": "b-17", "ort": "Köln" });
    let assertion = Client::assertion(wish, town.now());
    let answer = town.token(&HELPER, JWT_BEARER, &[("assertion", &assertion)]).await.with_status(200);
    assert_eq!(answer.json()["owner_type"], "customer");
    let claims = claims_of(&answer.access_token());
    assert_eq!(claims["owner"], json!({ "id": "custJaneAA", "type": "Customer" }));
    assert_eq!(
        (&claims["act"]["sub"], &claims["custom_claim"]["ort"]),
        (&json!("client:helper"), &json!("Köln"))
    );
    town.shop("/api/orders", &answer.access_token()).await.with_status(200);
    let next = town.refresh(&HELPER, &answer.refresh_token()).await.with_status(200);
    assert_eq!(claims_of(&next.access_token())["act"]["sub"], "client:helper");
    let nobody = Client::assertion(json!({ "custom_claim": { "cart": "b-17" } }), town.now());
    let answer = town.token(&HELPER, JWT_BEARER, &[("assertion", &nobody)]).await.with_status(200);
    assert!(answer.json()["owner_id"].is_null() && !answer.refresh_token().is_empty());
}

pub async fn a_signed_assertion_works_once(ground: &Ground) {
    let town = Town::open(ground).await;
    let issuer = town.issuer().to_owned();
    let assertion = BACKEND.signed_assertion(&issuer, "custJaneAA", "first", town.now());
    let form = [("assertion", assertion.as_str())];
    let answer = town.token(&BACKEND, JWT_BEARER, &form).await.with_status(200);
    assert!(town.is_active(&answer.access_token()).await);
    assert_eq!(town.token(&BACKEND, JWT_BEARER, &form).await.refusal(), no(400, "invalid_grant"));
    assert!(town.is_active(&answer.access_token()).await, "a replay ends nothing of the first");
    for (wrong, why) in [
        (
            BACKEND.signed_assertion("https://elsewhere.example", "custJaneAA", "a", town.now()),
            "another audience",
        ),
        (
            BACKEND.with_secret("hush-wrong").signed_assertion(&issuer, "custJaneAA", "b", town.now()),
            "another key",
        ),
        (
            HELPER.with_secret("hush-backend").signed_assertion(&issuer, "custJaneAA", "c", town.now()),
            "another iss",
        ),
        (BACKEND.signed_assertion(&issuer, "custJaneAA", "d", town.now() - 600), "expired"),
        (BACKEND.signed_assertion(&issuer, "custJaneAA", "e", town.now() + 600), "of the future"),
        (
            BACKEND.signed_assertion(&issuer, "custRobAAA", "f", town.now()),
            "customer of another organization",
        ),
        (BACKEND.signed_assertion(&issuer, "nobody", "g", town.now()), "nobody"),
        (Client::assertion(jane(), town.now()), "the vendor's constant"),
    ] {
        let refused = town.token(&BACKEND, JWT_BEARER, &[("assertion", &wrong)]).await;
        assert_eq!(refused.refusal(), no(400, "invalid_grant"), "{why}");
    }
}

pub async fn an_assertion_that_cannot_be_believed_is_refused(ground: &Ground) {
    let town = Town::open(ground).await;
    for (claims, why) in [
        (json!({}), "says nothing"),
        (json!({ "custom_claim": { "exp": 1 } }), "a reserved name"),
        (json!({ "custom_claim": { "sub": "x" } }), "a registered name"),
        (json!({ "custom_claim": { "note": "4111 1111 1111 1111" } }), "a card number"),
        (json!({ "custom_claim": { "a": { "b": { "c": { "d": 1 } } } } }), "too deep"),
        (json!({ "custom_claim": { "long": "x".repeat(2000) } }), "too long"),
        (json!({ "custom_claim": ["x"] }), "no object"),
        (json!({ "custom_claim": { "long": "x".repeat(5000) } }), "more than 4 KB"),
    ] {
        let assertion = Client::assertion(claims, town.now());
        let refused = town.token(&HELPER, JWT_BEARER, &[("assertion", &assertion)]).await;
        assert_eq!(refused.refusal(), no(400, "invalid_assertion"), "{why}");
    }
    for text in ["x", "a.b.c", ".."] {
        let refused = town.token(&HELPER, JWT_BEARER, &[("assertion", text)]).await;
        assert_eq!(refused.refusal(), no(400, "invalid_assertion"), "{text}");
    }
    let user = json!({ "owner": { "type": "User", "id": "userRingoA" } });
    let assertion = Client::assertion(user, town.now());
    let refused = town.token(&HELPER, JWT_BEARER, &[("assertion", &assertion)]).await;
    assert_eq!(refused.refusal(), no(400, "unauthorized_client"), "users are not the helper's to act for");
    let assertion = Client::assertion(jane(), town.now());
    let unproved = town.token(&HELPER.without_secret(), JWT_BEARER, &[("assertion", &assertion)]).await;
    assert_eq!(unproved.refusal(), no(401, "invalid_client"));
    let old = Client::assertion(jane(), town.now() - 3600);
    let refused = town.token(&HELPER, JWT_BEARER, &[("assertion", &old)]).await;
    assert_eq!(refused.refusal(), no(400, "invalid_grant"));
}

pub async fn acting_for_somebody_is_for_enterprise_organizations(ground: &Ground) {
    let town = Town::open(ground).await;
    let assertion =
        Client::assertion(json!({ "owner": { "type": "Customer", "id": "custRobAAA" } }), town.now());
    let refused = town.token(&RIVAL, JWT_BEARER, &[("assertion", &assertion)]).await;
    assert_eq!(refused.refusal(), no(400, "unauthorized_client"));
    assert!(refused.text("error_description").contains("enterprise"), "{refused:?}");
    let refused = town.token(&SUPPORT, JWT_BEARER, &[("assertion", &assertion)]).await;
    assert_eq!(refused.refusal(), no(400, "unauthorized_client"), "not switched on for this application");
}

pub async fn an_exchanged_token_says_who_acts_and_dies_with_the_login(ground: &Ground) {
    let town = Town::open_with_shop(ground).await;
    let login = town.jane(&STOREFRONT).await;
    let answer = exchange(&town, &BACKEND, &login.access_token(), &[]).await.with_status(200);
    let body = answer.json();
    assert_eq!(body["issued_token_type"], ACCESS_TOKEN);
    assert!(body["refresh_token"].is_null(), "an exchanged token cannot be refreshed");
    let (token, claims) = (answer.access_token(), claims_of(&answer.access_token()));
    assert_eq!((&claims["sub"], &claims["act"]["sub"]), (&json!("custJaneAA"), &json!("client:backend")));
    assert_eq!(claims["sid"], claims_of(&login.access_token())["sid"]);
    town.shop("/api/orders", &token).await.with_status(200);
    let second = exchange(&town, &HELPER, &token, &[]).await.with_status(200);
    let claims = claims_of(&second.access_token());
    assert_eq!(
        (&claims["act"]["sub"], &claims["act"]["act"]["sub"]),
        (&json!("client:helper"), &json!("client:backend"))
    );
    town.revoke(&STOREFRONT, &login.refresh_token()).await.with_status(200);
    for token in [login.access_token(), token, second.access_token()] {
        town.until_shop_refuses(&token).await;
        assert!(!town.is_active(&token).await);
        let refused = exchange(&town, &BACKEND, &token, &[]).await;
        assert_eq!(refused.refusal(), no(400, "invalid_grant"));
    }
}

pub async fn an_exchange_never_widens_and_never_outlives(ground: &Ground) {
    let town = Town::open(ground).await;
    let form = [("username", "jane@example.com"), ("password", "hush-jane"), ("scope", "market:code:europe")];
    let login = town.token(&STOREFRONT, "password", &form).await.with_status(200);
    let subject = login.access_token();
    town.later(3600).await;
    let answer = exchange(&town, &BACKEND, &subject, &[]).await.with_status(200);
    assert_eq!(claims_of(&answer.access_token())["exp"], claims_of(&subject)["exp"]);
    let wider = exchange(&town, &BACKEND, &subject, &[("scope", "market:all")]).await;
    assert_eq!(wider.refusal(), no(400, "invalid_scope"));
    let target = exchange(&town, &BACKEND, &subject, &[("audience", "https://elsewhere.example")]).await;
    assert_eq!(target.refusal(), no(400, "invalid_target"));
    let circle = exchange(&town, &BACKEND, &answer.access_token(), &[]).await;
    assert_eq!(circle.refusal(), no(400, "invalid_request"), "nobody stands twice in a chain");
    let own = town.client_token(&BACKEND).await;
    let nobody = exchange(&town, &BACKEND, &own, &[]).await;
    assert_eq!(nobody.refusal(), no(400, "invalid_request"), "a token that stands for nobody");
    let refresh = exchange(&town, &BACKEND, &login.refresh_token(), &[]).await;
    assert_eq!(refresh.refusal(), no(400, "invalid_grant"), "a refresh token is no subject");
    let foreign = exchange(
        &town,
        &BACKEND,
        &subject,
        &[("actor_token", &town.client_token(&HELPER).await), ("actor_token_type", ACCESS_TOKEN)],
    )
    .await;
    assert_eq!(foreign.refusal(), no(400, "invalid_grant"), "an actor_token of somebody else");
}
