//! What each thing costs, beside the raw primitive, in one run. `portcullis-bench` measures requests and
//! checks, `portcullis-bench requests WORD` only the requests whose line has that word in it, for work on one
//! of them, and `portcullis-bench feed` how fast an end is known everywhere, or with `http`, `redis` or `records` a part
//! of that. Nothing here asserts a time:
//! docs/performance.md says how to read the tables.
#![forbid(unsafe_code)]

mod child;
mod feed;
mod flood;
mod floor;
mod herd;
mod load;
mod micro;
mod redis;
mod requests;
mod roles;
mod sealing;
mod signatures;
mod table;
mod town;
mod wire;

use std::process::ExitCode;
use std::time::Duration;

/// What goes wrong in a benchmark is told to whoever runs it, and nobody else.
type Outcome<T> = Result<T, Box<dyn std::error::Error>>;

fn main() -> ExitCode {
    if let Some(role) = roles::of_this_process() {
        return role.play();
    }
    let done = match std::env::args().nth(1).as_deref() {
        None => micro::run(seconds() / 6).and_then(|()| requests::run(seconds() * 5 / 6, "")),
        Some("micro") => micro::run(seconds()),
        Some("requests") => requests::run(seconds(), &part()),
        Some("feed") => feed::run(&part()),
        Some(other) => Err(format!("{other:?} is not one of: micro, requests, feed").into()),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(why) => {
            eprintln!("portcullis-bench: {why}");
            ExitCode::FAILURE
        }
    }
}

/// The second word, for whoever works on one thing.
fn part() -> String {
    std::env::args().nth(2).unwrap_or_default()
}

/// About how long the whole may take: `BENCH_SECONDS`, a minute unless said.
fn seconds() -> Duration {
    let told = std::env::var("BENCH_SECONDS").ok().and_then(|text| text.parse().ok());
    Duration::from_secs(told.unwrap_or(60))
}
