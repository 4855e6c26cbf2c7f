//! Whose password it is: one that an operator has set opens the page where one's own is chosen and nothing else,
//! and whoever changes their own, or enrols a second factor, ends what was had before.

use std::sync::Arc;
use std::time::Duration;

use portcullis_authority::operators::OperatorRole;
use portcullis_tests::browser::{Browser, form_of, sent_back};
use portcullis_tests::client::{BACKEND, DASHBOARD, PARTNER, STOREFRONT, claims_of};
use portcullis_tests::office::{Colleague, code_of};
use portcullis_tests::street::no;
use portcullis_tests::{Answer, Ground, Town};
use serde_json::json;

use super::code::{DASHBOARD_BACK, PARTNER_BACK, redeem};
use super::factors::otpauth;

const RINGO: (&str, &str) = ("ringo@example.com", "hush-ringo");
const OWN: &str = "copper kettle on the landing";
const QUEUED: Duration = Duration::from_millis(200);

/// Two operators set Ringo's password.
async fn given(town: &Town) -> String {
    let ann = town.operator(OperatorRole::Operator).await;
    given_by(town, &ann).await
}

async fn given_by(town: &Town, ann: &Colleague) -> String {
    let bob = town.operator(OperatorRole::Approver).await;
    let wish =
        json!({ "kind": "password", "what": { "person": "userRingoA" }, "reason": "forgot it, HD-31" });
    let made = ann.post("/proposals", &wish).await.with_status(201);
    let (password, made) = (made.text("password"), made.json());
    let approve = format!("/proposals/{}/approve", made["id"].as_str().unwrap());
    bob.post(&approve, &json!({ "digest": made["digest"] })).await.with_status(200);
    password
}

async fn signs_in(browser: &Browser, password: &str) -> Answer {
    let page = browser.authorize(&DASHBOARD, DASHBOARD_BACK, &[("prompt", "login")]).await.with_status(200);
    browser.sign_in(&page, RINGO.0, password).await
}

/// Whether this browser is signed in: an application of Acme gets a code without any page.
async fn is_in(browser: &Browser) -> bool {
    let back = browser.authorize(&DASHBOARD, DASHBOARD_BACK, &[("prompt", "none")]).await.with_status(303);
    sent_back(&back).contains_key("code")
}

fn session_cookie(answer: &Answer) -> Option<String> {
    let mut all = answer.headers.get_all("set-cookie").iter().filter_map(|it| it.to_str().ok());
    let session = all.rfind(|it| it.starts_with("portcullis-session="))?;
    Some(session.split(';').next()?.to_owned())
}

fn asks_for_ones_own(page: &Answer) -> bool {
    let chooses = page.body.contains("name=\"new_password\"") && !page.body.contains("name=\"password\"");
    page.status == 200 && chooses && session_cookie(page).is_none()
}

pub async fn a_password_that_an_operator_has_set_opens_one_page(ground: &Ground) {
    let town = Town::open_with_office(ground).await;
    let auditor = town.operator(OperatorRole::Auditor).await;
    let given = given(&town).await;
    let shown = auditor.get("/people/userRingoA").await.with_status(200).json();
    assert_eq!(shown["person"]["must_choose_password"], true);
    let browser = town.browser();
    let page = signs_in(&browser, &given).await;
    assert!(asks_for_ones_own(&page), "{page:?}");
    assert_eq!(page.header("cache-control"), "no-store");
    assert!(!is_in(&browser).await, "nobody is in before it is chosen");
    for (weak, why) in [("short", "at least"), ("ringo@example.com", ""), (given.as_str(), "already")] {
        let again = browser.choose_password(&page, weak).await;
        assert!(asks_for_ones_own(&again) && again.body.contains(why), "{weak}: {again:?}");
        assert!(!again.body.contains(weak), "what was typed is not shown");
    }
    town.browser().choose_password(&page, OWN).await.with_status(400);
    let back = browser.choose_password(&page, OWN).await.with_status(303);
    assert!(sent_back(&back).contains_key("code") && session_cookie(&back).is_some(), "{back:?}");
    redeem(&town, &DASHBOARD, &sent_back(&back)["code"], DASHBOARD_BACK).await.with_status(200);
    assert!(is_in(&browser).await);
    // The page was good once, and so was the password that led to it.
    browser.choose_password(&page, "another kettle on the landing").await.with_status(400);
    assert!(signs_in(&town.browser(), &given).await.body.contains("password is wrong"));
    signs_in(&town.browser(), OWN).await.with_status(303);
    let shown = auditor.get("/people/userRingoA").await.with_status(200).json();
    assert_eq!(shown["person"]["must_choose_password"], false);
    let all = town.look(async |store| store.audit_page(0, 10_000).await.expect("the audit reads")).await;
    let chosen: Vec<_> = all.iter().filter(|it| it.record.event == "person.password.chosen").collect();
    assert_eq!(chosen.len(), 1);
    assert_eq!(chosen[0].record.subject.as_deref(), Some("userRingoA"));
    assert!(!format!("{all:?}").contains(OWN) && !format!("{all:?}").contains(&given));
}

