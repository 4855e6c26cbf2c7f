//! Signing keys by age: pending keys are published and not used, the active key of an algorithm signs,
//! retired keys are published until the last token they signed has expired. josekit makes and holds the
//! keys that lie in the books; a vault holds its own (`keyring/vault.rs`). ring, in the guard, checks what
//! they sign. When a key goes from one age to the next is decided in `keyring/chain.rs`.

pub mod chain;
pub mod vault;

use std::sync::Arc;

use async_trait::async_trait;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use josekit::jwk::Jwk;
use josekit::jwk::alg::ec::EcCurve;
use josekit::jwk::alg::ed::EdCurve;
use josekit::jws::{ES256, EdDSA, JwsSigner, PS256, RS256, RS512};
use ring::digest;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::refusal::Trouble;
use crate::registry::Profile;

pub use chain::{Bench, KeyChain, KeyChange, KeyRow, Schedule, Step};
pub use vault::{Signer, Vault};

/// The algorithms on offer.
pub const ALGORITHMS: [&str; 5] = ["ES256", "EdDSA", "RS256", "RS512", "PS256"];

/// Where a key is in its life.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum KeyState {
    /// Published, not used yet.
    Pending,
    /// Signs.
    Active,
    /// Published, signs no more.
    Retired,
    /// Published no more: it was revoked, or its last token is over.
    Ended,
}

impl KeyState {
    const ALL: [Self; 4] = [Self::Pending, Self::Active, Self::Retired, Self::Ended];

    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Active => "active",
            Self::Retired => "retired",
            Self::Ended => "ended",
        }
    }

    /// The state with this name.
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|state| state.as_str() == name)
    }
}

/// A key as it is kept: a JWK with `kid` and `alg`, private as long as it may sign.
#[derive(Clone)]
pub struct StoredKey {
    pub jwk: Value,
    pub state: KeyState,
}

/// All keys, ready to sign and to be published.
pub struct Keyring {
    keys: Vec<SigningKey>,
    published: String,
}

/// A key that can sign.
pub struct SigningKey {
    pub kid: String,
    pub algorithm: &'static str,
    pub state: KeyState,
    /// Who has retired has none.
    signer: Option<Arc<dyn Signer>>,
    /// Encoded headers by profile, made once.
    headers: [String; 2],
}

/// A key in memory.
struct Held(Box<dyn JwsSigner>);

#[async_trait]
impl Signer for Held {
    async fn sign(&self, message: &[u8]) -> Result<Vec<u8>, Trouble> {
        self.0.sign(message).map_err(|e| Trouble::new("signing", e))
    }
}

impl std::fmt::Debug for SigningKey {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(out, "SigningKey({}, {:?})", self.kid, self.state)
    }
}

/// Who signs with a key, by whoever keeps it.
pub type SignerOf<'a> = dyn Fn(&StoredKey) -> Result<Arc<dyn Signer>, Trouble> + 'a;

impl Keyring {
    /// Reads the keys.
    ///
    /// # Errors
    /// Trouble naming the key that cannot be used.
    pub fn new(stored: &[StoredKey]) -> Result<Self, Trouble> {
        Self::signing_by(stored, &|key| held(&key.jwk))
    }

    /// Reads the keys, with whoever signs for those that may sign.
    ///
    /// # Errors
    /// Trouble naming the key that cannot be used.
    pub fn signing_by(stored: &[StoredKey], signer: &SignerOf<'_>) -> Result<Self, Trouble> {
        let mut keys = Vec::new();
        let mut public = Vec::new();
        for key in stored.iter().filter(|key| key.state != KeyState::Ended) {
            keys.push(SigningKey::read(key, signer)?);
            public.push(public_half(&key.jwk)?);
        }
        Ok(Self { keys, published: json!({ "keys": public }).to_string() })
    }

    /// The public key set (RFC 7517 section 5), as text.
    pub fn published(&self) -> &str {
        &self.published
    }

    /// The key that signs with this algorithm. When it has just been revoked, the oldest that stands by: it is
    /// published already, and nobody waits for the books to say so.
    ///
    /// # Errors
    /// Trouble when there is none.
    pub fn active(&self, algorithm: &str) -> Result<&SigningKey, Trouble> {
        let of = |state| self.keys.iter().find(move |key| key.state == state && key.algorithm == algorithm);
        of(KeyState::Active)
            .or_else(|| of(KeyState::Pending))
            .ok_or_else(|| Trouble::new("keyring", format!("no active {algorithm} key")))
    }

    pub fn keys(&self) -> &[SigningKey] {
        &self.keys
    }
}

