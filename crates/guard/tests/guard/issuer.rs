//! An issuer for tests: keys made on the spot, tokens of any shape.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use portcullis_guard::{Builder, DangerNothingEnded, Guard, KeySet};
use ring::rand::SystemRandom;
use ring::rsa;
use ring::signature::{
    ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair, KeyPair, RSA_PKCS1_SHA512, RsaKeyPair,
};
use serde_json::{Value, json};

pub const ISSUER: &str = "https://auth.shop.example";
pub const AUDIENCE: &str = "commerce-api";
/// The middle of a good token's life, seconds.
pub const NOW: u64 = 1_800_000_060;
pub const ORGANIZATION: &str = "AbCdEfGhIj";

const WYCHEPROOF: &str = include_str!("../../../../tests/vectors/wycheproof/json_web_signature_test.json");

pub struct Issuer {
    ec: EcdsaKeyPair,
    ed: Ed25519KeyPair,
    rsa: RsaKeyPair,
    rsa_public: Value,
    dice: SystemRandom,
}

impl Issuer {
    pub fn new() -> Self {
        let dice = SystemRandom::new();
        let ec = EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &dice).unwrap();
        let ed = Ed25519KeyPair::generate_pkcs8(&dice).unwrap();
        let (rsa, rsa_public) = published_rsa();
        Self {
            ec: EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, ec.as_ref(), &dice).unwrap(),
            ed: Ed25519KeyPair::from_pkcs8(ed.as_ref()).unwrap(),
            rsa,
            rsa_public,
            dice,
        }
    }

    /// Keys `eu1.ec`, `eu1.ed` and `eu1.rsa`.
    pub fn jwks(&self) -> Value {
        let point = self.ec.public_key().as_ref();
        let (x, y) = (encode(&point[1..33]), encode(&point[33..]));
        json!({"keys": [
            {"kty": "EC", "crv": "P-256", "alg": "ES256", "use": "sig", "kid": "eu1.ec", "x": x, "y": y},
            {"kty": "OKP", "crv": "Ed25519", "alg": "EdDSA", "kid": "eu1.ed", "x": encode(self.ed.public_key().as_ref())},
            self.rsa_public,
        ]})
    }

    pub fn keys(&self) -> KeySet {
        KeySet::from_jwks(&self.jwks().to_string()).unwrap()
    }

    /// A guard for [`AUDIENCE`], not yet built, for which nothing has ended.
    pub fn guard(&self) -> Builder {
        Guard::builder()
            .issuer(ISSUER)
            .audience(AUDIENCE)
            .keys(self.keys())
            .revocations(DangerNothingEnded)
            .clock(std::sync::Arc::new(|| NOW * 1000))
    }

    /// A token with this header and payload, signed as its `alg` says; what we cannot sign with, we sign
    /// with the EC key.
    pub fn sign(&self, header: &Value, payload: &str) -> String {
        let input = format!("{}.{}", encode(header.to_string().as_bytes()), encode(payload.as_bytes()));
        let signature = self.signature(header["alg"].as_str().unwrap_or("ES256"), input.as_bytes());
        format!("{input}.{}", encode(&signature))
    }

    /// A good token, after `change` has had its way with the claims.
    pub fn token(&self, change: impl FnOnce(&mut Value)) -> String {
        let mut claims = claims();
        change(&mut claims);
        self.sign(&header(), &claims.to_string())
    }

    fn signature(&self, alg: &str, input: &[u8]) -> Vec<u8> {
        match alg {
            "EdDSA" | "Ed25519" => self.ed.sign(input).as_ref().to_vec(),
            "RS512" => {
                let mut signature = vec![0; self.rsa.public().modulus_len()];
                self.rsa.sign(&RSA_PKCS1_SHA512, &self.dice, input, &mut signature).unwrap();
                signature
            }
            _ => self.ec.sign(&self.dice, input).unwrap().as_ref().to_vec(),
        }
    }
}

pub fn header() -> Value {
    json!({"alg": "ES256", "typ": "at+jwt", "kid": "eu1.ec"})
}

/// The claims of an administrator's token.
pub fn claims() -> Value {
    json!({
        "iss": ISSUER, "sub": "client:shop", "aud": AUDIENCE, "client_id": "shop",
        "iat": 1_800_000_000u64, "exp": 1_800_007_200u64,
        "jti": "AZJk0gAAcAAAAAAAAAAAAA", "scope": "market:all", "gv": [1, 1, 1, 0], "rol": ["admin"], "pv": 1,
        "organization": {"id": ORGANIZATION, "slug": "shop", "enterprise": true, "region": "eu-west-1"},
        "application": {"id": "KlMnOpQrSt", "client_id": "shop", "kind": "integration", "public": false,
                        "confidential": true},
        "test": false, "rand": 0.42
    })
}

pub fn encode(bytes: &[u8]) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

pub fn decode(text: &str) -> Vec<u8> {
    URL_SAFE_NO_PAD.decode(text).unwrap()
}

/// The same token with the other good ES256 signature.
pub fn twin_of(token: &str) -> String {
    let (input, signature) = token.rsplit_once('.').unwrap();
    let signature = decode(signature);
    let (r, s) = signature.split_at(32);
    format!("{input}.{}", encode(&[r, &other_s(s)].concat()))
}

/// The order of P-256 less `s`.
fn other_s(s: &[u8]) -> Vec<u8> {
    let order = decode("_____wAAAAD__________7zm-q2nF56E87nKwvxjJVE");
    let mut borrow = 0i16;
    let mut other = vec![0; 32];
    for at in (0..32).rev() {
        let digit = i16::from(order[at]) - i16::from(s[at]) - borrow;
        borrow = i16::from(digit < 0);
        other[at] = (digit & 0xff) as u8;
    }
    other
}

/// An RSA key that Wycheproof has published with its private half; ring makes none.
fn published_rsa() -> (RsaKeyPair, Value) {
    let all: Value = serde_json::from_str(WYCHEPROOF).unwrap();
    let groups = all["testGroups"].as_array().unwrap();
    let jwk = &groups.iter().find(|group| group["private"]["kid"] == "RS512_2048").unwrap()["private"];
    let part = |name: &str| decode(jwk[name].as_str().unwrap());
    let public_key = rsa::PublicKeyComponents { n: part("n"), e: part("e") };
    let components = rsa::KeyPairComponents {
        public_key,
        d: part("d"),
        p: part("p"),
        q: part("q"),
        dP: part("dp"),
        dQ: part("dq"),
        qInv: part("qi"),
    };
    let public =
        json!({"kty": "RSA", "alg": "RS512", "use": "sig", "kid": "eu1.rsa", "n": jwk["n"], "e": jwk["e"]});
    (RsaKeyPair::from_components(&components).unwrap(), public)
}
