//! The database is away, hangs or is slow: every answer comes in time, none of them is a lie, and when it is
//! back everything works again without a restart. The table of `docs/stores.md` says the same.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use portcullis::testing::Scratch;
use portcullis_tests::client::BACKEND;
use portcullis_tests::faults::Trouble;
use portcullis_tests::faults::link::{Link, Weather};
use portcullis_tests::faults::postgres::Postgres;
use portcullis_tests::ground::{say, say_that_postgres_did_not_run, with_address};
use portcullis_tests::{Answer, Ground, Town};

/// What a request may wait for the database, and what a busy machine adds.
const PATIENCE: Duration = Duration::from_millis(800);
const SLACK: Duration = Duration::from_secs(2);
/// What nobody waited for, on a busy machine.
const AT_ONCE: Duration = Duration::from_millis(200);
/// Who asks while the database is known to hang.
const CALLERS: usize = 40;
/// How old the server's own picture may be, before it no longer says what is active.
const STALENESS: Duration = Duration::from_millis(2500);

/// A town whose way to its database can be broken.
async fn town(ground: &Ground) -> (Town, Link) {
    let mut way = None;
    let town = Town::open_with(ground, |settings| {
        let link = Link::open(database(&settings.store.url)).expect("a free port");
        settings.store.url = with_address(&settings.store.url, link.address());
        settings.store.patience_ms = u64::try_from(PATIENCE.as_millis()).expect("a short time");
        settings.feed.max_staleness_ms = u64::try_from(STALENESS.as_millis()).expect("a short time");
        settings.feed.beat_ms = 500;
        way = Some(link);
    })
    .await;
    (town, way.expect("opened above"))
}

fn database(url: &str) -> SocketAddr {
    let url = url::Url::parse(url).expect("an address");
    let port = url.port().unwrap_or(5432);
    *url.socket_addrs(|| Some(port)).expect("it resolves").first().expect("at least one")
}

/// Asks, and is answered in time: with 200, or with 503 and when to come again.
async fn in_time(request: reqwest::RequestBuilder) -> Answer {
    let began = Instant::now();
    let answer = Answer::to(request).await;
    assert!(began.elapsed() < PATIENCE + SLACK, "{:?} for {answer:?}", began.elapsed());
    if answer.status != 200 {
        assert_eq!((answer.status, answer.header("retry-after")), (503, "1"), "{answer:?}");
    }
    answer
}

fn revocation(town: &Town, token: &str) -> reqwest::RequestBuilder {
    town.post("/oauth/revoke").form(&BACKEND.form(&[("token", token)]))
}

fn introspection(town: &Town, token: &str) -> reqwest::RequestBuilder {
    let form = [("client_id", "shop"), ("client_secret", "hush-guard"), ("token", token)];
    town.post("/oauth/introspect").form(&form)
}

fn issue(town: &Town) -> reqwest::RequestBuilder {
    town.post("/oauth/token").form(&BACKEND.form(&[("grant_type", "client_credentials")]))
}

