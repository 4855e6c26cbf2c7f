//! What guards ask for, kept in memory: sealed segments and, from where they end, the tail of signed
//! batches. No clock, no SQL and no signing here, so every rule is a plain test.

use std::collections::VecDeque;
use std::sync::Arc;

use portcullis_authority::ledger::{LogRow, Position};
use portcullis_guard::feed::batch::frame;
use portcullis_guard::feed::{Batch, Chain, Digest, Kind, Manifest, Record, chain};
use portcullis_store::Head;

use super::stacks::Stacks;

/// Batches of the tail are sealed when there are more records than this,
const TAIL_RECORDS: usize = 131_072;
/// or when they are older than this, milliseconds.
const TAIL_MS: u64 = 15 * 60 * 1000;

/// A signed batch of the tail.
struct Pressed {
    last: u64,
    as_of_ms: u64,
    bytes: Arc<[u8]>,
    records: Vec<Record>,
    chain: Chain,
}

/// Segments and tail of one epoch.
pub struct Shelf {
    epoch: u64,
    head: u64,
    chain: Chain,
    as_of_ms: u64,
    salt: Vec<u8>,
    stacks: Stacks,
    tail: VecDeque<Pressed>,
    tail_first: u64,
    tail_chain: Chain,
    tail_records: usize,
}

/// What a guard is told that asks for what comes after its position.
pub enum After {
    /// These bytes, each batch behind its length in four bytes.
    Batches(Vec<u8>),
    /// Nothing yet.
    Wait,
    /// Sealed already: fetch the manifest.
    Gone,
    /// Of another epoch, or of a future that this server does not know.
    Elsewhere,
}

/// Consecutive records of the tail as one batch, for whoever carries them elsewhere.
pub struct Stretch {
    pub batch: Batch,
    /// The chain before its first record.
    pub before: Chain,
    /// The signed form, if it is one of the tail's own batches.
    pub bytes: Option<Arc<[u8]>>,
}

impl Shelf {
    /// Everything that is live at `head` is in the stacks; the tail begins after it.
    pub fn new(head: Head, mut stacks: Stacks) -> Self {
        stacks.seal();
        Self {
            epoch: head.position.epoch,
            head: head.position.seq,
            chain: head.chain,
            as_of_ms: head.as_of_ms,
            salt: head.salt,
            stacks,
            tail: VecDeque::new(),
            tail_first: head.position.seq + 1,
            tail_chain: head.chain,
            tail_records: 0,
        }
    }

    pub fn position(&self) -> Position {
        Position { epoch: self.epoch, seq: self.head }
    }

    pub fn as_of_ms(&self) -> u64 {
        self.as_of_ms
    }

    /// The batch that these rows make, if they follow the head without a gap.
    pub fn cut(&self, rows: &[LogRow]) -> Option<Batch> {
        let contiguous = rows
            .iter()
            .zip(self.head + 1..)
            .all(|(row, seq)| row.position == Position { epoch: self.epoch, seq });
        let as_of_ms = rows.last()?.as_of_ms.max(self.as_of_ms);
        let records = rows.iter().map(|row| row.record).collect();
        contiguous.then(|| Batch::cut(self.epoch, self.head + 1, as_of_ms, &self.chain, records))?
    }

    /// Appends a batch that [`Shelf::cut`] made.
    pub fn append(&mut self, batch: Batch, bytes: Vec<u8>) {
        self.head = batch.last;
        self.chain = batch.chain;
        self.as_of_ms = batch.as_of_ms;
        self.tail_records += batch.records.len();
        self.tail.push_back(Pressed {
            last: batch.last,
            as_of_ms: batch.as_of_ms,
            bytes: bytes.into(),
            records: batch.records,
            chain: batch.chain,
        });
    }

    /// Seals the old half of a long tail and drops what nobody needs.
    pub fn tidy(&mut self, now_ms: u64) {
        let old = self.tail.front().is_some_and(|batch| batch.as_of_ms + TAIL_MS < now_ms);
        if self.tail_records > TAIL_RECORDS || old {
            self.seal_old_half();
        }
        self.stacks.tidy(now_ms);
    }

