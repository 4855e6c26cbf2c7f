//! The actix door: one header, RFC 6750's words, JSON:API's bodies, and nothing open by accident.

use std::future::{Future, poll_fn};
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::Poll;
use std::time::{Duration, Instant};

use actix_web::dev::{Service, ServiceResponse};
use actix_web::http::header::{AUTHORIZATION, CONTENT_TYPE, RETRY_AFTER, WWW_AUTHENTICATE};
use actix_web::http::{Method, StatusCode};
use actix_web::test::{TestRequest, call_service, init_service, read_body_json};
use actix_web::{App, HttpResponse, web};
use portcullis_guard::actix::{Authenticated, Gate, Refused, Replies};
use portcullis_guard::{
    Access, Action, Facts, Guard, Introspection, OnStale, Revocations, Unanswered, Verdict, Word,
};
use serde_json::{Value, json};

use crate::issuer::Issuer;

async fn order(found: Authenticated, id: web::Path<String>) -> Result<HttpResponse, Refused> {
    found.permit("orders", Action::Read, &Facts::new().id(&id).status("archived"))?;
    Ok(HttpResponse::Ok().body(found.claims().sub.clone()))
}

async fn nothing() -> HttpResponse {
    HttpResponse::NoContent().finish()
}

fn routes(config: &mut web::ServiceConfig) {
    config
        .route("/orders/{id}", web::get().to(order))
        .route("/orders/{id}", web::delete().to(nothing))
        .route("/health", web::get().to(nothing))
        .route("/me", web::get().to(nothing))
        .route("/forgotten", web::get().to(nothing))
        .route("/moonbeams", web::get().to(nothing));
}

/// Answers one request with a gate in front.
async fn through_gate(
    guard: &Guard,
    replies: Replies,
    request: TestRequest,
) -> ServiceResponse<impl actix_web::body::MessageBody> {
    let gate = Gate::new(guard.clone())
        .replies(replies)
        .open(Method::GET, "/health")
        .token(Method::GET, "/me")
        .require(Method::GET, "/orders/{id}", "orders", Action::Read)
        .require(Method::DELETE, "/orders/{id}", "orders", Action::Destroy)
        .require(Method::GET, "/moonbeams", "moonbeams", Action::Read);
    let app = init_service(App::new().configure(routes).wrap(gate)).await;
    call_service(&app, request.to_request()).await
}

/// Answers one request with the extractor alone.
async fn through_handler(
    guard: &Guard,
    request: TestRequest,
) -> ServiceResponse<impl actix_web::body::MessageBody> {
    let app = init_service(App::new().app_data(web::Data::new(guard.clone())).configure(routes)).await;
    call_service(&app, request.to_request()).await
}

fn bearer(path: &str, token: &str) -> TestRequest {
    TestRequest::get().uri(path).insert_header((AUTHORIZATION, format!("Bearer {token}")))
}

async fn error<B: actix_web::body::MessageBody>(answer: ServiceResponse<B>) -> Value {
    assert_eq!(answer.headers().get(CONTENT_TYPE).unwrap(), "application/vnd.api+json");
    let body: Value = read_body_json(answer).await;
    body["errors"][0].clone()
}

fn challenge<B>(answer: &ServiceResponse<B>) -> String {
    answer.headers().get(WWW_AUTHENTICATE).unwrap().to_str().unwrap().to_owned()
}

#[actix_web::test]
async fn a_good_token_passes_both_doors() {
    let issuer = Issuer::new();
    let guard = issuer.guard().build().unwrap();
    let token = issuer.token(|_| {});
    for scheme in ["Bearer", "bearer", "BEARER"] {
        let request = || {
            TestRequest::get().uri("/orders/a").insert_header((AUTHORIZATION, format!("{scheme} {token}")))
        };
        assert_eq!(through_gate(&guard, Replies::new(), request()).await.status(), StatusCode::OK);
        assert_eq!(through_handler(&guard, request()).await.status(), StatusCode::OK);
    }
}

#[actix_web::test]
async fn no_token_is_a_challenge_without_an_error_code() {
    let guard = Issuer::new().guard().build().unwrap();
    let basic = || TestRequest::get().uri("/orders/a").insert_header((AUTHORIZATION, "Basic YTpi"));
    let query = || TestRequest::get().uri("/orders/a?access_token=a.b.c");
    for request in [basic as fn() -> TestRequest, query, || TestRequest::get().uri("/orders/a")] {
        let answer = through_gate(&guard, Replies::new().realm("a \"shop\""), request()).await;
        assert_eq!(
            (answer.status(), challenge(&answer).as_str()),
            (StatusCode::UNAUTHORIZED, "Bearer realm=\"a shop\"")
        );
        assert_eq!(through_handler(&guard, request()).await.status(), StatusCode::UNAUTHORIZED);
    }
}

