//! A database that is migrated once and copied for every town, which is faster than migrating each. It is named
//! after the migrations that made it, stays on the test server and serves later runs too.

use std::collections::BTreeSet;
use std::sync::Arc;

use diesel::QueryableByName;
use diesel::sql_types::BigInt;
use diesel_async::{AsyncConnection as _, AsyncPgConnection, RunQueryDsl as _, SimpleAsyncConnection as _};
use portcullis::means::SystemClock;
use portcullis_authority::desk::Clock as _;
use portcullis_store::{Store, StoreSettings};
use ring::digest;
use tokio::sync::Mutex;

use super::beside;

/// Whoever makes the model; any number that nobody else takes.
const LOCK: i64 = 0x006d_6f64_656c;
/// The feed that towns write. Whoever wants another one makes it when the books open.
const FEED: &str = "live:eu1";

#[derive(QueryableByName)]
struct Count {
    #[diesel(sql_type = BigInt)]
    count: i64,
}

/// Servers on which it stands, as far as this process has looked.
static STANDS: Mutex<BTreeSet<String>> = Mutex::const_new(BTreeSet::new());

/// Makes it, unless it is there; says what it is called. Several processes may ask at once.
pub(super) async fn stand(server: &str) -> String {
    let name = format!("portcullis_model_{}", fingerprint());
    let mut known = STANDS.lock().await;
    if !known.contains(server) {
        make(server, &name).await;
        known.insert(server.to_owned());
    }
    name
}

async fn make(server: &str, name: &str) {
    let mut line = AsyncPgConnection::establish(server).await.expect("the test server answers");
    line.batch_execute(&format!("SELECT pg_advisory_lock({LOCK})")).await.expect("the lock comes free");
    let known = format!("SELECT count(*) AS count FROM pg_database WHERE datname = '{name}'");
    let known: Count = diesel::sql_query(known).get_result(&mut line).await.expect("databases are listed");
    if known.count == 0 {
        // Under another name until it is whole: whoever makes it may be killed on the way.
        let draft = format!("{name}_draft");
        let begin = [format!("DROP DATABASE IF EXISTS {draft}"), format!("CREATE DATABASE {draft}")];
        for statement in begin {
            line.batch_execute(&statement).await.expect("databases may be made");
        }
        migrate(beside(server, &draft)).await;
        let finish = format!("ALTER DATABASE {draft} RENAME TO {name}");
        line.batch_execute(&finish).await.expect("nobody is connected to it any more");
    }
}

/// Opens the books once, which brings their tables up to date.
async fn migrate(url: String) {
    let done = std::thread::spawn(move || {
        let runtime = tokio::runtime::Runtime::new().expect("threads can be made");
        let opened = Store::open(StoreSettings::new(url, FEED), Arc::new(|| SystemClock.now_ms()));
        runtime.block_on(opened).map(drop)
    });
    let done = tokio::task::spawn_blocking(|| done.join()).await.expect("it ends");
    done.expect("it does not panic").expect("the books open");
}

/// Of all migrations, in their order.
fn fingerprint() -> String {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../crates/store/migrations");
    let steps = std::fs::read_dir(folder).expect("the migrations are there");
    let mut steps: Vec<_> = steps.map(|step| step.expect("it reads").path().join("up.sql")).collect();
    steps.sort();
    let mut all = digest::Context::new(&digest::SHA256);
    for step in steps {
        all.update(&std::fs::read(step).expect("each has its SQL"));
    }
    all.finish().as_ref()[..8].iter().map(|byte| format!("{byte:02x}")).collect()
}
