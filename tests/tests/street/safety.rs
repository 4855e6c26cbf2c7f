//! What an organization asks of those who come in: turned on by one operator and off by two, and nobody without a
//! second factor gets past it, by whichever door.

use portcullis::testing::Scratch;
use portcullis_authority::operators::OperatorRole;
use portcullis_tests::browser::{form_of, sent_back};
use portcullis_tests::client::{BACKEND, DASHBOARD, JWT_BEARER, PARTNER, STOREFRONT};
use portcullis_tests::office::{Colleague, code_of};
use portcullis_tests::program::command;
use portcullis_tests::street::no;
use portcullis_tests::{Answer, Ground, Town};
use reqwest::Method;
use serde_json::{Value, json};

use crate::code::{DASHBOARD_BACK, PARTNER_BACK, redeem};
use crate::factors::{RINGO, codes, otpauth};

const SAFETY: &str = "/organizations/acme/safety";

async fn asks(who: &Colleague, required: bool) -> Answer {
    let body = json!({ "require_second_factor": required, "reason": "audit finding 12" });
    Answer::to(who.request(Method::PATCH, SAFETY).json(&body)).await
}

/// The setting, as it is now.
async fn setting(who: &Colleague) -> Value {
    who.get(SAFETY).await.with_status(200).json()["require_second_factor"].clone()
}

pub async fn a_member_without_a_second_factor_enrols_one_before_going_on(ground: &Ground) {
    let town = Town::open_with_office(ground).await;
    let ann = town.operator(OperatorRole::Operator).await;
    assert_eq!(asks(&ann, true).await.with_status(200).json()["state"], "done");
    for (client, back) in [(DASHBOARD, DASHBOARD_BACK), (PARTNER, PARTNER_BACK)] {
        let browser = town.browser();
        let page = browser.authorize(&client, back, &[]).await.with_status(200);
        let asked = browser.sign_in(&page, RINGO.0, RINGO.1).await.with_status(200);
        assert!(asked.body.contains("asks for a second factor"), "{}", asked.body);
        // Whoever turns round gets no further.
        let none = browser.authorize(&client, back, &[("prompt", "none")]).await.with_status(303);
        assert_eq!(sent_back(&none).get("error").map(String::as_str), Some("login_required"));
        let again = browser.authorize(&client, back, &[]).await.with_status(200);
        let seed = otpauth(&again);
        let wrong = browser.look_after_account(&again, "000000", RINGO.1).await.with_status(200);
        assert!(wrong.body.contains("no code of the new authenticator"), "{}", wrong.body);
        let seed = if otpauth(&wrong) == seed { seed } else { otpauth(&wrong) };
        let done = browser.look_after_account(&wrong, &code_of(&seed, town.now()), RINGO.1).await;
        let recovery = codes(&done.clone().with_status(200));
        let (_, rest) = done.body.split_once("id=\"onward\"").map_or(("", ""), |parts| parts);
        assert!(rest.contains("go on"), "{}", done.body);
        let onward = done.body.split("href=\"/oauth/authorize/consent?form=").nth(1).expect("a link");
        let onward = onward.split('"').next().expect("it ends");
        let mut seen = browser.open(&format!("/oauth/authorize/consent?form={onward}")).await;
        if seen.status == 200 {
            assert!(!form_of(&seen).is_empty());
            seen = browser.decide(&seen, "allow").await;
        }
        assert!(sent_back(&seen.with_status(303)).contains_key("code"), "{client:?}");
        // Another browser is asked for a code of it, and for nothing else.
        let other = town.browser();
        let page = other.authorize(&client, back, &[("prompt", "login")]).await.with_status(200);
        let page = other.sign_in(&page, RINGO.0, RINGO.1).await.with_status(200);
        assert!(!page.body.contains("asks for a second factor"), "{}", page.body);
        other.show_code(&page, &recovery[0]).await.with_status(303);
        town.look(async |store| forget_factor(store).await).await;
    }
}

/// As if Ringo had never enrolled.
async fn forget_factor(store: portcullis_store::Store) {
    use portcullis_authority::ledger::{Act, AuditRecord, Deed, FactorAct, Ledger as _};
    let drop = Act::Factor(FactorAct::Drop { person: "userRingoA".into() });
    store.commit(Deed::new(drop, AuditRecord::default())).await.expect("it is dropped");
}

