//! The second factors of people. The seed is sealed above and stands in one column; which step was the last, and
//! which recovery codes are left, the database decides.

use diesel::prelude::*;
use diesel_async::RunQueryDsl;
use portcullis_authority::ledger::{FactorAct, PersonFactor};
use portcullis_authority::operators::Taken;
use portcullis_authority::refusal::Trouble;

use crate::Store;
use crate::acts::Effect;
use crate::db::{Fault, both, glance};
use crate::rows::{signed, unsigned};
use crate::schema::{person_factors, person_recovery};

impl Store {
    /// The second factor of a person, if there is one.
    pub(crate) async fn factor_of(&self, person: &str) -> Result<Option<PersonFactor>, Trouble> {
        let read = async { glance!(self.books.db, |c| c.factor(person).await) };
        Ok(self.books.db.within(read).await?)
    }
}

/// Second factors on an open connection.
pub(crate) trait Factoring {
    async fn factor(&mut self, person: &str) -> Result<Option<PersonFactor>, Fault>;
    async fn factor_act(&mut self, act: &FactorAct) -> Result<Effect, Fault>;
    async fn enrol(&mut self, factor: &PersonFactor) -> Result<Effect, Fault>;
    async fn take(&mut self, person: &str, factor: &Taken) -> Result<Effect, Fault>;
    async fn drop_factor(&mut self, person: &str) -> Result<(), Fault>;
}

both! {
    impl Factoring {
        async fn factor(&mut self, person: &str) -> Result<Option<PersonFactor>, Fault> {
            let row: Option<(String, i64, i64)> = person_factors::table
                .find(person)
                .select((person_factors::seed, person_factors::last_step, person_factors::since))
                .get_result(self)
                .await
                .optional()?;
            let Some((seed, last_step, since)) = row else { return Ok(None) };
            let recovery: Vec<String> = person_recovery::table
                .filter(person_recovery::person_id.eq(person))
                .select(person_recovery::hash)
                .load(self)
                .await?;
            let (last_step, since) = (unsigned(last_step), unsigned(since));
            Ok(Some(PersonFactor { person: person.into(), seed, last_step, since, recovery }))
        }

        async fn factor_act(&mut self, act: &FactorAct) -> Result<Effect, Fault> {
            match act {
                FactorAct::Enrol(factor) => self.enrol(factor).await,
                FactorAct::Take { person, factor } => self.take(person, factor).await,
                FactorAct::Drop { person } => {
                    self.drop_factor(person).await?;
                    Ok(Effect::Quiet)
                }
            }
        }

        async fn enrol(&mut self, factor: &PersonFactor) -> Result<Effect, Fault> {
            let first = diesel::insert_into(person_factors::table)
                .values((
                    person_factors::person_id.eq(&factor.person),
                    person_factors::seed.eq(&factor.seed),
                    person_factors::last_step.eq(signed(factor.last_step)),
                    person_factors::since.eq(signed(factor.since)),
                ))
                .on_conflict(person_factors::person_id)
                .do_nothing()
                .execute(self)
                .await?;
            if first == 0 {
                return Ok(Effect::Lost);
            }
            for hash in &factor.recovery {
                diesel::insert_into(person_recovery::table)
                    .values((person_recovery::person_id.eq(&factor.person), person_recovery::hash.eq(hash)))
                    .execute(self)
                    .await?;
            }
            Ok(Effect::Quiet)
        }

        /// Of two who show the same code, the database says who was first.
        async fn take(&mut self, person: &str, factor: &Taken) -> Result<Effect, Fault> {
            let taken = match factor {
                Taken::Step(step) => {
                    diesel::update(person_factors::table.find(person))
                        .filter(person_factors::last_step.lt(signed(*step)))
                        .set(person_factors::last_step.eq(signed(*step)))
                        .execute(self)
                        .await?
                }
                Taken::Recovery(hash) => {
                    diesel::delete(person_recovery::table.find((person, hash))).execute(self).await?
                }
            };
            Ok(if taken == 1 { Effect::Quiet } else { Effect::Spent { family: None } })
        }

        async fn drop_factor(&mut self, person: &str) -> Result<(), Fault> {
            let left = person_recovery::table.filter(person_recovery::person_id.eq(person));
            diesel::delete(left).execute(self).await?;
            diesel::delete(person_factors::table.find(person)).execute(self).await?;
            Ok(())
        }
    }
}
