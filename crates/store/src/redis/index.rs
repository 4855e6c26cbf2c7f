//! Where a record stands in the index that readers of single tokens ask. `docs/redis.md` tells them.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use portcullis_authority::endings::MARGIN;
use portcullis_guard::feed::{FLAG_TIME, Kind, Record};

use crate::AFTERLIFE;

/// Seconds of token expiry that share a slot.
const SLOT: u64 = 900;
const TOKEN_BUCKETS: u16 = 0x4000;
/// Buckets of logins; nothing about a login tells its reader when it expires, so they have no slots.
pub(super) const LOGIN_BUCKETS: u32 = 0x1_0000;

/// One entry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Entry {
    /// Behind the feed's prefix.
    pub key: String,
    /// Of a hash; empty for a plain value.
    pub field: Vec<u8>,
    pub value: String,
    /// Seconds; the key is of no use after this.
    pub expiry: u64,
}

impl Entry {
    /// The entry of a record; beats and announcements have none.
    pub fn of(record: &Record) -> Option<Self> {
        let exp = u64::from(record.exp);
        match record.kind {
            Kind::Beat | Kind::Policy | Kind::Keys => None,
            Kind::Token => Some(Self::token(record, exp)),
            Kind::Family => Some(Self {
                key: login_bucket(u32::from(tail(record))),
                field: record.id.to_vec(),
                value: exp.to_string(),
                expiry: exp + AFTERLIFE,
            }),
            kind => {
                // A time and a generation must never be compared with each other.
                let sort = if record.flags & FLAG_TIME == 0 { "" } else { "t" };
                let id = URL_SAFE_NO_PAD.encode(record.id);
                let key = format!("w:{}{sort}:{id}", kind as u8);
                Some(Self { key, field: vec![], value: record.val.to_string(), expiry: exp + AFTERLIFE })
            }
        }
    }

    /// Readers know when their token expires, and the record stays [`MARGIN`] longer.
    fn token(record: &Record, exp: u64) -> Self {
        let slot = exp.saturating_sub(MARGIN) / SLOT;
        Self {
            key: format!("x:{slot}:{}", tail(record) & (TOKEN_BUCKETS - 1)),
            field: record.id.to_vec(),
            value: String::new(),
            expiry: (slot + 1) * SLOT + MARGIN + AFTERLIFE,
        }
    }
}

/// The key of a bucket of logins, behind the feed's prefix.
pub(super) fn login_bucket(bucket: u32) -> String {
    format!("s:{bucket}")
}

/// The last two bytes of an id, which are as random as any.
fn tail(record: &Record) -> u16 {
    u16::from_be_bytes([record.id[14], record.id[15]])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(kind: Kind, flags: u8, exp: u32) -> Record {
        let mut id = [7; 16];
        (id[14], id[15]) = (0xc1, 0x02);
        Record { kind, flags, exp, val: 5, id }
    }

    #[test]
    fn a_token_stands_in_the_slot_of_its_own_expiry() {
        let entry = Entry::of(&record(Kind::Token, 0, 9_000 + 300)).unwrap();
        assert_eq!((entry.key.as_str(), entry.value.as_str()), ("x:10:258", ""));
        assert_eq!(entry.expiry, 9_900 + 300 + 120);
    }

    #[test]
    fn a_login_stands_in_one_bucket_with_its_time() {
        let entry = Entry::of(&record(Kind::Family, 0, 9_000)).unwrap();
        assert_eq!((entry.key.as_str(), entry.value.as_str()), ("s:49410", "9000"));
    }

    #[test]
    fn generations_and_times_are_kept_apart() {
        let key = |flags| Entry::of(&record(Kind::Subject, flags, 9_000)).unwrap().key;
        assert_eq!(key(0), "w:3:BwcHBwcHBwcHBwcHBwfBAg");
        assert_eq!(key(FLAG_TIME), "w:3t:BwcHBwcHBwcHBwcHBwfBAg");
    }

    #[test]
    fn what_ends_nothing_is_not_in_the_index() {
        for kind in [Kind::Beat, Kind::Policy, Kind::Keys] {
            assert_eq!(Entry::of(&record(kind, 0, 9_000)), None);
        }
    }
}
