//! No grant goes around a second factor.

use portcullis_authority::ledger::{Act, Deed, FactorAct, PersonFactor};

use super::house::{House, START};

#[tokio::test]
async fn a_password_alone_earns_nothing_where_there_is_a_second_factor() {
    let house = House::new();
    let eva = house.eva().await;
    let factor = PersonFactor {
        person: house.claims(&eva.access_token).sub,
        seed: "sealed".into(),
        last_step: 0,
        since: START,
        recovery: Vec::new(),
    };
    let enrol = Act::Factor(FactorAct::Enrol(factor));
    house.commit(Deed { act: enrol, audit: Vec::new() }).await;
    let right = house.customer("eva@acme.example", "evas-password").await.unwrap_err();
    let wrong = house.customer("eva@acme.example", "not-evas-password").await.unwrap_err();
    assert_eq!((right.code, &right.sentence), (wrong.code, &wrong.sentence), "a stranger learns nothing");
    // The right one counts as a failure, too, or the difference would show after a few tries.
    for _ in 0..3 {
        house.customer("eva@acme.example", "evas-password").await.unwrap_err();
    }
    let limited = house.customer("eva@acme.example", "evas-password").await.unwrap_err();
    assert!(limited.limited.is_some(), "{limited:?}");
}
