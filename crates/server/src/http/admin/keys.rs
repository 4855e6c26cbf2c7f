//! `/keys`: the signing keys and how old they are. They rotate on their own; a rotation by hand is a proposal
//! (`key_rotation`), and a key is revoked like everything else (`/cuts`). The feed's own key changes by files
//! (`keys/succession.rs`); here is said where that stands, as the server that answers has read them at its start.

use portcullis_authority::keyring::KeyRow;
use portcullis_authority::ledger::Survey as _;
use portcullis_authority::operators::Denial;
use schemars::JsonSchema;
use serde::Serialize;

use super::call::Visit;
use super::route::{Answer, Method, Route, SEEING, json, shape};
use crate::audit;
use crate::keys::{FeedKey, Step};

/// How old the feed's key may become before another one is prepared, seconds.
const A_YEAR: u64 = 365 * 86_400;

pub const ROUTES: &[Route] = &[Route::new(
    Method::Get,
    "/keys",
    SEEING,
    "Lists the signing keys, the oldest first, and says where the feed's own key stands.",
    |visit| Box::pin(list(visit)),
)
.answers(shape::<KeyList>)];

#[derive(Serialize, JsonSchema)]
#[schemars(rename = "KeyList")]
struct KeyList {
    keys: Vec<Shown>,
    feed: Feed,
}

/// The key of the feed, of receipts and of the audit log's checkpoints, which does not rotate on its own.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "FeedKeys")]
struct Feed {
    /// Signs.
    signs: ShownFeedKey,
    /// Stands by: published, and signs nothing.
    next: Option<ShownFeedKey>,
    /// Signs no more, and is still published.
    before: Option<ShownFeedKey>,
    /// What `portcullis keys feed` does next: `prepare`, `sign` or `forget`.
    step: &'static str,
    /// When that is due: a year after the key began to sign. Absent while a change is under way, and where nobody
    /// knows how old the key is.
    due: Option<u64>,
}

#[derive(Serialize, JsonSchema)]
#[schemars(rename = "FeedKey")]
struct ShownFeedKey {
    kid: String,
    /// Its `kid` in `/.well-known/rv-jwks.json`.
    published_as: String,
    /// Since when it signs or stands by, if that is known; for a key that is older than such notes, since its oldest
    /// checkpoint of the audit log that is still kept.
    since: Option<u64>,
}

impl From<&FeedKey> for ShownFeedKey {
    fn from(key: &FeedKey) -> Self {
        Self { kid: key.kid.clone(), published_as: key.published_as.clone(), since: key.since }
    }
}

/// A signing key; nothing of its private half.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "SigningKey")]
struct Shown {
    kid: String,
    algorithm: String,
    /// `pending`, `active`, `retired` or `ended`.
    state: &'static str,
    /// When it came into the books, seconds since the epoch.
    made_at: u64,
    /// Since when it has this state, or had the one before it was revoked.
    since: u64,
    /// Where the private half is or was, if not sealed in the books: `pkcs11`.
    #[serde(skip_serializing_if = "Option::is_none")]
    vault: Option<String>,
}

impl From<KeyRow> for Shown {
    fn from(key: KeyRow) -> Self {
        Self {
            kid: key.kid,
            algorithm: key.algorithm,
            state: key.state.as_str(),
            made_at: key.made_at,
            since: key.since,
            vault: key.vault,
        }
    }
}

async fn list(visit: Visit) -> Answer {
    let chain = visit.store().key_chain().await?;
    json(&KeyList { keys: chain.keys.into_iter().map(Shown::from).collect(), feed: feed(&visit).await? })
}

async fn feed(visit: &Visit) -> Result<Feed, Denial> {
    let press = visit.lodge.house.hub.press();
    let standing = press.succession();
    let mut signs = ShownFeedKey::from(&standing.signs);
    if signs.since.is_none() {
        signs.since = visit.store().first_checkpoint(&audit::opening(press)).await?;
    }
    let step = standing.step();
    let due = signs.since.filter(|_| step == Step::Prepare).map(|since| since.saturating_add(A_YEAR));
    Ok(Feed {
        signs,
        next: standing.next.as_ref().map(ShownFeedKey::from),
        before: standing.before.as_ref().map(ShownFeedKey::from),
        step: step.as_str(),
        due,
    })
}
