//! `/keys`: the signing keys and how old they are. They rotate on their own; a rotation by hand is a proposal
//! (`key_rotation`), and a key is revoked like everything else (`/cuts`).

use portcullis_authority::keyring::KeyRow;
use portcullis_authority::ledger::Survey as _;
use schemars::JsonSchema;
use serde::Serialize;

use super::call::Visit;
use super::route::{Answer, Method, Route, SEEING, json, shape};

pub const ROUTES: &[Route] =
    &[Route::new(Method::Get, "/keys", SEEING, "Lists the signing keys, the oldest first.", |visit| {
        Box::pin(list(visit))
    })
    .answers(shape::<KeyList>)];

#[derive(Serialize, JsonSchema)]
#[schemars(rename = "KeyList")]
struct KeyList {
    keys: Vec<Shown>,
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
    json(&KeyList { keys: chain.keys.into_iter().map(Shown::from).collect() })
}
