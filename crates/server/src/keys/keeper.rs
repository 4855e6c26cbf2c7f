//! The keeper: one in each server over the same books. It does what is due to the signing keys, and when they
//! have changed, whoever changed them, signs and judges by the new ones from then on.

use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use portcullis_authority::desk::{Clock, Dice, Terms};
use portcullis_authority::keyring::chain::{linger, tended};
use portcullis_authority::keyring::{Bench, KeyChain, KeyChange, KeyState, Keyring, Schedule, StoredKey};
use portcullis_authority::ledger::{Act, AuditRecord, Deed, Done, Ledger as _, Survey as _};
use portcullis_authority::refusal::Trouble;
use portcullis_authority::secret::Seal;
use portcullis_store::Store;
use tokio::sync::Notify;

use crate::inspector::Glass;
use crate::settings;

/// How often what is due is looked for, which costs one read of memory.
const GLANCE: Duration = Duration::from_secs(1);
/// How often other servers may be faster while keys are taken into the books.
const ATTEMPTS: usize = 16;

/// Keeps the signing keys of one server.
pub struct Keeper {
    tools: Tools,
    keyring: Arc<ArcSwap<Keyring>>,
    /// What the keyring was made from.
    chain: ArcSwap<KeyChain>,
    /// One look at a time: of two, the one that read earlier must not be put up later.
    turn: tokio::sync::Mutex<()>,
    /// The keys have changed, so that something may be due.
    news: Notify,
}

/// What a keeper works with.
#[derive(Clone)]
pub struct Tools {
    pub store: Store,
    pub seal: Arc<Seal>,
    pub glass: Arc<Glass>,
    pub clock: Arc<dyn Clock>,
    pub dice: Arc<dyn Dice>,
    pub keys: settings::Keys,
    pub terms: Terms,
}

impl Keeper {
    /// Opens the keys in the books, and takes those of the key directory in that the books have never seen.
    ///
    /// # Errors
    /// Trouble when the books' keys do not open with this server's seal, or from the store.
    pub async fn open(tools: Tools, directory: &[StoredKey]) -> Result<Arc<Self>, Trouble> {
        let chain = tools.take_in(directory).await?;
        let keyring = chain.keyring(&tools.seal)?;
        tools.glass.replace_keys(keyring.published())?;
        Ok(Arc::new(Self {
            tools,
            keyring: Arc::new(ArcSwap::from_pointee(keyring)),
            chain: ArcSwap::from_pointee(chain),
            turn: tokio::sync::Mutex::default(),
            news: Notify::new(),
        }))
    }

    /// The keys in use, for whoever signs.
    pub fn keyring(&self) -> Arc<ArcSwap<Keyring>> {
        self.keyring.clone()
    }

    /// The published keys, as text.
    pub fn published(&self) -> String {
        self.keyring.load().published().to_owned()
    }

    /// Reads the books, and goes by what they say.
    ///
    /// # Errors
    /// Trouble when they cannot be read or do not open; the keys from before stay in use.
    pub async fn look(&self) -> Result<(), Trouble> {
        let _turn = self.turn.lock().await;
        let chain = self.tools.store.key_chain().await?;
        if chain.version != self.chain.load().version {
            let keyring = chain.keyring(&self.tools.seal)?;
            // First what we judge by: nothing is signed here that would not be honoured here.
            self.tools.glass.replace_keys(keyring.published())?;
            self.keyring.store(Arc::new(keyring));
            self.chain.store(Arc::new(chain));
            self.news.notify_one();
        }
        Ok(())
    }

    /// Does what is due, again and again. Runs until it is aborted.
    pub async fn tend(self: Arc<Self>) {
        loop {
            if let Err(trouble) = self.do_what_is_due().await {
                tracing::warn!(%trouble, "the signing keys cannot be tended; those in use stay in use");
            }
            tokio::select! {
                () = self.news.notified() => {}
                () = tokio::time::sleep(GLANCE) => {}
            }
        }
    }

    async fn do_what_is_due(&self) -> Result<(), Trouble> {
        let (chain, now) = (self.chain.load_full(), self.tools.clock.now());
        let steps = chain.plan(&self.tools.terms.algorithm, &self.tools.schedule(), now);
        if steps.is_empty() {
            return Ok(());
        }
        let (tools, planned) = (self.tools.clone(), steps.clone());
        // An RSA key takes seconds.
        let work = tokio::task::spawn_blocking(move || tools.carry_out(&chain, &planned, now));
        let change = work.await.map_err(|e| Trouble::new("keys", e))??;
        let record = tended(&steps, &change.rows, now);
        let ids: Vec<_> = change.rows.iter().map(|row| (row.kid.as_str(), row.state.as_str())).collect();
        tracing::info!(keys = ?ids, "signing keys are tended");
        // Whether it was we or another server: the books say what is so.
        self.tools.store.commit(Deed::new(Act::Keys(change), record)).await?;
        self.look().await
    }
}

impl Tools {
    /// The chain with the directory's keys in it. At first as they are there; later only as standing by,
    /// because then the books say who signs.
    async fn take_in(&self, directory: &[StoredKey]) -> Result<KeyChain, Trouble> {
        for _ in 0..ATTEMPTS {
            let chain = self.store.key_chain().await?;
            // Before ours are sealed beside them: keys of another seal belong to another house.
            chain.keyring(&self.seal)?;
            let known = |key: &&StoredKey| chain.find(key.jwk["kid"].as_str().unwrap_or_default()).is_some();
            let (now, nonce) = (self.clock.now(), || self.nonce());
            let bench = Bench { seal: &self.seal, nonce: &nonce, now };
            let mut rows = Vec::new();
            for key in directory.iter().filter(|key| !known(key)) {
                let state = if chain.keys.is_empty() { key.state } else { KeyState::Pending };
                rows.push(bench.row(&key.jwk, state)?);
            }
            if rows.is_empty() {
                return Ok(chain);
            }
            let record = AuditRecord { at: now, event: "keys.taken_in".into(), ..AuditRecord::default() };
            let change = KeyChange { expected: chain.version, rows };
            match self.store.commit(Deed::new(Act::Keys(change), record)).await? {
                Done::Committed { .. } | Done::Lost | Done::Spent { .. } => {}
            }
        }
        Err(Trouble::new("keys", "other servers kept changing the keys"))
    }

    fn carry_out(
        &self,
        chain: &KeyChain,
        steps: &[portcullis_authority::keyring::Step],
        now: u64,
    ) -> Result<KeyChange, Trouble> {
        let nonce = || self.nonce();
        chain.carry_out(steps, &self.keys.region, &Bench { seal: &self.seal, nonce: &nonce, now })
    }

    fn schedule(&self) -> Schedule {
        use portcullis_authority::registry::Registry as _;
        Schedule {
            period: self.keys.rotate_every.into(),
            ahead: self.keys.publish_ahead.into(),
            linger: linger(&self.store.directory(), self.terms.access_lifetime),
        }
    }

    fn nonce(&self) -> [u8; 12] {
        let mut nonce = [0; 12];
        self.dice.fill(&mut nonce);
        nonce
    }
}

impl std::fmt::Debug for Keeper {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(out, "Keeper({:?})", self.keyring.load().keys())
    }
}
