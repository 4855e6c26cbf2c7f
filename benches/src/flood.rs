//! Many records: how many a second go through the real books and out to a guard, and how a guard and a
//! server start when there are a million of them, or `BENCH_RECORDS`.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use portcullis_authority::ledger::{Act, AuditRecord, Deed, Ledger as _};
use portcullis_store::{Store, StoreSettings};
use tokio::runtime::Builder;

use crate::Outcome;
use crate::child::{Child, resident};
use crate::feed::{Post, Road};
use crate::redis::Redis;
use crate::table::{self, figure};
use crate::town::{FEED, Town};

/// Live records, unless `BENCH_RECORDS` says otherwise.
const RECORDS: u64 = 1_000_000;
/// Callers that end tokens at the same time.
const CALLERS: u64 = 1024;
/// A guard that is further behind than this has lost the feed.
const PATIENCE: Duration = Duration::from_secs(600);

/// Measures and prints the table.
pub fn run(town: &Town) -> Outcome<()> {
    let told = std::env::var("BENCH_RECORDS").ok().and_then(|text| text.parse().ok());
    let records: u64 = told.unwrap_or(RECORDS);
    let (written, known) = {
        let server = town.server()?;
        let post = Post::at(&server, &Road::Http)?;
        post.wait()?;
        pour(town, &post, records)?
    };
    let began = Instant::now();
    let server = town.server()?;
    let opened = began.elapsed();
    let start = start(&server, records, &Road::Http)?;
    let resident = server.resident()?;
    drop(server);
    let carried = carried(town, records)?;
    let per_second = |lasted: Duration| figure(records as f64 / lasted.as_secs_f64());
    let rows = [
        ("records a second into the books, audit included", per_second(written)),
        ("records a second, until a following guard has them all", per_second(known)),
        ("server: from start to ready, s", figure(opened.as_secs_f64())),
        ("server: memory, MB", figure(resident as f64 / 1e6)),
        ("guard: from start to live over HTTP, s", figure(start.lasted.as_secs_f64())),
        (
            "guard: from start to live over Redis, s",
            carried.map_or("no Redis".into(), |s| figure(s.as_secs_f64())),
        ),
        ("guard: bytes of its table for each record", figure(start.table)),
        ("guard: growth of the process for each record, bytes", figure(start.process)),
    ];
    let rows: Vec<_> = rows.into_iter().map(|(name, figure)| vec![name.to_owned(), figure]).collect();
    table::print(&format!("{records} live records"), &["what", "figure"], &rows);
    Ok(())
}

/// Ends so many tokens through the ledger, and waits until the guard has heard of all.
fn pour(town: &Town, post: &Post, records: u64) -> Outcome<(Duration, Duration)> {
    let runtime = Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    let before = post.view.records() as u64;
    let began = Instant::now();
    runtime.block_on(write(town, records))?;
    let written = began.elapsed();
    while (post.view.records() as u64) < before + records {
        if began.elapsed() > written + PATIENCE {
            return Err(format!("the guard stopped at {} records", post.view.records()).into());
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    Ok((written, began.elapsed()))
}

/// A second server's books over the same file, with as many callers as a busy server has.
async fn write(town: &Town, records: u64) -> Outcome<()> {
    let url = format!("sqlite:{}", town.directory().join("books.db").display());
    let settings = StoreSettings { patience: Duration::from_secs(30), ..StoreSettings::new(url, FEED) };
    let store = Store::open(settings, Arc::new(now_ms)).await?;
    let next = Arc::new(AtomicU64::new(0));
    let mut callers = Vec::new();
    for _ in 0..CALLERS {
        let (store, next) = (store.clone(), next.clone());
        callers.push(tokio::spawn(async move {
            loop {
                let number = next.fetch_add(1, Ordering::Relaxed);
                if number >= records {
                    return Ok(());
                }
                store.commit(end_of(number)).await?;
            }
        }));
    }
    for caller in callers {
        caller.await?.map_err(|trouble: portcullis_authority::refusal::Trouble| trouble)?;
    }
    Ok(())
}

/// What a revocation of an access token writes.
fn end_of(number: u64) -> Deed {
    let (now, mixed) = (now_ms() / 1000, number.wrapping_mul(0x9e37_79b9_7f4a_7c15));
    let jti = (u128::from(mixed) << 64 | u128::from(number)).to_be_bytes();
    let audit = AuditRecord {
        at: now,
        event: "token.revoked".into(),
        organization: Some("orgBenchAA".into()),
        client_id: Some("backend".into()),
        jti: Some(format!("{number:022}")),
        address: Some("127.0.0.1".into()),
        request_id: Some(format!("{number:022}")),
        ..AuditRecord::default()
    };
    Deed::new(Act::EndToken { jti, exp: now + 7200 }, audit)
}

/// How a guard started.
struct Start {
    lasted: Duration,
    table: f64,
    process: f64,
}

/// How long a guard takes that hears of everything from Redis, once somebody has carried it there.
fn carried(town: &Town, records: u64) -> Outcome<Option<Duration>> {
    let Some(redis) = Redis::start()? else { return Ok(None) };
    let (url, road) = (redis.url(), Road::Redis(redis.url()));
    let server = town.server_with(&[("PORTCULLIS__REDIS__URL", &url)])?;
    Post::at(&server, &road)?.wait_for(PATIENCE)?;
    Ok(Some(start(&server, records, &road)?.lasted))
}

fn start(server: &Child, records: u64, road: &Road) -> Outcome<Start> {
    let before = resident("self")?;
    let began = Instant::now();
    let post = Post::at(server, road)?;
    post.wait_for(PATIENCE)?;
    let (lasted, held) = (began.elapsed(), post.view.records());
    if (held as u64) < records {
        return Err(format!("the guard is live with {held} of {records} records").into());
    }
    let grown = resident("self")?.saturating_sub(before);
    Ok(Start { lasted, table: post.view.bytes() as f64 / held as f64, process: grown as f64 / held as f64 })
}

fn now_ms() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}
