//! Changes to the registry: all of it or nothing, on the version that it was decided on, and told to the
//! guards.

use portcullis_authority::ledger::{Act, AuditRecord, Deed, Done, Ledger};
use portcullis_authority::provisioning::change::{Amendment, CHANGED, Change};
use portcullis_authority::provisioning::{Card, Kind};
use portcullis_authority::registry::{Mode, Registry, Scope};
use portcullis_guard::claims::OwnerKind;
use portcullis_guard::feed::Kind as Line;
use portcullis_store::{Conflict, SeedSet, Store};

use crate::bench::{Bench, NOW, act, done, family};

fn set() -> SeedSet {
    let org = |id: &str| serde_json::json!({ "id": id, "slug": id, "name": id });
    serde_json::from_value(serde_json::json!({
        "organizations": [org("org"), org("other")],
        "roles": [{ "id": "r1", "organization": "org", "name": "Buyer", "kind": "custom" },
            { "id": "r2", "organization": "other", "name": "Seller", "kind": "custom" }],
        "people": [{ "id": "bob", "kind": "User", "email": "bob@example.com" }],
        "memberships": [{ "id": "m", "user": "bob", "organization": "org", "role": "r1" }],
    }))
    .expect("a set that reads")
}

fn amend(expected: u64, changes: Vec<Change>) -> Act {
    Act::Amend(Amendment { expected, changes })
}

fn card(id: &str, organization: &str) -> Change {
    Change::PutCard(Box::new(Card::new(Kind::MembershipProfile, id, organization, NOW)))
}

async fn sown(bench: &Bench) -> Store {
    let store = bench.open().await;
    store.apply(&set()).await.unwrap();
    store
}

pub async fn a_change_that_was_decided_on_an_old_registry_is_lost(bench: &Bench) {
    let store = sown(bench).await;
    let renamed = |name: &str| {
        let mut role = set().roles.remove(0);
        role.name = name.into();
        vec![Change::PutRole(role)]
    };
    let (first, second) =
        tokio::join!(act(&store, amend(1, renamed("First"))), act(&store, amend(1, renamed("Second"))));
    let lost = [first.unwrap(), second.unwrap()].iter().filter(|done| **done == Done::Lost).count();
    assert_eq!(lost, 1);
    let directory = store.directory();
    assert_eq!(directory.version, 2);
    let name = directory.role("org", "r1").map(|role| role.name.clone()).expect("the role is there");
    assert!(name == "First" || name == "Second");
    assert_eq!(store.estate("bob", &["org".into()]).await.unwrap().version, 2);
}

pub async fn a_change_is_shown_announced_and_gone_with_its_role(bench: &Bench) {
    let store = sown(bench).await;
    let steps = vec![
        card("p", "org"),
        Change::Raise { scope: Scope::Client, id: "shop".into(), exp: NOW },
        Change::DropMembership { id: "m".into() },
        Change::DropRole { organization: "org".into(), id: "r1".into() },
    ];
    assert!(matches!(done(&store, amend(1, steps)).await, Done::Committed { position: Some(_) }));
    let directory = store.directory();
    assert!(directory.role("org", "r1").is_none());
    assert_eq!(directory.generation(Scope::Client, "shop"), 1);
    assert!(store.memberships("bob").await.unwrap().is_empty());
    assert!(store.card(Kind::MembershipProfile, "p").await.unwrap().is_some());
    let lines: Vec<_> = store.log_after(1, 10).await.unwrap().iter().map(|row| row.record.kind).collect();
    assert_eq!(lines, [Line::Client, Line::Policy]);
    let drop = Change::DropCard { kind: Kind::MembershipProfile, id: "p".into() };
    done(&store, amend(2, vec![drop])).await;
    assert!(store.card(Kind::MembershipProfile, "p").await.unwrap().is_none());
}

pub async fn only_the_logins_of_one_person_in_one_organization_end(bench: &Bench) {
    let store = sown(bench).await;
    let logins = [("org", "bob"), ("other", "bob"), ("org", "ann")];
    let mut ids = Vec::new();
    for (n, (organization, person)) in (1..).zip(logins) {
        let mut family = family(n);
        family.organization = organization.into();
        family.owner = Some((OwnerKind::User, person.into()));
        ids.push(family.id.clone());
        done(&store, Act::OpenFamily(family)).await;
    }
    let end = Change::EndLogins {
        organization: "org".into(),
        person: "bob".into(),
        reason: "left".into(),
        now: 1,
        exp: NOW,
    };
    done(&store, amend(1, vec![end])).await;
    let mut ended = Vec::new();
    for id in &ids {
        ended.push(store.family(id).await.unwrap().expect("the login is kept").ended_at.is_some());
    }
    assert_eq!(ended, [true, false, false]);
    let lines: Vec<_> = store.log_after(1, 10).await.unwrap().iter().map(|row| row.record.kind).collect();
    assert_eq!(lines, [Line::Family, Line::Policy]);
}

pub async fn a_file_that_is_sown_again_opens_nothing_that_was_closed(bench: &Bench) {
    let store = sown(bench).await;
    let mut place = set().memberships.remove(0);
    place.applications = Some(Vec::new());
    place.modes = Some(vec![Mode::Live]);
    let mut known = Card::new(Kind::Role, "org.r1", "org", NOW);
    known.reference = Some("kept".into());
    let changes = vec![Change::PutMembership(place.clone()), Change::PutCard(Box::new(known))];
    done(&store, amend(1, changes)).await;
    let mut again = set();
    again.memberships[0].active = false;
    again.conflicts =
        vec![Conflict { organization: "org".into(), role: "r1".into(), with: vec!["admin".into()] }];
    store.apply(&again).await.unwrap();
    let kept = store.memberships("bob").await.unwrap().remove(0);
    assert_eq!((&kept.applications, &kept.modes, kept.active), (&place.applications, &place.modes, false));
    let card = store.card(Kind::Role, "org.r1").await.unwrap().expect("a card");
    assert_eq!((card.texts("conflicts_with"), card.reference.as_deref()), (vec!["org.admin"], Some("kept")));
    store.apply(&set()).await.unwrap();
    let card = store.card(Kind::Role, "org.r1").await.unwrap().expect("a card");
    assert_eq!(card.texts("conflicts_with"), ["org.admin"], "a file that says nothing of it changes nothing");
}

pub async fn an_estate_holds_nothing_of_other_organizations(bench: &Bench) {
    let store = sown(bench).await;
    done(&store, amend(1, vec![card("a", "org"), card("b", "other")])).await;
    let trace = |organization: &str| AuditRecord {
        event: CHANGED.into(),
        organization: Some(organization.into()),
        detail: Some(
            r#"{"resource_type":"roles","resource_id":"x","event":"update","changes":{},"who":null}"#.into(),
        ),
        ..AuditRecord::default()
    };
    for organization in ["org", "other"] {
        store.commit(Deed::new(Act::Note, trace(organization))).await.unwrap();
    }
    let estate = store.estate("bob", &["org".into()]).await.unwrap();
    assert_eq!(estate.organizations.len() + estate.roles.len() + estate.memberships.len(), 3);
    assert_eq!(estate.people.iter().map(|it| it.id.as_str()).collect::<Vec<_>>(), ["bob"]);
    assert_eq!(estate.cards.iter().map(|it| it.id.as_str()).collect::<Vec<_>>(), ["a"]);
    let changes = store.changes(&["org".into()]).await.unwrap();
    assert_eq!(changes.iter().map(|it| it.organization.as_str()).collect::<Vec<_>>(), ["org"]);
    assert!(store.changes(&[]).await.unwrap().is_empty());
}
