//! Limits: how much a caller may do before it has to wait. Asked before anything is hashed slowly, looked up
//! or written down; see docs/limits.md for the rules as an operator reads them.
//!
//! Whoever proves itself with a secret is counted by its own name, whoever proves nothing by its address: so a
//! stranger behind the same address can use up neither the bucket of a shop's backend, nor can a public
//! client's name, which everybody knows, be used to stop the shop.

mod allowance;
mod attempt;
mod device;
mod known;
mod meter;
mod peers;

use std::borrow::Cow;
use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

pub use allowance::{Allowance, Standing};
pub use attempt::{Account, Attempt};
pub use peers::{Counted, Peers};

use crate::ask::{Ask, Origin};
use crate::client::Caller;
use crate::desk::Desk;
use crate::refusal::{Code, Limited, Refusal};
use crate::secret::Seal;
use known::Known;
use meter::{Key, Meter};

/// Buckets that are told to other servers in one go.
const BITE: usize = 1000;

/// The numbers that the operator decides.
#[derive(Clone, Debug, PartialEq)]
pub struct Allowances {
    /// Requests from one address that no secret proves.
    pub address: Allowance,
    /// What a refused request costs, in requests.
    pub failure_cost: u32,
    /// Requests of one client that its secret proves.
    pub client: Allowance,
    /// Wrong secrets for one client, from one address.
    pub guesses: Allowance,
    /// Wrong secrets for one client, from all addresses that it never came from.
    pub guesses_in_all: Allowance,
    /// Passwords tried for one account, from one address or device.
    pub passwords: Allowance,
    /// The same over a longer time, so that going on gets slower.
    pub passwords_long: Allowance,
    /// Passwords tried for one account, from all addresses and devices that it never came from.
    pub passwords_in_all: Allowance,
    /// Introspections by one client or guard.
    pub introspection: Allowance,
    /// Reads of the Provisioning API by one person.
    pub reads: Allowance,
    /// Writes.
    pub writes: Allowance,
    /// Invitations, which tell whether somebody has an account.
    pub invitations: Allowance,
    /// Buckets that are kept at most.
    pub keys: usize,
}

impl Default for Allowances {
    fn default() -> Self {
        Self {
            address: Allowance::new(1200, 60),
            failure_cost: 3,
            client: Allowance::new(60_000, 60),
            guesses: Allowance::new(20, 60),
            guesses_in_all: Allowance::new(1000, 3600),
            passwords: Allowance::new(5, 60),
            passwords_long: Allowance::new(20, 3600),
            passwords_in_all: Allowance::new(100, 3600),
            introspection: Allowance::new(60_000, 60),
            reads: Allowance::new(1000, 60),
            writes: Allowance::new(200, 60),
            invitations: Allowance::new(100, 3600),
            keys: 200_000,
        }
    }
}

/// Each rule's name, for counts and for the names of buckets.
pub const RULES: [&str; 11] = [
    ADDRESS,
    CLIENT,
    GUESSES,
    GUESSES_IN_ALL,
    PASSWORDS,
    PASSWORDS_LONG,
    PASSWORDS_IN_ALL,
    INTROSPECTION,
    READS,
    WRITES,
    INVITATIONS,
];
const ADDRESS: &str = "address";
const CLIENT: &str = "client";
const GUESSES: &str = "guesses";
const GUESSES_IN_ALL: &str = "guesses_in_all";
const PASSWORDS: &str = "passwords";
const PASSWORDS_LONG: &str = "passwords_long";
const PASSWORDS_IN_ALL: &str = "passwords_in_all";
const INTROSPECTION: &str = "introspection";
const READS: &str = "reads";
const WRITES: &str = "writes";
const INVITATIONS: &str = "invitations";

/// How often the same is told to the audit log.
const TOLD: &str = "told";
const ONCE_A_MINUTE: Allowance = Allowance::new(1, 60);

/// Who may do how much.
pub struct Limits {
    allow: Allowances,
    meter: Meter,
    /// In a room of its own, because whoever reads much must not fill the one in which others are counted.
    told: Meter,
    known: Known,
    peers: Option<Arc<dyn Peers>>,
    /// Refused, by rule.
    refused: [AtomicU64; RULES.len()],
    /// Counts that the peers were not there to hear.
    unheard: AtomicU64,
}

