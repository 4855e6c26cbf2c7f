//! Forgetting, in small bites: what has ended long enough ago that nothing can ask for it any more.
//!
//! The audit log is cut elsewhere (`audit/anchor.rs`), because a cut is signed.

use std::future::Future;

use diesel::prelude::*;
use diesel_async::RunQueryDsl;
use portcullis_authority::refusal::Trouble;
use portcullis_guard::feed::Kind;

use crate::Store;
use crate::db::{Fault, on};
use crate::feed::AFTERLIFE;
use crate::rows::signed;
use crate::schema::{
    assertions, codes, families, guard_reports, operator_invitations, operator_sessions, person_invitations,
    rv_log, sessions,
};

/// Beats and announcements that a later one has replaced stay as long as a stream's tail (design 1.5).
const TAIL: u64 = 15 * 60;

/// A spent code is remembered so long after it is over, seconds: who shows it a second time, however late, has
/// stolen it or was robbed, and that closes the family (RFC 6749 section 4.1.2).
const SPENT: u64 = 3600;

/// A guard that has said nothing for so long is gone, seconds.
const SILENT: u64 = 3600;

/// However large a bite is asked for; below what one statement may bind.
const LARGEST_BITE: usize = 10_000;

/// Finds some rows and deletes those of them that are still so. Two statements, because neither database
/// deletes with a limit.
macro_rules! sweep {
    ($db:expr, $table:ident . $key:ident, $over:expr, $limit:expr) => {
        Ok(on!($db, |c| {
            let old: Vec<String> =
                $table::table.filter($over).limit($limit).select($table::$key).load(c).await?;
            diesel::delete($table::table).filter($table::$key.eq_any(old)).filter($over).execute(c).await?
        }))
    };
}

/// How many rows went.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Purged {
    pub codes: usize,
    pub sessions: usize,
    pub assertions: usize,
    pub families: usize,
    pub records: usize,
    pub reports: usize,
}

impl Purged {
    /// Whether there was nothing left; otherwise there may be more.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

impl Store {
    /// Deletes at most `limit` rows of each kind that are over at `now` (seconds). Call it now and then,
    /// and again at once while it returns something.
    pub async fn purge(&self, now: u64, limit: usize) -> Result<Purged, Trouble> {
        let limit = i64::try_from(limit.min(LARGEST_BITE)).unwrap_or(0);
        Ok(Purged {
            codes: self.bite(self.old_codes(signed(now.saturating_sub(SPENT)), limit)).await?,
            sessions: self.bite(self.old_sessions(signed(now), limit)).await?
                + self.bite(self.old_operator_sessions(signed(now), limit)).await?
                + self.bite(self.old_invitations(signed(now), limit)).await?
                + self.bite(self.old_welcomes(signed(now), limit)).await?,
            assertions: self.bite(self.old_assertions(now, limit)).await?,
            families: self.bite(self.old_families(now, limit)).await?,
            records: self.bite(self.old_records(now, limit)).await?,
            reports: self.bite(self.old_reports(now)).await?,
        })
    }

    /// Each bite is a transaction of its own and, on SQLite, waits for its turn, so that deeds never wait
    /// for more than one.
    pub(crate) async fn bite<T>(&self, work: impl Future<Output = Result<T, Fault>>) -> Result<T, Fault> {
        let _turn = match self.books.db.one_writer() {
            true => Some(self.books.turn.lock().await),
            false => None,
        };
        self.books.db.within(work).await
    }

    async fn old_codes(&self, before: i64, limit: i64) -> Result<usize, Fault> {
        sweep!(self.books.db, codes.hash, codes::expires_at.le(before), limit)
    }

    async fn old_sessions(&self, now: i64, limit: i64) -> Result<usize, Fault> {
        sweep!(self.books.db, sessions.hash, sessions::expires_at.le(now), limit)
    }

    async fn old_operator_sessions(&self, now: i64, limit: i64) -> Result<usize, Fault> {
        sweep!(self.books.db, operator_sessions.hash, operator_sessions::expires_at.le(now), limit)
    }

    async fn old_invitations(&self, now: i64, limit: i64) -> Result<usize, Fault> {
        sweep!(self.books.db, operator_invitations.id, operator_invitations::expires_at.le(now), limit)
    }

    async fn old_welcomes(&self, now: i64, limit: i64) -> Result<usize, Fault> {
        sweep!(self.books.db, person_invitations.id, person_invitations::expires_at.le(now), limit)
    }

    async fn old_assertions(&self, now: u64, limit: i64) -> Result<usize, Fault> {
        let before = signed(now.saturating_sub(AFTERLIFE));
        sweep!(self.books.db, assertions.digest, assertions::exp.le(before), limit)
    }

    async fn old_families(&self, now: u64, limit: i64) -> Result<usize, Fault> {
        let before = signed(now.saturating_sub(self.books.audit_period.as_secs()));
        sweep!(self.books.db, families.id, families::abs_exp.le(before), limit)
    }

    /// A fleet's, and so never many.
    async fn old_reports(&self, now: u64) -> Result<usize, Fault> {
        let before = signed(now.saturating_sub(SILENT).saturating_mul(1000));
        Ok(on!(self.books.db, |c| diesel::delete(guard_reports::table)
            .filter(guard_reports::at_ms.le(before))
            .execute(c)
            .await?))
    }

    /// Records that match no living token, beats that have left the tail, and announcements of a policy
    /// that a later one replaced. That keys have changed is no news once the manifest names them.
    async fn old_records(&self, now: u64, limit: i64) -> Result<usize, Fault> {
        let over = signed(now.saturating_sub(AFTERLIFE));
        let left = signed(now.saturating_sub(TAIL).saturating_mul(1000));
        let (beat, policy) = (i64::from(Kind::Beat as u8), i64::from(Kind::Policy as u8));
        let keys = i64::from(Kind::Keys as u8);
        let ours = rv_log::feed.eq(&self.books.feed);
        let ended = rv_log::kind.ne(beat).or(rv_log::as_of_ms.le(left));
        Ok(on!(self.books.db, |c| {
            let newest: Option<i64> = rv_log::table
                .filter(ours)
                .filter(rv_log::kind.eq(policy))
                .select(diesel::dsl::max(rv_log::seq))
                .first(c)
                .await?;
            let replaced = rv_log::kind.eq(policy).and(rv_log::seq.lt(newest.unwrap_or(0)));
            let old: Vec<i64> = rv_log::table
                .filter(ours)
                .filter(
                    rv_log::exp
                        .le(over)
                        .and(ended)
                        .or(replaced.or(rv_log::kind.eq(keys)).and(rv_log::as_of_ms.le(left))),
                )
                .limit(limit)
                .select(rv_log::seq)
                .load(c)
                .await?;
            diesel::delete(rv_log::table.filter(ours).filter(rv_log::seq.eq_any(old))).execute(c).await?
        }))
    }
}
