//! Operators and their sessions: looked up one by one and kept nowhere else, so that an account that is closed
//! is closed at its next call.
//!
//! What changes on its own is a column: the last time step, the recovery codes that are left, the use and the
//! end of a session. Who may do what is decided above.

use async_trait::async_trait;
use diesel::prelude::*;
use diesel_async::RunQueryDsl;
use portcullis_authority::operators::{
    Invitation, Operator, OperatorSession, Staff, StaffAct, StaffBook, Taken,
};
use portcullis_authority::refusal::Trouble;

use crate::Store;
use crate::acts::Effect;
use crate::cipher::{Cipher, INVITATION, Mark, OPERATOR, OPERATOR_SESSION};
use crate::db::{Fault, both, glance, on};
use crate::rows::{self, signed, unsigned};
use crate::schema::{operator_invitations, operator_recovery, operator_sessions, operators, staff_version};

#[async_trait]
impl StaffBook for Store {
    async fn staff(&self) -> Result<Staff, Trouble> {
        let cipher = &self.books.cipher;
        let read = || async { glance!(self.books.db, |c| c.staff(cipher).await) };
        Ok(self.books.reading(read).await?)
    }

    async fn operator_session(&self, hash: &str) -> Result<Option<(OperatorSession, Operator)>, Trouble> {
        let cipher = &self.books.cipher;
        let read = || async { Ok(on!(self.books.db, |c| c.session_of_operator(hash, cipher).await?)) };
        Ok(self.books.reading(read).await?)
    }

    async fn operator_sessions(&self, now: u64) -> Result<Vec<OperatorSession>, Trouble> {
        let read = || async {
            let rows: Vec<StoredOperatorSession> = on!(self.books.db, |c| operator_sessions::table
                .filter(operator_sessions::ended_at.is_null())
                .filter(operator_sessions::expires_at.gt(signed(now)))
                .order(operator_sessions::id)
                .select(StoredOperatorSession::as_select())
                .load(c)
                .await?);
            rows.into_iter().map(|row| row.read(&self.books.cipher)).collect()
        };
        Ok(self.books.reading(read).await?)
    }

    async fn invitations(&self, now: u64) -> Result<Vec<Invitation>, Trouble> {
        let read = || async {
            let rows: Vec<(String, String)> = on!(self.books.db, |c| operator_invitations::table
                .filter(operator_invitations::closed_at.is_null())
                .filter(operator_invitations::expires_at.gt(signed(now)))
                .order(operator_invitations::id)
                .select((operator_invitations::id, operator_invitations::doc))
                .load(c)
                .await?);
            let cipher = &self.books.cipher;
            let read = |(id, doc): (String, String)| {
                rows::read("an invitation", &cipher.open(INVITATION, &id, doc)?)
            };
            rows.into_iter().map(read).collect()
        };
        Ok(self.books.reading(read).await?)
    }
}

/// An account.
#[derive(Insertable, Queryable, Selectable)]
#[diesel(table_name = operators)]
struct StoredOperator {
    id: String,
    email: String,
    seed: String,
    last_step: i64,
    doc: String,
}

impl StoredOperator {
    fn of(operator: &Operator, cipher: &Cipher) -> Result<Self, Fault> {
        let plain = Operator { recovery: Vec::new(), ..operator.clone() };
        Ok(Self {
            id: operator.id.clone(),
            email: cipher.mark(Mark::OperatorEmail, &operator.email),
            seed: operator.seed.clone(),
            last_step: signed(operator.last_step),
            doc: cipher.seal(OPERATOR, &operator.id, &rows::written("an operator", &plain)?)?,
        })
    }

    fn read(self, recovery: Vec<String>, cipher: &Cipher) -> Result<Operator, Fault> {
        let plain: Operator = rows::read("an operator", &cipher.open(OPERATOR, &self.id, self.doc)?)?;
        Ok(Operator { last_step: unsigned(self.last_step), recovery, ..plain })
    }
}

/// A session.
#[derive(Insertable, Queryable, Selectable)]
#[diesel(table_name = operator_sessions, treat_none_as_default_value = false)]
struct StoredOperatorSession {
    hash: String,
    id: String,
    operator_id: String,
    last_used: i64,
    expires_at: i64,
    ended_at: Option<i64>,
    doc: String,
}

