//! Where spans of requests go (docs/telemetry.md).

use std::path::PathBuf;

use serde::{Deserialize, Serialize};
use url::Url;

use super::findings::{Found, is_loopback};

/// An OpenTelemetry collector that takes OTLP over HTTP. Without an endpoint no span is made.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Traces {
    /// `http://127.0.0.1:4318`; `/v1/traces` is added when no path is given.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub endpoint: Option<Url>,
    /// Whose certificate the collector may show (PEM), where it is not one of the public ones.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub root_certificate: Option<PathBuf>,
    /// The share of traces that begin here which is kept, from 0 to 1.
    pub ratio: f64,
    /// Requests that bring a trace continue it and follow its decision to be kept. Otherwise they begin one
    /// of their own with a link to it, so that a stranger decides nothing.
    pub follow_callers: bool,
    /// What this server is called in the traces.
    pub service: String,
}

impl Default for Traces {
    fn default() -> Self {
        Self {
            endpoint: None,
            root_certificate: None,
            ratio: 0.1,
            follow_callers: false,
            service: "portcullis".into(),
        }
    }
}

impl Traces {
    pub(super) fn check(&self, found: &mut Found) {
        if !(0.0..=1.0).contains(&self.ratio) {
            found.refuse(format!("traces.ratio must be between 0 and 1; it is {}.", self.ratio));
        }
        let Some(endpoint) = &self.endpoint else { return };
        match endpoint.scheme() {
            "https" => {}
            "http" if endpoint.host().is_some_and(|host| is_loopback(&host)) => {}
            "http" => found.warn("traces.endpoint: spans leave this machine without encryption."),
            _ => found.refuse("traces.endpoint must be an address such as http://127.0.0.1:4318."),
        }
    }

    /// Where spans are sent to.
    pub fn collector(&self) -> Option<String> {
        let mut endpoint = self.endpoint.clone()?;
        if endpoint.path() == "/" {
            endpoint.set_path("/v1/traces");
        }
        Some(endpoint.into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_endpoint_without_a_path_gets_the_usual_one() {
        let at = |endpoint: &str| {
            let endpoint = Some(Url::parse(endpoint).expect("an address"));
            Traces { endpoint, ..Traces::default() }.collector()
        };
        assert_eq!(at("http://127.0.0.1:4318").as_deref(), Some("http://127.0.0.1:4318/v1/traces"));
        assert_eq!(at("https://otel.example.com/in").as_deref(), Some("https://otel.example.com/in"));
        assert_eq!(Traces::default().collector(), None);
    }
}
