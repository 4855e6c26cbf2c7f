//! The real programs, started as an operator starts them, killed as a power cut kills them, and what they
//! leave behind in their logs.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use portcullis::testing::Scratch;
use portcullis_tests::ground::say;
use portcullis_tests::program::{command, shell};
use portcullis_tests::street::walker;
use portcullis_tests::{Answer, Program};

/// Everything public about the demo's backend.
const BACKEND: [(&str, &str); 2] = [("client_id", "demo-backend"), ("client_secret", "demo-backend-secret")];

/// The server, with a demo shop of its own in this folder.
pub fn serve(folder: &Scratch, port: u16, filter: &str) -> (Program, String) {
    let mut server = command("portcullis");
    server.args(["serve", "--demo"]).current_dir(folder.path());
    server.env("PORTCULLIS__ISSUER", format!("http://127.0.0.1:{port}"));
    server.env("PORTCULLIS__LISTEN__PORT", port.to_string()).env("PORTCULLIS__LOG__FILTER", filter);
    let program = Program::start(server);
    let line = program.wait_for("portcullis ready at ");
    let (_, rest) = line.split_once("(issuer ").expect("the line names the issuer");
    let issuer = rest.trim_end_matches(')').to_owned();
    (program, issuer)
}

pub fn open_shop(issuer: &str) -> (Program, String) {
    let mut shop = command("portcullis-shop");
    shop.args(["--listen", "127.0.0.1:0", "--issuer", issuer, "--environment", "test"]);
    shop.env("PORTCULLIS_GUARD_SECRET", "demo-guard-secret");
    let program = Program::start(shop);
    let line = program.wait_for("portcullis-shop ready at ");
    let rest = line.strip_prefix("portcullis-shop ready at ").expect("it begins so");
    let address = rest.split_whitespace().next().expect("an address").trim_end_matches(',').to_owned();
    (program, address)
}

pub async fn token(issuer: &str) -> String {
    let form = [BACKEND[0], BACKEND[1], ("grant_type", "client_credentials")];
    Answer::to(walker().post(format!("{issuer}/oauth/token")).form(&form))
        .await
        .with_status(200)
        .access_token()
}

async fn is_active(issuer: &str, token: &str) -> bool {
    let form = [BACKEND[0], BACKEND[1], ("token", token)];
    let seen = Answer::to(walker().post(format!("{issuer}/oauth/introspect")).form(&form)).await;
    seen.with_status(200).json()["active"] == true
}

async fn at_shop(shop: &str, token: &str) -> u16 {
    Answer::to(walker().get(format!("http://{shop}/api/orders")).bearer_auth(token)).await.status
}

