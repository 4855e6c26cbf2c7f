//! What operators order, seen at the shop: each kind of cut through a real guard, what needs a second person,
//! and every way of being refused.

use portcullis_authority::operators::OperatorRole;
use portcullis_tests::client::{
    BACKEND, HELPER, PARTNER, PERSONAL, RIVAL, STOREFRONT, SUPPORT, claims_of, kid_of,
};
use portcullis_tests::office::Colleague;
use portcullis_tests::street::no;
use portcullis_tests::{Answer, Ground, Town};
use serde_json::{Value, json};

use crate::code::PARTNER_BACK;
use crate::exchange::exchange;

const WHY: &str = "INC-7: laptop stolen";

async fn town_with_everything(ground: &Ground) -> Town {
    let mut town = Town::open_with_office(ground).await;
    town.open_shop();
    town.shopfront().wait_until_ready();
    town.until_shop_has_reported().await;
    town
}

/// Signs somebody in who holds several roles.
async fn with_roles(town: &Town, email: &str, roles: &[OperatorRole]) -> Colleague {
    let mut made = Colleague::make(town, email, roles).await;
    made.token = made.sign_in(&made.code(town.now())).await.with_status(201).text("token");
    made
}

/// Gives an order and waits for the guards.
async fn order(who: &Colleague, path: &str, body: &Value) -> Answer {
    let call = who.request(reqwest::Method::POST, path).header("prefer", "wait=5").json(body);
    Answer::to(call).await
}

/// Ends something at once; whoever was answered needs not wait any more.
async fn end(who: &Colleague, kind: &str, id: &str) {
    let body = json!({ "kind": kind, "id": id, "reason": WHY });
    let answer = order(who, "/cuts", &body).await.with_status(200).json();
    assert_eq!(answer["state"], "ended", "{answer}");
    assert_eq!(answer["guards"][0]["applied"], true, "{answer}");
    assert!(answer["guards"][0]["guard"].as_str().is_some_and(|name| name.starts_with("shop/")));
}

async fn propose(who: &Colleague, kind: &str, id: &str) -> Value {
    let body = json!({ "kind": kind, "id": id, "reason": WHY });
    let answer = who.post("/cuts", &body).await.with_status(200).json();
    assert_eq!(answer["state"], "proposed", "{answer}");
    answer["proposal"].clone()
}

async fn approve(who: &Colleague, proposal: &Value) -> Answer {
    let path = format!("/proposals/{}/approve", proposal["id"].as_str().unwrap());
    order(who, &path, &json!({ "digest": proposal["digest"] })).await
}

async fn is_good(town: &Town, token: &str) -> bool {
    town.shop("/api/skus", token).await.status == 200
}

pub async fn every_kind_of_cut_is_refused_at_the_shop_when_it_is_answered(ground: &Ground) {
    let town = town_with_everything(ground).await;
    let op = town.operator(OperatorRole::Operator).await;
    let other = town.client_token(&SUPPORT).await;

    let login = town.jane(&STOREFRONT).await;
    end(&op, "token", &login.access_token()).await;
    assert!(!is_good(&town, &login.access_token()).await);

    let next = town.refresh(&STOREFRONT, &login.refresh_token()).await.with_status(200);
    end(&op, "login", claims_of(&next.access_token())["sid"].as_str().unwrap()).await;
    assert!(!is_good(&town, &next.access_token()).await);
    assert_eq!(town.refresh(&STOREFRONT, &next.refresh_token()).await.refusal(), no(400, "invalid_grant"));

    let jane = town.jane(&STOREFRONT).await;
    end(&op, "person", "custJaneAA").await;
    assert!(!is_good(&town, &jane.access_token()).await);
    assert_eq!(town.refresh(&STOREFRONT, &jane.refresh_token()).await.refusal(), no(400, "invalid_grant"));

    let backend = town.client_token(&BACKEND).await;
    end(&op, "application", "backend").await;
    assert!(!is_good(&town, &backend).await);

    let jane = town.jane(&STOREFRONT).await.access_token();
    let acted = exchange(&town, &BACKEND, &jane, &[]).await.with_status(200).access_token();
    let twice = exchange(&town, &HELPER, &acted, &[]).await.with_status(200).access_token();
    assert_eq!(claims_of(&twice)["act"]["act"]["sub"], "client:backend");
    assert!(is_good(&town, &acted).await && is_good(&town, &twice).await);
    end(&op, "actor", "client:backend").await;
    assert!(!is_good(&town, &acted).await);
    assert!(!is_good(&town, &twice).await, "who acts further down counts as well");
    assert!(is_good(&town, &jane).await);

    assert!(is_good(&town, &other).await, "nothing of this was about the support desk");
    end(&op, "role", "acme/support").await;
    assert!(!is_good(&town, &other).await);
    let after = town.client_token(&SUPPORT).await;
    assert!(is_good(&town, &after).await, "whoever still has the role gets new tokens");
}

