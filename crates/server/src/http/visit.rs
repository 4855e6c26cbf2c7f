//! What is true of every visit, whichever door it goes to: it has a name and a trusted address, it meets a server
//! that knows what others have answered before, its answer carries the security headers, and it leaves one line in
//! the log, at `debug` where guards and load balancers ask all the time and all is well.
//!
//! The line holds the pattern of the route, never the address that was asked for, because queries carry
//! codes; and a client's name only when it is one that we know.

use std::time::{Duration, Instant};

use actix_web::body::MessageBody;
use actix_web::dev::{ServiceRequest, ServiceResponse};
use actix_web::http::ConnectionType;
use actix_web::http::header::{self, HeaderMap, HeaderName, HeaderValue};
use actix_web::middleware::Next;
use actix_web::{Error, HttpMessage as _, HttpRequest, web};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use opentelemetry::context::FutureExt as _;
use portcullis_authority::ask::Origin;
use portcullis_authority::desk::Desk;
use portcullis_authority::limits::Standing;
use portcullis_authority::refusal::Trouble;

use super::reply::{self, Denied};
use crate::house::House;
use crate::telemetry::{Answered, Caller};

/// The known application that a request named, for the log and for CORS.
#[derive(Clone, Debug)]
pub struct Named(pub String);

/// What is asked here is about this process, and not about what the books hold.
const OF_THE_PROCESS: [&str; 3] = ["/healthz", "/readyz", "/revocations/time"];

/// Guards and load balancers ask these every second or so: the lines of a few of them would hide all others.
const ROUTINE: [&str; 5] =
    ["/healthz", "/readyz", "/revocations/time", "/revocations/{feed}/tail", "/guards/report"];

const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// The outermost layer.
pub async fn accompany(
    request: ServiceRequest,
    next: Next<impl MessageBody>,
) -> Result<ServiceResponse<impl MessageBody>, Error> {
    let began = Instant::now();
    let house = house(&request)?;
    let origin = origin_of(&request, &house);
    let request_id = origin.request_id.clone().unwrap_or_default();
    request.extensions_mut().insert(origin);
    let method = request.method().clone();
    let caller = Caller::of(request.headers());
    let span = house.traces.as_ref().map(|traces| traces.begin(caller.as_ref()));
    if !OF_THE_PROCESS.contains(&request.path()) {
        house.hub.keep_abreast().await;
    }
    let mut answer = match &span {
        Some(span) => next.call(request).with_context(span.context()).await?,
        None => next.call(request).await?,
    };
    protect(answer.headers_mut(), over_tls(&house));
    let standing = answer.request().extensions().get::<Standing>().copied();
    if let Some(standing) = standing.filter(|_| answer.status() != reply::LIMITED) {
        reply::stand(answer.headers_mut(), &standing);
    }
    if house.departure.has_begun() {
        answer.response_mut().head_mut().set_connection_type(ConnectionType::Close);
    }
    if let Ok(value) = HeaderValue::from_str(&request_id) {
        answer.headers_mut().insert(REQUEST_ID, value);
    }
    let (visit, took) = (answer.request(), began.elapsed());
    let (route, status) = (visit.match_pattern(), answer.status().as_u16());
    let named = visit.extensions().get::<Named>().map(|named| named.0.clone());
    let trace_id =
        caller.map(|caller| caller.trace_id()).or_else(|| span.as_ref().map(|span| span.trace_id()));
    let answered = Answered {
        method: method.as_str(),
        route: route.as_deref(),
        status,
        request_id: &request_id,
        client_id: named.as_deref(),
    };
    leave_line(&answered, trace_id.as_deref(), took);
    if let Some(span) = span {
        span.end(&answered);
    }
    house.board.answered(method.as_str(), route, status, took);
    Ok(answer)
}

/// One line, at `debug` for what is routine and went well.
fn leave_line(answered: &Answered<'_>, trace_id: Option<&str>, took: Duration) {
    let Answered { method, route, status, request_id, client_id } = *answered;
    let micros = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
    // The level of a line is known when it is compiled, so it stands here twice.
    macro_rules! line {
        ($level:ident) => {
            tracing::$level!(
                method,
                route = route.unwrap_or("none"),
                status,
                micros,
                request_id,
                trace_id,
                client_id,
                "answered"
            )
        };
    }
    match status < 400 && route.is_some_and(|route| ROUTINE.contains(&route)) {
        true => line!(debug),
        false => line!(info),
    }
}

