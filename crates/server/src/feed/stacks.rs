//! The sealed part of a feed: segments of records that are still of use, each named by its content's hash.
//! However many records live, nothing here is done for all of them at once: what is sealed is put together
//! and thinned out a segment at a time, and SQL is not read again for it.

use std::sync::Arc;

use portcullis_authority::ledger::LogRow;
use portcullis_guard::feed::{Digest, Kind, RECORD_BYTES, Record, Segment};

/// Records in one segment, at most.
const MOST: usize = 65_536;
/// Seconds that a record stays after it is of no use.
const AFTERLIFE: u64 = 120;
/// So few segments are not worth the trouble of making them fewer; a manifest names each.
const FEW: usize = 16;
/// How often something is put in order, milliseconds: it takes some of them, and who asks for the tail waits.
const ORDER_EVERY_MS: u64 = 1_000;

/// Segments, oldest first.
#[derive(Default)]
pub struct Stacks {
    segments: Vec<(Segment, Arc<[u8]>)>,
    /// What is filled in and not sealed yet: numbers of the first and last, and the records.
    open: Option<(u64, u64, Vec<Record>)>,
    /// When something was put in order last, milliseconds, and the segment that is looked into next.
    ordered_ms: u64,
    turn: usize,
}

impl Stacks {
    /// Takes rows that follow what was filled in before; [`Stacks::seal`] ends it.
    pub fn fill(&mut self, rows: &[LogRow]) {
        for row in rows.iter().filter(|row| row.record.kind != Kind::Beat) {
            let seq = row.position.seq;
            let (_, last, records) = self.open.get_or_insert_with(|| (seq, seq, Vec::with_capacity(MOST)));
            *last = seq;
            records.push(row.record);
            if records.len() == MOST {
                self.seal();
            }
        }
    }

    /// Seals what was filled in.
    pub fn seal(&mut self) {
        if let Some((first, last, records)) = self.open.take() {
            self.add(first, last, &records);
        }
    }

    /// Seals a stretch of the feed, from its first number to its last.
    pub fn add(&mut self, first: u64, last: u64, records: &[Record]) {
        for records in records.chunks(MOST) {
            let (segment, bytes) = Segment::seal(first, last, records);
            self.segments.push((segment, bytes.into()));
        }
    }

    pub fn find(&self, name: &Digest) -> Option<Arc<[u8]>> {
        self.segments.iter().find(|(segment, _)| segment.sha256 == *name).map(|(_, bytes)| bytes.clone())
    }

    /// The table of contents.
    pub fn names(&self) -> Vec<Segment> {
        self.segments.iter().map(|(segment, _)| segment.clone()).collect()
    }

    /// All segments with their content.
    pub fn contents(&self) -> impl Iterator<Item = (Digest, Arc<[u8]>)> + '_ {
        self.segments.iter().map(|(segment, bytes)| (segment.sha256, bytes.clone()))
    }

    /// Drops what is over, and now and then puts something in order.
    pub fn tidy(&mut self, now_ms: u64) {
        self.segments.retain(|(segment, _)| segment.max_exp + AFTERLIFE > now_ms / 1000);
        if self.segments.len() > FEW && self.ordered_ms + ORDER_EVERY_MS <= now_ms {
            self.ordered_ms = now_ms;
            self.order(now_ms / 1000);
        }
    }

    /// Joins the first two neighbours that fit into one segment; where none do, looks whether half of a segment
    /// is over, and makes it anew without.
    fn order(&mut self, now: u64) {
        let fit = |pair: &[(Segment, Arc<[u8]>)]| pair[0].0.count + pair[1].0.count <= MOST as u64;
        if let Some(at) = self.segments.windows(2).position(fit) {
            self.replace(at, 2, now);
            return;
        }
        self.turn = (self.turn + 1) % self.segments.len();
        let (segment, bytes) = &self.segments[self.turn];
        if alive(bytes, now).count() as u64 * 2 <= segment.count {
            self.replace(self.turn, 1, now);
        }
    }

    /// Makes one segment of so many neighbours, without what is over.
    fn replace(&mut self, at: usize, many: usize, now: u64) {
        let old: Vec<_> = self.segments.drain(at..at + many).collect();
        let records: Vec<Record> = old.iter().flat_map(|(_, bytes)| alive(bytes, now)).collect();
        if let Some(((first, _), (last, _))) = old.first().zip(old.last())
            && !records.is_empty()
        {
            let (segment, bytes) = Segment::seal(first.first, last.last, &records);
            self.segments.insert(at, (segment, bytes.into()));
        }
    }
}

