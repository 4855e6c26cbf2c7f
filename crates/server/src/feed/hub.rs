//! The hub: one task follows the log in SQL, and any number of requests read what it has made ready.
//!
//! Every server runs one; there is no leader. A row is published only after it was read from SQL in order,
//! so what is published never has a gap, whoever wrote it and in whatever process.

mod beat;
mod following;

use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};
use std::time::{Duration, Instant};

use arc_swap::ArcSwap;
use portcullis_authority::desk::Clock;
use portcullis_authority::ledger::{LogRow, Position};
use portcullis_authority::refusal::Trouble;
use portcullis_guard::feed::{Batch, Chain, Digest, FeedKeys, Kind, Record, View};
use portcullis_store::Store;
use tokio::sync::watch;

use crate::inspector::Glass;
use crate::keys::Keeper;

use self::following::{KeysDue, read_shelf};
use super::hearsay::MOMENT;
use super::looks::Looks;
use super::shelf::{After, Shelf, Stretch};
use super::{Impossible, Press, Receipt, Report, Reports, receipt};

/// How often other processes' commits are looked for in a file, which has one server; also how long anybody waits
/// for a look.
const LOOK_EVERY: Duration = Duration::from_millis(250);
/// Bytes of one answer to a guard, about.
const ANSWER_BYTES: usize = 4 * 1024 * 1024;

/// Who asks for less gives nobody the time to be late.
const IN_VAIN: Duration = Duration::from_secs(2);
/// How often the log says that a guard knows more than SQL.
const TELL_EVERY: Duration = Duration::from_secs(60);

/// What a guard is answered that asks for the tail.
pub enum Tail {
    Batches(Vec<u8>),
    /// Sealed already: fetch the manifest.
    Gone,
    /// Another epoch, or a future that this server does not know.
    Elsewhere,
    /// This server is stopping: ask again, another one or this one anew.
    Closing,
}

/// A document that guards fetch by the hash of its content.
struct Sheet {
    name: Digest,
    text: Arc<str>,
}

impl Sheet {
    fn new(text: String) -> Self {
        Self { name: Digest::of(text.as_bytes()), text: text.into() }
    }
}

/// The server's side of one feed.
pub struct Hub {
    feed: String,
    issuer: String,
    max_staleness_ms: u64,
    beat: Duration,
    store: Store,
    clock: Arc<dyn Clock>,
    view: Arc<View>,
    press: Press,
    shelf: RwLock<Shelf>,
    head: watch::Sender<Position>,
    closing: watch::Sender<bool>,
    /// Whoever hangs on at this moment is answered.
    letting_go: watch::Sender<()>,
    /// Something was read that could not be taken in: everything must be read again.
    begin_anew: AtomicBool,
    /// The signing keys have changed, and those that are in use here are still the ones before.
    keys_due: Mutex<Option<KeysDue>>,
    /// How far our clock is ahead of the database's, milliseconds.
    drift_ms: AtomicI64,
    /// How much later than now the feed was dated when that was looked at last, milliseconds.
    last_lead_ms: AtomicU64,
    /// Batches that were signed and published since the start.
    batches: AtomicU64,
    /// What the courier said last.
    carried: Mutex<Option<Carried>>,
    looks: Arc<Looks>,
    keys: ArcSwap<Sheet>,
    keeper: Option<Arc<Keeper>>,
    policy: ArcSwap<Sheet>,
    glass: Option<Arc<Glass>>,
    manifest: ArcSwap<(ManifestOf, Arc<str>)>,
    pub reports: Reports,
    /// When the log last said that a guard knows more than SQL.
    told: Mutex<Option<Instant>>,
}

/// How far the feed has come in Redis.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Carried {
    /// Whether Redis took what it was given last.
    pub up: bool,
    pub to: Position,
}

/// What a signed manifest depends on; while it is the same, so is the manifest.
type ManifestOf = Option<(Position, Digest, Digest)>;

