//! Where those who watch the server read its numbers (docs/telemetry.md).

use std::net::{IpAddr, Ipv4Addr};

use serde::{Deserialize, Serialize};

use super::Settings;
use super::findings::Found;

/// A listener of its own for `/metrics`, in plain HTTP and without a password: what it says is no secret, but
/// nobody's business either.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Metrics {
    pub enabled: bool,
    pub address: IpAddr,
    /// 0 takes a free one.
    pub port: u16,
}

impl Default for Metrics {
    fn default() -> Self {
        Self { enabled: false, address: Ipv4Addr::LOCALHOST.into(), port: 9464 }
    }
}

impl Metrics {
    pub(super) fn check(&self, settings: &Settings, found: &mut Found) {
        if !self.enabled {
            return;
        }
        if !self.address.is_loopback() {
            found.warn(format!(
                "metrics.address: whoever reaches {} reads how busy the server is; let only Prometheus reach it.",
                self.address
            ));
        }
        let taken = settings.admin.enabled && self.port == settings.admin.port;
        if self.port != 0 && (self.port == settings.listen.port || taken) {
            found.refuse("metrics.port must be neither the public port nor the operators'.");
        }
    }
}
