//! Coming in: password and second factor become a session, and the session's token proves an operator at every
//! call. Every reason to be turned away sounds alike; the audit knows which it was.

use super::{Denial, Operator, OperatorSession, StaffAct, StaffBook, TOKEN_PREFIX, folded, second_factor};
use crate::ask::Origin;
use crate::audit;
use crate::desk::Desk;
use crate::ledger::{Act, AuditRecord, Deed, Done};
use crate::limits::{Account, Attempt};
use crate::refusal::{Refusal, Trouble};
use crate::secret::{Secret, hash_random};

/// No address is longer (RFC 5321 section 4.5.3.1.3).
const LONGEST_ADDRESS: usize = 254;
/// Uses are noted at most so often, seconds, unless the place changes.
const NOTED: u64 = 60;

/// How long sessions last, seconds.
#[derive(Clone, Copy, Debug)]
pub struct SessionTerms {
    /// Unused.
    pub idle: u64,
    /// However much it is used.
    pub absolute: u64,
    /// Whether accounts of a demonstration come in.
    pub demo: bool,
}

/// What somebody shows at the door.
#[derive(Clone, Debug)]
pub struct Credentials {
    pub email: String,
    pub password: Secret,
    /// Of the authenticator, or a recovery code.
    pub code: Secret,
}

/// Somebody has come in.
#[derive(Clone, Debug)]
pub struct Entry {
    /// Handed out once.
    pub token: Secret,
    pub session: OperatorSession,
    pub operator: Operator,
}

/// An operator who was proved by a live session; there is no other way to have one.
#[derive(Clone, Debug)]
pub struct Standing {
    operator: Operator,
    session: OperatorSession,
}

impl Standing {
    pub fn operator(&self) -> &Operator {
        &self.operator
    }

    pub fn session(&self) -> &OperatorSession {
        &self.session
    }
}

/// Who lets operators in.
pub struct Porter<'a> {
    pub desk: &'a Desk,
    pub staff: &'a dyn StaffBook,
    pub terms: SessionTerms,
}

