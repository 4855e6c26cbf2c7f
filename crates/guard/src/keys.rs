//! The keys that a guard trusts, read from a JWKS, and the one thing they do: verify. Knows no claims.
//!
//! Every key has one algorithm, fixed where the key is published (RFC 8725 section 3.1); what the token's
//! header says is only compared with it, never obeyed.

mod jwk;

use std::collections::{HashMap, HashSet};
use std::sync::atomic::{AtomicU64, Ordering};

use ring::signature::{
    ECDSA_P256_SHA256_FIXED, ED25519, RSA_PKCS1_2048_8192_SHA256, RSA_PKCS1_2048_8192_SHA512,
    RSA_PSS_2048_8192_SHA256, RsaPublicKeyComponents, UnparsedPublicKey,
};
use serde_json::Value;

use crate::{Denied, Unverified, strict};

/// The largest key set that is read, bytes. A set holds a handful of keys of at most 1.5 kB each.
pub const LARGEST_KEY_SET: usize = 256 * 1024;

/// The signature algorithms that we offer (RFC 7518 section 3.1, RFC 8037 section 3.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Algorithm {
    /// ECDSA with P-256 and SHA-256.
    Es256,
    /// Ed25519; `EdDSA` in RFC 8037, `Ed25519` in RFC 9864.
    EdDsa,
    /// RSASSA-PKCS1-v1_5 with SHA-256.
    Rs256,
    /// RSASSA-PKCS1-v1_5 with SHA-512, which Commerce Layer's clients insist on.
    Rs512,
    /// RSASSA-PSS with SHA-256.
    Ps256,
}

impl Algorithm {
    /// The algorithm of this name, letter for letter.
    pub fn from_name(name: &str) -> Option<Self> {
        Some(match name {
            "ES256" => Self::Es256,
            "EdDSA" | "Ed25519" => Self::EdDsa,
            "RS256" => Self::Rs256,
            "RS512" => Self::Rs512,
            "PS256" => Self::Ps256,
            _ => return None,
        })
    }

    /// The name in headers and key sets.
    pub fn name(self) -> &'static str {
        match self {
            Self::Es256 => "ES256",
            Self::EdDsa => "EdDSA",
            Self::Rs256 => "RS256",
            Self::Rs512 => "RS512",
            Self::Ps256 => "PS256",
        }
    }
}

/// A public key with its one algorithm.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Key {
    id: String,
    algorithm: Algorithm,
    public: Public,
}

/// The public half, as ring wants it.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Public {
    /// An uncompressed P-256 point, or 32 bytes of Ed25519.
    Point(Vec<u8>),
    /// Modulus and exponent, big endian.
    Rsa { n: Vec<u8>, e: Vec<u8> },
}

impl Key {
    /// The `kid`.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// The one algorithm that this key is used with.
    pub fn algorithm(&self) -> Algorithm {
        self.algorithm
    }

    /// Verifies a signature (RFC 7515 section 5.2).
    ///
    /// Both values of an ECDSA `s` are accepted, as RFC 7518 section 3.4 has it: the twin of a token is
    /// the same token with the same `jti`, so whatever ends one ends the other.
    ///
    /// # Errors
    /// [`Denied::BadSignature`] when the header's algorithm is not this key's, or the signature does not
    /// hold.
    pub fn verify(&self, token: &Unverified<'_>) -> Result<(), Denied> {
        if token.algorithm() != self.algorithm {
            return Err(Denied::BadSignature);
        }
        let (message, signature) = (token.signing_input().as_bytes(), token.signature());
        self.holds(message, signature).then_some(()).ok_or(Denied::BadSignature)
    }

    fn holds(&self, message: &[u8], signature: &[u8]) -> bool {
        match (&self.public, self.algorithm) {
            (Public::Point(point), Algorithm::Es256) => {
                UnparsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, point).verify(message, signature).is_ok()
            }
            (Public::Point(point), Algorithm::EdDsa) => {
                UnparsedPublicKey::new(&ED25519, point).verify(message, signature).is_ok()
            }
            (Public::Rsa { n, e }, algorithm) => {
                let scheme = match algorithm {
                    Algorithm::Rs256 => &RSA_PKCS1_2048_8192_SHA256,
                    Algorithm::Rs512 => &RSA_PKCS1_2048_8192_SHA512,
                    Algorithm::Ps256 => &RSA_PSS_2048_8192_SHA256,
                    Algorithm::Es256 | Algorithm::EdDsa => return false,
                };
                RsaPublicKeyComponents { n, e }.verify(scheme, message, signature).is_ok()
            }
            (Public::Point(_), _) => false,
        }
    }
}

