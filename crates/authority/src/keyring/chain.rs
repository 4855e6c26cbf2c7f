//! The life of signing keys: published, signing, retired, ended. What is due is decided here, as a pure
//! function of the keys and the time, and done by one compare-and-set of the books: of several servers that
//! find the same thing due, one does it and the others see that it is done.

use async_trait::async_trait;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::{KeyState, Keyring, StoredKey, generate, public_half};
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
    /// What is due.
    pub fn plan(&self, algorithm: &str, schedule: &Schedule, now: u64) -> Vec<Step> {
        let mut steps: Vec<Step> = self.over(schedule, now).collect();
        for algorithm in self.algorithms(algorithm) {
            let mut standing = self.of(algorithm, KeyState::Pending);
            let ready = standing.clone().find(|key| now >= key.since.saturating_add(schedule.ahead));
            let next = match self.of(algorithm, KeyState::Active).next() {
                Some(active) if schedule.is_over(active, now) => ready,
                Some(_) => None,
                // Somebody must sign, whoever has seen the key.
                None => ready.or_else(|| standing.clone().next()),
            };
            steps.extend(next.map(|key| Step::Sign { kid: key.kid.clone() }));
            // One always stands by, published for as long as the one before it signs: then an emergency
            // finds a key that everybody knows.
            if !standing.any(|key| Some(&key.kid) != next.map(|next| &next.kid)) {
                steps.push(Step::Make { algorithm: algorithm.to_owned() });
            }
        }
        steps
    }

    /// Carries steps out on paper: the rows that change. Making a key takes a while.
    ///
    /// # Errors
    /// Trouble for an algorithm that is not on offer.
    pub fn carry_out(&self, steps: &[Step], region: &str, bench: &Bench<'_>) -> Result<KeyChange, Trouble> {
        let mut rows = Vec::new();
        for step in steps {
            match step {
                Step::Make { algorithm } => {
                    rows.push(bench.row(&generate(algorithm, region)?, KeyState::Pending)?);
                }
                Step::Sign { kid } => rows.extend(self.succession(kid, bench.now)),
                Step::End { kid } => {
                    rows.extend(self.find(kid).map(|key| key.turned(KeyState::Ended, bench.now)));
                }
            }
        }
        Ok(KeyChange { expected: self.version, rows })
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

    /// The keys, opened.
    ///
    /// # Errors
    /// Trouble naming the key that does not open: its seal is another server's.
    pub fn keyring(&self, seal: &Seal) -> Result<Keyring, Trouble> {
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
        Keyring::new(&stored.collect::<Result<Vec<_>, Trouble>>()?)
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

    /// Those that are in use, and the one that the settings ask for.
    fn algorithms<'a>(&'a self, wanted: &'a str) -> Vec<&'a str> {
        let live = [KeyState::Pending, KeyState::Active];
        let mut names: Vec<&str> = self
            .keys
            .iter()
            .filter(|key| live.contains(&key.state))
            .map(|key| key.algorithm.as_str())
            .chain([wanted])
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

/// Where keys are sealed before they go into the books.
pub struct Bench<'a> {
    pub seal: &'a Seal,
    /// Twelve bytes that are used once.
    pub nonce: &'a dyn Fn() -> [u8; 12],
    pub now: u64,
}

impl Bench<'_> {
    /// A private JWK as a row.
    ///
    /// # Errors
    /// Trouble when it is no key of ours.
    pub fn row(&self, jwk: &Value, state: KeyState) -> Result<KeyRow, Trouble> {
        let text = |name: &str| jwk[name].as_str().unwrap_or_default().to_owned();
        let kid = text("kid");
        let signs = matches!(state, KeyState::Pending | KeyState::Active);
        Ok(KeyRow {
            algorithm: text("alg"),
            state,
            made_at: self.now,
            since: self.now,
            public: public_half(jwk)?.to_string(),
            sealed: signs.then(|| self.seal.seal_key((self.nonce)(), &kid, &jwk.to_string().into())),
            kid,
        })
    }
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
mod tests {
    use super::*;

    const SCHEDULE: Schedule = Schedule { period: 1000, ahead: 100, linger: 50 };

    fn key(kid: &str, state: KeyState, since: u64) -> KeyRow {
        KeyRow {
            kid: kid.into(),
            algorithm: "ES256".into(),
            state,
            made_at: since,
            since,
            public: "{}".into(),
            sealed: Some("x".into()),
        }
    }

    fn chain(keys: &[(&str, KeyState, u64)]) -> KeyChain {
        let keys = keys.iter().map(|(kid, state, since)| key(kid, *state, *since)).collect();
        KeyChain { version: 1, keys }
    }

    fn make() -> Step {
        Step::Make { algorithm: "ES256".into() }
    }

    fn sign(kid: &str) -> Step {
        Step::Sign { kid: kid.into() }
    }

    #[test]
    fn a_young_key_with_a_successor_is_left_alone() {
        let chain = chain(&[("a", KeyState::Active, 0), ("b", KeyState::Pending, 0)]);
        assert_eq!(chain.plan("ES256", &SCHEDULE, 999), []);
    }

    #[test]
    fn a_key_hands_over_when_its_time_is_over_and_its_successor_gets_one_of_its_own() {
        let chain = chain(&[("a", KeyState::Active, 0), ("b", KeyState::Pending, 0)]);
        assert_eq!(chain.plan("ES256", &SCHEDULE, 1000), [sign("b"), make()]);
        let rows = chain.succession("b", 1000);
        assert_eq!((rows[0].state, rows[0].sealed.as_ref()), (KeyState::Retired, None));
        assert_eq!((rows[1].state, rows[1].since), (KeyState::Active, 1000));
    }

    #[test]
    fn nobody_signs_who_was_not_published_for_long_enough() {
        let chain = chain(&[("a", KeyState::Active, 0), ("b", KeyState::Pending, 950)]);
        assert_eq!(chain.plan("ES256", &SCHEDULE, 1049), []);
        assert_eq!(chain.plan("ES256", &SCHEDULE, 1050), [sign("b"), make()]);
    }

    #[test]
    fn where_nobody_signs_the_oldest_that_stands_by_does_at_once() {
        let revoked =
            chain(&[("a", KeyState::Ended, 0), ("b", KeyState::Pending, 10), ("c", KeyState::Pending, 11)]);
        assert_eq!(revoked.plan("ES256", &SCHEDULE, 12), [sign("b")]);
        assert_eq!(chain(&[]).plan("ES256", &SCHEDULE, 0), [make()]);
    }

    #[test]
    fn a_retired_key_is_published_until_the_last_token_is_over() {
        let chain = chain(&[
            ("a", KeyState::Retired, 100),
            ("b", KeyState::Active, 100),
            ("c", KeyState::Pending, 100),
        ]);
        assert_eq!(chain.plan("ES256", &SCHEDULE, 149), []);
        assert_eq!(chain.plan("ES256", &SCHEDULE, 150), [Step::End { kid: "a".into() }]);
    }

    #[test]
    fn a_period_of_nothing_leaves_rotation_to_people() {
        let chain = chain(&[("a", KeyState::Active, 0), ("b", KeyState::Pending, 0)]);
        let schedule = Schedule { period: 0, ..SCHEDULE };
        assert_eq!(chain.plan("ES256", &schedule, u64::MAX), []);
    }

    #[test]
    fn what_was_made_opens_with_its_own_seal_only() {
        let (seal, nonce) = (Seal::new(&[1; 32]), || [7; 12]);
        let bench = Bench { seal: &seal, nonce: &nonce, now: 5 };
        let empty = KeyChain::default();
        let change = empty.carry_out(&[make()], "eu1", &bench).unwrap();
        let chain = KeyChain { version: 1, keys: change.rows };
        assert!(chain.keyring(&seal).unwrap().published().contains(&chain.keys[0].kid));
        assert!(!chain.keys[0].public.contains("\"d\""));
        assert!(chain.keyring(&Seal::new(&[2; 32])).map(drop).unwrap_err().why.contains("does not open"));
        // A key that was moved to another name does not open either.
        let mut moved = chain.clone();
        moved.keys[0].kid = "eu1.other".into();
        assert!(moved.keyring(&seal).is_err());
    }
}
