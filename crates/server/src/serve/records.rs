//! What goes on with the audit log while the server runs, and what is left to do when it stops.

use std::sync::Arc;
use std::time::Duration;

use portcullis_authority::refusal::Trouble;
use portcullis_authority::strangers::Strangers;
use portcullis_store::Store;
use tokio::sync::watch;
use tokio::task::JoinHandle;

use crate::audit::{Notary, Sender, forget, watch as vouch};
use crate::books;
use crate::feed::Press;
use crate::means::Means;
use crate::settings::Settings;

/// How long destinations may take to let go when the server stops.
const FAREWELL: Duration = Duration::from_secs(11);

pub(super) struct Records {
    notary: Arc<Notary>,
    strangers: Arc<Strangers>,
}

/// # Errors
/// Trouble with the keys.
pub(super) fn open(
    settings: &Settings,
    means: &Means,
    store: &Store,
    strangers: Arc<Strangers>,
) -> Result<Records, Trouble> {
    let notary = Notary {
        store: store.clone(),
        press: Press::new(&books::keys(settings)?.feed)?,
        log: settings.feed.name.clone(),
        clock: means.clock.clone(),
    };
    Ok(Records { notary: Arc::new(notary), strangers })
}

impl Records {
    /// Checkpoints, retention, and what strangers were refused.
    pub fn keep(&self, settings: &Settings) -> [JoinHandle<()>; 2] {
        let every = Duration::from_secs(settings.audit.checkpoint_seconds.into());
        let (notary, strangers) = (self.notary.clone(), self.strangers.clone());
        [
            tokio::spawn(vouch(self.notary.clone(), every)),
            tokio::spawn(forget(notary, strangers, settings.audit.retention_days)),
        ]
    }

    /// Those who tell destinations outside; they end by themselves when the server stops.
    ///
    /// # Errors
    /// Trouble with an address or a certificate.
    pub fn tell(
        &self,
        settings: &Settings,
        means: &Means,
        store: &Store,
        stopped: &watch::Receiver<bool>,
    ) -> Result<Vec<JoinHandle<()>>, Trouble> {
        let mut senders = Vec::new();
        for (name, to) in &settings.audit.destinations {
            senders.push(Sender::new(name, to, store.clone(), means)?);
            senders.extend(Sender::of_alerts(name, to, store.clone(), means)?);
        }
        Ok(senders.into_iter().map(|sender| tokio::spawn(sender.run(stopped.clone()))).collect())
    }

    /// Nothing that was counted or written is left without a word.
    pub async fn close(self, senders: Vec<JoinHandle<()>>) {
        if let Err(trouble) = self.strangers.tell().await {
            tracing::error!(%trouble, "refusals of strangers could not be written down");
        }
        if let Err(trouble) = self.notary.sign().await {
            tracing::error!(%trouble, "the audit log could not be vouched for");
        }
        let all = futures_util::future::join_all(senders);
        if tokio::time::timeout(FAREWELL, all).await.is_err() {
            tracing::warn!("a destination of audit records does not let go");
        }
    }
}
