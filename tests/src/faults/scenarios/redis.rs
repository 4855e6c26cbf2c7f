//! Redis carries the feed and fails. The first guard follows Redis alone, the second HTTP alone, the third
//! both.

use std::time::{Duration, Instant};

use portcullis::settings;
use redis::streams::StreamRangeReply;

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

/// The replica was cut off for a while before its master died; everybody is led to it.
pub fn promoted(plan: &Plan) -> Result<Report, Trouble> {
    let replica = Redis::start(&plan.home.join("redis-promoted-replica"), false)?;
    let mut town = Town::open(plan, "redis-promoted", false)?;
    let wire = Link::open(town.redis.address()).map_err(Trouble::broken)?;
    let port = wire.address().port().to_string();
    let _: String = replica.ask(&["REPLICAOF", "127.0.0.1", &port])?;
    let has = |redis: &Redis| redis.ask::<Option<u64>>(&["HGET", HEAD, "s"]);
    let started = Instant::now();
    while has(&replica)?.is_none() && started.elapsed() < SYNC {
        wait(20);
    }
    let rush = town.stage.rush();
    wait(1000);
    wire.set(Weather::Cut);
    wait(500);
    let lost = has(&town.redis)? > has(&replica)?;
    town.redis.kill();
    let _: String = replica.ask(&["REPLICAOF", "NO", "ONE"])?;
    town.way.lead_to(replica.address());
    town.wire.lead_to(replica.address());
    let mut report = town.stage.conclude(rush, mended())?;
    if !lost {
        report.complaints.push("the replica lacked nothing".into());
    }
    Ok(report)
}

/// Somebody who may write to Redis, and has no key of the feed, does what he can think of.
pub fn evil(plan: &Plan) -> Result<Report, Trouble> {
    Town::open(plan, "redis-evil", false)?.suffer(|town| {
        let until = Instant::now() + Duration::from_millis(town.stage.plan.bound_ms + 1500);
        let past: Option<Vec<u8>> = town.redis.ask(&["GET", MANIFEST])?;
        let mut villain = Villain::of(&town.redis, past.unwrap_or_default())?;
        let mut deed = 0;
        while Instant::now() < until {
            villain.does(deed)?;
            deed += 1;
            wait(20);
        }
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

/// Keys of the feed that every stage has.
const HEAD: &str = "rv:{live:eu1}:head";
const LOG: &str = "rv:{live:eu1}:log";
const MANIFEST: &str = "rv:{live:eu1}:man";

/// How long a replica may take to begin.
const SYNC: Duration = Duration::from_secs(10);

/// Writes to Redis what nobody should.
struct Villain {
    connection: redis::Connection,
    /// A manifest of the past.
    past: Vec<u8>,
}

impl Villain {
    fn of(redis: &Redis, past: Vec<u8>) -> Result<Self, Trouble> {
        let client = redis::Client::open(format!("redis://{}", redis.address())).map_err(Trouble::broken)?;
        Ok(Self { connection: client.get_connection().map_err(Trouble::broken)?, past })
    }

    /// One deed after another: a forged batch at the end, the newest entry deleted, the past again, a head
    /// that promises more, an old manifest, no head, nothing at all.
    fn does(&mut self, number: usize) -> Result<(), Trouble> {
        let newest: StreamRangeReply =
            self.run(redis::cmd("XREVRANGE").arg(LOG).arg("+").arg("-").arg("COUNT").arg(2))?;
        let id = |at: usize| newest.ids.get(at).map(|entry| entry.id.clone());
        let content = |at: usize| newest.ids.get(at).and_then(|entry| entry.get::<Vec<u8>>("b"));
        let mut deed = match (number % 7, id(0), content(0), content(1)) {
            (0, Some(id), Some(mut bytes), _) => {
                let place = number * 13 % bytes.len().max(1);
                bytes.get_mut(place).into_iter().for_each(|byte| *byte ^= 1);
                add(&after(&id), &bytes)
            }
            (1, Some(id), ..) => redis::cmd("XDEL").arg(LOG).arg(id).to_owned(),
            (2, Some(id), _, Some(bytes)) => add(&after(&id), &bytes),
            (3, ..) => redis::cmd("HINCRBY").arg(HEAD).arg("s").arg(50).to_owned(),
            (4, ..) => redis::cmd("SET").arg(MANIFEST).arg(&self.past).to_owned(),
            (5, ..) => redis::cmd("DEL").arg(HEAD).to_owned(),
            (6, ..) if number % 35 == 34 => redis::cmd("FLUSHALL"),
            _ => redis::cmd("PING"),
        };
        // Redis itself refuses some of it, an id that is taken for one.
        let _: Result<redis::Value, _> = self.run(&mut deed);
        Ok(())
    }

    fn run<T: redis::FromRedisValue>(&mut self, command: &mut redis::Cmd) -> Result<T, Trouble> {
        command.query(&mut self.connection).map_err(Trouble::broken)
    }
}

fn add(id: &str, bytes: &[u8]) -> redis::Cmd {
    redis::cmd("XADD").arg(LOG).arg(id).arg("b").arg(bytes).to_owned()
}

/// The next id of the same epoch.
fn after(id: &str) -> String {
    let (epoch, seq) = id.split_once('-').unwrap_or((id, "0"));
    format!("{epoch}-{}", seq.parse::<u64>().unwrap_or(0) + 1)
}

struct Town {
    stage: Stage,
    redis: Redis,
    /// Between guards and Redis.
    way: Link,
    /// Between the server and Redis.
    wire: Link,
    _server: Server,
}

impl Town {
    fn open(plan: &Plan, name: &str, keeps: bool) -> Result<Self, Trouble> {
        let redis = Redis::start(&plan.home.join(format!("{name}-redis")), keeps)?;
        let way = Link::open(redis.address()).map_err(Trouble::broken)?;
        let wire = Link::open(redis.address()).map_err(Trouble::broken)?;
        let mut stage = Stage::set(plan, name, None, "")?;
        stage.settings.redis = Some(settings::Redis::at(format!("redis://{}", wire.address())));
        let server = stage.server()?;
        let there = format!("redis://{}", way.address());
        stage.man_with(&[Ways::Redis(there.clone()), Ways::Http, Ways::Both(there)])?;
        Ok(Self { stage, redis, way, wire, _server: server })
    }

    fn suffer(mut self, fault: impl FnOnce(&mut Self) -> Result<(), Trouble>) -> Result<Report, Trouble> {
        let rush = self.stage.rush();
        wait(1000);
        fault(&mut self)?;
        self.stage.conclude(rush, mended())
    }
}
