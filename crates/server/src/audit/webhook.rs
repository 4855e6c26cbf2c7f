//! Telling over HTTP, signed as Standard Webhooks has it: HMAC-SHA256 over id, time and body, so that the
//! receiver knows who speaks, and can refuse what is old or comes again.
//!
//! Addresses come from the settings alone, are https outside of a demonstration, and redirects are not
//! followed: nobody can point us at a neighbour.

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ring::hmac;
use serde_json::json;
use ureq::Agent;
use ureq::tls::{PemItem, RootCerts, TlsConfig, TlsProvider, parse_pem};

use super::export::line;
use super::sender::{Batch, NotTaken, Way};
use crate::settings::Destination;

pub(super) struct Webhook {
    url: String,
    key: hmac::Key,
    agent: Agent,
}

impl Webhook {
    pub fn new(to: &Destination) -> Result<Self, String> {
        let key = to.key().ok_or("its secret does not read")?;
        let mut tls = TlsConfig::builder().provider(TlsProvider::Rustls);
        if let Some(file) = &to.ca {
            let pem = std::fs::read(file).map_err(|e| format!("{}: {e}", file.display()))?;
            let certificates: Vec<_> = parse_pem(&pem)
                .filter_map(|item| match item {
                    Ok(PemItem::Certificate(certificate)) => Some(certificate),
                    _ => None,
                })
                .collect();
            if certificates.is_empty() {
                return Err(format!("{} holds no certificate in PEM form", file.display()));
            }
            tls = tls.root_certs(RootCerts::new_with_certs(&certificates));
        }
        Ok(Self {
            url: to.url.clone(),
            key: hmac::Key::new(hmac::HMAC_SHA256, &key),
            agent: agent(tls.build(), to.patience()),
        })
    }
}

fn agent(tls: TlsConfig, patience: Duration) -> Agent {
    Agent::config_builder()
        .tls_config(tls)
        .http_status_as_error(false)
        .max_redirects(0)
        .timeout_global(Some(patience))
        .user_agent(concat!("portcullis/", env!("CARGO_PKG_VERSION")))
        .build()
        .new_agent()
}

impl Way for Webhook {
    fn tell(&self, batch: &Batch, now: u64) -> Result<(), NotTaken> {
        let records: Vec<_> = batch.entries.iter().map(line).collect();
        let body = json!({
            "type": if batch.alert { "alert" } else { "audit.records" },
            "timestamp": super::export::moment(now),
            "data": { "records": records, "checkpoints": batch.statements },
        })
        .to_string();
        let answer = self
            .agent
            .post(&self.url)
            .header("content-type", "application/json")
            .header("webhook-id", &batch.id)
            .header("webhook-timestamp", now.to_string())
            .header("webhook-signature", sign(&self.key, &batch.id, now, &body))
            .send(body.as_bytes())
            .map_err(|e| NotTaken::Away(e.to_string()))?;
        let status = answer.status().as_u16();
        match status {
            200..=299 => Ok(()),
            // Nobody there, nobody ready, too much at once: the batch itself was not looked at.
            408 | 425 | 429 | 500..=599 => Err(NotTaken::Away(format!("it answered {status}"))),
            _ => Err(NotTaken::Refused(format!("it answered {status}"))),
        }
    }
}

fn sign(key: &hmac::Key, id: &str, now: u64, body: &str) -> String {
    let tag = hmac::sign(key, format!("{id}.{now}.{body}").as_bytes());
    format!("v1,{}", STANDARD.encode(tag))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The example that the specification of Standard Webhooks gives.
    #[test]
    fn a_receiver_of_standard_webhooks_knows_the_signature() {
        let secret = STANDARD.decode("MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw").expect("base64");
        let key = hmac::Key::new(hmac::HMAC_SHA256, &secret);
        let signed = sign(&key, "msg_p5jXN8AQM9LWM0D4loKWxJek", 1_614_265_330, r#"{"test": 2432232314}"#);
        assert_eq!(signed, "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=");
    }
}