/// Attack case 21.
#[actix_web::test]
async fn a_request_carries_one_token_in_one_place() {
    let issuer = Issuer::new();
    let guard = issuer.guard().build().unwrap();
    let token = issuer.token(|_| {});
    let get = |path: &str| TestRequest::get().uri(path);
    for request in [
        bearer("/orders/a", &token).append_header((AUTHORIZATION, format!("Bearer {token}"))),
        bearer("/orders/a", &token).append_header((AUTHORIZATION, "Basic YTpi")),
        bearer(&format!("/orders/a?access_token={token}"), &token),
        bearer("/orders/a?x=1&access_token", &token),
        get("/orders/a").insert_header((AUTHORIZATION, "Bearer")),
        get("/orders/a").insert_header((AUTHORIZATION, "Bearer ")),
        get("/orders/a").insert_header((AUTHORIZATION, format!("Bearer  {token}"))),
        get("/orders/a").insert_header((AUTHORIZATION, format!("Bearer {token}, Bearer {token}"))),
        get("/orders/a").insert_header((AUTHORIZATION, format!("Bearer {token} {token}"))),
    ] {
        let answer = through_gate(&guard, Replies::new(), request).await;
        assert_eq!(answer.status(), StatusCode::BAD_REQUEST);
        assert!(challenge(&answer).contains("error=\"invalid_request\""));
    }
    let in_query =
        through_gate(&guard, Replies::new(), get(&format!("/orders/a?access_token={token}"))).await;
    assert_eq!(in_query.status(), StatusCode::UNAUTHORIZED);
    for scheme in ["Bearerx", "Bear er", "Token", "Bearer\t"] {
        let answer = through_gate(
            &guard,
            Replies::new(),
            get("/orders/a").insert_header((AUTHORIZATION, format!("{scheme} {token}"))),
        )
        .await;
        assert!(answer.status().is_client_error());
    }
}

#[actix_web::test]
async fn a_bad_token_is_401_and_tells_a_forger_nothing() {
    let issuer = Issuer::new();
    let guard = issuer.guard().build().unwrap();
    let mut bodies = Vec::new();
    for token in
        ["a.b.c".to_owned(), Issuer::new().token(|_| {}), issuer.token(|claims| claims["aud"] = "x".into())]
    {
        let answer = through_gate(&guard, Replies::new(), bearer("/orders/a", &token)).await;
        assert_eq!(answer.status(), StatusCode::UNAUTHORIZED);
        assert!(
            challenge(&answer)
                .starts_with("Bearer realm=\"commerce\", error=\"invalid_token\", error_description=\"")
        );
        bodies.push(error(answer).await);
    }
    assert_eq!(
        (bodies[0]["code"].as_str(), bodies[0]["status"].as_str()),
        (Some("INVALID_TOKEN"), Some("401"))
    );
    assert!(bodies.iter().all(|body| *body == bodies[0]));
}

#[actix_web::test]
async fn a_token_without_the_right_is_403_or_as_the_vendor_says_401() {
    let issuer = Issuer::new();
    let guard = issuer.guard().build().unwrap();
    let reader = issuer.token(|claims| claims["rol"] = json!(["read_only"]));
    let request =
        || TestRequest::delete().uri("/orders/a").insert_header((AUTHORIZATION, format!("Bearer {reader}")));
    let answer = through_gate(&guard, Replies::new(), request()).await;
    assert_eq!(answer.status(), StatusCode::FORBIDDEN);
    assert!(challenge(&answer).contains("error=\"insufficient_scope\""));
    let answer = through_gate(&guard, Replies::new().commerce_layer_profile(true), request()).await;
    assert_eq!(answer.status(), StatusCode::UNAUTHORIZED);
    let body = error(answer).await;
    assert_eq!((body["code"].as_str(), body["status"].as_str()), (Some("UNAUTHORIZED"), Some("401")));
}

