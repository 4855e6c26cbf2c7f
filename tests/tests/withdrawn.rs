//! A permission that is taken away over the Provisioning API is refused by the very next call to a service
//! that has heard of it, with the token that was good a moment ago; and it is heard within milliseconds.

use std::net::{SocketAddr, TcpListener};
use std::time::{Duration, Instant};

use actix_web::{App, HttpServer};
use portcullis::books;
use portcullis::means::Means;
use portcullis::serve::{Running, start};
use portcullis::settings::Settings;
use portcullis::testing::{Scratch, settings};
use portcullis_guard::OnStale;
use portcullis_shop::Shop;
use portcullis_shop::follow::{Followed, follow};
use portcullis_shop::settings::World;
use serde_json::{Value, json};

const SEED: &str = r#"
[[organizations]]
slug = "acme"
enterprise = true
[[users]]
id = "ann"
email = "ann@example.com"
password = "right-horse"
[[memberships]]
user = "ann"
role = "admin"
owner = true
[[applications]]
client_id = "of-ann"
kind = "user"
user = "ann"
secret = "s"
[[guards]]
id = "shop"
secret = "s"
"#;

/// The slowest that is still called milliseconds on a busy machine; the staleness bound is ten seconds.
const SOON: Duration = Duration::from_secs(3);

fn server(scratch: &Scratch) -> Running {
    let (means, settings) = (Means::system(), settings(scratch));
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(async {
        let store = books::open(&settings, &means).await.unwrap();
        books::sow(&settings, &means, &store, SEED).await.unwrap();
    });
    start(settings, means).unwrap()
}

/// The shop behind its guard, on a thread that lives as long as the test.
fn shop(issuer: &str) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let settings = portcullis_shop::settings::Settings {
        listen: address,
        issuer: issuer.into(),
        audience: "commerce-api".into(),
        feed_url: None,
        ca: None,
        redis_url: None,
        redis_ca: None,
        feed: Settings::default().feed.name,
        guard_id: "shop".into(),
        guard_secret: "s".into(),
        environment: World::Any,
        commerce_layer: false,
        stock: None,
        tls_cert: None,
        tls_key: None,
        catalog_when_stale: OnStale::Deny,
    };
    std::thread::spawn(move || {
        actix_web::rt::System::new().block_on(async move {
            let Followed { guard, view, feed, redis } = follow(&settings).unwrap();
            let watched = guard.clone();
            let app = Shop::new(guard).ready_when(move || Followed::is_ready(&watched, &view)).app();
            let served = HttpServer::new(move || App::new().configure(app.clone())).workers(1);
            served.listen(listener).unwrap().run().await.unwrap();
            drop((feed, redis));
        });
    });
    address
}

fn agent() -> ureq::Agent {
    ureq::Agent::config_builder().http_status_as_error(false).build().into()
}

fn token(issuer: &str, client_id: &str, secret: &str) -> String {
    let form = [("grant_type", "client_credentials"), ("client_id", client_id), ("client_secret", secret)];
    let mut answer = agent().post(format!("{issuer}/oauth/token")).send_form(form).unwrap();
    let body: Value = serde_json::from_str(&answer.body_mut().read_to_string().unwrap()).unwrap();
    body["access_token"].as_str().unwrap_or_else(|| panic!("no token: {body}")).to_owned()
}

/// Writes over the Provisioning API.
fn write(issuer: &str, ann: &str, path: &str, method: &str, data: Value) -> Value {
    let request = ureq::http::Request::builder()
        .method(method)
        .uri(format!("{issuer}/api/{path}"))
        .header("authorization", format!("Bearer {ann}"))
        .header("content-type", "application/vnd.api+json")
        .body(json!({ "data": data }).to_string())
        .unwrap();
    let mut answer = agent().run(request).unwrap();
    let text = answer.body_mut().read_to_string().unwrap();
    assert!(answer.status().is_success(), "{method} {path}: {text}");
    serde_json::from_str(&text).unwrap_or(Value::Null)
}

fn status(address: SocketAddr, token: &str) -> u16 {
    let request = agent().get(format!("http://{address}/api/orders"));
    request.header("authorization", format!("Bearer {token}")).call().unwrap().status().as_u16()
}

/// How long until the shop answers so.
fn until(address: SocketAddr, token: &str, wanted: u16) -> Duration {
    let began = Instant::now();
    while status(address, token) != wanted {
        assert!(began.elapsed() < SOON, "still {}, not {wanted}", status(address, token));
        std::thread::sleep(Duration::from_millis(1));
    }
    began.elapsed()
}

#[test]
fn a_permission_that_is_withdrawn_refuses_the_next_call() {
    let scratch = Scratch::new();
    let running = server(&scratch);
    let issuer = &running.issuer;
    let ann = token(issuer, "of-ann", "s");
    let to = |kind: &str, id: &str| json!({ "data": { "type": kind, "id": id } });
    let made = |kind: &str, attributes: Value, relationships: Value| {
        let data = json!({ "type": kind, "attributes": attributes, "relationships": relationships });
        write(issuer, &ann, kind, "POST", data)
    };
    let acme = to("organizations", "acme");
    let role = made("roles", json!({ "name": "Pickers" }), json!({ "organization": acme }));
    let role = to("roles", role["data"]["id"].as_str().unwrap());
    let given = json!({ "subject": "orders", "can_read": true });
    let permission = made("permissions", given, json!({ "role": role }));
    let permission = permission["data"]["id"].as_str().unwrap().to_owned();
    let robot = made(
        "api_credentials",
        json!({ "name": "Robot", "kind": "integration" }),
        json!({ "organization": acme, "role": role }),
    );
    let robot = &robot["data"]["attributes"];
    let robot = token(issuer, robot["client_id"].as_str().unwrap(), robot["client_secret"].as_str().unwrap());
    let shop = shop(issuer);
    until(shop, &robot, 200);

    let began = Instant::now();
    let switch = |on: bool| {
        let data = json!({ "type": "permissions", "id": permission, "attributes": { "can_read": on } });
        write(issuer, &ann, &format!("permissions/{permission}"), "PATCH", data);
    };
    switch(false);
    let answered = began.elapsed();
    let refused = until(shop, &robot, 403);
    println!(
        "withdrawn: answered after {:.1} ms, refused in the shop {:.1} ms later, same token",
        answered.as_secs_f64() * 1000.0,
        refused.as_secs_f64() * 1000.0
    );
    switch(true);
    println!("granted again: {:.1} ms", until(shop, &robot, 200).as_secs_f64() * 1000.0);
    write(issuer, &ann, &format!("roles/{}", role["data"]["id"].as_str().unwrap()), "DELETE", json!({}));
    println!("role deleted: token refused after {:.1} ms", until(shop, &robot, 401).as_secs_f64() * 1000.0);
    running.stop().unwrap();
}
