//! A relay of the feed that lies: it stands for whoever controls a proxy, a cache or a network between a
//! guard and its server. It leaves alone what the guard believes because of where it comes from (the feed's
//! keys and the time; TLS protects them) and spoils what the guard is to judge for itself.

use std::collections::HashMap;
use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::SeqCst};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

const PATIENCE: Duration = Duration::from_secs(30);

/// What it does to answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lie {
    /// Nothing; it listens, and remembers for later.
    Truth,
    /// Turns one bit of each answer.
    Bits,
    /// Leaves out the end, and says that it is whole.
    Short,
    /// Gives the batches of an answer back to front, and the first of them twice.
    Shuffled,
    /// Leaves out the first batch of each answer that has several, and every other batch otherwise.
    Holes,
    /// Gives, for ever, the first manifest and the first tail that it ever saw.
    Yesterday,
    /// Says that there is nothing new.
    Nothing,
}

/// The relay. Dropped, it takes no more connections.
#[derive(Debug)]
pub struct Liar {
    address: SocketAddr,
    mouth: Arc<Mouth>,
}

#[derive(Debug)]
struct Mouth {
    upstream: SocketAddr,
    lie: Mutex<Lie>,
    /// The first answer of each kind.
    first: Mutex<HashMap<&'static str, Vec<u8>>>,
    told: AtomicU64,
    gone: AtomicBool,
}

impl Liar {
    /// # Errors
    /// When no port can be had.
    pub fn open(upstream: SocketAddr) -> io::Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
        let address = listener.local_addr()?;
        let mouth = Arc::new(Mouth {
            upstream,
            lie: Mutex::new(Lie::Truth),
            first: Mutex::default(),
            told: AtomicU64::new(0),
            gone: AtomicBool::new(false),
        });
        let shared = mouth.clone();
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                if shared.gone.load(SeqCst) {
                    return;
                }
                let mouth = shared.clone();
                // A visitor that leaves in the middle is no concern of ours.
                thread::spawn(move || mouth.answer(stream).ok());
            }
        });
        Ok(Self { address, mouth })
    }

    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    pub fn tell(&self, lie: Lie) {
        *lock(&self.mouth.lie) = lie;
    }

    /// How many answers were spoiled.
    pub fn told(&self) -> u64 {
        self.mouth.told.load(SeqCst)
    }
}

impl Drop for Liar {
    fn drop(&mut self) {
        self.mouth.gone.store(true, SeqCst);
        let _ = TcpStream::connect_timeout(&self.address, PATIENCE);
    }
}

impl Mouth {
    fn answer(&self, mut near: TcpStream) -> io::Result<()> {
        near.set_read_timeout(Some(PATIENCE))?;
        let (head, body) = read_request(&mut near)?;
        let mut far = TcpStream::connect_timeout(&self.upstream, PATIENCE)?;
        far.set_read_timeout(Some(PATIENCE))?;
        far.write_all(&one_request(&head))?;
        far.write_all(&body)?;
        let mut whole = Vec::new();
        far.read_to_end(&mut whole)?;
        let (head_of_answer, body) = split(&whole);
        let path = head.split(' ').nth(1).unwrap_or_default();
        let body = self.spoil(path, is_good(&head_of_answer), body.to_vec());
        near.write_all(one_answer(&head_of_answer, body.len()).as_bytes())?;
        near.write_all(&body)
    }

    fn spoil(&self, path: &str, good: bool, body: Vec<u8>) -> Vec<u8> {
        let Some(kind) = kind_of(path).filter(|_| good) else { return body };
        let first = lock(&self.first).entry(kind).or_insert_with(|| body.clone()).clone();
        let before = body.clone();
        let after = match *lock(&self.lie) {
            Lie::Truth => body,
            Lie::Bits => turn_a_bit(body, self.told.load(SeqCst)),
            Lie::Short => body[..body.len() - body.len().min(7)].to_vec(),
            Lie::Shuffled if kind == "tail" => {
                let mut batches = batches(&body);
                batches.extend(batches.first().copied());
                batches.reverse();
                batches.concat()
            }
            Lie::Holes if kind == "tail" => match batches(&body).as_slice() {
                [_, rest @ ..] if !rest.is_empty() => rest.concat(),
                _ if self.told.fetch_add(1, SeqCst).is_multiple_of(2) => Vec::new(),
                _ => body,
            },
            Lie::Shuffled | Lie::Holes => body,
            Lie::Yesterday => first,
            Lie::Nothing if kind == "tail" => Vec::new(),
            Lie::Nothing => body,
        };
        if after != before {
            self.told.fetch_add(1, SeqCst);
        }
        after
    }
}

