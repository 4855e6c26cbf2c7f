//! Authorization requests, codes and PKCE.

use portcullis_authority::refusal::Code;
use portcullis_authority::registry::Scope;
use portcullis_authority::{Consent, Turned};
use portcullis_guard::Denied;
use portcullis_guard::feed::Kind;

use crate::house::{ACME, CHALLENGE, House, ISSUER, VERIFIER, in_query, inside, origin, refusal_of};

type Answer = Result<Consent, String>;

/// The consent, or where the error went: `page`, or the error at the redirect.
fn consider(house: &House, params: &[(&str, &str)]) -> Answer {
    house.consider(params).map_err(|turned| match turned {
        Turned::Page(_) => "page".to_owned(),
        Turned::Redirect(to) => {
            assert_eq!(in_query(&to, "iss").as_deref(), Some(ISSUER), "RFC 9207");
            assert_eq!(in_query(&to, "state").as_deref(), Some("s t&"));
            assert!(in_query(&to, "code").is_none());
            in_query(&to, "error").unwrap()
        }
    })
}

#[tokio::test]
async fn the_answer_carries_code_state_and_issuer() {
    let house = House::new();
    let consent = consider(&house, &[("client_id", "web")]).unwrap();
    assert!(
        !consent.first_party && !consent.must_sign_in && !consent.must_not_ask && !consent.redirect_named
    );
    let ada = house.sign_in(&consent, "ada@staff.example").await.unwrap();
    let to = refusal_of(house.authority.approve(&consent, &ada, &origin()).await).unwrap();
    assert!(to.as_str().starts_with("https://app.example/cb?code="));
    assert_eq!(in_query(&to, "state").as_deref(), Some("s t&"));
    assert_eq!(in_query(&to, "iss").as_deref(), Some(ISSUER));
    let no = refusal_of(house.authority.decline(&consent, (Code::AccessDenied, Some(&ada)), &origin()).await)
        .unwrap();
    assert_eq!(in_query(&no, "error").as_deref(), Some("access_denied"));
}

#[tokio::test]
async fn a_redirect_is_one_of_the_registered_byte_for_byte() {
    let house = House::new();
    let spa =
        |redirect: &str| consider(&house, &[("client_id", "spa"), ("redirect_uri", redirect)]).map(|_| ());
    for good in ["https://spa.example/cb", "http://127.0.0.1/cb", "http://127.0.0.1:51000/cb"] {
        assert_eq!(spa(good), Ok(()), "{good}");
    }
    for bad in [
        "https://spa.example/cb/",
        "https://spa.example/cb?x=1",
        "https://spa.example/cb#x",
        "https://spa.example/c",
        "https://spa.example/cb/../cb",
        "https://spa.example/x/..;/cb",
        "https://spa.example/%63b",
        "https://spa.example/cb%2f",
        "https://spa.example:443/cb",
        "https://SPA.example/cb",
        "https://spaxexample/cb",
        "https://user@spa.example/cb",
        "https://spa.example@evil.example/cb",
        "https://spa.example.evil.example/cb",
        "https://evil.example/https://spa.example/cb",
        "http://spa.example/cb",
        "http://localhost/cb",
        "http://127.0.0.1:+80/cb",
        "http://127.0.0.1:99999/cb",
        "http://127.0.0.1:80/cb?x",
        "http://127.0.0.2/cb",
        "http://[::1]/cb",
        "https://127.0.0.1/cb",
        "javascript:alert(1)",
        "data:text/html,x",
        "myapp://cb",
        " https://spa.example/cb",
    ] {
        assert_eq!(spa(bad), Err("page".into()), "{bad}");
    }
    assert_eq!(
        consider(&house, &[("client_id", "spa")]).unwrap_err(),
        "page",
        "two are registered: name one"
    );
}

#[tokio::test]
async fn an_unknown_or_disabled_application_gets_a_page_and_no_redirect() {
    let house = House::new();
    assert_eq!(consider(&house, &[("client_id", "nobody")]).unwrap_err(), "page");
    assert_eq!(consider(&house, &[]).unwrap_err(), "page");
    house.change_application("web", |application| application.disabled = true);
    assert_eq!(consider(&house, &[("client_id", "web")]).unwrap_err(), "page");
    house.memory.change_holdings(|holdings| holdings.organizations[0].disabled = true);
    assert_eq!(consider(&house, &[("client_id", "old")]).unwrap_err(), "page");
}

