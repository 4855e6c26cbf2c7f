//! Following the log in SQL: what is new is read, taken in, signed and published, in order.

use std::sync::Arc;
use std::sync::PoisonError;
use std::sync::atomic::Ordering::Relaxed;
use std::time::{Duration, Instant};

use portcullis_authority::desk::Clock;
use portcullis_authority::ledger::LogRow;
use portcullis_authority::policy;
use portcullis_authority::refusal::Trouble;
use portcullis_authority::registry::Registry as _;
use portcullis_guard::feed::clock::Reading;
use portcullis_guard::feed::{Chain, Kind, View};
use portcullis_store::{News, Store};
use tokio::sync::watch;

use super::{Hub, LOOK_EVERY, Sheet};
use crate::feed::shelf::Shelf;
use crate::feed::stacks::Stacks;

/// How often where there may be other servers: guards that hang on here hear so much later of what others commit.
const LOOK_AT_OTHERS_EVERY: Duration = Duration::from_millis(25);
/// Rows read at a time.
const BITE: usize = 8192;

/// Since when the keys in use are not those in the books, and when to try again.
#[derive(Clone, Copy)]
pub(super) struct KeysDue {
    pub(super) since: Instant,
    again: Instant,
}

impl Hub {
    /// Follows the log until `stop` says so. Trouble with the store is waited out: guards go stale
    /// meanwhile, which is the honest answer.
    pub async fn follow(self: Arc<Self>, mut stop: watch::Receiver<bool>) {
        let beat = tokio::spawn(self.clone().beat(stop.clone()));
        let passing_on = tokio::spawn(self.clone().pass_on());
        // The keys may have changed after they were read and before this shelf was.
        self.note_keys();
        self.take_in_keys().await;
        let pause = if self.store.is_shared() { LOOK_AT_OTHERS_EVERY } else { LOOK_EVERY };
        loop {
            tokio::select! {
                _ = stop.wait_for(|stopped| *stopped) => break,
                () = self.looks.wanted() => {}
                () = tokio::time::sleep(pause) => {}
            }
            let look = self.looks.begin();
            let looked = self.catch_up().await;
            self.looks.end(look, looked.is_ok());
            if let Err(trouble) = looked {
                tracing::warn!(%trouble, "the feed cannot be read");
                tokio::time::sleep(LOOK_EVERY).await;
            }
        }
        beat.abort();
        passing_on.abort();
        // Whoever hangs on is answered now, so that the server need not wait for them to stop.
        self.closing.send_replace(true);
    }

    /// Reads what is new in SQL and publishes it.
    async fn catch_up(&self) -> Result<(), Trouble> {
        loop {
            let News { rows, head } = self.store.news_after(self.position().seq, BITE).await?;
            if rows.is_empty() {
                break;
            }
            let more = rows.len() == BITE;
            // First what we issue by, then what we judge by: nothing is called ended here that would still
            // be honoured here, and a new policy is ready before guards hear that there is one. But trouble
            // with the one does not hold up the endings.
            let taken_in = self.take_in(&rows).await;
            let follows = self.append(&rows, head);
            if taken_in.is_err() || !follows {
                self.begin_anew.store(true, Relaxed);
            }
            if !more || !follows {
                break;
            }
        }
        // By the feed's own time where our clock is ahead of it, as guards forget by that.
        let now_ms = self.time_ms().min(self.shelf().as_of_ms());
        self.shelf_mut().tidy(now_ms);
        if self.begin_anew.load(Relaxed) {
            // Until it has succeeded, each look tries again.
            self.begin_again().await?;
            self.begin_anew.store(false, Relaxed);
        }
        // Where it did not work before. Trouble with the keys is not the look's.
        self.take_in_keys().await;
        Ok(())
    }

    /// Signs and publishes rows; false when they do not follow what is there. Where rows end at the head of
    /// the log, its chain says whether what is before them is what was read here.
    fn append(&self, rows: &[LogRow], head: Option<(u64, Chain)>) -> bool {
        let Some(batch) = self.shelf().cut(rows) else { return false };
        if head.is_some_and(|(seq, chain)| seq == batch.last && chain != batch.chain) {
            self.view.note_fork(batch.epoch);
            tracing::error!(
                epoch = batch.epoch,
                seq = batch.last,
                "ALARM: the database tells another history than before, so it was put back to an older copy and \
                 lacks what was acknowledged. Stop the servers and run portcullis dr promote; guards are closed \
                 until then"
            );
            return false;
        }
        let bytes = self.press.press(&batch, &self.feed);
        self.view.apply(&batch.records);
        self.shelf_mut().append(batch, bytes);
        self.batches.fetch_add(1, Relaxed);
        self.note_as_of();
        self.head.send_replace(self.position());
        true
    }

