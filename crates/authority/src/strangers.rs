//! Refusals of strangers: whoever has proved nothing can be refused without end, and must not be able to
//! fill the audit log with it. The first few of a kind are written down one by one; the rest are counted and
//! written down as one record with their number. Nothing about anybody who was proved is ever counted.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use serde_json::json;

use crate::bystander::Bystander;
use crate::ledger::{Act, AuditRecord, Deed, Done, Ledger};
use crate::refusal::Trouble;

/// Refusals that strangers can cause.
const EVENTS: [&str; 8] = [
    "token.refused",
    "revocation.refused",
    "introspection.refused",
    "sign_in.refused",
    "operator.login.refused",
    "guard.refused",
    "registry.refused",
    "person.invitation.refused",
];
/// How many of a kind are written down one by one until the next telling.
const FEW: u64 = 3;
/// Kinds that are told apart until the next telling; whatever comes beyond is counted together.
const KINDS: usize = 10_000;
/// Records in one deed.
const GROUP: usize = 500;

/// A ledger that counts strangers. Call [`Strangers::tell`] about once a minute, and at the end.
pub struct Strangers {
    books: Arc<dyn Ledger>,
    counted: Mutex<HashMap<Refused, Count>>,
}

/// From where, what and why.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Refused {
    event: String,
    network: Option<String>,
    reason: Option<String>,
}

#[derive(Clone, Copy, Debug, Default)]
struct Count {
    /// Those that were written down too.
    all: u64,
    more: u64,
    /// Of those that were only counted, seconds.
    first: u64,
    last: u64,
}

impl Strangers {
    pub fn new(books: Arc<dyn Ledger>) -> Self {
        Self { books, counted: Mutex::default() }
    }

    /// Writes down what was counted since the last time.
    ///
    /// # Errors
    /// Trouble with the books; then nothing is forgotten.
    pub async fn tell(&self) -> Result<(), Trouble> {
        let counted: Vec<_> = self.lock().drain().filter(|(_, count)| count.more > 0).collect();
        for (told, group) in counted.chunks(GROUP).enumerate() {
            let audit = group.iter().map(|(refused, count)| refused.record(*count)).collect();
            if let Err(trouble) = self.books.commit(Deed { act: Act::Note, audit }).await {
                self.remember(&counted[told * GROUP..]);
                return Err(trouble);
            }
        }
        Ok(())
    }

    /// Whether this one is only counted.
    fn counts(&self, record: &AuditRecord) -> bool {
        let mut counted = self.lock();
        let mut refused = Refused::of(record);
        if counted.len() >= KINDS && !counted.contains_key(&refused) {
            refused = Refused { network: None, reason: None, ..refused };
        }
        let count = counted.entry(refused).or_default();
        count.all += 1;
        if count.all <= FEW {
            return false;
        }
        if count.more == 0 {
            count.first = record.at;
        }
        count.more += 1;
        count.last = record.at;
        true
    }

    fn remember(&self, group: &[(Refused, Count)]) {
        let mut counted = self.lock();
        for (refused, untold) in group {
            let count = counted.entry(refused.clone()).or_default();
            count.first = untold.first;
            count.last = count.last.max(untold.last);
            count.all += untold.all;
            count.more += untold.more;
        }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Refused, Count>> {
        self.counted.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[async_trait]
impl Bystander for Strangers {
    fn books(&self) -> &Arc<dyn Ledger> {
        &self.books
    }

    async fn pass(&self, deed: Deed) -> Result<Done, Trouble> {
        match strangers_note(&deed) {
            Some(record) if self.counts(record) => Ok(Done::Committed { position: None }),
            _ => self.books.commit(deed).await,
        }
    }
}

/// The record of a deed that only says that somebody was refused who had proved nothing: whoever has is
/// named with an organization or as a subject.
fn strangers_note(deed: &Deed) -> Option<&AuditRecord> {
    let [record] = deed.audit.as_slice() else { return None };
    let stranger = record.organization.is_none() && record.subject.is_none();
    let refusal = deed.act == Act::Note && EVENTS.contains(&record.event.as_str());
    Some(record).filter(|_| stranger && refusal)
}

impl Refused {
    fn of(record: &AuditRecord) -> Self {
        // The code alone: what comes after it may hold what a stranger has sent, new every time.
        let code = |reason: &String| reason.split(':').next().unwrap_or_default().to_owned();
        Self {
            event: record.event.clone(),
            network: record.address.as_deref().map(network),
            reason: record.reason.as_ref().map(code),
        }
    }

    fn record(&self, count: Count) -> AuditRecord {
        AuditRecord {
            at: count.last,
            event: self.event.clone(),
            address: self.network.clone(),
            reason: self.reason.clone(),
            detail: Some(json!({ "more": count.more, "since": count.first }).to_string()),
            ..AuditRecord::default()
        }
    }
}

/// An address; of version 6 the first half, because everybody has the other half to choose from.
fn network(address: &str) -> String {
    match address.parse::<IpAddr>() {
        Ok(IpAddr::V6(six)) if six.to_ipv4_mapped().is_none() => {
            let [a, b, c, d, ..] = six.segments();
            std::net::Ipv6Addr::new(a, b, c, d, 0, 0, 0, 0).to_string()
        }
        _ => address.to_owned(),
    }
}
