//! Operators: the accounts of those who run the server. They are not people of an organization, sign in at a
//! listener of their own with a password and a second factor, and work with a session that is not a token.
//!
//! What they do elsewhere (revoke, propose, search) is decided elsewhere; here is who they are, what each may
//! do at all, and how they come in.

mod accounts;
mod denial;
mod invitation;
mod own;
mod reset;
pub(crate) mod second_factor;
mod shelf;
mod sign_in;

use async_trait::async_trait;
use serde::{Deserialize, Serialize};

use crate::refusal::Trouble;

pub(crate) use accounts::check_address;
pub(crate) use accounts::closed;
pub use accounts::{Enrolled, Newcomer, enrol, set_disabled, set_roles};
pub use denial::Denial;
pub use invitation::{Acceptance, INVITATION_PREFIX, Invitation, Invited, Wanted};
pub use own::{Offered, Proof};
pub use reset::{Awaiting, FactorReset};
pub use second_factor::{SecondFactor, recovery_codes};
pub(crate) use shelf::Shelf;
pub use sign_in::{Credentials, Entry, Porter, SessionTerms, Standing};

/// How every operator's token begins, so that scanners find one that leaked.
pub const TOKEN_PREFIX: &str = "pco_";

/// Two operators of whom one made or changed the account of the other are no two persons for so long,
/// seconds: a colleague who was made for the purpose confirms nothing, whoever of the two proposes.
pub const FRESH: u64 = 24 * 3600;

/// What somebody may do at the operators' listener. Who holds several may do what any of them may.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OperatorRole {
    /// Sees and changes people, sessions and applications; revokes; proposes.
    Operator,
    /// Confirms what others propose.
    Approver,
    /// Sees everything, changes nothing.
    Auditor,
    /// Says who the operators are.
    Owner,
}

impl OperatorRole {
    /// Those who give orders and propose.
    pub const ORDERING: &'static [Self] = &[Self::Operator, Self::Owner];
    pub const ALL: [Self; 4] = [Self::Operator, Self::Approver, Self::Auditor, Self::Owner];

    /// The word on the wire.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Operator => "operator",
            Self::Approver => "approver",
            Self::Auditor => "auditor",
            Self::Owner => "owner",
        }
    }

    /// The role of this word.
    pub fn named(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|role| role.as_str() == word)
    }
}

/// An operator's account.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Operator {
    pub id: String,
    /// Folded to lower case, unique.
    pub email: String,
    pub roles: Vec<OperatorRole>,
    /// Argon2id in PHC form.
    pub password: String,
    /// The second factor's seed, sealed for this operator.
    pub seed: String,
    /// Two colleagues took the second factor away, and none was enrolled since: an invitation lets one in again.
    #[serde(default)]
    pub awaits_factor: bool,
    /// Keyed hashes of the recovery codes that are left.
    pub recovery: Vec<String>,
    /// The last time step whose code was taken: none is taken twice.
    pub last_step: u64,
    pub disabled: bool,
    /// Public credentials, made for a demonstration.
    #[serde(default)]
    pub demo: bool,
    pub created_at: u64,
    /// Which operator last made or changed the account, and when, seconds.
    #[serde(default)]
    pub changed: Option<(String, u64)>,
    /// Everybody who did so within [`FRESH`], each with their last time: for so long neither is a second
    /// person to the other.
    #[serde(default)]
    pub changes: Vec<(String, u64)>,
}

impl Operator {
    /// An account that comes in nowhere yet: it has neither a password nor a second factor.
    pub fn new(id: impl Into<String>, email: impl Into<String>, roles: Vec<OperatorRole>, now: u64) -> Self {
        Self {
            id: id.into(),
            email: email.into(),
            roles,
            password: String::new(),
            seed: String::new(),
            awaits_factor: false,
            recovery: Vec::new(),
            last_step: 0,
            disabled: false,
            demo: false,
            created_at: now,
            changed: None,
            changes: Vec::new(),
        }
    }

    /// How an audit record names an operator.
    pub fn actor(&self) -> String {
        format!("operator:{}", self.id)
    }

    pub fn may(&self, any_of: &[OperatorRole]) -> bool {
        self.roles.iter().any(|role| any_of.contains(role))
    }

