//! Refreshing a login.

use portcullis_authority::TokenReply;
use portcullis_authority::refusal::Code;
use portcullis_authority::registry::Scope;
use portcullis_guard::Denied;
use portcullis_guard::feed::Kind;

use crate::house::{ACME, House};

fn handle(reply: &TokenReply) -> &str {
    reply.refresh_token.as_deref().unwrap()
}

async fn refused(house: &House, client: &str, token: &str) -> Code {
    house.refresh(client, token).await.unwrap_err().code
}

#[tokio::test]
async fn a_public_client_gets_a_new_refresh_token_each_time() {
    let house = House::new();
    let first = house.eva().await;
    let second = house.refresh("shop", handle(&first)).await.unwrap();
    let third = house.refresh("shop", handle(&second)).await.unwrap();
    assert_ne!(handle(&first), handle(&second));
    assert_ne!(handle(&second), handle(&third));
    let sids = [&first, &second, &third].map(|reply| house.claims(&reply.access_token).sid);
    assert!(sids[0].is_some() && sids[0] == sids[1] && sids[1] == sids[2]);
}

#[tokio::test]
async fn a_confidential_client_keeps_its_refresh_token_unless_told_otherwise() {
    let house = House::new();
    let login = house.ada().await;
    let form = [("grant_type", "refresh_token"), ("refresh_token", handle(&login))];
    for _ in 0..3 {
        house.wait(60);
        assert_eq!(handle(&house.by("web", &form).await.unwrap()), handle(&login));
    }
    house.change_application("web", |application| application.rotate = Some(true));
    assert_ne!(handle(&house.by("web", &form).await.unwrap()), handle(&login));
    assert_eq!(refused(&house, "web", handle(&login)).await, Code::InvalidClient, "the secret is needed");
}

#[tokio::test]
async fn a_public_client_that_sends_its_secret_rotates_all_the_same() {
    let house = House::new();
    let login = house.eva().await;
    let form = [("grant_type", "refresh_token"), ("refresh_token", handle(&login))];
    let reply = house.by("shop", &form).await.unwrap();
    assert_ne!(handle(&reply), handle(&login));
    assert!(house.claims(&reply.access_token).application.confidential, "the secret came with this request");
    let reply = house.refresh("shop", handle(&reply)).await.unwrap();
    assert!(!house.claims(&reply.access_token).application.confidential, "and with this one it did not");
}

#[tokio::test]
async fn of_64_who_refresh_at_once_all_are_of_one_lineage() {
    let house = std::sync::Arc::new(House::new());
    let login = house.eva().await;
    let racers: Vec<_> = (0..64)
        .map(|_| {
            let (house, token) = (house.clone(), handle(&login).to_owned());
            tokio::spawn(async move { house.refresh("shop", &token).await })
        })
        .collect();
    let mut successors = std::collections::BTreeSet::new();
    for racer in racers {
        successors.insert(handle(&racer.await.unwrap().unwrap()).to_owned());
    }
    assert_eq!(successors.len(), 1);
    let issued = house.memory.audit().iter().filter(|record| record.event == "token.issued").count();
    assert_eq!(issued, 65, "one record a token, none for those who had to try again");
    let last = successors.pop_first().unwrap();
    assert!(house.refresh("shop", &last).await.is_ok());
}

#[tokio::test]
async fn a_retry_within_the_grace_gets_the_same_successor() {
    let house = House::new();
    let login = house.eva().await;
    let lost = house.refresh("shop", handle(&login)).await.unwrap();
    house.wait(10);
    let again = house.refresh("shop", handle(&login)).await.unwrap();
    assert_eq!(handle(&lost), handle(&again));
    let (lost, again) = (house.claims(&lost.access_token), house.claims(&again.access_token));
    assert_eq!(lost.sid, again.sid);
    assert_ne!(lost.jti, again.jti);
}

#[tokio::test]
async fn reuse_after_the_grace_ends_the_login() {
    let house = House::new();
    let login = house.eva().await;
    let next = house.refresh("shop", handle(&login)).await.unwrap();
    house.wait(11);
    assert_eq!(refused(&house, "shop", handle(&login)).await, Code::InvalidGrant);
    assert_eq!(house.check(&next.access_token), Err(Denied::Revoked(Kind::Family)));
    assert_eq!(refused(&house, "shop", handle(&next)).await, Code::InvalidGrant);
}

