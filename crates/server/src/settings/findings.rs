//! Judging the settings before they do harm. A refusal stops the server; a warning is said and lived with.

use std::fmt;
use std::net::IpAddr;
use std::path::Path;

use portcullis_authority::keyring::{ALGORITHMS, StoredKey};
use portcullis_guard::feed::Whereabouts;
use url::{Host, Url};

use super::{Mode, Settings, Tls};
use crate::keys::{self, Keks, KeyDirectory, LoadedKeys, Purpose};

/// Keys whose names everybody knows, whatever a manifest says of them.
const EXAMPLE: &str = include_str!("../../../../keys.example/manifest.json");

/// Something that an operator should know.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    pub weight: Weight,
    /// Names the key and says what to do.
    pub sentence: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Weight {
    /// The server does not start.
    Refusal,
    Warning,
}

impl fmt::Display for Finding {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let weight = match self.weight {
            Weight::Refusal => "refused",
            Weight::Warning => "warning",
        };
        write!(out, "{weight}: {}", self.sentence)
    }
}

impl Settings {
    /// Everything that is wrong or doubtful. Looks at files that the settings name, changes nothing.
    pub fn check(&self) -> Vec<Finding> {
        let mut found = Found(Vec::new());
        self.check_issuer(&mut found);
        self.check_numbers(&mut found);
        self.check_files(&mut found);
        self.check_redis(&mut found);
        self.check_admin(&mut found);
        self.audit.check(self.mode).into_iter().for_each(|sentence| found.refuse(sentence));
        self.retention.check(self.audit.retention_days, &mut found);
        self.limits.check(&mut found);
        self.metrics.check(self, &mut found);
        self.traces.check(&mut found);
        if self.mode == Mode::Production {
            self.check_production(&mut found);
        }
        found.0
    }

    fn check_issuer(&self, found: &mut Found) {
        // RFC 8414 section 2: no query, no fragment; the trailing slash would make two names of one issuer.
        match Url::parse(&self.issuer) {
            Ok(url) if matches!(url.scheme(), "http" | "https") && url.has_host() => {
                if url.query().is_some() || url.fragment().is_some() || self.issuer.ends_with('/') {
                    found.refuse("issuer must have no query, no fragment and no slash at its end.");
                }
                if !url.username().is_empty() || url.password().is_some() {
                    found.refuse("issuer must name no user.");
                }
                let plain = url.as_str().trim_end_matches('/');
                if !self.issuer.ends_with('/') && plain != self.issuer {
                    found.refuse(format!("issuer must be in its plain form, which is {plain:?}."));
                }
            }
            _ => found.refuse("issuer must be an address such as https://auth.example.com."),
        }
    }

    fn check_numbers(&self, found: &mut Found) {
        let tokens = &self.tokens;
        if !ALGORITHMS.contains(&tokens.algorithm.as_str()) {
            found.refuse(format!("tokens.algorithm must be one of {}.", ALGORITHMS.join(", ")));
        }
        if tokens.audience.is_empty() || tokens.audience.iter().any(String::is_empty) {
            found.refuse("tokens.audience must name at least one service.");
        }
        let bounds = [
            ("tokens.access_lifetime", tokens.access_lifetime, 60, 31_536_000),
            ("tokens.refresh_lifetime", tokens.refresh_lifetime, 60, 31_536_000),
            ("tokens.code_lifetime", tokens.code_lifetime, 1, 600),
            ("tokens.refresh_grace", tokens.refresh_grace, 0, 60),
            ("tokens.session_lifetime", tokens.session_lifetime, 60, 31_536_000),
            ("passwords.memory_kib", self.passwords.memory_kib, 8, 4_194_304),
            ("passwords.iterations", self.passwords.iterations, 1, 100),
            ("passwords.parallelism", self.passwords.parallelism, 1, 64),
            ("keys.publish_ahead", self.keys.publish_ahead, 0, 2_592_000),
            ("keys.rotate_every", self.keys.rotate_every, 0, 315_360_000),
            ("admin.session_idle", self.admin.session_idle, 60, 86_400),
            ("admin.session_lifetime", self.admin.session_lifetime, 60, 604_800),
            ("admin.proposal_lifetime", self.admin.proposal_lifetime, 60, 86_400),
            ("feed.beat_ms", capped(self.feed.beat_ms), 100, 60_000),
            ("feed.max_staleness_ms", capped(self.feed.max_staleness_ms), 100, 3_600_000),
            ("listen.drain_delay_ms", capped(self.listen.drain_delay_ms), 0, 300_000),
            ("store.pool", capped(self.store.pool as u64), 1, 10_000),
            ("store.patience_ms", capped(self.store.patience_ms), 1, 600_000),
        ];
        for (name, value, least, most) in bounds {
            if value < least || value > most {
                found.refuse(format!("{name} must be between {least} and {most}; it is {value}."));
            }
        }
        if self.feed.max_staleness_ms < 2 * self.feed.beat_ms {
            found.refuse("feed.max_staleness_ms must be at least twice feed.beat_ms, or guards close between two beats.");
        }
        let (every, ahead) = (self.keys.rotate_every, self.keys.publish_ahead);
        if every > 0 && (every < 3600 || every / 2 < ahead) {
            found.refuse("keys.rotate_every must be 0, or at least 3600 and twice keys.publish_ahead.");
        }
        let region = &self.keys.region;
        if region.is_empty() || region.len() > 16 || !region.bytes().all(|b| b.is_ascii_alphanumeric()) {
            found.refuse("keys.region must be 1 to 16 letters and digits, such as eu1.");
        }
    }

