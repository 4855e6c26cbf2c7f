//! Going on from an older copy: a new epoch, and generations that nobody was ever given.

use portcullis_authority::ledger::{Act, Done};
use portcullis_authority::recovery;
use portcullis_authority::registry::{Registry, Scope, Who};
use portcullis_guard::feed::{Kind, chain};

use crate::bench::{Bench, FEED, NOW, done, wall_clock};

fn raise(scope: Scope, id: &str) -> Act {
    Act::Raise { scope, id: id.into(), exp: NOW }
}

/// Seconds from the first of January 2026 to now.
const SINCE_2026: u64 = NOW - 1_767_225_600;

fn promotion() -> Act {
    recovery::promotion(NOW, 0, "a test").act
}

pub async fn a_promotion_leaves_behind_what_the_lost_part_may_have_given_out(bench: &Bench) {
    let store = bench.open().await;
    store.apply(&crate::registry::set()).await.unwrap();
    for _ in 0..3 {
        done(&store, raise(Scope::Client, "shop")).await;
    }
    let (before, version) = (store.head().await.unwrap(), store.directory().version);
    let Done::Committed { position: Some(position) } = done(&store, promotion()).await else {
        panic!("a promotion has a position")
    };
    let after = store.head().await.unwrap();
    assert_eq!(after.position, position);
    assert_eq!(position.epoch, SINCE_2026, "no earlier than this moment, whatever the copy is dated");
    assert!(position.seq > before.position.seq + 999_999, "far beyond any number that was lost");
    assert_eq!(after.salt, before.salt);

    let rows = store.log_after(before.position.seq, 10).await.unwrap();
    let kinds: Vec<_> = rows.iter().map(|row| row.record.kind).collect();
    assert_eq!(kinds, [Kind::Everything, Kind::Policy]);
    assert!(rows.iter().all(|row| row.position.epoch == position.epoch));
    let start = chain::start(FEED, position.epoch);
    assert_eq!(after.chain, rows.iter().fold(start, |chain, row| chain::extend(&chain, &row.record)));
    let live = store.live_records(NOW + 1_000_000_000).await.unwrap();
    let everything = |row: &portcullis_authority::ledger::LogRow| row.record.kind == Kind::Everything;
    assert!(live.rows.iter().any(everything), "it is never forgotten");

    let shown = store.directory();
    let floor = rows[0].record.val;
    assert!(floor > 1000 && shown.version > version);
    for (scope, id) in
        [(Scope::Client, "shop"), (Scope::Organization, "never raised"), (Scope::Everything, "")]
    {
        assert_eq!(shown.generation(scope, id), floor, "{scope:?}");
    }
    let ann = store.person(Who::Id("ann")).await.unwrap().expect("Ann is there");
    assert_eq!((ann.generation, ann.actor_generation), (floor, floor));

    done(&store, raise(Scope::Client, "shop")).await;
    done(&store, raise(Scope::Subject, "ann")).await;
    assert_eq!(store.directory().generation(Scope::Client, "shop"), floor + 1);
    assert_eq!(store.person(Who::Id("ann")).await.unwrap().map(|ann| ann.generation), Some(floor + 1));
    done(&store, promotion()).await;
    assert!(store.directory().generation(Scope::Actor, "bob") > floor + 1000);
}

pub async fn a_promotion_is_seen_by_a_second_process(bench: &Bench) {
    let (operator, server) = (bench.open().await, bench.open().await);
    server.beat().await.unwrap().expect("the first beat is due");
    let at = server.head().await.unwrap().position.seq;
    done(&operator, promotion()).await;
    let news = server.log_after(at, 10).await.unwrap();
    assert!(server.absorb(&news).await.unwrap());
    assert_eq!(server.directory().generation(Scope::Client, "shop"), news[0].record.val);
    let beat = server.beat().await.unwrap().expect("a new epoch begins without the beats of the old");
    assert_eq!(beat.position.epoch, SINCE_2026);
    assert!(server.head().await.unwrap().as_of_ms <= wall_clock()());
}

pub async fn news_tell_which_history_they_belong_to(bench: &Bench) {
    let store = bench.open().await;
    assert_eq!(store.news_after(0, 10).await.unwrap().head, None);
    for number in 0..3 {
        done(&store, Act::EndToken { jti: [number; 16], exp: NOW }).await;
    }
    let head = store.head().await.unwrap();
    let news = store.news_after(1, 1).await.unwrap();
    assert_eq!(news.rows, store.log_after(1, 1).await.unwrap());
    assert_eq!(news.head, Some((3, head.chain)), "the head is told even where the rows end before it");
    assert!(store.drift_ms().await.unwrap().abs() < 5000);
}
