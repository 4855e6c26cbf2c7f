//! A log that cannot be changed unnoticed, and what can be done with it nevertheless: looking into it,
//! erasing what is personal, forgetting what is old, telling others.

use portcullis_authority::ledger::{Act, AuditRecord, Deed, Done, Ledger};
use portcullis_store::{AuditFinding, AuditMark, AuditQuery, Checkpoint, DeadLetter, Lease, Store};

use crate::bench::{Bench, NOW, done, family, note};

/// What a verification says of a log in which nothing is wrong.
const SOUND: Option<(u64, AuditFinding)> = None;

async fn keep(store: &Store, rows: usize) {
    for row in 0..rows {
        let record = AuditRecord {
            at: NOW + row as u64,
            subject: Some(format!("person {}", row % 3)),
            actors: vec!["app".into(), "\"quoted\"".into()],
            address: Some(format!("192.0.2.{row}")),
            ..note("token.issued")
        };
        store.commit(Deed::new(Act::Note, record)).await.expect("the note is kept");
    }
    assert_eq!(verdict(store).await, SOUND);
}

async fn verdict(store: &Store) -> Option<(u64, AuditFinding)> {
    store.audit_verify(None, Vec::new()).await.expect("the log reads").bad
}

/// What is found after a tampering with ten rows by somebody who may drop triggers.
async fn after(bench: &Bench, sql: &str) -> (Store, String) {
    let store = bench.open().await;
    keep(&store, 10).await;
    bench.tamper_with_audit(sql).await;
    let said = store.audit_verify(None, Vec::new()).await.expect("the log reads").to_string();
    (store, said)
}

async fn checkpoint(store: &Store) -> Checkpoint {
    let AuditMark { seq, hash } = store.audit_head().await.expect("it reads");
    Checkpoint { seq, hash, at: NOW, statement: "signed".into() }
}

pub async fn a_changed_row_is_found(bench: &Bench) {
    let (store, said) = after(bench, "UPDATE audit SET subject = 'somebody else' WHERE seq = 7").await;
    assert_eq!(said, "row 7 was changed; 6 rows before it are as they were written.");
    let page = store.audit_page(3, 2).await.unwrap();
    assert_eq!(page.iter().map(|entry| entry.seq).collect::<Vec<_>>(), [4, 5]);
    assert_eq!(page[0].record.subject.as_deref(), Some("person 0"));
    let verdict = store.audit_verify(Some(8), Vec::new()).await.unwrap();
    assert_eq!((verdict.after, verdict.good, verdict.bad), (7, 10, SOUND));
}

pub async fn an_address_that_was_swapped_is_found(bench: &Bench) {
    let (_, said) = after(bench, "UPDATE audit SET address = '192.0.2.99' WHERE seq = 7").await;
    assert!(said.starts_with("row 7 was changed;"), "{said}");
}

pub async fn a_row_that_is_gone_is_found(bench: &Bench) {
    let (_, said) = after(bench, "DELETE FROM audit WHERE seq = 3").await;
    assert!(said.starts_with("row 3 is missing;"), "{said}");
}

pub async fn rows_in_another_order_are_found(bench: &Bench) {
    let swap = "UPDATE audit SET seq = 100 WHERE seq = 3; UPDATE audit SET seq = 3 WHERE seq = 4; \
                UPDATE audit SET seq = 4 WHERE seq = 100";
    let (_, said) = after(bench, swap).await;
    assert!(said.starts_with("row 3 was written as row 4: rows were reordered;"), "{said}");
}

pub async fn an_end_that_was_cut_off_is_found(bench: &Bench) {
    let (_, said) = after(bench, "DELETE FROM audit WHERE seq > 4").await;
    assert!(said.starts_with("row 5 is missing with all after it, up to row 10"), "{said}");
}

