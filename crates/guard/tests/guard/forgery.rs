//! Tokens that were forged, bent, borrowed or kept too long. The numbers are those of the list of attack
//! cases in the project's notes.

use std::sync::LazyLock;

use portcullis_guard::{Access, Denied, Environment, Guard, KeySet, Unverified};
use proptest::prelude::*;
use ring::hmac;
use serde_json::{Value, json};

use crate::issuer::{AUDIENCE, ISSUER, Issuer, NOW, claims, decode, encode, header, twin_of};

/// The answer for a token, asked twice so that the cache answers too, which must make no difference.
fn ask(guard: &Guard, token: &str) -> Result<Access, Denied> {
    let (cold, warm) = (guard.check(token, NOW), guard.check(token, NOW));
    assert_eq!(cold.as_ref().err(), warm.as_ref().err());
    warm
}

fn refusal(guard: &Guard, token: &str) -> &'static str {
    ask(guard, token).map_or_else(|denied| denied.code(), |_| "accepted")
}

fn with_header(issuer: &Issuer, change: impl FnOnce(&mut Value)) -> String {
    let mut header = header();
    change(&mut header);
    issuer.sign(&header, &claims().to_string())
}

#[test]
fn a_good_token_is_accepted_under_each_kind_of_key() {
    let issuer = Issuer::new();
    let guard = issuer.guard().commerce_layer_profile(true).build().unwrap();
    for (alg, kid, typ) in [
        ("ES256", "eu1.ec", "at+jwt"),
        ("EdDSA", "eu1.ed", "application/AT+JWT"),
        ("Ed25519", "eu1.ed", "at+jwt"),
        ("RS512", "eu1.rsa", "JWT"),
    ] {
        let token = issuer.sign(&json!({"alg": alg, "kid": kid, "typ": typ}), &claims().to_string());
        let access = ask(&guard, &token).unwrap();
        assert_eq!((access.claims().client_id.as_str(), access.key_id()), ("shop", kid));
    }
}

/// Case 1, exhaustively: no bit of a token can be turned.
#[test]
fn a_token_with_any_bit_turned_is_refused() {
    let issuer = Issuer::new();
    let guard = issuer.guard().build().unwrap();
    let token = issuer.token(|_| {});
    ask(&guard, &token).unwrap();
    for bit in 0..token.len() * 8 {
        let mut turned = token.clone().into_bytes();
        turned[bit / 8] ^= 1 << (bit % 8);
        // What is no longer UTF-8 cannot even be asked about.
        if let Ok(turned) = String::from_utf8(turned) {
            assert!(guard.check(&turned, NOW).is_err(), "bit {bit}");
        }
    }
}

/// One issuer and its guard for all the cases of a property.
static SHOP: LazyLock<(Issuer, Guard)> = LazyLock::new(|| {
    let issuer = Issuer::new();
    let guard = issuer.guard().build().unwrap();
    (issuer, guard)
});

proptest! {
    /// Case 1 and 20: whatever is cut out, put in or swapped, it is another token.
    #[test]
    fn a_token_that_was_touched_is_refused(at in 0usize..600, cut in 0usize..40, put in "[ -~]{0,12}") {
        let (issuer, guard) = &*SHOP;
        let token = issuer.token(|_| {});
        prop_assert!(guard.check(&token, NOW).is_ok());
        let at = at.min(token.len());
        let touched = format!("{}{put}{}", &token[..at], &token[(at + cut).min(token.len())..]);
        prop_assume!(touched != token);
        prop_assert!(guard.check(&touched, NOW).is_err());
    }

    /// Whatever arrives, the guard answers.
    #[test]
    fn nothing_that_arrives_brings_the_guard_down(text in "\\PC{0,200}", parts in "[A-Za-z0-9_-]{0,60}(\\.[A-Za-z0-9_-]{0,60}){2}") {
        prop_assert!(Unverified::parse(&text).is_err());
        let _ = Unverified::parse(&parts);
    }

    /// Behind a good signature the payload is still read with care.
    #[test]
    fn no_signed_payload_brings_the_guard_down(payload in "\\PC{0,200}") {
        let (issuer, guard) = &*SHOP;
        prop_assert!(guard.check(&issuer.sign(&header(), &payload), NOW).is_err());
    }
}

