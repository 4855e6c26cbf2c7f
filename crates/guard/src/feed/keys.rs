//! The keys that sign the feed: Ed25519, published apart from the keys that sign tokens, so that neither can
//! stand in for the other. Where they are fetched is `http.rs`' business.

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use ring::{
    digest,
    signature::{ED25519, UnparsedPublicKey},
};
use serde::Deserialize;

use super::FeedFault;

/// The short name of a feed key: the first 8 bytes of SHA-256 over the raw public key.
pub type Key8 = [u8; 8];

/// No feed has more keys than this: one active, one standing by, and room for a rotation.
const MOST_KEYS: usize = 16;

/// The keys that may sign a feed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FeedKeys(Vec<(Key8, [u8; 32])>);

impl FeedKeys {
    /// Reads the keys with `use: "rv"` from a JWK set (RFC 7517 section 5, RFC 8037 section 2); others are
    /// passed over. A set without any is a fault, so that a wrong page never empties a guard's key ring.
    pub fn from_jwks(jwks: &str) -> Result<Self, FeedFault> {
        let set: JwkSet = serde_json::from_str(jwks).map_err(|_| FeedFault::Malformed)?;
        let keys: Vec<_> = set.keys.iter().filter_map(Jwk::feed_key).take(MOST_KEYS).collect();
        if keys.is_empty() { Err(FeedFault::Malformed) } else { Ok(Self::from_raw(keys)) }
    }

    /// The same from raw public keys, for the server, which has them at hand.
    pub fn from_raw(keys: impl IntoIterator<Item = [u8; 32]>) -> Self {
        Self(keys.into_iter().map(|key| (key8(&key), key)).collect())
    }

    /// Whether the named key signed this message.
    pub fn verify(&self, name: &Key8, message: &[u8], signature: &[u8]) -> Result<(), FeedFault> {
        let (_, key) = self.0.iter().find(|(known, _)| known == name).ok_or(FeedFault::UnknownKey)?;
        UnparsedPublicKey::new(&ED25519, key).verify(message, signature).map_err(|_| FeedFault::BadSignature)
    }
}

/// The short name of a raw public key.
pub fn key8(public: &[u8; 32]) -> Key8 {
    let hash = digest::digest(&digest::SHA256, public);
    let mut name = [0; 8];
    name.copy_from_slice(&hash.as_ref()[..8]);
    name
}

#[derive(Deserialize)]
struct JwkSet {
    keys: Vec<Jwk>,
}

#[derive(Deserialize)]
struct Jwk {
    #[serde(default)]
    kty: String,
    #[serde(default)]
    crv: String,
    #[serde(default, rename = "use")]
    purpose: String,
    #[serde(default)]
    x: String,
}

impl Jwk {
    fn feed_key(&self) -> Option<[u8; 32]> {
        if (self.kty.as_str(), self.crv.as_str(), self.purpose.as_str()) != ("OKP", "Ed25519", "rv") {
            return None;
        }
        URL_SAFE_NO_PAD.decode(&self.x).ok()?.try_into().ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::feed::press::Press;

    #[test]
    fn only_feed_keys_are_read_from_a_set() {
        let press = Press::new("live:eu1", 1);
        let x = URL_SAFE_NO_PAD.encode(press.public_key());
        let feed_key = format!(r#"{{"kty":"OKP","crv":"Ed25519","use":"rv","x":"{x}"}}"#);
        let token_key = feed_key.replace("rv", "sig");
        let other = r#"{"kty":"EC","crv":"P-256","x":"AA","y":"AA"}"#;
        let mixed = format!(r#"{{"keys":[{other},{token_key},{feed_key}]}}"#);
        assert_eq!(FeedKeys::from_jwks(&mixed), Ok(FeedKeys::from_raw([press.public_key()])));
        let none = format!(r#"{{"keys":[{other},{token_key}]}}"#);
        assert_eq!(FeedKeys::from_jwks(&none), Err(FeedFault::Malformed));
        assert_eq!(FeedKeys::from_jwks("<html>"), Err(FeedFault::Malformed));
    }

    #[test]
    fn a_key_of_the_wrong_length_is_no_key() {
        let short = r#"{"keys":[{"kty":"OKP","crv":"Ed25519","use":"rv","x":"AAAA"}]}"#;
        assert_eq!(FeedKeys::from_jwks(short), Err(FeedFault::Malformed));
    }
}
