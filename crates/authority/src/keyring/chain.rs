//! The life of signing keys: published, signing, retired, ended. What is due is decided here, as a pure
//! function of the keys and the time, and done by one compare-and-set of the books: of several servers that
//! find the same thing due, one does it and the others see that it is done.

use async_trait::async_trait;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::vault::{Vault, home};
use super::{KeyState, Keyring, StoredKey, generate, held, public_half};
use crate::endings::MARGIN;
use crate::ledger::{Act, AuditRecord};
use crate::operators::Denial;
use crate::proposals::{Executor, Order, Reason, Room, Work};
use crate::refusal::Trouble;
use crate::registry::Directory;
use crate::secret::Seal;

/// All keys that the books have ever held, the oldest first. Ended ones stay as names, so that a copy of
/// them somewhere never comes back into use.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct KeyChain {
    /// Grows with each change.
    pub version: u64,
    pub keys: Vec<KeyRow>,
}

/// A key in the books.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeyRow {
    pub kid: String,
    pub algorithm: String,
    pub state: KeyState,
    /// When it came into the books, seconds.
    pub made_at: u64,
    /// Since when it has this state, seconds.
    pub since: u64,
    /// The public JWK.
    pub public: String,
    /// The private JWK, sealed; gone once it has retired.
    pub sealed: Option<String>,
    /// The vault that keeps the private half, where the books do not; see [`Vault::name`].
    #[serde(default)]
    pub vault: Option<String>,
}

/// A change of the chain that was decided on one version of it.
#[derive(Clone, Debug, PartialEq)]
pub struct KeyChange {
    pub expected: u64,
    /// New keys, and old ones as they are from now on.
    pub rows: Vec<KeyRow>,
}

/// When what happens, in seconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Schedule {
    /// How long a key signs; 0 for as long as nobody says otherwise.
    pub period: u64,
    /// How long a key is published before it signs: the longest that anybody keeps our keys in a cache.
    pub ahead: u64,
    /// How long a key is published after it has signed: the longest that a token lives.
    pub linger: u64,
}

/// Something that is due.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// Make a key that stands by.
    Make { algorithm: String },
    /// Let a key sign; the one before retires.
    Sign { kid: String },
    /// Publish a key no more.
    End { kid: String },
}

/// How long the longest token of anybody lives from now on, with what clocks may differ.
pub fn linger(directory: &Directory, access_lifetime: u32) -> u64 {
    let longest = directory.applications().map(|it| it.longest_lifetime).max().unwrap_or(0);
    u64::from(longest.max(access_lifetime)) + MARGIN
}

impl KeyChain {
    /// What is due. A key that is not where its like are made now (somebody has taken a vault into use, or out
    /// of it) hands over as soon as one that is has been published for long enough.
    pub fn plan(
        &self,
        wanted: &[impl AsRef<str>],
        schedule: &Schedule,
        vault: Option<&dyn Vault>,
        now: u64,
    ) -> Vec<Step> {
        let mut steps: Vec<Step> = self.over(schedule, now).collect();
        for algorithm in self.algorithms(wanted) {
            let here = home(vault, algorithm);
            let at_home = |key: &&KeyRow| key.vault.as_deref() == here;
            let mut standing = self.of(algorithm, KeyState::Pending).filter(at_home);
            let mut strangers = self.of(algorithm, KeyState::Pending).filter(|key| !at_home(key));
            let ready = standing.clone().find(|key| now >= key.since.saturating_add(schedule.ahead));
            let next = match self.of(algorithm, KeyState::Active).next() {
                Some(active) if schedule.is_over(active, now) || !at_home(&active) => ready,
                Some(_) => None,
                // Somebody must sign, whoever has seen the key.
                None => ready.or_else(|| standing.clone().next()).or_else(|| strangers.next()),
            };
            // A key from elsewhere is there for emergencies until ours is as well known as it.
            let superfluous = strangers.filter(|_| ready.is_some());
            steps.extend(superfluous.map(|key| Step::End { kid: key.kid.clone() }));
            steps.extend(next.map(|key| Step::Sign { kid: key.kid.clone() }));
            // One always stands by, published for as long as the one before it signs: then an emergency
            // finds a key that everybody knows.
            if !standing.any(|key| Some(&key.kid) != next.map(|next| &next.kid)) {
                steps.push(Step::Make { algorithm: algorithm.to_owned() });
            }
        }
        steps
    }

    /// When the key that signs with an algorithm has signed for its time; `None` when nobody says so.
    pub fn next_rotation(&self, algorithm: &str, schedule: &Schedule) -> Option<u64> {
        let active = self.of(algorithm, KeyState::Active).next()?;
        (schedule.period > 0).then(|| active.since.saturating_add(schedule.period))
    }

