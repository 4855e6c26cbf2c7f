//! What guards said to several servers: the last word stays, and the silent are forgotten.

use portcullis_authority::ledger::Position;
use portcullis_store::{GuardWord, Periods};

use crate::bench::{Bench, NOW};

fn word(guard: &str, seq: u64, at_ms: u64) -> GuardWord {
    let position = Position { epoch: 1, seq };
    GuardWord { guard: guard.into(), position, as_of_ms: at_ms, at_ms, version: "1".into() }
}

pub async fn the_last_word_of_a_guard_stays_whoever_heard_it(bench: &Bench) {
    let (here, there) = (bench.open().await, bench.open().await);
    here.note_guards(&[word("shop/b", 1, 10), word("shop/a", 5, 50)]).await.unwrap();
    // Told later, and said earlier.
    there.note_guards(&[word("shop/a", 4, 40), word("shop/b", 2, 20)]).await.unwrap();
    let mut known = here.guards_since(0).await.unwrap();
    known.sort_by(|left, right| left.guard.cmp(&right.guard));
    assert_eq!(known, [word("shop/a", 5, 50), word("shop/b", 2, 20)]);
    assert_eq!(there.guards_since(21).await.unwrap(), [word("shop/a", 5, 50)]);
}

pub async fn who_is_silent_is_forgotten(bench: &Bench) {
    let store = bench.open().await;
    let now_ms = NOW * 1000;
    store.note_guards(&[word("gone", 1, now_ms - 3_600_001), word("here", 1, now_ms)]).await.unwrap();
    assert_eq!(store.purge(&Periods::default(), NOW, 10).await.unwrap().of("guard_reports"), 1);
    assert_eq!(store.guards_since(0).await.unwrap(), [word("here", 1, now_ms)]);
}
