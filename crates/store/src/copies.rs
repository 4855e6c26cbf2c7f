//! Copies of the books: every row of every table as lines of text, read at one moment while everybody goes on
//! writing, and put into an empty database of either kind.
//!
//! What stands in a row is not looked at: what is sealed stays sealed. Where the lines go and who may read them
//! is decided above; how everything issued before ends after a copy was put back is `authority/recovery.rs`.
//!
//! ```text
//! {"table":{"name":"guards","columns":[["id","text"],["hash","text"]]}}
//! ["sentry","..."]
//! {"end":{"rows":{"guards":1}}}
//! ```

mod inward;
mod lines;
mod outward;
mod tables;

use std::collections::BTreeMap;
use std::io;

use portcullis_authority::ledger::{Deed, Position};
use portcullis_authority::refusal::Trouble;
use serde::{Deserialize, Serialize};

use crate::feed::Head;

pub use inward::copy_in;
pub use lines::CopyReader;
#[cfg(test)]
pub(crate) use tables::table_names;

/// Rows of each table, by its name.
pub type Rows = BTreeMap<String, u64>;

/// What a copy says of itself before its first row: what the books were at that moment.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Imprint {
    /// What had been done to the tables, oldest first.
    pub migrations: Vec<String>,
    pub feeds: Vec<FeedMark>,
    /// The newest row of the audit log and its hash.
    pub audit: (u64, String),
}

/// Where a feed stood.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FeedMark {
    pub name: String,
    pub epoch: u64,
    pub seq: u64,
    pub chain: String,
}

/// Takes the lines of a copy one after another, and may be slow about it.
pub trait Tray: Send {
    /// Comes first, once.
    ///
    /// # Errors
    /// Whatever keeps it from going on; the copy ends there.
    fn begin(&mut self, imprint: &Imprint) -> io::Result<()>;

    /// One line, without its end.
    ///
    /// # Errors
    /// As [`Tray::begin`].
    fn line(&mut self, line: &str) -> io::Result<()>;
}

/// The lines of a copy.
pub type Lines<'a> = dyn Iterator<Item = io::Result<String>> + Send + 'a;

/// What is done at the end of putting a copy back, knowing where its feed stood.
pub type Then<'a> = dyn Fn(&Head) -> Deed + Sync + 'a;

/// What came of putting a copy back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PutBack {
    pub rows: Rows,
    /// Where each feed goes on.
    pub feeds: Vec<(String, Position)>,
}

fn trouble(why: impl std::fmt::Display) -> Trouble {
    Trouble::new("backup", why)
}
