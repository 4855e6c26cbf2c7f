//! Personal fields are sealed in the tables, found by those who have the keys, and not by anybody else.

use portcullis_authority::ledger::{Act, AuditRecord, Deed, Ledger};
use portcullis_authority::operators::{Operator, OperatorRole, OperatorSession, StaffAct, StaffBook, Taken};
use portcullis_authority::proposals::{Proposal, State};
use portcullis_authority::provisioning::change::{Amendment, Change};
use portcullis_authority::provisioning::{Card, Kind};
use portcullis_authority::registry::{Organization, Person, Registry, Who};
use portcullis_store::{AuditQuery, PeopleSearch, SeedSet, Store, marked_columns, sealed_columns};

use crate::bench::{Bench, Kek, NOW, done, id, note};

/// Tables with something personal in them, and the audit log.
const TABLES: [&str; 7] =
    ["people", "operators", "operator_sessions", "cards", "audit", "proposals", "data_keys"];

/// What must not be found in a copy of the tables.
const SECRETS: [&str; 7] = [
    "ann@shop.example",
    "bob@shop.example",
    "owner@shop.example",
    "Penelope",
    "203.0.113.77",
    "198.51.100.4",
    "carol@shop.example",
];

fn organization() -> Organization {
    let it = serde_json::json!({ "id": "org", "slug": "org", "name": "Org" });
    serde_json::from_value(it).expect("it reads")
}

fn person(id: &str, email: &str) -> Person {
    let it = serde_json::json!({ "id": id, "kind": "Customer", "organization": "org", "email": email });
    serde_json::from_value(it).expect("it reads")
}

pub async fn sow(store: &Store, people: &[(&str, &str)]) {
    let people = people.iter().map(|(id, email)| person(id, email)).collect();
    let set = SeedSet { organizations: vec![organization()], people, ..SeedSet::default() };
    store.apply(&set).await.expect("it is put in");
}

fn operator() -> Operator {
    Operator {
        password: "$argon2id$x".into(),
        seed: "sealed by the authority".into(),
        ..Operator::new("owner", "owner@shop.example", OperatorRole::ALL.to_vec(), NOW)
    }
}

fn session() -> OperatorSession {
    OperatorSession {
        id: id(1),
        hash: id(2),
        operator: "owner".into(),
        began_at: NOW,
        last_used: NOW,
        expires_at: NOW + 100,
        addresses: vec!["198.51.100.4".into()],
        ended_at: None,
    }
}

fn proposal() -> Proposal {
    Proposal {
        id: id(3),
        kind: "operator".into(),
        what: r#"{"email":"carol@shop.example"}"#.into(),
        digest: "d".into(),
        proposer: "owner".into(),
        reason: "because".into(),
        created_at: NOW,
        expires_at: NOW + 100,
        state: State::Open,
        decided_by: None,
        decided_at: None,
        break_glass: false,
        acknowledged_by: None,
        acknowledged_at: None,
    }
}

/// Something personal in every table that has such.
async fn fill(store: &Store) {
    sow(store, &[("ann", "Ann@Shop.example"), ("bob", "bob@shop.example")]).await;
    let put = StaffAct::Put { expected: 0, operator: Box::new(operator()), end_sessions: None };
    done(store, Act::Staff(put)).await;
    let sign_in = StaffAct::SignIn { factor: Taken::Step(7), session: session() };
    done(store, Act::Staff(sign_in)).await;
    done(store, Act::PutProposal(proposal())).await;
    let mut card = Card::new(Kind::User, "ann", "", NOW);
    card.more.insert("first_name".into(), "Penelope".into());
    let expected = store.directory().version;
    let changes = vec![Change::PutCard(Box::new(card))];
    done(store, Act::Amend(Amendment { expected, changes })).await;
    let record = AuditRecord {
        subject: Some("ann".into()),
        sid: Some(id(9)),
        address: Some("203.0.113.77".into()),
        detail: Some(r#"{"resource_id":"ann","email":"ann@shop.example"}"#.into()),
        ..note("registry.changed")
    };
    store.commit(Deed::new(Act::Note, record)).await.expect("the note is kept");
}

/// All of it, as a server would see it.
async fn read_back(store: &Store) {
    let email = "ANN@shop.example";
    let found = store.person(Who::CustomerEmail { organization: "org", email }).await.unwrap();
    assert_eq!(found.expect("she is found").email, "Ann@Shop.example");
    assert_eq!(store.staff().await.unwrap().operators[0].email, "owner@shop.example");
    let seen = store.operator_session(&id(2)).await.unwrap().expect("it is there");
    assert_eq!(seen.0.addresses, ["198.51.100.4"]);
    let card = store.card(Kind::User, "ann").await.unwrap().expect("it is there");
    assert_eq!(card.more["first_name"], "Penelope");
    let proposed = portcullis_authority::ledger::Survey::proposal(store, &id(3)).await.unwrap();
    assert_eq!(proposed.expect("it is there").what, proposal().what);
    let query = AuditQuery { address: Some("203.0.113.77".into()), limit: 9, ..AuditQuery::default() };
    let page = store.audit_search(&query).await.unwrap();
    assert_eq!(page.entries.len(), 1);
    assert!(page.entries[0].record.detail.as_deref().unwrap().contains("ann@shop.example"));
    let places = store.places_of("ann").await.unwrap();
    assert_eq!((places.len(), places[0].address.as_str(), places[0].times), (1, "203.0.113.77", 1));
    let verdict = store.audit_verify(None, Vec::new()).await.unwrap();
    assert!(verdict.is_sound(), "{verdict}");
}

fn leaks(dump: &str) -> Vec<&'static str> {
    let dump = dump.to_lowercase();
    SECRETS.into_iter().filter(|secret| dump.contains(&secret.to_lowercase())).collect()
}

