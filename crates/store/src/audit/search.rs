//! Looking for rows, newest first. A page costs a bounded amount of work whatever is asked: what has no
//! index of its own is looked for in a window of numbers, and the cursor says where to go on.

use diesel::prelude::*;
use diesel_async::{AsyncConnectionCore, RunQueryDsl};
use portcullis_authority::refusal::Trouble;

use super::{AuditEntry, StoredAudit};
use crate::Store;
use crate::cipher::Mark;
use crate::db::{Fault, both, on};
use crate::rows::{signed, unsigned};
use crate::schema::audit;

/// Rows that a page may look at for what has no index.
const WINDOW: i64 = 100_000;
/// Rows of one person that a page may look at.
const OF_ONE: i64 = 20_000;
/// Rows on a page, at most.
const LONGEST: usize = 1000;
/// Rows are numbered in order of their commits, and times are read before on clocks that differ.
const CLOCKS: u64 = 600;

/// What to look for: everything that is said must fit.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AuditQuery {
    pub organization: Option<String>,
    pub client_id: Option<String>,
    pub subject: Option<String>,
    /// Anywhere in the chain of actors.
    pub actor: Option<String>,
    pub event: Option<String>,
    pub sid: Option<String>,
    pub jti: Option<String>,
    pub address: Option<String>,
    pub request_id: Option<String>,
    /// Not before this time, seconds.
    pub since: Option<u64>,
    /// Before this time, seconds.
    pub until: Option<u64>,
    /// Before this row: where the page before ended.
    pub before: Option<u64>,
    /// At most a thousand.
    pub limit: usize,
}

/// Some rows, newest first.
#[derive(Clone, Debug, PartialEq)]
pub struct AuditPage {
    pub entries: Vec<AuditEntry>,
    /// Where the next page begins (`before`). A page may be empty and still have one after it.
    pub next: Option<u64>,
}

impl Store {
    /// A page of what fits.
    pub async fn audit_search(&self, query: &AuditQuery) -> Result<AuditPage, Trouble> {
        Ok(self.look_for(query).await?)
    }

    async fn look_for(&self, query: &AuditQuery) -> Result<AuditPage, Fault> {
        let begin = self.first_of(query.since.map(|at| at.saturating_sub(CLOCKS))).await?;
        let mut end = query.before.map_or(i64::MAX, signed).min(self.head_seq().await?.saturating_add(1));
        if let Some(until) = query.until {
            end = end.min(self.first_of(Some(until.saturating_add(CLOCKS))).await?);
        }
        let floor = self.floor(query, end).await?.max(begin);
        let limit = query.limit.clamp(1, LONGEST);
        let most = i64::try_from(limit).unwrap_or(i64::MAX);
        let cipher = &self.books.cipher;
        let mark = query.address.as_ref().map(|address| cipher.mark(Mark::AuditAddress, address));
        let mark = mark.as_deref();
        let read = || async move {
            let span = Span { from: floor, before: end, most };
            let rows = on!(self.books.db, |c| c.fitting(query, mark, span).await?);
            rows.into_iter().map(|row| row.read(cipher)).collect::<Result<Vec<_>, _>>()
        };
        let entries = self.books.reading(read).await?;
        let next = match entries.last() {
            Some(last) if entries.len() == limit => Some(signed(last.seq)),
            _ if floor > begin => Some(floor),
            _ => None,
        };
        Ok(AuditPage { entries, next: next.map(unsigned) })
    }

    /// The lowest number that this page looks at.
    async fn floor(&self, query: &AuditQuery, end: i64) -> Result<i64, Fault> {
        if query.sid.is_some() || query.jti.is_some() {
            return Ok(0); // a login or a token has few rows
        }
        let Some(subject) = &query.subject else { return Ok(end.saturating_sub(WINDOW)) };
        let read = async {
            Ok(on!(self.books.db, |c| audit::table
                .filter(audit::subject.eq(subject))
                .filter(audit::seq.lt(end))
                .order(audit::seq.desc())
                .offset(OF_ONE)
                .limit(1)
                .select(audit::seq)
                .get_result::<i64>(c)
                .await
                .optional()?))
        };
        Ok(self.books.db.within(read).await?.unwrap_or(0))
    }

    /// The first row that is not older than this, or the one after the last: found by halving, because
    /// times grow with the numbers.
    async fn first_of(&self, at: Option<u64>) -> Result<i64, Fault> {
        let Some(at) = at.map(signed) else { return Ok(0) };
        let (mut low, mut high) = (0, self.head_seq().await?.saturating_add(1));
        while low < high {
            let middle = low + (high - low) / 2;
            let read = async {
                Ok(on!(self.books.db, |c| audit::table
                    .filter(audit::seq.ge(middle))
                    .order(audit::seq)
                    .limit(1)
                    .select(audit::at)
                    .get_result::<i64>(c)
                    .await
                    .optional()?))
            };
            match self.books.db.within(read).await? {
                Some(found) if found < at => low = middle + 1,
                _ => high = middle,
            }
        }
        Ok(low)
    }
}

/// A text that stands for itself in a pattern.
pub(crate) fn literally(text: &str) -> String {
    text.replace('\\', "\\\\").replace('%', "\\%").replace('_', "\\_")
}

/// Which numbers, and how many of them.
#[derive(Clone, Copy)]
struct Span {
    from: i64,
    before: i64,
    most: i64,
}

trait Looking {
    async fn fitting(
        &mut self,
        query: &AuditQuery,
        mark: Option<&str>,
        span: Span,
    ) -> Result<Vec<StoredAudit>, Fault>;
}

both! {
    impl Looking {
        async fn fitting(
            &mut self,
            query: &AuditQuery,
            mark: Option<&str>,
            span: Span,
        ) -> Result<Vec<StoredAudit>, Fault> {
            let mut rows = audit::table
                .into_boxed::<<Self as AsyncConnectionCore>::Backend>()
                .filter(audit::seq.ge(span.from))
                .filter(audit::seq.lt(span.before))
                .order(audit::seq.desc())
                .limit(span.most);
            if let Some(it) = &query.organization { rows = rows.filter(audit::organization_id.eq(it)) }
            if let Some(it) = &query.client_id { rows = rows.filter(audit::client_id.eq(it)) }
            if let Some(it) = &query.subject { rows = rows.filter(audit::subject.eq(it)) }
            if let Some(it) = &query.event { rows = rows.filter(audit::event.eq(it)) }
            if let Some(it) = &query.sid { rows = rows.filter(audit::sid.eq(it)) }
            if let Some(it) = &query.jti { rows = rows.filter(audit::jti.eq(it)) }
            // Of rows from before addresses were sealed, the address itself.
            if let Some(it) = &query.address { rows = rows.filter(audit::address_mark.eq(mark).or(audit::address.eq(it))) }
            if let Some(it) = &query.request_id { rows = rows.filter(audit::request_id.eq(it)) }
            if let Some(it) = query.since { rows = rows.filter(audit::at.ge(signed(it))) }
            if let Some(it) = query.until { rows = rows.filter(audit::at.lt(signed(it))) }
            if let Some(it) = &query.actor {
                let named = crate::rows::written("an actor", it)?;
                rows = rows.filter(audit::actors.like(format!("%{}%", literally(&named))).escape('\\'));
            }
            Ok(rows.select(StoredAudit::as_select()).load(self).await?)
        }
    }
}
