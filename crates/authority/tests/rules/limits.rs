//! Limits: strangers slow down themselves and each other, owners come in, and nobody learns anything by it.

use portcullis_authority::ask::Ask;
use portcullis_authority::refusal::{Code, Refusal};
use portcullis_authority::registry::StoredSecret;
use portcullis_authority::secret::Secret;
use portcullis_authority::{SignedIn, TokenReply};

use crate::house::{House, inside, origin, refusal_of, secret_of};

const EVA: &str = "eva@acme.example";
const RIGHT: &str = "evas-password";
const WRONG: &str = "a-wrong-password";
const ADA: &str = "ada@staff.example";
const HOME: &str = "192.0.2.7";

/// A request from an address.
fn from(house: &House, address: &str, form: &[(&str, &str)]) -> Ask {
    let mut ask = house.ask(form);
    ask.origin.address = Some(address.into());
    ask
}

async fn login(house: &House, address: &str, email: &str, password: &str) -> Result<TokenReply, Refusal> {
    let form =
        [("client_id", "shop"), ("grant_type", "password"), ("username", email), ("password", password)];
    refusal_of(house.authority.token(&from(house, address, &form)).await)
}

async fn machine(house: &House, address: &str, secret: &str) -> Result<TokenReply, Refusal> {
    let form = [("client_id", "int"), ("client_secret", secret), ("grant_type", "client_credentials")];
    refusal_of(house.authority.token(&from(house, address, &form)).await)
}

async fn guest(house: &House, address: &str) -> Result<TokenReply, Refusal> {
    let form = [("client_id", "shop"), ("grant_type", "client_credentials")];
    refusal_of(house.authority.token(&from(house, address, &form)).await)
}

/// Tries until a limit says no; how many were looked at.
async fn until_limited(mut tries: impl AsyncFnMut() -> Refusal) -> (usize, Refusal) {
    for looked_at in 0..100_000 {
        let refusal = tries().await;
        if refusal.limited.is_some() {
            assert_eq!(refusal.code, Code::TooManyRequests);
            return (looked_at, refusal);
        }
    }
    panic!("no limit");
}

#[tokio::test]
async fn guessing_gets_slow_and_then_slower() {
    let house = House::new();
    let guess = async || login(&house, HOME, EVA, WRONG).await.unwrap_err();
    let (first, refusal) = until_limited(guess).await;
    assert_eq!(first, 5);
    let wait = refusal.limited.unwrap().retry_after;
    assert_eq!(wait, 12);
    house.wait(wait);
    assert_eq!(until_limited(guess).await.0, 1);
    let mut looked_at = 6;
    for _ in 0..300 {
        house.wait(12);
        looked_at += until_limited(guess).await.0;
    }
    assert!((36..=42).contains(&looked_at), "{looked_at} guesses in an hour");
}

#[tokio::test]
async fn a_right_password_beyond_the_limit_is_not_looked_at() {
    let house = House::new();
    until_limited(async || login(&house, HOME, EVA, WRONG).await.unwrap_err()).await;
    assert!(login(&house, HOME, EVA, RIGHT).await.unwrap_err().limited.is_some());
    house.wait(12);
    login(&house, HOME, EVA, RIGHT).await.unwrap();
}

#[tokio::test]
async fn an_account_that_does_not_exist_is_limited_in_the_same_words() {
    let house = House::new();
    let real = until_limited(async || login(&house, HOME, EVA, WRONG).await.unwrap_err()).await;
    let invented =
        until_limited(async || login(&house, HOME, "nobody@acme.example", WRONG).await.unwrap_err()).await;
    assert_eq!(real, invented);
}

#[tokio::test]
async fn a_right_password_pays_off_the_wrong_ones() {
    let house = House::new();
    for _ in 0..20 {
        for _ in 0..4 {
            assert!(login(&house, HOME, EVA, WRONG).await.unwrap_err().limited.is_none());
        }
        login(&house, HOME, EVA, RIGHT).await.unwrap();
    }
}

#[tokio::test]
async fn a_stranger_elsewhere_slows_nobody_down_here() {
    let house = House::new();
    until_limited(async || login(&house, "198.51.100.66", EVA, WRONG).await.unwrap_err()).await;
    login(&house, HOME, EVA, RIGHT).await.unwrap();
}

