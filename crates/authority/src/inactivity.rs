//! Accounts of people that nobody uses: whoever is told of records is told first, then the account is closed, and in
//! the end what is personal about it is erased. Whoever an organization cannot do without is left, and it is said.
//!
//! When somebody was there last, the audit log says: every token and every sign-in leaves a record in the transaction
//! that gives it. When to look is decided by whoever calls [`Caretaker::tend`]; see decision 0031.

use async_trait::async_trait;
use serde_json::json;

use crate::erasure::{self, Forgotten};
use crate::ledger::{Act, AuditRecord, Deed, Done};
use crate::offboarding::Departure;
use crate::operators::Denial;
use crate::people::{Picture, closing};
use crate::proposals::Room;
use crate::provisioning::change::Amendment;
use crate::refusal::Trouble;
use crate::registry::{Person, Who};

/// Why, in records.
const REASON: &str = "inactivity";
/// Somebody who was held back is looked at again after so long, seconds.
const PATIENCE: u64 = 86_400;
/// Accounts that are erased in one go.
const ERASED_AT_ONCE: usize = 10;

/// The periods, seconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct IdleTerms {
    /// Without use for so long an account is closed.
    pub closed_after: u64,
    /// It is told so long before.
    pub warned_before: u64,
    /// So long after it was closed it is erased, if ever.
    pub erased_after: Option<u64>,
}

/// How far an account has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum IdleState {
    Used,
    Warned,
    Closed,
    Erased,
}

/// What is known of an account's use.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Idle {
    pub person: String,
    /// When it was used last as far as somebody has looked, or when it was seen first.
    pub used_at: u64,
    pub state: IdleState,
    /// When it came to this state.
    pub since: u64,
    /// When it had to be held back.
    pub held_at: Option<u64>,
}

/// Which accounts are to be looked at: those that came to their state, or were used, no later than this, and closed
/// ones that somebody has opened again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct IdleDue {
    pub used: u64,
    pub warned: u64,
    pub closed: Option<u64>,
    /// Held back no later than this, or never.
    pub held: u64,
}

/// Another picture of an account's use in the place of this one, if it is still there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IdleStep {
    pub before: Idle,
    /// None: the account is gone.
    pub after: Option<Idle>,
}

/// Where it is kept who uses their account.
#[async_trait]
pub trait IdleBook: Send + Sync {
    /// Begins to watch at most so many of those whom nobody watches, as if they had been used now. How many.
    async fn watch(&self, now: u64, most: usize) -> Result<usize, Trouble>;
    /// Those whose time may have come.
    async fn idle(&self, due: &IdleDue, most: usize) -> Result<Vec<Idle>, Trouble>;
    /// When somebody was there last, by the audit log.
    async fn last_use(&self, person: &str) -> Result<Option<u64>, Trouble>;
    /// Erases what the audit log and reviews hold on somebody beside the id. Doing it twice is fine.
    async fn forget(&self, who: &Forgotten) -> Result<usize, Trouble>;
}

/// Looks after accounts at a moment.
pub struct Caretaker<'a> {
    pub room: Room<'a>,
    pub book: &'a dyn IdleBook,
    pub terms: IdleTerms,
    /// Seconds.
    pub now: u64,
}

/// What is to be done about an account.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Next {
    Nothing,
    /// It was used at this time.
    Used(u64),
    Warn,
    Close,
    Erase,
}

impl IdleTerms {
    /// Who is to be looked at.
    fn due(&self, now: u64) -> IdleDue {
        IdleDue {
            used: now.saturating_sub(self.closed_after.saturating_sub(self.warned_before)),
            warned: now.saturating_sub(self.warned_before),
            closed: self.erased_after.map(|after| now.saturating_sub(after)),
            held: now.saturating_sub(PATIENCE),
        }
    }

    /// What is to be done about an account that was used last at this time, and is closed or not.
    fn next(&self, idle: &Idle, last_use: Option<u64>, disabled: bool, now: u64) -> Next {
        let used = last_use.map_or(idle.used_at, |at| at.max(idle.used_at));
        let quiet = now.saturating_sub(used);
        match idle.state {
            IdleState::Used if quiet >= self.closed_after.saturating_sub(self.warned_before) => Next::Warn,
            IdleState::Used => Next::Used(used),
            IdleState::Warned if used > idle.since => Next::Used(used),
            // The whole warning, also where the settings have become shorter meanwhile.
            IdleState::Warned if quiet >= self.closed_after && now >= idle.since + self.warned_before => {
                Next::Close
            }
            // The settings have become longer since it was told.
            IdleState::Warned if quiet < self.closed_after.saturating_sub(self.warned_before) => {
                Next::Used(used)
            }
            // Somebody has opened it again, and gets the whole time.
            IdleState::Closed if !disabled => Next::Used(now),
            IdleState::Closed if self.erased_after.is_some_and(|after| now >= idle.since + after) => {
                Next::Erase
            }
            _ => Next::Nothing,
        }
    }
}

