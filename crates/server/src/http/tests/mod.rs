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
use portcullis_authority::limits::Limits;
use portcullis_authority::memory::Memory;
use portcullis_authority::refusal::Trouble;
use portcullis_authority::registry::Holdings;
use portcullis_authority::secret::{Seal, Secret};
use portcullis_guard::Claims;
use serde_json::{Value, json};

use super::{door, golden};
use crate::departure::Departure;
use crate::house::House;
use crate::settings::{Day, Legacy, Settings};
use crate::testing::{MovableClock, idle_hub, means};

mod limits;
mod people;
mod programs;
mod provisioning;
mod rules;

const NOW: u64 = 1_800_000_000;
const FORM: &str = "application/x-www-form-urlencoded";

/// Passwords fit when they are written down as they are.
struct Quick;

#[async_trait]
impl Slow for Quick {
    async fn password_fits(&self, phc: Option<String>, password: Secret) -> Result<bool, Trouble> {
        Ok(phc.as_deref() == Some(password.expose()))
    }

    async fn password_hash(&self, password: Secret) -> Result<String, Trouble> {
        Ok(password.expose().to_owned())
    }

    async fn password_weakness(&self, _: Secret, _: Vec<String>) -> Result<Option<&'static str>, Trouble> {
        Ok(None)
    }
}

/// Believes every token; the real check has its own tests.
struct Credulous;

impl Inspector for Credulous {
    fn inspect(&self, token: &str, now_ms: u64) -> Result<Option<Claims>, Trouble> {
        Ok(self.recognise(token).filter(|claims| now_ms / 1000 < claims.exp))
    }

    fn recognise(&self, token: &str) -> Option<Claims> {
        let claims = URL_SAFE_NO_PAD.decode(token.split('.').nth(1)?).ok()?;
        serde_json::from_slice(&claims).ok()
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
    let key = seal.client_secret("backend:rendered", &Secret::from("the-key"));
    let backend = json!({ "organization": "org3", "backend_keys": [{ "id": "k1", "hash": key }] });
    serde_json::from_value(json!({
        "version": 1,
        "organizations": [{ "id": "org1", "slug": "my-shop", "name": "My Shop" },
            { "id": "org3", "slug": "big-shop", "name": "Big Shop", "enterprise": true }],
        "applications": [
            application(seal, "robot", "integration", json!({ "role": "r1" })),
            application(seal, "shop", "sales_channel", json!({ "origins": ["https://shop.example"] })),
            application(seal, "rendered", "sales_channel", backend),
            application(seal, "web", "webapp", json!({ "redirect_uris": redirect })),
            application(seal, "own", "webapp", json!({ "redirect_uris": redirect, "first_party": true })),
            application(seal, "me", "user", json!({ "user": "u1" })),
        ],
        "roles": [
            { "id": "r1", "organization": "org1", "name": "Admin", "kind": "admin" },
            { "id": "r2", "organization": "org1", "name": "Packers", "kind": "custom" },
            { "id": "r3", "organization": "org2", "name": "Elsewhere", "kind": "custom" },
        ],
        "guards": [{ "id": "g1", "hash": seal.client_secret("guard:g1", &Secret::from("hush")) }],
        "fences": [], "generations": [],
    }))
    .unwrap()
}

fn house_with(settings: Settings, now: u64) -> (web::Data<House>, Arc<MovableClock>) {
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
    house_over(settings, now, (seal, books))
}

/// A house over books that were filled by the test.
fn house_over(
    settings: Settings,
    now: u64,
    (seal, books): (Arc<Seal>, Arc<Memory>),
) -> (web::Data<House>, Arc<MovableClock>) {
    let (means, clock) = means(now);
    let desk = Desk {
        registry: books.clone(),
        ledger: books,
        clock: means.clock,
        dice: means.dice,
        slow: Arc::new(Quick),
        inspector: Arc::new(Credulous),
        seal,
        limits: Arc::new(Limits::new(settings.limits.allowances())),
        terms: settings.terms(),
    };
    let key = StoredKey { jwk: generate("ES256", "eu1").unwrap(), state: KeyState::Active };
    let authority = Authority::new(desk, Keyring::new(&[key]).unwrap());
    let hub = idle_hub(&settings.issuer, clock.clone());
    let (departure, board) = (Departure::default(), Arc::default());
    (web::Data::new(House { authority, hub, departure, board, traces: None, settings }), clock)
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
