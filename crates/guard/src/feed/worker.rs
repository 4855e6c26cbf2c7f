//! Drives a follower: a thread of the operating system that asks a source what `follower.rs` wants asked, and
//! the handle by which a service holds it.
//!
//! Which source it is does not matter here; see `http.rs` and `redis.rs`.

use std::{
    io,
    sync::{
        Arc, Condvar, Mutex, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering::AcqRel, Ordering::Acquire, Ordering::Release},
        mpsc::{SyncSender, sync_channel},
    },
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use ring::rand::{SecureRandom, SystemRandom};

use super::{
    Command, Counts, Digest, FeedFault, FeedKeys, Follower, Freshness, Position, SealedBatch, View,
    clock::Reading,
    http::{self, source::HttpSource},
};
use crate::metrics::SourceCounts;

/// How often the server's time is asked for when nothing is suspicious.
const TIME_EVERY: Duration = Duration::from_secs(600);
/// How soon something that is beside the tail is tried again.
const ERRAND_AGAIN: Duration = Duration::from_secs(5);
/// How often a stranger can make us look for new keys, whatever he sends.
const HINT_EVERY: Duration = Duration::from_secs(10);
const FIRST_PAUSE: Duration = Duration::from_millis(20);
const LONGEST_PAUSE: Duration = Duration::from_secs(1);
/// How long a stop waits for the threads; one that hangs in a request ends by that request's own limit.
const STOP_WITHIN: Duration = Duration::from_millis(250);

/// Takes what travels beside the feed. Called from the feed's thread, so it should be quick.
pub trait Sink: Send + Sync {
    /// The issuer's current token keys, a JWK set. Never called when they could not be had.
    fn keys(&self, jwks: &str);
    /// The current policy.
    fn policy(&self, json: &str);
}

/// The source did not give what it should have; try again later. Why does not matter to a follower.
#[derive(Debug)]
pub(super) struct Trouble;

impl From<FeedFault> for Trouble {
    fn from(_: FeedFault) -> Self {
        Self
    }
}

/// How far a guard has come, whichever of its sources brought it there.
#[derive(Clone, Copy, Debug)]
pub(super) struct Progress {
    pub at: Position,
    pub as_of_ms: u64,
}

impl Progress {
    /// `None` while the view was never complete, for then there is nothing to say.
    pub fn of(view: &View) -> Option<Self> {
        let as_of_ms = view.as_of_ms();
        (as_of_ms > 0).then(|| Self { at: view.position(), as_of_ms })
    }
}

/// What a tail holds: batches from anybody, or bytes that are none.
pub(super) type Sealed = Vec<Result<SealedBatch, FeedFault>>;

/// Whom a follower asks. Believes nothing of what comes back, with two exceptions: feed keys and the time
/// are taken at its word, so a source must have them from the issuer or from its configuration.
pub(super) trait Source: Send + 'static {
    fn feed_keys(&mut self) -> Result<FeedKeys, Trouble>;
    /// The server's clock and how far it may be off, both in milliseconds.
    fn time(&mut self) -> Result<(u64, u64), Trouble>;
    fn manifest(&mut self) -> Result<String, Trouble>;
    /// A segment, or `None` when it has gone since the manifest was made.
    fn segment(&mut self, name: &Digest) -> Result<Option<Vec<u8>>, Trouble>;
    /// The batches after a position as soon as there are any, at latest after some seconds. `None` when the
    /// source cannot continue from there. A source that reaches the issuer may tell it meanwhile how far this
    /// guard has come.
    fn tail(&mut self, after: Position, come: Option<&Progress>) -> Result<Option<Sealed>, Trouble>;
    /// Whether the issuer has said that it hears of the progress with the question for the tail, so that no
    /// report of its own is needed.
    fn is_heard(&self) -> bool {
        false
    }
    /// The keys of tokens; the pin is a hint where to find them, and checked by whoever asks.
    fn keys(&mut self, pin: Option<Digest>) -> Result<String, Trouble>;
    fn policy(&mut self, name: &Digest) -> Result<String, Trouble>;
    /// What came last had a hole in it. A source that can fill it from elsewhere does so next.
    fn mend(&mut self) {}
    /// Whether what was followed so far may be believed as far as this source's own clock goes.
    fn agrees(&mut self, _as_of_ms: u64) -> bool {
        true
    }
}

