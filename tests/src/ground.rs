//! What a town is built on: SQLite always, and PostgreSQL when `PORTCULLIS_TEST_POSTGRES` names a server
//! (`postgres://user@host:port/database`) on which databases may be made. Each town has a database of its
//! own, which goes with it.

use std::io::Write as _;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

use diesel::connection::SimpleConnection as _;
use diesel::{Connection as _, SqliteConnection};
use diesel_async::{AsyncConnection as _, AsyncPgConnection, SimpleAsyncConnection as _};
use portcullis::testing::Scratch;

/// Which database.
#[derive(Clone, Debug)]
pub enum Ground {
    Sqlite,
    /// The address of a server.
    Postgres(String),
}

impl Ground {
    /// PostgreSQL, if there is one.
    pub fn postgres() -> Option<Self> {
        let server = std::env::var("PORTCULLIS_TEST_POSTGRES").ok().filter(|url| !url.is_empty())?;
        static SAID: std::sync::Once = std::sync::Once::new();
        SAID.call_once(|| say("street: SQLite and PostgreSQL; rules that set the clock over SQLite only."));
        Some(Self::Postgres(server))
    }

    /// A fresh database; SQLite's lies in the folder.
    pub async fn prepare(&self, folder: &Scratch) -> Plot {
        match self {
            Self::Sqlite => {
                Plot { url: format!("sqlite:{}", folder.path().join("books.db").display()), server: None }
            }
            Self::Postgres(server) => {
                let name = fresh_name();
                on_server(server, &format!("CREATE DATABASE {name}")).await;
                let (base, _) = server.rsplit_once('/').expect("an address that ends in /database");
                Plot { url: format!("{base}/{name}"), server: Some((server.clone(), name)) }
            }
        }
    }
}

/// A database that is there for one town.
#[derive(Debug)]
pub struct Plot {
    pub url: String,
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
        say("street: SQLite only. PORTCULLIS_TEST_POSTGRES is not set, so nothing ran over PostgreSQL.");
    });
}

/// Past the test harness, which hides what passing tests print.
pub fn say(line: &str) {
    let _ = writeln!(std::io::stderr(), "{line}");
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
