//! The books in memory: the reference for every promise in [`crate::registry`] and [`crate::ledger`], used
//! by unit tests and benchmarks. Nothing survives the process.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use arc_swap::ArcSwap;
use async_trait::async_trait;
use portcullis_guard::claims::OwnerKind;

use crate::invitations::InvitationAct;
use crate::keyring::{KeyChain, KeyState};
use crate::ledger::{
    Act, AuditRecord, CodeRow, Deed, Done, FactorAct, Family, Issued, Ledger, PersonFactor, Position,
    Session, Survey, Whose,
};
use crate::operators::{Invitation, Operator, OperatorSession, Shelf, Staff, StaffBook, Taken};
use crate::proposals::{Proposal, State};
use crate::provisioning::change::{CHANGED, Change, Keepings, Traced};
use crate::provisioning::{Card, Kind};
use crate::refusal::Trouble;
use crate::registry::{Directory, Holdings, Membership, Person, Registry, Scope, Who};

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

impl Books {
    fn factor_act(&mut self, act: FactorAct) -> Done {
        match act {
            FactorAct::Enrol(factor) if self.factors.contains_key(&factor.person) => return Done::Lost,
            FactorAct::Enrol(factor) => drop(self.factors.insert(factor.person.clone(), factor)),
            FactorAct::Take { person, factor } => {
                let kept = self.factors.get_mut(&person);
                if !kept.is_some_and(|kept| take(kept, &factor)) {
                    return Done::Spent { family: None };
                }
            }
            FactorAct::Drop { person } => drop(self.factors.remove(&person)),
        }
        Done::Committed { position: None }
    }

    /// Those that are closed are forgotten.
    fn invitation_act(&mut self, act: InvitationAct) -> Done {
        match act {
            InvitationAct::Put(invitation) => {
                self.invited.retain(|it| it.person != invitation.person);
                self.invited.push(invitation);
            }
            InvitationAct::Close { id, now } => {
                let before = self.invited.len();
                self.invited.retain(|it| it.id != id || it.expires_at <= now);
                if self.invited.len() == before {
                    return Done::Spent { family: None };
                }
            }
        }
        Done::Committed { position: None }
    }

