//! The door as a caller sees it, over books in memory: what is said at each address, to whom, and with
//! which headers. The rules of the protocol have their tests in the authority.

use std::sync::Arc;

use actix_web::body::{BoxBody, MessageBody, to_bytes};
use actix_web::cookie::Cookie;
use actix_web::dev::{Service, ServiceResponse};
use actix_web::http::header;
use actix_web::test::{TestRequest, init_service};
use actix_web::{Error, web};
use async_trait::async_trait;
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use portcullis_authority::Authority;
use portcullis_authority::desk::{Desk, Inspector, Slow};
use portcullis_authority::keyring::{KeyState, Keyring, StoredKey, generate};
use portcullis_authority::memory::Memory;
use portcullis_authority::refusal::Trouble;
use portcullis_authority::registry::Holdings;
use portcullis_authority::secret::{Seal, Secret};
use portcullis_guard::Claims;
use serde_json::{Value, json};

use super::{door, golden};
use crate::house::House;
use crate::settings::{Day, Legacy, Settings};
use crate::testing::{MovableClock, idle_hub, means};

const NOW: u64 = 1_800_000_000;
const FORM: &str = "application/x-www-form-urlencoded";

/// Passwords fit when they are written down as they are.
struct Quick;

#[async_trait]
impl Slow for Quick {
    async fn password_fits(&self, phc: Option<String>, password: Secret) -> Result<bool, Trouble> {
        Ok(phc.as_deref() == Some(password.expose()))
    }
}

/// Believes every token; the real check has its own tests.
struct Credulous;

impl Inspector for Credulous {
    fn inspect(&self, token: &str, now_ms: u64) -> Result<Option<Claims>, Trouble> {
        Ok(self.recognise(token, now_ms))
    }

    fn recognise(&self, token: &str, now_ms: u64) -> Option<Claims> {
        let claims = URL_SAFE_NO_PAD.decode(token.split('.').nth(1)?).ok()?;
        let claims: Claims = serde_json::from_slice(&claims).ok()?;
        (now_ms / 1000 < claims.exp).then_some(claims)
    }

    fn permissions(&self, _: &Claims) -> Value {
        json!({ "orders": { "actions": ["read"] } })
    }
}

fn application(seal: &Seal, client_id: &str, kind: &str, more: Value) -> Value {
    let secret = seal.client_secret(client_id, &Secret::from("hush"));
    let mut application = json!({
        "id": format!("app-{client_id}"), "client_id": client_id, "organization": "org1",
        "name": format!("The <{client_id}> app"), "kind": kind, "confidential": kind != "sales_channel",
        "secrets": [{ "id": "s1", "hash": secret }],
    });
    for (name, value) in more.as_object().into_iter().flatten() {
        application[name] = value.clone();
    }
    application
}

fn holdings(seal: &Seal) -> Holdings {
    let redirect = ["https://app.example/cb"];
    serde_json::from_value(json!({
        "version": 1,
        "organizations": [{ "id": "org1", "slug": "my-shop", "name": "My Shop" }],
        "applications": [
            application(seal, "robot", "integration", json!({ "role": "r1" })),
            application(seal, "shop", "sales_channel", json!({ "origins": ["https://shop.example"] })),
            application(seal, "web", "webapp", json!({ "redirect_uris": redirect })),
            application(seal, "own", "webapp", json!({ "redirect_uris": redirect, "first_party": true })),
            application(seal, "me", "user", json!({ "user": "u1" })),
        ],
        "roles": [
            { "id": "r1", "organization": "org1", "name": "Admin", "kind": "admin" },
            { "id": "r2", "organization": "org1", "name": "Packers", "kind": "custom" },
            { "id": "r3", "organization": "org2", "name": "Elsewhere", "kind": "custom" },
        ],
        "fences": [], "guards": [], "generations": [],
    }))
    .unwrap()
}

