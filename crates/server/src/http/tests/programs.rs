//! What programs are told, and the pages of applications in a browser.

use super::*;

#[actix_web::test]
async fn a_token_answer_has_exactly_the_documented_members() {
    let (house, _) = house_at(NOW);
    let seen = call(&house, ask_token("robot")).await;
    assert_eq!(
        (seen.status, seen.header("cache-control"), seen.header("pragma")),
        (200, "no-store", "no-cache"),
        "{}",
        seen.body
    );
    let mut body = seen.json();
    body["access_token"] = "...".into();
    golden::compare("token", &body);
}

#[actix_web::test]
async fn every_answer_carries_the_security_headers_and_its_id() {
    let (house, _) = house_at(NOW);
    for request in [ask_token("robot"), post("/oauth/token", ""), get("/nowhere"), get("/")] {
        let seen = call(&house, request.insert_header(("x-request-id", "id-from-proxy"))).await;
        assert_eq!(seen.header("x-content-type-options"), "nosniff");
        assert_eq!(seen.header("referrer-policy"), "no-referrer");
        assert!(seen.header("strict-transport-security").starts_with("max-age="));
        assert_eq!(seen.header("x-request-id"), "id-from-proxy");
    }
    let plain = Settings { issuer: "http://127.0.0.1:8080".into(), ..settings() };
    let seen = call(&house_with(plain, NOW).0, get("/healthz")).await;
    assert_eq!(seen.header("strict-transport-security"), "");
    assert_eq!(seen.header("x-request-id").len(), 22);
}

#[actix_web::test]
async fn a_refused_client_is_told_how_to_prove_itself() {
    let (house, _) = house_at(NOW);
    let basic = format!("Basic {}", STANDARD.encode("robot:wrong"));
    let request = post("/oauth/token", "grant_type=client_credentials");
    let seen = call(&house, request.insert_header((header::AUTHORIZATION, basic))).await;
    assert_eq!((seen.status, seen.header("www-authenticate")), (401, "Basic realm=\"portcullis\""));
    assert_eq!(seen.json()["errors"][0]["title"], "invalid_client");
}

#[actix_web::test]
async fn revoking_answers_an_empty_object_and_the_place_in_the_feed() {
    let (house, _) = house_at(NOW);
    let token = call(&house, ask_token("robot")).await.json()["access_token"].clone();
    let body = format!("client_id=robot&client_secret=hush&token={}", token.as_str().unwrap());
    let seen = call(&house, post("/oauth/revoke", &body)).await;
    assert_eq!((seen.status, seen.body.as_str()), (200, "{}"));
    assert_eq!(seen.header("revocation-position"), format!("{} 1.1", house.hub.feed()));
    let seen = call(&house, post("/oauth/revoke", "token=x")).await;
    assert_eq!((seen.status, &seen.json()["errors"][0]["title"]), (403, &json!("unauthorized_client")));
}

#[actix_web::test]
async fn what_is_not_understood_is_refused_in_json() {
    let (house, _) = house_at(NOW);
    let cases = [
        (get("/nowhere"), 404),
        (get("/oauth/token"), 405),
        (TestRequest::delete().uri("/oauth/authorize"), 405),
        (post("/oauth/token", &"x".repeat(65 * 1024)), 413),
        (post("/oauth/token", "grant_type=a&grant_type=b"), 400),
        (post("/oauth/token?client_secret=hush", "grant_type=client_credentials"), 400),
        (post("/oauth/token", "").set_payload(vec![0xff, 0xfe]), 400),
        (ask_token("robot").append_header((header::CONTENT_TYPE, "text/plain")), 400),
    ];
    for (request, status) in cases {
        let seen = call(&house, request).await;
        assert_eq!((seen.status, seen.header("content-type")), (status, "application/json"));
        assert_eq!(seen.json()["errors"][0]["status"], status);
    }
}

#[actix_web::test]
async fn a_guard_is_refused_in_json_too() {
    let (house, _) = house_at(NOW);
    let guard = format!("Basic {}", STANDARD.encode("g1:hush"));
    let report = |body: &str| {
        TestRequest::post()
            .uri("/guards/report")
            .insert_header((header::CONTENT_TYPE, "application/json"))
            .set_payload(body.to_owned())
    };
    let cases = [
        (get("/revocations/test:eu1/tail?after=1.1&wait=soon"), 400),
        (report("{"), 400),
        (report(&format!("\"{}\"", "x".repeat(65 * 1024))), 413),
    ];
    for (request, status) in cases {
        let seen = call(&house, request.insert_header((header::AUTHORIZATION, guard.clone()))).await;
        assert_eq!((seen.status, &seen.json()["errors"][0]["status"]), (status, &json!(status)));
    }
    assert_eq!(call(&house, report("{}")).await.status, 401);
}

