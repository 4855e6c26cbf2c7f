//! The server's side of the feed: follows the log in SQL, signs it in batches, keeps what guards ask for in
//! memory, and knows how far each guard has come.
//!
//! SQL is the truth; everything here is a copy that is made again at start. Nothing here decides what ends.

mod clerk;
mod courier;
mod hearsay;
mod hub;
mod looks;
mod press;
mod receipt;
mod reports;
mod shelf;
mod stacks;

pub use clerk::Clerk;
pub use courier::Courier;
pub(crate) use courier::forgets;
pub use hub::{Carried, Hub, HubParts, Tail};
pub use press::Press;
pub use receipt::{Applied, Receipt};
pub use reports::{GuardState, Impossible, Report, Reports};
