//! Portcullis' guard: lives inside a commerce service, checks access tokens offline, knows of every
//! revocation within milliseconds, and says who may do what.
#![forbid(unsafe_code)]

pub mod claims;
pub mod feed;

pub use claims::Claims;
