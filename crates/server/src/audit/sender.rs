//! Telling a destination outside, in order and at least once. How far it has been told is kept in SQL, and of
//! several servers the one that holds the lease tells it. The log itself is the queue, so a destination that
//! is away costs nobody anything, and nothing is lost while it is.

use std::sync::Arc;
use std::time::Duration;

use portcullis_authority::desk::{Clock, Dice};
use portcullis_authority::refusal::Trouble;
use portcullis_store::{AuditEntry, DeadLetter, Delivery, Lease, Store};
use tokio::sync::watch;

use super::syslog::Syslog;
use super::webhook::Webhook;
use crate::means::Means;
use crate::settings::{Destination, Road};

/// Rows that are told at once.
const BITE: usize = 100;
/// How often new rows are looked for.
const GLANCE: Duration = Duration::from_secs(1);
/// How long a server has the destination for itself, milliseconds: longer than anything it does in between.
const LEASE: u64 = 60_000;
/// How long to wait while another server has it.
const PATIENCE: Duration = Duration::from_secs(5);
/// The first wait after a failure; it doubles up to the longest.
const FIRST_WAIT: Duration = Duration::from_millis(500);
const LONGEST_WAIT: Duration = Duration::from_secs(300);

/// What is told at once: rows, oldest first, and statements of signed checkpoints.
#[derive(Debug, Default)]
pub(super) struct Batch {
    /// The same whenever the same is told again, so that a receiver can tell.
    pub id: String,
    pub entries: Vec<AuditEntry>,
    pub statements: Vec<String>,
    /// One record that somebody must see at once.
    pub alert: bool,
    /// How far the destination is once it has taken this.
    pub last: u64,
    pub checkpoint: u64,
}

/// Why a batch was not taken.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum NotTaken {
    /// Nobody was there, or nobody had time. It will be there again.
    Away(String),
    /// It said no to this batch.
    Refused(String),
}

/// A way outside. Blocking, because nobody waits for it.
pub(super) trait Way: Send + Sync {
    fn tell(&self, batch: &Batch, now: u64) -> Result<(), NotTaken>;
}

/// What a destination is told by one sender.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Lane {
    /// Everything, in order and in bundles.
    Records,
    /// What is too loud to wait behind others, one at a time; the same comes in its order as well.
    Alerts,
}

/// Records that are told at once.
const LOUD: [&str; 1] = ["break_glass.used"];
/// What the lease of alerts is called. A destination's own name holds no full stop.
const ALERTS: &str = ".alerts";

/// Tells one destination.
pub struct Sender {
    lease: Lease,
    store: Store,
    clock: Arc<dyn Clock>,
    dice: Arc<dyn Dice>,
    way: Arc<dyn Way>,
    lane: Lane,
    tries: u64,
    /// Failures since the last success.
    strikes: u32,
}

impl Sender {
    /// # Errors
    /// Trouble with the certificates or the address.
    pub fn new(name: &str, to: &Destination, store: Store, means: &Means) -> Result<Self, Trouble> {
        let wrong = |why: String| Trouble::new("audit.destinations", format!("{name}: {why}"));
        let (road, url) = to.road().ok_or_else(|| wrong("not an address".into()))?;
        let way: Arc<dyn Way> = match road {
            Road::Webhook => Arc::new(Webhook::new(to).map_err(wrong)?),
            _ => Arc::new(Syslog::new(road, &url, to).map_err(wrong)?),
        };
        let mut holder = [0; 16];
        means.dice.fill(&mut holder);
        let holder = holder.iter().map(|byte| format!("{byte:02x}")).collect();
        Ok(Self {
            lease: Lease { destination: name.into(), holder },
            store,
            clock: means.clock.clone(),
            dice: means.dice.clone(),
            way,
            lane: Lane::Records,
            tries: to.tries.into(),
            strikes: 0,
        })
    }

    /// Tells a webhook apart what is too loud to wait; nothing for a destination that is told line by line.
    ///
    /// # Errors
    /// As [`Sender::new`].
    pub fn of_alerts(
        name: &str,
        to: &Destination,
        store: Store,
        means: &Means,
    ) -> Result<Option<Self>, Trouble> {
        if to.road().is_none_or(|(road, _)| !matches!(road, Road::Webhook)) {
            return Ok(None);
        }
        let sender = Self::new(name, to, store, means)?;
        let lease = Lease { destination: format!("{name}{ALERTS}"), ..sender.lease };
        Ok(Some(Self { lease, lane: Lane::Alerts, ..sender }))
    }

    /// Goes on until it is stopped; then another server may take over at once.
    pub async fn run(mut self, mut stopped: watch::Receiver<bool>) {
        let mut wait = Duration::ZERO;
        loop {
            // An error means that nobody can say stop any more, which is the same wish.
            let stop = stopped.wait_for(|stopped| *stopped);
            if tokio::time::timeout(wait, stop).await.is_ok() {
                break;
            }
            wait = match self.turn().await {
                Ok(wait) => wait,
                Err(trouble) => {
                    tracing::warn!(destination = self.lease.destination, %trouble, "audit rows cannot be read");
                    PATIENCE
                }
            };
        }
        if let Err(trouble) = self.store.audit_release(&self.lease).await {
            tracing::debug!(%trouble, "a lease runs out by itself");
        }
    }

