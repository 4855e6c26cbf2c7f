//! The guard's half of "what happens when", row by row, against a press that plays the server.

use proptest::prelude::*;

use super::*;
use crate::feed::{
    Freshness, MAX_STALENESS, Record,
    press::{ISSUER, Press, beat, record, token},
};

const FEED: &str = "live:eu1";

struct Scene {
    press: Press,
    view: Arc<View>,
    follower: Follower,
}

impl Scene {
    /// Ten records, four of them in a segment, and a guard that knows the feed's keys only.
    fn new() -> Self {
        let mut press = Press::new(FEED, 1);
        press.write((1..=10).map(token));
        press.seal(4);
        let view = Arc::new(View::new(FEED, MAX_STALENESS));
        let mut follower = Follower::new(view.clone(), ISSUER);
        assert_eq!(follower.next(), Command::FetchFeedKeys);
        follower.feed_keys(press.keys());
        Self { press, view, follower }
    }

    fn live() -> Self {
        let mut scene = Self::new();
        scene.sync();
        scene
    }

    /// Answers whatever is asked for until the tail is at the head.
    fn sync(&mut self) {
        for _ in 0..20 {
            match self.follower.next() {
                Command::FetchManifest => self.manifest().unwrap(),
                Command::FetchSegment(name) => self.segment(&name).unwrap(),
                Command::Tail(after) if after.seq < self.press.head() => {
                    self.batch(after.seq + 1, self.press.head()).unwrap();
                }
                Command::Tail(_) => return,
                other => panic!("{other:?} was not needed"),
            }
        }
        panic!("still not at the head");
    }

    fn manifest(&mut self) -> Result<(), FeedFault> {
        let text = self.press.signed(&self.press.manifest());
        self.follower.manifest(&text)
    }

    fn segment(&mut self, name: &Digest) -> Result<(), FeedFault> {
        let content = self.press.segment(name).to_vec();
        self.follower.segment(&content)
    }

    fn batch(&mut self, first: u64, last: u64) -> Result<(), FeedFault> {
        let bytes = self.press.batch(first, last);
        self.follower.batch(SealedBatch::decode(&bytes)?)
    }

    /// Whether this record is held. Asks by adding it, which says whether it was news.
    fn knows(&self, record: Record) -> bool {
        !self.view.apply(&[record])
    }

    fn seq(&self) -> u64 {
        self.view.position().seq
    }

    fn freshness(&self) -> Freshness {
        self.view.freshness(self.press.as_of(self.press.head()))
    }
}

#[test]
fn a_guard_is_live_after_segments_and_tail_and_not_before() {
    let mut scene = Scene::new();
    assert_eq!(scene.follower.next(), Command::FetchManifest);
    scene.manifest().unwrap();
    let Command::FetchSegment(name) = scene.follower.next() else { panic!("a segment is missing") };
    assert_eq!(scene.freshness(), Freshness::Cold);
    scene.segment(&name).unwrap();
    assert_eq!(scene.follower.next(), Command::Tail(Position { epoch: 1, seq: 4 }));
    assert_eq!(scene.freshness(), Freshness::Cold);
    scene.batch(5, 9).unwrap();
    assert_eq!(scene.freshness(), Freshness::Cold, "record 10 is in the manifest and not here");
    scene.batch(10, 10).unwrap();
    assert_eq!(scene.freshness(), Freshness::Live);
    assert_eq!(scene.view.position(), Position { epoch: 1, seq: 10 });
    assert!((1..=10).all(|byte| scene.knows(token(byte))));
}

#[test]
fn a_feed_that_is_all_segments_is_live_at_once() {
    let mut scene = Scene::new();
    scene.press.seal(10);
    scene.sync();
    assert_eq!(scene.freshness(), Freshness::Live);
}

#[test]
fn an_expired_segment_that_has_gone_leaves_no_hole() {
    let mut scene = Scene::new();
    let manifest = Manifest { segments: vec![], ..scene.press.manifest() };
    scene.follower.manifest(&scene.press.signed(&manifest)).unwrap();
    assert_eq!(scene.follower.next(), Command::Tail(Position { epoch: 1, seq: 4 }));
    scene.sync();
    assert_eq!(scene.freshness(), Freshness::Live);
}

#[test]
fn the_time_moves_with_beats_only_while_nothing_is_missing() {
    let mut scene = Scene::live();
    scene.press.write([beat(), token(12), beat()]);
    assert_eq!(scene.batch(13, 13), Err(FeedFault::Gap));
    assert_eq!(scene.view.as_of_ms(), scene.press.as_of(10));
    assert_eq!(scene.follower.next(), Command::FetchManifest);
    scene.sync();
    assert_eq!(scene.view.as_of_ms(), scene.press.as_of(13));
    assert!(scene.knows(token(12)));
    assert_eq!(scene.follower.counts().gaps, 1);
}

