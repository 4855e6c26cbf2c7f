//! Writes compact JWS of any shape, honest or not.

use std::sync::OnceLock;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use josekit::jwk::Jwk;
use josekit::jws::{ES256, JwsSigner as _};
use portcullis_authority::keyring::generate;
use ring::hmac;
use serde_json::Value;

/// The private key of the application `int`, made once.
pub fn int_key() -> &'static Value {
    static KEY: OnceLock<Value> = OnceLock::new();
    KEY.get_or_init(|| generate("ES256", "int").unwrap())
}

/// Signed ES256 with a private JWK, whatever the header says.
pub fn es256(key: &Value, header: &str, payload: &str) -> String {
    let jwk = Jwk::from_map(key.as_object().unwrap().clone()).unwrap();
    let signer = ES256.signer_from_jwk(&jwk).unwrap();
    compact(header, payload, |input| signer.sign(input).unwrap())
}

/// Signed HMAC-SHA512 with a secret, whatever the header says.
pub fn hs512(secret: &str, header: &str, payload: &str) -> String {
    let key = hmac::Key::new(hmac::HMAC_SHA512, secret.as_bytes());
    compact(header, payload, |input| hmac::sign(&key, input).as_ref().to_vec())
}

pub fn compact(header: &str, payload: &str, sign: impl FnOnce(&[u8]) -> Vec<u8>) -> String {
    let input = format!("{}.{}", URL_SAFE_NO_PAD.encode(header), URL_SAFE_NO_PAD.encode(payload));
    let signature = URL_SAFE_NO_PAD.encode(sign(input.as_bytes()));
    format!("{input}.{signature}")
}

/// What a part of a token says: 0 is the header, 1 the payload.
pub fn part(token: &str, which: usize) -> Value {
    let text = URL_SAFE_NO_PAD.decode(token.split('.').nth(which).unwrap()).unwrap();
    serde_json::from_slice(&text).unwrap()
}