pub async fn a_row_that_was_slipped_in_at_the_end_is_found(bench: &Bench) {
    let slip = "INSERT INTO audit (seq, at, event, actors, prev_hash, hash) \
                SELECT 11, at, event, actors, hash, 'x' FROM audit WHERE seq = 10";
    let (_, said) = after(bench, slip).await;
    assert!(said.starts_with("row 11 was slipped in: the log ended with row 10;"), "{said}");
}

pub async fn a_beginning_that_was_cut_off_is_found(bench: &Bench) {
    let (_, said) = after(bench, "DELETE FROM audit WHERE seq < 4").await;
    assert!(said.starts_with("row 1 is missing, and 2 after it;"), "{said}");
}

/// Somebody empties the log and writes it anew, hashes, counter and all: the chain is right, and not the one
/// that was signed.
pub async fn a_log_that_was_written_anew_is_found_by_a_checkpoint(bench: &Bench) {
    let store = bench.open().await;
    keep(&store, 6).await;
    let signed = checkpoint(&store).await;
    keep(&store, 2).await;
    let empty = "DELETE FROM audit; UPDATE audit_head SET seq = 0, hash = ''";
    bench.tamper_with_audit(empty).await;
    let gone = store.audit_verify(None, vec![signed.mark()]).await.unwrap();
    assert_eq!(
        gone.to_string(),
        "row 1 is in a signed checkpoint and is missing: the end was cut off; 0 rows before it are as they were written."
    );
    keep(&store, 8).await;
    let said = store.audit_verify(None, vec![signed.mark()]).await.unwrap();
    assert_eq!(said.bad, Some((6, AuditFinding::Rewritten)));
    assert!(said.to_string().contains("not the one in a signed checkpoint"), "{said}");
}

pub async fn a_tail_that_was_cut_with_its_counter_is_found_by_a_checkpoint(bench: &Bench) {
    let store = bench.open().await;
    keep(&store, 6).await;
    let signed = checkpoint(&store).await;
    let cut = "DELETE FROM audit WHERE seq > 4; \
               UPDATE audit_head SET seq = 4, hash = (SELECT hash FROM audit WHERE seq = 4)";
    bench.tamper_with_audit(cut).await;
    assert_eq!(verdict(&store).await, SOUND, "the chain alone cannot know");
    let said = store.audit_verify(None, vec![signed.mark()]).await.unwrap();
    assert_eq!(said.bad, Some((5, AuditFinding::Vanished)));
}

pub async fn the_database_refuses_to_change_the_log(bench: &Bench) {
    let store = bench.open().await;
    keep(&store, 3).await;
    for sql in [
        "UPDATE audit SET subject = 'x' WHERE seq = 2",
        "UPDATE audit SET address = 'x' WHERE seq = 2",
        "UPDATE audit SET hash = 'x' WHERE seq = 2",
        "DELETE FROM audit WHERE seq = 2",
        "DELETE FROM audit",
    ] {
        let refused = bench.try_to_tamper(sql).await.expect_err(sql);
        assert!(refused.contains("append only"), "{refused}");
    }
    assert_eq!(verdict(&store).await, SOUND);
    // A second opening finds the fence where it is.
    drop(bench.open().await);
}

pub async fn what_is_erased_leaves_the_chain_whole(bench: &Bench) {
    let store = bench.open().await;
    let signed = {
        keep(&store, 9).await;
        checkpoint(&store).await
    };
    let change = |id: &str| AuditRecord {
        subject: Some("admin".into()),
        detail: Some(format!("{{\"resource_id\":\"{id}\",\"changes\":{{\"email\":\"a@b\"}}}}")),
        ..note("registry.changed")
    };
    for id in ["ann_1", "annx1"] {
        store.commit(Deed::new(Act::Note, change(id))).await.expect("the note is kept");
    }
    assert_eq!(store.audit_erase("person 1", &["ann_1".into()]).await.unwrap(), 4);
    assert_eq!(store.audit_erase("person 1", &["ann_1".into()]).await.unwrap(), 0, "once is enough");
    let verdict = store.audit_verify(None, vec![signed.mark()]).await.unwrap();
    assert_eq!((verdict.bad, verdict.erased), (SOUND, 4));
    let page = store.audit_page(0, 20).await.unwrap();
    let kept: Vec<bool> = page.iter().map(|entry| entry.record.address.is_some()).collect();
    assert_eq!(kept, [true, false, true, true, false, true, true, false, true, false, false]);
    let details: Vec<bool> = page[9..].iter().map(|entry| entry.record.detail.is_some()).collect();
    assert_eq!(details, [false, true], "an id is not a pattern");
}

