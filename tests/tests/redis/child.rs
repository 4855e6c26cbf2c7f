//! A `redis-server` of a test's own: a child process on a free port, with a directory that vanishes.

use std::io::ErrorKind;
use std::process::{Child, Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use portcullis::testing::Scratch;
use portcullis_tests::ports::free_port;
use redis::FromRedisValue;

pub struct Redis {
    child: Child,
    scratch: Scratch,
    pub port: u16,
    arguments: Vec<String>,
}

/// Runs a test's body with a Redis that writes nothing to disk.
pub fn with_redis(body: impl FnOnce(Redis)) {
    with_redis_like(&["--save", "", "--appendonly", "no"], body);
}

/// The same with other arguments.
pub fn with_redis_like(arguments: &[&str], body: impl FnOnce(Redis)) {
    let name = std::thread::current().name().unwrap_or("a test").to_owned();
    match Redis::start(arguments) {
        Some(redis) => {
            eprintln!("{name}: runs against redis-server on port {}", redis.port);
            body(redis);
        }
        None if std::env::var_os("PORTCULLIS_TEST_REDIS").is_some_and(|wish| wish == "required") => {
            panic!("redis-server is not installed, and PORTCULLIS_TEST_REDIS requires it")
        }
        None => eprintln!("{name}: DID NOT RUN, because redis-server is not installed"),
    }
}

impl Redis {
    fn start(arguments: &[&str]) -> Option<Self> {
        let scratch = Scratch::new();
        let arguments: Vec<_> = arguments.iter().map(|argument| (*argument).to_owned()).collect();
        // Another process may take the port in between; then the next one is tried.
        for _ in 0..20 {
            let port = free_port().unwrap();
            let child = launch(port, &scratch, &arguments)?;
            let mut redis = Self { child, scratch: Scratch::new(), port, arguments: arguments.clone() };
            if redis.answers() {
                redis.scratch = scratch;
                return Some(redis);
            }
        }
        panic!("redis-server does not start");
    }

    pub fn url(&self) -> String {
        format!("redis://127.0.0.1:{}", self.port)
    }

    /// As one of the users that the documentation names.
    pub fn url_of(&self, user: &str, password: &str) -> String {
        format!("redis://{user}:{password}@127.0.0.1:{}", self.port)
    }

    pub fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// After [`Redis::kill`], with what is on disk.
    pub fn restart(&mut self) {
        self.child =
            launch(self.port, &self.scratch, &self.arguments).expect("it was installed a moment ago");
        assert!(self.answers());
    }

    pub fn freeze(&self) {
        self.signal("STOP");
    }

    pub fn thaw(&self) {
        self.signal("CONT");
    }

    pub fn ask<T: FromRedisValue>(&self, words: &[&str]) -> T {
        let mut connection = redis::Client::open(self.url()).unwrap().get_connection().unwrap();
        let mut command = redis::cmd(words[0]);
        words[1..].iter().for_each(|word| _ = command.arg(word));
        command.query(&mut connection).unwrap_or_else(|why| panic!("{words:?}: {why}"))
    }

    fn answers(&mut self) -> bool {
        let began = Instant::now();
        while began.elapsed() < Duration::from_secs(10) {
            if self.child.try_wait().unwrap().is_some() {
                return false;
            }
            let client = redis::Client::open(self.url()).unwrap();
            let connection = client.get_connection_with_timeout(Duration::from_millis(200));
            if connection.is_ok_and(|mut connection| redis::cmd("PING").exec(&mut connection).is_ok()) {
                return true;
            }
            sleep(Duration::from_millis(20));
        }
        false
    }

    fn signal(&self, name: &str) {
        let id = self.child.id().to_string();
        assert!(Command::new("kill").args([&format!("-{name}"), &id]).status().unwrap().success());
    }
}

impl Drop for Redis {
    fn drop(&mut self) {
        // A child that has ended already has nothing left to end.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn launch(port: u16, scratch: &Scratch, arguments: &[String]) -> Option<Child> {
    let launched = Command::new("redis-server")
        .args(["--port", &port.to_string(), "--bind", "127.0.0.1", "--dir"])
        .arg(scratch.path())
        .args(arguments)
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn();
    match launched {
        Ok(child) => Some(child),
        Err(why) if why.kind() == ErrorKind::NotFound => None,
        Err(why) => panic!("redis-server: {why}"),
    }
}

/// Whether something becomes true within a time.
pub fn within(limit: Duration, mut holds: impl FnMut() -> bool) -> bool {
    let began = Instant::now();
    loop {
        if holds() {
            return true;
        }
        if began.elapsed() >= limit {
            return false;
        }
        sleep(Duration::from_millis(2));
    }
}