/// A feed that is being followed, until it is dropped.
pub struct Following {
    view: Arc<View>,
    shared: Arc<Shared>,
    threads: Vec<JoinHandle<()>>,
}

impl Following {
    pub(super) fn new(view: Arc<View>) -> Self {
        Self { view, shared: Arc::default(), threads: vec![] }
    }

    pub(super) fn view(&self) -> &View {
        &self.view
    }

    #[cfg(test)]
    pub(super) fn shared(&self) -> &Shared {
        &self.shared
    }

    /// Starts the thread that reports. It is woken through what is returned, and ends when that is dropped.
    pub(super) fn report_with(&mut self, reporter: HttpSource) -> io::Result<SyncSender<()>> {
        let (moved, reports) = sync_channel(1);
        let (view, shared) = (self.view.clone(), self.shared.clone());
        let run = move || http::report(&reporter, &view, &shared, &reports);
        self.threads.push(spawn("portcullis-report", run)?);
        Ok(moved)
    }

    /// Starts the thread that asks.
    pub(super) fn follow(
        &mut self,
        source: impl Source,
        issuer: String,
        sink: Arc<dyn Sink>,
        moved: SyncSender<()>,
    ) -> io::Result<()> {
        let (view, shared) = (self.view.clone(), self.shared.clone());
        let worker = Worker {
            source,
            follower: Follower::new(view.clone(), issuer),
            view,
            sink,
            shared,
            moved,
            time: Due::now(),
            errands: Due::now(),
            feed_keys: Due::now(),
            pause: FIRST_PAUSE,
        };
        self.threads.push(spawn("portcullis-feed", move || worker.run())?);
        Ok(())
    }

    /// Whether the view became live within this time.
    pub fn wait_until_live(&self, timeout: Duration) -> bool {
        let started = Instant::now();
        loop {
            if self.view.freshness_now() == Freshness::Live {
                return true;
            }
            if started.elapsed() >= timeout || self.shared.pause(Duration::from_millis(2)) {
                return false;
            }
        }
    }

    /// Somebody showed a token with a key that is not known here. Looks for newer keys, at most every ten
    /// seconds whatever is shown.
    pub fn wake_for_keys(&self) {
        self.shared.hint.wake();
    }

    /// [`Following::wake_for_keys`] for somebody who does not own the feed.
    pub fn key_hint(&self) -> KeyHint {
        self.shared.hint.clone()
    }

    /// What went wrong so far.
    pub fn counts(&self) -> Counts {
        *lock(&self.shared.counts)
    }

    /// What happened so far, for somebody who does not own the feed.
    pub fn gauge(&self) -> Gauge {
        Gauge(self.shared.clone())
    }

    /// Whether following has ended for good because this machine's clock cannot be right: the feed was signed
    /// in its future. Only a feed without the issuer's clock can end so.
    pub fn is_clock_wrong(&self) -> bool {
        self.shared.clock_wrong.load(Acquire)
    }

    /// Stops following. The view keeps what it has and goes stale.
    pub fn stop(&mut self) {
        *lock(&self.shared.stopped) = true;
        self.shared.wake.notify_all();
        let started = Instant::now();
        while started.elapsed() < STOP_WITHIN && !self.threads.iter().all(JoinHandle::is_finished) {
            thread::sleep(Duration::from_millis(2));
        }
        // A thread that has not ended holds nothing but its own handles and ends with its request.
        for ended in self.threads.drain(..).filter(JoinHandle::is_finished) {
            // Only a panicking sink can make this an error, and its message is out already.
            let _ = ended.join();
        }
    }
}

impl Drop for Following {
    fn drop(&mut self) {
        self.stop();
    }
}

/// A place to say that a key is unknown.
#[derive(Clone, Default)]
pub struct KeyHint(Arc<(AtomicBool, Mutex<Option<Instant>>)>);

impl KeyHint {
    /// See [`Following::wake_for_keys`]. Answered at the next beat, within a second.
    pub fn wake(&self) {
        let mut last = lock(&self.0.1);
        if last.is_none_or(|at| at.elapsed() >= HINT_EVERY) {
            *last = Some(Instant::now());
            self.0.0.store(true, Release);
        }
    }

