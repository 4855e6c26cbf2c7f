//! People's accounts, as operators change them. Closing or deleting one ends everything that was ever given to
//! that person, in the same deed.

use std::collections::BTreeSet;

use crate::desk::Desk;
use crate::endings::remembered_until;
use crate::invitations::left_behind;
use crate::ledger::{Act, AuditRecord, Deed, Done};
use crate::offboarding::{given_up, is_last};
use crate::operators::{Denial, folded};
use crate::provisioning::Kind;
use crate::provisioning::change::{Amendment, Change, Keepings};
use crate::refusal::Trouble;
use crate::registry::{Application, Membership, Person, Scope, Who};
use crate::secret::Secret;
use portcullis_guard::claims::OwnerKind;

/// How often the registry may change under our hands before we say so.
const ATTEMPTS: usize = 5;

/// Somebody new.
#[derive(Clone, Debug)]
pub struct Newcomer {
    pub kind: OwnerKind,
    /// Of a customer.
    pub organization: Option<String>,
    pub email: String,
    pub first_name: String,
    pub last_name: String,
    pub password: Chosen,
}

/// Where a password comes from.
#[derive(Clone, Debug)]
pub enum Chosen {
    This(Secret),
    /// One is made, and shown once.
    Made,
    /// None: the person cannot sign in with a password.
    No,
}

/// Makes an account; the password, where one was made. `record` says who does it.
///
/// # Errors
/// [`Denial::Invalid`] naming the member, [`Denial::Conflict`] for an address in use, or trouble.
pub async fn create(
    desk: &Desk,
    newcomer: Newcomer,
    record: AuditRecord,
) -> Result<(Person, Option<Secret>), Denial> {
    let email = folded(&newcomer.email);
    crate::operators::check_address(&email)?;
    check_home(desk, &newcomer)?;
    let own = [&email, &newcomer.first_name, &newcomer.last_name];
    let names = names(desk, own, newcomer.organization.as_deref());
    let (password, shown) = keep(desk, newcomer.password, &names).await?;
    let person = Person {
        id: desk.id_text(),
        kind: newcomer.kind,
        organization: newcomer.organization,
        email,
        password_given: password.is_some() && newcomer.kind == OwnerKind::User,
        password,
        first_name: newcomer.first_name,
        last_name: newcomer.last_name,
        time_zone: "UTC".into(),
        customer_group: None,
        disabled: false,
        generation: 0,
        actor_generation: 0,
    };
    let record = AuditRecord { event: "person.created".into(), ..about(&person, record) };
    for _ in 0..ATTEMPTS {
        let version = desk.registry.estate("", &[]).await?.version;
        let who = match &person.organization {
            Some(organization) => Who::CustomerEmail { organization, email: &person.email },
            None => Who::UserEmail(&person.email),
        };
        if desk.registry.person(who).await?.is_some() {
            return Err(Denial::conflict("There is an account with this address."));
        }
        if amended(desk, version, vec![Change::PutPerson(person.clone())], record.clone()).await? {
            return Ok((person, shown));
        }
    }
    Err(busy())
}

/// Closes or opens an account. Closing ends everything of it.
///
/// # Errors
/// [`Denial::Missing`], [`Denial::Conflict`] when an organization would be orphaned, or trouble.
pub async fn set_disabled(
    desk: &Desk,
    id: &str,
    disabled: bool,
    record: AuditRecord,
) -> Result<Person, Denial> {
    let event = if disabled { "person.disabled" } else { "person.enabled" };
    let record = AuditRecord { event: event.into(), ..record };
    change(desk, id, record, |seen| {
        if disabled {
            seen.must_orphan_nobody()?;
            return Ok(closing(desk, &seen.person, "account disabled"));
        }
        Ok(vec![Change::PutPerson(Person { disabled, ..seen.person.clone() })])
    })
    .await
    .map(|person| Person { disabled, ..person })
}

/// Gives an account another password, and ends everything that was had with the one before. The password,
/// where one was made. Whoever has a place in an organization gets theirs by two operators: see
/// [`crate::passwords`].
///
/// # Errors
/// [`Denial::Missing`], [`Denial::Invalid`] for a weak one, [`Denial::Conflict`] for somebody with a place,
/// or trouble.
pub async fn set_password(
    desk: &Desk,
    id: &str,
    chosen: Chosen,
    record: AuditRecord,
) -> Result<Option<Secret>, Denial> {
    let person = find(desk, id).await?;
    let own = [&person.email, &person.first_name, &person.last_name];
    let names = names(desk, own, person.organization.as_deref());
    let (password, shown) = keep(desk, chosen, &names).await?;
    let record = AuditRecord { event: "person.password".into(), ..record };
    change(desk, id, record, |seen| {
        if seen.has_a_place() {
            return Err(Denial::conflict(
                "This person has a place in an organization, and whoever sets their password can act as them: propose it with a reason, and have an approver confirm it.",
            ));
        }
        Ok(renewed(desk, &seen.person, password.clone()))
    })
    .await?;
    Ok(shown)
}

