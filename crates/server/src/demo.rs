//! The demonstration's owner: an operator whose password and seed are public, so that anybody can look around.
//! Production refuses the account, both at the start and at the door.

use portcullis_authority::desk::Clock as _;
use portcullis_authority::operators::{Denial, Newcomer, OperatorRole, SecondFactor, StaffBook as _};
use portcullis_authority::refusal::Trouble;
use portcullis_authority::secret::Secret;
use portcullis_store::Store;

use crate::means::{Means, SystemClock};
use crate::settings::Settings;
use crate::staff;

pub const OWNER: &str = "owner@example.com";
pub const PASSWORD: &str = "demo-owner-keeps-watch";
/// For an authenticator application: [`SEED`] in base32.
pub const SEED_BASE32: &str = "MRSW23ZNN53W4ZLSFVVWKZLQOMWXOYLU";
/// Twenty bytes, as RFC 4226 asks for.
const SEED: &[u8; 20] = b"demo-owner-keeps-wat";

/// Makes the account where there is none yet.
///
/// # Errors
/// Trouble with the books.
pub async fn settle(settings: &Settings, means: &Means, store: &Store) -> Result<(), Trouble> {
    if store.staff().await?.by_email(OWNER).is_some() {
        return Ok(());
    }
    let newcomer = Newcomer {
        email: OWNER.into(),
        roles: OperatorRole::ALL.to_vec(),
        password: Secret::from(PASSWORD),
        demo_seed: Some(SEED.to_vec()),
    };
    match staff::create_in(settings, means, store, newcomer).await {
        Ok(_) => Ok(()),
        Err(Denial::Broken(trouble)) => Err(trouble),
        Err(why) => Err(Trouble::new("demo", staff::sentence(&why))),
    }
}

/// The second factor's code of this moment.
///
/// # Errors
/// Trouble that does not happen: the seed is long enough.
pub fn code_now() -> Result<Secret, Trouble> {
    Ok(Secret::from(SecondFactor::of(SEED, OWNER)?.code(SystemClock.now())))
}