/// The records of a segment that are still of use.
fn alive(bytes: &[u8], now: u64) -> impl Iterator<Item = Record> + '_ {
    let (records, _) = bytes.as_chunks::<RECORD_BYTES>();
    let read = records.iter().filter_map(Record::decode);
    read.filter(move |record| u64::from(record.exp) + AFTERLIFE > now)
}

#[cfg(test)]
mod tests {
    use portcullis_authority::ledger::Position;

    use super::*;

    const NOW: u64 = 1_000_000;

    fn record(number: u64, exp: u64) -> Record {
        let id = u128::from(number).to_be_bytes();
        Record { kind: Kind::Token, flags: 0, exp: u32::try_from(exp).expect("it is small"), val: 0, id }
    }

    fn rows(numbers: std::ops::RangeInclusive<u64>) -> Vec<LogRow> {
        let row = |seq| LogRow {
            position: Position { epoch: 1, seq },
            as_of_ms: 1,
            record: Record { kind: if seq % 5 == 0 { Kind::Beat } else { Kind::Token }, ..record(seq, NOW) },
        };
        numbers.map(row).collect()
    }

    fn held(stacks: &Stacks) -> Vec<Record> {
        stacks.segments.iter().flat_map(|(_, bytes)| alive(bytes, 0)).collect()
    }

    fn tidy_for(stacks: &mut Stacks, seconds: u64, from: u64) {
        (0..seconds).for_each(|second| stacks.tidy((from + second) * 1000));
    }

    #[test]
    fn what_is_filled_in_pieces_is_sealed_in_full_segments_without_beats() {
        let mut stacks = Stacks::default();
        let all = rows(1..=200_000);
        all.chunks(7_001).for_each(|piece| stacks.fill(piece));
        stacks.seal();
        let counts: Vec<_> = stacks.names().iter().map(|segment| segment.count).collect();
        assert_eq!(counts, [65_536, 65_536, 28_928]);
        let wanted: Vec<_> =
            all.iter().map(|row| row.record).filter(|record| record.kind != Kind::Beat).collect();
        assert_eq!(held(&stacks), wanted);
        let names = stacks.names();
        assert!(names.windows(2).all(|pair| pair[0].last < pair[1].first));
        assert_eq!((names[0].first, names[2].last), (1, 199_999));
    }

    #[test]
    fn many_small_segments_become_few_and_no_record_is_lost() {
        let mut stacks = Stacks::default();
        for number in 0..100 {
            stacks.add(number + 1, number + 1, &[record(number, NOW + 500)]);
        }
        let before = held(&stacks);
        tidy_for(&mut stacks, 10, NOW);
        assert_eq!(stacks.names().len(), 90, "one at a time");
        tidy_for(&mut stacks, 200, NOW + 10);
        assert_eq!(stacks.names().len(), FEW);
        assert_eq!(held(&stacks), before, "in their order");
        let names = stacks.names();
        assert_eq!((names[0].first, names[FEW - 1].last), (1, 100));
        assert!(
            names.iter().all(|name| stacks.find(&name.sha256).is_some_and(|b| Digest::of(&b) == name.sha256))
        );
    }

    #[test]
    fn a_segment_that_is_mostly_over_is_made_anew_without() {
        let mut stacks = Stacks::default();
        let long = record(7, NOW + 100_000);
        for number in 0..=FEW as u64 {
            let mut records: Vec<_> = (0..40_000).map(|id| record(id, NOW)).collect();
            records.push(long);
            stacks.add(number + 1, number + 1, &records);
        }
        tidy_for(&mut stacks, 60, NOW);
        assert_eq!(held(&stacks).len(), 40_001 * (FEW + 1), "within its afterlife everything stays");
        tidy_for(&mut stacks, 60, NOW + AFTERLIFE + 1);
        assert!(stacks.names().len() <= FEW);
        assert!(held(&stacks).len() < 40_001 * FEW);
        assert_eq!(
            held(&stacks).iter().filter(|record| **record == long).count(),
            FEW + 1,
            "what lives stays"
        );
    }

    #[test]
    fn a_segment_goes_when_its_last_record_is_of_no_use() {
        let mut stacks = Stacks::default();
        stacks.add(3, 3, &[record(3, NOW)]);
        stacks.tidy((NOW + AFTERLIFE) * 1000 - 1);
        assert_eq!(stacks.names().len(), 1);
        stacks.tidy((NOW + AFTERLIFE) * 1000);
        assert_eq!(stacks.names().len(), 0);
    }
}
