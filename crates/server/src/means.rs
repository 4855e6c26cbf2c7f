//! The desk's outside parts: the system's clock, the system's dice, and password hashing on a bounded
//! number of threads.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use argon2::password_hash::phc::PasswordHash;
use argon2::{Algorithm, Argon2, Params, PasswordHasher as _, PasswordVerifier as _, Version};
use async_trait::async_trait;
use portcullis_authority::desk::{Clock, Dice, Slow};
use portcullis_authority::refusal::Trouble;
use portcullis_authority::secret::Secret;
use ring::rand::{SecureRandom as _, SystemRandom};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::settings;

/// Time and chance, handed in so that tests can move the one and fix the other.
#[derive(Clone)]
pub struct Means {
    pub clock: Arc<dyn Clock>,
    pub dice: Arc<dyn Dice>,
}

impl Means {
    /// The system's own.
    pub fn system() -> Self {
        Self { clock: Arc::new(OnwardClock::new(SystemClock)), dice: Arc::new(SystemDice::default()) }
    }
}

/// The machine's clock. It must be kept by NTP: lifetimes are promises about real time.
#[derive(Clone, Copy, Debug)]
pub struct SystemClock;

impl Clock for SystemClock {
    fn now_ms(&self) -> u64 {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
    }
}

/// A clock that never goes back: where the one below it is set back, it goes on by the steady clock until
/// the other has caught up. How long an ending is remembered is counted from now; counted from an earlier
/// now it would be forgotten while tokens still live.
#[derive(Debug)]
pub struct OnwardClock<C> {
    below: C,
    furthest: Mutex<(u64, Instant)>,
}

impl<C: Clock> OnwardClock<C> {
    pub fn new(below: C) -> Self {
        let now = below.now_ms();
        Self { below, furthest: Mutex::new((now, Instant::now())) }
    }
}

impl<C: Clock> Clock for OnwardClock<C> {
    fn now_ms(&self) -> u64 {
        let below = self.below.now_ms();
        let mut furthest = self.furthest.lock().unwrap_or_else(PoisonError::into_inner);
        let (reached, at) = *furthest;
        let since = u64::try_from(at.elapsed().as_millis()).unwrap_or(u64::MAX);
        let now = below.max(reached.saturating_add(since));
        if below >= now {
            *furthest = (below, Instant::now());
        }
        now
    }
}

/// The operating system's random numbers.
#[derive(Debug)]
pub struct SystemDice(SystemRandom);

impl Default for SystemDice {
    fn default() -> Self {
        Self(SystemRandom::new())
    }
}

impl Dice for SystemDice {
    fn fill(&self, bytes: &mut [u8]) {
        // A server that cannot have random numbers must not go on with anything else instead.
        self.0.fill(bytes).expect("the operating system always gives random numbers");
    }
}

/// Argon2id (RFC 9106), a bounded number at a time.
pub struct Passwords {
    argon: Argon2<'static>,
    dice: Arc<dyn Dice>,
    /// Places for those who hash and those who wait.
    places: Arc<Semaphore>,
    workers: Arc<Semaphore>,
    /// A hash of the same cost that no password fits, for accounts that do not exist.
    nobody: String,
}

impl Passwords {
    /// # Errors
    /// Trouble for parameters that Argon2 does not take.
    pub fn new(settings: &settings::Passwords, dice: Arc<dyn Dice>) -> Result<Self, Trouble> {
        let params = Params::new(settings.memory_kib, settings.iterations, settings.parallelism, None)
            .map_err(trouble)?;
        let workers = match settings.workers {
            0 => std::thread::available_parallelism().map_or(1, usize::from),
            workers => workers,
        };
        let mut passwords = Self {
            argon: Argon2::new(Algorithm::Argon2id, Version::V0x13, params),
            dice,
            places: Arc::new(Semaphore::new(
                workers.saturating_add(settings.queue).min(Semaphore::MAX_PERMITS),
            )),
            workers: Arc::new(Semaphore::new(workers.min(Semaphore::MAX_PERMITS))),
            nobody: String::new(),
        };
        let mut unguessable = [0; 32];
        passwords.dice.fill(&mut unguessable);
        passwords.nobody = passwords.hash_bytes(&unguessable)?;
        Ok(passwords)
    }

    /// The PHC text to keep. Slow: not for threads that answer requests.
    ///
    /// # Errors
    /// Trouble for a password of gigabytes.
    pub fn hash(&self, password: &Secret) -> Result<String, Trouble> {
        self.hash_bytes(password.expose().as_bytes())
    }

