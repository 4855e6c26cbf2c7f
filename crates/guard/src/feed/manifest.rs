//! The table of contents of a feed: which segments and which stretch of tail make the whole, signed by the
//! feed key as a compact JWS (RFC 7515 section 3.1). Fetching what it names is `follower.rs`' plan.

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use serde::{Deserialize, Serialize};

use super::{Chain, Digest, FeedFault, FeedKeys, Record, batch::MAX_RECORDS, keys::Key8};

/// The media type of a manifest in its header, so that no other token of ours can pass for one (RFC 8725
/// section 3.11).
const TYPE: &str = "rv-manifest+jwt";
const ALGORITHM: &str = "EdDSA";

/// What a feed consisted of at record `head`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Manifest {
    pub iss: String,
    pub feed: String,
    pub epoch: u64,
    /// The time of record `head` in milliseconds, never the time at which this was written.
    pub as_of: u64,
    /// Sequence number of the last record.
    pub head: u64,
    /// The chain after `head`.
    #[serde(with = "bytes32")]
    pub chain: Chain,
    /// What names are hashed with; the same for the whole life of a feed.
    #[serde(with = "bytes")]
    pub salt: Vec<u8>,
    pub segments: Vec<Segment>,
    /// Sequence number of the first record that is in no segment.
    pub tail_first: u64,
    /// The chain after record `tail_first - 1`. The segments have none of their own: what is left out of
    /// them cannot be chained.
    #[serde(with = "bytes32")]
    pub tail_chain: Chain,
    /// The current set of token keys, when it is pinned.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub jwks_sha256: Option<Digest>,
    /// The current policy, when there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub policy_sha256: Option<Digest>,
}

/// A sealed stretch of the feed without its expired records. It never changes; its name is its content's.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Segment {
    pub sha256: Digest,
    pub first: u64,
    pub last: u64,
    /// Records that are left.
    pub count: u64,
    /// Seconds; when this has passed the segment may disappear.
    pub max_exp: u64,
    pub bytes: u64,
}

impl Segment {
    /// Seals what is left of the stretch from `first` to `last`. Gives the content as well.
    pub fn seal(first: u64, last: u64, records: &[Record]) -> (Self, Vec<u8>) {
        let content: Vec<u8> = records.iter().flat_map(Record::encode).collect();
        let max_exp = records.iter().map(|record| record.exp.into()).max().unwrap_or(0);
        let (count, bytes) = (records.len() as u64, content.len() as u64);
        (Self { sha256: Digest::of(&content), first, last, count, max_exp, bytes }, content)
    }
}

#[derive(Serialize, Deserialize)]
struct Header {
    alg: String,
    typ: String,
    kid: String,
}

impl Manifest {
    /// The compact form.
    pub fn sign(
        &self,
        key8: Key8,
        sign: impl FnOnce(&[u8]) -> [u8; 64],
    ) -> Result<String, serde_json::Error> {
        let kid = URL_SAFE_NO_PAD.encode(key8);
        let header = Header { alg: ALGORITHM.into(), typ: TYPE.into(), kid };
        let header = URL_SAFE_NO_PAD.encode(serde_json::to_vec(&header)?);
        let body = URL_SAFE_NO_PAD.encode(serde_json::to_vec(self)?);
        let input = format!("{header}.{body}");
        let signature = URL_SAFE_NO_PAD.encode(sign(input.as_bytes()));
        Ok(format!("{input}.{signature}"))
    }

    /// Reads and believes a manifest: the signature of a known key, this issuer, this feed, and contents
    /// that hang together.
    pub fn verify(text: &str, keys: &FeedKeys, iss: &str, feed: &str) -> Result<Self, FeedFault> {
        let (input, signature) = text.rsplit_once('.').ok_or(FeedFault::Malformed)?;
        let (header, body) = input.split_once('.').ok_or(FeedFault::Malformed)?;
        let header: Header = read_json(header)?;
        if header.alg != ALGORITHM || header.typ != TYPE {
            return Err(FeedFault::Malformed);
        }
        let key8 = read_base64(&header.kid)?.try_into().map_err(|_| FeedFault::UnknownKey)?;
        keys.verify(&key8, input.as_bytes(), &read_base64(signature)?)?;
        let manifest: Self = read_json(body)?;
        if manifest.iss != iss || manifest.feed != feed {
            return Err(FeedFault::OtherFeed);
        }
        if manifest.is_whole() { Ok(manifest) } else { Err(FeedFault::Malformed) }
    }

    /// A signed manifest that contradicts itself is a server's mistake, and no ground to stand on.
    fn is_whole(&self) -> bool {
        let tail_joins = self.tail_first >= 1 && self.tail_first - 1 <= self.head;
        tail_joins && self.as_of > 0 && self.segments.iter().all(|segment| self.has_room_for(segment))
    }

