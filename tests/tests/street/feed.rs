//! The shop's guard and its feed: what it does before it has heard anything, when it hears nothing any
//! more, and who else may listen.

use std::time::{Duration, Instant};

use portcullis_guard::OnStale;
use portcullis_tests::client::{BACKEND, STOREFRONT};
use portcullis_tests::ground::say;
use portcullis_tests::shopfront::Shopfront;
use portcullis_tests::street::{no, walker};
use portcullis_tests::town::FEED;
use portcullis_tests::{Answer, Ground, Town};

pub async fn a_shop_that_never_heard_the_feed_serves_nobody(ground: &Ground) {
    let mut town = Town::open(ground).await;
    let token = town.client_token(&BACKEND).await;
    // Nobody listens on this port: the guard has no keys and no feed.
    let deaf = Shopfront::open(town.issuer(), "http://127.0.0.1:1", FEED, &town.clock);
    let at = |path: &str| walker().get(format!("http://{}{path}", deaf.address)).bearer_auth(&token);
    let seen = Answer::to(at("/api/skus")).await;
    assert!(matches!(seen.status, 401 | 503), "{seen:?}");
    Answer::to(at("/readyz")).await.with_status(503);
    Answer::to(at("/healthz")).await.with_status(204);
    // One that hears is cold at first and then complete; it never serves what was ended before.
    town.revoke(&BACKEND, &token).await.with_status(200);
    town.open_shop();
    let began = Instant::now();
    let live = town.client_token(&BACKEND).await;
    while town.shop("/api/skus", &live).await.status != 200 {
        assert_ne!(town.shop("/api/skus", &token).await.status, 200, "a cold guard accepts nothing");
        assert!(began.elapsed() < Duration::from_secs(10), "the shop does not open");
    }
    town.shop("/api/skus", &token).await.with_status(401);
    say(&format!("street: a new shop served its first customer after {:?}", began.elapsed()));
}

