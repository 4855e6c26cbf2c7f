//! Fault injection: real processes, broken on purpose, and a judge who reads what they wrote down.
//!
//! A scenario (`scenarios/`) sets a stage: a server, guards behind links of their own, and a crowd that
//! revokes. It breaks something, mends it, and hands the history to the judge (`history.rs`).

pub mod child;
pub mod crowd;
pub mod diary;
pub mod drill;
pub mod history;
pub mod liar;
pub mod link;
pub mod machine;
pub mod postgres;
pub mod redis;
pub mod report;
pub mod scenarios;
pub mod sentry;
pub mod server;
pub mod stage;

use std::fmt::Display;
use std::path::PathBuf;

pub use report::Report;
pub use scenarios::{SCENARIOS, Scenario};

/// How runs are to be.
#[derive(Clone, Debug)]
pub struct Plan {
    /// The server's program.
    pub server: PathBuf,
    /// The program of `faults-guard`.
    pub guard: PathBuf,
    /// Where the files of a run go; those of a good run are removed.
    pub home: PathBuf,
    /// How long the crowd revokes.
    pub seconds: u64,
    /// How many tokens it revokes.
    pub tokens: u32,
    /// The guards' bound on staleness.
    pub bound_ms: u64,
    /// Decides where something is left to chance.
    pub seed: u64,
}

/// Why a scenario came to no judgement.
#[derive(Debug)]
pub enum Trouble {
    /// This machine lacks something.
    CannotRun(String),
    /// Something else broke than was meant to.
    Broken(String),
}

impl Trouble {
    pub fn broken(why: impl Display) -> Self {
        Self::Broken(why.to_string())
    }
}
