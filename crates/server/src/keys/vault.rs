//! A PKCS#11 token as a vault: keys are made in it, sign in it and cannot be taken out. Its calls block, so each
//! session has a thread of its own and those who ask wait for an answer in line, for a bounded time and in
//! bounded numbers. The threads are nobody's to wait for: one that hangs in a module keeps no server from
//! stopping.

mod algorithm;
mod clerk;
mod module;

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use cryptoki::mechanism::MechanismType;
use portcullis_authority::keyring::{Signer, Vault};
use portcullis_authority::refusal::Trouble;
use ring::rand::{SecureRandom as _, SystemRandom};
use serde_json::Value;
use tokio::sync::oneshot;

use crate::settings;
use algorithm::Algorithm;
use clerk::{Clerk, Done, Failed, Place, Work};
use module::Module;

/// What the books write beside a key; the settings call it the same.
const NAME: &str = "pkcs11";
/// An RSA key takes a slow token a while, and nobody waits for it at a counter.
const MAKING: Duration = Duration::from_secs(120);

/// The token, open.
pub struct Pkcs11Vault {
    line: Line,
    module: Arc<Module>,
    mechanisms: Vec<MechanismType>,
    make: bool,
}

/// Where those who ask something of the token stand.
#[derive(Clone)]
struct Line {
    jobs: SyncSender<Job>,
    patience: Duration,
    /// Whether the last thing that was asked was done, or was not for one key's sake alone.
    up: Arc<AtomicBool>,
}

struct Job {
    work: Work,
    answer: oneshot::Sender<Result<Done, Failed>>,
}

impl Pkcs11Vault {
    /// Loads the module, finds the token and logs in. Blocks.
    ///
    /// # Errors
    /// Trouble in a sentence: no such module or token, or a PIN that is wrong. Where no new keys are to be made
    /// in it, a token that is away is only said: it may be away for good.
    pub fn open(settings: &settings::Pkcs11) -> Result<Self, Trouble> {
        let module = Module::load(&settings.module)
            .map_err(|e| trouble(format!("{} does not load: {e}", settings.module.display())))?;
        let place = Arc::new(Place::new(module.clone(), settings.clone()));
        let mechanisms = match look(&place) {
            Ok(mechanisms) => mechanisms,
            Err(Failed::Lost(why)) if !settings.make => {
                tracing::warn!(why, "the PKCS#11 token cannot be used; its keys sign nothing until it can");
                Vec::new()
            }
            Err(failed) => return Err(trouble(failed.sentence())),
        };
        let (jobs, waiting) = sync_channel(settings.queue);
        let waiting = Arc::new(Mutex::new(waiting));
        for number in 1..=settings.sessions {
            let (clerk, waiting) = (Clerk::new(place.clone()), waiting.clone());
            std::thread::Builder::new()
                .name(format!("pkcs11-{number}"))
                .spawn(move || serve(clerk, &waiting))
                .map_err(trouble)?;
        }
        let up = Arc::new(AtomicBool::new(!mechanisms.is_empty()));
        let line = Line { jobs, patience: settings.patience(), up };
        Ok(Self { line, module, mechanisms, make: settings.make })
    }
}

/// Logs in once, before any thread does, and sees what the token can do.
fn look(place: &Arc<Place>) -> Result<Vec<MechanismType>, Failed> {
    Clerk::new(place.clone()).carry_out(&Work::Enter)?;
    place.module.with(|pkcs11, _| Ok(pkcs11.get_mechanism_list(place.slot(pkcs11)?)?))
}

/// Takes what is next in line until nobody can stand there any more.
fn serve(mut clerk: Clerk, waiting: &Mutex<Receiver<Job>>) {
    loop {
        let next = waiting.lock().unwrap_or_else(PoisonError::into_inner).recv();
        let Ok(job) = next else { return };
        // Whoever has given up needs no signature.
        if !job.answer.is_closed() {
            // Nobody may be waiting any more; then nobody minds.
            let _ = job.answer.send(clerk.carry_out(&job.work));
        }
    }
}

