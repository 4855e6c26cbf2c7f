//! What goes on with the audit log beside the requests: it is vouched for now and then, and what is old is
//! forgotten behind a signed cut.

use std::sync::Arc;
use std::time::Duration;

use portcullis_authority::desk::Clock;
use portcullis_authority::ledger::{Act, AuditRecord, Deed, Ledger as _};
use portcullis_authority::refusal::Trouble;
use portcullis_authority::strangers::Strangers;
use portcullis_store::Store;

use super::{Vouched, state};
use crate::feed::Press;

/// How often old rows are looked for, and refusals of strangers that were counted are written down.
const SWEEP: Duration = Duration::from_secs(60);
/// Rows that are forgotten in one transaction.
const BITE: usize = 1000;
/// Seconds in a day.
const DAY: u64 = 86400;

/// Vouches for the log with the feed's key.
pub struct Notary {
    pub store: Store,
    pub press: Press,
    /// The feed's name, which is the log's too.
    pub log: String,
    pub clock: Arc<dyn Clock>,
}

impl Notary {
    /// Signs for the newest row, if there is one that nobody has signed for.
    ///
    /// The statement is also a line of the server's log, which somebody else may keep: whoever can rewrite
    /// the database can drop the statements in it.
    ///
    /// # Errors
    /// Trouble with the books.
    pub async fn sign(&self) -> Result<(), Trouble> {
        let mark = self.store.audit_head().await?;
        let newest = self.store.newest_checkpoint().await?;
        if mark.seq <= newest.map_or(0, |newest| newest.seq) {
            return Ok(());
        }
        let checkpoint = state(&self.press, &self.log, Vouched::Checkpoint, mark, self.clock.now());
        self.store.keep_checkpoint(&checkpoint).await?;
        tracing::info!(seq = checkpoint.seq, statement = checkpoint.statement, "audit checkpoint");
        Ok(())
    }

    /// Forgets rows that are older than so many days, a bite at a time. Answers how many went.
    ///
    /// # Errors
    /// Trouble with the books.
    pub async fn forget(&self, days: u32) -> Result<usize, Trouble> {
        // As with all that is deleted: a clock that is ahead of the feed's own must not forget earlier.
        let now = self.clock.now().min(self.store.head().await?.as_of_ms / 1000);
        let before = now.saturating_sub(u64::from(days) * DAY);
        let Some(mark) = self.store.audit_old(before, BITE).await? else { return Ok(0) };
        let cut = state(&self.press, &self.log, Vouched::Cut, mark, now);
        let gone = self.store.audit_cut(&cut).await?;
        if gone > 0 {
            tracing::info!(rows = gone, up_to = cut.seq, statement = cut.statement, "audit rows forgotten");
            let record = AuditRecord {
                at: now,
                event: "audit.cut".into(),
                reason: Some("retention".into()),
                detail: Some(serde_json::json!({ "rows": gone, "up_to": cut.seq }).to_string()),
                ..AuditRecord::default()
            };
            self.store.commit(Deed::new(Act::Note, record)).await?;
        }
        Ok(gone)
    }
}

/// Vouches for the log so often. Runs until it is aborted.
pub async fn watch(notary: Arc<Notary>, every: Duration) {
    loop {
        tokio::time::sleep(every).await;
        if let Err(trouble) = notary.sign().await {
            tracing::error!(%trouble, "the audit log could not be vouched for");
        }
    }
}

/// Forgets what is old (0 days: nothing ever), and writes down what strangers were refused. Runs until it is
/// aborted.
pub async fn forget(notary: Arc<Notary>, strangers: Arc<Strangers>, days: u32) {
    loop {
        match if days == 0 { Ok(0) } else { notary.forget(days).await } {
            Ok(gone) if gone >= BITE => continue,
            Ok(_) => {}
            Err(trouble) => tracing::warn!(%trouble, "old audit rows could not be forgotten"),
        }
        tokio::time::sleep(SWEEP).await;
        if let Err(trouble) = strangers.tell().await {
            tracing::error!(%trouble, "refusals of strangers could not be written down");
        }
    }
}