    /// Carries steps out on paper: the rows that change, of which new keys have been made before
    /// ([`Bench::make`], [`Bench::row_in`]).
    pub fn carry_out(&self, steps: &[Step], made: Vec<KeyRow>, now: u64) -> KeyChange {
        let mut rows = made;
        for step in steps {
            match step {
                Step::Make { .. } => {}
                Step::Sign { kid } => rows.extend(self.succession(kid, now)),
                Step::End { kid } => {
                    rows.extend(self.find(kid).map(|key| key.turned(KeyState::Ended, now)));
                }
            }
        }
        KeyChange { expected: self.version, rows }
    }

    /// The rows that change when a key begins to sign.
    pub fn succession(&self, kid: &str, now: u64) -> Vec<KeyRow> {
        let Some(next) = self.find(kid) else { return Vec::new() };
        let before = self.of(&next.algorithm, KeyState::Active);
        before
            .map(|key| key.turned(KeyState::Retired, now))
            .chain([next.turned(KeyState::Active, now)])
            .collect()
    }

    /// The key that signs next with this algorithm.
    pub fn next(&self, algorithm: &str) -> Option<&KeyRow> {
        self.of(algorithm, KeyState::Pending).next()
    }

    pub fn find(&self, kid: &str) -> Option<&KeyRow> {
        self.keys.iter().find(|key| key.kid == kid)
    }

    /// The keys, opened, or as the vault has them.
    ///
    /// # Errors
    /// Trouble naming the key that does not open, because its seal is another server's, or that is kept in a
    /// vault which is not this one.
    pub fn keyring(&self, seal: &Seal, vault: Option<&dyn Vault>) -> Result<Keyring, Trouble> {
        let live = self.keys.iter().filter(|key| key.state != KeyState::Ended);
        let stored = live.map(|key| {
            let text = match &key.sealed {
                Some(sealed) => seal.open_key(&key.kid, sealed).ok_or_else(|| {
                    Trouble::new(
                        "keyring",
                        format!("key {:?} does not open; is seal.key the one of the other servers?", key.kid),
                    )
                })?,
                None => key.public.clone().into(),
            };
            let jwk = serde_json::from_str(&text).map_err(|e| Trouble::new("keyring", e))?;
            Ok(StoredKey { jwk, state: key.state })
        });
        Keyring::signing_by(&stored.collect::<Result<Vec<_>, Trouble>>()?, &|key| match self
            .vault_of(key.jwk["kid"].as_str().unwrap_or_default())
        {
            None => held(&key.jwk),
            Some(name) => match vault.filter(|vault| vault.name() == name) {
                Some(vault) => vault.signer(&key.jwk),
                None => Err(Trouble::new(
                    "keyring",
                    format!("its private half is in {name}, which the settings do not name (keys.{name})"),
                )),
            },
        })
    }

    fn vault_of(&self, kid: &str) -> Option<&str> {
        self.find(kid)?.vault.as_deref()
    }

    fn over<'a>(&'a self, schedule: &'a Schedule, now: u64) -> impl Iterator<Item = Step> + 'a {
        let retired = self.keys.iter().filter(|key| key.state == KeyState::Retired);
        retired
            .filter(move |key| now >= key.since.saturating_add(schedule.linger))
            .map(|key| Step::End { kid: key.kid.clone() })
    }

    fn of(&self, algorithm: &str, state: KeyState) -> impl Iterator<Item = &KeyRow> + Clone {
        self.keys.iter().filter(move |key| key.algorithm == algorithm && key.state == state)
    }

    /// Those that are in use, and those that are asked for.
    fn algorithms<'a>(&'a self, wanted: &'a [impl AsRef<str>]) -> Vec<&'a str> {
        let live = [KeyState::Pending, KeyState::Active];
        let mut names: Vec<&str> = self
            .keys
            .iter()
            .filter(|key| live.contains(&key.state))
            .map(|key| key.algorithm.as_str())
            .chain(wanted.iter().map(|name| name.as_ref()))
            .collect();
        names.sort_unstable();
        names.dedup();
        names
    }
}

impl Schedule {
    fn is_over(&self, active: &KeyRow, now: u64) -> bool {
        self.period > 0 && now >= active.since.saturating_add(self.period)
    }
}

impl KeyRow {
    /// The same in another state. Who signs no more keeps no private half.
    fn turned(&self, state: KeyState, now: u64) -> Self {
        let sealed = match state {
            KeyState::Pending | KeyState::Active => self.sealed.clone(),
            KeyState::Retired | KeyState::Ended => None,
        };
        Self { state, since: now, sealed, ..self.clone() }
    }
}