    /// Whether the account can come in and holds one of the roles.
    pub fn stands_as(&self, any_of: &[OperatorRole]) -> bool {
        !self.disabled && !self.awaits_factor && self.may(any_of)
    }

    /// Notes that somebody has made or changed the account; what is no longer fresh is forgotten.
    pub fn was_changed(&mut self, by: &str, now: u64) {
        self.changes.retain(|(who, at)| who != by && now < at.saturating_add(FRESH));
        self.changes.push((by.to_owned(), now));
        self.changed = Some((by.to_owned(), now));
    }

    /// Whether the account was made a short time ago.
    fn is_new(&self, now: u64) -> bool {
        now < self.created_at.saturating_add(FRESH)
    }

    /// Whether somebody has made or changed the account a short time ago.
    fn is_fresh_from(&self, who: &str, now: u64) -> bool {
        let mut known = self.changes.iter().chain(&self.changed);
        known.any(|(by, at)| by == who && now < at.saturating_add(FRESH))
    }
}

/// An operator who has signed in.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct OperatorSession {
    /// Public; names it in lists.
    pub id: String,
    /// Of the token.
    pub hash: String,
    pub operator: String,
    pub began_at: u64,
    pub last_used: u64,
    /// Ends then, however much it is used, seconds.
    pub expires_at: u64,
    /// Where it was used from, the last place last; bounded.
    pub addresses: Vec<String>,
    pub ended_at: Option<u64>,
}

impl OperatorSession {
    /// Places that are remembered of one session.
    pub const PLACES: usize = 8;

    /// Notes a use.
    pub fn used(&mut self, now: u64, address: Option<&str>) {
        self.last_used = self.last_used.max(now);
        let Some(address) = address else { return };
        self.addresses.retain(|known| known != address);
        self.addresses.push(address.to_owned());
        let surplus = self.addresses.len().saturating_sub(Self::PLACES);
        self.addresses.drain(..surplus);
    }
}

/// Who the operators are, as of one version of the list.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Staff {
    pub version: u64,
    pub operators: Vec<Operator>,
}

impl Staff {
    pub fn by_id(&self, id: &str) -> Option<&Operator> {
        self.operators.iter().find(|operator| operator.id == id)
    }

    /// Ids of those who are no second person to this operator, nor it to them: one of the two has made or
    /// changed the account of the other a short time ago, or new accounts lead from one to the other. So nobody
    /// becomes two persons by inviting them.
    pub fn kin<'a>(&'a self, operator: &'a Operator, now: u64) -> Vec<String> {
        let linked =
            |one: &Operator, it: &Operator| it.is_fresh_from(&one.id, now) || one.is_fresh_from(&it.id, now);
        let mut near = vec![operator];
        let mut at = 0;
        while let Some(one) = near.get(at).copied() {
            let leads_on = at == 0 || one.is_new(now);
            for it in &self.operators {
                let siblings = operator.is_new(now) && it.is_new(now);
                if near.iter().all(|known| known.id != it.id) && linked(one, it) && (leads_on || siblings) {
                    near.push(it);
                }
            }
            at += 1;
        }
        near.iter().skip(1).map(|it| it.id.clone()).collect()
    }

    pub fn by_email(&self, email: &str) -> Option<&Operator> {
        let folded = folded(email);
        self.operators.iter().find(|operator| operator.email == folded)
    }
}

/// Where operators and their sessions are looked up; nothing of it is kept in memory between two questions.
#[async_trait]
pub trait StaffBook: Send + Sync {
    /// All operators, of one moment.
    async fn staff(&self) -> Result<Staff, Trouble>;
    /// A session by the hash of its token, with its operator; ended ones too until they are purged.
    async fn operator_session(&self, hash: &str) -> Result<Option<(OperatorSession, Operator)>, Trouble>;
    /// Sessions that have not ended and expire after `now`.
    async fn operator_sessions(&self, now: u64) -> Result<Vec<OperatorSession>, Trouble>;
    /// Invitations that were neither accepted nor withdrawn and expire after `now`, the oldest first.
    async fn invitations(&self, now: u64) -> Result<Vec<Invitation>, Trouble>;
}

