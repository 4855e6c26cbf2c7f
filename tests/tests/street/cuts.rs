//! Ending tokens: who may, how fast it is true everywhere, and what can be proved about it.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use portcullis_authority::ledger::Act;
use portcullis_authority::registry::Scope;
use portcullis_tests::client::{
    BACKEND, Client, DASHBOARD, KIOSK, PARTNER, RIVAL, STOREFRONT, STOREFRONT_SERVER, STRANGER, SUPPORT,
};
use portcullis_tests::ground::say;
use portcullis_tests::street::no;
use portcullis_tests::{Answer, Ground, Town};
use ring::signature::{ED25519, UnparsedPublicKey};
use serde_json::{Value, json};
use std::time::{Duration, Instant};

/// From the answered revocation to the first refusal, at most; the usual time is a few milliseconds.
const BOUND: Duration = Duration::from_secs(2);

pub async fn a_revoked_token_is_refused_at_the_shop_and_by_introspection(ground: &Ground) {
    let town = Town::open_with_shop(ground).await;
    let mut took = Vec::new();
    for _ in 0..20 {
        let token = town.client_token(&BACKEND).await;
        let other = town.client_token(&BACKEND).await;
        town.shop("/api/skus", &token).await.with_status(200);
        let answer = town.revoke(&BACKEND, &token).await.with_status(200);
        assert_eq!(answer.body, "{}");
        assert!(answer.header("revocation-position").starts_with("live:eu1 1."), "{answer:?}");
        took.push(town.until_shop_refuses(&token).await);
        assert!(!town.is_active(&token).await);
        town.shop("/api/skus", &other).await.with_status(200);
    }
    took.sort();
    let (median, most) = (took[took.len() / 2], took[took.len() - 1]);
    say(&format!(
        "street: answered revocation to refusal at the shop: median {median:?}, most {most:?} of 20"
    ));
    assert!(most < BOUND, "{took:?}");
}

pub async fn a_token_that_was_never_used_is_refused_at_its_first_use(ground: &Ground) {
    let town = Town::open_with_shop(ground).await;
    town.until_shop_has_reported().await;
    let token = town.client_token(&BACKEND).await;
    let asked =
        town.post("/oauth/revoke").header("prefer", "wait=5").form(&BACKEND.form(&[("token", &token)]));
    Answer::to(asked).await.with_status(200);
    let seen = town.shop("/api/skus", &token).await.with_status(401);
    assert_eq!(seen.json()["errors"][0]["code"], "INVALID_TOKEN");
    assert!(seen.header("www-authenticate").contains("error=\"invalid_token\""));
    // Twice is as good as once.
    town.revoke(&BACKEND, &token).await.with_status(200);
}

pub async fn a_refresh_token_that_is_revoked_takes_the_access_tokens_along(ground: &Ground) {
    let town = Town::open_with_shop(ground).await;
    let login = town.jane(&STOREFRONT).await;
    let next = town.refresh(&STOREFRONT, &login.refresh_token()).await.with_status(200);
    let other = town.jane(&STOREFRONT).await;
    for token in [login.access_token(), next.access_token(), other.access_token()] {
        town.shop("/api/orders", &token).await.with_status(200);
    }
    // Also the refresh token of before the rotation is the login's.
    town.revoke(&STOREFRONT, &login.refresh_token()).await.with_status(200);
    for token in [login.access_token(), next.access_token()] {
        assert!(town.until_shop_refuses(&token).await < BOUND);
        assert!(!town.is_active(&token).await);
    }
    assert!(!town.is_active(&next.refresh_token()).await);
    assert_eq!(town.refresh(&STOREFRONT, &next.refresh_token()).await.refusal(), no(400, "invalid_grant"));
    town.shop("/api/orders", &other.access_token()).await.with_status(200);
    town.refresh(&STOREFRONT, &other.refresh_token()).await.with_status(200);
    // The vendor's client revokes one access token; the login goes on, unless it is asked to end with it.
    town.revoke(&STOREFRONT, &other.access_token()).await.with_status(200);
    let third = town.jane(&STOREFRONT).await;
    let token = third.access_token();
    let form = STOREFRONT.form(&[("token", &token), ("revoke_session", "true")]);
    Answer::to(town.post("/oauth/revoke").form(&form)).await.with_status(200);
    assert_eq!(town.refresh(&STOREFRONT, &third.refresh_token()).await.refusal(), no(400, "invalid_grant"));
}

