//! A device that somebody has signed in from: a sealed cookie that names the accounts which did. With it an
//! owner is counted apart from all strangers (OWASP, "Slow Down Online Guessing Attacks with Device Cookies");
//! it proves nothing else and lets nobody in.

use serde::{Deserialize, Serialize};

use crate::desk::Desk;
use crate::secret::hash_random;

/// Seconds.
const LIFETIME: u64 = 180 * 86_400;
/// Accounts of one device; the oldest makes way.
const ACCOUNTS: usize = 5;

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Device {
    /// Random.
    device: String,
    /// Hashes of account names.
    accounts: Vec<String>,
    /// Seconds.
    until: u64,
}

impl Device {
    /// Opens a cookie; `None` for anything else, or when it is too old.
    pub fn open(desk: &Desk, cookie: &str) -> Option<Self> {
        let device: Self = serde_json::from_str(&desk.seal.open_form(cookie)?).ok()?;
        (desk.now() < device.until).then_some(device)
    }

    /// Where passwords for this account are counted, if it has come in from this device.
    pub fn place_of(&self, account: &str) -> Option<String> {
        self.accounts.contains(&hash_random(account)).then(|| format!("device:{}", self.device))
    }

    /// The cookie after this account has come in; the same device, if there was one.
    pub fn cookie(before: Option<Self>, desk: &Desk, account: &str) -> String {
        let until = desk.now() + LIFETIME;
        let mut device = before.unwrap_or_else(|| Self { device: desk.token(), accounts: Vec::new(), until });
        let name = hash_random(account);
        device.accounts.retain(|known| *known != name);
        device.accounts.push(name);
        if device.accounts.len() > ACCOUNTS {
            device.accounts.remove(0);
        }
        device.until = until;
        // A cookie that cannot be written cannot be opened either, and then it is as if there were none.
        let text = serde_json::to_string(&device).unwrap_or_default();
        let mut nonce = [0; 12];
        desk.dice.fill(&mut nonce);
        desk.seal.seal_form(nonce, &text)
    }
}
