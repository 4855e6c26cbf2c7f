//! `/status`: how this server and what it leans on are, on one screen. Everything is looked up when it is asked.

use portcullis_authority::keyring::KeyState;
use portcullis_authority::ledger::Survey as _;
use portcullis_authority::operators::{Denial, StaffBook as _};
use schemars::JsonSchema;
use serde::Serialize;

use super::call::Visit;
use super::route::{Answer, Method, Route, SEEING, json, shape};

/// More dead letters than this are said to be this many.
const MOST_LETTERS: usize = 1000;

pub const ROUTES: &[Route] =
    &[Route::new(Method::Get, "/status", SEEING, "Says how the server is, on one screen.", |visit| {
        Box::pin(show(visit))
    })
    .answers(shape::<Status>)];

/// How things are, as of a moment.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "Status")]
struct Status {
    as_of: u64,
    version: &'static str,
    issuer: String,
    /// Seconds that the server which answers has run.
    uptime: u64,
    /// It is about to stop and takes no more work.
    leaving: bool,
    books: Books,
    /// Absent without Redis.
    redis: Option<Carrier>,
    feed: Feed,
    guards: Guards,
    keys: Vec<Key>,
    duties: Duties,
    audit: Log,
    /// Safety settings that protect less than their defaults, as `name = value`.
    lowered: Vec<String>,
}

/// The database.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "StatusBooks")]
struct Books {
    /// `sqlite` or `postgresql`.
    kind: &'static str,
    connections_in_use: usize,
    connections_most: usize,
    /// Who waits for a connection.
    waiting: usize,
}

/// What carries the feed to guards faster.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "StatusRedis")]
struct Carrier {
    up: bool,
    /// Records that it has not taken yet.
    behind: u64,
}

#[derive(Serialize, JsonSchema)]
#[schemars(rename = "StatusFeed")]
struct Feed {
    name: String,
    epoch: u64,
    seq: u64,
    /// Milliseconds since its newest record.
    age_ms: u64,
    /// The database tells another history than before; see docs/revocation.md.
    alarm: bool,
}

/// Guards that have reported within the hour.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "StatusGuards")]
struct Guards {
    live: usize,
    /// They still accept, and have heard nothing for half of the bound.
    behind: usize,
    /// They accept nothing.
    stale: usize,
}

/// A key that signs.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "StatusKey")]
struct Key {
    kid: String,
    algorithm: String,
    since: u64,
    /// When the next one signs; absent where people rotate.
    until: Option<u64>,
}

/// What waits for somebody.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "StatusDuties")]
struct Duties {
    open_proposals: usize,
    open_invitations: usize,
    /// Glass that was broken and that nobody else has looked at.
    broken_glass: usize,
    /// Bundles of audit records that a destination would not take; 1000 stands for more.
    dead_letters: usize,
}

#[derive(Serialize, JsonSchema)]
#[schemars(rename = "StatusAudit")]
struct Log {
    /// The newest row.
    head: u64,
    /// The newest row that the server has signed for.
    checkpoint: Option<u64>,
    /// Seconds since then.
    checkpoint_age: Option<u64>,
}

async fn show(visit: Visit) -> Answer {
    let (settings, now) = (visit.lodge.settings(), visit.now());
    json(&Status {
        as_of: now,
        version: env!("CARGO_PKG_VERSION"),
        issuer: settings.issuer.clone(),
        uptime: now.saturating_sub(visit.lodge.began),
        leaving: visit.lodge.house.departure.has_begun(),
        books: books(&visit),
        redis: carrier(&visit),
        feed: feed(&visit),
        guards: guards(&visit),
        keys: keys(&visit).await?,
        duties: duties(&visit).await?,
        audit: log(&visit).await?,
        lowered: settings.lowered(),
    })
}

fn books(visit: &Visit) -> Books {
    let pool = visit.store().pool();
    let postgres = visit.lodge.settings().store.url.starts_with("postgres");
    Books {
        kind: if postgres { "postgresql" } else { "sqlite" },
        connections_in_use: pool.in_use,
        connections_most: pool.most,
        waiting: pool.waiting,
    }
}

fn carrier(visit: &Visit) -> Option<Carrier> {
    let carried = visit.lodge.house.hub.carried()?;
    let head = visit.lodge.house.hub.position();
    let taken = if carried.to.epoch == head.epoch { carried.to.seq } else { 0 };
    Some(Carrier { up: carried.up, behind: head.seq.saturating_sub(taken) })
}

fn feed(visit: &Visit) -> Feed {
    let hub = &visit.lodge.house.hub;
    let head = hub.position();
    Feed {
        name: hub.feed().to_owned(),
        epoch: head.epoch,
        seq: head.seq,
        age_ms: hub.age_ms(),
        alarm: hub.view().is_forked(),
    }
}

fn guards(visit: &Visit) -> Guards {
    let hub = &visit.lodge.house.hub;
    let (now, bound, all) = (hub.time_ms(), hub.max_staleness_ms(), hub.reports.all());
    let count = |word| all.iter().filter(|guard| guard.standing(now, bound) == word).count();
    Guards { live: count("live"), behind: count("behind"), stale: count("stale") }
}

async fn keys(visit: &Visit) -> Result<Vec<Key>, Denial> {
    let every = u64::from(visit.lodge.settings().keys.rotate_every);
    let chain = visit.store().key_chain().await?;
    let signing = chain.keys.into_iter().filter(|key| key.state == KeyState::Active);
    Ok(signing
        .map(|key| Key {
            until: (every > 0).then(|| key.since.saturating_add(every)),
            kid: key.kid,
            algorithm: key.algorithm,
            since: key.since,
        })
        .collect())
}

async fn duties(visit: &Visit) -> Result<Duties, Denial> {
    let (open, broken) =
        visit.order(async |room| (room.proposals(true).await, room.broken_glass().await)).await;
    Ok(Duties {
        open_proposals: open?.len(),
        open_invitations: visit.store().invitations(visit.now()).await?.len(),
        broken_glass: broken?.len(),
        dead_letters: visit.store().dead_letters(None, MOST_LETTERS).await?.len(),
    })
}

async fn log(visit: &Visit) -> Result<Log, Denial> {
    let newest = visit.store().newest_checkpoint().await?;
    Ok(Log {
        head: visit.store().audit_head().await?.seq,
        checkpoint: newest.as_ref().map(|it| it.seq),
        checkpoint_age: newest.map(|it| visit.now().saturating_sub(it.at)),
    })
}
