//! The connection to Redis: a deadline for every question, and silence instead of waiting while nobody
//! answers. Knows nothing of feeds.

use std::future::Future;
use std::path::Path;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use portcullis_authority::refusal::Trouble;
use portcullis_guard::feed::Whereabouts;
use redis::aio::{ConnectionManager, ConnectionManagerConfig};
use redis::{Client, ConnectionInfo, RedisError, RedisResult, TlsCertificates};
use tokio::task::JoinHandle;

use super::RedisSettings;

/// After the first failure nobody is asked for so long; doubled with each further one,
const FIRST_PAUSE: Duration = Duration::from_millis(50);
/// up to this, so that a Redis that returns is found soon.
const LONGEST_PAUSE: Duration = Duration::from_millis(400);
/// So many silences in a row mean that the connection itself may be dead, although nobody said so.
const SILENCES: u32 = 4;
/// How a certificate begins in a PEM file.
const MARK: &[u8] = b"-----BEGIN CERTIFICATE-----";

/// What a node says when its work is done elsewhere now.
const ELSEWHERE: [&str; 6] = ["MOVED", "ASK", "READONLY", "CLUSTERDOWN", "MASTERDOWN", "UNBLOCKED"];

pub(super) struct Link {
    door: Door,
    deadline: Duration,
    state: Mutex<State>,
}

/// How connections are made.
#[derive(Clone)]
struct Door {
    whereabouts: Whereabouts,
    roots: Option<TlsCertificates>,
}

struct State {
    /// `None` until it is known where Redis is.
    manager: Option<ConnectionManager>,
    /// Who looks for it.
    search: Option<JoinHandle<RedisResult<ConnectionInfo>>>,
    failures: u32,
    silences: u32,
    shut_until: Option<Instant>,
}

impl Link {
    /// Connects at the first question, so that Redis may come later than we do. Needs a runtime.
    pub fn new(settings: &RedisSettings) -> Result<Self, Trouble> {
        let whereabouts = Whereabouts::parse(&settings.url, &settings.feed);
        let whereabouts = whereabouts.map_err(|why| Trouble::new("redis", why))?;
        let roots = settings.root_certificate.as_deref().map(roots).transpose()?;
        let door = Door { whereabouts, roots };
        let mut state = State { manager: None, search: None, failures: 0, silences: 0, shut_until: None };
        if !door.whereabouts.moves() {
            state.manager = Some(door.connect_to(door.find().map_err(prepared)?, settings.deadline)?);
        }
        Ok(Self { door, deadline: settings.deadline, state: Mutex::new(state) })
    }

    /// Asks, and waits at most for the deadline and `longer`. What was asked may have been done although the
    /// answer is trouble, so everything that is asked must be harmless when repeated.
    pub async fn ask<T, F: Future<Output = RedisResult<T>>>(
        &self,
        longer: Duration,
        question: impl FnOnce(ConnectionManager) -> F,
    ) -> Result<T, Trouble> {
        let patience = self.deadline + longer;
        let manager = self.enter(patience).await?;
        match tokio::time::timeout(patience, question(manager)).await {
            Ok(Ok(answer)) => {
                self.good();
                Ok(answer)
            }
            Ok(Err(why)) if self.door.whereabouts.moves() && went_elsewhere(&why) => {
                self.state().manager = None;
                Err(Trouble::new("redis", why))
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

    /// The connection. Where Redis has to be found first, that goes on beside whoever asks, and they wait for
    /// it no longer than for an answer.
    async fn enter(&self, patience: Duration) -> Result<ConnectionManager, Trouble> {
        let mut search = {
            let mut state = self.state();
            if state.shut_until.is_some_and(|until| Instant::now() < until) {
                return Err(Trouble::new("redis", "did not answer a moment ago"));
            }
            if let Some(manager) = &state.manager {
                return Ok(manager.clone());
            }
            let door = self.door.clone();
            state.search.take().unwrap_or_else(|| tokio::task::spawn_blocking(move || door.find()))
        };
        let Ok(found) = tokio::time::timeout(patience, &mut search).await else {
            self.state().search = Some(search);
            return Err(Trouble::new("redis", "it is being looked for"));
        };
        let manager = found
            .map_err(|why| Trouble::new("redis", why))
            .and_then(|found| found.map_err(|why| Trouble::new("redis", why)))
            .and_then(|found| self.door.connect_to(found, self.deadline));
        match manager {
            Ok(manager) => {
                self.state().manager = Some(manager.clone());
                Ok(manager)
            }
            Err(why) => {
                self.bad(false);
                Err(why)
            }
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
        if self.door.whereabouts.moves() {
            // Whoever is not reached may have been replaced.
            if !silent || state.silences >= SILENCES {
                (state.manager, state.silences) = (None, 0);
            }
        } else if state.silences >= SILENCES
            && let Ok(manager) =
                self.door.find().map_err(prepared).and_then(|at| self.door.connect_to(at, self.deadline))
        {
            (state.manager, state.silences) = (Some(manager), 0);
        }
    }

    /// Whole after every statement, so a panic elsewhere spoils nothing.
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Door {
    /// Blocks where somebody has to be asked, and only there.
    fn find(&self) -> RedisResult<ConnectionInfo> {
        self.whereabouts.find(|at| self.client(at))
    }

    fn client(&self, at: ConnectionInfo) -> RedisResult<Client> {
        match &self.roots {
            Some(roots) => Client::build_with_tls(at, roots.clone()),
            None => Client::open(at),
        }
    }

    fn connect_to(&self, at: ConnectionInfo, deadline: Duration) -> Result<ConnectionManager, Trouble> {
        let config = ConnectionManagerConfig::new()
            .set_number_of_retries(1)
            .set_min_delay(Duration::from_millis(20))
            .set_connection_timeout(Some(deadline))
            // The deadline is ours, and longer for large things.
            .set_response_timeout(Some(Duration::from_secs(10)));
        let client = self.client(at).map_err(prepared)?;
        ConnectionManager::new_lazy_with_config(client, config).map_err(prepared)
    }
}

/// A node that answers and is not the right one any more.
fn went_elsewhere(why: &RedisError) -> bool {
    why.code().is_some_and(|code| ELSEWHERE.contains(&code))
}

/// The cause could repeat the address with its password.
fn prepared(_: RedisError) -> Trouble {
    Trouble::new("redis", "no connection can be prepared")
}

/// The authorities that may vouch for Redis instead of the system's.
fn roots(file: &Path) -> Result<TlsCertificates, Trouble> {
    let pem = std::fs::read(file).map_err(|e| Trouble::new("redis", format!("{}: {e}", file.display())))?;
    // No certificate at all would be taken for the wish to trust nobody, and be found out at the first question.
    if !pem.windows(MARK.len()).any(|window| window == MARK) {
        return Err(Trouble::new("redis", format!("{}: there is no certificate in it", file.display())));
    }
    Ok(TlsCertificates { client_tls: None, root_cert: Some(pem) })
}
