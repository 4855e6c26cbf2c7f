//! The door itself: forms of asking, what is refused before the protocol, other origins, old hosts.

use std::time::Duration;

use portcullis::settings::Day;
use portcullis_tests::client::{BACKEND, STOREFRONT, claims_of};
use portcullis_tests::street::no;
use portcullis_tests::town::OLD_HOSTS_END;
use portcullis_tests::{Answer, Ground, Town};
use reqwest::Method;
use serde_json::{Value, json};

pub async fn a_token_can_be_asked_for_in_every_form(ground: &Ground) {
    let town = Town::open(ground).await;
    let ask = || town.post("/oauth/token");
    let flat = json!({ "grant_type": "client_credentials", "client_id": "backend", "client_secret": "hush-backend",
        "debug": { "logLevel": "info" }, "scopes": ["market:all"], "domain": "town.test" });
    let resource = json!({ "data": { "type": "tokens", "attributes": flat } });
    let basic_only =
        ask().header("authorization", BACKEND.basic()).form(&[("grant_type", "client_credentials")]);
    let named_twice = ask()
        .header("authorization", BACKEND.basic())
        .form(&[("grant_type", "client_credentials"), ("client_id", "backend")]);
    for request in [
        ask().form(&BACKEND.form(&[("grant_type", "client_credentials")])),
        ask().json(&flat),
        ask().header("content-type", "application/json; charset=utf-8").body(flat.to_string()),
        ask().header("content-type", "application/vnd.api+json").body(flat.to_string()),
        ask().header("content-type", "application/vnd.api+json").body(resource.to_string()),
        basic_only,
        named_twice,
        ask().header("authorization", BACKEND.basic()).json(&json!({ "grant_type": "client_credentials" })),
    ] {
        let answer = Answer::to(request).await.with_status(200);
        assert_eq!(claims_of(&answer.access_token())["client_id"], "backend");
        assert_eq!(answer.header("content-type"), "application/json");
    }
}

pub async fn a_client_authenticates_once_and_in_one_way(ground: &Ground) {
    let town = Town::open(ground).await;
    let basic = || town.post("/oauth/token").header("authorization", BACKEND.basic());
    let grant = ("grant_type", "client_credentials");
    for request in [
        basic().form(&BACKEND.form(&[grant])),
        basic().form(&[grant, ("client_id", "helper")]),
        basic().header("authorization", BACKEND.basic()).form(&[grant]),
        town.post("/oauth/token").header("authorization", "Bearer x").form(&[grant]),
        town.post("/oauth/token").header("authorization", "Basic %%%").form(&[grant]),
        town.post("/oauth/token").header("authorization", "Basic").form(&[grant]),
        basic().form(&[grant, grant]),
        basic().header("content-type", "text/plain").body("grant_type=client_credentials"),
        basic()
            .header("content-type", "application/json")
            .body("{\"grant_type\":\"a\",\"grant_type\":\"b\"}"),
        basic().header("content-type", "application/json").body("[]"),
        basic().header("content-type", "application/json").body("{"),
        basic().header("content-type", "application/x-www-form-urlencoded").body(vec![0xff, 0xfe]),
    ] {
        assert_eq!(Answer::to(request).await.refusal(), no(400, "invalid_request"));
    }
    let nobody = Answer::to(town.post("/oauth/token").form(&[grant])).await;
    assert_eq!(nobody.refusal(), no(401, "invalid_client"));
}

pub async fn no_secret_travels_in_a_query(ground: &Ground) {
    let town = Town::open(ground).await;
    let token = town.client_token(&BACKEND).await;
    for secret in [
        "client_secret",
        "password",
        "refresh_token",
        "code",
        "assertion",
        "token",
        "subject_token",
        "actor_token",
        "client_assertion",
    ] {
        for path in ["/oauth/token", "/oauth/revoke", "/oauth/introspect"] {
            let form = BACKEND.form(&[("grant_type", "client_credentials"), ("token", &token)]);
            let asked = town.post(&format!("{path}?{secret}=hush-backend")).form(&form);
            let refused = Answer::to(asked).await;
            assert_eq!(refused.refusal(), no(400, "invalid_request"), "{path}?{secret}");
            assert!(!refused.body.contains("hush-backend"));
        }
    }
    assert!(town.is_active(&token).await, "a revocation that was refused ends nothing");
    let all = "/oauth/token?grant_type=client_credentials&client_id=backend&client_secret=hush-backend";
    assert_eq!(Answer::to(town.post(all)).await.refusal(), no(400, "invalid_request"));
    let escaped = "/oauth/token?client%5Fsecret=hush-backend";
    assert_eq!(Answer::to(town.post(escaped)).await.refusal(), no(400, "invalid_request"));
}

