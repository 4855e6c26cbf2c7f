//! A token as it arrives: taken apart, nothing proved. Knows neither keys nor claims.
//!
//! Only the compact serialization of a JWS is a token (RFC 7515 section 3.1), and there is exactly one
//! way to write each: base64url that is not canonical is refused, so that a token has one spelling.

use std::collections::HashMap;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use crate::keys::Algorithm;
use crate::strict::{self, Brief};
use crate::{Denied, Profile};

/// The longest token that is looked at, bytes. Ours stay under 4 kB; proxies stop all headers at 8 KiB.
pub const LONGEST_TOKEN: usize = 8 * 1024;

/// The longest key id that is looked for, bytes. Ours are about 30.
const LONGEST_KEY_ID: usize = 256;

/// Header members whose meaning we would have to honour if we let them pass: critical extensions
/// (RFC 7515 section 4.1.11), unencoded payloads (RFC 7797), compression and encryption (RFC 7516), and
/// keys that the sender brings along (RFC 8725 section 3.10 warns of following them).
const REFUSED: [&str; 10] = ["crit", "b64", "zip", "enc", "jwk", "jku", "x5u", "x5c", "x5t", "x5t#S256"];

/// A token taken apart, of which nothing has been proved. It tells which key to try, and no claim.
#[derive(Debug)]
pub struct Unverified<'a> {
    signing_input: &'a str,
    algorithm: Algorithm,
    key_id: Option<String>,
    media_type: Option<String>,
    payload: Vec<u8>,
    signature: Vec<u8>,
}

impl<'a> Unverified<'a> {
    /// Takes a compact JWS apart.
    ///
    /// # Errors
    /// [`Denied::Malformed`] for anything but three parts of canonical base64url without padding
    /// (RFC 7515 section 2), within [`LONGEST_TOKEN`] bytes, with a header that is one JSON object without
    /// repeated names, whose `alg` is one that we offer (never `none`, never a MAC) and that holds nothing
    /// we would have to obey.
    pub fn parse(token: &'a str) -> Result<Self, Denied> {
        let (signing_input, signature) = halves(token)?;
        let (header, payload) = signing_input.split_once('.').ok_or(Denied::Malformed("not three parts"))?;
        if payload.contains('.') {
            return Err(Denied::Malformed("not three parts"));
        }
        let header = strict::object(&decode(header)?).map_err(Denied::Malformed)?;
        if REFUSED.iter().any(|name| header.contains_key(*name)) {
            return Err(Denied::Malformed("the header holds a member that is refused"));
        }
        let algorithm = text(&header, "alg")?
            .and_then(Algorithm::from_name)
            .ok_or(Denied::Malformed("the algorithm is absent or not offered"))?;
        let key_id = text(&header, "kid")?;
        if key_id.is_some_and(|id| id.is_empty() || id.len() > LONGEST_KEY_ID) {
            return Err(Denied::Malformed("the key id is empty or too long"));
        }
        Ok(Self {
            signing_input,
            algorithm,
            key_id: key_id.map(str::to_owned),
            media_type: text(&header, "typ")?.map(str::to_owned),
            payload: decode(payload)?,
            signature: decode(signature)?,
        })
    }

    /// The key that the sender says was used (RFC 7515 section 4.1.4).
    pub fn key_id(&self) -> Option<&str> {
        self.key_id.as_deref()
    }

    /// The algorithm that the sender says was used. A key has its own; see [`crate::Key::verify`].
    pub fn algorithm(&self) -> Algorithm {
        self.algorithm
    }

    /// What the signature covers: header, dot and payload, as they arrived (RFC 7515 section 5.2).
    pub(crate) fn signing_input(&self) -> &'a str {
        self.signing_input
    }

    pub(crate) fn signature(&self) -> &[u8] {
        &self.signature
    }

    /// The payload. The caller has verified the signature.
    pub(crate) fn payload(&self) -> &[u8] {
        &self.payload
    }

    /// Which kind of token the header says this is, if it is one that may be an access token.
    /// Media types compare without regard to case, and `application/` may be left out (RFC 7515
    /// section 4.1.9, RFC 9068 section 2.1).
    pub(crate) fn profile(&self) -> Option<Profile> {
        let media_type = self.media_type.as_deref()?;
        let is = |name: &str| media_type.eq_ignore_ascii_case(name);
        if is("at+jwt") || is("application/at+jwt") {
            return Some(Profile::Rfc9068);
        }
        is("JWT").then_some(Profile::CommerceLayer)
    }
}

/// The signing input and the signature segment of a token of acceptable length.
pub(crate) fn halves(token: &str) -> Result<(&str, &str), Denied> {
    if token.len() > LONGEST_TOKEN {
        return Err(Denied::Malformed("longer than any token"));
    }
    token.rsplit_once('.').ok_or(Denied::Malformed("not three parts"))
}

/// Canonical base64url without padding: no foreign letters, no white space, no bits left over.
fn decode(segment: &str) -> Result<Vec<u8>, Denied> {
    URL_SAFE_NO_PAD.decode(segment).map_err(|_| Denied::Malformed("not canonical base64url"))
}

