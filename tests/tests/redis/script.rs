//! The store's half alone: what each answer of the script is, and what the index does.

use std::sync::Arc;
use std::time::{Duration, Instant};

use portcullis::feed::Press;
use portcullis_authority::keyring::generate;
use portcullis_authority::ledger::Position;
use portcullis_guard::feed::{Batch, Chain, FeedKeys, Kind, Record, SealedBatch, chain};
use portcullis_store::redis::{Answer, Habits, Parcel, RedisFeed, RedisSettings};
use redis::streams::StreamRangeReply;

use crate::child::{Redis, with_redis, with_redis_like};
use crate::town::FEED;

const LOG: &str = "rv:{live:eu1}:log";
const HEAD: &str = "rv:{live:eu1}:head";
const FAR: u32 = 4_000_000_000;

/// A server's log and its press, without books.
struct Pen {
    press: Press,
    epoch: u64,
    records: Vec<Record>,
    chains: Vec<Chain>,
}

impl Pen {
    fn new(epoch: u64, records: impl IntoIterator<Item = Record>) -> Self {
        let press = Press::new(&generate("EdDSA", "eu1").unwrap()).unwrap();
        let records: Vec<_> = records.into_iter().collect();
        let mut chains = vec![chain::start(FEED, epoch)];
        for record in &records {
            chains.push(chain::extend(chains.last().unwrap(), record));
        }
        Self { press, epoch, records, chains }
    }

    fn tokens(epoch: u64, count: u8) -> Self {
        Self::new(epoch, (1..=count).map(token))
    }

    async fn send(&self, redis: &RedisFeed, first: u64, last: u64, beginning: Option<&str>) -> Answer {
        let (from, to) = (first as usize - 1, last as usize);
        let before = self.chains[from];
        let batch =
            Batch::cut(self.epoch, first, last * 1000, &before, self.records[from..to].to_vec()).unwrap();
        let bytes = self.press.press(&batch, FEED);
        redis
            .append(&Parcel { batch: &batch, before: &before, bytes: &bytes, trim: 0 }, beginning)
            .await
            .unwrap()
    }
}

fn token(byte: u8) -> Record {
    Record { kind: Kind::Token, flags: 0, exp: FAR, val: 0, id: [byte; 16] }
}

fn at(epoch: u64, seq: u64) -> Position {
    Position { epoch, seq }
}

fn open(redis: &Redis) -> RedisFeed {
    open_at(redis.url())
}

/// Needs a runtime.
fn open_at(url: String) -> RedisFeed {
    let deadline = Duration::from_millis(250);
    RedisFeed::open(&RedisSettings { url, root_certificate: None, feed: FEED.into(), deadline }).unwrap()
}

fn run(work: impl Future<Output = ()>) {
    tokio::runtime::Runtime::new().unwrap().block_on(work);
}

/// First and last number of each entry, and that id and content agree.
fn entries(redis: &Redis, keys: &FeedKeys) -> Vec<(u64, u64)> {
    let reply: StreamRangeReply = redis.ask(&["XRANGE", LOG, "-", "+"]);
    let read = |entry: &redis::streams::StreamId| {
        let Some(redis::Value::BulkString(bytes)) = entry.map.get("b") else {
            panic!("no batch in {entry:?}")
        };
        let batch = SealedBatch::decode(bytes).unwrap().verify(keys, FEED).unwrap();
        assert_eq!(entry.id, format!("{}-{}", batch.epoch, batch.last));
        (batch.first, batch.last)
    };
    reply.ids.iter().map(read).collect()
}

#[test]
fn each_answer_of_the_script_says_what_is_there() {
    with_redis(|redis| {
        run(async {
            let (feed, pen) = (open(&redis), Pen::tokens(1, 12));
            assert_eq!(pen.send(&feed, 1, 3, None).await, Answer::Empty(at(0, 0)));
            assert_eq!(pen.send(&feed, 1, 3, Some("one")).await, Answer::Appended);
            assert_eq!(pen.send(&feed, 4, 5, None).await, Answer::Appended);
            assert_eq!(pen.send(&feed, 4, 5, None).await, Answer::Known(at(1, 5)));
            assert_eq!(pen.send(&feed, 2, 4, Some("two")).await, Answer::Known(at(1, 5)));
            assert_eq!(pen.send(&feed, 8, 9, None).await, Answer::Behind(at(1, 5)));
            assert_eq!(pen.send(&feed, 5, 7, None).await, Answer::Overlap(at(1, 5)));
            assert_eq!(pen.send(&feed, 6, 7, None).await, Answer::Appended);
            let keys = FeedKeys::from_jwks(pen.press.jwks()).unwrap();
            assert_eq!(entries(&redis, &keys), [(1, 3), (4, 5), (6, 7)]);
            let head = feed.head().await.unwrap().unwrap();
            assert_eq!((head.position, head.chain, head.first), (at(1, 7), pen.chains[7], 1));
            assert_eq!((head.is_full, head.beginning.as_str(), head.as_of_ms), (false, "one", 7000));

            let promoted = Pen::tokens(2, 3);
            assert_eq!(promoted.send(&feed, 1, 1, None).await, Answer::Empty(at(1, 7)));
            assert_eq!(promoted.send(&feed, 1, 1, Some("two")).await, Answer::Appended);
            assert_eq!(pen.send(&feed, 8, 8, Some("three")).await, Answer::Fenced(at(2, 1)));
            let keys = FeedKeys::from_jwks(promoted.press.jwks()).unwrap();
            assert_eq!(entries(&redis, &keys), [(1, 1)]);
        });
    });
}

