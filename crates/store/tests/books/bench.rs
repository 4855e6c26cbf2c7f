//! A database of its own for every test, and a few things to put into it.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use base64::Engine;
use diesel::SqliteConnection;
use diesel::connection::SimpleConnection;
use diesel_async::{AsyncConnection, AsyncPgConnection, SimpleAsyncConnection};
use portcullis_authority::ledger::{Act, AuditRecord, CodeRow, Deed, Done, Family, Ledger, Proved};
use portcullis_authority::refusal::Trouble;
use portcullis_guard::claims::{Generations, OwnerKind};
use portcullis_store::{Clock, KeyWrap, Store, StoreSettings};
use zeroize::Zeroizing;

/// A time at which everything below is alive, seconds.
pub const NOW: u64 = 1_900_000_000;
pub const FEED: &str = "test:one";

static NEXT: AtomicU64 = AtomicU64::new(0);

pub enum Bench {
    Sqlite(PathBuf),
    Postgres { server: String, name: String },
}

impl Bench {
    pub fn sqlite() -> Self {
        let path = std::env::temp_dir().join(format!("{}.sqlite", fresh_name()));
        Self::Sqlite(path)
    }

    pub async fn postgres() -> Option<Self> {
        let server = std::env::var("PORTCULLIS_TEST_POSTGRES").ok().filter(|url| !url.is_empty())?;
        let name = fresh_name();
        on_server(&server, &format!("CREATE DATABASE {name}")).await;
        Some(Self::Postgres { server, name })
    }

    /// Another server's store over the same database.
    pub async fn open(&self) -> Store {
        self.open_patiently(Duration::from_secs(5)).await
    }

    pub async fn open_patiently(&self, patience: Duration) -> Store {
        let settings = StoreSettings { patience, ..self.settings(Some(Kek::only("one"))) };
        Store::open(settings, wall_clock()).await.expect("the books open")
    }

    /// The same, under other key-encryption keys or none.
    pub async fn open_under(&self, kek: Option<Kek>) -> Result<Store, Trouble> {
        Store::open(self.settings(kek), wall_clock()).await
    }

    fn settings(&self, kek: Option<Kek>) -> StoreSettings {
        let wrap = kek.map(|kek| Arc::new(kek) as Arc<dyn KeyWrap>);
        StoreSettings { connections: 4, wrap, ..StoreSettings::new(self.url(), FEED) }
    }

    /// Everything that the database's own tool would write out, as text.
    pub async fn dump(&self, tables: &[&str]) -> String {
        let mut dump = String::new();
        for table in tables {
            dump.push_str(&self.dump_of(table).await);
        }
        dump
    }

    async fn dump_of(&self, table: &str) -> String {
        let sql = match self {
            Self::Sqlite(path) => {
                let columns = "SELECT group_concat('coalesce(' || name || ', '''')', ' || ''|'' || ') AS line \
                               FROM pragma_table_info(";
                let mut connection = sqlite(path);
                let columns: Line = diesel::RunQueryDsl::get_result(
                    diesel::sql_query(format!("{columns}'{table}')")),
                    &mut connection,
                )
                .expect("the table is there");
                let rows: Vec<Line> = diesel::RunQueryDsl::load(
                    diesel::sql_query(format!("SELECT {} AS line FROM {table}", columns.line)),
                    &mut connection,
                )
                .expect("it reads");
                return rows.into_iter().map(|row| row.line + "\n").collect();
            }
            Self::Postgres { .. } => format!("SELECT t::text AS line FROM {table} t"),
        };
        let mut connection = AsyncPgConnection::establish(&self.url()).await.expect("it answers");
        let rows: Vec<Line> =
            diesel_async::RunQueryDsl::load(diesel::sql_query(sql), &mut connection).await.expect("it reads");
        rows.into_iter().map(|row| row.line + "\n").collect()
    }

    /// Runs SQL behind the store's back.
    pub async fn tamper(&self, sql: &str) {
        match self {
            Self::Sqlite(path) => sqlite(path).batch_execute(sql).expect("the statement runs"),
            Self::Postgres { .. } => on_server(&self.url(), sql).await,
        }
    }

