//! What an organization asks of those who come in, as operators keep it. To ask for more is done at once; to ask for
//! less is a proposal, because whoever gets in afterwards is not stopped by anything else.

use std::sync::Arc;

use async_trait::async_trait;
use portcullis_guard::claims::OwnerKind;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::desk::Desk;
use crate::ledger::{Act, AuditRecord, Deed, Done};
use crate::operators::Denial;
use crate::proposals::{Executor, Hand, Order, Proposal, Reason, Room, Wish, Work};
use crate::provisioning::change::{Amendment, Change};
use crate::refusal::Trouble;
use crate::registry::{Directory, Organization, Person, Safety};

/// The kind of proposal that turning a setting off is.
const KIND: &str = "safety";
/// How often the registry may change under our hands before we say so.
const ATTEMPTS: usize = 5;

/// What came of it.
#[derive(Clone, Debug)]
pub enum Settled {
    Done(Safety),
    /// It waits for a second person.
    Proposed(Box<Proposal>),
}

/// Asks for less than before; a line of the proposals' roster.
pub struct Lowering;

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct What {
    /// Id.
    organization: String,
    /// Always false: what is turned on needs nobody else.
    require_second_factor: bool,
}

impl Room<'_> {
    /// Says whether an organization asks its members for a second factor.
    ///
    /// # Errors
    /// [`Denial::Missing`] without such an organization, or any other.
    pub async fn require_second_factor(
        self,
        hand: &Hand,
        (organization, required): (&str, bool),
        (reason, break_glass): (&str, bool),
    ) -> Result<Settled, Denial> {
        hand.must_operate()?;
        let why = Reason::read(reason)?;
        for _ in 0..ATTEMPTS {
            let (version, mut it) = picture(self.desk, organization).await?;
            if it.safety.require_second_factor == required {
                return Ok(Settled::Done(it.safety));
            }
            if !required {
                let what = json!({ "organization": it.id, "require_second_factor": false });
                let wish = Wish { kind: KIND, what: &what, reason, digest: None };
                if break_glass {
                    self.break_glass(hand, &wish).await?;
                    return Ok(Settled::Done(Safety { require_second_factor: false }));
                }
                return self.propose(hand, &wish).await.map(|it| Settled::Proposed(Box::new(it)));
            }
            if break_glass {
                let sentence = "To turn it on needs nobody else; leave out break_glass.";
                return Err(Denial::invalid("break_glass", sentence));
            }
            it.safety.require_second_factor = true;
            let record = AuditRecord {
                organization: Some(it.id.clone()),
                detail: Some(json!(it.safety).to_string()),
                ..hand.record("safety.raised", &why, self.desk.now())
            };
            let safety = it.safety;
            if let Done::Committed { .. } =
                self.desk.ledger.commit(Deed::new(amendment(version, it), record)).await?
            {
                return Ok(Settled::Done(safety));
            }
        }
        Err(Denial::conflict("The registry kept changing; try again."))
    }
}

#[async_trait]
impl Executor for Lowering {
    fn kind(&self) -> &'static str {
        KIND
    }

    async fn canonical(&self, room: Room<'_>, what: &Value) -> Result<String, Denial> {
        let mut what: What = serde_json::from_value(what.clone()).map_err(|_| {
            let sentence =
                "Say what is turned off: {\"organization\": id or slug, \"require_second_factor\": false}.";
            Denial::invalid("what", sentence)
        })?;
        if what.require_second_factor {
            return Err(Denial::invalid("require_second_factor", "To turn it on needs nobody else."));
        }
        let found = find(room.desk, &what.organization)?;
        if !found.safety.require_second_factor {
            return Err(Denial::conflict("It is off already."));
        }
        what.organization.clone_from(&found.id);
        Ok(json!(what).to_string())
    }

    async fn work(&self, room: Room<'_>, order: &Order<'_>) -> Result<Work, Denial> {
        let what: What =
            serde_json::from_str(&order.proposal.what).map_err(|why| Trouble::new("proposals", why))?;
        let (version, mut it) = picture(room.desk, &what.organization).await?;
        it.safety.require_second_factor = what.require_second_factor;
        let reason = Reason::read(&order.proposal.reason)?;
        let detail = json!({
            "proposal": order.proposal.id, "proposer": order.proposal.proposer, "safety": it.safety,
        });
        let record = AuditRecord {
            organization: Some(it.id.clone()),
            detail: Some(detail.to_string()),
            ..order.hand.record("safety.lowered", &reason, room.desk.now())
        };
        Ok(Work { acts: vec![amendment(version, it)], audit: vec![record] })
    }
}

/// An organization by its id or slug.
///
/// # Errors
/// [`Denial::Missing`].
pub fn find(desk: &Desk, name: &str) -> Result<Arc<Organization>, Denial> {
    let directory = desk.registry.directory();
    let found = directory.organization(name).or_else(|| directory.organization_by_slug(name));
    found.cloned().ok_or_else(missing)
}

/// Whether a person still has to enrol a second factor before coming in to this organization.
///
/// # Errors
/// Trouble.
pub async fn lacks_factor(
    desk: &Desk,
    directory: &Directory,
    (organization, person): (&str, &Person),
) -> Result<bool, Trouble> {
    Ok(asks(directory, organization, person) && desk.ledger.factor(&person.id).await?.is_none())
}

/// Whether somebody signed in, seconds, before they had the second factor that this organization asks for: then the
/// password alone opened it, and whoever knew that may sit there.
///
/// # Errors
/// Trouble.
pub async fn predates_factor(
    desk: &Desk,
    directory: &Directory,
    (organization, person): (&str, &Person),
    auth_time: u64,
) -> Result<bool, Trouble> {
    if !asks(directory, organization, person) {
        return Ok(false);
    }
    Ok(desk.ledger.factor(&person.id).await?.is_some_and(|factor| auth_time < factor.since))
}

/// Customers have none: they sign in at their shop (decision 0024).
fn asks(directory: &Directory, organization: &str, person: &Person) -> bool {
    let asked = directory.organization(organization).is_some_and(|it| it.safety.require_second_factor);
    asked && person.kind == OwnerKind::User
}

/// The organization as it is in one version of the registry.
async fn picture(desk: &Desk, name: &str) -> Result<(u64, Organization), Denial> {
    let id = find(desk, name)?.id.clone();
    let estate = desk.registry.estate("", std::slice::from_ref(&id)).await?;
    let found = estate.organizations.into_iter().find(|it| it.id == id);
    Ok((estate.version, found.ok_or_else(missing)?))
}

fn amendment(expected: u64, it: Organization) -> Act {
    Act::Amend(Amendment { expected, changes: vec![Change::PutOrganization(it)] })
}

fn missing() -> Denial {
    Denial::missing("There is no organization with this id or slug.")
}
