//! The authorization code grant through the real pages: what a person sees, what the application gets, and
//! what an attacker in between does not.

use portcullis_tests::browser::{VERIFIER, challenge_of, sent_back};
use portcullis_tests::client::{Client, DASHBOARD, PARTNER, TERMINAL, claims_of};
use portcullis_tests::street::no;
use portcullis_tests::{Answer, Ground, Town};

pub const PARTNER_BACK: &str = "https://partner.example/callback";
pub const DASHBOARD_BACK: &str = "https://app.example/callback";

/// Redeems a code as the application that it was made for.
pub async fn redeem(town: &Town, client: &Client, code: &str, redirect: &str) -> Answer {
    let more = [("code", code), ("redirect_uri", redirect), ("code_verifier", VERIFIER)];
    town.token(client, "authorization_code", &more).await
}

pub async fn a_person_signs_in_agrees_and_the_application_gets_its_tokens(ground: &Ground) {
    let town = Town::open_with_shop(ground).await;
    let browser = town.browser();
    let page = browser.authorize(&PARTNER, PARTNER_BACK, &[]).await.with_status(200);
    assert!(page.header("content-security-policy").starts_with("default-src 'none'"), "{page:?}");
    assert_eq!(page.header("x-frame-options"), "DENY");
    assert_eq!(page.header("cache-control"), "no-store");
    assert!(page.body.contains("name=\"username\"") && page.body.contains("name=\"password\""));
    let onward = browser.sign_in(&page, "ringo@example.com", "hush-ringo").await.with_status(303);
    let question = browser.open(onward.header("location")).await.with_status(200);
    assert!(question.body.contains("Partner") && question.body.contains("https://partner.example"));
    let back = browser.decide(&question, "allow").await.with_status(303);
    let told = sent_back(&back);
    assert!(back.header("location").starts_with("https://partner.example/callback?"));
    assert_eq!(told["state"], "state-of-the-test");
    assert_eq!(told["iss"], town.issuer(), "RFC 9207");
    let answer = redeem(&town, &PARTNER, &told["code"], PARTNER_BACK).await.with_status(200);
    let body = answer.json();
    assert_eq!((&body["owner_id"], &body["owner_type"]), (&"userRingoA".into(), &"user".into()));
    let claims = claims_of(&answer.access_token());
    assert_eq!((&claims["sub"], &claims["client_id"]), (&"userRingoA".into(), &"partner".into()));
    town.shop("/api/orders", &answer.access_token()).await.with_status(200);
    town.refresh(&PARTNER, &answer.refresh_token()).await.with_status(200);
    let back = browser.decide(&question, "deny").await.with_status(303);
    assert_eq!(sent_back(&back)["error"], "access_denied");
}

pub async fn an_application_on_a_persons_own_machine_needs_no_secret(ground: &Ground) {
    let town = Town::open_with_shop(ground).await;
    let redirect = "http://127.0.0.1:49152/callback";
    let code = town.browser().code(&TERMINAL, redirect, &[]).await;
    let answer = redeem(&town, &TERMINAL, &code, redirect).await.with_status(200);
    town.shop("/api/orders", &answer.access_token()).await.with_status(200);
    let next = town.refresh(&TERMINAL, &answer.refresh_token()).await.with_status(200);
    assert_ne!(next.refresh_token(), answer.refresh_token(), "a public client's refresh token rotates");
}

pub async fn the_organizations_own_application_asks_once(ground: &Ground) {
    let town = Town::open(ground).await;
    let browser = town.browser();
    let none = [("prompt", "none")];
    let back = browser.authorize(&DASHBOARD, DASHBOARD_BACK, &none).await.with_status(303);
    assert_eq!(sent_back(&back)["error"], "login_required");
    browser.code(&DASHBOARD, DASHBOARD_BACK, &[]).await;
    let back = browser.authorize(&DASHBOARD, DASHBOARD_BACK, &none).await.with_status(303);
    let code = sent_back(&back)["code"].clone();
    redeem(&town, &DASHBOARD, &code, DASHBOARD_BACK).await.with_status(200);
    // Somebody else's application still asks.
    let question = browser.authorize(&PARTNER, PARTNER_BACK, &[]).await.with_status(200);
    assert!(question.body.contains("name=\"decision\""), "{}", question.body);
}

