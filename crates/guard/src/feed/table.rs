//! Everything that has ended, as one exact set: 128-bit keys, each with the time until which it must be
//! remembered and a number. Many readers that never wait, one writer at a time.
//!
//! Knows nothing of names, tokens or the order of the feed; what it is built of is `sync.rs`. Nothing is ever taken back: a key's number and
//! time only grow, and a key leaves only after its time has passed.

use std::sync::{Arc, PoisonError};

use super::sync::{
    Acquire, ArcSwap, AtomicU64, Guard, LEAST_SLOTS, Mutex, MutexGuard, PARTS, Relaxed, Release,
};
use super::{Id, Kind};

const PART_BITS: u32 = PARTS.trailing_zeros();

/// A part grows when three quarters of its slots are taken, to 5/8 taken. With 24 bytes a slot that is 32
/// to 38 bytes a record, and a miss looks at about eight neighbours at worst.
const FULL: (usize, usize) = (3, 4);
const AFTER_GROWTH: (usize, usize) = (5, 8);

/// What the table is asked for: an id, the kind it belongs to, and whether its number is a time.
///
/// Kind and flag are mixed in, so the end of a token cannot end a login, and a generation is never compared
/// with a time. Ids are random or hashes, which makes the mixing as good as another 128-bit id.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Key {
    high: u64,
    low: u64,
}

impl Key {
    pub fn new(kind: Kind, is_time: bool, id: &Id) -> Self {
        let id = u128::from_be_bytes(*id);
        let tag = (kind as u64) << 1 | u64::from(is_time);
        Self { high: (id >> 64) as u64, low: id as u64 ^ tag.wrapping_mul(SPREAD) }
    }

    /// The upper bits choose the part, the ones below the slot.
    fn hash(self) -> u64 {
        (self.high.rotate_left(32) ^ self.low).wrapping_mul(SPREAD)
    }

    fn part(self) -> usize {
        (self.hash() >> (u64::BITS - PART_BITS)) as usize
    }
}

/// 2^64 divided by the golden ratio, odd: spreads neighbours far apart.
const SPREAD: u64 = 0x9e37_79b9_7f4a_7c15;

type Parts = [Arc<Part>; PARTS];

/// The set.
pub struct Table {
    /// Swapped as a whole, so that one entry serves all lookups of a check: entering costs more than a lookup
    /// and keeps the processor from overlapping them.
    parts: ArcSwap<Parts>,
    /// Taken slots of each part. Whoever holds the lock is the writer.
    taken: Mutex<[usize; PARTS]>,
}

impl Default for Table {
    fn default() -> Self {
        let parts = std::array::from_fn(|_| Arc::new(Part::with_slots(LEAST_SLOTS)));
        Self { parts: ArcSwap::from_pointee(parts), taken: Mutex::new([0; PARTS]) }
    }
}

impl Table {
    /// Begins to look things up; meant to be short. Sees everything that was joined before, and much of
    /// what is joined meanwhile.
    pub fn read(&self) -> Reader {
        Reader(self.parts.load())
    }

    /// The number that is held for a key.
    pub fn find(&self, key: Key) -> Option<u32> {
        self.read().find(key)
    }

    /// Becomes the writer, waiting for the one before.
    pub fn write(&self) -> Writer<'_> {
        // A writer that panicked left every part readable and its count at most one too low, which the
        // spare quarter of each part absorbs.
        Writer { table: self, taken: self.taken.lock().unwrap_or_else(PoisonError::into_inner) }
    }

    /// How many keys are held.
    pub fn len(&self) -> usize {
        self.write().taken.iter().sum()
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Bytes of all slots.
    pub fn bytes(&self) -> usize {
        self.parts.load().iter().map(|part| std::mem::size_of_val::<[Slot]>(&part.slots)).sum()
    }
}

/// Looks things up, without waiting for anybody.
pub struct Reader(Guard<Arc<Parts>>);

impl Reader {
    /// The number that is held for a key.
    pub fn find(&self, key: Key) -> Option<u32> {
        self.0[key.part()].place(key).ok().map(|slot| slot.life().val)
    }
}

/// The only way to change the table.
pub struct Writer<'a> {
    table: &'a Table,
    taken: MutexGuard<'a, [usize; PARTS]>,
}

