//! How users come to have an account: by a link that opens it once, so that nobody else ever knows the password.
//! An operator sees the link, so a place in an organization comes with it by two operators alone.

use portcullis_authority::operators::OperatorRole;
use portcullis_tests::browser::{Browser, form_of, sent_back};
use portcullis_tests::client::DASHBOARD;
use portcullis_tests::office::Colleague;
use portcullis_tests::{Answer, Ground, Town};
use reqwest::Method;
use serde_json::{Value, json};

use super::code::DASHBOARD_BACK;
use super::personal_data::{Admin, id};

pub(super) const OWN: &str = "copper kettle on the landing";

pub(super) async fn invite(who: &Colleague, email: &str) -> Answer {
    who.post("/people/invitations", &json!({ "email": email, "first_name": "Zoe" })).await
}

/// The path of the link in an answer.
pub(super) fn path_of(town: &Town, answer: &Answer) -> String {
    let link = answer.text("link");
    link.strip_prefix(town.issuer()).expect("it leads to the public listener").to_owned()
}

pub(super) async fn accept(browser: &Browser, page: &Answer, password: &str) -> Answer {
    let form = [("form", form_of(page)), ("new_password", password.to_owned())];
    browser.post("/oauth/invitation", &form).await
}

fn is_not_open(answer: &Answer) -> bool {
    answer.status == 400 && answer.body.contains("This invitation is not open")
}

async fn noted(town: &Town, event: &'static str) -> usize {
    let all = town.look(async |store| store.audit_page(0, 10_000).await.expect("the audit reads")).await;
    all.iter().filter(|entry| entry.record.event == event).count()
}

pub async fn an_invited_user_chooses_a_password_that_nobody_else_knows(ground: &Ground) {
    let town = Town::open_with_office(ground).await;
    let ann = town.operator(OperatorRole::Operator).await;
    let auditor = town.operator(OperatorRole::Auditor).await;
    invite(&auditor, "zoe@example.com").await.with_status(403);
    let made = invite(&ann, "Zoe@Example.com").await.with_status(201);
    let (path, person) = (path_of(&town, &made), made.text("person"));
    assert!(path.starts_with("/oauth/invitation?code=pcu_"), "{path}");
    let listed = auditor.get("/people/invitations").await.with_status(200);
    assert_eq!(listed.json()["invitations"][0]["email"], "zoe@example.com");
    let code = path.split_once('=').unwrap().1.to_owned();
    assert!(!listed.body.contains(&code), "a code is shown once");
    let account = ann.get(&format!("/people/{person}")).await.json();
    assert_eq!((&account["person"]["has_password"], &account["memberships"]), (&json!(false), &json!([])));
    let browser = town.browser();
    let page = browser.open(&path).await.with_status(200);
    assert!(page.body.contains("zoe@example.com"), "{}", page.body);
    assert_eq!(page.header("cache-control"), "no-store");
    for weak in ["short", "zoe@example.com"] {
        let refused = accept(&browser, &page, weak).await.with_status(200);
        assert!(refused.body.contains("role=\"alert\""), "{weak}: {}", refused.body);
    }
    town.browser().open(&path).await.with_status(200);
    let stolen = accept(&town.browser(), &page, OWN).await.with_status(400);
    assert!(!is_not_open(&stolen), "the form is for the browser that was shown it: {stolen:?}");
    let joined = accept(&browser, &page, OWN).await.with_status(200);
    assert!(joined.body.contains("Your account is open"), "{}", joined.body);
    let own = browser.open("/oauth/account").await.with_status(200);
    assert!(own.body.contains("zoe@example.com"), "signed in: {}", own.body);
    // It worked once.
    assert!(is_not_open(&accept(&browser, &page, "a kettle of another kind").await));
    assert!(is_not_open(&browser.open(&path).await));
    let account = ann.get(&format!("/people/{person}")).await.json()["person"].clone();
    assert_eq!((&account["has_password"], &account["must_choose_password"]), (&json!(true), &json!(false)));
    assert_eq!(ann.get("/people/invitations").await.json()["invitations"], json!([]));
    let told = (noted(&town, "person.invited").await, noted(&town, "person.invitation.accepted").await);
    assert_eq!(told, (1, 1));
    let all = town.look(async |store| store.audit_page(0, 10_000).await.expect("the audit reads")).await;
    let all = format!("{all:?}");
    assert!(!all.contains(OWN) && !all.contains(&code));
}

