//! The raw primitives, from the same keys that the server's keyring signs with: what the whole is compared
//! with.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use portcullis_authority::keyring::{KeyState, Keyring, StoredKey, generate};
use ring::rand::SystemRandom;
use ring::rsa::{KeyPairComponents, PublicKeyComponents};
use ring::signature::{
    ECDSA_P256_SHA256_FIXED, ECDSA_P256_SHA256_FIXED_SIGNING, ED25519, EcdsaKeyPair, Ed25519KeyPair,
    RSA_PKCS1_2048_8192_SHA512, RSA_PKCS1_SHA512, RsaKeyPair, UnparsedPublicKey, VerificationAlgorithm,
};
use serde_json::Value;

use crate::Outcome;

/// One key, for the server's way of signing and for the bare one.
pub struct Pair {
    pub algorithm: &'static str,
    pub keyring: Keyring,
    raw: Raw,
    public: Vec<u8>,
    dice: SystemRandom,
}

enum Raw {
    Ec(EcdsaKeyPair),
    Ed(Ed25519KeyPair),
    Rsa(Box<RsaKeyPair>),
}

impl Pair {
    /// A new key for ES256, EdDSA or RS512.
    pub fn make(algorithm: &'static str) -> Outcome<Self> {
        let jwk = generate(algorithm, "eu1")?;
        let dice = SystemRandom::new();
        let (raw, public) = match algorithm {
            "ES256" => {
                let point = [vec![4], part(&jwk, "x")?, part(&jwk, "y")?].concat();
                let kind = &ECDSA_P256_SHA256_FIXED_SIGNING;
                let pair =
                    EcdsaKeyPair::from_private_key_and_public_key(kind, &part(&jwk, "d")?, &point, &dice)?;
                (Raw::Ec(pair), point)
            }
            "EdDSA" => {
                let public = part(&jwk, "x")?;
                (Raw::Ed(Ed25519KeyPair::from_seed_and_public_key(&part(&jwk, "d")?, &public)?), public)
            }
            _ => {
                let pair = rsa(&jwk)?;
                let public = pair.public().as_ref().to_vec();
                (Raw::Rsa(Box::new(pair)), public)
            }
        };
        let keyring = Keyring::new(&[StoredKey { jwk, state: KeyState::Active }])?;
        Ok(Self { algorithm, keyring, raw, public, dice })
    }

    /// Signs, and gives nothing but the signature.
    pub fn sign(&self, message: &[u8]) -> Outcome<Vec<u8>> {
        let refused = |_| "ring did not sign";
        Ok(match &self.raw {
            Raw::Ec(pair) => pair.sign(&self.dice, message).map_err(refused)?.as_ref().to_vec(),
            Raw::Ed(pair) => pair.sign(message).as_ref().to_vec(),
            Raw::Rsa(pair) => {
                let mut signature = vec![0; pair.public().modulus_len()];
                pair.sign(&RSA_PKCS1_SHA512, &self.dice, message, &mut signature).map_err(refused)?;
                signature
            }
        })
    }

    /// Whether the signature is that of the message.
    pub fn verify(&self, message: &[u8], signature: &[u8]) -> bool {
        let kind: &dyn VerificationAlgorithm = match self.raw {
            Raw::Ec(_) => &ECDSA_P256_SHA256_FIXED,
            Raw::Ed(_) => &ED25519,
            Raw::Rsa(_) => &RSA_PKCS1_2048_8192_SHA512,
        };
        UnparsedPublicKey::new(kind, &self.public).verify(message, signature).is_ok()
    }
}

fn rsa(jwk: &Value) -> Outcome<RsaKeyPair> {
    let components = KeyPairComponents {
        public_key: PublicKeyComponents { n: part(jwk, "n")?, e: part(jwk, "e")? },
        d: part(jwk, "d")?,
        p: part(jwk, "p")?,
        q: part(jwk, "q")?,
        dP: part(jwk, "dp")?,
        dQ: part(jwk, "dq")?,
        qInv: part(jwk, "qi")?,
    };
    Ok(RsaKeyPair::from_components(&components)?)
}

fn part(jwk: &Value, name: &str) -> Outcome<Vec<u8>> {
    let text = jwk[name].as_str().ok_or_else(|| format!("a key without {name}"))?;
    Ok(URL_SAFE_NO_PAD.decode(text)?)
}
