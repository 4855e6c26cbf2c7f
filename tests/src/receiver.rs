//! Somebody outside who is told of audit records over HTTP, and who is not always well: it answers with what a
//! test says, keeps silent, or hangs up in the middle.

use std::collections::VecDeque;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ring::hmac;
use serde_json::Value;

/// What webhooks are signed with here.
const KEY: [u8; 32] = [7; 32];

/// How it meets the next request.
#[derive(Clone, Copy, Debug)]
pub enum Manner {
    Answers(u16),
    /// Says nothing for so long, and then that it is fine.
    Dawdles(Duration),
    /// Reads and hangs up.
    HangsUp,
}

/// A destination of audit records.
pub struct Receiver {
    pub address: SocketAddr,
    state: Arc<Mutex<State>>,
}

#[derive(Default)]
struct State {
    manners: VecDeque<Manner>,
    /// What it said yes to.
    taken: Vec<Value>,
    /// Statements of checkpoints among it.
    checkpoints: Vec<String>,
    /// Records that came apart from the others.
    alerts: Vec<Value>,
    requests: usize,
    /// The number of a record that it does not want.
    disliked: Option<u64>,
}

impl Receiver {
    /// Listens, and behaves like this until it has nothing more to follow; then it takes everything.
    pub fn open(manners: &[Manner]) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let address = listener.local_addr().expect("it is bound");
        let state =
            Arc::new(Mutex::new(State { manners: manners.iter().copied().collect(), ..State::default() }));
        let theirs = state.clone();
        std::thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                // Whoever hangs up in the middle asks again.
                let _ = answer(stream, &theirs);
            }
        });
        Self { address, state }
    }

    /// What the settings call the secret.
    pub fn secret() -> String {
        format!("whsec_{}", STANDARD.encode(KEY))
    }

    /// Waits until it has this many records; gives all.
    pub fn wait_for(&self, many: usize) -> Vec<Value> {
        let began = Instant::now();
        loop {
            let taken = self.lock().taken.clone();
            if taken.len() >= many {
                return taken;
            }
            assert!(began.elapsed() < Duration::from_secs(20), "{} of {many} records came", taken.len());
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    pub fn checkpoints(&self) -> Vec<String> {
        self.lock().checkpoints.clone()
    }

    /// From now on it refuses whatever holds this record; or nothing any more.
    pub fn dislike(&self, seq: Option<u64>) {
        self.lock().disliked = seq;
    }

    /// What was told apart, because it cannot wait.
    pub fn alerts(&self) -> Vec<Value> {
        self.lock().alerts.clone()
    }

    pub fn requests(&self) -> usize {
        self.lock().requests
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        lock(&self.state)
    }
}

fn lock(state: &Mutex<State>) -> MutexGuard<'_, State> {
    state.lock().unwrap_or_else(PoisonError::into_inner)
}

fn answer(mut stream: TcpStream, state: &Mutex<State>) -> std::io::Result<()> {
    let request = read(&stream)?;
    assert_genuine(&request);
    let manner = {
        let mut state = lock(state);
        state.requests += 1;
        state.manners.pop_front().unwrap_or(Manner::Answers(200))
    };
    let manner = if is_disliked(&request, &lock(state)) { Manner::Answers(422) } else { manner };
    let status = match manner {
        Manner::Answers(status) => status,
        Manner::HangsUp => return Ok(()),
        Manner::Dawdles(time) => {
            std::thread::sleep(time);
            0
        }
    };
    if (200..300).contains(&status) {
        let body: Value = serde_json::from_slice(&request.body).expect("a body of JSON");
        let mut state = lock(state);
        let records = body["data"]["records"].as_array().cloned().expect("records");
        match body["type"].as_str() {
            Some("alert") => state.alerts.extend(records),
            _ => state.taken.extend(records),
        }
        let statements = body["data"]["checkpoints"].as_array().cloned().expect("checkpoints");
        state.checkpoints.extend(statements.iter().filter_map(Value::as_str).map(str::to_owned));
    }
    let head = format!("HTTP/1.1 {} Said\r\ncontent-length: 0\r\nconnection: close\r\n\r\n", status.max(200));
    stream.write_all(head.as_bytes())
}

fn is_disliked(request: &Request, state: &State) -> bool {
    let body: Value = serde_json::from_slice(&request.body).unwrap_or_default();
    let mut records = body["data"]["records"].as_array().into_iter().flatten();
    state.disliked.is_some_and(|seq| records.any(|record| record["seq"] == seq))
}

pub(crate) struct Request {
    headers: Vec<(String, String)>,
    pub(crate) body: Vec<u8>,
}

impl Request {
    fn header(&self, name: &str) -> &str {
        let found = self.headers.iter().find(|(known, _)| known == name);
        found.map(|(_, value)| value.as_str()).unwrap_or_default()
    }
}

/// One request, to its end.
pub(crate) fn read(stream: &TcpStream) -> std::io::Result<Request> {
    let mut reader = BufReader::new(stream.try_clone()?);
    let mut headers = Vec::new();
    let mut line = String::new();
    reader.read_line(&mut line)?;
    loop {
        line.clear();
        reader.read_line(&mut line)?;
        let Some((name, value)) = line.trim().split_once(':') else { break };
        headers.push((name.to_lowercase(), value.trim().to_owned()));
    }
    let mut request = Request { headers, body: Vec::new() };
    request.body = vec![0; request.header("content-length").parse().unwrap_or(0)];
    reader.read_exact(&mut request.body)?;
    Ok(request)
}

/// Standard Webhooks: HMAC-SHA256 over id, time and body.
fn assert_genuine(request: &Request) {
    let (id, at) = (request.header("webhook-id"), request.header("webhook-timestamp"));
    let signed = [id.as_bytes(), b".", at.as_bytes(), b".", &request.body].concat();
    let signature = request.header("webhook-signature").strip_prefix("v1,").unwrap_or_default();
    let tag = STANDARD.decode(signature).unwrap_or_default();
    let key = hmac::Key::new(hmac::HMAC_SHA256, &KEY);
    if hmac::verify(&key, &signed, &tag).is_err() {
        panic!("a request that is not signed: {:?}", request.headers);
    }
}
