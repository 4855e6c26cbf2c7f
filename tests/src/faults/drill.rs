//! The disaster drill: one house over PostgreSQL and Redis with two servers and three guards loses, one after
//! another, all of Redis, a server, and the database with the machine that it is on, of which only a backup is
//! left. A crowd revokes all the while and guards check without a break; the judge decides afterwards whether
//! anything that was answered as revoked was ever accepted again.

use std::fmt;
use std::fs;
use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use portcullis::settings;

use super::crowd::{Rush, agent};
use super::diary::now_ms;
use super::link::Link;
use super::postgres::{Postgres, url_at};
use super::redis::Redis;
use super::server::Server;
use super::stage::{CONTROLS, Stage, Ways};
use super::{Plan, Report, Trouble};

/// Tokens that are revoked one by one, to see how things stand.
const PROBES: usize = 8;
/// Tokens that are issued after the restoration and must live.
const SURVIVORS: u32 = 8;
/// The longest that a step may take to be over.
const STEP: Duration = Duration::from_secs(30);
/// 32 bytes for a backup of a database that lives for a minute.
const BACKUP_KEY: &str = "BwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwc=";

/// What came of the drill.
pub struct Drilled {
    pub report: Report,
    /// Each step, and how long it took.
    pub steps: Vec<(&'static str, Duration)>,
    /// Acknowledged after the backup was taken, and so known to nobody but the guards.
    pub lost: usize,
    pub backup_bytes: u64,
}

/// Everything that is lost in the course of it.
struct House {
    stage: Stage,
    postgres: Postgres,
    redis: Redis,
    /// Between the servers and the database, wherever that is.
    database: Link,
    first: Server,
    second: Server,
    steps: Vec<(&'static str, Duration)>,
    /// How many tokens were revoked by hand.
    probes: usize,
}

/// Does it all.
///
/// # Errors
/// When this machine lacks PostgreSQL or Redis, or a step does not come to its end.
pub fn drill(plan: &Plan) -> Result<Drilled, Trouble> {
    let mut house = House::open(plan)?;
    let rush = house.stage.crowd.revoke(&house.stage.tokens()[PROBES..], Duration::from_secs(plan.seconds));
    house.go_on()?;
    house.lose_redis()?;
    house.lose_a_server()?;
    let (backup, key) = house.back_up()?;
    let known = rush.acknowledged();
    for _ in 0..3 {
        house.go_on()?;
    }
    let lost = rush.acknowledged() - known + 3;
    house.lose_the_database(plan, &backup, &key)?;
    let backup_bytes = fs::metadata(&backup).map_err(Trouble::broken)?.len();
    house.conclude(rush, (lost, backup_bytes))
}

impl House {
    fn open(plan: &Plan) -> Result<Self, Trouble> {
        let postgres = Postgres::start(&place(plan, "drill-database")?)?;
        let redis = Redis::start(&plan.home.join("drill-redis"), false)?;
        let database = Link::open(postgres.address()).map_err(Trouble::broken)?;
        let mut stage = Stage::set(plan, "drill", Some(&url_at(database.address())), "")?;
        let there = format!("redis://{}", redis.address());
        stage.settings.redis = Some(settings::Redis::at(there.clone()));
        let first = stage.server()?;
        let second = stage.second_server()?;
        stage.man_with(&[Ways::Redis(there.clone()), Ways::Http, Ways::Both(there)])?;
        Ok(Self { stage, postgres, redis, database, first, second, steps: Vec::new(), probes: 0 })
    }

    /// Insists on the end of one more token, and waits until every guard has heard of it.
    fn go_on(&mut self) -> Result<(), Trouble> {
        let (token, text) = self.stage.tokens()[self.probes].clone();
        self.probes += 1;
        let (agent, started) = (agent(), Instant::now());
        let position = loop {
            let answer = self.stage.crowd.try_revoke(&agent, token, &text);
            let position = answer.position.clone().filter(|_| answer.status == Some(200));
            self.stage.history.answers.push(answer);
            match position {
                Some(position) => break position,
                None if started.elapsed() > STEP => return Err(Trouble::broken("nothing is acknowledged")),
                None => wait(10),
            }
        };
        let seq = position.rsplit('.').next().and_then(|seq| seq.parse().ok());
        self.stage.wait_for(seq.ok_or_else(|| Trouble::broken(position))?, STEP)?;
        self.stage.wait_until_open()
    }

