//! The query of a request: filters, sorting, pages, sparse fieldsets and inclusions. Anything else is
//! refused by name, because a filter that is misspelt and left out shows more than was asked for.

use std::collections::HashMap;

use portcullis_authority::provisioning::{LARGEST_PAGE, Objection, Query, USUAL_PAGE};
use url::form_urlencoded;

/// Relationships that one request may follow, and how far.
const MOST_INCLUSIONS: usize = 20;
const DEEPEST: usize = 3;

/// What is asked beside the address.
#[derive(Debug, Default)]
pub struct Question {
    pub list: Query,
    /// Attributes and relationships to show, by type.
    pub fields: HashMap<String, Vec<String>>,
    /// Paths of relationships.
    pub include: Vec<Vec<String>>,
    /// The parameters but the page number, for links to other pages.
    pub rest: String,
}

impl Question {
    /// # Errors
    /// An objection to a parameter.
    pub fn read(query: &str) -> Result<Self, Objection> {
        let mut it =
            Self { list: Query { number: 1, size: USUAL_PAGE, ..Query::default() }, ..Self::default() };
        let mut rest = form_urlencoded::Serializer::new(String::new());
        for (name, value) in form_urlencoded::parse(query.as_bytes()) {
            if name != "page[number]" {
                rest.append_pair(&name, &value);
            }
            it.take(&name, &value)?;
        }
        it.rest = rest.finish();
        Ok(it)
    }

    fn take(&mut self, name: &str, value: &str) -> Result<(), Objection> {
        if let Some(filter) = inside(name, "filter[q][") {
            self.list.filters.push((filter.to_owned(), value.to_owned()));
            return Ok(());
        }
        if let Some(kind) = inside(name, "fields[") {
            self.fields.insert(kind.to_owned(), split(value));
            return Ok(());
        }
        let number = |most: usize| {
            let fits = value.parse().ok().filter(|number| (1..=most).contains(number));
            fits.ok_or_else(|| Objection::parameter(name, format!("must be between 1 and {most}")))
        };
        match name {
            "page[number]" => self.list.number = number(1_000_000)?,
            "page[size]" => self.list.size = number(LARGEST_PAGE)?,
            "sort" => self.list.sort = split(value),
            "include" => {
                self.include =
                    split(value).iter().map(|path| path.split('.').map(str::to_owned).collect()).collect();
                if self.include.len() > MOST_INCLUSIONS
                    || self.include.iter().any(|path| path.len() > DEEPEST)
                {
                    return Err(Objection::parameter(name, "asks for too much at once"));
                }
            }
            _ => return Err(Objection::parameter(name, "is not a parameter that is known here")),
        }
        Ok(())
    }
}

fn inside<'a>(name: &'a str, opening: &str) -> Option<&'a str> {
    name.strip_prefix(opening)?.strip_suffix(']').filter(|inside| !inside.is_empty())
}

fn split(list: &str) -> Vec<String> {
    list.split(',').map(str::trim).filter(|one| !one.is_empty()).map(str::to_owned).collect()
}
