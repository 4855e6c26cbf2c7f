//! People's accounts and the secrets of applications, as operators look after them: what is closed has ended,
//! here and at the shop.

use portcullis_authority::ledger::AuditRecord;
use portcullis_authority::operators::OperatorRole;
use portcullis_tests::client::{BACKEND, Client, PERSONAL, STOREFRONT};
use portcullis_tests::{Answer, Ground, Town};
use serde_json::{Value, json};

const JANE: &str = "/people/custJaneAA";

pub async fn an_account_that_is_closed_has_ended_everywhere(ground: &Ground) {
    let mut town = Town::open_with_office(ground).await;
    town.open_shop();
    town.shopfront().wait_until_ready();
    let ann = town.operator(OperatorRole::Operator).await;
    let jane = town.jane(&STOREFRONT).await;
    town.shop("/api/skus", &jane.access_token()).await.with_status(200);
    let seen = ann.get(&format!("{JANE}/sessions")).await.with_status(200).json();
    assert_eq!(seen["logins"][0]["client_id"], "storefront");
    ann.post(&format!("{JANE}/disable"), &json!({})).await.with_status(200);
    town.until_shop_refuses(&jane.access_token()).await;
    town.refresh(&STOREFRONT, &jane.refresh_token()).await.with_status(400);
    town.password(&STOREFRONT, "jane@example.com", "hush-jane").await.with_status(400);
    assert_eq!(ann.get(&format!("{JANE}/sessions")).await.json()["logins"], json!([]));
    ann.post(&format!("{JANE}/enable"), &json!({})).await.with_status(200);
    town.password(&STOREFRONT, "jane@example.com", "hush-jane").await.with_status(200);
    assert!(!town.is_active(&jane.access_token()).await, "nothing un-ends");
}

pub async fn a_login_ends_alone_or_with_all_others(ground: &Ground) {
    let town = Town::open_with_office(ground).await;
    let ann = town.operator(OperatorRole::Operator).await;
    let (first, second) = (town.jane(&STOREFRONT).await, town.jane(&STOREFRONT).await);
    let of_first = town.introspect(&first.access_token()).await["sid"].as_str().unwrap().to_owned();
    ann.delete(&format!("/people/userRingoA/logins/{of_first}")).await.with_status(404);
    ann.delete(&format!("{JANE}/logins/{of_first}")).await.with_status(204);
    assert!(!town.is_active(&first.access_token()).await);
    assert!(town.is_active(&second.access_token()).await);
    ann.delete(&format!("{JANE}/sessions")).await.with_status(204);
    assert!(!town.is_active(&second.access_token()).await);
    let places = ann.get(&format!("{JANE}/places")).await.with_status(200).json();
    assert_eq!(places["places"][0]["address"], "127.0.0.1");
    ann.delete("/people/nobody/sessions").await.with_status(404);
}

pub async fn another_password_ends_what_was_had_with_the_one_before(ground: &Ground) {
    let town = Town::open_with_office(ground).await;
    let ann = town.operator(OperatorRole::Operator).await;
    let jane = town.jane(&STOREFRONT).await;
    let path = format!("{JANE}/password");
    for weak in ["short", "password1234", "jane@example.com", "password-password", "acme-jane-acme-jane"] {
        let refused = ann.put(&path, &json!({ "password": weak })).await.with_status(422);
        assert_eq!(refused.json()["errors"][0]["pointer"], "#/password");
        assert!(!refused.body.contains(weak), "{refused:?}");
    }
    assert!(town.is_active(&jane.access_token()).await);
    let made = ann.put(&path, &json!({})).await.with_status(200).text("password");
    assert!(!town.is_active(&jane.access_token()).await);
    town.password(&STOREFRONT, "jane@example.com", "hush-jane").await.with_status(400);
    town.password(&STOREFRONT, "jane@example.com", &made).await.with_status(200);
    ann.put(&path, &json!({ "password": "copper kettle on the landing" })).await.with_status(200);
    town.password(&STOREFRONT, "jane@example.com", "copper kettle on the landing").await.with_status(200);
}

pub async fn people_are_found_made_and_deleted(ground: &Ground) {
    let town = Town::open_with_office(ground).await;
    let ann = town.operator(OperatorRole::Operator).await;
    let found = ann.get("/people?search=EXAMPLE.com&limit=2").await.with_status(200).json();
    assert_eq!(found["people"].as_array().unwrap().len(), 2);
    let next = found["next"].as_str().unwrap();
    let rest = ann.get(&format!("/people?search=example.com&after={next}")).await.with_status(200).json();
    assert_eq!((rest["people"].as_array().unwrap().len(), &rest["next"]), (3, &Value::Null));
    assert_eq!(ann.get("/people?search=%25").await.json()["people"], json!([]), "signs stand for themselves");
    ann.get("/people?serch=a").await.with_status(422);
    let organization = ann.get(JANE).await.json()["person"]["organization"].clone();
    let zoe = json!({
        "kind": "customer", "organization": organization, "email": "Zoe@Example.com", "make_password": true,
    });
    let made = ann.post("/people", &zoe).await.with_status(201);
    let (id, password) = (made.json()["person"]["id"].as_str().unwrap().to_owned(), made.text("password"));
    ann.post("/people", &zoe).await.with_status(409);
    let token =
        town.password(&STOREFRONT, "zoe@example.com", &password).await.with_status(200).access_token();
    ann.delete(&format!("/people/{id}")).await.with_status(204);
    assert!(!town.is_active(&token).await);
    ann.get(&format!("/people/{id}")).await.with_status(404);
    let owner = ann.delete("/people/userRingoA").await.with_status(409);
    assert!(owner.text("detail").contains("owns"), "{owner:?}");
}

