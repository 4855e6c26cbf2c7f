//! What a view refuses, and that merging cannot lose anything.

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use proptest::prelude::*;

use super::*;
use crate::{
    claims::{Actor, Application, Generations, Organization, Shown},
    feed::{
        names::feed_id,
        press::{BEGIN_MS, FAR, SALT, record},
    },
};

const KID: &str = "eu1.k1";
const IAT: u64 = 1_000;

fn jti(byte: u8) -> String {
    URL_SAFE_NO_PAD.encode([byte; 16])
}

/// A token that was shown in exchange, with ids of its own.
fn shown(byte: u8) -> Shown {
    Shown {
        jti: jti(byte),
        client_id: format!("shown-{byte}"),
        gv: 50,
        kid: format!("eu1.shown-{byte}"),
        sid: Some(jti(byte + 10)),
    }
}

fn claims() -> Claims {
    let customer_service = Actor {
        sub: "agent".into(),
        client_id: "desk".into(),
        gv: 3,
        from: Some(shown(3)),
        act: Some(Box::new(Actor {
            sub: "robot".into(),
            client_id: "cron".into(),
            gv: 4,
            from: Some(shown(4)),
            act: None,
        })),
    };
    Claims {
        iss: "https://auth.shop.example".into(),
        sub: "ann".into(),
        aud: vec!["shop".into()],
        client_id: "web".into(),
        iat: IAT,
        exp: 2_000,
        jti: jti(1),
        scope: "market:all".into(),
        sid: Some(jti(2)),
        gv: Generations(10, 20, 30, 40),
        rol: vec![],
        pv: 0,
        perm: None,
        act: Some(Box::new(customer_service)),
        organization: Some(Organization {
            id: "org".into(),
            slug: "org".into(),
            enterprise: true,
            region: "eu1".into(),
        }),
        application: Application {
            id: "app".into(),
            client_id: "web".into(),
            kind: "sales_channel".into(),
            public: true,
            confidential: false,
        },
        market: None,
        owner: None,
        user: None,
        custom_claim: None,
        test: true,
        auth_time: None,
        amr: Vec::new(),
        rand: 0.5,
    }
}

fn view() -> View {
    let view = View::new("live:eu1", MAX_STALENESS);
    assert!(view.set_salt(SALT));
    view
}

fn named(kind: Kind, name: &str, val: u32) -> Record {
    record(kind, feed_id(SALT, kind, name), val)
}

fn ended_by(records: &[Record]) -> Option<Kind> {
    let view = view();
    view.apply(records);
    view.ended(KID, &claims())
}

#[test]
fn every_scope_can_end_a_token() {
    for (kind, name, val) in [
        (Kind::Token, jti(1), 0),
        (Kind::Token, jti(3), 0),
        (Kind::Token, jti(4), 0),
        (Kind::Family, jti(2), 0),
        (Kind::Family, jti(13), 0),
        (Kind::Client, "shown-3".into(), 51),
        (Kind::Client, "shown-4".into(), 51),
        (Kind::Key, "eu1.shown-3".into(), 0),
        (Kind::Key, KID.into(), 0),
        (Kind::Subject, "ann".into(), 11),
        (Kind::Client, "web".into(), 21),
        (Kind::Organization, "org".into(), 31),
        (Kind::Everything, "".into(), 41),
        (Kind::Actor, "agent".into(), 4),
        (Kind::Actor, "robot".into(), 5),
    ] {
        assert_eq!(ended_by(&[named(kind, &name, val)]), Some(kind), "{kind:?} {name}");
    }
}

#[test]
fn a_token_of_the_least_acceptable_generation_lives() {
    assert_eq!(
        ended_by(&[
            named(Kind::Subject, "ann", 10),
            named(Kind::Client, "web", 20),
            named(Kind::Organization, "org", 30),
            named(Kind::Everything, "", 40),
            named(Kind::Actor, "agent", 3),
            named(Kind::Actor, "client:cron", 9),
        ]),
        None
    );
}

#[test]
fn what_is_about_somebody_else_ends_nothing() {
    assert_eq!(
        ended_by(&[
            named(Kind::Token, &jti(9), 0),
            named(Kind::Token, &jti(2), 0),
            named(Kind::Family, &jti(1), 0),
            named(Kind::Subject, "bob", 99),
            named(Kind::Subject, "agent", 99),
            named(Kind::Actor, "ann", 99),
            named(Kind::Client, "desk", 99),
            named(Kind::Key, "eu1.k2", 0),
            named(Kind::Policy, "", 99),
            named(Kind::Keys, "", 99),
        ]),
        None
    );
}

#[test]
fn no_scope_overrides_another() {
    let scopes = [
        (Kind::Subject, "ann", 10),
        (Kind::Client, "web", 20),
        (Kind::Organization, "org", 30),
        (Kind::Everything, "", 40),
    ];
    for raised in 1..16 {
        let records = scopes.iter().enumerate().map(|(at, (kind, name, generation))| {
            named(*kind, name, if raised & 1 << at == 0 { *generation - 1 } else { *generation + 1 })
        });
        assert!(ended_by(&records.collect::<Vec<_>>()).is_some(), "{raised:04b}");
    }
}