pub async fn of_two_who_accept_at_once_one_does(ground: &Ground) {
    let town = Town::open_with_office(ground).await;
    let ann = town.operator(OperatorRole::Operator).await;
    let path = path_of(&town, &invite(&ann, "zoe@example.com").await.with_status(201));
    let (one, two) = (town.browser(), town.browser());
    let (first, second) = (one.open(&path).await.with_status(200), two.open(&path).await.with_status(200));
    let (first, second) =
        tokio::join!(accept(&one, &first, OWN), accept(&two, &second, "a kettle of another kind"));
    let mut seen = [first.status, second.status];
    seen.sort_unstable();
    assert_eq!(seen, [200, 400]);
    assert_eq!(noted(&town, "person.invitation.accepted").await, 1);
}

pub async fn an_invitation_is_for_accounts_that_nobody_has_opened(ground: &Ground) {
    let town = Town::open_with_office(ground).await;
    let ann = town.operator(OperatorRole::Operator).await;
    let known = invite(&ann, "ringo@example.com").await.with_status(409);
    assert!(known.text("detail").contains("There is an account"), "{known:?}");
    invite(&ann, "zoe").await.with_status(422);
    for lifetime in [59, 604_801] {
        let draft = json!({ "email": "zoe@example.com", "lifetime": lifetime });
        ann.post("/people/invitations", &draft).await.with_status(422);
    }
    // Another one ends the one before.
    let first = invite(&ann, "zoe@example.com").await.with_status(201);
    let second = invite(&ann, "zoe@example.com").await.with_status(201);
    assert_eq!(first.text("person"), second.text("person"));
    let browser = town.browser();
    assert!(is_not_open(&browser.open(&path_of(&town, &first)).await));
    let page = browser.open(&path_of(&town, &second)).await.with_status(200);
    // One that was withdrawn is over, also for a page that is open already.
    let withdraw = format!("/people/invitations/{}", second.text("id"));
    ann.delete(&format!("/people/invitations/{}", first.text("id"))).await.with_status(404);
    town.operator(OperatorRole::Auditor).await.delete(&withdraw).await.with_status(403);
    ann.delete(&withdraw).await.with_status(204);
    ann.delete(&withdraw).await.with_status(404);
    assert!(is_not_open(&accept(&browser, &page, OWN).await));
    assert!(is_not_open(&browser.open("/oauth/invitation?code=pcu_nobody").await));
    assert!(is_not_open(&browser.open("/oauth/invitation").await));
    assert_eq!(noted(&town, "person.uninvited").await, 1);
    // A closed account is not opened, not even when it is no longer closed, nor one that has a password.
    let third = invite(&ann, "zoe@example.com").await.with_status(201);
    let person = format!("/people/{}", third.text("person"));
    ann.post(&format!("{person}/disable"), &json!({})).await.with_status(200);
    assert!(is_not_open(&browser.open(&path_of(&town, &third)).await));
    invite(&ann, "zoe@example.com").await.with_status(409);
    ann.post(&format!("{person}/enable"), &json!({})).await.with_status(200);
    assert!(is_not_open(&browser.open(&path_of(&town, &third)).await));
    let fourth = invite(&ann, "zoe@example.com").await.with_status(201);
    browser.open(&path_of(&town, &fourth)).await.with_status(200);
    ann.put(&format!("{person}/password"), &json!({})).await.with_status(200);
    assert!(is_not_open(&browser.open(&path_of(&town, &fourth)).await));
}

