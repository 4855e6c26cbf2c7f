//! From the answered revocation to the refusal, while Redis works and while it does not.

use std::thread::sleep;
use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use portcullis::books;
use portcullis::means::Means;
use portcullis::serve::start;
use portcullis::settings::{self, Mode};
use portcullis_authority::ledger::{Act, Deed, Ledger as _};

use crate::child::{Redis, with_redis, with_redis_like, within};
use crate::town::{SOON, Town, Watch};

const HEAD: &str = "rv:{live:eu1}:head";
const LOG: &str = "rv:{live:eu1}:log";
const BOUND: Duration = Duration::from_secs(10);

fn seq(redis: &Redis) -> u64 {
    redis.ask::<Option<u64>>(&["HGET", HEAD, "s"]).unwrap_or(0)
}

fn is_full(redis: &Redis) -> bool {
    redis.ask::<Option<String>>(&["HGET", HEAD, "x"]).as_deref() == Some("full")
}

/// A live guard on Redis alone, and a token that it accepts.
fn scene(redis: &Redis) -> (Town, Watch, String) {
    let town = Town::new(&redis.url());
    let token = town.token();
    let watch = town.guard_on(&redis.url(), BOUND).ready(&token);
    (town, watch, token)
}

#[test]
fn a_guard_on_redis_alone_refuses_within_milliseconds_of_the_answer() {
    with_redis(|redis| {
        let (town, watch, _) = scene(&redis);
        let mut took = Vec::new();
        for _ in 0..40 {
            let token = town.token();
            assert!(watch.accepts(&token));
            town.revoke(&token);
            let answered = Instant::now();
            assert!(within(SOON, || watch.knows_end_of(&token)));
            took.push(answered.elapsed());
        }
        took.sort();
        eprintln!(
            "from the answer to the refusal over Redis: p50 {:?}, p95 {:?}, max {:?}",
            took[20], took[37], took[39]
        );
        assert!(took[20] < Duration::from_millis(100), "{took:?}");
        assert_eq!(watch.counts().forgeries, 0);
    });
}

#[test]
fn a_killed_redis_that_comes_back_with_its_data_goes_on() {
    let keep = ["--save", "", "--appendonly", "yes", "--appendfsync", "always"];
    with_redis_like(&keep, |mut redis| {
        let (town, watch, _) = scene(&redis);
        let token = town.token();
        assert!(watch.accepts(&token));
        redis.kill();
        assert!(town.revoke(&token) < Duration::from_secs(1), "no client waits for Redis");
        redis.restart();
        let began = Instant::now();
        assert!(within(SOON, || watch.knows_end_of(&token)));
        eprintln!("after a restart with data: refused {:?} later", began.elapsed());
        assert!(began.elapsed() < Duration::from_secs(5), "{:?}", began.elapsed());
        assert_eq!(watch.counts().gaps, 0, "it was not necessary to begin again");
    });
}

#[test]
fn a_redis_that_comes_back_empty_is_written_anew() {
    with_redis(|mut redis| {
        let (town, watch, _) = scene(&redis);
        let (old, new, kept) = (town.token(), town.token(), town.token());
        town.revoke(&old);
        assert!(within(SOON, || watch.knows_end_of(&old) && is_full(&redis)));
        redis.kill();
        town.revoke(&new);
        redis.restart();
        let began = Instant::now();
        assert!(within(SOON, || watch.knows_end_of(&new)));
        assert!(within(SOON, || is_full(&redis)));
        eprintln!("after an empty restart: refused and index full {:?} later", began.elapsed());
        assert!(began.elapsed() < Duration::from_secs(5), "{:?}", began.elapsed());
        let late = town.guard_on(&redis.url(), BOUND).ready(&kept);
        assert!(late.knows_end_of(&old) && late.knows_end_of(&new), "who comes later knows everything too");
        assert!(watch.knows_end_of(&old) && watch.accepts(&kept));
    });
}

