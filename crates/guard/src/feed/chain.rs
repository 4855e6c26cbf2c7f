//! The hash that ties every record of an epoch to all records before it. Per record and not per batch, so
//! two servers that cut their batches differently still agree.

use ring::digest;

use super::{Record, digest::finish};

/// The hash after some record.
pub type Chain = [u8; 32];

/// The chain before the first record of an epoch. Feed and epoch are in it, so that no stretch of one can
/// stand for a stretch of another.
pub fn start(feed: &str, epoch: u64) -> Chain {
    let mut hash = digest::Context::new(&digest::SHA256);
    hash.update(b"rv-chain-v1\0");
    hash.update(feed.as_bytes());
    hash.update(&epoch.to_be_bytes());
    finish(hash)
}

/// The chain after one more record.
pub fn extend(before: &Chain, record: &Record) -> Chain {
    let mut hash = digest::Context::new(&digest::SHA256);
    hash.update(before);
    hash.update(&record.encode());
    finish(hash)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::feed::Kind;

    #[test]
    fn order_and_beginning_both_count() {
        let one = Record { kind: Kind::Token, flags: 0, exp: 1, val: 0, id: [1; 16] };
        let two = Record { id: [2; 16], ..one };
        let begin = start("live:eu1", 7);
        assert_ne!(extend(&extend(&begin, &one), &two), extend(&extend(&begin, &two), &one));
        assert_ne!(begin, start("live:eu1", 8));
        assert_ne!(begin, start("live:eu2", 7));
    }
}