/// Case 1: the signature taken away, or another token's.
#[test]
fn a_signature_belongs_to_its_token() {
    let issuer = Issuer::new();
    let guard = issuer.guard().build().unwrap();
    let (one, other) = (issuer.token(|_| {}), issuer.token(|claims| claims["rol"] = json!(["read_only"])));
    let (input, _) = one.rsplit_once('.').unwrap();
    let (_, foreign) = other.rsplit_once('.').unwrap();
    ask(&guard, &other).unwrap();
    assert_eq!(refusal(&guard, &format!("{input}.{foreign}")), "bad_signature");
    assert_eq!(refusal(&guard, &format!("{input}.")), "bad_signature");
    assert_eq!(refusal(&guard, input), "malformed");
}

/// Cases 2, 3 and 4.
#[test]
fn neither_none_nor_a_mac_is_an_algorithm() {
    let issuer = Issuer::new();
    let guard = issuer.guard().build().unwrap();
    for alg in ["none", "None", "NONE", "nOnE"] {
        let token = with_header(&issuer, |header| header["alg"] = alg.into());
        let (input, _) = token.rsplit_once('.').unwrap();
        assert_eq!(refusal(&guard, &token), "malformed");
        assert_eq!(refusal(&guard, &format!("{input}.")), "malformed");
    }
    let jwks = issuer.jwks();
    let public =
        |kid: &str| jwks["keys"].as_array().unwrap().iter().find(|key| key["kid"] == kid).unwrap().clone();
    let modulus = decode(public("eu1.rsa")["n"].as_str().unwrap());
    for secret in
        [public("eu1.ec").to_string().into_bytes(), modulus, b"".to_vec(), b"secret".to_vec(), b"cl".to_vec()]
    {
        for kid in ["eu1.ec", "eu1.rsa"] {
            let head = json!({"alg": "HS256", "typ": "at+jwt", "kid": kid}).to_string();
            let input = format!("{}.{}", encode(head.as_bytes()), encode(claims().to_string().as_bytes()));
            let tag = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, &secret), input.as_bytes());
            assert_eq!(refusal(&guard, &format!("{input}.{}", encode(tag.as_ref()))), "malformed");
        }
    }
}

/// Cases 5, 6, 11, 12 and 19.
#[test]
fn a_header_brings_no_key_no_extension_and_no_compression() {
    let (issuer, attacker) = (Issuer::new(), Issuer::new());
    let guard = issuer.guard().build().unwrap();
    for (name, value) in [
        ("jwk", attacker.jwks()["keys"][0].clone()),
        ("jku", "https://evil.example/jwks.json".into()),
        ("jku", format!("{ISSUER}/redirect?to=https://evil.example").into()),
        ("x5u", "https://evil.example/chain.pem".into()),
        ("x5c", json!(["MIIB"])),
        ("crit", json!(["exp"])),
        ("crit", json!(["b64"])),
        ("crit", json!([])),
        ("b64", false.into()),
        ("zip", "DEF".into()),
        ("enc", "A256GCM".into()),
    ] {
        for signer in [&issuer, &attacker] {
            assert_eq!(
                refusal(&guard, &with_header(signer, |header| header[name] = value.clone())),
                "malformed"
            );
        }
    }
    let encrypted =
        json!({"alg": "PBES2-HS512+A256KW", "enc": "A256GCM", "p2c": 2_000_000_000, "p2s": "AAAA"});
    let five = format!("{}.AAAA.AAAA.AAAA.AAAA", encode(encrypted.to_string().as_bytes()));
    assert_eq!(refusal(&guard, &five), "malformed");
    let token = issuer.token(|_| {});
    let parts: Vec<_> = token.split('.').collect();
    for json in [
        json!({"protected": parts[0], "payload": parts[1], "signature": parts[2]}),
        json!({"payload": parts[1], "signatures": [{"protected": parts[0], "signature": parts[2]}]}),
        json!({"header": header(), "payload": parts[1], "signature": parts[2]}),
    ] {
        assert_eq!(refusal(&guard, &json.to_string()), "malformed");
    }
    let nested = issuer.sign(&header(), &token);
    assert_eq!(refusal(&guard, &nested), "malformed");
}