/// What a hub is made from.
pub struct HubParts {
    pub feed: String,
    pub issuer: String,
    pub max_staleness: Duration,
    /// How often the feed says that it is alive.
    pub beat: Duration,
    pub store: Store,
    pub clock: Arc<dyn Clock>,
    pub view: Arc<View>,
    pub press: Press,
    /// The published key set, as text.
    pub jwks: String,
    /// Who knows when that has changed; nobody, where it does not.
    pub keeper: Option<Arc<Keeper>>,
    /// Who else judges by the roles; nobody, where no request is answered.
    pub glass: Option<Arc<Glass>>,
}

impl Hub {
    /// Reads what is live and complete, and begins there.
    ///
    /// # Errors
    /// Trouble when the store cannot be read.
    pub async fn open(parts: HubParts) -> Result<Arc<Self>, Trouble> {
        let looks = Arc::<Looks>::default();
        listen(&parts.store, parts.view.clone(), looks.clone());
        let shelf = read_shelf(&parts.store, parts.clock.as_ref(), &parts.view).await?;
        let hub = Arc::new(Self {
            head: watch::Sender::new(shelf.position()),
            shelf: RwLock::new(shelf),
            closing: watch::Sender::new(false),
            letting_go: watch::Sender::new(()),
            begin_anew: AtomicBool::new(false),
            keys_due: Mutex::default(),
            drift_ms: AtomicI64::new(0),
            last_lead_ms: AtomicU64::new(0),
            batches: AtomicU64::new(0),
            carried: Mutex::default(),
            feed: parts.feed,
            issuer: parts.issuer,
            max_staleness_ms: u64::try_from(parts.max_staleness.as_millis()).unwrap_or(u64::MAX),
            beat: parts.beat,
            store: parts.store,
            clock: parts.clock,
            view: parts.view,
            press: parts.press,
            looks,
            keys: ArcSwap::from_pointee(Sheet::new(parts.jwks)),
            keeper: parts.keeper,
            policy: ArcSwap::from_pointee(Sheet::new(String::new())),
            glass: parts.glass,
            manifest: ArcSwap::from_pointee((None, "".into())),
            reports: Reports::default(),
            told: Mutex::default(),
        });
        hub.show_policy()?;
        hub.note_as_of();
        Ok(hub)
    }

    /// Answers everybody who hangs on now, so that they come again, to another server if they may.
    pub fn let_go(&self) {
        self.letting_go.send_replace(());
    }

    /// The feed's name.
    pub fn feed(&self) -> &str {
        &self.feed
    }

    pub fn view(&self) -> &Arc<View> {
        &self.view
    }

    pub fn max_staleness_ms(&self) -> u64 {
        self.max_staleness_ms
    }

    /// The clock that guards compare with, milliseconds.
    pub fn time_ms(&self) -> u64 {
        self.clock.now_ms()
    }

    /// Where the feed stands.
    pub fn position(&self) -> Position {
        self.shelf().position()
    }

    /// How far this clock is ahead of the database's, milliseconds.
    pub fn drift_ms(&self) -> i64 {
        self.drift_ms.load(Relaxed)
    }

    /// How many batches were published.
    pub fn batches(&self) -> u64 {
        self.batches.load(Relaxed)
    }

