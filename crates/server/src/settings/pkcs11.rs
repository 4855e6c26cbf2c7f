//! A PKCS#11 token for the signing keys (docs/keys.md): which one, and how much is asked of it at a time.

use std::path::PathBuf;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::findings::Found;

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Pkcs11 {
    /// The library of whoever makes the token; it is loaded when the server starts.
    pub module: PathBuf,
    /// The label of the token. One of this and `slot` says which it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub token: Option<String>,
    /// The number of its slot, where labels are not told apart. Some modules change it with each start.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub slot: Option<u64>,
    /// Where the user's PIN is: `file:PATH`, `env:NAME` or `command:PROGRAM ARGUMENTS`.
    pub pin: String,
    /// New keys are made in the token. Without this those that are there sign on, and new ones are made in the
    /// books: the way out.
    #[serde(default = "yes")]
    pub make: bool,
    /// Sessions, each with a thread of its own: so many signatures are made at the same time.
    #[serde(default = "sessions")]
    pub sessions: usize,
    /// Signatures that may wait for one; beyond them the answer is "try again later".
    #[serde(default = "queue")]
    pub queue: usize,
    /// How long a request waits for its signature.
    #[serde(default = "patience_ms")]
    pub patience_ms: u64,
}

impl Pkcs11 {
    /// With this module and PIN, and no word yet on which token.
    pub fn of(module: impl Into<PathBuf>, pin: impl Into<String>) -> Self {
        Self {
            module: module.into(),
            token: None,
            slot: None,
            pin: pin.into(),
            make: yes(),
            sessions: sessions(),
            queue: queue(),
            patience_ms: patience_ms(),
        }
    }

    pub fn patience(&self) -> Duration {
        Duration::from_millis(self.patience_ms)
    }

    pub(super) fn check(&self, found: &mut Found) {
        if !self.module.is_file() {
            found.refuse(format!("keys.pkcs11.module: there is no file {}.", self.module.display()));
        }
        if self.token.is_some() == self.slot.is_some() {
            found.refuse(
                "keys.pkcs11 needs token, the label of the token, or slot, its number; one of the two.",
            );
        }
        let bounds = [
            ("sessions", self.sessions as u64, 1, 64),
            ("queue", self.queue as u64, 1, 10_000),
            ("patience_ms", self.patience_ms, 100, 30_000),
        ];
        for (name, value, least, most) in bounds {
            if !(least..=most).contains(&value) {
                found
                    .refuse(format!("keys.pkcs11.{name} must be between {least} and {most}; it is {value}."));
            }
        }
    }
}

const fn yes() -> bool {
    true
}

const fn sessions() -> usize {
    4
}

const fn queue() -> usize {
    256
}

const fn patience_ms() -> u64 {
    2_000
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::settings::Settings;

    fn refusals(change: impl FnOnce(&mut Pkcs11)) -> Vec<String> {
        let mut pkcs11 = Pkcs11 { token: Some("town".into()), ..Pkcs11::of("/bin/sh", "env:PIN") };
        change(&mut pkcs11);
        let mut settings = Settings::default();
        settings.keys.pkcs11 = Some(pkcs11);
        let about_this = |sentence: &String| sentence.starts_with("keys.pkcs11");
        settings.check().into_iter().map(|finding| finding.sentence).filter(about_this).collect()
    }

    #[test]
    fn a_token_is_named_by_its_label_or_its_slot() {
        assert_eq!(refusals(|_| {}), [""; 0]);
        assert_eq!(refusals(|it| (it.token, it.slot) = (None, Some(0))), [""; 0]);
        for change in [|it: &mut Pkcs11| it.token = None, |it: &mut Pkcs11| it.slot = Some(0)] {
            assert!(refusals(change)[0].contains("one of the two"));
        }
    }

    #[test]
    fn a_module_that_is_not_there_and_numbers_that_cannot_be_are_refused() {
        assert!(refusals(|it| it.module = "/nowhere.so".into())[0].contains("no file /nowhere.so"));
        assert!(refusals(|it| it.sessions = 0)[0].contains("keys.pkcs11.sessions must be between 1 and 64"));
        assert!(refusals(|it| it.queue = 0)[0].contains("keys.pkcs11.queue"));
        assert!(refusals(|it| it.patience_ms = 60_000)[0].contains("keys.pkcs11.patience_ms"));
    }
}