    /// The same with the log of audit, as somebody who may drop triggers.
    pub async fn tamper_with_audit(&self, sql: &str) {
        let fence = match self {
            Self::Sqlite(_) => "DROP TRIGGER audit_holds; DROP TRIGGER audit_stays;",
            Self::Postgres { .. } => "ALTER TABLE audit DISABLE TRIGGER USER;",
        };
        self.tamper(&format!("{fence} {sql}")).await;
    }

    /// The same, where the database may say no.
    pub async fn try_to_tamper(&self, sql: &str) -> Result<(), String> {
        match self {
            Self::Sqlite(path) => sqlite(path).batch_execute(sql).map_err(|no| no.to_string()),
            Self::Postgres { .. } => {
                let mut connection = AsyncPgConnection::establish(&self.url()).await.expect("it answers");
                SimpleAsyncConnection::batch_execute(&mut connection, sql).await.map_err(|no| no.to_string())
            }
        }
    }

    /// Keeps every writer out, until it is dropped.
    pub async fn hold(&self) -> Held {
        match self {
            Self::Sqlite(path) => {
                let mut held = sqlite(path);
                held.batch_execute("BEGIN IMMEDIATE").expect("nobody else is writing");
                Box::new(held)
            }
            Self::Postgres { .. } => {
                let mut held = AsyncPgConnection::establish(&self.url()).await.expect("the server answers");
                let lock = "BEGIN; LOCK TABLE audit_head IN ACCESS EXCLUSIVE MODE";
                SimpleAsyncConnection::batch_execute(&mut held, lock).await.expect("the lock is free");
                Box::new(held)
            }
        }
    }

    /// Lets every commit fail that opens a family: the violation is noticed when the transaction ends.
    pub async fn fail_commits(&self) {
        let table = "CREATE TABLE broken (id TEXT REFERENCES guards (id) DEFERRABLE INITIALLY DEFERRED);";
        let trigger = match self {
            Self::Sqlite(_) => {
                "CREATE TRIGGER breaks AFTER INSERT ON families BEGIN INSERT INTO broken VALUES ('x'); END;"
            }
            Self::Postgres { .. } => {
                "CREATE FUNCTION breaks() RETURNS trigger LANGUAGE plpgsql AS \
                 'BEGIN INSERT INTO broken VALUES (''x''); RETURN NULL; END'; \
                 CREATE TRIGGER breaks AFTER INSERT ON families EXECUTE FUNCTION breaks();"
            }
        };
        self.tamper(&format!("{table} {trigger}")).await;
    }

    pub async fn end(self) {
        match self {
            Self::Sqlite(path) => {
                for end in ["", "-wal", "-shm"] {
                    let _ = std::fs::remove_file(format!("{}{end}", path.display()));
                }
            }
            Self::Postgres { server, name } => {
                on_server(&server, &format!("DROP DATABASE {name} WITH (FORCE)")).await;
            }
        }
    }

    pub fn url(&self) -> String {
        match self {
            Self::Sqlite(path) => format!("sqlite:{}", path.display()),
            Self::Postgres { server, name } => {
                let (base, _) = server.rsplit_once('/').expect("an address that ends in /database");
                format!("{base}/{name}")
            }
        }
    }
}

/// A row as text.
#[derive(diesel::QueryableByName)]
struct Line {
    #[diesel(sql_type = diesel::sql_types::Text)]
    line: String,
}

/// Wraps without secrecy, and like a real one only under names that it has.
#[derive(Clone)]
pub struct Kek {
    today: &'static str,
    before: Option<&'static str>,
}

impl Kek {
    pub fn only(today: &'static str) -> Self {
        Self { today, before: None }
    }

    pub fn after(before: &'static str, today: &'static str) -> Self {
        Self { today, before: Some(before) }
    }
}

impl KeyWrap for Kek {
    fn id(&self) -> String {
        self.today.into()
    }

    fn wrap(&self, name: &str, key: &[u8; 32]) -> Result<String, Trouble> {
        Ok(format!("{}|{name}|{}", self.today, base64::prelude::BASE64_URL_SAFE_NO_PAD.encode(key)))
    }

