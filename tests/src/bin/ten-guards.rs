//! Shows what the feed does: a server, ten guards that follow it, one revocation and how long each guard
//! took; then the feed is cut, and each guard closes when its bound is reached.
#![forbid(unsafe_code)]

use std::process::ExitCode;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use clap::Parser;
use portcullis_guard::feed::{HttpConfig, HttpFeed, Sink, View};
use portcullis_guard::{Denied, Environment, Guard, KeySet};
use portcullis_tests::faults::crowd::{agent, machine};
use portcullis_tests::faults::link::{Link, Weather};
use portcullis_tests::faults::stage::{CLIENT, CLIENT_SECRET, Stage};
use portcullis_tests::faults::{Plan, Trouble};

/// How often a guard that is watched is asked.
const GLANCE: Duration = Duration::from_micros(200);
const OPENS_WITHIN: Duration = Duration::from_secs(10);

/// Ten guards, one revocation, and what happens when the feed is cut.
#[derive(Debug, Parser)]
struct Told {
    /// How many guards.
    #[arg(long, default_value_t = 10)]
    guards: usize,
    /// The guards' bound on staleness, milliseconds.
    #[arg(long, default_value_t = 3000)]
    bound_ms: u64,
}

fn main() -> ExitCode {
    match show(&Told::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(Trouble::Broken(why) | Trouble::CannotRun(why)) => {
            eprintln!("ten-guards: {why}");
            ExitCode::FAILURE
        }
    }
}

/// A guard that follows the feed in this process.
struct Watch {
    name: String,
    guard: Guard,
    feed: HttpFeed,
}

fn show(told: &Told) -> Result<(), Trouble> {
    let home = std::env::temp_dir().join(format!("portcullis-ten-guards-{}", std::process::id()));
    let names: Vec<_> = (1..=told.guards).map(|n| format!("guard-{n:02}")).collect();
    let seed: String = names
        .iter()
        .map(|name| format!("[[guards]]\nid = \"{name}\"\nsecret = \"{name}-secret\"\n"))
        .collect();
    let plan = Plan {
        server: "portcullis".into(),
        guard: "faults-guard".into(),
        home: home.clone(),
        seconds: 0,
        tokens: 0,
        bound_ms: told.bound_ms,
        seed: 0,
    };
    let stage = Stage::set(&plan, "stage", None, &seed)?;
    let (server, _) = stage.server_inside()?;
    let link = Link::open(stage.upstream()).map_err(Trouble::broken)?;
    let watches = names.iter().map(|name| watch(&stage, &link, name)).collect::<Result<Vec<_>, Trouble>>()?;
    for watch in &watches {
        if !watch.feed.wait_until_live(OPENS_WITHIN) {
            return Err(Trouble::broken(format!("{} does not open", watch.name)));
        }
    }
    let (first, second) =
        (stage.crowd.token(&agent(), &machine())?, stage.crowd.token(&agent(), &machine())?);
    revoke(&stage, &watches, &first)?;
    cut(told, &link, &watches, &second)?;
    drop(watches);
    server.stop().map_err(|e| Trouble::broken(e.why))?;
    // What stays behind is a directory of temporary files.
    let _ = std::fs::remove_dir_all(home);
    Ok(())
}

/// One revocation: milliseconds from the answer until each guard refuses; below zero, the guard was faster
/// than the answer.
fn revoke(stage: &Stage, watches: &[Watch], token: &str) -> Result<(), Trouble> {
    println!("{} guards follow the feed and accept a token. It is revoked once.\n", watches.len());
    thread::scope(|scope| {
        let asked: Vec<_> =
            watches.iter().map(|watch| scope.spawn(|| until(watch, token, is_revoked))).collect();
        let form = [("client_id", CLIENT), ("client_secret", CLIENT_SECRET), ("token", token)];
        let sent = Instant::now();
        let answer = agent().post(format!("{}/oauth/revoke", stage.settings.issuer)).send_form(form);
        let answered = Instant::now();
        let answer = answer.map_err(Trouble::broken)?;
        let position = answer.headers().get("revocation-position").and_then(|value| value.to_str().ok());
        println!(
            "  POST /oauth/revoke: {} after {:.1} ms, position {}",
            answer.status().as_u16(),
            ms(answered - sent),
            position.unwrap_or("unknown")
        );
        for (watch, asked) in watches.iter().zip(asked) {
            let refused = asked.join().map_err(|_| Trouble::broken("a watch panicked"))??;
            println!("  {}  refused {:+7.1} ms after the answer", watch.name, signed_ms(answered, refused));
        }
        Ok(())
    })
}

