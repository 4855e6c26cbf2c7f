//! The books in memory: the reference for every promise in [`crate::registry`] and [`crate::ledger`], used
//! by unit tests and benchmarks. Nothing survives the process.

mod books;

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use arc_swap::ArcSwap;
use async_trait::async_trait;
use portcullis_guard::claims::OwnerKind;

use crate::keyring::KeyChain;
use crate::ledger::{
    AuditRecord, CodeRow, Deed, Done, Family, Issued, Ledger, PersonFactor, Session, Survey, Whose,
};
use crate::operators::{Invitation, Operator, OperatorSession, Shelf, Staff, StaffBook};
use crate::proposals::{Proposal, State};
use crate::provisioning::change::{CHANGED, Keepings, Traced};
use crate::provisioning::{Card, Kind};
use crate::refusal::Trouble;
use crate::registry::{Directory, Holdings, Membership, Person, Registry, Who};
use books::owns;

/// Registry and ledger in one.
pub struct Memory {
    directory: ArcSwap<Directory>,
    books: Mutex<Books>,
}

#[derive(Clone, Default)]
struct Books {
    holdings: Holdings,
    people: HashMap<String, Person>,
    memberships: Vec<Membership>,
    codes: HashMap<String, CodeRow>,
    families: HashMap<String, Family>,
    sessions: HashMap<String, Session>,
    factors: HashMap<String, PersonFactor>,
    invited: Vec<crate::invitations::Invitation>,
    assertions: HashSet<(String, String)>,
    cards: Vec<Card>,
    audit: Vec<AuditRecord>,
    staff: Shelf,
    proposals: Vec<Proposal>,
    chain: KeyChain,
    seq: u64,
}

impl Memory {
    pub fn new(holdings: Holdings, people: Vec<Person>, memberships: Vec<Membership>) -> Self {
        let directory = ArcSwap::from_pointee(Directory::new(holdings.clone()));
        let people = people.into_iter().map(|person| (person.id.clone(), person)).collect();
        Self { directory, books: Mutex::new(Books { holdings, people, memberships, ..Books::default() }) }
    }

    /// Everything that was noted so far.
    pub fn audit(&self) -> Vec<AuditRecord> {
        self.books().audit.clone()
    }

    /// Changes a person, as an operator would.
    pub fn change_person(&self, id: &str, change: impl FnOnce(&mut Person)) {
        if let Some(person) = self.books().people.get_mut(id) {
            change(person);
        }
    }

    /// Puts somebody on the list of operators, as a colleague would.
    pub fn hire(&self, operator: Operator) {
        let staff = &mut self.books().staff.staff;
        staff.operators.retain(|it| it.id != operator.id);
        staff.operators.push(operator);
        staff.version += 1;
    }

    /// Changes organizations, applications, roles and fences, as an operator would.
    pub fn change_holdings(&self, change: impl FnOnce(&mut Holdings)) {
        let mut books = self.books();
        change(&mut books.holdings);
        books.holdings.version += 1;
        self.directory.store(Arc::new(Directory::new(books.holdings.clone())));
    }

    /// Changes who belongs where, as an operator would.
    pub fn change_memberships(&self, change: impl FnOnce(&mut Vec<Membership>)) {
        change(&mut self.books().memberships);
    }

    fn books(&self) -> MutexGuard<'_, Books> {
        self.books.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[async_trait]
impl Registry for Memory {
    fn directory(&self) -> Arc<Directory> {
        self.directory.load_full()
    }

    async fn person(&self, who: Who<'_>) -> Result<Option<Person>, Trouble> {
        let fits = |person: &&Person| match who {
            Who::Id(id) => person.id == id,
            Who::CustomerEmail { organization, email } => {
                person.organization.as_deref() == Some(organization) && same_address(&person.email, email)
            }
            Who::UserEmail(email) => person.kind == OwnerKind::User && same_address(&person.email, email),
        };
        Ok(self.books().people.values().find(fits).cloned())
    }

