//! Keeps in Redis what guards need beside the stream: the manifest and everything that it names. One server
//! does so at a time, because one server's segments are enough; which one does not matter.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use portcullis_authority::desk::Dice;
use portcullis_authority::refusal::Trouble;
use portcullis_guard::feed::Digest;
use portcullis_store::redis::RedisFeed;
use tokio::sync::watch;

use super::Hub;

/// A beat comes each second, and a manifest after it.
const ROUND: Duration = Duration::from_millis(500);
/// How often blobs are told to stay; well within the hour that they do.
const KEEP: Duration = Duration::from_secs(60);
/// Buckets of logins looked through in one round: all of them within half an hour.
const BUCKETS: u32 = 24;

/// One server's hand in the papers.
pub struct Clerk {
    hub: Arc<Hub>,
    redis: Arc<RedisFeed>,
    /// Who we are, to other clerks.
    name: String,
    put: HashSet<Digest>,
    beginning: String,
    shown: Arc<str>,
    kept: Instant,
    bucket: u32,
}

impl Clerk {
    pub fn new(hub: Arc<Hub>, redis: Arc<RedisFeed>, dice: &dyn Dice) -> Self {
        Self {
            hub,
            redis,
            name: name(dice),
            put: HashSet::new(),
            beginning: String::new(),
            shown: "".into(),
            kept: Instant::now(),
            bucket: 0,
        }
    }

    /// Works until `stop` says so. What fails is tried again; the courier tells when Redis is away.
    pub async fn run(mut self, mut stop: watch::Receiver<bool>) {
        loop {
            if let Err(trouble) = self.round().await {
                tracing::debug!(%trouble, "the manifest does not reach Redis");
            }
            tokio::select! {
                _ = stop.wait_for(|stopped| *stopped) => return,
                () = tokio::time::sleep(ROUND) => {}
            }
        }
    }

    async fn round(&mut self) -> Result<(), Trouble> {
        let Some(head) = self.redis.head().await? else { return Ok(()) };
        let epoch = self.hub.position().epoch;
        if head.position.epoch != epoch || !self.redis.show_manifest(&self.name, epoch, None).await? {
            // Whoever sits there may be gone the next time, and its papers with it.
            self.put.clear();
            return Ok(());
        }
        if head.beginning != self.beginning {
            self.put.clear();
            self.shown = "".into();
            self.beginning = head.beginning;
        }
        // A guard that begins with our manifest reads the stream from where our tail begins.
        self.hub.seal_before(head.first);
        let (_, manifest) = self.hub.manifest()?;
        self.put_papers().await?;
        if manifest != self.shown && self.redis.show_manifest(&self.name, epoch, Some(&manifest)).await? {
            self.shown = manifest;
        }
        self.bucket = self.redis.sweep(self.bucket, BUCKETS, self.hub.time_ms() / 1000).await?;
        Ok(())
    }

    async fn put_papers(&mut self) -> Result<(), Trouble> {
        let papers = self.hub.papers();
        if self.kept.elapsed() >= KEEP {
            self.kept = Instant::now();
            for (name, _) in &papers {
                if self.put.contains(name) && !self.redis.keep_blob(name).await? {
                    self.put.remove(name);
                }
            }
        }
        self.put.retain(|name| papers.iter().any(|(named, _)| named == name));
        for (name, content) in papers {
            if !self.put.contains(&name) {
                self.redis.put_blob(&name, &content).await?;
                self.put.insert(name);
            }
        }
        Ok(())
    }
}

/// A name that nobody else has.
pub(super) fn name(dice: &dyn Dice) -> String {
    let mut bytes = [0; 12];
    dice.fill(&mut bytes);
    URL_SAFE_NO_PAD.encode(bytes)
}
