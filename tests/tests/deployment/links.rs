//! The ways to PostgreSQL and Redis over TLS, against servers of a test's own that take nothing else.

use std::net::TcpStream;
use std::os::unix::fs::{MetadataExt as _, chown};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use diesel_async::{AsyncConnection as _, AsyncPgConnection, SimpleAsyncConnection as _};
use portcullis::books;
use portcullis::means::Means;
use portcullis::serve::start;
use portcullis::settings::{Redis, Settings};
use portcullis::testing::Scratch;
use portcullis_store::redis::{RedisFeed, RedisSettings};
use portcullis_tests::faults::Trouble;
use portcullis_tests::faults::postgres::Postgres;
use portcullis_tests::ground::say;
use portcullis_tests::ports::free_port;

use crate::authority::Authority;
use crate::settings::settings;

/// A PostgreSQL that lets nobody in without TLS and is called `localhost`; `None`, loudly, where there is none.
fn postgres(scratch: &Scratch, authority: &Authority) -> Option<(Postgres, String)> {
    let postgres = match Postgres::start(scratch.path()) {
        Ok(postgres) => postgres,
        Err(Trouble::CannotRun(why)) if std::env::var_os("PORTCULLIS_TEST_POSTGRES").is_none() => {
            say(&format!("deployment: PostgreSQL over TLS DID NOT RUN: {why}"));
            return None;
        }
        Err(trouble) => panic!("{trouble:?}"),
    };
    let data = scratch.path().join("postgres");
    let owner = std::fs::metadata(&data).unwrap();
    let files = authority.issue(&["localhost"], &data);
    for file in [&files.certificate, &files.key] {
        chown(file, Some(owner.uid()), Some(owner.gid())).unwrap();
    }
    let rules = "hostssl all all 127.0.0.1/32 trust\nhostssl all all ::1/128 trust\n";
    let change =
        "ALTER SYSTEM SET ssl_cert_file = 'server.crt'; ALTER SYSTEM SET ssl_key_file = 'server.key';";
    let url = postgres.url();
    run(&url, change);
    run(&url, "ALTER SYSTEM SET ssl = on");
    std::fs::write(data.join("pg_hba.conf"), rules).unwrap();
    run(&url, "SELECT pg_reload_conf()");
    Some((postgres, url.replace("127.0.0.1", "localhost")))
}

fn run(url: &str, sql: &str) {
    runtime().block_on(async {
        let mut connection = AsyncPgConnection::establish(url).await.unwrap();
        for statement in sql.split_inclusive(';') {
            connection.batch_execute(statement).await.unwrap();
        }
    });
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap()
}

/// Why the books at this address cannot be opened.
fn refusal(settings: &Settings, url: &str, root: Option<PathBuf>) -> String {
    let mut settings = settings.clone();
    settings.store.url = url.into();
    settings.store.root_certificate = root;
    let opened = runtime().block_on(books::open(&settings, &Means::system()));
    opened.err().unwrap_or_else(|| panic!("{url} opened")).why
}

#[test]
fn postgresql_over_tls_must_prove_its_name() {
    let (scratch, authority) = (Scratch::new(), Authority::new());
    let Some((_postgres, url)) = postgres(&scratch, &authority) else { return };
    let mut settings = settings(&scratch);
    settings.issuer = "http://127.0.0.1:0".into();
    let root = authority.publish(scratch.path());
    wait_until_it_refuses(&settings, &url);

    let elsewhere = Scratch::new();
    let strangers = Authority::new().publish(elsewhere.path());
    let secure = format!("{url}?sslmode=verify-full");
    for (url, root) in [
        (secure.clone(), Some(strangers)),
        (secure.clone(), None),
        (format!("{url}?sslmode=require"), None),
        (secure.replace("localhost", "127.0.0.1"), Some(root.clone())),
    ] {
        let why = refusal(&settings, &url, root);
        assert!(why.contains("certificate"), "{url}: {why}");
    }

    settings.store.url = secure;
    settings.store.root_certificate = Some(root);
    let running = start(settings, Means::system()).unwrap();
    let ready = ureq::get(format!("{}/readyz", running.issuer)).call();
    assert!(ready.is_ok(), "{ready:?}");
    running.stop().unwrap();
}

/// The new rules are in force a moment after they were asked for.
fn wait_until_it_refuses(settings: &Settings, url: &str) {
    let began = Instant::now();
    let mut plain = settings.clone();
    plain.store.url = format!("{url}?sslmode=disable");
    loop {
        let opened = runtime().block_on(books::open(&plain, &Means::system()));
        let said = opened.map_or_else(|trouble| trouble.why, |_| "it lets us in".to_owned());
        if said.contains("no encryption") {
            return;
        }
        assert!(began.elapsed() < Duration::from_secs(10), "without TLS: {said}");
        std::thread::sleep(Duration::from_millis(50));
    }
}

