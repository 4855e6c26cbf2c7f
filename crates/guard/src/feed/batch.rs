//! Consecutive records under one signature: the unit in which the feed travels, whatever carries it.
//!
//! [`SealedBatch`] is bytes of the right form from anybody; [`Batch`] is what the server said. Whether a
//! batch continues what is already known is `follower.rs`' question.

use ring::digest;

use super::{Chain, FeedFault, FeedKeys, RECORD_BYTES, Record, chain, keys::Key8};

/// No batch holds more records than this, so that a reader can bound what it buffers.
pub const MAX_RECORDS: usize = 65_536;
/// Bytes of the largest batch.
pub const MAX_BATCH_BYTES: usize = HEAD_BYTES + MAX_RECORDS * RECORD_BYTES + SIGNATURE_BYTES;

const MAGIC: [u8; 4] = *b"RVB1";
const CONTEXT: &[u8] = b"rv-batch-v1\0";
const HEAD_BYTES: usize = 80;
const SIGNATURE_BYTES: usize = 64;

/// Consecutive records of one epoch, as the server said them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Batch {
    pub epoch: u64,
    /// Sequence number of the first record.
    pub first: u64,
    /// Sequence number of the last record.
    pub last: u64,
    /// Read from the server's clock before the transaction that took `last`: everything acknowledged
    /// earlier has a number up to `last`.
    pub as_of_ms: u64,
    /// The chain after the last record.
    pub chain: Chain,
    pub records: Vec<Record>,
}

impl Batch {
    /// Puts records behind `before`, the chain up to `first - 1`. `None` when there are no records, too
    /// many, or no numbers left for them.
    pub fn cut(epoch: u64, first: u64, as_of_ms: u64, before: &Chain, records: Vec<Record>) -> Option<Self> {
        if records.is_empty() || records.len() > MAX_RECORDS {
            return None;
        }
        let last = first.checked_add(records.len() as u64 - 1)?;
        let chain = records.iter().fold(*before, |chain, record| chain::extend(&chain, record));
        Some(Self { epoch, first, last, as_of_ms, chain, records })
    }

    /// What the feed key signs: the context, then all bytes before the signature.
    pub fn signing_input(&self, feed: &str, key8: Key8) -> Vec<u8> {
        let mut bytes = CONTEXT.to_vec();
        bytes.extend(MAGIC);
        bytes.extend(feed_tag(feed));
        for number in [self.epoch, self.first, self.last, self.as_of_ms] {
            bytes.extend(number.to_be_bytes());
        }
        bytes.extend(self.chain);
        bytes.extend(key8);
        bytes.extend(self.records.iter().flat_map(Record::encode));
        bytes
    }

    /// The wire form.
    pub fn encode(&self, feed: &str, key8: Key8, sign: impl FnOnce(&[u8]) -> [u8; 64]) -> Vec<u8> {
        let mut bytes = self.signing_input(feed, key8);
        let signature = sign(&bytes);
        bytes.drain(..CONTEXT.len());
        bytes.extend(signature);
        bytes
    }
}

/// A batch that nobody has vouched for yet. Its content can be reached through [`SealedBatch::verify`] only.
#[derive(Clone, Debug)]
pub struct SealedBatch {
    batch: Batch,
    feed: [u8; 4],
    key8: Key8,
    signed: Vec<u8>,
    signature: [u8; 64],
}

impl SealedBatch {
    /// Reads the wire form. The number of records must be exactly what `first` and `last` promise.
    pub fn decode(bytes: &[u8]) -> Result<Self, FeedFault> {
        Self::read(bytes).ok_or(FeedFault::Malformed)
    }

    /// Opens the seal: the signature of a known key, over this feed.
    pub fn verify(self, keys: &FeedKeys, feed: &str) -> Result<Batch, FeedFault> {
        if self.feed != feed_tag(feed) {
            return Err(FeedFault::OtherFeed);
        }
        keys.verify(&self.key8, &self.signed, &self.signature)?;
        Ok(self.batch)
    }