impl Line {
    async fn ask(&self, work: Work, patience: Duration) -> Result<Done, Trouble> {
        let (answer, told) = oneshot::channel();
        self.jobs.try_send(Job { work, answer }).map_err(|full| {
            trouble(match full {
                TrySendError::Full(_) => "too many wait for the token already",
                TrySendError::Disconnected(_) => "the threads for the token have ended",
            })
        })?;
        let told = match tokio::time::timeout(patience, told).await {
            Ok(Ok(done)) => done,
            Ok(Err(_)) => Err(Failed::Lost("the thread for the token has ended".into())),
            Err(_) => {
                Err(Failed::Lost(format!("the token did not answer within {} ms", patience.as_millis())))
            }
        };
        let well = told.as_ref().err().is_none_or(Failed::leaves_the_token_well);
        self.up.store(well, Ordering::Relaxed);
        told.map_err(|failed| trouble(failed.sentence()))
    }
}

#[async_trait]
impl Vault for Pkcs11Vault {
    fn name(&self) -> &'static str {
        NAME
    }

    fn makes(&self, algorithm: &str) -> bool {
        let known = Algorithm::named(algorithm);
        self.make && known.is_some_and(|it| it.needs().iter().all(|one| self.mechanisms.contains(one)))
    }

    fn is_up(&self) -> bool {
        self.line.up.load(Ordering::Relaxed)
    }

    async fn make(&self, algorithm: &str, region: &str) -> Result<Value, Trouble> {
        // At random: the name is in the token from the first moment, before there is a public key to hash.
        let mut random = [0; 16];
        SystemRandom::new().fill(&mut random).map_err(|_| trouble("the system gives no random numbers"))?;
        let kid = format!("{region}.{}", URL_SAFE_NO_PAD.encode(random));
        let work = Work::Make { kid: kid.clone(), algorithm: known(algorithm)? };
        match self.line.ask(work, MAKING).await? {
            Done::Public(mut jwk) => {
                jwk["kid"] = kid.into();
                jwk["alg"] = algorithm.into();
                jwk["use"] = "sig".into();
                Ok(jwk)
            }
            Done::Signature(_) | Done::Entered | Done::Destroyed => {
                Err(trouble("the token answered something else"))
            }
        }
    }

    fn signer(&self, public: &Value) -> Result<Arc<dyn Signer>, Trouble> {
        Ok(Arc::new(InVault {
            kid: public["kid"].as_str().unwrap_or_default().to_owned(),
            algorithm: known(public["alg"].as_str().unwrap_or_default())?,
            public: public.clone(),
            line: self.line.clone(),
        }))
    }

    async fn destroy(&self, kid: &str) -> Result<(), Trouble> {
        self.line.ask(Work::Destroy { kid: kid.to_owned() }, self.line.patience).await.map(drop)
    }
}

/// A key in the token.
struct InVault {
    kid: String,
    algorithm: Algorithm,
    public: Value,
    line: Line,
}

#[async_trait]
impl Signer for InVault {
    async fn sign(&self, message: &[u8]) -> Result<Vec<u8>, Trouble> {
        let work = Work::Sign { kid: self.kid.clone(), algorithm: self.algorithm, message: message.to_vec() };
        match self.line.ask(work, self.line.patience).await? {
            Done::Signature(signed) if self.algorithm.verifies(&self.public, message, &signed) => Ok(signed),
            _ => Err(trouble(format!("what the token signed is no signature of {}", self.kid))),
        }
    }
}

impl std::fmt::Debug for Pkcs11Vault {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (mechanisms, begun) = (self.mechanisms.len(), self.module.begun_again());
        write!(out, "Pkcs11Vault({mechanisms} mechanisms, begun again {begun} times)")
    }
}

fn known(algorithm: &str) -> Result<Algorithm, Trouble> {
    Algorithm::named(algorithm).ok_or_else(|| trouble(format!("no key for {algorithm:?} is kept in a token")))
}

fn trouble(why: impl std::fmt::Display) -> Trouble {
    Trouble::new("PKCS#11", why)
}