pub async fn no_door_is_open_without_it(ground: &Ground) {
    let town = Town::open_with_office(ground).await;
    let ann = town.operator(OperatorRole::Operator).await;
    let browser = town.browser();
    let code = browser.code(&PARTNER, PARTNER_BACK, &[]).await;
    let login = redeem(&town, &PARTNER, &code, PARTNER_BACK).await.with_status(200);
    let late = browser.code(&PARTNER, PARTNER_BACK, &[("prompt", "login")]).await;
    let page = browser.authorize(&PARTNER, PARTNER_BACK, &[("prompt", "consent")]).await.with_status(200);
    asks(&ann, true).await.with_status(200);
    let refused = town.refresh(&PARTNER, &login.refresh_token()).await;
    assert_eq!(refused.refusal(), no(400, "invalid_grant"), "a login from before goes no further");
    let refused = redeem(&town, &PARTNER, &late, PARTNER_BACK).await;
    assert_eq!(refused.refusal(), no(400, "invalid_grant"), "nor does a code from before");
    browser.decide(&page, "allow").await.with_status(400);
    let assertion = BACKEND.signed_assertion_of(town.issuer(), ("User", "userRingoA"), "r", town.now());
    let refused = town.token(&BACKEND, JWT_BEARER, &[("assertion", &assertion)]).await;
    assert_eq!(refused.refusal(), no(400, "invalid_grant"), "nor does anybody who stands for them");
    town.jane(&STOREFRONT).await;
    town.client_token(&BACKEND).await;
}

pub async fn to_ask_for_less_takes_two(ground: &Ground) {
    let town = Town::open_with_office(ground).await;
    let ann = town.operator(OperatorRole::Operator).await;
    let bob = town.operator(OperatorRole::Approver).await;
    let auditor = town.operator(OperatorRole::Auditor).await;
    assert_eq!(setting(&auditor).await, false);
    for who in [&auditor, &bob] {
        asks(who, true).await.with_status(403);
    }
    let silent = json!({ "require_second_factor": true });
    Answer::to(ann.request(Method::PATCH, SAFETY).json(&silent)).await.with_status(422);
    let loud = json!({ "require_second_factor": true, "reason": "drill", "break_glass": true });
    Answer::to(ann.request(Method::PATCH, SAFETY).json(&loud)).await.with_status(422);
    ann.get("/organizations/nobody/safety").await.with_status(404);
    asks(&ann, true).await.with_status(200);
    asks(&ann, true).await.with_status(200);
    assert_eq!(setting(&auditor).await, true);
    // A seed knows nothing of it and leaves it alone.
    town.sow_again().await;
    assert_eq!(setting(&auditor).await, true);
    let asked = asks(&ann, false).await.with_status(200).json();
    assert_eq!(asked["state"], "proposed", "{asked}");
    assert_eq!(setting(&auditor).await, true, "nothing happens before somebody agrees");
    ann.approve(&asked["proposal"]).await.with_status(403);
    let altered = json!({ "id": asked["proposal"]["id"], "digest": "another" });
    bob.approve(&altered).await.with_status(409);
    bob.approve(&asked["proposal"]).await.with_status(200);
    bob.approve(&asked["proposal"]).await.with_status(409);
    assert_eq!(setting(&auditor).await, false);
    let off = json!({ "organization": "acme", "require_second_factor": false });
    ann.propose("safety", off).await.with_status(409);
    let on = json!({ "organization": "acme", "require_second_factor": true });
    ann.propose("safety", on).await.with_status(422);
    let listed = auditor.get("/organizations").await.with_status(200).json();
    let slugs: Vec<_> =
        listed["organizations"].as_array().unwrap().iter().map(|it| it["slug"].clone()).collect();
    assert_eq!(slugs, ["acme", "rival"]);
    let all = town.look(async |store| store.audit_page(0, 10_000).await.expect("the audit reads")).await;
    for event in ["safety.raised", "safety.lowered"] {
        let told: Vec<_> = all.iter().filter(|it| it.record.event == event).collect();
        assert_eq!(told.len(), 1, "{event}");
        assert!(told[0].record.reason.is_some() && told[0].record.organization.is_some(), "{event}");
    }
}