/// Where keys are made ready for the books.
pub struct Bench<'a> {
    pub seal: &'a Seal,
    /// Twelve bytes that are used once.
    pub nonce: &'a dyn Fn() -> [u8; 12],
    pub now: u64,
}

impl Bench<'_> {
    /// Makes a key whose private half the books keep. An RSA key takes seconds.
    ///
    /// # Errors
    /// Trouble for an algorithm that is not on offer.
    pub fn make(&self, algorithm: &str, region: &str) -> Result<KeyRow, Trouble> {
        self.row(&generate(algorithm, region)?, KeyState::Pending)
    }

    /// A private JWK as a row.
    ///
    /// # Errors
    /// Trouble when it is no key of ours.
    pub fn row(&self, jwk: &Value, state: KeyState) -> Result<KeyRow, Trouble> {
        let mut row = named(jwk, state, self.now)?;
        if matches!(state, KeyState::Pending | KeyState::Active) {
            row.sealed = Some(self.seal.seal_key((self.nonce)(), &row.kid, &jwk.to_string().into()));
        }
        Ok(row)
    }

    /// The public JWK of a key that was made in a vault, as the row of a key that stands by.
    ///
    /// # Errors
    /// Trouble when it is no key of ours.
    pub fn row_in(&self, vault: &dyn Vault, public: &Value) -> Result<KeyRow, Trouble> {
        let row = named(public, KeyState::Pending, self.now)?;
        Ok(KeyRow { vault: Some(vault.name().into()), ..row })
    }
}

fn named(jwk: &Value, state: KeyState, now: u64) -> Result<KeyRow, Trouble> {
    let text = |name: &str| jwk[name].as_str().unwrap_or_default().to_owned();
    Ok(KeyRow {
        kid: text("kid"),
        algorithm: text("alg"),
        state,
        made_at: now,
        since: now,
        public: public_half(jwk)?.to_string(),
        sealed: None,
        vault: None,
    })
}

/// Rotation by hand: the key that stands by signs from now on. Needs two persons.
pub struct Handover;

#[async_trait]
impl Executor for Handover {
    fn kind(&self) -> &'static str {
        "key_rotation"
    }

    async fn canonical(&self, room: Room<'_>, what: &Value) -> Result<String, Denial> {
        let algorithm = what.get("algorithm").and_then(Value::as_str).unwrap_or_default();
        let (_, next) = successor(room, algorithm).await?;
        Ok(json!({ "algorithm": algorithm, "kid": next.kid }).to_string())
    }

    async fn work(&self, room: Room<'_>, order: &Order<'_>) -> Result<Work, Denial> {
        let what: Value =
            serde_json::from_str(&order.proposal.what).map_err(|e| Trouble::new("proposals", e))?;
        let (chain, next) = successor(room, what["algorithm"].as_str().unwrap_or_default()).await?;
        if what["kid"] != next.kid.as_str() {
            return Err(Denial::conflict(
                "Another key stands by since this was proposed; withdraw it and propose it again.",
            ));
        }
        let now = room.desk.now();
        let change = KeyChange { expected: chain.version, rows: chain.succession(&next.kid, now) };
        let mut record = order.hand.record("key.rotated", &Reason::read(&order.proposal.reason)?, now);
        record.detail = Some(what.to_string());
        Ok(Work { acts: vec![Act::Keys(change)], audit: vec![record] })
    }
}

async fn successor(room: Room<'_>, algorithm: &str) -> Result<(KeyChain, KeyRow), Denial> {
    let chain = room.desk.ledger.key_chain().await?;
    let next = chain.next(algorithm).cloned();
    let next = next.ok_or_else(|| {
        Denial::invalid(
            "what",
            format!("No key stands by for {algorithm:?}; portcullis keys status lists them."),
        )
    })?;
    Ok((chain, next))
}

/// The audit record of what the server did to its keys on its own.
pub fn tended(steps: &[Step], rows: &[KeyRow], now: u64) -> AuditRecord {
    let of = |state| rows.iter().filter(move |row| row.state == state).map(|row| row.kid.as_str());
    let detail = json!({
        "published": of(KeyState::Pending).collect::<Vec<_>>(),
        "signs": of(KeyState::Active).collect::<Vec<_>>(),
        "retired": of(KeyState::Retired).collect::<Vec<_>>(),
        "ended": of(KeyState::Ended).collect::<Vec<_>>(),
    });
    AuditRecord {
        at: now,
        event: "keys.tended".into(),
        reason: Some(format!("{} steps were due", steps.len())),
        detail: Some(detail.to_string()),
        ..AuditRecord::default()
    }
}

#[cfg(test)]
mod tests;
