//! The acts of the ledger, each a conditional statement or two inside somebody else's transaction.
//!
//! Every "once" and "only if unchanged" is in a WHERE clause or a primary key, so that the database says
//! who was first. Who may do it, and what to tell the caller, is not known here.

use diesel::prelude::*;
use diesel_async::{AsyncConnection, RunQueryDsl};
use portcullis_authority::ledger::{Act, CodeRow, Family, Rotation, Session};
use portcullis_authority::registry::Scope;
use portcullis_guard::feed::{Kind, Record, name_id};

use crate::amend::Amending;
use crate::cipher::Cipher;
use crate::db::{Fault, both};
use crate::factors::Factoring;
use crate::idle::Idling as _;
use crate::invitations::Inviting;
use crate::keys::Keeping;
use crate::operators::Staffing;
use crate::promote::{FLOOR, Jump, Lift, Promoting};
use crate::proposals::Settling;
use crate::purge::Counting as _;
use crate::reviews::Reviewing;
use crate::rows::{self, StoredCode, StoredFamily, StoredSession, signed, unsigned, word};
use crate::schema::{assertions, codes, families, generations, people, sessions};

/// What rows are written with: the salt of the ids in the feed, and what seals fields.
#[derive(Clone, Copy)]
pub(crate) struct Ink<'a> {
    pub(crate) salt: &'a [u8],
    pub(crate) cipher: &'a Cipher,
}

/// What an act came to, before its transaction has ended.
pub(crate) enum Effect {
    /// Done, and nothing to tell the guards.
    Quiet,
    /// Done, and this is the line for the feed.
    Record(Record),
    /// Done, and a generation in the registry has a new value.
    Raised { record: Record, scope: Scope, id: String },
    /// The registry was changed: these are the lines for the feed, and the generations that were raised.
    Amended { records: Vec<Record>, raised: Vec<(Scope, String, u32)> },
    /// Several acts, all of them done.
    Several(Vec<Effect>),
    /// It was so already, and its line is in the feed.
    Already,
    /// Used before.
    Spent { family: Option<String> },
    /// Not as it was expected.
    Lost,
}

impl Effect {
    /// Whether the act was done, now or before.
    pub(crate) fn happened(&self) -> bool {
        !matches!(self, Self::Spent { .. } | Self::Lost)
    }

    /// The lines for the feed.
    pub(crate) fn records(&self) -> Vec<Record> {
        match self {
            Self::Record(record) | Self::Raised { record, .. } => vec![*record],
            Self::Amended { records, .. } => records.clone(),
            Self::Several(parts) => parts.iter().flat_map(Self::records).collect(),
            Self::Quiet | Self::Already | Self::Spent { .. } | Self::Lost => Vec::new(),
        }
    }

    /// Whether its line, or the line of a part of it, was in the feed before.
    pub(crate) fn was_already(&self) -> bool {
        match self {
            Self::Already => true,
            Self::Several(parts) => parts.iter().any(Self::was_already),
            _ => false,
        }
    }
}

