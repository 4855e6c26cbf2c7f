//! Accounts as operators change them: what is decided is decided on one picture, and nothing is left behind.

use portcullis_authority::ledger::{Act, AuditRecord, Deed};
use portcullis_authority::operators::Denial;
use portcullis_authority::people::{self, Chosen};
use portcullis_authority::provisioning::change::{Amendment, Change};
use portcullis_authority::provisioning::{Card, Kind};
use portcullis_authority::registry::{Registry as _, Who};

use crate::house::{ACME, House, PLAIN};

const ADA: &str = "UserAdaAAA";
const BOB: &str = "UserBobAAA";
const EVA: &str = "CustEvaAAA";

async fn amend(house: &House, changes: Vec<Change>) -> Act {
    let expected = house.memory.estate("", &[]).await.unwrap().version;
    Act::Amend(Amendment { expected, changes })
}

#[tokio::test]
async fn of_two_owners_who_are_closed_at_once_one_stays() {
    let house = House::new();
    house.memory.change_memberships(|places| {
        for place in places.iter_mut().filter(|place| place.user == BOB) {
            (place.active, place.owner) = (true, true);
        }
    });
    let gone = amend(&house, vec![Change::DropMembership { id: format!("m-{BOB}") }]).await;
    house.interrupt(gone);
    let desk = house.authority.desk();
    let answer = people::set_disabled(desk, ADA, true, AuditRecord::default()).await;
    assert!(matches!(answer, Err(Denial::Conflict(_))), "{answer:?}");
    assert!(!house.memory.person(Who::Id(ADA)).await.unwrap().unwrap().disabled);
}

#[tokio::test]
async fn whoever_is_deleted_leaves_no_place_and_no_card_behind() {
    let house = House::new();
    let mut card = Card::new(Kind::ApplicationMembership, "am-1", ACME, 0);
    card.more.insert("membership".into(), format!("m-{BOB}").into());
    // One that a profile has as well is not only theirs.
    let mut shared = Card { id: "am-2".into(), ..card.clone() };
    shared.more.insert("membership_profile".into(), "mp-1".into());
    let cards = [card, shared].map(|card| Change::PutCard(Box::new(card)));
    let act = amend(&house, Vec::from(cards)).await;
    house.commit(Deed { act, audit: Vec::new() }).await;
    // A place that is given while it is decided is found as well.
    let mut late = house.memory.memberships(BOB).await.unwrap().remove(0);
    (late.id, late.organization) = ("m-late".into(), PLAIN.into());
    house.interrupt(amend(&house, vec![Change::PutMembership(late)]).await);
    people::delete(house.authority.desk(), BOB, AuditRecord::default()).await.unwrap();
    assert!(house.memory.memberships(BOB).await.unwrap().is_empty());
    assert!(house.memory.card(Kind::ApplicationMembership, "am-1").await.unwrap().is_none());
    let left = house.memory.card(Kind::ApplicationMembership, "am-2").await.unwrap().expect("the profile's");
    assert_eq!((left.text("membership"), left.text("membership_profile")), (None, Some("mp-1")));
    assert!(house.memory.person(Who::Id(BOB)).await.unwrap().is_none());
}

#[tokio::test]
async fn a_password_is_one_operators_business_only_without_a_place() {
    let house = House::new();
    let desk = house.authority.desk();
    let set = async |id| people::set_password(desk, id, Chosen::Made, AuditRecord::default()).await;
    set(EVA).await.unwrap();
    for member in [ADA, BOB] {
        let answer = set(member).await;
        assert!(matches!(answer, Err(Denial::Conflict(_))), "{member}: {answer:?}");
    }
    // A place that is given in this moment is not missed.
    let mut late = house.memory.memberships(BOB).await.unwrap().remove(0);
    (late.id, late.user) = ("m-late".into(), EVA.into());
    house.interrupt(amend(&house, vec![Change::PutMembership(late)]).await);
    assert!(matches!(set(EVA).await, Err(Denial::Conflict(_))));
}