impl Writer<'_> {
    /// Adds a key, or raises its time and number. Says whether anything changed.
    pub fn join(&mut self, key: Key, exp: u32, val: u32) -> bool {
        let at = key.part();
        let part = self.part(at);
        let life = Life { exp: exp.max(1), val };
        match part.place(key) {
            Ok(slot) => slot.raise(life),
            Err(_) if self.taken[at] >= part.most() => {
                self.rebuild(at, 0);
                self.join(key, exp, val)
            }
            Err(slot) => {
                slot.fill(key, life);
                self.taken[at] += 1;
                true
            }
        }
    }

    /// Drops what is dead from one of the parts; `turn` counts up and goes round.
    pub fn sweep(&mut self, turn: u64, dead_before: u32) {
        let at = (turn % PARTS as u64) as usize;
        let part = self.part(at);
        // A part with nothing to drop is left alone: copying it would cost memory and gain nothing.
        if part.entries().any(|(_, life)| life.exp < dead_before) {
            self.rebuild(at, dead_before);
        }
    }

    /// Copies what is alive into a part of the right size. Readers see the old part until the new one is
    /// whole, and there is no other writer, so no key is missing at any moment.
    fn rebuild(&mut self, at: usize, dead_before: u32) {
        let old = self.part(at);
        let alive = || old.entries().filter(|(_, life)| life.exp >= dead_before);
        let count = alive().count();
        let new = Part::with_room(count);
        for (key, life) in alive() {
            if let Err(slot) = new.place(key) {
                slot.fill(key, life);
            }
        }
        self.taken[at] = count;
        let mut parts = Parts::clone(&self.table.parts.load());
        parts[at] = Arc::new(new);
        self.table.parts.store(Arc::new(parts));
    }

    fn part(&self, at: usize) -> Arc<Part> {
        self.table.parts.load()[at].clone()
    }
}

/// Slots with open addressing. At least a quarter of them is always free, which ends every search.
struct Part {
    slots: Box<[Slot]>,
}

impl Part {
    fn with_room(keys: usize) -> Self {
        Self::with_slots((keys * AFTER_GROWTH.1 / AFTER_GROWTH.0 + 1).max(LEAST_SLOTS))
    }

    fn with_slots(slots: usize) -> Self {
        Self { slots: (0..slots).map(|_| Slot::default()).collect() }
    }

    /// Keys that may be held before the part must grow.
    fn most(&self) -> usize {
        self.slots.len() * FULL.0 / FULL.1
    }

    /// The slot of a key, or else the free slot where it would be.
    fn place(&self, key: Key) -> Result<&Slot, &Slot> {
        // The bits that chose the part are the same for all keys in it; the others become a fraction of
        // the length.
        let fraction = u128::from(key.hash() << PART_BITS);
        let start = ((fraction * self.slots.len() as u128) >> 64) as usize;
        let mut at = start;
        loop {
            let slot = &self.slots[at];
            if slot.life.load(Acquire) == 0 {
                return Err(slot);
            }
            if slot.key() == key {
                return Ok(slot);
            }
            at = if at + 1 == self.slots.len() { 0 } else { at + 1 };
        }
    }

    fn entries(&self) -> impl Iterator<Item = (Key, Life)> + '_ {
        self.slots.iter().filter(|slot| slot.life.load(Acquire) != 0).map(|slot| (slot.key(), slot.life()))
    }
}

/// 24 bytes: a key and its life. A life of zero means free. The key is written once, before the life, and
/// whoever sees the life (acquire) sees the key.
#[derive(Default)]
struct Slot {
    high: AtomicU64,
    low: AtomicU64,
    life: AtomicU64,
}

impl Slot {
    fn key(&self) -> Key {
        Key { high: self.high.load(Relaxed), low: self.low.load(Relaxed) }
    }

    fn life(&self) -> Life {
        Life::unpack(self.life.load(Acquire))
    }

    /// Only for a free slot, only by the writer.
    fn fill(&self, key: Key, life: Life) {
        self.high.store(key.high, Relaxed);
        self.low.store(key.low, Relaxed);
        self.life.store(life.pack(), Release);
    }

    /// Only by the writer, so nothing happens between the load and the store.
    fn raise(&self, to: Life) -> bool {
        let held = self.life();
        let joined = Life { exp: held.exp.max(to.exp), val: held.val.max(to.val) };
        self.life.store(joined.pack(), Release);
        joined != held
    }
}

/// Until when a key is remembered, in seconds and never zero, and its number.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Life {
    exp: u32,
    val: u32,
}

impl Life {
    fn pack(self) -> u64 {
        u64::from(self.exp) << 32 | u64::from(self.val)
    }

    fn unpack(word: u64) -> Self {
        Self { exp: (word >> 32) as u32, val: word as u32 }
    }
}