impl Limits {
    /// Counts in this process alone.
    pub fn new(allow: Allowances) -> Self {
        Self::build(allow, None, None)
    }

    /// Counts together with other servers that have the same master key.
    pub fn shared(allow: Allowances, seal: Arc<Seal>, peers: Arc<dyn Peers>) -> Self {
        // What holds only for strangers is counted where it is known who is none, and forgotten with it.
        let alone = [GUESSES_IN_ALL, PASSWORDS_IN_ALL];
        let namer = move |key: &Key<'_>| {
            (!alone.contains(&key.rule)).then(|| seal.bucket_name(&[key.rule, key.of, key.from]))
        };
        Self::build(allow, Some(Box::new(namer)), Some(peers))
    }

    fn build(allow: Allowances, namer: Option<meter::Namer>, peers: Option<Arc<dyn Peers>>) -> Self {
        let (meter, known) = (Meter::new(allow.keys, namer), Known::new(allow.keys));
        let told = Meter::new(allow.keys, None);
        Self { allow, meter, told, known, peers, refused: Default::default(), unheard: AtomicU64::new(0) }
    }

    /// Before a client proves itself: whether one more secret may be tried. What the secret is does not count
    /// yet, so guessing on is no use. A place that the client came from before is never kept out: whoever could
    /// send wrong secrets from there, from behind the same proxy for example, would stop a shop's backend or its
    /// guards; and what a random secret stands against is not a lock.
    ///
    /// # Errors
    /// `too_many_requests`.
    pub fn may_prove(&self, desk: &Desk, client_id: &str, origin: &Origin) -> Result<(), Refusal> {
        let (now, place) = (micros(desk), place(origin));
        if self.known.knows(client_id, &place, now / 1_000_000) {
            return Ok(());
        }
        let sentence = "Too many wrong secrets for this client";
        let here = Key::new(GUESSES, client_id, &place);
        self.look(&here, self.allow.guesses, now, sentence)?;
        let all = Key::new(GUESSES_IN_ALL, client_id, "");
        self.look(&all, self.allow.guesses_in_all, now, sentence)
    }

    /// A secret was wrong. Whether there was room for it was asked before.
    pub fn was_wrong(&self, desk: &Desk, client_id: &str, origin: &Origin) {
        let (now, place) = (micros(desk), place(origin));
        if self.known.knows(client_id, &place, now / 1_000_000) {
            return;
        }
        let here = Key::new(GUESSES, client_id, &place);
        let all = Key::new(GUESSES_IN_ALL, client_id, "");
        let _ = self.meter.take(&here, self.allow.guesses, 1, now);
        let _ = self.meter.take(&all, self.allow.guesses_in_all, 1, now);
    }

    /// A secret was right.
    pub fn was_right(&self, desk: &Desk, client_id: &str, origin: &Origin) {
        self.known.remember(client_id, &place(origin), desk.now());
    }

    /// A request of a client that its secret has proved.
    ///
    /// # Errors
    /// `too_many_requests`.
    pub fn client(&self, desk: &Desk, client_id: &str) -> Result<(), Refusal> {
        let key = Key::new(CLIENT, client_id, "");
        self.take(&key, self.allow.client, 1, micros(desk), "Too many requests of this client")
    }

    /// A request that no secret proves.
    ///
    /// # Errors
    /// `too_many_requests`.
    pub fn visit(&self, desk: &Desk, origin: &Origin) -> Result<(), Refusal> {
        let place = place(origin);
        let key = Key::new(ADDRESS, &place, "");
        self.take(&key, self.allow.address, 1, micros(desk), "Too many requests from this address")
    }

    /// A request is about to be refused; asked before that is written down. Failures cost more, and beyond the
    /// limit the refusal becomes another, which nobody writes down.
    ///
    /// # Errors
    /// `too_many_requests`, in place of the refusal.
    pub fn failed(
        &self,
        desk: &Desk,
        ask: &Ask,
        caller: Option<&Caller>,
        why: &Refusal,
    ) -> Result<(), Refusal> {
        if why.limited.is_some() {
            return Err(why.clone());
        }
        let (now, cost) = (micros(desk), self.allow.failure_cost);
        match caller.filter(|caller| caller.confidential()) {
            Some(caller) => {
                let key = Key::new(CLIENT, &caller.application().client_id, "");
                self.take(&key, self.allow.client, cost, now, "Too many requests of this client")
            }
            None => {
                let place = place(&ask.origin);
                let key = Key::new(ADDRESS, &place, "");
                self.take(&key, self.allow.address, cost, now, "Too many requests from this address")
            }
        }
    }

    /// One introspection.
    ///
    /// # Errors
    /// `too_many_requests`.
    pub fn introspection(&self, desk: &Desk, who: &str) -> Result<(), Refusal> {
        let key = Key::new(INTROSPECTION, who, "");
        self.take(&key, self.allow.introspection, 1, micros(desk), "Too many introspections")
    }

    /// One read of the Provisioning API.
    ///
    /// # Errors
    /// `too_many_requests`.
    pub fn read(&self, desk: &Desk, person: &str) -> Result<(), Refusal> {
        let key = Key::new(READS, person, "");
        self.take(&key, self.allow.reads, 1, micros(desk), "Too many requests")
    }

    /// One write.
    ///
    /// # Errors
    /// `too_many_requests`.
    pub fn write(&self, desk: &Desk, person: &str) -> Result<(), Refusal> {
        let key = Key::new(WRITES, person, "");
        self.take(&key, self.allow.writes, 1, micros(desk), "Too many changes")
    }

    /// One invitation.
    ///
    /// # Errors
    /// `too_many_requests`.
    pub fn invite(&self, desk: &Desk, person: &str) -> Result<(), Refusal> {
        let key = Key::new(INVITATIONS, person, "");
        self.take(&key, self.allow.invitations, 1, micros(desk), "Too many invitations")
    }

    /// Whether this very thing was told to the audit log by this server within the last minute.
    pub fn was_told(&self, desk: &Desk, what: &str) -> bool {
        self.told.look(&Key::new(TOLD, what, ""), ONCE_A_MINUTE, micros(desk)).is_err()
    }

    /// It is told now; said after it stands in the books, so that nothing counts as told that is not.
    pub fn tells(&self, desk: &Desk, what: &str) {
        // In a room that is full it is told once more the next time.
        let _ = self.told.take(&Key::new(TOLD, what, ""), ONCE_A_MINUTE, 1, micros(desk));
    }

    /// Where the caller of a request stands that was answered: a client only after its secret was right,
    /// because what it does is nobody else's business.
    pub fn standing(&self, desk: &Desk, ask: &Ask, done: bool) -> Option<Standing> {
        let proved = ask.credentials().filter(|offered| done && offered.secret.is_some());
        match proved {
            Some(offered) => self.stands(CLIENT, &offered.client_id, self.allow.client, desk),
            None => self.stands(ADDRESS, &place(&ask.origin), self.allow.address, desk),
        }
    }

    /// Where a person stands with the Provisioning API.
    pub fn person_standing(&self, desk: &Desk, person: &str, writes: bool) -> Option<Standing> {
        match writes {
            true => self.stands(WRITES, person, self.allow.writes, desk),
            false => self.stands(READS, person, self.allow.reads, desk),
        }
    }

    /// How many requests each rule has refused since the start.
    pub fn refusals(&self) -> impl Iterator<Item = (&'static str, u64)> {
        RULES.into_iter().zip(&self.refused).map(|(rule, count)| (rule, count.load(Ordering::Relaxed)))
    }

    /// How often the other servers could not be told what was counted here.
    pub fn unheard(&self) -> u64 {
        self.unheard.load(Ordering::Relaxed)
    }

    /// How many buckets are kept.
    pub fn buckets(&self) -> usize {
        self.meter.len()
    }

    /// Drops what says nothing any more.
    pub fn sweep(&self, desk: &Desk) {
        self.meter.sweep(micros(desk));
        self.told.sweep(micros(desk));
    }

    /// Tells the other servers what was counted here since the last time, and hears what they counted. Says
    /// whether there is more to tell.
    pub async fn tell(&self, desk: &Desk) -> bool {
        let told = self.meter.all_untold(BITE);
        let (ids, counted): (Vec<u64>, Vec<Counted>) = told.into_iter().unzip();
        self.agree(desk, &ids, &counted).await;
        counted.len() == BITE
    }

    async fn agree(&self, desk: &Desk, ids: &[u64], counted: &[Counted]) {
        let Some(peers) = self.peers.as_ref().filter(|_| !counted.is_empty()) else { return };
        match peers.add(counted).await {
            Ok(owed) => ids.iter().zip(owed).for_each(|(id, owed)| self.meter.join(*id, owed, micros(desk))),
            Err(_) => _ = self.unheard.fetch_add(1, Ordering::Relaxed),
        }
    }

    fn stands(&self, rule: &'static str, of: &str, allowance: Allowance, desk: &Desk) -> Option<Standing> {
        if allowance.is_open() {
            return None;
        }
        let nothing = Standing { limit: allowance.count, interval: allowance.seconds, remaining: 0 };
        Some(self.meter.look(&Key::new(rule, of, ""), allowance, micros(desk)).unwrap_or(nothing))
    }

    fn take(
        &self,
        key: &Key<'_>,
        allowance: Allowance,
        cost: u32,
        now: u64,
        what: &'static str,
    ) -> Result<(), Refusal> {
        let taken = self.meter.take(key, allowance, cost, now);
        taken.map(|_| ()).map_err(|wait| self.refuse(key.rule, allowance, wait, what))
    }

    fn look(&self, key: &Key<'_>, allowance: Allowance, now: u64, what: &'static str) -> Result<(), Refusal> {
        let seen = self.meter.look(key, allowance, now);
        seen.map(|_| ()).map_err(|wait| self.refuse(key.rule, allowance, wait, what))
    }

    fn refuse(&self, rule: &'static str, allowance: Allowance, wait: u64, what: &'static str) -> Refusal {
        if let Some(at) = RULES.iter().position(|known| *known == rule) {
            self.refused[at].fetch_add(1, Ordering::Relaxed);
        }
        let seconds = wait.div_ceil(1_000_000).max(1);
        let limited = Limited { limit: allowance.count, interval: allowance.seconds, retry_after: seconds };
        let sentence = format!("{what}; try again in {seconds} seconds.");
        Refusal { limited: Some(limited), ..Refusal::new(Code::TooManyRequests, sentence) }.because(rule)
    }
}

