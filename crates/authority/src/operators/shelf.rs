//! Operators in memory: the reference for what [`StaffAct`] promises, for unit tests.

use super::{Invitation, Operator, OperatorSession, Staff, StaffAct, Taken};
use crate::ledger::Done;

/// Accounts and sessions.
#[derive(Clone, Debug, Default)]
pub(crate) struct Shelf {
    pub staff: Staff,
    pub sessions: Vec<OperatorSession>,
    /// Those that are open.
    pub invitations: Vec<Invitation>,
}

impl Shelf {
    pub fn act(&mut self, act: StaffAct) -> Done {
        match act {
            StaffAct::Put { expected, operator, end_sessions } => self.put(expected, *operator, end_sessions),
            StaffAct::Unmoved { version } if version == self.staff.version => DONE,
            StaffAct::Unmoved { .. } => Done::Lost,
            StaffAct::SignIn { factor, session } => self.sign_in(&factor, session),
            StaffAct::Invite(invitation) => {
                self.invitations.push(invitation);
                DONE
            }
            StaffAct::SpendInvitation { id, now } => match self.close_invitation(&id, now) {
                true => DONE,
                false => Done::Spent { family: None },
            },
            StaffAct::Uninvite { id, now } => match self.close_invitation(&id, now) {
                true => DONE,
                false => Done::Lost,
            },
            StaffAct::TakeFactor { operator, factor } => match self.take(&operator, &factor) {
                true => DONE,
                false => Done::Spent { family: None },
            },
            StaffAct::EndOthers { operator, keep, now } => {
                let others = |it: &&mut OperatorSession| it.operator == operator && it.id != keep;
                self.sessions
                    .iter_mut()
                    .filter(others)
                    .for_each(|it| it.ended_at = it.ended_at.or(Some(now)));
                DONE
            }
            StaffAct::Touch(used) => match self.live(&used.id) {
                Some(session) => {
                    *session = used;
                    DONE
                }
                None => Done::Lost,
            },
            StaffAct::EndSession { id, now } => {
                if let Some(session) = self.live(&id) {
                    session.ended_at = Some(now);
                }
                DONE
            }
        }
    }

    fn put(&mut self, expected: u64, operator: Operator, end_sessions: Option<u64>) -> Done {
        let taken = self.staff.operators.iter().any(|it| it.id != operator.id && it.email == operator.email);
        if self.staff.version != expected || taken {
            return Done::Lost;
        }
        let ended = self.sessions.iter_mut().filter(|it| it.operator == operator.id && it.ended_at.is_none());
        if let Some(now) = end_sessions {
            ended.for_each(|it| it.ended_at = Some(now));
        }
        self.staff.version += 1;
        match self.staff.operators.iter_mut().find(|it| it.id == operator.id) {
            Some(known) if known.seed == operator.seed => {
                let (last_step, recovery) = (known.last_step, std::mem::take(&mut known.recovery));
                *known = Operator { last_step, recovery, ..operator };
            }
            Some(known) => {
                let last_step = known.last_step.max(operator.last_step);
                *known = Operator { last_step, ..operator };
            }
            None => self.staff.operators.push(operator),
        }
        DONE
    }

    fn sign_in(&mut self, factor: &Taken, session: OperatorSession) -> Done {
        if !self.staff.operators.iter().any(|it| it.id == session.operator && !it.disabled) {
            return Done::Lost;
        }
        match self.take(&session.operator, factor) {
            true => {
                self.sessions.push(session);
                DONE
            }
            false => Done::Spent { family: None },
        }
    }

    /// Whether the invitation was open.
    fn close_invitation(&mut self, id: &str, now: u64) -> bool {
        let before = self.invitations.len();
        self.invitations.retain(|it| it.id != id || now >= it.expires_at);
        self.invitations.len() < before
    }

    /// Whether the factor was there to be taken.
    fn take(&mut self, operator: &str, factor: &Taken) -> bool {
        let open = |it: &&mut Operator| it.id == operator && !it.disabled;
        let Some(operator) = self.staff.operators.iter_mut().find(open) else { return false };
        match factor {
            Taken::Step(step) if operator.last_step < *step => operator.last_step = *step,
            Taken::Recovery(hash) if operator.recovery.contains(hash) => {
                operator.recovery.retain(|kept| kept != hash);
            }
            _ => return false,
        }
        true
    }

    fn live(&mut self, id: &str) -> Option<&mut OperatorSession> {
        self.sessions.iter_mut().find(|it| it.id == id && it.ended_at.is_none())
    }
}

const DONE: Done = Done::Committed { position: None };
