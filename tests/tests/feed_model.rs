//! The feed as a state machine, explored to the end: SQL as the truth, a stream filled by compare-and-set, one
//! guard, and a world in which the stream fails over, is wiped, trimmed or left behind.
//!
//! What must hold is the bound: no guard accepts a revoked token later than `MAX_STALENESS` after the
//! revocation was acknowledged. Each mutant drops one rule of the protocol and must be caught; a mutant that
//! survives means that the model no longer proves anything. Nothing of the product runs here, the rules are
//! written down a second time on purpose.

use stateright::{Checker, HasDiscoveries, Model, Property};

const BOUND: &str = "nothing revoked is accepted beyond the bound";
const NO_HOLE: &str = "the stream has no hole";

/// Ticks. Small numbers suffice: every fault that was ever found needs two or three.
const LAST_TICK: u8 = 3;
const MAX_STALENESS: u8 = 1;
const MOST_RECORDS: usize = 3;
const MOST_REVOCATIONS: usize = 2;
const MOST_FAULTS: u8 = 1;
/// A zombie that beats more often than this shows nothing new.
const MOST_ZOMBIE_RECORDS: u8 = 4;

/// A rule that is left out.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Mutant {
    /// None is.
    Faithful,
    /// The guard reads on where records are missing.
    SkipsGaps,
    /// The guard counts a living connection as freshness.
    TrustsTheLink,
    /// The guard counts from when a beat came, not from the time in it.
    TrustsReceipt,
    /// The server writes the time into a beat when it publishes it, not before the transaction.
    StampsLate,
    /// The old SQL primary goes on committing beats.
    OldPrimaryLives,
    /// The publisher goes by its own memory of what it sent, not by what the stream has.
    TrustsItsCursor,
}

/// What a record says: a revocation by its number, or a beat with the time that was read before its
/// transaction took a sequence number.
#[derive(Clone, Copy, Debug, Hash, PartialEq, Eq)]
enum Line {
    Revoked(u8),
    Beat(u8),
}

/// A stream: lines with their sequence numbers. May begin late, after a trim or a rebuild.
type Stream = Vec<(u8, Line)>;

#[derive(Clone, Debug, Hash, PartialEq, Eq)]
struct World {
    now: u8,
    /// In commit order, so the number of a line is its place, counted from one.
    sql: Vec<Line>,
    /// When revocation i was acknowledged.
    acknowledged: Vec<u8>,
    /// A beat whose time is read and which is not committed.
    beginning: Option<u8>,
    stream: Stream,
    /// A former stream that somebody may still be connected to.
    left_behind: Option<Stream>,
    guard: Guard,
    /// The last number a forgetful publisher remembers to have sent.
    cursor: u8,
    faults_left: u8,
}

#[derive(Clone, Debug, Default, Hash, PartialEq, Eq)]
struct Guard {
    on_left_behind: bool,
    applied: u8,
    /// The revocations it knows, a bit each.
    known: u8,
    as_of: Option<u8>,
    /// When it last heard anything at all.
    link_heard: u8,
}

#[derive(Clone, Debug, PartialEq)]
enum Event {
    Tick,
    Revoke,
    BeginBeat,
    CommitBeat,
    Publish,
    Trim,
    /// A replica takes over that lacked so many lines.
    FailOver(usize),
    Wipe,
    /// The guard's network part keeps the old stream.
    Split,
    /// The guard reconnects to the other stream.
    Reconnect,
    ZombieBeat,
    Read,
    /// The guard takes a signed manifest with everything it names.
    Resync,
}

struct Feed(Mutant);

impl Model for Feed {
    type State = World;
    type Action = Event;

    fn init_states(&self) -> Vec<World> {
        vec![World {
            now: 0,
            sql: vec![],
            acknowledged: vec![],
            beginning: None,
            stream: vec![],
            left_behind: None,
            guard: Guard::default(),
            cursor: 0,
            faults_left: MOST_FAULTS,
        }]
    }