pub async fn a_code_needs_the_verifier_the_redirect_and_the_client_it_was_made_for(ground: &Ground) {
    let town = Town::open(ground).await;
    let code = town.browser().code(&PARTNER, PARTNER_BACK, &[]).await;
    let long = "v".repeat(129);
    let challenge = challenge_of(VERIFIER);
    let with = |redirect: &'static str, verifier: &str| {
        vec![
            ("redirect_uri".to_owned(), redirect.to_owned()),
            ("code_verifier".to_owned(), verifier.to_owned()),
        ]
    };
    let mut wrong = vec![
        with(PARTNER_BACK, ""),
        with(PARTNER_BACK, "short"),
        with(PARTNER_BACK, &long),
        with(PARTNER_BACK, &challenge),
        with(PARTNER_BACK, &VERIFIER.replace("0123", "0124")),
        with("https://partner.example/callback/", VERIFIER),
        with("https://partner.example/callback?x=1", VERIFIER),
        with(DASHBOARD_BACK, VERIFIER),
        with("", VERIFIER),
    ];
    wrong.push(vec![("redirect_uri".into(), PARTNER_BACK.into())]);
    for form in wrong {
        let mut more = vec![("code", code.as_str())];
        more.extend(form.iter().map(|(name, value)| (name.as_str(), value.as_str())));
        let refused = town.token(&PARTNER, "authorization_code", &more).await;
        assert_eq!(refused.refusal(), no(400, "invalid_grant"), "{form:?}");
    }
    for thief in [DASHBOARD, TERMINAL] {
        assert_eq!(redeem(&town, &thief, &code, PARTNER_BACK).await.refusal(), no(400, "invalid_grant"));
    }
    let unproved = redeem(&town, &PARTNER.without_secret(), &code, PARTNER_BACK).await;
    assert_eq!(unproved.refusal(), no(401, "invalid_client"));
    assert_eq!(redeem(&town, &PARTNER, &challenge, PARTNER_BACK).await.refusal(), no(400, "invalid_grant"));
    // None of that has spent it.
    redeem(&town, &PARTNER, &code, PARTNER_BACK).await.with_status(200);
}

pub async fn a_code_that_comes_twice_closes_the_whole_family(ground: &Ground) {
    let town = Town::open_with_shop(ground).await;
    let code = town.browser().code(&PARTNER, PARTNER_BACK, &[]).await;
    let first = redeem(&town, &PARTNER, &code, PARTNER_BACK).await.with_status(200);
    let next = town.refresh(&PARTNER, &first.refresh_token()).await.with_status(200);
    for token in [first.access_token(), next.access_token()] {
        town.shop("/api/orders", &token).await.with_status(200);
    }
    assert_eq!(redeem(&town, &PARTNER, &code, PARTNER_BACK).await.refusal(), no(400, "invalid_grant"));
    for token in [first.access_token(), next.access_token()] {
        town.until_shop_refuses(&token).await;
        assert!(!town.is_active(&token).await);
    }
    assert_eq!(town.refresh(&PARTNER, &next.refresh_token()).await.refusal(), no(400, "invalid_grant"));
}