#[test]
fn a_time_ends_what_was_issued_up_to_that_second() {
    for (cutoff, ends) in [(IAT - 1, false), (IAT, true), (IAT + 1, true)] {
        for (kind, name) in [(Kind::Subject, "ann"), (Kind::Everything, ""), (Kind::Actor, "robot")] {
            let record = Record { flags: FLAG_TIME, ..named(kind, name, cutoff as u32) };
            assert_eq!(ended_by(&[record]).is_some(), ends, "{kind:?} {cutoff}");
        }
    }
}

#[test]
fn a_time_and_a_generation_do_not_hide_each_other() {
    let time = Record { flags: FLAG_TIME, ..named(Kind::Subject, "ann", IAT as u32) };
    let old_time = Record { flags: FLAG_TIME, ..named(Kind::Subject, "ann", 500) };
    assert_eq!(ended_by(&[named(Kind::Subject, "ann", 10), time]), Some(Kind::Subject));
    assert_eq!(ended_by(&[named(Kind::Subject, "ann", 10), old_time]), None);
    assert_eq!(ended_by(&[named(Kind::Subject, "ann", 11), old_time]), Some(Kind::Subject));
}

#[test]
fn a_stolen_key_cannot_be_excused_by_a_time() {
    let record = Record { flags: FLAG_TIME, ..named(Kind::Key, KID, 5) };
    assert_eq!(ended_by(&[record]), Some(Kind::Key));
}

#[test]
fn nothing_is_taken_back() {
    let view = view();
    view.apply(&[named(Kind::Subject, "ann", 11)]);
    view.apply(&[named(Kind::Subject, "ann", 3)]);
    assert_eq!(view.ended(KID, &claims()), Some(Kind::Subject));
}

#[test]
fn without_a_salt_nothing_is_cleared() {
    let view = View::new("live:eu1", MAX_STALENESS);
    assert_eq!(view.ended(KID, &claims()), Some(Kind::Everything));
}

#[test]
fn a_salt_is_learnt_once() {
    let view = view();
    assert!(view.set_salt(SALT));
    assert!(!view.set_salt(b"another"));
    assert_eq!(view.salt(), Some(SALT));
}

#[test]
fn the_version_grows_with_news_only() {
    let view = view();
    let beat = record(Kind::Beat, [0; 16], 0);
    assert!(!view.apply(&[beat]));
    assert_eq!(view.version(), 0);
    assert!(view.apply(&[named(Kind::Token, &jti(1), 0), named(Kind::Token, &jti(2), 0), beat]));
    assert_eq!(view.version(), 2);
    assert!(!view.apply(&[named(Kind::Token, &jti(1), 0)]));
    assert_eq!(view.version(), 2);
}

#[test]
fn freshness_goes_by_the_time_the_server_signed() {
    let view = view();
    let at = |age: u64| view.freshness(BEGIN_MS + age);
    assert_eq!(at(0), Freshness::Cold);
    view.note_as_of(Position { epoch: 1, seq: 1 }, BEGIN_MS);
    assert_eq!(at(3_000), Freshness::Live);
    assert_eq!(at(3_001), Freshness::Lagging);
    assert_eq!(at(10_000), Freshness::Lagging);
    assert_eq!(at(10_001), Freshness::Stale);
}

#[test]
fn time_and_position_only_move_forward() {
    let view = view();
    view.note_as_of(Position { epoch: 2, seq: 5 }, BEGIN_MS);
    view.note_as_of(Position { epoch: 1, seq: 9 }, BEGIN_MS - 1);
    assert_eq!((view.position(), view.as_of_ms()), (Position { epoch: 2, seq: 5 }, BEGIN_MS));
}

#[test]
fn a_new_epoch_may_begin_earlier_and_then_closes_until_the_server_was_asked() {
    let view = view();
    let at = |epoch, seq| Position { epoch, seq };
    // The server's clock was an hour ahead.
    view.note_as_of(at(1, 5), BEGIN_MS + 3_600_000);
    view.clock().settle(BEGIN_MS + 3_600_000, 0, Reading::now());
    assert_eq!(view.freshness_now(), Freshness::Live);
    view.note_as_of(at(1, 6), BEGIN_MS);
    assert_eq!((view.as_of_ms(), view.position()), (BEGIN_MS + 3_600_000, at(1, 6)), "not within an epoch");
    view.note_as_of(at(2, 7), 0);
    assert_eq!(view.position(), at(1, 6), "nobody has said a time");
    view.note_as_of(at(2, 7), BEGIN_MS);
    assert_eq!((view.as_of_ms(), view.freshness_now()), (BEGIN_MS, Freshness::Stale));
    view.clock().settle(BEGIN_MS, 5, Reading::now());
    assert_eq!(view.freshness_now(), Freshness::Live);
    view.note_as_of(at(1, 9), BEGIN_MS + 3_700_000);
    assert_eq!((view.as_of_ms(), view.position()), (BEGIN_MS, at(2, 7)), "who is still there moves nothing");
}

