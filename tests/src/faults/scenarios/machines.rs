//! The same troubles below the processes and not inside them: the clock of a machine is set, the cable
//! between two machines is pulled. What a proxy or an injected clock leaves out, such as a library that looks at
//! another clock, or packets that vanish in the kernel, would show here.

use std::net::Ipv4Addr;

use super::{mended, wait};
use crate::faults::diary::now_ms;
use crate::faults::link::Weather;
use crate::faults::machine::{Island, Machine, MachineClock};
use crate::faults::stage::{CONTROLS, Stage};
use crate::faults::{Plan, Report, Trouble};

const HOUR: i64 = 3_600;
/// Tokens that are issued after the clock was set right and must live.
const SURVIVORS: u32 = 8;

/// A guard's machine an hour ahead, then three seconds back with an old feed, then right.
pub fn guard(plan: &Plan) -> Result<Report, Trouble> {
    let mut stage = Stage::set(plan, "guard-machine-clock", None, "")?;
    let clock = MachineClock::right(stage.home(), "guard")?;
    let _server = stage.server()?;
    stage.man(1)?;
    let wrong = stage.post_on(Machine::Clocked(clock.clone()), Ipv4Addr::LOCALHOST)?;
    stage.wait_until_open()?;
    let rush = stage.rush();
    wait(plan.seconds * 200);
    clock.step(HOUR)?;
    wait(plan.bound_ms);
    clock.step(0)?;
    wait(plan.bound_ms + 1000);
    clock.step(-3)?;
    stage.links[1].set(Weather::Cut);
    let cut = now_ms();
    wait(plan.bound_ms * 2);
    stage.must_not_accept(&wrong, cut + plan.bound_ms + 50, now_ms());
    stage.links[1].set(Weather::Fair);
    clock.step(0)?;
    stage.conclude(rush, mended())
}

/// The server's machine jumps an hour ahead, is set right, and the server is started again. Its feed is dated in
/// an hour, so guards close; `dr promote` begins an epoch that is dated now, and guards follow as they are.
pub fn server(plan: &Plan) -> Result<Report, Trouble> {
    let mut stage = Stage::set(plan, "server-machine-clock", None, "")?;
    let clock = MachineClock::right(stage.home(), "server")?;
    let mut server = stage.server_on(Machine::Clocked(clock.clone()))?;
    stage.man(2)?;
    let rush = stage.rush();
    wait(plan.seconds * 200);
    clock.step(HOUR)?;
    wait(plan.seconds * 200);
    server.kill();
    clock.step(0)?;
    server.start_again()?;
    let closed_from = now_ms() + plan.bound_ms;
    wait(plan.bound_ms * 2);
    let names: Vec<_> = stage.sentries.iter().map(|sentry| sentry.name().to_owned()).collect();
    names.iter().for_each(|name| stage.must_not_accept(name, closed_from, now_ms()));
    let noticed = server.log().contains("dated later than this server's clock") && !server.is_ready();
    server.kill();
    stage.promote(&server)?;
    server.start_again()?;
    let healed = mended();
    let survivors = stage.crowd.issue(CONTROLS + 1000, SURVIVORS)?;
    stage.hand(&survivors)?;
    let mut report = stage.conclude(rush, healed)?;
    if !noticed {
        report
            .complaints
            .push("the server did not notice that its feed is dated later than its clock".into());
    }
    Ok(report)
}

/// One guard on a network of its own; the cable is pulled beyond the bound, and put back.
pub fn parted(plan: &Plan) -> Result<Report, Trouble> {
    let island = Island::raise()?;
    let mut stage = Stage::set(plan, "namespace-parted", None, "")?;
    let _server = stage.server()?;
    stage.man(1)?;
    let far = stage.post_on(island.machine(), island.shore())?;
    stage.wait_until_open()?;
    let rush = stage.rush();
    wait(plan.seconds * 200);
    island.part()?;
    let cut = now_ms();
    wait(plan.bound_ms * 2);
    stage.must_not_accept(&far, cut + plan.bound_ms + 50, now_ms());
    island.join()?;
    stage.conclude(rush, mended())
}