impl SigningKey {
    /// Signs claims as a compact JWS (RFC 7515 section 7.1).
    ///
    /// # Errors
    /// Trouble when the key cannot sign.
    pub async fn sign(&self, profile: Profile, claims: &[u8]) -> Result<String, Trouble> {
        let header = &self.headers[profile as usize];
        let mut token = String::with_capacity(header.len() + claims.len() * 4 / 3 + 800);
        token.push_str(header);
        token.push('.');
        URL_SAFE_NO_PAD.encode_string(claims, &mut token);
        let signer =
            self.signer.as_ref().ok_or_else(|| Trouble::new("signing", "a retired key signs no more"))?;
        let signature = signer.sign(token.as_bytes()).await?;
        token.push('.');
        URL_SAFE_NO_PAD.encode_string(signature, &mut token);
        Ok(token)
    }

    fn read(stored: &StoredKey, signer: &SignerOf<'_>) -> Result<Self, Trouble> {
        let text = |name: &str| stored.jwk.get(name).and_then(Value::as_str).unwrap_or_default();
        let kid = text("kid").to_owned();
        let wrong = |why: String| Trouble::new("keyring", format!("key {kid:?}: {why}"));
        let algorithm = ALGORITHMS
            .into_iter()
            .find(|name| *name == text("alg"))
            .ok_or_else(|| wrong(format!("alg must be one of {ALGORITHMS:?}")))?;
        if kid.is_empty() {
            return Err(wrong("kid is missing".into()));
        }
        let signer = match stored.state {
            KeyState::Pending | KeyState::Active => {
                Some(signer(stored).map_err(|trouble| wrong(trouble.why))?)
            }
            KeyState::Retired | KeyState::Ended => None,
        };
        let header = |typ: &str| {
            URL_SAFE_NO_PAD.encode(format!(
                r#"{{"alg":"{algorithm}","typ":"{typ}","kid":{}}}"#,
                Value::from(kid.as_str())
            ))
        };
        let headers = [header("at+jwt"), header("JWT")];
        Ok(Self { kid, algorithm, state: stored.state, signer, headers })
    }
}

/// A private JWK that signs in memory.
///
/// # Errors
/// Trouble when it has no private half, or one that does not fit its algorithm.
pub fn held(jwk: &Value) -> Result<Arc<dyn Signer>, Trouble> {
    let algorithm = jwk["alg"].as_str().unwrap_or_default();
    let jwk = to_jwk(jwk)?;
    let made: Result<Box<dyn JwsSigner>, _> = match algorithm {
        "ES256" => ES256.signer_from_jwk(&jwk).map(|it| Box::new(it) as _),
        "EdDSA" => EdDSA.signer_from_jwk(&jwk).map(|it| Box::new(it) as _),
        "RS256" => RS256.signer_from_jwk(&jwk).map(|it| Box::new(it) as _),
        "RS512" => RS512.signer_from_jwk(&jwk).map(|it| Box::new(it) as _),
        _ => PS256.signer_from_jwk(&jwk).map(|it| Box::new(it) as _),
    };
    Ok(Arc::new(Held(made.map_err(|e| Trouble::new("keyring", e))?)))
}

/// Makes a new private key for an algorithm, named `<region>.<22 characters of its thumbprint>`.
///
/// # Errors
/// Trouble for an unknown algorithm.
pub fn generate(algorithm: &str, region: &str) -> Result<Value, Trouble> {
    let made = match algorithm {
        "ES256" => Jwk::generate_ec_key(EcCurve::P256),
        "EdDSA" => Jwk::generate_ed_key(EdCurve::Ed25519),
        "RS256" | "RS512" | "PS256" => Jwk::generate_rsa_key(2048),
        other => return Err(Trouble::new("keyring", format!("{other:?} is not one of {ALGORITHMS:?}"))),
    };
    let jwk = made.map_err(|e| Trouble::new("keyring", e))?;
    let mut jwk = Value::Object(jwk.as_ref().clone());
    jwk["kid"] = format!("{region}.{}", &thumbprint(&jwk)[..22]).into();
    jwk["alg"] = algorithm.into();
    jwk["use"] = "sig".into();
    Ok(jwk)
}