pub async fn a_role_ends_for_the_people_who_have_it(ground: &Ground) {
    let town = town_with_everything(ground).await;
    let op = town.operator(OperatorRole::Operator).await;
    let assertion = BACKEND.signed_assertion_of(town.issuer(), ("User", "userRingoA"), "r", town.now());
    let grant = portcullis_tests::client::JWT_BEARER;
    let ringo = town.token(&BACKEND, grant, &[("assertion", &assertion)]).await.with_status(200);
    let jane = town.jane(&STOREFRONT).await.access_token();
    end(&op, "role", "orgAcmeAAA/admin").await;
    assert!(!is_good(&town, &ringo.access_token()).await);
    assert_eq!(town.refresh(&BACKEND, &ringo.refresh_token()).await.refusal(), no(400, "invalid_grant"));
    assert!(is_good(&town, &jane).await, "a customer has no role of the organization");
}

pub async fn what_is_wide_needs_a_second_person(ground: &Ground) {
    let town = town_with_everything(ground).await;
    let op = town.operator(OperatorRole::Operator).await;
    let ap = town.operator(OperatorRole::Approver).await;
    let kid = kid_of(&town.client_token(&BACKEND).await);
    for (kind, id) in [("organization", "acme"), ("everything", ""), ("key", kid.as_str())] {
        let (backend, rival) = (town.client_token(&BACKEND).await, town.client_token(&RIVAL).await);
        let named = json!({ "kind": kind, "id": id });
        let seen = op.post("/cuts/preview", &named).await.with_status(200).json();
        assert_eq!((&seen["wide"], seen["guards"].as_array().unwrap().len()), (&json!(true), 1), "{seen}");
        let proposal = propose(&op, kind, id).await;
        assert_eq!(proposal["digest"], seen["digest"]);
        assert!(is_good(&town, &backend).await, "{kind}: nothing happens before somebody agrees");
        let done = approve(&ap, &proposal).await.with_status(200).json();
        assert_eq!((&done["state"], &done["guards"][0]["applied"]), (&json!("done"), &json!(true)), "{done}");
        assert!(!is_good(&town, &backend).await, "{kind}");
        assert_eq!(is_good(&town, &rival).await, kind == "organization", "{kind}");
        approve(&ap, &proposal).await.with_status(409);
    }
}

