//! What a server says between SIGTERM and its end.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use portcullis_tests::cluster::{Cluster, DELAY};
use portcullis_tests::street;
use portcullis_tests::{Answer, Ground};

pub async fn a_server_that_is_told_to_stop_says_so_before_it_closes(ground: &Ground) {
    let mut cluster = Cluster::prepare(ground, 1).await;
    cluster.start();
    let member = cluster.members[0].address;
    let mut kept = Kept::open(member);
    assert!(!kept.get("/healthz").contains("connection: close"));
    // A connection that asks nothing, and a stream of the feed.
    let mut idle = TcpStream::connect(member).expect("it listens");
    let stream = hear_the_feed(member);

    let told = Instant::now();
    let mut leaver = cluster.members.remove(0);
    let leaving = std::thread::spawn(move || leaver.terminate());
    let http = street::walker();
    let url = |path: &str| format!("http://{member}{path}");
    let refused = loop {
        let answer = Answer::to(http.get(url("/readyz"))).await;
        if answer.status != 200 {
            break answer;
        }
        assert!(told.elapsed() < DELAY, "it is still ready");
    };
    assert_eq!((refused.status, refused.header("retry-after")), (503, "1"), "{refused:?}");
    assert_eq!(refused.json()["error"], "leaving");
    // Everything is still answered, and every connection is told that this was its last answer.
    let last = kept.get("/healthz");
    assert!(last.starts_with("HTTP/1.1 200") && last.contains("connection: close"), "{last}");
    assert!(kept.is_over());
    let keys = Answer::to(http.get(url("/.well-known/jwks.json"))).await;
    assert_eq!(keys.status, 200);
    let stream_ended = stream.join().expect("it reads");
    assert!(stream_ended.duration_since(told) < DELAY, "guards are let go at once");
    assert!(told.elapsed() < DELAY, "the machine is too busy for this test to say anything");
    leaving.join().expect("it ends well");
    idle.set_read_timeout(Some(Duration::from_secs(1))).expect("a time");
    assert_eq!(idle.read(&mut [0]).ok(), Some(0), "an idle connection is closed, not cut");
}

/// A connection that is kept.
struct Kept(BufReader<TcpStream>);

impl Kept {
    fn open(at: SocketAddr) -> Self {
        let stream = TcpStream::connect(at).expect("it listens");
        stream.set_read_timeout(Some(Duration::from_secs(5))).expect("a time");
        Self(BufReader::new(stream))
    }

    /// The head of the answer, in small letters but for its first line.
    fn get(&mut self, path: &str) -> String {
        write!(self.0.get_mut(), "GET {path} HTTP/1.1\r\nHost: server\r\n\r\n").expect("it is open");
        let (mut head, mut length) = (String::new(), 0);
        loop {
            let mut line = String::new();
            self.0.read_line(&mut line).expect("it answers");
            if line.trim().is_empty() {
                break;
            }
            if head.is_empty() {
                head.push_str(&line);
                continue;
            }
            let line = line.to_ascii_lowercase();
            if let Some(value) = line.strip_prefix("content-length:") {
                length = value.trim().parse().expect("a number");
            }
            head.push_str(&line);
        }
        self.0.read_exact(&mut vec![0; length]).expect("the body arrives");
        head
    }

    /// Whether the other side has ended it, politely.
    fn is_over(&mut self) -> bool {
        self.0.read(&mut [0]).is_ok_and(|read| read == 0)
    }
}

/// Follows the feed's events from a thread; says when they ended.
fn hear_the_feed(at: SocketAddr) -> std::thread::JoinHandle<Instant> {
    let mut stream = TcpStream::connect(at).expect("it listens");
    stream.set_read_timeout(Some(Duration::from_secs(10))).expect("a time");
    write!(
        stream,
        "GET /revocations/live:eu1/stream HTTP/1.1\r\nHost: server\r\nConnection: close\r\n\
         Authorization: Basic c2hvcDpodXNoLWd1YXJk\r\n\r\n",
    )
    .expect("it is open");
    let mut head = [0; 15];
    stream.read_exact(&mut head).expect("it answers");
    assert_eq!(&head, b"HTTP/1.1 200 OK");
    std::thread::spawn(move || {
        let mut rest = Vec::new();
        stream.read_to_end(&mut rest).expect("it ends politely");
        assert!(rest.ends_with(b"0\r\n\r\n"), "the stream has an end, and not only a cut");
        Instant::now()
    })
}
