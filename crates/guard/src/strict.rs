//! JSON read so that no two parsers can read it differently: a repeated member name is an error, and so
//! is nesting that only an attacker would write. Knows no claim and no header.

use std::collections::HashMap;
use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, Error, MapAccess, SeqAccess, Visitor};

/// How deep our own documents may nest. A token with three actors and a custom claim of depth three needs
/// five; a JWKS three; a policy six. The rest is room.
const DEEPEST: usize = 16;

/// What a JSON text says, as far as it matters here.
#[derive(Debug)]
pub(crate) enum Brief {
    Null,
    Text(String),
    Object(HashMap<String, Brief>),
    /// A number, a boolean or an array.
    Other,
}

/// The members of the JSON object in `bytes`.
///
/// RFC 8725 section 2.4 leaves repeated names to the parser, RFC 7515 section 4 lets us refuse them: we do,
/// at every depth. Also refused: anything that is not UTF-8, not one object, or deeper than [`DEEPEST`].
pub(crate) fn object(bytes: &[u8]) -> Result<HashMap<String, Brief>, &'static str> {
    let mut json = serde_json::Deserializer::from_slice(bytes);
    let brief =
        Depth(DEEPEST).deserialize(&mut json).map_err(|_| "not JSON, or a name twice, or too deep")?;
    json.end().map_err(|_| "something follows the JSON")?;
    match brief {
        Brief::Object(members) => Ok(members),
        _ => Err("not a JSON object"),
    }
}

/// How much deeper a value may still nest.
#[derive(Clone, Copy)]
struct Depth(usize);

impl Depth {
    fn inside<E: Error>(self) -> Result<Self, E> {
        self.0.checked_sub(1).map(Self).ok_or_else(|| E::custom("too deep"))
    }
}

impl<'de> DeserializeSeed<'de> for Depth {
    type Value = Brief;

    fn deserialize<D: Deserializer<'de>>(self, from: D) -> Result<Brief, D::Error> {
        from.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Depth {
    type Value = Brief;

    fn expecting(&self, to: &mut fmt::Formatter) -> fmt::Result {
        to.write_str("JSON")
    }

    fn visit_unit<E: Error>(self) -> Result<Brief, E> {
        Ok(Brief::Null)
    }

    fn visit_bool<E: Error>(self, _: bool) -> Result<Brief, E> {
        Ok(Brief::Other)
    }

    fn visit_u64<E: Error>(self, _: u64) -> Result<Brief, E> {
        Ok(Brief::Other)
    }

    fn visit_i64<E: Error>(self, _: i64) -> Result<Brief, E> {
        Ok(Brief::Other)
    }

    fn visit_f64<E: Error>(self, _: f64) -> Result<Brief, E> {
        Ok(Brief::Other)
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Brief, E> {
        Ok(Brief::Text(text.to_owned()))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut array: A) -> Result<Brief, A::Error> {
        let inside = self.inside()?;
        while array.next_element_seed(inside)?.is_some() {}
        Ok(Brief::Other)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut object: A) -> Result<Brief, A::Error> {
        let inside = self.inside()?;
        let mut members = HashMap::new();
        while let Some(name) = object.next_key::<String>()? {
            let value = object.next_value_seed(inside)?;
            if members.insert(name, value).is_some() {
                return Err(A::Error::custom("a name twice"));
            }
        }
        Ok(Brief::Object(members))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_may_stand_once_however_it_is_spelled() {
        for twice in [r#"{"a":1,"a":1}"#, r#"{"a":1,"\u0061":1}"#, r#"{"x":[{"a":1,"a":2}]}"#] {
            assert!(object(twice.as_bytes()).is_err(), "{twice}");
        }
        assert!(object(br#"{"a":{"a":1},"b":[1,1.5,-1,null,true]}"#).is_ok());
    }

    #[test]
    fn one_object_and_nothing_else() {
        for other in ["", "[]", "1", "{} {}", "{}x", "{\"a\":}", "{\"a\":NaN}", "\u{feff}{}"] {
            assert!(object(other.as_bytes()).is_err(), "{other}");
        }
        assert!(object(b"{\"a\":\"\xff\"}").is_err());
    }

    #[test]
    fn depth_ends_somewhere() {
        let nested = |depth: usize| format!("{{\"a\":{}{}}}", "[".repeat(depth), "]".repeat(depth));
        assert!(object(nested(DEEPEST - 1).as_bytes()).is_ok());
        assert!(object(nested(DEEPEST).as_bytes()).is_err());
        assert!(object(nested(100_000).as_bytes()).is_err());
    }
}
