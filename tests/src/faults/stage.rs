//! The stage of a scenario: keys, books and settings, a door through which the crowd comes, and sentries
//! behind links of their own. What happens on it is the scenario's business.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering::SeqCst};
use std::time::{Duration, Instant};

use portcullis::books;
use portcullis::keys::{KeyDirectory, Plan as KeyPlan, Purpose};
use portcullis::means::{Means, SystemClock};
use portcullis::serve::{self, Running};
use portcullis::settings::Settings;
use portcullis_authority::desk::Clock;

use super::crowd::{Crowd, Rush};
use super::diary::now_ms;
use super::history::{Answer, Decision, History, Token, Verdict};
use super::link::Link;
use super::machine::Machine;
use super::sentry::{Post, Sentry};
use super::server::Server;
use super::{Plan, Report, Trouble};
use crate::ports::free_port;

/// The client whose tokens are revoked.
pub const CLIENT: &str = "crowd";
pub const CLIENT_SECRET: &str = "crowd-secret";
/// The account that all sentries share.
pub const GUARD: &str = "sentry";
pub const GUARD_SECRET: &str = "sentry-secret";

/// Tokens that nobody revokes, numbered from here.
pub const CONTROLS: Token = 1_000_000;
const CONTROL_COUNT: Token = 16;
/// Decisions a second of each sentry.
const RATE: u32 = 2000;
/// How far clocks on one machine may be apart, milliseconds; it covers rounding.
const CLOCK_ERROR_MS: u64 = 10;
const OPENS_WITHIN: Duration = Duration::from_secs(20);
/// How long the crowd may insist after everything was mended.
const INSISTS: Duration = Duration::from_secs(30);

const SEED: &str = r#"
[[organizations]]
slug = "my-org"
id = "orgMyOrgAA"

[[applications]]
organization = "my-org"
client_id = "crowd"
secret = "crowd-secret"
kind = "integration"
role = "admin"

[[guards]]
id = "sentry"
secret = "sentry-secret"
"#;

/// Where a scenario happens.
pub struct Stage {
    pub plan: Plan,
    pub settings: Settings,
    /// Between the crowd and the server; its address is the issuer.
    pub door: Link,
    pub crowd: Crowd,
    pub sentries: Vec<Sentry>,
    /// One for each sentry, in the same order.
    pub links: Vec<Link>,
    pub history: History,
    home: PathBuf,
    tokens: Vec<(Token, String)>,
    controls: Vec<(Token, String)>,
    started: usize,
    /// Guards that must not accept anything between two moments.
    closed: Vec<(String, u64, u64)>,
}

impl Stage {
    /// Makes keys and books at `store`, an address, or a file of the stage's own; nobody is on it yet.
    ///
    /// # Errors
    /// When a file cannot be made or the books cannot be opened.
    pub fn set(plan: &Plan, name: &str, store: Option<&str>, more: &str) -> Result<Self, Trouble> {
        let home = plan.home.join(name);
        std::fs::create_dir_all(&home).map_err(Trouble::broken)?;
        let port = free_port().map_err(Trouble::broken)?;
        let door = Link::open(SocketAddr::from((Ipv4Addr::LOCALHOST, port))).map_err(Trouble::broken)?;
        let settings = settings(plan, &home, port, &door.url(), store);
        make_keys(&settings)?;
        sow(&settings, &format!("{SEED}{more}"))?;
        let history =
            History { bound_ms: plan.bound_ms, clock_error_ms: CLOCK_ERROR_MS, ..History::default() };
        Ok(Self {
            plan: plan.clone(),
            crowd: Crowd::new(door.url()),
            settings,
            door,
            sentries: Vec::new(),
            links: Vec::new(),
            history,
            home,
            tokens: Vec::new(),
            controls: Vec::new(),
            started: 0,
            closed: Vec::new(),
        })
    }

    pub fn home(&self) -> &Path {
        &self.home
    }

    /// Starts the server's program.
    ///
    /// # Errors
    /// When it does not answer in time.
    pub fn server(&self) -> Result<Server, Trouble> {
        Server::start(&self.plan.server, &self.home, &self.settings)
    }

    /// Starts it on another machine.
    ///
    /// # Errors
    /// As [`Stage::server`].
    pub fn server_on(&self, machine: Machine) -> Result<Server, Trouble> {
        Server::start_on(machine, &self.plan.server, &self.home, &self.settings)
    }

