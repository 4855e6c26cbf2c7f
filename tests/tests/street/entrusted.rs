//! Who is given a role that reaches personal data, where an organization asks for two persons: proposed by one operator,
//! confirmed by another, written as an admin would have, and refused to whoever may not or is not there.

use portcullis_authority::operators::OperatorRole;
use portcullis_tests::browser::sent_back;
use portcullis_tests::client::{DASHBOARD, PARTNER, SUPPORT, claims_of};
use portcullis_tests::office::Colleague;
use portcullis_tests::{Answer, Ground, Town};
use reqwest::Method;
use serde_json::{Value, json};

use super::code::{DASHBOARD_BACK, PARTNER_BACK};
use super::invited::{OWN, accept, invite, path_of};
use super::personal_data::{Admin, id, turns};

fn to_person(person: &str, role: &str) -> Value {
    json!({ "organization": "acme", "person": person, "role": role })
}

fn to_application(client_id: &str, role: &str) -> Value {
    json!({ "organization": "acme", "application": client_id, "role": role })
}

fn to(kind: &str, id: &str) -> Value {
    json!({ "data": { "type": kind, "id": id } })
}

impl Admin<'_> {
    async fn invite(&self, email: &str, role: &str) -> Answer {
        let data = json!({ "type": "memberships", "attributes": { "user_email": email }, "relationships": {
            "organization": to("organizations", "orgAcmeAAA"), "role": to("roles", &format!("orgAcmeAAA.{role}")) } });
        self.write(Method::POST, "memberships", data).await
    }

    /// Gives a member or an application another role.
    async fn give(&self, kind: &str, id: &str, role: &str) -> Answer {
        let role = to("roles", &format!("orgAcmeAAA.{role}"));
        let data = json!({ "type": kind, "id": id, "relationships": { "role": role } });
        self.write(Method::PATCH, &format!("{kind}/{id}"), data).await
    }

    /// A role that reaches nobody; the part of its id within Acme.
    async fn catalogue(&self) -> String {
        let home = json!({ "organization": to("organizations", "orgAcmeAAA") });
        let role = json!({ "type": "roles", "attributes": { "name": "Catalogue" }, "relationships": home });
        let role = id(&self.write(Method::POST, "roles", role).await.with_status(201));
        role.strip_prefix("orgAcmeAAA.").expect("it is Acme's").to_owned()
    }

    /// Keeps a member to the dashboard and a market; the id of what does.
    async fn keeps_to_the_dashboard(&self, membership: &str) -> String {
        let bundle = json!({ "type": "application_memberships",
            "attributes": { "filters": { "market_id_in": ["marketEurA"] } },
            "relationships": { "organization": to("organizations", "orgAcmeAAA"),
                "api_credential": to("api_credentials", "dashboard"), "role": to("roles", "orgAcmeAAA.support"),
                "membership": to("memberships", membership) } });
        id(&self.write(Method::POST, "application_memberships", bundle).await.with_status(201))
    }

    /// The membership of somebody.
    async fn place_of(&self, email: &str) -> Value {
        self.read(&format!("memberships?filter[q][user_email_eq]={email}")).await["data"][0].clone()
    }
}

fn is_for_two(answer: &Answer) {
    assert_eq!(answer.status, 403, "{answer:?}");
    assert!(answer.body.contains("organizations entrust"), "{answer:?}");
}

/// The places of a person, as operators see them.
async fn places(who: &Colleague, person: &str) -> Value {
    who.get(&format!("/people/{person}")).await.with_status(200).json()["memberships"].clone()
}

