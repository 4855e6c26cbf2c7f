//! Telling a destination outside, in order and at least once. How far it has been told is kept in SQL, and of
//! several servers the one that holds the lease tells it. The log itself is the queue, so a destination that
//! is away costs nobody anything, and nothing is lost while it is.
//!
//! A destination that says no to many rows is told fewer, until the one that it does not want stands alone:
//! only that one is put aside.

use std::sync::Arc;
use std::time::Duration;

use portcullis_authority::desk::{Clock, Dice};
use portcullis_authority::refusal::Trouble;
use portcullis_store::{AuditEntry, DeadLetter, Delivery, Lease, Store};
use tokio::sync::watch;

use super::export::line;
use super::syslog::Syslog;
use super::webhook::Webhook;
use crate::means::Means;
use crate::settings::{Destination, Road};

/// Rows that are told at once,
const BITE: usize = 100;
/// and their bytes, unless it is one alone: receivers bound what they read.
const BYTES: usize = 256 * 1024;
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

/// What a batch held, once it is given away.
struct Told {
    rows: usize,
    last: u64,
    checkpoint: u64,
}

/// How many of the first rows are told together; always one.
fn within_bytes(entries: &[AuditEntry]) -> usize {
    let mut bytes = 0;
    let fitting = entries.iter().take_while(|entry| {
        bytes += line(entry).to_string().len();
        bytes <= BYTES
    });
    fitting.count().max(1)
}

fn is_loud(entry: &AuditEntry) -> bool {
    LOUD.contains(&entry.record.event.as_str())
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
    /// Rows that are told at once now: fewer while one that was refused is looked for.
    bite: usize,
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
            bite: BITE,
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
        let told = Told { rows: batch.entries.len(), last: batch.last, checkpoint: batch.checkpoint };
        match self.tell(batch).await? {
            Ok(()) => {
                self.went_on();
                self.store.audit_told(&self.lease, told.last, told.checkpoint).await?;
                Ok(Duration::ZERO)
            }
            Err(why) => self.failed(why, &delivery, &told).await,
        }
    }

    /// Rows after the last that it was told, and checkpoints of rows that it has.
    async fn next(&self, delivery: &Delivery) -> Result<Batch, Trouble> {
        let mut entries = self.store.audit_page(delivery.seq, self.bite).await?;
        entries.truncate(within_bytes(&entries));
        let last = entries.last().map_or(delivery.seq, |entry| entry.seq);
        let mut statements = self.store.checkpoints(delivery.checkpoint, BITE).await?;
        // While a row that was refused is looked for, nothing else goes with it that could be the reason.
        statements.retain(|it| it.seq <= last && (self.bite == BITE || entries.is_empty()));
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
        entries.retain(is_loud);
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

    /// What was put aside and is to be tried again; once, because it has its own place in the list. Of what
    /// is refused again, what is wanted is told and the rest stays, each row by itself.
    async fn retell(&self) -> Result<(), Trouble> {
        let letters = self.store.dead_letters(Some(&self.lease.destination), BITE).await?;
        for letter in letters.into_iter().filter(|letter| letter.again) {
            let Some(refused) = self.retell_one(&letter).await? else { return Ok(()) };
            self.store.audit_retold(&letter, &refused).await?;
        }
        Ok(())
    }

    /// Which rows of a letter are still not wanted, and why; nothing when the destination is away or somebody
    /// else's by now, and then the letter stays as it is.
    async fn retell_one(&self, letter: &DeadLetter) -> Result<Option<Vec<(u64, String)>>, Trouble> {
        let alert = self.lane == Lane::Alerts;
        let mut refused = Vec::new();
        let mut pieces = vec![(letter.first, letter.last)];
        while let Some((first, last)) = pieces.pop() {
            let now = self.clock.now_ms();
            if self.store.audit_claim(&self.lease, now, now.saturating_add(LEASE)).await?.is_none() {
                return Ok(None);
            }
            let mut entries = self.store.audit_page(first.saturating_sub(1), BITE).await?;
            entries.retain(|entry| entry.seq <= last && (!alert || is_loud(entry)));
            entries.truncate(within_bytes(&entries));
            // What is older than the log may be is gone by now, and is not told.
            let Some(end) = entries.last().map(|entry| entry.seq) else { continue };
            if end < last {
                pieces.push((end + 1, last));
            }
            let rows = entries.len();
            let id = format!("{}-{first}-{end}-again", self.lease.destination);
            match self.tell(Batch { id, entries, alert, ..Batch::default() }).await? {
                Ok(()) => {}
                Err(NotTaken::Away(_)) => return Ok(None),
                Err(NotTaken::Refused(why)) if rows == 1 => refused.push((end, why)),
                Err(NotTaken::Refused(_)) => {
                    let middle = first + (end - first) / 2;
                    pieces.extend([(middle + 1, end), (first, middle)]);
                }
            }
        }
        Ok(Some(refused))
    }

    async fn tell(&self, batch: Batch) -> Result<Result<(), NotTaken>, Trouble> {
        let (way, now) = (self.way.clone(), self.clock.now());
        let telling = tokio::task::spawn_blocking(move || way.tell(&batch, now));
        telling.await.map_err(|why| Trouble::new("audit.destinations", why))
    }

    /// A destination that is away is waited for. One that says no is told half as much; one that refuses the
    /// same row again and again is told what comes after, and the row is put aside for a person to look at.
    async fn failed(&mut self, why: NotTaken, from: &Delivery, told: &Told) -> Result<Duration, Trouble> {
        let (why, no) = match why {
            NotTaken::Away(why) => (why, false),
            NotTaken::Refused(why) => (why, true),
        };
        let many = told.rows > 1;
        let tries = self.store.audit_untold(&self.lease, &why, no && !many).await?;
        let destination = &self.lease.destination;
        tracing::warn!(
            destination,
            why,
            tries,
            after = from.seq,
            rows = told.rows,
            "audit rows were not taken"
        );
        if no && many {
            self.bite = told.rows / 2;
            return Ok(Duration::ZERO);
        }
        if no && tries >= self.tries {
            return self.put_aside(why, from, told, tries).await;
        }
        self.strikes = self.strikes.saturating_add(1);
        Ok(self.pause())
    }

    /// Goes on behind what is not wanted: one row, or statements that came alone, which can be had from the
    /// operators' listener at any time.
    async fn put_aside(
        &mut self,
        why: String,
        from: &Delivery,
        told: &Told,
        tries: u64,
    ) -> Result<Duration, Trouble> {
        let destination = &self.lease.destination;
        if told.rows == 0 {
            self.store.audit_told(&self.lease, told.last, told.checkpoint).await?;
            tracing::error!(destination, why, "signed checkpoints were left out");
        } else {
            let letter = DeadLetter {
                destination: destination.clone(),
                first: from.seq + 1,
                last: told.last,
                at: self.clock.now(),
                tries,
                trouble: why,
                again: false,
            };
            self.store.audit_bury(&self.lease, &letter).await?;
            tracing::error!(
                destination,
                first = letter.first,
                last = letter.last,
                "an audit row was put aside"
            );
        }
        self.went_on();
        Ok(Duration::ZERO)
    }

    fn went_on(&mut self) {
        self.strikes = 0;
        self.bite = (self.bite * 2).min(BITE);
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
