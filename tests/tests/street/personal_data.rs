//! More on personal data, where an organization asks for two persons: refused to one of its admins by whichever
//! request, done by two operators, and nothing else is held up.

use portcullis_authority::operators::OperatorRole;
use portcullis_tests::client::{PERSONAL, SUPPORT};
use portcullis_tests::office::Colleague;
use portcullis_tests::{Answer, Ground, Town};
use reqwest::Method;
use serde_json::{Value, json};

const SAFETY: &str = "/organizations/acme/safety";

/// An admin of Acme at the Provisioning API.
pub(super) struct Admin<'a> {
    town: &'a Town,
    token: String,
}

impl<'a> Admin<'a> {
    pub(super) async fn of(town: &'a Town) -> Self {
        Self { town, token: town.client_token(&PERSONAL).await }
    }

    pub(super) async fn write(&self, method: Method, path: &str, data: Value) -> Answer {
        let request = self.town.request(method, &format!("/api/{path}")).bearer_auth(&self.token);
        let body = json!({ "data": data }).to_string();
        Answer::to(request.header("content-type", "application/vnd.api+json").body(body)).await
    }

    pub(super) async fn permit(&self, subject: &str, attributes: Value) -> Answer {
        let mut attributes = attributes;
        attributes["subject"] = json!(subject);
        let role = json!({ "data": { "type": "roles", "id": "orgAcmeAAA.support" } });
        let data =
            json!({ "type": "permissions", "attributes": attributes, "relationships": { "role": role } });
        self.write(Method::POST, "permissions", data).await
    }

    async fn change(&self, permission: &str, attributes: Value) -> Answer {
        let data = json!({ "type": "permissions", "id": permission, "attributes": attributes });
        self.write(Method::PATCH, &format!("permissions/{permission}"), data).await
    }

    pub(super) async fn read(&self, path: &str) -> Value {
        let answer = Answer::to(self.town.get(&format!("/api/{path}")).bearer_auth(&self.token)).await;
        answer.with_status(200).json()
    }
}

pub(super) async fn turns(who: &Colleague, on: bool) -> Answer {
    let body = json!({ "second_person_for_personal_data": on, "reason": "DPO, finding 13" });
    Answer::to(who.request(Method::PATCH, SAFETY).json(&body)).await
}

pub(super) fn id(answer: &Answer) -> String {
    answer.json()["data"]["id"].as_str().expect("an id").to_owned()
}

/// What the support desk's tokens may do with a subject.
async fn allowed(town: &Town, token: &str, subject: &str) -> Value {
    let info = Answer::to(town.get("/oauth/tokeninfo").bearer_auth(token)).await.with_status(200).json();
    info["permissions"][subject]["actions"].clone()
}

fn is_for_two(answer: &Answer) {
    assert_eq!(answer.status, 403, "{answer:?}");
    let detail = answer.json()["errors"][0]["detail"].clone();
    let detail = detail.as_str().expect("it says why");
    assert!(detail.contains("two operators") && detail.contains("organizations permit"), "{detail}");
}

pub async fn one_admin_widens_nothing_on_personal_data_by_whichever_request(ground: &Ground) {
    let town = Town::open_with_office(ground).await;
    let ann = town.operator(OperatorRole::Operator).await;
    let admin = Admin::of(&town).await;
    let addresses = id(&admin.permit("addresses", json!({ "can_read": true })).await.with_status(201));
    turns(&ann, true).await.with_status(200);
    is_for_two(&admin.permit("customers", json!({ "can_read": true })).await);
    is_for_two(&admin.permit("*", json!({ "can_read": true })).await);
    is_for_two(&admin.change(&addresses, json!({ "can_update": true })).await);
    let fenced = json!({ "restrictions": { "when": ["owner_is_token_customer"] } });
    admin.change(&addresses, fenced).await.with_status(200);
    is_for_two(&admin.change(&addresses, json!({ "restrictions": { "when": [] } })).await);
    // A permission that allows nothing is none, until it is switched on.
    let customers = id(&admin.permit("customers", json!({})).await.with_status(201));
    is_for_two(&admin.change(&customers, json!({ "can_read": true })).await);
    // Less is never held up, nor is what holds nobody.
    admin.change(&addresses, json!({ "can_read": false })).await.with_status(200);
    is_for_two(&admin.change(&addresses, json!({ "can_read": true })).await);
    let skus = id(&admin.permit("prices", json!({ "can_read": true })).await.with_status(201));
    admin.change(&skus, json!({ "can_update": true })).await.with_status(200);
    let told = town.look(async |store| store.audit_page(0, 10_000).await.expect("the audit reads")).await;
    let refused = told.iter().filter(|it| it.record.event == "registry.refused").count();
    assert_eq!(refused, 6, "each refusal is noted");
}

