//! The ledger: what we promised. Codes, refresh families, sessions, revocations, audit. Losing it is a
//! breach, so a deed is answered only after it is on disk.
//!
//! One [`Deed`] is one transaction: the act, its audit records and the feed records that follow from it
//! commit together or not at all. The ledger keeps and finds; it knows no rule of the protocol beyond
//! "once", "only if unchanged" and "never backwards".

use async_trait::async_trait;
use portcullis_guard::claims::{Generations, OwnerKind};
use portcullis_guard::feed::Record;
use serde::{Deserialize, Serialize};

use crate::inactivity::IdleStep;
use crate::invitations::{Invitation, InvitationAct};
use crate::keyring::{KeyChain, KeyChange};
use crate::operators::{StaffAct, Taken};
use crate::proposals::{Acknowledgement, Orphaning, Proposal, Settlement};
use crate::provisioning::change::Amendment;
use crate::refusal::Trouble;
use crate::registry::Scope;
use crate::reviews::ReviewAct;

/// Where promises are kept.
#[async_trait]
pub trait Ledger: Survey + Send + Sync {
    /// Does the deed durably, atomically and once. Deeds of many callers may share one disk write.
    ///
    /// After [`Done::Committed`], the deed survives the loss of any process, and this server's own view of
    /// the feed has already applied its records. After any other answer nothing was written, the audit
    /// records neither: they would tell of a token that nobody got.
    async fn commit(&self, deed: Deed) -> Result<Done, Trouble>;
    /// An authorization code by its hash, without spending it.
    async fn code(&self, hash: &str) -> Result<Option<CodeRow>, Trouble>;
    /// A refresh family by its id, ended ones too until they are purged.
    async fn family(&self, id: &str) -> Result<Option<Family>, Trouble>;
    /// A live or ended browser session by the hash of its cookie.
    async fn session(&self, hash: &str) -> Result<Option<Session>, Trouble>;
    /// The second factor of a person, if there is one.
    async fn factor(&self, person: &str) -> Result<Option<PersonFactor>, Trouble>;
    /// The invitation to a person whose code has this hash, if it is open at `now` (seconds).
    async fn invitation(&self, hash: &str, now: u64) -> Result<Option<Invitation>, Trouble>;
    /// The invitations to a person, the newest first. Those that are over may be among them until they are purged.
    async fn invitations_of(&self, person: &str) -> Result<Vec<Invitation>, Trouble>;
}

/// What operators look up before and after they end something. Every look is bounded.
#[async_trait]
pub trait Survey: Send + Sync {
    /// Logins that can still be refreshed at `now` (seconds), in no order and at most so many.
    async fn live_logins(&self, whose: &Whose, now: u64, most: usize) -> Result<Vec<Family>, Trouble>;
    /// Tokens that were issued since a moment, counted among the newest audit records.
    async fn issued(&self, whose: &Whose, since: u64) -> Result<Issued, Trouble>;
    /// Browser sessions of a person that are alive at `now`.
    async fn live_sessions(&self, person: &str, now: u64) -> Result<u64, Trouble>;
    /// Logins of a person that ended for this very reason.
    async fn logins_ended(&self, person: &str, reason: &str) -> Result<u64, Trouble>;
    /// A proposal by its id.
    async fn proposal(&self, id: &str) -> Result<Option<Proposal>, Trouble>;
    /// Proposals, the newest first and at most so many; `open` leaves out what is decided.
    async fn proposals(&self, open: bool, most: usize) -> Result<Vec<Proposal>, Trouble>;
    /// The open proposals of somebody, expired ones too.
    async fn proposals_of(&self, proposer: &str) -> Result<Vec<Proposal>, Trouble>;
    /// The signing keys.
    async fn key_chain(&self) -> Result<KeyChain, Trouble>;
    /// Broken glass that nobody has looked at yet, the oldest first.
    async fn broken_glass(&self) -> Result<Vec<Proposal>, Trouble>;
}

/// Whose logins and tokens are looked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Whose {
    Token(String),
    Login(String),
    Person(String),
    Client(String),
    Organization(String),
    /// In whose chain of actors somebody stands.
    Actor(String),
    Everybody,
}

/// What the newest audit records tell of tokens.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Issued {
    pub tokens: u64,
    /// When the last of them was issued, seconds.
    pub last: Option<u64>,
    /// Whether the records that were looked at reach back to the moment that was asked for.
    pub complete: bool,
}

/// One transaction.
#[derive(Clone, Debug, PartialEq)]
pub struct Deed {
    pub act: Act,
    pub audit: Vec<AuditRecord>,
}

impl Deed {
    pub fn new(act: Act, audit: AuditRecord) -> Self {
        Self { act, audit: vec![audit] }
    }
}

