//! Once, only if unchanged, and on disk before the answer.

use std::time::Duration;

use portcullis_authority::ledger::{Act, Deed, Done, Ledger, Proved, Rotation, Session};
use portcullis_authority::refusal::Trouble;
use portcullis_authority::registry::Scope;
use portcullis_guard::feed::Kind;
use portcullis_store::Store;
use tokio::task::JoinSet;

use crate::bench::{Bench, NOW, act, code, done, family, id, note};

const QUIET: Done = Done::Committed { position: None };

fn rotation(next: &str) -> Rotation {
    Rotation {
        family: id(1),
        n: 0,
        secret: "first".into(),
        next: next.into(),
        sealed: "sealed".into(),
        now: NOW,
        idle_exp: NOW + 200,
    }
}

pub async fn one_of_64_racing_rotations_wins(bench: &Bench) {
    let stores = [bench.open().await, bench.open().await];
    done(&stores[0], Act::OpenFamily(family(1))).await;
    let mut racers = JoinSet::new();
    for racer in 0..64 {
        let store = stores[racer % 2].clone();
        racers.spawn(async move {
            let next = format!("next-{racer}");
            (done(&store, Act::Rotate(rotation(&next))).await, next)
        });
    }
    let (winners, losers): (Vec<_>, Vec<_>) =
        racers.join_all().await.into_iter().partition(|(done, _)| *done == QUIET);
    assert_eq!(winners.len(), 1);
    assert!(losers.iter().all(|(done, _)| *done == Done::Lost));
    let kept = stores[1].family(&id(1)).await.unwrap().expect("the family is there");
    assert_eq!((kept.n, kept.secret.as_str()), (1, winners[0].1.as_str()));
    assert_eq!(kept.previous.as_deref(), Some("first"));
    assert_eq!((kept.sealed.as_deref(), kept.idle_exp), (Some("sealed"), NOW + 200));
}

pub async fn a_code_is_spent_once_among_racers(bench: &Bench) {
    let store = bench.open().await;
    done(&store, Act::PutCode(code("c"))).await;
    let mut racers = JoinSet::new();
    for racer in 1..=16 {
        let store = store.clone();
        racers.spawn(async move {
            let act = Act::SpendCode { hash: "c".into(), now: NOW, family: family(racer) };
            (racer, done(&store, act).await)
        });
    }
    let all = racers.join_all().await;
    let winners: Vec<_> = all.iter().filter(|(_, done)| *done == QUIET).collect();
    assert_eq!(winners.len(), 1);
    let by = id(winners[0].0);
    let told = all.iter().filter(|(_, done)| *done == Done::Spent { family: Some(by.clone()) });
    assert_eq!(told.count(), 15);
    assert_eq!(store.code("c").await.unwrap().and_then(|code| code.spent_by), Some(by));
    let mut opened = 0;
    for racer in 1..=16 {
        opened += usize::from(store.family(&id(racer)).await.unwrap().is_some());
    }
    assert_eq!(opened, 1);
}

pub async fn a_code_that_has_expired_or_never_was_is_lost(bench: &Bench) {
    let store = bench.open().await;
    done(&store, Act::PutCode(code("c"))).await;
    for (hash, now) in [("c", NOW + 60), ("nobody's", NOW)] {
        let spend = Act::SpendCode { hash: hash.into(), now, family: family(1) };
        assert_eq!(done(&store, spend).await, Done::Lost);
    }
    assert_eq!(store.family(&id(1)).await.unwrap(), None);
}

pub async fn an_assertion_is_used_once(bench: &Bench) {
    let store = bench.open().await;
    let using = |client: &str, number| Act::UseAssertion {
        client_id: client.into(),
        digest: "d".into(),
        exp: NOW,
        family: Some(family(number)),
    };
    assert_eq!(done(&store, using("shop", 1)).await, QUIET);
    assert_eq!(done(&store, using("shop", 2)).await, Done::Spent { family: None });
    assert_eq!(store.family(&id(2)).await.unwrap(), None);
    assert_eq!(done(&store, using("other", 3)).await, QUIET);
}

pub async fn a_rotation_of_an_ended_family_is_lost(bench: &Bench) {
    let store = bench.open().await;
    done(&store, Act::OpenFamily(family(1))).await;
    let end = Act::EndFamily { id: id(1), reason: "logout".into(), now: NOW, exp: NOW + 9 };
    done(&store, end).await;
    assert_eq!(done(&store, Act::Rotate(rotation("next"))).await, Done::Lost);
    let kept = store.family(&id(1)).await.unwrap().expect("ended families are kept");
    assert_eq!((kept.ended_at, kept.end_reason.as_deref()), (Some(NOW), Some("logout")));
    assert_eq!(kept.secret, "first");
}

