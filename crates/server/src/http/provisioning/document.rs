//! Documents of JSON:API, read and written.

use std::collections::HashSet;

use portcullis_authority::provisioning::{
    Declined, Draft, Estate, Found, Kind, Objection, Page, Place, Provisioning, Resource, To,
};
use serde::Deserialize;
use serde_json::{Map, Value, json};
use url::form_urlencoded;

use super::question::Question;

#[derive(Deserialize)]
struct Document {
    data: Data,
}

#[derive(Deserialize)]
struct Data {
    #[serde(rename = "type")]
    kind: String,
    #[serde(default)]
    attributes: Map<String, Value>,
    #[serde(default)]
    relationships: Map<String, Value>,
}

#[derive(Deserialize)]
struct Identifier {
    #[serde(rename = "type")]
    kind: String,
    id: String,
}

/// Reads the draft of a thing.
///
/// # Errors
/// An objection to the document or one of its relationships.
pub fn read(body: &[u8], kind: Kind) -> Result<Draft, Declined> {
    let object =
        |pointer, detail: &'static str| Objection { place: Place::Document(pointer), detail: detail.into() };
    let document: Document = serde_json::from_slice(body)
        .map_err(|_| object("", "The body is not a JSON:API document with data and a type."))?;
    let Data { kind: told, attributes, relationships } = document.data;
    if told != kind.word() {
        return Err(object("/data/type", "The type is not that of this address.").into());
    }
    let mut draft = Draft { attributes, ..Draft::default() };
    for (name, value) in relationships {
        let wrong = || Objection::relationship(&name, "has no data that names resources");
        let ids = match value.get("data") {
            Some(Value::Null) => Vec::new(),
            Some(Value::Array(list)) => {
                list.iter().map(identifier).collect::<Option<Vec<_>>>().ok_or_else(wrong)?
            }
            Some(one) => vec![identifier(one).ok_or_else(wrong)?],
            None => return Err(wrong().into()),
        };
        draft.relationships.insert(name, ids);
    }
    Ok(draft)
}

fn identifier(value: &Value) -> Option<(String, String)> {
    let it: Identifier = Deserialize::deserialize(value).ok()?;
    Some((it.kind, it.id))
}

/// Identifiers alone, for the address of a relationship itself.
pub fn identifiers(found: &Found) -> Value {
    let mut each = found.things.iter().map(|one| json!({ "type": one.kind.word(), "id": one.id }));
    let data = if found.several { each.collect() } else { each.next().unwrap_or(Value::Null) };
    json!({ "data": data })
}

/// Writes documents as a question wants them, and none before it is noted whom it shows.
pub struct Writer<'a> {
    pub issuer: &'a str,
    pub counter: &'a Provisioning<'a>,
    pub question: &'a Question,
}