#[test]
fn records_behind_a_gap_are_kept() {
    let mut scene = Scene::live();
    scene.press.write([beat(), token(12)]);
    assert_eq!(scene.batch(12, 12), Err(FeedFault::Gap));
    assert_eq!(scene.seq(), 10);
    assert!(scene.knows(token(12)));
}

#[test]
fn a_gap_that_another_source_fills_needs_no_manifest() {
    let mut scene = Scene::live();
    scene.press.write([token(11), token(12), token(13)]);
    assert_eq!(scene.batch(12, 13), Err(FeedFault::Gap));
    scene.batch(11, 13).unwrap();
    assert_eq!(scene.seq(), 13);
}

#[test]
fn duplicates_are_counted_and_change_nothing() {
    let mut scene = Scene::live();
    scene.batch(5, 10).unwrap();
    scene.batch(1, 3).unwrap();
    assert_eq!((scene.seq(), scene.follower.counts().duplicates), (10, 2));
}

#[test]
fn an_overlapping_batch_continues_the_chain_from_where_it_is() {
    let mut scene = Scene::live();
    scene.press.write([token(11), token(12)]);
    scene.batch(3, 12).unwrap();
    assert_eq!(scene.seq(), 12);
    scene.press.write([token(13)]);
    scene.batch(13, 13).unwrap();
    assert_eq!(scene.seq(), 13);
}

#[test]
fn a_newer_epoch_starts_over_and_forgets_nothing() {
    let mut scene = Scene::live();
    let mut promoted = Press::new(FEED, 2);
    promoted.write([token(1), token(21), token(22)]);
    promoted.seal(1);
    scene.press = promoted;
    assert_eq!(scene.batch(2, 2), Err(FeedFault::NewEpoch));
    assert_eq!(scene.follower.next(), Command::FetchManifest);
    assert_eq!(scene.view.position(), Position { epoch: 1, seq: 10 });
    scene.sync();
    assert_eq!(scene.view.position(), Position { epoch: 2, seq: 3 });
    assert!(scene.knows(token(10)) && scene.knows(token(22)));
    assert_eq!(scene.view.as_of_ms(), scene.press.as_of(3), "its time is its own");
}

#[test]
fn an_older_epoch_is_ignored_and_counted() {
    let mut scene = Scene::live();
    let mut promoted = Press::new(FEED, 2);
    promoted.write([token(21)]);
    let old = std::mem::replace(&mut scene.press, promoted);
    assert_eq!(scene.batch(1, 1), Err(FeedFault::NewEpoch));
    // The old primary goes on beating; from now on that proves nothing.
    let mut zombie = old;
    zombie.write([beat(), beat()]);
    let current = std::mem::replace(&mut scene.press, zombie);
    assert_eq!(scene.batch(11, 12), Err(FeedFault::OldEpoch));
    assert_eq!(scene.manifest(), Err(FeedFault::OldEpoch));
    assert_eq!(scene.follower.counts().old_epochs, 2);
    assert_eq!(scene.view.as_of_ms(), scene.press.as_of(10));
    scene.press = current;
    scene.sync();
    scene.press = Press::new(FEED, 1);
    scene.press.write([beat()]);
    assert_eq!(scene.batch(1, 1), Err(FeedFault::OldEpoch));
    assert_eq!(scene.follower.next(), Command::Tail(Position { epoch: 2, seq: 1 }));
}

#[test]
fn a_second_history_of_an_epoch_closes_a_guard_until_the_next_begins() {
    let mut scene = Scene::live();
    let mut other = Press::new(FEED, 1);
    other.write((51..=61).map(token));
    other.seal(2);
    scene.press = other;
    assert_eq!(scene.batch(11, 11), Err(FeedFault::BrokenChain));
    assert_eq!(scene.follower.counts().forgeries, 1);
    scene.sync();
    assert!(scene.view.is_forked());
    assert_eq!(scene.view.as_of_ms(), scene.press.as_of(10), "what is told there moves no time");
    assert!(scene.knows(token(10)) && scene.knows(token(51)) && scene.knows(token(61)), "and still counts");
    scene.press = Press::new(FEED, 2);
    scene.press.write((71..=85).map(token));
    scene.follower.gone();
    scene.sync();
    assert_eq!(scene.freshness(), Freshness::Live);
    assert!(!scene.view.is_forked() && scene.knows(token(10)) && scene.knows(token(85)));
}

