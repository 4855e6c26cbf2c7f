//! A machine of its own for one process: a clock that is stepped below everything that the process does, by
//! libfaketime, and a network that is cut off from this one, by a namespace of the kernel. Both need something
//! that a machine may lack; then it is said what.

use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use super::Trouble;

/// Where distributions put the library; the one for programs with several threads.
const LIBRARIES: [&str; 3] = [
    "/usr/lib/x86_64-linux-gnu/faketime/libfaketimeMT.so.1",
    "/usr/lib/aarch64-linux-gnu/faketime/libfaketimeMT.so.1",
    "/usr/lib/faketime/libfaketimeMT.so.1",
];

/// Where a process runs.
#[derive(Clone, Debug, Default)]
pub enum Machine {
    /// Here, like everybody.
    #[default]
    This,
    /// Here, by another clock.
    Clocked(MachineClock),
    /// In the network namespace with this name.
    Island(String),
}

impl Machine {
    /// A program, to be started there.
    pub fn command(&self, program: &Path) -> Command {
        match self {
            Self::This => Command::new(program),
            Self::Clocked(clock) => clock.command(program),
            Self::Island(name) => {
                let mut command = Command::new("ip");
                command.args(["netns", "exec", name]).arg(program);
                command
            }
        }
    }
}

/// A clock that some processes take for their machine's. The steady clock goes on untouched, as it does when
/// an administrator or a time server sets the other.
#[derive(Clone, Debug)]
pub struct MachineClock {
    library: &'static str,
    told: PathBuf,
}

impl MachineClock {
    /// A clock that is right so far; what it is told is kept in this directory.
    ///
    /// # Errors
    /// Where libfaketime is not installed.
    pub fn right(home: &Path, name: &str) -> Result<Self, Trouble> {
        let library = LIBRARIES.into_iter().find(|path| Path::new(path).exists());
        let library = library.ok_or_else(|| Trouble::CannotRun("libfaketime is not installed".into()))?;
        let clock = Self { library, told: home.join(format!("{name}.clock")) };
        clock.step(0)?;
        Ok(clock)
    }

    /// Sets it so many seconds ahead of the true time, or back.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn step(&self, seconds: i64) -> Result<(), Trouble> {
        // Renamed into its place, because it is read at every look at the clock.
        let new = self.told.with_extension("new");
        std::fs::write(&new, format!("{seconds:+}\n")).map_err(Trouble::broken)?;
        std::fs::rename(new, &self.told).map_err(Trouble::broken)
    }

    fn command(&self, program: &Path) -> Command {
        let mut command = Command::new(program);
        command.env("LD_PRELOAD", self.library).env("FAKETIME_TIMESTAMP_FILE", &self.told);
        command.env("FAKETIME_NO_CACHE", "1").env("FAKETIME_DONT_FAKE_MONOTONIC", "1");
        command.env("NO_FAKE_STAT", "1");
        command
    }
}

/// A network behind a cable that can be pulled. Gone when it is dropped.
#[derive(Debug)]
pub struct Island {
    name: String,
    cable: String,
    shore: Ipv4Addr,
}

impl Island {
    /// A namespace with one cable to this machine.
    ///
    /// # Errors
    /// Where that is not allowed, or `ip` is missing.
    pub fn raise() -> Result<Self, Trouble> {
        let number = std::process::id();
        // 198.18.0.0/15 is set aside for tests between networks (RFC 2544); a run takes four addresses of it.
        let [_, _, high, low] = (number << 2).to_be_bytes();
        let shore = Ipv4Addr::new(198, 18, high, low | 1);
        let beach = Ipv4Addr::new(198, 18, high, low | 2);
        let island = Self { name: format!("portcullis-{number}"), cable: format!("pcs{number}"), shore };
        let (name, cable) = (island.name.as_str(), island.cable.as_str());
        let there = format!("pcb{number}");
        ip(&["netns", "add", name]).map_err(|why| {
            Trouble::CannotRun(format!("a network namespace cannot be made here ({})", why.trim()))
        })?;
        let steps: [&[&str]; 6] = [
            &["link", "add", cable, "type", "veth", "peer", "name", &there, "netns", name],
            &["address", "add", &format!("{shore}/30"), "dev", cable],
            &["-n", name, "address", "add", &format!("{beach}/30"), "dev", &there],
            &["-n", name, "link", "set", "lo", "up"],
            &["-n", name, "link", "set", &there, "up"],
            &["link", "set", cable, "up"],
        ];
        for step in steps {
            ip(step).map_err(Trouble::CannotRun)?;
        }
        Ok(island)
    }

    /// The address of this machine as it is seen from there.
    pub fn shore(&self) -> Ipv4Addr {
        self.shore
    }

    /// Whoever is to run there.
    pub fn machine(&self) -> Machine {
        Machine::Island(self.name.clone())
    }

    /// Pulls the cable: packets vanish in both directions and nobody is told.
    ///
    /// # Errors
    /// When the kernel refuses.
    pub fn part(&self) -> Result<(), Trouble> {
        ip(&["link", "set", &self.cable, "down"]).map_err(Trouble::broken)
    }

    /// Puts it back.
    ///
    /// # Errors
    /// When the kernel refuses.
    pub fn join(&self) -> Result<(), Trouble> {
        ip(&["link", "set", &self.cable, "up"]).map_err(Trouble::broken)
    }
}

impl Drop for Island {
    fn drop(&mut self) {
        // With the namespace goes its end of the cable, and with that the other.
        let _ = ip(&["netns", "delete", &self.name]);
    }
}

/// Runs `ip`; what it complains of is the error.
fn ip(words: &[&str]) -> Result<(), String> {
    let done = Command::new("ip").args(words).stdin(Stdio::null()).output().map_err(|e| e.to_string())?;
    if done.status.success() { Ok(()) } else { Err(String::from_utf8_lossy(&done.stderr).into_owned()) }
}
