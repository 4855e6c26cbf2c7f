//! What one server has answered is true at every other for the next request. Each request here meets another server
//! than the one before, where there are several.

use portcullis_authority::operators::OperatorRole;
use portcullis_tests::client::{BACKEND, Client, PERSONAL};
use portcullis_tests::{Answer, Ground, Town};
use reqwest::Method;
use serde_json::{Value, json};

/// Again and again, because what is a matter of milliseconds goes well by chance.
const ROUNDS: usize = 12;

pub async fn a_token_that_is_answered_as_revoked_is_inactive_at_once(ground: &Ground) {
    let town = Town::open(ground).await;
    for round in 0..ROUNDS {
        let token = town.client_token(&BACKEND).await;
        assert!(town.is_active(&token).await, "round {round}");
        town.revoke(&BACKEND, &token).await.with_status(200);
        assert!(!town.is_active(&token).await, "round {round}");
    }
}

pub async fn a_new_secret_opens_at_once_and_a_withdrawn_one_does_not(ground: &Ground) {
    let town = Town::open_with_office(ground).await;
    let ann = town.operator(OperatorRole::Operator).await;
    let path = "/applications/backend/secrets";
    let bob = town.operator(OperatorRole::Approver).await;
    for round in 0..ROUNDS {
        let made = ann.propose("secret", json!({ "application": "backend" })).await.with_status(201).json();
        bob.approve(&made).await.with_status(200);
        let secret: &'static str = made["secret"].as_str().expect("a secret").to_owned().leak();
        let renewed: Client = BACKEND.with_secret(secret);
        let token = town.client_token(&renewed).await;
        let id = made["id"].as_str().expect("an id");
        ann.delete(&format!("{path}/{id}")).await.with_status(204);
        let refused = town.token(&renewed, "client_credentials", &[]).await;
        assert_eq!(refused.status, 401, "round {round}");
        assert!(!town.is_active(&token).await, "round {round}");
    }
}

pub async fn a_permission_means_what_was_answered_last(ground: &Ground) {
    let town = Town::open(ground).await;
    let ringo = town.client_token(&PERSONAL).await;
    let write = async |method: Method, path: &str, data: Value| {
        let request = town.request(method, &format!("/api/{path}")).bearer_auth(&ringo);
        let body = json!({ "data": data }).to_string();
        let answer = Answer::to(request.header("content-type", "application/vnd.api+json").body(body)).await;
        assert!((200..300).contains(&answer.status), "{path}: {answer:?}");
        answer.json()
    };
    let to = |kind: &str, id: &str| json!({ "data": { "type": kind, "id": id } });
    let make = async |kind: &str, attributes: Value, relationships: Value| {
        let data = json!({ "type": kind, "attributes": attributes, "relationships": relationships });
        write(Method::POST, kind, data).await["data"].clone()
    };
    let acme = to("organizations", "orgAcmeAAA");
    let role = make("roles", json!({ "name": "Pickers" }), json!({ "organization": acme })).await;
    let role = to("roles", role["id"].as_str().expect("an id"));
    let given = json!({ "subject": "orders", "can_read": true });
    let permission = make("permissions", given, json!({ "role": role })).await;
    let permission = permission["id"].as_str().expect("an id");
    let robot = json!({ "name": "Robot", "kind": "integration" });
    let robot = make("api_credentials", robot, json!({ "organization": acme, "role": role })).await;
    let robot = &robot["attributes"];
    let form = [
        ("grant_type", "client_credentials"),
        ("client_id", robot["client_id"].as_str().expect("an id")),
        ("client_secret", robot["client_secret"].as_str().expect("a secret")),
    ];
    let token = Answer::to(town.post("/oauth/token").form(&form)).await.with_status(200).access_token();
    for round in 0..ROUNDS {
        let on = round % 2 == 1;
        let data = json!({ "type": "permissions", "id": permission, "attributes": { "can_read": on } });
        write(Method::PATCH, &format!("permissions/{permission}"), data).await;
        let info = Answer::to(town.get("/oauth/tokeninfo").bearer_auth(&token)).await.with_status(200).json();
        assert_eq!(info["permissions"]["orders"]["actions"] == json!(["read"]), on, "round {round}: {info}");
    }
}
