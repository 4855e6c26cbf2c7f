//! On behalf of somebody, by assertion.

use portcullis_authority::TokenReply;
use portcullis_authority::keyring::generate;
use portcullis_authority::refusal::{Code, Refusal};
use portcullis_authority::registry::{Assertions, Scope};
use portcullis_guard::Denied;
use portcullis_guard::feed::Kind;
use serde_json::{Value, json};

use crate::house::{ACME, House, ISSUER, JWT_BEARER, START, pen, secret_of};

const CLAIMS: &str = "https://commercelayer.io/claims";

fn header() -> String {
    json!({"alg": "ES256", "kid": pen::int_key()["kid"]}).to_string()
}

/// An assertion of `int` for Eva.
fn for_eva(jti: &str) -> Value {
    json!({
        "iss": "int", "sub": "CustEvaAAA", "aud": ISSUER, "iat": START, "exp": START + 300, "jti": jti,
        CLAIMS: {"owner": {"type": "Customer", "id": "CustEvaAAA"}},
    })
}

fn signed(claims: &Value) -> String {
    pen::es256(pen::int_key(), &header(), &claims.to_string())
}

/// An assertion of `int` for Ada, who runs the house.
pub fn for_ada(jti: &str) -> String {
    let mut claims = for_eva(jti);
    claims["sub"] = "UserAdaAAA".into();
    claims[CLAIMS]["owner"] = json!({ "type": "User", "id": "UserAdaAAA" });
    signed(&claims)
}

async fn send(house: &House, client: &str, assertion: &str) -> Result<TokenReply, Refusal> {
    house.by(client, &[("grant_type", JWT_BEARER), ("assertion", assertion)]).await
}

async fn code(house: &House, assertion: &str) -> Result<(), Code> {
    send(house, "int", assertion).await.map(|_| ()).map_err(|refusal| refusal.code)
}

#[tokio::test]
async fn the_token_names_who_acts_and_both_their_roles() {
    let house = House::new();
    let reply = send(&house, "int", &signed(&for_eva("a"))).await.unwrap();
    assert_eq!((reply.owner_type, reply.owner_id.as_deref()), (Some("customer"), Some("CustEvaAAA")));
    let claims = house.claims(&reply.access_token);
    assert_eq!(claims.sub, "CustEvaAAA");
    assert_eq!(claims.rol, ["sales_channel_customer".to_owned(), format!("{ACME}/orders")]);
    let act = serde_json::to_value(&claims.act).unwrap();
    assert_eq!(act, json!({"sub": "client:int", "client_id": "int", "gv": 0}));
    let form = [("grant_type", "refresh_token"), ("refresh_token", reply.refresh_token.as_deref().unwrap())];
    let again = house.claims(&house.by("int", &form).await.unwrap().access_token);
    assert_eq!((again.act, again.rol, again.sid), (claims.act, claims.rol, claims.sid));
}

#[tokio::test]
async fn the_clients_own_secret_signs_too() {
    let house = House::new();
    let header = r#"{"alg":"HS512"}"#;
    let good = pen::hs512(&secret_of("int"), header, &for_eva("a").to_string());
    assert_eq!(code(&house, &good).await, Ok(()));
    for secret in ["", "cl", &secret_of("int2")] {
        let forged = pen::hs512(secret, header, &for_eva("b").to_string());
        assert_eq!(code(&house, &forged).await, Err(Code::InvalidGrant), "{secret}");
    }
}

