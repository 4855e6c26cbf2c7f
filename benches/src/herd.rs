//! The floor under propagation: as many threads as there are guards, each asleep in a read of its own
//! loopback connection. What a batch costs at least is one write for each, one wake-up for each and one
//! Ed25519 check for each; here nothing else is done. No HTTP, no table, no feed.

use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread;
use std::time::{Duration, Instant};

use ring::signature::{ED25519, Ed25519KeyPair, KeyPair as _, UnparsedPublicKey};

use crate::Outcome;

/// What is signed of a batch that holds one record.
const SIGNED: usize = 12 + 80 + 28;
const SIGNATURE: usize = 64;
/// Between two rounds, as between two revocations.
const PAUSE: Duration = Duration::from_millis(20);

/// From the first write until each has checked: one time for each thread and round.
pub fn stampede(threads: usize, rounds: usize) -> Outcome<Vec<Duration>> {
    let key = Ed25519KeyPair::from_seed_unchecked(&[7; 32]).map_err(|_| "a seed is 32 bytes")?;
    let mut message = vec![7; SIGNED];
    message.extend(key.sign(&message).as_ref());
    let public: [u8; 32] = key.public_key().as_ref().try_into()?;
    let (done, checked) = channel();
    let mut lines = gather(threads, public, &done)?;
    drop(done);
    let mut times = Vec::with_capacity(threads * rounds);
    for _ in 0..rounds {
        thread::sleep(PAUSE);
        let began = Instant::now();
        for line in &mut lines {
            line.write_all(&message)?;
        }
        times.extend(all(&checked, threads)?.into_iter().map(|at| at.saturating_duration_since(began)));
    }
    Ok(times)
}

/// Starts the threads and gives the other end of each one's connection; with it a thread ends.
fn gather(threads: usize, public: [u8; 32], done: &Sender<Instant>) -> Outcome<Vec<TcpStream>> {
    let listener = TcpListener::bind(("127.0.0.1", 0))?;
    let mut lines = Vec::with_capacity(threads);
    for _ in 0..threads {
        let mut ear = TcpStream::connect(listener.local_addr()?)?;
        let done = done.clone();
        thread::Builder::new().spawn(move || {
            let (key, mut heard) = (UnparsedPublicKey::new(&ED25519, public), [0; SIGNED + SIGNATURE]);
            while ear.read_exact(&mut heard).is_ok() {
                let (message, signature) = heard.split_at(SIGNED);
                if key.verify(message, signature).is_err() || done.send(Instant::now()).is_err() {
                    return;
                }
            }
        })?;
        let (line, _) = listener.accept()?;
        line.set_nodelay(true)?;
        lines.push(line);
    }
    Ok(lines)
}

fn all(checked: &Receiver<Instant>, threads: usize) -> Outcome<Vec<Instant>> {
    (0..threads).map(|_| Ok(checked.recv_timeout(Duration::from_secs(20))?)).collect()
}