pub async fn two_operators_give_somebody_a_role_that_reaches_personal_data(ground: &Ground) {
    let town = Town::open_with_office(ground).await;
    let ann = town.operator(OperatorRole::Operator).await;
    let bob = town.operator(OperatorRole::Approver).await;
    let auditor = town.operator(OperatorRole::Auditor).await;
    let admin = Admin::of(&town).await;
    let wish = to_person("george@example.com", "support");
    ann.propose("entrustment", wish.clone()).await.with_status(409);
    turns(&ann, true).await.with_status(200);
    is_for_two(&admin.invite("george@example.com", "support").await);
    let both = json!({ "organization": "acme", "person": "userGeorge", "application": "backend", "role": "support" });
    for (status, unsound) in [
        (404, json!({ "organization": "nobody", "person": "userGeorge", "role": "support" })),
        (409, json!({ "organization": "rival", "person": "userPaulAA", "role": "admin" })),
        (404, to_person("nobody", "support")),
        (422, to_person("userGeorge", "nobody")),
        (422, to_person("userGeorge", "orgRivalAA.admin")),
        (409, to_person("custJaneAA", "support")),
        (409, to_person("userPaulAA", "support")),
        (409, to_person("userRingoA", "support")),
        (409, to_person("userRingoA", "admin")),
        (422, json!({ "organization": "acme", "role": "support" })),
        (422, both),
    ] {
        let refused = ann.propose("entrustment", unsound.clone()).await;
        assert_eq!(refused.status, status, "{unsound}: {refused:?}");
    }
    auditor.propose("entrustment", wish.clone()).await.with_status(403);
    bob.propose("entrustment", wish.clone()).await.with_status(403);
    let made = ann.propose("entrustment", wish).await.with_status(201);
    assert!(!made.body.contains("george@"), "a proposal names no address: {made:?}");
    let made = made.json();
    assert_eq!(places(&ann, "userGeorge").await.as_array().map(Vec::len), Some(1), "Rival's alone so far");
    ann.approve(&made).await.with_status(403);
    auditor.approve(&made).await.with_status(403);
    bob.approve(&made).await.with_status(200);
    bob.approve(&made).await.with_status(409);
    let place = admin.place_of("george@example.com").await;
    let shown = &place["attributes"];
    assert_eq!((&shown["status"], &shown["owner"]), (&json!("active"), &json!(false)), "{place}");
    let path = format!("memberships/{}", place["id"].as_str().expect("an id"));
    let versions = admin.read(&format!("{path}/versions")).await["data"].clone();
    assert_eq!(versions[0]["attributes"]["event"], "create", "{versions}");
    assert_eq!(versions[0]["attributes"]["who"]["operators"], json!([ann.id, bob.id]), "{versions}");
    let browser = town.browser();
    let page = browser.authorize(&DASHBOARD, DASHBOARD_BACK, &[]).await.with_status(200);
    let entered = browser.sign_in(&page, "george@example.com", "hush-george").await.with_status(303);
    assert!(sent_back(&entered).contains_key("code"), "{entered:?}");
    // What an admin takes away again, an admin does not give back.
    let catalogue = admin.catalogue().await;
    let george = place["id"].as_str().expect("an id");
    admin.give("memberships", george, &catalogue).await.with_status(200);
    is_for_two(&admin.give("memberships", george, "support").await);
    let again = ann.propose("entrustment", to_person("userGeorge", "read_only")).await.with_status(201);
    bob.approve(&again.json()).await.with_status(200);
    assert_eq!(admin.place_of("george@example.com").await["id"], george, "the same place, with another role");
    let told = town.look(async |store| store.audit_page(0, 10_000).await.expect("the audit reads")).await;
    let refused = told.iter().filter(|it| it.record.event == "registry.refused").count();
    assert_eq!(refused, 2, "each refusal is noted");
}

