//! The audit log beyond the store: checkpoints that the server signs, the proof that nothing was altered,
//! export, retention, and destinations outside that are told. What is worth a record is decided in the
//! authority; how rows are bound to each other is the store's.

mod checkpoint;
mod export;
#[cfg(test)]
mod papers;
mod proof;
mod reading;
mod sender;
mod syslog;
mod upkeep;
mod webhook;

pub use checkpoint::{Vouched, Witness, opening, state};
pub(crate) use export::cell;
pub use export::{Csv, JsonLines, Written, asked, line, moment, piece};
pub use proof::{Proof, prove};
pub use reading::{
    CheckpointList, DestinationList, Filter, LetterList, RecordPage, checkpoints, dead_letters, destinations,
    find, is_fit,
};
pub use sender::Sender;
pub use upkeep::{Notary, forget, watch};
