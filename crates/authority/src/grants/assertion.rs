//! Reads the assertion of RFC 7523: who is to be acted for, and what is to be carried along.
//!
//! `signed` is the default: a key that the application registered, or HS512 with its own secret, sent in
//! the same request. `client_authenticated` exists for the vendor's helper, which signs with a constant:
//! there the assertion is a bag of parameters and trust rests on the client secret beside it.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use josekit::jws::{ES256, EdDSA, JwsVerifier, PS256, RS256, RS512};
use portcullis_guard::claims::OwnerKind;
use ring::{digest, hmac};
use serde_json::{Map, Value};

use crate::client::Caller;
use crate::custom_claim;
use crate::json::read_strict;
use crate::keyring::to_jwk;
use crate::refusal::{Code, Refusal};
use crate::registry::Assertions;

/// The vendor's limit for the whole assertion, bytes.
const MAX_BYTES: usize = 4096;
/// The longest life of a signed assertion, seconds.
const MAX_LIFE: u64 = 300;
/// Clocks may differ by this much, seconds.
const LEEWAY: u64 = 30;
/// How old an unsigned assertion may be, seconds.
const MAX_AGE: u64 = 60;
const CLAIMS: &str = "https://commercelayer.io/claims";

/// An assertion that may be believed.
#[derive(Debug)]
pub struct Assertion {
    pub owner: Option<(OwnerKind, String)>,
    pub custom_claim: Option<Value>,
    /// What must be remembered so that it works once; `None` in the vendor's mode without a `jti`: its
    /// helper has none and counts whole seconds, so two honest assertions may be the same text.
    pub once: Option<Once>,
}

/// Remembered until `exp`.
#[derive(Debug)]
pub struct Once {
    pub digest: String,
    pub exp: u64,
}

/// Reads and checks an assertion of this caller.
///
/// # Errors
/// `invalid_assertion` for one that says nothing or says too much, `invalid_grant` for one that cannot be
/// believed (RFC 7521 section 4.1.1).
pub fn read(text: &str, caller: &Caller, issuer: &str, now: u64) -> Result<Assertion, Refusal> {
    if text.len() > MAX_BYTES {
        return Err(unusable(format!(
            "The assertion is larger than {MAX_BYTES} bytes; carry less in custom_claim."
        )));
    }
    let parts = Parts::split(text).ok_or_else(|| {
        unusable("The assertion is not a compact JWT with every name once; sign it with a JWT library.")
    })?;
    let once = match caller.application().on_behalf_of.assertions {
        Assertions::Signed => {
            parts.verify(caller)?;
            Some(check_signed(&parts.payload, caller, issuer, now)?)
        }
        Assertions::ClientAuthenticated => check_fresh(&parts.payload, now)?,
    };
    let empty = Map::new();
    let said = match parts.payload.get(CLAIMS) {
        Some(Value::Object(said)) => said,
        Some(_) => return Err(unusable("The member https://commercelayer.io/claims must be an object.")),
        None => &empty,
    };
    let owner = said.get("owner").map(read_owner).transpose()?;
    let custom_claim = said.get("custom_claim").cloned();
    custom_claim.as_ref().map(custom_claim::check).transpose()?;
    if owner.is_none() && custom_claim.is_none() {
        return Err(unusable("The provided assertion is invalid: name an owner, a custom_claim or both."));
    }
    let stands_for = owner.as_ref().map_or(caller.application().client_id.as_str(), |(_, id)| id);
    let signed = caller.application().on_behalf_of.assertions == Assertions::Signed;
    if signed && parts.payload.get("sub").and_then(Value::as_str) != Some(stands_for) {
        return Err(unbelieved(
            "The assertion's sub must be the owner's id, or the client_id when there is no owner.",
        ));
    }
    Ok(Assertion { owner, custom_claim, once })
}

struct Parts<'a> {
    signed: &'a str,
    header: Map<String, Value>,
    payload: Map<String, Value>,
    signature: Vec<u8>,
}

impl<'a> Parts<'a> {
    fn split(text: &'a str) -> Option<Self> {
        let (signed, signature) = text.rsplit_once('.')?;
        let (header, payload) = signed.split_once('.')?;
        let object = |part: &str| match read_strict(&URL_SAFE_NO_PAD.decode(part).ok()?)? {
            Value::Object(object) => Some(object),
            _ => None,
        };
        Some(Self {
            signed,
            header: object(header)?,
            payload: object(payload)?,
            signature: URL_SAFE_NO_PAD.decode(signature).ok()?,
        })
    }

