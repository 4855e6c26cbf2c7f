//! The feed: the ordered log of what has ended, as it travels from the server to guards.
//!
//! `record`, `chain`, `batch` and `manifest` are the wire; `table`, `names`, `clock` and `view` are what a
//! guard knows; `follower` decides what to ask for next, `worker` asks, over `http` or `redis`.

pub mod batch;
pub mod chain;
pub mod clock;
pub mod digest;
pub mod fault;
pub mod follower;
#[cfg(feature = "http-feed")]
pub mod http;
pub mod keys;
pub mod manifest;
pub mod names;
pub mod record;
#[cfg(feature = "redis-feed")]
pub mod redis;
mod sync;
pub mod table;
pub mod view;
#[cfg(feature = "http-feed")]
pub mod worker;

#[cfg(test)]
mod press;
#[cfg(test)]
#[path = "table/tests.rs"]
mod table_tests;

pub use batch::{Batch, SealedBatch};
pub use chain::Chain;
pub use digest::Digest;
pub use fault::FeedFault;
pub use follower::{Command, Counts, Follower};
#[cfg(feature = "http-feed")]
pub use http::{HttpConfig, HttpFeed, HttpIntrospection};
pub use keys::FeedKeys;
pub use manifest::{Manifest, Segment};
pub use names::{Names, feed_id};
pub use record::{FLAG_EMERGENCY, FLAG_TIME, Id, Kind, RECORD_BYTES, Record, name_id};
#[cfg(feature = "redis-feed")]
pub use redis::{RedisConfig, RedisFeed, Trust, Whereabouts};
pub use view::{Freshness, MAX_STALENESS, Picture, Position, State, View};
#[cfg(feature = "http-feed")]
pub use worker::{Following, Gauge, KeyHint, Sink};
