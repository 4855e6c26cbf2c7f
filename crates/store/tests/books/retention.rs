//! What has a period goes with it, and how much that was is counted and told once.

use portcullis_authority::inactivity::{Idle, IdleBook as _, IdleDue, IdleState, IdleStep};
use portcullis_authority::ledger::{Act, Done};
use portcullis_store::{KEPT, Periods, Store, Until};

use crate::bench::{Bench, NOW, code, done, family};
use crate::cipher::sow;

const DAY: u64 = 86_400;

/// Rows that the ledger's own acts do not make, each over at `NOW`; `mark` tells them from others.
fn rows(mark: &str) -> String {
    let proposal = |id: &str, glass: &str, seen: &str, decided: &str| {
        format!(
            "INSERT INTO proposals (id, kind, what, digest, proposer, reason, created_at, expires_at, state, \
             decided_by, decided_at, break_glass, acknowledged_by, acknowledged_at) VALUES \
             ('{id}{mark}', 'cut', '{{}}', 'd', 'op', 'r', {NOW}, {NOW}, 'done', 'ap', {decided}, {glass}, {seen}, NULL);"
        )
    };
    let review = |id: &str, closed: &str| {
        format!(
            "INSERT INTO reviews (id, extent, opened_by, opened_at, lines, decided, closed_at) \
             VALUES ('{id}{mark}', '{{}}', 'op', {NOW}, 1, 1, {closed});\
             INSERT INTO review_rows (review_id, n, holder, doc) VALUES ('{id}{mark}', 1, 'ann', '{{}}'), ('{id}{mark}', 2, 'bob', '{{}}');"
        )
    };
    [
        proposal("decided", "FALSE", "NULL", &NOW.to_string()),
        proposal("ran-out", "FALSE", "NULL", "NULL"),
        proposal("seen", "TRUE", "'ow'", &NOW.to_string()),
        proposal("unseen", "TRUE", "NULL", &NOW.to_string()),
        review("closed", &NOW.to_string()),
        review("open", "NULL"),
        format!(
            "INSERT INTO secret_uses (client_id, secret_id, last_used) VALUES ('shop', 's{mark}', {NOW});"
        ),
        format!(
            "INSERT INTO audit_dead_letters (destination, first_seq, last_seq, at, tries, trouble, again) \
             VALUES ('siem{mark}', 1, 2, {NOW}, 3, 'no', FALSE);"
        ),
    ]
    .concat()
}

async fn rows_of(store: &Store, periods: &Periods, now: u64, table: &str) -> (u64, Option<u64>) {
    let all = store.holdings(periods, now).await.unwrap();
    let held = all.into_iter().find(|held| held.table == table).expect("it is in the list");
    (held.rows, held.due)
}

pub async fn what_has_a_period_goes_with_it_and_what_waits_for_somebody_stays(bench: &Bench) {
    let store = bench.open().await;
    bench.tamper(&rows("")).await;
    let periods =
        Periods { reviews: 30, proposals: 20, secret_uses: 10, dead_letters: 5, ..Periods::default() };
    let expected = [
        ("audit_dead_letters", 5, 1, 0),
        ("secret_uses", 10, 1, 0),
        ("proposals", 20, 3, 1),
        ("reviews", 30, 1, 1),
    ];
    for (table, days, gone, left) in expected {
        let over = NOW + days * DAY;
        assert_eq!(
            store.purge(&periods, over - 1, 100).await.unwrap().of(table),
            0,
            "{table} goes too early"
        );
        let before = rows_of(&store, &periods, over, table).await;
        assert_eq!(before, (gone + left, Some(gone)), "{table} is announced");
        let purged = store.purge(&periods, over, 100).await.unwrap();
        assert_eq!(purged.of(table) as u64, gone, "{table}");
        assert_eq!(rows_of(&store, &periods, over, table).await, (left, Some(0)), "{table}");
    }
    // The open review has its lines, the closed one none.
    assert_eq!(rows_of(&store, &periods, NOW, "review_rows").await.0, 2);
    let for_ever = Periods { proposals: 0, reviews: 0, ..periods };
    bench.tamper(&rows("-again")).await;
    let purged = store.purge(&for_ever, NOW + 1_000_000 * DAY, 100).await.unwrap();
    assert_eq!((purged.of("proposals"), purged.of("reviews"), purged.of("secret_uses")), (0, 0, 1));
}

