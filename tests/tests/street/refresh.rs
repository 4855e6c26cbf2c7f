//! Refresh tokens: one login, one lineage, and no second chance for a thief.

use std::collections::BTreeSet;

use portcullis_tests::client::{DASHBOARD, KIOSK, STOREFRONT, STOREFRONT_SERVER, claims_of};
use portcullis_tests::street::no;
use portcullis_tests::{Ground, Town};

pub async fn sixty_four_tabs_that_refresh_at_once_stay_one_login(ground: &Ground) {
    let town = std::sync::Arc::new(Town::open(ground).await);
    let first = town.jane(&STOREFRONT).await.refresh_token();
    let tabs: Vec<_> = (0..64)
        .map(|_| {
            let (town, first) = (town.clone(), first.clone());
            tokio::spawn(async move { town.refresh(&STOREFRONT, &first).await })
        })
        .collect();
    let mut successors = BTreeSet::new();
    for tab in tabs {
        let answer = tab.await.expect("a tab does not panic").with_status(200);
        assert!(town.is_active(&answer.access_token()).await);
        successors.insert(answer.refresh_token());
    }
    assert_eq!(successors.len(), 1, "all tabs have the same successor");
    let successor = successors.pop_first().expect("there is one");
    assert_ne!(successor, first);
    town.refresh(&STOREFRONT, &successor).await.with_status(200);
}

pub async fn a_lost_answer_can_be_asked_for_again(ground: &Ground) {
    let town = Town::open(ground).await;
    let first = town.jane(&STOREFRONT).await.refresh_token();
    let second = town.refresh(&STOREFRONT, &first).await.with_status(200).refresh_token();
    let again = town.refresh(&STOREFRONT, &first).await.with_status(200);
    assert_eq!(again.refresh_token(), second);
    // Whoever has the successor goes on; then the first one is two steps old, and no retry.
    let third = town.refresh(&STOREFRONT, &second).await.with_status(200).refresh_token();
    assert_eq!(town.refresh(&STOREFRONT, &first).await.refusal(), no(400, "invalid_grant"));
    assert_eq!(town.refresh(&STOREFRONT, &third).await.refusal(), no(400, "invalid_grant"));
}

pub async fn a_refresh_token_that_comes_back_late_ends_everything(ground: &Ground) {
    let town = Town::open_with_shop(ground).await;
    let login = town.jane(&STOREFRONT).await;
    let next = town.refresh(&STOREFRONT, &login.refresh_token()).await.with_status(200);
    for token in [login.access_token(), next.access_token()] {
        town.shop("/api/orders", &token).await.with_status(200);
    }
    // Within the grace it is a retry, after it a theft.
    town.later(3).await;
    let again = town.refresh(&STOREFRONT, &login.refresh_token()).await.with_status(200);
    assert_eq!(again.refresh_token(), next.refresh_token());
    town.later(8).await;
    let thief = town.refresh(&STOREFRONT, &login.refresh_token()).await;
    assert_eq!(thief.refusal(), no(400, "invalid_grant"));
    assert_eq!(town.refresh(&STOREFRONT, &next.refresh_token()).await.refusal(), no(400, "invalid_grant"));
    for token in [login.access_token(), next.access_token()] {
        town.until_shop_refuses(&token).await;
        assert!(!town.is_active(&token).await);
    }
    // Another login of the same person is none of it.
    let other = town.jane(&STOREFRONT).await;
    town.shop("/api/orders", &other.access_token()).await.with_status(200);
}

pub async fn a_refresh_token_in_other_hands_ends_everything(ground: &Ground) {
    let town = Town::open(ground).await;
    let login = town.jane(&STOREFRONT).await;
    let refused = town.refresh(&KIOSK, &login.refresh_token()).await;
    assert_eq!(refused.refusal(), no(400, "invalid_grant"));
    assert_eq!(town.refresh(&STOREFRONT, &login.refresh_token()).await.refusal(), no(400, "invalid_grant"));
    assert!(!town.is_active(&login.access_token()).await);
    // A client that cannot prove itself does no harm with it.
    let login = town.jane(&STOREFRONT).await;
    let wrong = town.refresh(&STOREFRONT.with_secret("hush-wrong"), &login.refresh_token()).await;
    assert_eq!(wrong.refusal(), no(401, "invalid_client"));
    let wrong = town.refresh(&DASHBOARD.without_secret(), &login.refresh_token()).await;
    assert_eq!(wrong.refusal(), no(401, "invalid_client"));
    assert!(town.is_active(&login.access_token()).await);
    town.refresh(&STOREFRONT_SERVER, &login.refresh_token()).await.with_status(200);
}

pub async fn a_confidential_client_keeps_its_refresh_token(ground: &Ground) {
    let town = Town::open(ground).await;
    let redirect = "https://app.example/callback";
    let code = town.browser().code(&DASHBOARD, redirect, &[]).await;
    let more = [
        ("code", code.as_str()),
        ("redirect_uri", redirect),
        ("code_verifier", portcullis_tests::browser::VERIFIER),
    ];
    let login = town.token(&DASHBOARD, "authorization_code", &more).await.with_status(200);
    let first = town.refresh(&DASHBOARD, &login.refresh_token()).await.with_status(200);
    assert_eq!(first.refresh_token(), login.refresh_token());
    let second = town.refresh(&DASHBOARD, &first.refresh_token()).await.with_status(200);
    assert_eq!(claims_of(&second.access_token())["sid"], claims_of(&login.access_token())["sid"]);
    // Without the secret it is worth nothing.
    let refused = town.refresh(&DASHBOARD.without_secret(), &login.refresh_token()).await;
    assert_eq!(refused.refusal(), no(401, "invalid_client"));
}

pub async fn a_refresh_never_widens(ground: &Ground) {
    let town = Town::open(ground).await;
    let form = [("username", "jane@example.com"), ("password", "hush-jane"), ("scope", "market:code:europe")];
    let login = town.token(&STOREFRONT, "password", &form).await.with_status(200);
    for scope in ["market:all", "market:code:usa", "market:code:europe market:code:usa"] {
        let more = [("refresh_token", &*login.refresh_token()), ("scope", scope)];
        let refused = town.token(&STOREFRONT, "refresh_token", &more).await;
        assert_eq!(refused.refusal(), no(400, "invalid_scope"), "{scope}");
    }
    let more = [("refresh_token", &*login.refresh_token()), ("scope", "market:code:europe")];
    let next = town.token(&STOREFRONT, "refresh_token", &more).await.with_status(200);
    assert_eq!(next.json()["scope"], "market:code:europe");
}

pub async fn what_is_not_a_refresh_token_is_refused(ground: &Ground) {
    let town = Town::open(ground).await;
    let login = town.jane(&STOREFRONT).await;
    let refresh = login.refresh_token();
    let [header, payload, tag] = refresh.split('.').collect::<Vec<_>>()[..] else { panic!("three parts") };
    for wrong in [
        login.access_token(),
        refresh[..refresh.len() - 1].to_owned(),
        format!("{refresh}A"),
        format!("{header}.{payload}.{}", "A".repeat(tag.len())),
        format!("{header}..{tag}"),
        "x".into(),
        "0".repeat(5000),
    ] {
        let refused = town.refresh(&STOREFRONT, &wrong).await;
        assert_eq!(refused.refusal(), no(400, "invalid_grant"), "{wrong}");
    }
    let refused = town.refresh(&STOREFRONT, "").await;
    assert_eq!(refused.refusal(), no(400, "invalid_request"));
    town.refresh(&STOREFRONT, &refresh).await.with_status(200);
}
