//! What each act does to the books in memory. The store's `acts.rs` does the same to SQL.

use super::Books;
use crate::invitations::InvitationAct;
use crate::keyring::KeyState;
use crate::ledger::{Act, Done, FactorAct, Family, PersonFactor, Position, Rotation, Session};
use crate::operators::Taken;
use crate::proposals::Proposal;
use crate::provisioning::change::Change;
use crate::registry::{Person, Scope};

/// Done, and nothing that the feed tells.
const QUIET: Done = Done::Committed { position: None };

impl Books {
    /// Does an act, or nothing of it.
    pub(super) fn act(&mut self, act: Act) -> Done {
        match act {
            Act::Note => QUIET,
            Act::PutCode(code) => {
                self.codes.insert(code.hash.clone(), code);
                QUIET
            }
            Act::SpendCode { hash, now, family } => self.spend_code(&hash, now, family),
            Act::OpenFamily(family) => self.open(family),
            Act::UseAssertion { client_id, digest, family, .. } => {
                if !self.assertions.insert((client_id, digest)) {
                    return Done::Spent { family: None };
                }
                family.map_or(QUIET, |family| self.open(family))
            }
            Act::Rotate(change) => self.rotate(change),
            Act::EndFamily { id, reason, now, .. } => {
                if let Some(family) = self.families.get_mut(&id) {
                    family.ended_at.get_or_insert(now);
                    family.end_reason.get_or_insert(reason);
                }
                self.logged()
            }
            Act::EndToken { .. } => self.logged(),
            Act::EndKey { kid, .. } => self.end_key(&kid),
            Act::Raise { scope, id, .. } => {
                self.raise(scope, id);
                self.logged()
            }
            Act::Unmoved { version } if version != self.holdings.version => Done::Lost,
            Act::Unmoved { .. } => QUIET,
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
            Act::OpenSession(session) => self.open_session(session),
            Act::EndSession { hash, now } => {
                if let Some(session) = self.sessions.get_mut(&hash) {
                    session.ended_at.get_or_insert(now);
                }
                QUIET
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
            Act::CloseLogins { person, reason, now } => self.close_logins(&person, &reason, now),
            Act::EndSessions { person, now } => self.end_sessions(person.as_deref(), now),
            Act::DisablePerson { id } => {
                if let Some(person) = self.people.get_mut(&id) {
                    person.disabled = true;
                }
                QUIET
            }
            Act::PutProposal(proposal) => {
                self.proposals.push(proposal);
                QUIET
            }
            Act::Settle(settlement) => {
                self.alter_proposal(|it| settlement.fits(it), |it| settlement.apply(it))
            }
            Act::Acknowledge(seen) => self.alter_proposal(|it| seen.fits(it), |it| seen.apply(it)),
            Act::Orphan(all) => {
                let open: Vec<_> = self.proposals.iter_mut().filter(|it| all.fits(it)).collect();
                if open.len() != all.ids.len() || open.iter().any(|it| !all.ids.contains(&it.id)) {
                    return Done::Lost;
                }
                open.into_iter().for_each(|it| all.apply(it));
                QUIET
            }
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
        QUIET
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
        QUIET
    }

    fn spend_code(&mut self, hash: &str, now: u64, family: Family) -> Done {
        match self.codes.get_mut(hash) {
            Some(code) if code.spent_by.is_some() => Done::Spent { family: code.spent_by.clone() },
            Some(code) if now < code.expires_at => {
                code.spent_by = Some(family.id.clone());
                self.open(family)
            }
            _ => Done::Lost,
        }
    }

    fn rotate(&mut self, change: Rotation) -> Done {
        match self.families.get_mut(&change.family) {
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
                QUIET
            }
            _ => Done::Lost,
        }
    }

    fn end_key(&mut self, kid: &str) -> Done {
        for key in self.chain.keys.iter_mut().filter(|key| key.kid == kid) {
            key.state = KeyState::Ended;
            key.sealed = None;
            self.chain.version += 1;
        }
        self.logged()
    }

    fn open_session(&mut self, session: Session) -> Done {
        let person = self.people.get(&session.person);
        if person.is_none_or(|it| it.generation != session.generation) {
            return Done::Lost;
        }
        self.sessions.insert(session.hash.clone(), session);
        QUIET
    }

    /// Of one person, or of everybody.
    fn end_sessions(&mut self, person: Option<&str>, now: u64) -> Done {
        for session in self.sessions.values_mut().filter(|it| person.is_none_or(|id| id == it.person)) {
            session.ended_at.get_or_insert(now);
        }
        QUIET
    }

    fn close_logins(&mut self, person: &str, reason: &str, now: u64) -> Done {
        self.invited.retain(|it| it.person != person);
        for family in self.families.values_mut().filter(|family| owns(family, person)) {
            if family.ended_at.is_none() {
                family.ended_at = Some(now);
                family.end_reason = Some(reason.to_owned());
            }
        }
        QUIET
    }

    fn alter_proposal(&mut self, fits: impl Fn(&Proposal) -> bool, alter: impl Fn(&mut Proposal)) -> Done {
        match self.proposals.iter_mut().find(|it| fits(it)) {
            Some(proposal) => {
                alter(proposal);
                QUIET
            }
            None => Done::Lost,
        }
    }

    fn open(&mut self, family: Family) -> Done {
        self.families.insert(family.id.clone(), family);
        QUIET
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

/// Whether a login is this person's.
pub(super) fn owns(family: &Family, person: &str) -> bool {
    family.owner.as_ref().is_some_and(|(_, id)| id == person)
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
