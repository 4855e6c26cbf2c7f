//! The proof that the audit log is as it was written: the chain, the signed cut that it begins with, and
//! every signed checkpoint, those of the store and those that were kept elsewhere.

use std::fmt;

use portcullis_authority::refusal::Trouble;
use portcullis_store::{AuditMark, AuditVerdict, Checkpoint, Store};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Vouched, Witness};

/// Checkpoints read at a time.
const STRIDE: usize = 1000;
/// Doubts that are named; more of them say nothing more.
const DOUBTS: usize = 20;

/// What was found.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[schemars(rename = "AuditVerdict")]
pub struct Proof {
    pub sound: bool,
    /// The first row that is not as it was written.
    pub first_bad: Option<u64>,
    /// What the chain itself says, in a sentence.
    pub chain: String,
    /// The last row that is as it was written.
    pub good: u64,
    /// Checkpoints that are genuine.
    pub checkpoints: usize,
    /// The newest of them.
    pub newest_checkpoint: Option<u64>,
    /// What is wrong beside the chain, a sentence each.
    pub doubts: Vec<String>,
}

/// Verifies from row `from`, or from the beginning; `kept` are statements that were kept elsewhere.
///
/// # Errors
/// Trouble with the books.
pub async fn prove(
    store: &Store,
    witness: &Witness,
    from: Option<u64>,
    kept: &[String],
) -> Result<Proof, Trouble> {
    let mut found = Found::default();
    found.beginning(&store.audit_anchor().await?, witness);
    let mut after = 0;
    loop {
        let page = store.checkpoints(after, STRIDE).await?;
        let Some(last) = page.last() else { break };
        after = last.seq;
        for stored in &page {
            found.stored(stored, witness);
        }
    }
    for statement in kept {
        found.kept(statement, witness);
    }
    let Found { marks, mut doubts } = found;
    doubts.truncate(DOUBTS);
    let (checkpoints, newest) = (marks.len(), marks.iter().map(|mark| mark.seq).max());
    let verdict = store.audit_verify(from, marks).await?;
    Ok(Proof::of(&verdict, checkpoints, newest, doubts))
}

#[derive(Default)]
struct Found {
    marks: Vec<AuditMark>,
    doubts: Vec<String>,
}

impl Found {
    fn beginning(&mut self, anchor: &Checkpoint, witness: &Witness) {
        if anchor.seq == 0 && anchor.hash.is_empty() {
            return;
        }
        let why = match witness.read(&anchor.statement, Vouched::Cut) {
            Ok(said) if said.mark() == anchor.mark() => return,
            Ok(_) => "is of another row",
            Err(why) => why,
        };
        self.doubts.push(format!(
            "the log begins after row {}, and the statement that what was before was old {why}",
            anchor.seq
        ));
    }

    fn stored(&mut self, stored: &Checkpoint, witness: &Witness) {
        match witness.read(&stored.statement, Vouched::Checkpoint) {
            Ok(said) if said.mark() == stored.mark() => self.marks.push(said.mark()),
            Ok(_) => self.doubts.push(format!("the checkpoint of row {} is of another row", stored.seq)),
            Err(why) => self.doubts.push(format!("the checkpoint of row {} {why}", stored.seq)),
        }
    }

    fn kept(&mut self, statement: &str, witness: &Witness) {
        match witness.read(statement, Vouched::Checkpoint) {
            Ok(said) => self.marks.push(said.mark()),
            Err(why) => {
                let begin: String = statement.trim().chars().take(24).collect();
                self.doubts.push(format!("the checkpoint {begin}... that was handed in {why}"));
            }
        }
    }
}

impl Proof {
    fn of(verdict: &AuditVerdict, checkpoints: usize, newest: Option<u64>, doubts: Vec<String>) -> Self {
        Self {
            sound: verdict.is_sound() && doubts.is_empty(),
            first_bad: verdict.first_bad(),
            chain: verdict.to_string(),
            good: verdict.good,
            checkpoints,
            newest_checkpoint: newest,
            doubts,
        }
    }
}

impl fmt::Display for Proof {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{}", self.chain)?;
        for doubt in &self.doubts {
            write!(out, "\n{doubt}.")?;
        }
        match self.newest_checkpoint {
            Some(newest) if self.sound => {
                write!(out, "\n{} signed checkpoints agree; the newest is of row {newest}.", self.checkpoints)
            }
            None if self.sound => {
                write!(out, "\nNo checkpoint was signed yet, so only the chain itself speaks for it.")
            }
            _ => Ok(()),
        }
    }
}