#[test]
fn who_knows_less_moves_no_time() {
    let view = view();
    view.note_as_of(Position { epoch: 1, seq: 9 }, BEGIN_MS);
    view.note_as_of(Position { epoch: 1, seq: 8 }, BEGIN_MS + 5000);
    assert_eq!(view.as_of_ms(), BEGIN_MS);
    view.note_as_of(Position { epoch: 1, seq: 9 }, BEGIN_MS + 1000);
    assert_eq!(view.as_of_ms(), BEGIN_MS + 1000);
}

#[test]
fn a_record_is_forgotten_only_after_its_grace() {
    let view = view();
    let exp = (BEGIN_MS / 1000) as u32;
    let id = feed_id(SALT, Kind::Token, &jti(1));
    view.apply(&[Record { exp, ..record(Kind::Token, id, 0) }]);
    let a_whole_round = |from_ms: u64| {
        (0..=64).for_each(|turn| {
            view.note_as_of(Position { epoch: 1, seq: 1 }, from_ms + turn * SWEEP_EVERY_MS);
        });
    };
    let in_grace = BEGIN_MS + GRACE_SECONDS * 1000;
    view.note_as_of(Position { epoch: 1, seq: 1 }, in_grace);
    (0..64).for_each(|turn| view.table.write().sweep(turn, view.dead_before()));
    assert_eq!(view.ended(KID, &claims()), Some(Kind::Token));
    a_whole_round(in_grace + 1_000);
    assert_eq!(view.ended(KID, &claims()), None);
    assert_eq!(view.records(), 0);
}

#[test]
fn what_ended_in_an_epoch_that_is_dated_earlier_is_not_taken_for_long_over() {
    let view = view();
    let id = feed_id(SALT, Kind::Token, &jti(1));
    let exp = (BEGIN_MS / 1000 + 900) as u32;
    // The clock was an hour ahead; what comes next was signed after it was set right.
    view.note_as_of(Position { epoch: 1, seq: 5 }, BEGIN_MS + 3_600_000);
    assert!(view.apply(&[Record { exp, ..record(Kind::Token, id, 0) }]));
    view.note_as_of(Position { epoch: 2, seq: 7 }, BEGIN_MS);
    assert_eq!(view.ended(KID, &claims()), Some(Kind::Token));
}

fn any_record() -> impl Strategy<Value = Record> {
    let kind = (0u8..12).prop_map(|number| Kind::from_number(number).expect("all twelve are kinds"));
    (kind, 0u8..2, 0u32..6, 0u8..3).prop_map(|(kind, flags, val, id)| Record {
        kind,
        flags,
        exp: FAR,
        val,
        id: [id; 16],
    })
}

/// All that a view can answer about the few ids of [`any_record`].
fn answers(view: &View) -> Vec<Option<u32>> {
    let kinds = (0u8..12).filter_map(Kind::from_number);
    let keys = kinds.flat_map(|kind| {
        (0u8..3).flat_map(move |id| [false, true].map(|is_time| Key::new(kind, is_time, &[id; 16])))
    });
    let mut answers: Vec<_> = keys.map(|key| view.table.find(key)).collect();
    answers.push(Some(view.policy_version()));
    answers
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn any_order_of_overlapping_pieces_gives_the_same_view(
        records in prop::collection::vec(any_record(), 1..40),
        pieces in prop::collection::vec((0usize..40, 0usize..40), 0..12),
        shuffled in any::<prop::sample::Index>(),
    ) {
        let whole = view();
        whole.apply(&records);

        let pieced = view();
        for (from, to) in pieces {
            let (from, to) = (from.min(records.len()), to.min(records.len()));
            pieced.apply(&records[from.min(to)..from.max(to)]);
        }
        let mut turned = records.clone();
        turned.rotate_left(shuffled.index(records.len()));
        turned.reverse();
        turned.iter().for_each(|record| { pieced.apply(std::slice::from_ref(record)); });
        prop_assert_eq!(answers(&whole), answers(&pieced));
    }

    #[test]
    fn two_sources_at_once_give_the_same_view(records in prop::collection::vec(any_record(), 2..40)) {
        let whole = view();
        whole.apply(&records);
        let shared = view();
        std::thread::scope(|scope| {
            scope.spawn(|| records.chunks(3).for_each(|piece| { shared.apply(piece); }));
            scope.spawn(|| records.rchunks(2).for_each(|piece| { shared.apply(piece); }));
        });
        prop_assert_eq!(answers(&whole), answers(&shared));
    }

    #[test]
    fn what_has_ended_stays_ended(
        records in prop::collection::vec(any_record(), 1..30),
        more in prop::collection::vec(any_record(), 1..30),
    ) {
        let view = view();
        view.apply(&records);
        let before = answers(&view);
        view.apply(&more);
        prop_assert!(before.iter().zip(answers(&view)).all(|(before, after)| *before <= after));
    }
}