    /// Tells what comes next, and says how long to wait then.
    async fn turn(&mut self) -> Result<Duration, Trouble> {
        let now = self.clock.now_ms();
        let Some(delivery) = self.store.audit_claim(&self.lease, now, now.saturating_add(LEASE)).await?
        else {
            return Ok(PATIENCE);
        };
        self.retell().await?;
        let batch = match self.lane {
            Lane::Records => self.next(&delivery).await?,
            Lane::Alerts => self.next_alert(&delivery).await?,
        };
        if self.lane == Lane::Alerts && batch.entries.is_empty() && batch.last > delivery.seq {
            self.store.audit_told(&self.lease, batch.last, batch.checkpoint).await?;
            return Ok(Duration::ZERO);
        }
        if batch.entries.is_empty() && batch.statements.is_empty() {
            return Ok(GLANCE);
        }
        let (last, checkpoint) = (batch.last, batch.checkpoint);
        match self.tell(batch).await? {
            Ok(()) => {
                self.strikes = 0;
                self.store.audit_told(&self.lease, last, checkpoint).await?;
                Ok(Duration::ZERO)
            }
            Err(why) => self.failed(why, &delivery, last).await,
        }
    }

    /// Rows after the last that it was told, and checkpoints of rows that it has.
    async fn next(&self, delivery: &Delivery) -> Result<Batch, Trouble> {
        let entries = self.store.audit_page(delivery.seq, BITE).await?;
        let last = entries.last().map_or(delivery.seq, |entry| entry.seq);
        let mut statements = self.store.checkpoints(delivery.checkpoint, BITE).await?;
        statements.retain(|it| it.seq <= last);
        let checkpoint = statements.last().map_or(delivery.checkpoint, |it| it.seq);
        Ok(Batch {
            id: format!("{}-{}-{last}-{checkpoint}", self.lease.destination, delivery.seq + 1),
            last,
            checkpoint,
            alert: false,
            entries,
            statements: statements.into_iter().map(|it| it.statement).collect(),
        })
    }

    /// The first loud row after the last that was looked at, alone; without one, how far there is none.
    async fn next_alert(&self, delivery: &Delivery) -> Result<Batch, Trouble> {
        let mut entries = self.store.audit_page(delivery.seq, BITE).await?;
        let end = entries.last().map_or(delivery.seq, |entry| entry.seq);
        entries.retain(|entry| LOUD.contains(&entry.record.event.as_str()));
        entries.truncate(1);
        let last = entries.first().map_or(end, |entry| entry.seq);
        Ok(Batch {
            id: format!("{}-{last}", self.lease.destination),
            last,
            checkpoint: delivery.checkpoint,
            alert: true,
            entries,
            statements: Vec::new(),
        })
    }

    /// What was put aside and is to be tried again; once, because it has its own place in the list.
    async fn retell(&self) -> Result<(), Trouble> {
        let letters = self.store.dead_letters(Some(&self.lease.destination), BITE).await?;
        for letter in letters.into_iter().filter(|letter| letter.again) {
            let mut entries = self.store.audit_page(letter.first.saturating_sub(1), BITE).await?;
            entries.retain(|entry| entry.seq <= letter.last);
            let alert = self.lane == Lane::Alerts;
            entries.retain(|entry| !alert || LOUD.contains(&entry.record.event.as_str()));
            let id = format!("{}-{}-{}-again", self.lease.destination, letter.first, letter.last);
            let trouble = match self.tell(Batch { id, entries, alert, ..Batch::default() }).await? {
                Ok(()) => None,
                Err(NotTaken::Away(why) | NotTaken::Refused(why)) => Some(why),
            };
            self.store.audit_retold(&letter, trouble.as_deref()).await?;
        }
        Ok(())
    }

    async fn tell(&self, batch: Batch) -> Result<Result<(), NotTaken>, Trouble> {
        let (way, now) = (self.way.clone(), self.clock.now());
        let telling = tokio::task::spawn_blocking(move || way.tell(&batch, now));
        telling.await.map_err(|why| Trouble::new("audit.destinations", why))
    }

    /// A destination that is away is waited for; one that refuses the same again and again is told what
    /// comes after, and what it refused is put aside for a person to look at.
    async fn failed(&mut self, why: NotTaken, delivery: &Delivery, last: u64) -> Result<Duration, Trouble> {
        let destination = &self.lease.destination;
        let (why, counts) = match why {
            NotTaken::Away(why) => (why, false),
            NotTaken::Refused(why) => (why, true),
        };
        let tries = self.store.audit_untold(&self.lease, &why, counts).await?;
        tracing::warn!(destination, why, tries, after = delivery.seq, "audit rows were not taken");
        if counts && tries >= self.tries && last > delivery.seq {
            let letter = DeadLetter {
                destination: destination.clone(),
                first: delivery.seq + 1,
                last,
                at: self.clock.now(),
                tries,
                trouble: why,
                again: false,
            };
            self.store.audit_bury(&self.lease, &letter).await?;
            tracing::error!(destination, first = letter.first, last, "audit rows were put aside");
            self.strikes = 0;
            return Ok(Duration::ZERO);
        }
        self.strikes = self.strikes.saturating_add(1);
        Ok(self.pause())
    }

    /// Doubles with every failure; between half and all of it, so that servers which failed together do not
    /// come back together.
    fn pause(&self) -> Duration {
        let whole = FIRST_WAIT.saturating_mul(1 << (self.strikes - 1).min(10)).min(LONGEST_WAIT);
        let mut throw = [0];
        self.dice.fill(&mut throw);
        whole / 2 + whole.mul_f64(f64::from(throw[0]) / 512.0)
    }
}
