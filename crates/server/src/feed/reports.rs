//! How far each guard says that it has come. Reports are words, not proof: a receipt names them as such,
//! and the bound on staleness holds for guards that never report.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use portcullis_authority::ledger::Position;
use serde::{Deserialize, Serialize};
use tokio::sync::watch;

/// Guards are remembered this long after their last word, milliseconds.
const FORGET_MS: u64 = 3_600_000;
/// More instances than this are not kept; a real fleet is smaller, and memory is bounded.
const MOST: usize = 20_000;
/// Of one account, so that none can crowd the others out of the receipts.
const MOST_OF_ONE: usize = 10_000;

/// What a guard says (`POST /guards/report`).
#[derive(Clone, Debug, PartialEq, Deserialize)]
pub struct Report {
    /// Which instance; unique among those of one guard account.
    pub guard: String,
    pub feed: String,
    pub epoch: u64,
    pub seq: u64,
    /// Milliseconds; what it has is complete up to then.
    pub as_of: u64,
    #[serde(default)]
    pub version: String,
}

/// A guard as it is known here.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct GuardState {
    pub guard: String,
    pub epoch: u64,
    pub seq: u64,
    pub as_of: u64,
    pub version: String,
    /// When it said so, milliseconds of our clock.
    pub at: u64,
}

impl GuardState {
    pub fn position(&self) -> Position {
        Position { epoch: self.epoch, seq: self.seq }
    }
}

/// The latest word of every guard.
pub struct Reports {
    guards: Mutex<BTreeMap<String, GuardState>>,
    changed: watch::Sender<()>,
}

impl Default for Reports {
    fn default() -> Self {
        Self { guards: Mutex::default(), changed: watch::Sender::new(()) }
    }
}

impl Reports {
    /// Takes a report of a guard that has proved to be `account`.
    pub fn take(&self, account: &str, report: Report, now_ms: u64) {
        let instance: String = report.guard.chars().filter(is_plain).take(80).collect();
        let guard = if instance == account { instance } else { format!("{account}/{instance}") };
        let version = report.version.chars().filter(is_plain).take(40).collect();
        let state = GuardState {
            guard: guard.clone(),
            epoch: report.epoch,
            seq: report.seq,
            as_of: report.as_of,
            version,
            at: now_ms,
        };
        let mut guards = self.guards();
        guards.retain(|_, state| state.at + FORGET_MS > now_ms);
        // All names of an account: '0' comes right after '/'.
        let own = || guards.range(format!("{account}/")..format!("{account}0")).count();
        if guards.contains_key(&guard) || guards.len() < MOST && own() < MOST_OF_ONE {
            guards.insert(guard, state);
        }
        drop(guards);
        self.changed.send_replace(());
    }

    /// Every guard that is remembered, by name.
    pub fn all(&self) -> Vec<GuardState> {
        self.guards().values().cloned().collect()
    }

    /// Those that said something since then (milliseconds): the connected ones.
    pub fn since(&self, then_ms: u64) -> Vec<GuardState> {
        self.guards().values().filter(|state| state.at >= then_ms).cloned().collect()
    }

    /// Wakes at every report.
    pub fn changes(&self) -> watch::Receiver<()> {
        self.changed.subscribe()
    }

    fn guards(&self) -> MutexGuard<'_, BTreeMap<String, GuardState>> {
        self.guards.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What may stand in a name that is shown in terminals, pages and headers.
fn is_plain(c: &char) -> bool {
    c.is_ascii_alphanumeric() || "-_.:@/+".contains(*c)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report(guard: &str, seq: u64) -> Report {
        Report { guard: guard.into(), feed: "live:eu1".into(), epoch: 1, seq, as_of: 1, version: "1".into() }
    }

    #[test]
    fn the_last_word_of_each_instance_counts() {
        let reports = Reports::default();
        reports.take("shop", report("a", 1), 10);
        reports.take("shop", report("a", 2), 20);
        reports.take("shop", report("b", 1), 30);
        let names: Vec<_> = reports.all().into_iter().map(|state| (state.guard, state.seq)).collect();
        assert_eq!(names, [("shop/a".into(), 2), ("shop/b".into(), 1)]);
        assert_eq!(reports.since(25).len(), 1);
    }

    #[test]
    fn an_account_cannot_speak_for_another() {
        let reports = Reports::default();
        reports.take("evil", report("shop", 9), 10);
        assert_eq!(reports.all()[0].guard, "evil/shop");
    }

    #[test]
    fn guards_that_are_gone_are_forgotten() {
        let reports = Reports::default();
        reports.take("shop", report("a", 1), 10);
        reports.take("shop", report("b", 1), 10 + FORGET_MS);
        assert_eq!(reports.all().len(), 1);
    }

    #[test]
    fn an_account_cannot_crowd_the_others_out() {
        let reports = Reports::default();
        (0..MOST_OF_ONE + 5).for_each(|n| reports.take("evil", report(&format!("i{n}"), 9), 10));
        reports.take("shop", report("shop", 1), 10);
        let names: Vec<_> = reports.all().into_iter().map(|state| state.guard).collect();
        assert_eq!(names.len(), MOST_OF_ONE + 1);
        assert!(names.contains(&"shop".to_owned()));
    }

    #[test]
    fn a_name_holds_nothing_that_a_terminal_or_a_page_would_obey() {
        let reports = Reports::default();
        reports.take("shop", report("eu\u{1b}[31m\r\n<b>\u{202e}\"-1é", 1), 10);
        assert_eq!(reports.all()[0].guard, "shop/eu31mb-1");
    }
}
