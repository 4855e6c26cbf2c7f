//! What the server tells those who watch it, in numbers and in spans (docs/telemetry.md). Events are counted on the
//! [`Board`] as they happen, by listeners around the desk's own parts; what can be looked up is looked up by
//! the [`Window`] when somebody asks. The rules of the protocol know nothing of it.
//!
//! INVARIANT: the value of a label is a word of ours. Nothing that a caller sends, no id and no address ever
//! becomes one, so there are only so many of them, and nothing can leak.

mod board;
mod listeners;
#[cfg(test)]
mod papers;
mod propagation;
mod teller;
mod traces;
mod window;

pub use board::Board;
pub use listeners::attend;
pub use propagation::follow;
pub use traces::{Answered, Caller, Traces, Tracing};
pub use window::{CONTENT_TYPE, Window, glance};

use std::borrow::Cow;

/// A word in a label.
type Word = Cow<'static, str>;
/// Names and words.
type Labels<const N: usize> = [(&'static str, Word); N];

/// One label.
fn label(name: &'static str, word: impl Into<Word>) -> Labels<1> {
    [(name, word.into())]
}
