//! The payload of a token whose signature holds: read into claims, and held against the clock. Knows
//! neither keys nor which issuer, audience or environment is meant.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::Deserialize;

use crate::claims::Claims;
use crate::strict::{self, Brief};
use crate::{Denied, Profile};

/// Seconds that a token is accepted past `exp`, for clocks that disagree. Records in the feed outlive
/// `exp` by 120 s, so a revoked token cannot come back within the leeway.
pub const EXPIRY_LEEWAY: u64 = 30;

/// Seconds that `iat` and `nbf` may lie in the future. Smaller than [`EXPIRY_LEEWAY`], because a token from
/// the future is a clock that is wrong or a time cut-off that somebody wants to step over.
pub const FUTURE_LEEWAY: u64 = 5;

/// The longest life of a token, seconds: one year, the longest that Commerce Layer's credentials can be
/// set to. A token that claims more was not issued by our rules.
pub const LONGEST_LIFE: u64 = 31_536_000;

/// How many may stand in a chain of actors. The server never writes more.
const MOST_ACTORS: usize = 3;

/// The claims of a token and the one time that they do not hold.
#[derive(Debug)]
pub(crate) struct Contents {
    pub claims: Claims,
    /// Not before, seconds (RFC 7519 section 4.1.5).
    not_before: u64,
}

/// Reads the payload of an access token.
///
/// A claim that is not of its type is an error and never "absent" (that reading has been a hole elsewhere);
/// so is a claim that is `null`, that stands twice, or an id that cannot be an id in the feed.
pub(crate) fn read(payload: &[u8], profile: Profile) -> Result<Contents, Denied> {
    let members = strict::object(payload).map_err(Denied::Malformed)?;
    if members.values().any(|value| matches!(value, Brief::Null)) {
        return Err(Denied::Malformed("a claim is null"));
    }
    // An ID token also says `typ: JWT`; these claims are what tells it (OpenID Connect Core section 2).
    let is_id_token = ["nonce", "at_hash", "c_hash"].iter().any(|name| members.contains_key(*name));
    if profile == Profile::CommerceLayer && is_id_token {
        return Err(Denied::WrongType);
    }
    let claims: Claims = serde_json::from_slice(payload)
        .map_err(|_| Denied::Malformed("a claim is missing or of another type"))?;
    let Beside { nbf } =
        serde_json::from_slice(payload).map_err(|_| Denied::Malformed("nbf is not a whole number"))?;
    ids_are_ids(&claims)?;
    Ok(Contents { not_before: nbf.unwrap_or(claims.iat).max(claims.iat), claims })
}

impl Contents {
    /// Whether this is the time of the token; `now` in seconds since the Unix epoch.
    pub fn in_time(&self, now: u64) -> Result<(), Denied> {
        let Claims { iat, exp, .. } = self.claims;
        if self.not_before > now.saturating_add(FUTURE_LEEWAY) {
            return Err(Denied::NotYetValid);
        }
        if now >= exp.saturating_add(EXPIRY_LEEWAY) {
            return Err(Denied::Expired);
        }
        if exp.saturating_sub(iat) > LONGEST_LIFE.saturating_add(EXPIRY_LEEWAY) {
            return Err(Denied::TooLongLived);
        }
        Ok(())
    }
}

/// What may stand beside our claims and matters.
#[derive(Deserialize)]
struct Beside {
    #[serde(default)]
    nbf: Option<u64>,
}

