//! The feed: the ordered log of what has ended, as it travels from the server to guards.

pub mod record;

pub use record::{FLAG_EMERGENCY, FLAG_TIME, Id, Kind, RECORD_BYTES, Record, name_id};
