//! A person left: everything ends at once, and no organization is orphaned by accident.

use portcullis_authority::offboarding::{Leaving, Left};
use portcullis_authority::operators::Denial;
use portcullis_authority::refusal::Code;
use portcullis_authority::registry::{Registry as _, Who};

use crate::house::House;
use crate::house::hands::{approver, auditor, operator, owner};

fn leaving(person: &str) -> Leaving<'_> {
    Leaving { person, reason: "left the company", force: false, break_glass: false }
}

/// Bob is admin beside Ada, who may then go.
fn with_a_second_admin(house: &House) {
    house.memory.change_memberships(|places| {
        for place in places {
            if place.user == "UserBobAAA" {
                (place.active, place.owner) = (true, true);
            }
        }
    });
}

#[tokio::test]
async fn whoever_left_has_nothing_any_more() {
    let house = House::new();
    with_a_second_admin(&house);
    let login = house.ada().await;
    let personal = house.client_credentials("me").await.access_token;
    let answer =
        house.order(async |room| room.offboard(&operator("op"), &leaving("ada@staff.example")).await).await;
    let Left::Gone { farewell, position } = answer.unwrap() else { panic!("proposed") };
    assert!(position.is_some());
    assert_eq!((farewell.logins, farewell.sessions), (1, 1));
    assert_eq!(farewell.credentials, ["me"]);
    assert_eq!(farewell.memberships[0].organization, "acme");
    assert_eq!(house.refresh_at_web(&login).await.unwrap_err().code, Code::InvalidGrant);
    assert!(house.check(&login.access_token).is_err() && house.check(&personal).is_err());
    let form = [("grant_type", "client_credentials")];
    assert_eq!(house.by("me", &form).await.unwrap_err().code, Code::InvalidClient);
    assert!(house.memory.memberships("UserAdaAAA").await.unwrap().is_empty());
    assert!(house.memory.person(Who::Id("UserAdaAAA")).await.unwrap().unwrap().disabled);
    let record = house.memory.audit().into_iter().find(|it| it.event == "person.offboarded").unwrap();
    assert_eq!(
        (record.subject.as_deref(), record.reason.as_deref()),
        (Some("UserAdaAAA"), Some("left the company"))
    );
}

#[tokio::test]
async fn the_last_owner_goes_only_with_a_second_persons_word() {
    let house = House::new();
    let answer = house.order(async |room| room.offboard(&operator("op"), &leaving("UserAdaAAA")).await).await;
    let Err(Denial::Conflict(sentence)) = answer else { panic!("{answer:?}") };
    assert!(sentence.contains("transfer the ownership"), "{sentence}");
    assert!(!house.memory.memberships("UserAdaAAA").await.unwrap().is_empty());
    let forced = Leaving { force: true, ..leaving("UserAdaAAA") };
    let answer = house.order(async |room| room.offboard(&operator("op"), &forced).await).await.unwrap();
    let Left::Proposed(proposal) = answer else { panic!("gone at once") };
    house.approve(&approver("ap"), &proposal).await.unwrap();
    assert!(house.memory.memberships("UserAdaAAA").await.unwrap().is_empty());
}

#[tokio::test]
async fn an_owner_may_force_it_alone_and_loudly() {
    let house = House::new();
    let alone = Leaving { force: true, break_glass: true, ..leaving("UserAdaAAA") };
    let answer = house.order(async |room| room.offboard(&operator("op"), &alone).await).await;
    assert!(matches!(answer, Err(Denial::Forbidden(_))));
    let answer = house.order(async |room| room.offboard(&owner("boss"), &alone).await).await;
    assert!(matches!(answer, Ok(Left::Gone { .. })));
    assert!(house.memory.audit().iter().any(|it| it.event == "break_glass.used"));
}

#[tokio::test]
async fn a_customer_leaves_too_and_strangers_cannot() {
    let house = House::new();
    let eva = house.eva().await;
    house.order(async |room| room.offboard(&operator("op"), &leaving("CustEvaAAA")).await).await.unwrap();
    assert!(house.check(&eva.access_token).is_err());
    assert!(house.customer("eva@acme.example", "evas-password").await.is_err());
    let stranger = house.order(async |room| room.offboard(&operator("op"), &leaving("nobody")).await).await;
    assert!(matches!(stranger, Err(Denial::Missing(_))));
    let silent = Leaving { reason: "", ..leaving("CustVipAAA") };
    let silent = house.order(async |room| room.offboard(&operator("op"), &silent).await).await;
    assert!(matches!(silent, Err(Denial::Invalid(_))));
    let looking = house.order(async |room| room.offboard(&auditor("au"), &leaving("CustVipAAA")).await).await;
    assert!(matches!(looking, Err(Denial::Forbidden(_))));
}
