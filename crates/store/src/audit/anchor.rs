//! What holds the chain from outside: signed checkpoints, the signed cut behind which old rows were
//! forgotten, and the erasing of what is personal. Signing and checking are the server's.

use diesel::prelude::*;
use diesel_async::RunQueryDsl;
use portcullis_authority::refusal::Trouble;
use serde::{Deserialize, Serialize};

use super::{StoredAudit, opened};
use crate::Store;
use crate::cipher::AUDIT_DETAIL;
use crate::db::{Fault, on, tx};
use crate::purge::Counting as _;
use crate::rows::{signed, unsigned};
use crate::schema::{audit, audit_anchor, audit_checkpoints, audit_head};

/// Rows whose personal fields are erased in one transaction.
const BITE: i64 = 500;
/// Numbers among which changes are looked for in one transaction.
const SPAN: u64 = 20_000;

/// A row's number and hash.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AuditMark {
    pub seq: u64,
    pub hash: String,
}

/// A mark that somebody vouches for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Checkpoint {
    pub seq: u64,
    pub hash: String,
    /// Seconds.
    pub at: u64,
    /// The signed form; empty where nobody has signed.
    pub statement: String,
}

impl Checkpoint {
    pub fn mark(&self) -> AuditMark {
        AuditMark { seq: self.seq, hash: self.hash.clone() }
    }

    fn read((seq, hash, at, statement): (i64, String, i64, String)) -> Self {
        Self { seq: unsigned(seq), hash, at: unsigned(at), statement }
    }
}

impl Store {
    /// Keeps a checkpoint. A second one for the same row changes nothing.
    pub async fn keep_checkpoint(&self, it: &Checkpoint) -> Result<(), Trouble> {
        let row = (
            audit_checkpoints::seq.eq(signed(it.seq)),
            audit_checkpoints::hash.eq(it.hash.clone()),
            audit_checkpoints::at.eq(signed(it.at)),
            audit_checkpoints::statement.eq(it.statement.clone()),
        );
        let write = async {
            Ok(on!(self.books.db, |c| diesel::insert_into(audit_checkpoints::table)
                .values(row)
                .on_conflict_do_nothing()
                .execute(c)
                .await?))
        };
        self.bite(write).await?;
        Ok(())
    }

    /// Checkpoints of rows after a number, oldest first.
    pub async fn checkpoints(&self, after: u64, limit: usize) -> Result<Vec<Checkpoint>, Trouble> {
        let limit = i64::try_from(limit).unwrap_or(i64::MAX);
        let read = async {
            Ok(on!(self.books.db, |c| audit_checkpoints::table
                .filter(audit_checkpoints::seq.gt(signed(after)))
                .order(audit_checkpoints::seq)
                .limit(limit)
                .load::<(i64, String, i64, String)>(c)
                .await?))
        };
        Ok(self.books.db.within(read).await?.into_iter().map(Checkpoint::read).collect())
    }

    /// The newest checkpoint, if there is one.
    pub async fn newest_checkpoint(&self) -> Result<Option<Checkpoint>, Trouble> {
        let read = async {
            Ok(on!(self.books.db, |c| audit_checkpoints::table
                .order(audit_checkpoints::seq.desc())
                .first::<(i64, String, i64, String)>(c)
                .await
                .optional()?))
        };
        Ok(self.books.db.within(read).await?.map(Checkpoint::read))
    }

    /// When the oldest checkpoint that is still kept and begins so was signed, seconds.
    pub async fn first_checkpoint(&self, opening: &str) -> Result<Option<u64>, Trouble> {
        let begins = format!("{opening}.%");
        let read = async {
            Ok(on!(self.books.db, |c| audit_checkpoints::table
                .filter(audit_checkpoints::statement.like(&begins))
                .select(diesel::dsl::min(audit_checkpoints::at))
                .get_result::<Option<i64>>(c)
                .await?))
        };
        let first = self.books.db.within(read).await?;
        Ok(first.map(|at| u64::try_from(at).unwrap_or_default()))
    }

    /// Where the log begins: the last row that was forgotten.
    pub async fn audit_anchor(&self) -> Result<Checkpoint, Trouble> {
        let read = async {
            Ok(on!(self.books.db, |c| audit_anchor::table
                .find(1)
                .select((audit_anchor::seq, audit_anchor::hash, audit_anchor::at, audit_anchor::statement))
                .get_result::<(i64, String, i64, String)>(c)
                .await?))
        };
        Ok(Checkpoint::read(self.books.db.within(read).await?))
    }

    /// The row up to which the log may be forgotten: everything up to it, at most `most` rows, was written
    /// before this time (seconds).
    pub async fn audit_old(&self, before: u64, most: usize) -> Result<Option<AuditMark>, Trouble> {
        let begin = self.audit_anchor().await?.seq;
        let most = begin.saturating_add(most as u64);
        let read = async {
            let newer = audit::seq.gt(signed(begin)).and(audit::at.ge(signed(before)));
            Ok(on!(self.books.db, |c| {
                let young: Option<i64> = audit::table
                    .filter(newer)
                    .filter(audit::seq.le(signed(most)))
                    .order(audit::seq)
                    .select(audit::seq)
                    .first(c)
                    .await
                    .optional()?;
                audit::table
                    .filter(audit::seq.gt(signed(begin)))
                    .filter(audit::seq.le(signed(most)))
                    .filter(audit::seq.lt(young.unwrap_or(i64::MAX)))
                    .order(audit::seq.desc())
                    .select((audit::seq, audit::hash))
                    .first::<(i64, String)>(c)
                    .await
                    .optional()?
            }))
        };
        let found = self.books.db.within(read).await?;
        Ok(found.map(|(seq, hash)| AuditMark { seq: unsigned(seq), hash }))
    }

