//! The second factor of people, through the real pages: enrolled at the account page, asked for after the
//! password, and no way around it.

use portcullis_authority::operators::OperatorRole;
use portcullis_tests::browser::{Browser, sent_back};
use portcullis_tests::client::DASHBOARD;
use portcullis_tests::office::code_of;
use portcullis_tests::{Answer, Ground, Town};
use serde_json::json;

use crate::code::DASHBOARD_BACK;

pub const RINGO: (&str, &str) = ("ringo@example.com", "hush-ringo");
const STEP: u64 = 30;

/// What an authenticator reads off the page.
pub fn otpauth(page: &Answer) -> String {
    let (_, rest) = page.body.split_once("href=\"otpauth").expect("the page offers a second factor");
    let link = rest.split('"').next().expect("the link ends");
    format!("otpauth{}", link.replace("&#38;", "&").replace("&amp;", "&"))
}

pub fn codes(page: &Answer) -> Vec<String> {
    let items = page.body.split("<li>").skip(1);
    items.map(|rest| rest.split('<').next().expect("it ends").to_owned()).collect()
}

async fn password_page(browser: &Browser) -> Answer {
    browser.authorize(&DASHBOARD, DASHBOARD_BACK, &[("prompt", "login")]).await.with_status(200)
}

/// Ringo enrols, and gives what the authenticator holds and the recovery codes.
pub async fn enrolled(town: &Town, browser: &Browser) -> (String, Vec<String>) {
    browser.code(&DASHBOARD, DASHBOARD_BACK, &[]).await;
    let page = browser.open("/oauth/account").await.with_status(200);
    let seed = otpauth(&page);
    let done = browser.look_after_account(&page, &code_of(&seed, town.now()), RINGO.1).await;
    let codes = codes(&done.with_status(200));
    (seed, codes)
}

/// The page that asks for a code.
async fn code_page(browser: &Browser) -> Answer {
    let page = password_page(browser).await;
    let asked = browser.sign_in(&page, RINGO.0, RINGO.1).await.with_status(200);
    assert!(asked.body.contains("name=\"code\"") && !asked.body.contains("name=\"password\""), "{asked:?}");
    let cookies: Vec<_> =
        asked.headers.get_all("set-cookie").iter().filter_map(|it| it.to_str().ok()).collect();
    assert!(!cookies.iter().any(|it| it.contains("session")), "nobody is in yet: {cookies:?}");
    asked
}

fn is_wrong(page: &Answer) -> bool {
    page.status == 200 && page.body.contains("The code is wrong or was used before")
}

pub async fn a_person_enrols_and_is_asked_for_a_code_from_then_on(ground: &Ground) {
    let town = Town::open(ground).await;
    let stranger = town.browser().open("/oauth/account").await;
    assert!(stranger.status != 200 && stranger.body.contains("Nobody is signed in"), "{stranger:?}");
    let browser = town.browser();
    browser.code(&DASHBOARD, DASHBOARD_BACK, &[]).await;
    let page = browser.open("/oauth/account").await.with_status(200);
    let seed = otpauth(&page);
    let now = town.now();
    let wrong = browser.look_after_account(&page, "000000", RINGO.1).await.with_status(200);
    assert!(wrong.body.contains("no code of the new authenticator"), "{}", wrong.body);
    let wrong = browser.look_after_account(&page, &code_of(&seed, now), "hush-not-this").await;
    assert!(wrong.body.contains("The password or the code is wrong"), "{}", wrong.body);
    let done = browser.look_after_account(&page, &code_of(&seed, now), RINGO.1).await.with_status(200);
    assert_eq!(codes(&done).len(), 10);
    let again = browser.look_after_account(&page, &code_of(&seed, now + STEP), RINGO.1).await;
    assert!(again.body.contains("There is a second factor already"), "{}", again.body);
    let other = town.browser();
    let asked = code_page(&other).await;
    let back = other.show_code(&asked, &code_of(&seed, now + STEP)).await.with_status(303);
    assert!(sent_back(&back).contains_key("code"), "{back:?}");
    let none = other.authorize(&DASHBOARD, DASHBOARD_BACK, &[("prompt", "none")]).await.with_status(303);
    assert!(sent_back(&none).contains_key("code"), "the session stands");
}

pub async fn a_code_signs_in_once_and_so_does_a_recovery_code(ground: &Ground) {
    let town = Town::open(ground).await;
    town.wait_for_a_fresh_step().await;
    let browser = town.browser();
    let (seed, recovery) = enrolled(&town, &browser).await;
    let asked = code_page(&browser).await;
    let spent = code_of(&seed, town.now());
    assert!(is_wrong(&browser.show_code(&asked, &spent).await), "the one that enrolled is spent");
    let next = code_of(&seed, town.now() + STEP);
    browser.show_code(&asked, &next).await.with_status(303);
    assert!(is_wrong(&browser.show_code(&asked, &next).await), "a replay");
    browser.show_code(&asked, &recovery[0].to_uppercase()).await.with_status(303);
    assert!(is_wrong(&browser.show_code(&asked, &recovery[0]).await));
    // Two at once: one of them is first.
    let (one, two) =
        tokio::join!(browser.show_code(&asked, &recovery[1]), browser.show_code(&asked, &recovery[1]));
    let mut seen = [one.status, two.status];
    seen.sort_unstable();
    assert_eq!(seen, [200, 303]);
}

