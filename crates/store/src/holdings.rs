//! What the books hold, table by table: how much, since when, how much of it is over, and what went last. Made for
//! the report of retention; every count stops at a limit, so that a large table costs no more than a small one.

use std::collections::BTreeMap;

use diesel::prelude::*;
use diesel::sql_types::{BigInt, Nullable};
use diesel_async::RunQueryDsl;
use portcullis_authority::refusal::Trouble;

use crate::Store;
use crate::db::{Fault, on};
use crate::retention::{After, By, KEPT, Kept, Periods, Until};
use crate::rows::{signed, unsigned};
use crate::schema::{audit, retention_runs};

/// Rows that are counted one by one; there may be more.
pub const MOST_COUNTED: u64 = 100_000;

/// What is held in one table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Holding {
    pub table: &'static str,
    /// At most [`MOST_COUNTED`], but of the audit log, which is numbered.
    pub rows: u64,
    /// The earliest moment that the period counts from, seconds; may lie ahead.
    pub oldest: Option<u64>,
    /// Rows whose time is over; nothing where there is no period. At most [`MOST_COUNTED`].
    pub due: Option<u64>,
    /// Rows that went the last time that any went, and when.
    pub removed: Option<(u64, u64)>,
}

#[derive(QueryableByName)]
struct Number {
    #[diesel(sql_type = Nullable<BigInt>)]
    n: Option<i64>,
}

impl Store {
    /// What there is at `now` (seconds), in the order of the list.
    ///
    /// # Errors
    /// Trouble with the books.
    pub async fn holdings(&self, periods: &Periods, now: u64) -> Result<Vec<Holding>, Trouble> {
        let runs = self.runs().await?;
        let mut all = Vec::with_capacity(KEPT.len());
        for kept in KEPT {
            let removed = runs.get(kept.table).copied();
            let mut holding = match kept.until {
                Until::After(After { by: By::Cut, span, .. }) => {
                    let before = span.seconds(periods).map(|span| now.saturating_sub(span));
                    self.log_held(kept, before).await?
                }
                Until::After(after) => {
                    let before = after.span.seconds(periods).map(|span| now.saturating_sub(span));
                    self.books.db.within_each(3, self.held(kept, &after, before)).await?
                }
                Until::With(_) => {
                    let rows = self.books.db.within(self.counted(kept.table, "1 = 1", None)).await?;
                    Holding { table: kept.table, rows, oldest: None, due: None, removed: None }
                }
            };
            holding.removed = removed;
            all.push(holding);
        }
        Ok(all)
    }

    async fn held(&self, kept: &Kept, after: &After, before: Option<u64>) -> Result<Holding, Fault> {
        let After { time, of, .. } = after;
        let rows = self.counted(kept.table, "1 = 1", None).await?;
        let query = format!(
            "SELECT {time} AS n FROM {} WHERE {of} AND {time} IS NOT NULL ORDER BY {time} LIMIT 1",
            kept.table
        );
        let oldest: Option<Number> =
            on!(self.books.db, |c| diesel::sql_query(query).get_result(c).await.optional()?);
        let oldest = oldest.and_then(|it| it.n).map(unsigned);
        let due = match before {
            None => None,
            Some(before) => {
                let over = format!("{time} <= $1 AND {of}");
                Some(self.counted(kept.table, &over, Some(before)).await?)
            }
        };
        Ok(Holding { table: kept.table, rows, oldest, due, removed: None })
    }

    async fn counted(&self, table: &str, which: &str, before: Option<u64>) -> Result<u64, Fault> {
        let some = format!("SELECT 1 AS one FROM {table} WHERE {which} LIMIT {MOST_COUNTED}");
        let counted = diesel::sql_query(format!("SELECT count(*) AS n FROM ({some}) counted"));
        let number: Number = on!(self.books.db, |c| match before {
            Some(before) => counted.bind::<BigInt, _>(signed(before)).get_result(c).await?,
            None => counted.get_result(c).await?,
        });
        Ok(unsigned(number.n.unwrap_or_default()))
    }

    /// The log is numbered without gaps, so nothing is counted.
    async fn log_held(&self, kept: &Kept, before: Option<u64>) -> Result<Holding, Trouble> {
        let (begin, head) = (self.audit_anchor().await?.seq, self.audit_head().await?.seq);
        let first = async {
            Ok(on!(self.books.db, |c| audit::table
                .find(signed(begin) + 1)
                .select(audit::at)
                .get_result::<i64>(c)
                .await
                .optional()?))
        };
        let oldest = self.books.db.within(first).await?.map(unsigned);
        let due = match before {
            None => None,
            Some(before) => {
                let old = self.audit_old(before, MOST_COUNTED as usize).await?;
                Some(old.map_or(0, |mark| mark.seq.saturating_sub(begin)))
            }
        };
        Ok(Holding { table: kept.table, rows: head.saturating_sub(begin), oldest, due, removed: None })
    }

    async fn runs(&self) -> Result<BTreeMap<String, (u64, u64)>, Trouble> {
        let read = async {
            Ok(on!(self.books.db, |c| retention_runs::table
                .filter(retention_runs::at.gt(0))
                .select((retention_runs::name, retention_runs::removed, retention_runs::at))
                .load::<(String, i64, i64)>(c)
                .await?))
        };
        let rows = self.books.db.within(read).await?;
        Ok(rows.into_iter().map(|(name, removed, at)| (name, (unsigned(removed), unsigned(at)))).collect())
    }
}