pub async fn what_is_not_understood_is_answered_in_json(ground: &Ground) {
    let town = Town::open(ground).await;
    let form = "application/x-www-form-urlencoded";
    let big = || vec![b'x'; 65 * 1024];
    let cases = [
        (town.get("/nowhere"), 404),
        (town.get("/oauth"), 404),
        (town.get("/oauth/token/"), 404),
        (town.get("//oauth/token"), 404),
        (town.get("/.well-known/../oauth/token"), 405),
        (town.get("/oauth/token"), 405),
        (town.request(Method::DELETE, "/oauth/revoke"), 405),
        (town.post("/.well-known/jwks.json"), 405),
        (town.post("/oauth/token").header("content-type", form).body(big()), 413),
        (town.post("/oauth/revoke").header("content-type", "application/json").body(big()), 413),
        (town.post("/oauth/introspect").header("content-type", form).body(big()), 413),
        (
            town.post("/guards/report")
                .basic_auth("shop", Some("hush-guard"))
                .header("content-type", "application/json")
                .body(big()),
            413,
        ),
        (town.post("/oauth/token"), 400),
        (town.get("/revocations/live:eu1/tail").basic_auth("shop", Some("hush-guard")), 400),
    ];
    for (request, status) in cases {
        let what = format!("{request:?}");
        let seen = Answer::to(request).await;
        assert_eq!((seen.status, seen.header("content-type")), (status, "application/json"), "{what}");
        let body = seen.json();
        assert_eq!(body["errors"][0]["status"], status, "{what}");
        assert_eq!(body["error"], body["errors"][0]["title"], "both languages say the same");
        assert_eq!(seen.header("x-content-type-options"), "nosniff");
        assert!(!seen.header("x-request-id").is_empty());
    }
    // A body that is promised and does not come holds the connection for so long and no longer.
    let slow =
        town.post("/oauth/token").header("content-length", "100").timeout(Duration::from_secs(1)).body("x");
    assert!(Answer::try_to(slow).await.is_none_or(|seen| seen.status == 400));
    Answer::to(town.get("/readyz")).await.with_status(200);
}

pub async fn a_page_of_an_application_may_call_from_its_own_origin(ground: &Ground) {
    let town = Town::open(ground).await;
    let preflight = |path: &str, origin: &'static str| {
        let asked = town.request(Method::OPTIONS, path).header("origin", origin);
        asked
            .header("access-control-request-method", "POST")
            .header("access-control-request-headers", "content-type,x-true-client-ip")
    };
    for path in ["/oauth/token", "/oauth/revoke"] {
        let seen = Answer::to(preflight(path, "https://shop.example")).await.with_status(204);
        assert_eq!(seen.header("access-control-allow-origin"), "https://shop.example");
        assert_eq!(seen.header("access-control-allow-methods"), "POST");
        assert!(seen.header("access-control-allow-headers").contains("x-true-client-ip"));
        assert_eq!(seen.header("access-control-allow-credentials"), "");
        assert!(seen.header("vary").to_ascii_lowercase().contains("origin"));
        for origin in ["https://evil.example", "null", "http://shop.example", "https://shop.example:8443"] {
            let seen = Answer::to(preflight(path, origin)).await;
            assert_eq!(seen.header("access-control-allow-origin"), "", "{origin}");
        }
    }
    for path in ["/oauth/introspect", "/oauth/authorize", "/oauth/authorize/consent", "/feed/guards"] {
        let seen = Answer::to(preflight(path, "https://shop.example")).await;
        assert_eq!(seen.header("access-control-allow-origin"), "", "{path}");
    }
    let from = |client: &portcullis_tests::Client, origin: &'static str| {
        let form = client.form(&[("grant_type", "client_credentials")]);
        town.post("/oauth/token").header("origin", origin).form(&form)
    };
    let seen = Answer::to(from(&STOREFRONT, "https://shop.example")).await.with_status(200);
    assert_eq!(seen.header("access-control-allow-origin"), "https://shop.example");
    // An application that lists nothing is called by no page.
    let seen = Answer::to(from(&BACKEND, "https://shop.example")).await.with_status(200);
    assert_eq!(seen.header("access-control-allow-origin"), "");
    let seen = Answer::to(from(&STOREFRONT, "https://evil.example")).await.with_status(200);
    assert_eq!(seen.header("access-control-allow-origin"), "");
}