    fn act(&mut self, act: Act) -> Done {
        match act {
            Act::Note => Done::Committed { position: None },
            Act::PutCode(code) => {
                self.codes.insert(code.hash.clone(), code);
                Done::Committed { position: None }
            }
            Act::SpendCode { hash, now, family } => match self.codes.get_mut(&hash) {
                Some(code) if code.spent_by.is_some() => Done::Spent { family: code.spent_by.clone() },
                Some(code) if now < code.expires_at => {
                    code.spent_by = Some(family.id.clone());
                    self.open(family)
                }
                _ => Done::Lost,
            },
            Act::OpenFamily(family) => self.open(family),
            Act::UseAssertion { client_id, digest, family, .. } => {
                if !self.assertions.insert((client_id, digest)) {
                    return Done::Spent { family: None };
                }
                family.map_or(Done::Committed { position: None }, |family| self.open(family))
            }
            Act::Rotate(change) => match self.families.get_mut(&change.family) {
                Some(family)
                    if family.ended_at.is_none()
                        && family.n == change.n
                        && family.secret == change.secret
                        && change.now < family.idle_exp
                        && change.now < family.abs_exp =>
                {
                    family.n += 1;
                    family.previous = Some(std::mem::replace(&mut family.secret, change.next));
                    family.sealed = Some(change.sealed);
                    family.rotated_at = change.now;
                    family.idle_exp = change.idle_exp;
                    Done::Committed { position: None }
                }
                _ => Done::Lost,
            },
            Act::EndFamily { id, reason, now, .. } => {
                if let Some(family) = self.families.get_mut(&id) {
                    family.ended_at.get_or_insert(now);
                    family.end_reason.get_or_insert(reason);
                }
                self.logged()
            }
            Act::EndToken { .. } => self.logged(),
            Act::EndKey { kid, .. } => {
                for key in self.chain.keys.iter_mut().filter(|key| key.kid == kid) {
                    key.state = KeyState::Ended;
                    key.sealed = None;
                    self.chain.version += 1;
                }
                self.logged()
            }
            Act::Raise { scope, id, .. } => {
                self.raise(scope, id);
                self.logged()
            }
            Act::Unmoved { version } if version != self.holdings.version => Done::Lost,
            Act::Unmoved { .. } => Done::Committed { position: None },
            Act::Amend(amendment) if amendment.expected != self.holdings.version => Done::Lost,
            Act::Amend(amendment) => {
                self.holdings.version += 1;
                amendment.changes.into_iter().for_each(|change| self.change(change));
                self.logged()
            }
            Act::Promote { generations, least, .. } => {
                self.lift(generations, least);
                self.logged()
            }
            Act::OpenSession(session)
                if self.people.get(&session.person).is_none_or(|it| it.generation != session.generation) =>
            {
                Done::Lost
            }
            Act::OpenSession(session) => {
                self.sessions.insert(session.hash.clone(), session);
                Done::Committed { position: None }
            }
            Act::EndSession { hash, now } => {
                if let Some(session) = self.sessions.get_mut(&hash) {
                    session.ended_at.get_or_insert(now);
                }
                Done::Committed { position: None }
            }
            Act::Staff(act) => self.staff.act(act),
            Act::Factor(act) => self.factor_act(act),
            Act::Invitation(act) => self.invitation_act(act),
            Act::Keys(change) if change.expected == self.chain.version => {
                for row in change.rows {
                    put(&mut self.chain.keys, row, |it, other| it.kid == other.kid);
                }
                self.chain.version += 1;
                self.logged()
            }
            Act::Keys(_) => Done::Lost,
            Act::CloseLogins { person, reason, now } => {
                self.invited.retain(|it| it.person != person);
                for family in self.families.values_mut().filter(|family| owns(family, &person)) {
                    if family.ended_at.is_none() {
                        family.ended_at = Some(now);
                        family.end_reason = Some(reason.clone());
                    }
                }
                Done::Committed { position: None }
            }
            Act::EndSessions { person, now } => {
                let all = self.sessions.values_mut();
                all.filter(|session| person.as_ref().is_none_or(|id| *id == session.person)).for_each(
                    |session| {
                        session.ended_at.get_or_insert(now);
                    },
                );
                Done::Committed { position: None }
            }
            Act::DisablePerson { id } => {
                if let Some(person) = self.people.get_mut(&id) {
                    person.disabled = true;
                }
                Done::Committed { position: None }
            }
            Act::PutProposal(proposal) => {
                self.proposals.push(proposal);
                Done::Committed { position: None }
            }
            Act::Settle(settlement) => {
                let fits = |it: &&mut Proposal| settlement.fits(it);
                match self.proposals.iter_mut().find(fits) {
                    Some(proposal) => {
                        settlement.apply(proposal);
                        Done::Committed { position: None }
                    }
                    None => Done::Lost,
                }
            }
            Act::Orphan(all) => {
                let open: Vec<_> = self.proposals.iter_mut().filter(|it| all.fits(it)).collect();
                if open.len() != all.ids.len() || open.iter().any(|it| !all.ids.contains(&it.id)) {
                    return Done::Lost;
                }
                open.into_iter().for_each(|it| all.apply(it));
                Done::Committed { position: None }
            }
            Act::Acknowledge(seen) => match self.proposals.iter_mut().find(|it| seen.fits(it)) {
                Some(proposal) => {
                    seen.apply(proposal);
                    Done::Committed { position: None }
                }
                None => Done::Lost,
            },
            // Reviews are looked up in a book of their own, and nothing here looks.
            Act::Review(_) => Done::Lost,
            // What is in memory goes with the process.
            Act::TellGone { .. } | Act::Idle(_) => Done::Lost,
            Act::Several(acts) => self.all_or_nothing(acts),
        }
    }

    fn all_or_nothing(&mut self, acts: Vec<Act>) -> Done {
        let before = self.clone();
        let mut last = None;
        for act in acts {
            match self.act(act) {
                Done::Committed { position } => last = position.or(last),
                undone => {
                    *self = before;
                    return undone;
                }
            }
        }
        Done::Committed { position: last }
    }

    fn open(&mut self, family: Family) -> Done {
        self.families.insert(family.id.clone(), family);
        Done::Committed { position: None }
    }

