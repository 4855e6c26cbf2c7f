//! Settings of a server of a test's own, and those that the files in `deploy/` amount to.

use std::collections::BTreeSet;
use std::path::PathBuf;

use portcullis::settings::{Settings, Weight};
use portcullis::testing::{self, Scratch};

use crate::repository;

/// For a server on a free port of this machine, with keys in this folder.
pub fn settings(scratch: &Scratch) -> Settings {
    Settings { issuer: "https://localhost:0".into(), ..testing::settings(scratch) }
}

/// Production as it is shipped, with these files and variables over it.
pub fn production(over: &[PathBuf], variables: &[(String, String)]) -> Settings {
    let mut files =
        ["base.toml", "production.toml"].map(|name| repository("deploy/config").join(name)).to_vec();
    files.extend_from_slice(over);
    Settings::load(&files, variables.iter().cloned()).unwrap_or_else(|wrong| panic!("{wrong}"))
}

/// What keeps the server from starting, save that the folder of keys is made later.
pub fn refusals(settings: &Settings) -> Vec<String> {
    let found = settings.check().into_iter().filter(|finding| finding.weight == Weight::Refusal);
    found.map(|finding| finding.sentence).filter(|why| !why.starts_with("keys.directory")).collect()
}

/// The settings that a text names as variables of the environment.
pub fn named(text: &str) -> BTreeSet<String> {
    let is_part = |c: char| c.is_ascii_uppercase() || c.is_ascii_digit() || c == '_';
    let names = text.match_indices("PORTCULLIS__").map(|(at, _)| {
        let rest = &text[at..];
        rest[..rest.find(|c| !is_part(c)).unwrap_or(rest.len())].trim_end_matches('_').to_owned()
    });
    names.collect()
}

/// Whether there is a setting of this name; its value is judged elsewhere.
pub fn is_known(variable: &str) -> bool {
    let plain = variable.strip_suffix("_FILE").unwrap_or(variable).to_owned();
    let loaded = Settings::load(&[], std::iter::once((plain, "1".to_owned())));
    !loaded.is_err_and(|wrong| wrong.to_string().contains("is not a setting"))
}

#[test]
fn a_name_that_is_none_is_noticed() {
    assert!(is_known("PORTCULLIS__STORE__URL_FILE") && is_known("PORTCULLIS__TLS__KEY"));
    assert!(!is_known("PORTCULLIS__STORE__ADDRESS") && !is_known("PORTCULLIS__TSL__KEY"));
    let text = "a PORTCULLIS__STORE__URL_FILE=%d/x PORTCULLIS__TLS__KEY: y (PORTCULLIS__SECTION__KEY_FILE)";
    assert_eq!(named(text).len(), 3);
}
