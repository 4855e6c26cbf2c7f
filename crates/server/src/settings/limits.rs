//! The limits as an operator sets them; docs/limits.md explains each.

use portcullis_authority::limits::{Allowance, Allowances};
use serde::{Deserialize, Serialize};

use super::findings::Found;

/// How much a caller may do before it has to wait. A count of 0 switches a limit off.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Limits {
    pub address: Allowance,
    pub failure_cost: u32,
    pub client: Allowance,
    pub guesses: Allowance,
    pub guesses_in_all: Allowance,
    pub passwords: Allowance,
    pub passwords_long: Allowance,
    pub passwords_in_all: Allowance,
    pub introspection: Allowance,
    pub reads: Allowance,
    pub writes: Allowance,
    pub invitations: Allowance,
    /// Buckets in memory.
    pub keys: u32,
    /// Open connections of one address; the proxies in front of us have no such bound.
    pub connections: u32,
    /// How long the head of a connection's first request, or a TLS handshake, may take.
    pub head_ms: u64,
    /// How long a body may take.
    pub body_ms: u64,
}

impl Limits {
    /// The part that the rules need.
    pub fn allowances(&self) -> Allowances {
        Allowances {
            address: self.address,
            failure_cost: self.failure_cost,
            client: self.client,
            guesses: self.guesses,
            guesses_in_all: self.guesses_in_all,
            passwords: self.passwords,
            passwords_long: self.passwords_long,
            passwords_in_all: self.passwords_in_all,
            introspection: self.introspection,
            reads: self.reads,
            writes: self.writes,
            invitations: self.invitations,
            keys: usize::try_from(self.keys).unwrap_or(usize::MAX),
        }
    }

    pub(super) fn check(&self, found: &mut Found) {
        for (name, allowance) in self.named() {
            if allowance.count > 0 && !(1..=86_400).contains(&allowance.seconds) {
                let seconds = allowance.seconds;
                found.refuse(format!("limits.{name}.seconds must be between 1 and 86400; it is {seconds}."));
            }
        }
        let bounds = [
            ("failure_cost", u64::from(self.failure_cost), 1, 1000),
            ("keys", u64::from(self.keys), 1000, 50_000_000),
            ("connections", u64::from(self.connections), 1, 100_000),
            ("head_ms", self.head_ms, 100, 60_000),
            ("body_ms", self.body_ms, 100, 60_000),
        ];
        for (name, value, least, most) in bounds {
            if value < least || value > most {
                found.refuse(format!("limits.{name} must be between {least} and {most}; it is {value}."));
            }
        }
    }

    /// What production should not be without.
    pub(super) fn check_production(&self, found: &mut Found) {
        for (name, allowance) in self.named() {
            if allowance.is_open() && ["passwords", "passwords_in_all", "guesses"].contains(&name) {
                found.warn(format!("limits.{name} is off, so guessing is only as slow as the machine."));
            }
        }
    }

    /// Each allowance by the name of its setting.
    pub fn named(&self) -> [(&'static str, Allowance); 11] {
        [
            ("address", self.address),
            ("client", self.client),
            ("guesses", self.guesses),
            ("guesses_in_all", self.guesses_in_all),
            ("passwords", self.passwords),
            ("passwords_long", self.passwords_long),
            ("passwords_in_all", self.passwords_in_all),
            ("introspection", self.introspection),
            ("reads", self.reads),
            ("writes", self.writes),
            ("invitations", self.invitations),
        ]
    }
}

impl Default for Limits {
    fn default() -> Self {
        let allow = Allowances::default();
        Self {
            address: allow.address,
            failure_cost: allow.failure_cost,
            client: allow.client,
            guesses: allow.guesses,
            guesses_in_all: allow.guesses_in_all,
            passwords: allow.passwords,
            passwords_long: allow.passwords_long,
            passwords_in_all: allow.passwords_in_all,
            introspection: allow.introspection,
            reads: allow.reads,
            writes: allow.writes,
            invitations: allow.invitations,
            keys: 200_000,
            connections: 2048,
            head_ms: 10_000,
            body_ms: 10_000,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::settings::Settings;

    /// The page's table, row by row: name, default, meaning.
    fn rows() -> Vec<(String, String)> {
        let page = include_str!("../../../../docs/limits.md");
        let cells = |line: &str| line.split('|').map(|cell| cell.trim().to_owned()).collect::<Vec<_>>();
        let rows = page.lines().filter(|line| line.starts_with("| `")).skip(1).map(cells);
        rows.map(|row| (row[1].trim_matches('`').to_owned(), row[2].clone())).collect()
    }

    #[test]
    fn the_page_names_every_limit_with_its_default() {
        let limits = Limits::default();
        let mut expected: Vec<(String, String)> = Vec::new();
        for (name, allowance) in limits.named() {
            expected.push((name.into(), format!("{} in {} s", allowance.count, allowance.seconds)));
        }
        expected.insert(1, ("failure_cost".into(), limits.failure_cost.to_string()));
        expected.push(("keys".into(), limits.keys.to_string()));
        expected.push(("connections".into(), limits.connections.to_string()));
        expected.push(("head_ms".into(), limits.head_ms.to_string()));
        expected.push(("body_ms".into(), limits.body_ms.to_string()));
        assert_eq!(rows(), expected);
        let all = serde_json::to_value(&limits).unwrap();
        assert_eq!(all.as_object().unwrap().len(), expected.len(), "a limit is missing from the page");
    }

    #[test]
    fn the_base_layer_says_the_defaults() {
        let base = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../deploy/config/base.toml");
        assert!(std::fs::read_to_string(&base).unwrap().contains("[limits]"));
        let loaded = Settings::load(&[base], std::iter::empty()).unwrap();
        assert_eq!(loaded.limits, Limits::default());
    }

    #[test]
    fn numbers_that_cannot_be_meant_are_refused_by_name() {
        let mut settings = Settings::default();
        settings.limits.passwords.seconds = 0;
        settings.limits.body_ms = 1;
        let said = settings.check();
        for name in ["limits.passwords.seconds", "limits.body_ms"] {
            assert!(said.iter().any(|finding| finding.sentence.starts_with(name)), "{said:?}");
        }
    }
}
