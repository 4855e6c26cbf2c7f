//! JSON:API documents, coming and going (<https://jsonapi.org/format/1.1>). Knows no resource.

use std::future::Future;
use std::pin::Pin;

use actix_web::dev::Payload;
use actix_web::http::StatusCode;
use actix_web::http::header::{CACHE_CONTROL, LOCATION};
use actix_web::web::{Bytes, PayloadConfig, Query};
use actix_web::{FromRequest, HttpMessage, HttpRequest, HttpResponse};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use crate::wrong::Wrong;

/// What JSON:API is called on the wire.
pub const MEDIA_TYPE: &str = "application/vnd.api+json";
/// The largest document that is read, bytes.
const LARGEST: usize = 64 * 1024;
/// Resources on a page, as Commerce Layer has it: unless asked, and at most.
const PAGE: usize = 10;
const LARGEST_PAGE: usize = 25;

/// The limit, for the app to know.
pub fn limit() -> PayloadConfig {
    PayloadConfig::new(LARGEST)
}

/// A document that somebody sent.
#[derive(Deserialize)]
pub struct Document {
    data: Sent,
}

#[derive(Deserialize)]
struct Sent {
    #[serde(rename = "type")]
    kind: String,
    #[serde(default)]
    attributes: Value,
    #[serde(default)]
    relationships: Value,
}

impl Document {
    /// The attributes, for a resource of this type. One that the resource does not have is an error, since
    /// whoever sent it expects something of it.
    pub fn attributes<T: DeserializeOwned>(&self, kind: &str) -> Result<T, Wrong> {
        if self.data.kind != kind {
            return Err(Wrong::Unreadable(format!("the type of this resource is {kind:?}")));
        }
        let attributes = match &self.data.attributes {
            Value::Null => json!({}),
            attributes => attributes.clone(),
        };
        serde_json::from_value(attributes).map_err(|why| Wrong::Unreadable(why.to_string()))
    }

    /// The id of the resource that a relationship names, if it names one.
    pub fn related(&self, name: &str) -> Option<&str> {
        self.data.relationships.get(name)?.get("data")?.get("id")?.as_str()
    }
}

impl FromRequest for Document {
    type Error = Wrong;
    type Future = Pin<Box<dyn Future<Output = Result<Self, Wrong>>>>;

    fn from_request(request: &HttpRequest, payload: &mut Payload) -> Self::Future {
        let is_json = [MEDIA_TYPE, "application/json"].contains(&request.content_type());
        let body = Bytes::from_request(request, payload);
        Box::pin(async move {
            if !is_json {
                return Err(Wrong::MediaType);
            }
            let body = body.await.map_err(|why| match why.as_response_error().status_code() {
                StatusCode::PAYLOAD_TOO_LARGE => Wrong::TooLarge,
                _ => Wrong::Unreadable("the body did not arrive".into()),
            })?;
            serde_json::from_slice(&body).map_err(|why| Wrong::Unreadable(why.to_string()))
        })
    }
}

/// A resource as it goes out.
pub struct Resource<'a> {
    pub kind: &'static str,
    pub id: &'a str,
    pub attributes: Value,
    /// Names with the type and id of what they lead to.
    pub relationships: Vec<(&'static str, &'static str, &'a str)>,
}

impl Resource<'_> {
    fn to_json(&self) -> Value {
        let mut resource = json!({
            "id": self.id,
            "type": self.kind,
            "links": {"self": self.link()},
            "attributes": self.attributes,
        });
        if !self.relationships.is_empty() {
            let related = |(name, kind, id): &(&str, &str, &str)| {
                ((*name).to_owned(), json!({"data": {"type": kind, "id": id}}))
            };
            resource["relationships"] = Value::Object(self.relationships.iter().map(related).collect());
        }
        resource
    }

    fn link(&self) -> String {
        match self.kind {
            "organization" | "application" => format!("/api/{}", self.kind),
            kind => format!("/api/{kind}/{}", self.id),
        }
    }
}

/// One resource.
pub fn one(resource: &Resource<'_>) -> HttpResponse {
    reply(StatusCode::OK).body(json!({"data": resource.to_json()}).to_string())
}

/// One resource that is new.
pub fn created(resource: &Resource<'_>) -> HttpResponse {
    let mut reply = reply(StatusCode::CREATED);
    reply.insert_header((LOCATION, resource.link()));
    reply.body(json!({"data": resource.to_json()}).to_string())
}

/// A resource that is no more.
pub fn gone() -> HttpResponse {
    HttpResponse::NoContent().insert_header((CACHE_CONTROL, "no-store")).finish()
}

/// Which part of a collection is wanted.
#[derive(Deserialize)]
pub struct Paging {
    #[serde(rename = "page[number]")]
    number: Option<usize>,
    #[serde(rename = "page[size]")]
    size: Option<usize>,
}

/// A page of a collection. The numbers in `meta` count what the caller may see and nothing else.
pub fn page<T>(all: &[T], paging: &Query<Paging>, show: impl Fn(&T) -> Value) -> HttpResponse {
    let size = paging.size.unwrap_or(PAGE).clamp(1, LARGEST_PAGE);
    let number = paging.number.unwrap_or(1).max(1);
    let data: Vec<_> = all.iter().skip((number - 1).saturating_mul(size)).take(size).map(show).collect();
    let meta = json!({"record_count": all.len(), "page_count": all.len().div_ceil(size)});
    reply(StatusCode::OK).body(json!({"data": data, "meta": meta}).to_string())
}

/// A resource inside a page.
pub fn listed(resource: &Resource<'_>) -> Value {
    resource.to_json()
}

/// Answers are for whoever showed the token, so no cache may keep them.
fn reply(status: StatusCode) -> actix_web::HttpResponseBuilder {
    let mut reply = HttpResponse::build(status);
    reply.content_type(MEDIA_TYPE).insert_header((CACHE_CONTROL, "no-store"));
    reply
}
