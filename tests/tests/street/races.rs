//! Races against a revocation, at every interleaving that can be forced from outside: the books are held by
//! another writer, so that requests decide on what they have read and then stand in line in a known order.

use std::sync::Arc;
use std::time::{Duration, Instant};

use portcullis_authority::ledger::Act;
use portcullis_authority::registry::Scope;
use portcullis_tests::client::{BACKEND, PARTNER, STOREFRONT};
use portcullis_tests::street::no;
use portcullis_tests::{Answer, Ground, Town};
use tokio::task::JoinHandle;

use super::code::{PARTNER_BACK, redeem};
use super::exchange::exchange;

/// Long enough for a request to have read, decided and queued.
const QUEUED: Duration = Duration::from_millis(150);

fn refreshes(town: &Arc<Town>, token: &str) -> JoinHandle<Answer> {
    let (town, token) = (town.clone(), token.to_owned());
    tokio::spawn(async move { town.refresh(&STOREFRONT, &token).await })
}

fn revokes(town: &Arc<Town>, token: &str) -> JoinHandle<Answer> {
    let (town, token) = (town.clone(), token.to_owned());
    tokio::spawn(async move { town.revoke(&STOREFRONT, &token).await })
}

/// Whatever the refresh was answered, nothing of the login is alive.
async fn nothing_is_alive(town: &Town, tokens: &[Answer]) {
    for answer in tokens.iter().filter(|answer| answer.status == 200) {
        assert!(!town.is_active(&answer.access_token()).await, "an access token outlived its login");
        assert!(!town.is_active(&answer.refresh_token()).await);
        let refused = town.refresh(&STOREFRONT, &answer.refresh_token()).await;
        assert_eq!(refused.refusal(), no(400, "invalid_grant"));
    }
}

pub async fn a_refresh_that_queues_behind_a_revocation_loses(ground: &Ground) {
    let town = Arc::new(Town::open(ground).await);
    let login = town.jane(&STOREFRONT).await;
    let held = town.hold_the_books().await;
    let revoked = revokes(&town, &login.refresh_token());
    tokio::time::sleep(QUEUED).await;
    let refreshed = refreshes(&town, &login.refresh_token());
    tokio::time::sleep(QUEUED).await;
    drop(held);
    revoked.await.expect("it ends").with_status(200);
    let refreshed = refreshed.await.expect("it ends");
    assert_eq!(refreshed.refusal(), no(400, "invalid_grant"), "it had read the login while it was live");
    nothing_is_alive(&town, &[login]).await;
}

pub async fn a_refresh_that_queues_before_a_revocation_gets_a_dead_token(ground: &Ground) {
    let town = Arc::new(Town::open(ground).await);
    let login = town.jane(&STOREFRONT).await;
    let held = town.hold_the_books().await;
    let refreshed = refreshes(&town, &login.refresh_token());
    tokio::time::sleep(QUEUED).await;
    let revoked = revokes(&town, &login.refresh_token());
    tokio::time::sleep(QUEUED).await;
    drop(held);
    revoked.await.expect("it ends").with_status(200);
    let refreshed = refreshed.await.expect("it ends");
    assert!(matches!(refreshed.status, 200 | 400), "{refreshed:?}");
    nothing_is_alive(&town, &[login, refreshed]).await;
}

pub async fn whoever_comes_first_the_revocation_wins(ground: &Ground) {
    let town = Arc::new(Town::open(ground).await);
    let mut answered = 0;
    for round in 0..24 {
        let login = town.jane(&STOREFRONT).await;
        let refreshed: Vec<_> = (0..4).map(|_| refreshes(&town, &login.refresh_token())).collect();
        tokio::time::sleep(Duration::from_micros(round * 250)).await;
        revokes(&town, &login.refresh_token()).await.expect("it ends").with_status(200);
        // From here on nothing is alive, whether or not the refreshes have been answered.
        assert!(!town.is_active(&login.access_token()).await);
        let mut answers = vec![login];
        for refresh in refreshed {
            answers.push(refresh.await.expect("it ends"));
        }
        answered += answers.iter().filter(|answer| answer.status == 200).count() - 1;
        nothing_is_alive(&town, &answers).await;
    }
    portcullis_tests::ground::say(&format!(
        "street: of 96 refreshes that raced with a revocation {answered} were answered with a token, all dead"
    ));
}

