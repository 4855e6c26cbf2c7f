//! Variables that somebody meant as settings and that the server does not read, because one line stands where two
//! belong: `PORTCULLIS_LISTEN_PORT`. Other programs have variables that look the same (the shop's
//! `PORTCULLIS_ISSUER`), so they are said and not refused.

use std::collections::BTreeMap;

use super::layers::names;
use super::{Finding, Settings, Weight};

impl Settings {
    /// One finding for each such variable, unless the setting that it looks like is set beside it.
    pub fn misspelt(environment: impl Iterator<Item = (String, String)>) -> Vec<Finding> {
        let meant: BTreeMap<String, String> =
            names().into_iter().map(|name| (squeezed(&name), name)).collect();
        let set: Vec<String> =
            environment.map(|(name, _)| name).filter(|name| name.starts_with("PORTCULLIS_")).collect();
        let is_set = |name: &str| set.iter().any(|one| one.trim_end_matches("_FILE") == name);
        let mut found = Vec::new();
        for name in set.iter().filter(|name| !name.starts_with("PORTCULLIS__")) {
            let plain = name.strip_suffix("_FILE").unwrap_or(name);
            let Some(right) = meant.get(&squeezed(plain)).filter(|right| !is_set(right)) else { continue };
            let ending = &name[plain.len()..];
            let sentence = format!("the server reads {right}{ending}, and not {name}.");
            found.push(Finding { weight: Weight::Warning, sentence });
        }
        found
    }
}

fn squeezed(name: &str) -> String {
    name.replace("__", "_")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(names: &[&str]) -> Vec<String> {
        let pairs = names.iter().map(|name| ((*name).to_owned(), "x".to_owned()));
        Settings::misspelt(pairs).into_iter().map(|finding| finding.to_string()).collect()
    }

    #[test]
    fn one_line_where_two_belong_is_said() {
        for (name, right) in [
            ("PORTCULLIS_LISTEN_PORT", "PORTCULLIS__LISTEN__PORT"),
            ("PORTCULLIS_LISTEN__DRAIN_DELAY_MS", "PORTCULLIS__LISTEN__DRAIN_DELAY_MS"),
            ("PORTCULLIS_STORE_URL_FILE", "PORTCULLIS__STORE__URL_FILE"),
            ("PORTCULLIS_ISSUER", "PORTCULLIS__ISSUER"),
        ] {
            assert_eq!(said(&[name]), [format!("warning: the server reads {right}, and not {name}.")]);
        }
    }

    #[test]
    fn what_others_read_is_left_alone() {
        assert!(
            said(&["PATH", "PORTCULLIS_CLIENT_SECRET", "PORTCULLIS_ADMIN_URL", "PORTCULLIS__MODE"])
                .is_empty()
        );
        assert!(said(&["PORTCULLIS_ISSUER", "PORTCULLIS__ISSUER"]).is_empty(), "somebody knows both");
        assert!(said(&["PORTCULLIS_STORE_URL", "PORTCULLIS__STORE__URL_FILE"]).is_empty());
    }
}