/// What a deed does. Times are seconds since the epoch; `exp` of an ending is how long it must be
/// remembered.
#[derive(Clone, Debug, PartialEq)]
pub enum Act {
    /// Only the audit records.
    Note,
    PutCode(CodeRow),
    /// Spends the code and opens the family, both or neither. [`Done::Spent`] when it was spent before.
    SpendCode {
        hash: String,
        now: u64,
        family: Family,
    },
    /// [`Done::Lost`] unless the registry has this version and keeps it until the deed is done: what was
    /// decided on it still holds when the rest is written down.
    Unmoved {
        version: u64,
    },
    OpenFamily(Family),
    /// Remembers an assertion until `exp`, and opens the family with it. [`Done::Spent`] when it was used
    /// before.
    UseAssertion {
        client_id: String,
        digest: String,
        exp: u64,
        family: Option<Family>,
    },
    /// Compare and set: [`Done::Lost`] unless the family is live and still holds `n` and `secret`.
    Rotate(Rotation),
    /// Ends a family for ever and writes its record. Ending it twice is fine.
    EndFamily {
        id: String,
        reason: String,
        now: u64,
        exp: u64,
    },
    /// Ends one token.
    EndToken {
        jti: [u8; 16],
        exp: u64,
    },
    /// Ends everything signed by a key, and the key itself.
    EndKey {
        kid: String,
        exp: u64,
    },
    /// Raises a generation: everything issued so far to `id` ends.
    Raise {
        scope: Scope,
        id: String,
        exp: u64,
    },
    /// Changes the registry, if it still has the version that was expected; else [`Done::Lost`]. The
    /// version grows, and the directory of this process shows the change before the answer.
    Amend(Amendment),
    /// Begins a new epoch of the feed, so many epochs and numbers further, and lifts every generation so far above
    /// the highest: whatever a lost part of the books gave out, nobody is given again, and all that was
    /// issued so far ends. Neither the epoch nor a generation is then below `least`. See `recovery.rs`.
    Promote {
        epochs: u64,
        numbers: u64,
        generations: u32,
        least: u32,
    },
    /// [`Done::Lost`] unless the person still has the session's generation: what has ended since the password was
    /// looked at has ended this, too.
    OpenSession(Session),
    EndSession {
        hash: String,
        now: u64,
    },
    /// Something about operators and their sessions.
    Staff(StaffAct),
    /// Something about the second factor of a person.
    Factor(FactorAct),
    /// Something about invitations to people.
    Invitation(InvitationAct),
    /// Changes the signing keys, if nobody has changed them meanwhile; else [`Done::Lost`]. A key that has
    /// ended stays so.
    Keys(KeyChange),
    /// Closes every login of a person, so that nothing is refreshed any more. Their tokens end by the
    /// generation that is raised beside it.
    CloseLogins {
        person: String,
        reason: String,
        now: u64,
    },
    /// Ends the browser sessions of a person, or everybody's.
    EndSessions {
        person: Option<String>,
        now: u64,
    },
    /// Keeps a person from signing in and from being stood for.
    DisablePerson {
        id: String,
    },
    PutProposal(Proposal),
    /// Compare and set: [`Done::Lost`] unless the proposal is open, unexpired and unaltered.
    Settle(Settlement),
    /// Withdraws all open proposals of somebody; [`Done::Lost`] unless they are exactly those that were named.
    Orphan(Orphaning),
    /// [`Done::Lost`] unless glass was broken there and nobody has acknowledged it.
    Acknowledge(Acknowledgement),
    /// Something about access reviews.
    Review(ReviewAct),
    /// How far an unused account has come: [`Done::Lost`] unless it is still as it was.
    Idle(IdleStep),
    /// The audit log is told how many rows of a table went because their time was over: [`Done::Lost`] when
    /// somebody else has told it.
    TellGone {
        table: String,
        gone: u64,
        at: u64,
    },
    /// All of it, in this order, or nothing: when one comes to [`Done::Lost`] or [`Done::Spent`], so does
    /// the whole.
    Several(Vec<Act>),
}

/// What came of it.
#[derive(Clone, Debug, PartialEq)]
pub enum Done {
    /// Done. `position` is where the feed stands when the act wrote records.
    Committed { position: Option<Position> },
    /// It was used before. Of a code: the family that it opened then.
    Spent { family: Option<String> },
    /// Somebody else was faster, or the family has ended; read it again.
    Lost,
}

/// A place in a feed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Position {
    pub epoch: u64,
    pub seq: u64,
}

impl std::fmt::Display for Position {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(out, "{}.{}", self.epoch, self.seq)
    }
}

