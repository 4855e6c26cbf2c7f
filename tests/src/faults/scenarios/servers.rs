//! The server dies or stands still.

use super::{mended, wait};
use crate::faults::stage::Stage;
use crate::faults::{Plan, Report, Trouble};

pub fn killed(plan: &Plan) -> Result<Report, Trouble> {
    let mut stage = Stage::set(plan, "server-killed", None, "")?;
    let mut server = stage.server()?;
    stage.man(2)?;
    let rush = stage.rush();
    let mut healed = 0;
    for _ in 0..3 {
        wait(plan.seconds * 200);
        server.kill();
        wait(300);
        server.start_again()?;
        healed = mended();
    }
    stage.conclude(rush, healed)
}

pub fn frozen(plan: &Plan) -> Result<Report, Trouble> {
    let mut stage = Stage::set(plan, "server-frozen", None, "")?;
    let server = stage.server()?;
    stage.man(2)?;
    let rush = stage.rush();
    wait(1000);
    server.freeze();
    wait(4000);
    server.thaw();
    stage.conclude(rush, mended())
}
