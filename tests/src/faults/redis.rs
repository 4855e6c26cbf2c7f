//! A Redis of the run's own, as a child process, when the machine has one installed. It writes nothing to
//! disk: what starts again is empty.

use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use super::Trouble;
use super::child::Child;
use crate::ports::free_port;

const STARTS_WITHIN: Duration = Duration::from_secs(10);

/// A process of redis-server.
pub struct Redis {
    home: PathBuf,
    address: SocketAddr,
    keeps: bool,
    child: Option<Child>,
}

impl Redis {
    /// Starts one; if it `keeps` what it is told, it writes every command to a file first.
    ///
    /// # Errors
    /// [`Trouble::CannotRun`] where Redis is not installed.
    pub fn start(home: &Path, keeps: bool) -> Result<Self, Trouble> {
        std::fs::create_dir_all(home).map_err(Trouble::broken)?;
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, free_port().map_err(Trouble::broken)?));
        let mut redis = Self { home: home.into(), address, keeps, child: None };
        redis.start_again()?;
        Ok(redis)
    }

    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Starts it once more.
    ///
    /// # Errors
    /// When it does not take connections in time.
    pub fn start_again(&mut self) -> Result<(), Trouble> {
        let keeps = if self.keeps { "yes" } else { "no" };
        let mut command = Command::new("redis-server");
        command.args(["--bind", "127.0.0.1", "--port", &self.address.port().to_string(), "--save", ""]);
        // A replica is told everything at once, and not only when more might have come.
        command.args(["--repl-diskless-sync-delay", "0"]);
        command.args(["--appendonly", keeps, "--appendfsync", "always", "--dir"]).arg(&self.home);
        let child = Child::start(command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()));
        self.child = Some(child.map_err(|_| Trouble::CannotRun("redis-server is not installed".into()))?);
        let started = Instant::now();
        while TcpStream::connect(self.address).is_err() {
            if started.elapsed() > STARTS_WITHIN {
                return Err(Trouble::broken("redis-server does not start"));
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        Ok(())
    }

    /// Asks it something.
    ///
    /// # Errors
    /// When it does not answer so.
    pub fn ask<T: ::redis::FromRedisValue>(&self, words: &[&str]) -> Result<T, Trouble> {
        let client = ::redis::Client::open(format!("redis://{}", self.address)).map_err(Trouble::broken)?;
        let mut connection = client.get_connection().map_err(Trouble::broken)?;
        let mut command = ::redis::cmd(words[0]);
        command.arg(&words[1..]);
        command.query(&mut connection).map_err(Trouble::broken)
    }

    /// As `kill -9`.
    pub fn kill(&mut self) {
        self.child = None;
    }

    pub fn freeze(&self) {
        self.child.iter().for_each(Child::freeze);
    }

    pub fn thaw(&self) {
        self.child.iter().for_each(Child::thaw);
    }
}
