//! Operators' accounts: making, changing and closing them. There is always an owner who can come in, and
//! nobody changes their own rights.

use super::{
    Denial, Operator, OperatorRole, SecondFactor, Staff, StaffAct, StaffBook, folded, recovery_codes,
};
use crate::desk::Desk;
use crate::ledger::{Act, AuditRecord, Deed, Done};
use crate::proposals::orphaned;
use crate::secret::Secret;

/// How often the list may change under our hands before we say so.
pub(super) const ATTEMPTS: usize = 3;
/// RFC 5321 section 4.5.3.1.3.
const LONGEST_ADDRESS: usize = 254;

/// Somebody who is to become an operator.
#[derive(Clone, Debug)]
pub struct Newcomer {
    pub email: String,
    pub roles: Vec<OperatorRole>,
    pub password: Secret,
    /// A seed that is known already, for a demonstration.
    pub demo_seed: Option<Vec<u8>>,
}

/// An account that was made, with what is shown once.
#[derive(Debug)]
pub struct Enrolled {
    pub operator: Operator,
    /// For an authenticator application.
    pub otpauth: Secret,
    pub recovery: Vec<Secret>,
}

/// Makes an account. `record` says who does it and from where.
///
/// # Errors
/// [`Denial::Invalid`] naming the member, [`Denial::Conflict`] when the address has an account, or trouble.
pub async fn enrol(
    desk: &Desk,
    book: &dyn StaffBook,
    newcomer: Newcomer,
    record: AuditRecord,
) -> Result<Enrolled, Denial> {
    let email = folded(&newcomer.email);
    check_address(&email)?;
    if newcomer.demo_seed.is_none() {
        let names = email.split('@').map(str::to_owned).collect();
        if let Some(why) = desk.slow.password_weakness(newcomer.password.clone(), names).await? {
            return Err(Denial::invalid("password", why));
        }
    }
    let id = desk.id_text();
    let factor = match &newcomer.demo_seed {
        Some(seed) => SecondFactor::of(seed, &email)?,
        None => SecondFactor::new(desk, &email)?,
    };
    let (shown, kept) = recovery_codes(desk, &id);
    let operator = Operator {
        password: desk.slow.password_hash(newcomer.password).await?,
        seed: factor.sealed(desk, &id),
        recovery: kept,
        demo: newcomer.demo_seed.is_some(),
        ..Operator::new(id, email, tidy(&newcomer.roles)?, desk.now())
    };
    let put = |staff: &Staff| match staff.by_email(&operator.email) {
        Some(_) => Err(Denial::conflict("There is an operator with this address.")),
        None => Ok((operator.clone(), false)),
    };
    change(desk, book, "operator.created", record, put).await?;
    Ok(Enrolled { operator, otpauth: factor.url()?, recovery: shown })
}

/// Closes or opens an account; closing ends its sessions.
///
/// # Errors
/// [`Denial::Missing`], [`Denial::Conflict`] for oneself and the last owner, or trouble.
pub async fn set_disabled(
    desk: &Desk,
    book: &dyn StaffBook,
    id: &str,
    disabled: bool,
    record: AuditRecord,
) -> Result<Operator, Denial> {
    let event = if disabled { "operator.disabled" } else { "operator.enabled" };
    let actors = record.actors.clone();
    let changed = |staff: &Staff| {
        let after = Operator { disabled, ..another(staff, id, &actors)?.clone() };
        keeps_an_owner(staff, &after)?;
        // Opening ends them as well: one may have begun in the moment of closing.
        Ok((after, true))
    };
    change(desk, book, event, record, changed).await
}

/// The account as it is once somebody has closed it; nothing when it is closed already or gone.
///
/// # Errors
/// [`Denial::Conflict`] for the last owner.
pub(crate) fn closed(staff: &Staff, id: &str, (by, now): (&str, u64)) -> Result<Option<Operator>, Denial> {
    let Some(open) = staff.by_id(id).filter(|it| !it.disabled) else { return Ok(None) };
    let mut after = Operator { disabled: true, ..open.clone() };
    after.was_changed(by, now);
    keeps_an_owner(staff, &after)?;
    Ok(Some(after))
}