#[test]
fn what_a_failover_lost_is_filled_in_from_sql() {
    with_redis(|mut redis| {
        let (town, watch, _) = scene(&redis);
        assert!(within(SOON, || is_full(&redis)));
        let _: String = redis.ask(&["SAVE"]);
        let saved = seq(&redis);
        let lost: Vec<String> = (0..5).map(|_| town.token()).collect();
        lost.iter().for_each(|token| _ = town.revoke(token));
        assert!(within(SOON, || lost.iter().all(|token| watch.knows_end_of(token))));
        let acknowledged = seq(&redis);
        // As a replica that is promoted without the last writes.
        redis.kill();
        redis.restart();
        assert!(within(SOON, || seq(&redis) > acknowledged), "{saved} {acknowledged} {}", seq(&redis));
        let late = town.guard_on(&redis.url(), BOUND).ready(&town.token());
        assert!(lost.iter().all(|token| late.knows_end_of(token)));
        assert!(within(SOON, || watch.is_live()), "the guard went on");
        let beginning: String = redis.ask(&["HGET", HEAD, "f"]);
        assert!(beginning.parse::<u64>().unwrap() <= saved, "the same copy, not a new one");
    });
}

#[test]
fn a_server_that_starts_later_fills_what_nobody_published() {
    with_redis(|redis| {
        let (mut town, watch, kept) = scene(&redis);
        assert!(within(SOON, || is_full(&redis)));
        let token = town.token();
        let beginning: String = redis.ask(&["HGET", HEAD, "i"]);
        let at = seq(&redis);
        town.close_oldest();
        commit_end(&town, &watch, &token);
        assert!(!watch.knows_end_of(&token), "nobody publishes");
        town.open();
        assert!(within(SOON, || watch.knows_end_of(&token)));
        assert!(watch.accepts(&kept) && seq(&redis) > at);
        assert_eq!(redis.ask::<String>(&["HGET", HEAD, "i"]), beginning, "the copy goes on");
        assert_eq!(watch.counts().gaps, 0);
    });
}

/// Ends a token as a process does that dies before it publishes.
fn commit_end(town: &Town, watch: &Watch, token: &str) {
    let jti = watch.guard.authenticate(token).unwrap().claims().jti.clone();
    let means = Means::system();
    tokio::runtime::Runtime::new().unwrap().block_on(async {
        let store = books::open(&town.settings, &means).await.unwrap();
        let jti = URL_SAFE_NO_PAD.decode(jti).unwrap().try_into().unwrap();
        let act = Act::EndToken { jti, exp: means.clock.now() + 7500 };
        store.commit(Deed { act, audit: vec![] }).await.unwrap();
    });
}

#[test]
fn a_frozen_redis_delays_guards_on_it_and_nobody_else() {
    with_redis(|redis| {
        let (town, alone, _) = scene(&redis);
        let token = town.token();
        let both = town.guard_on_both(&redis.url()).ready(&token);
        redis.freeze();
        assert!(town.revoke(&token) < Duration::from_secs(1), "no client waits for Redis");
        let began = Instant::now();
        assert!(within(Duration::from_secs(2), || both.knows_end_of(&token)), "by HTTP");
        eprintln!("Redis frozen: refused by HTTP {:?} after the answer", began.elapsed());
        sleep(Duration::from_secs(2).saturating_sub(began.elapsed()));
        assert!(!alone.knows_end_of(&token), "it cannot know");
        redis.thaw();
        let began = Instant::now();
        assert!(within(SOON, || alone.knows_end_of(&token)));
        eprintln!("Redis thawed: refused over Redis {:?} later", began.elapsed());
        assert!(began.elapsed() < Duration::from_secs(5));
    });
}

#[test]
fn a_guard_whose_redis_is_gone_refuses_when_its_bound_is_reached() {
    with_redis(|mut redis| {
        let (town, _, token) = scene(&redis);
        let watch = town.guard_on(&redis.url(), Duration::from_secs(4)).ready(&token);
        redis.kill();
        let began = Instant::now();
        assert!(within(SOON, || !watch.accepts(&token)));
        assert!(began.elapsed() < Duration::from_millis(4500), "{:?}", began.elapsed());
        assert!(!watch.knows_end_of(&token), "it refuses because it does not know");
    });
}

#[test]
fn of_two_servers_either_keeps_guards_live() {
    with_redis(|redis| {
        let (mut town, watch, _) = scene(&redis);
        town.open();
        let token = town.token();
        town.revoke(&token);
        assert!(within(SOON, || watch.knows_end_of(&token)));
        town.close_oldest();
        let token = town.token();
        assert!(watch.accepts(&token));
        town.revoke(&token);
        assert!(within(SOON, || watch.knows_end_of(&token)));
        assert_eq!(watch.counts().gaps + watch.counts().forgeries, 0);
        // The other clerk takes the desk over, and a guard that begins now can begin.
        let late = town.guard_on(&redis.url(), BOUND).ready(&town.token());
        // It is ready as of the manifest that it found, which may be a moment old; the tail says the rest.
        assert!(within(SOON, || late.knows_end_of(&token)));
    });
}

