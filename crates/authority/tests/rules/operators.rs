//! Operators come in: guessers are slowed down wherever they stand, and nobody is locked out by them.

use portcullis_authority::ask::Origin;
use portcullis_authority::ledger::AuditRecord;
use portcullis_authority::operators::{
    Credentials, Denial, Entry, Newcomer, OperatorRole, Porter, SecondFactor, SessionTerms, enrol,
};
use portcullis_authority::secret::Secret;

use crate::house::House;

const SEED: &[u8] = b"12345678901234567890";
const ANN: &str = "ann@example.com";
const RIGHT: &str = "anns own long password";
const WRONG: &str = "hush-not-this-one";
const HOME: &str = "192.0.2.7";
const TERMS: SessionTerms = SessionTerms { idle: 1800, absolute: 36_000, demo: true };

async fn house_with_ann() -> House {
    let house = House::new();
    let ann = Newcomer {
        email: ANN.into(),
        roles: vec![OperatorRole::Operator],
        password: Secret::from(RIGHT),
        demo_seed: Some(SEED.into()),
    };
    enrol(house.authority.desk(), &*house.memory, ann, AuditRecord::default()).await.unwrap();
    house
}

fn code(house: &House) -> String {
    SecondFactor::of(SEED, ANN).unwrap().code(house.now())
}

async fn comes_in(house: &House, address: &str, password: &str, code: &str) -> Result<Entry, Denial> {
    let porter = Porter { desk: house.authority.desk(), staff: &*house.memory, terms: TERMS };
    let shown = Credentials { email: ANN.into(), password: Secret::from(password), code: Secret::from(code) };
    let origin = Origin { address: Some(address.into()), ..Origin::default() };
    porter.sign_in(shown, &origin).await
}

/// How many tries are looked at before one has to wait.
async fn looked_at(house: &House, password: &str, address: impl Fn(usize) -> String) -> usize {
    for count in 0..10_000 {
        match comes_in(house, &address(count), password, "000000").await {
            Err(Denial::Unknown(_)) => {}
            Err(Denial::Later(_)) => return count,
            other => panic!("{other:?}"),
        }
    }
    panic!("nobody ever has to wait")
}

#[tokio::test]
async fn a_whole_network_of_ipv6_is_one_guesser() {
    let house = house_with_ann().await;
    assert_eq!(looked_at(&house, WRONG, |n| format!("2001:db8:1:2::{n:x}")).await, 5);
    house.wait(60);
    comes_in(&house, "2001:db8:1:2::ffff", RIGHT, &code(&house)).await.unwrap();
}

#[tokio::test]
async fn who_came_in_from_home_is_not_locked_out_by_guessers_everywhere() {
    let house = house_with_ann().await;
    comes_in(&house, HOME, RIGHT, &code(&house)).await.unwrap();
    assert_eq!(looked_at(&house, WRONG, |n| format!("198.51.100.{n}")).await, 100);
    house.wait(30);
    let stranger = comes_in(&house, "203.0.113.1", RIGHT, &code(&house)).await;
    assert!(matches!(stranger, Err(Denial::Later(_))), "{stranger:?}");
    comes_in(&house, HOME, RIGHT, &code(&house)).await.unwrap();
}

#[tokio::test]
async fn who_knows_the_password_guesses_few_codes_and_does_not_learn_that_it_is_right() {
    let house = house_with_ann().await;
    comes_in(&house, HOME, RIGHT, &code(&house)).await.unwrap();
    // To the guesser it looks as with a wrong password.
    assert_eq!(looked_at(&house, RIGHT, |n| format!("198.51.100.{n}")).await, 100);
    let audit = house.memory.audit();
    let reasons = audit.iter().filter_map(|it| it.reason.as_deref());
    assert_eq!(reasons.filter(|why| *why == "wrong second factor").count(), 20);
    house.wait(30);
    comes_in(&house, HOME, RIGHT, &code(&house)).await.unwrap();
}