/// Ends everything that was ever given to a person; the account stays open.
///
/// # Errors
/// [`Denial::Missing`], or trouble.
pub async fn end_all(desk: &Desk, id: &str, record: AuditRecord) -> Result<(), Denial> {
    let record = AuditRecord { event: "person.logins.ended".into(), ..record };
    change(desk, id, record, |seen| Ok(ends(desk, &seen.person.id, "ended by an operator"))).await.map(drop)
}

/// Deletes an account with its memberships, the places that operators have offered it, and its personal credentials.
/// The audit keeps what happened.
///
/// # Errors
/// [`Denial::Missing`], [`Denial::Conflict`] for the owner of an organization, or trouble.
pub async fn delete(desk: &Desk, id: &str, record: AuditRecord) -> Result<(), Denial> {
    for _ in 0..ATTEMPTS {
        let seen = Picture::of(desk, id).await?;
        if let Some(owned) = seen.places().find(|place| place.owner) {
            let sentence =
                format!("This person owns the organization {}; hand it over first.", owned.organization);
            return Err(Denial::conflict(sentence));
        }
        seen.must_orphan_nobody()?;
        let mut changes = deletion(desk, &seen);
        let deleted = AuditRecord { event: "person.deleted".into(), ..record.clone() };
        let mut audit = vec![about(&seen.person, deleted)];
        for left in left_behind(desk, &seen.person, None).await? {
            audit.push(left.told(&seen.person, record.clone(), "deleted"));
            changes.extend(left.changes);
        }
        let act = Act::Amend(Amendment { expected: seen.version(), changes });
        if let Done::Committed { .. } = desk.ledger.commit(Deed { act, audit }).await? {
            return Ok(());
        }
    }
    Err(busy())
}

fn deletion(desk: &Desk, seen: &Picture) -> Vec<Change> {
    let directory = desk.registry.directory();
    let person = &seen.person;
    let mut changes = ends(desk, &person.id, "account deleted");
    for own in seen.credentials() {
        let exp = remembered_until(desk, &directory, Some(&own.client_id));
        changes.push(Change::Raise { scope: Scope::Client, id: own.client_id.clone(), exp });
        changes.push(Change::DropCard { kind: Kind::ApiCredential, id: own.id.clone() });
        changes.push(Change::DropApplication { id: own.id.clone() });
    }
    changes.extend(seen.places().flat_map(|place| given_up(place, &seen.keepings)));
    changes.push(Change::DropCard { kind: Kind::User, id: person.id.clone() });
    changes.push(Change::DropPerson { id: person.id.clone() });
    changes
}

/// A person, or the sentence that there is none.
///
/// # Errors
/// [`Denial::Missing`], or trouble.
pub async fn find(desk: &Desk, id: &str) -> Result<Person, Denial> {
    let found = desk.registry.person(Who::Id(id)).await?;
    found.ok_or_else(|| Denial::missing("There is no such person."))
}

/// A person and all that hangs off them, of one version of the registry.
pub(crate) struct Picture {
    pub(crate) person: Person,
    keepings: Keepings,
}

impl Picture {
    pub(crate) async fn of(desk: &Desk, id: &str) -> Result<Self, Denial> {
        // Of before the first look, so that whatever moves while we look undoes the deed.
        let version = desk.registry.estate("", &[]).await?.version;
        let person = find(desk, id).await?;
        let places = desk.registry.memberships(id).await?;
        let mut reach: BTreeSet<String> = places.into_iter().map(|place| place.organization).collect();
        let directory = desk.registry.directory();
        let own = directory.applications().filter(|it| it.user.as_deref() == Some(id));
        reach.extend(own.map(|it| it.organization.clone()));
        let reach: Vec<String> = reach.into_iter().collect();
        let keepings = Keepings { version, ..desk.registry.estate(id, &reach).await? };
        Ok(Self { person, keepings })
    }

    pub(crate) fn version(&self) -> u64 {
        self.keepings.version
    }

    fn places(&self) -> impl Iterator<Item = &Membership> {
        self.keepings.memberships.iter().filter(|place| place.user == self.person.id)
    }

    fn credentials(&self) -> impl Iterator<Item = &Application> {
        self.keepings.applications.iter().filter(|it| it.user.as_ref() == Some(&self.person.id))
    }

    /// Whether more than their own shopping hangs on the account: a membership, even one that is not
    /// accepted yet, or a personal credential.
    pub(crate) fn has_a_place(&self) -> bool {
        self.places().next().is_some() || self.credentials().next().is_some()
    }

    /// To leave an organization without an owner or an admin takes two persons, whichever way it is done.
    pub(crate) fn must_orphan_nobody(&self) -> Result<(), Denial> {
        match self.places().filter(|place| place.active).any(|place| is_last(place, &self.keepings)) {
            false => Ok(()),
            true => Err(Denial::conflict(
                "An organization would be left without an owner or without an admin: transfer the ownership or make another admin first, or propose the offboarding with force.",
            )),
        }
    }
}

