//! The signing keys over weeks, with two servers over the same books: they rotate on their own, no token is
//! refused for it, and a key that was revoked signs and opens nothing any more.

use std::time::{Duration, Instant};

use portcullis::keys::{KeyDirectory, Plan, Purpose};
use portcullis::means::Means;
use portcullis::testing::Scratch;
use portcullis_authority::operators::OperatorRole;
use portcullis_tests::client::{BACKEND, kid_of};
use portcullis_tests::{Answer, Ground, Town};
use serde_json::{Value, json};

const DAY: u64 = 86_400;
const NULL: Value = Value::Null;
const WHY: &str = "INC-9: the key leaked";

/// A town with a shop, operators and a second server, and where that is.
async fn two_servers(ground: &Ground) -> (Town, String) {
    let mut town = Town::open_with_office(ground).await;
    town.open_shop();
    town.shopfront().wait_until_ready();
    town.until_shop_has_reported().await;
    let second = town.open_neighbour();
    (town, second)
}

/// The ids that a server publishes.
async fn published(server: &str) -> Vec<String> {
    let keys = portcullis_tests::street::walker().get(format!("{server}/.well-known/jwks.json"));
    let keys = Answer::to(keys).await.with_status(200).json();
    let ids = keys["keys"].as_array().expect("a key set").iter();
    ids.map(|key| key["kid"].as_str().expect("every key has a name").to_owned()).collect()
}

async fn token_of(server: &str) -> String {
    let form = BACKEND.form(&[("grant_type", "client_credentials")]);
    let asked = portcullis_tests::street::walker().post(format!("{server}/oauth/token")).form(&form);
    Answer::to(asked).await.with_status(200).access_token()
}

