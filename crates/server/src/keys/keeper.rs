//! The keeper: one in each server over the same books. It does what is due to the signing keys, and when they
//! have changed, whoever changed them, signs and judges by the new ones from then on.

use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use portcullis_authority::desk::{Clock, Dice, Terms};
use portcullis_authority::keyring::chain::{linger, tended};
use portcullis_authority::keyring::vault::home;
use portcullis_authority::keyring::{
    Bench, KeyChain, KeyChange, KeyRow, KeyState, Keyring, Schedule, Step, StoredKey, Vault,
};
use portcullis_authority::ledger::{Act, AuditRecord, Deed, Done, Ledger as _, Survey as _};
use portcullis_authority::refusal::Trouble;
use portcullis_authority::secret::Seal;
use portcullis_store::Store;
use tokio::sync::Notify;

use super::shredder::Shredder;
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
    shredder: Option<Shredder>,
    /// Algorithms for which there is to be a key, whether or not there has ever been one.
    wanted: Vec<String>,
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
    /// Where keys are made that never leave it, if there is such a place.
    pub vault: Option<Arc<dyn Vault>>,
}

impl Keeper {
    /// Opens the keys in the books, and takes those of the key directory in that the books have never seen.
    ///
    /// # Errors
    /// Trouble when the books' keys do not open with this server's seal, or from the store.
    pub async fn open(tools: Tools, directory: &[StoredKey]) -> Result<Arc<Self>, Trouble> {
        let chain = tools.take_in(directory).await?;
        let keyring = tools.keyring(&chain)?;
        tools.glass.replace_keys(keyring.published())?;
        let shredder = tools.vault.clone().map(Shredder::new);
        let keeper = Arc::new(Self {
            wanted: tools.wanted(directory),
            tools,
            shredder,
            keyring: Arc::new(ArcSwap::from_pointee(keyring)),
            chain: ArcSwap::from_pointee(chain),
            turn: tokio::sync::Mutex::default(),
            news: Notify::new(),
        });
        keeper.have_one_sign().await?;
        Ok(keeper)
    }

