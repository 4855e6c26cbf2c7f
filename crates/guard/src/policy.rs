//! Who may do what: roles by name, each a list of permissions under restrictions from a closed vocabulary.
//!
//! Tokens carry the *names* of roles; what a role may do is here and takes effect everywhere at once when
//! it changes. Knows nothing of tokens beyond their claims, and nothing of where a policy comes from.

mod action;
mod compiled;
mod facts;
mod filter;
mod forbidden;
mod narrowing;
mod permit;
mod restriction;
mod subject;

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

pub use action::{Action, Actions};
pub(crate) use compiled::Compiled;
pub use facts::Facts;
pub use filter::{Fence, Filter};
pub use forbidden::{Forbidden, Reason};
pub(crate) use narrowing::Numbered;
pub use narrowing::{Narrowing, NarrowingTrouble};
pub use permit::Permit;
pub use restriction::Restriction;
pub use subject::{Registry, RegistryFull, Subject, SubjectId, subjects};

use crate::strict;

/// May do everything, in every market.
pub const ADMIN: &str = "admin";
/// May read and list everything, in every market.
pub const READ_ONLY: &str = "read_only";
/// A sales channel with nobody logged in.
pub const SALES_CHANNEL_GUEST: &str = "sales_channel_guest";
/// A sales channel with a customer logged in: what a guest may, and what is the customer's own.
pub const SALES_CHANNEL_CUSTOMER: &str = "sales_channel_customer";
/// A personal credential: the person's own record, and nothing of commerce.
pub const PROVISIONING: &str = "provisioning";
/// Fences whoever has it beside another role into the markets of the token: everything, and not only what
/// that role fences. What is in no market is out of reach.
pub const WITHIN_MARKETS: &str = "within_markets";

/// The built-in roles, restated from the vendor's public tables. One row was decided by us: the table of
/// July 2021 lets a logged-in customer *create* parcels of his orders, which reads like a slip; here he
/// may read and list them, and nobody who buys creates a parcel.
const BUILT_IN: &str = include_str!("policy/built_in.json");

/// The largest policy that is read, bytes: about a thousand roles of a hundred permissions.
pub const LARGEST_POLICY: usize = 8 * 1024 * 1024;

/// Why a policy was not read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PolicyTrouble {
    /// Not JSON of the expected form. A restriction or member that is not known is here too: leaving it
    /// out would grant more than was meant.
    #[error("not a policy: {0}")]
    Unreadable(String),
    /// A custom role is not called `<organization id>/<role id>`.
    #[error("{0:?} is not the name of a custom role")]
    RoleName(String),
    /// A permission that can never be meant: the role, the subject and why.
    #[error("role {0:?} on {1:?}: {2}")]
    Permission(String, String, &'static str),
}

/// Custom roles and the version of the whole. The built-in roles are in every policy.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Policy {
    version: u64,
    roles: BTreeMap<String, Role>,
}

/// What one role may do: the sum of its permissions, and nothing else.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Role {
    /// Where two are about the same subject and action, either is enough.
    pub permissions: Vec<Permission>,
}

/// Actions on one subject, under restrictions that must all hold.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Permission {
    /// A name from the registry, one that a service added, or `*` for every subject there is.
    pub subject: String,
    /// What may be done.
    pub actions: Actions,
    /// What must hold for the resource; all of it. Nothing here means no restriction.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub when: Vec<Restriction>,
}

impl Policy {
    /// No custom roles, version 0.
    pub fn built_in() -> Self {
        Self::default()
    }

    /// A policy without custom roles, of this version.
    pub fn new(version: u64) -> Self {
        Self { version, roles: BTreeMap::new() }
    }

    /// This policy with one more custom role, or another in its place.
    ///
    /// # Errors
    /// [`PolicyTrouble`] for a name that is not `<organization id>/<role id>` or a permission that can
    /// never be meant.
    pub fn with_role(mut self, name: &str, role: Role) -> Result<Self, PolicyTrouble> {
        check_name(name)?;
        role.check(name)?;
        self.roles.insert(name.to_owned(), role);
        Ok(self)
    }

    /// Reads `{"version":N,"roles":{"<name>":{"permissions":[{"subject":"orders","actions":["read"],
    /// "when":["market_scope"]}]}}}`. `read` means by id and as a list, as the vendor has it; `show` and
    /// `list` mean one of them.
    ///
    /// # Errors
    /// [`PolicyTrouble`]; anything that is not known is an error and not left out.
    pub fn from_json(text: &str) -> Result<Self, PolicyTrouble> {
        let policy = Self::parse(text)?;
        policy.roles.keys().try_for_each(|name| check_name(name))?;
        Ok(policy)
    }

    /// The wire form, as [`Policy::from_json`] reads it.
    pub fn to_json(&self) -> String {
        serde_json::to_string(self).expect("names, numbers and lists: nothing that JSON cannot say")
    }

    /// The number of this policy; greater is newer.
    pub fn version(&self) -> u64 {
        self.version
    }

    /// The custom roles by name.
    pub fn roles(&self) -> impl Iterator<Item = (&str, &Role)> {
        self.roles.iter().map(|(name, role)| (name.as_str(), role))
    }