    fn read(bytes: &[u8]) -> Option<Self> {
        let (body, signature) = bytes.split_last_chunk::<SIGNATURE_BYTES>()?;
        let mut rest = Rest(body);
        if rest.take()? != MAGIC {
            return None;
        }
        let feed = rest.take()?;
        let [epoch, first, last, as_of_ms] = [rest.number()?, rest.number()?, rest.number()?, rest.number()?];
        let (chain, key8) = (rest.take()?, rest.take()?);
        let records = decode_records(rest.0)?;
        if last.checked_sub(first)?.checked_add(1)? != records.len() as u64 {
            return None;
        }
        let batch = Batch { epoch, first, last, as_of_ms, chain, records };
        Some(Self { batch, feed, key8, signed: [CONTEXT, body].concat(), signature: *signature })
    }
}

/// Several batches in one answer, each behind its length in four bytes.
pub fn frame<B: AsRef<[u8]>>(batches: impl IntoIterator<Item = B>) -> Vec<u8> {
    let mut body = Vec::new();
    for batch in batches {
        let batch = batch.as_ref();
        // INVARIANT: what `Batch::cut` lets through encodes to at most MAX_BATCH_BYTES, far below 4 GiB.
        body.extend((batch.len() as u32).to_be_bytes());
        body.extend(batch);
    }
    body
}

/// The batches of an answer. After one that does not fit nothing can be found.
pub fn unframe(mut body: &[u8]) -> Vec<Result<SealedBatch, FeedFault>> {
    let mut batches = Vec::new();
    while !body.is_empty() {
        let frame = body.split_first_chunk().and_then(|(length, rest)| {
            let length = usize::try_from(u32::from_be_bytes(*length)).ok()?;
            rest.split_at_checked(length)
        });
        let Some((batch, rest)) = frame else {
            batches.push(Err(FeedFault::Malformed));
            break;
        };
        batches.push(SealedBatch::decode(batch));
        body = rest;
    }
    batches
}

/// Records back to back, which is also the form of a segment. `None` for a ragged end, an unknown kind or
/// more than [`MAX_RECORDS`].
pub(super) fn decode_records(bytes: &[u8]) -> Option<Vec<Record>> {
    let (records, ragged) = bytes.as_chunks::<RECORD_BYTES>();
    if !ragged.is_empty() || records.len() > MAX_RECORDS {
        return None;
    }
    records.iter().map(Record::decode).collect()
}

/// How a batch names its feed: the first 4 bytes of SHA-256 over the feed's name.
fn feed_tag(feed: &str) -> [u8; 4] {
    let hash = digest::digest(&digest::SHA256, feed.as_bytes());
    let mut tag = [0; 4];
    tag.copy_from_slice(&hash.as_ref()[..4]);
    tag
}

/// What is still unread.
struct Rest<'a>(&'a [u8]);