#[test]
fn what_another_process_committed_is_published_by_whoever_runs() {
    with_redis(|redis| {
        let (town, watch, _) = scene(&redis);
        let token = town.token();
        commit_end(&town, &watch, &token);
        let committed = Instant::now();
        assert!(within(SOON, || watch.knows_end_of(&token)));
        eprintln!("committed by a process that died: refused {:?} later", committed.elapsed());
        assert!(committed.elapsed() < Duration::from_millis(2500), "{:?}", committed.elapsed());
    });
}

#[test]
fn a_server_that_redis_takes_for_a_zombie_stops_writing_to_it() {
    with_redis(|redis| {
        let (town, _, token) = scene(&redis);
        let both = town.guard_on_both(&redis.url()).ready(&token);
        let _: i64 = redis.ask(&["HSET", HEAD, "e", "99"]);
        sleep(Duration::from_millis(1500));
        let entries: u64 = redis.ask(&["XLEN", LOG]);
        town.revoke(&token);
        sleep(Duration::from_millis(1500));
        assert_eq!(redis.ask::<u64>(&["XLEN", LOG]), entries, "nothing is written");
        assert!(both.knows_end_of(&token), "guards hear by HTTP");
        let _: i64 = redis.ask(&["DEL", HEAD]);
        assert!(within(SOON, || is_full(&redis)), "when the claim has gone, it goes on");
    });
}

#[test]
fn an_altered_head_is_noticed_and_the_copy_written_anew() {
    with_redis(|redis| {
        let (town, watch, kept) = scene(&redis);
        let (ended, later) = (town.token(), town.token());
        town.revoke(&ended);
        assert!(within(SOON, || watch.knows_end_of(&ended) && is_full(&redis)));
        let ahead = (seq(&redis) + 1_000_000).to_string();
        let alterations: [&[&str]; 3] = [
            &["HSET", HEAD, "h", &"0".repeat(64)],
            &["HSET", HEAD, "s", &ahead],
            &["XTRIM", LOG, "MAXLEN", "0"],
        ];
        for alteration in alterations {
            let before: String = redis.ask(&["HGET", HEAD, "i"]);
            let _: redis::Value = redis.ask(alteration);
            let anew =
                || redis.ask::<Option<String>>(&["HGET", HEAD, "i"]).is_some_and(|name| name != before);
            assert!(within(SOON, || anew() && is_full(&redis)), "{alteration:?}");
            assert!(within(SOON, || watch.is_live()), "{alteration:?}");
        }
        town.revoke(&later);
        assert!(within(SOON, || watch.knows_end_of(&later)));
        assert!(watch.knows_end_of(&ended) && watch.accepts(&kept));
    });
}

#[test]
fn a_redis_that_forgets_is_refused_in_production_and_told_of_in_dev() {
    with_redis_like(&["--save", "", "--maxmemory-policy", "volatile-lru"], |redis| {
        let town = Town::new(&redis.url());
        assert!(within(SOON, || seq(&redis) > 0), "a warning only");
        let scratch = portcullis::testing::Scratch::new();
        let means = Means::system();
        let mut settings = portcullis::settings::Settings {
            mode: Mode::Production,
            issuer: "https://auth.shop.example".into(),
            ..town.settings.clone()
        };
        settings.passwords = settings::Passwords::default();
        settings.store.url = format!("sqlite:{}", scratch.path().join("books.db").display());
        settings.keys.directory = scratch.path().join("keys");
        settings.keys.plaintext = true;
        portcullis::testing::make_keys(&settings, portcullis::keys::Purpose::Own);
        let why = start(settings, means).map(|_| ()).unwrap_err().why;
        assert!(why.contains("noeviction"), "{why}");
    });
}

#[test]
fn a_server_starts_without_its_redis_and_uses_it_when_it_comes() {
    with_redis(|mut redis| {
        redis.kill();
        let town = Town::new(&redis.url());
        let token = town.token();
        redis.restart();
        assert!(town.guard_on(&redis.url(), BOUND).ready(&token).is_live());
    });
}
