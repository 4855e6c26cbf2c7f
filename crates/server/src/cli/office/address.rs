//! What somebody types goes into an address of the operators' listener as what it is, and never as another address.

/// A query of what was said.
pub(super) fn query(asked: &[(&str, Option<&str>)]) -> String {
    let mut query = url::form_urlencoded::Serializer::new(String::new());
    for (name, value) in asked {
        if let Some(value) = value {
            query.append_pair(name, value);
        }
    }
    match query.finish() {
        empty if empty.is_empty() => empty,
        query => format!("?{query}"),
    }
}

/// A part of a path: what somebody types must not become another address.
pub(super) fn part(text: &str) -> String {
    url::form_urlencoded::byte_serialize(text.as_bytes()).collect::<String>().replace('+', "%20")
}

/// Whether this can be an id: it holds nothing that an address could take for its own.
pub(super) fn is_id(text: &str) -> bool {
    !text.is_empty() && text.chars().all(|c| c.is_ascii_alphanumeric() || c == '-' || c == '_')
}

/// For an argument that is an id.
pub(super) fn id(text: &str) -> Result<String, &'static str> {
    is_id(text).then(|| text.to_owned()).ok_or("this is no id: letters, digits, - and _ only")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_typed_stays_one_part_of_the_address() {
        assert_eq!(part("a/../b c?d"), "a%2F..%2Fb%20c%3Fd");
        assert_eq!(query(&[("search", Some("a&b")), ("kind", None)]), "?search=a%26b");
        assert_eq!(query(&[("kind", None)]), "");
        for odd in ["", "a/b", "a b", "../x", "a?b"] {
            assert!(id(odd).is_err(), "{odd}");
        }
        assert_eq!(id("orgDemo-1_A").as_deref(), Ok("orgDemo-1_A"));
    }
}
