//! What replies and tokens say.

use portcullis_authority::registry::{Profile, Scope};
use portcullis_guard::Denied;
use serde_json::{Value, json};

use crate::house::{ACME, House, ISSUER, START, pen};

const ALWAYS: [&str; 5] = ["access_token", "token_type", "expires_in", "scope", "created_at"];

fn names(reply: &portcullis_authority::TokenReply) -> Vec<String> {
    let mut names: Vec<String> =
        serde_json::to_value(reply).unwrap().as_object().unwrap().keys().cloned().collect();
    names.sort();
    names
}

fn expected(more: &[&str]) -> Vec<String> {
    let mut names: Vec<String> = ALWAYS.iter().chain(more).map(|name| name.to_string()).collect();
    names.sort();
    names
}

#[tokio::test]
async fn a_reply_has_exactly_the_documented_members() {
    let house = House::new();
    let alone = house.client_credentials("int").await;
    assert_eq!(names(&alone), expected(&[]));
    let eva = house.eva().await;
    assert_eq!(names(&eva), expected(&["refresh_token", "owner_id", "owner_type"]));
    assert_eq!((eva.owner_id.as_deref(), eva.owner_type), (Some("CustEvaAAA"), Some("customer")));
    let ada = house.ada().await;
    assert_eq!(names(&ada), expected(&["refresh_token", "owner_id", "owner_type"]));
    assert_eq!((ada.owner_type, ada.token_type, ada.expires_in), (Some("user"), "bearer", 7200));
    let again = house.refresh("shop", eva.refresh_token.as_deref().unwrap()).await.unwrap();
    assert_eq!(names(&again), names(&eva));
    assert_eq!(again.created_at, START);
}

#[tokio::test]
async fn an_integration_stands_for_itself() {
    let house = House::new();
    let mut claims = pen::part(&house.client_credentials("int").await.access_token, 1);
    let (jti, rand) = (claims["jti"].take(), claims["rand"].take());
    assert_eq!(jti.as_str().unwrap().len(), 22);
    assert!((0.0..1.0).contains(&rand.as_f64().unwrap()));
    assert_eq!(
        claims,
        json!({
            "iss": ISSUER, "sub": "client:int", "aud": "commerce-api", "client_id": "int",
            "iat": START, "exp": START + 7200, "jti": null, "rand": null, "scope": "market:all",
            "gv": [0, 0, 0, 0], "rol": [format!("{ACME}/orders")], "pv": 1, "test": true,
            "organization": {"id": ACME, "slug": "acme", "enterprise": true, "region": "eu-west-1"},
            "application": {
                "id": "app-int", "client_id": "int", "kind": "integration", "public": false, "confidential": true
            },
        })
    );
}

#[tokio::test]
async fn a_sales_channel_is_public_and_says_whether_it_sent_its_secret() {
    let house = House::new();
    let form = [("grant_type", "client_credentials"), ("scope", "market:code:europe")];
    let quiet = house.token(&[&[("client_id", "shop")], &form[..]].concat()).await.unwrap();
    let quiet = house.claims(&quiet.access_token);
    assert!(quiet.application.public && !quiet.application.confidential);
    assert_eq!(quiet.rol, ["sales_channel_guest"]);
    let market = quiet.market.unwrap();
    assert_eq!(market.id, ["MktEurope1"]);
    assert_eq!(market.stock_location_ids, ["StockMilan", "StockParis"]);
    assert!(market.allows_external_prices && market.geocoder_id.is_none());
    let loud = house.by("shop", &form).await.unwrap();
    let loud = house.claims(&loud.access_token);
    assert!(loud.application.public && loud.application.confidential);
}

#[tokio::test]
async fn a_token_says_how_its_person_was_proved_except_in_the_vendors_profile() {
    let house = House::new();
    let (eva, ada) = (house.eva().await, house.ada().await);
    house.wait(60);
    let again = house.refresh("shop", eva.refresh_token.as_deref().unwrap()).await.unwrap();
    for token in [&eva.access_token, &ada.access_token, &again.access_token] {
        let claims = house.claims(token);
        assert_eq!((claims.auth_time, claims.amr), (Some(START), vec!["pwd".to_owned()]), "RFC 9068");
        let told = house.introspect("int", token).await;
        assert_eq!((&told["auth_time"], &told["amr"]), (&json!(START), &json!(["pwd"])), "{told}");
    }
    let of_login = house.introspect("int", again.refresh_token.as_deref().unwrap()).await;
    assert_eq!((&of_login["auth_time"], &of_login["amr"]), (&json!(START), &json!(["pwd"])), "{of_login}");
    // Nobody was proved for an application that stands for itself.
    let alone = house.claims(&house.client_credentials("int").await.access_token);
    assert_eq!((alone.auth_time, alone.amr.len()), (None, 0));
    house.memory.change_holdings(|holdings| {
        for organization in &mut holdings.organizations {
            organization.profile = Some(Profile::CommerceLayer);
        }
    });
    let theirs = pen::part(&house.eva().await.access_token, 1);
    assert!(theirs.get("auth_time").is_none() && theirs.get("amr").is_none(), "{theirs}");
}