impl Rest<'_> {
    fn take<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (head, rest) = self.0.split_first_chunk::<N>()?;
        self.0 = rest;
        Some(*head)
    }

    fn number(&mut self) -> Option<u64> {
        self.take().map(u64::from_be_bytes)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::feed::press::{Press, token};

    const FEED: &str = "live:eu1";

    fn sealed() -> (Press, Vec<u8>) {
        let mut press = Press::new(FEED, 3);
        press.write([token(1), token(2), token(3)]);
        let bytes = press.batch(1, 3);
        (press, bytes)
    }

    #[test]
    fn a_batch_survives_the_wire() {
        let (press, bytes) = sealed();
        assert_eq!(bytes.len(), 144 + 3 * RECORD_BYTES);
        let batch = SealedBatch::decode(&bytes).unwrap().verify(&press.keys(), FEED).unwrap();
        assert_eq!((batch.epoch, batch.first, batch.last), (3, 1, 3));
        assert_eq!(batch.records, [token(1), token(2), token(3)]);
        assert_eq!(batch.chain, press.chain_at(3));
    }

    #[test]
    fn a_batch_for_another_feed_is_refused() {
        let (press, bytes) = sealed();
        let verdict = SealedBatch::decode(&bytes).unwrap().verify(&press.keys(), "test:eu1");
        assert_eq!(verdict, Err(FeedFault::OtherFeed));
    }

    #[test]
    fn a_batch_signed_by_a_stranger_is_refused() {
        let (press, bytes) = sealed();
        let stranger = Press::with_seed(FEED, 3, [9; 32]);
        let verdict = SealedBatch::decode(&bytes).unwrap().verify(&stranger.keys(), FEED);
        assert_eq!(verdict, Err(FeedFault::UnknownKey));
        // Under the good key's name, which anybody can write.
        let mut batch = SealedBatch::decode(&bytes).unwrap().batch;
        batch.as_of_ms += 1;
        let forged = batch.encode(FEED, press.key8(), |input| stranger.sign(input));
        let verdict = SealedBatch::decode(&forged).unwrap().verify(&press.keys(), FEED);
        assert_eq!(verdict, Err(FeedFault::BadSignature));
    }

    #[test]
    fn a_signature_made_for_something_else_does_not_seal_a_batch() {
        let (press, bytes) = sealed();
        let batch = SealedBatch::decode(&bytes).unwrap().batch;
        let without_context = batch.encode(FEED, press.key8(), |input| press.sign(&input[CONTEXT.len()..]));
        let verdict = SealedBatch::decode(&without_context).unwrap().verify(&press.keys(), FEED);
        assert_eq!(verdict, Err(FeedFault::BadSignature));
    }

    #[test]
    fn records_cannot_change_places() {
        let (press, mut bytes) = sealed();
        let (one, two) = bytes[HEAD_BYTES..HEAD_BYTES + 2 * RECORD_BYTES].split_at_mut(RECORD_BYTES);
        one.swap_with_slice(two);
        let verdict = SealedBatch::decode(&bytes).unwrap().verify(&press.keys(), FEED);
        assert_eq!(verdict, Err(FeedFault::BadSignature));
    }

    #[test]
    fn a_count_that_differs_from_the_numbers_is_malformed() {
        let (_, bytes) = sealed();
        let mut shorter = bytes.clone();
        shorter.drain(HEAD_BYTES..HEAD_BYTES + RECORD_BYTES);
        assert!(SealedBatch::decode(&shorter).is_err());
        let mut endless = bytes;
        endless[16..24].fill(0);
        endless[24..32].fill(0xff);
        assert!(SealedBatch::decode(&endless).is_err());
    }

    #[test]
    fn several_batches_travel_in_one_answer() {
        let (press, _) = sealed();
        let body = frame([press.batch(1, 1), press.batch(2, 3)]);
        let firsts = |body: &[u8]| -> Vec<Option<u64>> {
            unframe(body).into_iter().map(|sealed| Some(sealed.ok()?.batch.first)).collect()
        };
        assert_eq!(firsts(&body), [Some(1), Some(2)]);
        assert_eq!(firsts(&body[..body.len() - 1]), [Some(1), None]);
        assert_eq!(firsts(&[&body, [0, 0, 0].as_slice()].concat()), [Some(1), Some(2), None]);
        assert_eq!(firsts(&[0xff; 8]), [None]);
    }

    #[test]
    fn an_empty_batch_cannot_be_cut() {
        assert_eq!(Batch::cut(1, 1, 1, &[0; 32], vec![]), None);
        assert_eq!(Batch::cut(1, u64::MAX, 1, &[0; 32], vec![token(1), token(2)]), None);
    }

    #[test]
    fn no_prefix_of_a_batch_is_believed() {
        let (press, bytes) = sealed();
        for length in 0..bytes.len() {
            let verdict = SealedBatch::decode(&bytes[..length]).and_then(|b| b.verify(&press.keys(), FEED));
            assert!(verdict.is_err(), "{length} bytes");
        }
    }

    proptest! {
        #[test]
        fn one_altered_byte_is_noticed(at in 0usize..144 + 3 * RECORD_BYTES, by in 1u8..=255) {
            let (press, mut bytes) = sealed();
            bytes[at] ^= by;
            let verdict = SealedBatch::decode(&bytes).and_then(|b| b.verify(&press.keys(), FEED));
            prop_assert!(verdict.is_err());
        }

        #[test]
        fn decoding_never_panics(bytes in prop::collection::vec(any::<u8>(), 0..400)) {
            let magic = [b"RVB1".as_slice(), &bytes].concat();
            prop_assert!(SealedBatch::decode(&bytes).is_err() || bytes.starts_with(b"RVB1"));
            let _ = SealedBatch::decode(&magic);
        }
    }
}
