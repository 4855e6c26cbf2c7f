//! The audit: a record for each issue, refusal and revocation, and never a secret in it. Every other test
//! checks the latter too, when its house is torn down.

use portcullis_authority::ledger::AuditRecord;

use crate::house::{ACCESS_TOKEN, ACME, EXCHANGE, House, START};

fn last(house: &House) -> AuditRecord {
    house.memory.audit().pop().unwrap()
}

#[tokio::test]
async fn an_issue_says_who_for_whom_and_from_where() {
    let house = House::new();
    let eva = house.eva().await;
    let claims = house.claims(&eva.access_token);
    let record = last(&house);
    let expected = AuditRecord {
        at: START,
        event: "token.issued".into(),
        organization: Some(ACME.into()),
        client_id: Some("shop".into()),
        subject: Some("CustEvaAAA".into()),
        grant: Some("password".into()),
        jti: Some(claims.jti),
        sid: claims.sid,
        scope: Some("market:all".into()),
        address: Some("192.0.2.7".into()),
        request_id: Some("r-1".into()),
        ..AuditRecord::default()
    };
    assert_eq!(record, expected);
    let form = [
        ("grant_type", EXCHANGE),
        ("subject_token", &eva.access_token),
        ("subject_token_type", ACCESS_TOKEN),
    ];
    house.by("int", &form).await.unwrap();
    assert_eq!(last(&house).actors, ["client:int"]);
}

#[tokio::test]
async fn a_refusal_says_why_to_us() {
    let house = House::new();
    house.customer("eva@acme.example", "a-wrong-password").await.unwrap_err();
    let record = last(&house);
    assert_eq!((record.event.as_str(), record.client_id.as_deref()), ("token.refused", Some("shop")));
    assert!(record.reason.unwrap().starts_with("invalid_grant: unknown account"));
    assert_eq!(record.grant.as_deref(), Some("password"));
}

#[tokio::test]
async fn what_strangers_write_is_not_repeated() {
    let house = House::new();
    let slip = "a-secret-in-the-wrong-field";
    house.remember(slip);
    let form = [("client_id", slip), ("client_secret", "x"), ("grant_type", "client_credentials")];
    house.token(&form).await.unwrap_err();
    assert_eq!(last(&house).client_id, None);
    house.by("int", &[("grant_type", slip)]).await.unwrap_err();
    assert_eq!(last(&house).grant, None);
    house.by("int", &[("grant_type", "client_credentials"), ("scope", slip)]).await.unwrap_err();
    house.customer(slip, "a-wrong-password").await.unwrap_err();
}

#[tokio::test]
async fn a_revocation_and_its_refusal_are_written_down() {
    let house = House::new();
    let eva = house.eva().await;
    house.revoke(&[("client_id", "kiosk"), ("token", &eva.access_token)]).await.unwrap_err();
    let record = last(&house);
    assert_eq!((record.event.as_str(), record.client_id.as_deref()), ("revocation.refused", Some("kiosk")));
    house.revoke(&[("client_id", "shop"), ("token", &eva.access_token)]).await.unwrap();
    let record = last(&house);
    assert_eq!((record.event.as_str(), record.subject.as_deref()), ("token.revoked", Some("CustEvaAAA")));
    assert_eq!(record.jti, Some(house.memory.audit()[0].jti.clone().unwrap()));
    house.revoke(&[("client_id", "shop"), ("token", eva.refresh_token.as_deref().unwrap())]).await.unwrap();
    let record = last(&house);
    assert_eq!((record.event.as_str(), record.reason.as_deref()), ("login.ended", Some("revoked")));
}

#[tokio::test]
async fn reuse_leaves_the_ending_and_the_refusal() {
    let house = House::new();
    let eva = house.eva().await;
    house.refresh("kiosk", eva.refresh_token.as_deref().unwrap()).await.unwrap_err();
    let events: Vec<String> = house.memory.audit().into_iter().map(|record| record.event).collect();
    assert_eq!(events, ["token.issued", "login.ended", "token.refused"]);
}

#[tokio::test]
async fn a_sign_in_is_written_down_both_ways() {
    let house = House::new();
    house.ada().await;
    let consent = house.consider(&[("client_id", "web")]).unwrap();
    house.sign_in(&consent, "bob@staff.example").await.unwrap_err();
    let events: Vec<String> = house.memory.audit().into_iter().map(|record| record.event).collect();
    assert_eq!(events, ["sign_in", "consent.given", "token.issued", "sign_in.refused"]);
    assert_eq!(last(&house).client_id.as_deref(), Some("web"));
}

#[tokio::test]
async fn a_secret_in_the_audit_would_be_found() {
    let house = House::new();
    house.remember("192.0.2.7");
    house.eva().await;
    assert_eq!(house.leaks(), ["192.0.2.7"]);
    house.forget("192.0.2.7");
}