    fn has_room_for(&self, segment: &Segment) -> bool {
        segment.first <= segment.last
            && segment.last < self.tail_first
            && segment.count <= segment.last - segment.first + 1
            && segment.count <= MAX_RECORDS as u64
    }
}

fn read_base64(text: &str) -> Result<Vec<u8>, FeedFault> {
    URL_SAFE_NO_PAD.decode(text).map_err(|_| FeedFault::Malformed)
}

fn read_json<T: for<'de> Deserialize<'de>>(text: &str) -> Result<T, FeedFault> {
    serde_json::from_slice(&read_base64(text)?).map_err(|_| FeedFault::Malformed)
}

/// Bytes in JSON are base64url without padding, as in a JWK.
mod bytes {
    use super::*;
    use serde::{Deserializer, Serializer, de::Error};

    pub fn serialize<S: Serializer>(bytes: &[u8], to: S) -> Result<S::Ok, S::Error> {
        to.serialize_str(&URL_SAFE_NO_PAD.encode(bytes))
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Vec<u8>, D::Error> {
        URL_SAFE_NO_PAD.decode(String::deserialize(from)?).map_err(D::Error::custom)
    }
}

/// The same for exactly 32.
mod bytes32 {
    use serde::{Deserializer, Serializer, de::Error};

    pub fn serialize<S: Serializer>(bytes: &[u8; 32], to: S) -> Result<S::Ok, S::Error> {
        super::bytes::serialize(bytes, to)
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<[u8; 32], D::Error> {
        super::bytes::deserialize(from)?.try_into().map_err(|_| D::Error::custom("not 32 bytes"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::feed::press::{ISSUER, Press, token};

    const FEED: &str = "live:eu1";

    fn press() -> Press {
        let mut press = Press::new(FEED, 3);
        press.write((0..6).map(token));
        press.seal(4);
        press
    }

    #[test]
    fn a_manifest_survives_the_wire() {
        let press = press();
        let manifest = press.manifest();
        let text = press.signed(&manifest);
        assert_eq!(Manifest::verify(&text, &press.keys(), ISSUER, FEED), Ok(manifest));
    }

    #[test]
    fn a_manifest_of_somebody_else_is_refused() {
        let press = press();
        let text = press.signed(&press.manifest());
        let keys = press.keys();
        assert_eq!(Manifest::verify(&text, &keys, "https://evil", FEED), Err(FeedFault::OtherFeed));
        assert_eq!(Manifest::verify(&text, &keys, ISSUER, "test:eu1"), Err(FeedFault::OtherFeed));
        let stranger = Press::with_seed(FEED, 3, [9; 32]);
        assert_eq!(Manifest::verify(&text, &stranger.keys(), ISSUER, FEED), Err(FeedFault::UnknownKey));
        let forged = press.manifest().sign(press.key8(), |input| stranger.sign(input)).unwrap();
        assert_eq!(Manifest::verify(&forged, &keys, ISSUER, FEED), Err(FeedFault::BadSignature));
    }

    #[test]
    fn another_type_or_algorithm_is_no_manifest() {
        let press = press();
        for (alg, typ) in [("none", TYPE), ("EdDSA", "at+jwt"), ("HS256", TYPE)] {
            let header = format!(
                r#"{{"alg":"{alg}","typ":"{typ}","kid":"{}"}}"#,
                URL_SAFE_NO_PAD.encode(press.key8())
            );
            let body = URL_SAFE_NO_PAD.encode(serde_json::to_vec(&press.manifest()).unwrap());
            let input = format!("{}.{body}", URL_SAFE_NO_PAD.encode(header));
            let text = format!("{input}.{}", URL_SAFE_NO_PAD.encode(press.sign(input.as_bytes())));
            assert_eq!(Manifest::verify(&text, &press.keys(), ISSUER, FEED), Err(FeedFault::Malformed));
        }
    }

    #[test]
    fn a_manifest_that_contradicts_itself_is_refused() {
        let press = press();
        let good = press.manifest();
        let tail_beyond_head = Manifest { tail_first: good.head + 2, ..good.clone() };
        let no_time = Manifest { as_of: 0, ..good.clone() };
        let mut overlap = good;
        overlap.segments[0].last = overlap.tail_first;
        for bad in [tail_beyond_head, no_time, overlap] {
            let text = press.signed(&bad);
            assert_eq!(Manifest::verify(&text, &press.keys(), ISSUER, FEED), Err(FeedFault::Malformed));
        }
    }

    #[test]
    fn rubbish_is_refused_without_a_panic() {
        let keys = press().keys();
        for text in ["", ".", "..", "a.b", "a.b.c", "a.b.c.d", "e30.e30.AA", "é.é.é"] {
            assert!(Manifest::verify(text, &keys, ISSUER, FEED).is_err());
        }
    }
}