pub async fn what_is_old_is_forgotten_behind_a_signed_cut(bench: &Bench) {
    let store = bench.open().await;
    keep(&store, 10).await;
    let early = Checkpoint { seq: 2, hash: "x".into(), at: NOW, statement: "signed".into() };
    store.keep_checkpoint(&early).await.unwrap();
    assert_eq!(store.audit_old(NOW, 1000).await.unwrap(), None, "everything is younger");
    let mark = store.audit_old(NOW + 6, 4).await.unwrap().expect("some are older");
    assert_eq!(mark.seq, 4, "no more than asked for");
    let mark = store.audit_old(NOW + 6, 1000).await.unwrap().expect("some are older");
    assert_eq!(mark.seq, 6);
    let cut = |hash: &str| Checkpoint { seq: 6, hash: hash.into(), at: NOW, statement: "signed".into() };
    assert_eq!(store.audit_cut(&cut("another row's")).await.unwrap(), 0);
    assert_eq!(store.audit_cut(&cut(&mark.hash)).await.unwrap(), 6);
    assert_eq!(store.audit_cut(&cut(&mark.hash)).await.unwrap(), 0);
    let verdict = store.audit_verify(None, Vec::new()).await.unwrap();
    assert_eq!((verdict.after, verdict.good, verdict.bad), (6, 10, SOUND));
    assert_eq!(store.checkpoints(0, 10).await.unwrap(), [], "its row is gone, so it says nothing any more");
    bench.try_to_tamper("DELETE FROM audit WHERE seq = 7").await.expect_err("it is not behind the cut");
}

pub async fn the_log_is_searched_newest_first_and_page_by_page(bench: &Bench) {
    let store = bench.open().await;
    keep(&store, 10).await;
    let full = AuditRecord {
        at: NOW + 700,
        event: "token.revoked".into(),
        organization: Some("org".into()),
        client_id: Some("shop".into()),
        subject: Some("ann".into()),
        actors: vec!["robot_1".into()],
        jti: Some("j".into()),
        sid: Some("s".into()),
        request_id: Some("r".into()),
        ..AuditRecord::default()
    };
    store.commit(Deed::new(Act::Note, full)).await.expect("the note is kept");
    let all = AuditQuery { limit: 50, ..AuditQuery::default() };
    let found = async |query: AuditQuery| {
        let page = store.audit_search(&query).await.expect("it reads");
        page.entries.iter().map(|entry| entry.seq).collect::<Vec<_>>()
    };
    let text = |word: &str| Some(word.to_owned());
    assert_eq!(found(all.clone()).await, [11, 10, 9, 8, 7, 6, 5, 4, 3, 2, 1]);
    for query in [
        AuditQuery { organization: text("org"), ..all.clone() },
        AuditQuery { client_id: text("shop"), ..all.clone() },
        AuditQuery { subject: text("ann"), ..all.clone() },
        AuditQuery { actor: text("robot_1"), ..all.clone() },
        AuditQuery { event: text("token.revoked"), ..all.clone() },
        AuditQuery { jti: text("j"), ..all.clone() },
        AuditQuery { sid: text("s"), ..all.clone() },
        AuditQuery { request_id: text("r"), ..all.clone() },
        AuditQuery { since: Some(NOW + 700), ..all.clone() },
    ] {
        assert_eq!(found(query.clone()).await, [11], "{query:?}");
    }
    assert_eq!(found(AuditQuery { actor: text("robot%"), ..all.clone() }).await, [0; 0]);
    assert_eq!(found(AuditQuery { address: text("192.0.2.4"), ..all.clone() }).await, [5]);
    let span = AuditQuery { since: Some(NOW + 3), until: Some(NOW + 5), ..all.clone() };
    assert_eq!(found(span).await, [5, 4]);
    let mut page = AuditQuery { subject: text("person 0"), limit: 3, ..AuditQuery::default() };
    let first = store.audit_search(&page).await.unwrap();
    assert_eq!(first.entries.iter().map(|entry| entry.seq).collect::<Vec<_>>(), [10, 7, 4]);
    page.before = first.next;
    let second = store.audit_search(&page).await.unwrap();
    assert_eq!(second.entries.iter().map(|entry| entry.seq).collect::<Vec<_>>(), [1]);
    assert_eq!(second.next, None);
}

