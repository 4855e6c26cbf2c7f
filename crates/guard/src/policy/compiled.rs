//! A policy made ready for use: a byte per role and subject, and clauses only where a permission is
//! restricted. Allocates when a policy is put in force and never in a check.

use std::collections::HashMap;
use std::sync::Arc;

use super::restriction::Clause;
use super::{
    Action, Actions, Facts, Fence, Filter, Forbidden, Permission, Policy, Reason, Registry, Restriction,
    Role, SubjectId, organization_of,
};
use crate::access::Access;
use crate::claims::Claims;

/// A policy in force.
#[derive(Debug)]
pub(crate) struct Compiled {
    policy: Arc<Policy>,
    roles: HashMap<String, Rights>,
}

/// What one role may do.
#[derive(Debug)]
struct Rights {
    /// Per subject, a bit for each action that is granted in some way.
    granted: Box<[u8]>,
    /// Per subject, a bit for each action that is granted without restriction.
    free: Box<[u8]>,
    /// For what is granted but not free: alternatives, of which one must hold.
    alternatives: HashMap<(SubjectId, Action), Vec<Clause>>,
}

impl Compiled {
    /// Compiles a policy and the built-in roles for the subjects of a registry. Permissions on subjects
    /// that this service does not have are left out: nobody can ask about them here.
    pub fn new(policy: Policy, registry: &Registry) -> Self {
        let all = Policy::built_in_roles();
        let roles = all.iter().chain(&policy.roles);
        let roles = roles.map(|(name, role)| (name.clone(), Rights::new(role, registry))).collect();
        Self { policy: Arc::new(policy), roles }
    }

    pub fn policy(&self) -> Arc<Policy> {
        Arc::clone(&self.policy)
    }

    /// Whether the token is not narrowed below the action and every role allows it, and, once facts are given, allows it for them.
    pub fn judge(
        &self,
        access: &Access,
        subject: SubjectId,
        action: Action,
        facts: Option<&Facts<'_>>,
    ) -> Result<(), Forbidden> {
        if !access.leaves(subject, action) {
            return Err(Forbidden::new(Reason::Narrowed, action));
        }
        let judged =
            self.roles_of(access.claims()).try_for_each(|role| match role?.way(subject, action)? {
                Way::Free => Ok(()),
                Way::Under(clauses) => facts.map_or(Ok(()), |facts| one_holds(clauses, access, facts)),
            });
        let judged = judged.and_then(|()| facts.map_or(Ok(()), |facts| same_organization(access, facts)));
        judged.map_err(|reason| Forbidden::new(reason, action))
    }

    /// Whether a role of the token restricts the action.
    pub fn restricts(&self, access: &Access, subject: SubjectId, action: Action) -> bool {
        let free = |role: Result<&Rights, Reason>| {
            matches!(role.and_then(|role| role.way(subject, action)), Ok(Way::Free))
        };
        !self.roles_of(access.claims()).all(free)
    }

    /// What each role still asks of a resource. A role that asks nothing adds nothing.
    pub fn filter<'a>(
        &self,
        access: &'a Access,
        subject: SubjectId,
        action: Action,
    ) -> Result<Filter<'a>, Forbidden> {
        if !access.leaves(subject, action) {
            return Err(Forbidden::new(Reason::Narrowed, action));
        }
        let mut filter = Filter::new(access);
        for role in self.roles_of(access.claims()) {
            let way = role.and_then(|role| role.way(subject, action));
            match way.map_err(|reason| Forbidden::new(reason, action))? {
                Way::Free => {}
                Way::Under(clauses) => {
                    let fences = clauses.iter().map(|clause| Fence::new(clause, access));
                    filter.add(fences).map_err(|reason| Forbidden::new(reason, action))?;
                }
            }
        }
        Ok(filter)
    }

    /// What the roles of a token and its own narrowing leave possible, subject by subject, restricted or not.
    pub fn actions<'r>(&self, claims: &Claims, registry: &'r Registry) -> Vec<(&'r str, Actions)> {
        let possible = |subject, action| {
            self.roles_of(claims).all(|role| role.is_ok_and(|role| role.way(subject, action).is_ok()))
        };
        let left = |name: &str, action| claims.perm.as_ref().is_none_or(|perm| perm.leaves(name, action));
        let on = |name: &str, subject| {
            Action::ALL
                .into_iter()
                .filter(|action| left(name, *action) && possible(subject, *action))
                .collect()
        };
        let all = registry.named().map(|(name, subject)| (name, on(name, subject)));
        all.filter(|(_, actions)| *actions != Actions::default()).collect()
    }

    /// The roles that a token names. A token that names none gets one refusal, so that nobody who walks
    /// over them can take "none" for "all of them said yes".
    fn roles_of<'c>(&'c self, claims: &'c Claims) -> impl Iterator<Item = Result<&'c Rights, Reason>> {
        let none = claims.rol.is_empty().then_some(Err(Reason::NoRole));
        none.into_iter().chain(claims.rol.iter().map(|name| self.role(name, claims)))
    }

    /// A role by its name. A custom role is its organization's alone.
    fn role(&self, name: &str, claims: &Claims) -> Result<&Rights, Reason> {
        let own = claims.organization.as_ref().map(|organization| organization.id.as_str());
        if organization_of(name).is_some_and(|organization| Some(organization) != own) {
            return Err(Reason::UnknownRole);
        }
        self.roles.get(name).ok_or(Reason::UnknownRole)
    }
}