/// Gives an account these roles and no others.
///
/// # Errors
/// [`Denial::Missing`], [`Denial::Conflict`] for oneself and the last owner, [`Denial::Invalid`] without a
/// role, or trouble.
pub async fn set_roles(
    desk: &Desk,
    book: &dyn StaffBook,
    id: &str,
    roles: &[OperatorRole],
    record: AuditRecord,
) -> Result<Operator, Denial> {
    let roles = tidy(roles)?;
    let actors = record.actors.clone();
    let words: Vec<_> = roles.iter().map(|role| role.as_str()).collect();
    let record = AuditRecord { scope: Some(words.join(" ")), ..record };
    let changed = |staff: &Staff| {
        let after = Operator { roles: roles.clone(), ..another(staff, id, &actors)?.clone() };
        keeps_an_owner(staff, &after)?;
        Ok((after, false))
    };
    change(desk, book, "operator.roles", record, changed).await
}

/// Decides on the list as it is, and puts the outcome in if the list has not changed since.
async fn change(
    desk: &Desk,
    book: &dyn StaffBook,
    event: &str,
    record: AuditRecord,
    decide: impl Fn(&Staff) -> Result<(Operator, bool), Denial>,
) -> Result<Operator, Denial> {
    for _ in 0..ATTEMPTS {
        let staff = book.staff().await?;
        let (mut operator, ends) = decide(&staff)?;
        let by = record.actors.first().and_then(|actor| actor.strip_prefix("operator:"));
        if let Some(by) = by {
            operator.was_changed(by, desk.now());
        }
        let audit = AuditRecord { event: event.into(), subject: Some(operator.actor()), ..record.clone() };
        let put = StaffAct::Put {
            expected: staff.version,
            operator: Box::new(operator.clone()),
            end_sessions: ends.then(|| desk.now()),
        };
        let (orphaning, mut noted) = orphaned(desk, &operator, &audit, None).await?;
        noted.insert(0, audit);
        let acts = [Some(Act::Staff(put)), orphaning].into_iter().flatten().collect();
        let deed = Deed { act: Act::Several(acts), audit: noted };
        if let Done::Committed { .. } = desk.ledger.commit(deed).await? {
            return Ok(operator);
        }
    }
    Err(Denial::conflict("The operators kept changing; try again."))
}

/// Somebody other than the one who asks.
fn another<'a>(staff: &'a Staff, id: &str, actors: &[String]) -> Result<&'a Operator, Denial> {
    let found = staff.by_id(id).ok_or_else(|| Denial::missing("There is no such operator."))?;
    match actors.contains(&found.actor()) {
        true => Err(Denial::conflict("Nobody changes their own account here; ask another owner.")),
        false => Ok(found),
    }
}

pub(super) fn keeps_an_owner(staff: &Staff, after: &Operator) -> Result<(), Denial> {
    let owns = |who: &Operator| !who.disabled && !who.awaits_factor && who.may(&[OperatorRole::Owner]);
    let others = staff.operators.iter().any(|who| who.id != after.id && owns(who));
    match others || owns(after) {
        true => Ok(()),
        false => Err(Denial::conflict("This is the last owner; make another one first.")),
    }
}

pub(super) fn tidy(roles: &[OperatorRole]) -> Result<Vec<OperatorRole>, Denial> {
    let mut roles = roles.to_vec();
    roles.sort_unstable();
    roles.dedup();
    match roles.is_empty() {
        true => Err(Denial::invalid("roles", "Give at least one of operator, approver, auditor, owner.")),
        false => Ok(roles),
    }
}

pub(crate) fn check_address(email: &str) -> Result<(), Denial> {
    let parts = email.split_once('@').filter(|(name, host)| !name.is_empty() && !host.is_empty());
    let plain = !email.chars().any(|c| c.is_whitespace() || c.is_control());
    match parts.is_some() && plain && email.len() <= LONGEST_ADDRESS {
        true => Ok(()),
        false => Err(Denial::invalid("email", "Give an e-mail address, such as ann@example.com.")),
    }
}