/// Acts on an open transaction.
pub(crate) trait Acts {
    /// Does the act. `feed` is where its lines go, and `salt` that feed's.
    async fn act(&mut self, act: &Act, feed: &str, ink: Ink<'_>) -> Result<Effect, Fault>;
    /// Any act but several.
    async fn one(&mut self, act: &Act, feed: &str, ink: Ink<'_>) -> Result<Effect, Fault>;
    async fn put_code(&mut self, code: &CodeRow) -> Result<Effect, Fault>;
    async fn spend_code(&mut self, hash: &str, now: u64, family: &Family) -> Result<Effect, Fault>;
    async fn open_family(&mut self, family: &Family) -> Result<Effect, Fault>;
    async fn use_assertion(
        &mut self,
        client: &str,
        digest: &str,
        exp: u64,
        family: Option<&Family>,
    ) -> Result<Effect, Fault>;
    async fn rotate(&mut self, rotation: &Rotation) -> Result<Effect, Fault>;
    async fn end_family(&mut self, id: &str, reason: &str, now: u64, exp: u64) -> Result<Effect, Fault>;
    async fn raise(&mut self, scope: Scope, id: &str, exp: u64, salt: &[u8]) -> Result<Effect, Fault>;
    async fn open_session(&mut self, session: &Session) -> Result<Effect, Fault>;
    /// What a token of this person would carry now.
    async fn generation_of(&mut self, person: &str) -> Result<u32, Fault>;
    async fn end_session(&mut self, hash: &str, now: u64) -> Result<Effect, Fault>;
    async fn close_logins(&mut self, person: &str, reason: &str, now: u64) -> Result<Effect, Fault>;
    async fn end_sessions(&mut self, person: Option<&str>, now: u64) -> Result<Effect, Fault>;
    async fn disable_person(&mut self, id: &str) -> Result<Effect, Fault>;
    /// All of them, or none and the effect that stood in the way.
    async fn several(&mut self, acts: &[&Act], feed: &str, ink: Ink<'_>) -> Result<Effect, Fault>;
}

both! {
    impl Acts {
        async fn act(&mut self, act: &Act, feed: &str, ink: Ink<'_>) -> Result<Effect, Fault> {
            match act {
                Act::Several(acts) => self.several(&flat(acts), feed, ink).await,
                one => self.one(one, feed, ink).await,
            }
        }

        async fn one(&mut self, act: &Act, feed: &str, ink: Ink<'_>) -> Result<Effect, Fault> {
            let Ink { salt, cipher } = ink;
            match act {
                Act::Note => Ok(Effect::Quiet),
                Act::PutCode(code) => self.put_code(code).await,
                Act::SpendCode { hash, now, family } => self.spend_code(hash, *now, family).await,
                Act::OpenFamily(family) => self.open_family(family).await,
                Act::Unmoved { version } => self.hold(*version).await,
                Act::UseAssertion { client_id, digest, exp, family } => {
                    self.use_assertion(client_id, digest, *exp, family.as_ref()).await
                }
                Act::Rotate(rotation) => self.rotate(rotation).await,
                Act::EndFamily { id, reason, now, exp } => self.end_family(id, reason, *now, *exp).await,
                Act::EndToken { jti, exp } => Ok(Effect::Record(ending(Kind::Token, *jti, *exp))),
                Act::EndKey { kid, exp } => self.end_key(kid, *exp, salt).await,
                Act::Keys(change) => self.change_keys(change, salt).await,
                Act::Raise { scope, id, exp } => self.raise(*scope, id, *exp, salt).await,
                Act::Amend(amendment) => self.amend(amendment, ink).await,
                Act::Promote { epochs, numbers, generations, least } => {
                    let (epochs, numbers, by) = (*epochs, *numbers, *generations);
                    let jump = Jump { epochs, numbers, generations: Lift { by, least: *least } };
                    self.promote(feed, salt, jump).await
                }
                Act::OpenSession(session) => self.open_session(session).await,
                Act::EndSession { hash, now } => self.end_session(hash, *now).await,
                Act::Factor(act) => self.factor_act(act).await,
                Act::Invitation(act) => self.invitation_act(act).await,
                Act::Staff(act) => self.staff_act(act, cipher).await,
                Act::CloseLogins { person, reason, now } => self.close_logins(person, reason, *now).await,
                Act::EndSessions { person, now } => self.end_sessions(person.as_deref(), *now).await,
                Act::DisablePerson { id } => self.disable_person(id).await,
                Act::PutProposal(proposal) => self.put_proposal(proposal, cipher).await,
                Act::Settle(settlement) => self.settle(settlement).await,
                Act::Orphan(all) => self.orphan(all).await,
                Act::Acknowledge(seen) => self.acknowledge(seen).await,
                Act::Review(act) => self.review_act(act, cipher).await,
                Act::Idle(step) => self.idle_step(step).await,
                Act::TellGone { table, gone, at } => match self.tell_gone(table, *gone, *at).await? {
                    true => Ok(Effect::Quiet),
                    false => Ok(Effect::Lost),
                },
                Act::Several(_) => Err(Fault::unreadable("an act", "several where one is expected")),
            }
        }

        async fn put_code(&mut self, code: &CodeRow) -> Result<Effect, Fault> {
            diesel::insert_into(codes::table).values(StoredCode::of(code)?).execute(self).await?;
            Ok(Effect::Quiet)
        }

        async fn spend_code(&mut self, hash: &str, now: u64, family: &Family) -> Result<Effect, Fault> {
            let spent = diesel::update(codes::table)
                .filter(codes::hash.eq(hash))
                .filter(codes::spent_by.is_null())
                .filter(codes::expires_at.gt(signed(now)))
                .set(codes::spent_by.eq(&family.id))
                .execute(self)
                .await?;
            if spent == 1 {
                return self.open_family(family).await;
            }
            let by: Option<Option<String>> =
                codes::table.find(hash).select(codes::spent_by).get_result(self).await.optional()?;
            Ok(match by.flatten() {
                Some(family) => Effect::Spent { family: Some(family) },
                None => Effect::Lost,
            })
        }

        async fn open_family(&mut self, family: &Family) -> Result<Effect, Fault> {
            diesel::insert_into(families::table).values(StoredFamily::of(family)?).execute(self).await?;
            Ok(Effect::Quiet)
        }

        async fn use_assertion(
            &mut self,
            client: &str,
            digest: &str,
            exp: u64,
            family: Option<&Family>,
        ) -> Result<Effect, Fault> {
            let first = diesel::insert_into(assertions::table)
                .values((
                    assertions::client_id.eq(client),
                    assertions::digest.eq(digest),
                    assertions::exp.eq(signed(exp)),
                ))
                .on_conflict((assertions::client_id, assertions::digest))
                .do_nothing()
                .execute(self)
                .await?;
            match family {
                _ if first == 0 => Ok(Effect::Spent { family: None }),
                Some(family) => self.open_family(family).await,
                None => Ok(Effect::Quiet),
            }
        }

        async fn rotate(&mut self, rotation: &Rotation) -> Result<Effect, Fault> {
            let now = signed(rotation.now);
            let rotated = diesel::update(families::table)
                .filter(families::id.eq(&rotation.family))
                .filter(families::n.eq(signed(rotation.n)))
                .filter(families::secret.eq(&rotation.secret))
                .filter(families::ended_at.is_null())
                .filter(families::idle_exp.gt(now))
                .filter(families::abs_exp.gt(now))
                .set((
                    families::n.eq(families::n + 1),
                    families::previous.eq(families::secret.nullable()),
                    families::secret.eq(&rotation.next),
                    families::sealed.eq(&rotation.sealed),
                    families::rotated_at.eq(now),
                    families::idle_exp.eq(signed(rotation.idle_exp)),
                ))
                .execute(self)
                .await?;
            Ok(if rotated == 1 { Effect::Quiet } else { Effect::Lost })
        }

        async fn end_family(&mut self, id: &str, reason: &str, now: u64, exp: u64) -> Result<Effect, Fault> {
            let record = ending(Kind::Family, rows::raw_id(id)?, exp);
            let ended = diesel::update(families::table)
                .filter(families::id.eq(id))
                .filter(families::ended_at.is_null())
                .set((families::ended_at.eq(signed(now)), families::end_reason.eq(reason)))
                .execute(self)
                .await?;
            if ended == 1 {
                return Ok(Effect::Record(record));
            }
            // A family that we do not know ends as well (design 1.2 rule 5): its tokens may still be about.
            let known: i64 = families::table.filter(families::id.eq(id)).count().get_result(self).await?;
            Ok(if known == 1 { Effect::Already } else { Effect::Record(record) })
        }

        async fn raise(&mut self, scope: Scope, id: &str, exp: u64, salt: &[u8]) -> Result<Effect, Fault> {
            let (in_table, kind) = rows::scope_words(scope);
            let id = if scope == Scope::Everything { "" } else { id };
            let floor: Option<i64> = generations::table
                .find((FLOOR, ""))
                .select(generations::value)
                .get_result(self)
                .await
                .optional()?;
            let floor = floor.unwrap_or(0);
            diesel::update(generations::table.find((in_table, id)))
                .filter(generations::value.lt(floor))
                .set(generations::value.eq(floor))
                .execute(self)
                .await?;
            let value: i64 = diesel::insert_into(generations::table)
                .values((
                    generations::scope.eq(in_table),
                    generations::id.eq(id),
                    generations::value.eq(floor + 1),
                ))
                .on_conflict((generations::scope, generations::id))
                .do_update()
                .set(generations::value.eq(generations::value + 1))
                .returning(generations::value)
                .get_result(self)
                .await?;
            let record = Record { val: word(unsigned(value)), ..ending(kind, name_id(salt, kind, id), exp) };
            Ok(Effect::Raised { record, scope, id: id.to_owned() })
        }

        async fn open_session(&mut self, session: &Session) -> Result<Effect, Fault> {
            // One that rises in this very moment elsewhere makes the session none at its first use.
            if self.generation_of(&session.person).await? != session.generation {
                return Ok(Effect::Lost);
            }
            diesel::insert_into(sessions::table).values(StoredSession::of(session)?).execute(self).await?;
            Ok(Effect::Quiet)
        }

        async fn generation_of(&mut self, person: &str) -> Result<u32, Fault> {
            let of_this_or_all = generations::scope
                .eq("subject")
                .and(generations::id.eq(person))
                .or(generations::scope.eq(FLOOR).and(generations::id.eq("")));
            let counted: Option<i64> = generations::table
                .filter(of_this_or_all)
                .select(diesel::dsl::max(generations::value))
                .get_result(self)
                .await?;
            Ok(word(unsigned(counted.unwrap_or(0))))
        }

        async fn end_session(&mut self, hash: &str, now: u64) -> Result<Effect, Fault> {
            diesel::update(sessions::table)
                .filter(sessions::hash.eq(hash))
                .filter(sessions::ended_at.is_null())
                .set(sessions::ended_at.eq(signed(now)))
                .execute(self)
                .await?;
            Ok(Effect::Quiet)
        }

        /// And the link by which somebody might come in next.
        async fn close_logins(&mut self, person: &str, reason: &str, now: u64) -> Result<Effect, Fault> {
            self.close_invitations(person, now).await?;
            diesel::update(families::table)
                .filter(families::owner_id.eq(person))
                .filter(families::ended_at.is_null())
                .set((families::ended_at.eq(signed(now)), families::end_reason.eq(reason)))
                .execute(self)
                .await?;
            Ok(Effect::Quiet)
        }

        async fn end_sessions(&mut self, person: Option<&str>, now: u64) -> Result<Effect, Fault> {
            let ended = sessions::ended_at.eq(signed(now));
            let alive = diesel::update(sessions::table).filter(sessions::ended_at.is_null());
            match person {
                Some(id) => alive.filter(sessions::person_id.eq(id)).set(ended).execute(self).await?,
                None => alive.set(ended).execute(self).await?,
            };
            Ok(Effect::Quiet)
        }

        async fn disable_person(&mut self, id: &str) -> Result<Effect, Fault> {
            diesel::update(people::table.find(id)).set(people::disabled.eq(true)).execute(self).await?;
            Ok(Effect::Quiet)
        }

        async fn several(&mut self, acts: &[&Act], feed: &str, ink: Ink<'_>) -> Result<Effect, Fault> {
            // A transaction inside the group's is a savepoint: what is taken back is this alone.
            let tried = self.transaction(async |c| {
                let mut done = Vec::with_capacity(acts.len());
                for act in acts {
                    let effect = c.one(act, feed, ink).await.map_err(Undone::Broken)?;
                    if !effect.happened() {
                        return Err(Undone::Conditions(effect));
                    }
                    done.push(effect);
                }
                Ok(Effect::Several(done))
            });
            match tried.await {
                Err(Undone::Conditions(effect)) => Ok(effect),
                Err(Undone::Broken(fault)) => Err(fault),
                Ok(effect) => Ok(effect),
            }
        }
    }
}

/// Acts within acts, one after another.
fn flat(acts: &[Act]) -> Vec<&Act> {
    let each = acts.iter().map(|act| match act {
        Act::Several(inner) => flat(inner),
        one => vec![one],
    });
    each.flatten().collect()
}

/// Why several acts were taken back.
enum Undone {
    /// One of them did not find what it needs.
    Conditions(Effect),
    Broken(Fault),
}

impl From<diesel::result::Error> for Undone {
    fn from(error: diesel::result::Error) -> Self {
        Self::Broken(error.into())
    }
}

pub(crate) fn ending(kind: Kind, id: [u8; 16], exp: u64) -> Record {
    Record { kind, flags: 0, exp: word(exp), val: 0, id }
}