/// Where a request is counted: an IPv4 address by itself, of IPv6 the first half, which is what one customer of
/// a provider has at the least (RFC 6177).
fn place(origin: &Origin) -> Cow<'_, str> {
    let address = origin.visitor.as_deref().or(origin.address.as_deref()).unwrap_or("nowhere");
    match address.parse() {
        Ok(IpAddr::V6(whole)) => {
            let front = std::net::Ipv6Addr::from_bits(whole.to_bits() >> 64 << 64);
            Cow::Owned(format!("{front}/64"))
        }
        _ => Cow::Borrowed(address),
    }
}

fn micros(desk: &Desk) -> u64 {
    desk.clock.now_ms().saturating_mul(1000)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stranger_with_a_whole_network_of_ipv6_is_one_caller() {
        let from = |address: &str| Origin { address: Some(address.into()), ..Origin::default() };
        assert_eq!(place(&from("192.0.2.7")), "192.0.2.7");
        assert_eq!(place(&from("2001:db8:1:2:3:4:5:6")), "2001:db8:1:2::/64");
        assert_eq!(place(&from("2001:db8:1:2::1")), place(&from("2001:db8:1:2:ffff::")));
        assert_ne!(place(&from("2001:db8:1:2::1")), place(&from("2001:db8:1:3::1")));
        let visitor = Origin { visitor: Some("198.51.100.1".into()), ..from("192.0.2.7") };
        assert_eq!(place(&visitor), "198.51.100.1");
    }
}