pub async fn a_place_is_for_an_account_that_its_person_alone_can_open(ground: &Ground) {
    let town = Town::open_with_office(ground).await;
    let ann = town.operator(OperatorRole::Operator).await;
    let bob = town.operator(OperatorRole::Approver).await;
    let admin = Admin::of(&town).await;
    turns(&ann, true).await.with_status(200);
    let says = |answer: &Answer, words: &str| {
        assert_eq!(answer.status, 409, "{answer:?}");
        assert!(answer.text("detail").contains(words), "{answer:?}");
    };
    let wish = to_person("zoe@example.com", "support");
    let invited = invite(&ann, "zoe@example.com").await.with_status(201);
    let zoe = invited.text("person");
    says(&ann.propose("entrustment", wish.clone()).await, "people invite --organization");
    let given =
        json!({ "kind": "user", "email": "yan@example.com", "password": "copper kettle, third floor" });
    ann.post("/people", &given).await.with_status(201);
    let yan = ann.propose("entrustment", to_person("yan@example.com", "support")).await;
    says(&yan, "chooses another first");
    // Also where its person has a place already.
    let set = ann.propose("password", json!({ "person": "userPaulAA" })).await.with_status(201);
    bob.approve(&set.json()).await.with_status(200);
    says(&ann.propose("entrustment", to_person("userPaulAA", "support")).await, "chooses another first");
    let browser = town.browser();
    let page = browser.open(&path_of(&town, &invited)).await.with_status(200);
    accept(&browser, &page, OWN).await.with_status(200);
    // It is decided again when it is approved: the account may be closed, or invited to something else by then.
    let made = ann.propose("entrustment", wish.clone()).await.with_status(201).json();
    let path = |what: &str| format!("/people/{zoe}/{what}");
    ann.post(&path("disable"), &json!({ "reason": "HR-8" })).await.with_status(200);
    says(&bob.approve(&made).await, "account is open");
    ann.post(&path("enable"), &json!({ "reason": "HR-8" })).await.with_status(200);
    let catalogue = admin.catalogue().await;
    let pending = id(&admin.invite("zoe@example.com", &catalogue).await.with_status(201));
    says(&bob.approve(&made).await, "invited this person already");
    says(&ann.propose("entrustment", wish).await, "invited this person already");
    is_for_two(&admin.give("memberships", &pending, "support").await);
    admin.write(Method::DELETE, &format!("memberships/{pending}"), json!({})).await.with_status(204);
    assert_eq!(places(&ann, &zoe).await, json!([]), "nothing was done");
    bob.approve(&made).await.with_status(200);
    assert_eq!(places(&ann, &zoe).await[0]["role"], "support");
}

pub async fn an_application_is_given_a_role_by_two_operators(ground: &Ground) {
    let town = Town::open_with_office(ground).await;
    let ann = town.operator(OperatorRole::Operator).await;
    let bob = town.operator(OperatorRole::Approver).await;
    let owner = town.operator(OperatorRole::Owner).await;
    let admin = Admin::of(&town).await;
    let catalogue = admin.catalogue().await;
    turns(&ann, true).await.with_status(200);
    admin.give("api_credentials", "support-desk", &catalogue).await.with_status(200);
    is_for_two(&admin.give("api_credentials", "support-desk", "support").await);
    let opened = json!({
        "organization": "acme", "application": "support-desk", "role": "support", "all_applications": true,
    });
    for (status, unsound) in [
        (422, to_application("nobody", "support")),
        (422, to_application("rival-backend", "admin")),
        (422, to_application("dashboard", "support")),
        (422, to_application("personal", "admin")),
        (409, to_application("support-desk", &catalogue)),
        (422, opened),
    ] {
        let refused = ann.propose("entrustment", unsound.clone()).await;
        assert_eq!(refused.status, status, "{unsound}: {refused:?}");
    }
    let before = town.client_token(&SUPPORT).await;
    let wish = to_application("support-desk", "support");
    let made = ann.propose("entrustment", wish.clone()).await.with_status(201).json();
    assert_eq!(
        claims_of(&town.client_token(&SUPPORT).await)["rol"],
        json!([format!("orgAcmeAAA/{catalogue}")])
    );
    bob.approve(&made).await.with_status(200);
    assert!(!town.is_active(&before).await, "what it had before has ended");
    assert_eq!(claims_of(&town.client_token(&SUPPORT).await)["rol"], json!(["orgAcmeAAA/support"]));
    let versions = admin.read("versions?filter[q][resource_id_eq]=support-desk").await["data"].clone();
    let all = versions.as_array().expect("a list");
    assert!(
        all.iter().any(|it| it["attributes"]["who"]["operators"] == json!([ann.id, bob.id])),
        "{versions}"
    );
    // An owner alone, loudly; an operator not.
    admin.give("api_credentials", "support-desk", &catalogue).await.with_status(200);
    let broken = json!({ "kind": "entrustment", "what": wish, "reason": "INC-9", "break_glass": true });
    ann.post("/proposals", &broken).await.with_status(403);
    owner.post("/proposals", &broken).await.with_status(201);
    assert_eq!(claims_of(&town.client_token(&SUPPORT).await)["rol"], json!(["orgAcmeAAA/support"]));
    assert_eq!(ann.get("/proposals").await.json()["broken_glass"][0]["kind"], "entrustment");
}