    fn lose_redis(&mut self) -> Result<(), Trouble> {
        self.redis.kill();
        wait(1000);
        let started = Instant::now();
        self.redis.start_again()?;
        self.go_on()?;
        self.took("Redis, empty again: every guard has caught up", started);
        Ok(())
    }

    /// Whatever stands before the servers leads everybody to the one that is left.
    fn lose_a_server(&mut self) -> Result<(), Trouble> {
        let started = Instant::now();
        self.first.kill();
        self.lead_to(self.second.address());
        self.go_on()?;
        self.took("a server killed: the other one has acknowledged, guards follow it", started);
        Ok(())
    }

    fn back_up(&mut self) -> Result<(PathBuf, String), Trouble> {
        let (file, key) = (self.stage.home().join("drill.backup"), self.stage.home().join("backup.key"));
        fs::write(&key, BACKUP_KEY).map_err(Trouble::broken)?;
        fs::set_permissions(&key, fs::Permissions::from_mode(0o600)).map_err(Trouble::broken)?;
        let (name, key) = (file.display().to_string(), format!("file:{}", key.display()));
        let started = Instant::now();
        self.second.command(&["backup", &name, "--key", &key])?;
        self.took("a backup taken while everybody works", started);
        let started = Instant::now();
        self.second.command(&["backup", "--verify", &name, "--key", &key])?;
        self.took("the backup verified", started);
        Ok((file, key))
    }

    /// The database is gone with its disk, and comes back from the backup somewhere else.
    fn lose_the_database(&mut self, plan: &Plan, backup: &Path, key: &str) -> Result<(), Trouble> {
        let lost = Instant::now();
        self.postgres.kill();
        self.second.kill();
        let started = Instant::now();
        self.postgres = Postgres::start(&place(plan, "drill-database-again")?)?;
        self.database.lead_to(self.postgres.address());
        self.took("a new, empty database", started);
        let name = backup.display().to_string();
        let started = Instant::now();
        self.stage.end_everything(&self.second, &["restore", &name, "--fenced", "--key", key])?;
        self.took("the backup restored, and everything issued before ended", started);
        self.second.command(&["audit", "verify", "--books"])?;
        let started = Instant::now();
        self.second.start_again()?;
        self.took("a server ready again", started);
        let started = Instant::now();
        self.stage.wait_until_open()?;
        let survivors = self.stage.crowd.issue(CONTROLS + 1000, SURVIVORS)?;
        self.stage.hand(&survivors)?;
        self.took("guards in the new epoch, new tokens issued", started);
        self.took("from losing the database to here", lost);
        self.first.start_again()
    }

    fn conclude(self, rush: Rush, (lost, backup_bytes): (usize, u64)) -> Result<Drilled, Trouble> {
        let Self { stage, steps, first: _first, second: _second, postgres: _postgres, redis: _redis, .. } =
            self;
        let mut report = stage.conclude(rush, now_ms())?;
        if lost == 0 {
            report.complaints.push("nothing was acknowledged that the backup lacks".into());
        }
        Ok(Drilled { report, steps, lost, backup_bytes })
    }

    fn lead_to(&self, server: SocketAddr) {
        self.stage.door.lead_to(server);
        self.stage.links.iter().for_each(|link| link.lead_to(server));
    }

    fn took(&mut self, step: &'static str, since: Instant) {
        self.steps.push((step, since.elapsed()));
    }
}

impl fmt::Display for Drilled {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (step, took) in &self.steps {
            writeln!(to, "{step:<68} {:>7} ms", took.as_millis())?;
        }
        writeln!(
            to,
            "\n{} bytes of backup; {} revocations were answered after it and before the loss.",
            self.backup_bytes, self.lost
        )?;
        let judgement = &self.report.judgement;
        write!(
            to,
            "{} revocations answered in all, {} decisions of guards, {} promises broken.",
            judgement.acknowledged,
            judgement.decisions,
            judgement.violations.len() + self.report.complaints.len()
        )
    }
}

/// A folder that the account of the database can reach.
fn place(plan: &Plan, name: &str) -> Result<PathBuf, Trouble> {
    let place = plan.home.join(name);
    fs::create_dir_all(&place).map_err(Trouble::broken)?;
    Ok(place)
}

fn wait(ms: u64) {
    std::thread::sleep(Duration::from_millis(ms));
}
