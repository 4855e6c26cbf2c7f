//! The list of keys and their ages. It holds no secret; the steps from one age to the next are here, apart
//! from the disk.

use portcullis_authority::keyring::KeyState;
use portcullis_authority::refusal::Trouble;
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

impl Manifest {
    /// Pending becomes active, and what was active for its algorithm retires.
    pub fn activate(&mut self, kid: &str) -> Result<Option<String>, Trouble> {
        let at = self.find(kid)?;
        match self.keys[at].state {
            KeyState::Pending => {}
            KeyState::Active => return Err(refused(format!("{kid} signs already"))),
            KeyState::Retired => return Err(refused(format!("{kid} has retired and does not come back"))),
        }
        let algorithm = self.keys[at].alg.clone();
        let before = self.keys.iter_mut().find(|key| key.alg == algorithm && key.state == KeyState::Active);
        let retired = before.map(|key| {
            key.state = KeyState::Retired;
            key.kid.clone()
        });
        self.keys[at].state = KeyState::Active;
        Ok(retired)
    }

    /// Pending becomes retired. An active key retires only by the activation of its successor, so that
    /// there is never nobody to sign.
    pub fn retire(&mut self, kid: &str) -> Result<(), Trouble> {
        let at = self.find(kid)?;
        if self.keys[at].state == KeyState::Active {
            let algorithm = &self.keys[at].alg;
            return Err(refused(format!(
                "{kid} is the only {algorithm} key that signs; activate another one and it retires by itself"
            )));
        }
        self.keys[at].state = KeyState::Retired;
        Ok(())
    }

    fn find(&self, kid: &str) -> Result<usize, Trouble> {
        self.keys
            .iter()
            .position(|key| key.kid == kid)
            .ok_or_else(|| refused(format!("there is no key {kid:?} here; see portcullis keys status")))
    }
}

fn refused(why: String) -> Trouble {
    Trouble::new("keys", why)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn manifest() -> Manifest {
        let keys = [
            ("a", "ES256", KeyState::Active),
            ("b", "ES256", KeyState::Pending),
            ("c", "RS512", KeyState::Active),
        ];
        Manifest {
            purpose: Purpose::Own,
            region: "eu1".into(),
            keys: keys.iter().map(|(kid, alg, state)| Entry::new(kid, alg, *state, 0)).collect(),
        }
    }

    fn states(manifest: &Manifest) -> Vec<KeyState> {
        manifest.keys.iter().map(|key| key.state).collect()
    }

    #[test]
    fn a_successor_retires_the_key_of_its_own_algorithm_only() {
        let mut manifest = manifest();
        assert_eq!(manifest.activate("b").unwrap().as_deref(), Some("a"));
        assert_eq!(states(&manifest), [KeyState::Retired, KeyState::Active, KeyState::Active]);
    }

    #[test]
    fn there_is_never_nobody_to_sign() {
        let mut manifest = manifest();
        assert!(manifest.retire("a").unwrap_err().why.contains("activate another one"));
        manifest.retire("b").unwrap();
        assert_eq!(states(&manifest)[1], KeyState::Retired);
    }

    #[test]
    fn a_retired_key_does_not_come_back() {
        let mut manifest = manifest();
        manifest.activate("b").unwrap();
        assert!(manifest.activate("a").is_err());
        assert!(manifest.activate("b").is_err());
        assert!(manifest.activate("nobody").is_err());
    }

    #[test]
    fn an_entry_says_when_it_was_made() {
        assert_eq!(
            Entry::new("k", "ES256", KeyState::Active, 1_800_000_000).created_at,
            "2027-01-15T08:00:00Z"
        );
    }
}