    /// Starts another one over the same books, on another port.
    ///
    /// # Errors
    /// As [`Stage::server`].
    pub fn second_server(&self) -> Result<Server, Trouble> {
        let mut settings = self.settings.clone();
        settings.listen.port = free_port().map_err(Trouble::broken)?;
        Server::start(&self.plan.server, &self.home, &settings)
    }

    /// Starts the server in this process, with a clock that can be set.
    ///
    /// # Errors
    /// When it does not start.
    pub fn server_inside(&self) -> Result<(Running, Arc<SteppedClock>), Trouble> {
        let clock = Arc::new(SteppedClock::default());
        let means = Means { clock: clock.clone(), ..Means::system() };
        let running = serve::start(self.settings.clone(), means).map_err(|e| Trouble::broken(e.why))?;
        Ok((running, clock))
    }

    /// Where the server listens.
    pub fn upstream(&self) -> SocketAddr {
        SocketAddr::from((Ipv4Addr::LOCALHOST, self.settings.listen.port))
    }

    /// Gets the tokens of the run, posts so many sentries and waits until each of them has seen all.
    ///
    /// # Errors
    /// When the server does not issue, or a guard does not open in time.
    pub fn man(&mut self, sentries: usize) -> Result<(), Trouble> {
        self.man_with(&vec![Ways::Http; sentries])
    }

    /// The same, one sentry for each of these ways.
    ///
    /// # Errors
    /// As [`Stage::man`].
    pub fn man_with(&mut self, ways: &[Ways]) -> Result<(), Trouble> {
        self.tokens = self.crowd.issue(0, self.plan.tokens)?;
        self.controls = self.crowd.issue(CONTROLS, CONTROL_COUNT)?;
        for ways in ways {
            let link = Link::open(self.upstream()).map_err(Trouble::broken)?;
            self.post_with(&link.url(), ways)?;
            self.links.push(link);
        }
        self.wait_until_open()?;
        self.let_pass();
        Ok(())
    }

    /// Posts one more sentry that follows the feed at this address.
    ///
    /// # Errors
    /// When it cannot be started.
    pub fn post(&mut self, base: &str) -> Result<(), Trouble> {
        self.post_with(base, &Ways::Http)
    }

    /// The same for one that hears of the feed in these ways.
    ///
    /// # Errors
    /// As [`Stage::post`].
    pub fn post_with(&mut self, base: &str, ways: &Ways) -> Result<(), Trouble> {
        let sentry = self.sentry(base, ways, Machine::This)?;
        self.sentries.push(sentry);
        Ok(())
    }

    /// Posts one more sentry on another machine, behind a link of its own that is reached at this address.
    /// Gives its name.
    ///
    /// # Errors
    /// When it cannot be started, or no link can be had.
    pub fn post_on(&mut self, machine: Machine, address: Ipv4Addr) -> Result<String, Trouble> {
        let link = Link::open_at(address, self.upstream()).map_err(Trouble::broken)?;
        let sentry = self.sentry(&link.url(), &Ways::Http, machine)?;
        let name = sentry.name().to_owned();
        self.sentries.push(sentry);
        self.links.push(link);
        Ok(name)
    }

    /// Kills a sentry and posts a new one in its place, which knows nothing.
    ///
    /// # Errors
    /// When it cannot be started, or the old one's diary does not read.
    pub fn replace(&mut self, place: usize) -> Result<(), Trouble> {
        let Post { base, ways, machine, .. } = self.sentries[place].post().clone();
        let new = self.sentry(&base, &ways, machine)?;
        let mut old = std::mem::replace(&mut self.sentries[place], new);
        old.child().kill();
        self.history.decisions.extend(old.dismiss()?);
        Ok(())
    }

    /// This guard must not accept anything from one moment to another, whoever's token it is.
    pub fn must_not_accept(&mut self, guard: &str, from: u64, to: u64) {
        self.closed.push((guard.into(), from, to));
    }

    /// Begins the rush on all tokens of the run.
    pub fn rush(&self) -> Rush {
        self.crowd.revoke(&self.tokens, Duration::from_secs(self.plan.seconds))
    }

    /// The tokens that are revoked in this run.
    pub fn tokens(&self) -> &[(Token, String)] {
        &self.tokens
    }

    /// The tokens that the crowd does not revoke.
    pub fn controls(&self) -> &[(Token, String)] {
        &self.controls
    }

