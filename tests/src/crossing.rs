//! One address in front of several servers. It asks each whether it is ready and leads every new connection to
//! one that is, in turn; it repeats nothing and hides nothing, so a request that meets a closed door fails.

use std::io;
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst};
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

#[derive(Debug)]
struct Roads {
    places: Vec<(SocketAddr, AtomicBool)>,
    next: AtomicUsize,
    gone: AtomicBool,
}

impl Crossing {
    /// Opens one that leads to these servers, once they are ready.
    ///
    /// # Panics
    /// When no port can be had.
    pub fn open(servers: impl IntoIterator<Item = SocketAddr>) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
        let address = listener.local_addr().expect("it is bound");
        let places = servers.into_iter().map(|server| (server, AtomicBool::new(false))).collect();
        let roads = Arc::new(Roads { places, next: AtomicUsize::new(0), gone: AtomicBool::new(false) });
        let (watched, led) = (roads.clone(), roads.clone());
        thread::spawn(move || watched.watch());
        thread::spawn(move || led.lead(&listener));
        Self { address, roads }
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
        self.roads.places.iter().any(|(place, open)| *place == server && open.load(SeqCst))
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
    /// Looks after each server until the crossing is gone.
    fn watch(&self) {
        let agent: Agent =
            Agent::config_builder().timeout_global(Some(ANSWER)).max_idle_connections(0).build().into();
        while !self.gone.load(SeqCst) {
            for (server, open) in &self.places {
                open.store(agent.get(format!("http://{server}/readyz")).call().is_ok(), SeqCst);
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

    /// The next server that is ready.
    fn choose(&self) -> Option<SocketAddr> {
        let first = self.next.fetch_add(1, SeqCst);
        let turns = (0..self.places.len()).map(|turn| &self.places[(first + turn) % self.places.len()]);
        turns.into_iter().find(|(_, open)| open.load(SeqCst)).map(|(server, _)| *server)
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