pub async fn an_invitation_to_a_user_expires(ground: &Ground) {
    let town = Town::open_with_office(ground).await;
    let ann = town.operator(OperatorRole::Operator).await;
    let draft = json!({ "email": "zoe@example.com", "lifetime": 300 });
    let made = ann.post("/people/invitations", &draft).await.with_status(201);
    let (browser, path) = (town.browser(), path_of(&town, &made));
    let page = browser.open(&path).await.with_status(200);
    town.clock.forward(270);
    browser.open(&path).await.with_status(200);
    town.clock.forward(30);
    assert!(is_not_open(&browser.open(&path).await));
    assert!(is_not_open(&accept(&browser, &page, OWN).await));
}

/// Makes an account without a password, and gives its id.
async fn made(who: &Colleague, email: &str) -> String {
    let made = who.post("/people", &json!({ "kind": "user", "email": email })).await.with_status(201);
    made.json()["person"]["id"].as_str().unwrap().to_owned()
}

/// Proposes a place for somebody in an organization.
async fn offer(who: &Colleague, person: &str, role: &str) -> Answer {
    let what = json!({ "person": person, "organization": "acme", "role": role });
    who.post("/proposals", &json!({ "kind": "invitation", "what": what, "reason": "joins support, HR-7" }))
        .await
}

async fn approve(who: &Colleague, proposal: &Value) -> Answer {
    let path = format!("/proposals/{}/approve", proposal["id"].as_str().unwrap());
    who.post(&path, &json!({ "digest": proposal["digest"] })).await
}

pub async fn a_place_comes_with_an_invitation_by_two_operators(ground: &Ground) {
    let town = Town::open_with_office(ground).await;
    let ann = town.operator(OperatorRole::Operator).await;
    let bob = town.operator(OperatorRole::Approver).await;
    offer(&ann, "zoe@example.com", "support").await.with_status(404);
    let zoe = made(&ann, "Zoe@example.com").await;
    offer(&ann, &zoe, "nobody").await.with_status(422);
    for other in ["ringo@example.com", "custJaneAA"] {
        offer(&ann, other, "support").await.with_status(409);
    }
    let made = offer(&ann, "zoe@example.com", "support").await.with_status(201);
    assert!(!made.body.contains("zoe@"), "a proposal names no address: {made:?}");
    let (path, proposal) = (path_of(&town, &made), made.json());
    let shown = bob.get(&format!("/proposals/{}", made.text("id"))).await.with_status(200);
    let code = path.split_once('=').unwrap().1;
    assert!(!shown.body.contains(code), "it is shown once, and not to the approver");
    let browser = town.browser();
    assert!(is_not_open(&browser.open(&path).await), "before it is confirmed it opens nothing");
    approve(&ann, &proposal).await.with_status(403);
    approve(&bob, &proposal).await.with_status(200);
    let listed = ann.get("/people/invitations").await.json()["invitations"][0].clone();
    assert_eq!((&listed["organization"], &listed["by"]), (&json!("orgAcmeAAA"), &json!(ann.id)));
    let person = format!("/people/{}", listed["person"].as_str().unwrap());
    assert_eq!(ann.get(&person).await.json()["memberships"], json!([]), "pending until it is accepted");
    let page = browser.open(&path).await.with_status(200);
    assert!(page.body.contains("with a place in"), "{}", page.body);
    accept(&browser, &page, OWN).await.with_status(200);
    let place = ann.get(&person).await.json()["memberships"][0].clone();
    assert_eq!((&place["organization"], &place["role"]), (&json!("orgAcmeAAA"), &json!("support")));
    assert_eq!((&place["owner"], &place["active"]), (&json!(false), &json!(true)));
    let back = browser.authorize(&DASHBOARD, DASHBOARD_BACK, &[("prompt", "none")]).await.with_status(303);
    assert!(
        sent_back(&back).contains_key("code"),
        "the session that it opened is good for Acme's own: {back:?}"
    );
    assert!(is_not_open(&browser.open(&path).await));
    // Nobody opens the account of somebody who has a place by a link of one operator.
    let alone = invite(&ann, "zoe@example.com").await.with_status(409);
    assert!(alone.text("detail").contains("has a password"), "{alone:?}");
}