impl StoredOperatorSession {
    fn of(session: &OperatorSession, cipher: &Cipher) -> Result<Self, Fault> {
        let doc = rows::written("an operator's session", session)?;
        Ok(Self {
            hash: session.hash.clone(),
            id: session.id.clone(),
            operator_id: session.operator.clone(),
            last_used: signed(session.last_used),
            expires_at: signed(session.expires_at),
            ended_at: session.ended_at.map(signed),
            doc: cipher.seal(OPERATOR_SESSION, &session.hash, &doc)?,
        })
    }

    fn read(self, cipher: &Cipher) -> Result<OperatorSession, Fault> {
        let doc = cipher.open(OPERATOR_SESSION, &self.hash, self.doc)?;
        let plain: OperatorSession = rows::read("an operator's session", &doc)?;
        Ok(OperatorSession {
            last_used: unsigned(self.last_used),
            ended_at: self.ended_at.map(unsigned),
            ..plain
        })
    }
}

/// Operators on an open connection.
pub(crate) trait Staffing {
    async fn staff(&mut self, cipher: &Cipher) -> Result<Staff, Fault>;
    async fn operator(&mut self, id: &str, cipher: &Cipher) -> Result<Option<Operator>, Fault>;
    async fn session_of_operator(
        &mut self,
        hash: &str,
        cipher: &Cipher,
    ) -> Result<Option<(OperatorSession, Operator)>, Fault>;
    async fn staff_act(&mut self, act: &StaffAct, cipher: &Cipher) -> Result<Effect, Fault>;
    async fn hold_staff(&mut self, version: u64) -> Result<bool, Fault>;
    async fn put_operator(
        &mut self,
        expected: u64,
        operator: &Operator,
        cipher: &Cipher,
    ) -> Result<Effect, Fault>;
    async fn replace_factor(&mut self, operator: &Operator) -> Result<(), Fault>;
    async fn take_factor(&mut self, operator: &str, factor: &Taken) -> Result<bool, Fault>;
    async fn invite(&mut self, invitation: &Invitation, cipher: &Cipher) -> Result<Effect, Fault>;
    async fn close_invitation(&mut self, id: &str, now: u64) -> Result<bool, Fault>;
    async fn touch(&mut self, session: &OperatorSession, cipher: &Cipher) -> Result<Effect, Fault>;
    async fn end_operator_sessions(&mut self, of: Ended<'_>, now: u64) -> Result<(), Fault>;
}

/// Which sessions end.
pub(crate) enum Ended<'a> {
    One(&'a str),
    All(&'a str),
    /// Of this operator, but for the second.
    Others(&'a str, &'a str),
}

both! {
    impl Staffing {
        async fn staff(&mut self, cipher: &Cipher) -> Result<Staff, Fault> {
            let version: i64 =
                staff_version::table.find(1).select(staff_version::version).get_result(self).await?;
            let rows: Vec<StoredOperator> = operators::table
                .select(StoredOperator::as_select())
                .load(self)
                .await?;
            let mut left: Vec<(String, String)> = operator_recovery::table.load(self).await?;
            let operators = rows.into_iter().map(|row| {
                let (own, others) = left.drain(..).partition(|(operator, _)| *operator == row.id);
                left = others;
                let own: Vec<(String, String)> = own;
                row.read(own.into_iter().map(|(_, hash)| hash).collect(), cipher)
            });
            let mut operators = operators.collect::<Result<Vec<_>, _>>()?;
            operators.sort_by(|one, other| one.email.cmp(&other.email));
            Ok(Staff { version: unsigned(version), operators })
        }

        async fn operator(&mut self, id: &str, cipher: &Cipher) -> Result<Option<Operator>, Fault> {
            let row: Option<StoredOperator> = operators::table
                .find(id)
                .select(StoredOperator::as_select())
                .get_result(self)
                .await
                .optional()?;
            let Some(row) = row else { return Ok(None) };
            let left: Vec<String> = operator_recovery::table
                .filter(operator_recovery::operator_id.eq(id))
                .select(operator_recovery::hash)
                .load(self)
                .await?;
            row.read(left, cipher).map(Some)
        }

        async fn session_of_operator(
            &mut self,
            hash: &str,
            cipher: &Cipher,
        ) -> Result<Option<(OperatorSession, Operator)>, Fault> {
            let row: Option<StoredOperatorSession> = operator_sessions::table
                .find(hash)
                .select(StoredOperatorSession::as_select())
                .get_result(self)
                .await
                .optional()?;
            let Some(session) = row.map(|row| row.read(cipher)).transpose()? else { return Ok(None) };
            let operator = self.operator(&session.operator, cipher).await?;
            Ok(operator.map(|operator| (session, operator)))
        }

        async fn staff_act(&mut self, act: &StaffAct, cipher: &Cipher) -> Result<Effect, Fault> {
            match act {
                StaffAct::Put { expected, operator, end_sessions } => {
                    let effect = self.put_operator(*expected, operator, cipher).await?;
                    if let (Effect::Quiet, Some(now)) = (&effect, end_sessions) {
                        self.end_operator_sessions(Ended::All(&operator.id), *now).await?;
                    }
                    Ok(effect)
                }
                StaffAct::Unmoved { version } => Ok(match self.hold_staff(*version).await? {
                    true => Effect::Quiet,
                    false => Effect::Lost,
                }),
                StaffAct::SignIn { factor, session } => {
                    if !self.take_factor(&session.operator, factor).await? {
                        return Ok(Effect::Spent { family: None });
                    }
                    let row = StoredOperatorSession::of(session, cipher)?;
                    diesel::insert_into(operator_sessions::table).values(row).execute(self).await?;
                    Ok(Effect::Quiet)
                }
                StaffAct::Invite(invitation) => self.invite(invitation, cipher).await,
                StaffAct::SpendInvitation { id, now } => Ok(match self.close_invitation(id, *now).await? {
                    true => Effect::Quiet,
                    false => Effect::Spent { family: None },
                }),
                StaffAct::Uninvite { id, now } => Ok(match self.close_invitation(id, *now).await? {
                    true => Effect::Quiet,
                    false => Effect::Lost,
                }),
                StaffAct::TakeFactor { operator, factor } => {
                    Ok(match self.take_factor(operator, factor).await? {
                        true => Effect::Quiet,
                        false => Effect::Spent { family: None },
                    })
                }
                StaffAct::EndOthers { operator, keep, now } => {
                    self.end_operator_sessions(Ended::Others(operator, keep), *now).await?;
                    Ok(Effect::Quiet)
                }
                StaffAct::Touch(session) => self.touch(session, cipher).await,
                StaffAct::EndSession { id, now } => {
                    self.end_operator_sessions(Ended::One(id), *now).await?;
                    Ok(Effect::Quiet)
                }
            }
        }

        /// Whether the list has this version; then it keeps it until the transaction ends. Written as it is,
        /// which takes the lock that a change would wait for, in both databases.
        async fn hold_staff(&mut self, version: u64) -> Result<bool, Fault> {
            let held = diesel::update(staff_version::table.find(1))
                .filter(staff_version::version.eq(signed(version)))
                .set(staff_version::version.eq(staff_version::version))
                .execute(self)
                .await?;
            Ok(held == 1)
        }

        async fn put_operator(
            &mut self,
            expected: u64,
            operator: &Operator,
            cipher: &Cipher,
        ) -> Result<Effect, Fault> {
            let row = StoredOperator::of(operator, cipher)?;
            // So that nobody else takes the address meanwhile.
            let held = self.hold_staff(expected).await?;
            let namesakes: i64 = operators::table
                // Rows from before keys had marks hold the address itself.
                .filter(operators::email.eq_any([&row.email, &operator.email]))
                .filter(operators::id.ne(&operator.id))
                .count()
                .get_result(self)
                .await?;
            if !held || namesakes > 0 {
                return Ok(Effect::Lost);
            }
            diesel::update(staff_version::table.find(1))
                .set(staff_version::version.eq(staff_version::version + 1))
                .execute(self)
                .await?;
            let known: Option<String> =
                operators::table.find(&operator.id).select(operators::seed).get_result(self).await.optional()?;
            match known.as_deref() {
                Some(seed) => {
                    let renewed = seed != operator.seed;
                    let changed = (operators::email.eq(row.email), operators::doc.eq(row.doc));
                    diesel::update(operators::table.find(&operator.id)).set(changed).execute(self).await?;
                    if renewed {
                        self.replace_factor(operator).await?;
                    }
                }
                None => {
                    diesel::insert_into(operators::table).values(row).execute(self).await?;
                    self.replace_factor(operator).await?;
                }
            }
            Ok(Effect::Quiet)
        }

        /// A new seed has recovery codes of its own. Steps are moments, so that the last one stays the last
        /// whatever the seed.
        async fn replace_factor(&mut self, operator: &Operator) -> Result<(), Fault> {
            diesel::update(operators::table.find(&operator.id))
                .set(operators::seed.eq(&operator.seed))
                .execute(self)
                .await?;
            diesel::update(operators::table.find(&operator.id))
                .filter(operators::last_step.lt(signed(operator.last_step)))
                .set(operators::last_step.eq(signed(operator.last_step)))
                .execute(self)
                .await?;
            let old = operator_recovery::table.filter(operator_recovery::operator_id.eq(&operator.id));
            diesel::delete(old).execute(self).await?;
            for hash in &operator.recovery {
                diesel::insert_into(operator_recovery::table)
                    .values((
                        operator_recovery::operator_id.eq(&operator.id),
                        operator_recovery::hash.eq(hash),
                    ))
                    .execute(self)
                    .await?;
            }
            Ok(())
        }

        /// Whether it was there to be taken: of two who show the same code, the database says who was first.
        async fn take_factor(&mut self, operator: &str, factor: &Taken) -> Result<bool, Fault> {
            let taken = match factor {
                Taken::Step(step) => {
                    diesel::update(operators::table.find(operator))
                        .filter(operators::last_step.lt(signed(*step)))
                        .set(operators::last_step.eq(signed(*step)))
                        .execute(self)
                        .await?
                }
                Taken::Recovery(hash) => {
                    diesel::delete(operator_recovery::table.find((operator, hash))).execute(self).await?
                }
            };
            Ok(taken == 1)
        }

        async fn invite(&mut self, invitation: &Invitation, cipher: &Cipher) -> Result<Effect, Fault> {
            let doc = rows::written("an invitation", invitation)?;
            diesel::insert_into(operator_invitations::table)
                .values((
                    operator_invitations::id.eq(&invitation.id),
                    operator_invitations::expires_at.eq(signed(invitation.expires_at)),
                    operator_invitations::doc.eq(cipher.seal(INVITATION, &invitation.id, &doc)?),
                ))
                .execute(self)
                .await?;
            Ok(Effect::Quiet)
        }

        /// Whether it was open: of two who show the same code, the database says who was first.
        async fn close_invitation(&mut self, id: &str, now: u64) -> Result<bool, Fault> {
            let closed = diesel::update(operator_invitations::table.find(id))
                .filter(operator_invitations::closed_at.is_null())
                .filter(operator_invitations::expires_at.gt(signed(now)))
                .set(operator_invitations::closed_at.eq(signed(now)))
                .execute(self)
                .await?;
            Ok(closed == 1)
        }

        async fn touch(&mut self, session: &OperatorSession, cipher: &Cipher) -> Result<Effect, Fault> {
            let row = StoredOperatorSession::of(session, cipher)?;
            let touched = diesel::update(operator_sessions::table.find(&session.hash))
                .filter(operator_sessions::ended_at.is_null())
                .set((operator_sessions::last_used.eq(row.last_used), operator_sessions::doc.eq(row.doc)))
                .execute(self)
                .await?;
            Ok(if touched == 1 { Effect::Quiet } else { Effect::Lost })
        }

        async fn end_operator_sessions(&mut self, of: Ended<'_>, now: u64) -> Result<(), Fault> {
            let live = operator_sessions::ended_at.is_null();
            let end = operator_sessions::ended_at.eq(signed(now));
            match of {
                Ended::One(id) => {
                    let one = diesel::update(operator_sessions::table);
                    one.filter(operator_sessions::id.eq(id)).filter(live).set(end).execute(self).await?
                }
                Ended::Others(operator, kept) => {
                    let others = diesel::update(operator_sessions::table);
                    others
                        .filter(operator_sessions::operator_id.eq(operator))
                        .filter(operator_sessions::id.ne(kept))
                        .filter(live)
                        .set(end)
                        .execute(self)
                        .await?
                }
                Ended::All(operator) => {
                    let all = diesel::update(operator_sessions::table);
                    all.filter(operator_sessions::operator_id.eq(operator))
                        .filter(live)
                        .set(end)
                        .execute(self)
                        .await?
                }
            };
            Ok(())
        }
    }
}
