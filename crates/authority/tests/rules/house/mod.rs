//! A house to test in: two organizations, every kind of application, people, a clock that moves by hand and
//! dice that fall the same way each time. When it is torn down, it looks through the audit for every secret
//! that went through the door.

mod glass;
pub mod hands;
pub mod pen;
mod seed;
mod visitor;

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, OnceLock};

use async_trait::async_trait;
use portcullis_authority::ask::{Ask, Knock, Origin};
use portcullis_authority::desk::{Clock, Desk, Dice, Slow, Terms};
use portcullis_authority::keyring::{ALGORITHMS, KeyState, Keyring, StoredKey, generate};
use portcullis_authority::ledger::{Act, Deed, Ledger as _};
use portcullis_authority::limits::{Allowances, Limits};
use portcullis_authority::memory::Memory;
use portcullis_authority::refusal::{Not, Refusal, Trouble};
use portcullis_authority::registry::{Application, Scope};
use portcullis_authority::secret::{Seal, Secret};
use portcullis_authority::{Authority, TokenReply};
use portcullis_guard::{Claims, Denied};
use ring::digest;
use serde_json::Value;

use glass::{Books, Glass};
pub use seed::*;
pub use visitor::{CHALLENGE, VERIFIER, in_query, inside};

pub const ISSUER: &str = "https://auth.acme.example";
pub const START: u64 = 1_800_000_000;
pub const JWT_BEARER: &str = "urn:ietf:params:oauth:grant-type:jwt-bearer";
pub const EXCHANGE: &str = "urn:ietf:params:oauth:grant-type:token-exchange";
pub const ACCESS_TOKEN: &str = "urn:ietf:params:oauth:token-type:access_token";

/// The door to everything.
pub struct House {
    pub authority: Authority,
    pub memory: Arc<Memory>,
    clock: Arc<Watch>,
    books: Arc<Books>,
    glass: Arc<Glass>,
    /// Everything secret that went in or out.
    secrets: Mutex<BTreeSet<String>>,
}

impl House {
    pub fn new() -> Self {
        Self::with(|_| {})
    }

    /// A house whose operator has decided otherwise.
    pub fn with(change: impl FnOnce(&mut Terms)) -> Self {
        Self::build(change, &keys()[..1])
    }

    /// A house that can sign with every algorithm; the others know ES256 alone, because reading RSA keys
    /// takes longer than most tests.
    pub fn with_every_key() -> Self {
        Self::build(|_| {}, keys())
    }

    fn build(change: impl FnOnce(&mut Terms), keys: &[StoredKey]) -> Self {
        let seal = Arc::new(Seal::new(&[7; 32]));
        let memory = Arc::new(seed::memory(&seal));
        let books = Arc::new(Books::new(memory.clone()));
        let keyring = Keyring::new(keys).expect("generated keys are good keys");
        let glass = Arc::new(Glass::new(keyring.published(), &books));
        let clock = Arc::new(Watch(AtomicU64::new(START * 1000)));
        let mut terms = Terms { issuer: ISSUER.into(), ..Terms::default() };
        change(&mut terms);
        let desk = Desk {
            registry: memory.clone(),
            ledger: books.clone(),
            clock: clock.clone(),
            dice: Arc::new(Loaded(AtomicU64::new(0))),
            slow: Arc::new(Plain),
            inspector: glass.clone(),
            seal,
            limits: Arc::new(Limits::new(Allowances::default())),
            terms,
        };
        let authority = Authority::new(desk, keyring);
        Self { authority, memory, clock, books, glass, secrets: Mutex::default() }
    }

    /// Lets seconds pass.
    pub fn wait(&self, seconds: u64) {
        self.clock.0.fetch_add(seconds * 1000, Ordering::SeqCst);
    }

    pub fn now(&self) -> u64 {
        self.clock.now()
    }

    /// `POST /oauth/token` with a form, as it is.
    pub async fn token(&self, form: &[(&str, &str)]) -> Result<TokenReply, Refusal> {
        let answer = refusal_of(self.authority.token(&self.ask(form)).await);
        if let Ok(reply) = &answer {
            self.remember(&reply.access_token);
            reply.refresh_token.iter().for_each(|token| self.remember(token));
        }
        answer
    }

    /// The same as a client that sends its secret.
    pub async fn by(&self, client: &str, form: &[(&str, &str)]) -> Result<TokenReply, Refusal> {
        let secret = secret_of(client);
        self.token(&[&[("client_id", client), ("client_secret", &secret)], form].concat()).await
    }

    pub async fn client_credentials(&self, client: &str) -> TokenReply {
        self.by(client, &[("grant_type", "client_credentials")]).await.unwrap()
    }

    /// A customer signs in to the shop, which sends no secret.
    pub async fn customer(&self, email: &str, password: &str) -> Result<TokenReply, Refusal> {
        let form = [("client_id", "shop"), ("grant_type", "password"), ("username", email)];
        self.token(&[&form[..], &[("password", password)]].concat()).await
    }

    pub async fn eva(&self) -> TokenReply {
        self.customer("eva@acme.example", "evas-password").await.unwrap()
    }

    pub async fn refresh(&self, client: &str, token: &str) -> Result<TokenReply, Refusal> {
        let form = [("client_id", client), ("grant_type", "refresh_token"), ("refresh_token", token)];
        self.token(&form).await
    }

    /// `POST /oauth/revoke`: whether anything ended.
    pub async fn revoke(&self, form: &[(&str, &str)]) -> Result<bool, Refusal> {
        refusal_of(self.authority.revoke(&self.ask(form)).await).map(|position| position.is_some())
    }