#[test]
fn a_database_that_was_put_back_does_not_move_the_time() {
    let mut scene = Scene::live();
    let mut restored = Press::new(FEED, 1);
    restored.write((1..=6).map(token));
    restored.write([beat()]);
    scene.press = restored;
    scene.follower.gone();
    // The clock of the other history goes on, and is later than ours although it knows less.
    let manifest = Manifest { as_of: scene.press.as_of(500), ..scene.press.manifest() };
    scene.follower.manifest(&scene.press.signed(&manifest)).unwrap();
    assert_eq!(scene.view.as_of_ms(), scene.press.as_of(10));
    assert_eq!(scene.follower.next(), Command::Tail(Position { epoch: 1, seq: 10 }), "it waits where it is");
    // The other history overtakes ours, and shows that it is another.
    scene.press.write((57..=61).map(token));
    assert_eq!(scene.batch(11, 12), Err(FeedFault::BrokenChain));
    assert!(scene.view.is_forked());
}

#[test]
fn another_source_that_is_behind_is_no_other_history() {
    let mut scene = Scene::live();
    let behind = scene.press.manifest();
    scene.press.write([beat(), beat()]);
    scene.batch(11, 12).unwrap();
    scene.follower.gone();
    scene.follower.manifest(&scene.press.signed(&behind)).unwrap();
    scene.press.write([beat()]);
    scene.sync();
    assert_eq!(scene.view.as_of_ms(), scene.press.as_of(13));
    assert!(!scene.view.is_forked());
}

#[test]
fn a_tail_that_does_not_lead_to_the_manifests_head_is_not_the_whole() {
    let mut scene = Scene::new();
    scene.press.seal(10);
    scene.press.write((11..=13).map(token));
    let elsewhere = Manifest { chain: scene.press.chain_at(12), ..scene.press.manifest() };
    scene.follower.manifest(&scene.press.signed(&elsewhere)).unwrap();
    while let Command::FetchSegment(name) = scene.follower.next() {
        scene.segment(&name).unwrap();
    }
    assert_eq!(scene.batch(11, 13), Err(FeedFault::BrokenChain));
    assert_eq!(scene.freshness(), Freshness::Cold);
}

#[test]
fn a_manifest_with_another_history_is_a_fork() {
    let mut scene = Scene::live();
    scene.press = Press::new(FEED, 1);
    scene.press.write((51..=60).map(token));
    scene.press.seal(2);
    scene.follower.gone();
    assert_eq!(scene.manifest(), Err(FeedFault::BrokenChain));
    scene.sync();
    assert!(scene.knows(token(10)) && scene.knows(token(51)));
    assert!(scene.view.is_forked());
}

#[test]
fn a_tail_that_is_too_old_continues_from_a_manifest_without_old_segments() {
    let mut scene = Scene::live();
    scene.press.write((11..=20).map(token));
    scene.press.seal(15);
    scene.follower.gone();
    scene.manifest().unwrap();
    let Command::FetchSegment(name) = scene.follower.next() else { panic!("the second segment is missing") };
    scene.segment(&name).unwrap();
    assert_eq!(scene.follower.next(), Command::Tail(Position { epoch: 1, seq: 15 }));
}

#[test]
fn a_segment_with_other_content_is_refused_and_asked_for_again() {
    let mut scene = Scene::new();
    scene.manifest().unwrap();
    let asked = scene.follower.next();
    let forged: Vec<u8> = (1..=4).flat_map(|_| token(99).encode()).collect();
    assert_eq!(scene.follower.segment(&forged), Err(FeedFault::WrongHash));
    assert_eq!(scene.follower.next(), asked);
    assert!(!scene.knows(token(99)));
}

#[test]
fn forged_batches_change_nothing_but_a_count() {
    let mut scene = Scene::live();
    scene.press.write([token(11)]);
    let stranger = {
        let mut stranger = Press::with_seed(FEED, 1, [9; 32]);
        stranger.write((1..=11).map(token));
        stranger.batch(11, 11)
    };
    let mut altered = scene.press.batch(11, 11);
    altered[40] ^= 1;
    for bytes in [stranger, altered] {
        assert!(scene.follower.batch(SealedBatch::decode(&bytes).unwrap()).is_err());
        assert!(matches!(scene.follower.next(), Command::FetchManifest));
        assert_eq!((scene.seq(), scene.view.as_of_ms()), (10, scene.press.as_of(10)));
    }
    assert_eq!(scene.follower.counts().forgeries, 2);
    assert_eq!(scene.follower.errands()[0], Command::FetchFeedKeys, "an unknown key may be a new key");
    scene.sync();
    assert_eq!(scene.seq(), 11);
}

#[test]
fn a_changed_salt_is_refused() {
    let mut scene = Scene::live();
    let manifest = Manifest { salt: b"other".into(), ..scene.press.manifest() };
    assert_eq!(scene.follower.manifest(&scene.press.signed(&manifest)), Err(FeedFault::ChangedSalt));
}

