//! One side of a measurement in a process of its own, so that what it costs can be read from the kernel.
//! It is this same program in another role, and it ends with its parent.

use std::fs::File;
use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child as Process, Command, Stdio};
use std::time::Duration;

use crate::Outcome;
use crate::roles::{ROLE, Role};

/// The unit of `/proc/<pid>/stat`: hundredths of a second on every Linux that we know of.
const TICK: Duration = Duration::from_millis(10);

/// A server that answers.
pub struct Child {
    pub address: SocketAddr,
    process: Process,
}

impl Child {
    /// Starts this program in a role and waits for the line that says where it is ready. What it logs goes
    /// into a file in `directory`, as it would go into a journal.
    pub fn start(role: Role, directory: &Path, arguments: &[(&str, &str)]) -> Outcome<Self> {
        let log = directory.join(format!("{}.log", role.name()));
        let mut process = command(role, directory)
            .args((role == Role::Portcullis).then_some("serve"))
            .envs(arguments.iter().copied())
            .stdout(Stdio::piped())
            .stderr(File::create(&log)?)
            .spawn()?;
        let told = process.stdout.take().ok_or("a child without a voice")?;
        for line in BufReader::new(told).lines() {
            if let Some(address) = ready_at(&line?) {
                return Ok(Self { address, process });
            }
        }
        let ended = process.wait()?;
        Err(format!("the {} was not ready: {ended}: {}", role.name(), std::fs::read_to_string(log)?).into())
    }

    /// The processor time that it has used so far, its own and the kernel's for it.
    pub fn cpu(&self) -> Outcome<Duration> {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", self.process.id()))?;
        // The name of the program may hold anything but a second closing bracket; fields count after it.
        let fields: Vec<&str> =
            stat.rsplit(')').next().unwrap_or_default().split_ascii_whitespace().collect();
        let ticks = |at: usize| fields.get(at).and_then(|field| field.parse::<u32>().ok());
        let both = ticks(11).zip(ticks(12)).map(|(user, system)| TICK * (user + system));
        Ok(both.ok_or("the kernel does not say what a process has used")?)
    }

    /// Bytes that it holds in memory.
    pub fn resident(&self) -> Outcome<u64> {
        resident(&self.process.id().to_string())
    }

    /// Threads that it runs.
    pub fn threads(&self) -> Outcome<usize> {
        Ok(std::fs::read_dir(format!("/proc/{}/task", self.process.id()))?.count())
    }
}

impl Drop for Child {
    fn drop(&mut self) {
        // It holds nothing that is kept, so it need not be asked; a child that has gone is fine too.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// This program again, as somebody else, in the town's directory.
pub fn command(role: Role, directory: &Path) -> Command {
    // A name that was never asked for cannot be missing: the file is the one that runs.
    let program = std::env::current_exe().unwrap_or_else(|_| "portcullis-bench".into());
    let mut command = Command::new(program);
    command.current_dir(directory).env(ROLE, role.name()).stdin(Stdio::piped());
    command
}

/// Bytes that a process (`self` is this one) holds in memory.
pub fn resident(process: &str) -> Outcome<u64> {
    let status = std::fs::read_to_string(format!("/proc/{process}/status"))?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kilobytes = line.and_then(|line| line.split_ascii_whitespace().next()?.parse::<u64>().ok());
    Ok(kilobytes.ok_or("the kernel does not say what a process holds")? * 1024)
}

fn ready_at(line: &str) -> Option<SocketAddr> {
    let (_, rest) = line.split_once("ready at ")?;
    rest.split([' ', ',']).next()?.parse().ok()
}