fn house_with(settings: Settings, now: u64) -> (web::Data<House>, Arc<MovableClock>) {
    let (means, clock) = means(now);
    let seal = Arc::new(Seal::new(&[7; 32]));
    let person = json!({
        "id": "u1", "kind": "User", "email": "ann@example.com", "password": "right",
        "first_name": "Ann", "last_name": "Example",
    });
    let place = json!({ "id": "m1", "user": "u1", "organization": "org1", "role": "r1" });
    let books = Arc::new(Memory::new(
        holdings(&seal),
        vec![serde_json::from_value(person).unwrap()],
        vec![serde_json::from_value(place).unwrap()],
    ));
    let desk = Desk {
        registry: books.clone(),
        ledger: books,
        clock: means.clock,
        dice: means.dice,
        slow: Arc::new(Quick),
        inspector: Arc::new(Credulous),
        seal,
        terms: settings.terms(),
    };
    let key = StoredKey { jwk: generate("ES256", "eu1").unwrap(), state: KeyState::Active };
    let authority = Authority::new(desk, Keyring::new(&[key]).unwrap());
    let hub = idle_hub(&settings.issuer, clock.clone());
    (web::Data::new(House { authority, hub, settings }), clock)
}

fn settings() -> Settings {
    Settings {
        issuer: "https://auth.cl.test".into(),
        domain: Some("cl.test".into()),
        legacy: Legacy { until: Some(Day::of(2027, 3, 31)), ..Legacy::default() },
        ..Settings::default()
    }
}

/// A house with a clock that can be moved.
pub fn house_at(now: u64) -> (web::Data<House>, Arc<MovableClock>) {
    house_with(settings(), now)
}

/// An answer, read to its end.
struct Seen {
    status: u16,
    headers: header::HeaderMap,
    cookies: Vec<Cookie<'static>>,
    body: String,
}

impl Seen {
    fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }

    fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|_| panic!("not JSON: {}", self.body))
    }

    /// The sealed value in the page's form.
    fn form(&self) -> String {
        let (_, rest) = self.body.split_once("name=\"form\" value=\"").expect("the page has a form");
        rest.split_once('"').unwrap().0.to_owned()
    }
}

async fn call(house: &web::Data<House>, request: TestRequest) -> Seen {
    let door = init_service(door(house.clone())).await;
    seen(door.call(request.to_request()).await).await
}

async fn seen<B: MessageBody + 'static>(answer: Result<ServiceResponse<B>, Error>) -> Seen {
    let answer = answer.unwrap().map_into_boxed_body();
    let cookies = answer.response().cookies().map(Cookie::into_owned).collect();
    let (status, headers) = (answer.status().as_u16(), answer.headers().clone());
    let body: BoxBody = answer.into_body();
    let bytes = to_bytes(body).await.map_err(|_| "the body breaks off").unwrap();
    Seen { status, headers, cookies, body: String::from_utf8(bytes.to_vec()).unwrap() }
}

fn post(path: &str, form: &str) -> TestRequest {
    TestRequest::post().uri(path).insert_header((header::CONTENT_TYPE, FORM)).set_payload(form.to_owned())
}

fn get(path: &str) -> TestRequest {
    TestRequest::get().uri(path)
}

/// A token request of an application that proves itself by Basic.
fn ask_token(client_id: &str) -> TestRequest {
    let basic = format!("Basic {}", STANDARD.encode(format!("{client_id}:hush")));
    post("/oauth/token", "grant_type=client_credentials").insert_header((header::AUTHORIZATION, basic))
}

fn authorize(client_id: &str, more: &str) -> TestRequest {
    let challenge = "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM";
    get(&format!(
        "/oauth/authorize?response_type=code&client_id={client_id}&redirect_uri=https%3A%2F%2Fapp.example%2Fcb&state=xyz&code_challenge={challenge}&code_challenge_method=S256{more}"
    ))
}

mod programs {
    use super::*;

