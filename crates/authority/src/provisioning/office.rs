//! One person at the counter: who it is, everything within reach, and what that person may do there.

use std::sync::Arc;

use portcullis_guard::Claims;
use portcullis_guard::policy::Action;

use super::estate::Estate;
use super::{Card, Declined, Kind, Objection};
use crate::ask::Origin;
use crate::audit;
use crate::desk::Desk;
use crate::ledger::{Act, AuditRecord, Deed};
use crate::refusal::{Code, Refusal};
use crate::registry::{Application, Membership, Organization, Person, RoleKind, Who};

/// Kinds that only an admin writes, whatever a custom role says (the vendor's rule).
const ADMINS_ONLY: [Kind; 3] = [Kind::ApiCredential, Kind::Membership, Kind::Organization];

/// The event of a record that somebody was refused.
pub(super) const REFUSED: &str = "registry.refused";

/// Who asks.
#[derive(Clone, Debug)]
pub struct Bearer {
    pub person: Person,
    pub claims: Claims,
    /// The personal credential that the token was issued to, while it exists.
    pub application: Option<Arc<Application>>,
}

/// A person at the counter.
pub struct Office<'a> {
    pub desk: &'a Desk,
    pub bearer: &'a Bearer,
    pub estate: Estate,
    /// Milliseconds.
    pub now_ms: u64,
}

impl Bearer {
    /// Proves the bearer of a personal token. Whoever is turned away has proved nothing here, so the record of it is
    /// counted as those of strangers are.
    ///
    /// # Errors
    /// [`Declined::Unknown`] for a dead token, [`Declined::Forbidden`] for one of another kind.
    pub async fn prove(desk: &Desk, token: &str, origin: &Origin) -> Result<Self, Declined> {
        let claims = desk.inspector.inspect(token, desk.clock.now_ms())?;
        let client_id = claims.as_ref().map(|claims| claims.client_id.clone());
        let proved = Self::of(desk, claims).await;
        let reason = match &proved {
            Err(Declined::Unknown(refusal)) => refusal.code.as_str(),
            Err(Declined::Forbidden(_)) => "token of another kind",
            _ => return proved,
        };
        let record = AuditRecord {
            client_id,
            reason: Some(reason.into()),
            ..audit::event(REFUSED, desk.now(), origin)
        };
        desk.ledger.commit(Deed::new(Act::Note, record)).await?;
        proved
    }

    async fn of(desk: &Desk, claims: Option<Claims>) -> Result<Self, Declined> {
        let claims = claims.ok_or_else(dead)?;
        let Some(user) = &claims.user else {
            return Err(Declined::forbidden("This needs the token of a personal (user) credential."));
        };
        let person = desk.registry.person(Who::Id(&user.id)).await?;
        let person = person.filter(|person| !person.disabled).ok_or_else(dead)?;
        let application = desk.registry.directory().application(&claims.client_id).cloned();
        Ok(Self { person, claims, application })
    }

    /// A record of what this bearer does.
    pub(super) fn record(&self, event: &str, now: u64, origin: &Origin) -> AuditRecord {
        AuditRecord {
            client_id: Some(self.claims.client_id.clone()),
            subject: Some(self.person.id.clone()),
            jti: Some(self.claims.jti.clone()),
            ..audit::event(event, now, origin)
        }
    }
}

fn dead() -> Declined {
    let sentence = "The access token is not valid here, has expired or was ended.";
    Declined::Unknown(Refusal::new(Code::InvalidToken, sentence))
}

impl<'a> Office<'a> {
    /// Opens what the bearer reaches: the organizations with an active membership.
    ///
    /// # Errors
    /// Trouble.
    pub async fn open(desk: &'a Desk, bearer: &'a Bearer) -> Result<Self, Declined> {
        let places = desk.registry.memberships(&bearer.person.id).await?;
        let reach = places.into_iter().filter(|place| place.active).map(|place| place.organization);
        Self::over(desk, bearer, &reach.collect::<Vec<_>>()).await
    }