pub async fn nothing_personal_stands_in_the_tables(bench: &Bench) {
    let store = bench.open().await;
    fill(&store).await;
    read_back(&store).await;
    let dump = bench.dump(&TABLES).await;
    assert!(dump.contains("pc1:") && dump.contains("pm1:"), "{dump}");
    assert_eq!(leaks(&dump), [""; 0], "{dump}");
    let plain = bench.dump(&["organizations"]).await;
    assert!(plain.contains("Org"), "the tables are looked into: {plain}");
}

pub async fn two_fields_that_were_swapped_are_trouble_and_not_somebody_else(bench: &Bench) {
    let store = bench.open().await;
    fill(&store).await;
    // The address of the one on the row of the other: who signs in as bob must not become ann.
    let marks = "CREATE TABLE kept AS SELECT email FROM people WHERE id = 'bob'; \
                 UPDATE people SET email = 'nobody' WHERE id = 'bob'; \
                 UPDATE people SET email = (SELECT email FROM kept) WHERE id = 'ann'";
    bench.tamper(marks).await;
    let email = "bob@shop.example";
    let why =
        store.person(Who::CustomerEmail { organization: "org", email }).await.expect_err("it is ann").why;
    assert!(why.contains("the mark of row ann is another's"), "{why}");

    bench.tamper("UPDATE people SET doc = (SELECT doc FROM people WHERE id = 'bob') WHERE id = 'ann'").await;
    let why = store.person(Who::Id("ann")).await.expect_err("it is bob's").why;
    assert!(why.contains("altered, or is another's"), "{why}");
    assert!(store.person(Who::Id("bob")).await.unwrap().is_some());

    bench.tamper("UPDATE people SET doc = 'pc1:zzzzzzzzzzzz:AAAA' WHERE id = 'ann'").await;
    let why = store.person(Who::Id("ann")).await.expect_err("nobody has that key").why;
    assert!(why.contains("zzzzzzzzzzzz"), "{why}");
}

pub async fn rows_from_before_read_and_are_sealed_by_the_job(bench: &Bench) {
    fill(&bench.open_under(None).await.unwrap()).await;
    let found = leaks(&bench.dump(&TABLES).await);
    assert_eq!(found.len(), SECRETS.len(), "they stand plain before: {found:?}");
    let store = bench.open().await;
    read_back(&store).await;
    let sealed = store.reseal().await.unwrap();
    let each = [sealed.people, sealed.operators, sealed.sessions, sealed.cards, sealed.proposals];
    assert_eq!(each, [2, 1, 1, 1, 1]);
    assert!(sealed.audit >= 1);
    read_back(&store).await;
    assert_eq!(leaks(&bench.dump(&TABLES).await), [""; 0]);
    assert_eq!(store.reseal().await.unwrap().rows(), 0, "once is enough");
}

pub async fn an_address_that_stands_plain_is_taken_all_the_same(bench: &Bench) {
    sow(&bench.open_under(None).await.unwrap(), &[("ann", "ann@shop.example")]).await;
    let store = bench.open().await;
    let people = vec![person("eve", "ANN@shop.example")];
    let twin = SeedSet { people, ..SeedSet::default() };
    store.apply(&twin).await.expect_err("the address is somebody's");
    sow(&store, &[("ann", "ann@shop.example")]).await;
}