pub async fn a_place_that_is_withdrawn_is_not_taken(ground: &Ground) {
    let town = Town::open_with_office(ground).await;
    let ann = town.operator(OperatorRole::Operator).await;
    let bob = town.operator(OperatorRole::Approver).await;
    let zoe = made(&ann, "zoe@example.com").await;
    let made = offer(&ann, &zoe, "support").await.with_status(201);
    approve(&bob, &made.json()).await.with_status(200);
    let browser = town.browser();
    let page = browser.open(&path_of(&town, &made)).await.with_status(200);
    let open = ann.get("/people/invitations").await.json()["invitations"][0].clone();
    ann.delete(&format!("/people/invitations/{}", open["id"].as_str().unwrap())).await.with_status(204);
    assert!(is_not_open(&accept(&browser, &page, OWN).await));
    // Nothing of it is left in the organization: the address can be invited again.
    let again = offer(&ann, &zoe, "support").await.with_status(201);
    approve(&bob, &again.json()).await.with_status(200);
    // A link of one operator in its place gives no place.
    let alone = invite(&ann, "zoe@example.com").await.with_status(201);
    assert!(is_not_open(&browser.open(&path_of(&town, &again)).await));
    let page = browser.open(&path_of(&town, &alone)).await.with_status(200);
    accept(&browser, &page, OWN).await.with_status(200);
    let person = format!("/people/{}", alone.text("person"));
    assert_eq!(ann.get(&person).await.json()["memberships"], json!([]));
}

/// Ids of the places in Acme that wait for Zoe.
async fn waiting(admin: &Admin<'_>) -> Vec<String> {
    let found = admin.read("memberships?filter[q][user_email_eq]=zoe@example.com").await;
    let list = found["data"].as_array().expect("a list").iter();
    list.map(|it| it["id"].as_str().expect("an id").to_owned()).collect()
}

pub async fn nobody_but_operators_offers_their_place_again(ground: &Ground) {
    let town = Town::open_with_office(ground).await;
    let ann = town.operator(OperatorRole::Operator).await;
    let bob = town.operator(OperatorRole::Approver).await;
    let admin = Admin::of(&town).await;
    let zoe = made(&ann, "zoe@example.com").await;
    let offered = offer(&ann, &zoe, "support").await.with_status(201);
    approve(&bob, &offered.json()).await.with_status(200);
    let pending = waiting(&admin).await.pop().expect("it waits");
    let resent = admin.write(Method::POST, &format!("memberships/{pending}/resend"), json!({})).await;
    assert_eq!(resent.status, 400, "{resent:?}");
    assert!(resent.body.contains("Operators sent a link"), "{resent:?}");
    let to = |kind: &str, id: &str| json!({ "data": { "type": kind, "id": id } });
    let home = to("organizations", "orgAcmeAAA");
    let profile = json!({ "type": "membership_profiles", "relationships": { "organization": home },
        "attributes": { "name": "Marketing", "access_scope": "live_access" } });
    let profile = id(&admin.write(Method::POST, "membership_profiles", profile).await.with_status(201));
    let bundle = json!({ "type": "application_memberships", "relationships": {
        "organization": home, "role": to("roles", "orgAcmeAAA.support"),
        "api_credential": to("api_credentials", "dashboard"), "membership": to("memberships", &pending),
        "membership_profile": to("membership_profiles", &profile) } });
    let bundle = id(&admin.write(Method::POST, "application_memberships", bundle).await.with_status(201));
    // The link is as good as before, and it goes with the account, and so does the place.
    let browser = town.browser();
    browser.open(&path_of(&town, &offered)).await.with_status(200);
    ann.delete(&format!("/people/{zoe}")).await.with_status(204);
    assert!(is_not_open(&browser.open(&path_of(&town, &offered)).await));
    assert_eq!(waiting(&admin).await, Vec::<String>::new());
    assert_eq!(noted(&town, "person.uninvited").await, 1);
    let left = admin.read("application_memberships").await["data"].clone();
    assert_eq!(left.as_array().map(Vec::len), Some(1), "{left}");
    assert_eq!(left[0]["id"], bundle, "it is the profile's as well");
}

