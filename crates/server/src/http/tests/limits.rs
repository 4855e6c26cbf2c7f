//! Limits as a caller sees them: the status, the headers and the bodies.

use portcullis_authority::limits::Allowance;

use super::*;

const FEW: Allowance = Allowance::new(3, 60);

fn house_that_allows(
    change: impl FnOnce(&mut crate::settings::Limits),
) -> (web::Data<House>, Arc<MovableClock>) {
    let mut settings = settings();
    change(&mut settings.limits);
    house_with(settings, NOW)
}

fn guest() -> TestRequest {
    post("/oauth/token", "grant_type=client_credentials&client_id=shop")
}

#[actix_web::test]
async fn each_answer_says_where_the_caller_stands_and_the_last_one_when_to_come_again() {
    let (house, clock) = house_that_allows(|limits| limits.address = FEW);
    for left in ["2", "1", "0"] {
        let seen = call(&house, guest()).await;
        assert_eq!((seen.status, seen.header("x-ratelimit-remaining")), (200, left));
        assert_eq!((seen.header("x-ratelimit-limit"), seen.header("x-ratelimit-interval")), ("3", "60"));
        assert_eq!(seen.header("retry-after"), "");
    }
    let seen = call(&house, guest()).await;
    assert_eq!((seen.status, seen.header("retry-after")), (429, "20"));
    assert_eq!((seen.header("x-ratelimit-limit"), seen.header("x-ratelimit-remaining")), ("3", "0"));
    let body = seen.json();
    assert_eq!(body["error"], "too_many_requests");
    assert_eq!(
        (&body["errors"]["status"], &body["errors"]["code"]),
        (&json!(429), &json!("TOO_MANY_REQUESTS"))
    );
    clock.advance(19);
    assert_eq!(call(&house, guest()).await.status, 429);
    clock.advance(1);
    assert_eq!(call(&house, guest()).await.status, 200);
}

#[actix_web::test]
async fn a_client_with_a_secret_stands_by_itself_and_shows_it_to_nobody_else() {
    let (house, _) = house_that_allows(|limits| {
        limits.address = Allowance::new(50, 60);
        limits.client = Allowance::new(2, 60);
    });
    let seen = call(&house, ask_token("robot")).await;
    assert_eq!(
        (seen.status, seen.header("x-ratelimit-limit"), seen.header("x-ratelimit-remaining")),
        (200, "2", "1")
    );
    let wrong = post("/oauth/token", "grant_type=client_credentials&client_id=robot&client_secret=wrong");
    let seen = call(&house, wrong).await;
    assert_eq!(
        (seen.status, seen.header("x-ratelimit-limit"), seen.header("x-ratelimit-remaining")),
        (401, "50", "47")
    );
    assert_eq!(call(&house, ask_token("robot")).await.status, 200);
    assert_eq!(call(&house, ask_token("robot")).await.status, 429);
    assert_eq!(call(&house, ask_token("me")).await.status, 200);
}

#[actix_web::test]
async fn a_person_who_tried_too_often_sees_a_page_and_the_device_is_remembered() {
    let (house, _) = house_that_allows(|limits| limits.passwords = FEW);
    let page = call(&house, authorize("web", "")).await;
    let key = page.cookies[0].clone();
    let sign_in = async |password: &str, device: Option<&Cookie<'static>>| {
        let form = format!("form={}&username=ann%40example.com&password={password}", page.form());
        let request = post("/oauth/authorize/sign-in", &form).cookie(key.clone());
        call(&house, device.into_iter().fold(request, |request, device| request.cookie(device.clone()))).await
    };
    let seen = sign_in("right", None).await;
    assert_eq!(seen.status, 303);
    let device = seen.cookies.iter().find(|cookie| cookie.name() == "__Host-portcullis-device").unwrap();
    assert_eq!(device.max_age().map(|age| age.whole_days()), Some(180));
    assert!(device.http_only() == Some(true) && device.secure() == Some(true));
    for _ in 0..3 {
        assert_eq!(sign_in("wrong", None).await.status, 200);
    }
    let seen = sign_in("right", None).await;
    assert_eq!((seen.status, seen.header("retry-after")), (429, "20"));
    assert!(seen.header("content-type").starts_with("text/html") && seen.body.contains("Not so fast"));
    assert_eq!(sign_in("right", Some(device)).await.status, 303);
}

