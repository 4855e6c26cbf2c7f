//! A permission that has not yet seen the resource.

use std::sync::Arc;

use super::{Action, Compiled, Facts, Forbidden, SubjectId};
use crate::access::Access;
use crate::staleness::Footing;

/// The token may do this to *some* resource of this kind. Which ones is not decided before
/// [`Permit::over`] has seen the resource. Made by [`crate::Guard::require`].
#[must_use = "a permit is only half an answer: ask it over the facts of the resource"]
#[derive(Debug)]
pub struct Permit<'a> {
    access: &'a Access,
    policy: Arc<Compiled>,
    subject: SubjectId,
    action: Action,
}

impl<'a> Permit<'a> {
    pub(crate) fn new(
        access: &'a Access,
        policy: Arc<Compiled>,
        subject: SubjectId,
        action: Action,
    ) -> Result<Self, Forbidden> {
        policy.judge(access, subject, action, None)?;
        Ok(Self { access, policy, subject, action })
    }

    /// Whether the token may do this to the resource of which these facts are known, under the policy that
    /// was in force when the permit was given.
    ///
    /// # Errors
    /// [`Forbidden`] with the reason.
    pub fn over(&self, facts: &Facts<'_>) -> Result<(), Forbidden> {
        self.policy.judge(self.access, self.subject, self.action, Some(facts))
    }

    /// What the admission of the token rests on; see [`Access::footing`].
    pub fn footing(&self) -> Footing {
        self.access.footing()
    }

    /// Whether anything but the tenant still matters. An answer of false makes [`Permit::over`] depend on
    /// [`Facts::organization`] alone.
    pub fn is_restricted(&self) -> bool {
        self.policy.restricts(self.access, self.subject, self.action)
    }
}
