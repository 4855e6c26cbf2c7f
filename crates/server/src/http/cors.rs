//! Which browser pages may call the token and revocation endpoints: exactly those whose origin is listed
//! by the application that the request names. Cookies never count here, so credentials are never allowed.
//!
//! A preflight names no application, so it is answered for an origin that any application lists; the
//! request after it is held to its own.

use actix_web::body::{EitherBody, MessageBody};
use actix_web::dev::{ServiceRequest, ServiceResponse};
use actix_web::http::Method;
use actix_web::http::header::{self, HeaderMap, HeaderValue};
use actix_web::middleware::Next;
use actix_web::{Error, HttpMessage as _};
use portcullis_authority::registry::Directory;

use super::reply;
use super::visit::{self, Named};

/// What a page may read of an answer beside its body.
const SHOWN: &str = "x-request-id, retry-after, revocation-position, x-ratelimit-limit, x-ratelimit-interval, x-ratelimit-remaining";

/// Answers preflights and opens answers to the pages that may read them.
pub async fn admit<B: MessageBody>(
    request: ServiceRequest,
    next: Next<B>,
) -> Result<ServiceResponse<EitherBody<B>>, Error> {
    let asked = Asked::of(request.headers());
    let directory = visit::house(&request)?.authority.desk().registry.directory();
    if request.method() == Method::OPTIONS {
        let mut answer = request.into_response(reply::preflight()).map_into_right_body();
        asked.answer_preflight(&directory, answer.headers_mut());
        return Ok(answer);
    }
    let mut answer = next.call(request).await?.map_into_left_body();
    let named = answer.request().extensions().get::<Named>().cloned();
    asked.open(&directory, named.as_ref(), answer.headers_mut());
    Ok(answer)
}

/// What a browser asks.
struct Asked {
    origin: Option<String>,
    /// Names of headers that the page wants to send.
    headers: Option<String>,
}

impl Asked {
    fn of(headers: &HeaderMap) -> Self {
        let one = |name| headers.get(name).and_then(|value| value.to_str().ok()).map(str::to_owned);
        Self { origin: one(header::ORIGIN), headers: one(header::ACCESS_CONTROL_REQUEST_HEADERS) }
    }

    fn answer_preflight(&self, directory: &Directory, answer: &mut HeaderMap) {
        vary(answer);
        let Some(origin) = &self.origin else { return };
        if !directory.applications().any(|application| lists(&application.origins, origin)) {
            return;
        }
        allow(answer, origin);
        let fixed = |text| HeaderValue::from_static(text);
        answer.insert(header::ACCESS_CONTROL_ALLOW_METHODS, fixed("POST"));
        answer.insert(header::ACCESS_CONTROL_MAX_AGE, fixed("600"));
        let names = welcome_headers(self.headers.as_deref().unwrap_or_default());
        if let Ok(names) = HeaderValue::from_str(&names) {
            answer.insert(header::ACCESS_CONTROL_ALLOW_HEADERS, names);
        }
    }

    fn open(&self, directory: &Directory, named: Option<&Named>, answer: &mut HeaderMap) {
        vary(answer);
        let (Some(origin), Some(named)) = (&self.origin, named) else { return };
        let Some(application) = directory.application(&named.0) else { return };
        if lists(&application.origins, origin) {
            allow(answer, origin);
            let shown = HeaderValue::from_static(SHOWN);
            answer.insert(header::ACCESS_CONTROL_EXPOSE_HEADERS, shown);
        }
    }
}

/// Byte for byte; an origin has one spelling (RFC 6454 section 6.2). `null` is every sandbox in the world.
fn lists(origins: &[String], origin: &str) -> bool {
    origin != "null" && origins.iter().any(|listed| listed == origin)
}

fn allow(answer: &mut HeaderMap, origin: &str) {
    if let Ok(origin) = HeaderValue::from_str(origin) {
        answer.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, origin);
    }
}

