//! What is due when, on paper.

use std::sync::Arc;

use super::*;
use crate::keyring::Signer;
use crate::registry::Profile;

const SCHEDULE: Schedule = Schedule { period: 1000, ahead: 100, linger: 50 };

fn key(kid: &str, state: KeyState, since: u64) -> KeyRow {
    KeyRow {
        kid: kid.into(),
        algorithm: "ES256".into(),
        state,
        made_at: since,
        since,
        public: "{}".into(),
        sealed: Some("x".into()),
        vault: None,
    }
}

fn chain(keys: &[(&str, KeyState, u64)]) -> KeyChain {
    let keys = keys.iter().map(|(kid, state, since)| key(kid, *state, *since)).collect();
    KeyChain { version: 1, keys }
}

fn make() -> Step {
    Step::Make { algorithm: "ES256".into() }
}

fn sign(kid: &str) -> Step {
    Step::Sign { kid: kid.into() }
}

#[test]
fn a_young_key_with_a_successor_is_left_alone() {
    let chain = chain(&[("a", KeyState::Active, 0), ("b", KeyState::Pending, 0)]);
    assert_eq!(chain.plan(&["ES256"], &SCHEDULE, None, 999), []);
}

#[test]
fn a_key_hands_over_when_its_time_is_over_and_its_successor_gets_one_of_its_own() {
    let chain = chain(&[("a", KeyState::Active, 0), ("b", KeyState::Pending, 0)]);
    assert_eq!(chain.plan(&["ES256"], &SCHEDULE, None, 1000), [sign("b"), make()]);
    let rows = chain.succession("b", 1000);
    assert_eq!((rows[0].state, rows[0].sealed.as_ref()), (KeyState::Retired, None));
    assert_eq!((rows[1].state, rows[1].since), (KeyState::Active, 1000));
}

#[test]
fn nobody_signs_who_was_not_published_for_long_enough() {
    let chain = chain(&[("a", KeyState::Active, 0), ("b", KeyState::Pending, 950)]);
    assert_eq!(chain.plan(&["ES256"], &SCHEDULE, None, 1049), []);
    assert_eq!(chain.plan(&["ES256"], &SCHEDULE, None, 1050), [sign("b"), make()]);
}

#[test]
fn where_nobody_signs_the_oldest_that_stands_by_does_at_once() {
    let revoked =
        chain(&[("a", KeyState::Ended, 0), ("b", KeyState::Pending, 10), ("c", KeyState::Pending, 11)]);
    assert_eq!(revoked.plan(&["ES256"], &SCHEDULE, None, 12), [sign("b")]);
    assert_eq!(chain(&[]).plan(&["ES256"], &SCHEDULE, None, 0), [make()]);
}

#[test]
fn a_retired_key_is_published_until_the_last_token_is_over() {
    let chain =
        chain(&[("a", KeyState::Retired, 100), ("b", KeyState::Active, 100), ("c", KeyState::Pending, 100)]);
    assert_eq!(chain.plan(&["ES256"], &SCHEDULE, None, 149), []);
    assert_eq!(chain.plan(&["ES256"], &SCHEDULE, None, 150), [Step::End { kid: "a".into() }]);
}

#[test]
fn a_period_of_nothing_leaves_rotation_to_people() {
    let chain = chain(&[("a", KeyState::Active, 0), ("b", KeyState::Pending, 0)]);
    let schedule = Schedule { period: 0, ..SCHEDULE };
    assert_eq!(chain.plan(&["ES256"], &schedule, None, u64::MAX), []);
}

#[test]
fn what_was_made_opens_with_its_own_seal_only() {
    let (seal, nonce) = (Seal::new(&[1; 32]), || [7; 12]);
    let bench = Bench { seal: &seal, nonce: &nonce, now: 5 };
    let chain = KeyChain { version: 1, keys: vec![bench.make("ES256", "eu1").unwrap()] };
    assert!(chain.keyring(&seal, None).unwrap().published().contains(&chain.keys[0].kid));
    assert!(!chain.keys[0].public.contains("\"d\""));
    assert!(chain.keyring(&Seal::new(&[2; 32]), None).map(drop).unwrap_err().why.contains("does not open"));
    // A key that was moved to another name does not open either.
    let mut moved = chain.clone();
    moved.keys[0].kid = "eu1.other".into();
    assert!(moved.keyring(&seal, None).is_err());
}

/// Makes ES256 only, and signs with a fixed word.
struct Strongbox;