pub async fn of_two_servers_one_tells_a_destination(bench: &Bench) {
    let store = bench.open().await;
    keep(&store, 2).await;
    let lease = |holder: &str| Lease { destination: "siem".into(), holder: holder.into() };
    let (one, two) = (lease("one"), lease("two"));
    let delivery = store.audit_claim(&one, 1000, 2000).await.unwrap().expect("nobody holds it");
    assert_eq!((delivery.seq, delivery.tries), (2, 0), "it begins with what happens from now on");
    assert_eq!(store.audit_claim(&two, 1999, 3000).await.unwrap(), None);
    assert!(store.audit_told(&one, 7, 5).await.unwrap());
    let taken = store.audit_claim(&two, 2000, 3000).await.unwrap().expect("it has run out");
    assert_eq!((taken.seq, taken.checkpoint), (7, 5));
    assert!(!store.audit_told(&one, 9, 5).await.unwrap(), "whoever lost the lease moves nothing");
    store.audit_release(&two).await.unwrap();
    assert!(store.audit_claim(&one, 2001, 4000).await.unwrap().is_some());
}

pub async fn what_a_destination_refuses_is_put_aside_and_can_be_tried_again(bench: &Bench) {
    let store = bench.open().await;
    let lease = Lease { destination: "siem".into(), holder: "one".into() };
    store.audit_claim(&lease, 0, 9000).await.unwrap().expect("nobody holds it");
    assert_eq!(store.audit_untold(&lease, "away", false).await.unwrap(), 0);
    assert_eq!(store.audit_untold(&lease, "no", true).await.unwrap(), 1);
    let letter = DeadLetter {
        destination: "siem".into(),
        first: 1,
        last: 4,
        at: NOW,
        tries: 1,
        trouble: "no".into(),
        again: false,
    };
    store.audit_bury(&lease, &letter).await.unwrap();
    assert_eq!(store.audit_deliveries().await.unwrap()[0].seq, 4);
    assert_eq!(store.dead_letters(None, 10).await.unwrap(), std::slice::from_ref(&letter));
    assert_eq!(store.dead_letters(Some("other"), 10).await.unwrap(), []);
    assert_eq!(store.requeue("siem", Some(2)).await.unwrap(), 0);
    assert_eq!(store.requeue("siem", None).await.unwrap(), 1);
    assert!(store.dead_letters(None, 10).await.unwrap()[0].again);
    let refused = [(1, "still no".to_owned()), (3, "never".to_owned())];
    store.audit_retold(&letter, &refused).await.unwrap();
    let left = store.dead_letters(None, 10).await.unwrap();
    let rows: Vec<_> = left.iter().map(|it| (it.first, it.last, it.trouble.as_str(), it.again)).collect();
    assert_eq!(rows, [(1, 1, "still no", false), (3, 3, "never", false)], "each by itself");
    for one in &left {
        store.audit_retold(one, &[]).await.unwrap();
    }
    assert_eq!(store.dead_letters(None, 10).await.unwrap(), []);
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
    assert_eq!(verdict(&store).await, SOUND);
}
