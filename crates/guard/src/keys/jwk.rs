//! One JSON Web Key (RFC 7517 section 4, RFC 7518 section 6): what it must say before it is trusted.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::Value;

use super::{Algorithm, Key, Public};

/// Members of private and symmetric keys (RFC 7518 sections 6.2.2, 6.3.2 and 6.4.1). A publisher who shows
/// one has lost the key.
const PRIVATE: [&str; 8] = ["d", "p", "q", "dp", "dq", "qi", "oth", "k"];

/// The key that this JWK describes; `None` when it is not for us; the reason when it must be repaired.
pub(super) fn read(jwk: &Value) -> Result<Option<Key>, &'static str> {
    if !jwk.is_object() {
        return Err("not an object");
    }
    if PRIVATE.iter().any(|name| jwk.get(name).is_some()) {
        return Err("a private or symmetric key is published");
    }
    let (Some(id), Some(algorithm)) = (text(jwk, "kid")?, text(jwk, "alg")?) else { return Ok(None) };
    let Some(algorithm) = Algorithm::from_name(algorithm).filter(|_| is_for_signatures(jwk)) else {
        return Ok(None);
    };
    let public = match (algorithm, text(jwk, "kty")?, text(jwk, "crv")?) {
        (Algorithm::Es256, Some("EC"), Some("P-256")) => p256(jwk)?,
        (Algorithm::EdDsa, Some("OKP"), Some("Ed25519")) => Public::Point(sized(jwk, "x", 32)?),
        (Algorithm::Rs256 | Algorithm::Rs512 | Algorithm::Ps256, Some("RSA"), None) => rsa(jwk)?,
        _ => return Err("the type of the key is not that of its algorithm"),
    };
    Ok(Some(Key { id: id.to_owned(), algorithm, public }))
}

/// RFC 7517 sections 4.2 and 4.3: where the key says what it is for, it must be for this.
fn is_for_signatures(jwk: &Value) -> bool {
    let use_fits = jwk.get("use").is_none_or(|purpose| purpose == "sig");
    let verifies = |ops: &Value| ops.as_array().is_some_and(|ops| ops.iter().any(|op| op == "verify"));
    use_fits && jwk.get("key_ops").is_none_or(verifies)
}

fn p256(jwk: &Value) -> Result<Public, &'static str> {
    let (x, y) = (sized(jwk, "x", 32)?, sized(jwk, "y", 32)?);
    Ok(Public::Point([&[4][..], &x, &y].concat()))
}

fn rsa(jwk: &Value) -> Result<Public, &'static str> {
    let (n, e) = (number(jwk, "n")?, number(jwk, "e")?);
    let bits = n.len() * 8 - n[0].leading_zeros() as usize;
    if !(2048..=8192).contains(&bits) {
        return Err("an RSA key has 2048 to 8192 bits");
    }
    // An exponent of one makes every message its own signature; ring reads at most 33 bits.
    let odd = e.last().is_some_and(|last| last & 1 == 1);
    if !odd || e == [1] || e.len() > 4 {
        return Err("the RSA exponent is not one that is used");
    }
    Ok(Public::Rsa { n, e })
}

/// A big-endian number without leading zeros (RFC 7518 section 2, Base64urlUInt); never empty.
fn number(jwk: &Value, name: &str) -> Result<Vec<u8>, &'static str> {
    let bytes = bytes(jwk, name)?;
    match bytes.first() {
        None | Some(0) => Err("a number is empty or begins with zero"),
        Some(_) => Ok(bytes),
    }
}

fn sized(jwk: &Value, name: &str, size: usize) -> Result<Vec<u8>, &'static str> {
    let bytes = bytes(jwk, name)?;
    if bytes.len() == size { Ok(bytes) } else { Err("a coordinate has the wrong length") }
}

fn bytes(jwk: &Value, name: &str) -> Result<Vec<u8>, &'static str> {
    let text = text(jwk, name)?.ok_or("a member is missing")?;
    URL_SAFE_NO_PAD.decode(text).map_err(|_| "a member is not canonical base64url")
}

fn text<'j>(jwk: &'j Value, name: &str) -> Result<Option<&'j str>, &'static str> {
    match jwk.get(name) {
        None => Ok(None),
        Some(Value::String(text)) => Ok(Some(text)),
        Some(_) => Err("a member is not a string"),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn ec() -> Value {
        json!({"kty":"EC","crv":"P-256","alg":"ES256","kid":"a","use":"sig","key_ops":["verify"],
               "x":"f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU","y":"x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0"})
    }

    fn rsa_of(bytes: usize, first: u8, e: &str) -> Value {
        let n = [&[first][..], &vec![0xff; bytes - 1]].concat();
        json!({"kty":"RSA","alg":"RS256","kid":"a","n":URL_SAFE_NO_PAD.encode(n),"e":e})
    }

    fn changed(mut jwk: Value, name: &str, to: Value) -> Value {
        jwk[name] = to;
        jwk
    }

    fn without(mut jwk: Value, name: &str) -> Value {
        jwk.as_object_mut().unwrap().remove(name);
        jwk
    }

    #[test]
    fn a_key_that_is_not_for_us_is_passed_over() {
        assert!(read(&ec()).unwrap().is_some());
        for other in [
            without(ec(), "alg"),
            without(ec(), "kid"),
            changed(ec(), "use", "enc".into()),
            changed(ec(), "key_ops", json!(["encrypt"])),
            changed(ec(), "key_ops", json!("verify")),
            changed(ec(), "alg", "ES384".into()),
            changed(ec(), "alg", "ECDH-ES".into()),
        ] {
            assert_eq!(read(&other), Ok(None), "{other}");
        }
    }

    #[test]
    fn a_key_that_must_be_repaired_is_named() {
        for bad in [
            changed(ec(), "d", "AAAA".into()),
            json!({"kty":"oct","alg":"HS256","kid":"a","k":"AAAA"}),
            changed(ec(), "crv", "P-384".into()),
            changed(ec(), "kty", "RSA".into()),
            changed(ec(), "alg", "RS256".into()),
            changed(ec(), "alg", "EdDSA".into()),
            changed(ec(), "x", "AAAA".into()),
            changed(ec(), "x", 7.into()),
            changed(ec(), "y", "x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0=".into()),
            without(ec(), "y"),
            rsa_of(128, 0xff, "AQAB"),
            rsa_of(256, 0x7f, "AQAB"),
            rsa_of(257, 0, "AQAB"),
            rsa_of(1025, 0xff, "AQAB"),
            rsa_of(256, 0xff, "AQ"),
            rsa_of(256, 0xff, "AQAA"),
            rsa_of(256, 0xff, "AAEAAQ"),
            rsa_of(256, 0xff, ""),
            json!("a"),
        ] {
            assert!(read(&bad).is_err(), "{bad}");
        }
        assert!(read(&rsa_of(256, 0xff, "AQAB")).unwrap().is_some());
        assert!(read(&rsa_of(1024, 0xff, "AQAB")).unwrap().is_some());
    }
}
