//! PostgreSQL under two servers, and under none.

use super::{mended, wait};
use crate::faults::diary::now_ms;
use crate::faults::link::Weather;
use crate::faults::postgres::Postgres;
use crate::faults::stage::Stage;
use crate::faults::{Plan, Report, Trouble};

/// What was under way when the database was killed may have been committed just before.
const UNDER_WAY_MS: u64 = 100;

pub fn between_commit_and_answer(plan: &Plan) -> Result<Report, Trouble> {
    let postgres = postgres(plan, "two-servers")?;
    let mut stage = Stage::set(plan, "two-servers", Some(&postgres.url()), "")?;
    let mut first = stage.server()?;
    let second = stage.second_server()?;
    stage.man(2)?;
    stage.links[1].lead_to(second.address());
    stage.wait_until_open()?;
    let rush = stage.rush();
    wait(1500);
    // Requests arrive and are committed; their answers never come.
    stage.door.set(Weather::Mute);
    wait(400);
    first.kill();
    stage.door.lead_to(second.address());
    stage.links[0].lead_to(second.address());
    stage.door.set(Weather::Fair);
    let mut report = stage.conclude(rush, mended())?;
    if !report.answers.contains_key(&0) {
        report.complaints.push("no request was left without an answer".into());
    }
    Ok(report)
}

pub fn killed(plan: &Plan) -> Result<Report, Trouble> {
    let mut postgres = postgres(plan, "postgres-killed")?;
    let mut stage = Stage::set(plan, "postgres-killed", Some(&postgres.url()), "")?;
    let _server = stage.server()?;
    stage.man(2)?;
    let rush = stage.rush();
    wait(1500);
    postgres.kill();
    let down = now_ms() + UNDER_WAY_MS;
    wait(3000);
    stage.history.no_truth = Some((down, now_ms()));
    postgres.start_again()?;
    let mut report = stage.conclude(rush, mended())?;
    if !report.answers.contains_key(&503) {
        report.complaints.push("nobody was told 503 while the database was down".into());
    }
    Ok(report)
}

pub(super) fn postgres(plan: &Plan, name: &str) -> Result<Postgres, Trouble> {
    // Beside the stage and not inside it: another account must reach it.
    let home = plan.home.join(format!("{name}-database"));
    std::fs::create_dir_all(&home).map_err(Trouble::broken)?;
    Postgres::start(&home)
}
