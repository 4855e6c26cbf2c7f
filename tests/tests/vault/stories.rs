//! What is true of keys in a token, seen from the street.

use std::time::{Duration, Instant};

use portcullis_authority::desk::Clock as _;
use portcullis_authority::keyring::{Signer, Vault as _};
use portcullis_authority::ledger::Survey as _;
use portcullis_authority::operators::OperatorRole;
use portcullis_tests::client::{BACKEND, kid_of};
use portcullis_tests::program::command;
use portcullis_tests::street::walker;
use portcullis_tests::{Answer, Ground, Town};
use serde_json::json;

use super::box_of_keys::BoxOfKeys;

const DAY: u64 = 86_400;
const SOON: Duration = Duration::from_secs(20);

/// All of them, in an order that leaves the token usable for the next.
pub fn tell(keys: &BoxOfKeys) {
    let mut threads = tokio::runtime::Builder::new_multi_thread();
    let runtime = threads.worker_threads(2).enable_all().build().expect("threads can be made");
    runtime.block_on(async {
        let began = Instant::now();
        a_wrong_pin_or_token_is_a_sentence_and_no_start(keys).await;
        two_servers_sign_in_the_token_and_rotate_there(keys).await;
        a_revoked_key_is_destroyed_in_the_token(keys).await;
        without_its_token_a_server_ends_and_checks_and_issues_nothing(keys).await;
        a_key_that_is_lost_in_the_token_signs_nothing_until_it_is_revoked(keys).await;
        a_key_that_is_missing_costs_nobody_else_a_session(keys).await;
        what_is_not_labelled_as_ours_is_not_destroyed(keys).await;
        rsa_keys_sign_in_the_token(keys).await;
        a_house_moves_into_the_token_and_out_again(keys).await;
        signatures_of_many_callers_are_made_side_by_side(keys).await;
        println!("vault: all stories are told, {} s", began.elapsed().as_secs());
    });
}

async fn open(keys: &BoxOfKeys) -> Town {
    Town::open_with(&Ground::Sqlite, |settings| {
        settings.keys.pkcs11 = Some(keys.settings());
        settings.admin.enabled = true;
        settings.admin.port = 0;
        settings.metrics.enabled = true;
        settings.metrics.port = 0;
    })
    .await
}

async fn ask(server: &str) -> Answer {
    let form = BACKEND.form(&[("grant_type", "client_credentials")]);
    Answer::to(walker().post(format!("{server}/oauth/token")).form(&form)).await
}

async fn token_of(server: &str) -> String {
    ask(server).await.with_status(200).access_token()
}