    fn check_files(&self, found: &mut Found) {
        for (section, tls) in [("tls", &self.tls), ("admin.tls", &self.admin.tls)] {
            if let Some(tls) = tls {
                self.check_tls(section, tls, found);
            }
        }
        if let Some(pkcs11) = &self.keys.pkcs11 {
            pkcs11.check(found);
        }
        if self.keys.directory.exists() {
            match self.load_keys() {
                Ok(keys) => self.check_keys(&keys, found),
                Err(why) => found.refuse(why),
            }
        }
    }

    fn load_keys(&self) -> Result<LoadedKeys, String> {
        let keks = Keks::of(&self.keys).map_err(|trouble| format!("{}.", trouble.why))?;
        let loaded = KeyDirectory::open(&self.keys.directory).and_then(|keys| keys.under(keks).load());
        loaded.map_err(|trouble| format!("keys.directory: {}.", trouble.why))
    }

    fn check_keys(&self, keys: &LoadedKeys, found: &mut Found) {
        let directory = self.keys.directory.display();
        if self.mode != Mode::Production {
            return;
        }
        if !keys.plain.is_empty() && !self.keys.plaintext {
            found.refuse(format!(
                "keys.directory: {} of {directory} are not sealed; name a key-encryption key with keys.kek and run portcullis keys seal, or say keys.plaintext = true if something else encrypts the disk.",
                keys.plain.join(", ")
            ));
        }
        let shown = |key: &StoredKey| EXAMPLE.contains(key.jwk["kid"].as_str().unwrap_or(EXAMPLE));
        if keys.keyring.iter().any(shown) {
            found.refuse("keys.directory holds a key that is published as an example; make your own with portcullis keys init.");
        }
    }

    fn check_tls(&self, section: &str, tls: &Tls, found: &mut Found) {
        for (name, file) in [("certificate", &tls.certificate), ("key", &tls.key)] {
            if !file.is_file() {
                found.refuse(format!("{section}.{name}: there is no file {}.", file.display()));
            }
        }
        if keys::open_to_others(&tls.key) == Some(true) {
            let sentence =
                format!("{section}.key: others can read {}; run chmod 600 on it.", tls.key.display());
            found.strictly(self.mode, sentence);
        }
    }

    /// Who can reach this listener can try passwords, and sees what operators see.
    fn check_admin(&self, found: &mut Found) {
        let admin = &self.admin;
        if !admin.enabled {
            return;
        }
        if admin.tls.is_none() && !admin.address.is_loopback() {
            let sentence = format!(
                "admin.address: {} can be reached from elsewhere; give admin.tls, or listen at 127.0.0.1.",
                admin.address
            );
            found.strictly(self.mode, sentence);
        }
        if admin.tls.as_ref().is_some_and(|tls| tls.redirect_port.is_some()) {
            found.refuse("admin.tls.redirect_port: only the public address sends readers over.");
        }
        let sane =
            |name: &String| url::Host::parse(name).is_ok_and(|host| host.to_string() == name.to_lowercase());
        if let Some(name) = admin.names.iter().find(|name| !sane(name)) {
            found.refuse(format!("admin.names: {name:?} is no name of a host; leave out scheme and port."));
        }
        if admin.port != 0 && admin.port == self.listen.port {
            found.refuse("admin.port must not be the public port.");
        }
    }