pub async fn the_command_line_turns_it_on_and_proposes_to_turn_it_off(ground: &Ground) {
    let town = Town::open_with_office(ground).await;
    let ann = town.operator(OperatorRole::Operator).await;
    let folder = Scratch::new();
    let types = |words: &[&str]| {
        let mut program = command("portcullis");
        program.args(words).current_dir(folder.path()).env("XDG_CONFIG_HOME", folder.path());
        program.env("PORTCULLIS_ADMIN_URL", town.office()).env("PORTCULLIS_ADMIN_TOKEN", &ann.token);
        let seen = program.output().expect("it runs");
        (seen.status.code(), String::from_utf8_lossy(&seen.stdout).into_owned())
    };
    let safety = ["organizations", "safety", "acme"];
    let change = |to| [&safety[..], &["--require-second-factor", to, "--reason", "drill"]].concat();
    let says = |factor: &str, permits: &str| {
        format!(
            "A second factor is {factor} of its members.\nPersonal data is permitted, and given to people and applications, by {permits}.\n"
        )
    };
    assert_eq!(types(&safety), (Some(0), says("not required", "one admin")));
    assert_eq!(types(&change("on")), (Some(0), says("required", "one admin")));
    let (exit, said) = types(&change("off"));
    assert!(exit == Some(0) && said.starts_with("Proposed: "), "{said}");
    assert_eq!(types(&safety).1, says("required", "one admin"));
    let both = [&change("on")[..], &["--second-person-for-personal-data", "on"]].concat();
    assert_eq!(types(&both).0, Some(2), "one change at a time");
    let person = [&safety[..], &["--second-person-for-personal-data", "on", "--reason", "drill"]].concat();
    assert_eq!(types(&person), (Some(0), says("required", "two operators")));
    let permit = ["organizations", "permit", "acme", "--role", "support", "--reason", "drill"];
    let what = ["--subject", "customers", "--actions", "read,update"];
    let fence = ["--restriction", "market_scope", "--restriction", r#"{"status_in": ["placed"]}"#];
    let (exit, said) = types(&[&permit[..], &what, &fence].concat());
    assert!(exit == Some(0) && said.starts_with("Proposed: "), "{said}");
    let (exit, _) = types(&[&permit[..], &what, &["--restriction", "{"]].concat());
    assert_eq!(exit, Some(1), "what is no JSON is not sent");
    let (_, listed) = types(&["organizations", "list"]);
    assert!(listed.contains("two operators") && listed.contains("not required"), "{listed}");
}

pub async fn what_is_older_than_the_second_factor_is_not_let_in_by_it(ground: &Ground) {
    let town = Town::open_with_office(ground).await;
    let ann = town.operator(OperatorRole::Operator).await;
    let thief = town.browser();
    let code = thief.code(&PARTNER, PARTNER_BACK, &[]).await;
    let login = redeem(&town, &PARTNER, &code, PARTNER_BACK).await.with_status(200);
    asks(&ann, true).await.with_status(200);
    town.clock.forward(60);
    let browser = town.browser();
    let page = browser.authorize(&DASHBOARD, DASHBOARD_BACK, &[]).await.with_status(200);
    let page = browser.sign_in(&page, RINGO.0, RINGO.1).await.with_status(200);
    let code = code_of(&otpauth(&page), town.now());
    browser.look_after_account(&page, &code, RINGO.1).await.with_status(200);
    let none = [("prompt", "none")];
    let back = thief.authorize(&PARTNER, PARTNER_BACK, &none).await.with_status(303);
    assert_eq!(sent_back(&back).get("error").map(String::as_str), Some("login_required"));
    let seen = town.introspect_as(&PARTNER, &login.refresh_token()).await.with_status(200).json();
    assert_eq!(seen["active"], false, "nobody is told active of what is refused: {seen}");
    let refused = town.refresh(&PARTNER, &login.refresh_token()).await;
    assert_eq!(refused.refusal(), no(400, "invalid_grant"));
    let back = browser.authorize(&DASHBOARD, DASHBOARD_BACK, &none).await.with_status(303);
    assert!(sent_back(&back).contains_key("code"), "whoever enrolled just now goes on");
}
