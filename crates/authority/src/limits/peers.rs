//! What servers tell each other about their counts. A limit holds without it, for each server by itself.

use async_trait::async_trait;

use crate::refusal::Trouble;

/// Something that one server counted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Counted {
    /// Says the same to all servers, and nothing to a reader.
    pub name: String,
    /// Microseconds to add.
    pub price: u64,
    /// The most that a bucket can owe, microseconds.
    pub window: u64,
    /// Drop the bucket instead.
    pub forget: bool,
}

/// Where the counts of all servers come together. It may forget: then each server goes on with its own.
#[async_trait]
pub trait Peers: Send + Sync {
    /// Adds, and says for each how long it takes until it is paid off, in microseconds of its own clock; so
    /// clocks of servers need not agree.
    ///
    /// # Errors
    /// Trouble when it does not answer; it may have added nevertheless.
    async fn add(&self, counted: &[Counted]) -> Result<Vec<u64>, Trouble>;
}