pub async fn an_authorization_request_without_sound_pkce_goes_back_with_an_error(ground: &Ground) {
    let town = Town::open(ground).await;
    let browser = town.browser();
    let wrong: [&[(&str, &str)]; 5] = [
        &[("code_challenge", ""), ("code_challenge_method", "")],
        &[("code_challenge_method", "plain")],
        &[("code_challenge_method", "")],
        &[("code_challenge", "tooshort")],
        &[("code_challenge", "")],
    ];
    for client in [(TERMINAL, "http://127.0.0.1:1/callback"), (PARTNER, PARTNER_BACK)] {
        for more in wrong {
            let back = browser.authorize(&client.0, client.1, more).await.with_status(303);
            let told = sent_back(&back);
            assert_eq!(
                (told["error"].as_str(), told["state"].as_str()),
                ("invalid_request", "state-of-the-test")
            );
            assert_eq!(told["iss"], town.issuer());
        }
    }
    for kind in ["token", "id_token", "code token", "code id_token", "none"] {
        let back =
            browser.authorize(&PARTNER, PARTNER_BACK, &[("response_type", kind)]).await.with_status(303);
        assert_eq!(sent_back(&back)["error"], "unsupported_response_type", "{kind}");
    }
    for name in ["request", "request_uri"] {
        let more = [(name, "https://inside.example/object")];
        let back = browser.authorize(&PARTNER, PARTNER_BACK, &more).await.with_status(303);
        assert_eq!(sent_back(&back)["error"], "invalid_request", "{name}");
    }
}

pub async fn nobody_is_sent_to_an_address_that_was_not_registered(ground: &Ground) {
    let town = Town::open(ground).await;
    let browser = town.browser();
    let elsewhere = [
        "https://evil.example/callback",
        "https://partner.example",
        "https://partner.example/",
        "https://partner.example/callback/",
        "https://partner.example/callback/more",
        "https://partner.example/callback?next=https://evil.example",
        "https://partner.example/callback#x",
        "https://partner.example/x/../callback",
        "https://partner.example/callback/..;/x",
        "https://partner.example/%63allback",
        "https://partner.example/callback%2f",
        "https://partner.example:443/callback",
        "https://partner.example:8443/callback",
        "https://partner.example.evil.example/callback",
        "https://partner.example@evil.example/callback",
        "https://evil.example\\@partner.example/callback",
        "https://partnerXexample/callback",
        "https://PARTNER.example/callback",
        "http://partner.example/callback",
        "//partner.example/callback",
        "/callback",
        "javascript:alert(1)",
        "data:text/html,x",
        " https://partner.example/callback",
        "https://partner.example/callback\n",
    ];
    for redirect in elsewhere {
        let page = browser.authorize(&PARTNER, redirect, &[]).await;
        assert_eq!((page.status, page.header("location")), (400, ""), "{redirect:?}");
        assert!(!page.body.contains("evil.example"), "{redirect:?} comes back in the page");
    }
    for redirect in [
        "http://localhost:1/callback",
        "http://127.0.0.2:1/callback",
        "http://127.0.0.1:1@evil.example/callback",
        "http://127.0.0.1:99999/callback",
        "http://127.0.0.1:1/callback/",
        "https://127.0.0.1:1/callback",
        "http://[::1]:1/callback",
        "http://127.1:1/callback",
    ] {
        let page = browser.authorize(&TERMINAL, redirect, &[]).await;
        assert_eq!((page.status, page.header("location")), (400, ""), "{redirect:?}");
    }
    let twice = format!(
        "/oauth/authorize?response_type=code&client_id=partner&redirect_uri={PARTNER_BACK}&redirect_uri=https://evil.example/"
    );
    let page = browser.open(&twice).await;
    assert_eq!((page.status, page.header("location")), (400, ""));
    let unknown = browser.authorize(&Client { id: "stranger", secret: None }, PARTNER_BACK, &[]).await;
    assert_eq!((unknown.status, unknown.header("location")), (400, ""));
}

