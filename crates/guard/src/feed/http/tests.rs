//! The whole way over loopback, against a server of a few lines that has a press behind it.

use std::{
    io::{BufRead, BufReader, Read, Write},
    net::{TcpListener, TcpStream},
    sync::{
        Mutex,
        atomic::{
            AtomicBool, AtomicU16,
            Ordering::{Acquire, Release},
        },
    },
    thread,
    time::Instant,
};

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};

use super::*;
use crate::feed::{
    Counts, Digest, Freshness, KeyHint, Kind, MAX_STALENESS, Position,
    batch::frame,
    press::{ISSUER, Press, record, token},
    worker::lock,
};
use crate::introspection::{Introspection, Unanswered, Word};

const FEED: &str = "live:eu1";
const POLICY: &str = r#"{"version":1}"#;
const JWKS: &str = r#"{"keys":[]}"#;
/// `guard-1` and `secret` in base64.
const CREDENTIALS: &str = "Basic Z3VhcmQtMTpzZWNyZXQ=";
const SOON: Duration = Duration::from_secs(10);

/// What the server's threads share.
struct Server {
    press: Mutex<Press>,
    reports: Mutex<Vec<String>>,
    /// Whether it hears what comes with a question for the tail, as servers do since they can.
    hears: AtomicBool,
    /// A status that every answer has, or 0 for the true one.
    fault: AtomicU16,
}

impl Server {
    fn new(press: Press) -> Arc<Self> {
        let (press, reports) = (Mutex::new(press), Mutex::default());
        Arc::new(Self { press, reports, hears: AtomicBool::new(false), fault: AtomicU16::new(0) })
    }
}

#[derive(Default)]
struct Basket(Mutex<Vec<String>>);

impl Sink for Basket {
    fn keys(&self, jwks: &str) {
        lock(&self.0).push(jwks.into());
    }

    fn policy(&self, json: &str) {
        lock(&self.0).push(json.into());
    }
}

struct Scene {
    server: Arc<Server>,
    view: Arc<View>,
    basket: Arc<Basket>,
    feed: HttpFeed,
}

impl Scene {
    fn new(press: Press, secret: &str) -> Self {
        let server = Server::new(press);
        let base = open(server.clone());
        let (view, basket) = (Arc::new(View::new(FEED, MAX_STALENESS)), Arc::new(Basket::default()));
        let config = HttpConfig::new(ISSUER, "guard-1", secret).base(base).instance("guard-1");
        let feed = HttpFeed::start(config, view.clone(), basket.clone()).unwrap();
        Self { server, view, basket, feed }
    }

    fn live() -> Self {
        let scene = Self::new(press(), "secret");
        assert!(scene.feed.wait_until_live(SOON));
        scene
    }

    fn reaches(&self, position: Position) -> bool {
        eventually(|| self.view.position() == position)
    }
}

fn press() -> Press {
    let mut press = Press::new(FEED, 1);
    press.write((1..=10).map(token));
    press.seal(4);
    press.policy = Some(Digest::of(POLICY.as_bytes()));
    press.jwks = Some(Digest::of(JWKS.as_bytes()));
    press
}

fn eventually(mut holds: impl FnMut() -> bool) -> bool {
    let started = Instant::now();
    while started.elapsed() < SOON {
        if holds() {
            return true;
        }
        thread::sleep(Duration::from_millis(2));
    }
    false
}

