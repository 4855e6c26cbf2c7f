//! The policy as guards hold it: the custom roles of all organizations and the version of the whole.
//! Built-in roles are in every guard already.

use portcullis_guard::Policy;
use portcullis_guard::policy::Role;

use crate::refusal::Trouble;
use crate::registry::{Directory, RoleKind};

/// Writes the policy of a directory.
///
/// # Errors
/// Trouble naming a role that no guard would take; it was let into the registry by mistake.
pub fn of(directory: &Directory) -> Result<Policy, Trouble> {
    let custom = directory.roles().filter(|role| role.kind == RoleKind::Custom);
    custom.into_iter().try_fold(Policy::new(directory.version), |policy, role| {
        let permissions = role.permissions.iter().cloned();
        policy.with_role(&role.claim(), Role::new(permissions)).map_err(|e| Trouble::new("policy", e))
    })
}
