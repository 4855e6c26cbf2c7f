//! What operators look up before and after they end something. Every look is bounded: by an index, by a
//! limit, or by the newest part of the audit log.

use async_trait::async_trait;
use diesel::prelude::*;
use diesel_async::RunQueryDsl;
use portcullis_authority::keyring::KeyChain;
use portcullis_authority::ledger::{Family, Issued, Survey, Whose};
use portcullis_authority::proposals::Proposal;
use portcullis_authority::refusal::Trouble;

use crate::Store;
use crate::db::{Fault, on};
use crate::rows::{StoredFamily, signed, unsigned};
use crate::schema::{audit, audit_head, families, sessions};

/// Audit records among which tokens are counted.
const NEWEST: i64 = 20_000;

#[async_trait]
impl Survey for Store {
    async fn key_chain(&self) -> Result<KeyChain, Trouble> {
        self.chain_of_keys().await
    }

    async fn live_logins(&self, whose: &Whose, now: u64, most: usize) -> Result<Vec<Family>, Trouble> {
        let most = i64::try_from(most).unwrap_or(i64::MAX);
        let rows = self.books.db.within(self.alive(whose, signed(now), most)).await?;
        Ok(rows.into_iter().map(StoredFamily::read).collect::<Result<_, _>>()?)
    }

    async fn issued(&self, whose: &Whose, since: u64) -> Result<Issued, Trouble> {
        Ok(self.books.db.within(self.count_issued(whose, signed(since))).await?)
    }

    async fn live_sessions(&self, person: &str, now: u64) -> Result<u64, Trouble> {
        let count = async {
            Ok(on!(self.books.db, |c| sessions::table
                .filter(sessions::person_id.eq(person))
                .filter(sessions::ended_at.is_null())
                .filter(sessions::expires_at.gt(signed(now)))
                .count()
                .get_result(c)
                .await?))
        };
        Ok(unsigned(self.books.db.within(count).await?))
    }

    async fn logins_ended(&self, person: &str, reason: &str) -> Result<u64, Trouble> {
        let count = async {
            Ok(on!(self.books.db, |c| families::table
                .filter(families::owner_id.eq(person))
                .filter(families::end_reason.eq(reason))
                .count()
                .get_result(c)
                .await?))
        };
        Ok(unsigned(self.books.db.within(count).await?))
    }

    async fn proposal(&self, id: &str) -> Result<Option<Proposal>, Trouble> {
        self.one_proposal(id).await
    }

    async fn proposals(&self, open: bool, most: usize) -> Result<Vec<Proposal>, Trouble> {
        self.newest_proposals(open, i64::try_from(most).unwrap_or(i64::MAX)).await
    }

    async fn proposals_of(&self, proposer: &str) -> Result<Vec<Proposal>, Trouble> {
        self.open_proposals_of(proposer).await
    }

    async fn broken_glass(&self) -> Result<Vec<Proposal>, Trouble> {
        self.unseen_glass().await
    }
}

impl Store {
    async fn alive(&self, whose: &Whose, now: i64, most: i64) -> Result<Vec<StoredFamily>, Fault> {
        if let Whose::Token(_) = whose {
            return Ok(Vec::new()); // a token alone is no login
        }
        Ok(on!(self.books.db, |c| {
            let alive = families::table
                .filter(families::ended_at.is_null())
                .filter(families::abs_exp.gt(now))
                .filter(families::idle_exp.gt(now))
                .limit(most)
                .select(StoredFamily::as_select());
            match whose {
                Whose::Login(id) => alive.filter(families::id.eq(id)).load(c).await?,
                Whose::Person(id) => alive.filter(families::owner_id.eq(id)).load(c).await?,
                Whose::Client(id) => alive.filter(families::client_id.eq(id)).load(c).await?,
                Whose::Organization(id) => alive.filter(families::organization_id.eq(id)).load(c).await?,
                Whose::Token(_) | Whose::Actor(_) | Whose::Everybody => alive.load(c).await?,
            }
        }))
    }

    async fn count_issued(&self, whose: &Whose, since: i64) -> Result<Issued, Fault> {
        let (tokens, last, complete): (i64, Option<i64>, bool) = on!(self.books.db, |c| {
            let head: i64 = audit_head::table.find(1).select(audit_head::seq).get_result(c).await?;
            let first = (head - NEWEST).max(0);
            let oldest: Option<i64> =
                audit::table.find(first + 1).select(audit::at).get_result(c).await.optional()?;
            let newest = audit::table
                .filter(audit::seq.gt(first))
                .filter(audit::at.ge(since))
                .filter(audit::event.eq("token.issued"))
                .select((diesel::dsl::count_star(), diesel::dsl::max(audit::at)));
            let (tokens, last) = match whose {
                Whose::Token(id) => newest.filter(audit::jti.eq(id)).get_result(c).await?,
                Whose::Login(id) => newest.filter(audit::sid.eq(id)).get_result(c).await?,
                Whose::Person(id) => newest.filter(audit::subject.eq(id)).get_result(c).await?,
                Whose::Client(id) => newest.filter(audit::client_id.eq(id)).get_result(c).await?,
                Whose::Organization(id) => newest.filter(audit::organization_id.eq(id)).get_result(c).await?,
                Whose::Actor(id) => newest.filter(audit::actors.like(quoted(id))).get_result(c).await?,
                Whose::Everybody => newest.get_result(c).await?,
            };
            (tokens, last, first == 0 || oldest.is_some_and(|at| at < since))
        });
        Ok(Issued { tokens: unsigned(tokens), last: last.map(unsigned), complete })
    }
}

/// A name within the JSON list of actors, as a pattern. The pattern's own signs become "any one sign": this
/// counts, and may count a little more.
fn quoted(name: &str) -> String {
    format!("%\"{}\"%", name.replace(['%', '\\'], "_"))
}