#[test]
fn a_guard_follows_from_nothing_to_live_and_reports_what_it_applied() {
    let scene = Scene::live();
    assert!(eventually(|| lock(&scene.basket.0).len() == 2));
    // Keys come last: with them the guard begins to accept.
    assert_eq!(*lock(&scene.basket.0), [POLICY, JWKS]);
    lock(&scene.server.press).write([token(11)]);
    assert!(scene.reaches(Position { epoch: 1, seq: 11 }));
    assert!(!scene.view.apply(&[token(11)]), "it was there");
    assert!(eventually(|| lock(&scene.server.reports)
        .iter()
        .any(|report| { report.contains(r#""guard":"guard-1","feed":"live:eu1","epoch":1,"seq":11,"#) })));
    assert_eq!(scene.feed.counts(), Counts::default());
}

#[test]
fn who_is_heard_with_each_question_sends_no_reports() {
    let scene = Scene::live();
    scene.server.hears.store(true, Release);
    // The question that hangs was asked before, so it takes one more record until the guard knows.
    lock(&scene.server.press).write([token(11)]);
    assert!(scene.reaches(Position { epoch: 1, seq: 11 }));
    assert!(eventually(|| !scene.feed.0.shared().must_report()));
    lock(&scene.server.reports).clear();
    for byte in 12..=20 {
        lock(&scene.server.press).write([token(byte)]);
        assert!(scene.reaches(Position { epoch: 1, seq: byte.into() }));
        let said = format!("guard=guard-1&at=1.{byte}&as_of=");
        assert!(eventually(|| lock(&scene.server.reports).iter().any(|report| report.contains(&said))));
    }
    assert!(lock(&scene.server.reports).iter().all(|report| !report.contains('{')), "no report but these");
}

#[test]
fn a_name_travels_in_a_question_as_it_is() {
    assert_eq!(source::escaped("shop-1.a_b~c"), "shop-1.a_b~c");
    assert_eq!(source::escaped("a b&at=9.9#%é"), "a%20b%26at%3D9.9%23%25%C3%A9");
}

#[test]
fn an_outage_and_a_trimmed_tail_are_made_up_for() {
    let scene = Scene::live();
    scene.server.fault.store(503, Release);
    {
        let mut press = lock(&scene.server.press);
        press.write((11..=20).map(token));
        press.seal(18);
    }
    thread::sleep(Duration::from_millis(50));
    scene.server.fault.store(0, Release);
    assert!(scene.reaches(Position { epoch: 1, seq: 20 }));
    assert!((1..=20).all(|byte| !scene.view.apply(&[token(byte)])));
}

#[test]
fn a_promoted_server_is_followed_into_its_epoch() {
    let scene = Scene::live();
    let mut promoted = Press::new(FEED, 2);
    promoted.write([token(21), token(22)]);
    *lock(&scene.server.press) = promoted;
    assert!(scene.reaches(Position { epoch: 2, seq: 2 }));
    assert!(!scene.view.apply(&[token(10), token(22)]), "old and new are held");
}

#[test]
fn a_new_policy_is_fetched_when_the_feed_announces_it() {
    let scene = Scene::live();
    assert!(eventually(|| lock(&scene.basket.0).len() == 2));
    {
        let mut press = lock(&scene.server.press);
        press.policy = Some(Digest::of(JWKS.as_bytes()));
        press.write([record(Kind::Policy, [0; 16], 2)]);
    }
    // The server has one policy only, which does not have the announced hash, so it is not handed on.
    assert!(scene.reaches(Position { epoch: 1, seq: 11 }));
    lock(&scene.server.press).write([token(12)]);
    assert!(scene.reaches(Position { epoch: 1, seq: 12 }), "a failing errand does not stop the tail");
    assert_eq!(lock(&scene.basket.0).len(), 2);
    assert_eq!(scene.view.policy_version(), 2);
}

#[test]
fn keys_that_do_not_match_their_pin_are_not_handed_on() {
    let mut press = press();
    press.jwks = Some(Digest::of(b"other keys"));
    let scene = Scene::new(press, "secret");
    assert!(scene.feed.wait_until_live(SOON));
    assert!(eventually(|| lock(&scene.basket.0).len() == 1));
    assert_eq!(*lock(&scene.basket.0), [POLICY]);
}

#[test]
fn without_the_right_secret_a_guard_stays_cold() {
    let scene = Scene::new(press(), "wrong");
    assert!(!scene.feed.wait_until_live(Duration::from_millis(200)));
    assert_eq!(scene.view.freshness_now(), Freshness::Cold);
}

#[test]
fn a_stop_does_not_wait_for_a_server_that_is_silent() {
    let mut scene = Scene::live();
    let started = Instant::now();
    scene.feed.stop();
    assert!(started.elapsed() < Duration::from_secs(1));
}

#[test]
fn strangers_cannot_make_a_guard_look_for_keys_all_the_time() {
    let hint = KeyHint::default();
    hint.wake();
    assert!(hint.take());
    (0..1000).for_each(|_| hint.wake());
    assert!(!hint.take());
}

#[test]
fn a_secret_is_not_printed() {
    let config = HttpConfig::new("i", "g", "hush");
    assert!(!format!("{config:?}").contains("hush"));
}

#[test]
fn only_the_issuers_own_word_in_time_is_an_answer() {
    let server = Server::new(press());
    let base = open(server.clone());
    let config = |secret| HttpConfig::new(ISSUER, "guard-1", secret).base(base.clone());
    let issuer = HttpIntrospection::new(&config("a+b %26\"&c")).unwrap();
    let ask = |token| issuer.ask(token, Duration::from_millis(200));
    assert_eq!(ask("good.a.b"), Ok(Word::Active { jti: "j".into(), exp: 9 }));
    assert_eq!(ask("gone.a.b"), Ok(Word::Inactive));
    for token in ["late.a.b", "html.a.b", "huge.a.b", "away.a.b"] {
        assert_eq!(ask(token), Err(Unanswered), "{token}");
    }
    let stranger = HttpIntrospection::new(&config("wrong")).unwrap();
    assert_eq!(stranger.ask("good.a.b", SOON), Err(Unanswered), "a refusal is no answer, whatever it holds");
    let nobody = HttpIntrospection::new(&config("").base("http://127.0.0.1:1")).unwrap();
    assert_eq!(nobody.ask("good.a.b", SOON), Err(Unanswered));
}

#[test]
fn a_feed_that_fails_is_counted() {
    let scene = Scene::live();
    let gauge = scene.feed.gauge();
    assert_eq!(gauge.read().reconnects, 0);
    scene.server.fault.store(503, Release);
    assert!(eventually(|| gauge.read().reconnects > 0));
}

/// Opens the server's door and says where it is.
fn open(server: Arc<Server>) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let server = server.clone();
            thread::spawn(move || serve(&server, stream));
        }
    });
    format!("http://{address}")
}

/// Answers one connection until it is closed.
fn serve(server: &Server, mut stream: TcpStream) {
    let mut reader = BufReader::new(stream.try_clone().unwrap());
    while let Some((path, head)) = read_head(&mut reader) {
        let length = head.iter().find_map(|line| line.strip_prefix("content-length: ")?.parse().ok());
        let mut body = vec![0; length.unwrap_or(0)];
        reader.read_exact(&mut body).unwrap();
        let is_known = head.iter().any(|line| line.ends_with(CREDENTIALS));
        let (status, content) = match server.fault.load(Acquire) {
            0 if is_known || path.starts_with("/.well-known/") || path == "/oauth/introspect" => {
                answer(server, &path, &body)
            }
            0 => (401, vec![]),
            fault => (fault, vec![]),
        };
        let heard = if server.hears.load(Acquire) { "Guard-Report: taken\r\n" } else { "" };
        let head = format!("HTTP/1.1 {status} X\r\n{heard}Content-Length: {}\r\n\r\n", content.len());
        if stream.write_all(&[head.as_bytes(), &content].concat()).is_err() {
            return;
        }
    }
}

/// Path and header lines, names in lower case; `None` at the end.
fn read_head(reader: &mut impl BufRead) -> Option<(String, Vec<String>)> {
    let mut lines = reader.lines().map_while(Result::ok).take_while(|line| !line.is_empty());
    let path = lines.next()?.split(' ').nth(1)?.to_owned();
    let lower = |line: String| match line.split_once(':') {
        Some((name, value)) => format!("{}:{value}", name.to_lowercase()),
        None => line,
    };
    Some((path, lines.map(lower).collect()))
}

fn answer(server: &Server, path: &str, body: &[u8]) -> (u16, Vec<u8>) {
    let press = lock(&server.press);
    if let Some(after) = path.strip_prefix("/revocations/live:eu1/tail?after=") {
        drop(press);
        if server.hears.load(Acquire) {
            lock(&server.reports).push(path.to_owned());
        }
        return tail(server, after.split('&').next().unwrap());
    }
    if let Some(name) = path.strip_prefix("/revocations/live:eu1/segments/") {
        return (200, press.segment(&Digest::parse(name).unwrap()).to_vec());
    }
    let content = match path {
        "/.well-known/rv-jwks.json" => {
            let x = URL_SAFE_NO_PAD.encode(press.public_key());
            format!(r#"{{"keys":[{{"kty":"OKP","crv":"Ed25519","use":"rv","x":"{x}"}}]}}"#)
        }
        "/.well-known/jwks.json" => JWKS.into(),
        "/revocations/live:eu1/manifest" => press.signed(&press.manifest()),
        "/revocations/time" => press.as_of(press.head()).to_string(),
        "/guards/report" => {
            lock(&server.reports).push(String::from_utf8(body.to_vec()).unwrap());
            String::new()
        }
        "/oauth/introspect" => return introspect(body),
        _ if path.starts_with("/policy/") => POLICY.into(),
        _ => return (404, vec![]),
    };
    (200, content.into())
}

/// What the server says of a token depends on how the token begins.
fn introspect(body: &[u8]) -> (u16, Vec<u8>) {
    let asked: serde_json::Value = serde_json::from_slice(body).unwrap();
    if (asked["client_id"].as_str(), asked["client_secret"].as_str())
        != (Some("guard-1"), Some("a+b %26\"&c"))
    {
        return (401, br#"{"active":true,"jti":"j","exp":9}"#.into());
    }
    match asked["token"].as_str().and_then(|token| token.split('.').next()) {
        Some("good") => (200, br#"{"active":true,"jti":"j","exp":9,"scope":"x"}"#.into()),
        Some("gone") => (200, br#"{"active":false}"#.into()),
        Some("late") => {
            thread::sleep(Duration::from_millis(400));
            (200, br#"{"active":true,"jti":"j","exp":9}"#.into())
        }
        Some("html") => (200, b"<html>".into()),
        Some("huge") => (200, vec![b' '; 1 << 20]),
        _ => (503, vec![]),
    }
}

/// Holds the answer until there is something to say. Sends no beats.
fn tail(server: &Server, after: &str) -> (u16, Vec<u8>) {
    let (epoch, seq) = after.split_once('.').unwrap();
    let seq: u64 = seq.parse().unwrap();
    let started = Instant::now();
    while started.elapsed() < Duration::from_secs(1) {
        let press = lock(&server.press);
        if press.epoch() != epoch.parse::<u64>().unwrap() {
            return (409, vec![]);
        }
        if seq + 1 < press.tail_first() {
            return (410, vec![]);
        }
        if seq < press.head() {
            return (200, frame([press.batch(seq + 1, press.head())]));
        }
        drop(press);
        thread::sleep(Duration::from_millis(1));
    }
    (200, vec![])
}
