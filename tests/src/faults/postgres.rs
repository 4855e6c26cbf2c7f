//! A PostgreSQL of the run's own, as a child process, when the machine has one installed.

use std::fs::Permissions;
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::os::unix::fs::{PermissionsExt as _, chown};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, geteuid, kill_process};

use super::Trouble;
use super::child::Child;
use crate::ports::free_port;

const STARTS_WITHIN: Duration = Duration::from_secs(30);

/// A database cluster and the process that serves it.
pub struct Postgres {
    programs: PathBuf,
    data: PathBuf,
    port: u16,
    child: Option<Child>,
}

impl Postgres {
    /// Makes a cluster and starts it.
    ///
    /// # Errors
    /// [`Trouble::CannotRun`] where PostgreSQL is not installed.
    pub fn start(home: &Path) -> Result<Self, Trouble> {
        let programs = installed().ok_or_else(|| Trouble::CannotRun("PostgreSQL is not installed".into()))?;
        let data = data_in(home)?;
        let mut postgres = Self { programs, data, port: free_port().map_err(Trouble::broken)?, child: None };
        let made = postgres
            .command("initdb")?
            .args(["--auth=trust", "--username=portcullis", "--encoding=UTF8", "--no-locale", "-D"])
            .arg(&postgres.data)
            .stdout(Stdio::null())
            .status()
            .map_err(Trouble::broken)?;
        if !made.success() {
            return Err(Trouble::broken("initdb failed"));
        }
        postgres.start_again()?;
        Ok(postgres)
    }

    /// What the server's settings name.
    pub fn url(&self) -> String {
        url_at(self.address())
    }

    pub fn address(&self) -> SocketAddr {
        SocketAddr::from((Ipv4Addr::LOCALHOST, self.port))
    }

    /// Starts a standby that follows this one through the address, asynchronously.
    ///
    /// # Errors
    /// When it cannot be copied, or does not start.
    pub fn standby(&self, home: &Path, through: SocketAddr) -> Result<Self, Trouble> {
        let data = data_in(home)?;
        let mut standby = Self {
            programs: self.programs.clone(),
            data,
            port: free_port().map_err(Trouble::broken)?,
            child: None,
        };
        let copied = standby
            .command("pg_basebackup")?
            .args(["-R", "-X", "stream", "-c", "fast", "-U", "portcullis", "-h", "127.0.0.1", "-p"])
            .arg(through.port().to_string())
            .arg("-D")
            .arg(&standby.data)
            .stdout(Stdio::null())
            // It says that it leaves out the other one's socket.
            .stderr(Stdio::null())
            .status()
            .map_err(Trouble::broken)?;
        if !copied.success() {
            return Err(Trouble::broken("pg_basebackup failed"));
        }
        standby.start_again()?;
        Ok(standby)
    }

    /// Makes a standby the primary.
    ///
    /// # Errors
    /// When it stays what it is.
    pub fn promote(&self) -> Result<(), Trouble> {
        let mut command = self.command("pg_ctl")?;
        let done = command.args(["promote", "-w", "-D"]).arg(&self.data).stdout(Stdio::null()).status();
        match done.map_err(Trouble::broken)?.success() {
            true => Ok(()),
            false => Err(Trouble::broken("the standby was not promoted")),
        }
    }

