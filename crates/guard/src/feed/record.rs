//! One line of the feed: what ends, and until when that must be remembered. 28 bytes, big endian.
//!
//! Sequence numbers, signatures and transports are elsewhere (`batch.rs`, `follower.rs`); a record alone
//! is enough to refuse a token.

use ring::digest;

/// Bytes of an encoded record.
pub const RECORD_BYTES: usize = 28;

/// What a record is about. The numbers are the wire's and never change meaning.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[repr(u8)]
pub enum Kind {
    /// Nothing ends; the feed is alive.
    Beat = 0,
    /// One token, by `jti`.
    Token = 1,
    /// A login and its refresh family, by `sid`.
    Family = 2,
    /// Everything issued so far to a subject.
    Subject = 3,
    /// Everything issued so far to a client.
    Client = 4,
    /// Everything issued so far in an organization.
    Organization = 5,
    /// Everything signed by a key.
    Key = 6,
    /// Everything in whose chain of actors somebody stands.
    Actor = 7,
    /// Everything issued so far by this feed.
    Everything = 8,
    /// The policy (roles and permissions) has a new version.
    Policy = 9,
    /// The key set has changed.
    Keys = 10,
    /// Everything bound to a device key, by `cnf` thumbprint.
    Device = 11,
}

impl Kind {
    /// The kind with this number, or none.
    pub fn from_number(number: u8) -> Option<Self> {
        use Kind::*;
        [Beat, Token, Family, Subject, Client, Organization, Key, Actor, Everything, Policy, Keys, Device]
            .into_iter()
            .find(|kind| *kind as u8 == number)
    }
}

/// `val` is a time in seconds, to be compared with `iat`; otherwise it is a generation.
pub const FLAG_TIME: u8 = 1;
/// Guards log this record as an emergency.
pub const FLAG_EMERGENCY: u8 = 2;

/// Sixteen bytes that name what ends: the raw `jti` or `sid`, otherwise [`name_id`].
pub type Id = [u8; 16];

/// One line of the feed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Record {
    pub kind: Kind,
    pub flags: u8,
    /// Seconds since the epoch: no token that this record matches lives longer.
    pub exp: u32,
    /// Least acceptable generation, or a time, or a policy version; 0 for tokens, families and keys.
    pub val: u32,
    pub id: Id,
}

impl Record {
    /// The wire form.
    pub fn encode(&self) -> [u8; RECORD_BYTES] {
        let mut bytes = [0; RECORD_BYTES];
        bytes[0] = self.kind as u8;
        bytes[1] = self.flags;
        bytes[4..8].copy_from_slice(&self.exp.to_be_bytes());
        bytes[8..12].copy_from_slice(&self.val.to_be_bytes());
        bytes[12..].copy_from_slice(&self.id);
        bytes
    }

    /// Reads the wire form; `None` for an unknown kind or reserved bytes that are not zero.
    pub fn decode(bytes: &[u8; RECORD_BYTES]) -> Option<Self> {
        let word = |at: usize| u32::from_be_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]]);
        let mut id = [0; 16];
        id.copy_from_slice(&bytes[12..]);
        let kind = Kind::from_number(bytes[0])?;
        (bytes[2] == 0 && bytes[3] == 0).then(|| Self {
            kind,
            flags: bytes[1],
            exp: word(4),
            val: word(8),
            id,
        })
    }
}

/// The id of a named thing in the feed: the first 16 bytes of SHA-256 over salt, kind and name, so that
/// the feed holds no personal data.
pub fn name_id(salt: &[u8], kind: Kind, name: &str) -> Id {
    let mut hash = digest::Context::new(&digest::SHA256);
    hash.update(b"portcullis-feed-id\0");
    hash.update(salt);
    hash.update(&[0, kind as u8]);
    hash.update(name.as_bytes());
    let mut id = [0; 16];
    id.copy_from_slice(&hash.finish().as_ref()[..16]);
    id
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_survives_the_wire() {
        let record = Record { kind: Kind::Subject, flags: FLAG_EMERGENCY, exp: 7, val: 9, id: [3; 16] };
        assert_eq!(Record::decode(&record.encode()), Some(record));
    }

    #[test]
    fn an_unknown_kind_or_a_reserved_byte_is_no_record() {
        let good = Record { kind: Kind::Beat, flags: 0, exp: 0, val: 0, id: [0; 16] }.encode();
        for (at, value) in [(0, 12), (2, 1), (3, 1)] {
            let mut bad = good;
            bad[at] = value;
            assert_eq!(Record::decode(&bad), None);
        }
    }
}