pub async fn a_proposal_is_refused_to_everybody_who_may_not(ground: &Ground) {
    let town = Town::open_with_office(ground).await;
    let op = town.operator(OperatorRole::Operator).await;
    let auditor = town.operator(OperatorRole::Auditor).await;
    let owner = town.operator(OperatorRole::Owner).await;
    let both = [OperatorRole::Operator, OperatorRole::Approver];
    let both = with_roles(&town, "both@town.test", &both).await;
    let own = propose(&both, "organization", "acme").await;
    let refused = approve(&both, &own).await.with_status(403);
    assert!(refused.text("detail").contains("your own proposal"), "{refused:?}");
    for who in [&op, &auditor, &owner] {
        approve(who, &own).await.with_status(403);
    }
    // An owner who makes an approver of somebody has made no second person for a day.
    let lead = [OperatorRole::Owner, OperatorRole::Operator];
    let lead = with_roles(&town, "lead@town.test", &lead).await;
    let friend = with_roles(&town, "friend@town.test", &[OperatorRole::Operator]).await;
    let roles = json!({ "roles": ["approver"] });
    lead.put(&format!("/operators/{}/roles", friend.id), &roles).await.with_status(200);
    let wish = propose(&lead, "everything", "").await;
    approve(&friend, &wish).await.with_status(403);
    // Another digest than the proposal's is another proposal.
    let altered = json!({ "id": wish["id"], "digest": own["digest"] });
    approve(&both, &altered).await.with_status(409);
    approve(&both, &json!({ "id": "nobodys", "digest": "x" })).await.with_status(404);
    approve(&both, &wish).await.with_status(200);
    approve(&both, &wish).await.with_status(409);
    let why = json!({ "reason": "not this one" });
    let path = |verb: &str| format!("/proposals/{}/{verb}", own["id"].as_str().unwrap());
    op.post(&path("withdraw"), &why).await.with_status(403);
    both.post(&path("refuse"), &why).await.with_status(403);
    both.post(&path("withdraw"), &json!({})).await.with_status(422);
    both.post(&path("withdraw"), &why).await.with_status(200);
    let listed = auditor.get("/proposals").await.with_status(200).json();
    let states: Vec<_> =
        listed["proposals"].as_array().unwrap().iter().map(|it| it["state"].clone()).collect();
    assert_eq!(states.len(), 2, "{listed}");
    assert!(states.contains(&json!("done")) && states.contains(&json!("withdrawn")), "{listed}");
    let open = auditor.get("/proposals?open=true").await.with_status(200).json();
    assert_eq!(open["proposals"], json!([]));
}

pub async fn of_two_who_approve_at_once_one_does(ground: &Ground) {
    let town = Town::open_with_office(ground).await;
    let op = town.operator(OperatorRole::Operator).await;
    let one = with_roles(&town, "one@town.test", &[OperatorRole::Approver]).await;
    let two = with_roles(&town, "two@town.test", &[OperatorRole::Approver]).await;
    for _ in 0..5 {
        let proposal = propose(&op, "organization", "acme").await;
        let (one, two) = tokio::join!(approve(&one, &proposal), approve(&two, &proposal));
        let mut seen = [one.status, two.status];
        seen.sort_unstable();
        assert_eq!(seen, [200, 409]);
    }
    let made = town.look(async |store| store.audit_page(0, 10_000).await.unwrap()).await;
    assert_eq!(made.iter().filter(|entry| entry.record.event == "cut.made").count(), 5);
}

pub async fn an_order_that_is_not_sound_ends_nothing(ground: &Ground) {
    let town = Town::open_with_office(ground).await;
    let op = town.operator(OperatorRole::Operator).await;
    let jane = town.jane(&STOREFRONT).await.access_token();
    let person = json!({ "kind": "person", "id": "custJaneAA", "reason": WHY });
    for role in [OperatorRole::Auditor, OperatorRole::Approver] {
        let who = town.operator(role).await;
        who.post("/cuts", &person).await.with_status(403);
        who.post("/offboardings", &json!({ "person": "custJaneAA", "reason": WHY })).await.with_status(403);
        who.post("/cuts/preview", &json!({ "kind": "person", "id": "custJaneAA" })).await.with_status(200);
    }
    for (body, status) in [
        (json!({ "kind": "person", "id": "custJaneAA" }), 422),
        (json!({ "kind": "person", "id": "custJaneAA", "reason": "a\nb" }), 422),
        (json!({ "kind": "person", "id": "custJaneAA", "reason": format!("saw {jane}") }), 422),
        (json!({ "kind": "person", "id": "custJaneAA", "reason": WHY, "break_glass": true }), 422),
        (json!({ "kind": "planet", "id": "x", "reason": WHY }), 422),
        (json!({ "kind": "person", "id": "nobody", "reason": WHY }), 404),
        (json!({ "kind": "person", "id": "custJaneAA", "reason": WHY, "digest": "x" }), 409),
        (json!({ "kind": "everything", "reason": WHY, "break_glass": true }), 403),
    ] {
        let refused = op.post("/cuts", &body).await;
        assert_eq!(refused.status, status, "{body} {refused:?}");
        assert!(!refused.body.contains(&jane), "no token comes back");
    }
    assert!(town.is_active(&jane).await);
}

