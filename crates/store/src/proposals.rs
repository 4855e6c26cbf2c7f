//! Proposals: kept, settled once, and found again. Every "once", "in time" and "by somebody else" is in a
//! WHERE clause, so that of two who decide at the same moment the database says who was first.

use diesel::prelude::*;
use diesel_async::RunQueryDsl;
use portcullis_authority::proposals::{Acknowledgement, Orphaning, Proposal, Settlement, State};
use portcullis_authority::refusal::Trouble;

use crate::Store;
use crate::acts::Effect;
use crate::cipher::{Cipher, PROPOSAL};
use crate::db::{Fault, both, on};
use crate::rows::{signed, unsigned};
use crate::schema::proposals;

/// Deciding on an open transaction.
pub(crate) trait Settling {
    async fn put_proposal(&mut self, proposal: &Proposal, cipher: &Cipher) -> Result<Effect, Fault>;
    async fn settle(&mut self, settlement: &Settlement) -> Result<Effect, Fault>;
    async fn orphan(&mut self, all: &Orphaning) -> Result<Effect, Fault>;
    async fn acknowledge(&mut self, seen: &Acknowledgement) -> Result<Effect, Fault>;
}

both! {
    impl Settling {
        async fn put_proposal(&mut self, proposal: &Proposal, cipher: &Cipher) -> Result<Effect, Fault> {
            let row = StoredProposal::of(proposal, cipher)?;
            diesel::insert_into(proposals::table).values(row).execute(self).await?;
            Ok(Effect::Quiet)
        }

        async fn settle(&mut self, settlement: &Settlement) -> Result<Effect, Fault> {
            let now = signed(settlement.now);
            // A proposal may be taken back by whoever made it, and by nobody else but another approved.
            let withdrawn = settlement.to == State::Withdrawn;
            let settled = diesel::update(proposals::table)
                .filter(proposals::id.eq(&settlement.id))
                .filter(proposals::digest.eq(&settlement.digest))
                .filter(proposals::state.eq(State::Open.as_str()))
                .filter(proposals::expires_at.gt(now))
                .filter(proposals::proposer.ne(&settlement.by).or(withdrawn.into_sql::<diesel::sql_types::Bool>()))
                .set((
                    proposals::state.eq(settlement.to.as_str()),
                    proposals::decided_by.eq(&settlement.by),
                    proposals::decided_at.eq(now),
                ))
                .execute(self)
                .await?;
            Ok(if settled == 1 { Effect::Quiet } else { Effect::Lost })
        }

        async fn orphan(&mut self, all: &Orphaning) -> Result<Effect, Fault> {
            let now = signed(all.now);
            let open = proposals::proposer.eq(&all.proposer)
                .and(proposals::state.eq(State::Open.as_str()))
                .and(proposals::expires_at.gt(now));
            let ended = diesel::update(proposals::table)
                .filter(open)
                .filter(proposals::id.eq_any(&all.ids))
                .set((
                    proposals::state.eq(State::Withdrawn.as_str()),
                    proposals::decided_by.eq(&all.by),
                    proposals::decided_at.eq(now),
                ))
                .execute(self)
                .await?;
            let left: i64 = proposals::table.filter(open).count().get_result(self).await?;
            Ok(if ended == all.ids.len() && left == 0 { Effect::Quiet } else { Effect::Lost })
        }

        async fn acknowledge(&mut self, seen: &Acknowledgement) -> Result<Effect, Fault> {
            let acknowledged = diesel::update(proposals::table)
                .filter(proposals::id.eq(&seen.id))
                .filter(proposals::break_glass.eq(true))
                .filter(proposals::acknowledged_by.is_null())
                .filter(proposals::proposer.ne(&seen.by))
                .set((
                    proposals::acknowledged_by.eq(&seen.by),
                    proposals::acknowledged_at.eq(signed(seen.now)),
                ))
                .execute(self)
                .await?;
            Ok(if acknowledged == 1 { Effect::Quiet } else { Effect::Lost })
        }
    }
}

impl Store {
    pub(crate) async fn one_proposal(&self, id: &str) -> Result<Option<Proposal>, Trouble> {
        // PostgreSQL has trouble with a NUL; nothing is called that.
        if id.contains('\0') {
            return Ok(None);
        }
        let read = || async {
            let row: Option<StoredProposal> = on!(self.books.db, |c| proposals::table
                .find(id)
                .select(StoredProposal::as_select())
                .get_result(c)
                .await
                .optional()?);
            row.map(|row| row.read(&self.books.cipher)).transpose()
        };
        Ok(self.books.reading(read).await?)
    }

