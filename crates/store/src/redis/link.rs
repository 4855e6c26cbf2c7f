//! The connection to Redis: a deadline for every question, and silence instead of waiting while nobody
//! answers. Knows nothing of feeds.

use std::future::Future;
use std::path::Path;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use portcullis_authority::refusal::Trouble;
use redis::aio::{ConnectionManager, ConnectionManagerConfig};
use redis::{Client, RedisResult, TlsCertificates};

/// After the first failure nobody is asked for so long; doubled with each further one,
const FIRST_PAUSE: Duration = Duration::from_millis(50);
/// up to this, so that a Redis that returns is found soon.
const LONGEST_PAUSE: Duration = Duration::from_millis(400);
/// So many silences in a row mean that the connection itself may be dead, although nobody said so.
const SILENCES: u32 = 4;
/// How a certificate begins in a PEM file.
const MARK: &[u8] = b"-----BEGIN CERTIFICATE-----";

pub(super) struct Link {
    client: Client,
    deadline: Duration,
    state: Mutex<State>,
}

struct State {
    manager: ConnectionManager,
    failures: u32,
    silences: u32,
    shut_until: Option<Instant>,
}

impl Link {
    /// Connects at the first question, so that Redis may come later than we do. Needs a runtime.
    pub fn new(url: &str, root: Option<&Path>, deadline: Duration) -> Result<Self, Trouble> {
        let client = client(url, root)?;
        let manager = connect(&client, deadline)?;
        let state = State { manager, failures: 0, silences: 0, shut_until: None };
        Ok(Self { client, deadline, state: Mutex::new(state) })
    }

    /// Asks, and waits at most for the deadline and `longer`. What was asked may have been done although the
    /// answer is trouble, so everything that is asked must be harmless when repeated.
    pub async fn ask<T, F: Future<Output = RedisResult<T>>>(
        &self,
        longer: Duration,
        question: impl FnOnce(ConnectionManager) -> F,
    ) -> Result<T, Trouble> {
        let manager = self.enter()?;
        match tokio::time::timeout(self.deadline + longer, question(manager)).await {
            Ok(Ok(answer)) => {
                self.good();
                Ok(answer)
            }
            // Redis is there and says no; asking something else may well succeed.
            Ok(Err(why)) if why.code().is_some() => {
                self.good();
                Err(Trouble::new("redis", why))
            }
            Ok(Err(why)) => {
                self.bad(false);
                Err(Trouble::new("redis", why))
            }
            Err(_) => {
                self.bad(true);
                Err(Trouble::new("redis", "no answer in time"))
            }
        }
    }

    fn enter(&self) -> Result<ConnectionManager, Trouble> {
        let state = self.state();
        match state.shut_until {
            Some(until) if Instant::now() < until => {
                Err(Trouble::new("redis", "did not answer a moment ago"))
            }
            _ => Ok(state.manager.clone()),
        }
    }

    fn good(&self) {
        let mut state = self.state();
        (state.failures, state.silences, state.shut_until) = (0, 0, None);
    }

    fn bad(&self, silent: bool) {
        let mut state = self.state();
        let pause = (FIRST_PAUSE * 2u32.saturating_pow(state.failures.min(8))).min(LONGEST_PAUSE);
        state.failures = state.failures.saturating_add(1);
        state.shut_until = Some(Instant::now() + pause);
        state.silences = if silent { state.silences + 1 } else { 0 };
        if state.silences >= SILENCES
            && let Ok(manager) = connect(&self.client, self.deadline)
        {
            (state.manager, state.silences) = (manager, 0);
        }
    }

    /// Whole after every statement, so a panic elsewhere spoils nothing.
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// `root` are the authorities that may vouch for Redis; without them the system's may.
fn client(url: &str, root: Option<&Path>) -> Result<Client, Trouble> {
    // The cause could repeat the address with its password.
    let unread = |_| Trouble::new("redis", "the address cannot be read");
    let Some(root) = root else { return Client::open(url).map_err(unread) };
    let pem = std::fs::read(root);
    let pem = pem.map_err(|e| Trouble::new("redis", format!("{}: {e}", root.display())))?;
    // No certificate at all would be taken for the wish to trust nobody, and be found out at the first question.
    if !pem.windows(MARK.len()).any(|window| window == MARK) {
        return Err(Trouble::new("redis", format!("{}: there is no certificate in it", root.display())));
    }
    let certificates = TlsCertificates { client_tls: None, root_cert: Some(pem) };
    Client::build_with_tls(url, certificates).map_err(unread)
}

fn connect(client: &Client, deadline: Duration) -> Result<ConnectionManager, Trouble> {
    let config = ConnectionManagerConfig::new()
        .set_number_of_retries(1)
        .set_min_delay(Duration::from_millis(20))
        .set_connection_timeout(Some(deadline))
        // The deadline is ours, and longer for large things.
        .set_response_timeout(Some(Duration::from_secs(10)));
    ConnectionManager::new_lazy_with_config(client.clone(), config)
        .map_err(|_| Trouble::new("redis", "no connection can be prepared"))
}