    /// Hands more tokens to every sentry.
    ///
    /// # Errors
    /// When one has ended.
    pub fn hand(&mut self, tokens: &[(Token, String)]) -> Result<(), Trouble> {
        self.sentries.iter_mut().try_for_each(|sentry| sentry.hand(tokens))
    }

    /// Hands out tokens that the scenario itself will end.
    ///
    /// # Errors
    /// As [`Stage::hand`].
    pub fn adopt(&mut self, tokens: &[(Token, String)]) -> Result<(), Trouble> {
        self.tokens.extend_from_slice(tokens);
        self.hand(tokens)
    }

    /// Runs `portcullis dr promote` over the books and notes that everything issued so far was asked to end;
    /// from the end of the command on, that is promised.
    ///
    /// # Errors
    /// When the command fails.
    pub fn promote(&mut self, server: &Server) -> Result<(), Trouble> {
        self.end_everything(server, &["dr", "promote", "--fenced"])
    }

    /// Runs a command that ends everything issued so far, and notes that it was asked for and promised.
    ///
    /// # Errors
    /// When the command fails.
    pub fn end_everything(&mut self, server: &Server, words: &[&str]) -> Result<(), Trouble> {
        let begun = now_ms();
        server.command(words)?;
        let ended = now_ms();
        let answers = self.tokens.iter().chain(&self.controls).map(|(token, _)| Answer {
            token: *token,
            begun,
            ended,
            status: Some(200),
            position: None,
        });
        self.history.answers.extend(answers);
        Ok(())
    }

