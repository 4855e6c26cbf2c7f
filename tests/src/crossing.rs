//! One address in front of several servers. It leads every new connection to the next one that is open: that is
//! ready, where it watches them, or that it was told of. It repeats nothing and hides nothing, so a request that
//! meets a closed door fails.

use std::io;
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, PoisonError, RwLock};
use std::thread;
use std::time::Duration;

use ureq::Agent;

/// How often each server is asked.
pub const GLANCE: Duration = Duration::from_millis(50);
/// An answer that takes longer is none.
const ANSWER: Duration = Duration::from_secs(1);
const CONNECT: Duration = Duration::from_secs(1);

/// A listening address. Dropped, it takes no more connections; those that are there end by themselves.
#[derive(Debug)]
pub struct Crossing {
    address: SocketAddr,
    roads: Arc<Roads>,
}

#[derive(Debug, Default)]
struct Roads {
    /// Each server, and whether requests are led there.
    places: RwLock<Vec<(SocketAddr, bool)>>,
    next: AtomicUsize,
    gone: AtomicBool,
}

impl Crossing {
    /// Opens one that leads to these servers, whenever they are ready.
    ///
    /// # Panics
    /// When no port can be had.
    pub fn open(servers: impl IntoIterator<Item = SocketAddr>) -> Self {
        let crossing = Self::closed();
        crossing.roads.put(servers.into_iter().map(|server| (server, false)).collect());
        let watched = crossing.roads.clone();
        thread::spawn(move || watched.watch());
        crossing
    }

    /// Opens one that leads nowhere, until [`Crossing::lead_to`] says where.
    ///
    /// # Panics
    /// When no port can be had.
    pub fn closed() -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
        let address = listener.local_addr().expect("it is bound");
        let roads = Arc::new(Roads::default());
        let led = roads.clone();
        thread::spawn(move || led.lead(&listener));
        Self { address, roads }
    }

    /// Leads to these servers from now on, and to no others.
    pub fn lead_to(&self, servers: impl IntoIterator<Item = SocketAddr>) {
        self.roads.put(servers.into_iter().map(|server| (server, true)).collect());
    }

    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// As the beginning of an address on the web.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Whether requests are led to this server.
    pub fn leads_to(&self, server: SocketAddr) -> bool {
        self.roads.places().contains(&(server, true))
    }
}

impl Drop for Crossing {
    fn drop(&mut self) {
        self.roads.gone.store(true, SeqCst);
        // Wakes the thread that waits for connections, so that it sees that it is over.
        let _ = TcpStream::connect_timeout(&self.address, CONNECT);
    }
}

impl Roads {
    fn places(&self) -> Vec<(SocketAddr, bool)> {
        self.places.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn put(&self, places: Vec<(SocketAddr, bool)>) {
        *self.places.write().unwrap_or_else(PoisonError::into_inner) = places;
    }

    /// Looks after each server until the crossing is gone.
    fn watch(&self) {
        let agent: Agent =
            Agent::config_builder().timeout_global(Some(ANSWER)).max_idle_connections(0).build().into();
        while !self.gone.load(SeqCst) {
            for (at, (server, _)) in self.places().into_iter().enumerate() {
                let ready = agent.get(format!("http://{server}/readyz")).call().is_ok();
                self.places.write().unwrap_or_else(PoisonError::into_inner)[at].1 = ready;
            }
            thread::sleep(GLANCE);
        }
    }

    fn lead(&self, listener: &TcpListener) {
        for near in listener.incoming().flatten() {
            if self.gone.load(SeqCst) {
                return;
            }
            if let Some(far) = self.choose().and_then(|to| TcpStream::connect_timeout(&to, CONNECT).ok()) {
                thread::spawn(move || join(near, far));
            }
        }
    }

    /// The next server that is open.
    fn choose(&self) -> Option<SocketAddr> {
        let open: Vec<_> = self.places().into_iter().filter(|(_, open)| *open).collect();
        let next = self.next.fetch_add(1, SeqCst).checked_rem(open.len())?;
        Some(open[next].0)
    }
}

/// Carries bytes both ways until both sides have ended.
fn join(near: TcpStream, far: TcpStream) {
    let _ = (near.set_nodelay(true), far.set_nodelay(true));
    let (Ok(near_too), Ok(far_too)) = (near.try_clone(), far.try_clone()) else { return };
    let up = thread::spawn(move || carry(near_too, far_too));
    carry(far, near);
    // The thread has said all it had to say by ending.
    let _ = up.join();
}

fn carry(mut from: TcpStream, mut to: TcpStream) {
    // However it ended, the other side hears that there is no more.
    let _ = io::copy(&mut from, &mut to);
    let _ = to.shutdown(Shutdown::Write);
}
