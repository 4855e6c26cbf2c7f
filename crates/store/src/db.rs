//! The two databases behind one face: connections, settings that keep promises, and migrations.
//!
//! Queries are written once; `on!`, `tx!` and `both!` expand them for either connection. Nothing here
//! knows what is kept.
//!
//! Look things up by key with `get_result` and not with `first`: `first` adds a `LIMIT` whose number is bound,
//! and SQLite prepares a statement anew at every use when its plan depended on a bound number.

mod pools;

use std::future::Future;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use diesel::sqlite::SqliteConnection;
use diesel_async::pooled_connection::deadpool::{Object, Pool, PoolError};
use diesel_async::sync_connection_wrapper::SyncConnectionWrapper;
use diesel_async::{
    AsyncConnection, AsyncMigrationHarness, AsyncPgConnection, RunQueryDsl, SimpleAsyncConnection,
};
use diesel_migrations::{EmbeddedMigrations, MigrationHarness, embed_migrations};
use portcullis_authority::refusal::Trouble;

use crate::breaker::Breaker;

/// SQLite, whose calls run on the blocking pool.
pub(crate) type Sqlite = SyncConnectionWrapper<SqliteConnection>;
/// PostgreSQL, without libpq.
pub(crate) type Postgres = AsyncPgConnection;

const MIGRATIONS: EmbeddedMigrations = embed_migrations!("migrations");

/// Servers that start together migrate one after another. Any constant would do, as long as it stays.
const MIGRATION_LOCK: i64 = 0x0050_4f52_5443_554c;

/// How long another process may take to make its tables in a SQLite file.
const SECOND_TRY: Duration = Duration::from_millis(500);

/// What can go wrong between us and a database. An enum of our own, because the futures of transaction
/// closures that return a boxed error are not `Send`.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Fault {
    #[error("{0}")]
    Query(#[from] diesel::result::Error),
    #[error("no connection: {0}")]
    Connection(String),
    #[error("no answer within the patience of {0:?}")]
    Patience(Duration),
    #[error("the database hangs, and is asked again from time to time")]
    Shut,
    /// A row, or a value on its way into one, that does not read.
    #[error("{what} does not read: {why}")]
    Unreadable { what: &'static str, why: String },
    /// A field that is sealed under a data key that is not at hand.
    #[error(
        "a field is sealed under the data key {key}, which this server does not have; restart it with the key-encryption key that wraps it"
    )]
    Locked { key: String },
    /// A copy that cannot be made or put back, in a sentence for whoever asked for it.
    #[error("{0}")]
    Copy(String),
}

impl Fault {
    /// A value that does not read.
    pub(crate) fn unreadable(what: &'static str, why: impl std::fmt::Display) -> Self {
        Self::Unreadable { what, why: why.to_string() }
    }
}

impl From<PoolError> for Fault {
    fn from(error: PoolError) -> Self {
        Self::Connection(error.to_string())
    }
}

impl From<Fault> for Trouble {
    fn from(fault: Fault) -> Self {
        Trouble::new("store", fault)
    }
}

/// A database.
#[derive(Clone)]
pub(crate) struct Db {
    pub(crate) pools: Pools,
    pub(crate) patience: Duration,
    breaker: Arc<Breaker>,
}

/// Connections to whichever it is.
#[derive(Clone)]
pub(crate) enum Pools {
    Sqlite(Pool<Sqlite>),
    Postgres(Pool<Postgres>),
}

/// Connections, counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PoolUse {
    pub most: usize,
    pub in_use: usize,
    pub idle: usize,
    /// Who waits for one.
    pub waiting: usize,
}

/// A connection while a transaction runs on it. Where the work is dropped half-way, because a patience has ended or
/// the server stops, the connection is not given back: with it would go an open transaction, and in a file its lock.
/// It is closed, which takes the transaction back.
pub(crate) struct Held<O: Pooled> {
    object: Option<O>,
    is_over: bool,
}

/// What a pool lends.
pub(crate) trait Pooled {
    /// Closes the connection; the pool makes another one.
    fn close(self);
}

impl Pooled for Object<Sqlite> {
    fn close(self) {
        drop(Self::take(self));
    }
}

impl Pooled for Object<Postgres> {
    fn close(self) {
        drop(Self::take(self));
    }
}

