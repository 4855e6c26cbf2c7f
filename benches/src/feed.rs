//! How fast an end is known everywhere: from the answered revocation to the refusal at 1 to 1,000 guards,
//! each following the real server over HTTP with its own connections and threads, as separate services
//! would. Then a flood of records, and how a guard starts behind it (`flood.rs`).

use std::sync::Arc;
use std::time::{Duration, Instant};

use portcullis_guard::feed::{Freshness, HttpConfig, HttpFeed, MAX_STALENESS, Sink, View};
use portcullis_guard::{Denied, Guard, KeySet, Policy};
use tokio::runtime::{Builder, Runtime};

use crate::child::Child;
use crate::table::{self, figure};
use crate::town::{self, FEED, GUARD, Town};
use crate::wire::form;
use crate::{Outcome, flood};

/// How many guards at a time.
const CROWDS: [usize; 4] = [1, 10, 100, 1000];
/// Revocations that are watched for each crowd.
const ENDS: usize = 30;
/// Between two of them, so that each meets guards that wait and not guards that are busy.
const PAUSE: Duration = Duration::from_millis(70);
/// How long we sleep between two looks at the guards that still accept.
const GLANCE: Duration = Duration::from_micros(200);
/// A guard that has not refused by now never will.
const PATIENCE: Duration = Duration::from_secs(20);

/// Measures everything and prints the tables.
pub fn run() -> Outcome<()> {
    let runtime = Builder::new_current_thread().enable_all().build()?;
    let town = Town::found()?;
    let server = town.server()?;
    let mut rows = Vec::new();
    for crowd in CROWDS {
        rows.push(watch(&runtime, &server, crowd)?);
    }
    let heads =
        ["guards over HTTP", "p50", "p99", "max", "all of them, p50", "live within s", "server threads"];
    table::print(
        &format!("From the answered revocation to the refusal, ms ({ENDS} revocations)"),
        &heads,
        &rows,
    );
    drop(server);
    flood::run(&town)
}

/// A guard with its feed.
pub struct Post {
    pub guard: Guard,
    pub view: Arc<View>,
    feed: HttpFeed,
}

impl Post {
    /// A guard that keeps few tokens and follows the server.
    pub fn at(server: &Child) -> Outcome<Self> {
        let (issuer, (name, secret)) = (town::issuer(server), GUARD);
        let view = Arc::new(View::new(FEED, MAX_STALENESS));
        let told = Guard::builder().issuer(&issuer).audience("commerce-api").tokens_kept(16);
        let guard = told.shared_revocations(view.clone()).build()?;
        let config = HttpConfig::new(issuer, name, secret);
        let feed = HttpFeed::start(config, view.clone(), Arc::new(Delivery(guard.clone())))?;
        Ok(Self { guard, view, feed })
    }

    /// Waits until it is live and has the keys.
    pub fn wait(&self) -> Outcome<()> {
        let until = Instant::now() + PATIENCE;
        while self.view.freshness_now() != Freshness::Live || self.guard.keys().is_empty() {
            if Instant::now() > until {
                return Err(format!("a guard did not become live: {:?}", self.feed.counts()).into());
            }
            std::thread::sleep(GLANCE);
        }
        Ok(())
    }
}

/// Hands keys and policy to the guard; what cannot be read shows when the guard refuses everything.
struct Delivery(Guard);

impl Sink for Delivery {
    fn keys(&self, jwks: &str) {
        if let Ok(keys) = KeySet::from_jwks(jwks) {
            self.0.replace_keys(keys);
        }
    }

    fn policy(&self, json: &str) {
        if let Ok(policy) = Policy::from_json(json) {
            self.0.replace_policy(policy);
        }
    }
}

/// One row: so many guards, and how long each took to refuse.
fn watch(runtime: &Runtime, server: &Child, crowd: usize) -> Outcome<Vec<String>> {
    let began = Instant::now();
    let posts = (0..crowd).map(|_| Post::at(server)).collect::<Outcome<Vec<_>>>()?;
    posts.iter().try_for_each(Post::wait)?;
    let live = began.elapsed();
    let (mut each, mut last) = (Vec::new(), Vec::new());
    for _ in 0..ENDS {
        let refusals = runtime.block_on(end_one(server, &posts))?;
        last.extend(refusals.iter().copied().max());
        each.extend(refusals);
        std::thread::sleep(PAUSE);
    }
    let threads = server.threads()?;
    each.sort_unstable();
    last.sort_unstable();
    let ms = |times: &[Duration], share: f64| figure(at(times, share).as_secs_f64() * 1e3);
    Ok(vec![
        crowd.to_string(),
        ms(&each, 0.5),
        ms(&each, 0.99),
        ms(&each, 1.0),
        ms(&last, 0.5),
        figure(live.as_secs_f64()),
        threads.to_string(),
    ])
}

/// Ends a token that every guard has just accepted, and says how long after the answer each refused it. A
/// guard that heard of it before the answer came back counts as zero.
async fn end_one(server: &Child, posts: &[Post]) -> Outcome<Vec<Duration>> {
    let token = town::token(server, "backend").await?;
    for post in posts {
        post.guard.authenticate(&token).map_err(|why| format!("a good token was refused: {why}"))?;
    }
    let fields = [("client_id", "backend"), ("client_secret", town::SECRET), ("token", token.as_str())];
    town::ask(server, &form("/oauth/revoke", &fields)).await?;
    let answered = Instant::now();
    let (mut waiting, mut refusals): (Vec<&Post>, _) = (posts.iter().collect(), Vec::new());
    while !waiting.is_empty() {
        waiting.retain(|post| match post.guard.authenticate(&token) {
            Err(Denied::Revoked(_)) => {
                refusals.push(answered.elapsed());
                false
            }
            _ => true,
        });
        if answered.elapsed() > PATIENCE {
            return Err(format!("{} guards never refused", waiting.len()).into());
        }
        std::thread::sleep(if waiting.is_empty() { Duration::ZERO } else { GLANCE });
    }
    Ok(refusals)
}

/// The value below which this share of the sorted times lies.
fn at(sorted: &[Duration], share: f64) -> Duration {
    let place = (sorted.len() as f64 * share).ceil() as usize;
    sorted.get(place.saturating_sub(1)).copied().unwrap_or_default()
}