/// The house, which `mod.rs` gives to the whole application.
pub fn house(request: &ServiceRequest) -> Result<web::Data<House>, Error> {
    request
        .app_data::<web::Data<House>>()
        .cloned()
        .ok_or_else(|| Denied::Broken(Trouble::new("wiring", "a door without a house")).into())
}

/// Whether the world reaches this server over TLS, whoever ends it.
pub fn over_tls(house: &House) -> bool {
    house.settings.issuer.starts_with("https://")
}

/// Where a request came from, as [`accompany`] found it.
pub fn origin(request: &HttpRequest) -> Origin {
    request.extensions().get::<Origin>().cloned().unwrap_or_default()
}

/// Where the caller stands with the limits, for the headers of the answer.
pub fn stands(request: &HttpRequest, standing: Option<Standing>) {
    if let Some(standing) = standing {
        request.extensions_mut().insert(standing);
    }
}

/// Remembers the application that a request names, if it is one of ours: anything else that a stranger
/// writes there has no business in the log.
pub fn name(request: &HttpRequest, desk: &Desk, client_id: Option<&str>) {
    if let Some(known) = client_id.filter(|id| desk.registry.directory().application(id).is_some()) {
        request.extensions_mut().insert(Named(known.to_owned()));
    }
}

fn origin_of(request: &ServiceRequest, house: &House) -> Origin {
    let header = house.settings.proxy_header;
    let values = request.headers().get_all(header.name());
    let hops = header.hops(values.map(|list| list.to_str().unwrap_or_default()));
    let proxies = &house.settings.trusted_proxies;
    let address = request.peer_addr().map(|peer| proxies.client(peer.ip(), &hops).to_string());
    let made = || URL_SAFE_NO_PAD.encode(house.authority.desk().id());
    Origin {
        address,
        request_id: Some(given_id(request.headers()).unwrap_or_else(made)),
        ..Origin::default()
    }
}

/// An id that somebody before us made, as long as it is one: it goes into logs and into the audit.
fn given_id(headers: &HeaderMap) -> Option<String> {
    let id = headers.get(REQUEST_ID)?.to_str().ok()?;
    let sane = |c: u8| c.is_ascii_alphanumeric() || matches!(c, b'-' | b'_' | b'.');
    ((8..=64).contains(&id.len()) && id.bytes().all(sane)).then(|| id.to_owned())
}

fn protect(headers: &mut HeaderMap, secure: bool) {
    let mut say = |name, value| headers.insert(name, HeaderValue::from_static(value));
    say(header::X_CONTENT_TYPE_OPTIONS, "nosniff");
    say(header::REFERRER_POLICY, "no-referrer");
    if secure {
        say(header::STRICT_TRANSPORT_SECURITY, "max-age=31536000; includeSubDomains");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn given(id: &'static str) -> Option<String> {
        let mut headers = HeaderMap::new();
        headers.insert(REQUEST_ID, HeaderValue::from_static(id));
        given_id(&headers)
    }

    #[test]
    fn only_a_sane_request_id_is_taken_over() {
        assert_eq!(given("3f0c-77_a.b").as_deref(), Some("3f0c-77_a.b"));
        for wrong in ["short", "has space in it", "quote\"quote\"", "<script>alert</script>"] {
            assert_eq!(given(wrong), None, "{wrong}");
        }
        assert_eq!(given_id(&HeaderMap::new()), None);
    }

    #[test]
    fn transport_security_is_promised_only_where_it_is_kept() {
        let mut headers = HeaderMap::new();
        protect(&mut headers, false);
        assert!(!headers.contains_key(header::STRICT_TRANSPORT_SECURITY));
        protect(&mut headers, true);
        assert!(headers.contains_key(header::STRICT_TRANSPORT_SECURITY));
        assert_eq!(headers.get(header::X_CONTENT_TYPE_OPTIONS).unwrap(), "nosniff");
    }
}
