//! What is wrong with a file, in sentences with their place. Values of secrets are never repeated.

use std::fmt;
use std::ops::Range;

/// One thing to repair.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mistake {
    /// From 1.
    pub line: usize,
    /// `applications[2].role`, counted from 0; empty when the file does not read as a whole.
    pub key: String,
    pub sentence: String,
}

/// Everything to repair, never empty.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub struct Mistakes(pub Vec<Mistake>);

impl Mistakes {
    /// A file that is not TOML, or has a key or a value that nobody knows. The message is the parser's
    /// without its excerpt of the file, which could hold a secret.
    pub(super) fn unreadable(text: &str, error: &toml::de::Error) -> Self {
        let line = error.span().map_or(1, |span| line_of(text, &span));
        Self(vec![Mistake { line, key: String::new(), sentence: format!("{}.", error.message().trim_end()) }])
    }
}

pub(super) fn line_of(text: &str, span: &Range<usize>) -> usize {
    let before = text.as_bytes().iter().take(span.start);
    before.filter(|byte| **byte == b'\n').count() + 1
}

impl fmt::Display for Mistake {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "line {}", self.line)?;
        if !self.key.is_empty() {
            write!(out, ", {}", self.key)?;
        }
        write!(out, ": {}", self.sentence)
    }
}

impl fmt::Display for Mistakes {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (n, mistake) in self.0.iter().enumerate() {
            write!(out, "{}{mistake}", if n == 0 { "" } else { "\n" })?;
        }
        Ok(())
    }
}
