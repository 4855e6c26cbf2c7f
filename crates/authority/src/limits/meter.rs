//! The buckets, in a bounded room. Nobody's bucket is ever thrown out to make room for another: whoever could
//! fill the room would clear other people's counts by it. A bucket that is paid off says nothing and is
//! dropped; when the room is still full, newcomers share one bucket, the crowd's, so that they are counted
//! more coarsely and never not at all.

use std::collections::HashMap;
use std::hash::{BuildHasher as _, Hash, RandomState};
use std::sync::{Mutex, MutexGuard, PoisonError};

use super::allowance::{Allowance, Standing};
use super::peers::Counted;

const SHARDS: usize = 16;
/// How much more newcomers may do together, while the room is full, than one of them alone.
const CROWD: u32 = 16;
/// Looking for buckets that are paid off reads the whole shard, so not more often than this (microseconds).
const SWEEP: u64 = 1_000_000;

/// What is counted by whom: a rule, whom it is about, and from where.
#[derive(Clone, Copy, Debug, Hash)]
pub struct Key<'a> {
    pub rule: &'static str,
    pub of: &'a str,
    pub from: &'a str,
    /// Other servers are asked before anything is done; the rest they are told by and by.
    pub at_once: bool,
}

impl<'a> Key<'a> {
    pub fn new(rule: &'static str, of: &'a str, from: &'a str) -> Self {
        Self { rule, of, from, at_once: false }
    }
}

/// The buckets.
pub struct Meter {
    shards: Vec<Mutex<Shard>>,
    /// Keyed by chance, so that nobody can aim at somebody else's bucket.
    hasher: RandomState,
    room: usize,
    /// Gives buckets the names under which other servers know them, where there are any.
    namer: Option<Namer>,
}

