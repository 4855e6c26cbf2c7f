//! A link between two processes that can be broken: every connection goes through here, byte for byte.
//! Knows nothing of what the bytes mean; a relay that lies about them is in `liar.rs`.

use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::SeqCst};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use rustix::net::sockopt::set_socket_linger;

/// How often a pump that has nothing to carry looks at the weather.
const GLANCE: Duration = Duration::from_millis(20);
/// How long a connection lives in gusts.
const GUST: Duration = Duration::from_millis(300);
const CONNECT: Duration = Duration::from_secs(2);

/// What a link does to what goes over it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Weather {
    Fair,
    /// Connections are reset and none is taken.
    Cut,
    /// Half open: connections stay and are taken, and nothing arrives in either direction.
    Frozen,
    /// Requests arrive, answers do not.
    Mute,
    /// Everything arrives this much later.
    Slow(Duration),
    /// So many bytes a second.
    Thin(u32),
    /// Every connection is reset after a short life.
    Gusty,
}

/// A listening address and where it leads. Dropped, it takes no more connections and resets those it has.
#[derive(Debug)]
pub struct Link {
    address: SocketAddr,
    air: Arc<Air>,
}

/// What a link's threads share.
#[derive(Debug)]
struct Air {
    weather: Mutex<Weather>,
    upstream: Mutex<SocketAddr>,
    /// Connections of an earlier age are reset.
    age: AtomicU64,
    gone: AtomicBool,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Way {
    Up,
    Down,
}

impl Link {
    /// Opens a link in fair weather.
    ///
    /// # Errors
    /// When no port can be had.
    pub fn open(upstream: SocketAddr) -> io::Result<Self> {
        Self::open_at(Ipv4Addr::LOCALHOST, upstream)
    }

    /// The same at this address of the machine.
    ///
    /// # Errors
    /// When no port can be had there.
    pub fn open_at(address: Ipv4Addr, upstream: SocketAddr) -> io::Result<Self> {
        let listener = TcpListener::bind((address, 0))?;
        let address = listener.local_addr()?;
        let air = Arc::new(Air {
            weather: Mutex::new(Weather::Fair),
            upstream: Mutex::new(upstream),
            age: AtomicU64::new(0),
            gone: AtomicBool::new(false),
        });
        let shared = air.clone();
        thread::spawn(move || take(&listener, &shared));
        Ok(Self { address, air })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// As the beginning of an address on the web.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Changes the weather, for connections that are there as well.
    pub fn set(&self, weather: Weather) {
        *lock(&self.air.weather) = weather;
        if weather == Weather::Cut {
            self.reset();
        }
    }

    /// Resets every connection.
    pub fn reset(&self) {
        self.air.age.fetch_add(1, SeqCst);
    }

    /// Leads elsewhere from now on.
    pub fn lead_to(&self, upstream: SocketAddr) {
        *lock(&self.air.upstream) = upstream;
        self.reset();
    }
}

impl Drop for Link {
    fn drop(&mut self) {
        self.air.gone.store(true, SeqCst);
        self.reset();
        // Wakes the thread that waits for connections, so that it sees that it is over.
        let _ = TcpStream::connect_timeout(&self.address, CONNECT);
    }
}

impl Air {
    fn weather(&self) -> Weather {
        *lock(&self.weather)
    }

