//! The predicates of Ransack, each at the end of a filter's name: what must be true of a value.

use std::cmp::Ordering;

use serde_json::Value;

/// Something that is true of a value or not.
#[derive(Clone, Debug, PartialEq)]
pub struct Predicate {
    test: Test,
    /// Whether the test must fail instead.
    not: bool,
    /// Nothing at all passes too.
    or_null: bool,
    /// Of several values, all must fit rather than any.
    all: bool,
    values: Vec<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Test {
    Equal,
    Contains,
    ContainsFolded,
    Starts,
    Ends,
    Like,
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
    Null,
    Present,
    True,
    JsonContains,
}

/// The ends of names: the test, and whether it is denied.
const WORDS: [(&str, Test, bool); 27] = [
    ("eq", Test::Equal, false),
    ("not_eq", Test::Equal, true),
    ("in", Test::Equal, false),
    ("not_in", Test::Equal, true),
    ("cont", Test::Contains, false),
    ("not_cont", Test::Contains, true),
    ("i_cont", Test::ContainsFolded, false),
    ("not_i_cont", Test::ContainsFolded, true),
    ("start", Test::Starts, false),
    ("not_start", Test::Starts, true),
    ("end", Test::Ends, false),
    ("not_end", Test::Ends, true),
    ("matches", Test::Like, false),
    ("does_not_match", Test::Like, true),
    ("lt", Test::Less, false),
    ("lteq", Test::LessOrEqual, false),
    ("gt", Test::Greater, false),
    ("gteq", Test::GreaterOrEqual, false),
    ("null", Test::Null, false),
    ("not_null", Test::Null, true),
    ("present", Test::Present, false),
    ("blank", Test::Present, true),
    ("true", Test::True, false),
    ("not_true", Test::True, true),
    ("false", Test::True, true),
    ("not_false", Test::True, false),
    ("jcont", Test::JsonContains, false),
];

impl Predicate {
    /// The attributes and the predicate of a filter's name; the longest predicate that fits counts.
    pub fn split<'a>(name: &'a str, value: &str) -> Option<(&'a str, Self)> {
        let (name, or_null) = match name.strip_suffix("_or_null") {
            Some(rest) => (rest, true),
            None => (name, false),
        };
        let (rest, all, any) = match (name.strip_suffix("_all"), name.strip_suffix("_any")) {
            (Some(rest), _) => (rest, true, true),
            (_, Some(rest)) => (rest, false, true),
            _ => (name, false, false),
        };
        let fits = |(word, ..): &&(&str, Test, bool)| {
            let attributes = rest.strip_suffix(word).and_then(|rest| rest.strip_suffix('_'));
            attributes.is_some_and(|attributes| !attributes.is_empty())
        };
        let (word, test, denied) = WORDS.iter().filter(fits).max_by_key(|(word, ..)| word.len())?;
        let attributes = &rest[..rest.len() - word.len() - 1];
        let several = any || matches!(*word, "in" | "not_in");
        let values =
            if several { value.split(',').map(str::to_owned).collect() } else { vec![value.to_owned()] };
        // `owner_null=false` asks the opposite.
        let turned = matches!(test, Test::Null | Test::Present | Test::True) && value == "false";
        Some((attributes, Self { test: *test, not: denied ^ turned, or_null, all, values }))
    }

    pub fn holds(&self, value: &Value) -> bool {
        if self.or_null && value.is_null() {
            return true;
        }
        let mut each = self.values.iter().map(|wanted| self.test.holds(value, wanted));
        match (self.all, self.not) {
            (true, false) => each.all(|holds| holds),
            (true, true) => each.all(|holds| !holds),
            (false, not) => each.any(|holds| holds) != not,
        }
    }
}

impl Test {
    fn holds(self, value: &Value, wanted: &str) -> bool {
        let text = text(value);
        match self {
            Self::Null => value.is_null(),
            Self::Present => !text.trim().is_empty() && text != "{}" && text != "[]",
            Self::True => value == &Value::Bool(true),
            _ if value.is_null() => false,
            Self::Equal => ordering(value, wanted) == Some(Ordering::Equal),
            Self::Contains => text.contains(wanted),
            Self::ContainsFolded => text.to_lowercase().contains(&wanted.to_lowercase()),
            Self::Starts => text.starts_with(wanted),
            Self::Ends => text.ends_with(wanted),
            Self::Like => like(&text, wanted),
            Self::Less => ordering(value, wanted) == Some(Ordering::Less),
            Self::LessOrEqual => matches!(ordering(value, wanted), Some(Ordering::Less | Ordering::Equal)),
            Self::Greater => ordering(value, wanted) == Some(Ordering::Greater),
            Self::GreaterOrEqual => {
                matches!(ordering(value, wanted), Some(Ordering::Greater | Ordering::Equal))
            }
            Self::JsonContains => {
                serde_json::from_str::<Value>(wanted).is_ok_and(|wanted| holds_json(value, &wanted))
            }
        }
    }
}

/// An order over values, for sorting: nothing first, then numbers, then texts.
pub fn compare(left: &Value, right: &Value) -> Ordering {
    // By rank first: to compare a number with a text as texts would go round in circles (9 < 10 < "5" < 9),
    // and a sort that finds that out panics.
    let rank = |value: &Value| (!value.is_null(), !value.is_number());
    rank(left).cmp(&rank(right)).then_with(|| match (left.as_f64(), right.as_f64()) {
        (Some(left), Some(right)) => left.total_cmp(&right),
        _ => text(left).cmp(&text(right)),
    })
}