/// The feed is cut: each guard goes on until its bound, and then refuses what it cannot know.
fn cut(told: &Told, link: &Link, watches: &[Watch], token: &str) -> Result<(), Trouble> {
    println!("\nThe feed is cut. No guard may accept longer than {} ms.\n", told.bound_ms);
    thread::scope(|scope| {
        let at = Instant::now();
        link.set(Weather::Cut);
        let closed: Vec<_> =
            watches.iter().map(|watch| scope.spawn(|| until(watch, token, is_stale))).collect();
        for (watch, closed) in watches.iter().zip(closed) {
            let closed = closed.join().map_err(|_| Trouble::broken("a watch panicked"))??;
            println!(
                "  {}  closed {:7.1} ms after the cut: it answers 503 and not 401",
                watch.name,
                signed_ms(at, closed)
            );
        }
        link.set(Weather::Fair);
        let at = Instant::now();
        let open: Vec<_> =
            watches.iter().map(|watch| scope.spawn(|| until(watch, token, Result::is_ok))).collect();
        let mut last = Duration::ZERO;
        for open in open {
            let open = open.join().map_err(|_| Trouble::broken("a watch panicked"))??;
            last = last.max(open - at);
        }
        println!("\nThe feed is mended. All of them are open again after {:.0} ms.", ms(last));
        Ok(())
    })
}

type Answer = Result<portcullis_guard::Access, Denied>;

/// When the guard first answers like this.
fn until(watch: &Watch, token: &str, like: impl Fn(&Answer) -> bool) -> Result<Instant, Trouble> {
    let started = Instant::now();
    loop {
        let answer = watch.guard.authenticate(token);
        let now = Instant::now();
        if like(&answer) {
            return Ok(now);
        }
        if started.elapsed() > OPENS_WITHIN * 2 {
            return Err(Trouble::broken(format!("{} says {answer:?}", watch.name)));
        }
        thread::sleep(GLANCE);
    }
}

fn is_revoked(answer: &Answer) -> bool {
    matches!(answer, Err(Denied::Revoked(_)))
}

fn is_stale(answer: &Answer) -> bool {
    matches!(answer, Err(Denied::Stale))
}

fn watch(stage: &Stage, link: &Link, name: &str) -> Result<Watch, Trouble> {
    let feed = &stage.settings.feed;
    let view = Arc::new(View::new(&feed.name, Duration::from_millis(feed.max_staleness_ms)));
    let guard = Guard::builder()
        .issuer(&stage.settings.issuer)
        .audience("commerce-api")
        .environment(Environment::Any)
        .shared_revocations(view.clone())
        .build()
        .map_err(Trouble::broken)?;
    let secret = format!("{name}-secret");
    let config = HttpConfig::new(&stage.settings.issuer, name, &secret).base(link.url());
    let feed = HttpFeed::start(config, view, Arc::new(Delivery(guard.clone()))).map_err(Trouble::broken)?;
    Ok(Watch { name: name.into(), guard, feed })
}

struct Delivery(Guard);

impl Sink for Delivery {
    fn keys(&self, jwks: &str) {
        if let Ok(keys) = KeySet::from_jwks(jwks) {
            self.0.replace_keys(keys);
        }
    }

    fn policy(&self, _: &str) {}
}

fn ms(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1000.0
}

/// From one moment to another, below zero when it was the other way round.
fn signed_ms(from: Instant, to: Instant) -> f64 {
    ms(to.saturating_duration_since(from)) - ms(from.saturating_duration_since(to))
}