pub async fn guessing_at_codes_has_an_end(ground: &Ground) {
    let town = Town::open(ground).await;
    let browser = town.browser();
    let (_, recovery) = enrolled(&town, &browser).await;
    let asked = code_page(&browser).await;
    let mut tries = 0;
    while is_wrong(&browser.show_code(&asked, "000000").await) {
        tries += 1;
        assert!(tries < 20, "somebody may guess for ever");
    }
    assert!(tries >= 3, "an honest person may err");
    browser.show_code(&asked, &recovery[0]).await.with_status(429);
}

pub async fn a_code_is_asked_of_the_one_whose_password_it_was(ground: &Ground) {
    let town = Town::open_with_office(ground).await;
    let browser = town.browser();
    let (_, recovery) = enrolled(&town, &browser).await;
    let asked = code_page(&browser).await;
    // Another browser cannot go on with the page.
    town.browser().show_code(&asked, &recovery[0]).await.with_status(400);
    // What ended since the password ends this, too.
    let ann = town.operator(OperatorRole::Operator).await;
    ann.delete("/people/userRingoA/sessions").await.with_status(204);
    browser.show_code(&asked, &recovery[0]).await.with_status(400);
    // Without the password there is no page that takes a code.
    let page = password_page(&browser).await;
    browser.show_code(&page, &recovery[0]).await.with_status(400);
}

pub async fn whoever_removes_it_shows_both_once_more(ground: &Ground) {
    let town = Town::open(ground).await;
    let browser = town.browser();
    let (_, recovery) = enrolled(&town, &browser).await;
    let page = browser.open("/oauth/account").await.with_status(200);
    assert!(page.body.contains("10 recovery codes") && !page.body.contains("otpauth"), "{}", page.body);
    for (code, password) in [("000000", RINGO.1), (recovery[0].as_str(), "hush-not-this")] {
        let refused = browser.look_after_account(&page, code, password).await.with_status(200);
        assert!(refused.body.contains("The password or the code is wrong"), "{}", refused.body);
    }
    let gone = browser.look_after_account(&page, &recovery[0], RINGO.1).await.with_status(200);
    assert!(gone.body.contains("otpauth"), "another one is offered");
    let page = password_page(&browser).await;
    browser.sign_in(&page, RINGO.0, RINGO.1).await.with_status(303);
}

pub async fn two_operators_take_the_lost_one_of_a_member_away_and_it_is_noted(ground: &Ground) {
    let town = Town::open_with_office(ground).await;
    let browser = town.browser();
    enrolled(&town, &browser).await;
    let ann = town.operator(OperatorRole::Operator).await;
    let bob = town.operator(OperatorRole::Approver).await;
    let auditor = town.operator(OperatorRole::Auditor).await;
    let path = "/people/userRingoA/second-factor";
    let reset = format!("{path}/reset");
    let seen = auditor.get(path).await.with_status(200).json();
    assert_eq!((&seen["enrolled"], &seen["recovery_codes"]), (&true.into(), &10.into()));
    let order = json!({ "reason": "lost the phone, HD-4" });
    auditor.post(&reset, &order).await.with_status(403);
    bob.post(&reset, &order).await.with_status(403);
    ann.delete(path).await.with_status(405);
    ann.post(&reset, &json!({})).await.with_status(422);
    let alone = json!({ "reason": "lost the phone, HD-4", "break_glass": true });
    ann.post(&reset, &alone).await.with_status(403);
    let asked = ann.post(&reset, &order).await.with_status(200).json();
    assert_eq!(asked["state"], "proposed", "{asked}");
    assert_eq!(ann.get(path).await.json()["enrolled"], true, "nothing happens before somebody agrees");
    ann.approve(&asked["proposal"]).await.with_status(403);
    bob.approve(&asked["proposal"]).await.with_status(200);
    bob.approve(&asked["proposal"]).await.with_status(409);
    ann.post(&reset, &order).await.with_status(409);
    assert_eq!(ann.get(path).await.json()["enrolled"], false);
    let page = password_page(&browser).await;
    browser.sign_in(&page, RINGO.0, RINGO.1).await.with_status(303);
    let all = town.look(async |store| store.audit_page(0, 10_000).await.expect("the audit reads")).await;
    let about = |event: &str| {
        all.iter().any(|it| it.record.event == event && it.record.subject.as_deref() == Some("userRingoA"))
    };
    assert!(about("person.second_factor.enrolled") && about("person.second_factor.reset"));
}

pub async fn an_owner_takes_the_lost_one_of_a_member_away_loudly(ground: &Ground) {
    let town = Town::open_with_office(ground).await;
    let browser = town.browser();
    enrolled(&town, &browser).await;
    let owner = town.operator(OperatorRole::Owner).await;
    let reset = "/people/userRingoA/second-factor/reset";
    let alone = json!({ "reason": "locked out on a Sunday, HD-5", "break_glass": true });
    assert_eq!(owner.post(reset, &alone).await.with_status(200).json()["state"], "done");
    let glass = owner.get("/proposals").await.with_status(200).json()["broken_glass"].clone();
    assert_eq!(glass[0]["kind"], "second_factor");
    let page = password_page(&browser).await;
    browser.sign_in(&page, RINGO.0, RINGO.1).await.with_status(303);
}
