//! A log that cannot be changed unnoticed.

use portcullis_authority::ledger::{Act, AuditRecord, Deed, Done, Ledger};
use portcullis_store::Store;

use crate::bench::{Bench, NOW, done, family, note};

async fn keep(store: &Store, rows: usize) {
    for row in 0..rows {
        let record = AuditRecord {
            subject: Some(format!("person {row}")),
            actors: vec!["app".into(), "\"quoted\"".into()],
            ..note("token.issued")
        };
        store.commit(Deed::new(Act::Note, record)).await.expect("the note is kept");
    }
    let verdict = store.audit_verify().await.unwrap();
    assert_eq!((verdict.good, verdict.first_bad), (rows as u64, None));
}

pub async fn the_chain_verifies_until_a_row_is_changed(bench: &Bench) {
    let store = bench.open().await;
    keep(&store, 10).await;
    let page = store.audit_page(3, 2).await.unwrap();
    assert_eq!(page.iter().map(|entry| entry.seq).collect::<Vec<_>>(), [4, 5]);
    assert_eq!(page[0].record.subject.as_deref(), Some("person 3"));
    bench.tamper("UPDATE audit SET subject = 'somebody else' WHERE seq = 7").await;
    let verdict = store.audit_verify().await.unwrap();
    assert_eq!((verdict.good, verdict.first_bad), (6, Some(7)));
}

pub async fn a_row_that_is_gone_is_found(bench: &Bench) {
    let store = bench.open().await;
    keep(&store, 5).await;
    bench.tamper("DELETE FROM audit WHERE seq = 3").await;
    assert_eq!(store.audit_verify().await.unwrap().first_bad, Some(3));
}

pub async fn an_end_that_was_cut_off_is_found(bench: &Bench) {
    let store = bench.open().await;
    keep(&store, 5).await;
    bench.tamper("DELETE FROM audit WHERE seq > 4").await;
    assert_eq!(store.audit_verify().await.unwrap().first_bad, Some(5));
}

pub async fn what_did_not_happen_leaves_no_record(bench: &Bench) {
    let store = bench.open().await;
    let spend = Act::SpendCode { hash: "nobody's".into(), now: NOW, family: family(1) };
    assert_eq!(done(&store, spend).await, Done::Lost);
    assert_eq!(store.audit_page(0, 10).await.unwrap(), []);
}

pub async fn a_stranger_s_nul_is_no_trouble(bench: &Bench) {
    let store = bench.open().await;
    let record = AuditRecord { client_id: Some("a\0b".into()), ..note("token.refused") };
    store.commit(Deed::new(Act::Note, record)).await.expect("the note is kept");
    let kept = store.audit_page(0, 1).await.unwrap();
    assert_eq!(kept[0].record.client_id.as_deref(), Some("a\u{fffd}b"));
    assert_eq!(store.audit_verify().await.unwrap().first_bad, None);
}