    /// Nobody asks a server that has no key yet: where the vault makes them, the first ones are made now.
    async fn have_one_sign(&self) -> Result<(), Trouble> {
        let keyring = self.keyring.load_full();
        let lacks = |name: &String| home(self.tools.vault(), name).is_some() && keyring.active(name).is_err();
        if self.wanted.iter().any(lacks) {
            self.do_what_is_due().await?;
        }
        Ok(())
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
            let keyring = self.tools.keyring(&chain)?;
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

    /// Seconds until the key that signs by default hands over on its own.
    pub fn next_rotation_in(&self) -> Option<u64> {
        let due = self.chain.load().next_rotation(&self.tools.terms.algorithm, &self.tools.schedule())?;
        Some(due.saturating_sub(self.tools.clock.now()))
    }

    /// Whether the vault does what it is asked; `None` without one.
    pub fn vault_is_up(&self) -> Option<bool> {
        self.tools.vault().map(Vault::is_up)
    }

    async fn do_what_is_due(&self) -> Result<(), Trouble> {
        let (chain, now) = (self.chain.load_full(), self.tools.clock.now());
        if let Some(shredder) = &self.shredder {
            shredder.shred(&chain, now).await;
        }
        let tools = &self.tools;
        let steps = chain.plan(&self.wanted, &tools.schedule(), tools.vault(), now);
        if steps.is_empty() {
            return Ok(());
        }
        let (steps, made) = self.make(steps, now).await?;
        let change = chain.carry_out(&steps, made, now);
        let record = tended(&steps, &change.rows, now);
        let ids: Vec<_> = change.rows.iter().map(|row| (row.kid.as_str(), row.state.as_str())).collect();
        tracing::info!(keys = ?ids, "signing keys are tended");
        let fresh: Vec<_> =
            change.rows.iter().filter(|row| chain.find(&row.kid).is_none()).cloned().collect();
        // Whether it was we or another server: the books say what is so.
        let done = self.tools.store.commit(Deed::new(Act::Keys(change), record)).await?;
        if let (Done::Lost, Some(shredder)) = (done, &self.shredder) {
            shredder.never_used(&fresh).await;
        }
        self.look().await
    }

    /// Makes the keys that are due. What else is due does not wait for one that cannot be made.
    async fn make(&self, steps: Vec<Step>, now: u64) -> Result<(Vec<Step>, Vec<KeyRow>), Trouble> {
        let (mut done, mut made, mut failed) = (Vec::new(), Vec::new(), None);
        for step in steps {
            if let Step::Make { algorithm } = &step {
                match self.tools.make(algorithm, now).await {
                    Ok(row) => made.push(row),
                    Err(trouble) => {
                        failed = Some(trouble);
                        continue;
                    }
                }
            }
            done.push(step);
        }
        match failed {
            Some(trouble) if done.is_empty() => Err(trouble),
            Some(trouble) => {
                tracing::warn!(%trouble, "a signing key cannot be made; the next look tries again");
                Ok((done, made))
            }
            None => Ok((done, made)),
        }
    }
}

impl Tools {
    /// The chain with the directory's keys in it. At first as they are there; later only as standing by,
    /// because then the books say who signs.
    async fn take_in(&self, directory: &[StoredKey]) -> Result<KeyChain, Trouble> {
        for _ in 0..ATTEMPTS {
            let chain = self.store.key_chain().await?;
            // Before ours are sealed beside them: keys of another seal belong to another house.
            self.keyring(&chain)?;
            let known = |key: &&StoredKey| chain.find(key.jwk["kid"].as_str().unwrap_or_default()).is_some();
            let (now, nonce) = (self.clock.now(), || self.nonce());
            let bench = Bench { seal: &self.seal, nonce: &nonce, now };
            let mut rows = Vec::new();
            // What the vault makes is made there from the beginning: a private half in a file is one too many.
            let in_books = |key: &&StoredKey| home(self.vault(), algorithm_of(key)).is_none();
            for key in directory.iter().filter(|key| !known(key)).filter(in_books) {
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

    /// The default, and what the vault is to make in place of the keys in the directory.
    fn wanted(&self, directory: &[StoredKey]) -> Vec<String> {
        let made = directory.iter().map(algorithm_of).filter(|name| home(self.vault(), name).is_some());
        std::iter::once(self.terms.algorithm.as_str()).chain(made).map(str::to_owned).collect()
    }

    fn vault(&self) -> Option<&dyn Vault> {
        self.vault.as_deref()
    }

    fn keyring(&self, chain: &KeyChain) -> Result<Keyring, Trouble> {
        chain.keyring(&self.seal, self.vault())
    }

    async fn make(&self, algorithm: &str, now: u64) -> Result<KeyRow, Trouble> {
        if let Some(vault) = self.vault().filter(|vault| vault.makes(algorithm)) {
            let public = vault.make(algorithm, &self.keys.region).await?;
            return self.at_bench(now, |bench| bench.row_in(vault, &public));
        }
        let (tools, algorithm) = (self.clone(), algorithm.to_owned());
        // An RSA key takes seconds.
        let work = tokio::task::spawn_blocking(move || {
            tools.at_bench(now, |bench| bench.make(&algorithm, &tools.keys.region))
        });
        work.await.map_err(|e| Trouble::new("keys", e))?
    }

    fn at_bench<T>(&self, now: u64, work: impl FnOnce(&Bench<'_>) -> T) -> T {
        work(&Bench { seal: &self.seal, nonce: &|| self.nonce(), now })
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

fn algorithm_of(key: &StoredKey) -> &str {
    key.jwk["alg"].as_str().unwrap_or_default()
}

impl std::fmt::Debug for Keeper {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(out, "Keeper({:?})", self.keyring.load().keys())
    }
}
