//! Breaks a real server, its databases, its guards and the ways between them, and judges what they did
//! meanwhile. Prints a line for each fault, and fails when a promise was broken.
#![forbid(unsafe_code)]

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, Parser, Subcommand};
use portcullis_tests::faults::{Plan, Report, SCENARIOS, Scenario, Trouble};

/// Fault injection for Portcullis.
#[derive(Debug, Parser)]
#[command(after_help = "\
Examples:
  faults list
  faults run server-killed link-cut
  faults run --all --seconds 10 --tokens 1000")]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Name the faults.
    List,
    /// Try some, or all.
    Run(Run),
}

#[derive(Debug, Args)]
struct Run {
    /// Which, see `faults list`.
    names: Vec<String>,
    /// Every one that this machine can run.
    #[arg(long)]
    all: bool,
    /// How long the crowd revokes in each.
    #[arg(long, default_value_t = 6)]
    seconds: u64,
    /// How many tokens are revoked in each.
    #[arg(long, default_value_t = 400)]
    tokens: u32,
    /// The guards' bound on staleness, milliseconds.
    #[arg(long, default_value_t = 2500)]
    bound_ms: u64,
    /// Decides where something is left to chance.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// The server's program; the one beside this program unless said.
    #[arg(long, value_name = "FILE")]
    server: Option<PathBuf>,
}

fn main() -> ExitCode {
    match Cli::parse().command {
        Command::List => {
            for Scenario { name, about, .. } in SCENARIOS {
                println!("{name:<20} {about}");
            }
            ExitCode::SUCCESS
        }
        Command::Run(run) => match chosen(&run).and_then(|scenarios| Ok((scenarios, plan(&run)?))) {
            Ok((scenarios, plan)) => try_all(&scenarios, &plan),
            Err(why) => {
                eprintln!("faults: {why}");
                ExitCode::from(2)
            }
        },
    }
}

fn chosen(run: &Run) -> Result<Vec<&'static Scenario>, String> {
    if run.all {
        return Ok(SCENARIOS.iter().collect());
    }
    if run.names.is_empty() {
        return Err("name a fault, or say --all; faults list names them.".into());
    }
    let find = |name: &String| {
        SCENARIOS.iter().find(|s| s.name == name).ok_or_else(|| format!("there is no fault {name}."))
    };
    run.names.iter().map(find).collect()
}

fn plan(run: &Run) -> Result<Plan, String> {
    let here = std::env::current_exe().map_err(|e| e.to_string())?;
    let beside = |name: &str| here.with_file_name(name);
    let server = run.server.clone().unwrap_or_else(|| beside("portcullis"));
    for program in [&server, &beside("faults-guard")] {
        if !program.exists() {
            let name = program.display();
            return Err(format!("there is no {name}: cargo build -p portcullis -p portcullis-tests --bins"));
        }
    }
    Ok(Plan {
        server,
        guard: beside("faults-guard"),
        home: std::env::temp_dir().join(format!("portcullis-faults-{}", std::process::id())),
        seconds: run.seconds,
        tokens: run.tokens,
        bound_ms: run.bound_ms,
        seed: run.seed,
    })
}

fn try_all(scenarios: &[&Scenario], plan: &Plan) -> ExitCode {
    println!("bound {} ms, {} tokens in {} s for each fault\n", plan.bound_ms, plan.tokens, plan.seconds);
    println!("{}", Report::header());
    let (mut broken, mut missing) = (Vec::new(), Vec::new());
    for scenario in scenarios {
        match (scenario.run)(plan) {
            Ok(report) => {
                println!("{}", report.line(scenario.name));
                if !report.holds() {
                    print!("{report}");
                    broken.push(scenario.name);
                }
            }
            Err(Trouble::CannotRun(why)) => missing.push((scenario.name, why)),
            Err(Trouble::Broken(why)) => {
                println!("{:<26} {why}", scenario.name);
                broken.push(scenario.name);
            }
        }
    }
    println!();
    for (name, why) in missing {
        println!("could not run {name}: {why}.");
    }
    if broken.is_empty() {
        // A good run leaves nothing behind; if it cannot, that breaks no promise.
        let _ = std::fs::remove_dir_all(&plan.home);
        println!("Every promise was kept.");
        return ExitCode::SUCCESS;
    }
    println!("Broken: {}. What everybody wrote is in {}.", broken.join(", "), plan.home.display());
    ExitCode::FAILURE
}
