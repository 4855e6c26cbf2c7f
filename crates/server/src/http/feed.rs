//! The feed for guards: manifest, segments, tail, stream, policy, time and reports. Every path but the
//! public ones wants a guard's own id and secret by HTTP Basic.

use std::time::Duration;

use actix_web::http::header::{self, HeaderName};
use actix_web::{HttpRequest, HttpResponse, web};
use portcullis_authority::ledger::Position;
use portcullis_guard::feed::Digest;
use serde::Deserialize;
use serde_json::json;

use super::guard_account::GuardAccount;
use super::heard::Told;
use super::reply::{self, Denied};
use crate::feed::{Report, Tail};
use crate::house::House;

/// A guard may hang on so long, seconds.
const LONGEST_WAIT: u64 = 25;

/// `GET /.well-known/rv-jwks.json`: the feed's own public keys. A guard that meets a key which it does not know asks
/// here, so nobody in between keeps it.
pub async fn keys(house: web::Data<House>) -> HttpResponse {
    let mut answer = reply::public_document(house.hub.feed_keys().to_owned());
    reply::set(&mut answer, ("cache-control", "no-store"));
    answer
}

/// `GET /revocations/time`: the clock that freshness is measured with, in milliseconds.
pub async fn time(house: web::Data<House>) -> HttpResponse {
    reply::text(house.hub.time_ms().to_string())
}

/// `GET /revocations/{feed}/manifest`.
pub async fn manifest(
    house: web::Data<House>,
    _: GuardAccount,
    feed: web::Path<String>,
) -> Result<HttpResponse, Denied> {
    if *feed != house.hub.feed() {
        return Ok(reply::nothing_here().await);
    }
    house.hub.look().await;
    let (position, text) = house.hub.manifest().map_err(Denied::Broken)?;
    let mut answer = reply::no_store(reply::text(text.to_string()));
    reply::set(&mut answer, (header::CACHE_CONTROL, "max-age=1"));
    reply::set(&mut answer, (header::ETAG, format!("\"{position}\"")));
    Ok(answer)
}

/// `GET /revocations/{feed}/segments/{sha256}`: never changes, so it may be kept for ever.
pub async fn segment(
    house: web::Data<House>,
    _: GuardAccount,
    path: web::Path<(String, String)>,
) -> HttpResponse {
    let (feed, name) = path.into_inner();
    let found =
        Digest::parse(&name).filter(|_| feed == house.hub.feed()).and_then(|name| house.hub.segment(&name));
    match found {
        Some(bytes) => reply::immutable_bytes(bytes),
        None => reply::nothing_here().await,
    }
}

/// `GET /policy/{sha256}`: the policy that the manifest names.
pub async fn policy(house: web::Data<House>, _: GuardAccount, name: web::Path<String>) -> HttpResponse {
    match Digest::parse(&name).and_then(|name| house.hub.policy(&name)) {
        Some(text) => reply::no_store(reply::json_text(text.to_string())),
        None => reply::nothing_here().await,
    }
}

#[derive(Deserialize)]
pub struct Asked {
    /// `<epoch>.<seq>`.
    after: String,
    /// Seconds.
    #[serde(default)]
    wait: u64,
    /// Which instance asks, and how far it is: what a report says (`POST /guards/report`).
    guard: Option<String>,
    /// `<epoch>.<seq>`.
    #[serde(default)]
    at: String,
    #[serde(default)]
    as_of: u64,
    #[serde(default)]
    version: String,
}

impl Asked {
    /// The report that came with the question, if one did.
    fn report(&mut self, feed: &str) -> Option<Report> {
        let (guard, Position { epoch, seq }) = self.guard.take().zip(read_position(&self.at))?;
        let version = std::mem::take(&mut self.version);
        Some(Report { guard, feed: feed.to_owned(), epoch, seq, as_of: self.as_of, version })
    }
}

/// `GET /revocations/{feed}/tail?after=<epoch>.<seq>&wait=25`: what comes after a position, each batch
/// behind its length in four bytes; hangs until there is something. With `guard`, `at`, `as_of` and `version`
/// the question is a report as well, and the answer says so, whenever it comes: a fleet that hears of a record
/// asks once and not twice.
pub async fn tail(
    house: web::Data<House>,
    account: GuardAccount,
    feed: web::Path<String>,
    asked: web::Query<Asked>,
) -> HttpResponse {
    let mut asked = asked.into_inner();
    let Some(after) = read_position(&asked.after).filter(|_| *feed == house.hub.feed()) else {
        return reply::nothing_here().await;
    };
    let heard = match asked.report(&feed) {
        // What cannot be heard now, or cannot be true, is said again in a report and refused there.
        Some(report) => matches!(house.hub.hear(&account.id, report).await, Ok(Ok(()))),
        None => false,
    };
    let wait = Duration::from_secs(asked.wait.min(LONGEST_WAIT));
    let mut answer = match house.hub.tail(after, wait).await {
        Tail::Batches(bytes) => reply::bytes(bytes),
        Tail::Closing => reply::bytes(Vec::new()),
        Tail::Gone => reply::sealed_already(),
        Tail::Elsewhere => reply::other_epoch(),
    };
    if heard {
        reply::set(&mut answer, (HeaderName::from_static("guard-report"), "taken"));
    }
    answer
}

/// `GET /revocations/{feed}/stream`: the same as server-sent events; `Last-Event-ID` resumes.
pub async fn stream(
    house: web::Data<House>,
    account: GuardAccount,
    feed: web::Path<String>,
    request: HttpRequest,
) -> HttpResponse {
    let last = request.headers().get(HeaderName::from_static("last-event-id"));
    let after = match last.and_then(|value| value.to_str().ok()) {
        Some(text) => read_position(text),
        None => Some(house.hub.position()),
    };
    let Some(after) = after.filter(|_| *feed == house.hub.feed()) else { return reply::nothing_here().await };
    reply::events(super::events::of(house.into_inner(), after, account.id))
}

/// `POST /guards/report`: how far a guard has come.
pub async fn report(
    house: web::Data<House>,
    account: GuardAccount,
    Told(report): Told<Report>,
) -> Result<HttpResponse, Denied> {
    if report.feed == house.hub.feed()
        && let Err(why) = house.hub.hear(&account.id, report).await.map_err(Denied::Broken)?
    {
        return Ok(reply::impossible_report(why));
    }
    Ok(reply::no_store(reply::json(&json!({}))))
}

/// `GET /feed/guards`: each guard's position and lag.
pub async fn guards(house: web::Data<House>, _: GuardAccount) -> HttpResponse {
    house.hub.hear_others().await;
    let (head, now) = (house.hub.position(), house.hub.time_ms());
    let bound = house.hub.max_staleness_ms();
    let guards: Vec<_> = house
        .hub
        .reports
        .all()
        .into_iter()
        .map(|state| {
            json!({
                "guard": state.guard,
                "position": state.position().to_string(),
                "behind": head.seq.saturating_sub(state.seq),
                "lag_ms": now.saturating_sub(state.as_of),
                "reported_ms_ago": now.saturating_sub(state.at),
                "connected": state.is_connected(now, bound),
                "version": state.version,
            })
        })
        .collect();
    reply::no_store(reply::json(
        &json!({"feed": house.hub.feed(), "head": head.to_string(), "guards": guards}),
    ))
}

/// `<epoch>.<seq>`.
fn read_position(text: &str) -> Option<Position> {
    let (epoch, seq) = text.split_once('.')?;
    Some(Position { epoch: epoch.parse().ok()?, seq: seq.parse().ok()? })
}
