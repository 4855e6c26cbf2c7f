//! The desk: books, clock, dice and terms that a grant may use. Time and chance are handed in, so that a
//! test can move the one and fix the other.

use std::sync::Arc;

use async_trait::async_trait;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use portcullis_guard::Claims;

use crate::ledger::Ledger;
use crate::limits::Limits;
use crate::refusal::Trouble;
use crate::registry::{Profile, Registry};
use crate::secret::{Seal, Secret};

/// Everything that a grant may use.
pub struct Desk {
    pub registry: Arc<dyn Registry>,
    pub ledger: Arc<dyn Ledger>,
    pub clock: Arc<dyn Clock>,
    pub dice: Arc<dyn Dice>,
    pub slow: Arc<dyn Slow>,
    pub inspector: Arc<dyn Inspector>,
    pub seal: Arc<Seal>,
    pub limits: Arc<Limits>,
    pub terms: Terms,
}

/// The time.
pub trait Clock: Send + Sync {
    /// Milliseconds since the Unix epoch.
    fn now_ms(&self) -> u64;

    /// Whole seconds since the Unix epoch.
    fn now(&self) -> u64 {
        self.now_ms() / 1000
    }

    /// What is held while a token is signed. Whoever keeps numbers measures how long; the rules never ask.
    fn signing(&self, algorithm: &'static str) -> Box<dyn Send> {
        let _ = algorithm;
        Box::new(())
    }
}

/// Chance. In production the operating system's.
pub trait Dice: Send + Sync {
    fn fill(&self, bytes: &mut [u8]);
}

/// What is slow on a processor, done away from the threads that answer requests, and bounded.
#[async_trait]
pub trait Slow: Send + Sync {
    /// Whether the password fits the PHC text. Without a text it works just as long and says no, so that
    /// nobody learns whether an account exists.
    ///
    /// # Errors
    /// Trouble when too many wait already.
    async fn password_fits(&self, phc: Option<String>, password: Secret) -> Result<bool, Trouble>;
    /// The PHC text to keep of a new password.
    ///
    /// # Errors
    /// Trouble when too many wait already.
    async fn password_hash(&self, password: Secret) -> Result<String, Trouble>;
    /// Why this password is too easily guessed for somebody with these names, in a sentence.
    ///
    /// # Errors
    /// Trouble when too many wait already.
    async fn password_weakness(
        &self,
        password: Secret,
        names: Vec<String>,
    ) -> Result<Option<&'static str>, Trouble>;
}

/// The guard's own check, so that introspection and services can never disagree.
pub trait Inspector: Send + Sync {
    /// The claims of an access token of ours that is genuine, unexpired and not ended, for any audience.
    ///
    /// # Errors
    /// Trouble when this server has lost touch with its own log and cannot know.
    fn inspect(&self, token: &str, now_ms: u64) -> Result<Option<Claims>, Trouble>;
    /// The claims of an access token that is genuinely ours, ended or not and whatever the time: a server
    /// whose clock is wrong must not take a live token for an expired one and end nothing.
    fn recognise(&self, token: &str) -> Option<Claims>;
    /// What a token may do, resource by resource, in the vendor's words.
    fn permissions(&self, claims: &Claims) -> serde_json::Value;
}

/// The numbers and names that the operator decides. Lifetimes are in seconds.
#[derive(Clone, Debug)]
pub struct Terms {
    /// `https://auth.<domain>`; never taken from a request.
    pub issuer: String,
    /// Audiences of tokens whose application names none.
    pub audience: Vec<String>,
    pub algorithm: String,
    pub profile: Profile,
    pub access_lifetime: u32,
    /// From the first login, however often it is refreshed.
    pub refresh_lifetime: u32,
    pub code_lifetime: u32,
    /// How long the same refresh token gets the same successor.
    pub refresh_grace: u32,
    pub session_lifetime: u32,
    /// How long a proposal waits for its second person.
    pub proposal_lifetime: u32,
    /// Access tokens above this many bytes are not issued: proxies stop at 8 kB for all headers.
    pub token_limit: usize,
}

impl Default for Terms {
    fn default() -> Self {
        Self {
            issuer: "http://127.0.0.1:8080".into(),
            audience: vec!["commerce-api".into()],
            algorithm: "ES256".into(),
            profile: Profile::Rfc9068,
            access_lifetime: 7200,
            refresh_lifetime: 14 * 86400,
            code_lifetime: 60,
            refresh_grace: 10,
            session_lifetime: 8 * 3600,
            proposal_lifetime: 15 * 60,
            token_limit: 4096,
        }
    }
}

impl Desk {
    pub fn now(&self) -> u64 {
        self.clock.now()
    }

    /// 32 random bytes.
    pub fn random(&self) -> [u8; 32] {
        let mut bytes = [0; 32];
        self.dice.fill(&mut bytes);
        bytes
    }

    /// 256 random bits in base64url: codes and cookies.
    pub fn token(&self) -> String {
        URL_SAFE_NO_PAD.encode(self.random())
    }

    /// 16 bytes in the layout of a UUID version 7 (RFC 9562 section 5.7): the time first, so that logs
    /// sort and indexes stay local, and 74 random bits.
    pub fn id(&self) -> [u8; 16] {
        let mut bytes = [0; 16];
        self.dice.fill(&mut bytes[6..]);
        bytes[..6].copy_from_slice(&self.clock.now_ms().to_be_bytes()[2..]);
        bytes[6] = 0x70 | (bytes[6] & 0x0f);
        bytes[8] = 0x80 | (bytes[8] & 0x3f);
        bytes
    }

    /// [`Desk::id`] as the 22 characters of `jti` and `sid`.
    pub fn id_text(&self) -> String {
        URL_SAFE_NO_PAD.encode(self.id())
    }
}
