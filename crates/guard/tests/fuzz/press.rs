//! Real frames of one feed: batches, tails, manifests, segments, signed as the server signs them.

use portcullis_guard::feed::batch::frame;
use portcullis_guard::feed::keys::key8;
use portcullis_guard::feed::{Batch, Chain, FeedKeys, Kind, Manifest, Record, Segment, chain};
use ring::signature::{Ed25519KeyPair, KeyPair};

pub const ISSUER: &str = "https://auth.shop.example";
pub const FEED: &str = "live:eu1";
const EPOCH: u64 = 3;
/// Records of the feed, in batches of these lengths.
const BATCHES: [u64; 5] = [1, 2, 1, 40, 7];

/// A feed that does not grow.
pub struct Press {
    pair: Ed25519KeyPair,
    public: [u8; 32],
    records: Vec<Record>,
    chains: Vec<Chain>,
}

impl Press {
    pub fn new() -> Self {
        let pair = Ed25519KeyPair::from_seed_unchecked(&[7; 32]).expect("a seed is 32 bytes");
        let public = pair.public_key().as_ref().try_into().expect("a public key is 32 bytes");
        let records: Vec<_> = (1..=BATCHES.iter().sum()).map(record).collect();
        let mut chains = vec![chain::start(FEED, EPOCH)];
        for record in &records {
            chains.push(chain::extend(&chains[chains.len() - 1], record));
        }
        Self { pair, public, records, chains }
    }

    pub fn keys(&self) -> FeedKeys {
        FeedKeys::from_raw([self.public])
    }

    pub fn jwks(&self) -> String {
        let x = crate::issuer::encode(&self.public);
        format!(r#"{{"keys":[{{"kty":"OKP","crv":"Ed25519","use":"rv","x":"{x}"}}]}}"#)
    }

    pub fn head(&self) -> u64 {
        self.records.len() as u64
    }

    pub fn as_of(&self, seq: u64) -> u64 {
        1_700_000_000_000 + seq * 1000
    }

    pub fn batches(&self) -> Vec<Vec<u8>> {
        let firsts = BATCHES.iter().scan(1, |next, length| {
            *next += length;
            Some((*next - length, *length))
        });
        firsts.map(|(first, length)| self.batch(first, first + length - 1)).collect()
    }

    pub fn tails(&self) -> Vec<Vec<u8>> {
        let batches = self.batches();
        vec![frame(&batches), frame(&batches[..1]), frame(&batches[3..])]
    }

    /// One that begins with the tail, one with segments before it.
    pub fn manifests(&self) -> Vec<Vec<u8>> {
        let (sealed, _) = self.sealed();
        vec![self.manifest(vec![], 1).into_bytes(), sealed.into_bytes()]
    }

    /// A manifest with two segments, and what is in them.
    pub fn sealed(&self) -> (String, Vec<Vec<u8>>) {
        let (one, first) = Segment::seal(1, 10, &self.records[..10]);
        let (two, second) = Segment::seal(11, 40, &self.records[20..40]);
        (self.manifest(vec![one, two], 41), vec![first, second])
    }

    fn batch(&self, first: u64, last: u64) -> Vec<u8> {
        let records = self.records[first as usize - 1..last as usize].to_vec();
        let before = &self.chains[first as usize - 1];
        let batch = Batch::cut(EPOCH, first, self.as_of(last), before, records).expect("it has records");
        batch.encode(FEED, key8(&self.public), |input| self.sign(input))
    }

    fn manifest(&self, segments: Vec<Segment>, tail_first: u64) -> String {
        let head = self.head();
        let manifest = Manifest {
            iss: ISSUER.into(),
            feed: FEED.into(),
            epoch: EPOCH,
            as_of: self.as_of(head),
            head,
            chain: self.chains[head as usize],
            salt: b"salt".to_vec(),
            segments,
            tail_first,
            tail_chain: self.chains[tail_first as usize - 1],
            jwks_sha256: None,
            policy_sha256: None,
        };
        manifest.sign(key8(&self.public), |input| self.sign(input)).expect("a manifest is JSON")
    }

    fn sign(&self, input: &[u8]) -> [u8; 64] {
        self.pair.sign(input).as_ref().try_into().expect("a signature is 64 bytes")
    }
}

fn record(number: u64) -> Record {
    let kinds = [Kind::Token, Kind::Family, Kind::Subject, Kind::Beat, Kind::Client];
    let kind = kinds[number as usize % kinds.len()];
    Record { kind, flags: (number % 2) as u8, exp: 1_800_000_000, val: number as u32, id: [number as u8; 16] }
}