/// Waits until both servers sign with another key than this, and says with which. What each gives out
/// meanwhile is good at the shop.
async fn until_both_sign_with_another(town: &Town, second: &str, before: &str) -> String {
    let began = Instant::now();
    loop {
        let (one, two) = (token_of(town.issuer()).await, token_of(second).await);
        for token in [&one, &two] {
            town.shop("/api/skus", token).await.with_status(200);
            assert!(town.is_active(token).await);
        }
        if kid_of(&one) == kid_of(&two) && kid_of(&one) != before {
            return kid_of(&one);
        }
        assert!(began.elapsed() < Duration::from_secs(20), "the servers do not rotate together");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

/// Waits until both servers publish the same keys, and these are as they should be.
async fn until_both_publish(town: &Town, second: &str, fits: impl Fn(&[String]) -> bool) -> Vec<String> {
    let began = Instant::now();
    loop {
        let (one, two) = (published(town.issuer()).await, published(second).await);
        if one == two && fits(&one) {
            return one;
        }
        assert!(began.elapsed() < Duration::from_secs(20), "published: {one:?} and {two:?}");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

pub async fn keys_rotate_on_their_own_and_no_token_is_refused_for_it(ground: &Ground) {
    let (town, second) = two_servers(ground).await;
    let first = kid_of(&token_of(town.issuer()).await);
    let standing = until_both_publish(&town, &second, |keys| keys.len() == 2).await;
    town.later(30 * DAY - 600).await;
    let old = token_of(&second).await;
    assert_eq!(kid_of(&old), first, "nobody rotates before the time");
    town.later(700).await;
    let next = until_both_sign_with_another(&town, &second, &first).await;
    assert!(standing.contains(&next), "the key that signs was published all the time");
    // The key before goes on opening what it has signed, and another one stands by.
    town.shop("/api/skus", &old).await.with_status(200);
    assert!(town.is_active(&old).await);
    let three = until_both_publish(&town, &second, |keys| keys.len() == 3).await;
    assert!(three.contains(&first) && three.contains(&next));
    // A day later no token of the first key can be alive, and it goes.
    town.later(DAY).await;
    until_both_publish(&town, &second, |keys| keys.len() == 2 && !keys.contains(&first)).await;
    town.later(30 * DAY).await;
    let third = until_both_sign_with_another(&town, &second, &next).await;
    assert!(three.contains(&third), "it was published for weeks before it signed");
}

pub async fn a_revoked_key_opens_nothing_and_the_next_one_signs_at_once(ground: &Ground) {
    let (mut town, second) = two_servers(ground).await;
    let owner = town.operator(OperatorRole::Owner).await;
    let (dead, twin) = (token_of(town.issuer()).await, token_of(&second).await);
    for token in [&dead, &twin] {
        town.shop("/api/skus", token).await.with_status(200);
    }
    let leaked = kid_of(&dead);
    let order = json!({ "kind": "key", "id": leaked, "reason": WHY, "break_glass": true });
    owner.post("/cuts", &order).await.with_status(200);
    for token in [&dead, &twin] {
        town.until_shop_refuses(token).await;
        assert!(!town.is_active(token).await);
    }
    // A server that has not heard of it yet may sign with it once more, and that token is dead on arrival.
    let began = Instant::now();
    while kid_of(&token_of(&second).await) == leaked {
        assert!(began.elapsed() < Duration::from_secs(20), "the second server does not hear of it");
    }
    until_both_sign_with_another(&town, &second, &leaked).await;
    // Another one stands by again, and the leaked one is published by nobody.
    until_both_publish(&town, &second, |keys| keys.len() == 2 && !keys.contains(&leaked)).await;
    let listed = owner.get("/keys").await.with_status(200).json();
    let ended = listed["keys"].as_array().unwrap().iter().find(|key| key["kid"] == leaked.as_str());
    assert_eq!(ended.unwrap()["state"], "ended");
    // It still lies in the key directory; a server that starts does not take it for new.
    town.stop();
    town.start_again();
    assert!(!published(town.issuer()).await.contains(&leaked));
    assert_ne!(kid_of(&token_of(town.issuer()).await), leaked);
    assert_eq!(town.shop("/api/skus", &dead).await.status, 401);
}

pub async fn a_rotation_by_hand_takes_two_persons(ground: &Ground) {
    let (town, second) = two_servers(ground).await;
    let proposer = town.operator(OperatorRole::Operator).await;
    let approver = town.operator(OperatorRole::Approver).await;
    let auditor = town.operator(OperatorRole::Auditor).await;
    let first = kid_of(&token_of(town.issuer()).await);
    let wish = |algorithm: &str| json!({ "kind": "key_rotation", "what": { "algorithm": algorithm }, "reason": "CHG-12" });
    assert_eq!(proposer.post("/proposals", &wish("HS256")).await.status, 422);
    assert_eq!(auditor.post("/proposals", &wish("ES256")).await.status, 403);
    let proposal = proposer.post("/proposals", &wish("ES256")).await.with_status(201).json();
    let next = proposal["what"]["kid"].as_str().expect("it says which key is meant").to_owned();
    assert_eq!(kid_of(&token_of(town.issuer()).await), first, "a proposal changes nothing");
    let path = format!("/proposals/{}/approve", proposal["id"].as_str().unwrap());
    let word = json!({ "digest": proposal["digest"] });
    assert_eq!(proposer.post(&path, &word).await.status, 403);
    let old = token_of(&second).await;
    approver.post(&path, &word).await.with_status(200);
    assert_eq!(until_both_sign_with_another(&town, &second, &first).await, next);
    town.shop("/api/skus", &old).await.with_status(200);
    // Whoever looks sees it, without anything private.
    let listed = auditor.get("/keys").await.with_status(200);
    assert!(!listed.body.contains("sealed") && !listed.body.contains("\"d\""));
    assert!(listed.json()["keys"].as_array().unwrap().iter().any(|key| key["state"] == "retired"));
}

/// docs/keys.md, "The feed's own key": what `portcullis keys status` says in each of the three steps.
pub async fn the_feeds_own_key_says_how_old_it_is_and_what_comes_next(ground: &Ground) {
    let mut town = Town::open_with_office(ground).await;
    let token = town.operator(OperatorRole::Auditor).await.token;
    let (path, clock) = (town.settings.keys.directory.clone(), town.clock.clone());
    let keys = || KeyDirectory::open(&path).expect("it is there");
    let first = feed_standing(&town, &token).await;
    assert_eq!((&first["step"], &first["next"], &first["before"]), (&json!("prepare"), &NULL, &NULL));
    let since = first["signs"]["since"].as_u64().expect("the file says so");
    assert_eq!(first["due"], since + 365 * DAY);
    let next = keys().prepare_feed_key(&*clock).expect("it is made");
    assert_eq!(feed_standing(&town, &token).await, first, "a server knows what it has read at its start");
    start_anew(&mut town);
    let second = feed_standing(&town, &token).await;
    assert_eq!((&second["step"], &second["due"]), (&json!("sign"), &NULL));
    assert_eq!((&second["next"]["kid"], &second["signs"]), (&json!(next), &first["signs"]));
    keys().promote_feed_key(&*clock).expect("it stands by");
    start_anew(&mut town);
    let third = feed_standing(&town, &token).await;
    assert_eq!((&third["step"], &third["signs"]["kid"]), (&json!("forget"), &json!(next)));
    assert_eq!(third["before"]["kid"], first["signs"]["kid"]);
    assert_eq!(third["signs"]["published_as"], second["next"]["published_as"]);
    keys().forget_feed_key().expect("there is one before");
    start_anew(&mut town);
    let last = feed_standing(&town, &token).await;
    assert_eq!((&last["step"], &last["before"]), (&json!("prepare"), &NULL));
    // A file of before says no time: then the books do, by the oldest checkpoint of that key.
    let file = path.join("feed.jwk");
    let mut jwk: Value = serde_json::from_slice(&std::fs::read(&file).expect("it is ours")).expect("JSON");
    jwk.as_object_mut().expect("a key").retain(|name, _| name != "signs_since" && name != "made_at");
    std::fs::write(&file, jwk.to_string()).expect("it is ours");
    town.client_token(&BACKEND).await;
    start_anew(&mut town);
    let known = feed_standing(&town, &token).await["signs"]["since"].as_u64();
    assert!(known.is_some_and(|at| at >= since && at <= town.now()), "{known:?}");
}

/// A server that stops signs for what is new in its log.
fn start_anew(town: &mut Town) {
    town.stop();
    town.start_again();
}

async fn feed_standing(town: &Town, token: &str) -> Value {
    let asked = portcullis_tests::street::passer_by().get(format!("{}/admin/v1/keys", town.office()));
    let answer = Answer::to(asked.bearer_auth(token)).await.with_status(200);
    assert!(!answer.body.contains("\"d\""), "nothing private");
    answer.json()["feed"].clone()
}

/// docs/keys.md, "The feed's own key".
pub async fn a_feed_key_is_replaced_and_guards_take_the_new_one_from_the_issuer(ground: &Ground) {
    let mut town = Town::open_with_shop(ground).await;
    let (kept, ended) = (town.client_token(&BACKEND).await, town.client_token(&BACKEND).await);
    town.shop("/api/skus", &kept).await.with_status(200);
    let before = feed_keys(&town).await;
    town.stop();
    let other = Scratch::new();
    let plan = Plan { purpose: Purpose::Demo, region: "eu1", algorithms: &[] };
    let (path, means) = (other.path().join("keys"), Means::system());
    KeyDirectory::create(&path, &plan, &*means.clock, &*means.dice).expect("keys can be made");
    std::fs::copy(path.join("feed.jwk"), town.settings.keys.directory.join("feed.jwk")).expect("it is ours");
    town.start_again();
    let after = feed_keys(&town).await;
    assert!(after.len() == 1 && after != before, "the old key is named no more");
    // The shop has never been told; it asks the issuer when it meets a key that it does not know.
    town.revoke(&BACKEND, &ended).await.with_status(200);
    let began = Instant::now();
    while town.shop("/api/skus", &ended).await.status != 401 {
        assert!(began.elapsed() < Duration::from_secs(20), "the shop does not hear of it");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let began = Instant::now();
    while town.shop("/api/skus", &kept).await.status != 200 {
        assert!(began.elapsed() < Duration::from_secs(20), "the shop does not open again");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

async fn feed_keys(town: &Town) -> Vec<String> {
    let set = Answer::to(town.get("/.well-known/rv-jwks.json")).await.with_status(200).json();
    let keys = set["keys"].as_array().expect("a key set").iter();
    keys.map(|key| key["x"].as_str().expect("an Ed25519 key").to_owned()).collect()
}
