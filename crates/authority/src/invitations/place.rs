//! An invitation with which a place in an organization comes: whoever holds its code can act there, and an operator
//! sees the code, so it takes two. The code is computed from the proposal's id with a key of the server, so it
//! is kept nowhere meanwhile, and opens nothing before the proposal is confirmed.

use std::collections::BTreeSet;

use async_trait::async_trait;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::{Invitation, InvitationAct, LIFETIME, PREFIX, may_be_invited, told};
use crate::cuts::{organization, person as find_person};
use crate::desk::Desk;
use crate::ledger::{Act, AuditRecord};
use crate::operators::Denial;
use crate::people::Picture;
use crate::proposals::{Executor, Order, Proposal, Reason, Room, Work};
use crate::provisioning::change::{Amendment, Change};
use crate::provisioning::{Card, Estate, Kind, LINK, gone_with_place, is_same, narrowed, taken_up};
use crate::refusal::Trouble;
use crate::registry::Person;
use crate::secret::{Secret, hash_random};

/// The kind of proposal that it is.
const KIND: &str = "invitation";
/// Why a place goes whose invitation another takes the place of.
pub(super) const REPLACED: &str = "replaced";

/// Invites somebody into an organization; a line of the proposals' roster.
pub struct WithAPlace;

/// By ids: a proposal stays in the audit log, which must be able to forget an address.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct What {
    person: String,
    organization: String,
    role: String,
}

/// The code of an invitation that was proposed; none of any other kind.
pub fn proposed(desk: &Desk, proposal: &Proposal) -> Option<Secret> {
    (proposal.kind == KIND).then(|| code_of(desk, &proposal.id))
}

#[async_trait]
impl Executor for WithAPlace {
    fn kind(&self) -> &'static str {
        KIND
    }

    async fn canonical(&self, room: Room<'_>, what: &Value) -> Result<String, Denial> {
        let named: What = serde_json::from_value(what.clone()).map_err(|_| {
            Denial::invalid(
                "what",
                "An invitation is {\"person\": ..., \"organization\": ..., \"role\": ...}; make the account first, without a password.",
            )
        })?;
        let person = find_person(room, &named.person).await?;
        let organization = organization(room, &named.organization)?.id.clone();
        let what = What { person: person.id, organization, role: named.role };
        what.may_be_done(room.desk).await?;
        Ok(serde_json::to_string(&what).expect("texts always serialise"))
    }

    async fn work(&self, room: Room<'_>, order: &Order<'_>) -> Result<Work, Denial> {
        let (desk, proposal) = (room.desk, order.proposal);
        let what: What = serde_json::from_str(&proposal.what).map_err(|e| Trouble::new("proposals", e))?;
        let seen = what.may_be_done(desk).await?;
        let now = desk.now();
        let mut card = Card::new(Kind::Membership, &desk.id_text(), &what.organization, desk.clock.now_ms());
        let invitation = Invitation {
            id: desk.id_text(),
            hash: hash_random(code_of(desk, &proposal.id).expose()),
            person: what.person,
            by: proposal.proposer.clone(),
            created_at: now,
            expires_at: now + LIFETIME,
            place: Some((what.organization, card.id.clone())),
        };
        // As the Provisioning API writes one that is pending, so that the organization's admins see it there.
        card.more.insert("user_email".into(), seen.person.email.clone().into());
        card.more.insert("role".into(), what.role.clone().into());
        card.more.insert("invitation".into(), mark(&invitation).into());
        let record = order.hand.record("person.invited", &Reason::read(&proposal.reason)?, now);
        let (mut audit, mut changes) = (Vec::new(), Vec::new());
        for left in left_behind(desk, &seen.person, Some(&card.organization)).await? {
            audit.push(left.told(&seen.person, record.clone(), REPLACED));
            changes.extend(left.changes);
        }
        audit
            .insert(0, told("person.invited", &invitation, AuditRecord { scope: Some(what.role), ..record }));
        changes.push(Change::PutCard(Box::new(card)));
        let acts = vec![
            Act::Amend(Amendment { expected: seen.version(), changes }),
            Act::Invitation(InvitationAct::Put(invitation)),
        ];
        Ok(Work { acts, audit })
    }
}

impl What {
    /// That the person may be invited, that there is such a role, and that no admin of the organization has invited
    /// them; an invitation of ours is replaced. Gives the person of the version that all of it was looked up in, or
    /// an earlier one.
    async fn may_be_done(&self, desk: &Desk) -> Result<Picture, Denial> {
        let seen = Picture::of(desk, &self.person).await?;
        may_be_invited(desk, &seen).await?;
        let directory = desk.registry.directory();
        if directory.organization(&self.organization).is_none_or(|home| home.disabled) {
            return Err(Denial::invalid("organization", "There is no such organization, or it is closed."));
        }
        if directory.role(&self.organization, &self.role).is_none() {
            return Err(Denial::invalid("role", "There is no such role in the organization; name its id."));
        }
        let within = desk.registry.estate("", std::slice::from_ref(&self.organization)).await?;
        let theirs = |card: &Card| is_for(card, &seen.person) && card.link().is_none();
        if within.cards.iter().any(theirs) {
            return Err(Denial::conflict(
                "The organization has invited this address already; an admin of it can end that invitation.",
            ));
        }
        Ok(seen)
    }
}