/// A line of the feed with its place.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct LogRow {
    pub position: Position,
    /// Milliseconds, read before the transaction began (design 1.2 rule 1).
    pub as_of_ms: u64,
    pub record: Record,
}

/// An authorization code, by its hash.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct CodeRow {
    /// base64url SHA-256 of the code.
    pub hash: String,
    pub client_id: String,
    pub person: String,
    pub redirect_uri: String,
    /// Whether the authorization request named it, so that the token request must too.
    pub redirect_named: bool,
    pub scope: String,
    /// PKCE S256 challenge (RFC 7636 section 4.2).
    pub challenge: Option<String>,
    pub gv: Generations,
    pub auth_time: u64,
    /// Of the session; unknown in rows from before it was kept.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub proved: Option<Proved>,
    pub expires_at: u64,
    /// The family that the first use opened.
    pub spent_by: Option<String>,
}

/// How a person behind a login was proved.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Proved {
    Password,
    /// And a code of a second factor, or a recovery code.
    PasswordAndCode,
}

impl Proved {
    /// Its words in a token (RFC 8176 section 2).
    pub fn methods(self) -> &'static [&'static str] {
        match self {
            Self::Password => &["pwd"],
            Self::PasswordAndCode => &["pwd", "otp", "mfa"],
        }
    }
}

/// A login: one row however often it is refreshed.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Family {
    /// 22 characters, the `sid` of its tokens.
    pub id: String,
    pub client_id: String,
    /// Organization id.
    pub organization: String,
    pub owner: Option<(OwnerKind, String)>,
    pub scope: String,
    /// Whether the secret was sent when it began.
    pub confidential: bool,
    /// The chain of actors, as JSON, when somebody acts for the owner.
    pub act: Option<String>,
    pub custom_claim: Option<String>,
    /// Role names as of the login, for access reviews; every refresh reads the roles of its own day.
    pub roles: Vec<String>,
    pub gv: Generations,
    pub auth_time: u64,
    /// How the owner was, where it was here that they were.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub proved: Option<Proved>,
    /// How often it has rotated.
    pub n: u64,
    /// base64url keyed hash of the current secret.
    pub secret: String,
    /// The one before, for an honest retry.
    pub previous: Option<String>,
    /// The current secret sealed under the one before (design 3.2).
    pub sealed: Option<String>,
    pub rotated_at: u64,
    /// Ends when unused until then, seconds.
    pub idle_exp: u64,
    /// Ends then, however much it is used, seconds.
    pub abs_exp: u64,
    pub ended_at: Option<u64>,
    pub end_reason: Option<String>,
}

/// Compare and set of a family's secret.
#[derive(Clone, Debug, PartialEq)]
pub struct Rotation {
    pub family: String,
    pub n: u64,
    pub secret: String,
    pub next: String,
    pub sealed: String,
    pub now: u64,
    pub idle_exp: u64,
}

/// A browser session at the login page.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Session {
    /// base64url SHA-256 of the cookie.
    pub hash: String,
    pub person: String,
    pub generation: u32,
    pub auth_time: u64,
    /// Unknown in rows from before it was kept.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub proved: Option<Proved>,
    pub expires_at: u64,
    pub ended_at: Option<u64>,
}

/// The second factor of a person.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PersonFactor {
    pub person: String,
    /// Sealed for the person.
    pub seed: String,
    /// The last time step whose code was taken: none is taken twice.
    pub last_step: u64,
    /// When it was enrolled, seconds.
    pub since: u64,
    /// Keyed hashes of the recovery codes that are left.
    pub recovery: Vec<String>,
}

/// What a deed does to the second factor of a person.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FactorAct {
    /// [`Done::Lost`] when there is one already.
    Enrol(PersonFactor),
    /// [`Done::Spent`] when it was taken before, or there is none.
    Take { person: String, factor: Taken },
    /// Takes it away with its recovery codes. Twice is fine.
    Drop { person: String },
}

/// Who did what, for whom, from where, and what came of it. Never a token, a code or a secret.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct AuditRecord {
    /// Seconds.
    pub at: u64,
    /// `token.issued`, `token.refused`, `family.reused`, `revoked`, ...
    pub event: String,
    /// Organization id.
    pub organization: Option<String>,
    pub client_id: Option<String>,
    pub subject: Option<String>,
    /// Subjects of the actors, nearest first.
    pub actors: Vec<String>,
    pub grant: Option<String>,
    pub jti: Option<String>,
    pub sid: Option<String>,
    pub scope: Option<String>,
    /// Client address, as far as it is trusted.
    pub address: Option<String>,
    pub request_id: Option<String>,
    /// An error code or a reason.
    pub reason: Option<String>,
    /// More, as JSON; names rather than values.
    pub detail: Option<String>,
}