#[actix_web::test]
async fn opening_the_sign_in_page_is_counted_too() {
    let (house, _) = house_that_allows(|limits| limits.address = FEW);
    for _ in 0..3 {
        assert_eq!(call(&house, authorize("web", "&prompt=none")).await.status, 303);
    }
    assert_eq!(call(&house, authorize("web", "&prompt=none")).await.status, 429);
}

#[actix_web::test]
async fn a_guards_secret_is_not_guessed_either() {
    let (house, _) = house_that_allows(|limits| limits.guesses = FEW);
    let ask = |secret: &str| {
        let basic = format!("Basic {}", STANDARD.encode(format!("g1:{secret}")));
        get("/feed/guards").insert_header((header::AUTHORIZATION, basic))
    };
    for _ in 0..3 {
        assert_eq!(call(&house, ask("wrong")).await.status, 401);
    }
    assert_eq!(call(&house, ask("hush")).await.status, 429);
    let introspect = post("/oauth/introspect", "token=x&client_id=g1&client_secret=hush");
    assert_eq!(call(&house, introspect).await.status, 429);
}

#[actix_web::test]
async fn introspection_has_a_limit_of_its_own() {
    let (house, _) = house_that_allows(|limits| limits.introspection = FEW);
    let ask = || post("/oauth/introspect", "token=x.y.z&client_id=robot&client_secret=hush");
    for _ in 0..3 {
        assert_eq!(call(&house, ask()).await.status, 200);
    }
    assert_eq!(call(&house, ask()).await.status, 429);
    assert_eq!(call(&house, ask_token("robot")).await.status, 200);
}

#[actix_web::test]
async fn a_limit_that_is_off_says_nothing() {
    let (house, _) = house_that_allows(|limits| limits.address = Allowance::new(0, 60));
    for _ in 0..1000 {
        let seen = call(&house, guest()).await;
        assert_eq!((seen.status, seen.header("x-ratelimit-limit")), (200, ""));
    }
}

#[actix_web::test]
async fn a_visitor_that_the_backend_does_not_vouch_for_is_not_heard() {
    let (house, _) = house_that_allows(|limits| limits.address = FEW);
    for visitor in 0..3 {
        let ask = guest()
            .insert_header(("x-true-client-ip", format!("203.0.113.{visitor}")))
            .insert_header(("x-backend-auth", "guessed"));
        assert_eq!(call(&house, ask).await.status, 200);
    }
    let ask = guest().insert_header(("x-true-client-ip", "203.0.113.9"));
    assert_eq!(call(&house, ask).await.status, 429);
}

#[actix_web::test]
async fn a_shop_that_renders_on_its_server_is_counted_by_its_visitors() {
    let (house, _) = house_that_allows(|limits| limits.address = FEW);
    let ask = |visitor: &str, key: &str| {
        post("/oauth/token", "grant_type=client_credentials&client_id=rendered")
            .insert_header(("x-true-client-ip", visitor.to_owned()))
            .insert_header(("x-backend-auth", key.to_owned()))
    };
    for visitor in 0..20 {
        let seen = call(&house, ask(&format!("203.0.113.{visitor}"), "the-key")).await;
        assert_eq!((seen.status, seen.header("x-ratelimit-remaining")), (200, "2"));
    }
    for _ in 0..2 {
        assert_eq!(call(&house, ask("203.0.113.0", "the-key")).await.status, 200);
    }
    assert_eq!(call(&house, ask("203.0.113.0", "the-key")).await.status, 429);
    assert_eq!(call(&house, ask("203.0.113.1", "the-key")).await.status, 200);
}
