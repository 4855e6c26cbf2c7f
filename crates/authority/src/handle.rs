//! The refresh handle: three parts like a JWT, because the vendor's client decodes whatever it revokes
//! and reads `iss`; but no validator takes it for one (`alg` is on nobody's list, `typ` differs, no `kid`).
//!
//! `base64url({"typ":"rt+jwt","alg":"X-HANDLE"}) . base64url({"iss","fam","n","exp"}) . base64url(secret 32 | tag 16)`
//!
//! The tag only proves that this server once made the handle, so that a forgery is refused before any
//! lookup and nobody can end a family with invented numbers. Whether it is still good, the ledger says.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::{Deserialize, Serialize};
use subtle::ConstantTimeEq as _;

use crate::json::read_strict;
use crate::secret::{Seal, Secret};

const HEADER: &str = r#"{"typ":"rt+jwt","alg":"X-HANDLE"}"#;
/// A handle is a few hundred bytes; anything longer was not made here.
const MAX_BYTES: usize = 2048;

/// A genuine refresh handle.
#[derive(Clone, Debug)]
pub struct Handle {
    pub family: String,
    /// Which rotation it is.
    pub n: u64,
    /// The family's absolute end, seconds.
    pub exp: u64,
    pub secret: HandleSecret,
}

/// The 32 random bytes; shy.
#[derive(Clone, PartialEq, Eq)]
pub struct HandleSecret(pub [u8; 32]);

impl std::fmt::Debug for HandleSecret {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.write_str("HandleSecret(..)")
    }
}

#[derive(Serialize, Deserialize)]
struct Payload {
    iss: String,
    fam: String,
    n: u64,
    exp: u64,
}

impl Handle {
    /// The text that the client keeps.
    pub fn write(&self, issuer: &str, seal: &Seal) -> Secret {
        let payload = Payload { iss: issuer.into(), fam: self.family.clone(), n: self.n, exp: self.exp };
        let payload = serde_json::to_string(&payload).expect("strings and numbers always serialise");
        let payload = URL_SAFE_NO_PAD.encode(payload);
        let tag = seal.handle_tag(&payload, &self.secret.0);
        let last = URL_SAFE_NO_PAD.encode([&self.secret.0[..], &tag].concat());
        Secret::from(format!("{}.{payload}.{last}", URL_SAFE_NO_PAD.encode(HEADER)))
    }

    /// Reads a handle of this issuer; `None` for anything that this server did not make.
    pub fn read(text: &str, issuer: &str, seal: &Seal) -> Option<Self> {
        if text.len() > MAX_BYTES {
            return None;
        }
        let mut parts = text.split('.');
        let (header, payload, last) = (parts.next()?, parts.next()?, parts.next()?);
        if parts.next().is_some() || URL_SAFE_NO_PAD.decode(header).ok()? != HEADER.as_bytes() {
            return None;
        }
        let last = URL_SAFE_NO_PAD.decode(last).ok()?;
        let secret: [u8; 32] = last.get(..32)?.try_into().ok()?;
        let tag = seal.handle_tag(payload, &secret);
        if !bool::from(tag.ct_eq(last.get(32..)?)) {
            return None;
        }
        let payload: Payload =
            serde_json::from_value(read_strict(&URL_SAFE_NO_PAD.decode(payload).ok()?)?).ok()?;
        (payload.iss == issuer).then_some(Self {
            family: payload.fam,
            n: payload.n,
            exp: payload.exp,
            secret: HandleSecret(secret),
        })
    }

    /// Whether the text wants to be a handle, genuine or not.
    pub fn looks_like_one(text: &str) -> bool {
        text.split('.').next().is_some_and(|header| header == URL_SAFE_NO_PAD.encode(HEADER))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn handle() -> Handle {
        Handle { family: "f".repeat(22), n: 3, exp: 9, secret: HandleSecret([5; 32]) }
    }

    #[test]
    fn a_handle_reads_back_for_its_own_issuer_only() {
        let seal = Seal::new(&[1; 32]);
        let text = handle().write("https://auth.a", &seal);
        let read = Handle::read(text.expose(), "https://auth.a", &seal).unwrap();
        assert_eq!((read.n, read.exp, read.secret), (3, 9, HandleSecret([5; 32])));
        assert!(Handle::read(text.expose(), "https://auth.b", &seal).is_none());
        assert!(Handle::read(text.expose(), "https://auth.a", &Seal::new(&[2; 32])).is_none());
    }

    #[test]
    fn no_changed_character_is_accepted() {
        let seal = Seal::new(&[1; 32]);
        let text = handle().write("https://auth.a", &seal).expose().to_owned();
        for at in 0..text.len() {
            let mut bytes = text.clone().into_bytes();
            bytes[at] = if bytes[at] == b'A' { b'B' } else { b'A' };
            let changed = String::from_utf8(bytes).unwrap();
            assert!(Handle::read(&changed, "https://auth.a", &seal).is_none(), "at {at}");
        }
        assert!(Handle::read(&text[..text.len() - 1], "https://auth.a", &seal).is_none());
        assert!(Handle::read(&format!("{text}A"), "https://auth.a", &seal).is_none());
    }
}
