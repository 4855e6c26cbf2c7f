//! Tokens whose signature has been verified lately. May forget anything at any time; decides nothing:
//! times and revocation are asked again on every use (`guard.rs`).
//!
//! The signature is not kept, only its SHA-256, so that a memory dump holds no token that can be used.
//! What the signature covers is compared in full.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use arc_swap::{ArcSwapOption, Guard};
use ring::digest;

use crate::access::Access;

/// The largest token that is kept, bytes of signing input. The server issues none above 4 kB.
const LARGEST_KEPT: usize = 4 * 1024;

/// Places in a shelf: four tags and four pointers are one line of memory.
const PLACES: usize = 4;

/// A table of small shelves. A token lies on one of two shelves, found by its digest; a new one goes to
/// the emptier, so that the table is well filled before anything is pushed out.
pub(crate) struct Cache {
    shelves: Box<[Shelf]>,
}

type Shelf = [Place; PLACES];

/// Room for one token.
#[derive(Default)]
struct Place {
    /// Eight bytes of the digest, so that a search touches no entry but the right one; 0 is free. Only a
    /// hint: two writers may leave it beside another's entry, which is then not found.
    tag: AtomicU64,
    held: ArcSwapOption<Entry>,
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
    /// Which version the revocations had when the token was last found alive.
    pub version: AtomicU64,
}

impl Cache {
    /// Room for about `tokens` tokens; none for 0. A typical entry takes 3.5 kB: 1.2 of signing input and
    /// the claims.
    pub fn new(tokens: usize) -> Self {
        let shelves = if tokens == 0 { 0 } else { tokens.div_ceil(PLACES).next_power_of_two() };
        Self { shelves: std::iter::repeat_with(Shelf::default).take(shelves).collect() }
    }

    /// The entry of exactly this token.
    pub fn find(&self, digest: &Digest, signing_input: &str) -> Option<Guard<Option<Arc<Entry>>>> {
        let tag = tag(digest);
        let tagged =
            self.shelves_of(digest).flatten().filter(|place| place.tag.load(Ordering::Acquire) == tag);
        tagged.map(|place| place.held.load()).find(|held| {
            held.as_ref().is_some_and(|it| it.digest == *digest && *it.signing_input == *signing_input)
        })
    }

    /// Keeps an entry in the place of the same token, else in a free place of the emptier shelf, else in
    /// the place of whichever token dies first.
    pub fn keep(&self, entry: Entry) {
        if entry.signing_input.len() > LARGEST_KEPT {
            return;
        }
        let tag = tag(&entry.digest);
        let ranked = self.shelves_of(&entry.digest).flat_map(|shelf| {
            let taken = shelf.iter().filter(|place| place.tag.load(Ordering::Relaxed) != 0).count() as u64;
            shelf.iter().map(move |place| (place.rank(tag, taken), place))
        });
        if let Some((_, place)) = ranked.min_by_key(|(rank, _)| *rank) {
            place.held.store(Some(Arc::new(entry)));
            place.tag.store(tag, Ordering::Release);
        }
    }

    /// The two shelves of a token; none when nothing is kept.
    fn shelves_of(&self, digest: &Digest) -> impl Iterator<Item = &Shelf> {
        let mask = self.shelves.len().wrapping_sub(1);
        let pick =
            |at: usize| u32::from_be_bytes([digest[at], digest[at + 1], digest[at + 2], digest[at + 3]]);
        [pick(0), pick(4)].into_iter().filter_map(move |number| self.shelves.get(number as usize & mask))
    }
}

impl Place {
    /// How willingly this place takes a token with this tag; the smallest takes it.
    fn rank(&self, tag: u64, taken: u64) -> (u8, u64) {
        match self.tag.load(Ordering::Relaxed) {
            own if own == tag => (0, 0),
            0 => (1, taken),
            _ => (2, self.held.load().as_ref().map_or(0, |held| held.access.claims().exp)),
        }
    }
}

/// The digest of a signature segment as it arrived.
pub(crate) fn digest(signature: &str) -> Digest {
    let mut bytes = [0; 32];
    bytes.copy_from_slice(digest::digest(&digest::SHA256, signature.as_bytes()).as_ref());
    bytes
}

/// Bytes of the digest that the choice of shelves does not use; never 0.
fn tag(digest: &Digest) -> u64 {
    let bytes = [8, 9, 10, 11, 12, 13, 14, 15].map(|at: usize| digest[at]);
    u64::from_be_bytes(bytes).max(1)
}