pub async fn an_owner_breaks_glass_and_everybody_sees_it(ground: &Ground) {
    let town = Town::open_with_office(ground).await;
    let owner = town.operator(OperatorRole::Owner).await;
    let backend = town.client_token(&BACKEND).await;
    let body = json!({ "kind": "everything", "reason": WHY, "break_glass": true });
    owner.post("/cuts", &body).await.with_status(200);
    assert!(!town.is_active(&backend).await);
    let auditor = town.operator(OperatorRole::Auditor).await;
    let glass = auditor.get("/proposals").await.with_status(200).json()["broken_glass"].clone();
    assert_eq!((&glass[0]["break_glass"], &glass[0]["reason"]), (&json!(true), &json!(WHY)));
    let path = format!("/proposals/{}/acknowledge", glass[0]["id"].as_str().unwrap());
    owner.post(&path, &json!({})).await.with_status(403);
    auditor.post(&path, &json!({})).await.with_status(403);
    let ap = town.operator(OperatorRole::Approver).await;
    ap.post(&path, &json!({})).await.with_status(200);
    ap.post(&path, &json!({})).await.with_status(409);
    assert_eq!(auditor.get("/proposals").await.json()["broken_glass"], json!([]));
}

pub async fn whoever_left_has_nothing_any_more(ground: &Ground) {
    let town = town_with_everything(ground).await;
    let op = town.operator(OperatorRole::Operator).await;
    let jane = town.jane(&STOREFRONT).await;
    let left = json!({ "person": "custJaneAA", "reason": "closed her account" });
    let told = order(&op, "/offboardings", &left).await.with_status(200).json();
    assert_eq!((&told["state"], &told["ended"]["logins"]), (&json!("ended"), &json!(1)), "{told}");
    assert!(!is_good(&town, &jane.access_token()).await);
    assert_eq!(town.password(&STOREFRONT, "jane@example.com", "hush-jane").await.status, 400);
    // Ringo owns Acme and is its only admin.
    let personal = town.client_token(&PERSONAL).await;
    let seen = op.post("/offboardings/preview", &json!({ "person": "ringo@example.com" })).await.json();
    assert_eq!((&seen["orphaned"], &seen["credentials"]), (&json!(["acme"]), &json!(["personal"])));
    let ringo = json!({ "person": "ringo@example.com", "reason": "left" });
    let refused = op.post("/offboardings", &ringo).await.with_status(409);
    assert!(refused.text("detail").contains("transfer the ownership"), "{refused:?}");
    assert!(town.is_active(&personal).await);
    let mut forced = ringo.clone();
    forced["force"] = json!(true);
    let asked = op.post("/offboardings", &forced).await.with_status(200).json();
    let ap = town.operator(OperatorRole::Approver).await;
    approve(&ap, &asked["proposal"]).await.with_status(200);
    assert!(!town.is_active(&personal).await);
    assert_eq!(town.token(&PERSONAL, "client_credentials", &[]).await.refusal(), no(401, "invalid_client"));
    op.post("/offboardings", &json!({ "person": "nobody", "reason": "left" })).await.with_status(404);
}

pub async fn a_proposal_that_nobody_confirms_in_time_is_over(ground: &Ground) {
    let town = Town::open_with_office(ground).await;
    let op = town.operator(OperatorRole::Operator).await;
    let ap = town.operator(OperatorRole::Approver).await;
    let proposal = propose(&op, "organization", "acme").await;
    town.clock.forward(15 * 60);
    let late = approve(&ap, &proposal).await.with_status(409);
    assert!(late.text("detail").contains("expired"), "{late:?}");
    let listed = ap.get("/proposals").await.with_status(200).json();
    assert_eq!(listed["proposals"][0]["state"], "expired");
}

