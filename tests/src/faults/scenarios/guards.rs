//! A guard stands still or starts again.

use super::{mended, wait};
use crate::faults::diary::now_ms;
use crate::faults::link::Weather;
use crate::faults::stage::Stage;
use crate::faults::{Plan, Report, Trouble};

/// How long the link stays frozen when the guard goes on: its first checks must be made without news.
const WITHOUT_NEWS_MS: u64 = 700;

pub fn frozen(plan: &Plan) -> Result<Report, Trouble> {
    let mut stage = Stage::set(plan, "guard-frozen", None, "")?;
    let _server = stage.server()?;
    stage.man(2)?;
    let rush = stage.rush();
    wait(500);
    stage.links[0].set(Weather::Frozen);
    stage.sentries[0].child().freeze();
    wait(plan.bound_ms + 1500);
    let thawed = now_ms();
    stage.sentries[0].child().thaw();
    wait(WITHOUT_NEWS_MS);
    stage.links[0].set(Weather::Fair);
    let healed = mended();
    let name = stage.sentries[0].name().to_owned();
    stage.must_not_accept(&name, thawed + 1, healed);
    stage.conclude(rush, healed)
}

pub fn restarted(plan: &Plan) -> Result<Report, Trouble> {
    let mut stage = Stage::set(plan, "guard-restarted", None, "")?;
    let _server = stage.server()?;
    stage.man(2)?;
    let rush = stage.rush();
    wait(plan.seconds * 400);
    stage.links[0].set(Weather::Cut);
    stage.replace(0)?;
    wait(1500);
    let name = stage.sentries[0].name().to_owned();
    let fed = mended();
    stage.history.fed_from.insert(name, fed);
    stage.links[0].set(Weather::Fair);
    wait(1000);
    // And once more with the feed within reach, which is the ordinary restart.
    stage.replace(1)?;
    stage.conclude(rush, fed)
}