#[tokio::test]
async fn a_forged_signature_is_refused_however_it_is_labelled() {
    let house = House::new();
    let payload = for_eva("a").to_string();
    let kid = pen::int_key()["kid"].as_str().unwrap();
    let stranger = generate("ES256", "int").unwrap();
    let public = pen::int_key()["x"].as_str().unwrap();
    let unsigned = |header: &str| pen::compact(header, &payload, |_| Vec::new());
    for forged in [
        pen::es256(&stranger, &header(), &payload),
        pen::es256(pen::int_key(), &json!({"alg": "ES256", "kid": "another"}).to_string(), &payload),
        pen::es256(pen::int_key(), &json!({"alg": "ES256", "kid": 7}).to_string(), &payload),
        pen::es256(pen::int_key(), &json!({"alg": "RS256", "kid": kid}).to_string(), &payload),
        pen::es256(pen::int_key(), &json!({"alg": "ES384", "kid": kid}).to_string(), &payload),
        pen::es256(pen::int_key(), &json!({"alg": "HS512", "kid": kid}).to_string(), &payload),
        pen::es256(pen::int_key(), &json!({"kid": kid}).to_string(), &payload),
        pen::es256(
            pen::int_key(),
            &json!({"alg": "ES256", "kid": kid, "crit": ["x"], "x": 1}).to_string(),
            &payload,
        ),
        pen::es256(pen::int_key(), &json!({"alg": "ES256", "kid": kid, "b64": false}).to_string(), &payload),
        pen::es256(&stranger, &json!({"alg": "ES256", "jwk": stranger}).to_string(), &payload),
        pen::hs512(public, r#"{"alg":"HS512"}"#, &payload),
        pen::hs512(&pen::int_key().to_string(), &json!({"alg": "HS256", "kid": kid}).to_string(), &payload),
        unsigned(r#"{"alg":"none"}"#),
        unsigned(r#"{"alg":"None"}"#),
        unsigned(&header()),
    ] {
        assert_eq!(code(&house, &forged).await, Err(Code::InvalidGrant), "{:?}", pen::part(&forged, 0));
    }
    let without_kid = pen::es256(pen::int_key(), r#"{"alg":"ES256"}"#, &payload);
    assert_eq!(code(&house, &without_kid).await, Ok(()), "with one key it need not be named");
}

#[tokio::test]
async fn the_vendors_constant_is_worth_nothing_where_signatures_count() {
    let house = House::new();
    let vendor = json!({"iat": START, CLAIMS: {"owner": {"type": "Customer", "id": "CustEvaAAA"}}});
    let forged = pen::hs512("cl", r#"{"alg":"HS512","typ":"JWT"}"#, &vendor.to_string());
    assert_eq!(code(&house, &forged).await, Err(Code::InvalidGrant));
}

#[tokio::test]
async fn what_is_not_one_clear_jwt_is_refused() {
    let house = House::new();
    let good = for_eva("a").to_string();
    let twice = good.replacen('{', r#"{"iss":"int","#, 1);
    let twice_inside = good.replace(r#""owner":{"#, r#""owner":{"id":"CustVipAAA","#);
    let long = {
        let mut claims = for_eva("a");
        claims["pad"] = "x".repeat(4000).into();
        claims.to_string()
    };
    let twice_header = header().replacen('{', r#"{"alg":"none","#, 1);
    let sign = |payload: &str| pen::es256(pen::int_key(), &header(), payload);
    for bad in [
        sign(&twice),
        sign(&twice_inside),
        sign(&long),
        pen::es256(pen::int_key(), &twice_header, &good),
        sign("[]"),
        sign(&format!("{good} ")).replace('.', ".."),
        format!("{}=", sign(&good)),
        "x".into(),
        "..".into(),
    ] {
        assert_eq!(code(&house, &bad).await, Err(Code::InvalidAssertion), "{bad}");
    }
    assert_eq!(code(&house, &sign(&good)).await, Ok(()));
}

#[tokio::test]
async fn each_claim_of_a_signed_assertion_is_checked() {
    let house = House::new();
    house.wait(1000);
    let base = || {
        let mut claims = for_eva("a");
        (claims["iat"], claims["exp"]) = (json!(START + 1000), json!(START + 1300));
        claims
    };
    let now = START + 1000;
    for (name, value) in [
        ("iss", json!("int2")),
        ("iss", json!(null)),
        ("sub", json!("CustVipAAA")),
        ("sub", json!("int")),
        ("sub", json!(null)),
        ("aud", json!([ISSUER])),
        ("aud", json!([ISSUER, "https://evil.example"])),
        ("aud", json!(format!("{ISSUER}/"))),
        ("aud", json!(format!("{ISSUER}/oauth/token"))),
        ("aud", json!("https://auth.another.example")),
        ("aud", json!(null)),
        ("exp", json!(now + 301)),
        ("exp", json!(now - 30)),
        ("exp", json!((now + 300).to_string())),
        ("exp", json!(now as f64 + 300.5)),
        ("exp", json!(u64::MAX)),
        ("exp", json!(-1)),
        ("exp", json!(null)),
        ("iat", json!(now + 31)),
        ("iat", json!(now - 1)),
        ("iat", json!("now")),
        ("iat", json!(null)),
        ("nbf", json!(now + 31)),
        ("nbf", json!("later")),
        ("jti", json!("")),
        ("jti", json!(7)),
        ("jti", json!(null)),
    ] {
        let mut claims = base();
        claims[name] = value.clone();
        assert_eq!(code(&house, &signed(&claims)).await, Err(Code::InvalidGrant), "{name} {value}");
        claims.as_object_mut().unwrap().remove(name);
        if name != "nbf" {
            assert_eq!(code(&house, &signed(&claims)).await, Err(Code::InvalidGrant), "{name} missing");
        }
    }
    assert_eq!(code(&house, &signed(&base())).await, Ok(()));
}

#[tokio::test]
async fn an_assertion_works_once() {
    let house = House::new();
    let assertion = signed(&for_eva("a"));
    let first = send(&house, "int", &assertion).await.unwrap();
    assert_eq!(code(&house, &assertion).await, Err(Code::InvalidGrant));
    let mut same_id = for_eva("a");
    same_id["exp"] = (START + 200).into();
    assert_eq!(code(&house, &signed(&same_id)).await, Err(Code::InvalidGrant));
    house.claims(&first.access_token);
    assert_eq!(code(&house, &signed(&for_eva("b"))).await, Ok(()));
}

#[tokio::test]
async fn of_many_who_send_one_assertion_one_wins() {
    let house = std::sync::Arc::new(House::new());
    let assertion = signed(&for_eva("a"));
    let racers: Vec<_> = (0..32)
        .map(|_| {
            let (house, assertion) = (house.clone(), assertion.clone());
            tokio::spawn(async move { code(&house, &assertion).await.is_ok() })
        })
        .collect();
    let mut won = 0;
    for racer in racers {
        won += usize::from(racer.await.unwrap());
    }
    assert_eq!(won, 1);
}

#[tokio::test]
async fn acting_needs_enterprise_permission_and_the_secret() {
    let house = House::new();
    let assertion = signed(&for_eva("a"));
    for client in ["plain-int", "lonely", "kiosk"] {
        let refusal = send(&house, client, &assertion).await.unwrap_err();
        assert_eq!(refusal.code, Code::UnauthorizedClient, "{client}");
    }
    let form = [("client_id", "shop"), ("grant_type", JWT_BEARER), ("assertion", &assertion)];
    assert_eq!(house.token(&form).await.unwrap_err().code, Code::InvalidClient, "the name alone");
    assert_eq!(
        send(&house, "int2", &assertion).await.unwrap_err().code,
        Code::InvalidGrant,
        "keys of another"
    );
}

#[tokio::test]
async fn a_delegated_login_is_refreshed_only_while_acting_is_allowed() {
    let house = House::new();
    let reply = send(&house, "int", &signed(&for_eva("a"))).await.unwrap();
    let form = [("grant_type", "refresh_token"), ("refresh_token", reply.refresh_token.as_deref().unwrap())];
    let refused = || async { house.by("int", &form).await.err().map(|refusal| refusal.code) };
    house.memory.change_holdings(|holdings| holdings.organizations[0].enterprise = false);
    assert_eq!(refused().await, Some(Code::UnauthorizedClient));
    house.memory.change_holdings(|holdings| holdings.organizations[0].enterprise = true);
    house.change_application("int", |application| application.on_behalf_of.enabled = false);
    assert_eq!(refused().await, Some(Code::UnauthorizedClient));
    house.change_application("int", |application| application.on_behalf_of.enabled = true);
    assert_eq!(refused().await, None);
    house.raise(Scope::Actor, "client:int").await;
    assert_eq!(house.check(&reply.access_token), Err(Denied::Revoked(Kind::Actor)));
    assert_eq!(refused().await, Some(Code::InvalidGrant));
}

#[tokio::test]
async fn only_listed_kinds_of_owners_of_this_organization_are_acted_for() {
    let house = House::new();
    let of = |kind: &str, id: &str, jti: &str| {
        let mut claims = for_eva(jti);
        (claims["sub"], claims[CLAIMS]) = (id.into(), json!({"owner": {"type": kind, "id": id}}));
        signed(&claims)
    };
    assert_eq!(code(&house, &of("User", "UserAdaAAA", "a")).await, Ok(()));
    let mut sentences = std::collections::BTreeSet::new();
    for (kind, id) in [
        ("Customer", "CustPaulBB"),
        ("Customer", "CustGoneAA"),
        ("Customer", "UserAdaAAA"),
        ("Customer", "CustNobody"),
        ("User", "CustEvaAAA"),
        ("User", "UserBobAAA"),
        ("User", "UserZedAAA"),
    ] {
        let refusal = send(&house, "int", &of(kind, id, id)).await.unwrap_err();
        assert_eq!(refusal.code, Code::InvalidGrant, "{kind} {id}");
        sentences.insert(refusal.sentence);
    }
    assert_eq!(sentences.len(), 1, "nobody learns whose customer exists: {sentences:?}");
    for kind in ["customer", "Robot", ""] {
        assert_eq!(code(&house, &of(kind, "CustEvaAAA", "z")).await, Err(Code::InvalidAssertion), "{kind}");
    }
    house.change_application("int", |application| application.on_behalf_of.owner_types.clear());
    assert_eq!(code(&house, &of("User", "UserAdaAAA", "b")).await, Err(Code::UnauthorizedClient));
    assert_eq!(
        code(&house, &of("Customer", "CustEvaAAA", "c")).await,
        Ok(()),
        "customers unless told otherwise"
    );
}

#[tokio::test]
async fn an_assertion_may_carry_a_claim_and_no_owner() {
    let house = House::new();
    let mut claims = for_eva("a");
    claims["sub"] = "int".into();
    claims[CLAIMS] = json!({"custom_claim": {"customer": {"first_name": "Jörg"}}});
    let reply = send(&house, "int", &signed(&claims)).await.unwrap();
    assert!(reply.refresh_token.is_some() && reply.owner_id.is_none());
    let token = house.claims(&reply.access_token);
    assert_eq!(token.custom_claim, Some(json!({"customer": {"first_name": "Jörg"}})));
    assert_eq!((token.sub.as_str(), token.act), ("client:int", None));
    let issued = house.memory.audit().into_iter().find(|record| record.event == "token.issued").unwrap();
    assert_eq!(issued.detail.as_deref(), Some(r#"{"custom_claim":["customer"]}"#), "names, not values");
    let form = [("grant_type", "refresh_token"), ("refresh_token", reply.refresh_token.as_deref().unwrap())];
    let again = house.claims(&house.by("int", &form).await.unwrap().access_token);
    assert_eq!(again.custom_claim, token.custom_claim);
}

#[tokio::test]
async fn what_an_assertion_may_not_carry_is_refused_with_the_reason() {
    let house = House::new();
    for (said, word) in [
        (json!({}), "owner"),
        (json!([]), "object"),
        (json!("x"), "object"),
        (json!({"custom_claim": "x"}), "object"),
        (json!({"custom_claim": null}), "object"),
        (json!({"custom_claim": {"act": {"sub": "x"}}}), "act"),
        (json!({"custom_claim": {"may_act": {"sub": "x"}}}), "may_act"),
        (json!({"custom_claim": {"__proto__": 1}}), "lower-case"),
        (json!({"custom_claim": {"a": {"b": {"c": {"d": 1}}}}}), "deeper"),
        (json!({"custom_claim": {"a": "x".repeat(257)}}), "longer"),
        (json!({"custom_claim": {"a": vec!["x".repeat(200); 6]}}), "larger"),
        (json!({"custom_claim": {"note": "pay 12 4111111111111111"}}), "card"),
        (json!({"owner": {"type": "Customer"}}), "id"),
        (json!({"owner": {"type": "Customer", "id": 7}}), "id"),
        (json!({"owner": {"type": "Customer", "id": "x".repeat(65)}}), "id"),
        (json!({"owner": "CustEvaAAA"}), "type"),
    ] {
        let mut claims = for_eva("a");
        claims[CLAIMS] = said.clone();
        let refusal = send(&house, "int", &signed(&claims)).await.unwrap_err();
        assert_eq!(refusal.code, Code::InvalidAssertion, "{said}");
        assert!(refusal.sentence.contains(word), "{said}: {}", refusal.sentence);
    }
}

/// The vendor's helper: HS512 with a constant, `iat` and nothing else.
fn vendors(claims: Value) -> String {
    let mut payload = json!({"iat": START, CLAIMS: {"owner": {"type": "Customer", "id": "CustEvaAAA"}}});
    payload.as_object_mut().unwrap().extend(claims.as_object().unwrap().clone());
    pen::hs512("cl", r#"{"alg":"HS512","typ":"JWT"}"#, &payload.to_string())
}

#[tokio::test]
async fn the_vendors_helper_is_believed_beside_the_client_secret() {
    let house = House::new();
    let assertion = vendors(json!({}));
    for _ in 0..2 {
        let reply = send(&house, "helper", &assertion).await.unwrap();
        let claims = house.claims(&reply.access_token);
        assert_eq!(claims.act.unwrap().sub, "client:helper");
        assert_eq!(claims.rol, ["sales_channel_customer"]);
    }
    let alone = [("client_id", "helper"), ("grant_type", JWT_BEARER), ("assertion", &assertion)];
    assert_eq!(house.token(&alone).await.unwrap_err().code, Code::InvalidClient);
    house.change_application("shop", |a| a.on_behalf_of.assertions = Assertions::ClientAuthenticated);
    let public = [("client_id", "shop"), ("grant_type", JWT_BEARER), ("assertion", &assertion)];
    assert_eq!(
        house.token(&public).await.unwrap_err().code,
        Code::InvalidClient,
        "the name of a public client"
    );
}

#[tokio::test]
async fn the_vendors_helper_is_taken_at_its_word_and_for_a_minute() {
    let house = House::new();
    for bad in [
        json!({"iat": START - 61}),
        json!({"iat": START + 31}),
        json!({"iat": "now"}),
        json!({"iat": null}),
        json!({"exp": START - 30}),
        json!({"exp": "soon"}),
        json!({"jti": 7}),
    ] {
        let refusal = send(&house, "helper", &vendors(bad.clone())).await.unwrap_err();
        assert_eq!(refusal.code, Code::InvalidGrant, "{bad}");
    }
    let once = vendors(json!({"jti": "once", "exp": START + 60}));
    assert!(send(&house, "helper", &once).await.is_ok());
    assert_eq!(send(&house, "helper", &once).await.unwrap_err().code, Code::InvalidGrant);
}

#[tokio::test]
async fn a_private_market_opens_for_the_owner_who_is_in_its_group() {
    let house = House::new();
    let of = |id: &str| vendors(json!({CLAIMS: {"owner": {"type": "Customer", "id": id}}}));
    for (id, may) in [("CustVipAAA", true), ("CustEvaAAA", false)] {
        let form = [("grant_type", JWT_BEARER), ("scope", "market:code:vips")];
        let answer = house.by("helper", &[&form[..], &[("assertion", &of(id))]].concat()).await;
        assert_eq!(answer.is_ok(), may, "{id}");
    }
}