    #[actix_web::test]
    async fn a_token_answer_has_exactly_the_documented_members() {
        let (house, _) = house_at(NOW);
        let seen = call(&house, ask_token("robot")).await;
        assert_eq!(
            (seen.status, seen.header("cache-control"), seen.header("pragma")),
            (200, "no-store", "no-cache"),
            "{}",
            seen.body
        );
        let mut body = seen.json();
        body["access_token"] = "...".into();
        golden::compare("token", &body);
    }

    #[actix_web::test]
    async fn every_answer_carries_the_security_headers_and_its_id() {
        let (house, _) = house_at(NOW);
        for request in [ask_token("robot"), post("/oauth/token", ""), get("/nowhere"), get("/")] {
            let seen = call(&house, request.insert_header(("x-request-id", "id-from-proxy"))).await;
            assert_eq!(seen.header("x-content-type-options"), "nosniff");
            assert_eq!(seen.header("referrer-policy"), "no-referrer");
            assert!(seen.header("strict-transport-security").starts_with("max-age="));
            assert_eq!(seen.header("x-request-id"), "id-from-proxy");
        }
        let plain = Settings { issuer: "http://127.0.0.1:8080".into(), ..settings() };
        let seen = call(&house_with(plain, NOW).0, get("/healthz")).await;
        assert_eq!(seen.header("strict-transport-security"), "");
        assert_eq!(seen.header("x-request-id").len(), 22);
    }

    #[actix_web::test]
    async fn a_refused_client_is_told_how_to_prove_itself() {
        let (house, _) = house_at(NOW);
        let basic = format!("Basic {}", STANDARD.encode("robot:wrong"));
        let request = post("/oauth/token", "grant_type=client_credentials");
        let seen = call(&house, request.insert_header((header::AUTHORIZATION, basic))).await;
        assert_eq!((seen.status, seen.header("www-authenticate")), (401, "Basic realm=\"portcullis\""));
        assert_eq!(seen.json()["errors"][0]["title"], "invalid_client");
    }

    #[actix_web::test]
    async fn revoking_answers_an_empty_object_and_the_place_in_the_feed() {
        let (house, _) = house_at(NOW);
        let token = call(&house, ask_token("robot")).await.json()["access_token"].clone();
        let body = format!("client_id=robot&client_secret=hush&token={}", token.as_str().unwrap());
        let seen = call(&house, post("/oauth/revoke", &body)).await;
        assert_eq!((seen.status, seen.body.as_str()), (200, "{}"));
        assert_eq!(seen.header("revocation-position"), "live:eu1 1.1");
        let seen = call(&house, post("/oauth/revoke", "token=x")).await;
        assert_eq!((seen.status, &seen.json()["errors"][0]["title"]), (403, &json!("unauthorized_client")));
    }

    #[actix_web::test]
    async fn what_is_not_understood_is_refused_in_json() {
        let (house, _) = house_at(NOW);
        let cases = [
            (get("/nowhere"), 404),
            (get("/oauth/token"), 405),
            (TestRequest::delete().uri("/oauth/authorize"), 405),
            (post("/oauth/token", &"x".repeat(65 * 1024)), 413),
            (post("/oauth/token", "grant_type=a&grant_type=b"), 400),
            (post("/oauth/token?client_secret=hush", "grant_type=client_credentials"), 400),
            (post("/oauth/token", "").set_payload(vec![0xff, 0xfe]), 400),
            (ask_token("robot").append_header((header::CONTENT_TYPE, "text/plain")), 400),
        ];
        for (request, status) in cases {
            let seen = call(&house, request).await;
            assert_eq!((seen.status, seen.header("content-type")), (status, "application/json"));
            assert_eq!(seen.json()["errors"][0]["status"], status);
        }
    }

