//! The old way: each organization's own host. It answers until the operator ends it, and says with every
//! answer that it will end. The host of a request decides only this; the issuer never comes from there.

use actix_web::Error;
use actix_web::body::{EitherBody, MessageBody};
use actix_web::dev::{ServiceRequest, ServiceResponse};
use actix_web::http::header::{self, HeaderMap, HeaderName, HeaderValue};
use actix_web::middleware::Next;
use actix_web::{HttpResponse, ResponseError as _};
use portcullis_authority::refusal::{Code, Refusal};

use super::reply::{At, Denied};
use super::visit;
use crate::house::House;
use crate::settings::Settings;

/// Lets old addresses through for as long as they are served, and marks the answers.
pub async fn toll<B: MessageBody>(
    request: ServiceRequest,
    next: Next<B>,
) -> Result<ServiceResponse<EitherBody<B>>, Error> {
    let house = visit::house(&request)?;
    if !is_old(&request, &house) {
        return Ok(next.call(request).await?.map_into_left_body());
    }
    let mut answer = if house.settings.legacy.answers(house.authority.desk().now()) {
        next.call(request).await?.map_into_left_body()
    } else {
        request.into_response(ended(&house.settings)).map_into_right_body()
    };
    announce(&house.settings, answer.headers_mut());
    Ok(answer)
}

fn is_old(request: &ServiceRequest, house: &House) -> bool {
    let host = host_of(request);
    let ours =
        house.settings.issuer.split_once("://").is_some_and(|(_, ours)| name_of(ours) == name_of(host));
    let slug = house.settings.domain.as_deref().and_then(|domain| slug_of(host, domain));
    // The issuer's own host is never an old one, whatever an organization calls itself.
    let directory = house.authority.desk().registry.directory();
    !ours && slug.is_some_and(|slug| directory.organization_by_slug(&slug).is_some())
}

/// The host that a request is for: what its target says, where it says one (`:authority` of HTTP/2, and the
/// absolute form, RFC 9112 section 3.2.2), and else the `Host` header.
fn host_of(request: &ServiceRequest) -> &str {
    let header = || request.headers().get(header::HOST).and_then(|host| host.to_str().ok());
    request.uri().host().or_else(header).unwrap_or_default()
}

/// The one label in front of the domain.
fn slug_of(host: &str, domain: &str) -> Option<String> {
    let host = name_of(host);
    let slug = host.strip_suffix(&name_of(domain))?.strip_suffix('.')?;
    (!slug.is_empty() && !slug.contains('.')).then(|| slug.to_owned())
}

/// A host without port, closing dot and case.
fn name_of(host: &str) -> String {
    let name = host.split_once(':').map_or(host, |(name, _)| name);
    name.trim_end_matches('.').to_ascii_lowercase()
}

fn ended(settings: &Settings) -> HttpResponse {
    let sentence = format!("The addresses of single organizations have ended; use {}.", settings.issuer);
    Denied::Refused(At::Token, Refusal::new(Code::InvalidRequest, sentence)).error_response()
}

/// RFC 9745 section 2 (a structured date) and RFC 8594 section 3 (an HTTP date).
fn announce(settings: &Settings, headers: &mut HeaderMap) {
    let legacy = &settings.legacy;
    let mut say = |name: HeaderName, text: String| {
        if let Ok(value) = HeaderValue::from_str(&text) {
            headers.append(name, value);
        }
    };
    say(HeaderName::from_static("deprecation"), format!("@{}", legacy.deprecated.start()));
    if let Some(day) = legacy.sunset.or(legacy.until) {
        say(HeaderName::from_static("sunset"), day.http_date());
    }
    let issuer = &settings.issuer;
    say(header::LINK, format!("<{issuer}/>; rel=\"deprecation\"; type=\"text/html\""));
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::settings::{Day, Legacy};

    #[test]
    fn an_old_host_is_one_label_in_front_of_the_domain() {
        for host in ["my-shop.cl.test", "MY-SHOP.CL.test:8443", "my-shop.cl.test."] {
            assert_eq!(slug_of(host, "cl.test").as_deref(), Some("my-shop"), "{host}");
        }
        assert_eq!(slug_of("my-shop.cl.test:8443", "cl.test:8443").as_deref(), Some("my-shop"));
    }

    #[test]
    fn other_hosts_are_not_old() {
        for host in
            ["cl.test", ".cl.test", "a.my-shop.cl.test", "my-shop.cl.test.evil.test", "my-shopcl.test", ""]
        {
            assert_eq!(slug_of(host, "cl.test"), None, "{host}");
        }
    }

    #[test]
    fn an_old_address_says_since_when_and_until_when() {
        let legacy = Legacy {
            until: Some(Day::of(2027, 3, 31)),
            deprecated: Day::of(2024, 11, 1),
            ..Legacy::default()
        };
        let settings = Settings { legacy, ..Settings::default() };
        let mut headers = HeaderMap::new();
        announce(&settings, &mut headers);
        let said = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
        assert_eq!(said("deprecation"), Some("@1730419200"));
        assert_eq!(said("sunset"), Some("Wed, 31 Mar 2027 00:00:00 GMT"));
        assert!(said("link").is_some_and(|link| link.contains("rel=\"deprecation\"")));
    }
}
