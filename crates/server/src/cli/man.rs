//! `portcullis man`: the manual, a page for each command, made from the same text as the help.

use std::io::Write as _;
use std::path::{Path, PathBuf};

use clap::{Args, Command, CommandFactory as _};

use super::{Cli, Failure, Outcome};

/// Print the manual page of portcullis, or write one page for each command into a directory.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  portcullis man | man -l -
  portcullis man --directory /usr/local/share/man/man1")]
pub(super) struct Man {
    /// Where to write the pages of all commands.
    #[arg(long, value_name = "DIRECTORY")]
    directory: Option<PathBuf>,
}

impl Man {
    pub fn run(&self) -> Outcome {
        let mut command = Cli::command();
        command.build();
        match &self.directory {
            Some(directory) => pages(&command, directory),
            None => std::io::stdout().write_all(&page(command, "portcullis")?).map_err(Failure::new),
        }
    }
}

fn pages(command: &Command, directory: &Path) -> Outcome {
    std::fs::create_dir_all(directory).map_err(Failure::new)?;
    let mut written = 0;
    let mut rest = vec![(command.clone(), "portcullis".to_owned())];
    while let Some((command, name)) = rest.pop() {
        let below = command.get_subcommands().filter(|it| it.get_name() != "help" && !it.is_hide_set());
        rest.extend(below.map(|it| (it.clone(), format!("{name}-{}", it.get_name()))));
        std::fs::write(directory.join(format!("{name}.1")), page(command, &name)?).map_err(Failure::new)?;
        written += 1;
    }
    println!("Wrote {written} pages into {}.", directory.display());
    Ok(())
}

fn page(command: Command, name: &str) -> Result<Vec<u8>, Failure> {
    let mut text = Vec::new();
    let man = clap_mangen::Man::new(command).title(name.to_uppercase());
    man.render(&mut text).map_err(Failure::new)?;
    Ok(text)
}