    /// Waits as long as the weather wants. Says whether the bytes still arrive.
    fn carry(&self, way: Way, bytes: usize, trip: &Trip) -> bool {
        let started = Instant::now();
        loop {
            if trip.is_over(self) {
                return false;
            }
            let wait = match self.weather() {
                Weather::Fair | Weather::Gusty => return true,
                Weather::Mute if way == Way::Up => return true,
                Weather::Cut => return false,
                Weather::Frozen | Weather::Mute => GLANCE,
                Weather::Slow(by) => by.saturating_sub(started.elapsed()),
                Weather::Thin(rate) => {
                    let share = u64::try_from(bytes).unwrap_or(u64::MAX).saturating_mul(1_000_000);
                    Duration::from_micros(share / u64::from(rate.max(1))).saturating_sub(started.elapsed())
                }
            };
            if wait.is_zero() {
                return true;
            }
            thread::sleep(wait.min(GLANCE));
        }
    }
}

/// One connection.
struct Trip {
    age: u64,
    born: Instant,
    over: AtomicBool,
}

impl Trip {
    fn is_over(&self, air: &Air) -> bool {
        let blown = air.weather() == Weather::Gusty && self.born.elapsed() > GUST;
        self.over.load(SeqCst) || blown || air.age.load(SeqCst) != self.age
    }
}

fn take(listener: &TcpListener, air: &Arc<Air>) {
    for near in listener.incoming() {
        if air.gone.load(SeqCst) {
            return;
        }
        let Ok(near) = near else { continue };
        if air.weather() == Weather::Cut {
            abort(&near);
            continue;
        }
        let air = air.clone();
        thread::spawn(move || join(near, &air));
    }
}

fn join(near: TcpStream, air: &Arc<Air>) {
    let age = air.age.load(SeqCst);
    let upstream = *lock(&air.upstream);
    let Ok(far) = TcpStream::connect_timeout(&upstream, CONNECT) else { return abort(&near) };
    let trip = Arc::new(Trip { age, born: Instant::now(), over: AtomicBool::new(false) });
    let (Ok(near_too), Ok(far_too)) = (near.try_clone(), far.try_clone()) else { return abort(&near) };
    let (air_too, trip_too) = (air.clone(), trip.clone());
    let up = thread::spawn(move || pump(near_too, far_too, Way::Up, &air_too, &trip_too));
    pump(far, near, Way::Down, air, &trip);
    // The thread has said all it had to say by ending.
    let _ = up.join();
}

/// Carries bytes one way until either side ends or the weather takes the connection.
fn pump(mut from: TcpStream, mut to: TcpStream, way: Way, air: &Air, trip: &Trip) {
    let _ = to.set_nodelay(true);
    let _ = from.set_read_timeout(Some(GLANCE));
    let mut bytes = vec![0; 16 * 1024];
    let broken = loop {
        if trip.is_over(air) {
            break true;
        }
        match from.read(&mut bytes) {
            Ok(0) => break false,
            Ok(read) => {
                let arrives = air.carry(way, read, trip);
                if !arrives || to.write_all(&bytes[..read]).is_err() {
                    break true;
                }
            }
            Err(e) if matches!(e.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut) => {}
            Err(_) => break true,
        }
    };
    if broken {
        trip.over.store(true, SeqCst);
        abort(&from);
        abort(&to);
    } else {
        let _ = to.shutdown(Shutdown::Write);
    }
}

/// Ends a connection the hard way: whoever reads gets an error, and not a polite end.
fn abort(stream: &TcpStream) {
    // A connection that is gone already cannot be ended harder.
    let _ = set_socket_linger(stream, Some(Duration::ZERO));
    let _ = stream.shutdown(Shutdown::Both);
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A server that says back what it hears.
    fn echo() -> SocketAddr {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let address = listener.local_addr().unwrap();
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                thread::spawn(move || io::copy(&mut stream.try_clone().unwrap(), &mut &stream));
            }
        });
        address
    }

    fn say(stream: &mut TcpStream) -> io::Result<[u8; 5]> {
        stream.set_read_timeout(Some(Duration::from_millis(300)))?;
        stream.write_all(b"hello")?;
        let mut heard = [0; 5];
        stream.read_exact(&mut heard)?;
        Ok(heard)
    }

    #[test]
    fn in_fair_weather_everything_arrives() {
        let link = Link::open(echo()).unwrap();
        assert_eq!(&say(&mut TcpStream::connect(link.address()).unwrap()).unwrap(), b"hello");
    }

    #[test]
    fn a_cut_ends_what_is_there_and_takes_nothing_new_until_it_is_mended() {
        let link = Link::open(echo()).unwrap();
        let mut old = TcpStream::connect(link.address()).unwrap();
        say(&mut old).unwrap();
        link.set(Weather::Cut);
        assert!(say(&mut old).is_err());
        assert!(TcpStream::connect(link.address()).and_then(|mut new| say(&mut new)).is_err());
        link.set(Weather::Fair);
        assert!(say(&mut TcpStream::connect(link.address()).unwrap()).is_ok());
    }

    #[test]
    fn what_was_frozen_arrives_when_it_thaws() {
        let link = Link::open(echo()).unwrap();
        let mut stream = TcpStream::connect(link.address()).unwrap();
        for weather in [Weather::Frozen, Weather::Mute] {
            link.set(weather);
            let late = say(&mut stream).unwrap_err();
            assert!(matches!(late.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut));
            link.set(Weather::Fair);
            stream.set_read_timeout(Some(Duration::from_secs(2))).unwrap();
            let mut heard = [0; 5];
            stream.read_exact(&mut heard).unwrap();
        }
    }

    #[test]
    fn slow_is_slow() {
        let link = Link::open(echo()).unwrap();
        link.set(Weather::Slow(Duration::from_millis(60)));
        let started = Instant::now();
        say(&mut TcpStream::connect(link.address()).unwrap()).unwrap();
        assert!(started.elapsed() >= Duration::from_millis(120));
    }
}
