//! What a caller wants a thing to be: attributes and relationships, read one by one with every objection
//! noted, so that all mistakes are named at once.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value};

use super::{Card, Declined, Kind, Objection};

/// More of a text than any name has.
const LONGEST_TEXT: usize = 255;
/// Bytes of a JSON object that somebody wants kept.
const LARGEST_OBJECT: usize = 8 * 1024;

/// The parsed document of a create or an update.
#[derive(Clone, Debug, Default)]
pub struct Draft {
    pub attributes: Map<String, Value>,
    /// Types and ids by relationship; null is an empty list.
    pub relationships: BTreeMap<String, Vec<(String, String)>>,
}

/// Reads a draft.
pub struct Reader<'a> {
    draft: &'a Draft,
    /// On an update what is left out stays.
    creating: bool,
    read: BTreeSet<&'static str>,
    objections: Vec<Objection>,
}

impl<'a> Reader<'a> {
    pub fn new(draft: &'a Draft, creating: bool) -> Self {
        Self { draft, creating, read: BTreeSet::new(), objections: Vec::new() }
    }

    /// A text that must be there when a thing is made, and can never be emptied.
    pub fn required(&mut self, name: &'static str) -> Option<String> {
        match self.optional(name) {
            Some(Some(text)) => Some(text),
            Some(None) => self.object(Objection::attribute(name, "cannot be blank")),
            None if self.creating && !self.objects_to(name) => {
                self.object(Objection::attribute(name, "must be given"))
            }
            None => None,
        }
    }

    /// A text that may be null: `None` when it is left out.
    pub fn optional(&mut self, name: &'static str) -> Option<Option<String>> {
        match self.value(name)? {
            Value::Null => Some(None),
            Value::String(text) if text.len() > LONGEST_TEXT => {
                self.object(Objection::attribute(name, "is longer than 255 characters"))
            }
            Value::String(text) if text.chars().any(char::is_control) => {
                self.object(Objection::attribute(name, "has control characters"))
            }
            Value::String(text) if text.trim().is_empty() => Some(None),
            Value::String(text) => Some(Some(text.trim().to_owned())),
            _ => self.object(Objection::attribute(name, "must be a text")),
        }
    }

    /// One of a few words.
    pub fn word(&mut self, name: &'static str, words: &[&str]) -> Option<String> {
        let given = self.optional(name)??;
        if words.contains(&given.as_str()) {
            return Some(given);
        }
        self.object(Objection::attribute(name, format!("must be one of {}", words.join(", "))))
    }

    /// Yes or no; null counts as left out.
    pub fn flag(&mut self, name: &'static str) -> Option<bool> {
        match self.value(name)? {
            Value::Null => None,
            Value::Bool(flag) => Some(*flag),
            _ => self.object(Objection::attribute(name, "must be true or false")),
        }
    }

    /// A whole number; null is `Some(None)`.
    pub fn number(&mut self, name: &'static str, from: u64, to: u64) -> Option<Option<u64>> {
        match self.value(name)? {
            Value::Null => Some(None),
            value => match value.as_u64().filter(|number| (from..=to).contains(number)) {
                Some(number) => Some(Some(number)),
                None => self.object(Objection::attribute(
                    name,
                    format!("must be a whole number between {from} and {to}"),
                )),
            },
        }
    }

    /// An object that is kept as it is; null is an empty one.
    pub fn object_of(&mut self, name: &'static str) -> Option<Map<String, Value>> {
        match self.value(name)? {
            Value::Null => Some(Map::new()),
            Value::Object(map) if self.value(name)?.to_string().len() <= LARGEST_OBJECT => Some(map.clone()),
            Value::Object(_) => self.object(Objection::attribute(name, "is larger than 8 kB")),
            _ => self.object(Objection::attribute(name, "must be an object")),
        }
    }

    /// A list of texts.
    pub fn list(&mut self, name: &'static str) -> Option<Vec<String>> {
        let value = self.value(name)?;
        let texts = value.as_array().map(|list| list.iter().map(|one| one.as_str().map(str::to_owned)));
        match texts.and_then(|texts| texts.collect::<Option<Vec<_>>>()) {
            Some(texts) if texts.len() <= 100 => Some(texts),
            _ => self.object(Objection::attribute(name, "must be a list of at most 100 texts")),
        }
    }

    /// The id of a thing that this one belongs to: `None` when left out, `Some(None)` for null.
    pub fn one(&mut self, name: &'static str, kind: Kind) -> Option<Option<String>> {
        let ids = self.many(name, kind)?;
        if ids.len() > 1 {
            return self.object(Objection::relationship(name, "can only be one"));
        }
        Some(ids.into_iter().next())
    }

    /// The same where there must be one.
    pub fn required_one(&mut self, name: &'static str, kind: Kind) -> Option<String> {
        match self.one(name, kind) {
            Some(Some(id)) => Some(id),
            Some(None) => self.object(Objection::relationship(name, "must exist")),
            None if self.creating && !self.objects_to(name) => {
                self.object(Objection::relationship(name, "must exist"))
            }
            None => None,
        }
    }

    /// The ids of several things.
    pub fn many(&mut self, name: &'static str, kind: Kind) -> Option<Vec<String>> {
        self.read.insert(name);
        let ids = self.draft.relationships.get(name)?;
        if ids.iter().any(|(word, _)| word != kind.word()) {
            return self.object(Objection::relationship(name, format!("must be of type {}", kind.word())));
        }
        Some(ids.iter().map(|(_, id)| id.clone()).collect())
    }

    /// The attributes that everything has.
    pub fn common(&mut self, card: &mut Card, now_ms: u64) {
        card.updated_at = now_ms;
        if let Some(reference) = self.optional("reference") {
            card.reference = reference;
        }
        if let Some(origin) = self.optional("reference_origin") {
            card.reference_origin = origin;
        }
        if let Some(metadata) = self.object_of("metadata") {
            card.metadata = metadata;
        }
    }

    /// Notes an objection; the answer is always nothing.
    pub fn object<T>(&mut self, objection: Objection) -> Option<T> {
        self.objections.push(objection);
        None
    }

    /// The end of reading: every objection, among them to names that nobody knows. `shown` are the
    /// attributes that a thing has anyway: a caller who sends a whole resource back means the rest of it.
    ///
    /// # Errors
    /// [`Declined::Invalid`].
    pub fn finish(mut self, shown: &[&str]) -> Result<(), Declined> {
        for name in self.draft.attributes.keys() {
            if !self.read.contains(name.as_str()) && !shown.contains(&name.as_str()) {
                self.objections.push(Objection::attribute(name, "is not known here"));
            }
        }
        for name in self.draft.relationships.keys() {
            if !self.read.contains(name.as_str()) && !shown.contains(&name.as_str()) {
                self.objections.push(Objection::relationship(name, "cannot be set here"));
            }
        }
        if self.objections.is_empty() { Ok(()) } else { Err(Declined::Invalid(self.objections)) }
    }

    fn value(&mut self, name: &'static str) -> Option<&'a Value> {
        self.read.insert(name);
        self.draft.attributes.get(name)
    }

    fn objects_to(&self, name: &str) -> bool {
        self.objections.iter().any(|objection| match &objection.place {
            super::Place::Attribute(known) | super::Place::Relationship(known) => known == name,
            _ => false,
        })
    }
}