/// The answer differs by origin, also when it is a no.
fn vary(answer: &mut HeaderMap) {
    answer.append(header::VARY, HeaderValue::from_static("Origin"));
}

/// The usual names, and those asked for as far as they are names: the vendor's clients pass headers of
/// their users through.
fn welcome_headers(asked: &str) -> String {
    let token = |name: &&str| {
        let fits = |c: u8| c.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&c);
        (1..=64).contains(&name.len()) && name.bytes().all(fits)
    };
    let mut names = vec!["content-type".to_owned(), "authorization".to_owned()];
    for name in asked.split(',').map(str::trim).filter(token).take(32) {
        let name = name.to_ascii_lowercase();
        if !names.contains(&name) {
            names.push(name);
        }
    }
    names.join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use portcullis_authority::registry::Holdings;
    use serde_json::json;

    fn directory() -> Directory {
        let application = |id: &str, origins: &[&str]| {
            serde_json::from_value(json!({
                "id": id, "client_id": id, "organization": "org", "name": id,
                "kind": "sales_channel", "confidential": false, "origins": origins,
            }))
            .unwrap()
        };
        let applications = vec![
            application("shop", &["https://shop.example"]),
            application("other", &["https://other.example", "null"]),
        ];
        Directory::new(Holdings { applications, ..Holdings::default() })
    }

    fn asked(origin: &str, headers: Option<&str>) -> Asked {
        Asked { origin: Some(origin.into()), headers: headers.map(str::to_owned) }
    }

    fn opened(origin: &str, named: Option<&str>) -> bool {
        let mut answer = HeaderMap::new();
        let named = named.map(|id| Named(id.into()));
        asked(origin, None).open(&directory(), named.as_ref(), &mut answer);
        assert!(answer.contains_key(header::VARY));
        assert!(!answer.contains_key(header::ACCESS_CONTROL_ALLOW_CREDENTIALS));
        answer.get(header::ACCESS_CONTROL_ALLOW_ORIGIN).is_some_and(|allowed| allowed == origin)
    }

    #[test]
    fn a_page_may_read_the_answer_of_the_application_that_lists_it() {
        assert!(opened("https://shop.example", Some("shop")));
    }

    #[test]
    fn one_applications_origin_does_not_open_anothers_answer() {
        assert!(!opened("https://other.example", Some("shop")));
        assert!(!opened("https://shop.example", None));
        assert!(!opened("https://shop.example", Some("unheard-of")));
    }

    #[test]
    fn an_origin_fits_exactly_or_not_at_all() {
        for near in [
            "https://shop.example/",
            "https://SHOP.example",
            "http://shop.example",
            "https://shop.example:443",
            "https://shop.example.evil.test",
            "https://evil-shop.example",
        ] {
            assert!(!opened(near, Some("shop")), "{near}");
        }
        assert!(!opened("null", Some("other")));
    }

    #[test]
    fn a_preflight_is_answered_for_an_origin_that_somebody_lists() {
        let mut answer = HeaderMap::new();
        asked("https://shop.example", Some("X-Custom, content-type, bad name, <x>"))
            .answer_preflight(&directory(), &mut answer);
        let said = |name| answer.get(name).and_then(|value: &HeaderValue| value.to_str().ok());
        assert_eq!(said(header::ACCESS_CONTROL_ALLOW_ORIGIN), Some("https://shop.example"));
        assert_eq!(said(header::ACCESS_CONTROL_ALLOW_HEADERS), Some("content-type, authorization, x-custom"));
        assert_eq!(said(header::ACCESS_CONTROL_ALLOW_METHODS), Some("POST"));
        let mut answer = HeaderMap::new();
        asked("https://evil.example", None).answer_preflight(&directory(), &mut answer);
        assert!(!answer.contains_key(header::ACCESS_CONTROL_ALLOW_ORIGIN));
    }
}