/// How a role grants something.
enum Way<'r> {
    Free,
    Under(&'r [Clause]),
}

impl Rights {
    fn new(role: &Role, registry: &Registry) -> Self {
        let none = || vec![0; registry.size()].into_boxed_slice();
        let mut rights = Self { granted: none(), free: none(), alternatives: HashMap::new() };
        for (subject, permission) in subjects(role, registry) {
            for action in permission.actions.iter() {
                rights.grant(subject, action, permission);
            }
        }
        rights
    }

    fn grant(&mut self, subject: SubjectId, action: Action, permission: &Permission) {
        if action == Action::List && permission.when.contains(&Restriction::SingleResourceOnly) {
            return;
        }
        let place = usize::from(subject.0);
        self.granted[place] |= action.bit();
        if permission.when.iter().all(|it| *it == Restriction::SingleResourceOnly) {
            self.free[place] |= action.bit();
            return;
        }
        let clause = Clause::new(&permission.when, &permission.subject);
        self.alternatives.entry((subject, action)).or_default().push(clause);
    }

    /// How this role grants the action; a number from another registry is granted nothing.
    fn way(&self, subject: SubjectId, action: Action) -> Result<Way<'_>, Reason> {
        let has =
            |bytes: &[u8]| bytes.get(usize::from(subject.0)).is_some_and(|byte| byte & action.bit() != 0);
        if has(&self.free) {
            return Ok(Way::Free);
        }
        if !has(&self.granted) {
            return Err(Reason::NotGranted);
        }
        self.alternatives.get(&(subject, action)).map(|it| Way::Under(it)).ok_or(Reason::NotGranted)
    }
}

/// The permissions of a role on subjects that are registered; `*` is every one of them.
fn subjects<'r>(role: &'r Role, registry: &Registry) -> Vec<(SubjectId, &'r Permission)> {
    let mut found = Vec::new();
    for permission in &role.permissions {
        if permission.subject == "*" {
            found.extend(registry.all().map(|subject| (subject, permission)));
        } else {
            found.extend(registry.find(&permission.subject).map(|subject| (subject, permission)));
        }
    }
    found
}

/// Whether one of the alternatives holds. Where none does, a missing fact is the reason to report: it is
/// the service that must be repaired, and not the caller who lacks a right.
fn one_holds(clauses: &[Clause], access: &Access, facts: &Facts<'_>) -> Result<(), Reason> {
    let mut reason = Reason::NotGranted;
    for clause in clauses {
        match clause.holds(access, facts) {
            Ok(()) => return Ok(()),
            Err(_) if matches!(reason, Reason::AttributeMissing(_)) => {}
            Err(why) => reason = why,
        }
    }
    Err(reason)
}

/// A fact that names a tenant must name the token's.
fn same_organization(access: &Access, facts: &Facts<'_>) -> Result<(), Reason> {
    let own = access.claims().organization.as_ref().map(|organization| organization.id.as_str());
    match facts.organization {
        Some(other) if own != Some(other) => Err(Reason::OtherOrganization),
        _ => Ok(()),
    }
}