    fn parse(text: &str) -> Result<Self, PolicyTrouble> {
        let unreadable = |why: &str| PolicyTrouble::Unreadable(why.to_owned());
        if text.len() > LARGEST_POLICY {
            return Err(unreadable("too large"));
        }
        strict::object(text.as_bytes()).map_err(unreadable)?;
        let policy: Self = serde_json::from_str(text).map_err(|why| unreadable(&why.to_string()))?;
        policy.roles.iter().try_for_each(|(name, role)| role.check(name))?;
        Ok(policy)
    }

    /// The roles that every policy has.
    fn built_in_roles() -> BTreeMap<String, Role> {
        Self::parse(BUILT_IN).expect("built_in.json is a policy: checked by the test below").roles
    }
}

impl Role {
    /// A role with these permissions.
    pub fn new(permissions: impl IntoIterator<Item = Permission>) -> Self {
        Self { permissions: permissions.into_iter().collect() }
    }

    fn check(&self, name: &str) -> Result<(), PolicyTrouble> {
        self.permissions.iter().try_for_each(|permission| {
            let trouble = |why| PolicyTrouble::Permission(name.to_owned(), permission.subject.clone(), why);
            permission.when.iter().try_for_each(|it| it.check(&permission.subject)).map_err(trouble)
        })
    }
}

impl Permission {
    /// These actions on a subject, without restriction.
    pub fn new(subject: &str, actions: impl IntoIterator<Item = Action>) -> Self {
        Self { subject: subject.to_owned(), actions: actions.into_iter().collect(), when: Vec::new() }
    }

    /// The same, only when this holds too.
    pub fn when(mut self, restriction: Restriction) -> Self {
        self.when.push(restriction);
        self
    }
}

/// The organization of a custom role, so that no token can use the role of another tenant.
pub(crate) fn organization_of(role: &str) -> Option<&str> {
    role.split_once('/').map(|(organization, _)| organization)
}

fn check_name(name: &str) -> Result<(), PolicyTrouble> {
    let halves = name.split_once('/').filter(|(org, role)| !org.is_empty() && !role.is_empty());
    halves.map(drop).ok_or_else(|| PolicyTrouble::RoleName(name.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_built_in_roles_are_a_policy() {
        let roles = Policy::built_in_roles();
        let names: Vec<_> = roles.keys().map(String::as_str).collect();
        assert_eq!(
            names,
            [ADMIN, PROVISIONING, READ_ONLY, SALES_CHANNEL_CUSTOMER, SALES_CHANNEL_GUEST, WITHIN_MARKETS]
        );
    }

    #[test]
    fn the_built_in_roles_name_only_subjects_that_are_registered() {
        let registry = Registry::with(&[]).unwrap();
        for role in Policy::built_in_roles().values() {
            for permission in &role.permissions {
                let known = permission.subject == "*" || registry.find(&permission.subject).is_some();
                assert!(known, "{}", permission.subject);
            }
        }
    }

    #[test]
    fn a_policy_survives_the_wire() {
        let text = r#"{"version":7,"roles":{"acme/packer":{"permissions":[{"subject":"orders","actions":["read","update"],"when":["market_scope",{"status_in":["placed"]}]},{"subject":"parcels","actions":["create","show"]}]}}}"#;
        let policy = Policy::from_json(text).unwrap();
        assert_eq!(policy.version(), 7);
        assert_eq!(policy.to_json(), text);
        let built = Policy::new(7).with_role(
            "acme/packer",
            Role::new([
                Permission::new("orders", [Action::Read, Action::List, Action::Update])
                    .when(Restriction::MarketScope)
                    .when(Restriction::StatusIn(vec!["placed".into()])),
                Permission::new("parcels", [Action::Create, Action::Read]),
            ]),
        );
        assert_eq!(built.unwrap(), policy);
    }

    #[test]
    fn what_is_not_known_is_not_left_out() {
        let permission = |permission: &str| {
            Policy::from_json(&format!(
                r#"{{"version":1,"roles":{{"a/b":{{"permissions":[{permission}]}}}}}}"#
            ))
        };
        assert!(permission(r#"{"subject":"orders","actions":["read"]}"#).is_ok());
        for bad in [
            r#"{"subject":"orders","actions":["read"],"when":["only_on_mondays"]}"#,
            r#"{"subject":"orders","actions":["read"],"unless":[]}"#,
            r#"{"subject":"orders","actions":["raed"]}"#,
            r#"{"subject":"orders","actions":["Read"]}"#,
            r#"{"subject":"orders"}"#,
            r#"{"subject":"orders","actions":["read"],"when":[{"status_in":[]}]}"#,
            r#"{"subject":"orders","actions":["read"],"when":["self"]}"#,
            r#"{"subject":"orders","actions":["read"],"actions":["admin"]}"#,
        ] {
            assert!(permission(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn no_bundle_redefines_a_built_in_role() {
        for name in ["admin", "read_only", "/x", "x/", "", "sales_channel_guest"] {
            let text = format!(r#"{{"version":1,"roles":{{"{name}":{{"permissions":[]}}}}}}"#);
            assert_eq!(Policy::from_json(&text), Err(PolicyTrouble::RoleName(name.into())));
        }
        assert!(Policy::new(1).with_role("admin", Role::default()).is_err());
        let twice = r#"{"version":1,"roles":{"a/b":{"permissions":[]},"a/b":{"permissions":[]}}}"#;
        assert!(Policy::from_json(twice).is_err());
    }
}
