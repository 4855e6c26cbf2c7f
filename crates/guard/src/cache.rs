//! Tokens whose signature has been verified lately. May forget anything at any time; decides nothing:
//! times and revocation are asked again on every use (`guard.rs`).
//!
//! The signature is not kept, only its SHA-256, so that a memory dump holds no token that can be used.
//! What the signature covers is compared in full.

use std::sync::Arc;

use arc_swap::{ArcSwapOption, Guard};
use ring::digest;

use crate::access::Access;
use crate::revocation::Mark;

/// The largest token that is kept, bytes of signing input. The server issues none above 4 kB.
const LARGEST_KEPT: usize = 4 * 1024;

/// A flat table of pairs: a token lives in one of two places, found by its digest.
pub(crate) struct Cache {
    pairs: Box<[[ArcSwapOption<Entry>; 2]]>,
}

/// SHA-256 of the signature segment.
pub(crate) type Digest = [u8; 32];

/// A token that was genuine under one reading of the keys.
pub(crate) struct Entry {
    pub digest: Digest,
    pub signing_input: Box<str>,
    pub access: Access,
    /// [`crate::KeySet::reading`] of the keys that verified it.
    pub reading: u64,
    /// Where the revocations stood when the token was last found alive.
    pub mark: Option<Mark>,
}

impl Cache {
    /// Room for about `tokens` tokens; none for 0. A typical entry takes 3.5 kB: 1.2 of signing input and
    /// the claims.
    pub fn new(tokens: usize) -> Self {
        let pairs = if tokens == 0 { 0 } else { tokens.div_ceil(2).next_power_of_two() };
        Self { pairs: std::iter::repeat_with(Default::default).take(pairs).collect() }
    }

    /// The entry of exactly this token.
    pub fn find(&self, digest: &Digest, signing_input: &str) -> Option<Guard<Option<Arc<Entry>>>> {
        self.pair(digest)?.iter().map(ArcSwapOption::load).find(|held| {
            held.as_ref().is_some_and(|it| it.digest == *digest && *it.signing_input == *signing_input)
        })
    }

    /// Keeps an entry in the place of the same token, else in a free place, else in the place of whichever
    /// token dies sooner.
    pub fn keep(&self, entry: Entry) {
        let Some([first, second]) = self.pair(&entry.digest) else { return };
        if entry.signing_input.len() > LARGEST_KEPT {
            return;
        }
        let rank = |place: &ArcSwapOption<Entry>| match &*place.load() {
            Some(held) if held.digest == entry.digest => (0, 0),
            None => (1, 0),
            Some(held) => (2, held.access.claims().exp),
        };
        let place = if rank(second) < rank(first) { second } else { first };
        place.store(Some(Arc::new(entry)));
    }

    fn pair(&self, digest: &Digest) -> Option<&[ArcSwapOption<Entry>; 2]> {
        let number = u32::from_be_bytes([digest[0], digest[1], digest[2], digest[3]]) as usize;
        self.pairs.get(number & self.pairs.len().wrapping_sub(1))
    }
}

/// The digest of a signature segment as it arrived.
pub(crate) fn digest(signature: &str) -> Digest {
    let mut bytes = [0; 32];
    bytes.copy_from_slice(digest::digest(&digest::SHA256, signature.as_bytes()).as_ref());
    bytes
}