    pub(super) fn take(&self) -> bool {
        self.0.0.swap(false, AcqRel)
    }
}

/// Tells what happened on the way of a feed, for as long as anybody wants to know.
#[derive(Clone)]
pub struct Gauge(Arc<Shared>);

impl Gauge {
    /// What happened so far.
    pub fn read(&self) -> SourceCounts {
        SourceCounts { faults: *lock(&self.0.counts), reconnects: self.0.reconnects.load(Acquire) }
    }
}

/// What the threads and the handle have in common.
#[derive(Default)]
pub(super) struct Shared {
    stopped: Mutex<bool>,
    wake: Condvar,
    counts: Mutex<Counts>,
    reconnects: AtomicU64,
    hint: KeyHint,
    clock_wrong: AtomicBool,
    /// The issuer hears how far this guard is with each question, so the thread that reports may be silent.
    heard: AtomicBool,
}

impl Shared {
    /// Whether the issuer has to be told in a report of its own.
    pub(super) fn must_report(&self) -> bool {
        !self.heard.load(Acquire)
    }

    /// Waits, at most until the end. Says whether it has come.
    pub(super) fn pause(&self, duration: Duration) -> bool {
        let waiting = self.wake.wait_timeout_while(lock(&self.stopped), duration, |stopped| !*stopped);
        *waiting.unwrap_or_else(PoisonError::into_inner).0
    }
}

/// The thread that asks.
struct Worker<S> {
    source: S,
    follower: Follower,
    view: Arc<View>,
    sink: Arc<dyn Sink>,
    shared: Arc<Shared>,
    moved: SyncSender<()>,
    time: Due,
    errands: Due,
    feed_keys: Due,
    pause: Duration,
}

impl<S: Source> Worker<S> {
    fn run(mut self) {
        while !self.shared.pause(Duration::ZERO) {
            let step = self.step();
            *lock(&self.shared.counts) = self.follower.counts();
            if !self.source.agrees(self.view.as_of_ms()) {
                self.shared.clock_wrong.store(true, Release);
                return;
            }
            if step.is_err() {
                self.shared.reconnects.fetch_add(1, AcqRel);
                self.shared.pause(jittered(self.pause));
                self.pause = (self.pause * 2).min(LONGEST_PAUSE);
            }
        }
    }

    fn step(&mut self) -> Result<(), Trouble> {
        if self.shared.hint.take() {
            self.follower.want_keys();
        }
        let verdict = self.advance();
        // Also after a failure: perhaps it failed because the feed has new keys.
        self.run_errands();
        verdict
    }

    fn advance(&mut self) -> Result<(), Trouble> {
        self.compare_clocks()?;
        match self.follower.next() {
            Command::FetchFeedKeys => self.fetch_feed_keys()?,
            Command::FetchManifest => {
                self.follower.manifest(&self.source.manifest()?)?;
                // A receipt waits for guards that have reported, so the first word is said at once.
                let _ = self.moved.try_send(());
            }
            Command::FetchSegment(name) => match self.source.segment(&name)? {
                Some(content) => self.follower.segment(&content)?,
                None => self.follower.gone(),
            },
            tail @ Command::Tail(_) => self.tail(tail)?,
            Command::FetchKeys(_) | Command::FetchPolicy(_) => {}
        }
        Ok(())
    }

    /// Without a first comparison nothing starts; later ones may fail, because the estimate goes on.
    fn compare_clocks(&mut self) -> Result<(), Trouble> {
        let clock = self.view.clock();
        let suspicious = clock.is_suspicious(&Reading::now()) && self.time.is_older_than(ERRAND_AGAIN);
        let is_due = self.time.is_due() || suspicious || clock.has_begun_anew();
        if !is_due {
            return Ok(());
        }
        match self.source.time() {
            Ok((ms, error_ms)) => {
                self.view.clock().settle(ms, error_ms, Reading::now());
                // A key that is published no more must not be believed for ever.
                self.follower.ask_for_feed_keys();
                self.time.again_in(TIME_EVERY);
            }
            Err(trouble) if self.time.never() => return Err(trouble),
            Err(_) => self.time.again_in(ERRAND_AGAIN),
        }
        Ok(())
    }

