//! Lifetimes to the second.

use portcullis_guard::EXPIRY_LEEWAY;
use portcullis_tests::client::{BACKEND, PARTNER, STOREFRONT, claims_of};
use portcullis_tests::street::no;
use portcullis_tests::{Ground, Town};

use super::code::{PARTNER_BACK, redeem};

pub async fn a_token_lives_to_its_last_second_and_not_longer(ground: &Ground) {
    let town = Town::open_with_shop(ground).await;
    let token = town.client_token(&BACKEND).await;
    let claims = claims_of(&token);
    let time = |name: &str| claims[name].as_u64().expect("whole seconds");
    let exp = time("exp");
    assert_eq!(exp, time("iat") + 7200);
    // The clock runs on, so the last seconds are left to the checks themselves.
    town.later(exp - town.now() - 20).await;
    assert!(town.is_active(&token).await);
    town.shop("/api/skus", &token).await.with_status(200);
    town.later(exp + EXPIRY_LEEWAY - town.now()).await;
    assert!(!town.is_active(&token).await);
    let seen = town.shop("/api/skus", &token).await.with_status(401);
    assert_eq!(seen.json()["errors"][0]["code"], "INVALID_TOKEN");
    // A dead token can be revoked, to no effect.
    town.revoke(&BACKEND, &token).await.with_status(200);
}

pub async fn a_code_lives_a_minute(ground: &Ground) {
    let town = Town::open(ground).await;
    let code = town.browser().code(&PARTNER, PARTNER_BACK, &[]).await;
    town.later(40).await;
    redeem(&town, &PARTNER, &code, PARTNER_BACK).await.with_status(200);
    let code = town.browser().code(&PARTNER, PARTNER_BACK, &[]).await;
    town.later(60).await;
    assert_eq!(redeem(&town, &PARTNER, &code, PARTNER_BACK).await.refusal(), no(400, "invalid_grant"));
}

pub async fn a_login_ends_two_weeks_after_it_began_however_often_it_is_refreshed(ground: &Ground) {
    let town = Town::open(ground).await;
    let mut login = town.jane(&STOREFRONT).await;
    for _ in 0..13 {
        town.later(86_400).await;
        login = town.refresh(&STOREFRONT, &login.refresh_token()).await.with_status(200);
    }
    town.later(86_400 - 30).await;
    login = town.refresh(&STOREFRONT, &login.refresh_token()).await.with_status(200);
    assert!(town.is_active(&login.refresh_token()).await);
    town.later(60).await;
    assert!(!town.is_active(&login.refresh_token()).await);
    assert_eq!(town.refresh(&STOREFRONT, &login.refresh_token()).await.refusal(), no(400, "invalid_grant"));
}

pub async fn a_page_that_was_open_for_too_long_does_nothing(ground: &Ground) {
    let town = Town::open(ground).await;
    let browser = town.browser();
    let page = browser.authorize(&PARTNER, PARTNER_BACK, &[]).await.with_status(200);
    let onward = browser.sign_in(&page, "ringo@example.com", "hush-ringo").await.with_status(303);
    let question = browser.open(onward.header("location")).await.with_status(200);
    town.later(601).await;
    for seen in [
        browser.decide(&question, "allow").await,
        browser.sign_in(&page, "ringo@example.com", "hush-ringo").await,
    ] {
        assert_eq!((seen.status, seen.header("location")), (400, ""));
    }
}