impl<O: Pooled> Held<O> {
    pub(crate) fn new(object: O) -> Self {
        Self { object: Some(object), is_over: false }
    }

    pub(crate) fn object(&mut self) -> &mut O {
        self.object.as_mut().expect("it is taken when this is dropped, and not before")
    }

    /// The transaction was committed or taken back.
    pub(crate) fn is_over(&mut self) {
        self.is_over = true;
    }
}

impl<O: Pooled> Drop for Held<O> {
    fn drop(&mut self) {
        if let Some(object) = self.object.take().filter(|_| !self.is_over) {
            object.close();
        }
    }
}

/// Runs on a connection of whichever database this is.
macro_rules! on {
    ($db:expr, |$c:ident| $body:expr) => {
        match &$db.pools {
            $crate::db::Pools::Sqlite(pool) => {
                let mut held = $db.patient(pool.get()).await??;
                let $c = &mut *held;
                $body
            }
            $crate::db::Pools::Postgres(pool) => {
                let mut held = $db.patient(pool.get()).await??;
                let $c = &mut *held;
                $body
            }
        }
    };
}

/// The same in a transaction that may write: `BEGIN IMMEDIATE` on SQLite, so that a later write cannot
/// find the file busy half-way; the ordinary one on PostgreSQL.
macro_rules! tx {
    ($db:expr, |$c:ident| $body:expr) => {
        match &$db.pools {
            $crate::db::Pools::Sqlite(pool) => {
                let mut held = $crate::db::Held::new($db.patient(pool.get()).await??);
                let outcome = held.object().immediate_transaction(async |$c| $body).await;
                held.is_over();
                outcome
            }
            $crate::db::Pools::Postgres(pool) => {
                let mut held = $crate::db::Held::new($db.patient(pool.get()).await??);
                let work = async |$c: &mut $crate::db::Postgres| $body;
                let outcome = diesel_async::AsyncConnection::transaction(&mut **held.object(), work).await;
                held.is_over();
                outcome
            }
        }
    };
}

/// The same in a transaction that only reads, and sees one moment throughout.
macro_rules! glance {
    ($db:expr, |$c:ident| $body:expr) => {
        match &$db.pools {
            $crate::db::Pools::Sqlite(pool) => {
                let mut held = $crate::db::Held::new($db.patient(pool.get()).await??);
                let work = async |$c: &mut $crate::db::Sqlite| $body;
                let outcome = diesel_async::AsyncConnection::transaction(&mut **held.object(), work).await;
                held.is_over();
                outcome
            }
            $crate::db::Pools::Postgres(pool) => {
                let mut held = $crate::db::Held::new($db.patient(pool.get()).await??);
                let mut glance = held.object().build_transaction().repeatable_read().read_only();
                let outcome = glance.run(async |$c| $body).await;
                held.is_over();
                outcome
            }
        }
    };
}

/// Implements a trait for both connections with one text.
macro_rules! both {
    (impl $name:ident { $($body:tt)* }) => {
        impl $name for $crate::db::Sqlite { $($body)* }
        impl $name for $crate::db::Postgres { $($body)* }
    };
}

/// Implements [`Rows`] for both connections: rows of this type go into this table, so many in one statement
/// of PostgreSQL.
macro_rules! rows_into {
    ($table:path, $row:ty, $bite:expr) => {
        impl $crate::db::Rows<$row> for $crate::db::Sqlite {
            async fn write(&mut self, rows: Vec<$row>) -> Result<(), $crate::db::Fault> {
                let each = move |connection: &mut diesel::SqliteConnection| {
                    rows.iter().try_for_each(|row| {
                        let insert = diesel::insert_into($table).values(row);
                        diesel::RunQueryDsl::execute(insert, connection).map(drop)
                    })
                };
                Ok(self.spawn_blocking(each).await?)
            }
        }
        impl $crate::db::Rows<$row> for $crate::db::Postgres {
            async fn write(&mut self, rows: Vec<$row>) -> Result<(), $crate::db::Fault> {
                for bite in $crate::db::bites(rows, $bite) {
                    let insert = diesel::insert_into($table).values(bite);
                    diesel_async::RunQueryDsl::execute(insert, self).await?;
                }
                Ok(())
            }
        }
    };
}

pub(crate) use {both, glance, on, rows_into, tx};