pub async fn a_place_that_is_kept_to_some_applications_is_opened_by_two_operators(ground: &Ground) {
    let town = Town::open_with_office(ground).await;
    let ann = town.operator(OperatorRole::Operator).await;
    let bob = town.operator(OperatorRole::Approver).await;
    let admin = Admin::of(&town).await;
    turns(&ann, true).await.with_status(200);
    let paul = admin.place_of("paul@example.com").await["id"].as_str().expect("an id").to_owned();
    let bundle = admin.keeps_to_the_dashboard(&paul).await;
    let wider = json!({ "type": "application_memberships", "id": bundle, "attributes": { "filters": {} } });
    let path = format!("application_memberships/{bundle}");
    is_for_two(&admin.write(Method::PATCH, &path, wider).await);
    let gets_in = async || {
        let browser = town.browser();
        let page = browser.authorize(&PARTNER, PARTNER_BACK, &[]).await.with_status(200);
        let seen = browser.sign_in(&page, "paul@example.com", "hush-paul").await;
        seen.status == 303
    };
    assert!(!gets_in().await, "kept to the dashboard");
    // The same role is no more; the same role everywhere is.
    ann.propose("entrustment", to_person("userPaulAA", "admin")).await.with_status(409);
    let mut wish = to_person("userPaulAA", "admin");
    wish["all_applications"] = json!(true);
    let made = ann.propose("entrustment", wish).await.with_status(201).json();
    bob.approve(&made).await.with_status(200);
    assert_eq!(admin.read("application_memberships").await["data"], json!([]));
    assert_eq!(admin.place_of("paul@example.com").await["attributes"]["all_applications"], true);
    assert!(gets_in().await, "open to every application");
}

pub async fn a_role_is_given_to_what_was_there_when_it_was_proposed(ground: &Ground) {
    let town = Town::open_with_office(ground).await;
    let ann = town.operator(OperatorRole::Operator).await;
    let bob = town.operator(OperatorRole::Approver).await;
    let admin = Admin::of(&town).await;
    let is_another = |answer: &Answer| {
        assert_eq!(answer.status, 409, "{answer:?}");
        assert!(answer.text("detail").contains("propose it anew"), "{answer:?}");
    };
    turns(&ann, true).await.with_status(200);
    let catalogue = admin.catalogue().await;
    let paul = admin.place_of("paul@example.com").await["id"].as_str().expect("an id").to_owned();
    admin.keeps_to_the_dashboard(&paul).await;
    admin.give("memberships", &paul, &catalogue).await.with_status(200);
    let mut wish = to_person("userPaulAA", "support");
    let made = ann.propose("entrustment", wish.clone()).await.with_status(201);
    assert!(made.body.contains("marketEurA"), "the approver sees what Paul is kept to: {made:?}");
    admin.write(Method::DELETE, &format!("memberships/{paul}"), json!({})).await.with_status(204);
    is_another(&bob.approve(&made.json()).await);
    assert_eq!(places(&ann, "userPaulAA").await, json!([]), "and no place that is open to every application");
    // What an operator says of it counts for nothing.
    wish["had"] = json!({ "membership": paul, "role": catalogue });
    let anew = ann.propose("entrustment", wish).await.with_status(201);
    assert!(!anew.body.contains(&paul), "{anew:?}");
    bob.approve(&anew.json()).await.with_status(200);
    assert_eq!(places(&ann, "userPaulAA").await[0]["role"], "support");
    // So it is with an application.
    let made = ann.propose("entrustment", to_application("support-desk", "read_only")).await.with_status(201);
    admin.give("api_credentials", "support-desk", &catalogue).await.with_status(200);
    is_another(&bob.approve(&made.json()).await);
}

pub async fn a_role_that_nobody_confirms_in_time_is_not_given(ground: &Ground) {
    let town = Town::open_with_office(ground).await;
    let ann = town.operator(OperatorRole::Operator).await;
    let bob = town.operator(OperatorRole::Approver).await;
    turns(&ann, true).await.with_status(200);
    let wish = to_person("userGeorge", "support");
    let made = ann.propose("entrustment", wish).await.with_status(201).json();
    town.clock.forward(15 * 60);
    let late = bob.approve(&made).await.with_status(409);
    assert!(late.text("detail").contains("expired"), "{late:?}");
    assert_eq!(places(&ann, "userGeorge").await.as_array().map(Vec::len), Some(1));
}