impl Caretaker<'_> {
    /// Does what is due about at most so many accounts. True when there may be more.
    ///
    /// # Errors
    /// Trouble; whoever was done before it is done.
    pub async fn tend(&self, most: usize) -> Result<bool, Trouble> {
        let due = self.book.idle(&self.terms.due(self.now), most).await?;
        let (mut moved, mut erased) = (0, 0);
        for idle in &due {
            let has_moved = self.tend_one(idle).await?;
            moved += usize::from(has_moved);
            erased += usize::from(has_moved && idle.state == IdleState::Closed);
            // To erase reads the whole log, and what else is over waits meanwhile.
            if erased == ERASED_AT_ONCE {
                return Ok(false);
            }
        }
        Ok(due.len() == most && moved > 0)
    }

    /// True when something has changed about it.
    async fn tend_one(&self, idle: &Idle) -> Result<bool, Trouble> {
        let Some(person) = self.room.desk.registry.person(Who::Id(&idle.person)).await? else {
            let gone = Act::Idle(IdleStep { before: idle.clone(), after: None });
            return self.done(vec![gone], Vec::new()).await;
        };
        let last_use = self.book.last_use(&idle.person).await?;
        match self.terms.next(idle, last_use, person.disabled, self.now) {
            Next::Nothing => Ok(false),
            Next::Used(at) => {
                let after = Idle { used_at: at, ..idle.come_to(IdleState::Used, self.now) };
                self.done(vec![step(idle, after)], Vec::new()).await
            }
            Next::Warn => {
                let after = idle.come_to(IdleState::Warned, self.now);
                let after =
                    Idle { used_at: last_use.map_or(idle.used_at, |at| at.max(idle.used_at)), ..after };
                // Of whoever is closed already, there is something to be told where it will be erased.
                let told = (!person.disabled || self.terms.erased_after.is_some())
                    .then(|| self.record("person.inactive.warned", &person, &after));
                self.done(vec![step(idle, after)], told.into_iter().collect()).await
            }
            Next::Close => self.or_hold(idle, &person, self.close(idle, &person).await).await,
            Next::Erase => self.or_hold(idle, &person, self.erase(idle, &person).await).await,
        }
    }

    async fn close(&self, idle: &Idle, person: &Person) -> Result<bool, Denial> {
        let onward = step(idle, idle.come_to(IdleState::Closed, self.now));
        if person.disabled {
            return Ok(self.done(vec![onward], Vec::new()).await?);
        }
        let seen = Picture::of(self.room.desk, &person.id).await?;
        seen.must_orphan_nobody()?;
        let changes = closing(self.room.desk, &seen.person, "not used for long");
        let amend = Act::Amend(Amendment { expected: seen.version(), changes });
        let told = self.record("person.disabled", person, idle);
        Ok(self.done(vec![onward, amend], vec![told]).await?)
    }

    /// The log forgets first: when the server ends in between, it is done once more. That may take long, so what is
    /// erased with the account, and that it is still closed, is looked at again afterwards.
    async fn erase(&self, idle: &Idle, person: &Person) -> Result<bool, Denial> {
        let onward = step(idle, idle.come_to(IdleState::Erased, self.now));
        if erasure::is_erased(person) {
            return Ok(self.done(vec![onward], Vec::new()).await?);
        }
        let departure = self.departure(&person.id).await?;
        let Some(departure) = departure else { return Ok(false) };
        let resources = departure.places.iter().map(|place| place.id.clone());
        let resources = std::iter::once(person.id.clone()).chain(resources).collect();
        let rows = self.book.forget(&Forgotten { person: person.id.clone(), resources }).await?;
        let Some(departure) = self.departure(&person.id).await? else { return Ok(false) };
        let mut acts = vec![onward];
        acts.extend(erasure::acts(&departure, self.room, REASON));
        let forgotten = AuditRecord {
            detail: Some(json!({ "rows": rows }).to_string()),
            ..self.record("audit.erased", person, idle)
        };
        Ok(self.done(acts, vec![self.record("person.erased", person, idle), forgotten]).await?)
    }

    /// What goes with an account that is closed, at a version of the registry; none when it is closed no more.
    async fn departure(&self, id: &str) -> Result<Option<Departure>, Denial> {
        let registry = &self.room.desk.registry;
        let Some(person) = registry.person(Who::Id(id)).await?.filter(|it| it.disabled) else {
            return Ok(None);
        };
        let departure = Departure::of(self.room, person).await?;
        departure.must_orphan_nobody()?;
        // The account was read before the version was.
        let now = registry.person(Who::Id(id)).await?;
        Ok(now
            .is_some_and(|it| it.disabled && it.generation == departure.person.generation)
            .then_some(departure))
    }

    /// Whoever cannot be done without stays, and it is said once.
    async fn or_hold(
        &self,
        idle: &Idle,
        person: &Person,
        outcome: Result<bool, Denial>,
    ) -> Result<bool, Trouble> {
        match outcome {
            Ok(done) => Ok(done),
            Err(Denial::Broken(trouble)) => Err(trouble),
            Err(_) => {
                let after = Idle { held_at: Some(self.now), ..idle.clone() };
                let first = idle.held_at.is_none().then(|| self.record("person.inactive.held", person, idle));
                self.done(vec![step(idle, after)], first.into_iter().collect()).await
            }
        }
    }

    fn record(&self, event: &str, person: &Person, idle: &Idle) -> AuditRecord {
        AuditRecord {
            at: self.now,
            event: event.into(),
            subject: Some(person.id.clone()),
            organization: person.organization.clone(),
            reason: Some(REASON.into()),
            detail: Some(json!({ "used_at": idle.used_at }).to_string()),
            ..AuditRecord::default()
        }
    }

    async fn done(&self, acts: Vec<Act>, audit: Vec<AuditRecord>) -> Result<bool, Trouble> {
        let deed = Deed { act: Act::Several(acts), audit };
        Ok(matches!(self.room.desk.ledger.commit(deed).await?, Done::Committed { .. }))
    }
}

