//! Who uses their account, as the janitor has found it. What follows from it is decided in `authority/inactivity.rs`;
//! every step is taken only if the row is still as it was.

use async_trait::async_trait;
use diesel::prelude::*;
use diesel::sql_types::BigInt;
use diesel_async::RunQueryDsl;
use portcullis_authority::erasure::Forgotten;
use portcullis_authority::inactivity::{Idle, IdleBook, IdleDue, IdleState, IdleStep};
use portcullis_authority::refusal::Trouble;

use crate::Store;
use crate::acts::Effect;
use crate::db::{Fault, both, on};
use crate::rows::{signed, unsigned};
use crate::schema::{audit, people, people_idle};

/// Records that say that somebody was there, each written with what it gives, or that somebody else wants the account
/// to be used.
const USES: [&str; 4] = ["token.issued", "sign_in", "person.enabled", "person.created"];
/// People who are named in the report.
const MOST_NAMED: i64 = 100;

/// How many accounts have come how far, for the report.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct IdleCensus {
    pub warned: u64,
    pub closed: u64,
    pub erased: u64,
    /// Ids of those who are held back; the first hundred.
    pub held: Vec<String>,
}

#[async_trait]
impl IdleBook for Store {
    async fn watch(&self, now: u64, most: usize) -> Result<usize, Trouble> {
        let most = i64::try_from(most).unwrap_or(i64::MAX);
        let watch = async {
            let query = "INSERT INTO people_idle (person_id, used_at, state, since) \
                 SELECT p.id, $1, 'used', $1 FROM people p \
                 WHERE NOT EXISTS (SELECT 1 FROM people_idle i WHERE i.person_id = p.id) LIMIT $2 \
                 ON CONFLICT (person_id) DO NOTHING";
            Ok(on!(self.books.db, |c| {
                let insert = diesel::sql_query(query).bind::<BigInt, _>(signed(now));
                insert.bind::<BigInt, _>(most).execute(c).await?
            }))
        };
        Ok(self.bite(watch).await?)
    }

    async fn idle(&self, due: &IdleDue, most: usize) -> Result<Vec<Idle>, Trouble> {
        let most = i64::try_from(most).unwrap_or(i64::MAX);
        let (used, warned) = (IdleState::Used.as_str(), IdleState::Warned.as_str());
        let closed = due.closed.map_or(-1, signed);
        let read = async {
            let state = people_idle::state;
            let quiet = state.eq(used).and(people_idle::used_at.le(signed(due.used)));
            let told = state.eq(warned).and(people_idle::since.le(signed(due.warned)));
            let ours = people::table.filter(people::id.eq(people_idle::person_id));
            let opened = diesel::dsl::exists(ours.filter(people::disabled.eq(false)));
            let over = state.eq(IdleState::Closed.as_str()).and(people_idle::since.le(closed).or(opened));
            let free = people_idle::held_at.is_null().or(people_idle::held_at.le(signed(due.held)));
            Ok(on!(self.books.db, |c| people_idle::table
                .filter(quiet.or(told).or(over))
                .filter(free)
                .order(people_idle::since)
                .limit(most)
                .load::<(String, i64, String, i64, Option<i64>)>(c)
                .await?))
        };
        let rows = self.books.db.within(read).await?;
        Ok(rows.into_iter().map(read_idle).collect::<Result<_, Fault>>()?)
    }

    async fn last_use(&self, person: &str) -> Result<Option<u64>, Trouble> {
        let read = async {
            Ok(on!(self.books.db, |c| audit::table
                .filter(audit::subject.eq(person))
                .filter(audit::event.eq_any(USES))
                .order(audit::seq.desc())
                .select(audit::at)
                .first::<i64>(c)
                .await
                .optional()?))
        };
        Ok(self.books.db.within(read).await?.map(unsigned))
    }

    async fn forget(&self, who: &Forgotten) -> Result<usize, Trouble> {
        self.forget_person(&who.person, &who.resources).await
    }
}

impl Store {
    /// How many accounts have come how far.
    pub async fn idle_census(&self) -> Result<IdleCensus, Trouble> {
        let read = async {
            Ok(on!(self.books.db, |c| {
                let counts: Vec<(String, i64)> = people_idle::table
                    .group_by(people_idle::state)
                    .select((people_idle::state, diesel::dsl::count_star()))
                    .load(c)
                    .await?;
                let held: Vec<String> = people_idle::table
                    .filter(people_idle::held_at.is_not_null())
                    .order(people_idle::person_id)
                    .limit(MOST_NAMED)
                    .select(people_idle::person_id)
                    .load(c)
                    .await?;
                (counts, held)
            }))
        };
        let (counts, held) = self.books.db.within(read).await?;
        let of = |state: IdleState| {
            let found = counts.iter().find(|(word, _)| word == state.as_str());
            found.map_or(0, |(_, count)| unsigned(*count))
        };
        Ok(IdleCensus {
            warned: of(IdleState::Warned),
            closed: of(IdleState::Closed),
            erased: of(IdleState::Erased),
            held,
        })
    }
}

/// Steps on an open transaction.
pub(crate) trait Idling {
    async fn idle_step(&mut self, step: &IdleStep) -> Result<Effect, Fault>;
}

both! {
    impl Idling {
        async fn idle_step(&mut self, step: &IdleStep) -> Result<Effect, Fault> {
            let IdleStep { before, after } = step;
            let row = people_idle::table
                .filter(people_idle::person_id.eq(&before.person))
                .filter(people_idle::state.eq(before.state.as_str()))
                .filter(people_idle::used_at.eq(signed(before.used_at)))
                .filter(people_idle::since.eq(signed(before.since)));
            let taken = match after {
                None => diesel::delete(row).execute(self).await?,
                Some(after) => {
                    diesel::update(row)
                        .set((
                            people_idle::state.eq(after.state.as_str()),
                            people_idle::used_at.eq(signed(after.used_at)),
                            people_idle::since.eq(signed(after.since)),
                            people_idle::held_at.eq(after.held_at.map(signed)),
                        ))
                        .execute(self)
                        .await?
                }
            };
            Ok(if taken == 1 { Effect::Quiet } else { Effect::Lost })
        }
    }
}

fn read_idle(row: (String, i64, String, i64, Option<i64>)) -> Result<Idle, Fault> {
    let (person, used_at, state, since, held_at) = row;
    let state =
        IdleState::from_word(&state).ok_or_else(|| Fault::unreadable("the state of an account", state))?;
    let (used_at, since, held_at) = (unsigned(used_at), unsigned(since), held_at.map(unsigned));
    Ok(Idle { person, used_at, state, since, held_at })
}
