//! The judge: from what was acknowledged and what guards decided, whether the promises of the feed were
//! kept. Knows nothing of processes, links or HTTP; whatever it needs is in the history.
//!
//! A decision is dated by the moment *before* the guard was asked, and an acknowledgement by the moment
//! after it had been read. Both lean towards the accused: what is found against it is proved.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use serde::{Deserialize, Serialize};

/// A token, by its place in the run's list.
pub type Token = u32;

/// What a guard said about a token.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    Accepted,
    Revoked,
    /// The guard could not know.
    Stale,
    /// By any clock that the guard believes; nothing un-expires.
    Expired,
    /// The key that signed it is not among the issuer's: it has been ended, and is no longer published.
    KeyGone,
    /// Refused for a reason that has nothing to do with revocation.
    Other,
}

/// One check of one token by one guard process. Times are milliseconds since the Unix epoch.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Decision {
    /// The process: a guard that is started again has another name.
    pub guard: String,
    pub token: Token,
    /// The steady clock, anchored once to the wall clock.
    pub at: u64,
    /// The wall clock as the guard sees it.
    pub wall: u64,
    pub verdict: Verdict,
    /// Whether the guard had never been complete even after the decision.
    pub cold: bool,
}

/// One request to revoke, answered or not.
#[derive(Clone, Debug, PartialEq)]
pub struct Answer {
    pub token: Token,
    pub begun: u64,
    pub ended: u64,
    /// `None` when no answer came, which says nothing about what was done.
    pub status: Option<u16>,
    /// Where the feed stood, as the answer says.
    pub position: Option<String>,
}

/// A run, written down.
#[derive(Clone, Debug, Default)]
pub struct History {
    /// The guards' bound on staleness.
    pub bound_ms: u64,
    /// How far clocks may be apart.
    pub clock_error_ms: u64,
    pub answers: Vec<Answer>,
    pub decisions: Vec<Decision>,
    /// Whether introspection called the token active, after everything had healed.
    pub active: BTreeMap<Token, bool>,
    /// From here on everything has healed.
    pub judged_from: u64,
    /// The guards that must have an opinion by then.
    pub standing: Vec<String>,
    /// Before this moment the guard cannot have heard anything.
    pub fed_from: BTreeMap<String, u64>,
    /// While the truth could not be written: no request within this time may be acknowledged.
    pub no_truth: Option<(u64, u64)>,
}

/// A promise that was broken, and by whom.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Violation {
    /// I1: acknowledged, and yet alive after everything had healed; `None` is introspection.
    Lost { token: Token, guard: Option<String> },
    /// I1: acknowledged while nothing could be written.
    Unfounded { token: Token },
    /// I3: accepted later than the bound allows.
    Late { token: Token, guard: String, after_ack_ms: u64 },
    /// I4: accepted after the same process had refused it as revoked.
    Readmitted { token: Token, guard: String },
    /// I5: refused as revoked before anybody had asked for it.
    WronglyRefused { token: Token, guard: String },
    /// I7: accepted by a guard that had never been complete.
    Cold { token: Token, guard: String },
    /// Nothing is known where something should be: the run proves nothing.
    Unproved { token: Token, guard: Option<String> },
}

/// The judgement of a run.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Judgement {
    pub acknowledged: usize,
    pub decisions: usize,
    /// Each once, in order.
    pub violations: Vec<Violation>,
    /// The longest time after an acknowledgement at which a guard still accepted.
    pub latest_accept_ms: u64,
}