pub async fn what_goes_is_counted_and_told_once(bench: &Bench) {
    let (here, there) = (bench.open().await, bench.open().await);
    done(&here, Act::PutCode(code("c"))).await;
    done(&here, Act::OpenFamily(family(1))).await;
    done(&here, Act::EndToken { jti: [1; 16], exp: NOW + 500 }).await;
    here.beat().await.unwrap().expect("the first beat is due");
    let later = NOW + 100_000_000;
    while !here.purge(&Periods::default(), later, 100).await.unwrap().is_empty() {}
    let untold = here.untold().await.unwrap();
    let told: Vec<_> = untold.iter().map(|(table, gone)| (table.as_str(), *gone)).collect();
    assert_eq!(told, [("codes", 1), ("families", 1), ("rv_log", 1)], "a beat is not counted");
    let tell = || {
        let acts =
            untold.iter().map(|(table, gone)| Act::TellGone { table: table.clone(), gone: *gone, at: later });
        Act::Several(acts.collect())
    };
    assert_eq!(done(&here, tell()).await, Done::Committed { position: None });
    assert_eq!(done(&there, tell()).await, Done::Lost, "once");
    assert!(there.untold().await.unwrap().is_empty());
    let held = there.holdings(&Periods::default(), later).await.unwrap();
    let codes = held.iter().find(|held| held.table == "codes").unwrap();
    assert_eq!((codes.rows, codes.removed), (0, Some((1, later))));
}

pub async fn every_table_can_be_counted(bench: &Bench) {
    let store = bench.open().await;
    done(&store, Act::OpenFamily(family(1))).await;
    let held = store.holdings(&Periods::default(), NOW).await.unwrap();
    assert_eq!(held.len(), KEPT.len());
    for (held, kept) in held.iter().zip(KEPT) {
        assert_eq!(held.table, kept.table);
        assert_eq!(held.due.is_some(), matches!(kept.until, Until::After(_)), "{}", held.table);
    }
    let of = |table: &str| held.iter().find(|held| held.table == table).unwrap();
    assert_eq!(of("families").oldest, Some(family(1).abs_exp));
    // The first row of the log is the deed above.
    assert_eq!((of("audit").rows, of("audit").due), (1, Some(0)));
}

pub async fn an_account_is_due_in_its_time_and_a_step_is_taken_once(bench: &Bench) {
    let store = bench.open().await;
    sow(&store, &[("ann", "ann@example.com")]).await;
    assert_eq!(store.watch(NOW, 10).await.unwrap(), 1);
    assert_eq!(store.watch(NOW + 9, 10).await.unwrap(), 0, "she is watched already");
    assert_eq!(store.last_use("ann").await.unwrap(), None);
    let due = |used, closed| IdleDue { used, warned: 0, closed, held: 0 };
    assert!(store.idle(&due(NOW - 1, None), 10).await.unwrap().is_empty());
    let before =
        Idle { person: "ann".into(), used_at: NOW, state: IdleState::Used, since: NOW, held_at: None };
    assert_eq!(store.idle(&due(NOW, None), 10).await.unwrap(), std::slice::from_ref(&before));
    let after = Idle { state: IdleState::Closed, since: NOW + 1, ..before.clone() };
    let step = || Act::Idle(IdleStep { before: before.clone(), after: Some(after.clone()) });
    assert_eq!(done(&store, step()).await, Done::Committed { position: None });
    assert_eq!(done(&store, step()).await, Done::Lost, "once");
    let opened = store.idle(&due(0, None), 10).await.unwrap();
    assert_eq!(opened, std::slice::from_ref(&after), "closed for disuse, and open: somebody opened it again");
    done(&store, Act::DisablePerson { id: "ann".into() }).await;
    assert!(store.idle(&due(0, None), 10).await.unwrap().is_empty());
    assert_eq!(store.idle(&due(0, Some(NOW + 1)), 10).await.unwrap(), [after]);
    assert_eq!(store.idle_census().await.unwrap().closed, 1);
}