    /// Starts it once more over the same files.
    ///
    /// # Errors
    /// When it does not take connections in time.
    pub fn start_again(&mut self) -> Result<(), Trouble> {
        let started = Instant::now();
        loop {
            let mut command = self.command("postgres")?;
            command.arg("-D").arg(&self.data).arg("-k").arg(&self.data);
            command.args(["-c", "listen_addresses=127.0.0.1", "-p", &self.port.to_string()]);
            let mut child =
                Child::start(command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()))
                    .map_err(Trouble::broken)?;
            // It refuses to start while a process of its former life still holds on to the files.
            while !child.ends_within(Duration::from_millis(50)) {
                if TcpStream::connect(("127.0.0.1", self.port)).is_ok() && self.is_ready() {
                    self.child = Some(child);
                    return Ok(());
                }
                if started.elapsed() > STARTS_WITHIN {
                    return Err(Trouble::broken("PostgreSQL does not start"));
                }
            }
        }
    }

    /// As `kill -9` of every one of its processes at once.
    pub fn kill(&mut self) {
        let Some(child) = self.child.take() else { return };
        // The parent first: it would otherwise start new ones.
        let theirs = children_of(child.id());
        drop(child);
        tell(theirs, Signal::KILL);
    }

    /// Stops every one of its processes in the middle of whatever it does.
    pub fn freeze(&self) {
        let Some(child) = &self.child else { return };
        child.freeze();
        tell(children_of(child.id()), Signal::STOP);
    }

    /// Lets them go on as if nothing had been.
    pub fn thaw(&self) {
        let Some(child) = &self.child else { return };
        tell(children_of(child.id()), Signal::CONT);
        child.thaw();
    }

    fn is_ready(&self) -> bool {
        let asked = Command::new(self.programs.join("pg_isready"))
            .args(["-q", "-h", "127.0.0.1", "-p", &self.port.to_string()])
            .status();
        asked.is_ok_and(|status| status.success())
    }

    /// PostgreSQL does not run as root, so a root hands it to the account that was made for it.
    fn command(&self, program: &str) -> Result<Command, Trouble> {
        let program = self.programs.join(program);
        Ok(match nobody_special()? {
            None => Command::new(program),
            Some(user) => {
                let mut command = Command::new("setpriv");
                command.args([format!("--reuid={user}"), format!("--regid={user}"), "--clear-groups".into()]);
                command.arg(program).current_dir("/");
                command
            }
        })
    }
}

impl Drop for Postgres {
    fn drop(&mut self) {
        self.kill();
    }
}

/// What names a database that is reached at this address.
pub fn url_at(address: SocketAddr) -> String {
    format!("postgres://portcullis@{address}/postgres")
}

/// A directory that belongs to whoever PostgreSQL runs as.
fn data_in(home: &Path) -> Result<PathBuf, Trouble> {
    let data = home.join("postgres");
    std::fs::create_dir_all(&data).map_err(Trouble::broken)?;
    std::fs::set_permissions(&data, Permissions::from_mode(0o700)).map_err(Trouble::broken)?;
    if let Some(user) = nobody_special()? {
        chown(&data, Some(user), Some(user)).map_err(Trouble::broken)?;
    }
    Ok(data)
}

/// The directory of its programs: on the path, or where distributions put them.
fn installed() -> Option<PathBuf> {
    let versions = std::fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten();
    let mut places: Vec<_> = versions.map(|version| version.path().join("bin")).collect();
    places.sort();
    places.extend(std::env::var_os("PATH").iter().flat_map(std::env::split_paths));
    let needed = ["initdb", "postgres", "pg_isready", "pg_basebackup", "pg_ctl"];
    places.into_iter().rev().find(|place| needed.iter().all(|program| place.join(program).exists()))
}

/// The number of an account without rights, when we are root.
fn nobody_special() -> Result<Option<u32>, Trouble> {
    if !geteuid().is_root() {
        return Ok(None);
    }
    let accounts = std::fs::read_to_string("/etc/passwd").map_err(Trouble::broken)?;
    let number = |name: &str| {
        let line = accounts.lines().find(|line| line.split(':').next() == Some(name))?;
        line.split(':').nth(2)?.parse().ok()
    };
    match number("postgres").or_else(|| number("nobody")) {
        Some(user) => Ok(Some(user)),
        None => {
            Err(Trouble::CannotRun("PostgreSQL does not run as root, and there is no other account".into()))
        }
    }
}

fn tell(processes: Vec<u32>, signal: Signal) {
    for process in processes.into_iter().filter_map(|id| Pid::from_raw(i32::try_from(id).ok()?)) {
        // Many have noticed already that their parent is gone.
        let _ = kill_process(process, signal);
    }
}

fn children_of(parent: u32) -> Vec<u32> {
    let list = std::fs::read_to_string(format!("/proc/{parent}/task/{parent}/children")).unwrap_or_default();
    list.split_whitespace().filter_map(|id| id.parse().ok()).collect()
}
