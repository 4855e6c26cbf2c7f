//! The server's program as a child process, on a port of its own that it keeps however often it is started.

use std::fs::OpenOptions;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::{Duration, Instant};

use portcullis::settings::Settings;
use ureq::Agent;

use super::Trouble;
use super::child::Child;
use super::machine::Machine;

const STARTS_WITHIN: Duration = Duration::from_secs(20);

/// A server that can be killed.
pub struct Server {
    program: PathBuf,
    machine: Machine,
    config: PathBuf,
    address: SocketAddr,
    child: Option<Child>,
}

impl Server {
    /// Writes the settings down and starts the program with them.
    ///
    /// # Errors
    /// When it does not answer in time.
    pub fn start(program: &Path, home: &Path, settings: &Settings) -> Result<Self, Trouble> {
        Self::start_on(Machine::This, program, home, settings)
    }

    /// The same on another machine.
    ///
    /// # Errors
    /// As [`Server::start`].
    pub fn start_on(
        machine: Machine,
        program: &Path,
        home: &Path,
        settings: &Settings,
    ) -> Result<Self, Trouble> {
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, settings.listen.port));
        let config = home.join(format!("server-{}.toml", address.port()));
        let text = toml::to_string(settings).map_err(Trouble::broken)?;
        std::fs::write(&config, text).map_err(Trouble::broken)?;
        let mut server = Self { program: program.into(), machine, config, address, child: None };
        server.start_again()?;
        Ok(server)
    }

    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Starts the program once more.
    ///
    /// # Errors
    /// When it does not answer in time.
    pub fn start_again(&mut self) -> Result<(), Trouble> {
        let log = OpenOptions::new().create(true).append(true).open(self.config.with_extension("log"));
        let mut command = self.machine.command(&self.program);
        command.arg("--config").arg(&self.config).arg("serve");
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(log.map_err(Trouble::broken)?);
        let child = Child::start(&mut command)
            .map_err(|e| Trouble::broken(format!("{}: {e}", self.program.display())))?;
        self.child = Some(child);
        wait_until_ready(self.address)
    }

    /// Runs the program once with the same settings and other words, to its end.
    ///
    /// # Errors
    /// When it does not succeed.
    pub fn command(&self, words: &[&str]) -> Result<(), Trouble> {
        let done = self
            .machine
            .command(&self.program)
            .arg("--config")
            .arg(&self.config)
            .args(words)
            .stdin(Stdio::null())
            .output()
            .map_err(Trouble::broken)?;
        match done.status.success() {
            true => Ok(()),
            false => Err(Trouble::broken(String::from_utf8_lossy(&done.stderr))),
        }
    }

    /// Whether it would have guards and callers sent to it.
    pub fn is_ready(&self) -> bool {
        agent().get(format!("http://{}/readyz", self.address)).call().is_ok()
    }

    /// What it has said so far.
    pub fn log(&self) -> String {
        std::fs::read_to_string(self.config.with_extension("log")).unwrap_or_default()
    }

    /// As `kill -9`.
    pub fn kill(&mut self) {
        self.child = None;
    }

    /// Stops it in the middle of whatever it does.
    pub fn freeze(&self) {
        self.child.iter().for_each(Child::freeze);
    }

    /// Lets it go on.
    pub fn thaw(&self) {
        self.child.iter().for_each(Child::thaw);
    }
}

/// Waits until a server answers at this address.
///
/// # Errors
/// When it does not do so in time.
pub fn wait_until_ready(address: SocketAddr) -> Result<(), Trouble> {
    let (agent, started) = (agent(), Instant::now());
    while agent.get(format!("http://{address}/.well-known/oauth-authorization-server")).call().is_err() {
        if started.elapsed() > STARTS_WITHIN {
            return Err(Trouble::broken(format!("no server answers at {address}")));
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    Ok(())
}

fn agent() -> Agent {
    Agent::config_builder().timeout_global(Some(Duration::from_secs(1))).build().into()
}
