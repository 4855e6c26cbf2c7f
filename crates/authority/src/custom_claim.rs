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
/// What people put between the groups of a card number.
const SEPARATORS: [char; 5] = [' ', '-', '.', '_', '\u{a0}'];
/// The zeros of other scripts whose digits a person reads as a number, or a program as ASCII: Arabic, Persian,
/// Devanagari, and the wide forms that East Asian keyboards make.
const ZEROS: [char; 4] = ['\u{660}', '\u{6f0}', '\u{966}', '\u{ff10}'];
const CARD_NUMBER: &str = "custom_claim holds what looks like a payment card number; leave it out.";

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
            })?;
            refuse_pieces(members.values(), false)
        }
        Value::Array(items) => {
            items.iter().try_for_each(|item| walk(item, depth + 1, names))?;
            refuse_pieces(items.iter(), true)
        }
        Value::String(text) if text.len() > MAX_TEXT => {
            Err(refuse(format!("A text in custom_claim is longer than {MAX_TEXT} bytes.")))
        }
        Value::String(text) if holds_card_number(text) => Err(refuse(CARD_NUMBER)),
        Value::Number(number) if holds_card_number(&number.to_string()) => Err(refuse(CARD_NUMBER)),
        _ => Ok(()),
    }
}

/// `^[a-z][a-z0-9_]{0,39}$`: nothing like `__proto__`, nothing that needs escaping anywhere.
fn sound_name(name: &str) -> Result<(), Refusal> {
    let rest_is_sound = |c: u8| c.is_ascii_lowercase() || c.is_ascii_digit() || c == b'_';
    let sound = name.len() <= 40
        && name.as_bytes().first().is_some_and(u8::is_ascii_lowercase)
        && name.bytes().all(rest_is_sound);
    if sound && holds_card_number(name) {
        return Err(refuse(CARD_NUMBER));
    }
    if sound {
        return Ok(());
    }
    Err(refuse(
        "Names in custom_claim are lower-case letters, digits and _, begin with a letter and have at most 40.",
    ))
}

/// Whether a payment card number stands in the text: by itself, or as groups of digits with single spaces,
/// dashes, dots or underscores between them, other groups beside it or not.
///
/// Every tenth number passes the Luhn check, so not every window of a long run is tried: each group, each
/// whole run of groups, and within a run the groups of three digits and more that stand side by side, as they
/// do on a card.
fn holds_card_number(text: &str) -> bool {
    runs_of_groups(text).iter().any(|groups| {
        let long_enough = |part: &[Vec<u8>]| part.iter().all(|group| group.len() >= 3);
        let side_by_side =
            (0..groups.len()).flat_map(|from| (from + 1..=groups.len()).map(move |to| (from, to)));
        side_by_side
            .map(|(from, to)| &groups[from..to])
            .filter(|part| part.len() == 1 || part.len() == groups.len() || long_enough(part))
            .any(|part| is_card_number(&part.concat()))
    })
}

/// The ways in which cards have their digits in groups (4-4-4-4, American Express, Diners, 18 and 19 digits).
const GROUPED: [&[usize]; 6] =
    [&[4, 4, 4, 4], &[4, 6, 5], &[4, 6, 4], &[4, 4, 4, 4, 2], &[4, 4, 4, 4, 3], &[4, 4, 5]];

/// Refuses a card number in pieces: neighbours that are nothing but digits and are grouped as on a card, or,
/// in a list, are one as a whole. Any run of neighbours would be too much to ask: of a list of twenty numbers
/// some run passes the Luhn check nearly always.
fn refuse_pieces<'a>(values: impl Iterator<Item = &'a Value>, is_list: bool) -> Result<(), Refusal> {
    let pieces: Vec<Vec<u8>> = values.map(|value| digits_of(value).unwrap_or_default()).collect();
    let grouped = |from: usize, shape: &&[usize]| {
        let part = pieces.get(from..from + shape.len());
        part.is_some_and(|part| {
            part.iter().map(Vec::len).eq(shape.iter().copied()) && is_card_number(&part.concat())
        })
    };
    let whole = |run: &[Vec<u8>]| is_list && run.len() > 1 && is_card_number(&run.concat());
    let found = pieces.split(Vec::is_empty).any(whole)
        || (0..pieces.len()).any(|from| GROUPED.iter().any(|shape| grouped(from, shape)));
    if found { Err(refuse(CARD_NUMBER)) } else { Ok(()) }
}

/// The digits of a value that is nothing else, whatever separates them.
fn digits_of(value: &Value) -> Option<Vec<u8>> {
    let text = match value {
        Value::String(text) => text.clone(),
        Value::Number(number) => number.to_string(),
        // One piece that is itself wrapped is still a piece.
        Value::Array(items) => match items.as_slice() {
            [one] => return digits_of(one),
            _ => return None,
        },
        _ => return None,
    };
    let sound = text.trim().chars().all(|c| digit(c).is_some() || is_separator(c));
    let digits: Vec<u8> = text.chars().filter_map(digit).collect();
    (sound && !digits.is_empty()).then_some(digits)
}

