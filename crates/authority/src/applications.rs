//! The secrets of applications, as operators change them: several live ones, rotation with an overlap, and a
//! leaked one that is withdrawn with everything that was had with it.

use std::sync::Arc;

use crate::desk::Desk;
use crate::endings::remembered_until;
use crate::ledger::AuditRecord;
use crate::operators::Denial;
use crate::people::amended;
use crate::provisioning::MOST_SECRETS;
use crate::provisioning::change::Change;
use crate::registry::{Application, Scope, StoredSecret};
use crate::secret::Secret;

/// How often the registry may change under our hands before we say so.
const ATTEMPTS: usize = 5;

/// What becomes of the secrets before a new one.
#[derive(Clone, Copy, Debug)]
pub enum Before {
    /// They stay.
    Stay,
    /// They end after so many seconds.
    EndAfter(u64),
}

/// Makes one more secret, which lives for so many seconds or without end. The secret is shown once; its id
/// goes with it.
///
/// # Errors
/// [`Denial::Missing`], [`Denial::Conflict`] for too many and for a personal credential, or trouble.
pub async fn add_secret(
    desk: &Desk,
    client_id: &str,
    before: Before,
    life: Option<u64>,
    record: AuditRecord,
) -> Result<(StoredSecret, Secret), Denial> {
    let secret = Secret::from(format!("pcs_{}", desk.token()));
    let stored = StoredSecret {
        id: desk.id_text(),
        hash: desk.seal.client_secret(client_id, &secret),
        expires_at: life.map(|seconds| desk.now() + seconds),
    };
    let record = AuditRecord { event: "secret.created".into(), reason: Some(stored.id.clone()), ..record };
    change(desk, client_id, record, |it| {
        if it.user.is_some() {
            // It stands for its person everywhere: a secret in other hands would be that person.
            return Err(Denial::conflict("A personal credential gets secrets from its own person only."));
        }
        let now = desk.now();
        if let Before::EndAfter(overlap) = before {
            for one in &mut it.secrets {
                one.expires_at = Some(one.expires_at.map_or(now + overlap, |end| end.min(now + overlap)));
            }
        }
        it.secrets.retain(|one| one.expires_at.is_none_or(|end| now < end));
        if it.secrets.len() >= MOST_SECRETS {
            return Err(Denial::conflict("There are five live secrets already; revoke one."));
        }
        it.secrets.push(stored.clone());
        Ok(Vec::new())
    })
    .await?;
    Ok((stored, secret))
}

/// Withdraws a secret. Nobody knows which tokens were had with it, so everything of the application ends.
///
/// # Errors
/// [`Denial::Missing`], or trouble.
pub async fn withdraw_secret(
    desk: &Desk,
    client_id: &str,
    secret: &str,
    record: AuditRecord,
) -> Result<(), Denial> {
    let record = AuditRecord { event: "secret.withdrawn".into(), reason: Some(secret.into()), ..record };
    change(desk, client_id, record, |it| {
        let before = it.secrets.len();
        it.secrets.retain(|one| one.id != secret);
        if it.secrets.len() == before {
            return Err(Denial::missing("The application has no such secret."));
        }
        let exp = remembered_until(desk, &desk.registry.directory(), Some(&it.client_id));
        Ok(vec![Change::Raise { scope: Scope::Client, id: it.client_id.clone(), exp }])
    })
    .await
}

/// An application, or the sentence that there is none.
///
/// # Errors
/// [`Denial::Missing`].
pub fn find(desk: &Desk, client_id: &str) -> Result<Arc<Application>, Denial> {
    let found = desk.registry.directory().application(client_id).cloned();
    found.ok_or_else(|| Denial::missing("There is no such application."))
}

async fn change(
    desk: &Desk,
    client_id: &str,
    record: AuditRecord,
    decide: impl Fn(&mut Application) -> Result<Vec<Change>, Denial>,
) -> Result<(), Denial> {
    let organization = find(desk, client_id)?.organization.clone();
    let record =
        AuditRecord { organization: Some(organization.clone()), client_id: Some(client_id.into()), ..record };
    for _ in 0..ATTEMPTS {
        let estate = desk.registry.estate("", std::slice::from_ref(&organization)).await?;
        let found = estate.applications.into_iter().find(|it| it.client_id == client_id);
        let mut it = found.ok_or_else(|| Denial::missing("There is no such application."))?;
        let mut changes = decide(&mut it)?;
        changes.insert(0, Change::PutApplication(Box::new(it)));
        if amended(desk, estate.version, changes, record.clone()).await? {
            return Ok(());
        }
    }
    Err(Denial::conflict("The registry kept changing; try again."))
}