/// The feed names tokens and families by 16 bytes; an id that is not those bytes could never be ended.
fn ids_are_ids(claims: &Claims) -> Result<(), Denied> {
    let is_id = |id: &str| id.len() == 22 && URL_SAFE_NO_PAD.decode(id).is_ok_and(|bytes| bytes.len() == 16);
    let shown = claims.actors().filter_map(|actor| actor.from.as_ref());
    let shown = shown.flat_map(|shown| std::iter::once(shown.jti.as_str()).chain(shown.sid.as_deref()));
    let mut ids = std::iter::once(claims.jti.as_str()).chain(claims.sid.as_deref()).chain(shown);
    if !ids.all(is_id) {
        return Err(Denied::Malformed("jti, sid or from is not 16 bytes in base64url"));
    }
    if claims.actors().count() > MOST_ACTORS {
        return Err(Denied::Malformed("the chain of actors is too long"));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn claims() -> Value {
        json!({
            "iss": "https://auth.shop.example", "sub": "OpQrStUvWx", "aud": "commerce-api", "client_id": "c",
            "iat": 1_800_000_000u64, "exp": 1_800_007_200u64, "jti": "AAAAAAAAAAAAAAAAAAAAAA",
            "sid": "AAAAAAAAAAAAAAAAAAAAAQ", "scope": "market:all", "gv": [1, 1, 1, 0], "rol": ["admin"], "pv": 1,
            "application": {"id": "a", "client_id": "c", "kind": "webapp", "public": false, "confidential": true},
            "test": false, "rand": 0.5
        })
    }

    fn reading(name: &str, value: Value) -> Result<Contents, Denied> {
        let mut claims = claims();
        claims[name] = value;
        read(claims.to_string().as_bytes(), Profile::Rfc9068)
    }

    #[test]
    fn a_time_is_a_whole_number_or_the_token_is_refused() {
        for name in ["exp", "iat", "nbf"] {
            for value in [
                json!("1800000000"),
                json!(1_800_000_000.5),
                json!(1_800_000_000.0),
                json!(-1),
                json!(null),
                json!([1_800_000_000u64]),
                json!(true),
                json!({}),
            ] {
                assert!(matches!(reading(name, value.clone()), Err(Denied::Malformed(_))), "{name} {value}");
            }
            for raw in ["18446744073709551616", "1e9", "NaN", "Infinity", "0x10", "01", ""] {
                let text = claims().to_string();
                let text =
                    format!("{{\"{name}\":{raw},{}", &text.replace(&format!("\"{name}\":"), "\"x\":")[1..]);
                assert!(read(text.as_bytes(), Profile::Rfc9068).is_err(), "{name} {raw}");
            }
        }
        for name in ["exp", "iat"] {
            let mut claims = claims();
            claims.as_object_mut().unwrap().remove(name);
            assert!(read(claims.to_string().as_bytes(), Profile::Rfc9068).is_err(), "{name} missing");
        }
        assert!(reading("nbf", json!(1_800_000_000u64)).is_ok());
    }

    #[test]
    fn a_token_is_good_from_its_start_less_five_seconds_to_its_end_plus_thirty() {
        let contents = reading("nbf", json!(1_800_000_100u64)).unwrap();
        assert_eq!(contents.in_time(1_800_000_094), Err(Denied::NotYetValid));
        assert_eq!(contents.in_time(1_800_000_095), Ok(()));
        assert_eq!(contents.in_time(1_800_007_229), Ok(()));
        assert_eq!(contents.in_time(1_800_007_230), Err(Denied::Expired));
        assert_eq!(contents.in_time(u64::MAX), Err(Denied::Expired));
        assert_eq!(contents.in_time(0), Err(Denied::NotYetValid));
    }

    #[test]
    fn an_early_nbf_does_not_excuse_a_late_iat() {
        let contents = reading("nbf", json!(0)).unwrap();
        assert_eq!(contents.in_time(1_799_999_994), Err(Denied::NotYetValid));
    }

    #[test]
    fn no_token_lives_longer_than_a_year() {
        let living = |life: u64| reading("exp", json!(1_800_000_000 + life)).unwrap().in_time(1_800_000_000);
        assert_eq!(living(LONGEST_LIFE + EXPIRY_LEEWAY), Ok(()));
        assert_eq!(living(LONGEST_LIFE + EXPIRY_LEEWAY + 1), Err(Denied::TooLongLived));
        assert_eq!(
            reading("exp", json!(u64::MAX)).unwrap().in_time(1_800_000_000),
            Err(Denied::TooLongLived)
        );
    }

    #[test]
    fn an_id_that_the_feed_could_not_name_is_refused() {
        for name in ["jti", "sid"] {
            for bad in [
                "",
                "AAAAAAAAAAAAAAAAAAAAA",
                "AAAAAAAAAAAAAAAAAAAAAAA",
                "AAAAAAAAAAAAAAAAAAAAAB",
                "AAAAAAAAAAAAAAAAAAAAA=",
                "AAAAAAAAAAAAAAAAAAAA+A",
                "../../../etc/passwd...",
            ] {
                assert!(reading(name, json!(bad)).is_err(), "{name} {bad}");
            }
            assert!(reading(name, json!(null)).is_err(), "{name} null");
        }
        assert!(reading("act", json!({"sub": "a", "client_id": "c", "from": "short"})).is_err());
    }

    #[test]
    fn at_most_three_act_for_somebody() {
        let actor = |inner: Option<Value>| match inner {
            None => json!({"sub": "a", "client_id": "c"}),
            Some(inner) => json!({"sub": "a", "client_id": "c", "act": inner}),
        };
        let three = actor(Some(actor(Some(actor(None)))));
        assert!(reading("act", three.clone()).is_ok());
        assert!(reading("act", actor(Some(three))).is_err());
    }

    #[test]
    fn what_is_not_one_clear_object_is_refused() {
        let good = claims().to_string();
        assert!(read(good.as_bytes(), Profile::Rfc9068).is_ok());
        let twice = good.replacen('{', r#"{"extra":1,"extra":2,"#, 1);
        let twice_known = good.replacen('{', r#"{"iss":"https://evil.example","#, 1);
        let deep = good.replacen('{', &format!(r#"{{"extra":{}{},"#, "[".repeat(99), "]".repeat(99)), 1);
        for bad in
            [twice.as_bytes(), twice_known.as_bytes(), deep.as_bytes(), b"", b"{}", b"[]", b"\xff\xfe{}"]
        {
            assert!(read(bad, Profile::Rfc9068).is_err());
        }
        let mut latin = good.into_bytes();
        let at = latin.windows(10).position(|window| window == b"OpQrStUvWx").unwrap();
        latin[at] = 0xe9;
        assert!(read(&latin, Profile::Rfc9068).is_err());
    }

    #[test]
    fn an_id_token_does_not_pass_as_the_vendors_access_token() {
        for name in ["nonce", "at_hash"] {
            let mut claims = claims();
            claims[name] = "x".into();
            let text = claims.to_string();
            assert_eq!(read(text.as_bytes(), Profile::CommerceLayer).unwrap_err(), Denied::WrongType);
        }
        for name in ["application", "jti"] {
            let mut claims = claims();
            claims.as_object_mut().unwrap().remove(name);
            assert!(read(claims.to_string().as_bytes(), Profile::CommerceLayer).is_err(), "{name}");
        }
    }
}
