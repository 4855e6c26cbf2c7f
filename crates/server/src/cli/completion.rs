//! `portcullis completion`: what a shell needs to complete our commands.

use clap::{Args, CommandFactory as _};
use clap_complete::Shell;

use super::{Cli, Outcome};

/// Print the completions for a shell.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  portcullis completion bash > /etc/bash_completion.d/portcullis
  portcullis completion zsh > ~/.zfunc/_portcullis
  portcullis completion fish > ~/.config/fish/completions/portcullis.fish")]
pub(super) struct Completion {
    shell: Shell,
}

impl Completion {
    pub fn run(&self) -> Outcome {
        clap_complete::generate(self.shell, &mut Cli::command(), "portcullis", &mut std::io::stdout());
        Ok(())
    }
}