/// What taking the place comes to, as long as the organization still offers it.
pub(super) async fn taken(
    desk: &Desk,
    place: &(String, String),
    invitation: &Invitation,
) -> Result<Option<Vec<Change>>, Trouble> {
    let directory = desk.registry.directory();
    if directory.organization(&place.0).is_none_or(|home| home.disabled) {
        return Ok(None);
    }
    let (estate, card) = pending(desk, place, invitation).await?;
    let Some(card) = card else { return Ok(None) };
    if directory.role(&place.0, card.text("role").unwrap_or_default()).is_none() {
        return Ok(None);
    }
    let (membership, card) = taken_up(card, &invitation.person, desk.clock.now_ms());
    // An admin of the organization may have kept the place to some applications while it was pending.
    let membership = narrowed(&estate, &membership);
    Ok(Some(vec![Change::PutMembership(membership), Change::PutCard(Box::new(card))]))
}

/// What the end of an invitation ends in its organization, if it is still offered there.
pub(super) async fn given_back(
    desk: &Desk,
    place: &(String, String),
    invitation: &Invitation,
) -> Result<Option<Act>, Trouble> {
    let (estate, card) = pending(desk, place, invitation).await?;
    let expected = estate.version;
    Ok(card.map(|card| Act::Amend(Amendment { expected, changes: ending(&estate, &card) })))
}

/// A place that an invitation of ours still offers, which goes with that invitation.
pub(crate) struct LeftBehind {
    organization: String,
    invitation: String,
    /// The end of it.
    pub(crate) changes: Vec<Change>,
}

impl LeftBehind {
    /// `why` is a word that the record says of it.
    pub(crate) fn told(&self, person: &Person, record: AuditRecord, why: &str) -> AuditRecord {
        AuditRecord {
            event: "person.uninvited".into(),
            subject: Some(person.id.clone()),
            organization: Some(self.organization.clone()),
            detail: Some(json!({ "invitation": self.invitation, (why): true }).to_string()),
            ..record
        }
    }
}

/// Where invitations of ours still offer a person a place: where those before did, and in an organization that is to
/// offer another. A link that was replaced or has expired opens nothing, so its place can only be in the way.
pub(crate) async fn left_behind(
    desk: &Desk,
    person: &Person,
    organization: Option<&str>,
) -> Result<Vec<LeftBehind>, Trouble> {
    let before = desk.ledger.invitations_of(&person.id).await?;
    let offered = before.into_iter().filter_map(|it| Some(it.place?.0));
    let homes: BTreeSet<String> = offered.chain(organization.map(str::to_owned)).collect();
    let mut left = Vec::new();
    for home in homes {
        let estate = Estate::new(desk.registry.estate("", std::slice::from_ref(&home)).await?);
        for card in estate.cards_of(Kind::Membership).filter(|card| is_for(card, person)) {
            if let Some(invitation) = card.link() {
                let (organization, invitation) = (home.clone(), invitation.to_owned());
                left.push(LeftBehind { organization, invitation, changes: ending(&estate, card) });
            }
        }
    }
    Ok(left)
}

/// The end of a card and of the application memberships that an admin has hung off it.
fn ending(estate: &Estate, card: &Card) -> Vec<Change> {
    let beside = estate.cards_of(Kind::ApplicationMembership);
    let beside = beside.filter(|it| it.text("membership") == Some(card.id.as_str()));
    beside.chain([card]).map(gone_with_place).collect()
}

/// Whether a card offers a place to this person.
fn is_for(card: &Card, person: &Person) -> bool {
    card.kind == Kind::Membership
        && card.text("user_email").is_some_and(|email| is_same(email, &person.email))
}

/// What the card says of the invitation that takes it up. No code that is typed at the Provisioning API has this for
/// its hash, so the place is taken by the link alone, while that is open.
fn mark(invitation: &Invitation) -> String {
    format!("{LINK}{}", invitation.id)
}

/// The card that the invitation made, while it is still the one that takes it up, and what it stands among.
async fn pending(
    desk: &Desk,
    (organization, id): &(String, String),
    invitation: &Invitation,
) -> Result<(Estate, Option<Card>), Trouble> {
    let estate = Estate::new(desk.registry.estate("", std::slice::from_ref(organization)).await?);
    let mark = mark(invitation);
    let own = |card: &Card| {
        card.kind == Kind::Membership && card.id == *id && card.text("invitation") == Some(mark.as_str())
    };
    let card = estate.cards.values().find(|card| own(card)).cloned();
    Ok((estate, card))
}

fn code_of(desk: &Desk, proposal: &str) -> Secret {
    Secret::from(format!("{PREFIX}{}", desk.seal.proposed_invitation(proposal).expose()))
}
