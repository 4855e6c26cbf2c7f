//! What a town is built on: SQLite always; PostgreSQL when `PORTCULLIS_TEST_POSTGRES` names a server
//! (`postgres://user@host:port/database`) on which databases may be made; and a cluster, which is PostgreSQL, a
//! Redis and several servers behind one address, where redis-server is installed as well. Each town has a database
//! and a Redis of its own, which go with it. What stays on the server is a database that new ones are copied from.

use std::io::Write as _;
use std::net::SocketAddr;
use std::process::{Command, Stdio};
use std::sync::LazyLock;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

use diesel::connection::SimpleConnection as _;
use diesel::{Connection as _, SqliteConnection};
use diesel_async::{AsyncConnection as _, AsyncPgConnection, SimpleAsyncConnection as _};
use portcullis::testing::Scratch;

use crate::faults::redis::Redis;

mod model;

/// Which database, and how many servers.
#[derive(Clone, Debug)]
pub enum Ground {
    /// One server over a file.
    Sqlite,
    /// One server over PostgreSQL at this address.
    Postgres(String),
    /// Several over PostgreSQL at this address and a Redis, behind one address.
    Cluster(String),
}

/// Servers of a cluster. Two are enough for each request to meet another server than the one before.
const SERVERS: usize = 2;

impl Ground {
    /// PostgreSQL, if there is one.
    pub fn postgres() -> Option<Self> {
        let server = std::env::var("PORTCULLIS_TEST_POSTGRES").ok().filter(|url| !url.is_empty())?;
        Some(Self::Postgres(server))
    }

    /// A cluster, if there are PostgreSQL and Redis.
    ///
    /// # Panics
    /// When `PORTCULLIS_TEST_REDIS=required` and there is no Redis.
    pub fn cluster() -> Option<Self> {
        static INSTALLED: LazyLock<bool> = LazyLock::new(|| {
            let asked = Command::new("redis-server").arg("--version").stdout(Stdio::null()).status();
            asked.is_ok_and(|status| status.success())
        });
        let Self::Postgres(server) = Self::postgres()? else { return None };
        if !*INSTALLED {
            let required = std::env::var_os("PORTCULLIS_TEST_REDIS").is_some_and(|wish| wish == "required");
            assert!(!required, "redis-server is not installed, and PORTCULLIS_TEST_REDIS requires it");
            return None;
        }
        Some(Self::Cluster(server))
    }

    /// How many servers a town has here.
    pub fn servers(&self) -> usize {
        if matches!(self, Self::Cluster(_)) { SERVERS } else { 1 }
    }

    /// A fresh database; SQLite's lies in the folder. One of PostgreSQL has tables already.
    pub async fn prepare(&self, folder: &Scratch) -> Plot {
        let (server, redis) = match self {
            Self::Sqlite => {
                let url = format!("sqlite:{}", folder.path().join("books.db").display());
                return Plot { url, server: None, redis: None };
            }
            Self::Postgres(server) => (server, None),
            Self::Cluster(server) => {
                let redis = Redis::start(&folder.path().join("redis"), false);
                (server, Some(redis.expect("redis-server starts")))
            }
        };
        let name = fresh_name();
        let model = model::stand(server).await;
        on_server(server, &format!("CREATE DATABASE {name} TEMPLATE {model}")).await;
        Plot { url: beside(server, &name), server: Some((server.clone(), name)), redis }
    }

    /// A database without tables.
    pub async fn prepare_bare(&self, folder: &Scratch) -> Plot {
        let (Self::Postgres(server) | Self::Cluster(server)) = self else {
            return self.prepare(folder).await;
        };
        let name = fresh_name();
        on_server(server, &format!("CREATE DATABASE {name}")).await;
        Plot { url: beside(server, &name), server: Some((server.clone(), name)), redis: None }
    }
}

/// A database that is there for one town, and its Redis, if it has one.
pub struct Plot {
    pub url: String,
    pub redis: Option<Redis>,
    /// The server and the database's name, when it is not a file.
    server: Option<(String, String)>,
}

/// Keeps every writer out until it is dropped.
pub type Held = Box<dyn std::any::Any + Send>;

