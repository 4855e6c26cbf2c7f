//! What may stand in `custom_claim`: an object that stays small, shadows nothing and carries no card number.
//!
//! The token is signed by us and read by everybody, so what an application puts into it must not look like
//! something that we say.

use serde_json::Value;

use crate::refusal::{Code, Refusal};

/// Bytes of the compact JSON.
const MAX_BYTES: usize = 1024;
const MAX_DEPTH: usize = 3;
/// Names in all objects together.
const MAX_NAMES: usize = 32;
const MAX_TEXT: usize = 256;

/// Names that mean something in a token (RFC 7519, RFC 9068, RFC 8693, RFC 9449, OpenID Connect, and ours).
const RESERVED: [&str; 45] = [
    "iss",
    "sub",
    "aud",
    "exp",
    "nbf",
    "iat",
    "jti",
    "client_id",
    "scope",
    "scp",
    "sid",
    "gv",
    "rol",
    "role",
    "roles",
    "pv",
    "perm",
    "permissions",
    "act",
    "may_act",
    "cnf",
    "organization",
    "application",
    "market",
    "owner",
    "user",
    "custom_claim",
    "test",
    "rand",
    "auth_time",
    "acr",
    "amr",
    "azp",
    "nonce",
    "at_hash",
    "c_hash",
    "groups",
    "entitlements",
    "email",
    "email_verified",
    "typ",
    "alg",
    "kid",
    "events",
    "status",
];

/// Checks a custom claim.
///
/// # Errors
/// `invalid_assertion` with the reason.
pub fn check(claim: &Value) -> Result<(), Refusal> {
    let Value::Object(members) = claim else {
        return Err(refuse("custom_claim must be a JSON object."));
    };
    if claim.to_string().len() > MAX_BYTES {
        return Err(refuse(format!("custom_claim is larger than {MAX_BYTES} bytes.")));
    }
    for name in members.keys() {
        if RESERVED.contains(&name.as_str()) {
            return Err(refuse(format!("custom_claim may not set the reserved name {name}.")));
        }
    }
    let mut names = 0;
    walk(claim, 1, &mut names)
}

fn walk(value: &Value, depth: usize, names: &mut usize) -> Result<(), Refusal> {
    match value {
        Value::Object(_) | Value::Array(_) if depth > MAX_DEPTH => {
            Err(refuse(format!("custom_claim is nested deeper than {MAX_DEPTH}.")))
        }
        Value::Object(members) => {
            *names += members.len();
            if *names > MAX_NAMES {
                return Err(refuse(format!("custom_claim has more than {MAX_NAMES} names.")));
            }
            members.iter().try_for_each(|(name, value)| {
                sound_name(name)?;
                walk(value, depth + 1, names)
            })
        }
        Value::Array(items) => items.iter().try_for_each(|item| walk(item, depth + 1, names)),
        Value::String(text) if text.len() > MAX_TEXT => {
            Err(refuse(format!("A text in custom_claim is longer than {MAX_TEXT} bytes.")))
        }
        Value::String(text) if holds_card_number(text) => {
            Err(refuse("custom_claim holds a payment card number."))
        }
        Value::Number(number) if holds_card_number(&number.to_string()) => {
            Err(refuse("custom_claim holds a payment card number."))
        }
        _ => Ok(()),
    }
}

/// `^[a-z][a-z0-9_]{0,39}$`: nothing like `__proto__`, nothing that needs escaping anywhere.
fn sound_name(name: &str) -> Result<(), Refusal> {
    let rest_is_sound = |c: u8| c.is_ascii_lowercase() || c.is_ascii_digit() || c == b'_';
    let sound = name.len() <= 40
        && name.as_bytes().first().is_some_and(u8::is_ascii_lowercase)
        && name.bytes().all(rest_is_sound);
    if sound {
        return Ok(());
    }
    Err(refuse(
        "Names in custom_claim are lower-case letters, digits and _, begin with a letter and have at most 40.",
    ))
}

/// 13 to 19 digits, with spaces or dashes between them, that pass the Luhn check (ISO/IEC 7812-1).
fn holds_card_number(text: &str) -> bool {
    let mut run: Vec<u8> = Vec::new();
    let mut found = false;
    for byte in text.bytes().chain([b'.']) {
        match byte {
            b'0'..=b'9' => run.push(byte - b'0'),
            b' ' | b'-' => {}
            _ => {
                found |= (13..=19).any(|length| run.windows(length).any(|w| w.len() == run.len() && luhn(w)));
                run.clear();
            }
        }
    }
    found
}

fn luhn(digits: &[u8]) -> bool {
    let sum: u32 = digits
        .iter()
        .rev()
        .enumerate()
        .map(|(at, digit)| match (at % 2, u32::from(*digit)) {
            (0, digit) => digit,
            (_, digit) if digit > 4 => digit * 2 - 9,
            (_, digit) => digit * 2,
        })
        .sum();
    sum.is_multiple_of(10) && digits.iter().any(|digit| *digit != 0)
}

fn refuse(sentence: impl Into<std::borrow::Cow<'static, str>>) -> Refusal {
    Refusal::new(Code::InvalidAssertion, sentence)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn an_honest_claim_passes() {
        check(&json!({"customer": {"first_name": "Jörg", "tags": ["vip", 7, true]}, "order": "100-200"}))
            .unwrap();
    }

    #[test]
    fn reserved_and_odd_names_are_refused() {
        for claim in [
            json!({"sub": "x"}),
            json!({"exp": 1}),
            json!({"act": {}}),
            json!({"__proto__": 1}),
            json!({"A": 1}),
            json!({"a": {"constructor ": 1}}),
            json!({"": 1}),
            json!({"a".repeat(41): 1}),
            json!([1]),
            json!("x"),
        ] {
            assert!(check(&claim).is_err(), "{claim}");
        }
    }

    #[test]
    fn size_depth_and_count_are_bounded() {
        let many: serde_json::Map<_, _> = (0..33).map(|n| (format!("n{n}"), json!(1))).collect();
        for claim in [
            json!({"a": "x".repeat(257)}),
            json!({"a": {"b": {"c": {"d": 1}}}}),
            Value::Object(many),
            json!({"a": ["x".repeat(250), "x".repeat(250), "x".repeat(250), "x".repeat(250), "x".repeat(250)]}),
        ] {
            assert!(check(&claim).is_err());
        }
    }

    #[test]
    fn a_card_number_never_enters_a_token() {
        for text in
            ["4111111111111111", "4111 1111 1111 1111", "card: 5500-0000-0000-0004!", "378282246310005"]
        {
            assert!(check(&json!({"note": text})).is_err(), "{text}");
        }
        assert!(check(&json!({"note": 4111111111111111u64})).is_err());
        for text in ["4111111111111112", "123456789012", "0000000000000000", "2026-11-22"] {
            check(&json!({"note": text})).unwrap();
        }
    }
}