pub async fn only_the_right_client_may_revoke(ground: &Ground) {
    let town = Town::open(ground).await;
    let jane = town.jane(&STOREFRONT).await;
    let machine = town.client_token(&BACKEND).await;
    let guest = town.client_token(&STOREFRONT).await;
    let forbidden: [(&Client, &str); 13] = [
        (&KIOSK, &jane.access_token()),
        (&KIOSK, &jane.refresh_token()),
        (&RIVAL, &jane.access_token()),
        (&RIVAL, &jane.refresh_token()),
        (&SUPPORT, &machine),
        (&RIVAL, &machine),
        (&STRANGER, &machine),
        (&BACKEND.without_secret(), &machine),
        (&BACKEND.with_secret("hush-wrong"), &machine),
        (&STOREFRONT.with_secret("hush-wrong"), &jane.access_token()),
        (&Client { id: "shop", secret: Some("hush-guard") }, &machine),
        // Without a person in it, the name of a client is not enough.
        (&STOREFRONT, &guest),
        (&DASHBOARD.without_secret(), "x"),
    ];
    for (client, token) in forbidden {
        let refused = town.revoke(client, token).await;
        assert_eq!(refused.refusal(), no(403, "unauthorized_client"), "{client:?}");
        assert_eq!(refused.json()["errors"][0]["title"], "unauthorized_client");
    }
    let nobody = Answer::to(town.post("/oauth/revoke").form(&[("token", &machine)])).await;
    assert_eq!(nobody.refusal(), no(403, "unauthorized_client"));
    for token in [&jane.access_token(), &jane.refresh_token(), &machine, &guest] {
        assert!(town.is_active(token).await, "whoever may not revoke ends nothing");
    }
    for (client, token) in [
        (&STOREFRONT, jane.access_token()),
        (&STOREFRONT, jane.refresh_token()),
        (&BACKEND, machine),
        (&STOREFRONT_SERVER, guest),
    ] {
        assert_eq!(town.revoke(client, &token).await.with_status(200).body, "{}");
        assert!(!town.is_active(&token).await);
    }
}

pub async fn what_is_not_ours_is_gone_already(ground: &Ground) {
    let town = Town::open(ground).await;
    let token = town.client_token(&BACKEND).await;
    let [header, payload, signature] = token.split('.').collect::<Vec<_>>()[..] else {
        panic!("three parts")
    };
    let forged = format!("{header}.{payload}.{}", signature.chars().rev().collect::<String>());
    for unknown in ["x", "a.b.c", &forged] {
        let answer = town.revoke(&BACKEND, unknown).await.with_status(200);
        assert_eq!((answer.body.as_str(), answer.header("revocation-position")), ("{}", ""));
    }
    assert!(town.is_active(&token).await);
    let nothing = Answer::to(town.post("/oauth/revoke").form(&BACKEND.form(&[]))).await;
    assert_eq!(nothing.refusal(), no(400, "invalid_request"));
    // What the vendor's command line posts: its whole record, of which most is not for us.
    let record = json!({
        "client_id": "backend", "client_secret": "hush-backend", "token": token, "scope": ["market:all"],
        "slug": "acme", "domain": "town.test", "mode": "live", "kind": "integration", "password": "hush-jane",
        "debug": { "logLevel": "info" },
    });
    let answer = Answer::to(town.post("/oauth/revoke").json(&record)).await.with_status(200);
    assert_eq!(answer.body, "{}");
    assert!(!town.is_active(&token).await);
}

pub async fn a_receipt_names_the_shop_and_anybody_can_verify_it(ground: &Ground) {
    let town = Town::open_with_shop(ground).await;
    town.until_shop_has_reported().await;
    let token = town.client_token(&BACKEND).await;
    town.shop("/api/skus", &token).await.with_status(200);
    let asked =
        town.post("/oauth/revoke").header("prefer", "wait=2").form(&BACKEND.form(&[("token", &token)]));
    let began = Instant::now();
    let answer = Answer::to(asked).await.with_status(200);
    let took = began.elapsed();
    // The receipt is there, so the shop refuses: no waiting from here on.
    town.shop("/api/skus", &token).await.with_status(401);
    assert_eq!((answer.body.as_str(), answer.header("preference-applied")), ("{}", "wait=2"));
    let receipt = answer.header("revocation-receipt").to_owned();
    let told = verified(&town, &receipt).await;
    assert_eq!((&told["iss"], &told["feed"]), (&json!(town.issuer()), &json!("live:eu1")));
    // The account, and which instance of it.
    let named = |guard: &Value| guard.as_str().is_some_and(|name| name.starts_with("shop/"));
    assert!(named(&told["applied"][0]["guard"]), "{told}");
    assert_eq!(told["waiting"], json!([]));
    let place = format!("live:eu1 {}.{}", told["epoch"], told["seq"]);
    assert_eq!(answer.header("revocation-position"), place);
    assert!(took < BOUND, "{took:?}");
    say(&format!("street: revocation with a receipt of the shop took {took:?}"));
    let known = town.guards().await["guards"][0].clone();
    assert!(named(&known["guard"]) && known["connected"] == true, "{known}");
}