    #[actix_web::test]
    async fn pages_of_an_application_may_call_and_others_may_not() {
        let (house, _) = house_at(NOW);
        let from = |origin: &'static str, client_id: &str| {
            ask_token(client_id).insert_header((header::ORIGIN, origin))
        };
        let seen = call(&house, from("https://shop.example", "shop")).await;
        assert_eq!(seen.header("access-control-allow-origin"), "https://shop.example");
        assert_eq!(seen.header("access-control-allow-credentials"), "");
        for request in [from("https://evil.example", "shop"), from("https://shop.example", "robot")] {
            let seen = call(&house, request).await;
            assert_eq!((seen.status, seen.header("access-control-allow-origin")), (200, ""));
        }
        let preflight = TestRequest::with_uri("/oauth/revoke")
            .method(actix_web::http::Method::OPTIONS)
            .insert_header((header::ORIGIN, "https://shop.example"))
            .insert_header((header::ACCESS_CONTROL_REQUEST_HEADERS, "x-true-client-ip"));
        let seen = call(&house, preflight).await;
        assert_eq!(seen.status, 204);
        assert!(seen.header("access-control-allow-headers").contains("x-true-client-ip"));
    }

    #[actix_web::test]
    async fn an_old_host_answers_with_its_end_in_sight_until_it_ends() {
        let (house, clock) = house_at(NOW);
        let old = || ask_token("robot").insert_header((header::HOST, "my-shop.cl.test:8443"));
        let seen = call(&house, old()).await;
        assert_eq!((seen.status, seen.header("deprecation")), (200, "@1730419200"));
        assert_eq!(seen.header("sunset"), "Wed, 31 Mar 2027 00:00:00 GMT");
        let seen = call(&house, ask_token("robot")).await;
        assert_eq!((seen.status, seen.header("deprecation")), (200, ""));
        clock.advance(Day::of(2027, 3, 31).start() - NOW);
        let seen = call(&house, old()).await;
        assert_eq!((seen.status, &seen.json()["error"]), (400, &json!("invalid_request")));
        assert_eq!(call(&house, ask_token("robot")).await.status, 200);
    }

    #[actix_web::test]
    async fn public_documents_are_open_to_everybody_and_name_the_configured_issuer() {
        let (house, _) = house_at(NOW);
        let request = get("/.well-known/oauth-authorization-server");
        let request = request
            .insert_header((header::HOST, "evil.example"))
            .insert_header(("x-forwarded-host", "evil.example"));
        let seen = call(&house, request).await;
        assert_eq!(seen.header("access-control-allow-origin"), "*");
        golden::compare("metadata", &seen.json());
        let keys = call(&house, get("/.well-known/jwks.json")).await;
        assert_eq!((keys.status, keys.header("access-control-allow-origin")), (200, "*"));
        assert!(!keys.body.contains("\"d\""));
        assert_eq!(call(&house, get("/.well-known/openid-configuration")).await.status, 404);
    }

    #[actix_web::test]
    async fn a_personal_token_reads_who_it_is_and_its_roles() {
        let (house, _) = house_at(NOW);
        let token = async |client_id: &str| {
            let answer = call(&house, ask_token(client_id)).await.json();
            format!("Bearer {}", answer["access_token"].as_str().unwrap())
        };
        let me = token("me").await;
        for (path, name) in [("/api/user", "api-user"), ("/api/roles", "api-roles")] {
            let seen = call(&house, get(path).insert_header((header::AUTHORIZATION, me.clone()))).await;
            assert_eq!((seen.status, seen.header("content-type")), (200, "application/vnd.api+json"));
            golden::compare(name, &seen.json());
            assert_eq!(call(&house, get(path)).await.status, 401);
        }
        let robot = token("robot").await;
        let seen = call(&house, get("/api/user").insert_header((header::AUTHORIZATION, robot))).await;
        assert_eq!(seen.status, 403);
    }

    #[actix_web::test]
    async fn token_info_takes_a_bearer_token_and_nothing_else() {
        let (house, _) = house_at(NOW);
        let answer = call(&house, ask_token("robot")).await.json();
        let token = format!("Bearer {}", answer["access_token"].as_str().unwrap());
        let seen = call(&house, get("/oauth/tokeninfo").insert_header((header::AUTHORIZATION, token))).await;
        assert_eq!((seen.status, &seen.json()["application"]["kind"]), (200, &json!("integration")));
        let seen = call(&house, get("/oauth/tokeninfo?access_token=x")).await;
        assert_eq!((seen.status, &seen.json()["errors"][0]["code"]), (401, &json!("INVALID_TOKEN")));
        assert!(seen.header("www-authenticate").starts_with("Bearer "));
    }

    #[actix_web::test]
    async fn introspection_needs_a_secret() {
        let (house, _) = house_at(NOW);
        let seen = call(&house, post("/oauth/introspect", "client_id=shop&token=x")).await;
        assert_eq!((seen.status, &seen.json()["error"]), (401, &json!("invalid_client")));
        let seen =
            call(&house, post("/oauth/introspect", "client_id=robot&client_secret=hush&token=x")).await;
        assert_eq!((seen.status, seen.json()), (200, json!({ "active": false })));
    }

    #[actix_web::test]
    async fn health_says_little() {
        let (house, _) = house_at(NOW);
        assert_eq!(call(&house, get("/healthz")).await.body, "{\"status\":\"ok\"}");
        assert_eq!(call(&house, get("/readyz")).await.body, "{\"status\":\"ready\"}");
        let head = TestRequest::with_uri("/healthz").method(actix_web::http::Method::HEAD);
        assert_eq!(call(&house, head).await.status, 200);
    }
}