/// The RFC 7638 thumbprint in base64url; written as fixed text, because the order of members is the point.
pub fn thumbprint(jwk: &Value) -> String {
    let m = |name: &str| jwk[name].as_str().unwrap_or_default();
    let canonical = match m("kty") {
        "EC" => format!(r#"{{"crv":"{}","kty":"EC","x":"{}","y":"{}"}}"#, m("crv"), m("x"), m("y")),
        "RSA" => format!(r#"{{"e":"{}","kty":"RSA","n":"{}"}}"#, m("e"), m("n")),
        kty => format!(r#"{{"crv":"{}","kty":"{kty}","x":"{}"}}"#, m("crv"), m("x")),
    };
    URL_SAFE_NO_PAD.encode(digest::digest(&digest::SHA256, canonical.as_bytes()))
}

/// Only the members that anybody may see.
///
/// # Errors
/// Trouble when the JWK has no type that we publish.
pub fn public_half(jwk: &Value) -> Result<Value, Trouble> {
    let members: &[&str] = match jwk["kty"].as_str() {
        Some("EC") => &["kty", "crv", "x", "y"],
        Some("OKP") => &["kty", "crv", "x"],
        Some("RSA") => &["kty", "n", "e"],
        _ => return Err(Trouble::new("keyring", "a key is neither EC, OKP nor RSA")),
    };
    let shown = members.iter().chain(&["kid", "use", "alg"]);
    Ok(shown
        .filter_map(|name| Some((name.to_string(), jwk.get(*name)?.clone())))
        .collect::<serde_json::Map<_, _>>()
        .into())
}

pub(crate) fn to_jwk(value: &Value) -> Result<Jwk, Trouble> {
    let map =
        value.as_object().cloned().ok_or_else(|| Trouble::new("keyring", "a key is not a JSON object"))?;
    Jwk::from_map(map).map_err(|e| Trouble::new("keyring", e))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_private_is_published() {
        for algorithm in ALGORITHMS {
            let jwk = generate(algorithm, "eu1").unwrap();
            let ring = Keyring::new(&[StoredKey { jwk, state: KeyState::Active }]).unwrap();
            let set: Value = serde_json::from_str(ring.published()).unwrap();
            let key = set["keys"][0].as_object().unwrap();
            for private in ["d", "p", "q", "dp", "dq", "qi", "k"] {
                assert!(!key.contains_key(private), "{algorithm} publishes {private}");
            }
            assert_eq!(key["alg"], algorithm);
            assert!(key["kid"].as_str().unwrap().starts_with("eu1."));
        }
    }

    #[test]
    fn the_thumbprint_is_that_of_rfc_7638() {
        let jwk = json!({"kty":"RSA","e":"AQAB","n":"0vx7agoebGcQSuuPiLJXZptN9nndrQmbXEps2aiAFbWhM78LhWx4cbbfAAtVT86zwu1RK7aPFFxuhDR1L6tSoc_BJECPebWKRXjBZCiFV4n3oknjhMstn64tZ_2W-5JsGY4Hc5n9yBXArwl93lqt7_RN5w6Cf0h4QyQ5v-65YGjQR0_FDW2QvzqY368QQMicAtaSqzs8KJZgnYb9c7d0zgdAZHzu6qMQvRL5hajrn1n91CbOpbISD08qNLyrdkt-bFTWhAI4vMQFh6WeZu0fM4lFd2NcRwr3XPksINHaQ-G_xBniIqbw0Ls1jF44-csFCur-kEgU8awapJzKnqDKgw"});
        assert_eq!(thumbprint(&jwk), "NzbLsXh8uDCcd-6MNwXF4W_7noWXFZAfHkxZsRGC9Xs");
    }

    #[test]
    fn a_key_signs_with_its_own_algorithm_only() {
        let jwk = generate("ES256", "eu1").unwrap();
        let ring = Keyring::new(&[StoredKey { jwk, state: KeyState::Active }]).unwrap();
        assert!(ring.active("ES256").is_ok());
        assert!(ring.active("RS512").is_err());
    }

    #[test]
    fn a_pending_key_is_published_and_signs_only_where_nobody_else_does() {
        let jwk = generate("EdDSA", "eu1").unwrap();
        let kid = jwk["kid"].clone();
        let standing = StoredKey { jwk, state: KeyState::Pending };
        let signs = StoredKey { jwk: generate("EdDSA", "eu1").unwrap(), state: KeyState::Active };
        let ring = Keyring::new(&[standing.clone(), signs]).unwrap();
        assert_ne!(ring.active("EdDSA").unwrap().kid, kid);
        assert!(ring.published().contains(kid.as_str().unwrap()));
        assert_eq!(Keyring::new(&[standing]).unwrap().active("EdDSA").unwrap().kid, kid);
    }

    #[tokio::test]
    async fn a_retired_key_is_published_from_its_public_half_and_an_ended_one_is_not() {
        let key = |state| StoredKey { jwk: public_half(&generate("ES256", "eu1").unwrap()).unwrap(), state };
        let (retired, ended) = (key(KeyState::Retired), key(KeyState::Ended));
        let ring = Keyring::new(&[retired.clone(), ended]).unwrap();
        assert_eq!(ring.keys().len(), 1);
        assert!(ring.published().contains(retired.jwk["kid"].as_str().unwrap()));
        assert!(ring.keys()[0].sign(Profile::Rfc9068, b"{}").await.is_err());
        assert!(ring.active("ES256").is_err());
    }
}
