//! `make drill`: loses Redis, a server and the database of a real house, and prints what each step took.
#![forbid(unsafe_code)]

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Instant;

use clap::Parser;
use portcullis_tests::faults::drill::drill;
use portcullis_tests::faults::{Plan, Trouble};

/// The disaster drill for Portcullis. Needs PostgreSQL and Redis.
#[derive(Debug, Parser)]
struct Cli {
    /// How long the crowd revokes, when nothing holds it up.
    #[arg(long, default_value_t = 20)]
    seconds: u64,
    /// How many tokens it revokes.
    #[arg(long, default_value_t = 2000)]
    tokens: u32,
    /// The guards' bound on staleness, milliseconds.
    #[arg(long, default_value_t = 2500)]
    bound_ms: u64,
}

fn main() -> ExitCode {
    let (cli, started) = (Cli::parse(), Instant::now());
    let plan = match plan(&cli) {
        Ok(plan) => plan,
        Err(why) => {
            eprintln!("drill: {why}");
            return ExitCode::from(2);
        }
    };
    match drill(&plan) {
        Ok(drilled) => {
            println!("{drilled}\nThe drill took {} s.", started.elapsed().as_secs());
            if drilled.report.holds() {
                // A good run leaves nothing behind; if it cannot, that breaks no promise.
                let _ = std::fs::remove_dir_all(&plan.home);
                println!("Every promise was kept.");
                return ExitCode::SUCCESS;
            }
            println!("{}What everybody wrote is in {}.", drilled.report, plan.home.display());
            ExitCode::FAILURE
        }
        Err(Trouble::CannotRun(why) | Trouble::Broken(why)) => {
            eprintln!("drill: {why}");
            ExitCode::FAILURE
        }
    }
}

fn plan(cli: &Cli) -> Result<Plan, String> {
    let here = std::env::current_exe().map_err(|e| e.to_string())?;
    let (server, guard) = (here.with_file_name("portcullis"), here.with_file_name("faults-guard"));
    for program in [&server, &guard] {
        if !program.exists() {
            let name = program.display();
            return Err(format!("there is no {name}: cargo build -p portcullis -p portcullis-tests --bins"));
        }
    }
    let home: PathBuf = std::env::temp_dir().join(format!("portcullis-drill-{}", std::process::id()));
    let Cli { seconds, tokens, bound_ms } = *cli;
    Ok(Plan { server, guard, home, seconds, tokens, bound_ms, seed: 1 })
}
