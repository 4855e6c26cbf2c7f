//! A clock is set. The server runs in this process, where its clock can be set without setting everybody's;
//! the guard's clock is set inside the guard's process, between the machine and the view.

use super::{mended, wait};
use crate::faults::stage::{CONTROLS, Stage};
use crate::faults::{Plan, Report, Trouble};

const HOUR_MS: i64 = 3_600_000;

/// The tokens of this run have expired by the new time of the server, and not by that of the guards: what
/// the server then takes for over must be over for them too.
pub fn server_ahead(plan: &Plan) -> Result<Report, Trouble> {
    let mut stage = Stage::set(plan, "server-clock-ahead", None, "")?;
    stage.settings.tokens.access_lifetime = 1800;
    let (server, clock) = stage.server_inside()?;
    stage.man(2)?;
    let rush = stage.rush();
    wait(plan.seconds * 300);
    clock.step(HOUR_MS);
    wait(plan.bound_ms);
    let survivors = stage.crowd.issue(CONTROLS + 1000, 8)?;
    stage.hand(&survivors)?;
    let report = stage.conclude(rush, mended());
    server.stop().map_err(|e| Trouble::broken(e.why))?;
    report
}

pub fn server_back(plan: &Plan) -> Result<Report, Trouble> {
    let mut stage = Stage::set(plan, "server-clock-back", None, "")?;
    let (server, clock) = stage.server_inside()?;
    stage.man(2)?;
    let rush = stage.rush();
    wait(1000);
    clock.step(-HOUR_MS);
    wait(plan.bound_ms + 2500);
    clock.step(0);
    let report = stage.conclude(rush, mended());
    server.stop().map_err(|e| Trouble::broken(e.why))?;
    report
}

pub fn guard_ahead(plan: &Plan) -> Result<Report, Trouble> {
    let mut stage = Stage::set(plan, "guard-clock-ahead", None, "")?;
    let _server = stage.server()?;
    stage.man(2)?;
    let rush = stage.rush();
    wait(1000);
    stage.sentries[0].step_clock(HOUR_MS)?;
    wait(plan.bound_ms + 1500);
    stage.sentries[0].step_clock(0)?;
    stage.conclude(rush, mended())
}

/// Back for good, and with the link cut for a while: an old feed must not look young to an old clock.
pub fn guard_back(plan: &Plan) -> Result<Report, Trouble> {
    use crate::faults::link::Weather;
    let mut stage = Stage::set(plan, "guard-clock-back", None, "")?;
    let _server = stage.server()?;
    stage.man(2)?;
    let rush = stage.rush();
    wait(1000);
    // Not a whole hour: the tokens of this run are not older than some seconds, and a guard that believes
    // them to come from the future refuses them before it asks what has ended.
    stage.sentries[0].step_clock(-3000)?;
    stage.sentries[1].step_clock(-HOUR_MS)?;
    stage.links[0].set(Weather::Cut);
    wait(plan.bound_ms + 2500);
    stage.links[0].set(Weather::Fair);
    stage.sentries[1].step_clock(0)?;
    stage.conclude(rush, mended())
}
