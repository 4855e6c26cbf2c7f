//! The crowd: clients that get tokens from the real server, and later insist on revoking them until they
//! are told 200. Writes down every request, answered or not.

use std::collections::{BTreeMap, VecDeque};
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use serde_json::Value;
use ureq::Agent;

use super::Trouble;
use super::diary::Steady;
use super::history::{Answer, Token};
use super::stage::{CLIENT, CLIENT_SECRET, GUARD, GUARD_SECRET};

/// Clients at the same time.
const CLIENTS: usize = 4;
/// How long a client waits for an answer before it asks again.
const PATIENCE: Duration = Duration::from_secs(3);
/// How long it waits after a request that was not acknowledged.
const AGAIN: Duration = Duration::from_millis(100);

/// Tokens, and where they can be revoked.
#[derive(Clone, Debug)]
pub struct Crowd {
    base: String,
    steady: Steady,
}

/// Revocations that are under way.
pub struct Rush {
    shared: Arc<Shared>,
    clients: Vec<JoinHandle<()>>,
}

/// What the clients of a rush share.
struct Shared {
    crowd: Crowd,
    waiting: Mutex<VecDeque<(Token, String)>>,
    answers: Mutex<Vec<Answer>>,
    pause: Duration,
    given_up: AtomicBool,
}

impl Crowd {
    pub fn new(base: impl Into<String>) -> Self {
        Self { base: base.into(), steady: Steady::begin() }
    }

    /// Gets so many tokens, numbered from `first`.
    ///
    /// # Errors
    /// When the server does not give one.
    pub fn issue(&self, first: Token, count: Token) -> Result<Vec<(Token, String)>, Trouble> {
        let share = |client: Token| -> Result<Vec<(Token, String)>, Trouble> {
            let agent = agent();
            let mine = (first..first + count).filter(|token| token % CLIENTS as Token == client);
            mine.map(|token| Ok((token, self.token(&agent, &machine())?))).collect()
        };
        let all = thread::scope(|scope| {
            let clients: Vec<_> =
                (0..CLIENTS as Token).map(|client| scope.spawn(move || share(client))).collect();
            let joined = clients.into_iter().map(|client| match client.join() {
                Ok(tokens) => tokens,
                Err(_) => Err(Trouble::broken("a client panicked")),
            });
            joined.collect::<Result<Vec<_>, _>>()
        })?;
        let mut tokens: Vec<_> = all.into_iter().flatten().collect();
        tokens.sort_unstable();
        Ok(tokens)
    }

    /// One access token for this form.
    ///
    /// # Errors
    /// When the server does not give it.
    pub fn token(&self, agent: &Agent, form: &[(&str, &str)]) -> Result<String, Trouble> {
        let answer = agent.post(format!("{}/oauth/token", self.base)).send_form(form.iter().copied());
        let mut answer = answer.map_err(Trouble::broken)?;
        let text = answer.body_mut().read_to_string().map_err(Trouble::broken)?;
        let reply: Value = serde_json::from_str(&text).map_err(Trouble::broken)?;
        match reply["access_token"].as_str() {
            Some(token) => Ok(token.to_owned()),
            None => Err(Trouble::broken(format!("no token: {text}"))),
        }
    }

    /// Begins to revoke these, spread over this time.
    pub fn revoke(&self, tokens: &[(Token, String)], over: Duration) -> Rush {
        let each = over * CLIENTS as u32 / u32::try_from(tokens.len().max(1)).unwrap_or(u32::MAX);
        let shared = Arc::new(Shared {
            crowd: self.clone(),
            waiting: Mutex::new(tokens.iter().cloned().collect()),
            answers: Mutex::default(),
            pause: each,
            given_up: AtomicBool::new(false),
        });
        let client = |_| {
            let shared = shared.clone();
            thread::spawn(move || shared.insist())
        };
        Rush { clients: (0..CLIENTS).map(client).collect(), shared }
    }

    /// Asks for one token's end once, and says what came of it.
    pub fn try_revoke(&self, agent: &Agent, token: Token, text: &str) -> Answer {
        let form = [("client_id", CLIENT), ("client_secret", CLIENT_SECRET), ("token", text)];
        let begun = self.steady.now_ms();
        let answer = agent.post(format!("{}/oauth/revoke", self.base)).send_form(form);
        // An answer counts when it has been read to its end.
        let heard = answer.ok().and_then(|mut answer| {
            answer.body_mut().read_to_vec().ok()?;
            let position = answer.headers().get("revocation-position");
            let position = position.and_then(|value| value.to_str().ok()).map(str::to_owned);
            Some((answer.status().as_u16(), position))
        });
        let ended = self.steady.now_ms();
        let (status, position) = heard.unzip();
        Answer { token, begun, ended, status, position: position.flatten() }
    }

    /// Whether introspection calls each of these active. What it does not answer for is left out.
    pub fn introspect(&self, tokens: &[(Token, String)]) -> BTreeMap<Token, bool> {
        let agent = agent();
        let ask = |text: &str| -> Option<bool> {
            // As a guard's own account, which may ask about everybody's tokens.
            let form = [("client_id", GUARD), ("client_secret", GUARD_SECRET), ("token", text)];
            let answer = agent.post(format!("{}/oauth/introspect", self.base)).send_form(form);
            let text = answer.ok()?.body_mut().read_to_string().ok()?;
            serde_json::from_str::<Value>(&text).ok()?["active"].as_bool()
        };
        tokens.iter().filter_map(|(token, text)| Some((*token, ask(text).or_else(|| ask(text))?))).collect()
    }
}

impl Rush {
    /// How many requests were acknowledged so far.
    pub fn acknowledged(&self) -> usize {
        lock(&self.shared.answers).iter().filter(|answer| answer.status == Some(200)).count()
    }

    /// Waits until everything is acknowledged, or gives up.
    pub fn finish(self, patience: Duration) -> Vec<Answer> {
        let started = Instant::now();
        while started.elapsed() < patience && !self.clients.iter().all(JoinHandle::is_finished) {
            thread::sleep(Duration::from_millis(20));
        }
        self.shared.given_up.store(true, SeqCst);
        for client in self.clients {
            // Its answers are in the shared list, whatever became of it.
            let _ = client.join();
        }
        std::mem::take(&mut lock(&self.shared.answers))
    }
}

impl Shared {
    fn insist(&self) {
        let agent = agent();
        loop {
            let next = lock(&self.waiting).pop_front();
            let Some((token, text)) = next else { return };
            loop {
                let answer = self.crowd.try_revoke(&agent, token, &text);
                let done = answer.status == Some(200);
                lock(&self.answers).push(answer);
                if done {
                    break;
                }
                if self.given_up.load(SeqCst) {
                    return;
                }
                thread::sleep(AGAIN);
            }
            if self.given_up.load(SeqCst) {
                return;
            }
            thread::sleep(self.pause);
        }
    }
}

/// A client of its own, with its own connections.
pub fn agent() -> Agent {
    let config = Agent::config_builder().http_status_as_error(false).proxy(None);
    config.timeout_global(Some(PATIENCE)).build().into()
}

/// The form with which a machine gets a token.
pub fn machine() -> [(&'static str, &'static str); 3] {
    [("grant_type", "client_credentials"), ("client_id", CLIENT), ("client_secret", CLIENT_SECRET)]
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
