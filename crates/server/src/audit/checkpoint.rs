//! Checkpoints: the server's word, signed with the feed's key, for what stood at a row of the audit log.
//! Whoever rewrites the log and does not have the key cannot make them fit.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use portcullis_guard::feed::FeedKeys;
use portcullis_guard::feed::keys::Key8;
use portcullis_store::{AuditMark, Checkpoint};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::feed::Press;

/// The type in the header, so that nothing else of ours can pass for one.
const TYPE: &str = "audit-checkpoint+jws";
/// A statement is a few hundred bytes.
const LONGEST: usize = 4096;

/// What is vouched for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Vouched {
    /// This row stood here.
    Checkpoint,
    /// Everything up to this row was forgotten because it was old. A checkpoint does not say so, or else
    /// whoever can delete rows could begin the log wherever there is one.
    Cut,
}

/// Signs for a row.
pub fn state(press: &Press, log: &str, what: Vouched, mark: AuditMark, at: u64) -> Checkpoint {
    let payload = json!({ "log": log, "what": what, "seq": mark.seq, "hash": mark.hash, "at": at });
    Checkpoint { seq: mark.seq, hash: mark.hash, at, statement: press.statement(TYPE, &payload) }
}

/// What every checkpoint of this key begins with.
pub fn opening(press: &Press) -> String {
    press.header(TYPE)
}

/// Knows the keys that may sign, and for which log.
#[derive(Debug)]
pub struct Witness {
    log: String,
    keys: Vec<FeedKeys>,
}

#[derive(Deserialize)]
struct Payload {
    log: String,
    what: Vouched,
    seq: u64,
    hash: String,
    at: u64,
}

impl Witness {
    pub fn new(log: impl Into<String>, keys: Vec<FeedKeys>) -> Self {
        Self { log: log.into(), keys }
    }

    /// What a statement says, if it is genuine.
    ///
    /// # Errors
    /// The rest of a sentence that begins with "it".
    pub fn read(&self, statement: &str, expected: Vouched) -> Result<Checkpoint, &'static str> {
        let statement = statement.trim();
        let malformed = "is not a signed statement of ours";
        if statement.len() > LONGEST {
            return Err(malformed);
        }
        let (signed, signature) = statement.rsplit_once('.').ok_or(malformed)?;
        let (header, payload) = signed.split_once('.').ok_or(malformed)?;
        let header: Value = json_in(header).ok_or(malformed)?;
        if header["alg"] != "EdDSA" || header["typ"] != TYPE {
            return Err(malformed);
        }
        let name = header["kid"].as_str().and_then(|kid| URL_SAFE_NO_PAD.decode(kid).ok());
        let name: Key8 = name.and_then(|kid| kid.try_into().ok()).ok_or(malformed)?;
        let signature = URL_SAFE_NO_PAD.decode(signature).map_err(|_| malformed)?;
        self.check(&name, signed.as_bytes(), &signature)?;
        let said: Payload = json_in(payload).ok_or(malformed)?;
        if said.log != self.log {
            return Err("is of another log");
        }
        if said.what != expected {
            return Err("says something else than what it is used for");
        }
        Ok(Checkpoint { seq: said.seq, hash: said.hash, at: said.at, statement: statement.to_owned() })
    }

    fn check(&self, name: &Key8, message: &[u8], signature: &[u8]) -> Result<(), &'static str> {
        let mut why = "is signed with a key that is not known here (name older ones with --keys)";
        for keys in &self.keys {
            match keys.verify(name, message, signature) {
                Ok(()) => return Ok(()),
                Err(portcullis_guard::feed::FeedFault::BadSignature) => why = "bears a forged signature",
                Err(_) => {}
            }
        }
        Err(why)
    }
}

fn json_in<T: serde::de::DeserializeOwned>(part: &str) -> Option<T> {
    serde_json::from_slice(&URL_SAFE_NO_PAD.decode(part).ok()?).ok()
}

#[cfg(test)]
mod tests {
    use portcullis_authority::keyring::generate;

    use super::*;

    fn press() -> Press {
        Press::new(&generate("EdDSA", "eu1").expect("a key")).expect("a press")
    }

    fn witness(press: &Press) -> Witness {
        Witness::new("live:eu1", vec![FeedKeys::from_jwks(press.jwks()).expect("its own keys")])
    }

    fn signed(press: &Press) -> Checkpoint {
        state(press, "live:eu1", Vouched::Checkpoint, AuditMark { seq: 7, hash: "h".into() }, 9)
    }

    #[test]
    fn what_was_signed_is_what_is_read() {
        let press = press();
        let made = signed(&press);
        assert_eq!(witness(&press).read(&made.statement, Vouched::Checkpoint), Ok(made));
    }

    #[test]
    fn a_checkpoint_is_no_cut_and_one_log_is_not_another() {
        let press = press();
        let made = signed(&press).statement;
        assert!(witness(&press).read(&made, Vouched::Cut).is_err());
        let other = Witness { log: "test:eu1".into(), ..witness(&press) };
        assert_eq!(other.read(&made, Vouched::Checkpoint), Err("is of another log"));
    }

    #[test]
    fn another_key_and_another_text_are_found() {
        let (ours, theirs) = (press(), press());
        let forged = witness(&ours).read(&signed(&theirs).statement, Vouched::Checkpoint);
        assert!(forged.expect_err("another key").contains("not known here"));
        let made = signed(&ours).statement;
        let parts: Vec<&str> = made.split('.').collect();
        let payload =
            URL_SAFE_NO_PAD.encode(r#"{"log":"live:eu1","what":"checkpoint","seq":7,"hash":"x","at":9}"#);
        let changed = format!("{}.{payload}.{}", parts[0], parts[2]);
        let found = witness(&ours).read(&changed, Vouched::Checkpoint);
        assert_eq!(found, Err("bears a forged signature"));
        for odd in ["", ".", "..", "a.b.c", &"x".repeat(5000)] {
            assert!(witness(&ours).read(odd, Vouched::Checkpoint).is_err(), "{odd}");
        }
    }
}
