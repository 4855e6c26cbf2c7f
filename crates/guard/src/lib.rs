//! Portcullis' guard: lives inside a commerce service, checks access tokens offline, knows of every
//! revocation within milliseconds, and says who may do what.
//!
//! ```no_run
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! use portcullis_guard::policy::{Action, Facts};
//! use portcullis_guard::{DangerNothingEnded, Guard, KeySet};
//! # let (jwks, bearer) = (r#"{"keys":[]}"#, "...");
//!
//! let guard = Guard::builder()
//!     .issuer("https://auth.shop.example")
//!     .audience("commerce-api")
//!     .keys(KeySet::from_jwks(jwks)?)
//!     .revocations(DangerNothingEnded) // a service follows the feed instead
//!     .build()?;
//! let access = guard.authenticate(bearer)?;
//! guard.permit(&access, "orders", Action::Update, &Facts::new().organization("AbCdEfGhIj").status("draft"))?;
//! # Ok(())
//! # }
//! ```
//!
//! A guard that has lost touch with its feed refuses, unless the route has another policy ([`OnStale`]):
//!
//! ```no_run
//! # fn serve(guard: &portcullis_guard::Guard, bearer: &str) -> Result<(), portcullis_guard::Denied> {
//! use portcullis_guard::OnStale;
//! use std::time::Duration;
//!
//! let access = guard.authenticate_under(bearer, OnStale::AllowUpTo(Duration::from_secs(900)))?;
//! if access.footing().is_stale() {
//!     eprintln!("let in on {:?}", access.footing());
//! }
//! print!("{}", guard.metrics()); // for Prometheus
//! # Ok(())
//! # }
//! ```
#![forbid(unsafe_code)]

mod access;
#[cfg(feature = "actix")]
pub mod actix;
mod builder;
mod cache;
pub mod claims;
mod denied;
pub mod feed;
mod guard;
mod introspection;
mod keys;
pub mod metrics;
mod payload;
pub mod policy;
mod revocation;
mod staleness;
mod strict;
mod token;

pub use access::Access;
pub use builder::{BuildTrouble, Builder, Clock, Environment};
pub use claims::Claims;
pub use denied::Denied;
pub use guard::Guard;
pub use introspection::{Introspection, Introspections, Unanswered, Word};
pub use keys::{Algorithm, Key, KeySet, KeyTrouble, LARGEST_KEY_SET};
pub use payload::{EXPIRY_LEEWAY, FUTURE_LEEWAY, LONGEST_LIFE};
pub use policy::{Action, Facts, Forbidden, Policy};
pub use revocation::{DangerNothingEnded, Revocations, Verdict};
pub use staleness::{Footing, NotAPolicy, OnStale};
pub use token::{LONGEST_TOKEN, Unverified};

/// Which of the two headers an access token has; the claims are the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Profile {
    /// `typ: at+jwt` (RFC 9068 section 2.1).
    Rfc9068,
    /// `typ: JWT`, as Commerce Layer's clients want it.
    CommerceLayer,
}