    fn hash_bytes(&self, password: &[u8]) -> Result<String, Trouble> {
        let mut salt = [0; 16];
        self.dice.fill(&mut salt);
        hashed(&self.argon, password, &salt)
    }

    /// A place to wait in, and then a turn.
    async fn turn(&self) -> Result<(OwnedSemaphorePermit, OwnedSemaphorePermit), Trouble> {
        let place = Arc::clone(&self.places)
            .try_acquire_owned()
            .map_err(|_| Trouble::new("passwords", "too many wait already"))?;
        let worker = Arc::clone(&self.workers).acquire_owned().await.map_err(trouble)?;
        Ok((place, worker))
    }
}

#[async_trait]
impl Slow for Passwords {
    async fn password_fits(&self, phc: Option<String>, password: Secret) -> Result<bool, Trouble> {
        let turn = self.turn().await?;
        let known = phc.is_some();
        let phc = phc.unwrap_or_else(|| self.nobody.clone());
        let argon = self.argon.clone();
        let fits = tokio::task::spawn_blocking(move || {
            // Held until the work is done, even when nobody waits for the answer any more.
            let _held = turn;
            let stored = PasswordHash::new(&phc).map_err(trouble)?;
            Ok::<_, Trouble>(argon.verify_password(password.expose().as_bytes(), &stored).is_ok())
        });
        Ok(fits.await.map_err(trouble)?? && known)
    }

    async fn password_hash(&self, password: Secret) -> Result<String, Trouble> {
        let turn = self.turn().await?;
        let mut salt = [0; 16];
        self.dice.fill(&mut salt);
        let argon = self.argon.clone();
        let hashed = tokio::task::spawn_blocking(move || {
            let _held = turn;
            hashed(&argon, password.expose().as_bytes(), &salt)
        });
        hashed.await.map_err(trouble)?
    }

    async fn password_weakness(
        &self,
        password: Secret,
        names: Vec<String>,
    ) -> Result<Option<&'static str>, Trouble> {
        let turn = self.turn().await?;
        let judged = tokio::task::spawn_blocking(move || {
            let _held = turn;
            weakness(&password, &names)
        });
        judged.await.map_err(trouble)
    }
}

impl std::fmt::Debug for Passwords {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.write_str("Passwords(..)")
    }
}

/// Characters, whatever they are: NIST SP 800-63B asks for length and not for kinds of characters.
const SHORTEST_PASSWORD: usize = 12;
/// Nobody types more, and hashing is not free.
const LONGEST_PASSWORD: usize = 256;

/// Common and breached passwords, names, keyboard rows, dates and the like are in the estimator's own lists.
fn weakness(password: &Secret, names: &[String]) -> Option<&'static str> {
    let text = password.expose();
    let length = text.chars().count();
    if length < SHORTEST_PASSWORD {
        return Some("A password has at least 12 characters; several words are easy to remember.");
    }
    if length > LONGEST_PASSWORD {
        return Some("A password has at most 256 characters.");
    }
    let names: Vec<&str> = names.iter().map(String::as_str).filter(|name| !name.is_empty()).collect();
    let rest = beyond_the_obvious(text, &names);
    let guessed =
        [text, &rest].iter().any(|text| zxcvbn::zxcvbn(text, &names).score() < zxcvbn::Score::Three);
    guessed.then_some("This password is common, was in a breach, or follows a pattern that is guessed early; choose another.")
}

/// Fewer letters say nothing about anybody.
const SHORTEST_WORD: usize = 4;

/// What is left of a password, in small letters and digits, once each piece that comes again stands only
/// once and our own name and the person's are gone: doubling a word and writing a name behind it are what
/// guessers try first, and what the estimator pays for by length.
fn beyond_the_obvious(password: &str, names: &[&str]) -> String {
    let plain = |text: &str| text.to_lowercase().chars().filter(|c| c.is_alphanumeric()).collect::<String>();
    let mut rest = plain(password);
    let pieces = names.iter().flat_map(|name| name.split(|c: char| !c.is_alphanumeric()));
    let mut words: Vec<String> =
        pieces.chain(["portcullis"]).chain(names.iter().copied()).map(plain).collect();
    words.retain(|word| word.chars().count() >= SHORTEST_WORD);
    words.sort_by_key(|word| std::cmp::Reverse(word.len()));
    for word in words {
        rest = rest.replace(&word, "");
    }
    once_each(&rest)
}

/// The text with every stretch that directly follows itself written once.
fn once_each(text: &str) -> String {
    let mut rest: Vec<char> = text.chars().collect();
    for length in (2..=rest.len() / 2).rev() {
        let mut at = 0;
        while at + 2 * length <= rest.len() {
            if rest[at..at + length] == rest[at + length..at + 2 * length] {
                rest.drain(at..at + length);
            } else {
                at += 1;
            }
        }
    }
    rest.into_iter().collect()
}

