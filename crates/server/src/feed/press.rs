//! Signs what leaves this server as feed: batches, manifests and receipts, with the feed's Ed25519 key.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use portcullis_authority::refusal::Trouble;
use portcullis_guard::feed::keys::{Key8, key8};
use portcullis_guard::feed::{Batch, FeedKeys};
use ring::signature::{Ed25519KeyPair, KeyPair as _};
use serde_json::{Value, json};

use crate::keys::{LoadedKeys, Succession};

/// The feed key.
pub struct Press {
    key: Ed25519KeyPair,
    key8: Key8,
    public: [u8; 32],
    jwks: String,
    /// Keys that are published no more, a set for each.
    past: Vec<String>,
    succession: Succession,
}

impl Press {
    /// Reads the private JWK of the feed (RFC 8037).
    ///
    /// # Errors
    /// Trouble when it is not an Ed25519 key.
    pub fn new(jwk: &Value) -> Result<Self, Trouble> {
        let member = |name: &str| {
            let text = jwk[name].as_str().unwrap_or_default();
            URL_SAFE_NO_PAD.decode(text).map_err(|e| Trouble::new("feed key", e))
        };
        let key = Ed25519KeyPair::from_seed_and_public_key(&member("d")?, &member("x")?)
            .map_err(|_| Trouble::new("feed key", "not an Ed25519 key pair"))?;
        let public: [u8; 32] = key
            .public_key()
            .as_ref()
            .try_into()
            .map_err(|_| Trouble::new("feed key", "a public key of another length"))?;
        let jwks = json!({ "keys": [public_jwk(&public)] }).to_string();
        let succession = Succession::alone(jwk);
        Ok(Self { key, key8: key8(&public), public, jwks, past: Vec::new(), succession })
    }

    /// The press of a server: it signs with the feed key and vouches for those beside it too, of which other servers
    /// may sign with one while the key changes.
    ///
    /// # Errors
    /// Trouble when one of them is no Ed25519 key.
    pub fn of(keys: &LoadedKeys) -> Result<Self, Trouble> {
        let mut press = Self::new(&keys.feed)?;
        let mut all = vec![public_jwk(&press.public)];
        for beside in &keys.feed_beside {
            all.push(public_half(beside)?);
        }
        press.jwks = json!({ "keys": all }).to_string();
        press.succession = keys.succession.clone();
        for past in &keys.feed_past {
            press.past.push(json!({ "keys": [public_half(past)?] }).to_string());
        }
        Ok(press)
    }

    /// Everything that may have signed what stands in the audit log: the keys that are published, and those that are
    /// published no more.
    ///
    /// # Errors
    /// Trouble when a set holds no feed key.
    pub fn witnesses(&self) -> Result<Vec<FeedKeys>, Trouble> {
        let sets = std::iter::once(&self.jwks).chain(&self.past);
        sets.map(|set| FeedKeys::from_jwks(set).map_err(|why| Trouble::new("feed keys", why))).collect()
    }

    /// The feed's public key set, as text.
    pub fn jwks(&self) -> &str {
        &self.jwks
    }

    /// Which of the keys is which, as the files said when they were read.
    pub fn succession(&self) -> &Succession {
        &self.succession
    }

    pub fn key8(&self) -> Key8 {
        self.key8
    }

    pub fn sign(&self, message: &[u8]) -> [u8; 64] {
        let mut signature = [0; 64];
        signature.copy_from_slice(self.key.sign(message).as_ref());
        signature
    }

    /// The wire form of a batch.
    pub fn press(&self, batch: &Batch, feed: &str) -> Vec<u8> {
        batch.encode(feed, self.key8, |message| self.sign(message))
    }

    /// A compact JWS of this type (RFC 7515 section 7.1).
    pub fn statement(&self, typ: &str, payload: &Value) -> String {
        let signed = format!("{}.{}", self.header(typ), URL_SAFE_NO_PAD.encode(payload.to_string()));
        let signature = URL_SAFE_NO_PAD.encode(self.sign(signed.as_bytes()));
        format!("{signed}.{signature}")
    }

    /// What every statement of this type that this key signs begins with.
    pub fn header(&self, typ: &str) -> String {
        let kid = URL_SAFE_NO_PAD.encode(self.key8);
        URL_SAFE_NO_PAD.encode(json!({"alg": "EdDSA", "typ": typ, "kid": kid}).to_string())
    }
}

/// The published form of a key of the key directory.
fn public_half(key: &Value) -> Result<Value, Trouble> {
    let x = URL_SAFE_NO_PAD.decode(key["x"].as_str().unwrap_or_default()).unwrap_or_default();
    let raw = x.try_into().map_err(|_| Trouble::new("feed key", "one beside it is no Ed25519 key"))?;
    Ok(public_jwk(&raw))
}

/// A feed key as the world sees it (RFC 8037 section 2), under the short name that batches bear.
fn public_jwk(public: &[u8; 32]) -> Value {
    json!({
        "kty": "OKP", "crv": "Ed25519", "use": "rv", "alg": "EdDSA",
        "x": URL_SAFE_NO_PAD.encode(public), "kid": URL_SAFE_NO_PAD.encode(key8(public)),
    })
}
