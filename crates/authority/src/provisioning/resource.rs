//! A thing as the Provisioning API shows it, and what was different before a change.

use serde_json::{Map, Value, json};

use super::card::time;
use super::{Card, Kind};

/// A thing.
#[derive(Clone, Debug, PartialEq)]
pub struct Resource {
    pub kind: Kind,
    pub id: String,
    /// Organization id; empty for users.
    pub organization: String,
    pub attributes: Map<String, Value>,
    pub links: Vec<Link>,
}

/// A relationship.
#[derive(Clone, Debug, PartialEq)]
pub struct Link {
    pub name: &'static str,
    pub kind: Kind,
    pub to: To,
}

/// Where a relationship leads.
#[derive(Clone, Debug, PartialEq)]
pub enum To {
    One(Option<String>),
    /// Found when asked for; see [`super::Estate::related`].
    Many,
}

impl Resource {
    /// A thing with what everything has.
    pub fn new(kind: Kind, id: &str, organization: &str, attributes: Value, card: Option<&Card>) -> Self {
        let mut attributes = match attributes {
            Value::Object(map) => map,
            _ => Map::new(),
        };
        let stamp = |of: fn(&Card) -> u64| card.map_or(Value::Null, |card| time(of(card)));
        attributes.insert("created_at".into(), stamp(|card| card.created_at));
        attributes.insert("updated_at".into(), stamp(|card| card.updated_at));
        attributes.insert("reference".into(), json!(card.and_then(|card| card.reference.as_ref())));
        attributes
            .insert("reference_origin".into(), json!(card.and_then(|card| card.reference_origin.as_ref())));
        attributes
            .insert("metadata".into(), json!(card.map(|card| card.metadata.clone()).unwrap_or_default()));
        Self { kind, id: id.into(), organization: organization.into(), attributes, links: Vec::new() }
    }

    pub fn one(mut self, name: &'static str, kind: Kind, id: Option<&str>) -> Self {
        self.links.push(Link { name, kind, to: To::One(id.map(str::to_owned)) });
        self
    }

    pub fn many(mut self, name: &'static str, kind: Kind) -> Self {
        self.links.push(Link { name, kind, to: To::Many });
        self
    }

    pub fn link(&self, name: &str) -> Option<&Link> {
        self.links.iter().find(|link| link.name == name)
    }

    /// The id behind a relationship to one.
    pub fn leads_to(&self, name: &str) -> Option<&str> {
        match &self.link(name)?.to {
            To::One(id) => id.as_deref(),
            To::Many => None,
        }
    }

    /// Old and new of everything that differs; the time of the change goes without saying.
    pub fn differences(before: Option<&Self>, after: Option<&Self>) -> Map<String, Value> {
        let flat = |one: Option<&Self>| {
            let mut values = Map::new();
            if let Some(one) = one {
                values.extend(one.attributes.clone());
                for link in &one.links {
                    if let To::One(id) = &link.to {
                        values.insert(format!("{}_id", link.name), json!(id));
                    }
                }
            }
            values.remove("updated_at");
            values.remove("created_at");
            values
        };
        let (old, new) = (flat(before), flat(after));
        let names: std::collections::BTreeSet<&String> = old.keys().chain(new.keys()).collect();
        let value = |map: &Map<String, Value>, name: &String| map.get(name).cloned().unwrap_or(Value::Null);
        let pairs = names.into_iter().map(|name| (name.clone(), value(&old, name), value(&new, name)));
        pairs
            .filter(|(_, was, is)| was != is)
            .map(|(name, was, is)| (name, Value::Array(vec![was, is])))
            .collect()
    }
}
