//! The hub: one task follows the log in SQL, and any number of requests read what it has made ready.
//!
//! Every server runs one; there is no leader. A row is published only after it was read from SQL in order,
//! so what is published never has a gap, whoever wrote it and in whatever process.

use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};
use std::time::{Duration, Instant};

use arc_swap::ArcSwap;
use portcullis_authority::desk::Clock;
use portcullis_authority::ledger::{LogRow, Position};
use portcullis_authority::policy;
use portcullis_authority::refusal::Trouble;
use portcullis_authority::registry::Registry as _;
use portcullis_guard::feed::clock::Reading;
use portcullis_guard::feed::{Batch, Chain, Digest, Kind, Record, View};
use portcullis_store::{News, Store};
use tokio::sync::watch;

use crate::inspector::Glass;
use crate::keys::Keeper;

use super::hearsay::MOMENT;
use super::looks::Looks;
use super::shelf::{After, Shelf, Stretch};
use super::stacks::Stacks;
use super::{Impossible, Press, Receipt, Report, Reports, receipt};

/// How often other processes' commits are looked for in a file, which has one server; also how long anybody waits
/// for a look.
const LOOK_EVERY: Duration = Duration::from_millis(250);
/// How often where there may be other servers: guards that hang on here hear so much later of what others commit.
const LOOK_AT_OTHERS_EVERY: Duration = Duration::from_millis(25);
/// Rows read at a time.
const BITE: usize = 8192;
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

/// Since when the keys in use are not those in the books, and when to try again.
#[derive(Clone, Copy)]
struct KeysDue {
    since: Instant,
    again: Instant,
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

    /// A committed beat each second or so: the only thing that makes guards fresh (design 1.2 rule 7).
    async fn beat(self: Arc<Self>, mut stop: watch::Receiver<bool>) {
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
        // Within the look: whoever waits for it waits for the keys too. But trouble with them is not the look's.
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
        }
        if self.store.absorb(rows).await? || tells(Kind::Policy) {
            self.show_policy()?;
        }
        Ok(())
    }

    /// After a change of epoch or a gap (rows purged while we were away): everything anew, forgetting
    /// nothing that the view holds.
    pub(super) async fn begin_again(&self) -> Result<(), Trouble> {
        let shelf = read_shelf(&self.store, self.clock.as_ref(), &self.view).await?;
        *self.shelf_mut() = shelf;
        self.store.reload().await?;
        self.show_policy()?;
        self.note_as_of();
        self.head.send_replace(self.position());
        self.note_keys();
        Ok(())
    }

    /// What the roles say, for guards and for whoever judges here.
    fn show_policy(&self) -> Result<(), Trouble> {
        let policy = policy::of(&self.store.directory())?;
        self.policy.store(Arc::new(Sheet::new(policy.to_json())));
        if let Some(glass) = &self.glass {
            glass.replace_policy(policy);
        }
        Ok(())
    }

    fn note_as_of(&self) {
        let shelf = self.shelf();
        let (position, as_of_ms) = (shelf.position(), shelf.as_of_ms());
        drop(shelf);
        self.view.clock().settle(self.time_ms(), 0, Reading::now());
        let position = portcullis_guard::feed::Position { epoch: position.epoch, seq: position.seq };
        self.view.note_as_of(position, as_of_ms);
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

async fn read_shelf(store: &Store, clock: &dyn Clock, view: &View) -> Result<Shelf, Trouble> {
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
