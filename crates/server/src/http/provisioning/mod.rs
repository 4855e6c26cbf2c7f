//! The Provisioning API under `/api`: reads a request, makes one call to the rules, writes a document. The
//! addresses are the same for every kind of thing, so that no kind can be forgotten by a check.

mod document;
mod question;

use actix_web::http::{Method, header};
use actix_web::{HttpRequest, HttpResponse, web};
use portcullis_authority::ask::Origin;
use portcullis_authority::provisioning::{Declined, Draft, Found, Kind, Outcome, Provisioning};

use super::addresses::Addresses;
use super::heard::{bearer, whole};
use super::reply::json_api::{self, Unmade};
use super::visit;
use crate::house::House;
use document::Writer;
use question::Question;

type Answer = Result<HttpResponse, Unmade>;

/// Every address of the API.
pub fn routes(at: &mut Addresses<'_>) {
    let thing = "/api/{kind}/{id}";
    at.route(Method::GET, "/api/user", show_user);
    at.route(Method::PATCH, "/api/user", update_user);
    at.route(Method::GET, "/api/{kind}", list);
    at.route(Method::POST, "/api/{kind}", create);
    at.route(Method::GET, thing, show);
    at.route(Method::PATCH, thing, update);
    at.route(Method::DELETE, thing, destroy);
    at.route(Method::POST, "/api/memberships/{id}/resend", resend);
    at.route(Method::POST, "/api/memberships/{id}/accept", accept);
    at.route(Method::PATCH, "/api/organizations/{id}/transfer_ownership", transfer);
    at.route(Method::GET, "/api/{kind}/{id}/{link}", related);
    at.route(Method::GET, "/api/{kind}/{id}/relationships/{link}", identifiers);
}

/// What every handler has at hand.
struct Visit {
    house: web::Data<House>,
    request: HttpRequest,
    origin: Origin,
    question: Question,
}

impl Visit {
    fn begin(house: web::Data<House>, request: HttpRequest) -> Result<Self, Unmade> {
        let question = Question::read(request.query_string())?;
        let origin = visit::origin(&request);
        Ok(Self { house, request, origin, question })
    }

    async fn counter(&self) -> Result<Provisioning<'_>, Declined> {
        let token = bearer(&self.request).map_err(Declined::Unknown)?;
        Provisioning::open(self.house.authority.desk(), token, &self.origin).await
    }

    /// The draft in a body; its type must be what the address says.
    async fn draft(&self, payload: web::Payload, kind: Kind) -> Result<Draft, Unmade> {
        let told = self.request.headers().get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok());
        let essence = told.unwrap_or_default().split(';').next().unwrap_or_default().trim();
        if !matches!(essence, "application/vnd.api+json" | "application/json") {
            return Err(Unmade::WrongType);
        }
        Ok(document::read(&whole(&self.request, Ok(payload)).await?, kind)?)
    }

    fn writer<'a>(&'a self, counter: &'a Provisioning<'a>) -> Writer<'a> {
        Writer { issuer: &self.house.settings.issuer, counter, question: &self.question }
    }

    /// What was found, whichever it is: a page of things, one, or none.
    async fn show(&self, counter: &Provisioning<'_>, found: Found) -> Answer {
        visit::stands(&self.request, counter.standing(false));
        let writer = self.writer(counter);
        let Found { kind, things, estate, several } = found;
        let body = if several {
            let page = self.question.list.run(&estate, kind, things)?;
            let path = self.request.path();
            writer.page(&estate, kind, &page, path).await?
        } else {
            writer.one(&estate, kind, things.first()).await?
        };
        Ok(json_api::document(&body))
    }

    async fn changed(
        &self,
        counter: &Provisioning<'_>,
        kind: Kind,
        done: &Outcome,
    ) -> Result<serde_json::Value, Unmade> {
        visit::stands(&self.request, counter.standing(true));
        Ok(self.writer(counter).one(&done.estate, kind, done.thing.as_ref()).await?)
    }
}

/// The kind that an address names; the user has an address of its own.
fn kind_of(word: &str) -> Result<Kind, Declined> {
    Kind::named(word).filter(|kind| *kind != Kind::User).ok_or(Declined::Missing)
}