pub async fn what_two_operators_have_set_goes_round_no_second_factor(ground: &Ground) {
    let town = Town::open_with_office(ground).await;
    let browser = town.browser();
    let (_, recovery) = super::factors::enrolled(&town, &browser).await;
    let given = given(&town).await;
    let asked = signs_in(&browser, &given).await.with_status(200);
    assert!(asked.body.contains("name=\"code\"") && !asked.body.contains("new_password"), "{asked:?}");
    browser.choose_password(&asked, OWN).await.with_status(400);
    let wrong = browser.show_code(&asked, "000000").await;
    assert!(wrong.body.contains("The code is wrong"), "{wrong:?}");
    let page = browser.show_code(&asked, &recovery[0]).await;
    assert!(asks_for_ones_own(&page), "{page:?}");
    assert!(!is_in(&browser).await);
    let spent = browser.show_code(&asked, &recovery[0]).await;
    assert!(spent.body.contains("The code is wrong"), "it was taken for the page");
    browser.choose_password(&page, OWN).await.with_status(303);
    assert!(is_in(&browser).await);
}

/// Customers sign in at their shop, which has no page of ours; users have no grant that takes a password.
pub async fn only_a_customers_password_is_taken_by_a_grant(ground: &Ground) {
    let town = Town::open_with_office(ground).await;
    let ann = town.operator(OperatorRole::Operator).await;
    let made = ann.put("/people/custJaneAA/password", &json!({})).await.with_status(200).text("password");
    town.password(&STOREFRONT, "jane@example.com", &made).await.with_status(200);
    assert_eq!(ann.get("/people/custJaneAA").await.json()["person"]["must_choose_password"], false);
    let given = given_by(&town, &ann).await;
    let right = town.password(&STOREFRONT, RINGO.0, &given).await;
    let wrong = town.password(&STOREFRONT, RINGO.0, "hush-not-this").await;
    assert_eq!(right.refusal(), no(400, "invalid_grant"));
    assert_eq!(right.body, wrong.body, "nobody learns that it was right");
}

pub async fn a_person_changes_their_own_password_and_the_rest_ends(ground: &Ground) {
    let town = Town::open(ground).await;
    let (browser, other) = (town.browser(), town.browser());
    let code = other.code(&PARTNER, PARTNER_BACK, &[]).await;
    let login = redeem(&town, &PARTNER, &code, PARTNER_BACK).await.with_status(200);
    let before = session_cookie(&signs_in(&browser, RINGO.1).await.with_status(303));
    let page = browser.open("/oauth/account").await.with_status(200);
    let tries = [
        ("hush-not-this", OWN, "The password or the code is wrong"),
        (RINGO.1, "short", "at least"),
        (RINGO.1, "ringo@example.com", ""),
        (RINGO.1, RINGO.1, ""),
    ];
    for (present, new, why) in tries {
        let refused = browser.change_password(&page, present, "", new).await.with_status(200);
        assert!(refused.body.contains("role=\"alert\"") && refused.body.contains(why), "{new}: {refused:?}");
        assert!(session_cookie(&refused).is_none());
    }
    town.browser().change_password(&page, RINGO.1, "", OWN).await.with_status(400);
    assert!(is_in(&other).await && town.is_active(&login.access_token()).await, "nothing has changed yet");
    let done = browser.change_password(&page, RINGO.1, "", OWN).await.with_status(200);
    assert!(done.body.contains("Your password is changed"), "{}", done.body);
    assert_eq!(done.header("cache-control"), "no-store");
    let after = session_cookie(&done);
    assert!(after.is_some() && after != before, "the session is another one");
    assert!(is_in(&browser).await && !is_in(&other).await);
    assert!(!town.is_active(&login.access_token()).await);
    let refused = town.refresh(&PARTNER, &login.refresh_token()).await;
    assert_eq!(refused.refusal(), no(400, "invalid_grant"));
    assert!(signs_in(&town.browser(), RINGO.1).await.body.contains("password is wrong"));
    signs_in(&town.browser(), OWN).await.with_status(303);
    let events = |event: &'static str| {
        town.look(async move |store| {
            let all = store.audit_page(0, 10_000).await.expect("the audit reads");
            assert!(!format!("{all:?}").contains(OWN));
            all.iter().filter(|it| it.record.event == event).count()
        })
    };
    assert_eq!(events("person.password.changed").await, 1);
    assert_eq!(events("person.password.refused").await, 1);
}

