//! A guard as a process of its own, for `faults`: follows a feed, checks every token that it is given over
//! and over, and writes down each decision. It is told things on standard input, a line each, and ends when
//! that ends:
//!
//! ```text
//! token <number> <jwt>     check this one too
//! clock <milliseconds>     the machine's clock has been set so far ahead, or back
//! ```
//!
//! On standard output it says ten times a second how it is.
#![forbid(unsafe_code)]

use std::io::{self, BufRead};
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::atomic::{AtomicI64, Ordering::SeqCst};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use clap::Parser;
use portcullis_guard::feed::clock::Reading;
use portcullis_guard::feed::{Freshness, HttpConfig, HttpFeed, RedisConfig, RedisFeed, Sink, Trust, View};
use portcullis_guard::{Access, Denied, Environment, Guard, KeySet, Policy, Revocations, Verdict};
use portcullis_tests::faults::diary::{Diary, Steady, Word};
use portcullis_tests::faults::history::{self, Decision, Token};

/// Checks between two pauses.
const BITE: usize = 32;
/// How often it says how it is.
const WORD_EVERY: Duration = Duration::from_millis(100);

/// A guard under test.
#[derive(Debug, Parser)]
struct Told {
    /// The name of this process in the diary.
    #[arg(long)]
    name: String,
    /// Where the feed is.
    #[arg(long)]
    base: String,
    /// Where the feed is as well.
    #[arg(long)]
    redis: Option<String>,
    /// Follow only that one; keys and time come from the server still.
    #[arg(long)]
    redis_alone: bool,
    #[arg(long)]
    issuer: String,
    #[arg(long)]
    account: String,
    #[arg(long)]
    secret: String,
    #[arg(long)]
    feed: String,
    #[arg(long)]
    bound_ms: u64,
    /// Decisions a second, about.
    #[arg(long)]
    rate: u32,
    #[arg(long)]
    diary: PathBuf,
}

fn main() -> ExitCode {
    match watch(&Told::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(why) => {
            eprintln!("faults-guard: {why}");
            ExitCode::FAILURE
        }
    }
}

/// What lines on standard input have told.
#[derive(Default)]
struct Orders {
    tokens: Mutex<Vec<(Token, Arc<str>)>>,
    over: Mutex<bool>,
}

fn watch(told: &Told) -> io::Result<()> {
    let view = Arc::new(View::new(&told.feed, Duration::from_millis(told.bound_ms)));
    let step = Arc::new(AtomicI64::new(0));
    let clock = step.clone();
    let guard = Guard::builder()
        .issuer(&told.issuer)
        .audience("commerce-api")
        .environment(Environment::Any)
        .revocations(Stepped { view: view.clone(), step: step.clone() })
        .clock(Arc::new(move || stepped(&clock).wall_ms))
        .build()
        .map_err(io::Error::other)?;
    let config = HttpConfig::new(&told.issuer, &told.account, &told.secret).base(&told.base);
    let delivery = Arc::new(Delivery(guard.clone()));
    let redis = told.redis.as_ref().map(|url| {
        let config =
            RedisConfig { url: url.clone(), authorities: None, trust: Trust::Issuer(config.clone()) };
        RedisFeed::start(config, view.clone(), delivery.clone())
    });
    let _redis = redis.transpose()?;
    let alone = told.redis_alone;
    let _http = (!alone).then(|| HttpFeed::start(config, view.clone(), delivery)).transpose()?;
    let orders = Arc::new(Orders::default());
    let (heard, dial) = (orders.clone(), step.clone());
    std::thread::spawn(move || listen(&heard, &dial));
    let mut diary = Diary::create(&told.diary)?;
    let pause = Duration::from_secs(1) * u32::try_from(BITE).unwrap_or(1) / told.rate.max(1);
    let steady = Steady::begin();
    let (mut said, mut at) = (Instant::now(), 0);
    while !*lock(&orders.over) {
        let bite = bite(&orders, &mut at);
        for (token, text) in &bite {
            diary.write(&decide(told, &guard, &view, &steady, &step, *token, text))?;
        }
        if said.elapsed() >= WORD_EVERY {
            said = Instant::now();
            diary.flush()?;
            let word =
                Word { open: is_fresh(&view), complete: view.as_of_ms() > 0, seq: view.position().seq };
            word.say(&mut io::stdout().lock())?;
        }
        std::thread::sleep(pause);
    }
    diary.flush()
}

