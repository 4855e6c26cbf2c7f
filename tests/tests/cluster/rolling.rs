//! A new version is rolled out: each server is replaced while the others work.

use std::time::Duration;

use portcullis_tests::Ground;
use portcullis_tests::cluster::{Cluster, DELAY};
use portcullis_tests::ground::say;

use super::traffic::Traffic;

/// What requests that have begun may take when the door has closed, and what a busy machine adds.
const GOODBYE: Duration = Duration::from_secs(4);
/// From the start of the process to the line that it answers.
const START: Duration = Duration::from_secs(1);

pub async fn servers_are_replaced_one_by_one_without_a_failed_request(ground: &Ground) {
    let mut cluster = Cluster::prepare(ground, 3).await;
    cluster.start();
    let traffic = Traffic::begin(&cluster.issuer(), 3);
    tokio::time::sleep(Duration::from_millis(300)).await;
    let mut starts = Vec::new();
    for at in 0..3 {
        let took = cluster.members[at].terminate();
        assert!(took >= DELAY && took < DELAY + GOODBYE, "{took:?}");
        starts.push(cluster.members[at].start());
        cluster.wait_until_led_to(at);
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    let tally = traffic.end().await;
    say(&format!(
        "cluster: three servers replaced; requests sent {}, failed {}; started in {starts:?}",
        tally.sent,
        tally.failed.len()
    ));
    assert!(tally.failed.is_empty(), "{:#?}", tally.failed);
    assert!(tally.sent > 100, "that was no traffic: {}", tally.sent);
    // The others work meanwhile, so the fastest of them says what a start costs.
    assert!(starts.iter().any(|took| *took < START), "{starts:?}");
}
