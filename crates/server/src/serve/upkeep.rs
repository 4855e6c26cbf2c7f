//! What goes on beside the requests: what was noted in memory is written down, what was made elsewhere is taken up,
//! and the limits of several servers are brought together.

use std::sync::Arc;
use std::time::{Duration, Instant};

use portcullis_store::Store;

use crate::house::House;

/// How often limits that refused are told.
const SWEEP: Duration = Duration::from_secs(60);
/// How often the use of secrets is written down.
const NOTES: Duration = Duration::from_secs(30);
/// How often data keys are looked for that were made elsewhere: so long this server seals under the one before.
const KEYS: Duration = Duration::from_secs(5);
/// How often other servers are told what was counted here: so much later they know it.
const WORD: Duration = Duration::from_millis(100);

/// Writes down which secrets were used. Runs until it is aborted.
pub async fn uses(store: Store) {
    loop {
        tokio::time::sleep(NOTES).await;
        if let Err(trouble) = store.write_uses().await {
            tracing::warn!(%trouble, "the use of secrets could not be noted");
        }
    }
}

/// Takes up data keys that were made elsewhere. Runs until it is aborted.
pub async fn data_keys(store: Store) {
    loop {
        tokio::time::sleep(KEYS).await;
        if let Err(trouble) = store.learn_data_keys().await {
            tracing::warn!(%trouble, "data keys could not be looked for");
        }
    }
}

/// Tells other servers what was counted here, drops buckets that say nothing any more, and says in the log once
/// a minute which limits refused: a flood is a few lines and no row in the books. Runs until it is aborted.
pub async fn limits(house: Arc<House>) {
    let desk = house.authority.desk();
    let mut said: Vec<_> = desk.limits.refusals().collect();
    let mut swept = Instant::now();
    loop {
        while desk.limits.tell(desk).await {}
        tokio::time::sleep(WORD).await;
        if swept.elapsed() < SWEEP {
            continue;
        }
        swept = Instant::now();
        desk.limits.sweep(desk);
        let now: Vec<_> = desk.limits.refusals().collect();
        for ((limit, before), (_, after)) in said.iter().zip(&now).filter(|(before, after)| before != after) {
            tracing::warn!(limit, refused = after - before, "a limit was reached");
        }
        said = now;
    }
}