#[actix_web::test]
async fn pages_of_an_application_may_call_and_others_may_not() {
    let (house, _) = house_at(NOW);
    let from =
        |origin: &'static str, client_id: &str| ask_token(client_id).insert_header((header::ORIGIN, origin));
    let seen = call(&house, from("https://shop.example", "shop")).await;
    assert_eq!(seen.header("access-control-allow-origin"), "https://shop.example");
    assert_eq!(seen.header("access-control-allow-credentials"), "");
    for request in [from("https://evil.example", "shop"), from("https://shop.example", "robot")] {
        let seen = call(&house, request).await;
        assert_eq!((seen.status, seen.header("access-control-allow-origin")), (200, ""));
    }
    let preflight = TestRequest::with_uri("/oauth/revoke")
        .method(actix_web::http::Method::OPTIONS)
        .insert_header((header::ORIGIN, "https://shop.example"))
        .insert_header((header::ACCESS_CONTROL_REQUEST_HEADERS, "x-true-client-ip"));
    let seen = call(&house, preflight).await;
    assert_eq!(seen.status, 204);
    assert!(seen.header("access-control-allow-headers").contains("x-true-client-ip"));
}

#[actix_web::test]
async fn an_old_host_answers_with_its_end_in_sight_until_it_ends() {
    let (house, clock) = house_at(NOW);
    let old = || ask_token("robot").insert_header((header::HOST, "my-shop.cl.test:8443"));
    let seen = call(&house, old()).await;
    assert_eq!((seen.status, seen.header("deprecation")), (200, "@1730419200"));
    assert_eq!(seen.header("sunset"), "Wed, 31 Mar 2027 00:00:00 GMT");
    let seen = call(&house, ask_token("robot")).await;
    assert_eq!((seen.status, seen.header("deprecation")), (200, ""));
    clock.advance(Day::of(2027, 3, 31).start() - NOW);
    let seen = call(&house, old()).await;
    assert_eq!((seen.status, &seen.json()["error"]), (400, &json!("invalid_request")));
    assert_eq!(call(&house, ask_token("robot")).await.status, 200);
}

#[actix_web::test]
async fn public_documents_are_open_to_everybody_and_name_the_configured_issuer() {
    let (house, _) = house_at(NOW);
    let request = get("/.well-known/oauth-authorization-server");
    let request = request
        .insert_header((header::HOST, "evil.example"))
        .insert_header(("x-forwarded-host", "evil.example"));
    let seen = call(&house, request).await;
    assert_eq!(seen.header("access-control-allow-origin"), "*");
    golden::compare("metadata", &seen.json());
    let keys = call(&house, get("/.well-known/jwks.json")).await;
    assert_eq!((keys.status, keys.header("access-control-allow-origin")), (200, "*"));
    assert!(!keys.body.contains("\"d\""));
    assert_eq!(call(&house, get("/.well-known/openid-configuration")).await.status, 404);
}

#[actix_web::test]
async fn a_personal_token_reads_who_it_is_and_its_roles() {
    let (house, _) = house_at(NOW);
    let token = async |client_id: &str| {
        let answer = call(&house, ask_token(client_id)).await.json();
        format!("Bearer {}", answer["access_token"].as_str().unwrap())
    };
    let me = token("me").await;
    for (path, name) in [("/api/user", "api-user"), ("/api/roles", "api-roles")] {
        let seen = call(&house, get(path).insert_header((header::AUTHORIZATION, me.clone()))).await;
        assert_eq!((seen.status, seen.header("content-type")), (200, "application/vnd.api+json"));
        golden::compare(name, &seen.json());
        assert_eq!(call(&house, get(path)).await.status, 401);
    }
    let robot = token("robot").await;
    let seen = call(&house, get("/api/user").insert_header((header::AUTHORIZATION, robot))).await;
    assert_eq!(seen.status, 403);
}

#[actix_web::test]
async fn token_info_takes_a_bearer_token_and_nothing_else() {
    let (house, _) = house_at(NOW);
    let answer = call(&house, ask_token("robot")).await.json();
    let token = format!("Bearer {}", answer["access_token"].as_str().unwrap());
    let seen = call(&house, get("/oauth/tokeninfo").insert_header((header::AUTHORIZATION, token))).await;
    assert_eq!((seen.status, &seen.json()["application"]["kind"]), (200, &json!("integration")));
    let seen = call(&house, get("/oauth/tokeninfo?access_token=x")).await;
    assert_eq!((seen.status, &seen.json()["errors"][0]["code"]), (401, &json!("INVALID_TOKEN")));
    assert!(seen.header("www-authenticate").starts_with("Bearer "));
}

#[actix_web::test]
async fn introspection_needs_a_secret() {
    let (house, _) = house_at(NOW);
    let seen = call(&house, post("/oauth/introspect", "client_id=shop&token=x")).await;
    assert_eq!((seen.status, &seen.json()["error"]), (401, &json!("invalid_client")));
    let seen = call(&house, post("/oauth/introspect", "client_id=robot&client_secret=hush&token=x")).await;
    assert_eq!((seen.status, seen.json()), (200, json!({ "active": false })));
}

#[actix_web::test]
async fn health_says_little() {
    let (house, _) = house_at(NOW);
    assert_eq!(call(&house, get("/healthz")).await.body, "{\"status\":\"ok\"}");
    assert_eq!(call(&house, get("/readyz")).await.body, "{\"status\":\"ready\"}");
    let head = TestRequest::with_uri("/healthz").method(actix_web::http::Method::HEAD);
    assert_eq!(call(&house, head).await.status, 200);
}