pub async fn whoever_looks_at_people_is_noted_and_auditors_change_nothing(ground: &Ground) {
    let town = Town::open_with_office(ground).await;
    let auditor = town.operator(OperatorRole::Auditor).await;
    auditor.get(JANE).await.with_status(200);
    auditor.get("/people?search=example.com").await.with_status(200);
    let cut =
        auditor.request(reqwest::Method::POST, "/cuts/preview").header("x-reason", "INC-7: laptop stolen");
    Answer::to(cut.json(&json!({ "kind": "person", "id": "custJaneAA" }))).await.with_status(200);
    auditor.post("/offboardings/preview", &json!({ "person": "custJaneAA" })).await.with_status(200);
    for (method, path) in [("POST", "disable"), ("PUT", "password"), ("DELETE", "sessions")] {
        let method = method.parse().unwrap();
        let asked = auditor.request(method, &format!("{JANE}/{path}")).json(&json!({}));
        Answer::to(asked).await.with_status(403);
    }
    auditor.delete(JANE).await.with_status(403);
    let actor = format!("operator:{}", auditor.id);
    let noted = town
        .look(async move |store| {
            let all = store.audit_page(0, 1000).await.expect("the audit reads");
            let own = all.into_iter().map(|entry| entry.record).filter(|it| it.actors.contains(&actor));
            own.collect::<Vec<AuditRecord>>()
        })
        .await;
    let looked = noted.iter().find(|it| it.event == "personal_data.read").expect("the look was noted");
    assert_eq!(looked.subject.as_deref(), Some("custJaneAA"));
    let of = |call: &str| {
        let found = noted.iter().filter(|it| it.event == "personal_data.read");
        let mut with = found.filter(|it| it.detail.as_deref().is_some_and(|detail| detail.contains(call)));
        with.next_back().expect("the look was noted")
    };
    let many: Value = serde_json::from_str(of("GET /people\"").detail.as_deref().unwrap()).unwrap();
    assert_eq!((many["people"].as_array().unwrap().len(), &many["more"]), (5, &json!(0)), "{many}");
    assert!(many["people"].as_array().unwrap().contains(&json!("custJaneAA")));
    for call in ["POST /cuts/preview", "POST /offboardings/preview"] {
        assert_eq!(of(call).subject.as_deref(), Some("custJaneAA"), "{call}");
    }
    assert_eq!(of("POST /cuts/preview").reason.as_deref(), Some("INC-7: laptop stolen"));
    assert_eq!(noted.iter().filter(|it| it.event == "operator.refused").count(), 4);
}

pub async fn a_secret_is_rotated_with_an_overlap_and_a_leaked_one_ends_its_tokens(ground: &Ground) {
    let town = Town::open_with_office(ground).await;
    let ann = town.operator(OperatorRole::Operator).await;
    let token = town.client_token(&BACKEND).await;
    let path = "/applications/backend/secrets";
    let listed = ann.get(path).await.with_status(200).json();
    let old = listed["secrets"][0]["id"].as_str().unwrap().to_owned();
    assert_eq!(listed["secrets"][0]["last_used"], town.now() - town.now() % 60);
    let bob = town.operator(OperatorRole::Approver).await;
    let what = json!({ "application": "backend", "rotate": true, "overlap": 3600 });
    let made = ann.propose("secret", what).await.with_status(201);
    let secret: &'static str = made.text("secret").leak();
    assert!(secret.starts_with("pcs_"));
    bob.approve(&made.json()).await.with_status(200);
    let renewed: Client = BACKEND.with_secret(secret);
    assert!(town.is_active(&token).await, "rotation ends nothing");
    town.client_token(&BACKEND).await;
    town.client_token(&renewed).await;
    ann.delete(&format!("{path}/{old}")).await.with_status(204);
    assert!(!town.is_active(&token).await);
    town.token(&BACKEND, "client_credentials", &[]).await.with_status(401);
    town.client_token(&renewed).await;
    ann.delete(&format!("{path}/{old}")).await.with_status(404);
    let listed = ann.get(path).await.with_status(200).json();
    assert_eq!(listed["secrets"][0]["id"], made.json()["id"], "a secret has the id of its proposal");
    ann.propose("secret", json!({ "application": "nobody" })).await.with_status(404);
    ann.propose("secret", json!({ "application": PERSONAL.id })).await.with_status(409);
    for wrong in [
        json!({ "application": "backend", "overlap": 60 }),
        json!({ "application": "backend", "rotate": true, "overlap": 31_536_001 }),
        json!({ "application": "backend", "expires_in": 59 }),
        json!({ "application": "backend", "secret": "of my own" }),
        json!({}),
    ] {
        ann.propose("secret", wrong).await.with_status(422);
    }
}
