//! Limits of several servers with one Redis: they count together, and without it each for itself.

use std::time::Duration;

use crate::child::with_redis;
use crate::town::Town;

#[test]
fn two_servers_count_passwords_as_one() {
    with_redis(|redis| {
        let mut town = Town::new(&redis.url());
        town.open();
        let seen: Vec<u16> = (0..12).map(|n| town.guess(n % 2, "ann@example.com")).collect();
        assert_eq!(seen.iter().filter(|status| **status == 400).count(), 5, "{seen:?}");
        assert!(seen[5..].iter().all(|status| *status == 429), "{seen:?}");
        assert_eq!(town.guess(1, "bob@example.com"), 400);
    });
}

#[test]
fn an_address_that_used_up_one_server_has_used_up_the_other() {
    with_redis(|redis| {
        let mut town = Town::new(&redis.url());
        town.open();
        while town.guest(0) == 200 {}
        // The other has a whole count of its own, and hears of the first one's as soon as it has told its own.
        let mut passed = 0;
        while town.guest(1) == 200 {
            passed += 1;
        }
        assert!(passed < 800, "{passed} of 1200");
    });
}

#[test]
fn without_redis_each_server_still_has_its_limit() {
    with_redis(|mut redis| {
        let town = Town::new(&redis.url());
        redis.kill();
        let seen: Vec<u16> = (0..12).map(|_| town.guess(0, "ann@example.com")).collect();
        assert_eq!(seen.iter().filter(|status| **status == 400).count(), 5, "{seen:?}");
        redis.restart();
        // Told again as soon as it is back; until then nothing is refused for its absence.
        std::thread::sleep(Duration::from_millis(500));
        assert_eq!(town.guess(0, "bob@example.com"), 400);
    });
}

#[test]
fn a_bucket_in_redis_goes_when_it_says_nothing_more_and_names_nobody() {
    with_redis(|redis| {
        let town = Town::new(&redis.url());
        assert_eq!(town.guess(0, "ann@example.com"), 400);
        let names: Vec<String> = redis.ask(&["KEYS", "rv:*:limit:*"]);
        assert!(names.len() >= 2, "{names:?}");
        assert!(names.iter().all(|name| !name.contains("ann") && !name.contains("127.0.0.1")), "{names:?}");
        for name in names {
            let expires: i64 = redis.ask(&["PTTL", &name]);
            assert!(expires != -1 && expires <= 3_600_000, "{name} stays for ever");
        }
    });
}