/// What a deed does to operators.
#[derive(Clone, Debug, PartialEq)]
pub enum StaffAct {
    /// Puts an account in, if the list still has the version that was expected. [`crate::ledger::Done::Lost`]
    /// otherwise, and when another account has the address. Which steps and recovery codes were taken is
    /// kept, unless the seed is a new text; the last step never becomes an earlier one.
    Put { expected: u64, operator: Box<Operator>, end_sessions: Option<u64> },
    /// [`crate::ledger::Done::Lost`] unless the list has this version and keeps it until the deed is done: who
    /// was an operator when it was decided still is one when it is written down.
    Unmoved { version: u64 },
    /// Takes the second factor and opens the session, both or neither. [`crate::ledger::Done::Spent`] when
    /// the factor was taken before.
    SignIn { factor: Taken, session: OperatorSession },
    /// Puts down that somebody is invited.
    Invite(Invitation),
    /// [`crate::ledger::Done::Spent`] unless the invitation is open.
    SpendInvitation { id: String, now: u64 },
    /// Takes an invitation back. [`crate::ledger::Done::Lost`] unless it is open.
    Uninvite { id: String, now: u64 },
    /// Takes the second factor of an account that is open. [`crate::ledger::Done::Spent`] when it was taken
    /// before.
    TakeFactor { operator: String, factor: Taken },
    /// Ends the sessions of an account but for one.
    EndOthers { operator: String, keep: String, now: u64 },
    /// Notes a use of a session that has not ended.
    Touch(OperatorSession),
    /// Ends a session. Ending it twice is fine.
    EndSession { id: String, now: u64 },
}

/// A second factor that was shown and is right.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Taken {
    /// The code of a time step.
    Step(u64),
    /// The hash of a recovery code.
    Recovery(String),
}

/// An address as it is compared.
pub fn folded(email: &str) -> String {
    email.trim().to_lowercase()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn operator(id: &str) -> Operator {
        Operator::new(id, format!("{id}@example.com"), vec![OperatorRole::Approver], 0)
    }

    #[test]
    fn who_changed_an_account_is_near_to_it_for_a_day_and_the_other_way_round() {
        const LATER: u64 = 2 * FRESH;
        let mut bob = operator("bob");
        bob.was_changed("ann", LATER + 10);
        // A third who changes the account afterwards does not wash it clean.
        bob.was_changed("eve", LATER + 20);
        let staff = Staff { version: 1, operators: vec![operator("ann"), bob, operator("eve")] };
        let kin = |id, now| staff.kin(staff.by_id(id).expect("on the list"), now);
        assert_eq!(kin("bob", LATER + 30), ["ann", "eve"]);
        assert_eq!(kin("ann", LATER + 30), ["bob"]);
        assert_eq!(kin("ann", LATER + 9 + FRESH), ["bob"]);
        assert!(kin("ann", LATER + 10 + FRESH).is_empty());
        assert_eq!(kin("bob", LATER + 10 + FRESH), ["eve"]);
    }

    #[test]
    fn nobody_becomes_two_persons_by_inviting_them() {
        let old = operator;
        let new = |id: &str, by: &str| {
            let mut made = Operator { created_at: 2 * FRESH, ..operator(id) };
            made.was_changed(by, 2 * FRESH);
            made
        };
        let operators = vec![
            old("ann"),
            new("first", "ann"),
            new("second", "ann"),
            new("puppet", "first"),
            new("other", "eve"),
            old("eve"),
        ];
        let staff = Staff { version: 1, operators };
        let kin = |id| staff.kin(staff.by_id(id).expect("on the list"), 2 * FRESH + 5);
        assert_eq!(kin("first"), ["ann", "puppet", "second"]);
        assert_eq!(kin("ann"), ["first", "second", "puppet"]);
        assert_eq!(kin("puppet"), ["first", "ann", "second"]);
        assert_eq!(kin("eve"), ["other"]);
    }

    #[test]
    fn what_is_no_longer_fresh_is_not_kept() {
        let mut bob = operator("bob");
        for by in 0..100 {
            bob.was_changed(&format!("o{}", by % 3), by * FRESH / 2);
        }
        assert_eq!(bob.changes.len(), 2);
    }

    #[test]
    fn what_an_older_release_wrote_still_counts() {
        let bob = Operator { changed: Some(("ann".into(), 10)), ..operator("bob") };
        let staff = Staff { version: 1, operators: vec![operator("ann"), bob] };
        assert_eq!(staff.kin(&staff.operators[0], 20), ["bob"]);
    }
}
