//! A Redis of our own for as long as it is measured: on the loopback, on a free port, without a disk.

use std::net::{TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use crate::Outcome;

/// A running Redis.
pub struct Redis {
    port: u16,
    process: Child,
}

impl Redis {
    /// Starts one; `None` where none is installed.
    pub fn start() -> Outcome<Option<Self>> {
        // Free now, and hardly taken by somebody else in the moment until Redis has it.
        let port = TcpListener::bind(("127.0.0.1", 0))?.local_addr()?.port();
        let started = Command::new("redis-server")
            .args(["--bind", "127.0.0.1", "--port", &port.to_string(), "--save", "", "--appendonly", "no"])
            .args(["--maxmemory-policy", "noeviction", "--maxclients", "4000"])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .spawn();
        let process = match started {
            Ok(process) => process,
            Err(why) if why.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            Err(why) => return Err(why.into()),
        };
        let redis = Self { port, process };
        for _ in 0..100 {
            if TcpStream::connect(("127.0.0.1", port)).is_ok() {
                return Ok(Some(redis));
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        Err("redis-server was started and does not answer".into())
    }

    /// What others connect to.
    pub fn url(&self) -> String {
        format!("redis://127.0.0.1:{}", self.port)
    }
}

impl Drop for Redis {
    fn drop(&mut self) {
        // It keeps nothing; one that has gone is fine too.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}
