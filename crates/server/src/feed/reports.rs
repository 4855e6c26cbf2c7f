//! How far each guard says that it has come. Reports are words, not proof: a receipt names them as such,
//! and the bound on staleness holds for guards that never report.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use portcullis_authority::ledger::Position;
use portcullis_store::GuardWord;
use serde::Deserialize;
use tokio::sync::watch;

/// Guards are remembered this long after their last word, milliseconds.
const FORGET_MS: u64 = 3_600_000;
/// More instances than this are not kept; a real fleet is smaller, and memory is bounded.
const MOST: usize = 20_000;
/// Of one account, so that none can crowd the others out of the receipts.
const MOST_OF_ONE: usize = 10_000;
/// How far the clocks of several servers and a database may be apart, milliseconds.
const CLOCKS_APART_MS: u64 = 10_000;
/// Whoever let a receipt wait in vain is not waited for again for so long, milliseconds. It is still named.
const EXCUSED_MS: u64 = 60_000;
/// With so many of those at a time, nobody of their account is waited for: names are invented quickly.
const MANY_EXCUSED: usize = 8;

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

impl Report {
    /// Whether a guard that follows a feed with this head, signed until then, can have said this.
    pub fn fits(&self, head: Position, now_ms: u64) -> Result<(), Impossible> {
        if (Position { epoch: self.epoch, seq: self.seq }) > head {
            return Err(Impossible::Beyond);
        }
        if self.as_of > now_ms.saturating_add(CLOCKS_APART_MS) {
            return Err(Impossible::Future);
        }
        Ok(())
    }
}

/// Why a report is not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Impossible {
    /// The feed has not got that far.
    Beyond,
    /// Its time is later than any that was ever signed.
    Future,
}

/// A guard as it is known here.
#[derive(Clone, Debug, PartialEq)]
pub struct GuardState {
    pub guard: String,
    pub epoch: u64,
    pub seq: u64,
    pub as_of: u64,
    pub version: String,
    /// When it said so, milliseconds of our clock.
    pub at: u64,
    /// Receipts do not wait for it until then.
    pub excused_until: u64,
}

impl GuardState {
    /// Whether it may accept anything at all: it has spoken within the bound, and what it has is not older.
    /// One that is behind the bound accepts nothing, whatever it has not heard of.
    pub fn is_connected(&self, now_ms: u64, bound_ms: u64) -> bool {
        let then = now_ms.saturating_sub(bound_ms);
        self.at >= then && self.as_of >= then
    }

    /// `live`, `behind` or `stale`. Behind is who may still accept something and has heard nothing for half of
    /// the bound.
    pub fn standing(&self, now_ms: u64, bound_ms: u64) -> &'static str {
        match self.is_connected(now_ms, bound_ms) {
            true if self.is_connected(now_ms, bound_ms / 2) => "live",
            true => "behind",
            false => "stale",
        }
    }

    fn account(&self) -> &str {
        self.guard.split('/').next().unwrap_or_default()
    }

    pub fn is_excused(&self, now_ms: u64) -> bool {
        self.excused_until > now_ms
    }

    pub fn position(&self) -> Position {
        Position { epoch: self.epoch, seq: self.seq }
    }
}

/// The latest word of every guard.
pub struct Reports {
    guards: Mutex<BTreeMap<String, GuardState>>,
    /// Accounts that receipts do not wait for, and until when.
    crowds: Mutex<BTreeMap<String, u64>>,
    changed: watch::Sender<()>,
    /// Who has spoken here since it was last passed on.
    untold: Mutex<BTreeSet<String>>,
    /// When somebody last looked what was said elsewhere.
    heard: tokio::sync::Mutex<Option<Instant>>,
}