/// What the gate could not see, the handler asks: a guest may read orders, but not archived ones.
#[actix_web::test]
async fn a_handler_asks_over_the_facts() {
    let issuer = Issuer::new();
    let guard = issuer.guard().build().unwrap();
    let guest = issuer.token(|claims| claims["rol"] = json!(["sales_channel_guest"]));
    for answer in [
        through_gate(&guard, Replies::new(), bearer("/orders/a", &guest)).await.status(),
        through_handler(&guard, bearer("/orders/a", &guest)).await.status(),
    ] {
        assert_eq!(answer, StatusCode::FORBIDDEN);
    }
}

/// Attack case 84: what the gate was not told of does not open, however the path is spelled.
#[actix_web::test]
async fn a_route_that_nobody_listed_is_closed() {
    let issuer = Issuer::new();
    let guard = issuer.guard().build().unwrap();
    let token = issuer.token(|_| {});
    for path in
        ["/forgotten", "/nowhere", "/moonbeams", "//health", "/health/", "/health/../forgotten", "/%68ealth2"]
    {
        let refused = through_gate(&guard, Replies::new(), bearer(path, &token)).await;
        assert_eq!(refused.status(), StatusCode::FORBIDDEN, "{path}");
        let nobody = through_gate(&guard, Replies::new(), TestRequest::get().uri(path)).await;
        assert_eq!(nobody.status(), StatusCode::UNAUTHORIZED, "{path}");
    }
    let post = TestRequest::post().uri("/health");
    assert_eq!(through_gate(&guard, Replies::new(), post).await.status(), StatusCode::UNAUTHORIZED);
    let open = TestRequest::get().uri("/health");
    assert_eq!(through_gate(&guard, Replies::new(), open).await.status(), StatusCode::NO_CONTENT);
    assert_eq!(
        through_gate(&guard, Replies::new(), bearer("/me", &token)).await.status(),
        StatusCode::NO_CONTENT
    );
}

/// A list that is not fresh until told otherwise.
struct Slow(Arc<AtomicBool>);

impl Revocations for Slow {
    fn verdict(&self, _: &Access, _: u64) -> Verdict {
        if self.0.load(Ordering::SeqCst) { Verdict::Live } else { Verdict::Stale }
    }
}

