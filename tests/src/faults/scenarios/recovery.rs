//! The truth itself loses what it had acknowledged: a backup is put back, or a standby that lagged is
//! promoted. The operator runs `portcullis dr promote`, or forgets it for a while.

use std::fs;
use std::path::{Path, PathBuf};

use super::databases::postgres;
use super::{mended, wait};
use crate::faults::crowd::Rush;
use crate::faults::diary::now_ms;
use crate::faults::link::{Link, Weather};
use crate::faults::postgres::url_at;
use crate::faults::server::Server;
use crate::faults::stage::{CONTROLS, Stage};
use crate::faults::{Plan, Report, Trouble};

/// A SQLite file and what stands beside it.
const FILES: [&str; 3] = ["books.db", "books.db-wal", "books.db-shm"];
/// Tokens that are issued after the loss and must live.
const SURVIVORS: u32 = 8;

/// Backup, acknowledgements, restore, promotion; one guard starts only then.
pub fn put_back(plan: &Plan) -> Result<Report, Trouble> {
    let mut stage = Stage::set(plan, "sqlite-put-back", None, "")?;
    let mut server = stage.server()?;
    stage.man(2)?;
    let rush = stage.rush();
    let lost = lose(&stage, &mut server, &rush)?;
    stage.promote(&server)?;
    server.start_again()?;
    let link = stage.links[0].url();
    stage.post(&link)?;
    conclude(stage, rush, lost)
}

/// The same, and the operator forgets to say so: guards that know the lost part must notice and close.
pub fn forgotten(plan: &Plan) -> Result<Report, Trouble> {
    let mut stage = Stage::set(plan, "sqlite-put-back-unsaid", None, "")?;
    let mut server = stage.server()?;
    stage.man(2)?;
    let rush = stage.rush();
    let lost = lose(&stage, &mut server, &rush)?;
    server.start_again()?;
    let closed_from = now_ms() + plan.bound_ms;
    // Long enough for the other history to overtake what the guards have seen of the first.
    wait(plan.bound_ms + 2500);
    let names: Vec<_> = stage.sentries.iter().map(|sentry| sentry.name().to_owned()).collect();
    names.iter().for_each(|name| stage.must_not_accept(name, closed_from, now_ms()));
    server.kill();
    stage.promote(&server)?;
    server.start_again()?;
    conclude(stage, rush, lost)
}

/// A standby that had not received the last commits takes over under a server that goes on running until the
/// operator stops it.
pub fn standby(plan: &Plan) -> Result<Report, Trouble> {
    let mut primary = postgres(plan, "standby-promoted")?;
    let wire = Link::open(primary.address()).map_err(Trouble::broken)?;
    let home = plan.home.join("standby-promoted-standby");
    let standby = primary.standby(&home, wire.address())?;
    let database = Link::open(primary.address()).map_err(Trouble::broken)?;
    let mut stage = Stage::set(plan, "standby-promoted", Some(&url_at(database.address())), "")?;
    let mut server = stage.server()?;
    stage.man(2)?;
    let rush = stage.rush();
    wait(plan.seconds * 200);
    wire.set(Weather::Cut);
    let before = rush.acknowledged();
    wait(plan.seconds * 250);
    primary.kill();
    let lost = rush.acknowledged() - before;
    standby.promote()?;
    database.lead_to(standby.address());
    // The operator needs a moment, in which the server already works on what is left and must notice.
    wait(plan.seconds * 250 + 1500);
    let noticed = server.log().contains("another history");
    server.kill();
    stage.promote(&server)?;
    server.start_again()?;
    let mut report = conclude(stage, rush, lost)?;
    if !noticed {
        report.complaints.push("the server went on in another history and did not say so".into());
    }
    Ok(report)
}

/// Takes a backup, lets the crowd go on, and puts the backup back under a dead server. How many
/// acknowledgements that costs.
fn lose(stage: &Stage, server: &mut Server, rush: &Rush) -> Result<usize, Trouble> {
    let (books, backup) = (stage.home().to_owned(), stage.home().join("backup"));
    wait(stage.plan.seconds * 200);
    server.kill();
    copy(&books, &backup)?;
    server.start_again()?;
    let before = rush.acknowledged();
    wait(stage.plan.seconds * 250);
    server.kill();
    copy(&backup, &books)?;
    Ok(rush.acknowledged() - before)
}

fn copy(from: &Path, to: &PathBuf) -> Result<(), Trouble> {
    fs::create_dir_all(to).map_err(Trouble::broken)?;
    for name in FILES {
        let (from, to) = (from.join(name), to.join(name));
        if to.exists() {
            fs::remove_file(&to).map_err(Trouble::broken)?;
        }
        if from.exists() {
            fs::copy(from, to).map_err(Trouble::broken)?;
        }
    }
    Ok(())
}

/// What is issued after the promotion lives, everywhere.
fn conclude(mut stage: Stage, rush: Rush, lost: usize) -> Result<Report, Trouble> {
    let healed = mended();
    let survivors = stage.crowd.issue(CONTROLS + 1000, SURVIVORS)?;
    stage.hand(&survivors)?;
    let mut report = stage.conclude(rush, healed)?;
    if lost == 0 {
        report.complaints.push("nothing was acknowledged that the copy lacks".into());
    }
    Ok(report)
}
