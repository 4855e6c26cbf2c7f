//! Numbers without gaps in commit order, beats, snapshots, and forgetting.

use std::sync::{Arc, Mutex};

use portcullis_authority::ledger::{Act, Done, Ledger, LogRow};
use portcullis_authority::registry::Scope;
use portcullis_guard::feed::chain;
use portcullis_guard::feed::{Kind, name_id};
use portcullis_store::Periods;
use tokio::task::JoinSet;

use crate::bench::{Bench, FEED, NOW, code, done, family, wall_clock};

fn end_token(number: u8) -> Act {
    Act::EndToken { jti: [number; 16], exp: NOW }
}

pub async fn numbers_have_no_gap_and_are_in_commit_order(bench: &Bench) {
    let stores = [bench.open().await, bench.open().await];
    let mut all = JoinSet::new();
    for number in 0..200u8 {
        let store = stores[usize::from(number) % 2].clone();
        all.spawn(async move {
            let done = done(&store, end_token(number)).await;
            // What was answered is to be seen, whatever others are still doing.
            let head = store.head().await.unwrap().position;
            let Done::Committed { position: Some(position) } = done else { panic!("{done:?}") };
            assert!(position <= head);
            let before = store.log_after(0, 1000).await.unwrap();
            let seen = before.iter().take_while(|row| row.position <= position).count();
            assert_eq!(seen as u64, position.seq, "a number was visible before a smaller one");
            position
        });
    }
    let mut positions = all.join_all().await;
    positions.sort();
    positions.dedup();
    let rows = stores[0].log_after(0, 1000).await.unwrap();
    let head = stores[0].head().await.unwrap();
    assert_eq!(positions.len(), 200);
    assert_eq!(rows.len(), 200);
    assert!(rows.iter().zip(1..).all(|(row, seq)| row.position.seq == seq && row.position.epoch == 1));
    assert_eq!(head.position, rows[199].position);
    let start = chain::start(FEED, 1);
    let chain = rows.iter().fold(start, |chain, row| chain::extend(&chain, &row.record));
    assert_eq!(head.chain, chain);
    assert_eq!(Some(head.as_of_ms), rows.iter().map(|row| row.as_of_ms).max());
}

pub async fn new_rows_are_told_before_the_answer(bench: &Bench) {
    let store = bench.open().await;
    let told: Arc<Mutex<Vec<LogRow>>> = Arc::default();
    let ear = Arc::clone(&told);
    store.on_commit(Arc::new(move |rows| ear.lock().unwrap().extend_from_slice(rows)));
    for number in 0..10 {
        let answer = done(&store, end_token(number)).await;
        let last = told.lock().unwrap().last().copied().expect("told before the answer");
        assert_eq!(answer, Done::Committed { position: Some(last.position) });
        assert_eq!(last.record.id, [number; 16]);
    }
    store.beat().await.unwrap().expect("the first beat is due");
    let logged = store.log_after(0, 100).await.unwrap();
    assert_eq!(*told.lock().unwrap(), logged);
}

pub async fn of_two_servers_one_writes_the_beat(bench: &Bench) {
    let stores = [bench.open().await, bench.open().await];
    let before = wall_clock()();
    let (one, two) = tokio::join!(stores[0].beat(), stores[1].beat());
    let beats: Vec<_> = [one.unwrap(), two.unwrap()].into_iter().flatten().collect();
    assert_eq!(beats.len(), 1);
    assert_eq!(beats[0].record.kind, Kind::Beat);
    assert_eq!(beats[0].position.seq, 1);
    assert!(beats[0].as_of_ms + 1 >= before && beats[0].as_of_ms <= wall_clock()());
    tokio::time::sleep(std::time::Duration::from_millis(950)).await;
    assert_eq!(stores[0].beat().await.unwrap().map(|beat| beat.position.seq), Some(2));
}

pub async fn a_snapshot_leaves_out_beats_and_what_is_over(bench: &Bench) {
    let store = bench.open().await;
    done(&store, Act::EndToken { jti: [1; 16], exp: NOW }).await;
    done(&store, Act::EndKey { kid: "k".into(), exp: NOW + 500 }).await;
    store.beat().await.unwrap();
    let live = store.live_records(NOW + 119).await.unwrap();
    assert_eq!(live.rows.len(), 2);
    assert_eq!(live.head, store.head().await.unwrap());
    assert_eq!(live.head.position.seq, 3);
    let live = store.live_records(NOW + 120).await.unwrap();
    assert_eq!(live.rows.len(), 1);
    assert_eq!(live.rows[0].record.id, name_id(store.salt(), Kind::Key, "k"));
}

pub async fn a_spent_code_is_known_when_it_comes_again_late(bench: &Bench) {
    let store = bench.open().await;
    done(&store, Act::PutCode(code("c"))).await;
    done(&store, Act::SpendCode { hash: "c".into(), now: NOW, family: family(1) }).await;
    store.purge(&Periods::default(), code("c").expires_at + 600, 100).await.unwrap();
    let spent = store.code("c").await.unwrap().expect("still known");
    assert_eq!(spent.spent_by, Some(family(1).id));
}

pub async fn what_is_over_is_forgotten(bench: &Bench) {
    let store = bench.open().await;
    done(&store, Act::PutCode(code("c"))).await;
    done(&store, Act::OpenFamily(family(1))).await;
    let assertion =
        Act::UseAssertion { client_id: "shop".into(), digest: "d".into(), exp: NOW, family: None };
    done(&store, assertion).await;
    for number in 0..3 {
        done(&store, end_token(number)).await;
    }
    done(&store, Act::Raise { scope: Scope::Client, id: "shop".into(), exp: NOW + 1_000_000_000 }).await;
    store.apply(&Default::default()).await.unwrap();
    store.apply(&Default::default()).await.unwrap();
    store.beat().await.unwrap().expect("the first beat is due");

    let none = store.purge(&Periods::default(), NOW - 1_000_000_000, 100).await.unwrap();
    assert!(none.is_empty(), "{none:?}");
    // Each call takes no more than it was told to: three tokens, one policy and one beat, two by two.
    let mut records = Vec::new();
    let mut others = (0, 0, 0);
    loop {
        let purged = store.purge(&Periods::default(), NOW + 100_000_000, 2).await.unwrap();
        if purged.is_empty() {
            break;
        }
        records.push(purged.of("rv_log"));
        others.0 += purged.of("codes");
        others.1 += purged.of("families");
        others.2 += purged.of("assertions");
    }
    assert_eq!((records, others), (vec![2, 2, 1], (1, 1, 1)));
    assert_eq!(store.code("c").await.unwrap(), None);
    assert_eq!(store.family(&family(1).id).await.unwrap(), None);
    let left: Vec<_> = store.log_after(0, 100).await.unwrap().iter().map(|row| row.record.kind).collect();
    assert_eq!(left, [Kind::Client, Kind::Policy]);
}
