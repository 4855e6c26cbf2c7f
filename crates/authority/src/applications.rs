//! The secrets of applications, as operators change them. Whoever holds one is the application, so another one is
//! a proposal: it is shown to the proposer and opens nothing before somebody else has confirmed it. Taking one away
//! is done by one operator, unless none would be left.
//!
//! A secret on its way is computed from the proposal's id with a key of the server, so it is kept nowhere meanwhile.

use std::sync::Arc;

use async_trait::async_trait;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::desk::Desk;
use crate::endings::remembered_until;
use crate::ledger::{Act, AuditRecord};
use crate::operators::Denial;
use crate::people::amended;
use crate::proposals::{Executor, Order, Proposal, Reason, Room, Work};
use crate::provisioning::MOST_SECRETS;
use crate::provisioning::change::{Amendment, Change};
use crate::refusal::Trouble;
use crate::registry::{Application, Scope, StoredSecret};
use crate::secret::Secret;

/// The kind of proposal that another secret is.
pub const KIND: &str = "secret";
/// How often the registry may change under our hands before we say so.
const ATTEMPTS: usize = 5;
/// Seconds that the secrets before live on in a rotation, unless said.
const OVERLAP: u64 = 24 * 3600;
/// A year.
const LONGEST: u64 = 31_536_000;
/// The shortest life of a secret, seconds.
const SHORTEST: u64 = 60;

/// One more secret for an application.
pub struct AnotherSecret;

/// The end of an application's last live secret: nobody comes in as it any more.
pub struct LastSecret;

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Adding {
    application: String,
    /// Lets the secrets before run out.
    #[serde(default)]
    rotate: bool,
    /// Seconds that the secrets before live on, from the approval.
    overlap: Option<u64>,
    /// Seconds that the new one lives, from the approval; without end unless said.
    expires_in: Option<u64>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Ending {
    application: String,
    /// Its id.
    secret: String,
}

/// The secret that a proposal adds when it is carried out; none of any other kind. Its id is the proposal's.
pub fn proposed(desk: &Desk, proposal: &Proposal) -> Option<Secret> {
    (proposal.kind == KIND).then(|| desk.seal.proposed_secret(&proposal.id))
}

#[async_trait]
impl Executor for AnotherSecret {
    fn kind(&self) -> &'static str {
        KIND
    }

    async fn canonical(&self, room: Room<'_>, what: &Value) -> Result<String, Denial> {
        let mut adding: Adding = serde_json::from_value(what.clone()).map_err(|_| {
            Denial::invalid(
                "what",
                "Another secret is {\"application\": client id, \"rotate\": true or false, \"overlap\": seconds, \"expires_in\": seconds}; the secret is made for you.",
            )
        })?;
        if adding.overlap.is_some() && !adding.rotate {
            return Err(Denial::invalid("overlap", "Only a rotation has an overlap; set rotate as well."));
        }
        if adding.overlap.is_some_and(|seconds| seconds > LONGEST) {
            return Err(Denial::invalid("overlap", "At most 31536000 seconds."));
        }
        if adding.expires_in.is_some_and(|life| !(SHORTEST..=LONGEST).contains(&life)) {
            return Err(Denial::invalid("expires_in", "Between 60 and 31536000 seconds."));
        }
        if adding.rotate {
            adding.overlap = Some(adding.overlap.unwrap_or(OVERLAP));
        }
        let mut trial = (*find(room.desk, &adding.application)?).clone();
        let stored = StoredSecret { id: String::new(), hash: String::new(), expires_at: None };
        add(&mut trial, &adding, stored, room.desk.now())?;
        Ok(json!(adding).to_string())
    }

    async fn work(&self, room: Room<'_>, order: &Order<'_>) -> Result<Work, Denial> {
        let adding: Adding = read(&order.proposal.what)?;
        let (desk, now) = (room.desk, room.desk.now());
        let id = order.proposal.id.clone();
        let stored = StoredSecret {
            hash: desk.seal.client_secret(&adding.application, &desk.seal.proposed_secret(&id)),
            expires_at: adding.expires_in.map(|seconds| now + seconds),
            id: id.clone(),
        };
        let (version, mut it) = picture(desk, &adding.application).await?;
        add(&mut it, &adding, stored, now)?;
        let changes = vec![Change::PutApplication(Box::new(it.clone()))];
        work(order, ("secret.created", &id), (version, changes), (&it, now))
    }
}

#[async_trait]
impl Executor for LastSecret {
    fn kind(&self) -> &'static str {
        "last_secret"
    }

    async fn canonical(&self, room: Room<'_>, what: &Value) -> Result<String, Denial> {
        let ending: Ending = serde_json::from_value(what.clone()).map_err(|_| {
            let sentence =
                "The end of a secret is {\"application\": client id, \"secret\": id of the secret}; list them.";
            Denial::invalid("what", sentence)
        })?;
        let mut trial = (*find(room.desk, &ending.application)?).clone();
        take(&mut trial, &ending.secret)?;
        Ok(json!(ending).to_string())
    }

    async fn work(&self, room: Room<'_>, order: &Order<'_>) -> Result<Work, Denial> {
        let ending: Ending = read(&order.proposal.what)?;
        let (version, mut it) = picture(room.desk, &ending.application).await?;
        take(&mut it, &ending.secret)?;
        let changes = withdrawal(room.desk, it.clone());
        work(order, ("secret.withdrawn", &ending.secret), (version, changes), (&it, room.desk.now()))
    }
}