async fn without_the_database(weather: Weather) {
    let Some(ground) = Ground::postgres() else { return say_that_postgres_did_not_run() };
    let (town, link) = town(&ground).await;
    let (live, doomed) = (town.client_token(&BACKEND).await, town.client_token(&BACKEND).await);
    link.set(weather);
    let broken = Instant::now();
    // What needs no database works.
    for path in ["/healthz", "/.well-known/jwks.json", "/.well-known/oauth-authorization-server"] {
        assert_eq!(in_time(town.get(path)).await.status, 200, "{path}");
    }
    assert_eq!(introspected(&town, &live, broken).await, Some(true), "known until it is too old to be known");
    // What would be a promise is refused.
    assert_eq!(in_time(revocation(&town, &doomed)).await.status, 503, "an end that nobody wrote down");
    assert_eq!(in_time(issue(&town)).await.status, 503, "a token that the audit does not know");
    assert_eq!(in_time(town.get("/readyz")).await.status, 503);
    // A crowd waits no longer than one does.
    let began = Instant::now();
    let crowd: Vec<_> = (0..40).map(|_| tokio::spawn(in_time(issue(&town)))).collect();
    for one in crowd {
        assert_eq!(one.await.expect("it is answered").status, 503);
    }
    assert!(began.elapsed() < PATIENCE + SLACK, "{:?}", began.elapsed());
    // An old picture is no picture.
    while broken.elapsed() < STALENESS + Duration::from_millis(500) {
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    assert_eq!(in_time(introspection(&town, &live)).await.status, 503);

    link.set(Weather::Fair);
    let mended = Instant::now();
    while in_time(town.get("/readyz")).await.status != 200 || in_time(issue(&town)).await.status != 200 {
        assert!(mended.elapsed() < Duration::from_secs(10), "it does not recover");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    // Whoever was told 503 asks again, whatever has happened to the first time.
    assert_eq!(in_time(revocation(&town, &doomed)).await.status, 200);
    while in_time(introspection(&town, &live)).await.status != 200 {
        assert!(mended.elapsed() < Duration::from_secs(10), "it does not become fresh");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    assert!(town.is_active(&live).await && !town.is_active(&doomed).await);
}

/// What introspection says, while the server's picture is surely fresh enough to say anything.
async fn introspected(town: &Town, token: &str, broken: Instant) -> Option<bool> {
    let answer = in_time(introspection(town, token)).await;
    if answer.status != 200 && broken.elapsed() >= STALENESS / 2 {
        return Some(true);
    }
    answer.json()["active"].as_bool()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_a_database_promises_are_refused_and_the_rest_works() {
    without_the_database(Weather::Cut).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_database_that_hangs_holds_nobody_up_for_long() {
    without_the_database(Weather::Frozen).await;
}

/// A PostgreSQL of the test's own, all of whose processes are stopped. Whoever asks first waits; once it has proved
/// to hang, nobody does, but for a try now and then.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_database_that_was_stopped_is_refused_for_at_once_and_tried_until_it_answers() {
    let folder = Scratch::new();
    let postgres = match Postgres::start(folder.path()) {
        Ok(postgres) => postgres,
        Err(Trouble::CannotRun(_)) => return say_that_postgres_did_not_run(),
        Err(Trouble::Broken(why)) => panic!("{why}"),
    };
    let (town, _link) = town(&Ground::Postgres(postgres.url())).await;
    let doomed = town.client_token(&BACKEND).await;
    postgres.freeze();
    let frozen = Instant::now();
    while asked_for(&town).await > AT_ONCE {
        assert!(frozen.elapsed() < PATIENCE * 3 + SLACK, "everybody goes on waiting");
    }
    let mut waits = Vec::new();
    for _ in 0..CALLERS {
        waits.push(asked_for(&town).await);
        let began = Instant::now();
        assert_eq!(in_time(revocation(&town, &doomed)).await.status, 503, "an end that nobody wrote down");
        waits.push(began.elapsed());
    }
    waits.sort();
    let at_once = waits.iter().filter(|wait| **wait <= AT_ONCE).count();
    assert!(at_once * 10 >= waits.len() * 9, "{waits:?}");
    assert_eq!(in_time(town.get("/readyz")).await.status, 503);

    postgres.thaw();
    let mended = Instant::now();
    while in_time(town.get("/readyz")).await.status != 200 || in_time(issue(&town)).await.status != 200 {
        assert!(mended.elapsed() < Duration::from_secs(10), "it does not recover");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    say(&format!(
        "cluster: PostgreSQL stopped for {:?}; {at_once} of {} refused within {AT_ONCE:?}, well again after {:?}",
        mended.duration_since(frozen),
        waits.len(),
        mended.elapsed()
    ));
    assert_eq!(in_time(revocation(&town, &doomed)).await.status, 200);
    assert!(!town.is_active(&doomed).await);
}

/// How long somebody waited who was told to come again.
async fn asked_for(town: &Town) -> Duration {
    let began = Instant::now();
    assert_eq!(in_time(issue(town)).await.status, 503, "a token that the audit does not know");
    began.elapsed()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_slow_database_makes_answers_slow_and_nothing_else() {
    let Some(ground) = Ground::postgres() else { return say_that_postgres_did_not_run() };
    let (town, link) = town(&ground).await;
    link.set(Weather::Slow(Duration::from_millis(8)));
    for _ in 0..5 {
        let token = in_time(issue(&town)).await.with_status(200).access_token();
        assert!(town.is_active(&token).await);
        assert_eq!(in_time(revocation(&town, &token)).await.status, 200);
        assert!(!town.is_active(&token).await);
    }
    assert_eq!(in_time(town.get("/readyz")).await.status, 200);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn connections_that_were_lost_cost_no_request() {
    let Some(ground) = Ground::postgres() else { return say_that_postgres_did_not_run() };
    let (town, link) = town(&ground).await;
    for round in 0..6 {
        in_time(issue(&town)).await.with_status(200);
        link.reset();
        // Sometimes there is time to notice, and sometimes the loss is met in the middle of a transaction.
        if round % 2 == 0 {
            tokio::time::sleep(Duration::from_millis(60)).await;
        }
        in_time(issue(&town)).await.with_status(200);
    }
}
