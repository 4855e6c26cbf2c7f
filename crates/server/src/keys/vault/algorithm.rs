//! The algorithms in PKCS#11's words: how a key is made, what is signed, and how what came back is checked. The
//! check costs a tenth of the signature; without it a token that errs, or a handle that means another key,
//! would hand out tokens which nobody accepts.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use cryptoki::mechanism::rsa::{PkcsMgfType, PkcsPssParams};
use cryptoki::mechanism::{Mechanism, MechanismType};
use cryptoki::object::{Attribute, AttributeType};
use cryptoki::types::Ulong;
use ring::{digest, signature};
use serde_json::{Value, json};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Algorithm {
    Es256,
    Rs256,
    Rs512,
    Ps256,
}

/// The object identifier of P-256, in DER (RFC 5480 section 2.1.1.1).
const P256: [u8; 10] = [0x06, 0x08, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07];
const RSA_BITS: Ulong = Ulong::new(2048);
const RSA_EXPONENT: [u8; 3] = [1, 0, 1];
/// RFC 7518 section 3.5: as long as the hash.
const PSS: PkcsPssParams =
    PkcsPssParams { hash_alg: MechanismType::SHA256, mgf: PkcsMgfType::MGF1_SHA256, s_len: Ulong::new(32) };

impl Algorithm {
    pub fn named(name: &str) -> Option<Self> {
        match name {
            "ES256" => Some(Self::Es256),
            "RS256" => Some(Self::Rs256),
            "RS512" => Some(Self::Rs512),
            "PS256" => Some(Self::Ps256),
            _ => None,
        }
    }

    /// What a token must know to be of use.
    pub fn needs(self) -> [MechanismType; 2] {
        match self {
            Self::Es256 => [MechanismType::ECC_KEY_PAIR_GEN, MechanismType::ECDSA],
            Self::Rs256 => [MechanismType::RSA_PKCS_KEY_PAIR_GEN, MechanismType::SHA256_RSA_PKCS],
            Self::Rs512 => [MechanismType::RSA_PKCS_KEY_PAIR_GEN, MechanismType::SHA512_RSA_PKCS],
            Self::Ps256 => [MechanismType::RSA_PKCS_KEY_PAIR_GEN, MechanismType::SHA256_RSA_PKCS_PSS],
        }
    }

    /// How a key is made, and what is said of its public half.
    pub fn generation(self) -> (Mechanism<'static>, Vec<Attribute>) {
        match self {
            Self::Es256 => (Mechanism::EccKeyPairGen, vec![Attribute::EcParams(P256.to_vec())]),
            Self::Rs256 | Self::Rs512 | Self::Ps256 => (
                Mechanism::RsaPkcsKeyPairGen,
                vec![Attribute::ModulusBits(RSA_BITS), Attribute::PublicExponent(RSA_EXPONENT.to_vec())],
            ),
        }
    }

    /// What else a token might let a private key do, and what ours may not.
    pub fn nothing_else(self) -> &'static [Attribute] {
        match self {
            Self::Es256 => &[Attribute::Derive(false)],
            Self::Rs256 | Self::Rs512 | Self::Ps256 => &[Attribute::Decrypt(false), Attribute::Unwrap(false)],
        }
    }

    /// What a public key consists of.
    pub fn public_parts(self) -> &'static [AttributeType] {
        match self {
            Self::Es256 => &[AttributeType::EcPoint],
            Self::Rs256 | Self::Rs512 | Self::Ps256 => {
                &[AttributeType::Modulus, AttributeType::PublicExponent]
            }
        }
    }

    /// How a message is signed, and what of it the token gets to see.
    pub fn sign(self, message: &[u8]) -> (Mechanism<'static>, Vec<u8>) {
        match self {
            Self::Es256 => {
                let hash = digest::digest(&digest::SHA256, message);
                (Mechanism::Ecdsa, hash.as_ref().to_vec())
            }
            Self::Rs256 => (Mechanism::Sha256RsaPkcs, message.to_vec()),
            Self::Rs512 => (Mechanism::Sha512RsaPkcs, message.to_vec()),
            Self::Ps256 => (Mechanism::Sha256RsaPkcsPss(PSS), message.to_vec()),
        }
    }

    /// Whether this is the signature of that message under the public key.
    pub fn verifies(self, public: &Value, message: &[u8], signed: &[u8]) -> bool {
        let part = |name: &str| bytes(public, name).unwrap_or_default();
        let rsa = |how| {
            let key = signature::RsaPublicKeyComponents { n: part("n"), e: part("e") };
            key.verify(how, message, signed).is_ok()
        };
        match self {
            Self::Es256 => {
                let point = [&[4], &part("x")[..], &part("y")].concat();
                let key = signature::UnparsedPublicKey::new(&signature::ECDSA_P256_SHA256_FIXED, point);
                key.verify(message, signed).is_ok()
            }
            Self::Rs256 => rsa(&signature::RSA_PKCS1_2048_8192_SHA256),
            Self::Rs512 => rsa(&signature::RSA_PKCS1_2048_8192_SHA512),
            Self::Ps256 => rsa(&signature::RSA_PSS_2048_8192_SHA256),
        }
    }
}

