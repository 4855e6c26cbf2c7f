//! Making operators on the books themselves, without a running server: whoever has the settings and the keys
//! could read everything anyway.

use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use portcullis_authority::desk::{Desk, Dice};
use portcullis_authority::ledger::AuditRecord;
use portcullis_authority::limits::Limits;
use portcullis_authority::operators::{Denial, Enrolled, Newcomer, OperatorRole, enrol};
use portcullis_authority::refusal::Trouble;
use portcullis_authority::secret::{Seal, Secret};
use portcullis_guard::feed::View;
use portcullis_store::Store;

use crate::books;
use crate::inspector::Glass;
use crate::means::{Means, Passwords};
use crate::settings::Settings;

/// Opens the books and makes an account.
///
/// # Errors
/// See [`enrol`].
pub async fn create(settings: &Settings, means: &Means, newcomer: Newcomer) -> Result<Enrolled, Denial> {
    let store = books::open(settings, means).await?;
    create_in(settings, means, &store, newcomer).await
}

/// Makes an account in books that are open.
///
/// # Errors
/// See [`enrol`].
pub async fn create_in(
    settings: &Settings,
    means: &Means,
    store: &Store,
    newcomer: Newcomer,
) -> Result<Enrolled, Denial> {
    let desk = desk(settings, means, store)?;
    let record = AuditRecord {
        at: desk.now(),
        actors: vec!["command line".into()],
        reason: Some("made on the books themselves".into()),
        ..AuditRecord::default()
    };
    enrol(&desk, store, newcomer, record).await
}

/// Somebody with these roles, and a second factor of their own.
pub fn newcomer(email: String, roles: Vec<OperatorRole>, password: Secret) -> Newcomer {
    Newcomer { email, roles, password, demo_seed: None }
}

/// A password that nobody guesses.
pub fn password(dice: &dyn Dice) -> Secret {
    let mut random = [0; 18];
    dice.fill(&mut random);
    Secret::from(URL_SAFE_NO_PAD.encode(random))
}

/// What a denial says to somebody at a terminal.
pub fn sentence(denial: &Denial) -> String {
    match denial {
        Denial::Unknown(it) | Denial::Forbidden(it) | Denial::Missing(it) | Denial::Conflict(it) => {
            it.to_string()
        }
        Denial::Invalid(objections) => {
            objections.iter().map(|one| one.detail.as_ref()).collect::<Vec<_>>().join(" ")
        }
        Denial::Later(seconds) => format!("Try again in {seconds} seconds."),
        Denial::Broken(trouble) => trouble.to_string(),
    }
}

/// A desk for one errand. It inspects no token, so its glass stays blind.
fn desk(settings: &Settings, means: &Means, store: &Store) -> Result<Desk, Trouble> {
    let keys = books::keys(settings)?;
    let view = Arc::new(View::new(&settings.feed.name, std::time::Duration::ZERO));
    let glass = Glass::new(&settings.issuer, view).map_err(|why| Trouble::new("operators", why))?;
    Ok(Desk {
        registry: Arc::new(store.clone()),
        ledger: Arc::new(store.clone()),
        clock: means.clock.clone(),
        dice: means.dice.clone(),
        slow: Arc::new(Passwords::new(&settings.passwords, means.dice.clone())?),
        inspector: Arc::new(glass),
        seal: Arc::new(Seal::new(&keys.seal_master)),
        limits: Arc::new(Limits::new(settings.limits.allowances())),
        terms: settings.terms(),
    })
}