pub async fn guessing_at_the_present_password_has_an_end(ground: &Ground) {
    let town = Town::open(ground).await;
    let browser = town.browser();
    signs_in(&browser, RINGO.1).await.with_status(303);
    let page = browser.open("/oauth/account").await.with_status(200);
    let mut tries = 0;
    while browser.change_password(&page, "hush-not-this", "", OWN).await.status == 200 {
        tries += 1;
        assert!(tries < 20, "whoever sits at an open browser may guess for ever");
    }
    assert!(tries >= 3, "an honest person may err");
    browser.change_password(&page, RINGO.1, "", OWN).await.with_status(429);
}

pub async fn where_there_is_a_second_factor_a_password_changes_by_both(ground: &Ground) {
    let town = Town::open(ground).await;
    let browser = town.browser();
    let (_, recovery) = super::factors::enrolled(&town, &browser).await;
    let page = browser.open("/oauth/account").await.with_status(200);
    for code in ["", "000000"] {
        let refused = browser.change_password(&page, RINGO.1, code, OWN).await.with_status(200);
        assert!(refused.body.contains("The password or the code is wrong"), "{refused:?}");
    }
    browser.change_password(&page, RINGO.1, &recovery[0], OWN).await.with_status(200);
    assert!(is_in(&browser).await);
    let page = browser.open("/oauth/account").await.with_status(200);
    assert!(page.body.contains("9 recovery codes"), "{}", page.body);
    let spent = browser.change_password(&page, OWN, &recovery[0], "a kettle of another kind").await;
    assert!(spent.body.contains("The password or the code is wrong"), "{spent:?}");
    signs_in(&town.browser(), OWN).await.with_status(200);
}

/// RFC 9068 section 2.2.1 and RFC 8176.
pub async fn a_token_says_when_and_how_its_person_was_proved(ground: &Ground) {
    let town = Town::open_with_office(ground).await;
    let before = town.now();
    let (browser, other) = (town.browser(), town.browser());
    let code = other.code(&PARTNER, PARTNER_BACK, &[]).await;
    let login = redeem(&town, &PARTNER, &code, PARTNER_BACK).await.with_status(200);
    let said = claims_of(&login.access_token());
    assert_eq!(said["amr"], json!(["pwd"]));
    let proved_at = said["auth_time"].clone();
    assert!(proved_at.as_u64().is_some_and(|at| (before..=town.now()).contains(&at)), "{said}");
    let (_, recovery) = super::factors::enrolled(&town, &browser).await;
    let asked = signs_in(&other, RINGO.1).await.with_status(200);
    let back = other.show_code(&asked, &recovery[0]).await.with_status(303);
    let login = redeem(&town, &DASHBOARD, &sent_back(&back)["code"], DASHBOARD_BACK).await.with_status(200);
    let both = json!(["pwd", "otp", "mfa"]);
    assert_eq!(claims_of(&login.access_token())["amr"], both);
    let again = town.refresh(&DASHBOARD, &login.refresh_token()).await.with_status(200);
    let (first, again) = (claims_of(&login.access_token()), claims_of(&again.access_token()));
    assert_eq!((&again["amr"], &again["auth_time"]), (&both, &first["auth_time"]), "a refresh keeps it");
    assert_eq!(town.introspect(&login.access_token()).await["amr"], both);
    // Through a password that an operator has set, the code that led to the page still counts.
    let given = given(&town).await;
    let asked = signs_in(&browser, &given).await;
    let page = browser.show_code(&asked, &recovery[1]).await;
    let back = browser.choose_password(&page, OWN).await.with_status(303);
    let login = redeem(&town, &DASHBOARD, &sent_back(&back)["code"], DASHBOARD_BACK).await.with_status(200);
    assert_eq!(claims_of(&login.access_token())["amr"], both);
    let jane = claims_of(&town.jane(&STOREFRONT).await.access_token());
    assert_eq!(jane["amr"], json!(["pwd"]));
    let alone = claims_of(&town.client_token(&BACKEND).await);
    assert!(alone.get("amr").is_none() && alone.get("auth_time").is_none(), "{alone}");
}