    pub async fn introspect(&self, client: &str, token: &str) -> Value {
        let secret = secret_of(client);
        let form = [("client_id", client), ("client_secret", secret.as_str()), ("token", token)];
        refusal_of(self.authority.introspect(&self.ask(&form)).await).unwrap()
    }

    /// What a service would say of a token.
    pub fn check(&self, token: &str) -> Result<Claims, Denied> {
        self.glass.check(token, self.clock.now_ms())
    }

    /// The claims of a token that a service accepts.
    pub fn claims(&self, token: &str) -> Claims {
        self.check(token).unwrap()
    }

    /// Raises a generation, as an operator's cutoff would.
    pub async fn raise(&self, scope: Scope, id: &str) {
        let act = Act::Raise { scope, id: id.into(), exp: self.now() + 86400 };
        self.books.commit(Deed { act, audit: Vec::new() }).await.unwrap();
    }

    /// Does something that no door leads to.
    pub async fn commit(&self, deed: Deed) {
        self.books.commit(deed).await.unwrap();
    }

    /// Has this happen just before the next thing is written down: after a grant has decided.
    pub fn interrupt(&self, act: Act) {
        self.books.interrupt(act);
    }

    pub fn change_application(&self, client_id: &str, change: impl FnOnce(&mut Application)) {
        self.memory.change_holdings(|holdings| {
            let found = holdings.applications.iter_mut().find(|a| a.client_id == client_id);
            change(found.expect("the test names an application of the house"));
        });
    }

    pub fn ask(&self, form: &[(&str, &str)]) -> Ask {
        const SHY: [&str; 9] = [
            "client_secret",
            "password",
            "code",
            "refresh_token",
            "assertion",
            "subject_token",
            "actor_token",
            "code_verifier",
            "token",
        ];
        form.iter().filter(|(name, _)| SHY.contains(name)).for_each(|(_, value)| self.remember(value));
        let body = url::form_urlencoded::Serializer::new(String::new()).extend_pairs(form).finish();
        let content_type = "application/x-www-form-urlencoded";
        Ask::read(Knock { content_type, body: body.as_bytes(), origin: origin(), ..Knock::default() })
            .unwrap()
    }

    /// Notes a secret, and each part of a token by itself.
    pub fn remember(&self, secret: &str) {
        let mut secrets = self.secrets.lock().unwrap();
        secrets.extend(secret.split('.').chain([secret]).filter(|part| part.len() >= 8).map(str::to_owned));
    }

    /// Takes back what [`House::remember`] noted.
    pub fn forget(&self, secret: &str) {
        self.secrets.lock().unwrap().remove(secret);
    }

    /// Secrets that stand in the audit.
    pub fn leaks(&self) -> Vec<String> {
        let audit = serde_json::to_string(&self.memory.audit()).unwrap();
        let secrets = self.secrets.lock().unwrap();
        secrets.iter().filter(|secret| audit.contains(secret.as_str())).cloned().collect()
    }
}

impl Drop for House {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            assert_eq!(self.leaks(), Vec::<String>::new(), "the audit holds secrets");
        }
    }
}

/// Refusals are what these tests are about; trouble is a broken test.
pub fn refusal_of<T>(answer: Result<T, Not>) -> Result<T, Refusal> {
    answer.map_err(|not| match not {
        Not::Refused(refusal) => refusal,
        Not::Broken(trouble) => panic!("{trouble}"),
    })
}

pub fn origin() -> Origin {
    Origin { address: Some("192.0.2.7".into()), request_id: Some("r-1".into()), ..Origin::default() }
}

pub fn secret_of(client: &str) -> String {
    format!("{client}-secret-of-many-bits")
}

/// One key an algorithm, made once for all tests.
fn keys() -> &'static [StoredKey] {
    static KEYS: OnceLock<Vec<StoredKey>> = OnceLock::new();
    KEYS.get_or_init(|| {
        let made = |name| StoredKey { jwk: generate(name, "eu1").unwrap(), state: KeyState::Active };
        ALGORITHMS.into_iter().map(made).collect()
    })
}

/// A clock that moves by hand.
struct Watch(AtomicU64);

impl Clock for Watch {
    fn now_ms(&self) -> u64 {
        self.0.load(Ordering::SeqCst)
    }
}

/// Dice that fall the same way in each house: the SHA-256 of a counter.
struct Loaded(AtomicU64);

impl Dice for Loaded {
    fn fill(&self, bytes: &mut [u8]) {
        for chunk in bytes.chunks_mut(32) {
            let throw = self.0.fetch_add(1, Ordering::SeqCst);
            let hash = digest::digest(&digest::SHA256, &throw.to_be_bytes());
            chunk.copy_from_slice(&hash.as_ref()[..chunk.len()]);
        }
    }
}

/// Compares plain text: Argon2id has its own tests, and these would wait for it.
struct Plain;

#[async_trait]
impl Slow for Plain {
    async fn password_fits(&self, phc: Option<String>, password: Secret) -> Result<bool, Trouble> {
        Ok(phc.as_deref() == Some(password.expose()))
    }

    async fn password_hash(&self, password: Secret) -> Result<String, Trouble> {
        Ok(password.expose().to_owned())
    }

    async fn password_weakness(&self, _: Secret, _: Vec<String>) -> Result<Option<&'static str>, Trouble> {
        Ok(None)
    }
}
