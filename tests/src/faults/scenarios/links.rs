//! The way between a guard and its server, or between clients and the server, is bad. One guard suffers,
//! the other does not.

use std::time::Duration;

use super::{mended, wait};
use crate::faults::link::Weather;
use crate::faults::stage::Stage;
use crate::faults::{Plan, Report, Trouble};

pub fn cut(plan: &Plan) -> Result<Report, Trouble> {
    suffer(plan, "link-cut", Weather::Cut)
}

pub fn slow(plan: &Plan) -> Result<Report, Trouble> {
    suffer(plan, "link-slow", Weather::Slow(Duration::from_millis(700)))
}

pub fn half_open(plan: &Plan) -> Result<Report, Trouble> {
    suffer(plan, "link-half-open", Weather::Frozen)
}

pub fn mute(plan: &Plan) -> Result<Report, Trouble> {
    suffer(plan, "link-mute", Weather::Mute)
}

pub fn thin(plan: &Plan) -> Result<Report, Trouble> {
    suffer(plan, "link-thin", Weather::Thin(2000))
}

pub fn gusty(plan: &Plan) -> Result<Report, Trouble> {
    suffer(plan, "link-gusty", Weather::Gusty)
}

pub fn door(plan: &Plan) -> Result<Report, Trouble> {
    let mut stage = Stage::set(plan, "door-half-open", None, "")?;
    let _server = stage.server()?;
    stage.man(2)?;
    let rush = stage.rush();
    for _ in 0..2 {
        wait(1000);
        stage.door.set(Weather::Mute);
        wait(700);
        // What was done and never answered stays so: the connections are gone.
        stage.door.set(Weather::Cut);
        wait(300);
        stage.door.set(Weather::Fair);
    }
    stage.conclude(rush, mended())
}

fn suffer(plan: &Plan, name: &str, weather: Weather) -> Result<Report, Trouble> {
    let mut stage = Stage::set(plan, name, None, "")?;
    let _server = stage.server()?;
    stage.man(2)?;
    let rush = stage.rush();
    wait(1000);
    stage.links[0].set(weather);
    wait(plan.bound_ms + 2500);
    stage.links[0].set(Weather::Fair);
    stage.conclude(rush, mended())
}
