//! The one act that is about the books themselves: they were put back to an older copy, and go on from there
//! in a new epoch. Why, and how far everything jumps, is `authority/recovery.rs`.

use diesel::dsl::max;
use diesel::prelude::*;
use diesel_async::RunQueryDsl;
use portcullis_guard::feed::{Kind, Record, chain, name_id};

use crate::acts::{Effect, ending};
use crate::db::{Fault, both};
use crate::feed::FeedBook;
use crate::rows::{self, signed, unsigned, word};
use crate::schema::{
    generations, operator_invitations, operator_sessions, people_idle, person_invitations, registry_version,
    rv_feed,
};
use crate::seed::NEVER;

/// The row of `generations` below which none is, whoever's it is. A row that is missing counts as this one:
/// the lost part may have raised what was never raised before.
pub(crate) const FLOOR: &str = "floor";

/// How far what was given out in the lost part is left behind.
pub(crate) struct Jump {
    pub(crate) epochs: u64,
    pub(crate) numbers: u64,
    pub(crate) generations: Lift,
}

/// So far above the highest, and to so much at least.
#[derive(Clone, Copy)]
pub(crate) struct Lift {
    pub(crate) by: u32,
    pub(crate) least: u32,
}

impl Lift {
    fn above(self, highest: i64) -> i64 {
        (highest + i64::from(self.by)).max(i64::from(self.least))
    }
}

/// Going on after a loss, on an open transaction.
pub(crate) trait Promoting {
    async fn promote(&mut self, feed: &str, salt: &[u8], jump: Jump) -> Result<Effect, Fault>;
    /// Lifts the floor above everything that is known, and says where it is now.
    async fn lift(&mut self, how: Lift) -> Result<i64, Fault>;
}

both! {
    impl Promoting {
        async fn promote(&mut self, feed: &str, salt: &[u8], jump: Jump) -> Result<Effect, Fault> {
            let least = u64::from(jump.generations.least);
            let epoch = (self.position(feed).await?.epoch + jump.epochs).max(least);
            // The newest time and beat go too: the copy may come from a machine whose clock was ahead.
            diesel::update(rv_feed::table.find(feed))
                .set((
                    rv_feed::epoch.eq(signed(epoch)),
                    rv_feed::seq.eq(rv_feed::seq + signed(jump.numbers)),
                    rv_feed::chain.eq(rows::base64url(&chain::start(feed, epoch))),
                    rv_feed::as_of_ms.eq(0),
                    rv_feed::last_beat_ms.eq(0),
                ))
                .execute(self)
                .await?;
            let floor = self.lift(jump.generations).await?;
            // An operator's session has no generation; one that was ended in the lost part must not come back.
            diesel::delete(operator_sessions::table).execute(self).await?;
            // Who came back in the lost part is not remembered to have come: everybody has the whole time again.
            diesel::delete(people_idle::table).execute(self).await?;
            // Nor must an invitation that was withdrawn or used there.
            diesel::delete(operator_invitations::table).execute(self).await?;
            diesel::delete(person_invitations::table).execute(self).await?;
            let version: i64 =
                registry_version::table.find(1).select(registry_version::version).get_result(self).await?;
            let version = jump.generations.above(version);
            diesel::update(registry_version::table.find(1))
                .set(registry_version::version.eq(version))
                .execute(self)
                .await?;
            let line = |kind, value| Record {
                val: word(unsigned(value)),
                ..ending(kind, name_id(salt, kind, ""), u64::from(NEVER))
            };
            let records = vec![line(Kind::Everything, floor), line(Kind::Policy, version)];
            Ok(Effect::Amended { records, raised: Vec::new() })
        }

        async fn lift(&mut self, how: Lift) -> Result<i64, Fault> {
            let highest: Option<i64> =
                generations::table.select(max(generations::value)).get_result(self).await?;
            let floor = how.above(highest.unwrap_or(0));
            diesel::insert_into(generations::table)
                .values((generations::scope.eq(FLOOR), generations::id.eq(""), generations::value.eq(floor)))
                .on_conflict((generations::scope, generations::id))
                .do_update()
                .set(generations::value.eq(floor))
                .execute(self)
                .await?;
            Ok(floor)
        }
    }
}