/// Why a key set was not read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum KeyTrouble {
    /// Not a JWK set (RFC 7517 section 5) of acceptable size.
    #[error("not a JWK set: {0}")]
    NotASet(&'static str),
    /// A key that its publisher must repair; the id, or its place in the set, and why.
    #[error("key {0}: {1}")]
    Bad(String, &'static str),
    /// Two keys of one id, so that an id no longer says which key.
    #[error("two keys are called {0}")]
    Twice(String),
}

/// The keys that a guard trusts, by id.
#[derive(Clone, Debug, Default)]
pub struct KeySet {
    keys: HashMap<String, Key>,
    /// Which reading this is; a token that was verified under another reading is verified again.
    reading: u64,
}

impl KeySet {
    /// Reads a JWK set (RFC 7517 section 5).
    ///
    /// A key that is not for us (another `use`, `key_ops` without `verify`, a type or an algorithm that we
    /// do not offer, no `kid`, no `alg`) is passed over, as the RFC says. What no publisher may do refuses
    /// the whole set.
    ///
    /// # Errors
    /// [`KeyTrouble`] for a text that is too large, not one JSON object or has a name twice, for private
    /// members, for an RSA key outside 2048 to 8192 bits, for numbers that are not canonical, and for two
    /// keys of one id.
    pub fn from_jwks(text: &str) -> Result<Self, KeyTrouble> {
        if text.len() > LARGEST_KEY_SET {
            return Err(KeyTrouble::NotASet("too large"));
        }
        strict::object(text.as_bytes()).map_err(KeyTrouble::NotASet)?;
        let jwks = serde_json::from_str(text).map_err(|_| KeyTrouble::NotASet("not JSON"))?;
        Self::from_value(&jwks)
    }

    /// Reads a JWK set that has been parsed already; otherwise as [`KeySet::from_jwks`], but a repeated
    /// name can no longer be seen.
    ///
    /// # Errors
    /// As [`KeySet::from_jwks`].
    pub fn from_value(jwks: &Value) -> Result<Self, KeyTrouble> {
        let list = jwks.get("keys").and_then(Value::as_array).ok_or(KeyTrouble::NotASet("no keys"))?;
        let mut keys = HashMap::new();
        let mut ids = HashSet::new();
        for (place, jwk) in list.iter().enumerate() {
            let id = jwk.get("kid").and_then(Value::as_str);
            if let Some(id) = id
                && !ids.insert(id)
            {
                return Err(KeyTrouble::Twice(id.to_owned()));
            }
            let name = || id.map_or_else(|| format!("number {place}"), str::to_owned);
            if let Some(key) = jwk::read(jwk).map_err(|why| KeyTrouble::Bad(name(), why))? {
                keys.insert(key.id.clone(), key);
            }
        }
        static READINGS: AtomicU64 = AtomicU64::new(1);
        Ok(Self { keys, reading: READINGS.fetch_add(1, Ordering::Relaxed) })
    }

    /// The key of this id.
    pub fn key(&self, id: &str) -> Option<&Key> {
        self.keys.get(id)
    }

    /// How many keys there are.
    pub fn len(&self) -> usize {
        self.keys.len()
    }

    /// True when no token can be verified.
    pub fn is_empty(&self) -> bool {
        self.keys.is_empty()
    }

    /// True when the set stands for "nobody has said yet"; an empty set that was published is another thing.
    pub fn is_unread(&self) -> bool {
        self.reading == 0
    }

    pub(crate) fn reading(&self) -> u64 {
        self.reading
    }
}

/// Two sets are equal when they trust the same keys.
impl PartialEq for KeySet {
    fn eq(&self, other: &Self) -> bool {
        self.keys == other.keys
    }
}

#[cfg(test)]
mod vectors;

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn okp(kid: &str) -> Value {
        json!({"kty":"OKP","crv":"Ed25519","alg":"EdDSA","kid":kid,"x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"})
    }

    #[test]
    fn a_set_is_read_and_compared_by_what_it_trusts() {
        let read = || KeySet::from_value(&json!({"keys":[okp("a"), okp("b")]})).unwrap();
        assert_eq!(read().len(), 2);
        assert_eq!(read(), read());
        assert_ne!(read().reading(), read().reading());
        assert_ne!(read(), KeySet::default());
        assert_eq!(read().key("a").unwrap().algorithm().name(), "EdDSA");
        assert!(read().key("A").is_none());
    }

    #[test]
    fn an_id_names_one_key() {
        let twice = json!({"keys":[okp("a"), okp("a")]});
        assert_eq!(KeySet::from_value(&twice), Err(KeyTrouble::Twice("a".into())));
        let mut shadow = okp("a");
        shadow["use"] = "enc".into();
        assert!(KeySet::from_value(&json!({"keys":[okp("a"), shadow]})).is_err());
    }

    #[test]
    fn a_set_that_two_parsers_read_differently_is_no_set() {
        assert!(KeySet::from_jwks(r#"{"keys":[],"keys":[]}"#).is_err());
        assert!(KeySet::from_jwks(r#"{"keys":[{"kid":"a","kid":"b"}]}"#).is_err());
        assert!(KeySet::from_jwks("<html>").is_err());
        assert!(KeySet::from_jwks(r#"{"keys":{}}"#).is_err());
        assert!(KeySet::from_jwks(&format!(r#"{{"keys":[]{}}}"#, " ".repeat(LARGEST_KEY_SET))).is_err());
        assert!(KeySet::from_jwks(r#"{"keys":[]}"#).unwrap().is_empty());
    }
}