pub async fn the_old_host_of_an_organization_answers_until_its_day(ground: &Ground) {
    let town = Town::open(ground).await;
    let ask = |host: &'static str| {
        let form = BACKEND.form(&[("grant_type", "client_credentials")]);
        town.post("/oauth/token").header("host", host).form(&form)
    };
    let seen = Answer::to(ask("acme.town.test")).await.with_status(200);
    assert!(seen.header("deprecation").starts_with('@'), "RFC 9745");
    assert!(seen.header("sunset").contains(&OLD_HOSTS_END.to_string()), "RFC 8594");
    assert_eq!(claims_of(&seen.access_token())["iss"], town.issuer());
    for host in ["nobody.town.test", "acme.elsewhere.test", "a.acme.town.test"] {
        assert_eq!(Answer::to(ask(host)).await.with_status(200).header("deprecation"), "", "{host}");
    }
    let over = Town::open_with(ground, |settings| settings.legacy.until = Some(Day::of(2026, 1, 1))).await;
    let form = BACKEND.form(&[("grant_type", "client_credentials")]);
    let seen = Answer::to(over.post("/oauth/token").header("host", "acme.town.test").form(&form)).await;
    assert_eq!(seen.refusal(), no(400, "invalid_request"));
    over.client_token(&BACKEND).await;
}

pub async fn the_issuer_never_comes_from_a_request(ground: &Ground) {
    let town = Town::open(ground).await;
    for header in ["host", "x-forwarded-host", "x-original-host", "x-host", "forwarded"] {
        let value = if header == "forwarded" { "host=evil.example;proto=https" } else { "evil.example" };
        for path in ["/.well-known/oauth-authorization-server", "/.well-known/jwks.json", "/"] {
            let seen = Answer::to(town.get(path).header(header, value)).await.with_status(200);
            assert!(!seen.body.contains("evil.example"), "{header} {path}");
        }
        let form = BACKEND.form(&[("grant_type", "client_credentials")]);
        let seen = Answer::to(town.post("/oauth/token").header(header, value).form(&form)).await;
        assert_eq!(claims_of(&seen.with_status(200).access_token())["iss"], town.issuer());
    }
}

pub async fn the_metadata_names_addresses_that_answer(ground: &Ground) {
    let town = Town::open(ground).await;
    let metadata =
        Answer::to(town.get("/.well-known/oauth-authorization-server")).await.with_status(200).json();
    assert_eq!(metadata["issuer"], town.issuer(), "RFC 8414 section 3.3");
    let at = |name: &str| {
        let address = metadata[name].as_str().unwrap_or_else(|| panic!("{name} is missing"));
        address.strip_prefix(town.issuer()).expect("our own address").to_owned()
    };
    Answer::to(town.get(&at("jwks_uri"))).await.with_status(200);
    Answer::to(town.get(&at("authorization_endpoint"))).await.with_status(400);
    for name in ["token_endpoint", "revocation_endpoint", "introspection_endpoint"] {
        let seen = Answer::to(town.post(&at(name))).await;
        assert!(matches!(seen.status, 400 | 401 | 403), "{name}: {seen:?}");
    }
    for grant in metadata["grant_types_supported"].as_array().expect("a list") {
        let refused = town.token(&BACKEND, grant.as_str().expect("a name"), &[]).await;
        assert_ne!(refused.json()["error"], "unsupported_grant_type", "{grant}");
    }
    let keys = Answer::to(town.get("/.well-known/jwks.json")).await.with_status(200).json();
    let token = town.client_token(&BACKEND).await;
    let header = token.split('.').next().expect("a header");
    let header: Value = serde_json::from_slice(&base64(header)).expect("JSON");
    assert_eq!((&header["typ"], &header["alg"]), (&json!("at+jwt"), &json!("ES256")));
    let listed = keys["keys"].as_array().expect("a key set");
    assert!(listed.iter().any(|key| key["kid"] == header["kid"] && key["use"] == "sig"));
    assert!(listed.iter().all(|key| key.get("d").is_none()));
}

fn base64(text: &str) -> Vec<u8> {
    use base64::Engine as _;
    base64::engine::general_purpose::URL_SAFE_NO_PAD.decode(text).expect("base64url")
}