/// Cases 7, 8 and 22: a key id is looked up and nothing else.
#[test]
fn a_key_id_is_a_name_and_not_a_path() {
    let issuer = Issuer::new();
    let guard = issuer.guard().build().unwrap();
    for kid in ["../../dev/null", "/etc/passwd", "' OR 1=1 --", "eu1.ec\0", "EU1.EC", "eu1.ec ", "us1.ec"] {
        assert_eq!(
            refusal(&guard, &with_header(&issuer, |header| header["kid"] = kid.into())),
            "unknown_key"
        );
    }
    let long = with_header(&issuer, |header| header["kid"] = "k".repeat(1024 * 1024).into());
    assert_eq!(refusal(&guard, &long), "malformed");
    for (name, value) in [("kid", json!(null)), ("kid", json!(1)), ("kid", json!(""))] {
        assert_eq!(refusal(&guard, &with_header(&issuer, |header| header[name] = value)), "malformed");
    }
    let without = with_header(&issuer, |header| drop(header.as_object_mut().unwrap().remove("kid")));
    assert_eq!(refusal(&guard, &without), "malformed");
    let empty = issuer.guard().keys(KeySet::from_jwks(r#"{"keys":[]}"#).unwrap()).build().unwrap();
    assert_eq!(refusal(&empty, &issuer.token(|_| {})), "unknown_key");
}

/// Case 9.
#[test]
fn a_key_is_used_with_its_own_algorithm() {
    let issuer = Issuer::new();
    let guard = issuer.guard().build().unwrap();
    for (alg, kid) in [
        ("EdDSA", "eu1.ec"),
        ("ES256", "eu1.ed"),
        ("RS256", "eu1.rsa"),
        ("PS256", "eu1.rsa"),
        ("RS512", "eu1.ec"),
    ] {
        let token = with_header(&issuer, |header| {
            header["alg"] = alg.into();
            header["kid"] = kid.into();
        });
        assert_eq!(refusal(&guard, &token), "bad_signature", "{alg} {kid}");
    }
    let mut jwks = issuer.jwks();
    jwks["keys"][2].as_object_mut().unwrap().remove("alg");
    let guard = issuer.guard().keys(KeySet::from_value(&jwks).unwrap()).build().unwrap();
    let token =
        issuer.sign(&json!({"alg": "RS512", "typ": "at+jwt", "kid": "eu1.rsa"}), &claims().to_string());
    assert_eq!(refusal(&guard, &token), "unknown_key");
}

/// Case 10. The twin with the other `s` is the same token: RFC 7518 section 3.4 knows no "low s", and
/// signers write either. It has the same `jti`, so what ends one ends the other.
#[test]
fn an_ecdsa_signature_is_two_numbers_of_32_bytes() {
    let issuer = Issuer::new();
    let guard = issuer.guard().build().unwrap();
    let token = issuer.token(|_| {});
    let (input, signature) = token.rsplit_once('.').unwrap();
    let signature = decode(signature);
    let (r, s) = signature.split_at(32);
    let der = [&[0x30, 0x44, 0x02, 0x20][..], r, &[0x02, 0x20], s].concat();
    for bad in [
        vec![0; 64],
        [&[0; 32][..], s].concat(),
        [r, &[0; 32]].concat(),
        [&[0xff; 32][..], s].concat(),
        [&signature[..], &[0]].concat(),
        signature[..63].to_vec(),
        Vec::new(),
        der,
    ] {
        assert_eq!(refusal(&guard, &format!("{input}.{}", encode(&bad))), "bad_signature");
    }
    let (one, other) = (ask(&guard, &token).unwrap(), ask(&guard, &twin_of(&token)).unwrap());
    assert_eq!(one.claims().jti, other.claims().jti);
}

/// Cases 13 and 20, in the header and the payload of tokens that are signed well.
#[test]
fn a_token_has_one_reading_and_one_spelling() {
    let issuer = Issuer::new();
    let guard = issuer.guard().build().unwrap();
    let good = claims().to_string();
    for twice in [
        good.replacen('{', r#"{"iss":"https://evil.example","#, 1),
        good.replacen('{', r#"{"\u0065xp":9999999999,"#, 1),
        good.replacen('{', r#"{"more":1,"more":1,"#, 1),
        good.replacen('{', &format!(r#"{{"deep":{}{},"#, "[".repeat(200), "]".repeat(200)), 1),
        format!("{good} {good}"),
        good.replace('{', ""),
        String::new(),
    ] {
        assert_eq!(refusal(&guard, &issuer.sign(&header(), &twice)), "malformed");
    }
    let many: String = (0..100_000).map(|number| format!("\"c{number}\":1,")).collect();
    let large = issuer.sign(&header(), &good.replacen('{', &format!("{{{many}"), 1));
    assert_eq!(refusal(&guard, &large), "malformed");
    let token = issuer.token(|_| {});
    ask(&guard, &token).unwrap();
    for spelled in [
        format!("{token}="),
        format!("{token} "),
        format!(" {token}"),
        format!("{token}\n"),
        format!("{token}\0"),
        format!("Bearer {token}"),
        token.replacen('.', "..", 1),
        token.replacen('.', "=.", 1),
        loosely(&token),
    ] {
        assert_eq!(refusal(&guard, &spelled), "malformed");
    }
}

/// The same bytes with a bit set that canonical base64 leaves at zero.
fn loosely(token: &str) -> String {
    const LETTERS: &str = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    let (start, last) = token.split_at(token.len() - 1);
    let next = LETTERS.find(last).unwrap() + 1;
    format!("{start}{}", &LETTERS[next..=next])
}

/// Cases 14 and 15; the forms of numbers are tested where the payload is read.
#[test]
fn a_token_is_good_in_its_time() {
    let issuer = Issuer::new();
    let guard = issuer.guard().build().unwrap();
    for (name, value, code) in [
        ("exp", json!(NOW - 30), "expired"),
        ("exp", json!(NOW - 29), "accepted"),
        ("iat", json!(NOW + 5), "accepted"),
        ("iat", json!(NOW + 6), "not_yet_valid"),
        ("nbf", json!(NOW + 5), "accepted"),
        ("nbf", json!(NOW + 6), "not_yet_valid"),
        ("exp", json!(NOW + 40_000_000), "too_long_lived"),
        ("exp", json!("1800007200"), "malformed"),
        ("nbf", json!("1800000000"), "malformed"),
        ("iat", json!(-1), "malformed"),
        ("exp", json!(1.8e9), "malformed"),
        ("exp", json!(null), "malformed"),
    ] {
        assert_eq!(
            refusal(&guard, &issuer.token(|claims| claims[name] = value.clone())),
            code,
            "{name} {value}"
        );
    }
    let token = issuer.token(|_| {});
    assert!(guard.check(&token, NOW).is_ok());
    assert_eq!(guard.check(&token, 1_800_007_230).unwrap_err(), Denied::Expired);
    assert_eq!(guard.check(&token, 1_799_999_994).unwrap_err(), Denied::NotYetValid);
    assert_eq!(guard.check_at(&token, u64::MAX).unwrap_err(), Denied::Expired);
}

/// Cases 16 and 17.
#[test]
fn issuer_and_audience_are_compared_byte_for_byte() {
    let issuer = Issuer::new();
    let guard = issuer.guard().build().unwrap();
    for iss in [format!("{ISSUER}/"), ISSUER.to_uppercase(), ISSUER.replace("https", "http"), String::new()] {
        assert_eq!(refusal(&guard, &issuer.token(|claims| claims["iss"] = iss.into())), "wrong_issuer");
    }
    for (aud, code) in [
        (json!(AUDIENCE), "accepted"),
        (json!(["other", AUDIENCE]), "accepted"),
        (json!("Commerce-Api"), "wrong_audience"),
        (json!("commerce-api/"), "wrong_audience"),
        (json!("commerce-api other"), "wrong_audience"),
        (json!(["other"]), "wrong_audience"),
        (json!([]), "wrong_audience"),
        (json!(""), "wrong_audience"),
        (json!([[AUDIENCE]]), "malformed"),
        (json!({"0": AUDIENCE}), "malformed"),
        (json!(null), "malformed"),
    ] {
        assert_eq!(refusal(&guard, &issuer.token(|claims| claims["aud"] = aud.clone())), code, "{aud}");
    }
    let other = Issuer::new();
    assert_eq!(refusal(&guard, &other.token(|_| {})), "bad_signature");
}

/// Case 18.
#[test]
fn another_kind_of_token_is_not_an_access_token() {
    let issuer = Issuer::new();
    let strict = issuer.guard().build().unwrap();
    let vendor = issuer.guard().commerce_layer_profile(true).build().unwrap();
    for typ in [
        "rt+jwt",
        "logout+jwt",
        "oauth-authz-req+jwt",
        "client-authentication+jwt",
        "statuslist+jwt",
        "feed+jws",
        "",
    ] {
        let token = with_header(&issuer, |header| header["typ"] = typ.into());
        assert_eq!((refusal(&strict, &token), refusal(&vendor, &token)), ("wrong_type", "wrong_type"));
    }
    let without = with_header(&issuer, |header| drop(header.as_object_mut().unwrap().remove("typ")));
    assert_eq!(refusal(&vendor, &without), "wrong_type");
    let jwt = json!({"alg": "ES256", "typ": "JWT", "kid": "eu1.ec"});
    let plain = issuer.sign(&jwt, &claims().to_string());
    assert_eq!((refusal(&strict, &plain), refusal(&vendor, &plain)), ("wrong_type", "accepted"));
    for (name, code) in [("nonce", "wrong_type"), ("at_hash", "wrong_type")] {
        let mut id_token = claims();
        id_token[name] = "x".into();
        assert_eq!(refusal(&vendor, &issuer.sign(&jwt, &id_token.to_string())), code);
    }
    for name in ["application", "jti"] {
        let mut assertion = claims();
        assertion.as_object_mut().unwrap().remove(name);
        assert_eq!(refusal(&vendor, &issuer.sign(&jwt, &assertion.to_string())), "malformed");
    }
}

#[test]
fn test_tokens_live_in_test_and_live_tokens_in_live() {
    let issuer = Issuer::new();
    let guard = |environment| issuer.guard().environment(environment).build().unwrap();
    let (live, test) = (issuer.token(|_| {}), issuer.token(|claims| claims["test"] = true.into()));
    for (environment, on_live, on_test) in [
        (Environment::Live, "accepted", "wrong_environment"),
        (Environment::Test, "wrong_environment", "accepted"),
        (Environment::Any, "accepted", "accepted"),
    ] {
        let guard = guard(environment);
        assert_eq!((refusal(&guard, &live), refusal(&guard, &test)), (on_live, on_test));
    }
}
