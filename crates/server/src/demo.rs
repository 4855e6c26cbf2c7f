//! The demonstration's owner: an operator whose password and seed are public, so that anybody can look around.
//! Production refuses the account, both at the start and at the door.

use portcullis_authority::desk::{Clock as _, Desk};
use portcullis_authority::operators::{Denial, Newcomer, OperatorRole, SecondFactor, StaffBook as _};
use portcullis_authority::refusal::Trouble;
use portcullis_authority::registry::Who;
use portcullis_authority::secret::{Secret, same};
use portcullis_store::Store;
use toml::{Table, Value};

use crate::means::{Means, SystemClock};
use crate::settings::Settings;
use crate::staff;

/// The shop of a demonstration, as a seed file. Everybody can read its secrets.
pub const SHOP: &str = include_str!("../../../deploy/config/demo.toml");
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

/// Refuses books in which something of the demonstration still opens a door.
///
/// # Errors
/// Trouble naming what it is, or with the books.
pub async fn refuse(desk: &Desk) -> Result<(), Trouble> {
    let shop: Table = SHOP.parse().map_err(|e| Trouble::new("demo", e))?;
    let each = |list: &str| shop.get(list).and_then(Value::as_array).into_iter().flatten();
    let directory = desk.registry.directory();
    for it in each("applications") {
        let Some((id, secret)) = pair(it, "client_id", "secret") else { continue };
        let public = desk.seal.client_secret(id, &secret);
        let known = directory.application(id);
        if known.is_some_and(|it| it.secrets.iter().any(|kept| same(&kept.hash, &public))) {
            return Err(public_knowledge(&format!("the application {id}"), "secret"));
        }
    }
    for it in each("guards") {
        let Some((id, secret)) = pair(it, "id", "secret") else { continue };
        let public = desk.seal.client_secret(&format!("guard:{id}"), &secret);
        if directory.guard(id).is_some_and(|kept| same(&kept.hash, &public)) {
            return Err(public_knowledge(&format!("the guard {id}"), "secret"));
        }
    }
    for it in each("users").chain(each("customers")) {
        let Some((id, password)) = pair(it, "id", "password") else { continue };
        // Whoever is not there needs no slow look.
        let Some(person) = desk.registry.person(Who::Id(id)).await? else { continue };
        if !person.disabled && desk.slow.password_fits(person.password, password).await? {
            return Err(public_knowledge(&format!("the person {id}"), "password"));
        }
    }
    Ok(())
}

fn pair<'a>(it: &'a Value, name: &str, secret: &str) -> Option<(&'a str, Secret)> {
    let text = |member: &str| it.get(member).and_then(Value::as_str);
    Some((text(name)?, Secret::from(text(secret)?)))
}

fn public_knowledge(who: &str, what: &str) -> Trouble {
    Trouble::new(
        "demo",
        format!("the {what} of {who} is public, made for a demonstration; production needs books of its own"),
    )
}

/// The second factor's code of this moment.
///
/// # Errors
/// Trouble that does not happen: the seed is long enough.
pub fn code_now() -> Result<Secret, Trouble> {
    Ok(Secret::from(SecondFactor::of(SEED, OWNER)?.code(SystemClock.now())))
}
