//! Reading the layers: built-in defaults, then each file in turn, then the environment.
//!
//! `PORTCULLIS__SECTION__KEY` sets a key. `PORTCULLIS__SECTION__KEY_FILE` names a file that holds the
//! value, so that a secret need not stand in the environment. A key that nobody knows is refused with its
//! name and its origin: a typing mistake must not silently leave a default in force.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use config::{Config, ConfigError, Environment, File, FileFormat, Map, Value, ValueKind};
use serde::{Deserialize, Deserializer};

use super::{Settings, TrustedProxies};

const PREFIX: &str = "PORTCULLIS";
const SEPARATOR: &str = "__";
/// Stands where the operator chooses the name.
const ANY_NAME: &str = "any_name";

/// Settings that cannot be read, in a sentence that names the key or the file.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct Wrong(String);

impl Settings {
    /// Reads the layers. `environment` is handed in, so that tests need not touch the process.
    ///
    /// # Errors
    /// A sentence for the first file that does not read, the first unknown key or the first bad value.
    pub fn load(
        files: &[PathBuf],
        environment: impl Iterator<Item = (String, String)>,
    ) -> Result<Self, Wrong> {
        let mut layers = Config::builder();
        for file in files {
            layers = layers.add_source(File::from_str(&read(file)?, FileFormat::Toml));
            let alone = Config::builder().add_source(File::from_str(&read(file)?, FileFormat::Toml)).build();
            let alone = alone.map_err(|e| Wrong(format!("{}: {}", file.display(), sentence(&e))))?;
            refuse_unknown(&alone, &file.display().to_string())?;
        }
        let environment = from_environment(environment)?;
        let alone =
            Config::builder().add_source(environment.clone()).build().map_err(|e| Wrong(sentence(&e)))?;
        refuse_unknown(&alone, "the environment")?;
        layers
            .add_source(environment)
            .build()
            .and_then(Config::try_deserialize)
            .map_err(|e| Wrong(sentence(&e)))
    }
}

/// A list, or one text with commas, which is all that an environment variable can be.
pub(super) fn list<'de, D: Deserializer<'de>>(from: D) -> Result<Vec<String>, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Written {
        One(String),
        Many(Vec<String>),
    }
    Ok(match Written::deserialize(from)? {
        Written::Many(list) => list,
        Written::One(text) => {
            text.split(',').map(str::trim).filter(|part| !part.is_empty()).map(str::to_owned).collect()
        }
    })
}

fn read(file: &Path) -> Result<String, Wrong> {
    std::fs::read_to_string(file).map_err(|e| Wrong(format!("{} cannot be read: {e}.", file.display())))
}

fn from_environment(variables: impl Iterator<Item = (String, String)>) -> Result<Environment, Wrong> {
    let ours = format!("{PREFIX}{SEPARATOR}");
    let mut values = HashMap::new();
    let mut files = Vec::new();
    for (name, value) in variables.filter(|(name, _)| name.starts_with(&ours)) {
        match name.strip_suffix("_FILE") {
            Some(plain) => files.push((plain.to_owned(), value)),
            None => _ = values.insert(name, value),
        }
    }
    for (name, file) in files {
        let text = read(Path::new(&file))?.trim_end_matches(['\n', '\r']).to_owned();
        if values.insert(name.clone(), text).is_some() {
            return Err(Wrong(format!("Set {name} or {name}_FILE, not both.")));
        }
    }
    Ok(Environment::with_prefix(PREFIX).prefix_separator(SEPARATOR).separator(SEPARATOR).source(Some(values)))
}

/// Compares names alone; values are judged when the layers are together.
fn refuse_unknown(layer: &Config, origin: &str) -> Result<(), Wrong> {
    let ValueKind::Table(table) = &layer.cache.kind else { return Ok(()) };
    let known = Config::try_from(&every_key()).map_err(|e| Wrong(sentence(&e)))?;
    let ValueKind::Table(known) = known.cache.kind else { return Ok(()) };
    compare(table, &known, "").map_err(|why| Wrong(format!("{origin}: {why}")))
}

fn compare(table: &Map<String, Value>, known: &Map<String, Value>, path: &str) -> Result<(), String> {
    for (name, value) in table {
        let Some(meant) = known.get(name).or_else(|| known.get(ANY_NAME)) else {
            let mut names: Vec<&str> = known.keys().map(String::as_str).collect();
            names.sort_unstable();
            let place = if path.is_empty() { "at the top".into() } else { format!("in {path}") };
            return Err(format!(
                "{path}{}{name} is not a setting; {place} there are {}.",
                dot(path),
                names.join(", ")
            ));
        };
        if let (ValueKind::Table(inner), ValueKind::Table(meant)) = (&value.kind, &meant.kind) {
            compare(inner, meant, &format!("{path}{}{name}", dot(path)))?;
        }
    }
    Ok(())
}

/// Every setting as a variable of the environment.
pub(super) fn names() -> Vec<String> {
    let known = Config::try_from(&every_key()).map(|known| known.cache.kind);
    let Ok(ValueKind::Table(known)) = known else { return Vec::new() };
    let mut names = Vec::new();
    collect(&known, PREFIX, &mut names);
    names
}

fn collect(table: &Map<String, Value>, path: &str, names: &mut Vec<String>) {
    for (name, value) in table {
        let name = format!("{path}{SEPARATOR}{}", name.to_uppercase());
        match &value.kind {
            ValueKind::Table(inner) => collect(inner, &name, names),
            _ => names.push(name),
        }
    }
}

fn dot(path: &str) -> &'static str {
    if path.is_empty() { "" } else { "." }
}

