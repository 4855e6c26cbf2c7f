//! The signing keys: changed by one of many, told to guards in the same transaction, and ended for good.

use portcullis_authority::keyring::{KeyChange, KeyRow, KeyState};
use portcullis_authority::ledger::{Act, AuditRecord, Deed, Done, Ledger as _, Survey as _};
use portcullis_guard::feed::{Kind, name_id};
use portcullis_store::{Periods, Store};

use crate::bench::{Bench, NOW};

fn key(kid: &str, state: KeyState) -> KeyRow {
    KeyRow {
        kid: kid.into(),
        algorithm: "ES256".into(),
        state,
        made_at: NOW,
        since: NOW,
        public: "{}".into(),
        sealed: Some("sealed".into()),
        vault: None,
    }
}

async fn change(store: &Store, expected: u64, rows: Vec<KeyRow>) -> Done {
    let act = Act::Keys(KeyChange { expected, rows });
    store.commit(Deed::new(act, AuditRecord::default())).await.unwrap()
}

async fn states(store: &Store) -> Vec<(String, KeyState, bool)> {
    let chain = store.key_chain().await.unwrap();
    chain.keys.into_iter().map(|key| (key.kid, key.state, key.sealed.is_some())).collect()
}

pub async fn of_two_who_change_the_keys_one_does_it(bench: &Bench) {
    let stores = [bench.open().await, bench.open().await];
    let (one, two) = tokio::join!(
        change(&stores[0], 0, vec![key("a", KeyState::Active)]),
        change(&stores[1], 0, vec![key("b", KeyState::Active)]),
    );
    let lost = [&one, &two].into_iter().filter(|done| **done == Done::Lost).count();
    assert_eq!(lost, 1, "{one:?} {two:?}");
    for store in &stores {
        assert_eq!(store.key_chain().await.unwrap().version, 1);
        assert_eq!(states(store).await.len(), 1);
    }
    let told = stores[0].log_after(0, 10).await.unwrap();
    assert_eq!(told.iter().filter(|row| row.record.kind == Kind::Keys).count(), 1);
}

pub async fn an_ended_key_never_comes_back(bench: &Bench) {
    let store = bench.open().await;
    change(&store, 0, vec![key("a", KeyState::Active), key("b", KeyState::Pending)]).await;
    let end = Act::EndKey { kid: "a".into(), exp: NOW + 500 };
    let done = store.commit(Deed::new(end, AuditRecord::default())).await.unwrap();
    let rows = store.log_after(1, 10).await.unwrap();
    assert_eq!(rows.iter().map(|row| row.record.kind).collect::<Vec<_>>(), [Kind::Keys, Kind::Key]);
    assert_eq!(rows[1].record.id, name_id(store.salt(), Kind::Key, "a"));
    assert_eq!(done, Done::Committed { position: Some(rows[1].position) });
    let ended = ("a".to_owned(), KeyState::Ended, false);
    let standing = ("b".to_owned(), KeyState::Pending, true);
    assert_eq!(states(&store).await, [ended.clone(), standing.clone()]);
    // Whoever decided before it ended is too late, and whoever decides now cannot bring it back.
    assert_eq!(change(&store, 1, vec![key("a", KeyState::Active)]).await, Done::Lost);
    assert_ne!(change(&store, 2, vec![key("a", KeyState::Active)]).await, Done::Lost);
    assert_eq!(states(&store).await, [ended, standing]);
}

pub async fn what_is_told_of_keys_is_forgotten_when_the_manifest_has_it(bench: &Bench) {
    let store = bench.open().await;
    change(&store, 0, vec![key("a", KeyState::Active)]).await;
    let told = store.log_after(0, 10).await.unwrap().len();
    store.purge(&Periods::default(), 4_000_000_000, 100).await.unwrap();
    assert_eq!((told, store.log_after(0, 10).await.unwrap().len()), (1, 0));
    assert_eq!(states(&store).await.len(), 1);
}
