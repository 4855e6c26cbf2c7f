//! What a change to the registry does, decided and not yet done. The store does all of it in one
//! transaction with its audit records and its lines of the feed, or nothing.

use serde::{Deserialize, Serialize};

use super::{Card, Kind};
use crate::registry::{Application, Membership, Organization, Person, Role, Scope};

/// One transaction on the registry.
#[derive(Clone, Debug, PartialEq)]
pub struct Amendment {
    /// The version that it was decided on. When the registry has moved on, nothing is done.
    pub expected: u64,
    /// In this order.
    pub changes: Vec<Change>,
}

/// One step.
#[derive(Clone, Debug, PartialEq)]
pub enum Change {
    PutOrganization(Organization),
    PutRole(Role),
    DropRole {
        organization: String,
        id: String,
    },
    PutApplication(Box<Application>),
    DropApplication {
        id: String,
    },
    PutPerson(Person),
    PutMembership(Membership),
    DropMembership {
        id: String,
    },
    PutCard(Box<Card>),
    DropCard {
        kind: Kind,
        id: String,
    },
    /// Raises a generation: everything issued so far to `id` ends.
    Raise {
        scope: Scope,
        id: String,
        exp: u64,
    },
    /// Ends every login and browser session of a person. The guards hear of it by the generation that is
    /// raised with it.
    EndPerson {
        person: String,
        reason: String,
        now: u64,
    },
    /// Forgets the account; memberships and credentials go before it.
    DropPerson {
        id: String,
    },
    /// Ends every login of a person in one organization, and leaves the others alone.
    EndLogins {
        organization: String,
        person: String,
        reason: String,
        now: u64,
        exp: u64,
    },
}

/// Everything in some organizations, of one moment.
#[derive(Clone, Debug, Default)]
pub struct Keepings {
    /// Of the registry, at that moment.
    pub version: u64,
    pub organizations: Vec<Organization>,
    pub roles: Vec<Role>,
    pub applications: Vec<Application>,
    pub memberships: Vec<Membership>,
    /// The people behind the memberships.
    pub people: Vec<Person>,
    pub cards: Vec<Card>,
}

/// What one thing was and became: the `detail` of an audit record of a change.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Trace {
    pub resource_type: String,
    pub resource_id: String,
    /// `create`, `update` or `destroy`.
    pub event: String,
    /// Pairs of old and new, by attribute.
    pub changes: serde_json::Map<String, serde_json::Value>,
    pub who: serde_json::Value,
}

/// A [`Trace`] as it was found in the audit log.
#[derive(Clone, Debug, PartialEq)]
pub struct Traced {
    /// Text that tells nothing of the log's length.
    pub id: String,
    pub organization: String,
    /// Seconds.
    pub at: u64,
    pub trace: Trace,
}

/// The event of an audit record that holds a [`Trace`].
pub const CHANGED: &str = "registry.changed";
