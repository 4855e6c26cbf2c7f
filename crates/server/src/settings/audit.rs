//! How long audit records are kept, how often the log is vouched for, and who outside is told.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Serialize};
use url::{Host, Url};

use super::{Mode, is_loopback};

/// What Standard Webhooks puts before a secret.
const SECRET: &str = "whsec_";

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Audit {
    /// Days that a record is kept; 0 keeps all for ever.
    pub retention_days: u32,
    /// How often the server signs for what stands in the log, if anything is new.
    pub checkpoint_seconds: u32,
    /// Who is told of every record, by a name of the operator's.
    pub destinations: BTreeMap<String, Destination>,
}

/// Somebody outside who keeps the log too.
#[derive(Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Destination {
    /// `https://...`, or `syslog+tls://`, `syslog+tcp://` or `syslog+udp://` with host and port.
    pub url: String,
    /// What webhooks are signed with: `whsec_` and at least 24 bytes in base64; best from a file.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub secret: Option<String>,
    /// A PEM file with certificates to trust instead of the public ones; needed by `syslog+tls`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ca: Option<PathBuf>,
    /// How often it may refuse the same records before they are put aside.
    #[serde(default = "Destination::default_tries")]
    pub tries: u32,
    /// How long it may take for an answer.
    #[serde(default = "Destination::default_patience")]
    pub patience_ms: u64,
}

/// How a destination is reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Road {
    Webhook,
    SyslogUdp,
    SyslogTcp,
    SyslogTls,
}

impl Default for Audit {
    fn default() -> Self {
        // Thirteen months: whoever reviews once a year still sees the year before.
        Self { retention_days: 396, checkpoint_seconds: 300, destinations: BTreeMap::new() }
    }
}

impl Audit {
    /// What is wrong with it, each in a sentence.
    pub(super) fn check(&self, mode: Mode) -> Vec<String> {
        let mut wrong = Vec::new();
        if !(1..=86_400).contains(&self.checkpoint_seconds) {
            wrong.push("audit.checkpoint_seconds must be between 1 and 86400.".to_owned());
        }
        for (name, destination) in &self.destinations {
            let fine =
                |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-' || byte == b'_';
            if name.is_empty() || name.len() > 32 || !name.bytes().all(fine) {
                wrong.push(format!(
                    "audit.destinations: {name:?} must be 1 to 32 small letters, digits, - and _."
                ));
            }
            wrong.extend(destination.check(mode).map(|why| format!("audit.destinations.{name}{why}")));
        }
        wrong
    }
}

impl Destination {
    /// At this address, with nothing else said.
    pub fn at(url: impl Into<String>) -> Self {
        Self {
            url: url.into(),
            secret: None,
            ca: None,
            tries: Self::default_tries(),
            patience_ms: Self::default_patience(),
        }
    }

    /// The road and the address, if this is one.
    pub fn road(&self) -> Option<(Road, Url)> {
        let url = Url::parse(&self.url).ok().filter(Url::has_host)?;
        let road = match url.scheme() {
            "https" | "http" => Road::Webhook,
            "syslog+udp" => Road::SyslogUdp,
            "syslog+tcp" => Road::SyslogTcp,
            "syslog+tls" => Road::SyslogTls,
            _ => return None,
        };
        Some((road, url))
    }

    pub fn patience(&self) -> Duration {
        Duration::from_millis(self.patience_ms)
    }

    /// The key that webhooks are signed with.
    pub fn key(&self) -> Option<Vec<u8>> {
        let key = STANDARD.decode(self.secret.as_ref()?.strip_prefix(SECRET)?).ok()?;
        (key.len() >= 24).then_some(key)
    }

    fn check(&self, mode: Mode) -> Option<String> {
        let Some((road, url)) = self.road() else {
            return Some(
                ".url must be https://..., or syslog+tls://, syslog+tcp:// or syslog+udp:// with a host."
                    .into(),
            );
        };
        if !url.username().is_empty() || url.password().is_some() {
            return Some(".url must hold no password.".into());
        }
        // Records hold addresses of people. In the clear they stay on this machine, in a demonstration.
        let near = url.host().is_some_and(|host| near(&host));
        if url.scheme() == "http" && !(near && mode == Mode::Dev) {
            return Some(".url must be https.".into());
        }
        if road == Road::Webhook && self.key().is_none() {
            return Some(".secret must be whsec_ and at least 24 random bytes in base64.".into());
        }
        if road != Road::Webhook && url.port().is_none() {
            return Some(".url must name a port.".into());
        }
        if matches!(road, Road::SyslogUdp | Road::SyslogTcp) && mode == Mode::Production && !near {
            return Some(".url must be syslog+tls in production; in the clear only to this machine.".into());
        }
        if road == Road::SyslogTls && self.ca.is_none() {
            return Some(".ca must name the certificates that the syslog server is known by.".into());
        }
        if !(1..=1000).contains(&self.tries) {
            return Some(".tries must be between 1 and 1000.".into());
        }
        if !(10..=10_000).contains(&self.patience_ms) {
            return Some(".patience_ms must be between 10 and 10000.".into());
        }
        None
    }

    fn default_tries() -> u32 {
        10
    }

    fn default_patience() -> u64 {
        5000
    }
}

/// Without the secret.
impl std::fmt::Debug for Destination {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.debug_struct("Destination").field("url", &self.url).finish_non_exhaustive()
    }
}

/// Whether this machine is meant, also where the scheme is none of the web's.
fn near(host: &Host<&str>) -> bool {
    match host {
        Host::Domain(name) => {
            name.parse::<std::net::IpAddr>().is_ok_and(|address| address.is_loopback()) || is_loopback(host)
        }
        _ => is_loopback(host),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(url: &str, mode: Mode) -> Option<String> {
        let secret = Some(format!("{SECRET}{}", STANDARD.encode([7; 24])));
        Destination { secret, ca: Some("ca.pem".into()), ..Destination::at(url) }.check(mode)
    }

    #[test]
    fn records_leave_the_machine_protected() {
        for (url, dev, production) in [
            ("https://siem.example/in", true, true),
            ("http://siem.example/in", false, false),
            ("http://127.0.0.1:9/in", true, false),
            ("http://[::1]:9/in", true, false),
            ("http://169.254.169.254/latest", false, false),
            ("syslog+tls://log.example:6514", true, true),
            ("syslog+tcp://log.example:514", true, false),
            ("syslog+udp://127.0.0.1:514", true, true),
            ("syslog+udp://127.0.0.1", false, false),
            ("https://me:hush@siem.example/in", false, false),
            ("file:///etc/passwd", false, false),
            ("gopher://siem.example", false, false),
        ] {
            assert_eq!(check(url, Mode::Dev).is_none(), dev, "{url}");
            assert_eq!(check(url, Mode::Production).is_none(), production, "{url}");
        }
    }

    #[test]
    fn a_webhook_needs_a_secret_that_cannot_be_guessed() {
        let with =
            |secret: &str| Destination { secret: Some(secret.into()), ..Destination::at("https://a.b") };
        for weak in ["", "hush", "whsec_", "whsec_aHVzaA==", "whsec_!!!"] {
            assert!(with(weak).check(Mode::Dev).is_some(), "{weak}");
        }
        assert!(!format!("{:?}", with("whsec_hush")).contains("hush"));
    }
}
