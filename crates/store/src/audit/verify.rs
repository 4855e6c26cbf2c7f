//! Computing the chain anew: page after page, so that a log of any length fits, and each page is hashed
//! while the next one is read.

use std::fmt;
use std::sync::Arc;

use diesel::prelude::*;
use diesel_async::RunQueryDsl;
use portcullis_authority::refusal::Trouble;

use super::{AuditMark, StoredAudit};
use crate::Store;
use crate::cipher::Cipher;
use crate::db::{Fault, glance, on};
use crate::rows::{signed, unsigned};
use crate::schema::{audit, audit_head};

/// Rows in one step.
const STRIDE: i64 = 5000;
/// How far away the number is looked for under which a misplaced row was written.
const VICINITY: i64 = 10_000;

/// What a verification found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AuditVerdict {
    /// The row after which it began; 0 is the very beginning.
    pub after: u64,
    /// The last row that is as it was written; after the first that is not, nothing is known.
    pub good: u64,
    /// Rows of which a personal field was erased, which they allow.
    pub erased: u64,
    /// The first row that is not as it was written, and what is wrong with it.
    pub bad: Option<(u64, AuditFinding)>,
}

/// What is wrong with a row.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AuditFinding {
    /// It says something else than what was written.
    Changed,
    /// It is not there, and so many with it.
    Missing { rows: u64 },
    /// It was written under another number.
    Moved { from: u64 },
    /// It hangs together, and not with the row before: one of the two is a forgery.
    Replaced,
    /// The log ends before it; the counter says where it ended.
    CutOff { head: u64 },
    /// The last one is not the one that the counter knows.
    NotTheHead,
    /// The counter does not know it.
    Beyond { head: u64 },
    /// A signed checkpoint knows another row here: somebody has computed the chain anew.
    Rewritten,
    /// A signed checkpoint knows this row, and the log ends before it, counter and all.
    Vanished,
}

impl AuditVerdict {
    /// Whether everything is as it was written.
    pub fn is_sound(&self) -> bool {
        self.bad.is_none()
    }

    /// The number of the first row that is not as it was written.
    pub fn first_bad(&self) -> Option<u64> {
        self.bad.as_ref().map(|(seq, _)| *seq)
    }
}

impl fmt::Display for AuditVerdict {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let rows = self.good.saturating_sub(self.after);
        match &self.bad {
            None => write!(out, "{rows} rows are as they were written, up to row {}", self.good)?,
            Some((seq, finding)) => {
                finding.tell(*seq, out)?;
                write!(out, "; {rows} rows before it are as they were written")?;
            }
        }
        if self.erased > 0 {
            write!(out, "; of {} a personal field was erased", self.erased)?;
        }
        write!(out, ".")
    }
}

impl AuditFinding {
    fn tell(&self, seq: u64, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Changed => write!(out, "row {seq} was changed"),
            Self::Missing { rows: 1 } => write!(out, "row {seq} is missing"),
            Self::Missing { rows } => write!(out, "row {seq} is missing, and {} after it", rows - 1),
            Self::Moved { from } => write!(out, "row {seq} was written as row {from}: rows were reordered"),
            Self::Replaced => {
                write!(out, "row {seq} does not follow row {}: one of the two was replaced", seq - 1)
            }
            Self::CutOff { head } => {
                write!(out, "row {seq} is missing with all after it, up to row {head}: the end was cut off")
            }
            Self::NotTheHead => {
                write!(out, "row {seq} is not the one that was written last: it was replaced")
            }
            Self::Beyond { head } => {
                write!(out, "row {seq} was slipped in: the log ended with row {head}")
            }
            Self::Rewritten => write!(
                out,
                "row {seq} is not the one in a signed checkpoint: the log was rewritten in or before it"
            ),
            Self::Vanished => {
                write!(out, "row {seq} is in a signed checkpoint and is missing: the end was cut off")
            }
        }
    }
}

impl Store {
    /// Computes the chain anew from row `from`, or from where the log begins, and compares it with what
    /// signed checkpoints say.
    ///
    /// The checkpoints are taken at their word; whose signature they bear is for the caller to check.
    pub async fn audit_verify(
        &self,
        from: Option<u64>,
        mut known: Vec<AuditMark>,
    ) -> Result<AuditVerdict, Trouble> {
        let start = match from {
            Some(from) => self.audit_before(from).await?,
            None => self.audit_anchor().await?.mark(),
        };
        known.sort_by_key(|mark| mark.seq);
        let mut walk = Walk::after(start, known);
        let mut page = self.audit_step(walk.seq).await?;
        while !page.rows.is_empty() && walk.bad.is_none() {
            let after = page.rows.last().map_or(walk.seq, |row| row.seq);
            let books = Arc::clone(&self.books);
            let hashing =
                tokio::task::spawn_blocking(move || walk.over(page.rows, page.head.0, &books.cipher));
            let (next, walked) = tokio::join!(self.audit_step(after), hashing);
            (page, walk) = (next?, walked.map_err(|why| Trouble::new("store", why))?);
        }
        Ok(walk.verdict(&page.head))
    }