impl Plot {
    /// Holds the books, so that whoever wants to write waits in line.
    pub async fn hold(&self) -> Held {
        if self.server.is_none() {
            let path = self.url.strip_prefix("sqlite:").expect("prepared above");
            let mut held = SqliteConnection::establish(path).expect("the file opens");
            held.batch_execute("PRAGMA busy_timeout=2000; BEGIN IMMEDIATE").expect("nobody writes for long");
            return Box::new(held);
        }
        let mut held = AsyncPgConnection::establish(&self.url).await.expect("the server answers");
        let lock = "BEGIN; LOCK TABLE audit_head IN ACCESS EXCLUSIVE MODE";
        held.batch_execute(lock).await.expect("the lock comes free");
        Box::new(held)
    }

    /// Changes the audit log behind everybody's back, as somebody who may drop triggers.
    pub async fn tamper_with_audit(&self, sql: &str) {
        match &self.server {
            None => {
                let path = self.url.strip_prefix("sqlite:").expect("prepared above");
                let mut file = SqliteConnection::establish(path).expect("the file opens");
                let fence = "PRAGMA busy_timeout=2000; DROP TRIGGER IF EXISTS audit_holds; \
                             DROP TRIGGER IF EXISTS audit_stays;";
                file.batch_execute(&format!("{fence} {sql}")).expect("the statement runs");
            }
            Some(_) => {
                on_server(&self.url, &format!("ALTER TABLE audit DISABLE TRIGGER USER; {sql}")).await;
            }
        }
    }

    /// Runs a statement in these books, beside whoever works in them.
    pub async fn run(&self, sql: &str) {
        let Some(path) = self.url.strip_prefix("sqlite:") else { return on_server(&self.url, sql).await };
        let mut books = SqliteConnection::establish(path).expect("the file opens");
        books.batch_execute(&format!("PRAGMA busy_timeout=5000; {sql}")).expect("the statement runs");
    }

    /// Takes the database away.
    pub fn clear(&self) {
        let Some((server, name)) = self.server.clone() else { return };
        // A runtime of its own: this runs while a town is dropped, inside the runtime of a test.
        let cleared = std::thread::spawn(move || {
            let runtime = tokio::runtime::Runtime::new().expect("threads can be made");
            runtime.block_on(on_server(&server, &format!("DROP DATABASE {name} WITH (FORCE)")));
        });
        if cleared.join().is_err() {
            say("a database of the tests stays behind");
        }
    }
}

/// The same database by another way.
pub fn with_address(url: &str, address: SocketAddr) -> String {
    let mut url = url::Url::parse(url).expect("an address");
    url.set_ip_host(address.ip()).expect("such addresses name a host");
    url.set_port(Some(address.port())).expect("and a port");
    url.into()
}

/// Says once that PostgreSQL was not there.
pub fn say_that_postgres_did_not_run() {
    static SAID: std::sync::Once = std::sync::Once::new();
    SAID.call_once(|| {
        say("SQLite only. PORTCULLIS_TEST_POSTGRES is not set, so nothing ran over PostgreSQL.");
    });
}

/// Says once that there was nothing to make a cluster of.
pub fn say_that_no_cluster_ran() {
    static SAID: std::sync::Once = std::sync::Once::new();
    SAID.call_once(|| {
        say("No cluster: it takes PORTCULLIS_TEST_POSTGRES and redis-server, and one of them is missing.");
    });
}

/// Past the test harness, which hides what passing tests print.
pub fn say(line: &str) {
    let _ = writeln!(std::io::stderr(), "{line}");
}

/// A database on the same server.
fn beside(server: &str, name: &str) -> String {
    let (base, _) = server.rsplit_once('/').expect("an address that ends in /database");
    format!("{base}/{name}")
}

fn fresh_name() -> String {
    static NEXT: AtomicU64 = AtomicU64::new(0);
    let nanos = SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970").subsec_nanos();
    let next = NEXT.fetch_add(1, Ordering::Relaxed);
    format!("portcullis_street_{}_{nanos}_{next}", std::process::id())
}

async fn on_server(url: &str, sql: &str) {
    let mut connection = AsyncPgConnection::establish(url).await.expect("the test server answers");
    connection.batch_execute(sql).await.expect("the statement runs");
}