#[test]
fn a_copy_that_somebody_else_wrote_is_told_apart_from_one_that_is_behind() {
    with_redis(|redis| {
        run(async {
            let (feed, pen) = (open(&redis), Pen::tokens(1, 12));
            assert_eq!(pen.send(&feed, 1, 3, Some("one")).await, Answer::Appended);
            let wrong: String = "0".repeat(64);
            let true_chain: String = redis.ask(&["HGET", HEAD, "h"]);
            let _: i64 = redis.ask(&["HSET", HEAD, "h", &wrong]);
            assert_eq!(pen.send(&feed, 4, 4, None).await, Answer::Altered(at(1, 3), "one".into()));
            let _: i64 = redis.ask(&["HSET", HEAD, "h", &true_chain]);
            assert_eq!(pen.send(&feed, 4, 4, None).await, Answer::Appended);
            let _: i64 = redis.ask(&["XDEL", LOG, "1-4"]);
            assert_eq!(pen.send(&feed, 5, 5, None).await, Answer::Altered(at(1, 4), "one".into()));
            feed.erase("another").await.unwrap();
            assert!(feed.head().await.unwrap().is_some(), "another copy is left alone");
            feed.erase("one").await.unwrap();
            assert!(feed.head().await.unwrap().is_none());
            assert_eq!(pen.send(&feed, 3, 5, Some("two")).await, Answer::Appended);
        });
    });
}

#[test]
fn large_numbers_stay_what_they_are() {
    with_redis(|redis| {
        run(async {
            let feed = open(&redis);
            let (first, before) = (900_000_000_000_001, chain::start(FEED, 3));
            let press = Press::new(&generate("EdDSA", "eu1").unwrap()).unwrap();
            let batch = Batch::cut(3, first, 1_900_000_000_123, &before, vec![token(1), token(2)]).unwrap();
            let bytes = press.press(&batch, FEED);
            let parcel = Parcel { batch: &batch, before: &before, bytes: &bytes, trim: first };
            assert_eq!(feed.append(&parcel, Some("b")).await.unwrap(), Answer::Appended);
            let head = feed.head().await.unwrap().unwrap();
            assert_eq!((head.position, head.as_of_ms), (at(3, first + 1), 1_900_000_000_123));
            assert_eq!(entries(&redis, &FeedKeys::from_jwks(press.jwks()).unwrap()), [(first, first + 1)]);
        });
    });
}

#[test]
fn two_racing_publishers_write_every_record_once_and_in_order() {
    with_redis(|redis| {
        run(async {
            let pen = Arc::new(Pen::tokens(1, 240));
            let mut racers = Vec::new();
            // Cut differently, so that they overlap all the time.
            for (name, stride) in [("even", 2), ("odd", 3), ("long", 7)] {
                let (pen, feed) = (pen.clone(), open(&redis));
                racers.push(tokio::spawn(async move {
                    let mut next = 1;
                    while next <= 240 {
                        let last = (next + stride - 1).min(240);
                        next = match pen.send(&feed, next, last, None).await {
                            Answer::Appended => last + 1,
                            Answer::Known(at) | Answer::Overlap(at) | Answer::Behind(at) => at.seq + 1,
                            Answer::Empty(_) => match pen.send(&feed, 1, last, Some(name)).await {
                                Answer::Appended => last + 1,
                                _ => next,
                            },
                            other => panic!("{other:?}"),
                        };
                    }
                }));
            }
            for racer in racers {
                racer.await.unwrap();
            }
            let entries = entries(&redis, &FeedKeys::from_jwks(pen.press.jwks()).unwrap());
            let mut expected = 1;
            for (first, last) in &entries {
                assert_eq!(*first, expected);
                expected = last + 1;
            }
            assert_eq!(expected, 241);
            assert_eq!(open(&redis).head().await.unwrap().unwrap().chain, pen.chains[240]);
        });
    });
}

