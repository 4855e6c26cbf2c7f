//! What a person with a browser sees, from the first link to the code.

use super::*;

/// A browser that keeps its cookies.
#[derive(Default)]
struct Browser(Vec<Cookie<'static>>);

impl Browser {
    async fn go(&mut self, house: &web::Data<House>, request: TestRequest) -> Seen {
        let request = self.0.iter().fold(request, |request, cookie| request.cookie(cookie.clone()));
        let seen = call(house, request).await;
        for cookie in &seen.cookies {
            self.0.retain(|kept| kept.name() != cookie.name());
            if !cookie.value().is_empty() {
                self.0.push(cookie.clone());
            }
        }
        seen
    }

    async fn sign_in(&mut self, house: &web::Data<House>, page: &Seen, password: &str) -> Seen {
        let form = format!("form={}&username=ann%40example.com&password={password}", page.form());
        self.go(house, post("/oauth/authorize/sign-in", &form)).await
    }

    async fn decide(&mut self, house: &web::Data<House>, page: &Seen, decision: &str) -> Seen {
        let form = format!("form={}&decision={decision}", page.form());
        self.go(house, post("/oauth/authorize/consent", &form)).await
    }
}

fn back(seen: &Seen) -> String {
    assert_eq!(seen.status, 303, "{}", seen.body);
    seen.header("location").to_owned()
}

#[actix_web::test]
async fn a_stranger_signs_in_agrees_and_goes_back_with_a_code() {
    let (house, _) = house_at(NOW);
    let mut browser = Browser::default();
    let page = browser.go(&house, authorize("web", "")).await;
    assert_eq!(page.status, 200);
    assert!(page.header("content-security-policy").contains("form-action 'self' https://app.example;"));
    assert_eq!(page.header("x-frame-options"), "DENY");
    assert_eq!(page.header("access-control-allow-origin"), "");
    let onward = back(&browser.sign_in(&house, &page, "right").await);
    let question = browser.go(&house, get(&onward)).await;
    assert!(question.body.contains("The &#60;web&#62; app") && question.body.contains("ann@example.com"));
    let to = back(&browser.decide(&house, &question, "allow").await);
    assert!(to.starts_with("https://app.example/cb?code="), "{to}");
    assert!(to.contains("&state=xyz") && to.contains("&iss=https%3A%2F%2Fauth.cl.test"), "{to}");
}

#[actix_web::test]
async fn the_session_cookie_is_out_of_reach() {
    let (house, _) = house_at(NOW);
    let mut browser = Browser::default();
    let page = browser.go(&house, authorize("own", "")).await;
    let seen = browser.sign_in(&house, &page, "right").await;
    let cookie = seen.cookies.iter().find(|c| c.name() == "__Host-portcullis-session").unwrap();
    assert!(cookie.http_only() == Some(true) && cookie.secure() == Some(true));
    assert_eq!((cookie.path(), cookie.domain()), (Some("/"), None));
}

#[actix_web::test]
async fn the_organizations_own_application_asks_once_and_then_not_at_all() {
    let (house, _) = house_at(NOW);
    let mut browser = Browser::default();
    let page = browser.go(&house, authorize("own", "")).await;
    assert!(back(&browser.sign_in(&house, &page, "right").await).contains("?code="));
    assert!(back(&browser.go(&house, authorize("own", "")).await).contains("?code="));
    let page = browser.go(&house, authorize("own", "&prompt=login")).await;
    assert!(page.body.contains("name=\"password\""));
}

#[actix_web::test]
async fn a_wrong_password_and_an_unknown_account_look_alike() {
    let (house, _) = house_at(NOW);
    let mut browser = Browser::default();
    let page = browser.go(&house, authorize("web", "")).await;
    let wrong = browser.sign_in(&house, &page, "wrong").await;
    let form = format!("form={}&username=nobody%40example.com&password=right", page.form());
    let unknown = browser.go(&house, post("/oauth/authorize/sign-in", &form)).await;
    let problem = |seen: &Seen| {
        let (_, rest) = seen.body.split_once("role=\"alert\">").unwrap();
        rest.split_once('<').unwrap().0.to_owned()
    };
    assert_eq!((wrong.status, unknown.status), (200, 200));
    assert_eq!(problem(&wrong), problem(&unknown));
    assert!(!wrong.cookies.iter().any(|cookie| cookie.name().contains("session")));
    assert!(!wrong.body.contains("value=\"wrong\""));
    assert!(browser.sign_in(&house, &wrong, "right").await.status == 303);
}

#[actix_web::test]
async fn a_form_from_another_site_does_nothing() {
    let (house, _) = house_at(NOW);
    let mut attacker = Browser::default();
    let page = attacker.go(&house, authorize("web", "")).await;
    let mut victim = Browser::default();
    let seen = victim.sign_in(&house, &page, "right").await;
    assert_eq!(seen.status, 400);
    assert!(victim.0.is_empty());
    victim.go(&house, authorize("web", "")).await;
    assert_eq!(victim.sign_in(&house, &page, "right").await.status, 400);
}

#[actix_web::test]
async fn a_sign_in_form_is_no_consent() {
    let (house, _) = house_at(NOW);
    let mut browser = Browser::default();
    let page = browser.go(&house, authorize("web", "")).await;
    browser.sign_in(&house, &page, "right").await;
    assert_eq!(browser.decide(&house, &page, "allow").await.status, 400);
}

#[actix_web::test]
async fn consent_ends_with_the_session() {
    let (house, clock) = house_at(NOW);
    let mut browser = Browser::default();
    let page = browser.go(&house, authorize("web", "")).await;
    browser.sign_in(&house, &page, "right").await;
    clock.advance(u64::from(house.settings.tokens.session_lifetime) - 60);
    let question = browser.go(&house, authorize("web", "")).await;
    clock.advance(60);
    let seen = browser.decide(&house, &question, "allow").await;
    assert!(seen.status == 200 && seen.body.contains("name=\"password\""));
}

#[actix_web::test]
async fn a_person_may_say_no_or_be_somebody_else() {
    let (house, _) = house_at(NOW);
    let mut browser = Browser::default();
    let page = browser.go(&house, authorize("web", "")).await;
    let onward = back(&browser.sign_in(&house, &page, "right").await);
    let question = browser.go(&house, get(&onward)).await;
    assert!(back(&browser.decide(&house, &question, "deny").await).contains("error=access_denied"));
    let seen = browser.decide(&house, &question, "switch").await;
    assert!(seen.body.contains("name=\"password\""));
    assert!(!browser.0.iter().any(|cookie| cookie.name().contains("session")));
}

#[actix_web::test]
async fn an_application_that_must_not_ask_learns_that_nobody_is_there() {
    let (house, _) = house_at(NOW);
    let mut browser = Browser::default();
    let to = back(&browser.go(&house, authorize("own", "&prompt=none")).await);
    assert!(to.contains("error=login_required") && to.contains("state=xyz"), "{to}");
}

#[actix_web::test]
async fn an_unproved_address_is_never_followed() {
    let (house, _) = house_at(NOW);
    for query in [
        "client_id=web&redirect_uri=https%3A%2F%2Fevil.example%2Fcb",
        "client_id=web&redirect_uri=https%3A%2F%2Fapp.example%2Fcb&redirect_uri=https%3A%2F%2Fevil.example",
        "client_id=%22%3E%3Cscript%3E&redirect_uri=https%3A%2F%2Fapp.example%2Fcb",
        "redirect_uri=https%3A%2F%2Fapp.example%2Fcb",
    ] {
        let seen = call(&house, get(&format!("/oauth/authorize?response_type=code&{query}"))).await;
        assert_eq!((seen.status, seen.header("location")), (400, ""), "{query}");
        assert!(seen.header("content-type").starts_with("text/html"));
        assert!(!seen.body.contains("<script"));
    }
}

#[actix_web::test]
async fn other_mistakes_go_to_the_application() {
    let (house, _) = house_at(NOW);
    let to = back(&call(&house, authorize("web", "&scope=nonsense")).await);
    assert!(to.starts_with("https://app.example/cb?error=invalid_scope"), "{to}");
}