pub async fn a_rotation_of_an_idle_family_is_lost(bench: &Bench) {
    let store = bench.open().await;
    done(&store, Act::OpenFamily(family(1))).await;
    let late = Rotation { now: NOW + 100, ..rotation("next") };
    assert_eq!(done(&store, Act::Rotate(late)).await, Done::Lost);
    let just = Rotation { now: NOW + 99, ..rotation("next") };
    assert_eq!(done(&store, Act::Rotate(just)).await, QUIET);
}

pub async fn a_family_ends_once_and_everybody_hears_a_position(bench: &Bench) {
    let store = bench.open().await;
    done(&store, Act::OpenFamily(family(1))).await;
    let end = Act::EndFamily { id: id(1), reason: "logout".into(), now: NOW, exp: NOW + 9 };
    let first = done(&store, end.clone()).await;
    let again = done(&store, end).await;
    let rows = store.log_after(0, 10).await.unwrap();
    assert_eq!(rows.len(), 1);
    assert_eq!((rows[0].record.kind, rows[0].record.exp), (Kind::Family, NOW as u32 + 9));
    assert_eq!(rows[0].record.id[..8], [7; 8]);
    assert_eq!(first, Done::Committed { position: Some(rows[0].position) });
    assert_eq!(again, first);
}

pub async fn a_family_that_nobody_knows_ends_too(bench: &Bench) {
    let store = bench.open().await;
    let end = Act::EndFamily { id: id(9), reason: "logout".into(), now: NOW, exp: NOW + 9 };
    assert!(matches!(done(&store, end).await, Done::Committed { position: Some(_) }));
    assert_eq!(store.log_after(0, 10).await.unwrap().len(), 1);
}

pub async fn a_session_is_found_and_ended(bench: &Bench) {
    let store = bench.open().await;
    let session = Session {
        hash: "h".into(),
        person: "ann".into(),
        generation: 0,
        auth_time: NOW,
        proved: Some(Proved::PasswordAndCode),
        expires_at: NOW + 60,
        ended_at: None,
    };
    done(&store, Act::OpenSession(session.clone())).await;
    assert_eq!(store.session("h").await.unwrap(), Some(session.clone()));
    for now in [NOW + 1, NOW + 2] {
        done(&store, Act::EndSession { hash: "h".into(), now }).await;
    }
    let ended = Session { ended_at: Some(NOW + 1), ..session };
    assert_eq!(store.session("h").await.unwrap(), Some(ended));
    assert_eq!(store.session("nobody's").await.unwrap(), None);
}

/// Between the look at a password and the session that it opens, something of the person may end.
pub async fn a_session_of_somebody_who_has_ended_since_is_not_opened(bench: &Bench) {
    let store = bench.open().await;
    let session = |hash: &str, generation| {
        let (hash, person) = (hash.to_owned(), "ann".to_owned());
        Session {
            hash,
            person,
            generation,
            auth_time: NOW,
            proved: None,
            expires_at: NOW + 60,
            ended_at: None,
        }
    };
    done(&store, Act::Raise { scope: Scope::Subject, id: "bob".into(), exp: NOW + 9 }).await;
    done(&store, Act::OpenSession(session("first", 0))).await;
    done(&store, Act::Raise { scope: Scope::Subject, id: "ann".into(), exp: NOW + 9 }).await;
    for generation in [0, 2] {
        assert_eq!(done(&store, Act::OpenSession(session("late", generation))).await, Done::Lost);
    }
    assert_eq!(store.session("late").await.unwrap(), None);
    let again = vec![
        Act::Raise { scope: Scope::Subject, id: "ann".into(), exp: NOW + 9 },
        Act::OpenSession(session("again", 2)),
    ];
    assert!(matches!(done(&store, Act::Several(again)).await, Done::Committed { .. }));
    assert_eq!(store.session("again").await.unwrap(), Some(session("again", 2)));
}

pub async fn what_was_opened_reads_back_the_same(bench: &Bench) {
    let store = bench.open().await;
    done(&store, Act::PutCode(code("c"))).await;
    done(&store, Act::OpenFamily(family(1))).await;
    assert_eq!(store.code("c").await.unwrap(), Some(code("c")));
    assert_eq!(store.family(&id(1)).await.unwrap(), Some(family(1)));
}

