//! How connections to each database are made, and the settings that each of them is given first.

use std::path::Path;
use std::time::Duration;

use diesel_async::pooled_connection::deadpool::Pool;
use diesel_async::pooled_connection::{AsyncDieselConnectionManager, ManagerConfig, RecyclingMethod};
use diesel_async::{AsyncConnection, SimpleAsyncConnection};
use futures_util::FutureExt;
use tokio::runtime::Handle;

use super::{Fault, Pools, Postgres, Sqlite};
use crate::wire::Wire;

/// Connections to the database that `url` names; none is made before it is asked for.
pub(super) fn pools(url: &str, root: Option<&Path>, size: usize, patience: Duration) -> Result<Pools, Fault> {
    let built =
        |error: diesel_async::pooled_connection::deadpool::BuildError| Fault::Connection(error.to_string());
    if url.starts_with("postgres://") || url.starts_with("postgresql://") {
        let config = postgres_config(Wire::new(url, root, patience)?, patience);
        let manager = AsyncDieselConnectionManager::new_with_config(url, config);
        return Pool::builder(manager).max_size(size).build().map(Pools::Postgres).map_err(built);
    }
    let path = url.strip_prefix("sqlite:").unwrap_or(url);
    let path = path.strip_prefix("//").unwrap_or(path);
    if path.is_empty() || path.contains("://") {
        return Err(Fault::Connection("the address is neither sqlite:PATH nor postgres://...".into()));
    }
    // A database in memory is its connection, so there can only be one.
    let size = if path == ":memory:" { 1 } else { size };
    let manager = AsyncDieselConnectionManager::new_with_config(path, sqlite_config(patience));
    Pool::builder(manager).max_size(size).build().map(Pools::Sqlite).map_err(built)
}

/// `synchronous=FULL` and not `NORMAL`: an answered promise is on disk, not in the write-ahead log's cache.
fn sqlite_config(patience: Duration) -> ManagerConfig<Sqlite> {
    let pragmas = format!(
        "PRAGMA busy_timeout={}; PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL; PRAGMA foreign_keys=ON;",
        patience.as_millis()
    );
    let mut config = ManagerConfig::default();
    config.recycling_method = RecyclingMethod::Fast;
    config.custom_setup = Box::new(move |path| {
        let (path, pragmas) = (path.to_owned(), pragmas.clone());
        async move {
            let mut connection = Sqlite::establish(&path).await?;
            connection
                .batch_execute(&pragmas)
                .await
                .map_err(diesel::ConnectionError::CouldntSetupConfiguration)?;
            Ok(connection)
        }
        .boxed()
    });
    config
}

/// The driver of a connection is spawned on the runtime that opened the store, so that a web worker which
/// is busy signing does not hold up everybody's database. `synchronous_commit` is never off, for the same
/// reason as `synchronous=FULL`; a stronger setting of the operator stays.
fn postgres_config(wire: Wire, patience: Duration) -> ManagerConfig<Postgres> {
    let settings = format!(
        "SET statement_timeout TO {limit}; SET lock_timeout TO {limit}; \
         SET idle_in_transaction_session_timeout TO {idle}; \
         SELECT set_config('synchronous_commit', 'on', false) WHERE current_setting('synchronous_commit') = 'off';",
        limit = patience.as_millis(),
        idle = patience.as_millis() * 2,
    );
    let home = Handle::try_current().ok();
    let mut config = ManagerConfig::default();
    config.recycling_method = RecyclingMethod::Fast;
    config.custom_setup = Box::new(move |_| {
        let (wire, settings, home) = (wire.clone(), settings.clone(), home.clone());
        async move {
            let made = async move {
                let mut connection = wire.connect().await?;
                connection
                    .batch_execute(&settings)
                    .await
                    .map_err(diesel::ConnectionError::CouldntSetupConfiguration)?;
                Ok(connection)
            };
            match home {
                Some(home) => home
                    .spawn(made)
                    .await
                    .unwrap_or_else(|why| Err(diesel::ConnectionError::BadConnection(why.to_string()))),
                None => made.await,
            }
        }
        .boxed()
    });
    config
}