fn decide(
    told: &Told,
    guard: &Guard,
    view: &View,
    steady: &Steady,
    step: &AtomicI64,
    token: Token,
    text: &str,
) -> Decision {
    // Both before the check, so that no pause of this process can make a good decision look late.
    let (at, wall) = (steady.now_ms(), stepped(step).wall_ms);
    let verdict = match guard.authenticate(text) {
        Ok(_) => history::Verdict::Accepted,
        Err(Denied::Revoked(_)) => history::Verdict::Revoked,
        Err(Denied::Stale) => history::Verdict::Stale,
        Err(Denied::Expired) => history::Verdict::Expired,
        Err(Denied::UnknownKey) => history::Verdict::KeyGone,
        Err(_) => history::Verdict::Other,
    };
    // After it, so that a guard which became complete in between is not accused.
    let cold = view.as_of_ms() == 0;
    Decision { guard: told.name.clone(), token, at, wall, verdict, cold }
}

/// The next few tokens, round and round.
fn bite(orders: &Orders, at: &mut usize) -> Vec<(Token, Arc<str>)> {
    let tokens = lock(&orders.tokens);
    let from = if *at < tokens.len() { *at } else { 0 };
    let bite: Vec<_> = tokens.iter().skip(from).take(BITE).cloned().collect();
    *at = from + bite.len();
    bite
}

fn listen(orders: &Orders, step: &AtomicI64) {
    for line in io::stdin().lock().lines().map_while(Result::ok) {
        let mut words = line.split(' ');
        match (words.next(), words.next(), words.next()) {
            (Some("token"), Some(number), Some(text)) => {
                if let Ok(number) = number.parse() {
                    lock(&orders.tokens).push((number, text.into()));
                }
            }
            (Some("clock"), Some(ms), None) => {
                if let Ok(ms) = ms.parse() {
                    step.store(ms, SeqCst);
                }
            }
            _ => eprintln!("faults-guard: not understood: {line}"),
        }
    }
    *lock(&orders.over) = true;
}

/// The view, asked by a machine whose wall clock was set.
struct Stepped {
    view: Arc<View>,
    step: Arc<AtomicI64>,
}

impl Revocations for Stepped {
    fn verdict(&self, token: &Access, now_ms: u64) -> Verdict {
        if self.step.load(SeqCst) == 0 {
            return self.view.verdict(token, now_ms);
        }
        // Freshness before the look into the table, as the view does it.
        let freshness = self.view.freshness(self.view.clock().latest_at(&stepped(&self.step)));
        match (self.view.ended(token.key_id(), token.claims()), freshness) {
            (_, Freshness::Cold) => Verdict::Stale,
            (Some(kind), _) => Verdict::Ended(kind),
            (None, Freshness::Stale) => Verdict::Stale,
            (None, Freshness::Live | Freshness::Lagging) => Verdict::Live,
        }
    }

    fn not_before_ms(&self) -> u64 {
        self.view.not_before_ms()
    }

    fn version(&self) -> Option<u64> {
        (self.step.load(SeqCst) == 0).then(|| self.view.version())
    }

    fn unchanged(&self, version: u64, now_ms: u64) -> bool {
        self.step.load(SeqCst) == 0 && self.view.unchanged(version, now_ms)
    }
}

fn stepped(step: &AtomicI64) -> Reading {
    let now = Reading::now();
    Reading { wall_ms: now.wall_ms.saturating_add_signed(step.load(SeqCst)), ..now }
}

fn is_fresh(view: &View) -> bool {
    matches!(view.freshness_now(), Freshness::Live | Freshness::Lagging)
}

struct Delivery(Guard);

impl Sink for Delivery {
    fn keys(&self, jwks: &str) {
        match KeySet::from_jwks(jwks) {
            Ok(keys) => _ = self.0.replace_keys(keys),
            Err(why) => eprintln!("faults-guard: the key set cannot be used: {why}"),
        }
    }

    fn policy(&self, json: &str) {
        match Policy::from_json(json) {
            Ok(policy) => self.0.replace_policy(policy),
            Err(why) => eprintln!("faults-guard: the policy cannot be used: {why}"),
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
