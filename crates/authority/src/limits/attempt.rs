//! One try at somebody's password. It is counted when it begins, so that many at once are many, and taken back
//! when it was right; whether the account exists makes no difference.
//!
//! Strangers can slow down only themselves and each other: each address has its own count for each account,
//! and what strangers do together is bounded by a much higher one, which does not hold for addresses and
//! devices that the account has come in from before.

use super::device::Device;
use super::meter::Key;
use super::{Allowance, Limits, PASSWORDS, PASSWORDS_IN_ALL, PASSWORDS_LONG, micros, place};
use crate::ask::Origin;
use crate::desk::Desk;
use crate::refusal::{Refusal, Trouble};
use crate::registry::{Person, Who};
use crate::secret::Secret;

const SENTENCE: &str = "Too many attempts to sign in to this account from here";

/// Whose password.
#[derive(Clone, Copy, Debug)]
pub enum Account<'a> {
    User(&'a str),
    Customer {
        organization: &'a str,
        email: &'a str,
    },
    /// Of an operator, by its folded address.
    Operator(&'a str),
    /// The second factor of an operator, by its id. Whoever tries one knows the password.
    Codes(&'a str),
    /// The second factor of this person. Who gets so far knows the password, so one count for all addresses
    /// holds up nobody by strangers, and a guess in a million stays one.
    Factor(&'a str),
}

/// What a try at a second factor weighs among those of all strangers together. Six digits can be guessed as
/// passwords cannot: twenty tries an hour leave a guesser who knows the password a year for even odds.
const WEIGHT_OF_A_CODE: u32 = 5;

/// A try that has begun. If nothing more is said about it, it was wrong.
pub struct Attempt<'a> {
    desk: &'a Desk,
    account: String,
    /// The address.
    place: String,
    /// Where it is counted: the address, or a device that the account knows.
    here: String,
    device: Option<Device>,
    /// Strangers share one more count.
    stranger: bool,
    /// What the try weighs there.
    weight: u32,
}

impl<'a> Attempt<'a> {
    /// Counts a try, before any password is looked at.
    ///
    /// # Errors
    /// `too_many_requests`, in the same words whether there is such an account or not.
    pub async fn begin(desk: &'a Desk, account: Account<'_>, origin: &Origin) -> Result<Self, Refusal> {
        let weight = if let Account::Codes(_) = account { WEIGHT_OF_A_CODE } else { 1 };
        let place = match account {
            Account::Factor(_) => String::new(),
            _ => place(origin).into_owned(),
        };
        let account = match account {
            Account::Operator(email) => format!("operator:{email}"),
            Account::Codes(operator) => format!("codes:{operator}"),
            // As it is stored or as it was typed, it is one account.
            Account::User(email) => format!("user:{}", email.to_lowercase()),
            Account::Customer { organization, email } => format!("customer:{organization}:{email}"),
            Account::Factor(person) => format!("factor:{person}"),
        };
        let limits = &desk.limits;
        let device = origin.device.as_deref().and_then(|cookie| Device::open(desk, cookie));
        let known_device = device.as_ref().and_then(|device| device.place_of(&account));
        let stranger = known_device.is_none() && !limits.known.knows(&account, &place, desk.now());
        let here = known_device.unwrap_or_else(|| place.clone());
        let attempt = Self { desk, account, place, here, device, stranger, weight };
        attempt.count()?;
        attempt.agree().await?;
        Ok(attempt)
    }

    /// Looks the account up and compares the password, at the same cost whether there is an account or not.
    /// Gives whom it fits, and the attempt to say so.
    ///
    /// # Errors
    /// Trouble; then nothing was tried.
    pub async fn look(self, who: Who<'_>, password: Secret) -> Result<Option<(Person, Self)>, Trouble> {
        match self.compare(who, password).await {
            Ok(found) => Ok(found.map(|person| (person, self))),
            Err(trouble) => {
                self.was_not_made();
                Err(trouble)
            }
        }
    }

    /// It was right. Gives the device's new cookie.
    pub async fn was_right(self) -> String {
        let limits = &self.desk.limits;
        let [short, long, _] = self.keys();
        let forgotten: Vec<_> =
            [short, long].iter().filter_map(|(key, _)| limits.meter.forget(key)).collect();
        self.take_back_in_all();
        limits.known.remember(&self.account, &self.place, self.desk.now());
        limits.agree(self.desk, &[], &forgotten).await;
        Device::cookie(self.device, self.desk, &self.account)
    }

    /// Whether a password fits that is kept elsewhere, at the same cost whether there is one or not. Says
    /// nothing yet about the attempt, which may need more than a password.
    ///
    /// # Errors
    /// Trouble; then nothing was tried.
    pub async fn fits(self, phc: Option<String>, password: Secret) -> Result<(bool, Self), Trouble> {
        match self.desk.slow.password_fits(phc, password).await {
            Ok(fits) => Ok((fits, self)),
            Err(trouble) => {
                self.was_not_made();
                Err(trouble)
            }
        }
    }

    async fn compare(&self, who: Who<'_>, password: Secret) -> Result<Option<Person>, Trouble> {
        let found = self.desk.registry.person(who).await?.filter(|person| !person.disabled);
        let known = found.as_ref().and_then(|person| person.password.clone());
        let fits = self.desk.slow.password_fits(known, password).await?;
        Ok(found.filter(|_| fits))
    }

    fn was_not_made(self) {
        let [short, long, _] = self.keys();
        for (key, allowance) in [short, long] {
            self.desk.limits.meter.give_back(&key, allowance, 1);
        }
        self.take_back_in_all();
    }

    fn take_back_in_all(&self) {
        if self.stranger {
            let [_, _, (key, allowance)] = self.keys();
            self.desk.limits.meter.give_back(&key, allowance, self.weight);
        }
    }

    fn count(&self) -> Result<(), Refusal> {
        let limits = &self.desk.limits;
        let now = micros(self.desk);
        let held = |(key, _): &(Key<'_>, Allowance)| self.stranger || key.rule != PASSWORDS_IN_ALL;
        let keys = self.keys();
        // First all are looked at, so that a refusal by the last leaves no mark in the first.
        for (key, allowance) in keys.iter().filter(|one| held(one)) {
            limits.look(key, *allowance, now, SENTENCE)?;
        }
        for (key, allowance) in keys.iter().filter(|one| held(one)) {
            let cost = if key.rule == PASSWORDS_IN_ALL { self.weight } else { 1 };
            limits.take(key, *allowance, cost, now, SENTENCE)?;
        }
        Ok(())
    }

    /// Asks what other servers have counted. Their silence changes nothing: then this server's own count
    /// holds.
    async fn agree(&self) -> Result<(), Refusal> {
        let limits = &self.desk.limits;
        if limits.peers.is_none() {
            return Ok(());
        }
        let keys = self.keys();
        let told = keys.iter().filter_map(|(key, _)| Some((limits.meter.id(key), limits.meter.untold(key)?)));
        let (ids, counted): (Vec<_>, Vec<_>) = told.unzip();
        limits.agree_strictly(self.desk, &ids, &counted, &keys).await
    }

    fn keys(&self) -> [(Key<'_>, Allowance); 3] {
        let allow = &self.desk.limits.allow;
        let key = |rule, from| Key { at_once: true, ..Key::new(rule, &self.account, from) };
        [
            (key(PASSWORDS, self.here.as_str()), allow.passwords),
            (key(PASSWORDS_LONG, self.here.as_str()), allow.passwords_long),
            (key(PASSWORDS_IN_ALL, ""), allow.passwords_in_all),
        ]
    }
}

impl Limits {
    /// Tells what was counted here and refuses when all servers together have counted too much: then a bucket
    /// owes more than it can hold.
    async fn agree_strictly(
        &self,
        desk: &Desk,
        ids: &[u64],
        counted: &[super::Counted],
        keys: &[(Key<'_>, Allowance)],
    ) -> Result<(), Refusal> {
        let Some(peers) = self.peers.as_ref().filter(|_| !counted.is_empty()) else { return Ok(()) };
        let Ok(owed) = peers.add(counted).await else {
            self.unheard.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
            return Ok(());
        };
        for (id, owed) in ids.iter().zip(owed) {
            self.meter.join(*id, owed, micros(desk));
            let (key, allowance) = match keys.iter().find(|(key, _)| self.meter.id(key) == *id) {
                Some(found) => found,
                None => continue,
            };
            if let Some(over) = owed.checked_sub(allowance.window()).filter(|over| *over > 0) {
                return Err(self.refuse(key.rule, *allowance, over, SENTENCE));
            }
        }
        Ok(())
    }
}