    /// Opens these organizations, for somebody who was invited to one.
    ///
    /// # Errors
    /// Trouble.
    pub async fn over(desk: &'a Desk, bearer: &'a Bearer, reach: &[String]) -> Result<Self, Declined> {
        let mut keepings = desk.registry.estate(&bearer.person.id, reach).await?;
        let live: Vec<String> =
            keepings.organizations.iter().filter(|it| !it.disabled).map(|it| it.id.clone()).collect();
        keepings.organizations.retain(|it| live.contains(&it.id));
        keepings.roles.retain(|it| live.contains(&it.organization));
        keepings.applications.retain(|it| live.contains(&it.organization));
        keepings.memberships.retain(|it| live.contains(&it.organization));
        keepings.cards.retain(|it| it.kind == Kind::User || live.contains(&it.organization));
        let mut estate = Estate::new(keepings);
        estate.people.insert(bearer.person.id.clone(), bearer.person.clone());
        Ok(Self { desk, bearer, estate, now_ms: desk.clock.now_ms() })
    }

    /// The bearer's place in an organization.
    ///
    /// # Errors
    /// [`Declined::Missing`]: elsewhere does not exist.
    pub fn place(&self, organization: &str) -> Result<&Membership, Declined> {
        self.estate.place(&self.bearer.person.id, organization).ok_or(Declined::Missing)
    }

    /// Whether the bearer may write a kind of thing in an organization: admins may, and other roles as far
    /// as their own permissions say so without a restriction.
    ///
    /// # Errors
    /// [`Declined::Missing`] or [`Declined::Forbidden`].
    pub fn may(&self, organization: &str, kind: Kind, action: Action) -> Result<(), Declined> {
        let place = self.place(organization)?;
        let role = self.estate.role_of(place);
        if role.is_some_and(|role| role.kind == RoleKind::Admin) {
            return Ok(());
        }
        if ADMINS_ONLY.contains(&kind) {
            return Err(Declined::forbidden(format!("Only an admin may {} {}.", action.word(), kind.word())));
        }
        let granted = role.filter(|role| role.kind == RoleKind::Custom).is_some_and(|role| {
            role.permissions.iter().any(|entry| {
                entry.subject == kind.word() && entry.when.is_empty() && entry.actions.contains(action)
            })
        });
        let sentence = || format!("Your role does not allow you to {} {}.", action.word(), kind.word());
        granted.then_some(()).ok_or_else(|| Declined::forbidden(sentence()))
    }

    /// # Errors
    /// [`Declined::Forbidden`] unless the organization has the plan.
    pub fn enterprise(&self, organization: &str, what: &str) -> Result<(), Declined> {
        let found = self.estate.organizations.get(organization).ok_or(Declined::Missing)?;
        let sentence = || format!("{what} need an organization on the enterprise plan.");
        found.enterprise.then_some(()).ok_or_else(|| Declined::forbidden(sentence()))
    }

    /// The organization that a new thing shall belong to. One that the bearer does not belong to does not
    /// exist.
    ///
    /// # Errors
    /// [`Declined::Invalid`].
    pub fn organization(&self, id: Option<&str>) -> Result<&Organization, Declined> {
        let found = id.and_then(|id| self.estate.organizations.get(id));
        Ok(found.ok_or_else(|| Objection::relationship("organization", "must exist"))?)
    }

    /// Whether a thing of this kind is in this organization.
    pub fn holds(&self, kind: Kind, id: &str, organization: &str) -> bool {
        self.estate.find(kind, id).is_some_and(|one| one.organization == organization)
    }

    /// The card of a thing with its time of change.
    pub fn card(&self, kind: Kind, id: &str, organization: &str) -> Card {
        self.estate.card_of(kind, id, organization, self.now_ms)
    }

    /// A new id: ten letters, as the vendor has them.
    pub fn id(&self) -> String {
        let mut id = String::new();
        while id.len() < 10 {
            // What is left over above a multiple of 52 would make some letters likelier.
            let random = self.desk.random();
            id.extend(random.iter().filter(|byte| **byte < 208).map(|byte| super::letter(byte % 52)));
        }
        id.truncate(10);
        id
    }
}
