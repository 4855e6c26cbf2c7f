//! The sheet on which mistakes are noted while a file is read, and the names that one part of the file may
//! use of another.

use std::collections::{HashMap, HashSet};
use std::ops::Range;

use portcullis_authority::keyring::ALGORITHMS;

use super::file::{File, Text};
use super::mistake::{Mistake, Mistakes, line_of};

/// Notes mistakes; knows organizations, roles and users by name.
pub struct Sheet<'a> {
    text: &'a str,
    /// Ids by slug and by id.
    organizations: HashMap<&'a str, &'a str>,
    /// When there is only one, it need not be named.
    only: Option<&'a str>,
    enterprises: HashSet<&'a str>,
    roles: HashSet<(&'a str, &'a str)>,
    users: HashSet<&'a str>,
    seen: HashSet<(String, String)>,
    mistakes: Vec<Mistake>,
}

impl<'a> Sheet<'a> {
    pub fn new(text: &'a str, file: &'a File) -> Self {
        let all = &file.organizations;
        let mut organizations: HashMap<_, _> = all.iter().map(|it| (it.id(), it.id())).collect();
        organizations.extend(all.iter().map(|it| (it.slug.get_ref().as_str(), it.id())));
        let only = match all.as_slice() {
            [one] => Some(one.id()),
            _ => None,
        };
        let mut roles: HashSet<_> =
            all.iter().flat_map(|it| [(it.id(), "admin"), (it.id(), "read_only")]).collect();
        for role in &file.roles {
            let named = role.organization.as_ref().map(|text| text.get_ref().as_str());
            if let Some(id) = named.map_or(only, |name| organizations.get(name).copied()) {
                roles.insert((id, role.id.get_ref()));
            }
        }
        Self {
            text,
            only,
            enterprises: all.iter().filter(|it| it.enterprise).map(|it| it.id()).collect(),
            organizations,
            roles,
            users: file.users.iter().map(|user| user.id.get_ref().as_str()).collect(),
            seen: HashSet::new(),
            mistakes: Vec::new(),
        }
    }

    /// # Errors
    /// Everything that was noted.
    pub fn finish(self) -> Result<(), Mistakes> {
        if self.mistakes.is_empty() { Ok(()) } else { Err(Mistakes(self.mistakes)) }
    }

    /// Whether nothing is wrong so far, so that slow work is worth doing.
    pub fn is_clean(&self) -> bool {
        self.mistakes.is_empty()
    }

    pub fn wrong(&mut self, at: &Text, key: String, sentence: impl Into<String>) {
        self.wrong_at(at.span(), key, sentence);
    }

    pub fn wrong_at(&mut self, span: Range<usize>, key: String, sentence: impl Into<String>) {
        let line = line_of(self.text, &span);
        self.mistakes.push(Mistake { line, key, sentence: sentence.into() });
    }

    /// Ids stand in tokens, addresses and `client:<id>`, so they hold no colon and nothing to escape.
    pub fn id(&mut self, text: &Text, key: String) {
        let id = text.get_ref();
        let plain = id.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-'));
        if !plain || id.is_empty() || id.len() > 64 {
            self.wrong(text, key, format!("{id:?} must be 1 to 64 letters, digits, _ and -."));
        }
    }

    /// Notes a name that is used twice for the same kind of thing.
    pub fn once(&mut self, what: &str, text: &Text, key: String) {
        if !self.seen.insert((what.to_owned(), text.get_ref().clone())) {
            self.wrong(text, key, format!("{:?} is used twice.", text.get_ref()));
        }
    }

    /// The id of the organization that is named, or of the only one. `beside` is where to point when none
    /// is named.
    pub fn organization(&mut self, named: Option<&Text>, beside: &Text, key: String) -> String {
        let found = match named {
            Some(name) => self.organizations.get(name.get_ref().as_str()).copied(),
            None => self.only,
        };
        match (found, named) {
            (Some(id), _) => return id.to_owned(),
            (None, Some(name)) => {
                self.wrong(name, key, format!("there is no organization {:?} in this file.", name.get_ref()));
            }
            (None, None) if self.organizations.is_empty() => {
                self.wrong(beside, key, "there is no organization in this file.");
            }
            (None, None) => self.wrong(beside, key, "say which organization: this file has several."),
        }
        String::new()
    }

    /// The same without a note: empty when it is not known.
    pub fn known_organization(&self, named: Option<&Text>) -> String {
        let found = match named {
            Some(name) => self.organizations.get(name.get_ref().as_str()).copied(),
            None => self.only,
        };
        found.unwrap_or_default().to_owned()
    }

    pub fn is_enterprise(&self, organization: &str) -> bool {
        self.enterprises.contains(organization)
    }

    pub fn role(&mut self, organization: &str, role: &Text, key: String) {
        if !organization.is_empty() && !self.roles.contains(&(organization, role.get_ref().as_str())) {
            self.wrong(role, key, format!("there is no role {:?} in this organization.", role.get_ref()));
        }
    }

    pub fn user(&mut self, user: &Text, key: String) {
        if !self.users.contains(user.get_ref().as_str()) {
            self.wrong(user, key, format!("there is no user {:?} in this file.", user.get_ref()));
        }
    }

    pub fn algorithm(&mut self, named: Option<&Text>, key: String) {
        if let Some(text) = named
            && !ALGORITHMS.contains(&text.get_ref().as_str())
        {
            self.wrong(text, key, format!("{:?} is not one of {}.", text.get_ref(), ALGORITHMS.join(", ")));
        }
    }
}