/// Decides on the person as it is, and does it if the registry has not changed since.
async fn change(
    desk: &Desk,
    id: &str,
    record: AuditRecord,
    decide: impl Fn(&Picture) -> Result<Vec<Change>, Denial>,
) -> Result<Person, Denial> {
    for _ in 0..ATTEMPTS {
        let seen = Picture::of(desk, id).await?;
        let record = about(&seen.person, record.clone());
        if amended(desk, seen.version(), decide(&seen)?, record).await? {
            return Ok(seen.person);
        }
    }
    Err(busy())
}

/// The account closed, and the end of all that was had with it.
pub(crate) fn closing(desk: &Desk, person: &Person, reason: &str) -> Vec<Change> {
    let mut changes = vec![Change::PutPerson(Person { disabled: true, ..person.clone() })];
    changes.extend(ends(desk, &person.id, reason));
    changes
}

/// The account with a password that an operator has set, and the end of all that was had with the one before. A
/// user can do nothing with it but choose another; a customer's shop has no page where that could be done.
pub(crate) fn renewed(desk: &Desk, person: &Person, password: Option<String>) -> Vec<Change> {
    let password_given = password.is_some() && person.kind == OwnerKind::User;
    replaced(desk, Person { password, password_given, ..person.clone() })
}

/// The account as it is from now on, and the end of all that was had before.
pub(crate) fn replaced(desk: &Desk, person: Person) -> Vec<Change> {
    let id = person.id.clone();
    let mut changes = vec![Change::PutPerson(person)];
    changes.extend(ends(desk, &id, "password changed"));
    changes
}

pub(crate) async fn amended(
    desk: &Desk,
    expected: u64,
    changes: Vec<Change>,
    record: AuditRecord,
) -> Result<bool, Trouble> {
    let act = Act::Amend(Amendment { expected, changes });
    Ok(matches!(desk.ledger.commit(Deed::new(act, record)).await?, Done::Committed { .. }))
}

/// What ends a person: as a subject, as an actor for others, and at the sign-in page.
fn ends(desk: &Desk, person: &str, reason: &str) -> Vec<Change> {
    let exp = remembered_until(desk, &desk.registry.directory(), None);
    vec![
        Change::Raise { scope: Scope::Subject, id: person.into(), exp },
        Change::Raise { scope: Scope::Actor, id: person.into(), exp },
        Change::EndPerson { person: person.into(), reason: reason.into(), now: desk.now() },
    ]
}

/// What somebody's password must not be made of: their own names, and those of their organization.
fn names(desk: &Desk, own: [&String; 3], organization: Option<&str>) -> Vec<String> {
    let directory = desk.registry.directory();
    let home = organization.and_then(|id| directory.organization(id));
    let homes = home.into_iter().flat_map(|home| [&home.slug, &home.name]);
    own.into_iter().chain(homes).cloned().collect()
}

async fn keep(
    desk: &Desk,
    chosen: Chosen,
    names: &[String],
) -> Result<(Option<String>, Option<Secret>), Denial> {
    match chosen {
        Chosen::No => Ok((None, None)),
        Chosen::Made => {
            let made = Secret::from(desk.token());
            Ok((Some(desk.slow.password_hash(made.clone()).await?), Some(made)))
        }
        Chosen::This(password) => {
            if let Some(why) = desk.slow.password_weakness(password.clone(), words(names)).await? {
                return Err(Denial::invalid("password", why));
            }
            Ok((Some(desk.slow.password_hash(password).await?), None))
        }
    }
}

/// Why this password is too easily guessed for this person, in a sentence.
pub(crate) async fn weakness(
    desk: &Desk,
    person: &Person,
    password: Secret,
) -> Result<Option<&'static str>, Trouble> {
    let own = [&person.email, &person.first_name, &person.last_name];
    desk.slow.password_weakness(password, words(&names(desk, own, person.organization.as_deref()))).await
}

fn words(names: &[String]) -> Vec<String> {
    names.iter().flat_map(|name| name.split('@')).map(str::to_owned).collect()
}

fn check_home(desk: &Desk, newcomer: &Newcomer) -> Result<(), Denial> {
    let known = newcomer.organization.as_ref().map(|id| desk.registry.directory().organization(id).is_some());
    match (newcomer.kind, known) {
        (OwnerKind::Customer, Some(true)) | (OwnerKind::User, None) => Ok(()),
        (OwnerKind::Customer, Some(false)) => {
            Err(Denial::invalid("organization", "There is no such organization."))
        }
        (OwnerKind::Customer, None) => {
            Err(Denial::invalid("organization", "A customer belongs to an organization; name its id."))
        }
        (OwnerKind::User, Some(_)) => Err(Denial::invalid(
            "organization",
            "A user belongs to organizations by membership; leave this out.",
        )),
    }
}

fn about(person: &Person, record: AuditRecord) -> AuditRecord {
    AuditRecord { subject: Some(person.id.clone()), organization: person.organization.clone(), ..record }
}

fn busy() -> Denial {
    Denial::conflict("The registry kept changing; try again.")
}