impl Writer<'_> {
    /// One thing, or none.
    ///
    /// # Errors
    /// An objection to an inclusion, or trouble.
    pub async fn one(
        &self,
        estate: &Estate,
        kind: Kind,
        thing: Option<&Resource>,
    ) -> Result<Value, Declined> {
        let things = thing.map(std::slice::from_ref).unwrap_or_default();
        let included = self.included(estate, kind, things).await?;
        self.counter.shows(estate, things.iter().chain(&included.things)).await?;
        let mut body = json!({ "data": thing.map(|thing| self.resource(thing, &included.followed)) });
        self.attach(&mut body, &included);
        Ok(body)
    }

    /// A part of a list, with the way to the others.
    ///
    /// # Errors
    /// An objection to an inclusion, or trouble.
    pub async fn page(
        &self,
        estate: &Estate,
        kind: Kind,
        page: &Page,
        path: &str,
    ) -> Result<Value, Declined> {
        let included = self.included(estate, kind, &page.things).await?;
        match &page.search {
            Some(search) => self.counter.finds(estate, search, &included.things).await?,
            None => self.counter.shows(estate, page.things.iter().chain(&included.things)).await?,
        }
        let data: Vec<Value> = page.things.iter().map(|one| self.resource(one, &included.followed)).collect();
        let mut body = json!({
            "data": data,
            "meta": { "record_count": page.records, "page_count": page.pages },
            "links": self.links(page, path),
        });
        self.attach(&mut body, &included);
        Ok(body)
    }

    fn attach(&self, body: &mut Value, included: &Included) {
        if !self.question.include.is_empty() {
            let each = included.things.iter().map(|one| self.resource(one, &included.followed));
            body["included"] = each.collect();
        }
    }

    fn links(&self, page: &Page, path: &str) -> Value {
        let at = |number: usize| {
            let mut query = form_urlencoded::Serializer::new(self.question.rest.clone());
            query.append_pair("page[number]", &number.to_string());
            format!("{}{path}?{}", self.issuer, query.finish())
        };
        let last = page.pages.max(1);
        let mut links = json!({ "first": at(1), "last": at(last) });
        if page.number > 1 {
            links["prev"] = at((page.number - 1).min(last)).into();
        }
        if page.number < last {
            links["next"] = at(page.number + 1).into();
        }
        links
    }

    fn resource(&self, it: &Resource, followed: &Followed) -> Value {
        let word = it.kind.word();
        let own = match it.kind {
            Kind::User => format!("{}/api/user", self.issuer),
            _ => format!("{}/api/{word}/{}", self.issuer, it.id),
        };
        let wanted = self.question.fields.get(word);
        let shows = |name: &str| wanted.is_none_or(|fields| fields.iter().any(|field| field == name));
        let attributes: Map<String, Value> = it
            .attributes
            .iter()
            .filter(|(name, _)| shows(name))
            .map(|(n, v)| (n.clone(), v.clone()))
            .collect();
        let mut relationships = Map::new();
        for link in it.links.iter().filter(|link| shows(link.name)) {
            let mut one = json!({ "links": {
                "self": format!("{own}/relationships/{}", link.name),
                "related": format!("{own}/{}", link.name),
            } });
            let of = |id: &String| json!({ "type": link.kind.word(), "id": id });
            match &link.to {
                To::One(id) => one["data"] = id.as_ref().map(of).unwrap_or(Value::Null),
                To::Many => {
                    let key = (it.kind, it.id.clone(), link.name);
                    if let Some((_, ids)) = followed.iter().find(|(known, _)| *known == key) {
                        one["data"] = ids.iter().map(of).collect();
                    }
                }
            }
            relationships.insert(link.name.into(), one);
        }
        let mut value =
            json!({ "id": it.id, "type": word, "links": { "self": own }, "attributes": attributes });
        if !relationships.is_empty() {
            value["relationships"] = relationships.into();
        }
        value
    }

    /// Follows the paths that are asked for, one step at a time; nothing comes twice.
    async fn included(&self, estate: &Estate, kind: Kind, from: &[Resource]) -> Result<Included, Declined> {
        for path in &self.question.include {
            steps(kind, path)?;
        }
        let mut found = Included::default();
        let mut seen: HashSet<(Kind, String)> = from.iter().map(|one| (one.kind, one.id.clone())).collect();
        for path in &self.question.include {
            let mut standing = from.to_vec();
            for name in path {
                let mut next = Vec::new();
                for one in &standing {
                    let there = self.follow(estate, one, name).await?;
                    found.note(one, name, &there);
                    next.extend(there);
                }
                let fresh = next.iter().filter(|one| seen.insert((one.kind, one.id.clone())));
                found.things.extend(fresh.cloned());
                standing = next;
            }
        }
        Ok(found)
    }

    async fn follow(&self, estate: &Estate, from: &Resource, name: &str) -> Result<Vec<Resource>, Declined> {
        match from.link(name).map(|link| link.kind) {
            Some(Kind::Version) => self.counter.versions_of(estate, from).await,
            Some(_) => Ok(estate.related(from, name).map(|(_, things)| things).unwrap_or_default()),
            None => Ok(Vec::new()),
        }
    }
}

/// Which ids a relationship to many led to.
type Followed = Vec<((Kind, String, &'static str), Vec<String>)>;

#[derive(Default)]
struct Included {
    things: Vec<Resource>,
    followed: Followed,
}

impl Included {
    fn note(&mut self, from: &Resource, name: &str, there: &[Resource]) {
        if let Some(link) = from.link(name) {
            let key = (from.kind, from.id.clone(), link.name);
            if !self.followed.iter().any(|(known, _)| *known == key) {
                self.followed.push((key, there.iter().map(|one| one.id.clone()).collect()));
            }
        }
    }
}

/// That a path leads somewhere, before anything on it is looked at.
fn steps(from: Kind, path: &[String]) -> Result<Kind, Declined> {
    path.iter().try_fold(from, |kind, name| {
        let why = || Objection::parameter("include", format!("{name:?} is not a relationship here"));
        Ok(leads_to(kind, name).ok_or_else(why)?)
    })
}

/// The kind behind a relationship; the same for every thing of a kind, so that an empty list refuses the
/// same inclusions as a full one.
fn leads_to(kind: Kind, name: &str) -> Option<Kind> {
    let many = |kind: Kind| (kind.word(), kind);
    let one = |kind: Kind| (kind.singular(), kind);
    use Kind::*;
    let known: &[(&str, Kind)] = match kind {
        Organization => &[many(Membership), many(Role), many(Permission), many(ApiCredential)],
        Role => &[one(Organization), many(Permission), many(Membership), many(ApiCredential), many(Version)],
        Permission => &[one(Organization), one(Role), many(Version)],
        ApiCredential => &[one(Organization), one(Role)],
        Membership => &[
            one(Organization),
            one(Role),
            one(MembershipProfile),
            many(ApplicationMembership),
            many(Version),
        ],
        MembershipProfile => &[one(Organization), many(ApplicationMembership)],
        ApplicationMembership => {
            &[one(Organization), one(Role), one(Membership), one(MembershipProfile), one(ApiCredential)]
        }
        IdentityProvider => &[one(User)],
        Version => &[one(Organization)],
        User => &[],
    };
    known.iter().find(|(known, _)| *known == name).map(|(_, kind)| *kind)
}