    fn change(&mut self, change: Change) {
        let all = &mut self.holdings;
        match change {
            Change::PutOrganization(it) => put(&mut all.organizations, it, |a, b| a.id == b.id),
            Change::PutRole(it) => {
                put(&mut all.roles, it, |a, b| (&a.organization, &a.id) == (&b.organization, &b.id));
            }
            Change::DropRole { organization, id } => {
                all.roles.retain(|it| (&it.organization, &it.id) != (&organization, &id));
            }
            Change::PutApplication(it) => put(&mut all.applications, *it, |a, b| a.id == b.id),
            Change::DropApplication { id } => all.applications.retain(|it| it.id != id),
            Change::PutPerson(it) => {
                let (generation, actor_generation) =
                    self.people.get(&it.id).map_or((0, 0), |was| (was.generation, was.actor_generation));
                self.people.insert(it.id.clone(), Person { generation, actor_generation, ..it });
            }
            Change::PutMembership(it) => put(&mut self.memberships, it, |a, b| a.id == b.id),
            Change::DropMembership { id } => self.memberships.retain(|it| it.id != id),
            Change::PutCard(it) => put(&mut self.cards, *it, |a, b| (a.kind, &a.id) == (b.kind, &b.id)),
            Change::DropCard { kind, id } => self.cards.retain(|it| (it.kind, &it.id) != (kind, &id)),
            Change::Raise { scope, id, .. } => self.raise(scope, id),
            Change::EndPerson { person, reason, now } => {
                let own = |it: &&mut Family| it.owner.as_ref().is_some_and(|(_, id)| *id == person);
                for family in self.families.values_mut().filter(own) {
                    family.ended_at.get_or_insert(now);
                    family.end_reason.get_or_insert_with(|| reason.clone());
                }
                for session in self.sessions.values_mut().filter(|it| it.person == person) {
                    session.ended_at.get_or_insert(now);
                }
                self.invited.retain(|it| it.person != person);
            }
            Change::DropPerson { id } => {
                self.people.remove(&id);
                self.factors.remove(&id);
            }
            Change::EndLogins { organization, person, reason, now, .. } => {
                let own = |it: &&mut Family| it.organization == organization && owns(it, &person);
                for family in self.families.values_mut().filter(own) {
                    family.ended_at.get_or_insert(now);
                    family.end_reason.get_or_insert_with(|| reason.clone());
                }
            }
        }
    }

    fn raise(&mut self, scope: Scope, id: String) {
        match (scope, self.people.get_mut(&id)) {
            (Scope::Subject, Some(person)) => person.generation += 1,
            (Scope::Actor, Some(person)) => person.actor_generation += 1,
            _ => match self.holdings.generations.iter_mut().find(|(s, i, _)| (*s, i) == (scope, &id)) {
                Some((_, _, value)) => *value += 1,
                None => self.holdings.generations.push((scope, id, self.holdings.floor + 1)),
            },
        }
    }

    fn lift(&mut self, by: u32, least: u32) {
        let named = self.holdings.generations.iter().map(|(_, _, value)| *value);
        let people = self.people.values().flat_map(|it| [it.generation, it.actor_generation]);
        let floor = (named.chain(people).fold(self.holdings.floor, u32::max) + by).max(least);
        self.holdings.floor = floor;
        self.holdings.generations.iter_mut().for_each(|(_, _, value)| *value = floor);
        for person in self.people.values_mut() {
            (person.generation, person.actor_generation) = (floor, floor);
        }
    }

    fn logged(&mut self) -> Done {
        self.seq += 1;
        Done::Committed { position: Some(Position { epoch: 1, seq: self.seq }) }
    }
}

/// Puts a thing in the place of the one that is the same, or at the end.
fn put<T>(list: &mut Vec<T>, it: T, same: impl Fn(&T, &T) -> bool) {
    match list.iter_mut().find(|known| same(known, &it)) {
        Some(known) => *known = it,
        None => list.push(it),
    }
}

fn owns(family: &Family, person: &str) -> bool {
    family.owner.as_ref().is_some_and(|(_, id)| id == person)
}

fn same_address(left: &str, right: &str) -> bool {
    left.trim().to_lowercase() == right.trim().to_lowercase()
}

/// Whether it was there to be taken.
fn take(kept: &mut PersonFactor, factor: &Taken) -> bool {
    match factor {
        Taken::Step(step) if kept.last_step < *step => kept.last_step = *step,
        Taken::Recovery(hash) if kept.recovery.contains(hash) => kept.recovery.retain(|left| left != hash),
        _ => return false,
    }
    true
}