#[tokio::test]
async fn a_bad_request_goes_back_to_the_proved_redirect() {
    let house = House::new();
    house.change_application("int", |a| a.redirect_uris = vec!["https://int.example/cb".into()]);
    let web = |more: &[(&str, &str)]| consider(&house, &[&[("client_id", "web")], more].concat()).map(|_| ());
    for (more, error) in [
        (&[("response_type", "token")][..], "unsupported_response_type"),
        (&[("response_type", "code token")], "unsupported_response_type"),
        (&[("response_type", "-")], "unsupported_response_type"),
        (&[("response_mode", "fragment")], "invalid_request"),
        (&[("request", "x")], "invalid_request"),
        (&[("request_uri", "https://evil.example")], "invalid_request"),
        (&[("scope", "market:code:nowhere")], "invalid_scope"),
        (&[("scope", "market:code:vips")], "invalid_scope"),
        (&[("prompt", "none login")], "invalid_request"),
        (&[("code_challenge", "-"), ("code_challenge_method", "-")], "invalid_request"),
        (&[("code_challenge", "-")], "invalid_request"),
        (&[("code_challenge_method", "plain")], "invalid_request"),
        (&[("code_challenge_method", "-")], "invalid_request"),
        (&[("code_challenge_method", "s256")], "invalid_request"),
        (&[("code_challenge", "short")], "invalid_request"),
        (&[("code_challenge", "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw+cM")], "invalid_request"),
    ] {
        assert_eq!(web(more), Err(error.into()), "{more:?}");
    }
    assert_eq!(consider(&house, &[("client_id", "int")]).unwrap_err(), "unauthorized_client");
}

#[tokio::test]
async fn prompts_say_what_may_be_asked() {
    let house = House::new();
    let flags = |client: &str, prompt: &str| {
        let consent = consider(&house, &[("client_id", client), ("prompt", prompt)]).unwrap();
        (consent.first_party, consent.must_sign_in, consent.must_not_ask)
    };
    assert_eq!(flags("old", ""), (true, false, false));
    assert_eq!(flags("old", "consent"), (false, false, false));
    assert_eq!(flags("old", "login  consent"), (false, true, false));
    assert_eq!(flags("web", "login"), (false, true, false));
    assert_eq!(flags("web", "select_account"), (false, true, false));
    assert_eq!(flags("web", "none "), (false, false, true));
}

#[tokio::test]
async fn only_active_members_sign_in_and_all_others_hear_the_same() {
    let house = House::new();
    let consent = consider(&house, &[("client_id", "web")]).unwrap();
    let mut heard = std::collections::BTreeSet::new();
    for email in ["bob@staff.example", "zed@staff.example", "nobody@staff.example", "eva@acme.example"] {
        let refusal = house.sign_in(&consent, email).await.unwrap_err();
        heard.insert((refusal.code.as_str(), refusal.sentence));
    }
    house.memory.change_person("UserAdaAAA", |person| person.disabled = true);
    let refusal = house.sign_in(&consent, "ada@staff.example").await.unwrap_err();
    heard.insert((refusal.code.as_str(), refusal.sentence));
    assert_eq!(heard.len(), 1, "{heard:?}");
    house.memory.change_person("UserAdaAAA", |person| person.disabled = false);
    assert!(house.sign_in(&consent, " ADA@staff.example ").await.is_err(), "the password is another");
    assert!(house.sign_in(&consent, "ada@staff.example").await.is_ok());
}