impl History {
    /// Decides every promise.
    pub fn judge(&self) -> Judgement {
        let asked = self.asked();
        let acked = self.acked();
        let mut found = BTreeSet::new();
        let mut latest_accept_ms = 0;
        let mut refused = BTreeSet::new();
        for decision in self.in_order() {
            let Decision { guard, token, at, verdict, .. } = decision;
            let (token, guard) = (*token, guard.clone());
            match verdict {
                Verdict::Accepted => {
                    let late = acked.get(&token).map_or(0, |ack| at.saturating_sub(*ack));
                    latest_accept_ms = late.max(latest_accept_ms);
                    if refused.contains(&(guard.clone(), token)) {
                        found.insert(Violation::Readmitted { token, guard: guard.clone() });
                    }
                    if self.is_cold(decision) {
                        found.insert(Violation::Cold { token, guard: guard.clone() });
                    }
                    if late > self.bound_ms + self.clock_error_ms {
                        found.insert(Violation::Late { token, guard, after_ack_ms: late });
                    }
                }
                Verdict::Revoked => {
                    if asked.get(&token).is_none_or(|asked| at + self.clock_error_ms < *asked) {
                        found.insert(Violation::WronglyRefused { token, guard: guard.clone() });
                    }
                    refused.insert((guard, token));
                }
                Verdict::Stale | Verdict::Expired | Verdict::KeyGone | Verdict::Other => {}
            }
        }
        found.extend(self.unfounded());
        found.extend(self.not_ended(acked.keys().copied()));
        Judgement {
            acknowledged: acked.len(),
            decisions: self.decisions.len(),
            violations: found.into_iter().collect(),
            latest_accept_ms,
        }
    }

    /// How long after `healed` the last of the standing guards accepted something again; `None` when one
    /// never did.
    pub fn reopened(&self, healed: u64) -> Option<u64> {
        let first = |guard: &String| {
            let mine = self.decisions.iter().filter(|d| d.guard == *guard && d.at >= healed);
            mine.filter(|d| d.verdict == Verdict::Accepted).map(|d| d.at - healed).min()
        };
        self.standing.iter().map(first).collect::<Option<Vec<_>>>()?.into_iter().max()
    }

    /// When each token was first acknowledged.
    pub fn acked(&self) -> BTreeMap<Token, u64> {
        first(self.answers.iter().filter(|a| a.status == Some(200)).map(|a| (a.token, a.ended)))
    }

    fn asked(&self) -> BTreeMap<Token, u64> {
        first(self.answers.iter().map(|a| (a.token, a.begun)))
    }

    /// A guard's log is in order; those of several guards are simply one after the other.
    fn in_order(&self) -> Vec<&Decision> {
        let mut decisions: Vec<_> = self.decisions.iter().collect();
        decisions.sort_by_key(|decision| decision.at);
        decisions
    }

    fn is_cold(&self, decision: &Decision) -> bool {
        decision.cold || self.fed_from.get(&decision.guard).is_some_and(|from| decision.at < *from)
    }

    fn unfounded(&self) -> impl Iterator<Item = Violation> {
        let within = |a: &&Answer| self.no_truth.is_some_and(|(from, to)| a.begun >= from && a.ended <= to);
        let acks = self.answers.iter().filter(|a| a.status == Some(200)).filter(within);
        acks.map(|a| Violation::Unfounded { token: a.token })
    }

    /// After everything has healed, an acknowledged token must be refused for good by whoever is asked. That
    /// guards have the keys of tokens that live is seen by those, which they must accept.
    fn not_ended(&self, acked: impl Iterator<Item = Token>) -> Vec<Violation> {
        let mut seen: BTreeMap<(&str, Token), bool> = BTreeMap::new();
        for decision in self.decisions.iter().filter(|d| d.at >= self.judged_from) {
            let ended = matches!(decision.verdict, Verdict::Revoked | Verdict::Expired | Verdict::KeyGone);
            *seen.entry((&decision.guard, decision.token)).or_insert(true) &= ended;
        }
        let mut found = Vec::new();
        for token in acked {
            for guard in &self.standing {
                let named = Some(guard.clone());
                match seen.get(&(guard.as_str(), token)) {
                    Some(true) => {}
                    Some(false) => found.push(Violation::Lost { token, guard: named }),
                    None => found.push(Violation::Unproved { token, guard: named }),
                }
            }
            match self.active.get(&token) {
                Some(false) => {}
                Some(true) => found.push(Violation::Lost { token, guard: None }),
                None => found.push(Violation::Unproved { token, guard: None }),
            }
        }
        found
    }
}

impl Judgement {
    /// How many violations are like this.
    pub fn count(&self, like: impl Fn(&Violation) -> bool) -> usize {
        self.violations.iter().filter(|violation| like(violation)).count()
    }