#[tokio::test]
async fn many_strangers_cannot_lock_an_owner_out_of_a_place_that_is_known() {
    let house = House::new();
    login(&house, HOME, EVA, RIGHT).await.unwrap();
    let mut stranger = 0;
    let guesses = async || {
        stranger += 1;
        let address = format!("198.51.{}.{}", stranger / 250, stranger % 250);
        login(&house, &address, EVA, WRONG).await.unwrap_err()
    };
    assert_eq!(until_limited(guesses).await.0, 100);
    assert!(login(&house, "203.0.113.9", EVA, RIGHT).await.unwrap_err().limited.is_some());
    for _ in 0..10 {
        login(&house, HOME, EVA, RIGHT).await.unwrap();
    }
}

#[tokio::test]
async fn a_stranger_behind_the_same_address_cannot_lock_out_a_known_device() {
    let house = House::new();
    let consent = house.consider(&[("client_id", "web")]).unwrap();
    let sign_in = async |device: Option<&str>, password: &str| -> Result<SignedIn, Refusal> {
        let origin = portcullis_authority::ask::Origin { device: device.map(str::to_owned), ..origin() };
        inside(house.authority.sign_in(&consent, ADA, Secret::from(password), &origin).await)
    };
    let device = sign_in(None, "adas-password").await.unwrap().device;
    assert_eq!(until_limited(async || sign_in(None, WRONG).await.unwrap_err()).await.0, 5);
    assert!(sign_in(None, "adas-password").await.unwrap_err().limited.is_some());
    let again = sign_in(Some(&device), "adas-password").await.unwrap().device;
    // A stolen cookie has a count of its own, and opens no second one.
    assert_eq!(until_limited(async || sign_in(Some(&again), WRONG).await.unwrap_err()).await.0, 5);
    assert!(sign_in(Some(&device), WRONG).await.unwrap_err().limited.is_some());
    let forged = format!("{}A", &again[..again.len() - 1]);
    assert!(sign_in(Some(&forged), "adas-password").await.unwrap_err().limited.is_some());
}

#[tokio::test]
async fn somebody_elses_device_is_none() {
    let house = House::new();
    let consent = house.consider(&[("client_id", "web")]).unwrap();
    let signed = house.authority.sign_in(&consent, ADA, Secret::from("adas-password"), &origin()).await;
    let device = inside(signed).unwrap().device;
    let guess = async |device: Option<String>| {
        let origin = portcullis_authority::ask::Origin { device, ..origin() };
        let tried =
            house.authority.sign_in(&consent, "bea@staff.example", Secret::from(WRONG), &origin).await;
        refusal_of(tried).unwrap_err()
    };
    assert_eq!(until_limited(async || guess(None).await).await.0, 5);
    assert!(guess(Some(device)).await.limited.is_some());
}

#[tokio::test]
async fn guessing_a_secret_ends_soon_and_the_right_one_is_no_use_then() {
    let house = House::new();
    let (looked_at, _) = until_limited(async || machine(&house, HOME, "wrong").await.unwrap_err()).await;
    assert_eq!(looked_at, 20);
    assert!(machine(&house, HOME, &secret_of("int")).await.unwrap_err().limited.is_some());
    machine(&house, "203.0.113.9", &secret_of("int")).await.unwrap();
    house.wait(3);
    machine(&house, HOME, &secret_of("int")).await.unwrap();
}

#[tokio::test]
async fn many_strangers_cannot_keep_a_backend_out_that_came_in_before() {
    let house = House::new();
    machine(&house, HOME, &secret_of("int")).await.unwrap();
    let mut stranger = 0;
    let guesses = async || {
        stranger += 1;
        machine(&house, &format!("198.51.{}.{}", stranger / 250, stranger % 250), "wrong").await.unwrap_err()
    };
    assert_eq!(until_limited(guesses).await.0, 1000);
    assert!(machine(&house, "203.0.113.9", &secret_of("int")).await.unwrap_err().limited.is_some());
    machine(&house, HOME, &secret_of("int")).await.unwrap();
}