pub async fn who_made_or_changed_the_other_is_no_second_person_for_a_day(ground: &Ground) {
    let town = Town::open_with_office(ground).await;
    let both = [OperatorRole::Operator, OperatorRole::Approver];
    let boss = with_roles(&town, "boss@town.test", &[OperatorRole::Owner, OperatorRole::Approver]).await;
    let ann = with_roles(&town, "ann@town.test", &both).await;
    let eve = with_roles(&town, "eve@town.test", &[OperatorRole::Owner]).await;
    let roles = |id: &str| format!("/operators/{id}/roles");
    let words = json!({ "roles": ["operator", "approver"] });
    boss.put(&roles(&ann.id), &words).await.with_status(200);
    // A later change by somebody else washes nothing clean.
    eve.put(&roles(&ann.id), &words).await.with_status(200);
    let of_boss = propose(&boss, "organization", "acme").await;
    approve(&ann, &of_boss).await.with_status(403);
    let of_ann = propose(&ann, "organization", "acme").await;
    let refused = approve(&boss, &of_ann).await.with_status(403);
    assert!(refused.text("detail").contains("made or changed"), "{refused:?}");
}

pub async fn nobody_sets_the_password_of_somebody_with_a_place_alone(ground: &Ground) {
    let town = Town::open_with_office(ground).await;
    let ann = town.operator(OperatorRole::Operator).await;
    let bob = town.operator(OperatorRole::Approver).await;
    let alone = ann.put("/people/userRingoA/password", &json!({})).await.with_status(409);
    assert!(alone.text("detail").contains("approver"), "{alone:?}");
    let wish = json!({ "kind": "password", "what": { "person": "userRingoA" }, "reason": WHY });
    let proposal = ann.post("/proposals", &wish).await.with_status(201);
    let password = proposal.text("password");
    let proposal = proposal.json();
    let id = proposal["id"].as_str().unwrap();
    let shown = bob.get(&format!("/proposals/{id}")).await.with_status(200);
    assert!(!shown.body.contains(&password), "it is shown once, and not to the approver");
    assert!(is_wrong(&town, &password).await, "before it is confirmed it opens nothing");
    approve(&bob, &proposal).await.with_status(200);
    assert!(is_wrong(&town, "hush-ringo").await, "the one before is over");
    assert!(!is_wrong(&town, &password).await, "and what it opens is told in passwords.rs");
    let kept = town.look(async |store| store.audit_page(0, 1000).await).await.expect("the audit reads");
    assert!(!format!("{kept:?}").contains(&password), "and stands in no record");
}

async fn is_wrong(town: &Town, password: &str) -> bool {
    let browser = town.browser();
    let page = browser.authorize(&PARTNER, PARTNER_BACK, &[]).await.with_status(200);
    browser.sign_in(&page, "ringo@example.com", password).await.body.contains("password is wrong")
}

pub async fn what_somebody_proposed_ends_with_their_account_or_right(ground: &Ground) {
    let town = Town::open_with_office(ground).await;
    let owner = town.operator(OperatorRole::Owner).await;
    let ap = town.operator(OperatorRole::Approver).await;
    let puts = async |who: &Colleague, end: &str, body: Value| {
        owner.put(&format!("/operators/{}/{end}", who.id), &body).await.with_status(200);
    };
    let ann = with_roles(&town, "ann@town.test", &[OperatorRole::Operator]).await;
    let bob = with_roles(&town, "bob@town.test", &[OperatorRole::Operator]).await;
    let (of_ann, of_bob) =
        (propose(&ann, "everything", "").await, propose(&bob, "organization", "acme").await);
    owner.post(&format!("/operators/{}/disable", ann.id), &json!({})).await.with_status(200);
    puts(&bob, "roles", json!({ "roles": ["auditor"] })).await;
    for proposal in [of_ann, of_bob] {
        let late = approve(&ap, &proposal).await.with_status(409);
        assert!(late.text("detail").contains("withdrawn already"), "{late:?}");
    }
    let all = town.look(async |store| store.audit_page(0, 10_000).await.expect("the audit reads")).await;
    let withdrawn: Vec<_> = all.iter().filter(|it| it.record.event == "proposal.withdrawn").collect();
    assert_eq!(withdrawn.len(), 2);
    let actor = format!("operator:{}", owner.id);
    assert!(withdrawn.iter().all(|it| it.record.actors == [actor.clone()] && it.record.reason.is_some()));
}