    fn unwrap(&self, kek: &str, name: &str, wrapped: &str) -> Result<Zeroizing<[u8; 32]>, Trouble> {
        if kek != self.today && Some(kek) != self.before {
            return Err(Trouble::new("keys", format!("there is no {kek}")));
        }
        let key = wrapped.strip_prefix(&format!("{kek}|{name}|"));
        let key = key.and_then(|key| base64::prelude::BASE64_URL_SAFE_NO_PAD.decode(key).ok());
        let key = key.and_then(|key| key.try_into().ok()).ok_or_else(|| Trouble::new("keys", "altered"))?;
        Ok(Zeroizing::new(key))
    }
}

/// A connection whose transaction stays open.
pub type Held = Box<dyn std::any::Any + Send>;

fn sqlite(path: &Path) -> SqliteConnection {
    use diesel::Connection;
    let path = path.to_str().expect("a path of ours");
    let mut connection = SqliteConnection::establish(path).expect("the file opens");
    // Whoever closes the file last keeps others out for a moment.
    let wait = diesel::sql_query("PRAGMA busy_timeout=10000");
    diesel::RunQueryDsl::execute(wait, &mut connection).expect("it waits");
    connection
}

fn fresh_name() -> String {
    let nanos = SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970").subsec_nanos();
    let next = NEXT.fetch_add(1, Ordering::Relaxed);
    format!("portcullis_test_{}_{nanos}_{next}", std::process::id())
}

/// Past the test harness, which hides what passing tests print. Once is enough.
pub fn say_that_postgres_did_not_run() {
    static SAID: std::sync::Once = std::sync::Once::new();
    SAID.call_once(|| {
        use std::io::Write;
        let line = "books: SQLite only. PORTCULLIS_TEST_POSTGRES is not set, so nothing ran over PostgreSQL.";
        let _ = writeln!(std::io::stderr(), "{line}");
    });
}

async fn on_server(url: &str, sql: &str) {
    let mut connection = AsyncPgConnection::establish(url).await.expect("the test server answers");
    connection.batch_execute(sql).await.expect("the statement runs");
}

pub fn wall_clock() -> Clock {
    Arc::new(|| SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_millis() as u64))
}

/// The 22 characters of an id.
pub fn id(number: u64) -> String {
    let mut raw = [7; 16];
    raw[8..].copy_from_slice(&number.to_be_bytes());
    base64::prelude::BASE64_URL_SAFE_NO_PAD.encode(raw)
}

pub fn family(number: u64) -> Family {
    Family {
        id: id(number),
        client_id: "shop".into(),
        organization: "org".into(),
        owner: Some((OwnerKind::Customer, "ann".into())),
        scope: "market:id:1".into(),
        confidential: false,
        act: None,
        custom_claim: None,
        roles: vec!["admin".into()],
        gv: Generations(1, 2, 3, 4),
        auth_time: NOW - 5,
        proved: Some(Proved::Password),
        n: 0,
        secret: "first".into(),
        previous: None,
        sealed: None,
        rotated_at: NOW,
        idle_exp: NOW + 100,
        abs_exp: NOW + 1000,
        ended_at: None,
        end_reason: None,
    }
}

pub fn code(hash: &str) -> CodeRow {
    CodeRow {
        hash: hash.into(),
        client_id: "shop".into(),
        person: "ann".into(),
        redirect_uri: "https://shop.example/back".into(),
        redirect_named: true,
        scope: String::new(),
        challenge: None,
        gv: Generations::default(),
        auth_time: NOW,
        proved: Some(Proved::Password),
        expires_at: NOW + 60,
        spent_by: None,
    }
}

pub fn note(event: &str) -> AuditRecord {
    AuditRecord { at: NOW, event: event.into(), ..AuditRecord::default() }
}

/// Does an act, with one audit record.
pub async fn act(store: &Store, act: Act) -> Result<Done, Trouble> {
    store.commit(Deed::new(act, note("test"))).await
}

/// The same when it cannot fail.
pub async fn done(store: &Store, it: Act) -> Done {
    act(store, it).await.expect("the deed is done")
}
