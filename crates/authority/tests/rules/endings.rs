//! Revocation, introspection and token info.

use portcullis_authority::refusal::Code;
use portcullis_guard::Denied;
use portcullis_guard::feed::Kind;
use serde_json::json;

use crate::house::{
    ACCESS_TOKEN, EXCHANGE, House, JWT_BEARER, START, inside, origin, pen, refusal_of, secret_of,
};

async fn refused(house: &House, form: &[(&str, &str)]) -> Code {
    house.revoke(form).await.unwrap_err().code
}

#[tokio::test]
async fn a_customers_token_is_revoked_with_the_client_id_alone() {
    let house = House::new();
    let eva = house.eva().await;
    assert!(house.revoke(&[("client_id", "shop"), ("token", &eva.access_token)]).await.unwrap());
    assert_eq!(house.check(&eva.access_token), Err(Denied::Revoked(Kind::Token)));
    let next = house.refresh("shop", eva.refresh_token.as_deref().unwrap()).await;
    assert!(next.is_ok(), "the login lives");
    assert!(
        house.revoke(&[("client_id", "shop"), ("token", &eva.access_token)]).await.unwrap(),
        "twice is fine"
    );
}

#[tokio::test]
async fn a_guests_token_is_revoked_with_the_secret_only() {
    let house = House::new();
    let form = [("client_id", "shop"), ("grant_type", "client_credentials")];
    let guest = house.token(&form).await.unwrap().access_token;
    assert_eq!(refused(&house, &[("client_id", "shop"), ("token", &guest)]).await, Code::UnauthorizedClient);
    house.claims(&guest);
    let secret = secret_of("shop");
    assert!(
        house.revoke(&[("client_id", "shop"), ("client_secret", &secret), ("token", &guest)]).await.unwrap()
    );
    assert!(house.check(&guest).is_err());
}

#[tokio::test]
async fn a_refresh_token_takes_its_whole_login_along() {
    let house = House::new();
    let eva = house.eva().await;
    let next = house.refresh("shop", eva.refresh_token.as_deref().unwrap()).await.unwrap();
    let form = [("client_id", "shop"), ("token", next.refresh_token.as_deref().unwrap())];
    assert!(house.revoke(&form).await.unwrap());
    for token in [&eva.access_token, &next.access_token] {
        assert_eq!(house.check(token), Err(Denied::Revoked(Kind::Family)));
    }
    assert_eq!(house.refresh("shop", form[1].1).await.unwrap_err().code, Code::InvalidGrant);
}

