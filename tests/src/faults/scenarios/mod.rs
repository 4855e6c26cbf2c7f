//! Every fault that is tried, by name. A scenario sets a stage, breaks something, mends it, and says when;
//! what is promised throughout is the judge's business.

mod clocks;
mod cutoffs;
mod databases;
mod guards;
mod links;
mod machines;
mod recovery;
mod redis;
mod relays;
mod servers;

use std::thread;
use std::time::Duration;

use super::diary::now_ms;
use super::{Plan, Report, Trouble};

/// A fault that can be tried.
pub struct Scenario {
    pub name: &'static str,
    /// What is done.
    pub about: &'static str,
    pub run: fn(&Plan) -> Result<Report, Trouble>,
}

/// All of them, in the order of the table.
pub const SCENARIOS: &[Scenario] = &[
    Scenario { name: "server-killed", about: "kill -9 three times during revocations", run: servers::killed },
    Scenario { name: "server-frozen", about: "SIGSTOP for 4 s, then SIGCONT", run: servers::frozen },
    Scenario {
        name: "guard-frozen",
        about: "SIGSTOP beyond the bound, link frozen too",
        run: guards::frozen,
    },
    Scenario {
        name: "guard-restarted",
        about: "killed under load, starts cold without a feed",
        run: guards::restarted,
    },
    Scenario { name: "link-cut", about: "server and guard: connections reset and refused", run: links::cut },
    Scenario { name: "link-slow", about: "server and guard: 700 ms later each way", run: links::slow },
    Scenario {
        name: "link-half-open",
        about: "server and guard: connections stay, nothing arrives",
        run: links::half_open,
    },
    Scenario {
        name: "link-mute",
        about: "server and guard: requests arrive, answers do not",
        run: links::mute,
    },
    Scenario { name: "link-thin", about: "server and guard: 2 kB a second", run: links::thin },
    Scenario {
        name: "link-gusty",
        about: "server and guard: every connection reset after 300 ms",
        run: links::gusty,
    },
    Scenario {
        name: "door-half-open",
        about: "clients and server: answers to revocations lost",
        run: links::door,
    },
    Scenario {
        name: "server-clock-ahead",
        about: "the server's clock jumps 1 h ahead and stays",
        run: clocks::server_ahead,
    },
    Scenario {
        name: "server-clock-back",
        about: "the server's clock jumps 1 h back, and returns",
        run: clocks::server_back,
    },
    Scenario {
        name: "guard-clock-ahead",
        about: "a guard's wall clock jumps 1 h ahead, and returns",
        run: clocks::guard_ahead,
    },
    Scenario {
        name: "guard-clock-back",
        about: "a guard's wall clock jumps 1 h back and stays",
        run: clocks::guard_back,
    },
    Scenario {
        name: "guard-machine-clock",
        about: "a guard's machine 1 h ahead, then 3 s back with the feed cut (libfaketime)",
        run: machines::guard,
    },
    Scenario {
        name: "server-machine-clock",
        about: "the server's machine 1 h ahead, set right, restarted; dr promote (libfaketime)",
        run: machines::server,
    },
    Scenario {
        name: "namespace-parted",
        about: "a guard in a network namespace, its cable pulled beyond the bound",
        run: machines::parted,
    },
    Scenario { name: "relay-bits", about: "a relay turns one bit of each answer", run: relays::bits },
    Scenario { name: "relay-short", about: "a relay leaves out the end of each answer", run: relays::short },
    Scenario { name: "relay-shuffled", about: "a relay reorders and repeats batches", run: relays::shuffled },
    Scenario { name: "relay-holes", about: "a relay leaves out batches", run: relays::holes },
    Scenario {
        name: "relay-yesterday",
        about: "a relay replays old answers; a guard starts on them",
        run: relays::yesterday,
    },
    Scenario { name: "relay-nothing", about: "a relay says that there is nothing new", run: relays::nothing },
    Scenario {
        name: "cutoffs",
        about: "client, organization, subject, everything, key in all orders",
        run: cutoffs::composed,
    },
    Scenario {
        name: "two-servers",
        about: "PostgreSQL: one of two killed between commit and answer",
        run: databases::between_commit_and_answer,
    },
    Scenario {
        name: "postgres-killed",
        about: "PostgreSQL: kill -9 for 3 s during revocations",
        run: databases::killed,
    },
    Scenario {
        name: "sqlite-put-back",
        about: "an older copy of the database is put back; dr promote",
        run: recovery::put_back,
    },
    Scenario {
        name: "sqlite-put-back-unsaid",
        about: "the same, and dr promote is forgotten for a while",
        run: recovery::forgotten,
    },
    Scenario {
        name: "standby-promoted",
        about: "PostgreSQL: a standby that lacks the last commits takes over; dr promote",
        run: recovery::standby,
    },
    Scenario {
        name: "redis-killed",
        about: "Redis: kill -9 three times during revocations",
        run: redis::killed,
    },
    Scenario { name: "redis-emptied", about: "Redis: killed and started empty", run: redis::emptied },
    Scenario { name: "redis-frozen", about: "Redis: SIGSTOP beyond the bound", run: redis::frozen },
    Scenario {
        name: "redis-promoted",
        about: "Redis: kill -9, and a replica without the last writes takes over",
        run: redis::promoted,
    },
    Scenario {
        name: "redis-evil",
        about: "Redis: somebody forges, deletes, reorders, replays and empties",
        run: redis::evil,
    },
    Scenario {
        name: "redis-parted",
        about: "guards parted from Redis, then from the server too",
        run: redis::parted,
    },
];

/// Lets things go on.
fn wait(ms: u64) {
    thread::sleep(Duration::from_millis(ms));
}

/// The moment at which the last thing was mended.
fn mended() -> u64 {
    now_ms()
}
