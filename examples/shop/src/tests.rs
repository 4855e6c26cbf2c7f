//! The shop from the street, in process: tokens cut here, no authorization server.

use actix_web::App;
use actix_web::http::{Method, StatusCode, header};
use actix_web::test::{TestRequest, call_service, init_service, read_body};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use portcullis_guard::{DangerNothingEnded, Guard, KeySet};
use ring::rand::SystemRandom;
use ring::signature::{Ed25519KeyPair, KeyPair};
use serde_json::{Value, json};

use crate::Shop;

mod matrix;
mod restrictions;

const ISSUER: &str = "https://auth.shop.example";

/// A shop and somebody who can cut tokens for it.
struct Town {
    key: Ed25519KeyPair,
    shop: Shop,
}

impl Town {
    fn new() -> Self {
        let pkcs8 = Ed25519KeyPair::generate_pkcs8(&SystemRandom::new()).unwrap();
        let key = Ed25519KeyPair::from_pkcs8(pkcs8.as_ref()).unwrap();
        let x = URL_SAFE_NO_PAD.encode(key.public_key());
        let jwk = json!({"kty": "OKP", "crv": "Ed25519", "x": x, "kid": "eu1.test", "alg": "EdDSA"});
        let guard = Guard::builder()
            .issuer(ISSUER)
            .audience("commerce-api")
            .keys(KeySet::from_jwks(&json!({"keys": [jwk]}).to_string()).unwrap())
            .revocations(DangerNothingEnded)
            .build()
            .unwrap();
        Self { key, shop: Shop::new(guard) }
    }

    /// A token of an organization `acme` with this role, changed as wished.
    fn token(&self, role: &str, change: Value) -> String {
        let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs();
        let mut claims = json!({
            "iss": ISSUER, "sub": "client:c", "aud": "commerce-api", "client_id": "c", "iat": now,
            "exp": now + 7200, "jti": "AAAAAAAAAAAAAAAAAAAAAA", "scope": "market:all", "gv": [0, 0, 0, 0],
            "rol": [role], "pv": 0, "test": false, "rand": 0.5,
            "organization": {"id": "acme", "slug": "acme", "enterprise": false, "region": "eu-west-1"},
            "application": {"id": "app", "client_id": "c", "kind": "integration", "public": false,
                "confidential": true},
        });
        for (name, value) in change.as_object().unwrap() {
            claims[name] = value.clone();
        }
        claims.as_object_mut().unwrap().retain(|_, value| !value.is_null());
        let header = json!({"alg": "EdDSA", "typ": "at+jwt", "kid": "eu1.test"});
        let part = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
        let input = format!("{}.{}", part(&header), part(&claims));
        let signature = URL_SAFE_NO_PAD.encode(self.key.sign(input.as_bytes()));
        format!("{input}.{signature}")
    }

    fn guest(&self) -> String {
        self.token("sales_channel_guest", in_market("europe"))
    }

    fn customer(&self, id: &str) -> String {
        let mut change = in_market("europe");
        change["owner"] = json!({"id": id, "type": "Customer"});
        change["sub"] = json!(id);
        self.token("sales_channel_customer", change)
    }

    fn admin(&self) -> String {
        self.token("admin", json!({}))
    }

    async fn send(
        &self,
        token: &str,
        method: Method,
        path: &str,
        body: Option<Value>,
    ) -> (StatusCode, Value) {
        let app = init_service(App::new().configure(self.shop.clone().app())).await;
        let mut request = TestRequest::default().method(method).uri(path);
        if !token.is_empty() {
            request = request.insert_header((header::AUTHORIZATION, format!("Bearer {token}")));
        }
        if let Some(body) = body {
            request = request.insert_header((header::CONTENT_TYPE, "application/vnd.api+json"));
            request = request.set_payload(body.to_string());
        }
        let answer = call_service(&app, request.to_request()).await;
        let status = answer.status();
        let body = read_body(answer).await;
        (status, serde_json::from_slice(&body).unwrap_or(Value::Null))
    }

    async fn get(&self, token: &str, path: &str) -> (StatusCode, Value) {
        self.send(token, Method::GET, path, None).await
    }

    async fn post(&self, token: &str, path: &str, kind: &str, attributes: Value) -> (StatusCode, Value) {
        let body = json!({"data": {"type": kind, "attributes": attributes}});
        self.send(token, Method::POST, path, Some(body)).await
    }

    async fn patch(&self, token: &str, path: &str, kind: &str, attributes: Value) -> (StatusCode, Value) {
        let body = json!({"data": {"type": kind, "attributes": attributes}});
        self.send(token, Method::PATCH, path, Some(body)).await
    }
}