    /// Whether every promise was kept.
    pub fn holds(&self) -> bool {
        self.violations.is_empty()
    }
}

impl fmt::Display for Violation {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        let who = |guard: &Option<String>| guard.clone().unwrap_or_else(|| "introspection".into());
        match self {
            Self::Lost { token, guard } => {
                write!(to, "I1: token {token} was acknowledged and {} still knows nothing", who(guard))
            }
            Self::Unfounded { token } => {
                write!(to, "I1: token {token} was acknowledged while nothing could be written")
            }
            Self::Late { token, guard, after_ack_ms } => {
                write!(to, "I3: {guard} accepted token {token} {after_ack_ms} ms after the acknowledgement")
            }
            Self::Readmitted { token, guard } => {
                write!(to, "I4: {guard} accepted token {token} after having refused it as revoked")
            }
            Self::WronglyRefused { token, guard } => {
                write!(to, "I5: {guard} refused token {token} as revoked, which nobody had asked for")
            }
            Self::Cold { token, guard } => {
                write!(to, "I7: {guard} accepted token {token} before it was complete")
            }
            Self::Unproved { token, guard } => {
                write!(to, "unproved: {} was never asked about token {token} at the end", who(guard))
            }
        }
    }
}

/// The earliest time for each token.
fn first(times: impl Iterator<Item = (Token, u64)>) -> BTreeMap<Token, u64> {
    let mut first = BTreeMap::new();
    for (token, at) in times {
        let held = first.entry(token).or_insert(at);
        *held = at.min(*held);
    }
    first
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Token 1 is revoked at 1000 and acknowledged at 1010, token 2 is never touched; two guards see it in
    /// time; everything has healed at 5000.
    fn honest() -> History {
        let mut history = History {
            bound_ms: 2000,
            clock_error_ms: 10,
            answers: vec![answer(1, 1000, 1010, Some(200))],
            active: [(1, false)].into(),
            judged_from: 5000,
            standing: vec!["a".into(), "b".into()],
            ..History::default()
        };
        for guard in ["a", "b"] {
            for (at, verdict) in [
                (900, Verdict::Accepted),
                (1020, Verdict::Accepted),
                (1100, Verdict::Revoked),
                (5100, Verdict::Revoked),
            ] {
                history.decisions.push(decision(guard, 1, at, verdict));
                history.decisions.push(decision(guard, 2, at, Verdict::Accepted));
            }
        }
        history
    }

    fn answer(token: Token, begun: u64, ended: u64, status: Option<u16>) -> Answer {
        Answer { token, begun, ended, status, position: None }
    }

    fn decision(guard: &str, token: Token, at: u64, verdict: Verdict) -> Decision {
        Decision { guard: guard.into(), token, at, wall: at, verdict, cold: false }
    }

    fn found(history: &History) -> Vec<Violation> {
        history.judge().violations
    }

    #[test]
    fn a_token_whose_key_is_gone_is_refused_for_good() {
        let mut history = honest();
        for decision in history.decisions.iter_mut().filter(|d| d.token == 1 && d.at == 5100) {
            decision.verdict = Verdict::KeyGone;
        }
        assert!(history.judge().holds());
        history
            .decisions
            .iter_mut()
            .filter(|d| d.token == 1 && d.at == 5100)
            .for_each(|d| d.verdict = Verdict::Other);
        assert_eq!(history.judge().count(|v| matches!(v, Violation::Lost { .. })), 2, "not for any reason");
    }

    #[test]
    fn an_honest_history_is_acquitted() {
        let judgement = honest().judge();
        assert!(judgement.holds(), "{:?}", judgement.violations);
        assert_eq!((judgement.acknowledged, judgement.latest_accept_ms), (1, 10));
    }

    #[test]
    fn an_acknowledged_token_that_lives_after_healing_is_lost() {
        for verdict in [Verdict::Accepted, Verdict::Stale, Verdict::Other] {
            let mut history = honest();
            history.bound_ms = 60_000;
            history.decisions.retain(|d| d.guard != "b" || d.token != 1);
            history.decisions.push(decision("b", 1, 5200, verdict));
            assert_eq!(found(&history), [Violation::Lost { token: 1, guard: Some("b".into()) }]);
        }
        let mut history = honest();
        history.active.insert(1, true);
        assert_eq!(found(&history), [Violation::Lost { token: 1, guard: None }]);
    }

    #[test]
    fn acceptance_beyond_the_bound_is_found_to_the_millisecond() {
        let late = |at| {
            let mut history = honest();
            history.decisions.retain(|d| d.guard != "b" || d.at > 5000 || d.token != 1);
            history.decisions.push(decision("b", 1, at, Verdict::Accepted));
            found(&history)
        };
        assert_eq!(late(3020), []);
        let violation = Violation::Late { token: 1, guard: "b".into(), after_ack_ms: 2011 };
        assert_eq!(late(3021), [violation]);
    }

    #[test]
    fn a_token_that_comes_back_at_one_guard_is_found_wherever_it_stands_in_the_log() {
        let mut history = honest();
        history.decisions.insert(0, decision("a", 1, 1200, Verdict::Accepted));
        assert_eq!(found(&history), [Violation::Readmitted { token: 1, guard: "a".into() }]);
    }

    #[test]
    fn what_one_guard_refuses_another_may_still_accept_within_the_bound() {
        let mut history = honest();
        history.decisions.push(decision("c", 1, 1200, Verdict::Accepted));
        assert_eq!(found(&history), []);
    }

    #[test]
    fn a_refusal_that_nobody_asked_for_is_found() {
        let mut history = honest();
        history.decisions.push(decision("a", 2, 1200, Verdict::Revoked));
        assert_eq!(found(&history)[..1], [Violation::Readmitted { token: 2, guard: "a".into() }]);
        assert!(found(&history).contains(&Violation::WronglyRefused { token: 2, guard: "a".into() }));
        let mut history = honest();
        history.decisions.push(decision("a", 1, 950, Verdict::Revoked));
        assert!(found(&history).contains(&Violation::WronglyRefused { token: 1, guard: "a".into() }));
    }

    #[test]
    fn a_guard_that_opens_before_it_is_complete_is_found_by_its_own_word_and_by_ours() {
        let mut history = honest();
        history.decisions.push(Decision { cold: true, ..decision("c", 2, 1200, Verdict::Accepted) });
        assert_eq!(found(&history), [Violation::Cold { token: 2, guard: "c".into() }]);
        let mut history = honest();
        history.fed_from.insert("c".into(), 1201);
        history.decisions.push(decision("c", 2, 1200, Verdict::Accepted));
        assert_eq!(found(&history), [Violation::Cold { token: 2, guard: "c".into() }]);
        history.fed_from.insert("c".into(), 1200);
        assert_eq!(found(&history), []);
    }

    #[test]
    fn an_acknowledgement_without_a_database_is_found() {
        let mut history = honest();
        history.no_truth = Some((999, 1011));
        assert_eq!(found(&history), [Violation::Unfounded { token: 1 }]);
        history.no_truth = Some((1001, 1011));
        assert_eq!(found(&history), []);
    }

    #[test]
    fn an_unanswered_request_promises_nothing_and_excuses_a_refusal() {
        let mut history = honest();
        history.answers.push(answer(2, 1000, 4000, None));
        assert_eq!(found(&history), []);
        history.decisions.push(decision("a", 2, 5200, Verdict::Revoked));
        assert_eq!(found(&history), []);
    }

    #[test]
    fn silence_is_not_proof() {
        let mut history = honest();
        history.decisions.retain(|d| d.guard != "b" || d.at < 5000);
        assert_eq!(found(&history), [Violation::Unproved { token: 1, guard: Some("b".into()) }]);
        let mut history = honest();
        history.active.clear();
        assert_eq!(found(&history), [Violation::Unproved { token: 1, guard: None }]);
    }

    #[test]
    fn recovery_is_when_the_last_standing_guard_opens() {
        let mut history = honest();
        assert_eq!(history.reopened(5000), Some(100));
        history.decisions.push(decision("c", 2, 5900, Verdict::Accepted));
        history.standing.push("c".into());
        assert_eq!(history.reopened(5000), Some(900));
        history.standing.push("d".into());
        assert_eq!(history.reopened(5000), None);
    }
}