/// Makes a name that tells nothing of what is behind it; none for what this server counts alone.
pub type Namer = Box<dyn Fn(&Key<'_>) -> Option<String> + Send + Sync>;

#[derive(Default)]
struct Shard {
    cells: HashMap<u64, Cell>,
    crowd: HashMap<&'static str, u64>,
    /// Cells with something that other servers have not been told.
    untold: Vec<u64>,
    swept: u64,
}

struct Cell {
    due: u64,
    untold: u64,
    name: Option<Box<Told>>,
}

struct Told {
    name: String,
    window: u64,
    /// Told by who takes out of it, and waits for the answer.
    at_once: bool,
}

impl Meter {
    pub fn new(keys: usize, namer: Option<Namer>) -> Self {
        let shards = (0..SHARDS).map(|_| Mutex::default()).collect();
        Self { shards, hasher: RandomState::new(), room: keys.div_ceil(SHARDS).max(1), namer }
    }

    /// Takes out of a bucket, and says what is left.
    ///
    /// # Errors
    /// How long to wait, in microseconds.
    pub fn take(&self, key: &Key<'_>, allowance: Allowance, cost: u32, now: u64) -> Result<Standing, u64> {
        if allowance.is_open() {
            return Ok(allowance.standing(0, now));
        }
        let id = self.hasher.hash_one(key);
        let mut shard = self.shard(id);
        if let Some(cell) = shard.cells.get_mut(&id) {
            cell.due = allowance.take(cell.due, now, cost)?;
            let due = cell.due;
            shard.keep_telling(id, allowance.price(cost));
            return Ok(allowance.standing(due, now));
        }
        if !shard.has_room(self.room, now) {
            let crowd = shard.crowd.entry(key.rule).or_default();
            *crowd = allowance.times(CROWD).take(*crowd, now, cost)?;
            return Ok(Standing { remaining: 0, ..allowance.standing(0, now) });
        }
        let due = allowance.take(0, now, cost)?;
        let name = self.namer.as_ref().and_then(|namer| namer(key));
        let name = name.map(|name| Box::new(Told { name, window: allowance.window(), at_once: key.at_once }));
        shard.cells.insert(id, Cell { due, untold: 0, name });
        shard.keep_telling(id, allowance.price(cost));
        Ok(allowance.standing(due, now))
    }

    /// What is left, without taking.
    ///
    /// # Errors
    /// How long to wait, in microseconds.
    pub fn look(&self, key: &Key<'_>, allowance: Allowance, now: u64) -> Result<Standing, u64> {
        if allowance.is_open() {
            return Ok(allowance.standing(0, now));
        }
        let id = self.hasher.hash_one(key);
        let due = self.shard(id).cells.get(&id).map_or(0, |cell| cell.due);
        allowance.take(due, now, 0).map(|due| allowance.standing(due, now))
    }

    /// Puts back what was taken.
    pub fn give_back(&self, key: &Key<'_>, allowance: Allowance, cost: u32) {
        let id = self.hasher.hash_one(key);
        if let Some(cell) = self.shard(id).cells.get_mut(&id) {
            cell.due = cell.due.saturating_sub(allowance.price(cost));
            cell.untold = cell.untold.saturating_sub(allowance.price(cost));
        }
    }

    /// Drops a bucket; gives what other servers must be told, if they know it.
    pub fn forget(&self, key: &Key<'_>) -> Option<Counted> {
        let id = self.hasher.hash_one(key);
        let cell = self.shard(id).cells.remove(&id)?;
        cell.name.map(|told| Counted { name: told.name, price: 0, window: told.window, forget: true })
    }

    /// What other servers have not been told of one bucket.
    pub fn untold(&self, key: &Key<'_>) -> Option<Counted> {
        let id = self.hasher.hash_one(key);
        self.shard(id).tell(id)
    }

    /// What other servers have not been told, of so many buckets at most; and their ids for [`Meter::join`].
    pub fn all_untold(&self, most: usize) -> Vec<(u64, Counted)> {
        let mut all = Vec::new();
        for shard in &self.shards {
            let mut shard = shard.lock().unwrap_or_else(PoisonError::into_inner);
            while all.len() < most
                && let Some(id) = shard.untold.pop()
            {
                all.extend(shard.tell(id).map(|counted| (id, counted)));
            }
        }
        all
    }

    /// Joins what all servers together counted: `owed` microseconds from now.
    pub fn join(&self, id: u64, owed: u64, now: u64) {
        if let Some(cell) = self.shard(id).cells.get_mut(&id) {
            cell.due = cell.due.max(now + owed);
        }
    }

    /// The id of a key, for [`Meter::join`].
    pub fn id(&self, key: &Key<'_>) -> u64 {
        self.hasher.hash_one(key)
    }

    /// Drops every bucket that is paid off.
    pub fn sweep(&self, now: u64) {
        for shard in &self.shards {
            let mut shard = shard.lock().unwrap_or_else(PoisonError::into_inner);
            shard.cells.retain(|_, cell| cell.due > now);
        }
    }

    /// How many buckets there are.
    pub fn len(&self) -> usize {
        let count = |shard: &Mutex<Shard>| shard.lock().unwrap_or_else(PoisonError::into_inner).cells.len();
        self.shards.iter().map(count).sum()
    }

    /// Whole after every statement, so a panic elsewhere spoils nothing.
    fn shard(&self, id: u64) -> MutexGuard<'_, Shard> {
        let at = usize::try_from(id % SHARDS as u64).unwrap_or_default();
        self.shards[at].lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Shard {
    fn has_room(&mut self, room: usize, now: u64) -> bool {
        if self.cells.len() >= room && now >= self.swept.saturating_add(SWEEP) {
            self.cells.retain(|_, cell| cell.due > now);
            self.swept = now;
        }
        self.cells.len() < room
    }

    fn keep_telling(&mut self, id: u64, price: u64) {
        let Some(cell) = self.cells.get_mut(&id) else { return };
        let Some(told) = &cell.name else { return };
        if cell.untold == 0 && !told.at_once {
            self.untold.push(id);
        }
        cell.untold = cell.untold.saturating_add(price);
    }

    fn tell(&mut self, id: u64) -> Option<Counted> {
        let cell = self.cells.get_mut(&id).filter(|cell| cell.untold > 0)?;
        let price = std::mem::take(&mut cell.untold);
        cell.name.as_ref().map(|told| Counted {
            name: told.name.clone(),
            price,
            window: told.window,
            forget: false,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: u64 = 1_800_000_000_000_000;
    const FEW: Allowance = Allowance::new(2, 60);

    fn key(of: &str) -> Key<'_> {
        Key::new("test", of, "here")
    }

    #[test]
    fn each_key_has_a_bucket_of_its_own() {
        let meter = Meter::new(100, None);
        assert_eq!(meter.take(&key("a"), FEW, 1, NOW).unwrap().remaining, 1);
        assert_eq!(meter.take(&key("a"), FEW, 1, NOW).unwrap().remaining, 0);
        assert_eq!(meter.take(&key("a"), FEW, 1, NOW), Err(30_000_000));
        assert_eq!(meter.look(&key("a"), FEW, NOW), Err(30_000_000));
        assert_eq!(meter.take(&key("b"), FEW, 1, NOW).unwrap().remaining, 1);
        assert_eq!(meter.take(&Key { from: "there", ..key("a") }, FEW, 1, NOW).unwrap().remaining, 1);
    }

    #[test]
    fn looking_takes_nothing_and_giving_back_gives_one() {
        let meter = Meter::new(100, None);
        for _ in 0..5 {
            assert_eq!(meter.look(&key("a"), FEW, NOW).unwrap().remaining, 2);
        }
        for _ in 0..5 {
            meter.take(&key("a"), FEW, 1, NOW).unwrap();
            meter.give_back(&key("a"), FEW, 1);
        }
        assert_eq!(meter.look(&key("a"), FEW, NOW).unwrap().remaining, 2);
    }

    #[test]
    fn a_crowd_of_newcomers_clears_nobodys_bucket_and_is_counted_together() {
        let meter = Meter::new(SHARDS, None);
        while meter.take(&key("victim"), FEW, 1, NOW).is_ok() {}
        let let_in = (0..100_000).filter(|n| meter.take(&key(&n.to_string()), FEW, 1, NOW).is_ok()).count();
        assert!(meter.len() <= SHARDS, "{}", meter.len());
        assert!(meter.take(&key("victim"), FEW, 1, NOW).is_err());
        assert!(let_in <= SHARDS * (2 * CROWD as usize + 2), "{let_in}");
    }

    #[test]
    fn what_is_paid_off_makes_room() {
        let meter = Meter::new(SHARDS, None);
        for n in 0..1000 {
            let _ = meter.take(&key(&n.to_string()), FEW, 1, NOW);
        }
        let later = NOW + 61_000_000;
        assert_eq!(meter.take(&key("late"), FEW, 1, later).unwrap().remaining, 1);
        meter.sweep(later + 61_000_000);
        assert_eq!(meter.len(), 0);
    }

    #[test]
    fn other_servers_are_told_once_what_was_counted() {
        let meter = Meter::new(100, Some(Box::new(|key| Some(format!("{}:{}", key.rule, key.of)))));
        meter.take(&key("a"), FEW, 1, NOW).unwrap();
        meter.take(&key("a"), FEW, 1, NOW).unwrap();
        let told = meter.all_untold(10);
        assert_eq!(told.len(), 1);
        assert_eq!((told[0].1.name.as_str(), told[0].1.price), ("test:a", FEW.price(2)));
        assert!(meter.all_untold(10).is_empty());
        meter.join(told[0].0, 90_000_000, NOW);
        assert_eq!(meter.look(&key("a"), FEW, NOW), Err(60_000_000));
        assert!(meter.forget(&key("a")).is_some_and(|counted| counted.forget));
    }
}
