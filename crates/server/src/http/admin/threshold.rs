//! The threshold of the operators' door: it hears only who calls it by a name of its own, and no page of
//! another site. The door stands on loopback, where every page that an operator's browser shows can knock: one
//! whose name was pointed at this address (DNS rebinding) would read the answers as well.

use std::net::IpAddr;

use actix_web::body::{EitherBody, MessageBody};
use actix_web::dev::{ServiceRequest, ServiceResponse};
use actix_web::http::header::{self, HeaderMap};
use actix_web::middleware::Next;
use actix_web::{Error, web};

use crate::http::reply::admin;
use crate::lodge::Lodge;

/// Lets a request in, or answers it here.
pub async fn cross<B: MessageBody>(
    request: ServiceRequest,
    next: Next<B>,
) -> Result<ServiceResponse<EitherBody<B>>, Error> {
    let lodge = request.app_data::<web::Data<Lodge>>();
    let names = lodge.map(|lodge| lodge.settings().admin.names.clone()).unwrap_or_default();
    let called = called(&request);
    let answer = match &called {
        Some(host) if is_ours(host, &names) => match is_foreign(request.headers(), host) {
            false => return Ok(next.call(request).await?.map_into_left_body()),
            true => admin::of_another_site(),
        },
        _ => admin::misdirected(),
    };
    Ok(request.into_response(answer).map_into_right_body())
}

/// What the caller takes us for: the authority of the request (RFC 9112 section 3.2; HTTP/2 has it in the
/// target), without its port.
fn called(request: &ServiceRequest) -> Option<String> {
    let mut said = request.headers().get_all(header::HOST);
    let host = match (request.uri().host(), said.next(), said.next()) {
        (Some(host), None, _) => host.to_owned(),
        (_, Some(host), None) => without_port(host.to_str().ok()?)?.to_owned(),
        _ => return None,
    };
    Some(host.trim_matches(['[', ']']).to_ascii_lowercase())
}

fn without_port(authority: &str) -> Option<&str> {
    match authority.strip_prefix('[') {
        Some(rest) => rest.split_once(']').map(|(address, _)| address),
        None => authority.split(':').next(),
    }
}

/// A name can be pointed anywhere by whoever owns it; an address is where it is.
fn is_ours(host: &str, names: &[String]) -> bool {
    host == "localhost"
        || host.parse::<IpAddr>().is_ok()
        || names.iter().any(|name| name.eq_ignore_ascii_case(host))
}

/// Whether a page of another site asks. Only browsers say where a page is from, and they always do when it is
/// not from here and may do more than read (Fetch, section 3.1; Fetch Metadata, section 2).
fn is_foreign(headers: &HeaderMap, host: &str) -> bool {
    let text = |name| headers.get(name).map(|value| value.to_str().unwrap_or("unreadable"));
    let from_elsewhere = |origin: &str| {
        let authority = origin.split_once("://").and_then(|(_, rest)| without_port(rest));
        !authority.is_some_and(|authority| authority.eq_ignore_ascii_case(host))
    };
    let site = text("sec-fetch-site").is_some_and(|site| !matches!(site, "same-origin" | "none"));
    site || text("origin").is_some_and(from_elsewhere)
}

#[cfg(test)]
mod tests {
    use actix_web::http::header::{HeaderName, HeaderValue};

    use super::*;

    #[test]
    fn an_address_and_a_name_of_ours_are_ours_and_no_other_name() {
        let names = ["Office.example.com".to_owned()];
        for ours in ["localhost", "127.0.0.1", "10.0.0.7", "::1", "office.example.com"] {
            assert!(is_ours(ours, &names), "{ours}");
        }
        for other in
            ["evil.example", "localhost.evil.example", "127.0.0.1.evil.example", "office.example.com.", ""]
        {
            assert!(!is_ours(other, &names), "{other}");
        }
    }

    #[test]
    fn a_host_is_read_without_its_port() {
        assert_eq!(without_port("office.example.com:8081"), Some("office.example.com"));
        assert_eq!(without_port("[::1]:8081"), Some("::1"));
        assert_eq!(without_port("[::1"), None);
    }

    #[test]
    fn a_page_of_another_site_is_foreign_and_a_program_is_not() {
        let with = |name: &'static str, value: &'static str| {
            let mut headers = HeaderMap::new();
            headers.insert(HeaderName::from_static(name), HeaderValue::from_static(value));
            is_foreign(&headers, "127.0.0.1")
        };
        assert!(!is_foreign(&HeaderMap::new(), "127.0.0.1"));
        assert!(!with("origin", "http://127.0.0.1:8081") && !with("sec-fetch-site", "none"));
        assert!(with("origin", "https://evil.example") && with("origin", "null"));
        assert!(with("sec-fetch-site", "cross-site") && with("sec-fetch-site", "same-site"));
    }
}
