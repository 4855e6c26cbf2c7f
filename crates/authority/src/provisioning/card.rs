//! What only the Provisioning API knows of a thing: its reference, its metadata, when it was made and
//! changed, and attributes that no token and no guard needs. Things that came from a seed have none.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::Kind;

/// How the mark of a pending membership begins that an invitation of operators takes up (`invitations/place.rs`).
pub(crate) const LINK: &str = "link:";

/// The card of a thing.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Card {
    pub kind: Kind,
    /// The id in the Provisioning API.
    pub id: String,
    /// Organization id; empty for users, who belong to none.
    pub organization: String,
    /// Milliseconds.
    pub created_at: u64,
    /// Milliseconds.
    pub updated_at: u64,
    #[serde(default)]
    pub reference: Option<String>,
    #[serde(default)]
    pub reference_origin: Option<String>,
    #[serde(default)]
    pub metadata: Map<String, Value>,
    /// Attributes and ids of relationships, by name.
    #[serde(default)]
    pub more: Map<String, Value>,
}

impl Card {
    /// A card that is written now.
    pub fn new(kind: Kind, id: &str, organization: &str, now_ms: u64) -> Self {
        Self {
            kind,
            id: id.into(),
            organization: organization.into(),
            created_at: now_ms,
            updated_at: now_ms,
            reference: None,
            reference_origin: None,
            metadata: Map::new(),
            more: Map::new(),
        }
    }

    /// A text of `more`; absent and null are `None`.
    pub fn text(&self, name: &str) -> Option<&str> {
        self.more.get(name).and_then(Value::as_str)
    }

    /// The invitation of operators that takes a pending membership up; none when an admin of the organization made it.
    pub(crate) fn link(&self) -> Option<&str> {
        self.text("invitation").and_then(|mark| mark.strip_prefix(LINK))
    }

    /// The texts of a list in `more`.
    pub fn texts(&self, name: &str) -> Vec<&str> {
        let list = self.more.get(name).and_then(Value::as_array);
        list.into_iter().flatten().filter_map(Value::as_str).collect()
    }
}

/// RFC 3339 with milliseconds, as JavaScript writes it. Times beyond what a calendar has are null.
pub fn time(ms: u64) -> Value {
    use chrono::{Datelike as _, Timelike as _};
    let at = i64::try_from(ms).ok().and_then(chrono::DateTime::from_timestamp_millis);
    at.map_or(Value::Null, |at| {
        let day = format!("{:04}-{:02}-{:02}", at.year(), at.month(), at.day());
        format!("{day}T{:02}:{:02}:{:02}.{:03}Z", at.hour(), at.minute(), at.second(), ms % 1000).into()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_is_written_as_javascript_does() {
        assert_eq!(time(1_800_000_000_042), "2027-01-15T08:00:00.042Z");
        assert_eq!(time(u64::MAX), Value::Null);
    }
}