mod people {
    use super::*;

    /// A browser that keeps its cookies.
    #[derive(Default)]
    struct Browser(Vec<Cookie<'static>>);

    impl Browser {
        async fn go(&mut self, house: &web::Data<House>, request: TestRequest) -> Seen {
            let request = self.0.iter().fold(request, |request, cookie| request.cookie(cookie.clone()));
            let seen = call(house, request).await;
            for cookie in &seen.cookies {
                self.0.retain(|kept| kept.name() != cookie.name());
                if !cookie.value().is_empty() {
                    self.0.push(cookie.clone());
                }
            }
            seen
        }

        async fn sign_in(&mut self, house: &web::Data<House>, page: &Seen, password: &str) -> Seen {
            let form = format!("form={}&username=ann%40example.com&password={password}", page.form());
            self.go(house, post("/oauth/authorize/sign-in", &form)).await
        }

        async fn decide(&mut self, house: &web::Data<House>, page: &Seen, decision: &str) -> Seen {
            let form = format!("form={}&decision={decision}", page.form());
            self.go(house, post("/oauth/authorize/consent", &form)).await
        }
    }

    fn back(seen: &Seen) -> String {
        assert_eq!(seen.status, 303, "{}", seen.body);
        seen.header("location").to_owned()
    }

    #[actix_web::test]
    async fn a_stranger_signs_in_agrees_and_goes_back_with_a_code() {
        let (house, _) = house_at(NOW);
        let mut browser = Browser::default();
        let page = browser.go(&house, authorize("web", "")).await;
        assert_eq!(page.status, 200);
        assert!(page.header("content-security-policy").contains("form-action 'self' https://app.example;"));
        assert_eq!(page.header("x-frame-options"), "DENY");
        assert_eq!(page.header("access-control-allow-origin"), "");
        let onward = back(&browser.sign_in(&house, &page, "right").await);
        let question = browser.go(&house, get(&onward)).await;
        assert!(question.body.contains("The &#60;web&#62; app") && question.body.contains("ann@example.com"));
        let to = back(&browser.decide(&house, &question, "allow").await);
        assert!(to.starts_with("https://app.example/cb?code="), "{to}");
        assert!(to.contains("&state=xyz") && to.contains("&iss=https%3A%2F%2Fauth.cl.test"), "{to}");
    }

    #[actix_web::test]
    async fn the_session_cookie_is_out_of_reach() {
        let (house, _) = house_at(NOW);
        let mut browser = Browser::default();
        let page = browser.go(&house, authorize("own", "")).await;
        let seen = browser.sign_in(&house, &page, "right").await;
        let cookie = seen.cookies.iter().find(|c| c.name() == "__Host-portcullis-session").unwrap();
        assert!(cookie.http_only() == Some(true) && cookie.secure() == Some(true));
        assert_eq!((cookie.path(), cookie.domain()), (Some("/"), None));
    }

    #[actix_web::test]
    async fn the_organizations_own_application_asks_once_and_then_not_at_all() {
        let (house, _) = house_at(NOW);
        let mut browser = Browser::default();
        let page = browser.go(&house, authorize("own", "")).await;
        assert!(back(&browser.sign_in(&house, &page, "right").await).contains("?code="));
        assert!(back(&browser.go(&house, authorize("own", "")).await).contains("?code="));
        let page = browser.go(&house, authorize("own", "&prompt=login")).await;
        assert!(page.body.contains("name=\"password\""));
    }

    #[actix_web::test]
    async fn a_wrong_password_and_an_unknown_account_look_alike() {
        let (house, _) = house_at(NOW);
        let mut browser = Browser::default();
        let page = browser.go(&house, authorize("web", "")).await;
        let wrong = browser.sign_in(&house, &page, "wrong").await;
        let form = format!("form={}&username=nobody%40example.com&password=right", page.form());
        let unknown = browser.go(&house, post("/oauth/authorize/sign-in", &form)).await;
        let problem = |seen: &Seen| {
            let (_, rest) = seen.body.split_once("role=\"alert\">").unwrap();
            rest.split_once('<').unwrap().0.to_owned()
        };
        assert_eq!((wrong.status, unknown.status), (200, 200));
        assert_eq!(problem(&wrong), problem(&unknown));
        assert!(!wrong.cookies.iter().any(|cookie| cookie.name().contains("session")));
        assert!(!wrong.body.contains("value=\"wrong\""));
        assert!(browser.sign_in(&house, &wrong, "right").await.status == 303);
    }

    #[actix_web::test]
    async fn a_form_from_another_site_does_nothing() {
        let (house, _) = house_at(NOW);
        let mut attacker = Browser::default();
        let page = attacker.go(&house, authorize("web", "")).await;
        let mut victim = Browser::default();
        let seen = victim.sign_in(&house, &page, "right").await;
        assert_eq!(seen.status, 400);
        assert!(victim.0.is_empty());
        victim.go(&house, authorize("web", "")).await;
        assert_eq!(victim.sign_in(&house, &page, "right").await.status, 400);
    }

    #[actix_web::test]
    async fn a_sign_in_form_is_no_consent() {
        let (house, _) = house_at(NOW);
        let mut browser = Browser::default();
        let page = browser.go(&house, authorize("web", "")).await;
        browser.sign_in(&house, &page, "right").await;
        assert_eq!(browser.decide(&house, &page, "allow").await.status, 400);
    }

    #[actix_web::test]
    async fn consent_ends_with_the_session() {
        let (house, clock) = house_at(NOW);
        let mut browser = Browser::default();
        let page = browser.go(&house, authorize("web", "")).await;
        browser.sign_in(&house, &page, "right").await;
        clock.advance(u64::from(house.settings.tokens.session_lifetime) - 60);
        let question = browser.go(&house, authorize("web", "")).await;
        clock.advance(60);
        let seen = browser.decide(&house, &question, "allow").await;
        assert!(seen.status == 200 && seen.body.contains("name=\"password\""));
    }

    #[actix_web::test]
    async fn a_person_may_say_no_or_be_somebody_else() {
        let (house, _) = house_at(NOW);
        let mut browser = Browser::default();
        let page = browser.go(&house, authorize("web", "")).await;
        let onward = back(&browser.sign_in(&house, &page, "right").await);
        let question = browser.go(&house, get(&onward)).await;
        assert!(back(&browser.decide(&house, &question, "deny").await).contains("error=access_denied"));
        let seen = browser.decide(&house, &question, "switch").await;
        assert!(seen.body.contains("name=\"password\""));
        assert!(!browser.0.iter().any(|cookie| cookie.name().contains("session")));
    }

    #[actix_web::test]
    async fn an_application_that_must_not_ask_learns_that_nobody_is_there() {
        let (house, _) = house_at(NOW);
        let mut browser = Browser::default();
        let to = back(&browser.go(&house, authorize("own", "&prompt=none")).await);
        assert!(to.contains("error=login_required") && to.contains("state=xyz"), "{to}");
    }

    #[actix_web::test]
    async fn an_unproved_address_is_never_followed() {
        let (house, _) = house_at(NOW);
        for query in [
            "client_id=web&redirect_uri=https%3A%2F%2Fevil.example%2Fcb",
            "client_id=web&redirect_uri=https%3A%2F%2Fapp.example%2Fcb&redirect_uri=https%3A%2F%2Fevil.example",
            "client_id=%22%3E%3Cscript%3E&redirect_uri=https%3A%2F%2Fapp.example%2Fcb",
            "redirect_uri=https%3A%2F%2Fapp.example%2Fcb",
        ] {
            let seen = call(&house, get(&format!("/oauth/authorize?response_type=code&{query}"))).await;
            assert_eq!((seen.status, seen.header("location")), (400, ""), "{query}");
            assert!(seen.header("content-type").starts_with("text/html"));
            assert!(!seen.body.contains("<script"));
        }
    }

    #[actix_web::test]
    async fn other_mistakes_go_to_the_application() {
        let (house, _) = house_at(NOW);
        let to = back(&call(&house, authorize("web", "&scope=nonsense")).await);
        assert!(to.starts_with("https://app.example/cb?error=invalid_scope"), "{to}");
    }
}

mod rules {
    use super::*;
    use std::io::Write;
    use std::path::Path;
    use std::sync::Mutex;