/// Waits until something is so.
async fn until(what: &str, mut holds: impl AsyncFnMut() -> bool) {
    let began = Instant::now();
    while !holds().await {
        assert!(began.elapsed() < SOON, "{what}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// Where each live key has its private half: what the books say.
async fn private_halves(town: &Town) -> Vec<(String, bool, Option<String>)> {
    let chain = town.look(async |store| store.key_chain().await.expect("the books answer")).await;
    let live = chain.keys.into_iter().filter(|key| matches!(key.state.as_str(), "pending" | "active"));
    live.map(|key| (key.kid, key.sealed.is_some(), key.vault)).collect()
}

async fn is_up(town: &Town) -> bool {
    let page = Answer::to(walker().get(format!("{}/metrics", town.watchers()))).await.with_status(200).body;
    page.lines().any(|line| line == "portcullis_vault_up 1")
}

/// In processes of their own, where nobody has logged in yet.
async fn a_wrong_pin_or_token_is_a_sentence_and_no_start(keys: &BoxOfKeys) {
    let town = Town::open(&Ground::Sqlite).await;
    let nobody = portcullis::settings::Pkcs11 { token: Some("elsewhere".into()), ..keys.settings() };
    let wrong = keys.settings_with_wrong_pin();
    for (name, pkcs11, why) in [
        ("pin", wrong, "keys.pkcs11.pin: the PIN is wrong"),
        ("label", nobody, r#"the token is not there; the module shows "town" in slot"#),
    ] {
        let mut settings = town.settings.clone();
        settings.keys.pkcs11 = Some(pkcs11);
        settings.listen.port = 0;
        let path = settings.keys.directory.with_file_name(format!("{name}.toml"));
        std::fs::write(&path, toml::to_string(&settings).expect("settings can be written")).expect("ours");
        let mut server = command("portcullis");
        server.arg("--config").arg(path).arg("serve").env("SOFTHSM2_CONF", keys.configuration());
        let ended = server.output().expect("the program starts");
        let said = String::from_utf8_lossy(&ended.stderr);
        assert!(!ended.status.success() && said.contains(why), "{ended:?}");
        assert!(!said.contains("hush-47"), "a PIN was said: {said}");
    }
}

async fn two_servers_sign_in_the_token_and_rotate_there(keys: &BoxOfKeys) {
    let mut town = open(keys).await;
    town.open_shop();
    town.shopfront().wait_until_ready();
    let second = town.open_neighbour();
    let first = token_of(town.issuer()).await;
    let twin = token_of(&second).await;
    assert_eq!(kid_of(&first), kid_of(&twin));
    for token in [&first, &twin] {
        town.shop("/api/skus", token).await.with_status(200);
        assert!(town.is_active(token).await);
    }
    until("one key signs and one stands by", async || private_halves(&town).await.len() == 2).await;
    for (kid, sealed, vault) in private_halves(&town).await {
        assert_eq!((sealed, vault.as_deref()), (false, Some("pkcs11")), "{kid} is in the token alone");
        assert!(keys.private_keys().contains(&kid));
    }
    assert!(is_up(&town).await);

    town.later(30 * DAY + 60).await;
    let began = Instant::now();
    let next = loop {
        // Until both have heard, each signs with a key that everybody takes, and nobody gets an error.
        let (one, two) = (token_of(town.issuer()).await, token_of(&second).await);
        for token in [&one, &two] {
            town.shop("/api/skus", token).await.with_status(200);
        }
        if kid_of(&one) == kid_of(&two) && kid_of(&one) != kid_of(&first) {
            break kid_of(&one);
        }
        assert!(began.elapsed() < SOON, "the servers do not rotate together");
    };
    assert!(keys.private_keys().contains(&next));
    town.later(600).await;
    until("a retired key is destroyed in the token", async || !keys.private_keys().contains(&kid_of(&first)))
        .await;
}

async fn a_revoked_key_is_destroyed_in_the_token(keys: &BoxOfKeys) {
    let mut town = open(keys).await;
    town.open_shop();
    town.shopfront().wait_until_ready();
    until("a key stands by", async || private_halves(&town).await.len() == 2).await;
    let owner = town.operator(OperatorRole::Owner).await;
    let dead = town.client_token(&BACKEND).await;
    town.shop("/api/skus", &dead).await.with_status(200);
    let kid = kid_of(&dead);
    let order = json!({ "kind": "key", "id": kid, "reason": "INC-9", "break_glass": true });
    owner.post("/cuts", &order).await.with_status(200);
    town.until_shop_refuses(&dead).await;
    assert!(!town.is_active(&dead).await);
    until("it is destroyed", async || !keys.private_keys().contains(&kid)).await;
    let next = town.client_token(&BACKEND).await;
    assert_ne!(kid_of(&next), kid);
    town.shop("/api/skus", &next).await.with_status(200);
    let listed = owner.get("/keys").await.with_status(200).json();
    let of = |kid: &str| listed["keys"].as_array().unwrap().iter().find(|key| key["kid"] == kid).cloned();
    assert_eq!(of(&kid_of(&next)).unwrap()["vault"], "pkcs11");
}

async fn without_its_token_a_server_ends_and_checks_and_issues_nothing(keys: &BoxOfKeys) {
    let mut town = open(keys).await;
    town.open_shop();
    town.shopfront().wait_until_ready();
    let (kept, given_up) = (town.client_token(&BACKEND).await, town.client_token(&BACKEND).await);
    keys.take_away();
    until("it notices", async || {
        let answer = ask(town.issuer()).await;
        assert!(matches!(answer.status, 200 | 503), "{answer:?}");
        answer.status == 503
    })
    .await;
    let refused = ask(town.issuer()).await.with_status(503);
    assert_eq!(refused.header("retry-after"), "1", "{refused:?}");
    assert!(!is_up(&town).await);
    // Everything that needs no signature of the token's goes on.
    town.shop("/api/skus", &kept).await.with_status(200);
    assert!(town.is_active(&kept).await);
    town.revoke(&BACKEND, &given_up).await.with_status(200);
    town.until_shop_refuses(&given_up).await;
    Answer::to(town.get("/.well-known/jwks.json")).await.with_status(200);
    keys.put_back();
    until("it comes back without a restart", async || ask(town.issuer()).await.status == 200).await;
    let token = town.client_token(&BACKEND).await;
    town.shop("/api/skus", &token).await.with_status(200);
    assert!(is_up(&town).await);
}

async fn a_key_that_is_lost_in_the_token_signs_nothing_until_it_is_revoked(keys: &BoxOfKeys) {
    let town = open(keys).await;
    until("a key stands by", async || private_halves(&town).await.len() == 2).await;
    let owner = town.operator(OperatorRole::Owner).await;
    let lost = kid_of(&town.client_token(&BACKEND).await);
    keys.lose(&lost);
    until("it is missed", async || ask(town.issuer()).await.status == 503).await;
    let order = json!({ "kind": "key", "id": lost, "reason": "INC-10", "break_glass": true });
    owner.post("/cuts", &order).await.with_status(200);
    until("the next one signs", async || ask(town.issuer()).await.status == 200).await;
}

async fn vault_of(keys: &BoxOfKeys) -> portcullis::keys::Pkcs11Vault {
    let settings = keys.settings();
    let opened = tokio::task::spawn_blocking(move || portcullis::keys::Pkcs11Vault::open(&settings));
    opened.await.expect("it ends").expect("the token is there")
}

async fn made(vault: &portcullis::keys::Pkcs11Vault) -> (String, std::sync::Arc<dyn Signer>) {
    let public = vault.make("ES256", "eu1").await.expect("a key");
    let kid = public["kid"].as_str().expect("a name").to_owned();
    (kid, vault.signer(&public).expect("it signs"))
}

async fn a_key_that_is_missing_costs_nobody_else_a_session(keys: &BoxOfKeys) {
    let vault = vault_of(keys).await;
    let ((lost, silent), (kept, signer)) = (made(&vault).await, made(&vault).await);
    silent.sign(b"header.payload").await.expect("a signature");
    keys.lose(&lost);
    let before = format!("{vault:?}");
    // Longer than a module rests before it may begin again.
    let began = Instant::now();
    while began.elapsed() < Duration::from_secs(4) {
        let why = silent.sign(b"header.payload").await.expect_err("it is gone").why;
        assert!(why.contains("holds 0 keys with the id"), "{why}");
        signer.sign(b"header.payload").await.expect("the other one signs on");
        assert!(vault.is_up());
    }
    vault.destroy(&lost).await.expect("it is gone already");
    assert_eq!(format!("{vault:?}"), before, "the module began again for one key");
    vault.destroy(&kept).await.expect("it goes");
}

async fn what_is_not_labelled_as_ours_is_not_destroyed(keys: &BoxOfKeys) {
    let vault = vault_of(keys).await;
    let (kid, _) = made(&vault).await;
    keys.relabel(&kid);
    let why = vault.destroy(&kid).await.expect_err("it is somebody else's").why;
    assert!(why.contains("not labelled as ours"), "{why}");
    assert!(keys.private_keys().contains(&kid));
    keys.lose(&kid);
}

async fn rsa_keys_sign_in_the_token(keys: &BoxOfKeys) {
    for algorithm in ["RS256", "RS512", "PS256"] {
        let mut town = Town::open_with(&Ground::Sqlite, |settings| {
            settings.keys.pkcs11 = Some(keys.settings());
            settings.tokens.algorithm = algorithm.into();
        })
        .await;
        town.open_shop();
        town.shopfront().wait_until_ready();
        let token = town.client_token(&BACKEND).await;
        town.shop("/api/skus", &token).await.with_status(200);
        assert!(keys.private_keys().contains(&kid_of(&token)), "{algorithm}");
    }
}

async fn a_house_moves_into_the_token_and_out_again(keys: &BoxOfKeys) {
    let mut town = Town::open(&Ground::Sqlite).await;
    town.open_shop();
    town.shopfront().wait_until_ready();
    let in_books = kid_of(&town.client_token(&BACKEND).await);
    town.stop();
    town.settings.keys.pkcs11 = Some(keys.settings());
    town.start_again();
    assert_eq!(kid_of(&token_of(town.issuer()).await), in_books, "nobody knows the token's key yet");
    town.later(DAY + 60).await;
    let signer = signed_by_another(&town, &in_books).await;
    assert!(keys.private_keys().contains(&signer));
    until("no private half stays in the books", async || {
        private_halves(&town).await.iter().all(|(_, sealed, _)| !sealed)
    })
    .await;
    // Without the token's settings the house would lose its keys, so it does not start.
    town.stop();
    let mut without = town.settings.clone();
    without.keys.pkcs11 = None;
    let means = portcullis::means::Means { clock: town.clock.clone(), ..portcullis::means::Means::system() };
    let why = portcullis::serve::start(without, means).expect_err("its keys are elsewhere").why;
    assert!(why.contains("is in pkcs11, which the settings do not name (keys.pkcs11)"), "{why}");
    // The way out: those in the token sign until keys in the books are known.
    town.settings.keys.pkcs11 = Some(portcullis::settings::Pkcs11 { make: false, ..keys.settings() });
    town.start_again();
    assert_eq!(kid_of(&token_of(town.issuer()).await), signer);
    let since = town.clock.now();
    town.later(DAY + 60).await;
    let out = signed_by_another(&town, &signer).await;
    assert!(!keys.private_keys().contains(&out) && town.clock.now() > since);
}

/// Waits until another key signs; whatever signs meanwhile, the shop takes it.
async fn signed_by_another(town: &Town, before: &str) -> String {
    let began = Instant::now();
    loop {
        let token = token_of(town.issuer()).await;
        town.shop("/api/skus", &token).await.with_status(200);
        if kid_of(&token) != before {
            return kid_of(&token);
        }
        assert!(began.elapsed() < SOON, "the key does not change");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// How many, docs/keys.md says; that they come at all while many ask, this does.
async fn signatures_of_many_callers_are_made_side_by_side(keys: &BoxOfKeys) {
    const CALLERS: usize = 16;
    const EACH: usize = 100;
    for sessions in [1, 4] {
        let settings = portcullis::settings::Pkcs11 { sessions, ..keys.settings() };
        let opened = tokio::task::spawn_blocking(move || portcullis::keys::Pkcs11Vault::open(&settings));
        let vault = opened.await.expect("it ends").expect("the token is there");
        for algorithm in ["ES256", "RS256"] {
            let public = vault.make(algorithm, "eu1").await.expect("a key");
            let signer = vault.signer(&public).expect("it signs");
            let began = Instant::now();
            let callers = (0..CALLERS).map(|_| {
                let signer = signer.clone();
                tokio::spawn(async move {
                    for _ in 0..EACH {
                        signer.sign(b"header.payload").await.expect("a signature");
                    }
                })
            });
            for caller in callers.collect::<Vec<_>>() {
                caller.await.expect("nobody fails");
            }
            let rate = (CALLERS * EACH) as f64 / began.elapsed().as_secs_f64();
            println!(
                "vault: {algorithm}, {sessions} sessions, {CALLERS} callers: {rate:.0} signatures a second"
            );
            let kid = public["kid"].as_str().expect("a name").to_owned();
            vault.destroy(&kid).await.expect("it goes");
            assert!(signer.sign(b"header.payload").await.is_err(), "a destroyed key signs no more");
        }
    }
}
