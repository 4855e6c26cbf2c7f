//! `portcullis config`: what is in force, and what is wrong with it.

use clap::Subcommand;

use super::{Failure, Outcome, environment};
use crate::settings::{Settings, Weight};

#[derive(Debug, Subcommand)]
pub(super) enum ConfigCommand {
    /// Print the settings in force, and every finding about them.
    ///
    /// Settings go to standard output as TOML, with passwords hidden; findings go to standard error. The
    /// exit code is 1 when the server would refuse to start.
    #[command(after_help = "\
Examples:
  portcullis config check
  portcullis --config deploy/config/base.toml --config deploy/config/production.toml config check
  PORTCULLIS__LISTEN__PORT=9000 portcullis config check")]
    Check,
}

impl ConfigCommand {
    pub fn run(self, settings: Settings) -> Outcome {
        let Self::Check = self;
        print!("{}", toml::to_string(&settings.shown()).map_err(Failure::new)?);
        let mut findings = Settings::misspelt(environment());
        findings.extend(settings.check());
        for finding in &findings {
            eprintln!("{finding}");
        }
        match findings.iter().filter(|finding| finding.weight == Weight::Refusal).count() {
            0 => Ok(()),
            1 => Err(Failure::new("one setting is refused; the server would not start.")),
            many => Err(Failure::new(format!("{many} settings are refused; the server would not start."))),
        }
    }
}