#[tokio::test]
async fn a_login_of_nobody_is_revoked_with_the_secret_only() {
    let house = House::new();
    house.change_application("shop", |a| {
        a.on_behalf_of.assertions = portcullis_authority::registry::Assertions::ClientAuthenticated;
    });
    let payload = json!({"iat": START, "https://commercelayer.io/claims": {"custom_claim": {"a": 1}}});
    let assertion = pen::hs512("cl", r#"{"alg":"HS512"}"#, &payload.to_string());
    let reply = house.by("shop", &[("grant_type", JWT_BEARER), ("assertion", &assertion)]).await.unwrap();
    let token = reply.refresh_token.as_deref().unwrap();
    assert_eq!(refused(&house, &[("client_id", "shop"), ("token", token)]).await, Code::UnauthorizedClient);
    assert_eq!(
        refused(&house, &[("client_id", "shop"), ("token", &reply.access_token)]).await,
        Code::UnauthorizedClient
    );
    house.claims(&reply.access_token);
    let secret = secret_of("shop");
    assert!(
        house.revoke(&[("client_id", "shop"), ("client_secret", &secret), ("token", token)]).await.unwrap()
    );
    assert!(house.check(&reply.access_token).is_err());
}

#[tokio::test]
async fn the_session_ends_with_the_token_where_it_is_asked() {
    let house = House::new();
    let eva = house.eva().await;
    let next = house.refresh("shop", eva.refresh_token.as_deref().unwrap()).await.unwrap();
    let form = [("client_id", "shop"), ("token", eva.access_token.as_str()), ("revoke_session", "true")];
    assert!(house.revoke(&form).await.unwrap());
    assert_eq!(house.check(&next.access_token), Err(Denied::Revoked(Kind::Family)));
}

#[tokio::test]
async fn an_actor_ends_its_own_token_and_not_the_login_behind_it() {
    let house = House::new();
    let eva = house.eva().await;
    let form = [
        ("grant_type", EXCHANGE),
        ("subject_token", &eva.access_token),
        ("subject_token_type", ACCESS_TOKEN),
    ];
    let acting = house.by("int", &form).await.unwrap().access_token;
    let secret = secret_of("int");
    let form = [
        ("client_id", "int"),
        ("client_secret", &secret),
        ("token", acting.as_str()),
        ("revoke_session", "true"),
    ];
    assert_eq!(refused(&house, &form).await, Code::UnauthorizedClient);
    house.claims(&acting);
    assert!(house.revoke(&form[..3]).await.unwrap());
    assert!(house.check(&acting).is_err());
    house.claims(&eva.access_token);
}

#[tokio::test]
async fn without_a_valid_client_nothing_ends() {
    let house = House::new();
    let eva = house.eva().await;
    let int = house.client_credentials("int").await.access_token;
    let refresh = eva.refresh_token.as_deref().unwrap();
    let wrong = [("client_id", "int"), ("client_secret", "a-wrong-secret"), ("token", int.as_str())];
    let mut sentences = std::collections::BTreeSet::new();
    for form in [
        &wrong[..],
        &[("client_id", "int"), ("token", &int)],
        &[("client_id", "nobody"), ("token", &int)],
        &[("token", &eva.access_token)],
        &[("client_id", "kiosk"), ("token", &eva.access_token)],
        &[("client_id", "kiosk"), ("token", refresh)],
    ] {
        let refusal = house.revoke(form).await.unwrap_err();
        assert_eq!(refusal.code, Code::UnauthorizedClient, "{form:?}");
        sentences.insert(refusal.sentence);
    }
    assert_eq!(sentences.len(), 1);
    house.claims(&int);
    house.claims(&eva.access_token);
    assert!(house.refresh("shop", refresh).await.is_ok());
    assert_eq!(refused(&house, &[("client_id", "shop")]).await, Code::InvalidRequest);
}

#[tokio::test]
async fn what_is_not_ours_is_revoked_already() {
    let house = House::new();
    let eva = house.eva().await;
    let forged = format!("{}A", eva.refresh_token.as_deref().unwrap());
    for token in ["x", "a.b.c", &forged] {
        assert!(!house.revoke(&[("client_id", "shop"), ("token", token)]).await.unwrap(), "{token}");
    }
}

#[tokio::test]
async fn what_seems_to_have_expired_is_ended_all_the_same() {
    let house = House::new();
    let eva = house.eva().await;
    // Perhaps it is our clock that is wrong, and services still accept the token.
    house.wait(7230);
    assert!(house.revoke(&[("client_id", "shop"), ("token", &eva.access_token)]).await.unwrap());
}

#[tokio::test]
async fn introspection_agrees_with_the_guard() {
    let house = House::new();
    let eva = house.eva().await;
    let answer = house.introspect("int", &eva.access_token).await;
    assert_eq!((&answer["active"], &answer["token_type"]), (&json!(true), &json!("Bearer")));
    assert_eq!((&answer["sub"], &answer["iss"]), (&json!("CustEvaAAA"), &json!("https://auth.acme.example")));
    house.revoke(&[("client_id", "shop"), ("token", &eva.access_token)]).await.unwrap();
    assert_eq!(house.introspect("int", &eva.access_token).await, json!({"active": false}));
    assert_eq!(house.introspect("int", "x").await, json!({"active": false}));
}

#[tokio::test]
async fn one_sees_ones_own_organization_and_a_guard_sees_all() {
    let house = House::new();
    let eva = house.eva().await;
    let me = house.client_credentials("me").await.access_token;
    let refresh = eva.refresh_token.as_deref().unwrap();
    for (asker, token, seen) in [
        ("int", eva.access_token.as_str(), true),
        ("int", refresh, true),
        ("plain-int", &eva.access_token, false),
        ("plain-int", refresh, false),
        ("gate", &eva.access_token, true),
        ("gate", refresh, true),
        ("gate", &me, true),
        ("me", &me, true),
        ("int", &me, false),
    ] {
        assert_eq!(house.introspect(asker, token).await["active"], seen, "{asker}");
    }
}

#[tokio::test]
async fn whoever_only_knows_a_name_may_not_ask() {
    let house = House::new();
    let eva = house.eva().await.access_token;
    for form in [
        &[("client_id", "shop"), ("token", eva.as_str())][..],
        &[("client_id", "gate"), ("token", &eva)],
        &[("client_id", "gate"), ("client_secret", "a-wrong-secret"), ("token", &eva)],
        &[("token", &eva)],
    ] {
        let refusal = refusal_of(house.authority.introspect(&house.ask(form)).await).unwrap_err();
        assert_eq!(refusal.code, Code::InvalidClient);
    }
}

#[tokio::test]
async fn a_refresh_token_is_active_only_if_a_refresh_would_take_it() {
    let house = House::new();
    let eva = house.eva().await;
    let old = eva.refresh_token.as_deref().unwrap();
    let answer = house.introspect("int", old).await;
    assert_eq!((&answer["token_type"], &answer["sub"]), (&json!("refresh_token"), &json!("CustEvaAAA")));
    let next = house.refresh("shop", old).await.unwrap().refresh_token.unwrap();
    let active = |token: String| {
        let house = &house;
        async move { house.introspect("int", &token).await["active"] == true }
    };
    assert!(!active(old.into()).await && active(next.clone()).await);
    house.memory.change_person("CustEvaAAA", |person| person.disabled = true);
    assert!(!active(next.clone()).await);
    house.memory.change_person("CustEvaAAA", |person| person.disabled = false);
    house.change_application("shop", |application| application.disabled = true);
    assert!(!active(next.clone()).await);
    house.change_application("shop", |application| application.disabled = false);
    assert!(active(next.clone()).await);
    house.raise(portcullis_authority::registry::Scope::Client, "shop").await;
    assert!(!active(next).await);
}

#[tokio::test]
async fn token_info_speaks_the_vendors_words() {
    let house = House::new();
    let ada = house.ada().await.access_token;
    house.wait(200);
    let info = refusal_of(house.authority.token_info(&ada).await).unwrap();
    assert_eq!(
        info,
        json!({
            "token": {"test": true, "market_ids": null, "stock_location_ids": null, "lifespan": 7000},
            "application": {"id": "app-web", "kind": "webapp", "name": "web", "core": true},
            "permissions": {"roles": ["admin"]},
            "accessible_apps": [],
            "role": {"id": "boss", "kind": "admin", "name": "boss"},
            "owner": {
                "id": "UserAdaAAA", "type": "User", "email": "ada@staff.example", "first_name": "", "last_name": "",
                "owner": true, "time_zone": "UTC"
            },
        })
    );
    house
        .revoke(&[("client_id", "web"), ("client_secret", &secret_of("web")), ("token", &ada)])
        .await
        .unwrap();
    for bad in [ada.as_str(), "x"] {
        let refusal = refusal_of(house.authority.token_info(bad).await).unwrap_err();
        assert_eq!(refusal.code, Code::InvalidToken);
    }
}

#[tokio::test]
async fn a_promotion_ends_tokens_logins_codes_and_sessions_and_what_comes_next_lives() {
    let house = House::new();
    let (eva, robot) = (house.eva().await, house.client_credentials("int").await);
    let consent = house.consider(&[("client_id", "web")]).unwrap();
    let password = portcullis_authority::secret::Secret::from("adas-password".to_owned());
    let signed_in = house.authority.sign_in(&consent, "ada@staff.example", password, &origin()).await;
    let cookie = inside(signed_in).unwrap().cookie;
    assert!(house.authority.signed_in(&consent, cookie.expose()).await.unwrap().is_some());
    let code = house.code(&[("client_id", "web")]).await;
    let deed = portcullis_authority::recovery::promotion(house.now(), 0, "a backup was put back");
    house.commit(deed).await;
    for token in [&eva.access_token, &robot.access_token] {
        assert_eq!(house.check(token), Err(Denied::Revoked(Kind::Everything)));
    }
    let refresh = eva.refresh_token.as_deref().unwrap();
    assert_eq!(house.refresh("shop", refresh).await.unwrap_err().code, Code::InvalidGrant);
    assert_eq!(house.redeem(&code).await.unwrap_err().code, Code::InvalidGrant);
    assert!(house.authority.signed_in(&consent, cookie.expose()).await.unwrap().is_none());
    house.claims(&house.eva().await.access_token);
    house.claims(&house.ada().await.access_token);
    house.claims(&house.client_credentials("int").await.access_token);
}
