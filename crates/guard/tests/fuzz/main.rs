//! Everything that comes from outside, altered in every way that comes to mind: real frames with bits turned,
//! ends cut off, stretches repeated, spliced and blown up. Nothing may panic, nothing that was altered may be
//! believed, and memory stays bounded.
//!
//! Runs a fixed number of rounds from a fixed seed; `make fuzz SECONDS=60` runs each target for so long from
//! a new one. A failure names the seed and shows the bytes.

#[path = "../guard/issuer.rs"]
#[expect(dead_code, reason = "the fuzzer needs a token and nothing else of the issuer")]
mod issuer;
mod mangle;
mod press;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::{Duration, Instant};

use portcullis_guard::feed::batch::unframe;
use portcullis_guard::feed::{FeedKeys, Follower, Manifest, SealedBatch, View};
use portcullis_guard::{Guard, KeySet, Policy, Unverified};

use issuer::{Issuer, NOW};
use mangle::Mangler;
use press::{FEED, ISSUER, Press};

/// Rounds of each target when nobody says how long.
const ROUNDS: u64 = 5_000;
const SEED: u64 = 20_261_122;
/// What a whole run may take, all targets at once, in kilobytes. The corpus is a few hundred.
const MOST_MEMORY_KB: u64 = 256 * 1024;

/// Shows altered frames to a target, which panics when something is wrong.
fn fuzz(corpus: &[Vec<u8>], target: impl Fn(&[u8])) {
    let seconds =
        std::env::var("PORTCULLIS_FUZZ_SECONDS").ok().map(|text| text.parse().expect("whole seconds"));
    let until = seconds.map(|seconds| Instant::now() + Duration::from_secs(seconds));
    let seed = if until.is_some() { mangle::new_seed() } else { SEED };
    let mut mangler = Mangler::new(seed);
    let mut rounds = 0;
    while until.map_or(rounds < ROUNDS, |until| Instant::now() < until) {
        let input = mangler.mangle(corpus);
        if catch_unwind(AssertUnwindSafe(|| target(&input))).is_err() {
            panic!("seed {seed}, round {rounds}: {}", issuer::encode(&input));
        }
        rounds += 1;
    }
    assert!(rounds > 0 && peak_kb() < MOST_MEMORY_KB, "{} kB after {rounds} rounds", peak_kb());
}

/// The most memory that this process ever held.
fn peak_kb() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").expect("Linux tells");
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).expect("the peak is told");
    line.trim().trim_end_matches("kB").trim().parse().expect("kilobytes")
}

/// A batch as it stands alone in an entry of Redis.
#[test]
fn only_a_batch_that_was_signed_is_believed() {
    let press = Press::new();
    let (corpus, keys) = (press.batches(), press.keys());
    corpus.iter().for_each(|bytes| {
        SealedBatch::decode(bytes).and_then(|sealed| sealed.verify(&keys, FEED)).expect("it is genuine");
    });
    fuzz(&corpus, |bytes| {
        let Ok(sealed) = SealedBatch::decode(bytes) else { return };
        assert!(sealed.verify(&keys, FEED).is_err() || corpus.iter().any(|genuine| genuine == bytes));
    });
}

/// Who looks at the form alone is deceived, which shows that the mangler gets that far.
#[test]
fn a_reader_who_skips_the_signature_is_found_out() {
    let corpus = Press::new().batches();
    let deceived = catch_unwind(|| {
        fuzz(&corpus, |bytes| {
            assert!(SealedBatch::decode(bytes).is_err() || corpus.iter().any(|genuine| genuine == bytes));
        });
    });
    assert!(deceived.is_err());
}

/// Batches in the answer to a long poll.
#[test]
fn only_batches_that_were_signed_are_found_in_a_tail() {
    let press = Press::new();
    let keys = press.keys();
    let opened = |bytes: &Vec<u8>| SealedBatch::decode(bytes).unwrap().verify(&keys, FEED).unwrap();
    let genuine: Vec<_> = press.batches().iter().map(opened).collect();
    fuzz(&press.tails(), |bytes| {
        let found = unframe(bytes);
        assert!(found.len() <= bytes.len() / 4 + 1);
        for sealed in found.into_iter().flatten() {
            assert!(sealed.verify(&keys, FEED).map_or(true, |batch| genuine.contains(&batch)));
        }
    });
}