#[actix_web::test]
async fn a_stale_guard_is_503_and_never_401() {
    let issuer = Issuer::new();
    let fresh = Arc::new(AtomicBool::new(false));
    let guard = issuer.guard().revocations(Slow(fresh.clone())).build().unwrap();
    let token = issuer.token(|_| {});
    let answer =
        through_gate(&guard, Replies::new().commerce_layer_profile(true), bearer("/me", &token)).await;
    assert_eq!(answer.status(), StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(answer.headers().get(RETRY_AFTER).unwrap(), "2");
    assert!(answer.headers().get(WWW_AUTHENTICATE).is_none());
    assert_eq!(error(answer).await["code"], "SERVICE_UNAVAILABLE");
    fresh.store(true, Ordering::SeqCst);
    assert_eq!(
        through_gate(&guard, Replies::new(), bearer("/me", &token)).await.status(),
        StatusCode::NO_CONTENT
    );
}

/// A list that is eleven seconds old for ever.
struct Old;

impl Revocations for Old {
    fn verdict(&self, _: &Access, _: u64) -> Verdict {
        Verdict::Stale
    }

    fn age_ms(&self, _: u64) -> Option<u64> {
        Some(11_000)
    }
}

/// An issuer that takes its time.
struct Voice(Duration, Word);

impl Introspection for Voice {
    fn ask(&self, _: &str, within: Duration) -> Result<Word, Unanswered> {
        std::thread::sleep(self.0.min(within));
        if self.0 < within { Ok(self.1.clone()) } else { Err(Unanswered) }
    }
}

fn active() -> Word {
    let claims = crate::issuer::claims();
    Word::Active { jti: claims["jti"].as_str().unwrap().into(), exp: claims["exp"].as_u64().unwrap() }
}

async fn footing(found: Authenticated) -> String {
    format!("{:?}", found.footing())
}

#[actix_web::test]
async fn each_route_has_its_own_policy_for_a_stale_guard() {
    let issuer = Issuer::new();
    let voice = Voice(Duration::from_millis(5), active());
    let guard = issuer.guard().revocations(Old).introspection(voice).build().unwrap();
    let patient = OnStale::Introspect { timeout: Duration::from_secs(5) };
    let gate = Gate::new(guard)
        .token(Method::GET, "/money")
        .token(Method::GET, "/orders/{id}")
        .token(Method::GET, "/skus")
        .when_stale(Method::GET, "/orders/{id}", patient)
        .when_stale(Method::GET, "/skus", OnStale::AllowUpTo(Duration::from_secs(60)))
        .when_stale(Method::GET, "/forgotten", OnStale::AllowUpTo(Duration::from_secs(60)));
    let routes = |config: &mut web::ServiceConfig| {
        for path in ["/money", "/orders/{id}", "/skus", "/forgotten"] {
            config.route(path, web::get().to(footing));
        }
        config.route("/skus", web::post().to(footing));
    };
    let app = init_service(App::new().configure(routes).wrap(gate)).await;
    let token = issuer.token(|_| {});
    for (path, status, body) in [
        ("/money", 503, ""),
        ("/orders/7", 200, "Introspected"),
        ("/skus", 200, "Old(11s)"),
        ("/forgotten", 403, ""),
    ] {
        let answer = call_service(&app, bearer(path, &token).to_request()).await;
        assert_eq!(answer.status(), status, "{path}");
        let seen = actix_web::test::read_body(answer).await;
        assert!(body.is_empty() || *seen == *body.as_bytes(), "{path}: {seen:?}");
    }
    let post = bearer("/skus", &token).method(Method::POST).to_request();
    assert_eq!(call_service(&app, post).await.status(), 503, "a policy is for its method alone");
    let nobody = TestRequest::get().uri("/skus").to_request();
    assert_eq!(call_service(&app, nobody).await.status(), 401, "and replaces no token");
}

#[actix_web::test]
async fn an_inactive_token_is_401_and_an_unanswered_question_503() {
    let issuer = Issuer::new();
    let token = issuer.token(|_| {});
    let on_stale = OnStale::Introspect { timeout: Duration::from_millis(200) };
    for (voice, status) in [
        (Voice(Duration::ZERO, Word::Inactive), StatusCode::UNAUTHORIZED),
        (Voice(Duration::from_secs(9), active()), StatusCode::SERVICE_UNAVAILABLE),
    ] {
        let guard = issuer.guard().revocations(Old).introspection(voice).on_stale(on_stale).build().unwrap();
        let answer = through_handler(&guard, bearer("/orders/a", &token)).await;
        assert_eq!(answer.status(), status);
        let answer = through_gate(&guard, Replies::new(), bearer("/me", &token)).await;
        assert_eq!(answer.status(), status);
    }
}

/// One slow answer must not hold up the worker, or a stale guard closes the routes that need nobody.
#[actix_web::test]
async fn whoever_waits_for_the_issuer_delays_nobody_else() {
    let issuer = Issuer::new();
    let timeout = Duration::from_secs(20);
    let voice = Voice(Duration::from_millis(1_500), active());
    let guard = issuer.guard().revocations(Old).introspection(voice).build().unwrap();
    let gate = Gate::new(guard).open(Method::GET, "/health").token(Method::GET, "/me").when_stale(
        Method::GET,
        "/me",
        OnStale::Introspect { timeout },
    );
    let app = init_service(App::new().configure(routes).wrap(gate)).await;
    let began = Instant::now();
    let slow = app.call(bearer("/me", &issuer.token(|_| {})).to_request());
    let quick = async {
        let health = call_service(&app, TestRequest::get().uri("/health").to_request()).await;
        assert_eq!(health.status(), StatusCode::NO_CONTENT);
        began.elapsed()
    };
    let (slow, quick) = both(slow, quick).await;
    assert_eq!(slow.unwrap().status(), StatusCode::NO_CONTENT);
    assert!(quick < Duration::from_millis(1_000) && began.elapsed() >= Duration::from_millis(1_500));
}

/// Both, polled in turn.
async fn both<A: Future, B: Future>(a: A, b: B) -> (A::Output, B::Output) {
    let (mut a, mut b) = (pin!(a), pin!(b));
    let (mut first, mut second) = (None, None);
    poll_fn(|context| {
        if first.is_none()
            && let Poll::Ready(output) = a.as_mut().poll(context)
        {
            first = Some(output);
        }
        if second.is_none()
            && let Poll::Ready(output) = b.as_mut().poll(context)
        {
            second = Some(output);
        }
        if first.is_some() && second.is_some() { Poll::Ready(()) } else { Poll::Pending }
    })
    .await;
    (first.unwrap(), second.unwrap())
}

#[actix_web::test]
async fn a_service_without_a_guard_lets_nobody_in() {
    let app = init_service(App::new().configure(routes)).await;
    let answer = call_service(&app, bearer("/orders/a", "a.b.c").to_request()).await;
    assert_eq!(answer.status(), StatusCode::INTERNAL_SERVER_ERROR);
}
