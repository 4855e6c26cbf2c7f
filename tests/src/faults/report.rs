//! What came of a scenario, as a line of the table.

use std::collections::BTreeMap;
use std::fmt;

use super::history::{Answer, History, Judgement, Violation};

/// The judgement of a scenario and what else is worth knowing.
#[derive(Clone, Debug)]
pub struct Report {
    pub judgement: Judgement,
    /// From mending to the moment at which every guard accepted again and the server acknowledged again.
    pub recovery_ms: Option<u64>,
    /// Requests to revoke by status; 0 is no answer.
    pub answers: BTreeMap<u16, usize>,
    /// What the scenario itself has found wrong.
    pub complaints: Vec<String>,
}

impl Report {
    pub fn of(history: &History, healed: u64) -> Self {
        let mut answers = BTreeMap::new();
        for answer in &history.answers {
            *answers.entry(answer.status.unwrap_or(0)).or_insert(0) += 1;
        }
        let judgement = history.judge();
        let guards = history.reopened(healed);
        let server = first_ack(&history.answers, healed).unwrap_or(0);
        Self {
            recovery_ms: guards.map(|guards| guards.max(server)),
            judgement,
            answers,
            complaints: Vec::new(),
        }
    }

    /// Whether every promise was kept and the scenario is content.
    pub fn holds(&self) -> bool {
        self.judgement.holds() && self.complaints.is_empty() && self.recovery_ms.is_some()
    }

    /// The names of the columns.
    pub fn header() -> String {
        format!(
            "{:<26} {:>6} {:>5} {:>5} {:>8} {:>6} {:>8} {:>9} {:>10}  {}",
            "fault",
            "acked",
            "lost",
            "late",
            "readmit",
            "wrong",
            "last ok",
            "decisions",
            "recovery",
            "answers"
        )
    }

    /// The line of the scenario with this name.
    pub fn line(&self, name: &str) -> String {
        let j = &self.judgement;
        let lost = j.count(|v| {
            matches!(v, Violation::Lost { .. } | Violation::Unfounded { .. } | Violation::Unproved { .. })
        });
        let late = j.count(|v| matches!(v, Violation::Late { .. } | Violation::Cold { .. }));
        let readmitted = j.count(|v| matches!(v, Violation::Readmitted { .. }));
        let wrong = j.count(|v| matches!(v, Violation::WronglyRefused { .. }));
        let recovery = self.recovery_ms.map_or("never".into(), |ms| format!("{ms} ms"));
        let answers = self.answers.iter().map(|(status, n)| match status {
            0 => format!("none x{n}"),
            status => format!("{status} x{n}"),
        });
        let answers = answers.collect::<Vec<_>>().join(", ");
        let last = format!("{} ms", j.latest_accept_ms);
        format!(
            "{name:<26} {:>6} {lost:>5} {late:>5} {readmitted:>8} {wrong:>6} {last:>8} {:>9} {recovery:>10}  {answers}",
            j.acknowledged, j.decisions
        )
    }
}

impl fmt::Display for Report {
    /// What is wrong, a line each, at most twenty.
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        const SHOWN: usize = 20;
        for complaint in &self.complaints {
            writeln!(to, "    {complaint}")?;
        }
        for violation in self.judgement.violations.iter().take(SHOWN) {
            writeln!(to, "    {violation}")?;
        }
        match self.judgement.violations.len().saturating_sub(SHOWN) {
            0 => Ok(()),
            more => writeln!(to, "    and {more} more"),
        }
    }
}

/// How long after `healed` a request that began then was acknowledged.
fn first_ack(answers: &[Answer], healed: u64) -> Option<u64> {
    let acks = answers.iter().filter(|a| a.status == Some(200) && a.ended >= healed);
    acks.map(|a| a.ended - healed).min()
}