    pub(crate) async fn newest_proposals(&self, open: bool, most: i64) -> Result<Vec<Proposal>, Trouble> {
        let read = || async {
            let rows = on!(self.books.db, |c| {
                let newest = proposals::table.order(proposals::created_at.desc()).limit(most);
                let newest = newest.select(StoredProposal::as_select());
                // Word for word as in the index, which is made for this.
                let is_open = diesel::dsl::sql::<diesel::sql_types::Bool>("state = 'open'");
                match open {
                    true => newest.filter(is_open).load(c).await?,
                    false => newest.load(c).await?,
                }
            });
            read_all(rows, &self.books.cipher)
        };
        Ok(self.books.reading(read).await?)
    }

    pub(crate) async fn open_proposals_of(&self, proposer: &str) -> Result<Vec<Proposal>, Trouble> {
        let read = || async {
            let rows = on!(self.books.db, |c| {
                // Word for word as in the index, which is made for this.
                let is_open = diesel::dsl::sql::<diesel::sql_types::Bool>("state = 'open'");
                let own = proposals::table.filter(is_open).filter(proposals::proposer.eq(proposer));
                own.select(StoredProposal::as_select()).load(c).await?
            });
            read_all(rows, &self.books.cipher)
        };
        Ok(self.books.reading(read).await?)
    }

    pub(crate) async fn unseen_glass(&self) -> Result<Vec<Proposal>, Trouble> {
        let read = || async {
            let rows = on!(self.books.db, |c| {
                let words = "break_glass AND acknowledged_by IS NULL";
                let unseen = diesel::dsl::sql::<diesel::sql_types::Bool>(words);
                let oldest = proposals::table.filter(unseen).order(proposals::created_at);
                oldest.select(StoredProposal::as_select()).load(c).await?
            });
            read_all(rows, &self.books.cipher)
        };
        Ok(self.books.reading(read).await?)
    }
}

fn read_all(rows: Vec<StoredProposal>, cipher: &Cipher) -> Result<Vec<Proposal>, Fault> {
    rows.into_iter().map(|row| row.read(cipher)).collect()
}

#[derive(Insertable, Queryable, Selectable)]
#[diesel(table_name = proposals, treat_none_as_default_value = false)]
struct StoredProposal {
    id: String,
    kind: String,
    what: String,
    digest: String,
    proposer: String,
    reason: String,
    created_at: i64,
    expires_at: i64,
    state: String,
    decided_by: Option<String>,
    decided_at: Option<i64>,
    break_glass: bool,
    acknowledged_by: Option<String>,
    acknowledged_at: Option<i64>,
}

impl StoredProposal {
    fn of(proposal: &Proposal, cipher: &Cipher) -> Result<Self, Fault> {
        let it = proposal.clone();
        Ok(Self {
            what: cipher.seal(PROPOSAL, &it.id, &it.what)?,
            id: it.id,
            kind: it.kind,
            digest: it.digest,
            proposer: it.proposer,
            reason: it.reason,
            created_at: signed(it.created_at),
            expires_at: signed(it.expires_at),
            state: it.state.as_str().into(),
            decided_by: it.decided_by,
            decided_at: it.decided_at.map(signed),
            break_glass: it.break_glass,
            acknowledged_by: it.acknowledged_by,
            acknowledged_at: it.acknowledged_at.map(signed),
        })
    }

    fn read(self, cipher: &Cipher) -> Result<Proposal, Fault> {
        Ok(Proposal {
            what: cipher.open(PROPOSAL, &self.id, self.what)?,
            state: State::from_word(&self.state)
                .ok_or_else(|| Fault::unreadable("a proposal", format!("{} is no state", self.state)))?,
            id: self.id,
            kind: self.kind,
            digest: self.digest,
            proposer: self.proposer,
            reason: self.reason,
            created_at: unsigned(self.created_at),
            expires_at: unsigned(self.expires_at),
            decided_by: self.decided_by,
            decided_at: self.decided_at.map(unsigned),
            break_glass: self.break_glass,
            acknowledged_by: self.acknowledged_by,
            acknowledged_at: self.acknowledged_at.map(unsigned),
        })
    }
}