#[tokio::test]
async fn a_session_ends_with_time_sign_out_or_the_person() {
    let house = House::new();
    let consent = consider(&house, &[("client_id", "web")]).unwrap();
    let authority = &house.authority;
    let sign_in = || async {
        let password = portcullis_authority::secret::Secret::from("adas-password");
        let answer = authority.sign_in(&consent, "ada@staff.example", password, &origin()).await;
        inside(answer).unwrap().cookie
    };
    let known = |cookie: String| async move {
        authority.signed_in(&consent_of(authority), &cookie).await.unwrap().is_some()
    };
    let (one, two, three) = (sign_in().await, sign_in().await, sign_in().await);
    assert!(known(one.expose().into()).await);
    assert!(!known("a-cookie-that-was-never-given".into()).await);
    authority.sign_out(one.expose(), &origin()).await.unwrap();
    assert!(!known(one.expose().into()).await && known(two.expose().into()).await);
    house.raise(Scope::Subject, "UserAdaAAA").await;
    assert!(!known(two.expose().into()).await);
    let four = sign_in().await;
    house.wait(8 * 3600);
    assert!(!known(four.expose().into()).await && !known(three.expose().into()).await);
}

fn consent_of(authority: &portcullis_authority::Authority) -> Consent {
    let query =
        format!("client_id=web&response_type=code&code_challenge={CHALLENGE}&code_challenge_method=S256");
    let ask = portcullis_authority::ask::Ask::from_query(&query, origin()).unwrap();
    authority.consider(&ask).unwrap()
}

#[tokio::test]
async fn a_page_left_open_sends_no_code_to_a_withdrawn_redirect() {
    let house = House::new();
    let consent = consider(&house, &[("client_id", "web")]).unwrap();
    let ada = house.sign_in(&consent, "ada@staff.example").await.unwrap();
    house.change_application("web", |a| a.redirect_uris = vec!["https://new.example/cb".into()]);
    let refusal = refusal_of(house.authority.approve(&consent, &ada, &origin()).await).unwrap_err();
    assert_eq!(refusal.code, Code::AccessDenied);
}

#[tokio::test]
async fn a_code_is_good_once_with_its_verifier() {
    let house = House::new();
    let code = house.code(&[("client_id", "web")]).await;
    let long = "a".repeat(129);
    let wrong = "wrong-verifier-wrong-verifier-wrong-verifier";
    for verifier in [
        None,
        Some("short"),
        Some(wrong),
        Some(&long),
        Some("dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjX "),
        Some(CHALLENGE),
    ] {
        let mut form = vec![("grant_type", "authorization_code"), ("code", &code)];
        form.extend(verifier.map(|verifier| ("code_verifier", verifier)));
        let refusal = house.by("web", &form).await.unwrap_err();
        assert_eq!(refusal.code, Code::InvalidGrant, "{verifier:?}");
    }
    assert!(house.redeem(&code).await.is_ok(), "a wrong guess burns nobody's code");
}

#[tokio::test]
async fn a_verifier_needs_a_challenge() {
    let house = House::new();
    let none = [("client_id", "old"), ("code_challenge", "-"), ("code_challenge_method", "-")];
    let code = house.code(&none).await;
    let form = [("grant_type", "authorization_code"), ("code", code.as_str())];
    let downgraded = house.by("old", &[&form[..], &[("code_verifier", VERIFIER)]].concat()).await;
    assert_eq!(downgraded.unwrap_err().code, Code::InvalidGrant);
    assert!(house.by("old", &form).await.is_ok(), "optional for this confidential client");
    let bound = house.code(&[("client_id", "old")]).await;
    let form = [("grant_type", "authorization_code"), ("code", bound.as_str())];
    assert!(house.by("old", &form).await.is_err(), "what was bound stays bound");
    house.change_application("spa", |application| application.pkce_optional = true);
    let spa = [("client_id", "spa"), ("redirect_uri", "https://spa.example/cb")];
    let answer = consider(&house, &[&spa[..], &none[1..]].concat());
    assert_eq!(answer.unwrap_err(), "invalid_request", "never optional for public clients");
}

#[tokio::test]
async fn a_spent_code_closes_the_whole_family() {
    let house = House::new();
    let code = house.code(&[("client_id", "web")]).await;
    let reply = house.redeem(&code).await.unwrap();
    house.claims(&reply.access_token);
    house.wait(120);
    assert_eq!(house.redeem(&code).await.unwrap_err().code, Code::InvalidGrant);
    assert_eq!(house.check(&reply.access_token), Err(Denied::Revoked(Kind::Family)));
    let form = [("grant_type", "refresh_token"), ("refresh_token", reply.refresh_token.as_deref().unwrap())];
    assert_eq!(house.by("web", &form).await.unwrap_err().code, Code::InvalidGrant);
}