/// A header member that, where it stands, must be a string.
fn text<'h>(header: &'h HashMap<String, Brief>, name: &str) -> Result<Option<&'h str>, Denied> {
    match header.get(name) {
        None => Ok(None),
        Some(Brief::Text(text)) => Ok(Some(text)),
        Some(_) => Err(Denied::Malformed("a header member is not a string")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with_header(header: &str) -> String {
        format!("{}.e30.AAAA", URL_SAFE_NO_PAD.encode(header))
    }

    #[test]
    fn a_compact_jws_is_taken_apart() {
        let token = with_header(r#"{"alg":"ES256","kid":"eu1.a","typ":"at+jwt","cty":"x"}"#);
        let unverified = Unverified::parse(&token).unwrap();
        assert_eq!(unverified.key_id(), Some("eu1.a"));
        assert_eq!(unverified.algorithm(), Algorithm::Es256);
        assert_eq!(unverified.payload(), b"{}");
    }

    #[test]
    fn no_algorithm_is_taken_from_the_sender_but_the_five_we_offer() {
        for alg in
            ["none", "None", "nOnE", "NONE", "", "HS256", "HS512", "RS384", "ES384", "es256", "dir", "ES256 "]
        {
            let token = with_header(&format!(r#"{{"alg":"{alg}","kid":"a"}}"#));
            assert!(Unverified::parse(&token).is_err(), "{alg}");
        }
        for header in [r#"{"kid":"a"}"#, r#"{"alg":null}"#, r#"{"alg":["ES256"]}"#, r#"{"alg":7}"#] {
            assert!(Unverified::parse(&with_header(header)).is_err(), "{header}");
        }
    }

    #[test]
    fn what_would_have_to_be_obeyed_is_refused() {
        for name in REFUSED {
            for value in ["[\"exp\"]", "false", "{}", "\"DEF\"", "null"] {
                let token = with_header(&format!(r#"{{"alg":"ES256","kid":"a","{name}":{value}}}"#));
                assert!(Unverified::parse(&token).is_err(), "{name} {value}");
            }
        }
    }

    #[test]
    fn a_header_says_each_thing_once_and_in_words() {
        for header in [
            r#"{"alg":"ES256","alg":"ES256"}"#,
            r#"{"alg":"ES256","kid":"a","kid":"b"}"#,
            r#"{"alg":"ES256","\u0061lg":"RS256"}"#,
            r#"{"alg":"ES256","kid":1}"#,
            r#"{"alg":"ES256","kid":""}"#,
            r#"{"alg":"ES256","typ":["at+jwt"]}"#,
            r#"["ES256"]"#,
            "",
        ] {
            assert!(Unverified::parse(&with_header(header)).is_err(), "{header}");
        }
        let long = format!(r#"{{"alg":"ES256","kid":"{}"}}"#, "k".repeat(LONGEST_KEY_ID + 1));
        assert!(Unverified::parse(&with_header(&long)).is_err());
    }

    #[test]
    fn only_three_parts_in_one_spelling_are_a_token() {
        let good = with_header(r#"{"alg":"ES256"}"#);
        assert!(Unverified::parse(&good).is_ok());
        let header = good.split('.').next().unwrap();
        for bad in [
            String::new(),
            ".".into(),
            "..".into(),
            header.into(),
            format!("{header}.e30"),
            format!("{good}.AAAA"),
            format!("{header}.e30.AAAA.AAAA.AAAA"),
            format!("{header}.e30=.AAAA"),
            format!("{header}.e30.AAAA="),
            format!("{header}.e30.AA AA"),
            format!("{header}.e30.AAAA\n"),
            format!(" {good}"),
            format!("{header}.e3+/.AAAA"),
            format!("{header}.e30.AAB"),
            format!("{header}.e30.A"),
            r#"{"payload":"e30","protected":"e30","signature":"AAAA"}"#.into(),
            "é.é.é".into(),
        ] {
            assert!(Unverified::parse(&bad).is_err(), "{bad}");
        }
        let long = format!("{header}.{}.AAAA", "A".repeat(LONGEST_TOKEN));
        assert_eq!(Unverified::parse(&long).unwrap_err(), Denied::Malformed("longer than any token"));
    }

    #[test]
    fn a_type_is_a_media_type() {
        let profile = |typ: &str| {
            let token = with_header(&format!(r#"{{"alg":"ES256","typ":"{typ}"}}"#));
            Unverified::parse(&token).unwrap().profile()
        };
        for typ in ["at+jwt", "AT+JWT", "application/at+jwt", "Application/AT+jwt"] {
            assert_eq!(profile(typ), Some(Profile::Rfc9068), "{typ}");
        }
        assert_eq!(profile("JWT"), Some(Profile::CommerceLayer));
        for typ in
            ["rt+jwt", "logout+jwt", "oauth-authz-req+jwt", "statuslist+jwt", "dpop+jwt", "", "at+jwt "]
        {
            assert_eq!(profile(typ), None, "{typ}");
        }
    }
}