fn hashed(argon: &Argon2<'_>, password: &[u8], salt: &[u8]) -> Result<String, Trouble> {
    let hash: PasswordHash = argon.hash_password_with_salt(password, salt).map_err(trouble)?;
    Ok(hash.to_string())
}

fn trouble(why: impl std::fmt::Display) -> Trouble {
    Trouble::new("passwords", why)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicU64, Ordering::SeqCst};

    use crate::testing::{FixedDice, MovableClock};

    fn passwords(workers: usize, queue: usize) -> Passwords {
        let settings = settings::Passwords { memory_kib: 64, iterations: 1, parallelism: 1, workers, queue };
        Passwords::new(&settings, Arc::new(FixedDice::new(1))).unwrap()
    }

    #[tokio::test]
    async fn only_the_password_fits() {
        let passwords = passwords(1, 1);
        let phc = passwords.hash(&Secret::from("open sesame")).unwrap();
        assert!(phc.starts_with("$argon2id$v=19$m=64,t=1,p=1$"), "{phc}");
        assert!(passwords.password_fits(Some(phc.clone()), Secret::from("open sesame")).await.unwrap());
        assert!(!passwords.password_fits(Some(phc), Secret::from("open barley")).await.unwrap());
    }

    #[tokio::test]
    async fn a_password_that_is_guessed_early_is_too_weak() {
        let passwords = passwords(1, 1);
        let names = vec!["penelope.example".to_owned()];
        for weak in [
            "short",
            "password1234",
            "qwertyuiop12",
            "iloveyou1234",
            "aaaaaaaaaaaaaaaa",
            "penelope.example",
            "password-password",
            "Password!Password!Password!",
            "letmein-LETMEIN-letmein",
            "portcullis-portcullis",
            "Portcullis-password1",
            "penelope penelope 2024",
            "dragon.portcullis.dragon",
            "P@ssw0rd2024",
        ] {
            let why = passwords.password_weakness(Secret::from(weak), names.clone()).await.unwrap();
            assert!(why.is_some(), "{weak}");
        }
        for strong in ["copper kettle on the landing", "f8K2-mm1q-PoX7"] {
            assert_eq!(passwords.password_weakness(Secret::from(strong), names.clone()).await.unwrap(), None);
        }
    }

    #[tokio::test]
    async fn an_unknown_account_is_a_no_after_the_same_work() {
        assert!(!passwords(1, 1).password_fits(None, Secret::from("x")).await.unwrap());
    }

    #[tokio::test]
    async fn a_stored_text_that_does_not_read_is_trouble_and_not_a_no() {
        assert!(passwords(1, 1).password_fits(Some("plain".into()), Secret::from("plain")).await.is_err());
    }

    #[tokio::test]
    async fn beyond_the_queue_nobody_waits() {
        let passwords = passwords(1, 1);
        let _busy = Arc::clone(&passwords.workers).acquire_owned().await.unwrap();
        let _held = Arc::clone(&passwords.places).acquire_owned().await.unwrap();
        let waiting = passwords.password_fits(None, Secret::from("x"));
        let refused = async {
            tokio::task::yield_now().await;
            passwords.password_fits(None, Secret::from("x")).await
        };
        tokio::select! {
            biased;
            _ = waiting => panic!("there is no free worker"),
            answer = refused => assert!(answer.unwrap_err().why.contains("too many wait")),
        }
    }

    #[test]
    fn a_clock_that_is_set_back_goes_on() {
        let hand = Arc::new(MovableClock::at(1_000));
        struct Hand(Arc<MovableClock>, AtomicU64);
        impl Clock for Hand {
            fn now_ms(&self) -> u64 {
                self.0.now_ms() - self.1.load(SeqCst)
            }
        }
        let clock = OnwardClock::new(Hand(hand.clone(), AtomicU64::new(0)));
        clock.below.1.store(600_000, SeqCst);
        std::thread::sleep(std::time::Duration::from_millis(20));
        let now = clock.now_ms();
        assert!((1_000_020..1_500_000).contains(&now), "{now}");
        hand.advance(4_000);
        assert_eq!(clock.now_ms(), 4_400_000);
        assert!(clock.now_ms() >= 4_400_000);
    }

    #[test]
    fn the_clock_runs_in_milliseconds() {
        let now = SystemClock.now_ms();
        assert!(now > 1_700_000_000_000 && SystemClock.now() >= now / 1000);
    }
}
