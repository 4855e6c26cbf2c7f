//! Somebody who controls the way between guard and server lies. One guard hears only the liar.

use super::{mended, wait};
use crate::faults::liar::{Liar, Lie};
use crate::faults::stage::Stage;
use crate::faults::{Plan, Report, Trouble};

pub fn bits(plan: &Plan) -> Result<Report, Trouble> {
    hear(plan, "relay-bits", Lie::Bits)
}

pub fn short(plan: &Plan) -> Result<Report, Trouble> {
    hear(plan, "relay-short", Lie::Short)
}

pub fn shuffled(plan: &Plan) -> Result<Report, Trouble> {
    hear(plan, "relay-shuffled", Lie::Shuffled)
}

pub fn holes(plan: &Plan) -> Result<Report, Trouble> {
    hear(plan, "relay-holes", Lie::Holes)
}

pub fn yesterday(plan: &Plan) -> Result<Report, Trouble> {
    hear(plan, "relay-yesterday", Lie::Yesterday)
}

pub fn nothing(plan: &Plan) -> Result<Report, Trouble> {
    hear(plan, "relay-nothing", Lie::Nothing)
}

/// The lies begin in the middle of the rush, and while they last a new guard starts on them.
fn hear(plan: &Plan, name: &str, lie: Lie) -> Result<Report, Trouble> {
    let mut stage = Stage::set(plan, name, None, "")?;
    let _server = stage.server()?;
    let liar = Liar::open(stage.upstream()).map_err(Trouble::broken)?;
    stage.man(1)?;
    stage.post(&liar.url())?;
    stage.wait_until_open()?;
    stage.let_pass();
    let rush = stage.rush();
    wait(1000);
    liar.tell(lie);
    wait(1500);
    stage.post(&liar.url())?;
    wait(plan.bound_ms + 1500);
    liar.tell(Lie::Truth);
    let healed = mended();
    let told = liar.told();
    let mut report = stage.conclude(rush, healed)?;
    if told == 0 {
        report.complaints.push("the relay never had the occasion to lie".into());
    }
    Ok(report)
}