#[tokio::test]
async fn a_flood_from_one_address_stops_nobody_who_has_a_secret() {
    let house = House::new();
    let mut let_in = 0;
    while guest(&house, HOME).await.is_ok() {
        let_in += 1;
    }
    assert_eq!(let_in, 1200);
    assert!(guest(&house, HOME).await.unwrap_err().limited.is_some());
    machine(&house, HOME, &secret_of("int")).await.unwrap();
    guest(&house, "203.0.113.9").await.unwrap();
}

#[tokio::test]
async fn failures_cost_more_than_successes() {
    let house = House::new();
    let nonsense = async || {
        let ask = from(&house, HOME, &[("grant_type", "nonsense")]);
        refusal_of(house.authority.token(&ask).await).unwrap_err()
    };
    assert_eq!(until_limited(nonsense).await.0, 400);
}

#[tokio::test]
async fn what_a_limit_refuses_is_written_down_nowhere() {
    let house = House::new();
    until_limited(async || login(&house, HOME, EVA, WRONG).await.unwrap_err()).await;
    until_limited(async || machine(&house, HOME, "wrong").await.unwrap_err()).await;
    let written = house.memory.audit().len();
    for _ in 0..1000 {
        login(&house, HOME, EVA, WRONG).await.unwrap_err();
        machine(&house, HOME, "wrong").await.unwrap_err();
    }
    assert_eq!(house.memory.audit().len(), written);
    let refused: u64 = house.authority.desk().limits.refusals().map(|(_, count)| count).sum();
    assert!(refused >= 2000, "{refused}");
}

#[tokio::test]
async fn revoking_with_a_secret_has_no_limit_but_that_of_guessing() {
    let house = House::new();
    while guest(&house, HOME).await.is_ok() {}
    let secret = secret_of("int");
    for _ in 0..2000 {
        let form = [("client_id", "int"), ("client_secret", secret.as_str()), ("token", "unknown")];
        assert!(!house.revoke(&form).await.unwrap());
    }
}

#[tokio::test]
async fn a_backend_with_its_key_is_counted_by_its_visitors() {
    let house = House::new();
    let hash = house.authority.desk().seal.client_secret("backend:shop", &Secret::from("the-key"));
    house.change_application("shop", |shop| {
        shop.backend_keys = vec![StoredSecret { id: "k".into(), hash, expires_at: None }];
    });
    while guest(&house, HOME).await.is_ok() {}
    let ask = async |visitor: &str, key: &str| {
        let mut ask = from(&house, HOME, &[("client_id", "shop"), ("grant_type", "client_credentials")]);
        house.authority.hear_visitor(&mut ask, visitor, &Secret::from(key));
        refusal_of(house.authority.token(&ask).await)
    };
    assert!(ask("203.0.113.9", "another-key").await.unwrap_err().limited.is_some());
    assert!(ask("not an address", "the-key").await.unwrap_err().limited.is_some());
    let mut let_in = 0;
    while ask("203.0.113.9", "the-key").await.is_ok() {
        let_in += 1;
    }
    assert_eq!(let_in, 1200);
    ask("203.0.113.10", "the-key").await.unwrap();
}

#[tokio::test]
async fn the_key_of_a_backend_is_not_guessed_and_is_for_enterprises() {
    let house = House::new();
    for (client, known) in [("shop", true), ("plain-shop", false)] {
        let hash =
            house.authority.desk().seal.client_secret(&format!("backend:{client}"), &Secret::from("k"));
        house.change_application(client, |it| {
            it.backend_keys = vec![StoredSecret { id: "k".into(), hash, expires_at: None }];
        });
        let hear = |key: &str| {
            let mut ask = from(&house, HOME, &[("client_id", client), ("grant_type", "client_credentials")]);
            house.authority.hear_visitor(&mut ask, "203.0.113.9", &Secret::from(key));
            ask.origin.visitor
        };
        assert_eq!(hear("k").is_some(), known, "{client}");
        (0..20).for_each(|_| assert_eq!(hear("wrong"), None));
        assert_eq!(hear("k"), None, "{client}");
    }
}