fn in_market(id: &str) -> Value {
    json!({"scope": format!("market:id:{id}"), "market": {"id": [id], "stock_location_ids": [],
        "geocoder_id": null, "allows_external_prices": false}})
}

fn one_shirt() -> Value {
    json!({"lines": [{"sku_code": "TSHIRTWH", "quantity": 1}]})
}

fn order_path(answer: &Value) -> String {
    answer["data"]["links"]["self"].as_str().unwrap().to_owned()
}

#[actix_web::test]
async fn nothing_but_health_is_open() {
    let town = Town::new();
    assert_eq!(town.get("", "/healthz").await.0, StatusCode::NO_CONTENT);
    assert_eq!(town.get("", "/readyz").await.0, StatusCode::NO_CONTENT);
    for path in ["/api/orders", "/api/skus", "/api/customers/x", "/api/organization", "/", "/api/orders/../x"]
    {
        let (status, body) = town.get("", path).await;
        assert_eq!(status, StatusCode::UNAUTHORIZED, "{path}");
        assert_eq!(body["errors"][0]["code"], "UNAUTHORIZED");
    }
}

#[actix_web::test]
async fn a_route_that_the_gate_was_not_told_of_stays_shut_even_for_an_admin() {
    let town = Town::new();
    assert_eq!(town.get(&town.admin(), "/api/prices").await.0, StatusCode::FORBIDDEN);
    let put = town.send(&town.admin(), Method::PUT, "/api/orders", None).await;
    assert_eq!(put.0, StatusCode::FORBIDDEN);
}

#[actix_web::test]
async fn the_numbers_are_shown_to_everybody_and_are_about_nobody() {
    let town = Town::new();
    town.get(&town.customer("anna"), "/api/skus").await;
    let app = init_service(App::new().configure(town.shop.clone().app())).await;
    let answer = call_service(&app, TestRequest::get().uri("/metrics").to_request()).await;
    assert_eq!(answer.headers().get(header::CONTENT_TYPE).unwrap(), portcullis_guard::metrics::CONTENT_TYPE);
    let page = String::from_utf8(read_body(answer).await.to_vec()).unwrap();
    assert!(page.contains("portcullis_guard_checks_total{outcome=\"accepted\"} 1\n"), "{page}");
    assert!(!page.contains("anna"));
}