#[test]
fn a_lost_source_leaves_the_view_to_age() {
    let scene = Scene::live();
    let as_of = scene.view.as_of_ms();
    assert_eq!(scene.view.freshness(as_of + 5_000), Freshness::Lagging);
    assert_eq!(scene.view.freshness(as_of + 10_001), Freshness::Stale);
    assert_eq!(scene.follower.next(), Command::Tail(Position { epoch: 1, seq: 10 }));
}

#[test]
fn an_announced_policy_is_fetched_once_the_manifest_names_it() {
    let mut scene = Scene::live();
    scene.press.write([record(Kind::Policy, [0; 16], 7)]);
    let stale = scene.press.signed(&Manifest {
        head: 10,
        chain: scene.press.chain_at(10),
        as_of: scene.press.as_of(10),
        ..scene.press.manifest()
    });
    scene.batch(11, 11).unwrap();
    scene.follower.tail_ended();
    assert_eq!(scene.follower.next(), Command::FetchManifest);
    scene.follower.manifest(&stale).unwrap();
    assert!(matches!(scene.follower.next(), Command::Tail(_)), "the tail is not held up by an old manifest");
    scene.follower.tail_ended();
    let policy = Digest::of(b"policy 7");
    scene.press.policy = Some(policy);
    scene.manifest().unwrap();
    assert_eq!(scene.view.policy_version(), 7);
    assert!(scene.follower.errands().contains(&Command::FetchPolicy(policy)));
    scene.follower.policy_delivered(policy);
    assert!(!scene.follower.errands().contains(&Command::FetchPolicy(policy)));
}

#[test]
fn pinned_keys_are_fetched_when_the_pin_changes_and_others_when_asked() {
    let mut scene = Scene::new();
    assert_eq!(scene.follower.errands(), [], "a manifest may pin them");
    scene.sync();
    assert_eq!(scene.follower.errands(), [Command::FetchKeys(None)], "the first time always");
    scene.follower.keys_delivered(Digest::of(b"keys 1"));
    assert_eq!(scene.follower.errands(), []);
    scene.follower.want_keys();
    assert_eq!(scene.follower.errands(), [Command::FetchKeys(None)]);
    scene.follower.tail_ended();
    assert_eq!(scene.follower.next(), Command::FetchManifest);
    scene.press.jwks = Some(Digest::of(b"keys 2"));
    scene.manifest().unwrap();
    assert_eq!(scene.follower.errands(), [Command::FetchKeys(scene.press.jwks)]);
    scene.follower.keys_delivered(Digest::of(b"keys 2"));
    scene.follower.want_keys();
    assert_eq!(scene.follower.errands(), [], "the pin has not changed");
}

#[test]
fn a_feed_key_that_the_issuer_does_not_name_signs_nothing_and_is_asked_about() {
    let mut scene = Scene::live();
    let mut stranger = Press::with_seed(FEED, 1, [9; 32]);
    stranger.write((1..=11).map(token));
    let bytes = stranger.batch(11, 11);
    let verdict = scene.follower.batch(SealedBatch::decode(&bytes).unwrap());
    assert_eq!((verdict, scene.seq()), (Err(FeedFault::UnknownKey), 10));
    assert!(scene.follower.errands().contains(&Command::FetchFeedKeys));
    // The issuer says that this is its key now: the same bytes are good, and those of the key before are not.
    scene.follower.feed_keys(stranger.keys());
    scene.follower.batch(SealedBatch::decode(&bytes).unwrap()).unwrap();
    assert_eq!(scene.seq(), 11);
    scene.press.write([token(11), token(12)]);
    assert_eq!(scene.batch(12, 12), Err(FeedFault::UnknownKey));
    assert_eq!(scene.seq(), 11);
}

proptest! {
    /// Whatever stretches arrive in whatever order, a guard that calls itself complete up to some number
    /// holds every record up to it.
    #[test]
    fn what_is_called_complete_is_complete(stretches in prop::collection::vec((1u64..=40, 1u64..=8), 1..40)) {
        let mut scene = Scene::new();
        scene.press.write((11..=48).map(token));
        scene.sync();
        scene.press.write((49..=96).map(token));
        for (first, length) in stretches {
            let first = first + 44;
            let _ = scene.batch(first, first + length);
            let seq = scene.seq();
            prop_assert!((1..=seq).all(|byte| scene.knows(token(byte as u8))));
            prop_assert_eq!(scene.view.as_of_ms(), scene.press.as_of(seq));
        }
        scene.sync();
        prop_assert_eq!(scene.seq(), 96);
    }
}
