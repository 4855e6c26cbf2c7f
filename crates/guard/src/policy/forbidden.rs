//! Why an action was not allowed. Knows nothing of HTTP.

use super::Action;

/// A genuine token that may not do this.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{}: {} ({})", reason.code(), reason.sentence(), action.word())]
pub struct Forbidden {
    reason: Reason,
    action: Action,
}

/// Why not. Codes never change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reason {
    /// The token names no role.
    NoRole,
    /// The token names a role that the policy in force does not have, or one of another tenant.
    UnknownRole,
    /// The service asks about a subject that the registry does not have.
    UnknownSubject,
    /// A role that the token names does not have this permission.
    NotGranted,
    /// The token is narrowed to less than its roles allow (`perm`).
    Narrowed,
    /// A restriction needs a fact, named here, that the caller did not give.
    AttributeMissing(&'static str),
    /// The resource belongs to another tenant.
    OtherOrganization,
    /// The resource is in no market that the token names.
    OutsideMarkets,
    /// The resource is in no stock location that the token names.
    OutsideStockLocations,
    /// The resource is not the token's customer's.
    NotOwner,
    /// The resource, or its order, is not in a status that allows this.
    WrongStatus,
    /// The resource is disabled.
    Disabled,
    /// The resource is not the one that the token stands for.
    NotItself,
}

impl Forbidden {
    pub(crate) fn new(reason: Reason, action: Action) -> Self {
        Self { reason, action }
    }

    pub(crate) fn unknown_subject(action: Action) -> Self {
        Self::new(Reason::UnknownSubject, action)
    }

    /// Why not.
    pub fn reason(&self) -> Reason {
        self.reason
    }

    /// What was asked.
    pub fn action(&self) -> Action {
        self.action
    }

    /// The error code of RFC 6750 section 3.1 for all of them.
    pub fn error(&self) -> &'static str {
        "insufficient_scope"
    }
}

impl Reason {
    /// The stable code, for logs, metrics and tests.
    pub fn code(self) -> &'static str {
        match self {
            Self::NoRole => "no_role",
            Self::UnknownRole => "unknown_role",
            Self::UnknownSubject => "unknown_subject",
            Self::NotGranted => "not_granted",
            Self::Narrowed => "narrowed",
            Self::AttributeMissing(_) => "attribute_missing",
            Self::OtherOrganization => "other_organization",
            Self::OutsideMarkets => "outside_markets",
            Self::OutsideStockLocations => "outside_stock_locations",
            Self::NotOwner => "not_owner",
            Self::WrongStatus => "wrong_status",
            Self::Disabled => "disabled",
            Self::NotItself => "not_itself",
        }
    }

    /// A sentence for the log. Do not show it to the caller: it tells about the resource.
    pub fn sentence(self) -> &'static str {
        match self {
            Self::NoRole => "the token names no role",
            Self::UnknownRole => "the token names a role that is not in force for its organization",
            Self::UnknownSubject => "the service asks about a subject that is not registered",
            Self::NotGranted => "a role of the token does not have this permission",
            Self::Narrowed => "the token is narrowed to less than its roles allow",
            Self::AttributeMissing(attribute) => attribute,
            Self::OtherOrganization => "the resource belongs to another organization",
            Self::OutsideMarkets => "the resource is in no market of the token",
            Self::OutsideStockLocations => "the resource is in no stock location of the token",
            Self::NotOwner => "the resource is not the token's customer's",
            Self::WrongStatus => "the status does not allow this",
            Self::Disabled => "the resource is disabled",
            Self::NotItself => "the resource is not the one that the token stands for",
        }
    }
}