    /// Lets rows of other processes change what this one holds in memory.
    async fn take_in(&self, rows: &[LogRow]) -> Result<(), Trouble> {
        let tells = |kind| rows.iter().any(|row| row.record.kind == kind);
        if tells(Kind::Keys) {
            self.note_keys();
            self.take_in_keys().await;
        }
        if self.store.absorb(rows).await? || tells(Kind::Policy) {
            self.show_policy()?;
        }
        Ok(())
    }

    /// After a change of epoch or a gap (rows purged while we were away): everything anew, forgetting
    /// nothing that the view holds.
    pub(in crate::feed) async fn begin_again(&self) -> Result<(), Trouble> {
        let shelf = read_shelf(&self.store, self.clock.as_ref(), &self.view).await?;
        *self.shelf_mut() = shelf;
        self.store.reload().await?;
        self.show_policy()?;
        self.note_as_of();
        self.head.send_replace(self.position());
        self.note_keys();
        Ok(())
    }

    /// The keys in the books are others than a moment ago.
    fn note_keys(&self) {
        let now = Instant::now();
        let mut due = self.keys_due.lock().unwrap_or_else(PoisonError::into_inner);
        due.get_or_insert(KeysDue { since: now, again: now }).again = now;
    }

    /// Signs by the keys that the books hold, and publishes those. A server that cannot, for want of a vault or of
    /// a key-encryption key, follows the feed all the same and tries again: what a key that was ended has signed is
    /// refused here as everywhere.
    async fn take_in_keys(&self) {
        let due = *self.keys_due.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(due) = due.filter(|due| due.again <= Instant::now()) else { return };
        let Some(keeper) = &self.keeper else { return };
        let left = match keeper.look().await {
            Ok(()) => {
                self.keys.store(Arc::new(Sheet::new(keeper.published())));
                None
            }
            Err(trouble) => {
                tracing::warn!(%trouble, "the signing keys in the books cannot be taken in; those from before stay in use");
                Some(KeysDue { again: Instant::now() + LOOK_EVERY, ..due })
            }
        };
        let mut now_due = self.keys_due.lock().unwrap_or_else(PoisonError::into_inner);
        // Unless they have changed once more meanwhile.
        if now_due.is_some_and(|now_due| now_due.again == due.again) {
            *now_due = left;
        }
    }

    /// What the roles say, for guards and for whoever judges here.
    pub(super) fn show_policy(&self) -> Result<(), Trouble> {
        let policy = policy::of(&self.store.directory())?;
        self.policy.store(Arc::new(Sheet::new(policy.to_json())));
        if let Some(glass) = &self.glass {
            glass.replace_policy(policy);
        }
        Ok(())
    }

    pub(super) fn note_as_of(&self) {
        let shelf = self.shelf();
        let (position, as_of_ms) = (shelf.position(), shelf.as_of_ms());
        drop(shelf);
        self.view.clock().settle(self.time_ms(), 0, Reading::now());
        let position = portcullis_guard::feed::Position { epoch: position.epoch, seq: position.seq };
        self.view.note_as_of(position, as_of_ms);
    }
}

pub(super) async fn read_shelf(store: &Store, clock: &dyn Clock, view: &View) -> Result<Shelf, Trouble> {
    // By the feed's own time, as guards do: a server whose clock is ahead must not leave out more.
    let now = clock.now().min(store.head().await?.as_of_ms / 1000);
    let mut stacks = Stacks::default();
    // A step at a time, for there may be ten million.
    let mut take = |rows: &[LogRow]| {
        view.apply(&rows.iter().map(|row| row.record).collect::<Vec<_>>());
        stacks.fill(rows);
    };
    let head = store.each_live(now, &mut take).await?;
    if !view.set_salt(&head.salt) {
        return Err(Trouble::new("feed", "the salt in SQL is not the one that this server began with"));
    }
    Ok(Shelf::new(head, stacks))
}