    /// How far the feed has come in Redis, if there is one.
    pub fn carried(&self) -> Option<Carried> {
        *self.carried.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn note_carried(&self, carried: Carried) {
        *self.carried.lock().unwrap_or_else(PoisonError::into_inner) = Some(carried);
    }

    /// The public key set of the feed itself.
    pub fn feed_keys(&self) -> &str {
        self.press.jwks()
    }

    /// See [`Press::witnesses`].
    ///
    /// # Errors
    /// Trouble when a set holds no feed key.
    pub fn witnesses(&self) -> Result<Vec<FeedKeys>, Trouble> {
        self.press.witnesses()
    }

    /// The key that signs the feed, its successor and the one before.
    pub fn press(&self) -> &Press {
        &self.press
    }

    /// The published token keys, exactly the bytes that the manifest names.
    pub fn token_keys(&self) -> Arc<str> {
        self.keys.load().text.clone()
    }

    /// The policy with this name, if it is the current one.
    pub fn policy(&self, name: &Digest) -> Option<Arc<str>> {
        let sheet = self.policy.load();
        (sheet.name == *name).then(|| sheet.text.clone())
    }

    /// Who tends the signing keys here.
    pub fn keeper(&self) -> Option<&Keeper> {
        self.keeper.as_deref()
    }

    pub fn segment(&self, name: &Digest) -> Option<Arc<[u8]>> {
        self.shelf().segment(name)
    }

    /// Waits for a look at the log that begins after this call, so that what was answered before it is
    /// published; briefly, because a guard that starts on something older knows how old it is.
    pub async fn look(&self) {
        self.looks.next(LOOK_EVERY).await;
    }

    /// Waits until what was committed before this call is known here: then whatever any server has answered by
    /// now is true at this one as well (docs/decisions/0026). A database that does not answer is not waited for;
    /// then what is known must do, for as long as the feed's bound lets it.
    pub async fn keep_abreast(&self) {
        match self.store.is_shared() {
            true => self.looks.next_shared(LOOK_EVERY).await,
            // A file has one server, which knows what it has done itself.
            false => self.looks.up_to_announced(LOOK_EVERY).await,
        }
    }

    /// The signed manifest of this moment.
    ///
    /// # Errors
    /// Trouble when it cannot be written.
    pub fn manifest(&self) -> Result<(Position, Arc<str>), Trouble> {
        let (keys, policy) = (self.keys.load().name, self.policy.load().name);
        let shelf = self.shelf();
        let of: ManifestOf = Some((shelf.position(), keys, policy));
        let made = self.manifest.load();
        if made.0 == of {
            return Ok((shelf.position(), made.1.clone()));
        }
        let manifest = shelf.manifest(&self.issuer, &self.feed, keys, policy);
        let position = shelf.position();
        drop(shelf);
        let text = manifest.sign(self.press.key8(), |message| self.press.sign(message));
        let text: Arc<str> = text.map_err(|e| Trouble::new("manifest", e))?.into();
        self.manifest.store(Arc::new((of, text.clone())));
        Ok((position, text))
    }

    /// What comes after a position; waits for it, at most so long. A beat comes each second, so an empty
    /// answer is rare and honest.
    pub async fn tail(&self, after: Position, wait: Duration) -> Tail {
        let until = Instant::now() + wait;
        let (mut head, mut closing) = (self.head.subscribe(), self.closing.subscribe());
        let mut letting_go = self.letting_go.subscribe();
        loop {
            head.mark_unchanged();
            match self.shelf().after(after, ANSWER_BYTES) {
                After::Batches(bytes) => return Tail::Batches(bytes),
                After::Gone => return Tail::Gone,
                After::Elsewhere => return Tail::Elsewhere,
                After::Wait => {}
            }
            tokio::select! {
                Ok(()) = head.changed() => {}
                _ = closing.wait_for(|closing| *closing) => return Tail::Closing,
                Ok(()) = letting_go.changed() => return Tail::Closing,
                () = tokio::time::sleep(until.saturating_duration_since(Instant::now())) => {
                    return Tail::Batches(Vec::new());
                }
            }
        }
    }

    /// Told of every new position.
    pub(super) fn positions(&self) -> watch::Receiver<Position> {
        self.head.subscribe()
    }

    /// What comes after a number, as one batch in signed form; see [`Shelf::stretch_after`].
    pub(super) fn stretch_after(&self, seq: u64) -> Option<(Stretch, Arc<[u8]>)> {
        let mut stretch = self.shelf().stretch_after(seq)?;
        let bytes =
            stretch.bytes.take().unwrap_or_else(|| self.press.press(&stretch.batch, &self.feed).into());
        Some((stretch, bytes))
    }

    /// The number of the first record of the tail, and the chain before it.
    pub(super) fn tail_start(&self) -> (u64, Chain) {
        self.shelf().tail_start()
    }

    /// Begins the tail no earlier than a number.
    pub(super) fn seal_before(&self, seq: u64) {
        self.shelf_mut().seal_before(seq);
    }

    /// Everything that a manifest can name, by hash.
    pub(super) fn papers(&self) -> Vec<(Digest, Arc<[u8]>)> {
        let sheets = [self.keys.load_full(), self.policy.load_full()];
        let sheets = sheets.iter().map(|sheet| (sheet.name, Arc::from(sheet.text.as_bytes())));
        self.shelf().segments().chain(sheets).collect()
    }

    pub(super) fn sign(&self, batch: &Batch) -> Vec<u8> {
        self.press.press(batch, &self.feed)
    }

    pub(super) fn store(&self) -> &Store {
        &self.store
    }

    /// How old the newest record is, milliseconds.
    pub fn age_ms(&self) -> u64 {
        self.time_ms().saturating_sub(self.shelf().as_of_ms())
    }

    /// Waits until every connected guard has applied a position, at most so long, and says who has.
    pub async fn settle(&self, position: Position, committed_at: u64, wait: Duration) -> Receipt {
        let until = Instant::now() + wait;
        let mut changes = self.reports.changes();
        loop {
            changes.mark_unchanged();
            self.hear_others().await;
            let now = self.time_ms();
            let connected = self.reports.connected(now, self.max_staleness_ms).into_iter();
            let connected = connected.map(|state| {
                let expected = self.reports.is_expected(&state, now);
                (state, expected)
            });
            // Our own commit may be a moment ahead of what this server has read back.
            let head = self.position().max(position);
            let receipt =
                Receipt::of(position, head, committed_at, self.max_staleness_ms, connected.collect());
            let left = until.saturating_duration_since(Instant::now());
            if receipt.is_settled() {
                return receipt;
            }
            if left.is_zero() {
                if wait >= IN_VAIN {
                    self.reports.excuse(&receipt.waiting, self.time_ms());
                }
                return receipt;
            }
            let nap = if self.store.is_shared() { left.min(MOMENT) } else { left };
            // Nobody has said anything here; somebody may have said it to another server.
            let _ = tokio::time::timeout(nap, changes.changed()).await;
        }
    }

    /// Takes the report of a guard that has proved to be `account`, unless nobody can have said that honestly.
    /// Another server may be a moment ahead of this one, so SQL has the last word.
    ///
    /// # Errors
    /// Trouble when SQL cannot be asked.
    pub async fn hear(&self, account: &str, report: Report) -> Result<Result<(), Impossible>, Trouble> {
        let mut verdict = report.fits(self.position(), self.time_ms());
        if verdict == Err(Impossible::Beyond) {
            verdict = report.fits(self.store.head().await?.position, self.time_ms());
        }
        match verdict {
            Ok(()) => self.reports.take(account, report, self.time_ms()),
            Err(Impossible::Beyond) => self.tell_of_lead(account),
            Err(Impossible::Future) => {}
        }
        Ok(verdict)
    }

    fn tell_of_lead(&self, account: &str) {
        let mut told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
        if told.is_none_or(|at: Instant| at.elapsed() > TELL_EVERY) {
            *told = Some(Instant::now());
            tracing::error!(
                account,
                "a guard says that it knows more than the database: either it lies, or the database was put back \
                 to an older copy; then run portcullis dr promote"
            );
        }
    }

    /// A receipt that anybody can verify with the feed's key.
    pub fn signed(&self, receipt: &Receipt) -> String {
        self.press.statement(receipt::TYPE, &receipt.payload(&self.issuer, &self.feed))
    }

    fn shelf(&self) -> RwLockReadGuard<'_, Shelf> {
        self.shelf.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn shelf_mut(&self) -> RwLockWriteGuard<'_, Shelf> {
        self.shelf.write().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Our own commits reach our own view before they are answered, and wake the hub.
fn listen(store: &Store, view: Arc<View>, looks: Arc<Looks>) {
    store.on_commit(Arc::new(move |rows: &[LogRow]| {
        let records: Vec<Record> = rows.iter().map(|row| row.record).collect();
        view.apply(&records);
        // What has ended is known by now; what the roles and the keys are is read at the next look.
        match records.iter().any(|record| matches!(record.kind, Kind::Policy | Kind::Keys)) {
            true => looks.announce(),
            false => looks.want(),
        }
    }));
}