    /// The algorithm comes from the key; the header may only agree.
    fn verify(&self, caller: &Caller) -> Result<(), Refusal> {
        let no = || {
            unbelieved(
                "The assertion's signature fits no key of this application; sign with a registered key, or with HS512 and the client_secret.",
            )
        };
        if self.header.contains_key("crit") || self.header.contains_key("b64") {
            return Err(no());
        }
        let algorithm = self.header.get("alg").and_then(Value::as_str).ok_or_else(no)?;
        if algorithm == "HS512" {
            let secret = caller.secret().ok_or_else(no)?;
            let key = hmac::Key::new(hmac::HMAC_SHA512, secret.expose().as_bytes());
            return hmac::verify(&key, self.signed.as_bytes(), &self.signature).map_err(|_| no());
        }
        let key = self.key_of(caller, algorithm).ok_or_else(no)?;
        let jwk = to_jwk(&key).map_err(|_| no())?;
        let verifier: Box<dyn JwsVerifier> = match algorithm {
            "ES256" => Box::new(ES256.verifier_from_jwk(&jwk).map_err(|_| no())?),
            "EdDSA" => Box::new(EdDSA.verifier_from_jwk(&jwk).map_err(|_| no())?),
            "RS256" => Box::new(RS256.verifier_from_jwk(&jwk).map_err(|_| no())?),
            "RS512" => Box::new(RS512.verifier_from_jwk(&jwk).map_err(|_| no())?),
            "PS256" => Box::new(PS256.verifier_from_jwk(&jwk).map_err(|_| no())?),
            _ => return Err(no()),
        };
        verifier.verify(self.signed.as_bytes(), &self.signature).map_err(|_| no())
    }

    /// The registered key that the header names; with one key, it need not be named.
    fn key_of(&self, caller: &Caller, algorithm: &str) -> Option<Value> {
        let set = caller.application().on_behalf_of.keys.as_ref()?;
        let fitting = |key: &&Value| key["alg"].as_str() == Some(algorithm);
        let mut keys = set["keys"].as_array()?.iter().filter(fitting);
        match self.header.get("kid") {
            Some(kid) => keys.find(|key| key.get("kid") == Some(kid)).cloned(),
            None => keys.next().filter(|_| set["keys"].as_array().is_some_and(|all| all.len() == 1)).cloned(),
        }
    }
}

/// `iss`, `aud`, `iat`, `exp`, `jti` (RFC 7523 section 3). `aud` is our issuer, as one string: endpoint
/// addresses and lists were ways to inject an assertion meant for somebody else.
fn check_signed(
    payload: &Map<String, Value>,
    caller: &Caller,
    issuer: &str,
    now: u64,
) -> Result<Once, Refusal> {
    let client_id = caller.application().client_id.as_str();
    let text = |name: &str| payload.get(name).and_then(Value::as_str);
    let time = |name: &str| payload.get(name).and_then(Value::as_u64);
    if text("iss") != Some(client_id) {
        return Err(unbelieved("The assertion's iss must be the client_id."));
    }
    if text("aud") != Some(issuer) {
        return Err(unbelieved("The assertion's aud must be this server's issuer, as one string."));
    }
    let (Some(iat), Some(exp)) = (time("iat"), time("exp")) else {
        return Err(unbelieved("The assertion needs iat and exp in whole seconds."));
    };
    if exp <= now.saturating_sub(LEEWAY) || iat > now + LEEWAY || exp > iat.saturating_add(MAX_LIFE) {
        return Err(unbelieved(
            "The assertion is expired, from the future, or lives longer than 5 minutes; make a new one.",
        ));
    }
    if payload.contains_key("nbf") && time("nbf").is_none_or(|nbf| nbf > now + LEEWAY) {
        return Err(unbelieved("The assertion's nbf has not come yet; send it later, or leave nbf out."));
    }
    once(payload, exp + 2 * LEEWAY)?.ok_or_else(|| unbelieved("The assertion needs a jti."))
}

/// The vendor's helper says only `iat`. What an assertion says beyond it is taken at its word.
fn check_fresh(payload: &Map<String, Value>, now: u64) -> Result<Option<Once>, Refusal> {
    let time = |name: &str| payload.get(name).and_then(Value::as_u64);
    let iat = time("iat").filter(|iat| *iat <= now + LEEWAY && now <= iat.saturating_add(MAX_AGE));
    let iat = iat.ok_or_else(|| unbelieved("The assertion needs an iat of the last minute."))?;
    if payload.contains_key("exp") && time("exp").is_none_or(|exp| exp <= now.saturating_sub(LEEWAY)) {
        return Err(unbelieved("The assertion is expired; make a new one."));
    }
    once(payload, iat + MAX_AGE + LEEWAY)
}

/// A `jti` as it is remembered.
fn once(payload: &Map<String, Value>, exp: u64) -> Result<Option<Once>, Refusal> {
    let Some(jti) = payload.get("jti") else { return Ok(None) };
    let jti = jti.as_str().filter(|jti| !jti.is_empty());
    let jti = jti.ok_or_else(|| unbelieved("The assertion's jti must be a text, new for each assertion."))?;
    let digest = URL_SAFE_NO_PAD.encode(digest::digest(&digest::SHA256, jti.as_bytes()));
    Ok(Some(Once { digest, exp }))
}

fn read_owner(owner: &Value) -> Result<(OwnerKind, String), Refusal> {
    let kind = match owner["type"].as_str() {
        Some("Customer") => OwnerKind::Customer,
        Some("User") => OwnerKind::User,
        _ => return Err(unusable("The owner's type is Customer or User.")),
    };
    let id = owner["id"].as_str().filter(|id| !id.is_empty() && id.len() <= 64);
    Ok((kind, id.ok_or_else(|| unusable("The owner needs an id."))?.to_owned()))
}

fn unusable(sentence: impl Into<std::borrow::Cow<'static, str>>) -> Refusal {
    Refusal::new(Code::InvalidAssertion, sentence)
}

fn unbelieved(sentence: &'static str) -> Refusal {
    Refusal::new(Code::InvalidGrant, sentence)
}
