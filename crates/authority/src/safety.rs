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

/// What can be asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Setting {
    /// No member comes in without a second factor.
    SecondFactor,
    /// Nobody alone permits more on personal data, or gives somebody more of it.
    SecondPerson,
}

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
    /// One of the two, and always false: what is turned on needs nobody else.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    require_second_factor: Option<bool>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    second_person_for_personal_data: Option<bool>,
}

impl Setting {
    /// The one that is named; none of several, which are several changes.
    ///
    /// # Errors
    /// [`Denial::Invalid`].
    pub fn named(factor: Option<bool>, person: Option<bool>) -> Result<(Self, bool), Denial> {
        match (factor, person) {
            (Some(wanted), None) => Ok((Self::SecondFactor, wanted)),
            (None, Some(wanted)) => Ok((Self::SecondPerson, wanted)),
            _ => Err(Denial::invalid(
                "require_second_factor",
                "Give either require_second_factor or second_person_for_personal_data; each is a change of its own.",
            )),
        }
    }

    fn word(self) -> &'static str {
        match self {
            Self::SecondFactor => "require_second_factor",
            Self::SecondPerson => "second_person_for_personal_data",
        }
    }

    fn of(self, safety: &mut Safety) -> &mut bool {
        match self {
            Self::SecondFactor => &mut safety.require_second_factor,
            Self::SecondPerson => &mut safety.second_person_for_personal_data,
        }
    }
}

impl Room<'_> {
    /// Turns a setting of an organization on, or proposes to turn it off.
    ///
    /// # Errors
    /// [`Denial::Missing`] without such an organization, or any other.
    pub async fn keep_safety(
        self,
        hand: &Hand,
        (organization, setting, wanted): (&str, Setting, bool),
        (reason, break_glass): (&str, bool),
    ) -> Result<Settled, Denial> {
        hand.must_operate()?;
        let why = Reason::read(reason)?;
        for _ in 0..ATTEMPTS {
            let (version, mut it) = picture(self.desk, organization).await?;
            if *setting.of(&mut it.safety) == wanted {
                return Ok(Settled::Done(it.safety));
            }
            *setting.of(&mut it.safety) = wanted;
            if !wanted {
                let what = json!({ "organization": it.id, setting.word(): false });
                let wish = Wish { kind: KIND, what: &what, reason, digest: None };
                if break_glass {
                    self.break_glass(hand, &wish).await?;
                    return Ok(Settled::Done(it.safety));
                }
                return self.propose(hand, &wish).await.map(|it| Settled::Proposed(Box::new(it)));
            }
            if break_glass {
                let sentence = "To turn it on needs nobody else; leave out break_glass.";
                return Err(Denial::invalid("break_glass", sentence));
            }
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
            Denial::invalid(
                "what",
                "Say what is turned off: {\"organization\": id or slug, \"require_second_factor\": false}, or \"second_person_for_personal_data\" in its place.",
            )
        })?;
        let (setting, wanted) = what.setting()?;
        if wanted {
            return Err(Denial::invalid(setting.word(), "To turn it on needs nobody else."));
        }
        let found = find(room.desk, &what.organization)?;
        let mut safety = found.safety;
        if !*setting.of(&mut safety) {
            return Err(Denial::conflict("It is off already."));
        }
        what.organization.clone_from(&found.id);
        Ok(json!(what).to_string())
    }

    async fn work(&self, room: Room<'_>, order: &Order<'_>) -> Result<Work, Denial> {
        let what: What =
            serde_json::from_str(&order.proposal.what).map_err(|why| Trouble::new("proposals", why))?;
        let (version, mut it) = picture(room.desk, &what.organization).await?;
        let (setting, wanted) = what.setting()?;
        *setting.of(&mut it.safety) = wanted;
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

impl What {
    fn setting(&self) -> Result<(Setting, bool), Denial> {
        Setting::named(self.require_second_factor, self.second_person_for_personal_data)
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