/// What may be lied about.
fn kind_of(path: &str) -> Option<&'static str> {
    let rest = path.strip_prefix("/revocations/")?;
    ["manifest", "segments", "tail"].into_iter().find(|kind| rest.contains(kind))
}

/// Batches stand behind their lengths in four bytes each; the pieces keep them.
fn batches(mut body: &[u8]) -> Vec<&[u8]> {
    let mut pieces = Vec::new();
    while let Some((length, _)) = body.split_first_chunk::<4>() {
        let Some((piece, rest)) = body.split_at_checked(4 + u32::from_be_bytes(*length) as usize) else {
            break;
        };
        pieces.push(piece);
        body = rest;
    }
    pieces
}

/// Somewhere in the middle, and elsewhere each time.
fn turn_a_bit(mut body: Vec<u8>, turn: u64) -> Vec<u8> {
    let length = body.len() as u64;
    if length > 0 {
        let place = (length / 2 + turn * 13) % length;
        body[usize::try_from(place).unwrap_or(0)] ^= 1 << (turn % 7);
    }
    body
}

fn read_request(stream: &mut TcpStream) -> io::Result<(String, Vec<u8>)> {
    let mut head = Vec::new();
    let mut byte = [0];
    while !head.ends_with(b"\r\n\r\n") {
        stream.read_exact(&mut byte)?;
        head.push(byte[0]);
    }
    let head = String::from_utf8_lossy(&head).into_owned();
    let length = header(&head, "content-length").and_then(|value| value.parse().ok()).unwrap_or(0);
    let mut body = vec![0; length];
    stream.read_exact(&mut body)?;
    Ok((head, body))
}

/// The same request, after whose answer the connection ends.
fn one_request(head: &str) -> Vec<u8> {
    let lines = head.trim_end().lines().filter(|line| !line.to_ascii_lowercase().starts_with("connection:"));
    let mut kept: Vec<_> = lines.collect();
    kept.push("Connection: close\r\n\r\n");
    kept.join("\r\n").into_bytes()
}

fn one_answer(head: &str, length: usize) -> String {
    let ours = ["connection:", "content-length:", "transfer-encoding:"];
    let is_theirs = |line: &&str| !ours.iter().any(|name| line.to_ascii_lowercase().starts_with(name));
    let kept: Vec<_> = head.trim_end().lines().filter(is_theirs).collect();
    format!("{}\r\ncontent-length: {length}\r\nconnection: close\r\n\r\n", kept.join("\r\n"))
}

fn is_good(head: &str) -> bool {
    head.split(' ').nth(1) == Some("200")
}

fn header<'a>(head: &'a str, name: &str) -> Option<&'a str> {
    head.lines()
        .filter_map(|line| line.split_once(':'))
        .find(|(key, _)| key.eq_ignore_ascii_case(name))
        .map(|(_, value)| value.trim())
}

fn split(whole: &[u8]) -> (String, &[u8]) {
    let end = whole.windows(4).position(|four| four == b"\r\n\r\n").map_or(whole.len(), |at| at + 4);
    (String::from_utf8_lossy(&whole[..end]).into_owned(), &whole[end..])
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_and_time_are_left_alone() {
        assert_eq!(kind_of("/.well-known/rv-jwks.json"), None);
        assert_eq!(kind_of("/revocations/time"), None);
        assert_eq!(kind_of("/revocations/live:eu1/tail?after=1.2&wait=25"), Some("tail"));
        assert_eq!(kind_of("/revocations/live:eu1/segments/00ff"), Some("segments"));
    }

    #[test]
    fn an_answer_is_cut_where_its_batches_are() {
        let body = [&[0, 0, 0, 2, 7, 7][..], &[0, 0, 0, 1, 9], &[0, 0]].concat();
        assert_eq!(batches(&body), [&[0, 0, 0, 2, 7, 7][..], &[0, 0, 0, 1, 9]]);
    }

    #[test]
    fn exactly_one_bit_is_turned() {
        let spoiled = turn_a_bit(vec![0; 10], 3);
        assert_eq!(spoiled.iter().map(|byte| byte.count_ones()).sum::<u32>(), 1);
        assert!(turn_a_bit(Vec::new(), 3).is_empty());
    }
}