    use tracing_subscriber::fmt::MakeWriter;

    #[derive(Clone, Default)]
    struct Heard(Arc<Mutex<Vec<u8>>>);

    impl Write for Heard {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0.lock().unwrap().write(bytes)
        }

        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }

    impl<'a> MakeWriter<'a> for Heard {
        type Writer = Self;

        fn make_writer(&'a self) -> Self {
            self.clone()
        }
    }

    #[actix_web::test]
    async fn the_log_has_one_line_for_a_request_and_no_secret_in_it() {
        let (house, _) = house_at(NOW);
        let heard = Heard::default();
        let subscriber = tracing_subscriber::fmt().with_writer(heard.clone()).with_ansi(false).finish();
        let listening = tracing::subscriber::set_default(subscriber);
        let token = call(&house, ask_token("robot")).await.json()["access_token"].clone();
        let body = format!("client_id=robot&client_secret=hush&token={}", token.as_str().unwrap());
        call(&house, post("/oauth/revoke", &body)).await;
        call(&house, authorize("web", "&code=leaked")).await;
        call(&house, post("/oauth/token", "grant_type=x&client_id=stranger&client_secret=hush")).await;
        drop(listening);
        let log = String::from_utf8(heard.0.lock().unwrap().clone()).unwrap();
        assert_eq!(log.matches(" answered ").count(), 4, "{log}");
        assert_eq!(log.lines().count(), 4, "{log}");
        for secret in ["hush", token.as_str().unwrap(), "leaked", "state", "xyz", "stranger", "form="] {
            assert!(!log.contains(secret), "{secret} in {log}");
        }
        for told in ["route=\"/oauth/authorize\"", "client_id=\"robot\"", "status=400", "method=\"POST\""] {
            assert!(log.contains(told), "{told} not in {log}");
        }
    }

    #[test]
    fn only_the_reply_knows_a_status_code() {
        let room = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/http");
        for file in std::fs::read_dir(room).unwrap() {
            let path = file.unwrap().path();
            let name = path.file_name().unwrap().to_str().unwrap();
            let text = std::fs::read_to_string(&path).unwrap();
            let knows = ["StatusCode", "HttpResponse::", "ErrorBad", "ErrorInternal"];
            let told = knows.iter().any(|word| text.contains(word));
            assert!(!told || matches!(name, "reply.rs" | "tests.rs"), "{name} has learnt a status code");
        }
    }
}