/// The outcomes of acts that were surely in one group: the writer is kept busy until all are waiting.
async fn grouped(bench: &Bench, store: &Store, acts: Vec<Act>) -> Vec<Result<Done, Trouble>> {
    let held = bench.hold().await;
    let pause = Duration::from_millis(100);
    let busy = tokio::spawn({
        let store = store.clone();
        async move { done(&store, Act::Note).await }
    });
    tokio::time::sleep(pause).await;
    let mut waiting = Vec::new();
    for it in acts {
        let store = store.clone();
        waiting.push(tokio::spawn(async move { act(&store, it).await }));
    }
    tokio::time::sleep(pause).await;
    drop(held);
    assert_eq!(busy.await.unwrap(), QUIET);
    let mut outcomes = Vec::new();
    for one in waiting {
        outcomes.push(one.await.unwrap());
    }
    outcomes
}

pub async fn a_bad_deed_does_not_fail_its_neighbours(bench: &Bench) {
    let store = bench.open().await;
    // It is there already, so its key refuses to be there again.
    done(&store, Act::OpenFamily(family(50))).await;
    let before = store.transactions();
    let acts = (0..100).map(|number| Act::OpenFamily(family(number))).collect();
    for (outcome, number) in grouped(bench, &store, acts).await.into_iter().zip(0..) {
        assert_eq!(outcome.is_ok(), number != 50, "{number}: {outcome:?}");
        assert!(store.family(&id(number)).await.unwrap().is_some());
    }
    assert_eq!(store.audit_page(0, 1000).await.unwrap().len(), 101);
    assert!(store.transactions() - before < 20, "halving finds one bad deed in few transactions");
}

pub async fn a_thousand_notes_share_transactions(bench: &Bench) {
    let store = bench.open().await;
    let mut all = JoinSet::new();
    for number in 0..1000 {
        let store = store.clone();
        all.spawn(async move { store.commit(Deed::new(Act::Note, note(&number.to_string()))).await });
    }
    assert!(all.join_all().await.into_iter().all(|done| matches!(done, Ok(QUIET))));
    let needed = store.transactions();
    eprintln!("1000 notes at once: {needed} transactions");
    assert!(needed <= 50, "{needed} transactions");
    assert_eq!(store.audit_page(0, 2000).await.unwrap().len(), 1000);
    assert_eq!(store.audit_verify(None, Vec::new()).await.unwrap().bad, None);
}

pub async fn an_answered_deed_is_there_after_a_crash(bench: &Bench) {
    let answered = std::thread::scope(|scope| {
        let crash = scope.spawn(|| {
            let runtime = tokio::runtime::Runtime::new().expect("a runtime");
            let answered = runtime.block_on(async {
                let store = bench.open().await;
                let mut answered = Vec::new();
                for number in 0..20 {
                    done(&store, Act::OpenFamily(family(number))).await;
                    answered.push(number);
                }
                // Whatever the store would like to do in the end, it does not.
                std::mem::forget(store);
                answered
            });
            runtime.shutdown_background();
            answered
        });
        crash.join().expect("nothing panics")
    });
    let store = bench.open().await;
    for number in answered {
        assert_eq!(store.family(&id(number)).await.unwrap(), Some(family(number)));
    }
    assert_eq!(store.audit_verify(None, Vec::new()).await.unwrap().good, 20);
}

pub async fn a_caller_who_hangs_up_drops_nothing(bench: &Bench) {
    let store = bench.open().await;
    let hung_up = tokio::time::timeout(Duration::ZERO, done(&store, Act::OpenFamily(family(1)))).await;
    assert!(hung_up.is_err());
    // Whoever comes after is served after.
    done(&store, Act::Note).await;
    assert!(store.family(&id(1)).await.unwrap().is_some());
}

pub async fn a_commit_that_fails_is_trouble_for_all_and_never_done(bench: &Bench) {
    let store = bench.open().await;
    bench.fail_commits().await;
    // Alone, the notes would pass. But who knows whether the commit did happen? Not twice, then.
    let outcomes = grouped(bench, &store, vec![Act::Note, Act::OpenFamily(family(1)), Act::Note]).await;
    assert!(outcomes.iter().all(Result::is_err), "{outcomes:?}");
    assert_eq!(store.family(&id(1)).await.unwrap(), None);
    // The connection is as good as before.
    assert_eq!(done(&store, Act::Note).await, QUIET);
    assert_eq!(store.audit_verify(None, Vec::new()).await.unwrap().good, 2);
}

pub async fn a_deed_does_not_wait_for_ever(bench: &Bench) {
    let store = bench.open_patiently(Duration::from_millis(400)).await;
    let held = bench.hold().await;
    let started = std::time::Instant::now();
    assert!(act(&store, Act::OpenFamily(family(1))).await.is_err());
    assert!(started.elapsed() < Duration::from_secs(2));
    drop(held);
    tokio::time::sleep(Duration::from_millis(500)).await;
    assert_eq!(done(&store, Act::OpenFamily(family(2))).await, QUIET);
}