pub async fn enrolling_a_second_factor_ends_what_the_password_alone_had_opened(ground: &Ground) {
    let town = Town::open(ground).await;
    let (browser, thief) = (town.browser(), town.browser());
    let code = thief.code(&PARTNER, PARTNER_BACK, &[]).await;
    let login = redeem(&town, &PARTNER, &code, PARTNER_BACK).await.with_status(200);
    let unredeemed = town.browser().code(&PARTNER, PARTNER_BACK, &[]).await;
    super::factors::enrolled(&town, &browser).await;
    assert!(is_in(&browser).await && !is_in(&thief).await);
    assert!(!town.is_active(&login.access_token()).await);
    let refused = town.refresh(&PARTNER, &login.refresh_token()).await;
    assert_eq!(refused.refusal(), no(400, "invalid_grant"));
    let refused = redeem(&town, &PARTNER, &unredeemed, PARTNER_BACK).await;
    assert_eq!(refused.refusal(), no(400, "invalid_grant"));
}

pub async fn a_sign_in_that_queues_behind_an_enrolment_is_asked_for_the_factor(ground: &Ground) {
    let town = Arc::new(Town::open(ground).await);
    let (browser, thief) = (Arc::new(town.browser()), Arc::new(town.browser()));
    browser.code(&DASHBOARD, DASHBOARD_BACK, &[]).await;
    let page = browser.open("/oauth/account").await.with_status(200);
    let code = code_of(&otpauth(&page), town.now());
    let asked = thief.authorize(&DASHBOARD, DASHBOARD_BACK, &[]).await.with_status(200);
    let held = town.hold_the_books().await;
    let enrols = tokio::spawn({
        let browser = browser.clone();
        async move { browser.look_after_account(&page, &code, RINGO.1).await }
    });
    tokio::time::sleep(QUEUED).await;
    // It finds the right password and no factor, and stands in line.
    let signs_in = tokio::spawn({
        let thief = thief.clone();
        async move { thief.sign_in(&asked, RINGO.0, RINGO.1).await }
    });
    tokio::time::sleep(QUEUED).await;
    drop(held);
    let enrolled = enrols.await.expect("it ends").with_status(200);
    assert!(enrolled.body.contains("Recovery codes"), "{}", enrolled.body);
    let late = signs_in.await.expect("it ends");
    match late.status {
        400 => assert!(late.body.contains("has changed meanwhile") && session_cookie(&late).is_none()),
        // Another server may write it down in between. Then it carries a generation that has ended.
        303 => {
            let refused = redeem(&town, &DASHBOARD, &sent_back(&late)["code"], DASHBOARD_BACK).await;
            assert_eq!(refused.refusal(), no(400, "invalid_grant"));
        }
        _ => panic!("{late:?}"),
    }
    assert!(!is_in(&thief).await);
    let again = thief.authorize(&DASHBOARD, DASHBOARD_BACK, &[]).await.with_status(200);
    let asked = thief.sign_in(&again, RINGO.0, RINGO.1).await.with_status(200);
    assert!(asked.body.contains("name=\"code\""), "{}", asked.body);
    assert_ne!(form_of(&asked), form_of(&again));
}