pub async fn a_wrong_password_and_an_unknown_account_look_alike_and_open_nothing(ground: &Ground) {
    let town = Town::open(ground).await;
    let browser = town.browser();
    let page = browser.authorize(&PARTNER, PARTNER_BACK, &[]).await;
    let alert = |seen: &Answer| {
        let (_, rest) = seen.body.split_once("role=\"alert\">").expect("the page says what was wrong");
        rest.split_once('<').expect("it ends").0.to_owned()
    };
    let wrong = browser.sign_in(&page, "ringo@example.com", "hush-wrong").await.with_status(200);
    assert!(!wrong.body.contains("hush-wrong"), "a password never comes back");
    // An unknown account, a customer, and nothing at all.
    for (name, password) in [
        ("nobody@example.com", "hush-ringo"),
        ("jane@example.com", "hush-jane"),
        ("", ""),
        ("ringo@example.com", ""),
    ] {
        let seen = browser.sign_in(&page, name, password).await.with_status(200);
        assert_eq!(alert(&seen), alert(&wrong), "{name}");
        assert!(!seen.header("set-cookie").contains("session"));
    }
    let still = browser.authorize(&PARTNER, PARTNER_BACK, &[("prompt", "none")]).await.with_status(303);
    assert_eq!(sent_back(&still)["error"], "login_required");
    browser.sign_in(&page, "Ringo@Example.com ", "hush-ringo").await.with_status(303);
}

pub async fn a_form_that_another_site_posts_does_nothing(ground: &Ground) {
    let town = Town::open(ground).await;
    let (attacker, victim) = (town.browser(), town.browser());
    let page = attacker.authorize(&PARTNER, PARTNER_BACK, &[]).await.with_status(200);
    // Login CSRF: the attacker's form in the victim's browser, which has or has not a form cookie.
    victim.sign_in(&page, "ringo@example.com", "hush-ringo").await.with_status(400);
    let own = victim.authorize(&PARTNER, PARTNER_BACK, &[]).await.with_status(200);
    victim.sign_in(&page, "ringo@example.com", "hush-ringo").await.with_status(400);
    for form in ["", "x", "AAAA"] {
        let fields = [
            ("form", form.into()),
            ("username", "ringo@example.com".into()),
            ("password", "hush-ringo".into()),
        ];
        victim.post("/oauth/authorize/sign-in", &fields).await.with_status(400);
        let fields = [("form", form.into()), ("decision", "allow".into())];
        victim.post("/oauth/authorize/consent", &fields).await.with_status(400);
    }
    // Consent CSRF: the victim is signed in, the question was put to the attacker.
    let onward = attacker.sign_in(&page, "ringo@example.com", "hush-ringo").await.with_status(303);
    let question = attacker.open(onward.header("location")).await.with_status(200);
    victim.sign_in(&own, "ringo@example.com", "hush-ringo").await.with_status(303);
    let seen = victim.decide(&question, "allow").await;
    assert_eq!((seen.status, seen.header("location")), (400, ""));
    // A sign-in form is no consent.
    let seen = victim.decide(&own, "allow").await;
    assert_eq!((seen.status, seen.header("location")), (400, ""));
}

pub async fn what_a_stranger_writes_into_the_link_stays_text(ground: &Ground) {
    let town = Town::open(ground).await;
    let browser = town.browser();
    let script = "\"><script>alert(1)</script>";
    for more in [("state", script), ("scope", script), ("login_hint", script), ("response_type", script)] {
        let seen = browser.authorize(&PARTNER, PARTNER_BACK, &[more]).await;
        assert!(!seen.body.contains("<script>"), "{more:?}");
        assert!(!seen.header("location").contains("<script>"), "{more:?}");
    }
    let page = browser.authorize(&PARTNER, PARTNER_BACK, &[("state", script)]).await.with_status(200);
    let seen = browser.sign_in(&page, script, "x").await.with_status(200);
    assert!(!seen.body.contains("<script>"));
    let page = browser.open(&format!("/oauth/authorize?client_id={}", "%22%3E%3Cscript%3E")).await;
    assert!(page.status == 400 && !page.body.contains("<script>"));
}
