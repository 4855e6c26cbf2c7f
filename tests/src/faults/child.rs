//! A child process that can be killed, frozen and started again. Dropped, it is killed: nothing that a run
//! started outlives the run.

use std::io;
use std::process::{Child as Process, Command};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

/// A running process, or one that has ended.
#[derive(Debug)]
pub struct Child(Process);

impl Child {
    /// # Errors
    /// When it cannot be started.
    pub fn start(command: &mut Command) -> io::Result<Self> {
        Ok(Self(command.spawn()?))
    }

    pub fn id(&self) -> u32 {
        self.0.id()
    }

    /// Its pipes, once.
    pub fn pipes(&mut self) -> (Option<std::process::ChildStdin>, Option<std::process::ChildStdout>) {
        (self.0.stdin.take(), self.0.stdout.take())
    }

    /// As `kill -9`: no warning and nothing put in order.
    pub fn kill(&mut self) {
        // It may have ended by itself, which is what is wanted.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }

    /// Stops it in the middle of whatever it does.
    pub fn freeze(&self) {
        self.signal(Signal::STOP);
    }

    /// Lets it go on as if nothing had been.
    pub fn thaw(&self) {
        self.signal(Signal::CONT);
    }

    pub fn signal(&self, signal: Signal) {
        // As above: a process that is gone needs no signal.
        let _ = kill_process(Pid::from_child(&self.0), signal);
    }

    /// Whether it ends by itself within this time.
    pub fn ends_within(&mut self, time: Duration) -> bool {
        let started = Instant::now();
        loop {
            match self.0.try_wait() {
                Ok(None) if started.elapsed() < time => std::thread::sleep(Duration::from_millis(10)),
                Ok(ended) => return ended.is_some(),
                Err(_) => return false,
            }
        }
    }
}

impl Drop for Child {
    fn drop(&mut self) {
        self.kill();
    }
}