    /// What comes after a position, at most about `limit` bytes of it.
    pub fn after(&self, position: Position, limit: usize) -> After {
        if position.epoch != self.epoch || position.seq > self.head {
            return After::Elsewhere;
        }
        if position.seq + 1 < self.tail_first {
            return After::Gone;
        }
        let from = self.tail.partition_point(|batch| batch.last <= position.seq);
        let bytes = frame(self.tail.iter().skip(from).take_some(limit).map(|batch| batch.bytes.clone()));
        if bytes.is_empty() { After::Wait } else { After::Batches(bytes) }
    }

    /// The batch that begins right after a number, cut where it must be. `None` when nothing is there, or it
    /// is sealed.
    pub fn stretch_after(&self, seq: u64) -> Option<Stretch> {
        let at = self.tail.partition_point(|batch| batch.last <= seq);
        let pressed = self.tail.get(at)?;
        let first = pressed.last + 1 - pressed.records.len() as u64;
        let known = usize::try_from((seq + 1).checked_sub(first)?).ok()?;
        let start = at.checked_sub(1).map_or(self.tail_chain, |before| self.tail[before].chain);
        let before = pressed.records[..known].iter().fold(start, |link, record| chain::extend(&link, record));
        let batch = Batch {
            epoch: self.epoch,
            first: seq + 1,
            last: pressed.last,
            as_of_ms: pressed.as_of_ms,
            chain: pressed.chain,
            records: pressed.records[known..].to_vec(),
        };
        Some(Stretch { batch, before, bytes: (known == 0).then(|| pressed.bytes.clone()) })
    }

    /// The number of the first record of the tail, and the chain before it.
    pub fn tail_start(&self) -> (u64, Chain) {
        (self.tail_first, self.tail_chain)
    }

    /// All segments with their content.
    pub fn segments(&self) -> impl Iterator<Item = (Digest, Arc<[u8]>)> + '_ {
        self.stacks.contents()
    }

    /// Seals the tail before a number, for a carrier that has nothing older.
    pub fn seal_before(&mut self, seq: u64) {
        self.seal_while(|tail_first, _| tail_first < seq);
    }

    pub fn segment(&self, name: &Digest) -> Option<Arc<[u8]>> {
        self.stacks.find(name)
    }

    /// The table of contents, unsigned.
    pub fn manifest(&self, iss: &str, feed: &str, jwks: Digest, policy: Digest) -> Manifest {
        Manifest {
            iss: iss.into(),
            feed: feed.into(),
            epoch: self.epoch,
            as_of: self.as_of_ms,
            head: self.head,
            chain: self.chain,
            salt: self.salt.clone(),
            segments: self.stacks.names(),
            tail_first: self.tail_first,
            tail_chain: self.tail_chain,
            jwks_sha256: Some(jwks),
            policy_sha256: Some(policy),
        }
    }

    fn seal_old_half(&mut self) {
        let goal = self.tail_records / 2;
        self.seal_while(|_, taken| taken <= goal);
    }

    /// Seals batches from the front, as long as `more` says so of the number after the last one and of the
    /// records taken.
    fn seal_while(&mut self, more: impl Fn(u64, usize) -> bool) {
        let first = self.tail_first;
        let (mut records, mut taken) = (Vec::new(), 0);
        while more(self.tail_first, taken) {
            let Some(batch) = self.tail.pop_front() else { break };
            taken += batch.records.len();
            (self.tail_first, self.tail_chain) = (batch.last + 1, batch.chain);
            records.extend(batch.records.into_iter().filter(|record| record.kind != Kind::Beat));
        }
        self.tail_records -= taken;
        self.stacks.add(first, self.tail_first - 1, &records);
    }
}

/// Takes batches until they are more than `limit` bytes, and at least one.
trait TakeSome<'a> {
    fn take_some(self, limit: usize) -> impl Iterator<Item = &'a Pressed>;
}