/// The receipt's payload, if the feed's published key signed it.
async fn verified(town: &Town, receipt: &str) -> Value {
    let keys = Answer::to(town.get("/.well-known/rv-jwks.json")).await.with_status(200).json();
    let read = |text: &str| URL_SAFE_NO_PAD.decode(text).expect("base64url");
    let [header, payload, signature] = receipt.split('.').collect::<Vec<_>>()[..] else {
        panic!("three parts")
    };
    let said: Value = serde_json::from_slice(&read(header)).expect("JSON");
    assert_eq!((&said["alg"], &said["typ"]), (&json!("EdDSA"), &json!("rv-receipt+jwt")));
    let keys = keys["keys"].as_array().expect("a key set");
    let key = keys.iter().find(|key| key["kid"] == said["kid"]).expect("the key is published");
    let key = UnparsedPublicKey::new(&ED25519, read(key["x"].as_str().expect("an Ed25519 key")));
    let signed = &receipt[..header.len() + 1 + payload.len()];
    key.verify(signed.as_bytes(), &read(signature)).expect("the feed's key signed it");
    assert!(key.verify(&signed.as_bytes()[1..], &read(signature)).is_err());
    serde_json::from_slice(&read(payload)).expect("JSON")
}

pub async fn introspection_and_the_shop_agree_at_every_step(ground: &Ground) {
    let town = Town::open_with_shop(ground).await;
    let login = town.jane(&STOREFRONT).await;
    let token = login.access_token();
    let seen = town.introspect(&token).await;
    assert_eq!(
        (&seen["active"], &seen["sub"], &seen["client_id"]),
        (&json!(true), &json!("custJaneAA"), &json!("storefront"))
    );
    town.shop("/api/orders", &token).await.with_status(200);
    assert_eq!(town.introspect(&login.refresh_token()).await["token_type"], "refresh_token");
    let next = town.refresh(&STOREFRONT, &login.refresh_token()).await.with_status(200);
    assert!(town.is_active(&token).await, "a refresh ends no access token");
    assert!(!town.is_active(&login.refresh_token()).await, "a rotated refresh token is not the current one");
    town.shop("/api/orders", &token).await.with_status(200);
    town.shop("/api/orders", &next.access_token()).await.with_status(200);
    town.revoke(&STOREFRONT, &token).await.with_status(200);
    assert_eq!(town.introspect(&token).await, json!({ "active": false }));
    town.until_shop_refuses(&token).await;
    assert!(town.is_active(&next.access_token()).await);
    town.shop("/api/orders", &next.access_token()).await.with_status(200);
    // Whoever only knows a name may not ask, and neither may strangers.
    for client in [STOREFRONT, STRANGER, PARTNER.without_secret(), BACKEND.with_secret("hush-wrong")] {
        let refused = town.introspect_as(&client, &next.access_token()).await;
        assert_eq!(refused.refusal(), no(401, "invalid_client"), "{client:?}");
    }
}

pub async fn everything_issued_so_far_to_somebody_ends_at_once(ground: &Ground) {
    let town = Town::open_with_shop(ground).await;
    let scopes = [
        (Scope::Subject, "custJaneAA"),
        (Scope::Client, "storefront"),
        (Scope::Organization, "orgAcmeAAA"),
        (Scope::Everything, "*"),
    ];
    for (scope, id) in scopes {
        let login = town.jane(&STOREFRONT).await;
        town.shop("/api/orders", &login.access_token()).await.with_status(200);
        let exp = town.now() + 40 * 86_400;
        town.act_elsewhere(Act::Raise { scope, id: id.into(), exp }).await;
        assert!(town.until_shop_refuses(&login.access_token()).await < BOUND, "{scope:?}");
        let began = Instant::now();
        while town.is_active(&login.access_token()).await {
            assert!(began.elapsed() < BOUND, "{scope:?} at the server");
        }
        // A server hears of another's act a moment before it issues by it; what it still gives is dead.
        let mut answer = town.refresh(&STOREFRONT, &login.refresh_token()).await;
        while answer.status == 200 {
            assert!(!town.is_active(&answer.access_token()).await, "{scope:?}");
            assert!(began.elapsed() < BOUND, "{scope:?} for refreshes");
            answer = town.refresh(&STOREFRONT, &answer.refresh_token()).await;
        }
        assert_eq!(answer.refusal(), no(400, "invalid_grant"));
        // What is issued from now on lives, in the very same second.
        let after = town.jane(&STOREFRONT).await;
        town.shop("/api/orders", &after.access_token()).await.with_status(200);
        assert!(town.is_active(&after.access_token()).await, "{scope:?}");
    }
}
