//! The kinds of things that permissions are about, and their numbers. Append-only: a number, once given,
//! never means something else.

use std::collections::HashMap;

/// The subjects that every guard knows, one a line: Commerce Layer's resources in the order of its
/// registry, then those that only its permission tables or its Provisioning API name.
const SUBJECTS: &str = include_str!("subjects.txt");

/// The names of the subjects that every guard knows.
pub fn subjects() -> impl Iterator<Item = &'static str> {
    SUBJECTS.lines()
}

/// More subjects than any service has; keeps a compiled role small.
const MOST_SUBJECTS: usize = 1024;

/// The number of a subject in the registry of one guard.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SubjectId(pub(super) u16);

/// The subjects that a guard knows, by name.
#[derive(Debug)]
pub struct Registry {
    numbers: HashMap<Box<str>, SubjectId>,
}

/// More subjects than the registry has numbers for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a guard knows at most 1024 subjects")]
pub struct RegistryFull;

impl Registry {
    /// The registry with a service's own subjects added. A name that is there already keeps its number.
    pub(crate) fn with(own: &[String]) -> Result<Self, RegistryFull> {
        let mut numbers = HashMap::new();
        for name in SUBJECTS.lines().chain(own.iter().map(String::as_str)) {
            let next = u16::try_from(numbers.len()).map_err(|_| RegistryFull)?;
            numbers.entry(name.into()).or_insert(SubjectId(next));
        }
        if numbers.len() > MOST_SUBJECTS { Err(RegistryFull) } else { Ok(Self { numbers }) }
    }

    /// The number of a subject, by its name letter for letter.
    pub fn find(&self, name: &str) -> Option<SubjectId> {
        self.numbers.get(name).copied()
    }

    /// Every subject by its name, in alphabetical order.
    pub(super) fn named(&self) -> impl Iterator<Item = (&str, SubjectId)> {
        let mut all: Vec<_> = self.numbers.iter().map(|(name, id)| (&**name, *id)).collect();
        all.sort_unstable_by_key(|(name, _)| *name);
        all.into_iter()
    }

    /// Every subject.
    pub(super) fn all(&self) -> impl Iterator<Item = SubjectId> {
        self.numbers.values().copied()
    }

    /// How many subjects there are.
    pub(super) fn size(&self) -> usize {
        self.numbers.len()
    }
}

/// A way to name a subject: by its name, or by its number looked up before.
pub trait Subject {
    /// The number of the subject, if the guard knows it.
    fn find(&self, registry: &Registry) -> Option<SubjectId>;
}

impl Subject for &str {
    fn find(&self, registry: &Registry) -> Option<SubjectId> {
        registry.find(self)
    }
}

impl Subject for SubjectId {
    fn find(&self, _: &Registry) -> Option<SubjectId> {
        Some(*self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_once_given_stays() {
        let registry = Registry::with(&[]).unwrap();
        for (name, number) in [
            ("addresses", 0),
            ("orders", 71),
            ("wire_transfers", 130),
            ("application", 131),
            ("versions", 143),
        ] {
            assert_eq!(registry.find(name), Some(SubjectId(number)), "{name}");
        }
        assert_eq!(registry.size(), 144);
    }

    #[test]
    fn a_service_adds_subjects_after_all_others() {
        let own = ["loyalty_points".to_owned(), "orders".to_owned()];
        let registry = Registry::with(&own).unwrap();
        assert_eq!(registry.find("loyalty_points"), Some(SubjectId(144)));
        assert_eq!(registry.find("orders"), Some(SubjectId(71)));
        assert_eq!(registry.find("Orders"), None);
        assert_eq!(registry.find(""), None);
        let many: Vec<_> = (0..2000).map(|number| number.to_string()).collect();
        assert_eq!(Registry::with(&many).unwrap_err(), RegistryFull);
    }
}
