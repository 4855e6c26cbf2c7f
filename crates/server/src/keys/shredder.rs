//! Destroys private halves in a vault that the books have given up. Whether one is given up is for the books
//! to say, so a vault that was away at the right moment loses nothing: it is asked again.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::{Duration, Instant};

use portcullis_authority::endings::MARGIN;
use portcullis_authority::keyring::{KeyChain, KeyRow, KeyState, Vault};
use tokio::sync::Mutex;

/// How soon a vault that did not do it is asked again.
const AGAIN: Duration = Duration::from_secs(10);

pub(super) struct Shredder {
    vault: Arc<dyn Vault>,
    done: Mutex<Done>,
}

#[derive(Default)]
struct Done {
    kids: HashSet<String>,
    failed: Option<Instant>,
}

impl Shredder {
    pub fn new(vault: Arc<dyn Vault>) -> Self {
        Self { vault, done: Mutex::default() }
    }

    /// Destroys what has ended, and what has retired long enough ago that no server can still sign with it for
    /// not having heard.
    pub async fn shred(&self, chain: &KeyChain, now: u64) {
        let mut done = self.done.lock().await;
        if done.failed.is_some_and(|at| at.elapsed() < AGAIN) {
            return;
        }
        done.failed = None;
        let kept = chain.keys.iter().filter(|key| key.vault.as_deref() == Some(self.vault.name()));
        for key in kept.filter(|key| is_over(key, now)) {
            if done.kids.contains(&key.kid) {
                continue;
            }
            match self.vault.destroy(&key.kid).await {
                Ok(()) => _ = done.kids.insert(key.kid.clone()),
                Err(trouble) => {
                    tracing::warn!(%trouble, kid = key.kid, "a key that is over is still in the vault");
                    done.failed = Some(Instant::now());
                    // One that cannot be destroyed does not keep the others; a vault that is away keeps all.
                    if !self.vault.is_up() {
                        return;
                    }
                }
            }
        }
    }

    /// Destroys keys that were made and that the books did not take, because another server was faster.
    pub async fn never_used(&self, rows: &[KeyRow]) {
        for row in rows.iter().filter(|row| row.vault.as_deref() == Some(self.vault.name())) {
            if let Err(trouble) = self.vault.destroy(&row.kid).await {
                tracing::warn!(%trouble, kid = row.kid, "a key that nobody uses stays in the vault");
            }
        }
    }
}

fn is_over(key: &KeyRow, now: u64) -> bool {
    match key.state {
        KeyState::Ended => true,
        KeyState::Retired => now >= key.since.saturating_add(MARGIN),
        KeyState::Pending | KeyState::Active => false,
    }
}
