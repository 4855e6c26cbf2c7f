//! What guard processes write down and say: a decision a line, and a word about themselves. Both ends of
//! the two formats are here.

use std::fs::File;
use std::io::{self, BufRead, BufReader, BufWriter, Write};
use std::path::Path;
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use serde::{Deserialize, Serialize};

use super::history::Decision;

/// Milliseconds since the Unix epoch by the wall clock, which nobody sets during a run.
pub fn now_ms() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}

/// The steady clock, anchored to the wall clock once, so that processes on one machine can compare.
#[derive(Clone, Copy, Debug)]
pub struct Steady {
    begun: Instant,
    wall_ms: u64,
}

impl Steady {
    pub fn begin() -> Self {
        Self { begun: Instant::now(), wall_ms: now_ms() }
    }

    pub fn now_ms(&self) -> u64 {
        self.wall_ms + u64::try_from(self.begun.elapsed().as_millis()).unwrap_or(u64::MAX)
    }
}

/// A file of decisions.
pub struct Diary(BufWriter<File>);

impl Diary {
    /// # Errors
    /// When the file cannot be made.
    pub fn create(path: &Path) -> io::Result<Self> {
        Ok(Self(BufWriter::with_capacity(1 << 20, File::create(path)?)))
    }

    /// # Errors
    /// When the disk is full.
    pub fn write(&mut self, decision: &Decision) -> io::Result<()> {
        serde_json::to_writer(&mut self.0, decision)?;
        self.0.write_all(b"\n")
    }

    /// # Errors
    /// When the disk is full.
    pub fn flush(&mut self) -> io::Result<()> {
        self.0.flush()
    }
}

/// Reads a diary. A last line that a killed process did not finish is left out; any other that does not
/// read is an error.
///
/// # Errors
/// When the file cannot be read.
pub fn read(path: &Path) -> io::Result<Vec<Decision>> {
    let mut decisions = Vec::new();
    let mut broken = None;
    for line in BufReader::new(File::open(path)?).lines() {
        if let Some(why) = broken.take() {
            return Err(io::Error::other(why));
        }
        match serde_json::from_str(&line?) {
            Ok(decision) => decisions.push(decision),
            Err(why) => broken = Some(why),
        }
    }
    Ok(decisions)
}

/// How a guard says that it is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Word {
    /// Whether it would accept anything now.
    pub open: bool,
    pub complete: bool,
    pub seq: u64,
}

impl Word {
    /// # Errors
    /// When nobody listens any more.
    pub fn say(&self, to: &mut impl Write) -> io::Result<()> {
        serde_json::to_writer(&mut *to, self)?;
        to.write_all(b"\n")?;
        to.flush()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::faults::history::Verdict;
    use portcullis::testing::Scratch;

    #[test]
    fn a_line_that_was_not_finished_is_left_out_and_only_at_the_end() {
        let scratch = Scratch::new();
        let path = scratch.path().join("diary");
        let decision =
            Decision { guard: "a".into(), token: 1, at: 2, wall: 3, verdict: Verdict::Accepted, cold: false };
        let mut diary = Diary::create(&path).unwrap();
        diary.write(&decision).unwrap();
        diary.flush().unwrap();
        let whole = std::fs::read_to_string(&path).unwrap();
        std::fs::write(&path, format!("{whole}{}", &whole[..20])).unwrap();
        assert_eq!(read(&path).unwrap(), [decision]);
        std::fs::write(&path, format!("{}\n{whole}", &whole[..20])).unwrap();
        assert!(read(&path).is_err());
    }
}