#[actix_web::test]
async fn a_shop_that_does_not_hear_the_feed_is_not_ready() {
    let mut town = Town::new();
    town.shop = town.shop.ready_when(|| false);
    assert_eq!(town.get("", "/readyz").await.0, StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(town.get("", "/healthz").await.0, StatusCode::NO_CONTENT);
}

#[actix_web::test]
async fn an_unknown_key_is_reported_so_that_new_keys_are_fetched() {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};
    let (mut town, stranger) = (Town::new(), Town::new());
    let told = Arc::new(AtomicUsize::new(0));
    let counter = told.clone();
    town.shop = town.shop.on_unknown_key(move || {
        counter.fetch_add(1, Ordering::Relaxed);
    });
    assert_eq!(town.get(&stranger.admin(), "/api/orders").await.0, StatusCode::UNAUTHORIZED);
    assert_eq!(told.load(Ordering::Relaxed), 0, "the key is known and the signature is wrong");
    let other_key = stranger.admin();
    let (_, rest) = other_key.split_once('.').unwrap();
    let header = URL_SAFE_NO_PAD.encode(r#"{"alg":"EdDSA","typ":"at+jwt","kid":"eu1.other"}"#);
    assert_eq!(town.get(&format!("{header}.{rest}"), "/api/orders").await.0, StatusCode::UNAUTHORIZED);
    assert_eq!(told.load(Ordering::Relaxed), 1);
}

#[actix_web::test]
async fn a_guest_sees_what_is_sold_and_lists_no_orders() {
    let town = Town::new();
    let (status, skus) = town.get(&town.guest(), "/api/skus").await;
    assert_eq!((status, skus["meta"]["record_count"].as_u64()), (StatusCode::OK, Some(4)));
    assert_eq!(town.get(&town.guest(), "/api/orders").await.0, StatusCode::FORBIDDEN);
}

#[actix_web::test]
async fn with_the_commerce_layer_profile_forbidden_is_401() {
    let mut town = Town::new();
    town.shop = town.shop.commerce_layer_profile(true);
    let (status, body) = town.get(&town.guest(), "/api/orders").await;
    assert_eq!((status, &body["errors"][0]["code"]), (StatusCode::UNAUTHORIZED, &json!("UNAUTHORIZED")));
}

#[actix_web::test]
async fn a_guest_makes_fills_and_places_an_order_and_cannot_touch_it_afterwards() {
    let town = Town::new();
    let guest = town.guest();
    let (status, order) = town.post(&guest, "/api/orders", "orders", json!({})).await;
    assert_eq!(status, StatusCode::CREATED);
    let path = order_path(&order);
    assert_eq!(order["data"]["relationships"]["market"]["data"]["id"], "europe");
    let empty = town.patch(&guest, &path, "orders", json!({"_place": true})).await;
    assert_eq!(empty.0, StatusCode::UNPROCESSABLE_ENTITY);
    let (_, filled) = town.patch(&guest, &path, "orders", one_shirt()).await;
    assert_eq!(filled["data"]["attributes"]["total_amount_cents"], 2900);
    let (status, placed) = town.patch(&guest, &path, "orders", json!({"_place": true})).await;
    assert_eq!((status, &placed["data"]["attributes"]["status"]), (StatusCode::OK, &json!("placed")));
    let late = town.patch(&guest, &path, "orders", json!({"reference": "late"})).await;
    assert_eq!(late.0, StatusCode::FORBIDDEN);
    assert_eq!(town.get(&guest, &path).await.0, StatusCode::OK);
    let (_, _) = town.patch(&town.admin(), &path, "orders", json!({"_approve": true})).await;
    assert_eq!(town.get(&guest, &path).await.0, StatusCode::FORBIDDEN);
}

#[actix_web::test]
async fn a_customer_lists_his_own_orders_and_no_others() {
    let town = Town::new();
    let (anna, bert) = (town.customer("anna"), town.customer("bert"));
    let (_, order) = town.post(&anna, "/api/orders", "orders", one_shirt()).await;
    assert_eq!(order["data"]["relationships"]["customer"]["data"]["id"], "anna");
    let (_, hers) = town.get(&anna, "/api/orders").await;
    assert_eq!(hers["meta"]["record_count"], 1);
    assert_eq!(hers["data"][0]["id"], order["data"]["id"]);
    let (_, his) = town.get(&bert, "/api/orders").await;
    assert_eq!(his["meta"]["record_count"], 0);
    let (_, all) = town.get(&town.admin(), "/api/orders").await;
    assert_eq!(all["meta"]["record_count"], 4, "hers and the three that were there before");
}

#[actix_web::test]
async fn nobody_makes_an_order_for_a_customer_whom_he_may_not_see() {
    let town = Town::new();
    let relationships = json!({"customer": {"data": {"type": "customers", "id": "anna"}}});
    let body = json!({"data": {"type": "orders", "relationships": relationships}});
    for token in [town.guest(), town.customer("bert")] {
        let refused = town.send(&token, Method::POST, "/api/orders", Some(body.clone())).await;
        assert_eq!(refused.0, StatusCode::FORBIDDEN);
    }
}

#[actix_web::test]
async fn personal_details_are_for_the_customer_and_for_roles_that_say_so() {
    let town = Town::new();
    let guest = town.guest();
    let (status, signed_up) =
        town.post(&guest, "/api/customers", "customers", json!({"email": "a@shop.example"})).await;
    assert_eq!(status, StatusCode::CREATED);
    let (id, path) = (signed_up["data"]["id"].as_str().unwrap(), order_path(&signed_up));
    let (status, own) = town.get(&town.customer(id), &path).await;
    assert_eq!((status, &own["data"]["attributes"]["email"]), (StatusCode::OK, &json!("a@shop.example")));
    assert_eq!(town.get(&town.token("read_only", json!({})), &path).await.0, StatusCode::OK);
    for token in [guest, town.customer("bert")] {
        assert_eq!(town.get(&token, &path).await.0, StatusCode::FORBIDDEN);
        assert_eq!(town.get(&token, "/api/customers/nobody").await.0, StatusCode::FORBIDDEN);
    }
    let again =
        town.post(&town.guest(), "/api/customers", "customers", json!({"email": "A@shop.example"})).await;
    assert_eq!(again.0, StatusCode::UNPROCESSABLE_ENTITY);
}

#[actix_web::test]
async fn an_organization_sees_nothing_of_another() {
    let town = Town::new();
    let organization = json!({"id": "other", "slug": "other", "enterprise": false, "region": "eu-west-1"});
    let stranger = town.token("admin", json!({"organization": organization}));
    let (_, order) = town.post(&town.guest(), "/api/orders", "orders", json!({})).await;
    let path = order_path(&order);
    assert_eq!(town.get(&stranger, &path).await.0, StatusCode::NOT_FOUND);
    assert_eq!(
        town.patch(&stranger, &path, "orders", json!({"reference": "x"})).await.0,
        StatusCode::NOT_FOUND
    );
    assert_eq!(town.send(&stranger, Method::DELETE, &path, None).await.0, StatusCode::NOT_FOUND);
    assert_eq!(town.get(&stranger, "/api/orders").await.1["meta"]["record_count"], 0);
    let (_, own) = town.get(&stranger, "/api/organization").await;
    assert_eq!(own["data"]["attributes"]["slug"], "other");
}

#[actix_web::test]
async fn an_organization_that_the_stock_knows_has_orders_before_anybody_buys() {
    let town = Town::new();
    let organization = json!({"id": "orgDemoAAA", "slug": "demo", "enterprise": true, "region": "eu-west-1"});
    let admin = town.token("admin", json!({"organization": organization}));
    assert_eq!(town.get(&admin, "/api/orders").await.1["meta"]["record_count"], 3);
    let (_, jane) = town.get(&admin, "/api/customers/custJaneAA").await;
    assert_eq!(jane["data"]["attributes"]["email"], "jane@example.com");
    assert_eq!(town.get(&town.admin(), "/api/customers/custJaneAA").await.0, StatusCode::NOT_FOUND);
}

#[actix_web::test]
async fn a_token_without_an_organization_sees_no_shelf() {
    let town = Town::new();
    let nowhere = json!({"organization": null});
    for path in ["/api/orders", "/api/skus", "/api/organization", "/api/customers/x"] {
        let (status, _) = town.get(&town.token("admin", nowhere.clone()), path).await;
        assert!([StatusCode::NOT_FOUND, StatusCode::FORBIDDEN].contains(&status), "{path}: {status}");
        let (status, _) = town.get(&town.token("provisioning", nowhere.clone()), path).await;
        assert_eq!(status, StatusCode::FORBIDDEN, "{path}");
    }
}

#[actix_web::test]
async fn only_a_role_that_says_so_changes_what_is_sold() {
    let town = Town::new();
    let socks = json!({"code": "SOCKSRED", "name": "Red socks", "amount_cents": 700, "market_ids": ["asia"]});
    for token in [town.guest(), town.customer("anna"), town.token("read_only", json!({}))] {
        let refused = town.post(&token, "/api/skus", "skus", socks.clone()).await;
        assert_eq!(refused.0, StatusCode::FORBIDDEN);
    }
    let admin = town.admin();
    let (status, sku) = town.post(&admin, "/api/skus", "skus", socks.clone()).await;
    assert_eq!(status, StatusCode::CREATED);
    let path = order_path(&sku);
    assert_eq!(town.get(&town.guest(), &path).await.0, StatusCode::FORBIDDEN, "not sold in Europe");
    assert_eq!(town.get(&town.guest(), "/api/skus").await.1["meta"]["record_count"], 4);
    let asia = town.token("sales_channel_guest", in_market("asia"));
    assert_eq!(town.get(&asia, &path).await.0, StatusCode::OK);
    let twice = town.post(&admin, "/api/skus", "skus", socks).await;
    assert_eq!(twice.0, StatusCode::UNPROCESSABLE_ENTITY);
    let (_, cheaper) = town.patch(&admin, &path, "skus", json!({"amount_cents": 500})).await;
    assert_eq!(cheaper["data"]["attributes"]["amount_cents"], 500);
    assert_eq!(town.send(&admin, Method::DELETE, &path, None).await.0, StatusCode::NO_CONTENT);
    assert_eq!(town.get(&admin, &path).await.0, StatusCode::NOT_FOUND);
}

#[actix_web::test]
async fn what_is_not_a_document_is_refused_in_json() {
    let town = Town::new();
    let guest = town.guest();
    for (body, status) in [
        (json!({"data": {"type": "skus"}}), StatusCode::BAD_REQUEST),
        (json!({"data": {"type": "orders", "attributes": {"total": 1}}}), StatusCode::BAD_REQUEST),
        (json!([]), StatusCode::BAD_REQUEST),
        (
            json!({"data": {"type": "orders", "attributes": {"reference": "x".repeat(70_000)}}}),
            StatusCode::PAYLOAD_TOO_LARGE,
        ),
    ] {
        let (answer, told) = town.send(&guest, Method::POST, "/api/orders", Some(body)).await;
        assert_eq!(answer, status);
        assert_eq!(told["errors"][0]["status"], status.as_str());
    }
    let untyped = town.send(&guest, Method::POST, "/api/orders", None).await;
    assert_eq!(untyped.0, StatusCode::UNSUPPORTED_MEDIA_TYPE);
}