#[tokio::test]
async fn of_many_who_redeem_one_code_at_once_one_gets_a_token_and_it_ends() {
    let house = std::sync::Arc::new(House::new());
    let code = house.code(&[("client_id", "web")]).await;
    let racers: Vec<_> = (0..32)
        .map(|_| {
            let (house, code) = (house.clone(), code.clone());
            tokio::spawn(async move { house.redeem(&code).await })
        })
        .collect();
    let mut won = Vec::new();
    for racer in racers {
        won.extend(racer.await.unwrap());
    }
    assert_eq!(won.len(), 1);
    assert_eq!(house.check(&won[0].access_token), Err(Denied::Revoked(Kind::Family)));
}

#[tokio::test]
async fn a_code_of_another_client_stays_good_for_its_own() {
    let house = House::new();
    let code = house.code(&[("client_id", "web")]).await;
    let form = [("grant_type", "authorization_code"), ("code", &code), ("code_verifier", VERIFIER)];
    assert_eq!(house.by("old", &form).await.unwrap_err().code, Code::InvalidGrant);
    let reply = house.redeem(&code).await.unwrap();
    assert!(house.by("old", &form).await.is_err());
    house.claims(&reply.access_token);
}

#[tokio::test]
async fn a_named_redirect_is_repeated() {
    let house = House::new();
    let named = [("client_id", "web"), ("redirect_uri", "https://app.example/cb")];
    let code = house.code(&named).await;
    let form = [("grant_type", "authorization_code"), ("code", &code), ("code_verifier", VERIFIER)];
    for redirect in [None, Some("https://app.example/cb/"), Some("https://evil.example/cb")] {
        let form: Vec<_> = form.into_iter().chain(redirect.map(|uri| ("redirect_uri", uri))).collect();
        assert_eq!(house.by("web", &form).await.unwrap_err().code, Code::InvalidGrant, "{redirect:?}");
    }
    let alias = [&form[..], &[("callback_url", "https://app.example/cb")]].concat();
    assert!(house.by("web", &alias).await.is_ok());
    let code = house.code(&named[..1]).await;
    assert!(house.redeem(&code).await.is_ok(), "not named then, not needed now");
}

#[tokio::test]
async fn a_code_lives_for_a_minute() {
    let house = House::new();
    let (early, late) =
        (house.code(&[("client_id", "web")]).await, house.code(&[("client_id", "web")]).await);
    house.wait(59);
    assert!(house.redeem(&early).await.is_ok());
    house.wait(1);
    assert_eq!(house.redeem(&late).await.unwrap_err().code, Code::InvalidGrant);
    assert_eq!(house.redeem("a-code-nobody-made").await.unwrap_err().code, Code::InvalidGrant);
}

#[tokio::test]
async fn a_code_dies_with_what_it_stood_for() {
    let scopes = [
        (Scope::Subject, "UserAdaAAA"),
        (Scope::Client, "web"),
        (Scope::Organization, ACME),
        (Scope::Everything, ""),
    ];
    for (scope, id) in scopes {
        let house = House::new();
        let code = house.code(&[("client_id", "web")]).await;
        house.raise(scope, id).await;
        assert_eq!(house.redeem(&code).await.unwrap_err().code, Code::InvalidGrant, "{scope:?}");
        house.ada().await;
    }
    let house = House::new();
    let code = house.code(&[("client_id", "web")]).await;
    house.memory.change_person("UserAdaAAA", |person| person.disabled = true);
    assert_eq!(house.redeem(&code).await.unwrap_err().code, Code::InvalidGrant);
    house.memory.change_person("UserAdaAAA", |person| person.disabled = false);
    house.memory.change_memberships(|places| places.iter_mut().for_each(|place| place.active = false));
    assert_eq!(house.redeem(&code).await.unwrap_err().code, Code::InvalidGrant);
}