#[tokio::test]
async fn an_older_generation_ends_the_login_within_the_grace_too() {
    let house = House::new();
    let login = house.eva().await;
    let next = house.refresh("shop", handle(&login)).await.unwrap();
    let last = house.refresh("shop", handle(&next)).await.unwrap();
    assert_eq!(refused(&house, "shop", handle(&login)).await, Code::InvalidGrant);
    assert_eq!(house.check(&last.access_token), Err(Denied::Revoked(Kind::Family)));
}

#[tokio::test]
async fn the_refresh_token_of_another_client_ends_the_login() {
    let house = House::new();
    let login = house.eva().await;
    assert_eq!(refused(&house, "kiosk", handle(&login)).await, Code::InvalidGrant);
    assert_eq!(house.check(&login.access_token), Err(Denied::Revoked(Kind::Family)));
}

#[tokio::test]
async fn what_no_server_made_ends_nothing() {
    let house = House::new();
    let login = house.eva().await;
    let token = handle(&login);
    let (front, secret) = token.rsplit_once('.').unwrap();
    let zeroed = format!("{front}.{}", "A".repeat(secret.len()));
    for forged in
        [&token[..token.len() - 1], &format!("{token}A"), &zeroed, login.access_token.as_str(), "x", "a.b.c"]
    {
        assert_eq!(refused(&house, "shop", forged).await, Code::InvalidGrant, "{forged}");
        assert_eq!(refused(&house, "kiosk", forged).await, Code::InvalidGrant, "{forged}");
    }
    assert!(house.refresh("shop", token).await.is_ok());
    assert!(house.check(token).is_err(), "and a refresh token is no access token");
}

#[tokio::test]
async fn a_scope_narrows_for_one_token_and_never_widens() {
    let house = House::new();
    let form = [("client_id", "shop"), ("grant_type", "password"), ("username", "eva@acme.example")];
    let held = "market:code:usa,market:code:europe stock_location:code:milan stock_location:code:texas";
    let more = [("password", "evas-password"), ("scope", held)];
    let mut token = handle(&house.token(&[&form[..], &more].concat()).await.unwrap()).to_owned();
    for (scope, good) in [
        (held, true),
        ("market:code:usa stock_location:code:texas", true),
        ("stock_location:code:milan market:id:MktEurope1", true),
        ("market:all", false),
        ("market:code:geo", false),
        ("market:code:europe", false),
        ("market:code:nowhere", false),
        ("store:code:duomo", false),
        ("provisioning-api", false),
    ] {
        let form = [("client_id", "shop"), ("grant_type", "refresh_token"), ("refresh_token", &token)];
        let answer = house.token(&[&form[..], &[("scope", scope)]].concat()).await;
        assert_eq!(answer.as_ref().map(|reply| reply.scope.as_str()).ok(), good.then_some(scope), "{scope}");
        match answer {
            Ok(reply) => token = handle(&reply).to_owned(),
            Err(refusal) => assert_eq!(refusal.code, Code::InvalidScope),
        }
    }
    let reply = house.refresh("shop", &token).await.unwrap();
    assert_eq!(reply.scope, held, "the login keeps what it had");
}

#[tokio::test]
async fn every_market_holds_each_market() {
    let house = House::new();
    let login = house.eva().await;
    let form = [("client_id", "shop"), ("grant_type", "refresh_token"), ("refresh_token", handle(&login))];
    let ask = |scope: &'static str| [&form[..], &[("scope", scope)]].concat();
    assert_eq!(house.token(&ask("market:code:vips")).await.unwrap_err().code, Code::InvalidScope, "private");
    assert_eq!(house.token(&ask("market:code:usa")).await.unwrap().scope, "market:code:usa");
}

#[tokio::test]
async fn a_market_beside_every_market_stays_that_market() {
    let house = House::new();
    let form = [("client_id", "shop"), ("grant_type", "password"), ("username", "eva@acme.example")];
    let more = [("password", "evas-password"), ("scope", "market:all market:code:usa")];
    let login = house.token(&[&form[..], &more].concat()).await.unwrap();
    let form = [("client_id", "shop"), ("grant_type", "refresh_token"), ("refresh_token", handle(&login))];
    let wider = house.token(&[&form[..], &[("scope", "market:all")]].concat()).await;
    assert_eq!(wider.unwrap_err().code, Code::InvalidScope, "its parts are fewer, its reach is wider");
}

