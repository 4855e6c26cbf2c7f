//! The list of keys and their ages, as a house begins with them. It holds no secret.

use portcullis_authority::keyring::KeyState;
use serde::{Deserialize, Serialize};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

/// The contents of `manifest.json`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Manifest {
    pub purpose: Purpose,
    /// First part of the ids of new keys.
    pub region: String,
    pub keys: Vec<Entry>,
}

/// What the keys were made for. Production starts with its own only.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Purpose {
    Own,
    Demo,
    /// Public halves, to look at.
    Example,
}

/// One signing key.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Entry {
    pub kid: String,
    pub alg: String,
    /// The name of its file in the same directory.
    pub file: String,
    pub state: KeyState,
    /// RFC 3339, for people.
    pub created_at: String,
}

impl Entry {
    pub fn new(kid: &str, alg: &str, state: KeyState, now: u64) -> Self {
        let made = i64::try_from(now).ok().and_then(|now| OffsetDateTime::from_unix_timestamp(now).ok());
        let created_at = made.and_then(|at| at.format(&Rfc3339).ok()).unwrap_or_default();
        Self { kid: kid.into(), alg: alg.into(), file: format!("{kid}.jwk"), state, created_at }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_entry_says_when_it_was_made() {
        assert_eq!(
            Entry::new("k", "ES256", KeyState::Active, 1_800_000_000).created_at,
            "2027-01-15T08:00:00Z"
        );
    }
}
