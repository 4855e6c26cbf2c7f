//! Where private keys are used. Most lie sealed in the books and are opened into memory; those of a vault (a
//! PKCS#11 token, a cloud's key service) are made there, sign there and never leave it. Knows no vault: the
//! server brings one.

use std::sync::Arc;

use async_trait::async_trait;
use serde_json::Value;

use crate::refusal::Trouble;

/// What can sign with one key. It may be slow or elsewhere, and must not change what it is handed: the answer
/// is the bytes that a JWS carries (RFC 7518 section 3), for ECDSA r and s one after the other.
///
/// Whoever takes longer than microseconds waits without holding the thread, gives up after a bounded time, and
/// lets a bounded number wait: what is asked for is a token, and somebody waits for it.
#[async_trait]
pub trait Signer: Send + Sync {
    /// # Errors
    /// Trouble when it cannot sign; then nothing was promised, and the caller may ask again.
    async fn sign(&self, message: &[u8]) -> Result<Vec<u8>, Trouble>;
}

/// A place that makes keys and never gives their private halves away. Several servers share one: a key is known
/// by its `kid` alone, and what one server made another finds.
#[async_trait]
pub trait Vault: Send + Sync {
    /// What the books write beside a key that is kept here.
    fn name(&self) -> &'static str;
    /// Whether new keys for this algorithm are made here.
    fn makes(&self, algorithm: &str) -> bool;
    /// Whether the last thing that was asked of it was done, for those who watch.
    fn is_up(&self) -> bool;
    /// Makes a key and gives its public JWK, with a `kid` that is no other key's, `alg` and `use`. It may take
    /// seconds. A key that no books hear of is to be destroyed by whoever had it made.
    ///
    /// # Errors
    /// Trouble when it cannot; then there is no such key.
    async fn make(&self, algorithm: &str, region: &str) -> Result<Value, Trouble>;
    /// What signs with the key that has this public JWK. Asks nobody: a vault that is away is trouble for
    /// whoever signs, and not for whoever reads the books.
    ///
    /// # Errors
    /// Trouble when it could not even be asked for, such as an algorithm that it does not know.
    fn signer(&self, public: &Value) -> Result<Arc<dyn Signer>, Trouble>;
    /// Destroys a key. One that is not there is destroyed already.
    ///
    /// # Errors
    /// Trouble when the key may still be there.
    async fn destroy(&self, kid: &str) -> Result<(), Trouble>;
}

/// Where new keys for an algorithm are made: in the vault with this name, or in the books.
pub fn home(vault: Option<&dyn Vault>, algorithm: &str) -> Option<&'static str> {
    vault.filter(|vault| vault.makes(algorithm)).map(Vault::name)
}