#[tokio::test]
async fn a_customer_stands_in_sub_and_owner() {
    let house = House::new();
    let claims = pen::part(&house.eva().await.access_token, 1);
    assert_eq!(claims["sub"], "CustEvaAAA");
    assert_eq!(claims["owner"], json!({"id": "CustEvaAAA", "type": "Customer"}));
    assert_eq!(claims["rol"], json!(["sales_channel_customer"]));
    assert_eq!(claims["sid"].as_str().unwrap().len(), 22);
    assert!(claims.get("act").is_none() && claims.get("user").is_none());
}

#[tokio::test]
async fn a_user_brings_the_role_of_the_membership() {
    let house = House::new();
    let claims = house.claims(&house.ada().await.access_token);
    assert_eq!(claims.rol, ["admin"]);
    assert_eq!(serde_json::to_value(&claims.owner).unwrap(), json!({"id": "UserAdaAAA", "type": "User"}));
}

#[tokio::test]
async fn a_personal_token_has_a_user_no_organization_and_is_never_a_test() {
    let house = House::new();
    let claims = pen::part(&house.client_credentials("me").await.access_token, 1);
    assert_eq!(claims["user"], json!({"id": "UserAdaAAA"}));
    assert_eq!((&claims["scope"], &claims["test"]), (&json!("provisioning-api"), &json!(false)));
    assert!(claims.get("organization").is_none() && claims.get("owner").is_none());
}

#[tokio::test]
async fn an_application_without_a_role_may_do_nothing() {
    let house = House::new();
    assert_eq!(house.claims(&house.client_credentials("lonely").await.access_token).rol, ["nobody"]);
    house.memory.change_holdings(|holdings| holdings.roles.retain(|role| role.id != "orders"));
    assert_eq!(house.claims(&house.client_credentials("int").await.access_token).rol, ["nobody"]);
}

#[tokio::test]
async fn times_are_whole_seconds() {
    let house = House::with_every_key();
    for token in [house.eva().await.access_token, house.client_credentials("vendor").await.access_token] {
        let claims = pen::part(&token, 1);
        assert!(claims["iat"].is_u64() && claims["exp"].is_u64());
    }
}

#[tokio::test]
async fn the_header_is_the_profiles_and_the_algorithm_the_keys() {
    let house = House::with_every_key();
    let header = pen::part(&house.client_credentials("int").await.access_token, 0);
    assert_eq!((&header["typ"], &header["alg"]), (&json!("at+jwt"), &json!("ES256")));
    let header = pen::part(&house.client_credentials("vendor").await.access_token, 0);
    assert_eq!((&header["typ"], &header["alg"]), (&json!("JWT"), &json!("RS512")));
    for (algorithm, profile, typ) in [
        ("EdDSA", Profile::Rfc9068, "at+jwt"),
        ("PS256", Profile::CommerceLayer, "JWT"),
        ("RS256", Profile::Rfc9068, "at+jwt"),
    ] {
        house.memory.change_holdings(|holdings| {
            holdings.organizations[0].algorithm = Some(algorithm.into());
            holdings.organizations[0].profile = Some(profile);
        });
        let token = house.client_credentials("int").await.access_token;
        let header = pen::part(&token, 0);
        assert_eq!((&header["typ"], &header["alg"]), (&json!(typ), &json!(algorithm)));
        house.claims(&token);
        assert_eq!(pen::part(&house.client_credentials("vendor").await.access_token, 0)["alg"], "RS512");
    }
}

#[tokio::test]
async fn lifetimes_and_audiences_are_the_applications() {
    let house = House::new();
    house.change_application("shop", |application| application.access_lifetime = Some(14400));
    let reply = house.eva().await;
    assert_eq!(reply.expires_in, 14400);
    house.wait(14400 + 29);
    house.claims(&reply.access_token);
    house.wait(1);
    assert_eq!(house.check(&reply.access_token), Err(Denied::Expired));
    assert_eq!(house.claims(&house.client_credentials("reports").await.access_token).aud, ["reports"]);
}

#[tokio::test]
async fn two_tokens_of_one_second_differ() {
    let house = House::new();
    let (one, two) = (house.client_credentials("int").await, house.client_credentials("int").await);
    let (one, two) = (house.claims(&one.access_token), house.claims(&two.access_token));
    assert_ne!(one.jti, two.jti);
    assert_ne!(one.rand, two.rand);
}

#[tokio::test]
async fn a_token_carries_the_generations_of_its_day() {
    let house = House::new();
    let old = house.eva().await;
    house.raise(Scope::Client, "shop").await;
    house.raise(Scope::Subject, "CustEvaAAA").await;
    house.raise(Scope::Organization, ACME).await;
    house.raise(Scope::Everything, "").await;
    assert!(matches!(house.check(&old.access_token), Err(Denied::Revoked(_))));
    let claims: Value = pen::part(&house.eva().await.access_token, 1);
    assert_eq!(claims["gv"], json!([1, 1, 1, 1]));
}

#[tokio::test]
async fn a_token_too_large_for_headers_is_not_issued() {
    let house = House::with(|terms| terms.token_limit = 500);
    let refusal = house.by("int", &[("grant_type", "client_credentials")]).await.unwrap_err();
    assert!(refusal.sentence.contains("too large"));
}