#[async_trait]
impl Vault for Strongbox {
    fn name(&self) -> &'static str {
        "strongbox"
    }

    fn makes(&self, algorithm: &str) -> bool {
        algorithm == "ES256"
    }

    fn is_up(&self) -> bool {
        true
    }

    async fn make(&self, algorithm: &str, region: &str) -> Result<Value, Trouble> {
        public_half(&generate(algorithm, region)?)
    }

    fn signer(&self, _: &Value) -> Result<Arc<dyn Signer>, Trouble> {
        Ok(Arc::new(Self))
    }

    async fn destroy(&self, _: &str) -> Result<(), Trouble> {
        Ok(())
    }
}

#[async_trait]
impl Signer for Strongbox {
    async fn sign(&self, _: &[u8]) -> Result<Vec<u8>, Trouble> {
        Ok(b"signed".to_vec())
    }
}

fn boxed(mut chain: KeyChain, kids: &[&str]) -> KeyChain {
    for key in chain.keys.iter_mut().filter(|key| kids.contains(&key.kid.as_str())) {
        key.vault = Some("strongbox".into());
    }
    chain
}

#[test]
fn a_vault_that_is_taken_into_use_takes_over_once_its_key_is_known() {
    let keys = [("a", KeyState::Active, 0), ("b", KeyState::Pending, 0), ("v", KeyState::Pending, 10)];
    let before = chain(&keys[..2]);
    let vault: Option<&dyn Vault> = Some(&Strongbox);
    assert_eq!(before.plan(&["ES256"], &SCHEDULE, vault, 10), [make()]);
    let chain = boxed(chain(&keys), &["v"]);
    // Until everybody knows the vault's key, the one from before stands by for emergencies.
    assert_eq!(chain.plan(&["ES256"], &SCHEDULE, vault, 109), []);
    let over = [Step::End { kid: "b".into() }, sign("v"), make()];
    assert_eq!(chain.plan(&["ES256"], &SCHEDULE, vault, 110), over);
    assert_eq!(chain.succession("v", 110)[0].sealed, None, "no private half stays in the books");
}

#[test]
fn a_vault_that_is_left_signs_until_the_books_have_a_key_that_is_known() {
    let keys = [("v", KeyState::Active, 0), ("w", KeyState::Pending, 0), ("c", KeyState::Pending, 10)];
    let chain = boxed(chain(&keys), &["v", "w"]);
    assert_eq!(chain.plan(&["ES256"], &SCHEDULE, None, 109), []);
    assert_eq!(
        chain.plan(&["ES256"], &SCHEDULE, None, 110),
        [Step::End { kid: "w".into() }, sign("c"), make()]
    );
}

#[test]
fn where_a_vaults_key_was_revoked_whoever_is_left_signs() {
    let keys = [("v", KeyState::Ended, 0), ("b", KeyState::Pending, 0)];
    let chain = boxed(chain(&keys), &["v"]);
    assert_eq!(chain.plan(&["ES256"], &SCHEDULE, Some(&Strongbox), 1), [sign("b"), make()]);
}

#[test]
fn what_a_vault_does_not_make_stays_in_the_books() {
    let mut chain = chain(&[("a", KeyState::Active, 0), ("b", KeyState::Pending, 0)]);
    chain.keys.iter_mut().for_each(|key| key.algorithm = "EdDSA".into());
    assert_eq!(chain.plan(&["EdDSA"], &SCHEDULE, Some(&Strongbox), 500), []);
}

#[tokio::test]
async fn a_key_in_a_vault_signs_there_and_nowhere_else() {
    let (seal, nonce) = (Seal::new(&[1; 32]), || [7; 12]);
    let bench = Bench { seal: &seal, nonce: &nonce, now: 5 };
    let row = bench.row_in(&Strongbox, &Strongbox.make("ES256", "eu1").await.unwrap()).unwrap();
    let chain = KeyChain { version: 1, keys: vec![row] };
    let keyring = chain.keyring(&seal, Some(&Strongbox)).unwrap();
    let token = keyring.active("ES256").unwrap().sign(Profile::Rfc9068, b"{}").await.unwrap();
    assert!(token.ends_with(".c2lnbmVk"), "{token}");
    let why = chain.keyring(&seal, None).map(drop).unwrap_err().why;
    assert!(why.contains("is in strongbox, which the settings do not name"), "{why}");
}

#[test]
fn the_next_rotation_is_when_the_key_that_signs_has_had_its_time() {
    let chain = chain(&[("a", KeyState::Active, 7), ("b", KeyState::Pending, 9)]);
    assert_eq!(chain.next_rotation("ES256", &SCHEDULE), Some(1007));
    assert_eq!(chain.next_rotation("EdDSA", &SCHEDULE), None);
    assert_eq!(chain.next_rotation("ES256", &Schedule { period: 0, ..SCHEDULE }), None);
}