/// Groups of digits; those with one separator between them are one run.
fn runs_of_groups(text: &str) -> Vec<Vec<Vec<u8>>> {
    let (mut runs, mut run, mut group) = (Vec::new(), Vec::new(), Vec::new());
    for c in text.chars().chain(['\n']) {
        if let Some(digit) = digit(c) {
            group.push(digit);
            continue;
        }
        let joins = is_separator(c) && !group.is_empty();
        if !group.is_empty() {
            run.push(std::mem::take(&mut group));
        }
        if !joins {
            runs.push(std::mem::take(&mut run));
        }
    }
    runs
}

fn digit(c: char) -> Option<u8> {
    let from = |zero: char| u32::from(c).checked_sub(zero.into()).filter(|digit| *digit < 10);
    ['0'].into_iter().chain(ZEROS).find_map(from).and_then(|digit| u8::try_from(digit).ok())
}

/// What people put between groups, and what nobody sees: dashes and spaces of typesetting, and characters
/// without width.
fn is_separator(c: char) -> bool {
    SEPARATORS.contains(&c)
        || matches!(c, '\u{2000}'..='\u{2015}' | '\u{202f}' | '\u{2060}' | '\u{feff}' | '\u{ad}')
}

/// 13 to 19 digits that pass the Luhn check (ISO/IEC 7812-1). None begins with 0, and with 1 only those of
/// 15 digits; times in milliseconds begin with 1 and have 13.
fn is_card_number(digits: &[u8]) -> bool {
    let opens_like_one = match digits.first() {
        None | Some(0) => false,
        Some(1) => digits.len() == 15,
        Some(_) => true,
    };
    (13..=19).contains(&digits.len()) && opens_like_one && luhn(digits)
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
    sum.is_multiple_of(10)
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
        for text in [
            "4111111111111111",
            "4111 1111 1111 1111",
            "card: 5500-0000-0000-0004!",
            "378282246310005",
            "3782 822463 10005",
            "4111.1111.1111.1111",
            "4111\u{a0}1111\u{a0}1111\u{a0}1111",
            "41 11 11 11 11 11 11 11",
            "12 4111111111111111",
            "4111111111111111 12/29 123",
            "12 4111 1111 1111 1111 99",
            "a4111111111111111b",
            "é4111111111111111é",
            "\u{664}\u{661}\u{661}\u{661}111111111111",
            "４１１１１１１１１１１１１１１１",
            "4111\u{200b}1111\u{200b}1111\u{200b}1111",
            "4111\u{2013}1111\u{2013}1111\u{2013}1111",
        ] {
            assert!(check(&json!({"note": text})).is_err(), "{text}");
            assert!(check(&json!({"list": [{"note": text}]})).is_err(), "{text}");
        }
        assert!(check(&json!({"note": 4111111111111111u64})).is_err());
        assert!(check(&json!({"note": -4111111111111111i64})).is_err());
        assert!(check(&json!({"n4111111111111111": 1})).is_err());
    }

    #[test]
    fn a_card_number_in_pieces_is_one() {
        for claim in [
            json!({"n": ["4111", "1111", "1111", "1111"]}),
            json!({"n": [4111, 1111, 1111, 1111]}),
            json!({"n": ["vip", 4111, "1111 ", 1111, "1111-", "99"]}),
            json!({"n": [99, 3782, 822463, 10005, 4]}),
            json!({"n": [4, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1]}),
            json!({"n": [["4111"], ["1111"], ["1111"], ["1111"]]}),
            json!({"n": ["41111111", "11111111"]}),
            json!({"a": "4111", "b": "1111", "c": "1111", "d": "1111"}),
        ] {
            assert!(check(&claim).is_err(), "{claim}");
        }
        for claim in [
            json!({"n": ["4111", "1111", "1111", "1112"]}),
            json!({"n": ["4111", "x", "1111", "1111", "1111"]}),
            json!({"sizes": [38, 40, 42], "years": [2024, 2025, 2026]}),
            json!({"zip": "20121", "floor": 3}),
        ] {
            check(&claim).unwrap();
        }
    }

    #[test]
    fn numbers_that_are_not_cards_pass() {
        for text in [
            "",
            "4111111111111112",
            "123456789012",
            "0000000000000000",
            "2026-11-22",
            "41111111111111110000",
            "4111  1111  1111  1111",
            "4111, 1111, 1111, 1111",
            "1800000000005",
            "10.20.30.40 and 192.168.100.200",
            "+49 30 1234567",
        ] {
            check(&json!({"note": text})).unwrap();
        }
        let timestamps = (0..100u64).map(|n| 1_800_000_000_000 + n);
        timestamps.for_each(|time| check(&json!({ "at": time })).unwrap());
    }
}
