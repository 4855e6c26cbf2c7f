//! Signatures and keys that others thought up to fool verifiers: Wycheproof's JWS, JWK and primitive
//! cases, and the examples printed in RFC 7515 and RFC 8037.

use serde_json::{Value, json};

use super::*;

const JWS: &str = include_str!("../../../../tests/vectors/wycheproof/json_web_signature_test.json");
const JWK: &str = include_str!("../../../../tests/vectors/wycheproof/json_web_key_test.json");
const P256: &str =
    include_str!("../../../../tests/vectors/wycheproof/ecdsa_secp256r1_sha256_p1363_test.json");
const ED25519_CASES: &str = include_str!("../../../../tests/vectors/wycheproof/ed25519_test.json");
const PKCS1: &str = include_str!("../../../../tests/vectors/wycheproof/rsa_signature_2048_sha256_test.json");
const PSS: &str = include_str!("../../../../tests/vectors/wycheproof/rsa_pss_2048_sha256_mgf1_32_test.json");
const RFC: &str = include_str!("../../../../tests/vectors/rfc/rfc-examples.json");

/// Cases where we answer otherwise than Wycheproof, with the reason.
const WAIVED_JWS: [(u64, &str); 2] = [
    (346, "Figure 20 of RFC 7520 is signed with PS384, the key of the case is declared for PS256"),
    (350, "the same with key_ops in the place of use"),
];
const WAIVED_JWK: [(u64, &str); 1] =
    [(7, "a weak prime generator shows only by a search; keys come from our own issuer, not from strangers")];

fn cases(text: &str) -> impl Iterator<Item = (Value, Value)> {
    let all: Value = serde_json::from_str(text).unwrap();
    let groups = all["testGroups"].as_array().unwrap().clone();
    groups.into_iter().flat_map(|group| {
        let tests = group["tests"].as_array().unwrap().clone();
        tests.into_iter().map(move |test| (group.clone(), test))
    })
}

fn number(test: &Value) -> u64 {
    test["tcId"].as_u64().unwrap()
}

fn hex(text: &Value) -> Vec<u8> {
    let text = text.as_str().unwrap();
    (0..text.len()).step_by(2).map(|at| u8::from_str_radix(&text[at..at + 2], 16).unwrap()).collect()
}

/// The keys of a case, as a set; symmetric keys are shown as they are, to be refused.
fn key_set(group: &Value) -> Result<KeySet, KeyTrouble> {
    let shown = group.get("public").unwrap_or(&group["private"]);
    let set = if shown.get("keys").is_some() { shown.clone() } else { json!({"keys": [shown]}) };
    KeySet::from_jwks(&set.to_string())
}

fn accepts(group: &Value, test: &Value) -> bool {
    let Ok(token) = Unverified::parse(test["jws"].as_str().unwrap()) else { return false };
    let Ok(keys) = key_set(group) else { return false };
    // Some cases name no key and bring only one.
    let key = token.key_id().map_or_else(|| keys.keys.values().next(), |id| keys.key(id));
    key.is_some_and(|key| key.verify(&token).is_ok())
}

/// Whether a case is about one of our algorithms; valid cases of others must be refused.
fn is_offered(group: &Value) -> bool {
    let shown = group.get("public").unwrap_or(&group["private"]);
    let jwk = shown["keys"].get(0).unwrap_or(shown);
    jwk["alg"].as_str().and_then(Algorithm::from_name).is_some()
}

fn run(text: &str, waived: &[(u64, &str)]) -> (usize, usize) {
    let (mut accepted, mut refused) = (0, 0);
    for (group, test) in cases(text) {
        let right = test["result"] == "valid" && is_offered(&group);
        let accepts = accepts(&group, &test);
        let is_waived = waived.iter().any(|(case, _)| *case == number(&test));
        assert_eq!(accepts == right, !is_waived, "case {} {}", test["tcId"], test["comment"]);
        *if accepts { &mut accepted } else { &mut refused } += 1;
    }
    (accepted, refused)
}

#[test]
fn every_jws_of_wycheproof_gets_the_right_answer() {
    let (accepted, refused) = run(JWS, &WAIVED_JWS);
    println!("wycheproof jws: {accepted} accepted, {refused} refused, {} waived", WAIVED_JWS.len());
    assert_eq!(accepted + refused, 401);
}

#[test]
fn every_jwk_of_wycheproof_gets_the_right_answer() {
    let (accepted, refused) = run(JWK, &WAIVED_JWK);
    println!("wycheproof jwk: {accepted} accepted, {refused} refused, {} waived", WAIVED_JWK.len());
    assert_eq!(accepted + refused, 26);
}

/// Runs a file of bare signatures; `key` makes the key of a group.
fn run_bare(text: &str, key: impl Fn(&Value) -> Key) -> usize {
    let mut valid = 0;
    for (group, test) in cases(text) {
        let holds = key(&group).holds(&hex(&test["msg"]), &hex(&test["sig"]));
        match test["result"].as_str().unwrap() {
            // PKCS#1 v1.5 without the NULL: may be accepted; ring does not.
            "acceptable" => assert!(!holds),
            result => assert_eq!(holds, result == "valid", "case {} {}", test["tcId"], test["comment"]),
        }
        valid += usize::from(holds);
    }
    valid
}

fn named(mut jwk: Value, algorithm: Algorithm) -> Key {
    jwk["alg"] = algorithm.name().into();
    jwk["kid"] = "a".into();
    jwk::read(&jwk).unwrap().unwrap()
}

#[test]
fn es256_signatures_are_two_numbers_in_range_and_nothing_else() {
    let valid = run_bare(P256, |group| {
        let point = hex(&group["publicKey"]["uncompressed"]);
        Key { id: "a".into(), algorithm: Algorithm::Es256, public: Public::Point(point) }
    });
    assert_eq!(valid, 173);
}

#[test]
fn ed25519_signatures_have_one_form() {
    let valid = run_bare(ED25519_CASES, |group| named(group["publicKeyJwk"].clone(), Algorithm::EdDsa));
    assert_eq!(valid, 88);
}

#[test]
fn pkcs1_padding_is_read_to_the_last_bit() {
    let valid = run_bare(PKCS1, |group| Key {
        id: "a".into(),
        algorithm: Algorithm::Rs256,
        public: Public::Rsa {
            n: hex(&group["publicKey"]["modulus"]).split_off(1),
            e: hex(&group["publicKey"]["publicExponent"]),
        },
    });
    assert_eq!(valid, 9);
}

#[test]
fn pss_salt_is_as_long_as_the_hash() {
    let valid = run_bare(PSS, |group| named(group["publicKeyJwk"].clone(), Algorithm::Ps256));
    assert_eq!(valid, 63);
}

#[test]
fn the_examples_of_the_rfcs_hold() {
    let all: Value = serde_json::from_str(RFC).unwrap();
    let mut held = 0;
    for example in all["jws"].as_array().unwrap() {
        let algorithm = Algorithm::from_name(example["alg"].as_str().unwrap());
        let token = Unverified::parse(example["jws"].as_str().unwrap());
        let Some(algorithm) = algorithm else {
            assert!(token.is_err(), "{}", example["id"]);
            continue;
        };
        assert_eq!(
            named(example["jwk"].clone(), algorithm).verify(&token.unwrap()),
            Ok(()),
            "{}",
            example["id"]
        );
        held += 1;
    }
    assert_eq!(held, 3);
}