fn ordering(value: &Value, wanted: &str) -> Option<Ordering> {
    match value {
        Value::Number(number) => number.as_f64()?.partial_cmp(&wanted.parse().ok()?),
        Value::Bool(flag) => Some(flag.to_string().as_str().cmp(match wanted {
            "1" => "true",
            "0" => "false",
            wanted => wanted,
        })),
        value => Some(text(value).as_str().cmp(wanted)),
    }
}

fn text(value: &Value) -> String {
    match value {
        Value::Null => String::new(),
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

/// SQL's LIKE without regard to case: `%` is anything, `_` is one character. Goes back at most to the last
/// `%`, so that no pattern takes long.
fn like(text: &str, pattern: &str) -> bool {
    let text: Vec<char> = text.to_lowercase().chars().collect();
    let pattern: Vec<char> = pattern.to_lowercase().chars().collect();
    let (mut at, mut with, mut back) = (0, 0, None);
    while at < text.len() {
        match pattern.get(with) {
            Some('%') => {
                back = Some((with, at));
                with += 1;
            }
            Some(one) if *one == '_' || *one == text[at] => {
                at += 1;
                with += 1;
            }
            _ => match back {
                Some((percent, from)) => {
                    back = Some((percent, from + 1));
                    at = from + 1;
                    with = percent + 1;
                }
                None => return false,
            },
        }
    }
    pattern[with..].iter().all(|left| *left == '%')
}

fn holds_json(value: &Value, wanted: &Value) -> bool {
    match (value, wanted) {
        (Value::Object(value), Value::Object(wanted)) => {
            wanted.iter().all(|(name, wanted)| value.get(name).is_some_and(|value| holds_json(value, wanted)))
        }
        (Value::Array(value), Value::Array(wanted)) => {
            wanted.iter().all(|wanted| value.iter().any(|value| holds_json(value, wanted)))
        }
        (value, wanted) => value == wanted,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn holds(name: &str, wanted: &str, value: Value) -> bool {
        let (attribute, predicate) = Predicate::split(name, wanted).expect("a predicate");
        assert_eq!(attribute, "name", "{name}");
        predicate.holds(&value)
    }

    #[test]
    fn numbers_and_texts_sort_without_going_round_in_circles() {
        let mut mixed = vec![json!("5"), json!(10), json!(""), json!(9), Value::Null, json!(true)];
        mixed.sort_by(compare);
        assert_eq!(mixed, [Value::Null, json!(9), json!(10), json!(""), json!("5"), json!(true)]);
    }

    #[test]
    fn every_predicate_says_yes_and_no() {
        let cases = [
            ("name_eq", "ann", json!("ann"), json!("Ann")),
            ("name_not_eq", "ann", json!("bob"), json!("ann")),
            ("name_in", "ann,bob", json!("bob"), json!("eve")),
            ("name_not_in", "ann,bob", json!("eve"), json!("bob")),
            ("name_not_in_or_null", "ann", json!(null), json!("ann")),
            ("name_cont", "n", json!("ann"), json!("eve")),
            ("name_not_cont", "n", json!("eve"), json!("ann")),
            ("name_i_cont", "N", json!("ann"), json!("eve")),
            ("name_cont_any", "x,n", json!("ann"), json!("eve")),
            ("name_cont_all", "a,n", json!("ann"), json!("eva")),
            ("name_start", "an", json!("ann"), json!("dan")),
            ("name_not_start", "an", json!("dan"), json!("ann")),
            ("name_end", "nn", json!("ann"), json!("and")),
            ("name_not_end", "nn", json!("and"), json!("ann")),
            ("name_matches", "a%_b", json!("A--xB"), json!("ab")),
            ("name_does_not_match", "a%", json!("ba"), json!("ab")),
            ("name_lt", "10", json!(9), json!(10)),
            ("name_lteq", "10", json!(10), json!(11)),
            ("name_gt", "2027-01-01", json!("2027-01-02T00:00:00.000Z"), json!("2026-12-31")),
            ("name_gteq", "10", json!(10), json!(9)),
            ("name_null", "true", json!(null), json!("ann")),
            ("name_null", "false", json!("ann"), json!(null)),
            ("name_not_null", "true", json!("ann"), json!(null)),
            ("name_present", "true", json!("ann"), json!("")),
            ("name_blank", "true", json!({}), json!("ann")),
            ("name_true", "true", json!(true), json!(false)),
            ("name_false", "true", json!(false), json!(true)),
            ("name_eq", "true", json!(true), json!(false)),
            ("name_jcont", r#"{"a":1}"#, json!({"a": 1, "b": 2}), json!({"a": 2})),
        ];
        for (name, wanted, yes, no) in cases {
            assert!(holds(name, wanted, yes), "{name} {wanted}");
            assert!(!holds(name, wanted, no), "{name} {wanted}");
        }
    }

    #[test]
    fn a_name_without_a_predicate_is_no_filter() {
        for name in ["name", "eq", "_eq", "name_", "name_sounds_like", ""] {
            assert_eq!(Predicate::split(name, "x"), None, "{name}");
        }
    }

    #[test]
    fn a_pattern_of_many_percents_is_quick() {
        assert!(!like(&"a".repeat(5000), &format!("{}b", "%a".repeat(200))));
    }
}
