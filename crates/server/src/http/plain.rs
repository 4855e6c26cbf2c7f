//! The plain address beside the one with TLS: it sends readers over, and takes nothing else.
//!
//! A token request is refused and not sent on, because its secret has crossed the network in the clear by
//! then, and a client that is sent on quietly would go on doing so. Where to is the issuer's business; the
//! request's host decides nothing.

use actix_web::dev::{ServiceFactory, ServiceRequest, ServiceResponse};
use actix_web::http::Method;
use actix_web::{App, Error, HttpRequest, HttpResponse, web};
use url::Url;

use super::reply;

/// Where the service really is: scheme, host and port of the issuer.
#[derive(Clone, Debug)]
pub struct Elsewhere(String);

impl Elsewhere {
    /// `None` when the issuer does not read; then nothing was started.
    pub fn of(issuer: &str) -> Option<Self> {
        Some(Self(Url::parse(issuer).ok()?.origin().ascii_serialization()))
    }
}

/// The whole application of the plain address.
pub fn door(
    elsewhere: Elsewhere,
) -> App<
    impl ServiceFactory<ServiceRequest, Config = (), Response = ServiceResponse, Error = Error, InitError = ()>,
> {
    App::new().app_data(web::Data::new(elsewhere)).default_service(web::to(answer))
}

async fn answer(request: HttpRequest, elsewhere: web::Data<Elsewhere>) -> HttpResponse {
    let path = request.uri().path_and_query().map_or("/", |path| path.as_str());
    let is_reader = matches!(*request.method(), Method::GET | Method::HEAD);
    // A path that is none would end up in the host part of the address.
    if is_reader && path.starts_with('/') {
        reply::permanently_at(&format!("{}{path}", elsewhere.0))
    } else {
        reply::not_in_the_clear(&elsewhere.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use actix_web::http::header::{HOST, LOCATION};
    use actix_web::test::{TestRequest, call_service, init_service, read_body};

    async fn answer_to(request: TestRequest) -> (u16, Option<String>, String) {
        let elsewhere = Elsewhere::of("https://auth.example.com/base").unwrap();
        let app = init_service(door(elsewhere)).await;
        let answer = call_service(&app, request.to_request()).await;
        let location = answer.headers().get(LOCATION).map(|to| to.to_str().unwrap().to_owned());
        (answer.status().as_u16(), location, String::from_utf8(read_body(answer).await.to_vec()).unwrap())
    }

    #[actix_web::test]
    async fn readers_are_sent_to_the_issuer_and_nowhere_else() {
        for method in [Method::GET, Method::HEAD] {
            let request = TestRequest::with_uri("/oauth/authorize?client_id=a&state=%2F%0d")
                .method(method)
                .insert_header((HOST, "evil.example"));
            let (status, location, _) = answer_to(request).await;
            assert_eq!(status, 308);
            let meant = "https://auth.example.com/oauth/authorize?client_id=a&state=%2F%0d";
            assert_eq!(location.as_deref(), Some(meant));
        }
        let (_, location, _) = answer_to(TestRequest::with_uri("http://evil.example//other.example/")).await;
        assert_eq!(location.as_deref(), Some("https://auth.example.com//other.example/"));
    }

    #[actix_web::test]
    async fn secrets_in_the_clear_are_refused_and_not_sent_on() {
        for method in [Method::POST, Method::PUT, Method::PATCH, Method::DELETE, Method::OPTIONS] {
            let (status, location, body) =
                answer_to(TestRequest::with_uri("/oauth/token").method(method)).await;
            assert_eq!((status, location), (400, None));
            assert!(body.contains("https://auth.example.com") && body.contains("invalid_request"), "{body}");
        }
    }
}
