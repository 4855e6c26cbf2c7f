//! Revocations that arrive between a decision and its writing down: the revocation wins.

use portcullis_authority::ledger::Act;
use portcullis_authority::provisioning::change::{Amendment, Change};
use portcullis_authority::refusal::Code;
use portcullis_authority::registry::Scope;
use serde_json::json;

use crate::house::{ACCESS_TOKEN, ACME, EXCHANGE, House, ISSUER, JWT_BEARER, START, pen};

/// Every cutoff that reaches Eva's login at the shop.
fn cutoffs(client: &str, subject: &str) -> [Act; 4] {
    let raise = |scope, id: &str| Act::Raise { scope, id: id.into(), exp: START + 86400 };
    [
        raise(Scope::Subject, subject),
        raise(Scope::Client, client),
        raise(Scope::Organization, ACME),
        raise(Scope::Everything, ""),
    ]
}

fn end(sid: Option<String>) -> Act {
    Act::EndFamily { id: sid.unwrap(), reason: "revoked".into(), now: START, exp: START + 86400 }
}

#[tokio::test]
async fn a_login_that_was_overtaken_is_dead_on_arrival() {
    for act in cutoffs("shop", "CustEvaAAA") {
        let house = House::new();
        house.interrupt(act.clone());
        let login = house.eva().await;
        assert!(house.check(&login.access_token).is_err(), "{act:?}");
        let refusal = house.refresh("shop", login.refresh_token.as_deref().unwrap()).await.unwrap_err();
        assert_eq!(refusal.code, Code::InvalidGrant, "{act:?}");
    }
}

#[tokio::test]
async fn a_code_that_was_overtaken_opens_a_dead_login() {
    for act in cutoffs("web", "UserAdaAAA") {
        let house = House::new();
        let code = house.code(&[("client_id", "web")]).await;
        house.interrupt(act.clone());
        let login = house.redeem(&code).await.unwrap();
        assert!(house.check(&login.access_token).is_err(), "{act:?}");
        let form =
            [("grant_type", "refresh_token"), ("refresh_token", login.refresh_token.as_deref().unwrap())];
        assert_eq!(house.by("web", &form).await.unwrap_err().code, Code::InvalidGrant, "{act:?}");
    }
}

#[tokio::test]
async fn a_code_does_not_outrun_the_loss_of_a_place() {
    let house = House::new();
    let code = house.code(&[("client_id", "web")]).await;
    let registry = &house.authority.desk().registry;
    let version = registry.estate("", &[]).await.unwrap().version;
    let places = registry.memberships("UserAdaAAA").await.unwrap();
    let place = places.into_iter().find(|place| place.organization == ACME).unwrap();
    let lost = vec![
        Change::DropMembership { id: place.id },
        Change::EndLogins {
            organization: ACME.into(),
            person: "UserAdaAAA".into(),
            reason: "left".into(),
            now: START,
            exp: START + 86400,
        },
    ];
    house.interrupt(Act::Amend(Amendment { expected: version, changes: lost }));
    assert_eq!(house.redeem(&code).await.unwrap_err().code, Code::InvalidGrant);
    assert!(house.memory.audit().iter().all(|record| record.event != "token.issued"));
}

#[tokio::test]
async fn a_rotation_that_was_overtaken_gives_nothing_alive() {
    for overtaking in 0..5 {
        let house = House::new();
        let login = house.eva().await;
        let sid = house.claims(&login.access_token).sid;
        house.interrupt(cutoffs("shop", "CustEvaAAA").into_iter().chain([end(sid)]).nth(overtaking).unwrap());
        match house.refresh("shop", login.refresh_token.as_deref().unwrap()).await {
            Err(refusal) => {
                assert_eq!(refusal.code, Code::InvalidGrant);
                let issued =
                    house.memory.audit().iter().filter(|record| record.event == "token.issued").count();
                assert_eq!(issued, 1, "nothing is noted of a token that nobody got");
            }
            Ok(next) => {
                assert!(house.check(&next.access_token).is_err(), "{overtaking}");
                let again = house.refresh("shop", next.refresh_token.as_deref().unwrap()).await;
                assert_eq!(again.unwrap_err().code, Code::InvalidGrant, "{overtaking}");
            }
        }
    }
}

#[tokio::test]
async fn a_refresh_without_rotation_that_was_overtaken_is_dead_too() {
    for overtaking in 0..5 {
        let house = House::new();
        let login = house.ada().await;
        let sid = house.claims(&login.access_token).sid;
        house.interrupt(cutoffs("web", "UserAdaAAA").into_iter().chain([end(sid)]).nth(overtaking).unwrap());
        let form =
            [("grant_type", "refresh_token"), ("refresh_token", login.refresh_token.as_deref().unwrap())];
        let next = house.by("web", &form).await.unwrap();
        assert!(house.check(&next.access_token).is_err(), "{overtaking}");
        assert_eq!(house.by("web", &form).await.unwrap_err().code, Code::InvalidGrant, "{overtaking}");
    }
}

#[tokio::test]
async fn an_exchange_that_was_overtaken_is_dead_on_arrival() {
    for overtaking in 0..6 {
        let house = House::new();
        let eva = house.eva().await.access_token;
        let sid = house.claims(&eva).sid;
        let actor = Act::Raise { scope: Scope::Actor, id: "client:int".into(), exp: START + 86400 };
        let acts = cutoffs("int", "CustEvaAAA").into_iter().chain([end(sid), actor]);
        house.interrupt(acts.into_iter().nth(overtaking).unwrap());
        let form = [("grant_type", EXCHANGE), ("subject_token", &eva), ("subject_token_type", ACCESS_TOKEN)];
        let reply = house.by("int", &form).await.unwrap();
        assert!(house.check(&reply.access_token).is_err(), "{overtaking}");
    }
}

#[tokio::test]
async fn an_assertion_that_was_overtaken_opens_a_dead_login() {
    let actor = Act::Raise { scope: Scope::Actor, id: "client:int".into(), exp: START + 86400 };
    for act in cutoffs("int", "CustEvaAAA").into_iter().chain([actor]) {
        let house = House::new();
        let claims = json!({
            "iss": "int", "sub": "CustEvaAAA", "aud": ISSUER, "iat": START, "exp": START + 300, "jti": "a",
            "https://commercelayer.io/claims": {"owner": {"type": "Customer", "id": "CustEvaAAA"}},
        });
        let assertion = pen::es256(pen::int_key(), r#"{"alg":"ES256"}"#, &claims.to_string());
        house.interrupt(act.clone());
        let reply = house.by("int", &[("grant_type", JWT_BEARER), ("assertion", &assertion)]).await.unwrap();
        assert!(house.check(&reply.access_token).is_err(), "{act:?}");
        let form =
            [("grant_type", "refresh_token"), ("refresh_token", reply.refresh_token.as_deref().unwrap())];
        assert_eq!(house.by("int", &form).await.unwrap_err().code, Code::InvalidGrant, "{act:?}");
    }
}