/// Waits until the server counts the shop's guard among those whom a receipt speaks of.
pub async fn wait_until_reported(issuer: &str) {
    let began = Instant::now();
    let asked =
        || walker().get(format!("{issuer}/feed/guards")).basic_auth("shop", Some("demo-guard-secret"));
    while Answer::to(asked()).await.json()["guards"][0]["connected"] != true {
        assert!(began.elapsed() < Duration::from_secs(5), "the shop's guard does not report");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

pub async fn wait_until_open(shop: &str, token: &str) {
    let began = Instant::now();
    while at_shop(shop, token).await != 200 {
        assert!(began.elapsed() < Duration::from_secs(15), "the shop does not open");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_lines_that_the_demo_tells_to_paste_are_true() {
    let folder = Scratch::new();
    let (mut server, issuer) = serve(&folder, 0, "info");
    let (_shop, shop) = open_shop(&issuer);
    wait_until_open(&shop, &token(&issuer).await).await;
    // The last thing that it says; by then the lines are out.
    server.wait_for("curl -i -H");
    let said = server.said();
    let (_, lines) = said.split_once("In a third: ").expect("it says what to paste");
    let lines: Vec<_> = lines.lines().skip(1).filter(|line| line.starts_with("  ")).collect();
    let mut pasted = lines.join("\n").replace("127.0.0.1:8081", &shop);
    // A person is slower than the feed: a moment passes between revoking and trying again.
    pasted = pasted.replace("\n  curl -i -H", "\n  sleep 0.5; curl -i -H");
    let (done, printed) = shell(&pasted, folder.path(), &[]);
    assert!(done, "{printed}");
    let statuses: Vec<_> = printed.lines().filter_map(|line| line.strip_prefix("HTTP/1.1 ")).collect();
    let codes: Vec<_> = statuses.iter().map(|status| &status[..3]).collect();
    assert_eq!(codes, ["200", "200", "401"], "{printed}");
    assert!(printed.contains("INVALID_TOKEN"), "{printed}");
    assert!(server.terminate(), "SIGTERM ends it well");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_shop_that_does_not_hear_the_feed_says_what_to_look_at() {
    let (shop, _) = open_shop("http://127.0.0.1:1");
    let began = Instant::now();
    while !shop.said().contains("Does the server answer at http://127.0.0.1:1,") {
        assert!(began.elapsed() < Duration::from_secs(30), "it says nothing: {}", shop.said());
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    assert!(!shop.said().contains("demo-guard-secret"));
}

/// Revokes until somebody does not answer; gives the tokens whose end was answered.
async fn revoke_all(issuer: String, tokens: Vec<String>, so_far: Arc<AtomicUsize>) -> Vec<String> {
    let (http, mut answered) = (walker(), Vec::new());
    for token in tokens {
        let request = http.post(format!("{issuer}/oauth/revoke"));
        let request = request.form(&[BACKEND[0], BACKEND[1], ("token", &token)]);
        match Answer::try_to(request).await {
            Some(answer) => _ = answer.with_status(200),
            None => break,
        }
        answered.push(token);
        so_far.fetch_add(1, Ordering::SeqCst);
    }
    answered
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_answered_survives_a_kill_in_the_middle() {
    let folder = Scratch::new();
    let (mut server, issuer) = serve(&folder, 0, "info");
    let port = issuer.rsplit(':').next().and_then(|port| port.parse().ok()).expect("a port");
    let (_shop, shop) = open_shop(&issuer);
    let mut tokens = Vec::new();
    for _ in 0..160 {
        tokens.push(token(&issuer).await);
    }
    wait_until_open(&shop, &tokens[0]).await;
    // Four revoke one after another, until the server is killed under their hands.
    let so_far = Arc::new(AtomicUsize::new(0));
    let revokers: Vec<_> = tokens
        .chunks(40)
        .map(|tokens| tokio::spawn(revoke_all(issuer.clone(), tokens.to_vec(), so_far.clone())))
        .collect();
    let began = Instant::now();
    while so_far.load(Ordering::SeqCst) < 40 {
        assert!(began.elapsed() < Duration::from_secs(20), "no revocation is answered");
        tokio::time::sleep(Duration::from_micros(100)).await;
    }
    server.kill();
    let mut answered = BTreeSet::new();
    for revoker in revokers {
        answered.extend(revoker.await.expect("it ends"));
    }
    assert!(answered.len() < tokens.len(), "the kill came too late to be in the middle");
    let (_server, again) = serve(&folder, port, "info");
    assert_eq!(again, issuer);
    let mut alive = 0;
    for token in &tokens {
        match is_active(&issuer, token).await {
            true => {
                assert!(!answered.contains(token), "a revocation that was answered 200 is lost");
                alive += 1;
            }
            false => assert_ne!(at_shop(&shop, token).await, 200, "the shop serves what is dead"),
        }
    }
    let fresh = token(&issuer).await;
    wait_until_open(&shop, &fresh).await;
    for token in &answered {
        assert_eq!(at_shop(&shop, token).await, 401);
    }
    say(&format!(
        "street: killed after {} of 160 revocations were answered; all of those are dead, {alive} tokens live on",
        answered.len()
    ));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_that_is_secret_is_ever_logged() {
    let folder = Scratch::new();
    let (mut server, issuer) = serve(&folder, 0, "trace");
    let (shop_program, shop) = open_shop(&issuer);
    let post = |path: &str| walker().post(format!("{issuer}{path}"));
    let mut secrets: Vec<String> = [
        "demo-backend-secret",
        "demo-guard-secret",
        "jane-buys-a-lamp",
        "ringo-keeps-the-beat",
        "demo-dashboard-secret",
    ]
    .map(str::to_owned)
    .into();
    let machine = token(&issuer).await;
    wait_until_open(&shop, &machine).await;
    let form = [
        ("grant_type", "password"),
        ("client_id", "demo-storefront"),
        ("username", "jane@example.com"),
        ("password", "jane-buys-a-lamp"),
    ];
    let jane = Answer::to(post("/oauth/token").form(&form)).await.with_status(200);
    let refresh = [
        ("grant_type", "refresh_token"),
        ("client_id", "demo-storefront"),
        ("refresh_token", &*jane.refresh_token()),
    ];
    let next = Answer::to(post("/oauth/token").form(&refresh)).await.with_status(200);
    let browser = portcullis_tests::Browser::new(&issuer);
    let dashboard = portcullis_tests::Client { id: "demo-dashboard", secret: Some("demo-dashboard-secret") };
    let redirect = "http://localhost:3000/callback";
    let page = browser.authorize(&dashboard, redirect, &[]).await.with_status(200);
    let back = browser.sign_in(&page, "ringo@example.com", "ringo-keeps-the-beat").await.with_status(303);
    let session = back.header("set-cookie").split(['=', ';']).nth(1).expect("a cookie").to_owned();
    let code = portcullis_tests::browser::sent_back(&back)["code"].clone();
    let verifier = portcullis_tests::browser::VERIFIER;
    let form = dashboard.form(&[
        ("grant_type", "authorization_code"),
        ("code", &code),
        ("redirect_uri", redirect),
        ("code_verifier", verifier),
    ]);
    let login = Answer::to(post("/oauth/token").form(&form)).await.with_status(200);
    // Mistakes are where secrets leak: wrong places, wrong passwords, bodies that do not read.
    let wrong =
        [BACKEND[0], ("client_secret", "a-secret-that-is-wrong"), ("grant_type", "client_credentials")];
    Answer::to(post("/oauth/token").form(&wrong)).await.with_status(401);
    Answer::to(post("/oauth/token?client_secret=a-secret-in-a-query&code=a-code-in-a-query"))
        .await
        .with_status(400);
    Answer::to(
        post("/oauth/token").header("content-type", "application/json").body("{\"password\":\"a-torn-secret"),
    )
    .await
    .with_status(400);
    browser.open("/oauth/authorize?client_id=x&token=a-token-in-a-link").await.with_status(400);
    Answer::to(walker().get(format!("{issuer}/oauth/tokeninfo?access_token=a-token-in-a-query")))
        .await
        .with_status(401);
    Answer::to(walker().get(format!("{issuer}/a-token-in-a-path"))).await.with_status(404);
    Answer::to(walker().get(format!("{issuer}/oauth/tokeninfo")).bearer_auth("a-bearer-that-is-wrong"))
        .await
        .with_status(401);
    let twice = dashboard.form(&[
        ("grant_type", "authorization_code"),
        ("code", &code),
        ("redirect_uri", redirect),
        ("code_verifier", verifier),
    ]);
    Answer::to(post("/oauth/token").form(&twice)).await.with_status(400);
    Answer::to(post("/oauth/token").form(&refresh)).await;
    for token in [&machine, &jane.access_token(), &login.access_token()] {
        at_shop(&shop, token).await;
        is_active(&issuer, token).await;
    }
    let revoke = [BACKEND[0], BACKEND[1], ("token", &*machine)];
    Answer::to(post("/oauth/revoke").form(&revoke)).await.with_status(200);
    secrets.extend(
        [
            "a-secret-that-is-wrong",
            "a-secret-in-a-query",
            "a-code-in-a-query",
            "a-torn-secret",
            "a-token-in-a-link",
            "a-token-in-a-query",
            "a-token-in-a-path",
            "a-bearer-that-is-wrong",
            verifier,
        ]
        .map(str::to_owned),
    );
    secrets.extend([code, session, machine, login.access_token(), login.refresh_token()]);
    secrets.extend([jane.access_token(), jane.refresh_token(), next.access_token(), next.refresh_token()]);
    assert!(server.terminate());
    let said = server.said();
    // The demo prints its public secrets on purpose, before anything else; the log is what comes after.
    let log: String =
        said.lines().filter(|line| line.contains("Z ")).map(|line| format!("{line}\n")).collect();
    let log = format!("{log}{}", shop_program.said());
    assert!(log.contains("answered"), "nothing was logged: {said}");
    for secret in &secrets {
        // Half a token is a token to whoever has the other half.
        let part = &secret[..secret.len().min(120)];
        let line = log.lines().find(|line| line.contains(part));
        assert_eq!(line, None, "a secret is in the log");
        let tail = &secret[secret.len().saturating_sub(40)..];
        assert_eq!(log.lines().find(|line| line.contains(tail)), None, "the end of a secret is in the log");
    }
    say(&format!(
        "street: {} secrets were looked for in {} lines of log",
        secrets.len(),
        log.lines().count()
    ));
}