    fn actions(&self, world: &World, events: &mut Vec<Event>) {
        let room = world.sql.len() < MOST_RECORDS;
        let mut may = |condition: bool, event: Event| {
            if condition {
                events.push(event);
            }
        };
        may(world.now < LAST_TICK, Event::Tick);
        may(room && world.acknowledged.len() < MOST_REVOCATIONS, Event::Revoke);
        may(room && world.beginning.is_none(), Event::BeginBeat);
        may(room && world.beginning.is_some(), Event::CommitBeat);
        may(world.stream.len() > 1, Event::Trim);
        for lost in 1..=world.stream.len().min(2) {
            may(world.faults_left > 0, Event::FailOver(lost));
        }
        may(world.faults_left > 0, Event::Wipe);
        may(world.faults_left > 0 && world.left_behind.is_none(), Event::Split);
        may(world.left_behind.is_some(), Event::Reconnect);
        may(world.left_behind.is_some() && self.0 == Mutant::OldPrimaryLives, Event::ZombieBeat);
        events.extend([Event::Publish, Event::Read, Event::Resync]);
    }

    fn next_state(&self, before: &World, event: Event) -> Option<World> {
        let mut world = before.clone();
        match event {
            Event::Tick => world.now += 1,
            Event::Revoke => world.revoke(),
            Event::BeginBeat => world.beginning = Some(world.now),
            Event::CommitBeat => world.sql.push(Line::Beat(world.beginning.take()?)),
            Event::Publish => world.publish(self.0)?,
            Event::Trim => drop(world.stream.remove(0)),
            Event::FailOver(lost) => world.lose(lost),
            Event::Wipe => world.lose(world.stream.len()),
            Event::Split => world.split(),
            Event::Reconnect => world.guard.on_left_behind = !world.guard.on_left_behind,
            Event::ZombieBeat => world.zombie_beat()?,
            Event::Read => world.read(self.0)?,
            Event::Resync => world.resync(),
        }
        (world != *before).then_some(world)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        vec![
            Property::always(BOUND, |feed: &Self, world: &World| world.keeps_the_bound(feed.0)),
            Property::always(NO_HOLE, |feed: &Self, world: &World| {
                let whole = world.stream.windows(2).all(|pair| pair[1].0 == pair[0].0 + 1);
                whole || feed.0 == Mutant::TrustsItsCursor
            }),
            // Without these two the model could hold by never doing anything.
            Property::sometimes("a revocation arrives over the stream", |_, world: &World| {
                let Guard { on_left_behind, known, as_of, .. } = &world.guard;
                *known != 0 && as_of.is_some() && !on_left_behind && world.stream.len() > 1
            }),
            Property::sometimes("a guard closes", |_, world: &World| {
                world.guard.as_of.is_some_and(|as_of| world.now - as_of > MAX_STALENESS)
            }),
        ]
    }
}

impl World {
    fn revoke(&mut self) {
        self.sql.push(Line::Revoked(self.acknowledged.len() as u8));
        self.acknowledged.push(self.now);
    }

    /// One script: looks at the newest number and appends the one after it. An empty stream begins at the
    /// newest line of SQL.
    fn publish(&mut self, mutant: Mutant) -> Option<()> {
        let after_top = self.stream.last().map(|(top, _)| top + 1);
        let mut seq = after_top.unwrap_or(self.sql.len() as u8);
        if mutant == Mutant::TrustsItsCursor {
            seq = seq.max(self.cursor + 1);
            self.cursor = seq;
        }
        let mut line = *self.sql.get(usize::from(seq).checked_sub(1)?)?;
        if let (Mutant::StampsLate, Line::Beat(time)) = (mutant, &mut line) {
            *time = self.now;
        }
        self.stream.push((seq, line));
        Some(())
    }

    fn lose(&mut self, lines: usize) {
        self.stream.truncate(self.stream.len() - lines);
        self.faults_left -= 1;
    }

