//! A sentry: a guard in a process of its own (`faults-guard`), seen from outside.

use std::io::{BufRead, BufReader, Write};
use std::path::PathBuf;
use std::process::{ChildStdin, ChildStdout, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use super::Trouble;
use super::child::Child;
use super::diary::{self, Word};
use super::history::{Decision, Token};
use super::machine::Machine;
use super::stage::Ways;

/// How a sentry is to stand.
#[derive(Clone, Debug)]
pub struct Post {
    pub program: PathBuf,
    pub machine: Machine,
    pub name: String,
    /// Where its feed is.
    pub base: String,
    pub ways: Ways,
    pub issuer: String,
    pub feed: String,
    pub bound_ms: u64,
    pub rate: u32,
    pub diary: PathBuf,
}

/// A guard that is watching.
pub struct Sentry {
    post: Post,
    child: Child,
    orders: Option<ChildStdin>,
    word: Arc<Mutex<Word>>,
}

impl Sentry {
    /// Starts it; it is not complete yet.
    ///
    /// # Errors
    /// When the program cannot be started.
    pub fn start(post: Post) -> Result<Self, Trouble> {
        let mut child = Child::start(
            post.machine
                .command(&post.program)
                .args(["--name", &post.name, "--base", &post.base, "--issuer", &post.issuer])
                .args(["--account", super::stage::GUARD, "--secret", super::stage::GUARD_SECRET])
                .args(["--feed", &post.feed, "--bound-ms", &post.bound_ms.to_string()])
                .args(["--rate", &post.rate.to_string()])
                .args(match &post.ways {
                    Ways::Http => vec![],
                    Ways::Redis(url) => vec!["--redis", url, "--redis-alone"],
                    Ways::Both(url) => vec!["--redis", url],
                })
                .arg("--diary")
                .arg(&post.diary)
                .stdin(Stdio::piped())
                .stdout(Stdio::piped()),
        )
        .map_err(|e| Trouble::broken(format!("{}: {e}", post.program.display())))?;
        let (orders, words) = child.pipes();
        let word = Arc::new(Mutex::new(Word::default()));
        if let Some(words) = words {
            let heard = word.clone();
            thread::spawn(move || hear(words, &heard));
        }
        Ok(Self { post, child, orders, word })
    }

    pub fn name(&self) -> &str {
        &self.post.name
    }

    pub fn post(&self) -> &Post {
        &self.post
    }

    /// The process itself, to be frozen or killed.
    pub fn child(&mut self) -> &mut Child {
        &mut self.child
    }

    /// What it last said of itself.
    pub fn word(&self) -> Word {
        *self.word.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Gives it tokens to check from now on.
    ///
    /// # Errors
    /// When it has ended.
    pub fn hand(&mut self, tokens: &[(Token, String)]) -> Result<(), Trouble> {
        let lines: String = tokens.iter().map(|(token, text)| format!("token {token} {text}\n")).collect();
        self.order(&lines)
    }

    /// Sets its machine's clock so many milliseconds ahead, or back.
    ///
    /// # Errors
    /// When it has ended.
    pub fn step_clock(&mut self, ms: i64) -> Result<(), Trouble> {
        self.order(&format!("clock {ms}\n"))
    }

    /// Lets it finish, and reads what it wrote.
    ///
    /// # Errors
    /// When its diary cannot be read.
    pub fn dismiss(mut self) -> Result<Vec<Decision>, Trouble> {
        self.orders = None;
        if !self.child.ends_within(Duration::from_secs(5)) {
            self.child.kill();
        }
        diary::read(&self.post.diary)
            .map_err(|e| Trouble::broken(format!("{}: {e}", self.post.diary.display())))
    }

    fn order(&mut self, lines: &str) -> Result<(), Trouble> {
        let orders = self.orders.as_mut().ok_or_else(|| Trouble::broken("a sentry without ears"))?;
        orders.write_all(lines.as_bytes()).map_err(|e| Trouble::broken(format!("{}: {e}", self.post.name)))
    }
}

fn hear(words: ChildStdout, heard: &Mutex<Word>) {
    for line in BufReader::new(words).lines().map_while(Result::ok) {
        if let Ok(word) = serde_json::from_str(&line) {
            *heard.lock().unwrap_or_else(PoisonError::into_inner) = word;
        }
    }
}
