//! Between servers over the same books: a guard speaks to whichever of them it meets, and a receipt names the
//! guards of all. What a server hears it writes into the books, together with what it hears in the same moment;
//! whoever waits for guards reads there what the others heard.

use std::sync::Arc;
use std::time::Duration;

use portcullis_authority::refusal::Trouble;

use super::Hub;

/// What is heard within this time is passed on together; also how often somebody who waits looks.
pub(super) const MOMENT: Duration = Duration::from_millis(10);

impl Hub {
    /// Passes on what guards say here. Runs until it is aborted.
    pub async fn pass_on(self: Arc<Self>) {
        let mut changes = self.reports.changes();
        while self.store().is_shared() && changes.changed().await.is_ok() {
            if let Err(trouble) = self.tell_others().await {
                // Each guard speaks again within a second or so, and then it is passed on.
                tracing::debug!(%trouble, "what guards said was not passed on");
            }
            tokio::time::sleep(MOMENT).await;
        }
    }

    async fn tell_others(&self) -> Result<(), Trouble> {
        let news = self.reports.untold();
        if news.is_empty() { Ok(()) } else { self.store().note_guards(&news).await }
    }

    /// Takes in what connected guards said to other servers. While the database is away, what was said here must
    /// do: a guard that is not known is not named.
    pub async fn hear_others(&self) {
        if !self.store().is_shared() {
            return;
        }
        let Some(_turn) = self.reports.turn_to_hear(MOMENT / 2).await else { return };
        let now = self.time_ms();
        match self.store().guards_since(now.saturating_sub(self.max_staleness_ms())).await {
            Ok(words) => words.into_iter().for_each(|word| self.reports.learn(word, now)),
            Err(trouble) => tracing::debug!(%trouble, "what guards said elsewhere is not known"),
        }
    }
}
