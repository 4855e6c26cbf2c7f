//! The feed's key changes while servers work: three steps in the key directory, and after each of them every server
//! starts again, one by one. A guard that follows one of them meets signatures of both keys, and bears them all.

use std::sync::Arc;
use std::time::{Duration, Instant};

use portcullis_tests::client::BACKEND;
use portcullis_tests::clock::TownClock;
use portcullis_tests::cluster::Cluster;
use portcullis_tests::street::walker;
use portcullis_tests::town::FEED;
use portcullis_tests::{Answer, Ground, Shopfront};

use super::traffic::Traffic;

/// How soon a guard refuses what was answered as revoked, on a busy machine.
const BOUND: Duration = Duration::from_secs(8);
/// How often at most a guard asks for the feed's keys, so that strangers cannot have it ask all the time. It has asked
/// when it began; what is new since then it finds after this.
const ASKED_EVERY: Duration = Duration::from_secs(10);

pub async fn the_feed_changes_its_key_while_servers_work(ground: &Ground) {
    let mut cluster = Cluster::prepare(ground, 2).await;
    cluster.start();
    let shop = Shopfront::open(&cluster.issuer(), &cluster.issuer(), FEED, &Arc::<TownClock>::default());
    shop.wait_until_ready();
    let traffic = Traffic::begin(&cluster.issuer(), 1);
    let first = published(&cluster).await;
    let mut seen = Vec::new();
    for step in ["prepare", "sign", "forget"] {
        if step == "sign" {
            tokio::time::sleep(ASKED_EVERY).await;
        }
        let done = cluster.members[0].command(&["keys", "feed", step]).output().expect("the program runs");
        assert!(done.status.success(), "{done:?}");
        for at in 0..2 {
            cluster.members[at].terminate();
            cluster.members[at].start();
            cluster.wait_until_led_to(at);
            // Servers of before and after the step stand side by side.
            an_end_is_heard_of(&cluster, &shop).await;
        }
        seen.push(published(&cluster).await);
    }
    let [prepared, signing, forgotten] = &seen[..] else { panic!("{seen:?}") };
    assert_eq!((first.len(), prepared.len(), signing.len(), forgotten.len()), (1, 2, 2, 1));
    assert!(prepared.contains(&first[0]) && signing.contains(&first[0]));
    assert_eq!(forgotten[0], signing[0], "the first that is shown signs");
    assert!(!forgotten.contains(&first[0]) && prepared.contains(&forgotten[0]), "{seen:?}");
    let tally = traffic.end().await;
    assert!(tally.failed.is_empty(), "{:#?}", tally.failed);
}

/// The names of the feed's keys.
async fn published(cluster: &Cluster) -> Vec<String> {
    let asked = walker().get(format!("{}/.well-known/rv-jwks.json", cluster.issuer()));
    let keys = Answer::to(asked).await.with_status(200).json()["keys"].clone();
    let keys = keys.as_array().expect("a key set").iter();
    keys.map(|key| key["kid"].as_str().expect("a name").to_owned()).collect()
}

async fn an_end_is_heard_of(cluster: &Cluster, shop: &Shopfront) {
    let http = walker();
    let post = |path: &str, form: &[(&str, &str)]| {
        Answer::to(http.post(format!("{}{path}", cluster.issuer())).form(&BACKEND.form(form)))
    };
    let token = post("/oauth/token", &[("grant_type", "client_credentials")]).await.access_token();
    let at_shop =
        async || Answer::to(http.get(format!("http://{}/api/skus", shop.address)).bearer_auth(&token)).await;
    assert_eq!(at_shop().await.status, 200, "the guard is open");
    post("/oauth/revoke", &[("token", &token)]).await.with_status(200);
    let began = Instant::now();
    while at_shop().await.status != 401 {
        assert!(began.elapsed() < BOUND, "the guard has not heard of it");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}