    async fn memberships(&self, user: &str) -> Result<Vec<Membership>, Trouble> {
        Ok(self.books().memberships.iter().filter(|place| place.user == user).cloned().collect())
    }

    async fn estate(&self, user: &str, organizations: &[String]) -> Result<Keepings, Trouble> {
        let books = self.books();
        let within = |id: &String| organizations.contains(id);
        let memberships: Vec<_> =
            books.memberships.iter().filter(|it| within(&it.organization)).cloned().collect();
        let behind = |person: &&Person| memberships.iter().any(|it| it.user == person.id);
        let all = &books.holdings;
        Ok(Keepings {
            version: all.version,
            organizations: all.organizations.iter().filter(|it| within(&it.id)).cloned().collect(),
            roles: all.roles.iter().filter(|it| within(&it.organization)).cloned().collect(),
            applications: all.applications.iter().filter(|it| within(&it.organization)).cloned().collect(),
            people: books.people.values().filter(behind).cloned().collect(),
            cards: books
                .cards
                .iter()
                .filter(|it| within(&it.organization) || it.kind == Kind::User && it.id == user)
                .cloned()
                .collect(),
            memberships,
        })
    }

    async fn card(&self, kind: Kind, id: &str) -> Result<Option<Card>, Trouble> {
        Ok(self.books().cards.iter().find(|it| it.kind == kind && it.id == id).cloned())
    }

    async fn changes(&self, organizations: &[String]) -> Result<Vec<Traced>, Trouble> {
        let books = self.books();
        let ours = books.audit.iter().enumerate().filter(|(_, it)| it.event == CHANGED);
        let traced = ours.filter_map(|(n, it)| {
            let organization = it.organization.clone().filter(|id| organizations.contains(id))?;
            let trace = serde_json::from_str(it.detail.as_deref()?).ok()?;
            Some(Traced { id: format!("v{n}"), organization, at: it.at, trace })
        });
        Ok(traced.collect())
    }
}

#[async_trait]
impl Ledger for Memory {
    async fn commit(&self, deed: Deed) -> Result<Done, Trouble> {
        let mut books = self.books();
        let done = books.act(deed.act);
        if matches!(done, Done::Committed { .. }) {
            books.audit.extend(deed.audit);
        }
        self.directory.store(Arc::new(Directory::new(books.holdings.clone())));
        Ok(done)
    }

    async fn code(&self, hash: &str) -> Result<Option<CodeRow>, Trouble> {
        Ok(self.books().codes.get(hash).cloned())
    }

    async fn family(&self, id: &str) -> Result<Option<Family>, Trouble> {
        Ok(self.books().families.get(id).cloned())
    }

    async fn session(&self, hash: &str) -> Result<Option<Session>, Trouble> {
        Ok(self.books().sessions.get(hash).cloned())
    }

    async fn invitation(
        &self,
        hash: &str,
        now: u64,
    ) -> Result<Option<crate::invitations::Invitation>, Trouble> {
        let books = self.books();
        Ok(books.invited.iter().find(|it| it.hash == hash && now < it.expires_at).cloned())
    }

    async fn invitations_of(&self, person: &str) -> Result<Vec<crate::invitations::Invitation>, Trouble> {
        Ok(self.books().invited.iter().filter(|it| it.person == person).cloned().collect())
    }

    async fn factor(&self, person: &str) -> Result<Option<PersonFactor>, Trouble> {
        Ok(self.books().factors.get(person).cloned())
    }
}

#[async_trait]
impl StaffBook for Memory {
    async fn staff(&self) -> Result<Staff, Trouble> {
        Ok(self.books().staff.staff.clone())
    }

    async fn operator_session(&self, hash: &str) -> Result<Option<(OperatorSession, Operator)>, Trouble> {
        let books = self.books();
        let session = books.staff.sessions.iter().find(|it| it.hash == hash).cloned();
        Ok(session.and_then(|it| Some((it.clone(), books.staff.staff.by_id(&it.operator)?.clone()))))
    }