/// Withdraws a secret of several. Nobody knows which tokens were had with it, so everything of the application ends.
///
/// # Errors
/// [`Denial::Missing`], [`Denial::Conflict`] when no live one would be left, or trouble.
pub async fn withdraw_secret(
    desk: &Desk,
    client_id: &str,
    secret: &str,
    record: AuditRecord,
) -> Result<(), Denial> {
    let record = AuditRecord {
        event: "secret.withdrawn".into(),
        reason: Some(secret.into()),
        client_id: Some(client_id.into()),
        ..record
    };
    for _ in 0..ATTEMPTS {
        let (version, mut it) = picture(desk, client_id).await?;
        let now = desk.now();
        let taken = it.secrets.iter().find(|one| one.id == secret).cloned();
        let had_one = has_live(&it, now);
        take(&mut it, secret)?;
        // What is left must open as long as what goes would have: an overlap that is about to end is no secret.
        let ends = |one: &StoredSecret| one.expires_at.unwrap_or(u64::MAX);
        let leaves = |one: &StoredSecret| {
            is_live(one, now)
                && taken.as_ref().is_none_or(|taken| !is_live(taken, now) || ends(one) >= ends(taken))
        };
        // A personal credential stands for its person, who makes another one.
        if it.user.is_none() && had_one && !it.secrets.iter().any(leaves) {
            return Err(Denial::conflict(
                "This is the last live secret, and nobody could come in as the application any more: have another one confirmed first, or propose this with a reason and have an approver confirm it.",
            ));
        }
        let record = AuditRecord { organization: Some(it.organization.clone()), ..record.clone() };
        if amended(desk, version, withdrawal(desk, it), record).await? {
            return Ok(());
        }
    }
    Err(Denial::conflict("The registry kept changing; try again."))
}

/// An application, or the sentence that there is none.
///
/// # Errors
/// [`Denial::Missing`].
pub fn find(desk: &Desk, client_id: &str) -> Result<Arc<Application>, Denial> {
    let found = desk.registry.directory().application(client_id).cloned();
    found.ok_or_else(missing)
}

/// The application as it is in one version of the registry.
async fn picture(desk: &Desk, client_id: &str) -> Result<(u64, Application), Denial> {
    let organization = find(desk, client_id)?.organization.clone();
    let estate = desk.registry.estate("", std::slice::from_ref(&organization)).await?;
    let found = estate.applications.into_iter().find(|it| it.client_id == client_id);
    Ok((estate.version, found.ok_or_else(missing)?))
}

fn add(it: &mut Application, adding: &Adding, stored: StoredSecret, now: u64) -> Result<(), Denial> {
    if it.user.is_some() {
        // It stands for its person everywhere: a secret in other hands would be that person.
        return Err(Denial::conflict("A personal credential gets secrets from its own person only."));
    }
    if let Some(overlap) = adding.overlap.filter(|_| adding.rotate) {
        for one in &mut it.secrets {
            one.expires_at = Some(one.expires_at.map_or(now + overlap, |end| end.min(now + overlap)));
        }
    }
    it.secrets.retain(|one| is_live(one, now));
    if it.secrets.len() >= MOST_SECRETS {
        return Err(Denial::conflict("There are five live secrets already; revoke one."));
    }
    it.secrets.push(stored);
    Ok(())
}

fn take(it: &mut Application, secret: &str) -> Result<(), Denial> {
    let before = it.secrets.len();
    it.secrets.retain(|one| one.id != secret);
    match it.secrets.len() < before {
        true => Ok(()),
        false => Err(Denial::missing("The application has no such secret.")),
    }
}

/// The application without the secret, and the end of all that was had as it.
fn withdrawal(desk: &Desk, it: Application) -> Vec<Change> {
    let id = it.client_id.clone();
    let exp = remembered_until(desk, &desk.registry.directory(), Some(&id));
    vec![Change::PutApplication(Box::new(it)), Change::Raise { scope: Scope::Client, id, exp }]
}

fn work(
    order: &Order<'_>,
    (event, secret): (&str, &str),
    (expected, changes): (u64, Vec<Change>),
    (it, now): (&Application, u64),
) -> Result<Work, Denial> {
    let mut record = order.hand.record(event, &Reason::read(&order.proposal.reason)?, now);
    record.organization = Some(it.organization.clone());
    record.client_id = Some(it.client_id.clone());
    let detail =
        json!({ "proposal": order.proposal.id, "proposer": order.proposal.proposer, "secret": secret });
    record.detail = Some(detail.to_string());
    Ok(Work { acts: vec![Act::Amend(Amendment { expected, changes })], audit: vec![record] })
}

fn has_live(it: &Application, now: u64) -> bool {
    it.secrets.iter().any(|one| is_live(one, now))
}

fn is_live(secret: &StoredSecret, now: u64) -> bool {
    secret.expires_at.is_none_or(|end| now < end)
}

fn read<'a, T: Deserialize<'a>>(what: &'a str) -> Result<T, Denial> {
    serde_json::from_str(what).map_err(|why| Trouble::new("proposals", why).into())
}

fn missing() -> Denial {
    Denial::missing("There is no such application.")
}
