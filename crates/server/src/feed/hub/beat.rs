//! What makes guards fresh, and what would make them refuse: the beat, and clocks that are apart.

use std::sync::atomic::Ordering::Relaxed;
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use portcullis_authority::refusal::Trouble;
use tokio::sync::watch;

use super::Hub;

impl Hub {
    /// A committed beat each second or so: the only thing that makes guards fresh (design 1.2 rule 7).
    pub(super) async fn beat(self: Arc<Self>, mut stop: watch::Receiver<bool>) {
        loop {
            if let Err(trouble) = self.store.beat().await {
                tracing::warn!(%trouble, "no beat could be written; guards will refuse when their bound is reached");
            }
            self.compare_clocks().await;
            self.compare_with_what_was_signed();
            tokio::select! {
                _ = stop.wait_for(|stopped| *stopped) => break,
                () = tokio::time::sleep(self.beat) => {}
            }
        }
    }

    /// Guards measure age with this server's clock and the feed is dated by the database's: apart by more than
    /// the bound, and guards that start here close.
    async fn compare_clocks(&self) {
        // Trouble with the database is told of by whoever wanted to write.
        let Ok(drift) = self.store.drift_ms().await else { return };
        let before = self.drift_ms.swap(drift, Relaxed);
        let is_far = |drift: i64| drift.unsigned_abs() * 2 > self.max_staleness_ms;
        if is_far(drift) && !is_far(before) {
            tracing::error!(
                drift_ms = drift,
                "ALARM: this server's clock and the database's are apart; guards that start here will refuse \
                 everything when it is more than feed.max_staleness_ms. Set both by the same time source"
            );
        }
    }

    /// A feed that is dated later than now was written by a clock that was ahead: no beat is due until then, and
    /// guards, which have seen times that are still to come, are closed.
    fn compare_with_what_was_signed(&self) {
        let lead = self.lead_ms();
        let before = self.last_lead_ms.swap(lead, Relaxed);
        if lead > self.max_staleness_ms && before <= self.max_staleness_ms {
            tracing::error!(
                lead_ms = lead,
                "ALARM: the feed is dated later than this server's clock, so a clock was ahead, or this one is behind; \
                 guards are closed until that time has come. Set the clocks right; who cannot wait then stops the \
                 servers and runs portcullis dr promote"
            );
        }
    }

    /// How much later than now the feed is dated, milliseconds.
    fn lead_ms(&self) -> u64 {
        self.shelf().as_of_ms().saturating_sub(self.time_ms())
    }

    /// Why this server should get no guards and no callers, if there is a reason.
    pub fn ails(&self) -> Option<Trouble> {
        let drift = self.drift_ms.load(Relaxed);
        if self.view.is_forked() {
            return Some(Trouble::new("feed", "the database was put back; run portcullis dr promote"));
        }
        let lead = self.lead_ms();
        if lead > self.max_staleness_ms {
            let why =
                format!("it is dated {lead} ms later than this clock; run portcullis dr promote or wait");
            return Some(Trouble::new("feed", why));
        }
        let keys_due = *self.keys_due.lock().unwrap_or_else(PoisonError::into_inner);
        let bound = Duration::from_millis(self.max_staleness_ms);
        if keys_due.is_some_and(|due| self.keeper.is_some() && due.since.elapsed() > bound) {
            return Some(Trouble::new("keys", "the signing keys in the books cannot be taken in"));
        }
        let apart = drift.unsigned_abs() > self.max_staleness_ms;
        apart.then(|| Trouble::new("feed", format!("this clock is {drift} ms ahead of the database's")))
    }
}
