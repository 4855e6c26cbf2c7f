//! Alters frames. The same seed alters the same way.

use std::time::{SystemTime, UNIX_EPOCH};

/// The longest input that is made, bytes.
const LONGEST: usize = 64 * 1024;

/// Chance and what is done with it.
pub struct Mangler(u64);

/// A seed that differs from run to run.
pub fn new_seed() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).expect("it is after 1970");
    u64::try_from(since.as_nanos() % u128::from(u64::MAX)).expect("it is less than the modulus")
}

impl Mangler {
    pub fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// One of the corpus, altered a few times. Now and then not at all, so that what is genuine is tried too.
    pub fn mangle(&mut self, corpus: &[Vec<u8>]) -> Vec<u8> {
        let mut bytes = corpus[self.below(corpus.len())].clone();
        for _ in 0..self.below(5) {
            let other = &corpus[self.below(corpus.len())];
            self.alter(&mut bytes, other);
            bytes.truncate(LONGEST);
        }
        bytes
    }

    fn alter(&mut self, bytes: &mut Vec<u8>, other: &[u8]) {
        let (from, to) = self.stretch(bytes.len());
        match self.below(9) {
            0 => bytes.truncate(from),
            1 => drop(bytes.drain(from..to)),
            2 => bytes.extend_from_within(from..to),
            3 => {
                let (start, end) = self.stretch(other.len());
                bytes.splice(from..to, other[start..end].iter().copied());
            }
            4 => {
                let noise: Vec<u8> = (0..self.below(40)).map(|_| self.next() as u8).collect();
                bytes.splice(from..from, noise);
            }
            5 => bytes[from..to].reverse(),
            // A number of eight or four bytes at its limits, where lengths and counts are.
            6 | 7 => {
                let limits = [0, 1, u64::MAX, u64::MAX - 1, 1 << 63, 1 << 31, 65_536, 65_537];
                let number = limits[self.below(limits.len())].to_be_bytes();
                let width = if self.below(2) == 0 { 8 } else { 4 };
                bytes.iter_mut().skip(from).zip(&number[8 - width..]).for_each(|(byte, new)| *byte = *new);
            }
            _ => {
                if let Some(byte) = bytes.get_mut(from) {
                    *byte ^= 1 << (self.next() % 8);
                }
            }
        }
    }

    /// Two places in order.
    fn stretch(&mut self, length: usize) -> (usize, usize) {
        let (a, b) = (self.below(length + 1), self.below(length + 1));
        (a.min(b), a.max(b))
    }

    fn below(&mut self, end: usize) -> usize {
        (self.next() % end.max(1) as u64) as usize
    }

    /// SplitMix64, which is enough to alter bytes.
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ self.0 >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ mixed >> 31
    }
}