/// Writes many rows of one kind. To PostgreSQL every statement is a journey, so they go together. SQLite is
/// in this process, and a statement for one row is prepared once and kept, where one for many rows would be
/// prepared anew for each number of them.
pub(crate) trait Rows<R> {
    async fn write(&mut self, rows: Vec<R>) -> Result<(), Fault>;
}

/// Executes an insert of many rows at once. SQLite's kind of it does not exist for diesel-async and runs
/// as a blocking call, hence a trait with two texts.
pub(crate) trait Bulk<Q> {
    async fn bulk(&mut self, insert: Q) -> Result<usize, Fault>;
}

impl<Q> Bulk<Q> for Sqlite
where
    Q: diesel::query_dsl::methods::ExecuteDsl<SqliteConnection> + Send + 'static,
{
    async fn bulk(&mut self, insert: Q) -> Result<usize, Fault> {
        use diesel::query_dsl::methods::ExecuteDsl;
        Ok(self.spawn_blocking(move |connection| ExecuteDsl::execute(insert, connection)).await?)
    }
}

impl<Q> Bulk<Q> for Postgres
where
    Q: diesel_async::methods::ExecuteDsl<Postgres> + Send + 'static,
{
    async fn bulk(&mut self, insert: Q) -> Result<usize, Fault> {
        Ok(diesel_async::methods::ExecuteDsl::execute(insert, self).await?)
    }
}

/// The items in owned pieces of at most so many.
pub(crate) fn bites<T>(items: Vec<T>, most: usize) -> impl Iterator<Item = Vec<T>> {
    let mut items = items.into_iter();
    std::iter::from_fn(move || {
        let bite: Vec<T> = items.by_ref().take(most).collect();
        (!bite.is_empty()).then_some(bite)
    })
}

impl Db {
    /// Opens the database that `url` names and brings its tables up to date. Needs a multi-thread
    /// runtime, because migrations run in place.
    pub(crate) async fn open(
        url: &str,
        root: Option<&Path>,
        size: usize,
        patience: Duration,
    ) -> Result<Self, Fault> {
        let db = Self::connect(url, root, size, patience)?;
        db.migrate().await?;
        Ok(db)
    }

    /// The same with the tables as they are.
    pub(crate) fn connect(
        url: &str,
        root: Option<&Path>,
        size: usize,
        patience: Duration,
    ) -> Result<Self, Fault> {
        Ok(Self {
            pools: pools::pools(url, root, size, patience)?,
            patience,
            breaker: Arc::new(Breaker::new(patience)),
        })
    }

    pub(crate) fn pool_use(&self) -> PoolUse {
        let status = match &self.pools {
            Pools::Sqlite(pool) => pool.status(),
            Pools::Postgres(pool) => pool.status(),
        };
        PoolUse {
            most: status.max_size,
            in_use: status.size.saturating_sub(status.available),
            idle: status.available,
            waiting: status.waiting,
        }
    }

    /// Waits, but not for ever.
    pub(crate) async fn patient<F: Future>(&self, work: F) -> Result<F::Output, Fault> {
        tokio::time::timeout(self.patience, work).await.map_err(|_| Fault::Patience(self.patience))
    }

    /// The same for work with the database, which is not begun while that is known to hang.
    pub(crate) async fn within<T>(&self, work: impl Future<Output = Result<T, Fault>>) -> Result<T, Fault> {
        self.within_each(1, work).await
    }

    /// The same for so many statements, each of which may take all our patience.
    pub(crate) async fn within_each<T>(
        &self,
        statements: u32,
        work: impl Future<Output = Result<T, Fault>>,
    ) -> Result<T, Fault> {
        let patience = self.patience * statements;
        let patient =
            async { tokio::time::timeout(patience, work).await.map_err(|_| Fault::Patience(patience)) };
        // A file does not hang while its writers wait for each other.
        if self.one_writer() {
            return patient.await?;
        }
        let trial = self.breaker.enter()?;
        let outcome = patient.await.and_then(|done| done);
        match &outcome {
            Err(Fault::Patience(_)) => self.breaker.heard_nothing(trial),
            // Nobody answered, and nobody was waited for.
            Err(Fault::Connection(_) | Fault::Shut) => {}
            Ok(_)
            | Err(Fault::Query(_) | Fault::Unreadable { .. } | Fault::Locked { .. } | Fault::Copy(_)) => {
                self.breaker.heard();
            }
        }
        outcome
    }

