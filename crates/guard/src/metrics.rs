//! What a guard has seen and done, in numbers: a snapshot, and the text that Prometheus reads. No token, no
//! person and no address is ever in it.

mod tally;

use std::fmt;

use crate::feed::{Counts, Picture, State};
use crate::introspection::Introspections;
pub(crate) use tally::Tally;

/// The numbers of a guard at one moment. Made by [`crate::Guard::metrics`]; `Display` is the text form of
/// Prometheus, to be served as [`CONTENT_TYPE`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Metrics {
    /// Where the guard stands with its feed, if it follows one.
    pub picture: Option<Picture>,
    /// Checks by outcome: `accepted`, or the code of the refusal.
    pub checks: Vec<(&'static str, u64)>,
    /// What became of good tokens while the guard was stale.
    pub stale: Vec<StaleChecks>,
    /// What the issuer was asked.
    pub introspections: Introspections,
    /// What happened on the way of the feed, by source.
    pub sources: Vec<(&'static str, SourceCounts)>,
}

/// Decisions that were taken while the guard was stale, under one policy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StaleChecks {
    /// `deny`, `introspect` or `allow_up_to`.
    pub policy: &'static str,
    /// Tokens let in.
    pub accepted: u64,
    /// Tokens turned away.
    pub refused: u64,
}

/// What happened on the way of the feed, from one source.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SourceCounts {
    /// What was wrong with what came.
    pub faults: Counts,
    /// How often the source failed and was asked anew.
    pub reconnects: u64,
}

/// The media type of the text form.
pub const CONTENT_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

impl Metrics {
    /// Adds what a source of the feed counts; `name` is for the label, for example `http`.
    pub fn source(mut self, name: &'static str, counts: SourceCounts) -> Self {
        self.sources.push((name, counts));
        self
    }
}

impl fmt::Display for Metrics {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut page = Page(to);
        if let Some(picture) = &self.picture {
            page.picture(picture)?;
        }
        page.family("checks_total", "counter", "Tokens checked, by outcome.")?;
        for (outcome, count) in &self.checks {
            page.line("checks_total", &[("outcome", outcome)], *count)?;
        }
        page.stale(&self.stale)?;
        page.introspections(&self.introspections)?;
        page.sources(&self.sources)
    }
}

/// The text form while it is being written.
struct Page<'a, 'b>(&'a mut fmt::Formatter<'b>);

impl Page<'_, '_> {
    fn picture(&mut self, picture: &Picture) -> fmt::Result {
        self.family("state", "gauge", "1 for where the guard stands with its feed.")?;
        for state in State::ALL {
            self.line("state", &[("state", state.word())], u64::from(state == picture.state))?;
        }
        self.family("age_milliseconds", "gauge", "How old the guard's picture is; absent before the first.")?;
        if let Some(age_ms) = picture.age_ms {
            self.line("age_milliseconds", &[], age_ms)?;
        }
        let (held, bytes) = (picture.records as u64, picture.bytes as u64);
        self.alone("position_epoch", "gauge", "The epoch of the last record read.", picture.position.epoch)?;
        self.alone("position_sequence", "gauge", "The number of that record.", picture.position.seq)?;
        self.alone("records", "gauge", "Records held.", held)?;
        self.alone("records_bytes", "gauge", "Bytes that hold them.", bytes)
    }

    fn stale(&mut self, checks: &[StaleChecks]) -> fmt::Result {
        self.family("stale_checks_total", "counter", "Good tokens that came while the guard was stale.")?;
        for StaleChecks { policy, accepted, refused } in checks {
            for (outcome, count) in [("accepted", accepted), ("refused", refused)] {
                self.line("stale_checks_total", &[("policy", policy), ("outcome", outcome)], *count)?;
            }
        }
        Ok(())
    }

    fn introspections(&mut self, counts: &Introspections) -> fmt::Result {
        let Introspections { active, inactive, failed, kept, shed } = *counts;
        self.family("introspections_total", "counter", "What became of questions to the issuer.")?;
        let all =
            [("active", active), ("inactive", inactive), ("failed", failed), ("kept", kept), ("shed", shed)];
        all.iter().try_for_each(|(outcome, count)| {
            self.line("introspections_total", &[("outcome", outcome)], *count)
        })
    }

    fn sources(&mut self, sources: &[(&'static str, SourceCounts)]) -> fmt::Result {
        self.family("feed_faults_total", "counter", "What was wrong with what a source of the feed sent.")?;
        for (source, SourceCounts { faults, .. }) in sources {
            let Counts { duplicates, old_epochs, gaps, forgeries } = *faults;
            let all =
                [("duplicate", duplicates), ("old_epoch", old_epochs), ("gap", gaps), ("forgery", forgeries)];
            for (fault, count) in all {
                self.line("feed_faults_total", &[("source", source), ("fault", fault)], count)?;
            }
        }
        self.family("feed_reconnects_total", "counter", "How often a source failed and was asked anew.")?;
        sources.iter().try_for_each(|(source, counts)| {
            self.line("feed_reconnects_total", &[("source", source)], counts.reconnects)
        })
    }

    fn alone(&mut self, name: &str, kind: &str, help: &str, value: u64) -> fmt::Result {
        self.family(name, kind, help)?;
        self.line(name, &[], value)
    }

    fn family(&mut self, name: &str, kind: &str, help: &str) -> fmt::Result {
        writeln!(self.0, "# HELP portcullis_guard_{name} {help}")?;
        writeln!(self.0, "# TYPE portcullis_guard_{name} {kind}")
    }

    /// One value. Labels are words of this crate or names that the service chose, and need no escape.
    fn line(&mut self, name: &str, labels: &[(&str, &str)], value: u64) -> fmt::Result {
        write!(self.0, "portcullis_guard_{name}")?;
        for (at, (label, word)) in labels.iter().enumerate() {
            let open = if at == 0 { '{' } else { ',' };
            write!(self.0, "{open}{label}=\"{word}\"")?;
        }
        self.0.write_str(if labels.is_empty() { "" } else { "}" })?;
        writeln!(self.0, " {value}")
    }
}