    /// The mark before a row: where a verification that begins there starts.
    async fn audit_before(&self, from: u64) -> Result<AuditMark, Trouble> {
        let anchor = self.audit_anchor().await?;
        let before = from.saturating_sub(1);
        if before <= anchor.seq {
            return Ok(anchor.mark());
        }
        match self.audit_mark(before).await? {
            Some(mark) => Ok(mark),
            None => Err(Trouble::new("audit", format!("there is no row {before} to begin after"))),
        }
    }

    /// A row's number and hash.
    pub async fn audit_mark(&self, seq: u64) -> Result<Option<AuditMark>, Trouble> {
        let read = async {
            Ok(on!(self.books.db, |c| audit::table
                .find(signed(seq))
                .select(audit::hash)
                .get_result::<String>(c)
                .await
                .optional()?))
        };
        Ok(self.books.db.within(read).await?.map(|hash| AuditMark { seq, hash }))
    }

    async fn audit_step(&self, after: i64) -> Result<Step, Fault> {
        let step = self.books.db.within(self.glance_at(after)).await?;
        // Before they are opened, so that none is sealed under a key that is not known yet.
        self.books.learn().await?;
        Ok(step)
    }

    /// Rows and head of one moment, so that a server that goes on writing is not taken for a forger.
    async fn glance_at(&self, after: i64) -> Result<Step, Fault> {
        glance!(self.books.db, |c| {
            let head: (i64, String) =
                audit_head::table.find(1).select((audit_head::seq, audit_head::hash)).get_result(c).await?;
            let rows = audit::table
                .filter(audit::seq.gt(after))
                .order(audit::seq)
                .limit(STRIDE)
                .select(StoredAudit::as_select())
                .load(c)
                .await?;
            Ok::<_, Fault>(Step { rows, head })
        })
    }
}

struct Step {
    rows: Vec<StoredAudit>,
    head: (i64, String),
}

/// How far a verification has come.
pub(crate) struct Walk {
    after: i64,
    seq: i64,
    hash: String,
    erased: u64,
    /// Signed marks that have not been passed, the next one last.
    ahead: Vec<AuditMark>,
    bad: Option<(u64, AuditFinding)>,
}

impl Walk {
    pub(crate) fn after(start: AuditMark, mut known: Vec<AuditMark>) -> Self {
        known.retain(|mark| mark.seq >= start.seq && mark.seq > 0);
        known.reverse();
        let seq = signed(start.seq);
        let mut walk = Self { after: seq, seq, hash: start.hash, erased: 0, ahead: known, bad: None };
        walk.compare();
        walk
    }

    pub(crate) fn over(mut self, rows: Vec<StoredAudit>, head: i64, cipher: &Cipher) -> Self {
        for row in &rows {
            if self.bad.is_some() {
                break;
            }
            if row.seq > head && self.seq == head {
                self.bad = Some((unsigned(row.seq), AuditFinding::Beyond { head: unsigned(head) }));
                break;
            }
            self.step(row, cipher);
        }
        self
    }

    fn step(&mut self, row: &StoredAudit, cipher: &Cipher) {
        let next = self.seq + 1;
        if row.seq != next {
            let rows = unsigned(row.seq - next);
            self.bad = Some((unsigned(next), AuditFinding::Missing { rows }));
        } else if row.prev_hash != self.hash || !row.fits(&self.hash, next) {
            self.bad = Some((unsigned(next), cause(row, &self.hash)));
        } else if !row.opens(cipher) {
            self.bad = Some((unsigned(next), AuditFinding::Changed));
        } else {
            self.seq = next;
            self.hash.clone_from(&row.hash);
            self.erased += u64::from(row.has_erased());
            self.compare();
        }
    }

    /// Holds the row that was just passed against the checkpoints of its number; what differs was good to
    /// the chain and is not good.
    fn compare(&mut self) {
        while let Some(mark) = self.ahead.pop_if(|mark| mark.seq <= unsigned(self.seq)) {
            if mark.hash != self.hash && self.bad.is_none() {
                self.bad = Some((mark.seq, AuditFinding::Rewritten));
                self.seq = (self.seq - 1).max(self.after);
            }
        }
    }

    pub(crate) fn verdict(self, head: &(i64, String)) -> AuditVerdict {
        let (good, end) = (unsigned(self.seq), unsigned(head.0));
        let bad = match self.bad {
            Some(bad) => Some(bad),
            None if head.0 > self.seq => Some((good + 1, AuditFinding::CutOff { head: end })),
            None if head.1 != self.hash => Some((good, AuditFinding::NotTheHead)),
            None => self.ahead.last().map(|mark| (good.min(mark.seq) + 1, AuditFinding::Vanished)),
        };
        let good = bad.as_ref().map_or(good, |(seq, _)| good.min(seq.saturating_sub(1)));
        AuditVerdict { after: unsigned(self.after), good, erased: self.erased, bad }
    }
}

/// Why a row at the right number does not follow the one before.
fn cause(row: &StoredAudit, before: &str) -> AuditFinding {
    if row.prev_hash == before || row.fits(before, row.seq) {
        return AuditFinding::Changed;
    }
    if row.fits(&row.prev_hash, row.seq) {
        return AuditFinding::Replaced;
    }
    let around = (row.seq - VICINITY).max(1)..row.seq + VICINITY;
    match around.into_iter().find(|seq| row.fits(&row.prev_hash, *seq)) {
        Some(from) => AuditFinding::Moved { from: unsigned(from) },
        None => AuditFinding::Changed,
    }
}