/// A Redis that speaks TLS alone and knows one user.
struct SecureRedis {
    child: Child,
    url: String,
}

const PASSWORD: &str = "hush/hush";

impl SecureRedis {
    fn start(folder: &Path, authority: &Authority) -> Option<Self> {
        let files = authority.issue(&["localhost"], folder);
        let port = free_port().unwrap();
        let mut command = Command::new("redis-server");
        command.args(["--port", "0", "--tls-port", &port.to_string(), "--bind", "127.0.0.1"]);
        command.arg("--tls-cert-file").arg(&files.certificate).arg("--tls-key-file").arg(&files.key);
        command.arg("--tls-ca-cert-file").arg(authority.publish(folder));
        command.args(["--tls-auth-clients", "no", "--save", "", "--maxmemory-policy", "noeviction"]);
        command.args(["--user", "default", "off"]);
        command.args(["--user", "publisher", "on", &format!(">{PASSWORD}"), "~rv:*", "+@all"]);
        let child = command.current_dir(folder).stdin(Stdio::null()).stdout(Stdio::null()).spawn();
        let Ok(child) = child else {
            let required = std::env::var_os("PORTCULLIS_TEST_REDIS").is_some_and(|wish| wish == "required");
            assert!(!required, "redis-server is not installed, and PORTCULLIS_TEST_REDIS requires it");
            say("deployment: Redis over TLS DID NOT RUN, because redis-server is not installed");
            return None;
        };
        let began = Instant::now();
        while TcpStream::connect(("127.0.0.1", port)).is_err() {
            assert!(began.elapsed() < Duration::from_secs(10), "redis-server does not start");
            std::thread::sleep(Duration::from_millis(20));
        }
        Some(Self { child, url: format!("rediss://publisher@localhost:{port}") })
    }
}

impl Drop for SecureRedis {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn the_feed_reaches_redis_over_tls_as_its_own_user() {
    let (scratch, authority) = (Scratch::new(), Authority::new());
    let Some(redis) = SecureRedis::start(scratch.path(), &authority) else { return };
    let mut settings = settings(&scratch);
    settings.issuer = "http://127.0.0.1:0".into();
    let mut reach = Redis::at(&redis.url);
    reach.password = Some(PASSWORD.into());
    reach.root_certificate = Some(scratch.path().join("root.pem"));
    settings.redis = Some(reach.clone());
    let feed = settings.feed.name.clone();
    let running = start(settings, Means::system()).unwrap();
    let began = Instant::now();
    while head(&reach.reach(&feed)).is_err() {
        assert!(began.elapsed() < Duration::from_secs(10), "nothing arrives in Redis");
        std::thread::sleep(Duration::from_millis(50));
    }

    let elsewhere = Scratch::new();
    reach.root_certificate = Some(Authority::new().publish(elsewhere.path()));
    let why = head(&reach.reach(&feed)).unwrap_err();
    assert!(why.contains("certificate"), "another authority: {why}");
    reach.root_certificate = Some(scratch.path().join("root.pem"));
    reach.url = redis.url.replace("localhost", "127.0.0.1");
    let why = head(&reach.reach(&feed)).unwrap_err();
    assert!(why.contains("certificate"), "another name: {why}");
    reach.url = redis.url.clone();
    reach.password = Some("wrong".into());
    assert!(head(&reach.reach(&feed)).is_err(), "another password");
    running.stop().unwrap();
}

/// What stands in Redis; an error while nothing does.
fn head(reach: &RedisSettings) -> Result<(), String> {
    let reach = RedisSettings { deadline: Duration::from_secs(5), ..reach.clone() };
    runtime().block_on(async {
        let feed = RedisFeed::open(&reach).map_err(|trouble| trouble.why)?;
        let head = feed.head().await.map_err(|trouble| trouble.why)?;
        head.map(drop).ok_or_else(|| "there is nothing yet".to_owned())
    })
}

#[test]
fn a_root_certificate_that_holds_none_is_refused_by_its_name() {
    let scratch = Scratch::new();
    let file = scratch.path().join("empty.pem");
    std::fs::write(&file, "").unwrap();
    let mut reach = Redis::at("rediss://localhost:1");
    reach.root_certificate = Some(file.clone());
    let why = runtime().block_on(async { RedisFeed::open(&reach.reach("live:eu1")) }).err().unwrap().why;
    assert!(why.contains("empty.pem"), "{why}");
    let url = "postgres://localhost:1/books?sslmode=verify-full";
    let why = refusal(&settings(&scratch), url, Some(file));
    assert!(why.contains("no root certificate"), "{why}");
}