pub async fn a_place_that_was_offered_goes_with_its_invitation(ground: &Ground) {
    let town = Town::open_with_office(ground).await;
    let ann = town.operator(OperatorRole::Operator).await;
    let bob = town.operator(OperatorRole::Approver).await;
    let admin = Admin::of(&town).await;
    let zoe = made(&ann, "zoe@example.com").await;
    let first = offer(&ann, &zoe, "support").await.with_status(201);
    approve(&bob, &first.json()).await.with_status(200);
    let pending = waiting(&admin).await.pop().expect("it waits");
    let to = |kind: &str, id: &str| json!({ "data": { "type": kind, "id": id } });
    let bundle = json!({ "type": "application_memberships", "relationships": {
        "organization": to("organizations", "orgAcmeAAA"), "role": to("roles", "orgAcmeAAA.support"),
        "api_credential": to("api_credentials", "dashboard"), "membership": to("memberships", &pending) } });
    admin.write(Method::POST, "application_memberships", bundle).await.with_status(201);
    // Again, to the same organization: the link before is dead, and one place waits, with nothing hung off it.
    let second = offer(&ann, &zoe, "support").await.with_status(201);
    assert_eq!(waiting(&admin).await, std::slice::from_ref(&pending), "nothing before it is confirmed");
    approve(&bob, &second.json()).await.with_status(200);
    let browser = town.browser();
    assert!(is_not_open(&browser.open(&path_of(&town, &first)).await));
    browser.open(&path_of(&town, &second)).await.with_status(200);
    let now = waiting(&admin).await;
    assert!(now.len() == 1 && now[0] != pending, "{now:?}");
    assert_eq!(admin.read("application_memberships").await["data"], json!([]));
    // To another organization.
    let elsewhere = json!({ "person": zoe, "organization": "rival", "role": "admin" });
    let third = ann.propose("invitation", elsewhere).await.with_status(201);
    approve(&bob, &third.json()).await.with_status(200);
    assert_eq!(waiting(&admin).await, Vec::<String>::new());
    // By one operator, with no place at all.
    let fourth = offer(&ann, &zoe, "support").await.with_status(201);
    approve(&bob, &fourth.json()).await.with_status(200);
    assert_eq!(waiting(&admin).await.len(), 1);
    invite(&ann, "zoe@example.com").await.with_status(201);
    assert_eq!(waiting(&admin).await, Vec::<String>::new());
    let told = (noted(&town, "person.invited").await, noted(&town, "person.uninvited").await);
    assert_eq!(told, (5, 4), "each that was replaced is told of");
    // What an admin of the organization offers stays theirs.
    let own = json!({ "type": "memberships", "attributes": { "user_email": "zoe@example.com" },
        "relationships": { "organization": to("organizations", "orgAcmeAAA"), "role": to("roles", "orgAcmeAAA.support") } });
    admin.write(Method::POST, "memberships", own).await.with_status(201);
    let again = offer(&ann, "zoe@example.com", "support").await.with_status(409);
    assert!(again.text("detail").contains("invited this address already"), "{again:?}");
    invite(&ann, "zoe@example.com").await.with_status(201);
    assert_eq!(waiting(&admin).await.len(), 1);
}
