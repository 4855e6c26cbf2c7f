//! What a token is narrowed to by value, where it may do less than its roles. It only takes away: what it
//! names is still for the roles to grant, and for the policy in force to take back.

use std::collections::BTreeMap;
use std::fmt;

use serde::de::{Deserialize, Deserializer, Error, MapAccess, Visitor};
use serde::ser::{Serialize, Serializer};

use super::{Action, Actions, Registry, SubjectId};

/// Every subject there is.
const EVERY: &str = "*";
/// Bytes of the name of a subject, as the Provisioning API has it.
const LONGEST_NAME: usize = 64;

/// Actions by subject: the `perm` claim. Small by construction, because it travels with every request.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Narrowing(BTreeMap<String, Actions>);

/// Why something cannot be in a narrowing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NarrowingTrouble {
    /// No name of a subject.
    #[error("a subject is 1 to 64 lower-case letters, digits and _, or *")]
    Name,
    /// More than [`Narrowing::MOST`].
    #[error("at most 32 subjects fit into a token")]
    TooMany,
}

impl Narrowing {
    /// How many subjects fit: some 1.2 kB at the very most.
    pub const MOST: usize = 32;

    /// Leaves these actions on a subject, beside what is there already.
    ///
    /// # Errors
    /// [`NarrowingTrouble`].
    pub fn leave(&mut self, subject: &str, actions: Actions) -> Result<(), NarrowingTrouble> {
        let plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_';
        let sound = (1..=LONGEST_NAME).contains(&subject.len()) && subject.bytes().all(plain);
        if !sound && subject != EVERY {
            return Err(NarrowingTrouble::Name);
        }
        let left = self.0.entry(subject.to_owned()).or_default();
        *left = left.iter().chain(actions.iter()).collect();
        if self.0.len() > Self::MOST { Err(NarrowingTrouble::TooMany) } else { Ok(()) }
    }

    /// Whether an action on a subject is left.
    pub fn leaves(&self, subject: &str, action: Action) -> bool {
        [subject, EVERY].iter().any(|name| self.0.get(*name).is_some_and(|left| left.contains(action)))
    }

    /// Whether this leaves nothing that the other does not leave.
    pub fn is_within(&self, other: &Self) -> bool {
        self.0.iter().all(|(subject, left)| left.iter().all(|action| other.leaves(subject, action)))
    }

    /// By number, for checks. A subject that this service does not have is left out: nobody asks about it
    /// here, and leaving it out allows nothing.
    pub(crate) fn numbered(&self, registry: &Registry) -> Numbered {
        let own = self.0.iter().filter_map(|(name, left)| Some((registry.find(name)?, *left)));
        Numbered { every: self.0.get(EVERY).copied().unwrap_or_default(), own: own.collect() }
    }
}

/// A narrowing made ready for use.
#[derive(Debug)]
pub(crate) struct Numbered {
    every: Actions,
    /// At most [`Narrowing::MOST`]: walking over them is quicker than a map.
    own: Box<[(SubjectId, Actions)]>,
}

impl Numbered {
    pub fn leaves(&self, subject: SubjectId, action: Action) -> bool {
        let own = self.own.iter().find(|(number, _)| *number == subject);
        self.every.contains(action) || own.is_some_and(|(_, left)| left.contains(action))
    }
}

impl Serialize for Narrowing {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.collect_map(&self.0)
    }
}

/// Anything that is not known is an error: a token whose limits cannot be read is not a token.
impl<'de> Deserialize<'de> for Narrowing {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        from.deserialize_map(Members)
    }
}

struct Members;

impl<'de> Visitor<'de> for Members {
    type Value = Narrowing;

    fn expecting(&self, to: &mut fmt::Formatter) -> fmt::Result {
        to.write_str("lists of actions by subject")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Narrowing, A::Error> {
        let mut narrowing = Narrowing::default();
        while let Some((subject, actions)) = map.next_entry::<String, Actions>()? {
            narrowing.leave(&subject, actions).map_err(A::Error::custom)?;
        }
        Ok(narrowing)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Narrowing, serde_json::Error> {
        serde_json::from_str(text)
    }

    #[test]
    fn what_is_not_named_is_not_left() {
        let narrowing = read(r#"{"orders":["read"],"skus":[]}"#).unwrap();
        assert!(narrowing.leaves("orders", Action::Read) && narrowing.leaves("orders", Action::List));
        for (subject, action) in [
            ("orders", Action::Update),
            ("skus", Action::Read),
            ("prices", Action::Read),
            ("*", Action::Read),
        ] {
            assert!(!narrowing.leaves(subject, action), "{subject} {action:?}");
        }
        assert_eq!(serde_json::to_string(&narrowing).unwrap(), r#"{"orders":["read"],"skus":[]}"#);
        assert!(!Narrowing::default().leaves("orders", Action::Read));
    }

    #[test]
    fn a_narrowing_within_another_leaves_nothing_more() {
        let of = |text: &str| read(text).unwrap();
        let (every, one, two) =
            (of(r#"{"*":["read"]}"#), of(r#"{"orders":["show"]}"#), of(r#"{"orders":["show","update"]}"#));
        assert!(one.is_within(&every) && one.is_within(&two) && one.is_within(&one));
        assert!(!two.is_within(&every) && !two.is_within(&one) && !every.is_within(&one));
        assert!(Narrowing::default().is_within(&one));
    }

    #[test]
    fn what_is_not_known_or_too_much_is_no_narrowing() {
        let many: Vec<_> = (0..33).map(|n| format!("\"s{n}\":[]")).collect();
        let many = format!("{{{}}}", many.join(","));
        for bad in
            [r#"{"orders":["raed"]}"#, r#"{"Orders":[]}"#, r#"{"":[]}"#, r#"{"a b":[]}"#, "[]", "3", &many]
        {
            assert!(read(bad).is_err(), "{bad}");
        }
        assert!(read(&format!(r#"{{"{}":[]}}"#, "a".repeat(65))).is_err());
    }

    #[test]
    fn a_subject_of_another_service_allows_nothing_here() {
        let registry = Registry::with(&[]).unwrap();
        let numbered = read(r#"{"loyalty_points":["read"],"orders":["show"]}"#).unwrap().numbered(&registry);
        let orders = registry.find("orders").unwrap();
        assert!(numbered.leaves(orders, Action::Read) && !numbered.leaves(orders, Action::List));
        assert_eq!(numbered.own.len(), 1);
    }
}