impl Default for Reports {
    fn default() -> Self {
        Self {
            guards: Mutex::default(),
            crowds: Mutex::default(),
            changed: watch::Sender::new(()),
            untold: Mutex::default(),
            heard: tokio::sync::Mutex::default(),
        }
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
            excused_until: 0,
        };
        if self.keep(state, now_ms) {
            self.untold.lock().unwrap_or_else(PoisonError::into_inner).insert(guard);
        }
        self.changed.send_replace(());
    }

    /// Takes what a guard said to another server, unless it has said something here since.
    pub fn learn(&self, word: GuardWord, now_ms: u64) {
        let known = self.guards().get(&word.guard).is_some_and(|known| known.at >= word.at_ms);
        if known {
            return;
        }
        let state = GuardState {
            guard: word.guard,
            epoch: word.position.epoch,
            seq: word.position.seq,
            as_of: word.as_of_ms,
            version: word.version,
            // The other server's clock may be ahead of ours.
            at: word.at_ms.min(now_ms),
            excused_until: 0,
        };
        self.keep(state, now_ms);
    }

    /// The latest words of those who have spoken here since this was last asked.
    pub fn untold(&self) -> Vec<GuardWord> {
        let names = std::mem::take(&mut *self.untold.lock().unwrap_or_else(PoisonError::into_inner));
        let guards = self.guards();
        let states = names.iter().filter_map(|name| guards.get(name));
        let word = |state: &GuardState| GuardWord {
            guard: state.guard.clone(),
            position: state.position(),
            as_of_ms: state.as_of,
            at_ms: state.at,
            version: state.version.clone(),
        };
        states.map(word).collect()
    }

    /// Whose turn it is to look what was said elsewhere: nobody's, when somebody just has.
    pub async fn turn_to_hear(&self, just_now: Duration) -> Option<impl Sized + '_> {
        let mut heard = self.heard.lock().await;
        if heard.is_some_and(|at| at.elapsed() < just_now) {
            return None;
        }
        *heard = Some(Instant::now());
        Some(heard)
    }

    /// Remembers somebody's word, if there is room for it.
    fn keep(&self, state: GuardState, now_ms: u64) -> bool {
        let mut guards = self.guards();
        // Only when somebody new comes: a fleet that reports at once should not be gone through for each.
        if !guards.contains_key(&state.guard) {
            guards.retain(|_, state| state.at + FORGET_MS > now_ms);
        }
        // All names of an account: '0' comes right after '/'.
        let account = state.account();
        let own = || guards.range(format!("{account}/")..format!("{account}0")).count();
        let excused_until = guards.get(&state.guard).map(|known| known.excused_until);
        let has_room = excused_until.is_some() || guards.len() < MOST && own() < MOST_OF_ONE;
        if has_room {
            let excused_until = excused_until.unwrap_or(0);
            guards.insert(state.guard.clone(), GuardState { excused_until, ..state });
        }
        has_room
    }

    /// Every guard that is remembered, by name.
    pub fn all(&self) -> Vec<GuardState> {
        self.guards().values().cloned().collect()
    }

    /// Those that may accept something now.
    pub fn connected(&self, now_ms: u64, bound_ms: u64) -> Vec<GuardState> {
        self.guards().values().filter(|state| state.is_connected(now_ms, bound_ms)).cloned().collect()
    }

    /// A receipt has waited for these in vain. Otherwise one guard that hangs, or an account that invents
    /// guards which lag, would make every receipt wait as long as it may.
    pub fn excuse(&self, names: &[String], now_ms: u64) {
        let mut guards = self.guards();
        for name in names {
            if let Some(state) = guards.get_mut(name) {
                state.excused_until = now_ms + EXCUSED_MS;
            }
        }
        let mut counts = BTreeMap::new();
        for state in guards.values().filter(|state| state.is_excused(now_ms)) {
            *counts.entry(state.account().to_owned()).or_insert(0) += 1;
        }
        counts.retain(|_, count| *count >= MANY_EXCUSED);
        let crowds: BTreeSet<String> = counts.into_keys().collect();
        drop(guards);
        let mut excused = self.crowds.lock().unwrap_or_else(PoisonError::into_inner);
        excused.retain(|_, until| *until > now_ms);
        excused.extend(crowds.into_iter().map(|account| (account, now_ms + EXCUSED_MS)));
    }

    /// Whether receipts wait for this one.
    pub fn is_expected(&self, state: &GuardState, now_ms: u64) -> bool {
        let crowds = self.crowds.lock().unwrap_or_else(PoisonError::into_inner);
        !state.is_excused(now_ms) && crowds.get(state.account()).is_none_or(|until| *until <= now_ms)
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
        assert_eq!(reports.all()[1].at, 30);
    }

    #[test]
    fn who_is_beyond_the_head_or_ahead_of_time_is_not_believed() {
        let head = Position { epoch: 1, seq: 5 };
        assert_eq!(report("a", 5).fits(head, 1000), Ok(()));
        assert_eq!(report("a", 6).fits(head, 1000), Err(Impossible::Beyond));
        assert_eq!(Report { epoch: 2, seq: 0, ..report("a", 0) }.fits(head, 1000), Err(Impossible::Beyond));
        assert_eq!(Report { as_of: 60_000, ..report("a", 5) }.fits(head, 1000), Err(Impossible::Future));
    }

    #[test]
    fn who_is_behind_the_bound_accepts_nothing_and_is_not_waited_for() {
        let reports = Reports::default();
        reports.take("shop", Report { as_of: 500, ..report("old", 1) }, 10_000);
        reports.take("shop", Report { as_of: 9_000, ..report("new", 2) }, 10_000);
        let connected = reports.connected(10_500, 5_000);
        assert_eq!(connected.iter().map(|state| &state.guard[..]).collect::<Vec<_>>(), ["shop/new"]);
        assert!(reports.connected(16_000, 5_000).is_empty(), "nor who has said nothing since");
    }

    #[test]
    fn who_has_let_a_receipt_wait_in_vain_is_not_waited_for_again_at_once() {
        let reports = Reports::default();
        reports.take("shop", report("a", 1), 10);
        reports.excuse(&["shop/a".into(), "nobody".into()], 10);
        reports.take("shop", report("a", 2), 20);
        reports.take("shop", report("b", 2), 20);
        let expected = |now| {
            let all = reports.all();
            all.iter()
                .filter(|state| reports.is_expected(state, now))
                .map(|s| s.guard.clone())
                .collect::<Vec<_>>()
        };
        assert_eq!(expected(20), ["shop/b"]);
        assert_eq!(expected(10 + EXCUSED_MS), ["shop/a", "shop/b"]);
    }

    #[test]
    fn inventing_names_does_not_help() {
        let reports = Reports::default();
        let names: Vec<_> = (0..MANY_EXCUSED).map(|n| format!("i{n}")).collect();
        names.iter().for_each(|name| reports.take("evil", report(name, 1), 10));
        reports.excuse(&names.iter().map(|name| format!("evil/{name}")).collect::<Vec<_>>(), 10);
        reports.take("evil", report("yet-another", 1), 20);
        reports.take("shop", report("a", 1), 20);
        let expected: Vec<_> = reports
            .all()
            .into_iter()
            .filter(|state| reports.is_expected(state, 20))
            .map(|s| s.guard)
            .collect();
        assert_eq!(expected, ["shop/a"]);
    }

    #[test]
    fn what_was_said_elsewhere_counts_unless_something_was_said_here_since() {
        let (here, there) = (Reports::default(), Reports::default());
        here.take("shop", report("a", 3), 30);
        there.take("shop", report("a", 2), 20);
        there.take("shop", report("b", 4), 40);
        there.untold().into_iter().for_each(|word| here.learn(word, 50));
        let known: Vec<_> = here.all().into_iter().map(|state| (state.guard, state.seq)).collect();
        assert_eq!(known, [("shop/a".into(), 3), ("shop/b".into(), 4)]);
        assert_eq!(here.untold().len(), 1, "only what was said here is passed on");
        assert!(here.untold().is_empty() && there.untold().is_empty(), "and once");
    }

    #[test]
    fn a_word_from_a_server_whose_clock_is_ahead_is_not_newer_than_now() {
        let reports = Reports::default();
        let position = Position { epoch: 1, seq: 1 };
        let (guard, version) = ("shop/a".into(), String::new());
        reports.learn(GuardWord { guard, position, as_of_ms: 1, at_ms: 9_000, version }, 10);
        assert_eq!(reports.all()[0].at, 10);
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