    /// Forgets everything up to the row of a signed mark, which becomes the log's beginning. Nothing when
    /// the row is not the one that was signed, or somebody has cut further meanwhile.
    pub async fn audit_cut(&self, at: &Checkpoint) -> Result<usize, Trouble> {
        Ok(self.bite(self.cut(at)).await?)
    }

    async fn cut(&self, at: &Checkpoint) -> Result<usize, Fault> {
        let seq = signed(at.seq);
        tx!(self.books.db, |c| {
            let there: Option<String> =
                audit::table.find(seq).select(audit::hash).get_result(c).await.optional()?;
            if there.as_deref() != Some(at.hash.as_str()) {
                return Ok(0);
            }
            let moved = diesel::update(audit_anchor::table.find(1).filter(audit_anchor::seq.lt(seq)))
                .set((
                    audit_anchor::seq.eq(seq),
                    audit_anchor::hash.eq(&at.hash),
                    audit_anchor::at.eq(signed(at.at)),
                    audit_anchor::statement.eq(&at.statement),
                ))
                .execute(c)
                .await?;
            if moved == 0 {
                return Ok(0);
            }
            diesel::delete(audit_checkpoints::table.filter(audit_checkpoints::seq.lt(seq)))
                .execute(c)
                .await?;
            let gone = diesel::delete(audit::table.filter(audit::seq.le(seq))).execute(c).await?;
            c.put_gone("audit", gone, at.at).await?;
            Ok::<_, Fault>(gone)
        })
    }

    /// Erases what the log holds on a person beside the id: the addresses that they came from, and the
    /// details of changes to the named things, which may hold names. The chain stays whole. Answers how
    /// many rows lost something; what is older than such erasing stays until it is forgotten.
    pub async fn audit_erase(&self, subject: &str, resources: &[String]) -> Result<usize, Trouble> {
        let (mut erased, mut after) = (0, 0);
        while let Some(last) = {
            let (rows, last) = self.bite(self.erase_addresses(subject, after)).await?;
            erased += rows;
            last
        } {
            after = last;
        }
        if resources.is_empty() {
            return Ok(erased);
        }
        let named: Vec<String> = resources.iter().map(|it| named(it)).collect::<Result<_, _>>()?;
        self.books.learn().await?;
        let (mut from, head) = (self.audit_anchor().await?.seq, self.head_seq().await?);
        while signed(from) < head {
            erased += self.bite(self.erase_details(&named, signed(from))).await?;
            from += SPAN;
        }
        Ok(erased)
    }

    async fn erase_addresses(&self, subject: &str, after: i64) -> Result<(usize, Option<i64>), Fault> {
        tx!(self.books.db, |c| {
            let rows: Vec<StoredAudit> = audit::table
                .filter(audit::subject.eq(subject))
                .filter(audit::seq.gt(after))
                .order(audit::seq)
                .limit(BITE)
                .select(StoredAudit::as_select())
                .load(c)
                .await?;
            let mut erased = 0;
            for row in &rows {
                if let Some(left) = row.address_remains() {
                    let erase = (
                        audit::address.eq(None::<String>),
                        audit::address_seal.eq(left),
                        audit::address_mark.eq(None::<String>),
                    );
                    erased += diesel::update(audit::table.find(row.seq)).set(erase).execute(c).await?;
                }
            }
            Ok::<_, Fault>((erased, rows.last().map(|row| row.seq)))
        })
    }

    /// Details are sealed, so that the database cannot look into them: they are opened, a span of numbers at a
    /// time.
    async fn erase_details(&self, named: &[String], after: i64) -> Result<usize, Fault> {
        tx!(self.books.db, |c| {
            let rows: Vec<StoredAudit> = audit::table
                .filter(audit::seq.gt(after))
                .filter(audit::seq.le(after.saturating_add(signed(SPAN))))
                .filter(audit::event.eq("registry.changed"))
                .filter(audit::detail.is_not_null())
                .select(StoredAudit::as_select())
                .load(c)
                .await?;
            let mut erased = 0;
            for row in rows {
                let says = opened(&self.books.cipher, AUDIT_DETAIL, row.seq, row.detail.clone())?;
                let says = says.unwrap_or_default();
                if !named.iter().any(|name| says.contains(name)) {
                    continue;
                }
                if let Some(left) = row.detail_remains() {
                    let erase = (audit::detail.eq(None::<String>), audit::detail_seal.eq(left));
                    erased += diesel::update(audit::table.find(row.seq)).set(erase).execute(c).await?;
                }
            }
            Ok::<_, Fault>(erased)
        })
    }

    /// The number of the newest row, inside the counter.
    pub(crate) async fn head_seq(&self) -> Result<i64, Fault> {
        let read = async {
            Ok(on!(self.books.db, |c| audit_head::table
                .find(1)
                .select(audit_head::seq)
                .get_result::<i64>(c)
                .await?))
        };
        self.books.db.within(read).await
    }
}

/// How the detail of a change names a thing.
fn named(resource: &str) -> Result<String, Fault> {
    Ok(format!("\"resource_id\":{}", crate::rows::written("an id", &resource)?))
}