pub async fn a_shop_that_lost_the_server_closes_at_its_bound_and_opens_again(ground: &Ground) {
    let mut town = Town::open_with_shop(ground).await;
    let token = town.client_token(&BACKEND).await;
    town.shop("/api/skus", &token).await.with_status(200);
    let lost = Instant::now();
    town.stop();
    let closed = loop {
        let seen = town.shop("/api/skus", &token).await;
        match seen.status {
            200 => assert!(lost.elapsed() < Duration::from_secs(12), "served after its bound"),
            503 => break seen,
            _ => panic!("a good token that cannot be judged is no bad token: {seen:?}"),
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    };
    say(&format!("street: a shop without its server closed after {:?}", lost.elapsed()));
    assert!(lost.elapsed() > Duration::from_secs(5), "it closed long before its bound");
    assert_eq!((closed.header("retry-after"), closed.header("www-authenticate")), ("2", ""));
    assert_eq!(closed.json()["errors"][0]["code"], "SERVICE_UNAVAILABLE");
    let ready = town.at_shop(reqwest::Method::GET, "/readyz", "");
    Answer::to(ready).await.with_status(503);
    town.start_again();
    let back = Instant::now();
    while town.shop("/api/skus", &token).await.status != 200 {
        assert!(back.elapsed() < Duration::from_secs(10), "the shop does not open again");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    say(&format!("street: it opened again {:?} after its server came back", back.elapsed()));
    town.revoke(&BACKEND, &token).await.with_status(200);
    town.until_shop_refuses(&token).await;
}

pub async fn a_shop_that_lost_the_feed_asks_the_issuer_where_it_may(ground: &Ground) {
    let town = Town::open(ground).await;
    let ask = OnStale::Introspect { timeout: Duration::from_secs(5) };
    let mut shop = Shopfront::open_with(town.issuer(), town.issuer(), FEED, &town.clock, ask);
    shop.wait_until_ready();
    let (token, known) = (town.client_token(&BACKEND).await, town.client_token(&BACKEND).await);
    let address = shop.address;
    let at = async |path: &str, token: &str| {
        Answer::to(walker().get(format!("http://{address}{path}")).bearer_auth(token)).await
    };
    // One was ended while the feed was heard, so nobody need be asked about it.
    town.revoke(&BACKEND, &known).await.with_status(200);
    while at("/api/skus", &known).await.status == 200 {}
    shop.lose_the_feed();
    let lost = Instant::now();
    while at("/api/orders", &token).await.status == 200 {
        assert!(lost.elapsed() < Duration::from_secs(15), "served after its bound");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    at("/api/orders", &token).await.with_status(503);
    at("/api/skus", &token).await.with_status(200);
    let seen = at("/api/skus", &known).await.with_status(401);
    assert!(seen.body.contains("revoked"), "{seen:?}");
    town.revoke(&BACKEND, &token).await.with_status(200);
    let ended = Instant::now();
    while at("/api/skus", &token).await.status == 200 {
        assert!(ended.elapsed() < Duration::from_secs(2), "an answer counts for a second");
    }
    at("/api/skus", &token).await.with_status(401);
    at("/api/orders", &token).await.with_status(401);
    let page = at("/metrics", "").await.with_status(200).body;
    for line in [
        "state{state=\"stale\"} 1\n",
        "introspections_total{outcome=\"inactive\"} 1\n",
        "stale_checks_total{policy=\"allow_up_to\",outcome=\"accepted\"} 0\n",
    ] {
        assert!(page.contains(&format!("portcullis_guard_{line}")), "{line}{page}");
    }
}

pub async fn the_feed_is_for_guards_alone(ground: &Ground) {
    let town = Town::open(ground).await;
    let paths = [
        "/revocations/live:eu1/manifest",
        "/revocations/live:eu1/segments/AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA",
        "/revocations/live:eu1/tail?after=1.0&wait=0",
        "/revocations/live:eu1/stream",
        "/policy/AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA",
        "/feed/guards",
    ];
    let token = town.client_token(&BACKEND).await;
    for path in paths {
        let strangers = [
            town.get(path),
            town.get(path).basic_auth("shop", Some("hush-wrong")),
            town.get(path).basic_auth("backend", Some("hush-backend")),
            town.get(path).basic_auth("stranger", Some("hush-guard")),
            town.get(path).bearer_auth(&token),
        ];
        for request in strangers {
            let seen = Answer::to(request).await;
            assert_eq!(seen.refusal(), no(401, "invalid_client"), "{path}");
        }
    }
    let guard = |path: &str| town.get(path).basic_auth("shop", Some("hush-guard"));
    Answer::to(guard(paths[0])).await.with_status(200);
    Answer::to(guard("/revocations/live:mars/manifest")).await.with_status(404);
    Answer::to(guard(paths[1])).await.with_status(404);
    let report = town.post("/guards/report").json(&serde_json::json!({ "guard": "x" }));
    Answer::to(report).await.with_status(401);
    // Keys and time are for everybody.
    for path in ["/.well-known/rv-jwks.json", "/revocations/time", "/.well-known/jwks.json"] {
        let seen = Answer::to(town.get(path)).await.with_status(200);
        assert!(!seen.body.contains("\"d\""), "{path}");
    }
}

pub async fn a_guard_that_lies_is_refused_and_delays_one_receipt_at_most(ground: &Ground) {
    let town = Town::open_with_shop(ground).await;
    town.until_shop_has_reported().await;
    let report = |instance: &str, seq: u64, as_of: u64| {
        let body = serde_json::json!({
            "guard": instance, "feed": "live:eu1", "epoch": 1, "seq": seq, "as_of": as_of,
        });
        Answer::to(town.post("/guards/report").basic_auth("shop", Some("hush-guard")).json(&body))
    };
    let now = town.now() * 1000;
    assert_eq!(report("boast", 1_000_000, now).await.refusal(), no(409, "conflict"));
    assert_eq!(report("prophet", 1, now + 3_600_000).await.refusal(), no(409, "conflict"));
    assert_eq!(town.guards().await["guards"].as_array().map(Vec::len), Some(1), "neither is shown");

    // Each server finds out for itself whom it waits for in vain.
    let servers = ground.servers();
    let mut waited = Vec::new();
    for _ in 0..servers + 2 {
        report("laggard", 1, town.now() * 1000).await.with_status(200);
        let token = town.client_token(&BACKEND).await;
        let asked =
            town.post("/oauth/revoke").header("prefer", "wait=2").form(&BACKEND.form(&[("token", &token)]));
        let began = Instant::now();
        Answer::to(asked).await.with_status(200);
        waited.push(began.elapsed());
    }
    assert!(waited[0] >= Duration::from_secs(2), "nobody knew yet: {waited:?}");
    assert!(waited[servers..].iter().all(|wait| *wait < Duration::from_millis(1500)), "{waited:?}");
}

pub async fn a_question_for_the_tail_is_a_report_as_well(ground: &Ground) {
    let town = Town::open(ground).await;
    let head = town.guards().await["head"].as_str().expect("a position").to_owned();
    let ask = async |said: &str| {
        let path = format!("/revocations/live:eu1/tail?after={head}&wait=0{said}");
        Answer::to(town.get(&path).basic_auth("shop", Some("hush-guard"))).await.with_status(200)
    };
    let now = town.now() * 1000;
    assert_eq!(ask("").await.header("guard-report"), "", "nothing was said");
    for lie in [
        format!("&guard=boast&at=1.1000000&as_of={now}"),
        format!("&guard=prophet&at={head}&as_of={}", now + 3_600_000),
        format!("&guard=mumble&at=here&as_of={now}"),
    ] {
        assert_eq!(ask(&lie).await.header("guard-report"), "", "{lie}");
    }
    let said = format!("&guard=till%2F7&at={head}&as_of={now}&version=9.9");
    assert_eq!(ask(&said).await.header("guard-report"), "taken");
    // Who lies is not shown.
    let guards = town.until_guards(|guards| guards.as_array().map(Vec::len) == Some(1)).await;
    let one = &guards[0];
    assert_eq!(
        (one["guard"].as_str(), one["position"].as_str(), one["version"].as_str()),
        (Some("shop/till/7"), Some(head.as_str()), Some("9.9"))
    );
    let stranger = town.get(&format!("/revocations/live:eu1/tail?after={head}&wait=0{said}"));
    Answer::to(stranger.basic_auth("shop", Some("hush-wrong"))).await.with_status(401);
}

pub async fn of_two_servers_each_hears_what_the_other_ends(ground: &Ground) {
    let mut town = Town::open_with_shop(ground).await;
    let other = town.open_neighbour();
    let at = |path: &str, form: &[(&str, &str)]| walker().post(format!("{other}{path}")).form(form);
    for round in 0..5 {
        let login = town.jane(&STOREFRONT).await;
        let (access, refresh) = (login.access_token(), login.refresh_token());
        let seen = at("/oauth/introspect", &BACKEND.form(&[("token", &access)]));
        assert_eq!(Answer::to(seen).await.json()["active"], true, "what one issues the other knows");
        let began = Instant::now();
        let revoked = at("/oauth/revoke", &STOREFRONT.form(&[("token", &refresh)]));
        Answer::to(revoked).await.with_status(200);
        // The books are the same, so a refresh is refused at once, wherever.
        assert_eq!(town.refresh(&STOREFRONT, &refresh).await.refusal(), no(400, "invalid_grant"));
        let shop = town.until_shop_refuses(&access).await;
        while town.is_active(&access).await {
            assert!(began.elapsed() < Duration::from_secs(2), "the first server does not hear");
        }
        say(&format!(
            "street: revoked at a second server, refused at the shop after {shop:?} (round {round})"
        ));
        assert!(shop < Duration::from_secs(2), "{shop:?}");
    }
}
