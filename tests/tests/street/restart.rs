//! The server goes and comes back over the same books.

use std::time::Duration;

use portcullis::settings::Passwords;
use portcullis_tests::client::{BACKEND, PARTNER, STOREFRONT};
use portcullis_tests::ground::say;
use portcullis_tests::street::no;
use portcullis_tests::{Ground, Town};
use serde_json::Value;

use super::code::{PARTNER_BACK, redeem};

/// A stop lets requests finish; the shop's guard always has one open, which must not hold it up.
const GOODBYE: Duration = Duration::from_secs(3);

pub async fn nothing_that_was_ended_comes_back(ground: &Ground) {
    let mut town = Town::open_with_shop(ground).await;
    let machine = town.client_token(&BACKEND).await;
    let never_used = town.client_token(&BACKEND).await;
    let login = town.jane(&STOREFRONT).await;
    let stolen = town.jane(&STOREFRONT).await;
    let second = town.refresh(&STOREFRONT, &stolen.refresh_token()).await.with_status(200);
    let next = town.refresh(&STOREFRONT, &second.refresh_token()).await.with_status(200);
    let code = town.browser().code(&PARTNER, PARTNER_BACK, &[]).await;
    let spent = redeem(&town, &PARTNER, &code, PARTNER_BACK).await.with_status(200);
    town.revoke(&BACKEND, &machine).await.with_status(200);
    town.revoke(&BACKEND, &never_used).await.with_status(200);
    town.revoke(&STOREFRONT, &login.refresh_token()).await.with_status(200);
    let took = town.stop();
    say(&format!("street: a server that a guard follows stopped in {took:?}"));
    town.start_again();
    assert!(took < GOODBYE, "{took:?}");
    for token in [&machine, &never_used, &login.access_token()] {
        assert!(!town.is_active(token).await);
        // What was committed just before the end had not reached the shop; it hears of it now.
        town.until_shop_refuses(token).await;
    }
    assert_eq!(town.refresh(&STOREFRONT, &login.refresh_token()).await.refusal(), no(400, "invalid_grant"));
    // Reuse is noticed across the restart, and ends what was given out before it.
    assert_eq!(town.refresh(&STOREFRONT, &stolen.refresh_token()).await.refusal(), no(400, "invalid_grant"));
    assert_eq!(town.refresh(&STOREFRONT, &next.refresh_token()).await.refusal(), no(400, "invalid_grant"));
    assert!(!town.is_active(&next.access_token()).await);
    assert_eq!(redeem(&town, &PARTNER, &code, PARTNER_BACK).await.refusal(), no(400, "invalid_grant"));
    assert!(!town.is_active(&spent.access_token()).await, "a spent code is a spent code after a restart");
    // A shop that opens only now has never heard of any of it, and refuses all the same.
    town.open_shop();
    town.shopfront().wait_until_ready();
    for token in [machine, never_used, login.access_token(), next.access_token(), spent.access_token()] {
        town.shop("/api/skus", &token).await.with_status(401);
    }
}

pub async fn what_was_promised_is_kept(ground: &Ground) {
    let mut town = Town::open(ground).await;
    let machine = town.client_token(&BACKEND).await;
    let login = town.jane(&STOREFRONT).await;
    let browser = town.browser();
    let code = browser.code(&PARTNER, PARTNER_BACK, &[]).await;
    let page = browser.authorize(&PARTNER, PARTNER_BACK, &[("prompt", "login")]).await.with_status(200);
    let lost = town.refresh(&STOREFRONT, &login.refresh_token()).await.with_status(200);
    let took = town.stop();
    assert!(took < Duration::from_secs(3), "nobody was connected: {took:?}");
    town.start_again();
    assert!(town.is_active(&machine).await && town.is_active(&login.access_token()).await);
    // The answer was lost with the old server; the retry gets the same successor.
    let again = town.refresh(&STOREFRONT, &login.refresh_token()).await.with_status(200);
    assert_eq!(again.refresh_token(), lost.refresh_token());
    redeem(&town, &PARTNER, &code, PARTNER_BACK).await.with_status(200);
    // A page that was open still works, and so does the session.
    browser.sign_in(&page, "ringo@example.com", "hush-ringo").await.with_status(303);
    let question = browser.authorize(&PARTNER, PARTNER_BACK, &[]).await.with_status(200);
    assert!(question.body.contains("name=\"decision\""));
    let sound =
        town.look(async |store| store.audit_verify(None, Vec::new()).await).await.expect("the audit reads");
    assert_eq!(sound.bad, None);
    assert!(sound.good > 5);
}

pub async fn settings_that_protect_less_are_said_once_and_when_they_change(ground: &Ground) {
    let mut town = Town::open(ground).await;
    let hurried = vec!["passwords.memory_kib = 64", "passwords.iterations = 1"];
    assert_eq!(confessed(&town).await, std::slice::from_ref(&hurried));
    town.open_neighbour();
    town.stop();
    town.start_again();
    assert_eq!(confessed(&town).await, std::slice::from_ref(&hurried), "the same is not said again");
    town.stop();
    town.settings.feed.max_staleness_ms = 20_000;
    town.start_again();
    let patient = [&hurried[..], &["feed.max_staleness_ms = 20000"]].concat();
    assert_eq!(confessed(&town).await, [hurried.clone(), patient.clone()]);
    town.stop();
    town.settings.feed.max_staleness_ms = 10_000;
    town.settings.passwords = Passwords::default();
    town.start_again();
    assert_eq!(
        confessed(&town).await,
        [hurried.clone(), patient.clone(), vec![]],
        "nor is the end kept quiet"
    );
    town.stop();
    town.start_again();
    assert_eq!(confessed(&town).await, [hurried, patient, vec![]]);
}

/// What the audit log says of settings, the oldest first.
async fn confessed(town: &Town) -> Vec<Vec<String>> {
    let log = town.look(async |store| store.audit_page(0, 10_000).await.expect("it reads")).await;
    let ours = log.into_iter().filter(|it| it.record.event == "settings.lowered");
    let lists = ours.map(|it| {
        let detail = it.record.detail.expect("it says which");
        let detail: Value = serde_json::from_str(&detail).expect("JSON");
        serde_json::from_value(detail["lowered"].clone()).expect("a list of texts")
    });
    lists.collect()
}