pub async fn a_code_that_is_redeemed_twice_at_once_leaves_nothing_alive(ground: &Ground) {
    let town = Arc::new(Town::open(ground).await);
    for _ in 0..4 {
        let code = town.browser().code(&PARTNER, PARTNER_BACK, &[]).await;
        let held = town.hold_the_books().await;
        let both: Vec<_> = (0..2)
            .map(|_| {
                let (town, code) = (town.clone(), code.clone());
                tokio::spawn(async move { redeem(&town, &PARTNER, &code, PARTNER_BACK).await })
            })
            .collect();
        // Both have found the code unspent by now.
        tokio::time::sleep(QUEUED).await;
        drop(held);
        let mut won = Vec::new();
        for one in both {
            let answer = one.await.expect("it ends");
            match answer.status {
                200 => won.push(answer),
                _ => assert_eq!(answer.refusal(), no(400, "invalid_grant")),
            }
        }
        assert_eq!(won.len(), 1, "a code is good once");
        assert!(!town.is_active(&won[0].access_token()).await);
        assert_eq!(town.refresh(&PARTNER, &won[0].refresh_token()).await.refusal(), no(400, "invalid_grant"));
    }
}

pub async fn a_code_loses_against_the_end_of_its_person(ground: &Ground) {
    let town = Arc::new(Town::open(ground).await);
    let end = |town: &Town| Act::Raise {
        scope: Scope::Subject,
        id: "userRingoA".into(),
        exp: town.now() + 40 * 86_400,
    };
    // The end first: the code is refused.
    let code = town.browser().code(&PARTNER, PARTNER_BACK, &[]).await;
    town.act_elsewhere(end(&town)).await;
    tokio::time::sleep(Duration::from_millis(600)).await;
    let late = redeem(&town, &PARTNER, &code, PARTNER_BACK).await;
    assert_eq!(late.refusal(), no(400, "invalid_grant"));
    // The redemption has decided and waits, the end comes in between, from another server.
    let code = town.browser().code(&PARTNER, PARTNER_BACK, &[]).await;
    let held = town.hold_the_books().await;
    let redeemed = {
        let (town, code) = (town.clone(), code.clone());
        tokio::spawn(async move { redeem(&town, &PARTNER, &code, PARTNER_BACK).await })
    };
    tokio::time::sleep(QUEUED).await;
    let ended = {
        let town = town.clone();
        tokio::spawn(async move { town.act_elsewhere(end(&town)).await })
    };
    tokio::time::sleep(QUEUED).await;
    drop(held);
    ended.await.expect("it ends");
    let redeemed = redeemed.await.expect("it ends");
    if redeemed.status == 200 {
        let began = Instant::now();
        while town.is_active(&redeemed.access_token()).await {
            assert!(began.elapsed() < Duration::from_secs(2), "a token outlived its person");
        }
        assert_eq!(
            town.refresh(&PARTNER, &redeemed.refresh_token()).await.refusal(),
            no(400, "invalid_grant")
        );
    }
}

pub async fn an_exchange_loses_against_the_end_of_its_login(ground: &Ground) {
    let town = Arc::new(Town::open(ground).await);
    let login = town.jane(&STOREFRONT).await;
    let held = town.hold_the_books().await;
    let exchanged = {
        let (town, subject) = (town.clone(), login.access_token());
        tokio::spawn(async move { exchange(&town, &BACKEND, &subject, &[]).await })
    };
    tokio::time::sleep(QUEUED).await;
    let revoked = revokes(&town, &login.refresh_token());
    tokio::time::sleep(QUEUED).await;
    drop(held);
    revoked.await.expect("it ends").with_status(200);
    let exchanged = exchanged.await.expect("it ends");
    if exchanged.status == 200 {
        assert!(!town.is_active(&exchanged.access_token()).await, "it carries the login's sid");
    }
    nothing_is_alive(&town, &[login]).await;
}