impl<'a, I: Iterator<Item = &'a Pressed>> TakeSome<'a> for I {
    fn take_some(self, limit: usize) -> impl Iterator<Item = &'a Pressed> {
        self.scan(0, move |sent, batch| {
            let more = *sent <= limit;
            *sent += batch.bytes.len();
            more.then_some(batch)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(seq: u64, kind: Kind) -> LogRow {
        let record =
            Record { kind, flags: 0, exp: 9_000, val: 0, id: [u8::try_from(seq % 250).unwrap_or(0); 16] };
        LogRow { position: Position { epoch: 1, seq }, as_of_ms: seq * 1000, record }
    }

    fn empty() -> Shelf {
        let position = Position { epoch: 1, seq: 0 };
        let head = Head { position, chain: chain::start("live:eu1", 1), as_of_ms: 1, salt: vec![1] };
        Shelf::new(head, Stacks::default())
    }

    fn extend(shelf: &mut Shelf, rows: &[LogRow]) {
        let batch = shelf.cut(rows).expect("rows follow the head");
        let bytes = vec![0; 10];
        shelf.append(batch, bytes);
    }

    #[test]
    fn rows_with_a_gap_or_of_another_epoch_make_no_batch() {
        let mut shelf = empty();
        assert!(shelf.cut(&[row(2, Kind::Token)]).is_none());
        assert!(shelf.cut(&[]).is_none());
        assert!(
            shelf.cut(&[LogRow { position: Position { epoch: 2, seq: 1 }, ..row(1, Kind::Token) }]).is_none()
        );
        extend(&mut shelf, &[row(1, Kind::Token), row(2, Kind::Beat)]);
        assert_eq!(shelf.position(), Position { epoch: 1, seq: 2 });
    }

    #[test]
    fn a_guard_is_told_what_it_lacks_and_no_more() {
        let mut shelf = empty();
        extend(&mut shelf, &[row(1, Kind::Token)]);
        extend(&mut shelf, &[row(2, Kind::Token)]);
        let sent = |shelf: &Shelf, seq| match shelf.after(Position { epoch: 1, seq }, 1000) {
            After::Batches(bytes) => bytes.len() / 14,
            After::Wait => 0,
            After::Gone | After::Elsewhere => 99,
        };
        assert_eq!((sent(&shelf, 0), sent(&shelf, 1), sent(&shelf, 2)), (2, 1, 0));
        assert!(matches!(shelf.after(Position { epoch: 1, seq: 3 }, 1000), After::Elsewhere));
        assert!(matches!(shelf.after(Position { epoch: 2, seq: 1 }, 1000), After::Elsewhere));
    }

    #[test]
    fn an_old_tail_is_sealed_and_nothing_is_lost() {
        let mut shelf = empty();
        for seq in 1..=10 {
            extend(&mut shelf, &[row(seq, if seq % 2 == 0 { Kind::Beat } else { Kind::Token })]);
        }
        shelf.tidy(TAIL_MS + 5_000);
        let manifest = shelf.manifest("iss", "live:eu1", Digest([0; 32]), Digest([0; 32]));
        assert_eq!(manifest.tail_first, 7);
        assert_eq!(
            (manifest.segments[0].first, manifest.segments[0].last, manifest.segments[0].count),
            (1, 6, 3)
        );
        assert!(matches!(shelf.after(Position { epoch: 1, seq: 5 }, 1000), After::Gone));
        assert!(matches!(shelf.after(Position { epoch: 1, seq: 6 }, 1000), After::Batches(_)));
        let bytes = shelf.segment(&manifest.segments[0].sha256).expect("named in the manifest");
        assert_eq!(Digest::of(&bytes), manifest.segments[0].sha256);
    }

    #[test]
    fn a_stretch_begins_wherever_it_is_wanted() {
        let mut shelf = empty();
        extend(&mut shelf, &[row(1, Kind::Token), row(2, Kind::Token)]);
        extend(&mut shelf, &[row(3, Kind::Token), row(4, Kind::Token), row(5, Kind::Beat)]);
        let whole = shelf.stretch_after(2).expect("a batch begins there");
        assert_eq!((whole.batch.first, whole.batch.last, whole.bytes.is_some()), (3, 5, true));
        let cut = shelf.stretch_after(3).expect("it can be cut");
        assert_eq!((cut.batch.first, cut.batch.last, cut.bytes.is_some()), (4, 5, false));
        let again = Batch::cut(1, 4, 5_000, &cut.before, cut.batch.records.clone());
        assert_eq!(again, Some(cut.batch), "the chain fits");
        assert!(shelf.stretch_after(5).is_none());
        shelf.seal_before(2);
        assert_eq!(shelf.tail_start().0, 3, "whole batches are sealed");
        assert!(shelf.stretch_after(1).is_none());
        assert_eq!(shelf.stretch_after(2).expect("still there").before, whole.before);
    }
}