#[tokio::test]
async fn roles_are_read_again() {
    let house = House::new();
    let login = house.ada().await;
    let form = [("grant_type", "refresh_token"), ("refresh_token", handle(&login))];
    house.memory.change_memberships(|places| places.iter_mut().for_each(|place| place.role = "eyes".into()));
    assert_eq!(house.claims(&house.by("web", &form).await.unwrap().access_token).rol, ["read_only"]);
    house.memory.change_memberships(|places| places.iter_mut().for_each(|place| place.active = false));
    assert_eq!(house.by("web", &form).await.unwrap_err().code, Code::InvalidGrant);
}

#[tokio::test]
async fn a_login_ends_two_weeks_after_it_began_however_much_it_is_used() {
    let house = House::new();
    let mut reply = house.eva().await;
    for _ in 0..13 {
        house.wait(86400);
        reply = house.refresh("shop", handle(&reply)).await.unwrap();
    }
    house.wait(86400 - 1);
    reply = house.refresh("shop", handle(&reply)).await.unwrap();
    house.wait(1);
    assert_eq!(refused(&house, "shop", handle(&reply)).await, Code::InvalidGrant);
}

#[tokio::test]
async fn who_is_disabled_gets_nothing_more() {
    let house = House::new();
    let login = house.eva().await;
    house.memory.change_person("CustEvaAAA", |person| person.disabled = true);
    assert_eq!(refused(&house, "shop", handle(&login)).await, Code::InvalidGrant);
    house.memory.change_person("CustEvaAAA", |person| person.disabled = false);
    house.change_application("shop", |application| application.disabled = true);
    assert_eq!(refused(&house, "shop", handle(&login)).await, Code::InvalidClient);
    house.change_application("shop", |application| application.disabled = false);
    house.memory.change_holdings(|holdings| holdings.organizations[0].disabled = true);
    assert_eq!(refused(&house, "shop", handle(&login)).await, Code::InvalidClient);
    house.memory.change_holdings(|holdings| holdings.organizations[0].disabled = false);
    assert!(house.refresh("shop", handle(&login)).await.is_ok());
}

#[tokio::test]
async fn a_wider_revocation_ends_the_login() {
    let scopes = [
        (Scope::Subject, "CustEvaAAA"),
        (Scope::Client, "shop"),
        (Scope::Organization, ACME),
        (Scope::Everything, ""),
    ];
    for (scope, id) in scopes {
        let house = House::new();
        let login = house.eva().await;
        house.raise(scope, id).await;
        assert_eq!(refused(&house, "shop", handle(&login)).await, Code::InvalidGrant, "{scope:?}");
        assert!(house.refresh("shop", handle(&house.eva().await)).await.is_ok(), "later logins live");
    }
}

#[tokio::test]
async fn a_person_made_again_does_not_revive_old_logins() {
    let house = House::new();
    house.raise(Scope::Subject, "CustEvaAAA").await;
    let login = house.eva().await;
    house.memory.change_person("CustEvaAAA", |person| person.generation = 0);
    assert_eq!(refused(&house, "shop", handle(&login)).await, Code::InvalidGrant);
}

#[tokio::test]
async fn a_client_made_again_elsewhere_does_not_revive_old_logins() {
    let house = House::new();
    let login = house.eva().await;
    house.change_application("shop", |application| application.organization = crate::house::PLAIN.into());
    assert_eq!(refused(&house, "shop", handle(&login)).await, Code::InvalidGrant);
}

#[tokio::test]
async fn switching_the_password_grant_off_stops_new_logins_only() {
    let house = House::new();
    let login = house.eva().await;
    house.change_application("shop", |application| application.password_grant = false);
    let refusal = house.customer("eva@acme.example", "evas-password").await.unwrap_err();
    assert_eq!(refusal.code, Code::UnauthorizedClient);
    let next = house.refresh("shop", handle(&login)).await.unwrap();
    house.raise(Scope::Client, "shop").await;
    assert_eq!(refused(&house, "shop", handle(&next)).await, Code::InvalidGrant);
}

#[tokio::test]
async fn a_refresh_that_races_with_a_revocation_loses() {
    let house = House::new();
    let login = house.eva().await;
    assert!(house.revoke(&[("client_id", "shop"), ("token", handle(&login))]).await.unwrap());
    assert_eq!(refused(&house, "shop", handle(&login)).await, Code::InvalidGrant);
    assert_eq!(house.check(&login.access_token), Err(Denied::Revoked(Kind::Family)));
}