pub async fn nobody_adds_a_secret_to_an_application_alone(ground: &Ground) {
    let town = Town::open_with_office(ground).await;
    let ann = town.operator(OperatorRole::Operator).await;
    let bob = town.operator(OperatorRole::Approver).await;
    let path = "/applications/backend/secrets";
    ann.post(path, &json!({})).await.with_status(405);
    let backend = || json!({ "application": "backend" });
    bob.propose("secret", backend()).await.with_status(403);
    let made = ann.propose("secret", backend()).await.with_status(201);
    let secret: &'static str = made.text("secret").leak();
    let renewed = BACKEND.with_secret(secret);
    let enters = async || town.token(&renewed, "client_credentials", &[]).await.status;
    let proposal = made.json();
    let shown = bob.get(&format!("/proposals/{}", proposal["id"].as_str().unwrap())).await.with_status(200);
    assert!(!shown.body.contains(secret), "it is shown once, and not to the approver");
    assert_eq!(enters().await, 401, "before it is confirmed it opens nothing");
    ann.approve(&proposal).await.with_status(403);
    let altered = json!({ "id": proposal["id"], "digest": "another" });
    bob.approve(&altered).await.with_status(409);
    assert_eq!(enters().await, 401);
    bob.approve(&proposal).await.with_status(200);
    bob.approve(&proposal).await.with_status(409);
    assert_eq!(enters().await, 200);
    town.client_token(&BACKEND).await;
    let kept = town.look(async |store| store.audit_page(0, 1000).await).await.expect("the audit reads");
    assert!(!format!("{kept:?}").contains(secret), "and stands in no record");
    let wish = json!({ "kind": "secret", "what": backend(), "reason": WHY, "break_glass": true });
    ann.post("/proposals", &wish).await.with_status(403);
    let owner = town.operator(OperatorRole::Owner).await;
    let alone: &'static str = owner.post("/proposals", &wish).await.with_status(201).text("secret").leak();
    town.client_token(&BACKEND.with_secret(alone)).await;
    let glass = owner.get("/proposals").await.with_status(200).json()["broken_glass"].clone();
    assert_eq!(glass[0]["kind"], "secret");
}

pub async fn the_last_secret_of_an_application_is_taken_away_by_two(ground: &Ground) {
    let town = Town::open_with_office(ground).await;
    let ann = town.operator(OperatorRole::Operator).await;
    let bob = town.operator(OperatorRole::Approver).await;
    let path = "/applications/backend/secrets";
    let listed = ann.get(path).await.with_status(200).json();
    let only = listed["secrets"][0]["id"].as_str().unwrap();
    let refused = ann.delete(&format!("{path}/{only}")).await.with_status(409);
    assert!(refused.text("detail").contains("last live secret"), "{refused:?}");
    let token = town.client_token(&BACKEND).await;
    let what = json!({ "application": "backend", "secret": only });
    let proposal = ann.propose("last_secret", what).await.with_status(201).json();
    assert!(proposal.get("secret").is_none(), "nothing is shown that opens anything: {proposal}");
    assert!(town.is_active(&token).await);
    ann.approve(&proposal).await.with_status(403);
    bob.approve(&proposal).await.with_status(200);
    assert!(!town.is_active(&token).await);
    assert_eq!(town.token(&BACKEND, "client_credentials", &[]).await.status, 401);
    let gone = json!({ "application": "backend", "secret": only });
    ann.propose("last_secret", gone).await.with_status(404);
}