    /// Waits until every sentry has applied the feed up to here.
    ///
    /// # Errors
    /// When one has not in time.
    pub fn wait_for(&self, seq: u64, time: Duration) -> Result<(), Trouble> {
        let started = Instant::now();
        while self.sentries.iter().any(|sentry| sentry.word().seq < seq) {
            if started.elapsed() > time {
                return Err(Trouble::broken(format!("not every guard has reached {seq}")));
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        Ok(())
    }

    /// Waits until the rush is over and everybody has had time, asks everybody about everything, and
    /// judges. `healed` is when the last thing was mended.
    ///
    /// # Errors
    /// When a guard does not open again, or its diary does not read.
    pub fn conclude(self, rush: Rush, healed: u64) -> Result<Report, Trouble> {
        self.conclude_with(rush, healed, |_| Vec::new())
    }

    /// [`Stage::conclude`], and asks for more that may be wrong with the history.
    ///
    /// # Errors
    /// As [`Stage::conclude`].
    pub fn conclude_with(
        mut self,
        rush: Rush,
        healed: u64,
        wrong: impl FnOnce(&History) -> Vec<String>,
    ) -> Result<Report, Trouble> {
        self.history.answers.extend(rush.finish(INSISTS));
        self.wait_until_open()?;
        std::thread::sleep(Duration::from_millis(self.plan.bound_ms));
        self.wait_until_open()?;
        self.history.judged_from = now_ms();
        self.let_pass();
        let acked = self.history.acked();
        let handed = self.tokens.iter().chain(&self.controls);
        let ended: Vec<_> = handed.filter(|(token, _)| acked.contains_key(token)).cloned().collect();
        self.history.active = self.crowd.introspect(&ended);
        self.history.standing = self.sentries.iter().map(|sentry| sentry.name().to_owned()).collect();
        for sentry in std::mem::take(&mut self.sentries) {
            self.history.decisions.extend(sentry.dismiss()?);
        }
        let mut report = Report::of(&self.history, healed);
        report.complaints.extend(self.complaints());
        report.complaints.extend(wrong(&self.history));
        Ok(report)
    }

    /// Waits until every sentry would accept something.
    ///
    /// # Errors
    /// When one does not in time.
    pub fn wait_until_open(&self) -> Result<(), Trouble> {
        let started = Instant::now();
        for sentry in &self.sentries {
            while !sentry.word().open {
                if started.elapsed() > OPENS_WITHIN {
                    return Err(Trouble::broken(format!("{} does not open", sentry.name())));
                }
                std::thread::sleep(Duration::from_millis(10));
            }
        }
        Ok(())
    }

    /// Waits long enough for every sentry to check every token, twice even when the machine is busy.
    pub fn let_pass(&self) {
        let checks = self.tokens.len() + self.controls.len();
        let pass = Duration::from_secs_f64(checks as f64 / f64::from(RATE));
        std::thread::sleep(pass * 4 + Duration::from_millis(700));
    }

    fn sentry(&mut self, base: &str, ways: &Ways, machine: Machine) -> Result<Sentry, Trouble> {
        self.started += 1;
        let name = format!("guard-{}", self.started);
        let mut sentry = Sentry::start(Post {
            program: self.plan.guard.clone(),
            machine,
            diary: self.home.join(format!("{name}.jsonl")),
            name,
            base: base.into(),
            ways: ways.clone(),
            issuer: self.settings.issuer.clone(),
            feed: self.settings.feed.name.clone(),
            bound_ms: self.plan.bound_ms,
            rate: RATE,
        })?;
        sentry.hand(&self.tokens)?;
        sentry.hand(&self.controls)?;
        Ok(sentry)
    }

    /// A run that saw nothing proves nothing.
    fn complaints(&self) -> Vec<String> {
        let mut complaints = Vec::new();
        let acked = self.history.acked();
        if acked.len() < self.tokens.len() {
            complaints.push(format!(
                "only {} of {} tokens were acknowledged",
                acked.len(),
                self.tokens.len()
            ));
        }
        for (guard, from, to) in &self.closed {
            let within = |d: &&Decision| d.guard == *guard && d.at >= *from && d.at < *to;
            let accepted =
                self.history.decisions.iter().filter(within).filter(|d| d.verdict == Verdict::Accepted);
            match accepted.count() {
                0 => {}
                some => complaints.push(format!("{guard} accepted {some} times when it could not know")),
            }
        }
        for guard in &self.history.standing {
            let mut mine = self.history.decisions.iter().filter(|d| d.guard == *guard);
            if !mine.any(|d| d.token >= CONTROLS && d.verdict == Verdict::Accepted) {
                complaints.push(format!("{guard} never accepted anything"));
            }
        }
        complaints
    }
}

/// How a sentry hears of the feed. Keys and time come from the server in any case.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ways {
    Http,
    /// Over the Redis at this address.
    Redis(String),
    Both(String),
}

/// The system's clock, set ahead or back by hand.
#[derive(Debug, Default)]
pub struct SteppedClock(AtomicI64);

impl SteppedClock {
    /// So many milliseconds ahead of the system's, or behind.
    pub fn step(&self, ms: i64) {
        self.0.store(ms, SeqCst);
    }
}

impl Clock for SteppedClock {
    fn now_ms(&self) -> u64 {
        SystemClock.now_ms().saturating_add_signed(self.0.load(SeqCst))
    }
}

fn settings(plan: &Plan, home: &Path, port: u16, issuer: &str, store: Option<&str>) -> Settings {
    let mut settings = Settings { issuer: issuer.into(), ..Settings::default() };
    settings.listen.port = port;
    settings.listen.workers = 2;
    settings.store.url =
        store.map_or_else(|| format!("sqlite:{}", home.join("books.db").display()), str::to_owned);
    settings.store.patience_ms = 2000;
    settings.keys.directory = home.join("keys");
    settings.passwords.memory_kib = 64;
    settings.passwords.iterations = 1;
    settings.feed.max_staleness_ms = plan.bound_ms;
    settings
}

fn make_keys(settings: &Settings) -> Result<(), Trouble> {
    let means = Means::system();
    let algorithms = ["ES256", "EdDSA", "RS256", "RS512", "PS256"].map(str::to_owned);
    let keys = KeyPlan { purpose: Purpose::Demo, region: &settings.keys.region, algorithms: &algorithms };
    KeyDirectory::create(&settings.keys.directory, &keys, &*means.clock, &*means.dice)
        .map(drop)
        .map_err(|e| Trouble::broken(e.why))
}

fn sow(settings: &Settings, seed: &str) -> Result<(), Trouble> {
    let means = Means::system();
    let runtime = runtime()?;
    runtime.block_on(async {
        let store = books::open(settings, &means).await.map_err(|e| Trouble::broken(e.why))?;
        books::sow(settings, &means, &store, seed).await.map(drop).map_err(Trouble::broken)
    })
}

/// For what a scenario does to the books itself.
///
/// # Errors
/// When no threads can be had.
pub fn runtime() -> Result<tokio::runtime::Runtime, Trouble> {
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .map_err(Trouble::broken)
}