/// The members of a JWK (RFC 7518 section 6) from what a token shows of a public key.
pub(super) fn public_jwk(seen: &[Attribute]) -> Option<Value> {
    match seen {
        [Attribute::EcPoint(point)] => {
            let (x, y) = coordinates(point)?;
            Some(json!({ "kty": "EC", "crv": "P-256", "x": text(x), "y": text(y) }))
        }
        [Attribute::Modulus(n), Attribute::PublicExponent(e)] => {
            Some(json!({ "kty": "RSA", "n": text(shortest(n)), "e": text(shortest(e)) }))
        }
        _ => None,
    }
}

/// A point on P-256, bare or as PKCS#11 wants it, inside a DER octet string.
fn coordinates(point: &[u8]) -> Option<(&[u8], &[u8])> {
    let bare = match point {
        [4, 65, bare @ ..] if bare.len() == 65 => bare,
        bare => bare,
    };
    match bare {
        [4, both @ ..] if both.len() == 64 => Some(both.split_at(32)),
        _ => None,
    }
}

/// RFC 7518 section 6.3.1.1: no zero bytes in front.
fn shortest(number: &[u8]) -> &[u8] {
    let zeros = number.iter().take_while(|byte| **byte == 0).count();
    &number[zeros..]
}

fn text(bytes: &[u8]) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

fn bytes(jwk: &Value, name: &str) -> Option<Vec<u8>> {
    URL_SAFE_NO_PAD.decode(jwk[name].as_str()?).ok()
}

#[cfg(test)]
mod tests {
    use portcullis_authority::keyring::{generate, held, public_half};

    use super::*;

    #[test]
    fn a_point_is_read_with_and_without_its_wrapping() {
        let bare = [&[4][..], &[7; 32], &[9; 32]].concat();
        let wrapped = [&[4, 65][..], &bare].concat();
        for point in [&bare, &wrapped] {
            let jwk = public_jwk(&[Attribute::EcPoint(point.clone())]).unwrap();
            assert_eq!((bytes(&jwk, "x"), bytes(&jwk, "y")), (Some(vec![7; 32]), Some(vec![9; 32])));
        }
        for wrong in [&bare[..64], &wrapped[..66], &[2][..], &[]] {
            assert_eq!(public_jwk(&[Attribute::EcPoint(wrong.to_vec())]), None);
        }
    }

    #[test]
    fn a_number_is_written_without_zeros_in_front() {
        let seen = [Attribute::Modulus(vec![0, 0, 5, 0]), Attribute::PublicExponent(vec![1, 0, 1])];
        let jwk = public_jwk(&seen).unwrap();
        assert_eq!((bytes(&jwk, "n"), jwk["e"].as_str()), (Some(vec![5, 0]), Some("AQAB")));
    }

    #[tokio::test]
    async fn a_signature_of_another_key_or_message_is_none() {
        for name in ["ES256", "RS256", "RS512", "PS256"] {
            let (own, other) = (generate(name, "eu1").unwrap(), generate(name, "eu1").unwrap());
            let algorithm = Algorithm::named(name).unwrap();
            let signed = held(&own).unwrap().sign(b"message").await.unwrap();
            let public = public_half(&own).unwrap();
            assert!(algorithm.verifies(&public, b"message", &signed), "{name}");
            assert!(!algorithm.verifies(&public, b"massage", &signed), "{name}");
            assert!(!algorithm.verifies(&public_half(&other).unwrap(), b"message", &signed), "{name}");
            assert!(!algorithm.verifies(&json!({}), b"message", &signed), "{name}");
        }
        assert_eq!(Algorithm::named("EdDSA"), None);
    }
}
