//! The snapshot is true at once, and in the end everywhere.

use portcullis_authority::ledger::{Act, Done};
use portcullis_authority::registry::{Registry, Scope, Who};
use portcullis_guard::feed::{Kind, name_id};
use portcullis_store::SeedSet;

use crate::bench::{Bench, NOW, done};

pub fn set() -> SeedSet {
    serde_json::from_str(
        r#"{
        "organizations": [{"id": "org", "slug": "acme", "name": "Acme"}],
        "applications": [{"id": "app", "client_id": "shop", "organization": "org", "name": "Shop",
            "kind": "sales_channel", "confidential": false, "access_lifetime": 7200}],
        "roles": [{"id": "r1", "organization": "org", "name": "Buyer", "kind": "custom"}],
        "fences": [{"kind": "market", "id": "m1", "organization": "org", "code": "eu"}],
        "guards": [{"id": "orders", "hash": "h"}],
        "people": [
            {"id": "ann", "kind": "Customer", "organization": "org", "email": "Ann@Example.com",
                "password": "phc"},
            {"id": "bob", "kind": "User", "email": "bob@example.com"}],
        "memberships": [{"id": "m", "user": "bob", "organization": "org", "role": "r1"}]
    }"#,
    )
    .expect("a set that reads")
}

fn raise(scope: Scope, id: &str) -> Act {
    Act::Raise { scope, id: id.into(), exp: NOW }
}

pub async fn a_raised_generation_is_visible_at_once(bench: &Bench) {
    let store = bench.open().await;
    for expected in 1..=3 {
        for (scope, id) in [(Scope::Client, "shop"), (Scope::Organization, "org"), (Scope::Everything, "")] {
            assert!(matches!(done(&store, raise(scope, id)).await, Done::Committed { position: Some(_) }));
            assert_eq!(store.directory().generation(scope, id), expected);
        }
    }
    let last = store.log_after(8, 10).await.unwrap();
    assert_eq!((last[0].record.kind, last[0].record.val), (Kind::Everything, 3));
    assert_eq!(last[0].record.id, name_id(store.salt(), Kind::Everything, ""));
    store.reload().await.unwrap();
    assert_eq!(store.directory().generation(Scope::Client, "shop"), 3);
    assert_eq!(store.directory().generation(Scope::Client, "other"), 0);
}

pub async fn a_second_process_sees_a_seed_after_absorbing(bench: &Bench) {
    let (writer, reader) = (bench.open().await, bench.open().await);
    let counts = writer.apply(&set()).await.unwrap();
    assert_eq!((counts.version, counts.people, counts.organizations), (1, 2, 1));
    assert_eq!(writer.directory().version, 1);
    assert!(reader.directory().application("shop").is_none());
    let news = reader.log_after(0, 10).await.unwrap();
    assert_eq!((news[0].record.kind, news[0].record.val), (Kind::Policy, 1));
    assert!(reader.absorb(&news).await.unwrap());
    let directory = reader.directory();
    assert_eq!(directory.version, 1);
    assert!(directory.application("shop").is_some());
    assert_eq!(directory.organization_by_slug("acme").map(|o| o.id.as_str()), Some("org"));
    assert!(directory.role("org", "r1").is_some() && directory.guard("orders").is_some());
    assert_eq!(directory.fences("org").len(), 1);
    assert!(!reader.absorb(&news).await.unwrap(), "news of what is known already are none");
}

pub async fn a_second_process_sees_a_cutoff_after_absorbing(bench: &Bench) {
    let (writer, reader) = (bench.open().await, bench.open().await);
    done(&writer, raise(Scope::Organization, "org")).await;
    assert_eq!(reader.directory().generation(Scope::Organization, "org"), 0);
    reader.absorb(&reader.log_after(0, 10).await.unwrap()).await.unwrap();
    assert_eq!(reader.directory().generation(Scope::Organization, "org"), 1);
}

pub async fn the_longest_lifetime_is_a_high_water_mark(bench: &Bench) {
    let store = bench.open().await;
    store.apply(&set()).await.unwrap();
    let mut shorter = set();
    shorter.applications[0].access_lifetime = Some(60);
    let counts = store.apply(&shorter).await.unwrap();
    assert_eq!(counts.version, 2);
    let application = store.directory().application("shop").cloned().expect("the application is there");
    assert_eq!((application.access_lifetime, application.longest_lifetime), (Some(60), 7200));
}

pub async fn a_seed_that_fails_changes_nothing(bench: &Bench) {
    let store = bench.open().await;
    store.apply(&set()).await.unwrap();
    let mut bad = set();
    bad.organizations[0].name = "Renamed".into();
    bad.people[1].email = "taken@example.com".into();
    bad.people.push(portcullis_authority::registry::Person { id: "eve".into(), ..bad.people[1].clone() });
    assert!(store.apply(&bad).await.is_err());
    store.reload().await.unwrap();
    assert_eq!(store.directory().version, 1);
    assert_eq!(store.directory().organization("org").map(|o| o.name.clone()).as_deref(), Some("Acme"));
    assert_eq!(store.log_after(0, 10).await.unwrap().len(), 1);
    assert_eq!(store.audit_page(0, 10).await.unwrap().len(), 1);
}

pub async fn an_address_is_found_in_any_case_and_within_its_organization(bench: &Bench) {
    let store = bench.open().await;
    store.apply(&set()).await.unwrap();
    let ann = Who::CustomerEmail { organization: "org", email: "ann@EXAMPLE.com" };
    let found = store.person(ann).await.unwrap().expect("Ann is a customer of Acme");
    assert_eq!((found.id.as_str(), found.email.as_str()), ("ann", "Ann@Example.com"));
    assert_eq!(found.password.as_deref(), Some("phc"));
    for nobody in [
        Who::CustomerEmail { organization: "other", email: "ann@example.com" },
        Who::UserEmail("ann@example.com"),
        Who::CustomerEmail { organization: "org", email: "bob@example.com" },
        Who::Id("nobody"),
    ] {
        assert_eq!(store.person(nobody).await.unwrap(), None, "{nobody:?}");
    }
    let bob = store.person(Who::UserEmail("BOB@example.com")).await.unwrap().expect("Bob is a user");
    let memberships = store.memberships(&bob.id).await.unwrap();
    assert_eq!(memberships, set().memberships);
}

pub async fn a_person_comes_with_its_generations(bench: &Bench) {
    let store = bench.open().await;
    store.apply(&set()).await.unwrap();
    done(&store, raise(Scope::Subject, "ann")).await;
    done(&store, raise(Scope::Subject, "ann")).await;
    done(&store, raise(Scope::Actor, "ann")).await;
    // Another seed does not bring old tokens back to life.
    store.apply(&set()).await.unwrap();
    let ann = store.person(Who::Id("ann")).await.unwrap().expect("Ann is there");
    assert_eq!((ann.generation, ann.actor_generation), (2, 1));
    assert_eq!(store.directory().generation(Scope::Actor, "ann"), 1);
}
