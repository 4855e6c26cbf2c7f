//! A Redis in the hands of somebody who wants an ended token accepted. He has the true feed to play with and
//! may write what he likes; he has no key of the feed.

use std::time::Duration;

use portcullis::feed::Press;
use portcullis_authority::keyring::generate;
use portcullis_guard::feed::{Batch, SealedBatch};
use redis::streams::StreamRangeReply;

use crate::child::{Redis, with_redis, within};
use crate::town::{FEED, SOON, Town, Watch};

const LOG: &str = "rv:{live:eu1}:log";
const MANIFEST: &str = "rv:{live:eu1}:man";
/// Short, so that a guard that is kept in the dark closes soon.
const BOUND: Duration = Duration::from_secs(3);

/// The true stream in one Redis, what the guard is shown in another.
struct Stage {
    town: Town,
    truth: Redis,
    shown: Redis,
    /// Everything up to this number has been shown.
    until: u64,
    /// Ended after that; nobody else ever was.
    token: String,
}

/// What stands in an entry.
#[derive(Clone)]
struct Entry {
    last: u64,
    bytes: Vec<u8>,
}

impl Entry {
    fn ends_a_token(&self) -> bool {
        self.bytes[80..self.bytes.len() - 64].chunks(28).any(|record| record[0] == 1)
    }
}

fn on_stage(play: impl FnOnce(Stage, Watch)) {
    with_redis(|truth| {
        with_redis(|shown| {
            let town = Town::new(&truth.url());
            let token = town.token();
            assert!(within(SOON, || truth.ask::<u64>(&["EXISTS", MANIFEST]) == 1));
            let mut stage = Stage { town, truth, shown, until: 0, token };
            stage.copy_papers();
            stage.show_rest();
            let watch = stage.town.guard_on(&stage.shown.url(), BOUND).ready(&stage.token);
            stage.show_rest();
            play(stage, watch);
        });
    });
}

impl Stage {
    /// What has not been shown.
    fn entries(&self) -> Vec<Entry> {
        self.entries_from(self.until)
    }

    fn entries_from(&self, seen: u64) -> Vec<Entry> {
        let reply: StreamRangeReply = self.truth.ask(&["XRANGE", LOG, "-", "+"]);
        let read = |entry: &redis::streams::StreamId| {
            let Some(redis::Value::BulkString(bytes)) = entry.map.get("b") else { panic!("{entry:?}") };
            Entry { last: entry.id.split_once('-').unwrap().1.parse().unwrap(), bytes: bytes.clone() }
        };
        reply.ids.iter().map(read).filter(|entry| entry.last > seen).collect()
    }

    fn show(&self, last: u64, bytes: &[u8]) {
        let mut connection = redis::Client::open(self.shown.url()).unwrap().get_connection().unwrap();
        let mut command = redis::cmd("XADD");
        command.arg(LOG).arg(format!("1-{last}")).arg("b").arg(bytes).exec(&mut connection).unwrap();
    }

    fn show_rest(&mut self) {
        for entry in self.entries() {
            self.show(entry.last, &entry.bytes);
            self.until = entry.last;
        }
    }

    /// Manifest and everything that it names.
    fn copy_papers(&self) {
        let mut from = redis::Client::open(self.truth.url()).unwrap().get_connection().unwrap();
        let mut to = redis::Client::open(self.shown.url()).unwrap().get_connection().unwrap();
        let mut names: Vec<String> = self.truth.ask(&["KEYS", "rv:{live:eu1}:blob:*"]);
        names.push(MANIFEST.into());
        for name in names {
            let content: Vec<u8> = redis::cmd("GET").arg(&name).query(&mut from).unwrap();
            redis::cmd("SET").arg(&name).arg(content).exec(&mut to).unwrap();
        }
    }

    /// Ends the token, and gives the batches that say so and what came after: two more beats.
    fn end(&self) -> Vec<Entry> {
        self.town.revoke(&self.token);
        let records = |entry: &Entry| (entry.bytes.len() - 144) / 28;
        assert!(within(SOON, || self.entries().iter().map(records).sum::<usize>() >= 4));
        self.entries()
    }

    /// The play is over: the guard was never told, so it must not say that it is up to date; it counts what
    /// it met; and by HTTP it recovers.
    fn expect_closed(self, mut watch: Watch, counted: impl Fn(&Watch) -> bool) {
        assert!(within(SOON, || counted(&watch)), "{:?}", watch.counts());
        assert!(within(SOON, || !watch.accepts(&self.token)), "closed at the bound: {:?}", watch.counts());
        assert!(!watch.is_live());
        watch.also_over_http(&self.town);
        assert!(within(SOON, || watch.knows_end_of(&self.token) && watch.is_live()), "recovers by HTTP");
        assert!(watch.accepts(&self.town.token()));
    }
}

