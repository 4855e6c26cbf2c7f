//! Who may call, and with which grant.

use portcullis_authority::ask::{Ask, Knock};
use portcullis_authority::refusal::Code;

use crate::house::{EXCHANGE, House, JWT_BEARER, refusal_of, secret_of};

const GRANTS: [&str; 6] =
    ["client_credentials", "password", "authorization_code", "refresh_token", JWT_BEARER, EXCHANGE];

#[tokio::test]
async fn each_kind_of_application_has_its_grants_and_no_other() {
    let house = House::new();
    let table = [
        ("shop", [true, true, false, true, true, false]),
        ("kiosk", [true, false, false, true, true, false]),
        ("plain-shop", [true, true, false, true, true, false]),
        ("int", [true, false, false, true, true, true]),
        ("web", [false, false, true, true, true, true]),
        ("spa", [false, false, true, true, true, false]),
        ("me", [true, false, false, false, false, false]),
    ];
    for (client, allowed) in table {
        for (grant, may) in GRANTS.into_iter().zip(allowed) {
            let answer = house.by(client, &[("grant_type", grant)]).await;
            let refused = answer.err().is_some_and(|refusal| refusal.code == Code::UnauthorizedClient);
            // Without its parameters an allowed grant is refused for another reason, or not at all.
            assert_eq!(refused, !may, "{client} {grant}");
        }
    }
}

#[tokio::test]
async fn an_unknown_grant_is_unsupported() {
    let house = House::new();
    for name in
        ["implicit", "Password", "client_credentials ", "urn:ietf:params:oauth:grant-type:device_code"]
    {
        let refusal = house.by("int", &[("grant_type", name)]).await.unwrap_err();
        assert_eq!(refusal.code, Code::UnsupportedGrantType, "{name}");
    }
    let refusal = house.by("int", &[("scope", "market:all")]).await.unwrap_err();
    assert_eq!(refusal.code, Code::InvalidRequest);
}

#[tokio::test]
async fn whatever_is_wrong_with_a_client_reads_the_same() {
    let house = House::new();
    house.change_application("int2", |application| application.disabled = true);
    house.change_application("int3", |application| {
        application.secrets[0].expires_at = Some(house.now());
    });
    let of = |client: &'static str, secret: String| {
        let house = &house;
        async move {
            let form =
                [("client_id", client), ("client_secret", &secret), ("grant_type", "client_credentials")];
            house.token(&form).await.unwrap_err()
        }
    };
    let unknown = of("nobody", secret_of("nobody")).await;
    assert_eq!(unknown.code, Code::InvalidClient);
    let wrong = of("int", "a-wrong-secret".into()).await;
    let others = of("int", secret_of("int2")).await;
    let disabled = of("int2", secret_of("int2")).await;
    let expired = of("int3", secret_of("int3")).await;
    let public_with_wrong = of("shop", "a-wrong-secret".into()).await;
    let missing = [("client_id", "int"), ("grant_type", "client_credentials")];
    let missing = house.token(&missing).await.unwrap_err();
    for refusal in [wrong, others, disabled, expired, public_with_wrong, missing] {
        assert_eq!((refusal.code, &refusal.sentence), (unknown.code, &unknown.sentence), "{}", refusal.cause);
    }
}

#[tokio::test]
async fn a_disabled_organization_has_no_clients() {
    let house = House::new();
    house.memory.change_holdings(|holdings| holdings.organizations[0].disabled = true);
    let refusal = house.by("int", &[("grant_type", "client_credentials")]).await.unwrap_err();
    assert_eq!(refusal.code, Code::InvalidClient);
    assert!(house.by("plain-int", &[("grant_type", "client_credentials")]).await.is_ok());
}

#[tokio::test]
async fn a_secret_is_good_until_the_second_it_expires() {
    let house = House::new();
    house.change_application("int", |a| a.secrets[0].expires_at = Some(house.now() + 10));
    house.wait(9);
    house.client_credentials("int").await;
    house.wait(1);
    assert!(house.by("int", &[("grant_type", "client_credentials")]).await.is_err());
}

#[tokio::test]
async fn an_empty_basic_secret_is_no_secret() {
    let house = House::new();
    for (basic, good) in [("Basic c2hvcDo=", true), ("Basic aW50Og==", false)] {
        let ask = Ask::read(Knock {
            content_type: "application/x-www-form-urlencoded",
            authorization: vec![basic],
            body: b"grant_type=client_credentials",
            ..Knock::default()
        })
        .unwrap();
        let answer = refusal_of(house.authority.token(&ask).await);
        assert_eq!(answer.is_ok(), good, "{basic}");
        if let Ok(reply) = answer {
            assert!(!house.claims(&reply.access_token).application.confidential);
        }
    }
}

#[tokio::test]
async fn a_personal_credential_lives_and_dies_with_its_person() {
    let house = House::new();
    let form = [("grant_type", "client_credentials")];
    assert_eq!(house.claims(&house.by("me", &form).await.unwrap().access_token).sub, "UserAdaAAA");
    house.memory.change_person("UserAdaAAA", |person| person.disabled = true);
    assert_eq!(house.by("me", &form).await.unwrap_err().code, Code::UnauthorizedClient);
    house.change_application("me", |application| application.user = None);
    assert_eq!(house.by("me", &form).await.unwrap_err().code, Code::UnauthorizedClient);
    house.change_application("me", |application| application.user = Some("CustEvaAAA".into()));
    assert_eq!(house.by("me", &form).await.unwrap_err().code, Code::UnauthorizedClient);
}