async fn list(house: web::Data<House>, request: HttpRequest, path: web::Path<String>) -> Answer {
    let visit = Visit::begin(house, request)?;
    let counter = visit.counter().await?;
    let found = counter.list(kind_of(&path)?).await?;
    visit.show(&counter, found).await
}

async fn show(house: web::Data<House>, request: HttpRequest, path: web::Path<(String, String)>) -> Answer {
    let visit = Visit::begin(house, request)?;
    let counter = visit.counter().await?;
    let found = counter.show(kind_of(&path.0)?, &path.1).await?;
    visit.show(&counter, found).await
}

async fn show_user(house: web::Data<House>, request: HttpRequest) -> Answer {
    let visit = Visit::begin(house, request)?;
    let counter = visit.counter().await?;
    let found = counter.show(Kind::User, "").await?;
    visit.show(&counter, found).await
}

async fn related(
    house: web::Data<House>,
    request: HttpRequest,
    path: web::Path<(String, String, String)>,
) -> Answer {
    let visit = Visit::begin(house, request)?;
    let counter = visit.counter().await?;
    let found = counter.related(kind_of(&path.0)?, &path.1, &path.2).await?;
    visit.show(&counter, found).await
}

async fn identifiers(
    house: web::Data<House>,
    request: HttpRequest,
    path: web::Path<(String, String, String)>,
) -> Answer {
    let visit = Visit::begin(house, request)?;
    let counter = visit.counter().await?;
    let found = counter.related(kind_of(&path.0)?, &path.1, &path.2).await?;
    Ok(json_api::document(&document::identifiers(&found)))
}

async fn create(
    house: web::Data<House>,
    request: HttpRequest,
    path: web::Path<String>,
    payload: web::Payload,
) -> Answer {
    let visit = Visit::begin(house, request)?;
    let counter = visit.counter().await?;
    let kind = kind_of(&path)?;
    let draft = visit.draft(payload, kind).await?;
    let done = counter.create(kind, &draft).await?;
    Ok(json_api::created(&visit.changed(&counter, kind, &done).await?))
}

async fn update(
    house: web::Data<House>,
    request: HttpRequest,
    path: web::Path<(String, String)>,
    payload: web::Payload,
) -> Answer {
    let visit = Visit::begin(house, request)?;
    let counter = visit.counter().await?;
    let kind = kind_of(&path.0)?;
    let draft = visit.draft(payload, kind).await?;
    let done = counter.update(kind, &path.1, &draft).await?;
    Ok(json_api::document(&visit.changed(&counter, kind, &done).await?))
}

async fn update_user(house: web::Data<House>, request: HttpRequest, payload: web::Payload) -> Answer {
    let visit = Visit::begin(house, request)?;
    let counter = visit.counter().await?;
    let draft = visit.draft(payload, Kind::User).await?;
    let done = counter.update(Kind::User, "", &draft).await?;
    Ok(json_api::document(&visit.changed(&counter, Kind::User, &done).await?))
}

async fn destroy(house: web::Data<House>, request: HttpRequest, path: web::Path<(String, String)>) -> Answer {
    let visit = Visit::begin(house, request)?;
    let counter = visit.counter().await?;
    counter.destroy(kind_of(&path.0)?, &path.1).await?;
    Ok(json_api::gone())
}

async fn resend(house: web::Data<House>, request: HttpRequest, path: web::Path<String>) -> Answer {
    let visit = Visit::begin(house, request)?;
    let counter = visit.counter().await?;
    let done = counter.resend(&path).await?;
    Ok(json_api::accepted(&done.once.into()))
}

async fn accept(
    house: web::Data<House>,
    request: HttpRequest,
    path: web::Path<String>,
    payload: web::Payload,
) -> Answer {
    let visit = Visit::begin(house, request)?;
    let counter = visit.counter().await?;
    let draft = visit.draft(payload, Kind::Membership).await?;
    let done = counter.accept(&path, &draft).await?;
    Ok(json_api::document(&visit.changed(&counter, Kind::Membership, &done).await?))
}

async fn transfer(
    house: web::Data<House>,
    request: HttpRequest,
    path: web::Path<String>,
    payload: web::Payload,
) -> Answer {
    let visit = Visit::begin(house, request)?;
    let counter = visit.counter().await?;
    let draft = visit.draft(payload, Kind::Organization).await?;
    counter.transfer(&path, &draft).await?;
    Ok(json_api::accepted(&serde_json::json!({})))
}