#[test]
fn the_index_only_grows_and_is_full_when_its_own_builder_says_so() {
    with_redis(|redis| {
        run(async {
            let subject = |val, exp| Record { kind: Kind::Subject, flags: 0, exp, val, id: [9; 16] };
            let login = Record { kind: Kind::Family, flags: 0, exp: FAR, val: 0, id: [8; 16] };
            let pen = Pen::new(1, [subject(5, FAR), token(1), login]);
            let feed = open(&redis);
            assert_eq!(pen.send(&feed, 1, 3, Some("one")).await, Answer::Appended);
            let key = "rv:{live:eu1}:w:3:CQkJCQkJCQkJCQkJCQkJCQ";
            // Older and newer than what the stream brought, and shorter lived.
            assert!(feed.rebuild("one", &[subject(2, FAR - 900), subject(4, 7)]).await.unwrap());
            assert_eq!(redis.ask::<String>(&["GET", key]), "5");
            assert_eq!(redis.ask::<u64>(&["EXPIRETIME", key]), u64::from(FAR) + 120);
            assert!(feed.head().await.unwrap().unwrap().is_full);
            assert!(!feed.rebuild("two", &[subject(9, FAR)]).await.unwrap(), "another copy's builder");
            assert_eq!(redis.ask::<String>(&["GET", key]), "5");
            let slot = (u64::from(FAR) - 300) / 900;
            let bucket = 0x0101 & 0x3fff;
            let tokens: Vec<Vec<u8>> = redis.ask(&["HKEYS", &format!("rv:{{live:eu1}}:x:{slot}:{bucket}")]);
            assert_eq!(tokens, [[1; 16]]);

            let end = u64::from(FAR) + 121;
            let mut from = 0;
            for _ in 0..3 {
                from = feed.sweep(from, 1024, end - 1).await.unwrap();
            }
            assert_eq!(redis.ask::<u64>(&["HLEN", &format!("rv:{{live:eu1}}:s:{}", 0x0808)]), 1);
            feed.sweep(0x0800, 16, end).await.unwrap();
            assert_eq!(redis.ask::<u64>(&["HLEN", &format!("rv:{{live:eu1}}:s:{}", 0x0808)]), 0);
        });
    });
}

#[test]
fn the_habits_of_a_redis_are_asked_for() {
    with_redis_like(&["--save", "", "--maxmemory-policy", "allkeys-lru"], |redis| {
        run(async {
            let habits = open(&redis).habits().await.unwrap();
            assert_eq!(habits, Habits { eviction: Some("allkeys-lru".into()), persists: Some(false) });
            let _: String = redis.ask(&["CONFIG", "SET", "maxmemory-policy", "noeviction"]);
            let _: String = redis.ask(&["CONFIG", "SET", "appendonly", "yes"]);
            let habits = open(&redis).habits().await.unwrap();
            assert_eq!(habits, Habits { eviction: Some("noeviction".into()), persists: Some(true) });
            let _: String = redis.ask(&["ACL", "SETUSER", "shy", "on", ">shy", "~rv:*", "+@all", "-config"]);
            let feed = open_at(redis.url_of("shy", "shy"));
            assert_eq!(feed.habits().await.unwrap(), Habits::default(), "nobody may ask, and that is said");
        });
    });
}

#[test]
fn a_frozen_redis_costs_a_deadline_and_then_nothing() {
    with_redis(|redis| {
        run(async {
            let (feed, pen) = (open(&redis), Pen::tokens(1, 9));
            assert_eq!(pen.send(&feed, 1, 3, Some("one")).await, Answer::Appended);
            redis.freeze();
            let began = Instant::now();
            assert!(feed.head().await.is_err());
            assert!(began.elapsed() < Duration::from_millis(600), "{:?}", began.elapsed());
            let began = Instant::now();
            assert!(feed.head().await.is_err());
            assert!(
                began.elapsed() < Duration::from_millis(20),
                "while it is known to be away: {:?}",
                began.elapsed()
            );
            redis.thaw();
            tokio::time::sleep(Duration::from_millis(500)).await;
            assert_eq!(pen.send(&feed, 4, 5, None).await, Answer::Appended);
            assert_eq!(pen.send(&feed, 4, 5, None).await, Answer::Known(at(1, 5)));
        });
    });
}