    fn tail(&mut self, asked: Command) -> Result<(), Trouble> {
        let Command::Tail(after) = asked else { return Ok(()) };
        let (version, as_of_ms) = (self.view.version(), self.view.as_of_ms());
        let answer = self.source.tail(after, Progress::of(&self.view).as_ref());
        self.shared.heard.store(answer.is_ok() && self.source.is_heard(), Release);
        let Some(batches) = answer? else {
            self.follower.gone();
            return Err(Trouble);
        };
        let mut verdict = Ok(());
        for sealed in batches {
            verdict = verdict.and(match sealed {
                Ok(sealed) => self.follower.batch(sealed),
                Err(fault) => {
                    self.follower.malformed();
                    Err(fault)
                }
            });
        }
        self.follower.tail_ended();
        if verdict == Err(FeedFault::Gap) {
            self.source.mend();
        }
        if self.view.version() != version && self.shared.must_report() {
            // A full channel means that a report is on its way to being made; it will read the newest.
            let _ = self.moved.try_send(());
        }
        verdict?;
        // An answer without progress must not become a loop without a pause.
        if self.follower.next() == asked && self.view.as_of_ms() == as_of_ms {
            return Err(Trouble);
        }
        self.pause = FIRST_PAUSE;
        Ok(())
    }

    /// Fetches what travels beside the feed. Failing here does not stop the tail.
    fn run_errands(&mut self) {
        if !self.errands.is_due() {
            return;
        }
        for errand in self.follower.errands() {
            let done = match errand {
                Command::FetchFeedKeys if self.feed_keys.is_due() => self.fetch_feed_keys(),
                Command::FetchKeys(pin) => self.fetch_keys(pin),
                Command::FetchPolicy(name) => self.fetch_policy(name),
                _ => Ok(()),
            };
            if done.is_err() {
                self.follower.look_again();
                self.errands.again_in(ERRAND_AGAIN);
            }
        }
    }

    fn fetch_feed_keys(&mut self) -> Result<(), Trouble> {
        self.feed_keys.again_in(HINT_EVERY);
        let keys = self.source.feed_keys()?;
        self.follower.feed_keys(keys);
        Ok(())
    }

    fn fetch_keys(&mut self, pin: Option<Digest>) -> Result<(), Trouble> {
        let jwks = self.source.keys(pin)?;
        let name = Digest::of(jwks.as_bytes());
        if pin.is_some_and(|pin| pin != name) {
            return Err(Trouble);
        }
        self.sink.keys(&jwks);
        self.follower.keys_delivered(name);
        Ok(())
    }

    fn fetch_policy(&mut self, name: Digest) -> Result<(), Trouble> {
        let json = self.source.policy(&name)?;
        if Digest::of(json.as_bytes()) != name {
            return Err(Trouble);
        }
        self.sink.policy(&json);
        self.follower.policy_delivered(name);
        Ok(())
    }
}

/// When something is to be done next.
struct Due {
    last: Option<Instant>,
    next: Instant,
}

impl Due {
    fn now() -> Self {
        Self { last: None, next: Instant::now() }
    }

    fn is_due(&self) -> bool {
        Instant::now() >= self.next
    }

    fn never(&self) -> bool {
        self.last.is_none()
    }

    fn is_older_than(&self, age: Duration) -> bool {
        self.last.is_none_or(|last| last.elapsed() >= age)
    }

    fn again_in(&mut self, pause: Duration) {
        let now = Instant::now();
        (self.last, self.next) = (Some(now), now + pause);
    }
}

fn spawn(name: &str, run: impl FnOnce() + Send + 'static) -> io::Result<JoinHandle<()>> {
    thread::Builder::new().name(name.into()).spawn(run)
}

/// Between half and all of a pause, so that guards which lost the same server do not return together.
fn jittered(pause: Duration) -> Duration {
    pause / 2 + share_of(pause / 2)
}

/// Some part of a duration, by chance. Without chance all of it, which is safe.
pub(super) fn share_of(duration: Duration) -> Duration {
    let mut byte = [0];
    let share = SystemRandom::new().fill(&mut byte).map_or(255, |()| byte[0]);
    duration * u32::from(share) / 255
}

/// Everything locked here is whole after every statement, so a panic elsewhere spoils nothing.
pub(super) fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