pub async fn what_is_sealed_is_searched_as_if_it_were_not(bench: &Bench) {
    let store = bench.open().await;
    sow(&store, &[("a1", "ann@shop.example"), ("a2", "ann@shop.example.org"), ("b", "bob_1@other.example")])
        .await;
    let found = async |text: &str, after: Option<&str>, limit: usize| {
        let search = PeopleSearch {
            text: Some(text.into()),
            after: after.map(str::to_owned),
            limit,
            ..PeopleSearch::default()
        };
        let people = store.people(&search).await.unwrap();
        people.into_iter().map(|it| it.id).collect::<Vec<_>>()
    };
    assert_eq!(found("ANN@shop.example", None, 9).await, ["a1"], "a whole address is one person's");
    assert_eq!(found("b", None, 9).await, ["b"], "and so is an id");
    assert_eq!(found("shop.ex", None, 9).await, ["a1", "a2"]);
    assert_eq!(found("shop.ex", None, 1).await, ["a1"]);
    assert_eq!(found("shop.ex", Some("a1"), 1).await, ["a2"]);
    assert_eq!(found("b_b", None, 9).await, [""; 0]);
    assert_eq!(found("%", None, 9).await, [""; 0], "no sign is a pattern");
}

pub async fn a_server_reads_under_a_data_key_that_was_made_after_it_began(bench: &Bench) {
    let (one, two) = (bench.open().await, bench.open().await);
    fill(&one).await;
    let made = two.new_data_key().await.unwrap();
    let sealed = two.reseal().await.unwrap();
    assert!(sealed.people == 2 && sealed.audit >= 1, "{sealed:?}");
    let dump = bench.dump(&["people", "audit", "cards", "operators"]).await;
    let older = dump.matches("pc1:").count() - dump.matches(&format!("pc1:{made}:")).count();
    assert_eq!(older, 0, "{dump}");
    read_back(&one).await;
    sow(&one, &[("dan", "dan@shop.example")]).await;
    let newest = bench.dump(&["people"]).await;
    assert_eq!(newest.matches(&format!("pc1:{made}:")).count(), 3, "it seals under the new one too");
}

pub async fn the_key_encryption_key_changes_while_a_server_works(bench: &Bench) {
    let running = bench.open_under(Some(Kek::only("one"))).await.unwrap();
    fill(&running).await;
    let why = bench.open_under(Some(Kek::only("two"))).await.err().expect("it has another key").why;
    assert!(why.contains("there is no one"), "{why}");
    let both = bench.open_under(Some(Kek::after("one", "two"))).await.unwrap();
    assert_eq!(both.rewrap_data_keys().await.unwrap(), 2);
    assert_eq!(both.rewrap_data_keys().await.unwrap(), 0, "once is enough");
    running.learn_data_keys().await.expect("what it knows it keeps");
    read_back(&running).await;
    sow(&running, &[("dan", "dan@shop.example")]).await;
    drop(running);
    let after = bench.open_under(Some(Kek::only("two"))).await.unwrap();
    read_back(&after).await;
    assert!(bench.open_under(Some(Kek::only("one"))).await.is_err(), "the old one opens nothing any more");
}

pub async fn servers_that_begin_together_have_one_data_key(bench: &Bench) {
    drop(bench.open_under(None).await);
    let begun = futures_util::future::join_all((0..4).map(|_| bench.open())).await;
    let keys = bench.dump(&["data_keys"]).await;
    assert_eq!(keys.lines().count(), 2, "{keys}");
    fill(&begun[0]).await;
    for store in &begun {
        read_back(store).await;
    }
}

pub async fn a_sealed_field_of_the_log_that_was_moved_is_found(bench: &Bench) {
    let store = bench.open().await;
    for address in ["192.0.2.1", "192.0.2.2", "192.0.2.3"] {
        let record = AuditRecord { address: Some(address.into()), ..note("test") };
        store.commit(Deed::new(Act::Note, record)).await.expect("the note is kept");
    }
    bench
        .tamper_with_audit(
            "UPDATE audit SET address = (SELECT address FROM audit WHERE seq = 1) WHERE seq = 2",
        )
        .await;
    let said = store.audit_verify(None, Vec::new()).await.unwrap().to_string();
    assert!(said.starts_with("row 2 was changed;"), "{said}");
    store.audit_page(0, 9).await.expect_err("it is another's");
}

pub async fn what_is_erased_cannot_be_opened_any_more(bench: &Bench) {
    let store = bench.open().await;
    fill(&store).await;
    assert_eq!(store.forget_person("ann", &["ann".into()]).await.unwrap(), 2);
    let rows = bench.dump(&["audit"]).await;
    let row = rows.lines().find(|row| row.contains(&id(9))).expect("the row stays");
    assert!(!row.contains("pc1:") && !row.contains("pm1:"), "{row}");
    let verdict = store.audit_verify(None, Vec::new()).await.unwrap();
    assert!(verdict.is_sound() && verdict.erased == 1, "{verdict}");
    assert!(store.places_of("ann").await.unwrap().is_empty());
}

/// The page that says what is sealed says what is.
#[test]
fn the_page_names_every_column_that_is_sealed() {
    let page = include_str!("../../../../docs/keys.md");
    for column in sealed_columns().into_iter().chain(marked_columns()) {
        assert!(page.contains(&format!("`{column}`")), "docs/keys.md says nothing of {column}");
    }
}