#[test]
fn only_a_manifest_that_was_signed_is_believed() {
    let press = Press::new();
    let (corpus, keys) = (press.manifests(), press.keys());
    let read = |bytes: &[u8]| Manifest::verify(std::str::from_utf8(bytes).ok()?, &keys, ISSUER, FEED).ok();
    assert!(corpus.iter().all(|bytes| read(bytes).is_some()));
    fuzz(&corpus, |bytes| {
        assert!(read(bytes).is_none() || corpus.iter().any(|genuine| genuine == bytes));
    });
}

/// The records of a segment, which has no signature of its own but a name.
#[test]
fn only_the_segment_that_the_manifest_names_is_read() {
    let press = Press::new();
    let (manifest, corpus) = press.sealed();
    fuzz(&corpus, |bytes| {
        let view = Arc::new(View::new(FEED, Duration::from_secs(10)));
        let mut follower = Follower::new(view.clone(), ISSUER);
        follower.feed_keys(press.keys());
        follower.manifest(&manifest).expect("it is genuine");
        let is_genuine = corpus.iter().any(|genuine| genuine == bytes);
        assert_eq!(follower.segment(bytes).is_ok(), is_genuine);
        assert!(is_genuine || view.records() == 0);
        assert_eq!(view.as_of_ms(), 0, "one of two segments is not the whole");
    });
}

/// Whatever a follower is shown in whatever order, it says it is complete only as far as it was signed.
#[test]
fn a_follower_is_never_further_than_what_was_signed() {
    let press = Press::new();
    let manifests = press.manifests();
    let corpus: Vec<_> = press.batches().into_iter().chain(manifests.clone()).collect();
    let first = std::str::from_utf8(&manifests[0]).expect("a manifest is text");
    fuzz(&corpus, |bytes| {
        let view = Arc::new(View::new(FEED, Duration::from_secs(10)));
        let mut follower = Follower::new(view.clone(), ISSUER);
        follower.feed_keys(press.keys());
        follower.manifest(first).expect("it is genuine");
        if let Ok(sealed) = SealedBatch::decode(bytes) {
            let _ = follower.batch(sealed);
        }
        let _ = follower.manifest(&String::from_utf8_lossy(bytes));
        let (at, head) = (view.position(), press.head());
        assert!(at.seq <= head && view.as_of_ms() <= press.as_of(head));
    });
}

#[test]
fn only_a_token_that_was_signed_is_accepted() {
    let issuer = Issuer::new();
    let guard: Guard = issuer.guard().build().expect("it has all it needs");
    let headers = ["ES256", "EdDSA", "RS512"].into_iter().zip(["eu1.ec", "eu1.ed", "eu1.rsa"]);
    let sign = |(alg, kid): (&str, &str)| {
        let header = serde_json::json!({"alg": alg, "typ": "at+jwt", "kid": kid});
        issuer.sign(&header, &issuer::claims().to_string()).into_bytes()
    };
    let corpus: Vec<_> = headers.map(sign).collect();
    let check = |bytes: &[u8]| guard.check(std::str::from_utf8(bytes).ok()?, NOW).ok();
    fuzz(&corpus, |bytes| {
        if let Ok(text) = std::str::from_utf8(bytes) {
            let _ = Unverified::parse(text);
        }
        assert!(check(bytes).is_none() || corpus.iter().any(|genuine| genuine == bytes));
    });
    let rsa = corpus.last().expect("there are three");
    assert!(check(rsa).is_some(), "after all that the genuine one is still accepted");
}

/// What is believed because of where it comes from must at least not bring a guard down.
#[test]
fn key_sets_and_policies_are_read_or_refused() {
    let policy = r#"{"version":3,"roles":{"admin":{"orders":["read","update"]}}}"#;
    let corpus =
        [Issuer::new().jwks().to_string(), Press::new().jwks(), policy.to_owned()].map(String::into_bytes);
    fuzz(&corpus, |bytes| {
        let text = String::from_utf8_lossy(bytes);
        let _ = KeySet::from_jwks(&text);
        let _ = FeedKeys::from_jwks(&text);
        let _ = Policy::from_json(&text);
    });
}