    /// Whether [`Db::within`] would begin nothing now.
    pub(crate) fn is_shut(&self) -> bool {
        !self.one_writer() && self.breaker.is_shut()
    }

    /// A busy file is one writer's at a time; a server takes care of its writers itself.
    pub(crate) fn one_writer(&self) -> bool {
        matches!(self.pools, Pools::Sqlite(_))
    }

    pub(crate) async fn migrate(&self) -> Result<(), Fault> {
        match &self.pools {
            Pools::Sqlite(pool) => {
                let first = run_migrations(self.patient(pool.get()).await??);
                if first.is_ok() {
                    return first;
                }
                // SQLite has no lock to wait for: whoever was second finds the tables made a moment later.
                tokio::time::sleep(SECOND_TRY).await;
                run_migrations(self.patient(pool.get()).await??)
            }
            Pools::Postgres(pool) => {
                // The connection is thrown away afterwards, and with it the lock and the missing limit.
                let mut held = Object::take(self.patient(pool.get()).await??);
                held.batch_execute("SET statement_timeout TO 0; SET lock_timeout TO 0;").await?;
                diesel::sql_query(format!("SELECT pg_advisory_lock({MIGRATION_LOCK})"))
                    .execute(&mut held)
                    .await?;
                run_migrations(held)
            }
        }
    }
}

fn run_migrations<C>(held: C) -> Result<(), Fault>
where
    C: AsyncConnection,
    AsyncMigrationHarness<C>: MigrationHarness<C::Backend>,
{
    let mut harness = AsyncMigrationHarness::new(held);
    harness.run_pending_migrations(MIGRATIONS).map_err(|why| Fault::unreadable("a migration", why))?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(diesel::QueryableByName)]
    struct Pragma {
        #[diesel(sql_type = diesel::sql_types::Text)]
        journal_mode: String,
        #[diesel(sql_type = diesel::sql_types::BigInt)]
        synchronous: i64,
        #[diesel(sql_type = diesel::sql_types::BigInt)]
        foreign_keys: i64,
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn every_sqlite_connection_waits_for_the_disk() -> Result<(), Fault> {
        let path = std::env::temp_dir().join(format!("portcullis_pragmas_{}.sqlite", std::process::id()));
        let db = Db::open(&path.to_string_lossy(), None, 2, Duration::from_secs(5)).await?;
        for _ in 0..2 {
            let query = diesel::sql_query(
                "SELECT * FROM pragma_journal_mode, pragma_synchronous, pragma_foreign_keys",
            );
            let found: Pragma = on!(db, |c| query.get_result(c).await?);
            // 2 is FULL.
            assert_eq!((found.journal_mode.as_str(), found.synchronous, found.foreign_keys), ("wal", 2, 1));
        }
        for end in ["", "-wal", "-shm"] {
            let _ = std::fs::remove_file(format!("{}{end}", path.display()));
        }
        Ok(())
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn a_transaction_that_is_dropped_half_way_locks_nobody_out() -> Result<(), Fault> {
        let path = std::env::temp_dir().join(format!("portcullis_dropped_{}.sqlite", std::process::id()));
        let db = Db::open(&path.to_string_lossy(), None, 2, Duration::from_millis(500)).await?;
        let Pools::Sqlite(pool) = &db.pools else { unreachable!("it is a file") };
        // Both are there, so that whoever comes next has the other one.
        drop((pool.get().await?, pool.get().await?));
        let make = || diesel::sql_query("CREATE TABLE half (id INTEGER)");
        let stuck = async {
            tx!(db, |c| {
                make().execute(c).await?;
                std::future::pending::<Result<(), Fault>>().await
            })
        };
        assert!(tokio::time::timeout(Duration::from_millis(100), stuck).await.is_err());
        tx!(db, |c| {
            make().execute(c).await?;
            Ok::<_, Fault>(())
        })?;
        for end in ["", "-wal", "-shm"] {
            let _ = std::fs::remove_file(format!("{}{end}", path.display()));
        }
        Ok(())
    }

    #[test]
    fn items_come_in_bites_and_none_is_lost() {
        let sizes: Vec<_> = bites((0..7).collect(), 3).map(|bite: Vec<u8>| bite.len()).collect();
        assert_eq!(sizes, [3, 3, 1]);
        assert_eq!(bites(Vec::<u8>::new(), 3).count(), 0);
    }
}
