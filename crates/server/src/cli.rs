//! The command line: one file for each command. Answers go to standard output, sentences about failures to
//! standard error; the exit code is 0 for done, 1 for refused or failed, 2 for a command that was not
//! understood.

mod audit;
mod backup;
mod completion;
mod config;
mod dr;
mod introspect;
mod keys;
mod man;
mod office;
mod remote;
mod restore;
mod revoke;
mod seed;
mod serve;
mod token;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, Subcommand};
use portcullis_authority::refusal::Trouble;

use crate::settings::{Settings, Wrong};

/// An authorization server for commerce.
#[derive(Debug, Parser)]
#[command(
    name = "portcullis",
    version,
    after_help = "\
First steps:
  portcullis serve --demo            a server with a demo shop, and what to try next
  portcullis help token              how to get a token from the command line
  portcullis config check            what is in force, and what is wrong with it"
)]
pub struct Cli {
    /// A settings file (TOML). Repeat it to lay one over another; the environment
    /// (PORTCULLIS__SECTION__KEY) lies over all.
    #[arg(long, global = true, value_name = "FILE")]
    config: Vec<PathBuf>,

    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    Serve(serve::Serve),
    Seed(seed::Seed),
    /// Make, see and change the server's signing keys.
    #[command(subcommand)]
    Keys(keys::Keys),
    Token(token::Token),
    Revoke(revoke::Revoke),
    Introspect(introspect::Introspect),
    Backup(backup::Backup),
    Restore(restore::Restore),
    /// Go on after a disaster.
    #[command(subcommand)]
    Dr(dr::Dr),
    /// Look into the audit log, and prove that nothing in it was altered.
    #[command(subcommand)]
    Audit(audit::Audit),
    /// Look at the settings.
    #[command(subcommand)]
    Config(config::ConfigCommand),
    #[command(flatten)]
    Office(office::Office),
    Completion(completion::Completion),
    Man(man::Man),
    /// Say which version this is.
    Version,
}

/// Not done, and why, in a sentence for standard error.
#[derive(Debug)]
pub(crate) struct Failure(String);

type Outcome = Result<(), Failure>;

/// Runs the command that the process was started with.
pub fn main() -> ExitCode {
    let cli = Cli::parse();
    match cli.run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(Failure(sentence)) => {
            eprintln!("portcullis: {sentence}");
            ExitCode::FAILURE
        }
    }
}

impl Cli {
    fn run(self) -> Outcome {
        // These answer even when the settings do not read.
        match &self.command {
            Command::Version => {
                println!("portcullis {}", env!("CARGO_PKG_VERSION"));
                return Ok(());
            }
            Command::Completion(it) => return it.run(),
            Command::Man(it) => return it.run(),
            _ => {}
        }
        let settings = Settings::load(&self.config, environment())?;
        match self.command {
            Command::Serve(it) => it.run(settings),
            Command::Seed(it) => it.run(settings),
            Command::Keys(it) => it.run(settings),
            Command::Token(it) => it.run(&settings),
            Command::Revoke(it) => it.run(&settings),
            Command::Introspect(it) => it.run(&settings),
            Command::Backup(it) => it.run(&settings),
            Command::Restore(it) => it.run(&settings),
            Command::Dr(it) => it.run(&settings),
            Command::Audit(it) => it.run(&settings),
            Command::Config(it) => it.run(settings),
            Command::Office(it) => it.run(settings),
            Command::Completion(_) | Command::Man(_) | Command::Version => Ok(()),
        }
    }
}

/// Variables that are text; what is not cannot be a setting of ours.
fn environment() -> impl Iterator<Item = (String, String)> {
    std::env::vars_os()
        .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
}

impl Failure {
    fn new(sentence: impl std::fmt::Display) -> Self {
        Self(sentence.to_string())
    }
}

impl From<Wrong> for Failure {
    fn from(wrong: Wrong) -> Self {
        Self::new(wrong)
    }
}

impl From<Trouble> for Failure {
    fn from(trouble: Trouble) -> Self {
        Self::new(trouble)
    }
}