    async fn operator_sessions(&self, now: u64) -> Result<Vec<OperatorSession>, Trouble> {
        let live = |it: &&OperatorSession| it.ended_at.is_none() && now < it.expires_at;
        Ok(self.books().staff.sessions.iter().filter(live).cloned().collect())
    }

    async fn invitations(&self, now: u64) -> Result<Vec<Invitation>, Trouble> {
        let open = |it: &&Invitation| now < it.expires_at;
        Ok(self.books().staff.invitations.iter().filter(open).cloned().collect())
    }
}

#[async_trait]
impl Survey for Memory {
    async fn live_logins(&self, whose: &Whose, now: u64, most: usize) -> Result<Vec<Family>, Trouble> {
        let books = self.books();
        let alive = |it: &&Family| it.ended_at.is_none() && now < it.idle_exp && now < it.abs_exp;
        let theirs = |it: &&Family| match whose {
            Whose::Token(_) => false,
            Whose::Login(id) => it.id == *id,
            Whose::Person(id) => owns(it, id),
            Whose::Client(id) => it.client_id == *id,
            Whose::Organization(id) => it.organization == *id,
            Whose::Actor(_) | Whose::Everybody => true,
        };
        Ok(books.families.values().filter(alive).filter(theirs).take(most).cloned().collect())
    }

    async fn issued(&self, whose: &Whose, since: u64) -> Result<Issued, Trouble> {
        let books = self.books();
        let recent = books.audit.iter().filter(|it| it.event == "token.issued" && it.at >= since);
        let theirs: Vec<u64> = recent
            .filter(|it| match whose {
                Whose::Token(id) => it.jti.as_ref() == Some(id),
                Whose::Login(id) => it.sid.as_ref() == Some(id),
                Whose::Person(id) => it.subject.as_ref() == Some(id),
                Whose::Client(id) => it.client_id.as_ref() == Some(id),
                Whose::Organization(id) => it.organization.as_ref() == Some(id),
                Whose::Actor(id) => it.actors.contains(id),
                Whose::Everybody => true,
            })
            .map(|it| it.at)
            .collect();
        Ok(Issued { tokens: theirs.len() as u64, last: theirs.into_iter().max(), complete: true })
    }

    async fn live_sessions(&self, person: &str, now: u64) -> Result<u64, Trouble> {
        let books = self.books();
        let alive = books.sessions.values().filter(|it| it.ended_at.is_none() && now < it.expires_at);
        Ok(alive.filter(|it| it.person == person).count() as u64)
    }

    async fn logins_ended(&self, person: &str, reason: &str) -> Result<u64, Trouble> {
        let books = self.books();
        let ended = books.families.values().filter(|it| it.end_reason.as_deref() == Some(reason));
        Ok(ended.filter(|it| owns(it, person)).count() as u64)
    }

    async fn proposal(&self, id: &str) -> Result<Option<Proposal>, Trouble> {
        Ok(self.books().proposals.iter().find(|it| it.id == id).cloned())
    }

    async fn proposals(&self, open: bool, most: usize) -> Result<Vec<Proposal>, Trouble> {
        let books = self.books();
        let wanted = books.proposals.iter().rev().filter(|it| !open || it.state == State::Open);
        Ok(wanted.take(most).cloned().collect())
    }

    async fn proposals_of(&self, proposer: &str) -> Result<Vec<Proposal>, Trouble> {
        let books = self.books();
        let open = |it: &&Proposal| it.state == State::Open && it.proposer == proposer;
        Ok(books.proposals.iter().filter(open).cloned().collect())
    }

    async fn key_chain(&self) -> Result<KeyChain, Trouble> {
        Ok(self.books().chain.clone())
    }

    async fn broken_glass(&self) -> Result<Vec<Proposal>, Trouble> {
        let books = self.books();
        let broken = books.proposals.iter().filter(|it| it.break_glass && it.acknowledged_by.is_none());
        Ok(broken.cloned().collect())
    }
}

fn same_address(left: &str, right: &str) -> bool {
    left.trim().to_lowercase() == right.trim().to_lowercase()
}
