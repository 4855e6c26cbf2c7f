//! The guard as a service sees it: through its public face, with real signatures.

mod cost;
#[cfg(feature = "actix")]
mod door;
mod forgery;
mod issuer;
mod matrix;
mod metrics;
mod residual;
mod revocation;
mod roles;
mod staleness;
