//! What can be done to a thing. Eight verbs, so that a subject's permissions are one byte.

use std::fmt;

use serde::de::{Deserialize, Deserializer, Error, SeqAccess, Visitor};
use serde::ser::{Serialize, SerializeSeq, Serializer};

/// Something that can be done to a resource.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Action {
    /// Make a new one.
    Create = 0,
    /// See one, by its id. In the vendor's words this is half of `read`; in a policy it is `show`.
    Read = 1,
    /// See several, as a collection: the other half of `read`.
    List = 2,
    /// Change one.
    Update = 3,
    /// Delete one.
    Destroy = 4,
    /// Set something in motion: capture, cancel, refund.
    Trigger = 5,
    /// Take data out in bulk.
    Export = 6,
    /// Administer: who may do what with it.
    Admin = 7,
}

impl Action {
    /// Every action, in the order of their numbers.
    pub const ALL: [Self; 8] = [
        Self::Create,
        Self::Read,
        Self::List,
        Self::Update,
        Self::Destroy,
        Self::Trigger,
        Self::Export,
        Self::Admin,
    ];

    /// The word for it in a policy and in a log.
    pub fn word(self) -> &'static str {
        match self {
            Self::Create => "create",
            Self::Read => "show",
            Self::List => "list",
            Self::Update => "update",
            Self::Destroy => "destroy",
            Self::Trigger => "trigger",
            Self::Export => "export",
            Self::Admin => "admin",
        }
    }

    pub(crate) fn bit(self) -> u8 {
        1 << self as u8
    }
}

/// A set of actions. On the wire a list of words, where `read` is `show` and `list` together.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Actions(u8);

impl Actions {
    /// Whether this action is among them.
    pub fn contains(self, action: Action) -> bool {
        self.0 & action.bit() != 0
    }

    /// Each action among them.
    pub fn iter(self) -> impl Iterator<Item = Action> {
        Action::ALL.into_iter().filter(move |action| self.contains(*action))
    }
}

impl FromIterator<Action> for Actions {
    fn from_iter<I: IntoIterator<Item = Action>>(actions: I) -> Self {
        Self(actions.into_iter().fold(0, |bits, action| bits | action.bit()))
    }
}

impl Serialize for Actions {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        let both = self.contains(Action::Read) && self.contains(Action::List);
        let mut words = to.serialize_seq(None)?;
        for action in self.iter() {
            match action {
                Action::Read if both => words.serialize_element("read")?,
                Action::List if both => {}
                action => words.serialize_element(action.word())?,
            }
        }
        words.end()
    }
}

impl<'de> Deserialize<'de> for Actions {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        from.deserialize_seq(Words)
    }
}

struct Words;

impl<'de> Visitor<'de> for Words {
    type Value = Actions;

    fn expecting(&self, to: &mut fmt::Formatter) -> fmt::Result {
        to.write_str("a list of actions")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Actions, A::Error> {
        let mut bits = 0;
        while let Some(word) = list.next_element::<String>()? {
            bits |= match Action::ALL.into_iter().find(|action| action.word() == word) {
                Some(action) => action.bit(),
                None if word == "read" => Action::Read.bit() | Action::List.bit(),
                None => return Err(A::Error::custom(format_args!("{word:?} is not an action"))),
            };
        }
        Ok(Actions(bits))
    }
}
