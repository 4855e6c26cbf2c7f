//! What operators order: several acts or none of them, one decision on a proposal, and bounded looks.

use portcullis_authority::ledger::{Act, AuditRecord, Deed, Done, Ledger as _, Session, Survey as _, Whose};
use portcullis_authority::operators::StaffAct;
use portcullis_authority::proposals::{Acknowledgement, Orphaning, Proposal, Settlement, State, digest_of};
use portcullis_authority::registry::{Registry as _, Scope};
use portcullis_guard::claims::OwnerKind;
use portcullis_store::Store;
use tokio::task::JoinSet;

use crate::bench::{Bench, NOW, done, family, id, note};

fn proposal(id: &str) -> Proposal {
    let (kind, what) = ("cut", r#"{"kind":"everything","id":""}"#);
    Proposal {
        id: id.into(),
        kind: kind.into(),
        what: what.into(),
        digest: digest_of(kind, what),
        proposer: "op".into(),
        reason: "a test".into(),
        created_at: NOW,
        expires_at: NOW + 900,
        state: State::Open,
        decided_by: None,
        decided_at: None,
        break_glass: false,
        acknowledged_by: None,
        acknowledged_at: None,
    }
}

fn settle(id: &str, to: State, by: &str) -> Settlement {
    Settlement { id: id.into(), digest: proposal(id).digest, to, by: by.into(), now: NOW + 1 }
}

fn everything() -> Act {
    Act::Raise { scope: Scope::Everything, id: String::new(), exp: NOW + 9 }
}

async fn opened(bench: &Bench) -> Store {
    let store = bench.open().await;
    done(&store, Act::PutProposal(proposal("p"))).await;
    store
}

pub async fn several_acts_are_done_together_or_not_at_all(bench: &Bench) {
    let store = opened(bench).await;
    let wrong = Act::Settle(Settlement { digest: "another".into(), ..settle("p", State::Done, "ap") });
    let acts = vec![Act::OpenFamily(family(1)), Act::Several(vec![everything(), wrong])];
    let before = store.head().await.unwrap().position;
    let neighbour = done(&store, Act::OpenFamily(family(2)));
    let (undone, neighbour) = tokio::join!(done(&store, Act::Several(acts)), neighbour);
    assert_eq!((undone, neighbour), (Done::Lost, Done::Committed { position: None }));
    assert_eq!(store.family(&id(1)).await.unwrap(), None);
    assert!(store.family(&id(2)).await.unwrap().is_some(), "a neighbour in the same group is not touched");
    assert_eq!(store.directory().generation(Scope::Everything, ""), 0);
    assert_eq!(store.head().await.unwrap().position, before);
    let acts = vec![
        Act::Settle(settle("p", State::Done, "ap")),
        everything(),
        Act::EndFamily { id: id(2), reason: "cut".into(), now: NOW, exp: NOW + 9 },
        Act::OpenFamily(family(3)),
    ];
    let position = store.head().await.unwrap().position;
    let Done::Committed { position: Some(last) } = done(&store, Act::Several(acts)).await else {
        panic!("committed with a position")
    };
    assert_eq!(last.seq, position.seq + 2);
    assert_eq!(store.directory().generation(Scope::Everything, ""), 1);
    assert!(store.family(&id(3)).await.unwrap().is_some());
}

pub async fn one_of_many_who_decide_at_once_decides(bench: &Bench) {
    let stores = [opened(bench).await, bench.open().await];
    let mut racers = JoinSet::new();
    for racer in 0..16 {
        let store = stores[racer % 2].clone();
        racers.spawn(async move {
            let first = Act::Settle(settle("p", State::Done, &format!("approver-{racer}")));
            let record = AuditRecord { event: "race".into(), ..note("race") };
            store.commit(Deed::new(Act::Several(vec![first, everything()]), record)).await.unwrap()
        });
    }
    let won = racers.join_all().await.into_iter().filter(|done| *done != Done::Lost).count();
    assert_eq!(won, 1);
    stores[0].reload().await.unwrap();
    assert_eq!(stores[0].directory().generation(Scope::Everything, ""), 1);
    let noted = stores[0].audit_page(0, 1000).await.unwrap();
    assert_eq!(noted.iter().filter(|entry| entry.record.event == "race").count(), 1);
    let kept = stores[1].proposal("p").await.unwrap().unwrap();
    assert_eq!(kept.state, State::Done);
    assert!(kept.decided_by.is_some_and(|by| by.starts_with("approver-")));
}

pub async fn a_decision_needs_an_open_unaltered_proposal_of_somebody_else_in_time(bench: &Bench) {
    let store = opened(bench).await;
    let good = settle("p", State::Done, "ap");
    for bad in [
        Settlement { by: "op".into(), ..good.clone() },
        Settlement { now: NOW + 900, ..good.clone() },
        Settlement { digest: "another".into(), ..good.clone() },
        Settlement { id: "nobody's".into(), ..good.clone() },
        Settlement { to: State::Refused, by: "op".into(), ..good.clone() },
    ] {
        assert_eq!(done(&store, Act::Settle(bad.clone())).await, Done::Lost, "{bad:?}");
    }
    let withdrawn = Settlement { to: State::Withdrawn, by: "op".into(), ..good.clone() };
    assert_eq!(done(&store, Act::Settle(withdrawn)).await, Done::Committed { position: None });
    assert_eq!(done(&store, Act::Settle(good)).await, Done::Lost);
}

pub async fn who_no_longer_stands_leaves_no_open_proposal_behind(bench: &Bench) {
    let store = opened(bench).await;
    let late = Proposal { expires_at: NOW + 1, ..proposal("late") };
    let others = Proposal { proposer: "other".into(), ..proposal("others") };
    for one in [proposal("q"), late, others] {
        done(&store, Act::PutProposal(one)).await;
    }
    assert_eq!(store.proposals_of("op").await.unwrap().len(), 3);
    let all = Orphaning {
        proposer: "op".into(),
        ids: vec!["p".into(), "q".into()],
        by: "boss".into(),
        now: NOW + 1,
    };
    // One that was made after the look, and one that was decided after it: look again.
    let ids = |ids: &[&str]| ids.iter().map(|id| (*id).to_owned()).collect();
    for seen in [ids(&["p"]), ids(&["p", "q", "others"]), Vec::new()] {
        let act = Act::Orphan(Orphaning { ids: seen, ..all.clone() });
        let done = done(&store, Act::Several(vec![act])).await;
        assert_eq!(done, Done::Lost);
        assert_eq!(store.proposal("p").await.unwrap().unwrap().state, State::Open);
    }
    let act = Act::Several(vec![Act::Orphan(all.clone())]);
    assert_eq!(done(&store, act).await, Done::Committed { position: None });
    for id in ["p", "q"] {
        let now = store.proposal(id).await.unwrap().unwrap();
        assert_eq!((now.state, now.decided_by.as_deref()), (State::Withdrawn, Some("boss")));
    }
    for id in ["late", "others"] {
        assert_eq!(store.proposal(id).await.unwrap().unwrap().state, State::Open, "{id}");
    }
    let none = Act::Orphan(Orphaning { ids: Vec::new(), ..all });
    assert_eq!(done(&store, none).await, Done::Committed { position: None });
}

pub async fn a_deed_rests_on_the_operators_that_were_looked_at(bench: &Bench) {
    let store = opened(bench).await;
    let held = |version| Act::Staff(StaffAct::Unmoved { version });
    let first = Act::Settle(settle("p", State::Done, "ap"));
    assert_eq!(done(&store, Act::Several(vec![held(1), first.clone()])).await, Done::Lost);
    assert_eq!(store.proposal("p").await.unwrap().unwrap().state, State::Open);
    let both = Act::Several(vec![held(0), first]);
    assert_eq!(done(&store, both).await, Done::Committed { position: None });
}

pub async fn proposals_are_found_by_what_is_left_to_do(bench: &Bench) {
    let store = opened(bench).await;
    let later = Proposal { created_at: NOW + 5, ..proposal("later") };
    let broken = Proposal { state: State::Done, break_glass: true, ..proposal("broken") };
    done(&store, Act::PutProposal(later.clone())).await;
    done(&store, Act::PutProposal(broken.clone())).await;
    assert_eq!(store.proposals(true, 9).await.unwrap(), [later.clone(), proposal("p")]);
    assert_eq!(store.proposals(false, 9).await.unwrap().len(), 3);
    assert_eq!(store.proposals(false, 1).await.unwrap(), [later]);
    assert_eq!(store.broken_glass().await.unwrap(), [broken]);
    let seen = |by: &str| Acknowledgement { id: "broken".into(), by: by.into(), now: NOW };
    assert_eq!(done(&store, Act::Acknowledge(seen("op"))).await, Done::Lost, "not one's own");
    assert_eq!(done(&store, Act::Acknowledge(seen("ap"))).await, Done::Committed { position: None });
    assert_eq!(done(&store, Act::Acknowledge(seen("ab"))).await, Done::Lost, "once");
    assert!(store.broken_glass().await.unwrap().is_empty());
    assert_eq!(store.proposal("\0").await.unwrap(), None);
}

pub async fn a_persons_logins_and_sessions_end_and_nobody_elses(bench: &Bench) {
    let store = bench.open().await;
    let mut other = family(3);
    other.owner = Some((OwnerKind::Customer, "bob".into()));
    for one in [family(1), family(2), other] {
        done(&store, Act::OpenFamily(one)).await;
    }
    for (hash, person) in [("a", "ann"), ("b", "bob")] {
        let session = Session {
            hash: hash.into(),
            person: person.into(),
            generation: 0,
            auth_time: NOW,
            proved: None,
            expires_at: NOW + 60,
            ended_at: None,
        };
        done(&store, Act::OpenSession(session)).await;
    }
    let ann = Whose::Person("ann".into());
    assert_eq!(store.live_logins(&ann, NOW, 9).await.unwrap().len(), 2);
    assert_eq!(store.live_logins(&ann, NOW, 1).await.unwrap().len(), 1);
    assert_eq!(store.live_logins(&ann, NOW + 100, 9).await.unwrap(), [], "idle ones are not alive");
    assert_eq!(store.live_sessions("ann", NOW).await.unwrap(), 1);
    done(&store, Act::CloseLogins { person: "ann".into(), reason: "left".into(), now: NOW }).await;
    done(&store, Act::EndSessions { person: Some("ann".into()), now: NOW }).await;
    assert_eq!(store.live_logins(&ann, NOW, 9).await.unwrap(), []);
    assert_eq!(store.logins_ended("ann", "left").await.unwrap(), 2);
    assert_eq!(
        (store.live_sessions("ann", NOW).await.unwrap(), store.live_sessions("bob", NOW).await.unwrap()),
        (0, 1)
    );
    for whose in [
        Whose::Everybody,
        Whose::Actor("x".into()),
        Whose::Client("shop".into()),
        Whose::Organization("org".into()),
        Whose::Login(id(3)),
    ] {
        assert_eq!(store.live_logins(&whose, NOW, 9).await.unwrap().len(), 1, "{whose:?}");
    }
    done(&store, Act::EndSessions { person: None, now: NOW }).await;
    assert_eq!(store.live_sessions("bob", NOW).await.unwrap(), 0);
}

pub async fn issued_tokens_are_counted_by_every_name(bench: &Bench) {
    let store = bench.open().await;
    let issued = AuditRecord {
        organization: Some("org".into()),
        client_id: Some("shop".into()),
        subject: Some("ann".into()),
        actors: vec!["client:desk".into()],
        jti: Some("j".into()),
        sid: Some("s".into()),
        ..note("token.issued")
    };
    let old = AuditRecord { at: NOW - 9000, ..issued.clone() };
    for record in [old, issued, note("token.issued"), note("token.refused")] {
        store.commit(Deed::new(Act::Note, record)).await.unwrap();
    }
    for whose in [
        Whose::Token("j".into()),
        Whose::Login("s".into()),
        Whose::Person("ann".into()),
        Whose::Client("shop".into()),
        Whose::Organization("org".into()),
        Whose::Actor("client:desk".into()),
    ] {
        let counted = store.issued(&whose, NOW - 7200).await.unwrap();
        assert_eq!((counted.tokens, counted.last, counted.complete), (1, Some(NOW), true), "{whose:?}");
    }
    assert_eq!(store.issued(&Whose::Everybody, NOW - 7200).await.unwrap().tokens, 2);
    assert_eq!(store.issued(&Whose::Actor("desk".into()), NOW - 7200).await.unwrap().tokens, 0);
}
