//! How fast an end is known everywhere: from the answered revocation to the refusal at 1 to 1,000 guards,
//! each following the real server with its own connections and threads, as separate services would, over
//! HTTP and over Redis. Then a flood of records, and how a guard starts behind it (`flood.rs`).

use std::sync::Arc;
use std::time::{Duration, Instant};

use portcullis_guard::feed::{
    Freshness, HttpConfig, HttpFeed, MAX_STALENESS, RedisConfig, RedisFeed, Sink, Trust, View,
};
use portcullis_guard::{Denied, Guard, KeySet, Policy};
use tokio::runtime::{Builder, Runtime};

use crate::child::Child;
use crate::redis::Redis;
use crate::table::{self, figure};
use crate::town::{self, FEED, GUARD, Town};
use crate::wire::form;
use crate::{Outcome, flood, herd};

/// How many guards at a time, and how many revocations are watched by so many. Of too few, p99 would be the
/// worst of them: the one that met the beat.
const CROWDS: [(usize, usize); 4] = [(1, 100), (10, 100), (100, 100), (1000, 20)];
/// Between two of them, so that each meets guards that wait and not guards that are busy.
const PAUSE: Duration = Duration::from_millis(70);
/// How long we sleep between two looks at the guards that still accept.
const GLANCE: Duration = Duration::from_micros(200);
/// A guard that has not refused by now never will.
const PATIENCE: Duration = Duration::from_secs(20);

/// Measures everything, or one part of it (`http`, `redis`, `records`), and prints the tables.
pub fn run(part: &str) -> Outcome<()> {
    let asked = |name| part.is_empty() || part == name;
    if asked("http") {
        over(&Road::Http)?;
    }
    if asked("redis") {
        match Redis::start()? {
            Some(redis) => over(&Road::Redis(redis.url()))?,
            None => {
                println!("\nThere is no redis-server on this machine, so nothing was measured over Redis.")
            }
        }
    }
    if asked("records") {
        flood::run(&Town::found()?)?;
    }
    Ok(())
}

/// How records travel.
pub enum Road {
    Http,
    /// With the address of a Redis.
    Redis(String),
}

fn over(road: &Road) -> Outcome<()> {
    let runtime = Builder::new_current_thread().enable_all().build()?;
    let town = Town::found()?;
    let (server, name) = match road {
        Road::Http => (town.server()?, "HTTP"),
        Road::Redis(url) => (town.server_with(&[("PORTCULLIS__REDIS__URL", url)])?, "Redis"),
    };
    let told = std::env::var("BENCH_GUARDS").ok().and_then(|text| text.parse::<usize>().ok());
    let crowds = CROWDS.iter().filter(|(crowd, _)| told.is_none_or(|told| told == *crowd));
    let rows = crowds
        .map(|(crowd, ends)| watch(&runtime, &server, road, *crowd, *ends))
        .collect::<Outcome<Vec<_>>>()?;
    let heads = [
        "guards",
        "revocations",
        "p50",
        "p99",
        "max",
        "all of them, p50",
        "floor p50",
        "floor p99",
        "p99 × floor",
        "all live within s",
        "server threads",
    ];
    let title = format!("From the answered revocation to the refusal over {name}, ms");
    table::print(&title, &heads, &rows);
    Ok(())
}

/// Follows until it is dropped.
enum Feed {
    Http(#[expect(dead_code, reason = "kept, because it follows until it is dropped")] HttpFeed),
    Redis(#[expect(dead_code, reason = "kept, because it follows until it is dropped")] RedisFeed),
}

/// A guard with its feed.
pub struct Post {
    pub guard: Guard,
    pub view: Arc<View>,
    _feed: Feed,
}

impl Post {
    /// A guard that keeps few tokens and follows the server.
    pub fn at(server: &Child, road: &Road) -> Outcome<Self> {
        let (issuer, (name, secret)) = (town::issuer(server), GUARD);
        let view = Arc::new(View::new(FEED, MAX_STALENESS));
        let told = Guard::builder().issuer(&issuer).audience("commerce-api").tokens_kept(16);
        let guard = told.shared_revocations(view.clone()).build()?;
        let config = HttpConfig::new(issuer, name, secret);
        let sink = Arc::new(Delivery(guard.clone()));
        let feed = match road {
            Road::Http => Feed::Http(HttpFeed::start(config, view.clone(), sink)?),
            Road::Redis(url) => {
                let config =
                    RedisConfig { url: url.clone(), authorities: None, trust: Trust::Issuer(config) };
                Feed::Redis(RedisFeed::start(config, view.clone(), sink)?)
            }
        };
        Ok(Self { guard, view, _feed: feed })
    }

    /// Waits until it is live and has the keys.
    pub fn wait(&self) -> Outcome<()> {
        self.wait_for(PATIENCE)
    }

    /// The same with more patience, or less.
    pub fn wait_for(&self, patience: Duration) -> Outcome<()> {
        let until = Instant::now() + patience;
        while self.view.freshness_now() != Freshness::Live || self.guard.keys().is_empty() {
            if Instant::now() > until {
                return Err(format!("a guard did not become live: {:?}", self.view.freshness_now()).into());
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
fn watch(runtime: &Runtime, server: &Child, road: &Road, crowd: usize, ends: usize) -> Outcome<Vec<String>> {
    eprintln!("{crowd} guards");
    let mut floor = herd::stampede(crowd, ends)?;
    let began = Instant::now();
    let posts = (0..crowd).map(|_| Post::at(server, road)).collect::<Outcome<Vec<_>>>()?;
    posts.iter().try_for_each(Post::wait)?;
    let live = began.elapsed();
    let (mut each, mut last) = (Vec::new(), Vec::new());
    for _ in 0..ends {
        let refusals = runtime.block_on(end_one(server, &posts))?;
        last.extend(refusals.iter().copied().max());
        each.extend(refusals);
        std::thread::sleep(PAUSE);
    }
    let threads = server.threads()?;
    // A feed that is dropped waits a moment for its threads; a thousand moments one after another are long.
    std::thread::scope(|scope| posts.into_iter().for_each(|post| drop(scope.spawn(move || drop(post)))));
    each.sort_unstable();
    last.sort_unstable();
    floor.sort_unstable();
    let ms = |times: &[Duration], share: f64| figure(at(times, share).as_secs_f64() * 1e3);
    Ok(vec![
        crowd.to_string(),
        ends.to_string(),
        ms(&each, 0.5),
        ms(&each, 0.99),
        ms(&each, 1.0),
        ms(&last, 0.5),
        ms(&floor, 0.5),
        ms(&floor, 0.99),
        figure(at(&each, 0.99).as_secs_f64() / at(&floor, 0.99).as_secs_f64()),
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
    let known = posts.iter().map(|post| (post, post.view.version()));
    let (mut waiting, mut refusals): (Vec<_>, _) = (known.collect(), Vec::new());
    let fields = [("client_id", "backend"), ("client_secret", town::SECRET), ("token", token.as_str())];
    town::ask(server, &form("/oauth/revoke", &fields)).await?;
    let answered = Instant::now();
    while !waiting.is_empty() {
        // Where nothing was heard yet the check would say so too, and take the time of those who are to hear.
        waiting.retain(|(post, version)| {
            let refused = post.view.version() != *version
                && matches!(post.guard.authenticate(&token), Err(Denied::Revoked(_)));
            if refused {
                refusals.push(answered.elapsed());
            }
            !refused
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