#[test]
fn flipped_bytes_are_not_believed() {
    on_stage(|stage, watch| {
        for (at, mut entry) in stage.end().into_iter().enumerate() {
            // Each time another place: magic, numbers, time, chain, key name, records, signature.
            let place = [0, 9, 20, 39, 50, 75, 85, entry.bytes.len() - 1][at % 8];
            entry.bytes[place] ^= 0x10;
            stage.show(entry.last, &entry.bytes);
        }
        stage.expect_closed(watch, |watch| watch.counts().forgeries > 0);
    });
}

#[test]
fn a_deleted_entry_is_missed() {
    on_stage(|stage, watch| {
        let entries = stage.end();
        let end = entries.iter().position(Entry::ends_a_token).expect("it was written");
        entries[..end].iter().for_each(|entry| stage.show(entry.last, &entry.bytes));
        entries[end + 1..].iter().for_each(|entry| stage.show(entry.last, &entry.bytes));
        assert!(watch.view.position().seq < entries[end].last);
        stage.expect_closed(watch, |watch| watch.counts().gaps > 0);
    });
}

#[test]
fn a_deleted_entry_is_had_from_the_issuer_where_there_is_one() {
    on_stage(|stage, _| {
        let watch = stage.town.guard_beside_issuer(&stage.shown.url()).ready(&stage.token);
        let entries = stage.end();
        let end = entries.iter().position(Entry::ends_a_token).expect("it was written");
        entries[..end].iter().for_each(|entry| stage.show(entry.last, &entry.bytes));
        entries[end + 1..].iter().for_each(|entry| stage.show(entry.last, &entry.bytes));
        assert!(within(SOON, || watch.knows_end_of(&stage.token)), "{:?}", watch.counts());
        let last = entries[entries.len() - 1].last;
        assert!(within(SOON, || watch.view.position().seq >= last), "nothing is missing any more");
        assert!(watch.counts().gaps > 0);
    });
}

#[test]
fn entries_in_another_order_do_not_hide_one() {
    on_stage(|stage, watch| {
        let entries = stage.end();
        let ids: Vec<u64> = entries.iter().map(|entry| entry.last).collect();
        for (id, entry) in ids.iter().zip(entries.iter().rev()) {
            stage.show(*id, &entry.bytes);
        }
        // A record does its work as soon as it is seen, in whatever order; only completeness has to be earned.
        assert!(within(SOON, || watch.knows_end_of(&stage.token)), "{:?}", watch.counts());
        assert!(watch.counts().gaps > 0);
        let mut watch = watch;
        watch.also_over_http(&stage.town);
        assert!(within(SOON, || watch.is_live()));
    });
}

#[test]
fn the_past_again_is_no_news() {
    on_stage(|stage, watch| {
        let old = stage.entries_from(0);
        let manifest: String = stage.shown.ask(&["GET", MANIFEST]);
        stage.end();
        for (number, entry) in old.iter().chain(&old).enumerate() {
            stage.show(stage.until + 1 + number as u64, &entry.bytes);
        }
        let _: String = stage.shown.ask(&["SET", MANIFEST, &manifest]);
        stage.expect_closed(watch, |watch| watch.counts().duplicates > 0);
    });
}

#[test]
fn what_a_stranger_signed_is_not_believed() {
    on_stage(|stage, watch| {
        let stranger = Press::new(&generate("EdDSA", "eu1").unwrap()).unwrap();
        let truth = SealedBatch::decode(&stage.entries_from(0)[0].bytes).unwrap();
        let truth = truth.verify(&stage.town.feed_keys(), FEED).unwrap();
        let ended = stage.end();
        // A beat of now instead of the end, in his own name and in the true key's.
        let beat = truth.records.last().copied().unwrap();
        let as_of_ms = truth.as_of_ms + 3_600_000;
        let forged = Batch::cut(1, stage.until + 1, as_of_ms, &[7; 32], vec![beat]).unwrap();
        stage.show(stage.until + 1, &stranger.press(&forged, FEED));
        let mut borrowed = [0; 8];
        borrowed.copy_from_slice(&ended[0].bytes[72..80]);
        stage.show(stage.until + 2, &forged.encode(FEED, borrowed, |message| stranger.sign(message)));
        stage.expect_closed(watch, |watch| watch.counts().forgeries >= 2);
    });
}

#[test]
fn a_manifest_of_another_feed_or_from_a_stranger_starts_nobody() {
    on_stage(|stage, watch| {
        drop(watch);
        stage.end();
        let mut other = Town::new_named(&stage.truth.url(), "test:eu1");
        let manifest = "rv:{test:eu1}:man";
        assert!(within(SOON, || stage.truth.ask::<u64>(&["EXISTS", manifest]) == 1));
        let text: String = stage.truth.ask(&["GET", manifest]);
        let _: String = stage.shown.ask(&["SET", MANIFEST, &text]);
        let mut cold = stage.town.guard_on(&stage.shown.url(), BOUND);
        assert!(within(SOON, || cold.counts().forgeries > 0));
        assert!(!cold.accepts(&stage.token) && !cold.is_live());
        cold.also_over_http(&stage.town);
        assert!(within(SOON, || cold.knows_end_of(&stage.token)));
        other.close_oldest();
    });
}
