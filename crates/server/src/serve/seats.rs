//! A bound on the open connections of one address, before any of them has said anything: whoever only holds
//! connections is seen by no handler. The proxies in front of us bring everybody's connections and have no
//! such bound.

use std::any::Any;
use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr, Shutdown};
use std::os::fd::AsFd as _;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use actix_tls::accept::rustls_0_23::TlsStream;
use actix_web::dev::Extensions;
use actix_web::rt::net::TcpStream;

use crate::settings::TrustedProxies;

/// Who sits where.
pub struct Seats {
    taken: Mutex<HashMap<IpAddr, u32>>,
    most: u32,
    proxies: TrustedProxies,
}

impl Seats {
    pub fn new(most: u32, proxies: TrustedProxies) -> Arc<Self> {
        Arc::new(Self { taken: Mutex::default(), most, proxies })
    }

    /// Gives a new connection its seat, or shows it out. The seat is free again when the connection's
    /// extensions go, which is when the connection does.
    pub fn usher(self: &Arc<Self>, connection: &dyn Any, extensions: &mut Extensions) {
        let Some(socket) = socket(connection) else { return };
        let Ok(peer) = socket.peer_addr() else { return };
        match self.take(peer.ip()) {
            Some(seat) => _ = extensions.insert(seat),
            None => show_out(socket),
        }
    }

    /// A seat; `None` when this address has them all.
    fn take(self: &Arc<Self>, peer: IpAddr) -> Option<Seat> {
        let peer = peer.to_canonical();
        if self.proxies.trusts(peer) {
            return Some(Seat { seats: self.clone(), place: None });
        }
        let place = place(peer);
        let mut taken = self.taken();
        let count = taken.entry(place).or_default();
        if *count >= self.most {
            return None;
        }
        *count += 1;
        Some(Seat { seats: self.clone(), place: Some(place) })
    }

    fn leave(&self, place: IpAddr) {
        let mut taken = self.taken();
        if let Some(count) = taken.get_mut(&place) {
            *count = count.saturating_sub(1);
            if *count == 0 {
                taken.remove(&place);
            }
        }
    }

    /// Whole after every statement, so a panic elsewhere spoils nothing.
    fn taken(&self) -> MutexGuard<'_, HashMap<IpAddr, u32>> {
        self.taken.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

struct Seat {
    seats: Arc<Seats>,
    place: Option<IpAddr>,
}

impl Drop for Seat {
    fn drop(&mut self) {
        if let Some(place) = self.place {
            self.seats.leave(place);
        }
    }
}

fn socket(connection: &dyn Any) -> Option<&TcpStream> {
    let plain = connection.downcast_ref::<TcpStream>();
    plain.or_else(|| Some(connection.downcast_ref::<TlsStream<TcpStream>>()?.get_ref().0))
}

/// Closes it from our side; its owner notices and lets go of it.
fn show_out(socket: &TcpStream) {
    // A socket that cannot be closed is closed already.
    let _ = socket
        .as_fd()
        .try_clone_to_owned()
        .and_then(|again| std::net::TcpStream::from(again).shutdown(Shutdown::Both));
}

/// Of IPv6 the first half, as the other limits have it.
fn place(peer: IpAddr) -> IpAddr {
    match peer {
        IpAddr::V6(whole) => Ipv6Addr::from_bits(whole.to_bits() >> 64 << 64).into(),
        v4 => v4,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_has_so_many_seats_and_gets_them_back() {
        let seats = Seats::new(2, TrustedProxies::default());
        let from = |address: &str| seats.take(address.parse().unwrap());
        let (first, second) = (from("192.0.2.7"), from("::ffff:192.0.2.7"));
        assert!(first.is_some() && second.is_some() && from("192.0.2.7").is_none());
        assert!(from("192.0.2.8").is_some());
        drop(first);
        assert!(from("192.0.2.7").is_some());
        drop(second);
        assert!(seats.taken().is_empty());
    }

    #[test]
    fn a_network_of_ipv6_is_one_address_and_a_proxy_is_everybody() {
        let seats = Seats::new(1, TrustedProxies::of_this_machine());
        let from = |address: &str| seats.take(address.parse().unwrap());
        let held = from("2001:db8::1");
        assert!(held.is_some() && from("2001:db8::2").is_none() && from("2001:db8:0:1::1").is_some());
        let proxied: Vec<_> = (0..5).map(|_| from("127.0.0.1")).collect();
        assert!(proxied.iter().all(Option::is_some));
    }
}