pub async fn two_operators_permit_more_on_personal_data(ground: &Ground) {
    let town = Town::open_with_office(ground).await;
    let ann = town.operator(OperatorRole::Operator).await;
    let bob = town.operator(OperatorRole::Approver).await;
    let auditor = town.operator(OperatorRole::Auditor).await;
    let admin = Admin::of(&town).await;
    let token = town.client_token(&SUPPORT).await;
    let wish = |role: &str, subject: &str, actions: &[&str]| json!({ "organization": "acme", "role": role, "subject": subject, "actions": actions });
    let more = wish("support", "customers", &["read", "export"]);
    ann.propose("personal_data", more.clone()).await.with_status(409);
    turns(&ann, true).await.with_status(200);
    for (status, unsound) in [
        (404, json!({ "organization": "nobody", "role": "r", "subject": "orders", "actions": ["read"] })),
        (422, wish("nobody", "customers", &["read"])),
        (422, wish("admin", "customers", &["read"])),
        (422, wish("support", "customers", &["look"])),
        (422, wish("support", "No Subject", &["read"])),
        (409, wish("support", "prices", &["read"])),
        (409, wish("support", "orders", &["read"])),
    ] {
        let refused = ann.propose("personal_data", unsound.clone()).await;
        assert_eq!(refused.status, status, "{unsound}: {refused:?}");
    }
    auditor.propose("personal_data", more.clone()).await.with_status(403);
    let made = ann.propose("personal_data", more).await.with_status(201).json();
    assert_eq!(allowed(&town, &token, "customers").await, Value::Null, "nothing before somebody agrees");
    ann.approve(&made).await.with_status(403);
    bob.approve(&made).await.with_status(200);
    bob.approve(&made).await.with_status(409);
    assert_eq!(allowed(&town, &token, "customers").await, json!(["read", "export"]));
    let found = admin.read("permissions?filter[q][subject_eq]=customers").await;
    let permission = found["data"][0]["id"].as_str().expect("it is there").to_owned();
    let path = format!("permissions/{permission}/versions");
    let versions = admin.read(&path).await;
    assert_eq!(versions["data"][0]["attributes"]["who"]["operators"], json!([ann.id, bob.id]), "{versions}");
    // What an admin takes away again, an admin does not give back.
    admin.change(&permission, json!({ "can_read": false })).await.with_status(200);
    assert_eq!(allowed(&town, &token, "customers").await, json!(["export"]));
    is_for_two(&admin.change(&permission, json!({ "can_read": true })).await);
}

pub async fn the_second_person_is_done_without_by_two(ground: &Ground) {
    let town = Town::open_with_office(ground).await;
    let ann = town.operator(OperatorRole::Operator).await;
    let bob = town.operator(OperatorRole::Approver).await;
    let admin = Admin::of(&town).await;
    let both = json!({
        "second_person_for_personal_data": true, "require_second_factor": true, "reason": "drill",
    });
    for unclear in [both, json!({ "reason": "drill" })] {
        Answer::to(ann.request(Method::PATCH, SAFETY).json(&unclear)).await.with_status(422);
    }
    let done = turns(&ann, true).await.with_status(200).json();
    assert_eq!(done["safety"]["second_person_for_personal_data"], true, "{done}");
    assert_eq!(done["safety"]["require_second_factor"], false, "each is a change of its own");
    town.sow_again().await;
    is_for_two(&admin.permit("customers", json!({ "can_read": true })).await);
    let asked = turns(&ann, false).await.with_status(200).json();
    assert_eq!(asked["state"], "proposed", "{asked}");
    is_for_two(&admin.permit("customers", json!({ "can_read": true })).await);
    bob.approve(&asked["proposal"]).await.with_status(200);
    admin.permit("customers", json!({ "can_read": true })).await.with_status(201);
}
