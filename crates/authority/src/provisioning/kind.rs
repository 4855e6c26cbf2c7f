//! The kinds of things that the Provisioning API speaks of, and the words for them.

use serde::{Deserialize, Serialize};

/// A kind of resource.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    ApiCredential,
    ApplicationMembership,
    IdentityProvider,
    Membership,
    MembershipProfile,
    Organization,
    Permission,
    Role,
    User,
    Version,
}

impl Kind {
    pub const ALL: [Self; 10] = [
        Self::ApiCredential,
        Self::ApplicationMembership,
        Self::IdentityProvider,
        Self::Membership,
        Self::MembershipProfile,
        Self::Organization,
        Self::Permission,
        Self::Role,
        Self::User,
        Self::Version,
    ];

    /// The `type` of JSON:API, the subject of permissions, and the path of all but the user.
    pub fn word(self) -> &'static str {
        match self {
            Self::ApiCredential => "api_credentials",
            Self::ApplicationMembership => "application_memberships",
            Self::IdentityProvider => "identity_providers",
            Self::Membership => "memberships",
            Self::MembershipProfile => "membership_profiles",
            Self::Organization => "organizations",
            Self::Permission => "permissions",
            Self::Role => "roles",
            Self::User => "users",
            Self::Version => "versions",
        }
    }

    /// What a relationship to one of them is called.
    pub fn singular(self) -> &'static str {
        self.word().trim_end_matches('s')
    }

    /// The kind with this `type`.
    pub fn named(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.word() == word)
    }
}
