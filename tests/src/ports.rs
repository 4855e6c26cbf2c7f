//! Ports for programs that have to be told one, because others know it before they start, or because they come
//! back to it.

use std::hash::{BuildHasher, Hasher, RandomState};
use std::io;
use std::net::{Ipv4Addr, TcpListener};
use std::ops::Range;
use std::sync::LazyLock;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// Ports that a kernel does not hand out by itself (on Linux those begin at 32768), so that none goes to somebody's
/// connection or listener on port 0 between the moment it is looked up and the one it is needed.
/// `net.ipv4.ip_local_port_range` may say otherwise; then what is left is luck, as it is everywhere else.
const RANGE: Range<u16> = 12_000..32_000;

/// Where to look next: each process begins somewhere else.
static NEXT: LazyLock<AtomicU64> =
    LazyLock::new(|| AtomicU64::new(RandomState::new().build_hasher().finish() >> 32));

/// A port of this machine that nobody has. This process is given it once.
///
/// # Errors
/// When there is none.
pub fn free_port() -> io::Result<u16> {
    let count = u64::from(RANGE.end - RANGE.start);
    for _ in 0..count {
        let at = NEXT.fetch_add(1, Relaxed) % count;
        let port = RANGE.start + u16::try_from(at).unwrap_or_default();
        if TcpListener::bind((Ipv4Addr::UNSPECIFIED, port)).is_ok() {
            return Ok(port);
        }
    }
    Err(io::Error::new(io::ErrorKind::AddrInUse, "no port is free"))
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn a_port_is_free_and_given_once() {
        let given: HashSet<_> = (0..100).map(|_| free_port().unwrap()).collect();
        assert_eq!(given.len(), 100);
        assert!(given.iter().all(|port| TcpListener::bind((Ipv4Addr::LOCALHOST, *port)).is_ok()));
    }
}
