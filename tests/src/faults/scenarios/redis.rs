//! Redis carries the feed and fails. The first guard follows Redis alone, the second HTTP alone, the third
//! both.

use portcullis::settings;

use super::{mended, wait};
use crate::faults::link::{Link, Weather};
use crate::faults::redis::Redis;
use crate::faults::server::Server;
use crate::faults::stage::{Stage, Ways};
use crate::faults::{Plan, Report, Trouble};

pub fn killed(plan: &Plan) -> Result<Report, Trouble> {
    Town::open(plan, "redis-killed", true)?.suffer(|town| {
        for _ in 0..3 {
            town.redis.kill();
            wait(500);
            town.redis.start_again()?;
            wait(700);
        }
        Ok(())
    })
}

pub fn emptied(plan: &Plan) -> Result<Report, Trouble> {
    Town::open(plan, "redis-emptied", false)?.suffer(|town| {
        town.redis.kill();
        wait(500);
        town.redis.start_again()
    })
}

pub fn frozen(plan: &Plan) -> Result<Report, Trouble> {
    Town::open(plan, "redis-frozen", false)?.suffer(|town| {
        town.redis.freeze();
        wait(town.stage.plan.bound_ms + 1500);
        town.redis.thaw();
        Ok(())
    })
}

/// Guards and Redis are parted, then guards and the server as well.
pub fn parted(plan: &Plan) -> Result<Report, Trouble> {
    Town::open(plan, "redis-parted", false)?.suffer(|town| {
        town.way.set(Weather::Frozen);
        wait(1500);
        town.stage.links.iter().for_each(|link| link.set(Weather::Cut));
        wait(town.stage.plan.bound_ms + 1500);
        town.stage.links.iter().for_each(|link| link.set(Weather::Fair));
        wait(500);
        town.way.set(Weather::Fair);
        Ok(())
    })
}

struct Town {
    stage: Stage,
    redis: Redis,
    /// Between guards and Redis.
    way: Link,
    _server: Server,
}

impl Town {
    fn open(plan: &Plan, name: &str, keeps: bool) -> Result<Self, Trouble> {
        let redis = Redis::start(&plan.home.join(format!("{name}-redis")), keeps)?;
        let way = Link::open(redis.address()).map_err(Trouble::broken)?;
        let mut stage = Stage::set(plan, name, None, "")?;
        stage.settings.redis = Some(settings::Redis::at(format!("redis://{}", redis.address())));
        let server = stage.server()?;
        let there = format!("redis://{}", way.address());
        stage.man_with(&[Ways::Redis(there.clone()), Ways::Http, Ways::Both(there)])?;
        Ok(Self { stage, redis, way, _server: server })
    }

    fn suffer(mut self, fault: impl FnOnce(&mut Self) -> Result<(), Trouble>) -> Result<Report, Trouble> {
        let rush = self.stage.rush();
        wait(1000);
        fault(&mut self)?;
        self.stage.conclude(rush, mended())
    }
}