/// Settings in which every optional part is there and no list is empty, so that all names show.
fn every_key() -> Settings {
    Settings {
        trusted_proxies: TrustedProxies::of_this_machine(),
        tls: Some(super::Tls { redirect_port: Some(0), ..super::Tls::of("", "") }),
        admin: super::Admin {
            tls: Some(super::Tls::of("", "")),
            names: vec![String::new()],
            ..super::Admin::default()
        },
        traces: super::Traces {
            endpoint: url::Url::parse("http://localhost").ok(),
            root_certificate: Some(PathBuf::new()),
            ..super::Traces::default()
        },
        audit: super::Audit {
            destinations: [(ANY_NAME.to_owned(), every_key_of_a_destination())].into(),
            ..super::Audit::default()
        },
        store: super::Store { root_certificate: Some(PathBuf::new()), ..super::Store::default() },
        redis: Some(super::Redis {
            password: Some(String::new()),
            root_certificate: Some(PathBuf::new()),
            ..super::Redis::at("")
        }),
        keys: super::Keys {
            kek: Some(String::new()),
            kek_before: Some(String::new()),
            pkcs11: Some(super::Pkcs11 {
                token: Some(String::new()),
                slot: Some(0),
                ..super::Pkcs11::of("", "")
            }),
            ..super::Keys::default()
        },
        ..Settings::default()
    }
}

fn every_key_of_a_destination() -> super::Destination {
    super::Destination { secret: Some(String::new()), ca: Some(PathBuf::new()), ..super::Destination::at("") }
}

fn sentence(error: &ConfigError) -> String {
    match error {
        ConfigError::Type { unexpected, expected, key: Some(key), .. } => {
            format!("{key} cannot be {unexpected}; it must be {expected}.")
        }
        ConfigError::At { error, key: Some(key), .. } => format!("{key}: {}", sentence(error)),
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn load(variables: &[(&str, &str)]) -> Result<Settings, String> {
        let pairs = variables.iter().map(|(name, value)| (name.to_string(), value.to_string()));
        Settings::load(&[], pairs).map_err(|wrong| wrong.to_string())
    }

    #[test]
    fn nothing_said_means_the_defaults() {
        assert_eq!(
            load(&[("PATH", "/bin"), ("PORTCULLIS_CLIENT_SECRET", "x")]).unwrap(),
            Settings::default()
        );
    }

    #[test]
    fn the_environment_sets_texts_numbers_switches_and_lists() {
        let settings = load(&[
            ("PORTCULLIS__MODE", "production"),
            ("PORTCULLIS__LISTEN__PORT", "9000"),
            ("PORTCULLIS__LEGACY__HOSTS", "false"),
            ("PORTCULLIS__LEGACY__UNTIL", "2027-01-31"),
            ("PORTCULLIS__TOKENS__AUDIENCE", "commerce-api, search"),
            ("PORTCULLIS__TRUSTED_PROXIES", "10.0.0.0/8,fd00::/8"),
            ("PORTCULLIS__TLS__CERTIFICATE", "c.pem"),
            ("PORTCULLIS__TLS__KEY", "k.pem"),
        ])
        .unwrap();
        assert_eq!(settings.mode, super::super::Mode::Production);
        assert_eq!(settings.listen.port, 9000);
        assert!(!settings.legacy.hosts);
        assert_eq!(settings.legacy.until.unwrap().to_string(), "2027-01-31");
        assert_eq!(settings.tokens.audience, ["commerce-api", "search"]);
        assert!(settings.trusted_proxies.trusts("10.9.9.9".parse().unwrap()));
        assert_eq!(settings.tls.unwrap().key, PathBuf::from("k.pem"));
    }

    #[test]
    fn a_destination_has_a_name_of_the_operators() {
        let settings = load(&[
            ("PORTCULLIS__AUDIT__DESTINATIONS__SIEM__URL", "https://siem.example/in"),
            ("PORTCULLIS__AUDIT__DESTINATIONS__SIEM__SECRET", "hush"),
        ])
        .unwrap();
        assert_eq!(settings.audit.destinations["siem"].url, "https://siem.example/in");
        assert_eq!(settings.shown().audit.destinations["siem"].secret.as_deref(), Some("hidden"));
        let wrong = load(&[("PORTCULLIS__AUDIT__DESTINATIONS__SIEM__ADDRESS", "x")]).unwrap_err();
        assert!(wrong.contains("audit.destinations.siem.address is not a setting"), "{wrong}");
    }

    #[test]
    fn an_unknown_key_is_refused_by_name() {
        for (name, said) in [
            ("PORTCULLIS__TOKENS__ACCES_LIFETIME", "tokens.acces_lifetime is not a setting; in tokens"),
            ("PORTCULLIS__ISUER", "isuer is not a setting; at the top"),
            (
                "PORTCULLIS__TLS__CA",
                "tls.ca is not a setting; in tls there are certificate, key, redirect_port.",
            ),
        ] {
            let wrong = load(&[(name, "1")]).unwrap_err();
            assert!(wrong.starts_with("the environment: ") && wrong.contains(said), "{wrong}");
        }
    }

    #[test]
    fn a_bad_value_is_refused_with_its_key() {
        for (name, value) in [
            ("PORTCULLIS__LISTEN__PORT", "many"),
            ("PORTCULLIS__LEGACY__UNTIL", "soon"),
            ("PORTCULLIS__MODE", "test"),
            ("PORTCULLIS__TRUSTED_PROXIES", "10.0.0.0/99"),
        ] {
            let wrong = load(&[(name, value)]).unwrap_err();
            let key = name.trim_start_matches("PORTCULLIS__").replace("__", ".").to_lowercase();
            assert!(wrong.contains(&key), "{wrong}");
        }
    }
}
