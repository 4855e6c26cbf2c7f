//! What those who watch the server see of Redis.

use std::time::Instant;

use crate::child::with_redis;
use crate::town::{SOON, Town};

#[test]
fn watchers_see_whether_redis_takes_the_feed() {
    with_redis(|mut redis| {
        let mut town = Town::new(&redis.url());
        (town.settings.metrics.enabled, town.settings.metrics.port) = (true, 0);
        town.open();
        let seen = until(&town, "portcullis_redis_up 1");
        let golden = include_str!("../../golden/metrics.txt");
        for known in golden.lines().filter(|line| line.starts_with("portcullis_redis_")) {
            assert!(seen.contains(&format!("# TYPE {known}\n")), "{known} in {seen}");
        }
        redis.kill();
        until(&town, "portcullis_redis_up 0");
    });
}

/// Waits for a line of the second server's metrics.
fn until(town: &Town, line: &str) -> String {
    let began = Instant::now();
    loop {
        let seen = town.metrics(1);
        if seen.lines().any(|one| one == line) {
            return seen;
        }
        assert!(began.elapsed() < SOON, "{line} does not come: {seen}");
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
}
