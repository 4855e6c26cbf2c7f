//! A feed in a test's hands: writes records, cuts batches, seals segments and signs manifests, as a server
//! would, without storage or clock.

use ring::signature::{Ed25519KeyPair, KeyPair};

use super::{
    Batch, Chain, Digest, FeedKeys, Kind, Manifest, Record, Segment, chain,
    keys::{Key8, key8},
};

pub const ISSUER: &str = "https://auth.shop.example";
pub const SALT: &[u8] = b"salt";
/// The time of record number 0; each record is a second later.
pub const BEGIN_MS: u64 = 1_700_000_000_000;
/// An `exp` that no test lives to see.
pub const FAR: u32 = 1_800_000_000;

/// One server's view of one epoch.
pub struct Press {
    feed: String,
    epoch: u64,
    pair: Ed25519KeyPair,
    records: Vec<Record>,
    chains: Vec<Chain>,
    segments: Vec<(Segment, Vec<u8>)>,
    pub jwks: Option<Digest>,
    pub policy: Option<Digest>,
}

impl Press {
    pub fn new(feed: &str, epoch: u64) -> Self {
        Self::with_seed(feed, epoch, [7; 32])
    }

    pub fn with_seed(feed: &str, epoch: u64, seed: [u8; 32]) -> Self {
        let pair = Ed25519KeyPair::from_seed_unchecked(&seed).expect("a seed is 32 bytes");
        let chains = vec![chain::start(feed, epoch)];
        let (records, segments) = (vec![], vec![]);
        Self { feed: feed.into(), epoch, pair, records, chains, segments, jwks: None, policy: None }
    }

    pub fn public_key(&self) -> [u8; 32] {
        self.pair.public_key().as_ref().try_into().expect("a public key is 32 bytes")
    }

    pub fn key8(&self) -> Key8 {
        key8(&self.public_key())
    }

    pub fn keys(&self) -> FeedKeys {
        FeedKeys::from_raw([self.public_key()])
    }

    pub fn sign(&self, input: &[u8]) -> [u8; 64] {
        self.pair.sign(input).as_ref().try_into().expect("a signature is 64 bytes")
    }

    #[cfg(feature = "http-feed")]
    pub fn epoch(&self) -> u64 {
        self.epoch
    }

    pub fn head(&self) -> u64 {
        self.records.len() as u64
    }

    pub fn as_of(&self, seq: u64) -> u64 {
        BEGIN_MS + seq * 1000
    }

    pub fn chain_at(&self, seq: u64) -> Chain {
        self.chains[seq as usize]
    }

    pub fn write(&mut self, records: impl IntoIterator<Item = Record>) {
        for record in records {
            self.chains.push(chain::extend(&self.chain_at(self.head()), &record));
            self.records.push(record);
        }
    }

    pub fn batch(&self, first: u64, last: u64) -> Vec<u8> {
        let records = self.records[first as usize - 1..last as usize].to_vec();
        let batch = Batch::cut(self.epoch, first, self.as_of(last), &self.chain_at(first - 1), records);
        batch.expect("not empty").encode(&self.feed, self.key8(), |input| self.sign(input))
    }

    /// Moves everything up to `last` that is in no segment into one.
    pub fn seal(&mut self, last: u64) {
        let first = self.tail_first();
        let records = &self.records[first as usize - 1..last as usize];
        self.segments.push(Segment::seal(first, last, records));
    }

    pub fn segment(&self, name: &Digest) -> &[u8] {
        &self.segments.iter().find(|(segment, _)| segment.sha256 == *name).expect("sealed before").1
    }

    pub fn tail_first(&self) -> u64 {
        self.segments.last().map_or(1, |(segment, _)| segment.last + 1)
    }

    pub fn manifest(&self) -> Manifest {
        let (head, tail_first) = (self.head(), self.tail_first());
        Manifest {
            iss: ISSUER.into(),
            feed: self.feed.clone(),
            epoch: self.epoch,
            as_of: self.as_of(head),
            head,
            chain: self.chain_at(head),
            salt: SALT.into(),
            segments: self.segments.iter().map(|(segment, _)| segment.clone()).collect(),
            tail_first,
            tail_chain: self.chain_at(tail_first - 1),
            jwks_sha256: self.jwks,
            policy_sha256: self.policy,
        }
    }

    pub fn signed(&self, manifest: &Manifest) -> String {
        manifest.sign(self.key8(), |input| self.sign(input)).expect("a manifest is JSON")
    }
}

pub fn record(kind: Kind, id: [u8; 16], val: u32) -> Record {
    Record { kind, flags: 0, exp: FAR, val, id }
}

/// The end of the token whose `jti` is this byte sixteen times.
pub fn token(byte: u8) -> Record {
    record(Kind::Token, [byte; 16], 0)
}

pub fn beat() -> Record {
    Record { kind: Kind::Beat, flags: 0, exp: 0, val: 0, id: [0; 16] }
}