impl Idle {
    fn come_to(&self, state: IdleState, now: u64) -> Self {
        Self { state, since: now, held_at: None, ..self.clone() }
    }
}

impl IdleState {
    const ALL: [Self; 4] = [Self::Used, Self::Warned, Self::Closed, Self::Erased];

    pub fn as_str(self) -> &'static str {
        match self {
            Self::Used => "used",
            Self::Warned => "warned",
            Self::Closed => "closed",
            Self::Erased => "erased",
        }
    }

    /// The state with this word.
    pub fn from_word(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|state| state.as_str() == word)
    }
}

fn step(before: &Idle, after: Idle) -> Act {
    Act::Idle(IdleStep { before: before.clone(), after: Some(after) })
}

#[cfg(test)]
mod tests {
    use super::*;

    const TERMS: IdleTerms = IdleTerms { closed_after: 100, warned_before: 30, erased_after: Some(50) };

    fn idle(state: IdleState, used_at: u64, since: u64) -> Idle {
        Idle { person: "ann".into(), used_at, state, since, held_at: None }
    }

    #[test]
    fn an_account_is_warned_closed_and_erased_in_this_order() {
        let used = idle(IdleState::Used, 1000, 1000);
        assert_eq!(TERMS.next(&used, None, false, 1069), Next::Used(1000));
        assert_eq!(TERMS.next(&used, None, false, 1070), Next::Warn);
        let warned = idle(IdleState::Warned, 1000, 1070);
        assert_eq!(TERMS.next(&warned, None, false, 1099), Next::Nothing);
        assert_eq!(TERMS.next(&warned, None, false, 1100), Next::Close);
        let closed = idle(IdleState::Closed, 1000, 1100);
        assert_eq!(TERMS.next(&closed, None, true, 1149), Next::Nothing);
        assert_eq!(TERMS.next(&closed, None, true, 1150), Next::Erase);
        assert_eq!(TERMS.next(&idle(IdleState::Erased, 1000, 1150), None, true, 9999), Next::Nothing);
    }

    #[test]
    fn whoever_comes_back_has_the_whole_time() {
        assert_eq!(TERMS.next(&idle(IdleState::Used, 1000, 1000), Some(1060), false, 1070), Next::Used(1060));
        assert_eq!(
            TERMS.next(&idle(IdleState::Warned, 1000, 1070), Some(1080), false, 1100),
            Next::Used(1080)
        );
        assert_eq!(TERMS.next(&idle(IdleState::Closed, 1000, 1100), None, false, 1150), Next::Used(1150));
    }

    #[test]
    fn nobody_is_closed_without_the_whole_warning() {
        let late = idle(IdleState::Warned, 10, 1070);
        assert_eq!(TERMS.next(&late, None, false, 1099), Next::Nothing);
        assert_eq!(TERMS.next(&late, None, false, 1100), Next::Close);
    }

    #[test]
    fn without_a_period_nobody_is_erased() {
        let terms = IdleTerms { erased_after: None, ..TERMS };
        assert_eq!(terms.next(&idle(IdleState::Closed, 0, 0), None, true, u64::MAX), Next::Nothing);
        assert_eq!(terms.due(1000).closed, None);
    }
}