    fn split(&mut self) {
        self.left_behind = Some(self.stream.clone());
        self.guard.on_left_behind = true;
        self.faults_left -= 1;
    }

    fn zombie_beat(&mut self) -> Option<()> {
        let stream = self.left_behind.as_mut()?;
        let seq = stream.last().map_or(1, |(top, _)| top + 1);
        stream.push((seq, Line::Beat(self.now)));
        (seq <= MOST_ZOMBIE_RECORDS).then_some(())
    }

    fn read(&mut self, mutant: Mutant) -> Option<()> {
        let guard = &mut self.guard;
        if mutant == Mutant::TrustsTheLink {
            guard.link_heard = self.now;
        }
        let left_behind = self.left_behind.as_ref().filter(|_| guard.on_left_behind);
        let stream = left_behind.unwrap_or(&self.stream);
        let Some((seq, line)) = stream.iter().find(|(seq, _)| *seq > guard.applied) else { return Some(()) };
        if *seq != guard.applied + 1 && mutant != Mutant::SkipsGaps {
            return None;
        }
        guard.applied = *seq;
        match line {
            Line::Revoked(number) => guard.known |= 1 << number,
            Line::Beat(_) if mutant == Mutant::TrustsReceipt => guard.as_of = Some(self.now),
            Line::Beat(time) => guard.as_of = guard.as_of.max(Some(*time)),
        }
        Some(())
    }

    fn resync(&mut self) {
        self.guard.applied = self.sql.len() as u8;
        self.guard.known |= (1 << self.acknowledged.len()) - 1;
        self.guard.as_of = Some(self.now);
    }

    /// An open guard knows every revocation that was acknowledged longer ago than the bound.
    fn keeps_the_bound(&self, mutant: Mutant) -> bool {
        let Some(as_of) = self.guard.as_of else { return true };
        let fresh_at = if mutant == Mutant::TrustsTheLink { self.guard.link_heard } else { as_of };
        let is_open = self.now - fresh_at <= MAX_STALENESS;
        let overdue = |acknowledged: u8| self.now > acknowledged + MAX_STALENESS;
        let knows = |number: usize| self.guard.known & 1 << number != 0;
        !is_open || self.acknowledged.iter().enumerate().all(|(number, at)| knows(number) || !overdue(*at))
    }
}

/// Explores everything; says in how many steps the bound is broken, if it is.
fn broken_after(mutant: Mutant) -> Option<usize> {
    let checker =
        Feed(mutant).checker().threads(2).finish_when(HasDiscoveries::AnyFailures).spawn_bfs().join();
    assert!(checker.discovery(NO_HOLE).is_none());
    let path = checker.discovery(BOUND).map(|path| path.into_actions());
    if path.is_none() {
        checker.assert_properties();
    }
    path.map(|events| events.len())
}

#[test]
fn the_protocol_keeps_the_bound() {
    assert_eq!(broken_after(Mutant::Faithful), None);
}

#[test]
fn a_guard_that_skips_gaps_is_caught() {
    assert!(broken_after(Mutant::SkipsGaps).is_some());
}

#[test]
fn a_guard_that_trusts_a_living_link_is_caught() {
    assert!(broken_after(Mutant::TrustsTheLink).is_some());
}

#[test]
fn a_guard_that_trusts_the_time_of_receipt_is_caught() {
    assert!(broken_after(Mutant::TrustsReceipt).is_some());
}

#[test]
fn a_server_that_reads_the_clock_after_the_transaction_is_caught() {
    assert!(broken_after(Mutant::StampsLate).is_some());
}

#[test]
fn an_old_primary_that_is_not_fenced_is_caught() {
    assert!(broken_after(Mutant::OldPrimaryLives).is_some());
}

/// It leaves holes in the stream, and the guard sees them: the bound does not rest on the publisher.
#[test]
fn a_publisher_that_trusts_its_cursor_delays_and_does_not_endanger() {
    assert_eq!(broken_after(Mutant::TrustsItsCursor), None);
}