impl Porter<'_> {
    /// Signs in. Tries are counted as those of people are: each place by itself, all strangers together, and
    /// over all servers; a place that the account has come in from is not held up by what strangers do.
    ///
    /// # Errors
    /// [`Denial::Unknown`] in the same words for every reason, [`Denial::Later`], or trouble.
    pub async fn sign_in(&self, shown: Credentials, origin: &Origin) -> Result<Entry, Denial> {
        self.desk.limits.visit(self.desk, origin).map_err(later)?;
        let email = folded(&shown.email);
        if email.len() > LONGEST_ADDRESS {
            return Err(turned_away());
        }
        let attempt = Attempt::begin(self.desk, Account::Operator(&email), origin).await.map_err(later)?;
        let staff = self.staff.staff().await?;
        let operator = staff.by_email(&email);
        match self.try_sign_in(operator, shown, attempt, origin).await? {
            Ok(entry) => Ok(entry),
            Err(reason) => {
                let mut record = audit::event("operator.login.refused", self.desk.now(), origin);
                // What a stranger types as an address may be a password, so it is kept only when it is ours.
                record.subject = operator.map(Operator::actor);
                record.reason = Some(reason.into());
                self.desk.ledger.commit(Deed::new(Act::Note, record)).await?;
                Err(turned_away())
            }
        }
    }

    /// The reason for our own eyes, when it is no.
    async fn try_sign_in(
        &self,
        operator: Option<&Operator>,
        shown: Credentials,
        attempt: Attempt<'_>,
        origin: &Origin,
    ) -> Result<Result<Entry, &'static str>, Denial> {
        let phc = operator.map(|operator| operator.password.clone());
        let (fits, attempt) = attempt.fits(phc, shown.password).await?;
        let Some(operator) = operator else { return Ok(Err("unknown account")) };
        if !fits {
            return Ok(Err("wrong password"));
        }
        if operator.disabled || operator.demo && !self.terms.demo {
            return Ok(Err("disabled account"));
        }
        // Said in the same words as a wrong code, or it would tell that the password is right.
        let Ok(codes) = Attempt::begin(self.desk, Account::Codes(&operator.id), origin).await else {
            return Ok(Err("too many wrong codes"));
        };
        let Some(factor) = second_factor::taken(self.desk, operator.into(), shown.code.expose())? else {
            return Ok(Err("wrong second factor"));
        };
        let (token, session) = self.session_for(operator, origin);
        let mut record = audit::event("operator.login", self.desk.now(), origin);
        record.actors = vec![operator.actor()];
        record.sid = Some(session.id.clone());
        let act = StaffAct::SignIn { factor, session: session.clone() };
        match self.desk.ledger.commit(Deed::new(Act::Staff(act), record)).await? {
            Done::Committed { .. } => {
                // Not before: a count that is forgotten with the right password would tell that it is right.
                // There is no browser here that could keep the device's cookie.
                attempt.was_right().await;
                codes.was_right().await;
                Ok(Ok(Entry { token, session, operator: operator.clone() }))
            }
            Done::Spent { .. } => Ok(Err("second factor used before")),
            Done::Lost => Ok(Err("the account changed meanwhile")),
        }
    }

    fn session_for(&self, operator: &Operator, origin: &Origin) -> (Secret, OperatorSession) {
        let token = Secret::from(format!("{TOKEN_PREFIX}{}", self.desk.token()));
        let now = self.desk.now();
        let session = OperatorSession {
            id: self.desk.id_text(),
            hash: hash_random(token.expose()),
            operator: operator.id.clone(),
            began_at: now,
            last_used: now,
            expires_at: now + self.terms.absolute,
            addresses: origin.address.iter().cloned().collect(),
            ended_at: None,
        };
        (token, session)
    }

    /// Who this token's session belongs to, and notes its use.
    ///
    /// # Errors
    /// [`Denial::Unknown`] for anything but a live session of somebody who may come in, or trouble.
    pub async fn prove(&self, token: &str, origin: &Origin) -> Result<Standing, Denial> {
        if !token.starts_with(TOKEN_PREFIX) {
            return Err(not_signed_in());
        }
        let found = self.staff.operator_session(&hash_random(token)).await?;
        let Some((session, operator)) = found.filter(|(session, who)| self.is_live(session, who)) else {
            return Err(not_signed_in());
        };
        let session = self.noted(session, &operator, origin).await?;
        Ok(Standing { operator, session })
    }

    fn is_live(&self, session: &OperatorSession, operator: &Operator) -> bool {
        let now = self.desk.now();
        session.ended_at.is_none()
            && now < session.expires_at
            && now < session.last_used.saturating_add(self.terms.idle)
            && !operator.disabled
            && (self.terms.demo || !operator.demo)
    }

    async fn noted(
        &self,
        mut session: OperatorSession,
        operator: &Operator,
        origin: &Origin,
    ) -> Result<OperatorSession, Denial> {
        let now = self.desk.now();
        let moved = origin.address.is_some() && session.addresses.last() != origin.address.as_ref();
        if !moved && now < session.last_used + NOTED {
            return Ok(session);
        }
        let elsewhere = origin.address.as_ref().is_some_and(|place| !session.addresses.contains(place));
        session.used(now, origin.address.as_deref());
        let mut deed = Deed { act: Act::Staff(StaffAct::Touch(session.clone())), audit: Vec::new() };
        if elsewhere {
            let mut record = audit::event("operator.session.elsewhere", now, origin);
            record.actors = vec![operator.actor()];
            record.sid = Some(session.id.clone());
            deed.audit.push(record);
        }
        match self.desk.ledger.commit(deed).await? {
            Done::Committed { .. } => Ok(session),
            Done::Lost | Done::Spent { .. } => Err(not_signed_in()),
        }
    }

    /// Ends a session; `record` says who did it.
    ///
    /// # Errors
    /// Trouble; then it has not ended.
    pub async fn end(&self, session: &str, record: AuditRecord) -> Result<(), Trouble> {
        let act = StaffAct::EndSession { id: session.into(), now: self.desk.now() };
        self.desk.ledger.commit(Deed::new(Act::Staff(act), record)).await.map(drop)
    }
}

pub(super) fn later(refusal: Refusal) -> Denial {
    Denial::Later(refusal.limited.map_or(1, |limited| limited.retry_after))
}

fn turned_away() -> Denial {
    Denial::Unknown("The address, the password or the code is wrong, or the code was used before; wait for the next code and try again.".into())
}

fn not_signed_in() -> Denial {
    Denial::Unknown(
        "Sign in again (portcullis login): this needs the token of a live operator session.".into(),
    )
}