    fn check_redis(&self, found: &mut Found) {
        let Some(redis) = &self.redis else { return };
        match Url::parse(&redis.url) {
            Ok(url) if Whereabouts::parse(&redis.url, &self.feed.name).is_ok() && url.has_host() => {
                let near = url.host().is_some_and(|host| near(&host));
                let plain = !url.scheme().starts_with("rediss");
                if plain && !near && self.mode == Mode::Production {
                    found.warn(
                        "redis.url: without TLS (rediss://) its password crosses the network in the clear.",
                    );
                }
                if url.password().is_some() && redis.password.is_some() {
                    found.refuse("redis.password: the address holds one as well; give one of them.");
                }
            }
            _ => found.refuse("redis.url must be an address such as rediss://redis.example.com:6379 (Sentinel and clusters: docs/redis.md)."),
        }
        if !(10..=5_000).contains(&redis.patience_ms) {
            found.refuse(format!(
                "redis.patience_ms must be between 10 and 5000; it is {}.",
                redis.patience_ms
            ));
        }
    }

    fn check_production(&self, found: &mut Found) {
        if !self.issuer.starts_with("https://") {
            found.refuse("issuer must be https in production.");
        }
        if Url::parse(&self.issuer).is_ok_and(|url| url.host().is_some_and(|host| is_loopback(&host))) {
            found.refuse("issuer must not be this machine's own address in production.");
        }
        match KeyDirectory::open(&self.keys.directory).map(|keys| keys.purpose()) {
            Ok(Purpose::Own) => {}
            Ok(Purpose::Demo | Purpose::Example) => found.refuse(
                "keys.directory holds keys made for a demonstration; make your own with portcullis keys init.",
            ),
            Err(_) if self.keys.directory.exists() => {}
            Err(_) => found.refuse(format!(
                "keys.directory: {} does not exist; make it with portcullis keys init.",
                self.keys.directory.display()
            )),
        }
        if names_a_demo(&self.store.url) {
            found.refuse("store.url names a demo or in-memory database; production needs one of its own.");
        }
        if self.passwords.memory_kib < 19456 || self.passwords.iterations < 2 {
            found.refuse("passwords: production needs at least memory_kib 19456 and iterations 2.");
        }
        self.limits.check_production(found);
        if self.trusted_proxies.everybody() {
            found.refuse("trusted_proxies must not hold the whole internet in production.");
        }
        if self.tls.is_none() && self.trusted_proxies.is_empty() && !self.listen.address.is_loopback() {
            found.warn("Without tls and without trusted_proxies, requests cross the network unprotected.");
        }
    }
}

pub(super) struct Found(Vec<Finding>);

impl Found {
    pub(super) fn refuse(&mut self, sentence: impl Into<String>) {
        self.0.push(Finding { weight: Weight::Refusal, sentence: sentence.into() });
    }

    pub(super) fn warn(&mut self, sentence: impl Into<String>) {
        self.0.push(Finding { weight: Weight::Warning, sentence: sentence.into() });
    }

    /// Refused in production, a warning elsewhere.
    fn strictly(&mut self, mode: Mode, sentence: String) {
        match mode {
            Mode::Production => self.refuse(sentence),
            Mode::Dev => self.warn(sentence),
        }
    }
}

fn capped(value: u64) -> u32 {
    u32::try_from(value).unwrap_or(u32::MAX)
}

/// Whether a host is this machine.
pub(crate) fn is_loopback(host: &Host<&str>) -> bool {
    match host {
        Host::Domain(name) => *name == "localhost" || name.ends_with(".localhost"),
        Host::Ipv4(address) => IpAddr::from(*address).is_loopback(),
        Host::Ipv6(address) => IpAddr::from(*address).is_loopback(),
    }
}

/// The same in an address whose scheme is none of the web's, where a number is not read as an address.
fn near(host: &Host<&str>) -> bool {
    match host {
        Host::Domain(name) => {
            name.parse::<IpAddr>().is_ok_and(|address| address.is_loopback()) || is_loopback(host)
        }
        _ => is_loopback(host),
    }
}

fn names_a_demo(store: &str) -> bool {
    let path = store.strip_prefix("sqlite:").unwrap_or(store);
    let name = Path::new(path).file_stem().and_then(|stem| stem.to_str()).unwrap_or_default();
    path.contains(":memory:") || name.split(['-', '_', '.']).any(|word| word == "demo")
}
