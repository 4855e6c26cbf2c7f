//! What `docs/redis.md` tells readers in other languages, done literally: its users, its keys, its one round
//! trip.

use std::process::Command;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use portcullis_guard::feed::{Kind, feed_id};
use redis::Value;
use serde_json::Value as Json;

use crate::child::{Redis, with_redis, within};
use crate::town::{SOON, Town};

const PAGE: &str = include_str!("../../../docs/redis.md");

/// The lines of a block of the page, by the word after its fence.
fn block(name: &str) -> Vec<&'static str> {
    let begin = format!("```{name}\n");
    let (_, rest) = PAGE.split_once(&begin).expect("the page has this block");
    let (block, _) = rest.split_once("```").expect("a block ends");
    block.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#')).collect()
}

/// Makes the users that the page names.
fn admit_users(redis: &Redis) {
    for line in block("acl") {
        let words: Vec<&str> = line.split_whitespace().collect();
        let _: String = redis.ask(&words);
    }
}

/// What the page calls its variables, of one token.
struct Names(Vec<(&'static str, Vec<u8>)>);

impl Names {
    fn of(token: &str, salt: &[u8]) -> Self {
        let part = |at: usize| -> Json {
            let part = token.split('.').nth(at).unwrap();
            serde_json::from_slice(&URL_SAFE_NO_PAD.decode(part).unwrap()).unwrap()
        };
        let (header, claims) = (part(0), part(1));
        let jti = URL_SAFE_NO_PAD.decode(claims["jti"].as_str().unwrap()).unwrap();
        let word = u16::from_be_bytes([jti[14], jti[15]]);
        let name = |kind, value: &Json| -> Vec<u8> {
            let id = feed_id(salt, kind, value.as_str().unwrap());
            URL_SAFE_NO_PAD.encode(id).into_bytes()
        };
        Self(vec![
            ("<slot>", (claims["exp"].as_u64().unwrap() / 900).to_string().into_bytes()),
            ("<jti bucket>", (word & 0x3fff).to_string().into_bytes()),
            ("<jti>", jti),
            ("<sid bucket>", b"0".to_vec()),
            ("<sid>", vec![0; 16]),
            ("<key>", name(Kind::Key, &header["kid"])),
            ("<subject>", name(Kind::Subject, &claims["sub"])),
            ("<client>", name(Kind::Client, &claims["client_id"])),
            ("<organization>", name(Kind::Organization, &claims["organization"]["id"])),
            ("<feed>", name(Kind::Everything, &Json::from(""))),
        ])
    }

    fn fill(&self, word: &str) -> Vec<u8> {
        let mut filled = word.replace("\\_", " ").into_bytes();
        for (name, value) in &self.0 {
            while let Some(at) = filled.windows(name.len()).position(|window| window == name.as_bytes()) {
                filled.splice(at..at + name.len(), value.iter().copied());
            }
        }
        filled
    }
}

/// The page's one round trip, as the page's reader.
fn look(redis: &Redis, names: &Names) -> Vec<Value> {
    let url = redis.url_of("portcullis-reader", "READER-PASSWORD");
    let mut connection = redis::Client::open(url).unwrap().get_connection().unwrap();
    let mut trip = redis::pipe();
    for line in block("redis") {
        // A variable of two words is one argument.
        let line = line.replace("<jti bucket>", "<jti\\_bucket>").replace("<sid bucket>", "<sid\\_bucket>");
        let mut words = line.split_whitespace();
        let command = trip.cmd(words.next().unwrap());
        words.for_each(|word| _ = command.arg(names.fill(word)));
    }
    trip.query(&mut connection).unwrap()
}

fn salt(redis: &Redis) -> Vec<u8> {
    let manifest: String = redis.ask(&["GET", "rv:{live:eu1}:man"]);
    let payload = URL_SAFE_NO_PAD.decode(manifest.split('.').nth(1).unwrap()).unwrap();
    let payload: Json = serde_json::from_slice(&payload).unwrap();
    URL_SAFE_NO_PAD.decode(payload["salt"].as_str().unwrap()).unwrap()
}

fn text(value: &Value) -> String {
    match value {
        Value::BulkString(bytes) => String::from_utf8_lossy(bytes).into_owned(),
        other => format!("{other:?}"),
    }
}

/// What the page says of an answer: `None` is unknown.
fn has_ended(answer: &[Value], now_ms: u64) -> Option<bool> {
    let Value::Array(head) = &answer[0] else { return None };
    let as_of: u64 = text(&head[2]).parse().ok()?;
    if text(&head[3]) != "full" || now_ms.saturating_sub(as_of) > 10_000 {
        return None;
    }
    // The token of these tests carries the generation 0 everywhere, so any value above ends it.
    let above = |at: usize| matches!(&answer[at], Value::BulkString(value) if value != b"0");
    let yes = |at: usize| answer[at] == Value::Int(1);
    Some(yes(1) || answer[2] != Value::Nil || yes(3) || (4..8).any(above))
}

fn now_ms() -> u64 {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
    u64::try_from(now.as_millis()).unwrap()
}

#[test]
fn the_documented_round_trip_finds_what_has_ended() {
    with_redis(|redis| {
        admit_users(&redis);
        let town = Town::new(&redis.url_of("portcullis-publisher", "PUBLISHER-PASSWORD"));
        let (token, other) = (town.token(), town.token());
        assert!(within(SOON, || redis.ask::<u64>(&["EXISTS", "rv:{live:eu1}:man"]) == 1));
        let salt = salt(&redis);
        let (names, others) = (Names::of(&token, &salt), Names::of(&other, &salt));
        assert!(within(SOON, || has_ended(&look(&redis, &names), now_ms()) == Some(false)));
        town.revoke(&token);
        assert!(within(SOON, || has_ended(&look(&redis, &names), now_ms()) == Some(true)));
        assert_eq!(has_ended(&look(&redis, &others), now_ms()), Some(false));

        let _: i64 = redis.ask(&["HSET", "rv:{live:eu1}:head", "x", "building"]);
        assert_eq!(
            has_ended(&look(&redis, &others), now_ms()),
            None,
            "an index that is being written knows nothing"
        );
        assert_eq!(has_ended(&look(&redis, &others), now_ms() + 60_000), None, "neither does an old one");
    });
}

#[test]
fn the_documented_users_can_do_their_work_and_no_more() {
    with_redis(|redis| {
        admit_users(&redis);
        let town = Town::new(&redis.url_of("portcullis-publisher", "PUBLISHER-PASSWORD"));
        let token = town.token();
        let guards = redis.url_of("portcullis-guard", "GUARD-PASSWORD");
        let watch = town.guard_on(&guards, std::time::Duration::from_secs(10)).ready(&token);
        town.revoke(&token);
        assert!(within(SOON, || watch.knows_end_of(&token)));
        for (user, password) in
            [("portcullis-guard", "GUARD-PASSWORD"), ("portcullis-reader", "READER-PASSWORD")]
        {
            let mut connection =
                redis::Client::open(redis.url_of(user, password)).unwrap().get_connection().unwrap();
            for words in [
                "SET rv:{live:eu1}:man x",
                "XADD rv:{live:eu1}:log * b x",
                "HSET rv:{live:eu1}:head s 0",
                "DEL rv:{live:eu1}:log",
                "FLUSHALL",
                "CONFIG GET maxmemory-policy",
                "GET other",
            ] {
                let mut parts = words.split(' ');
                let mut command = redis::cmd(parts.next().unwrap());
                parts.for_each(|word| _ = command.arg(word));
                let why = command.exec(&mut connection).unwrap_err();
                assert_eq!(why.code(), Some("NOPERM"), "{user}: {words}");
            }
        }
    });
}

#[test]
fn the_documented_commands_work_on_the_command_line() {
    with_redis(|redis| {
        let _town = Town::new(&redis.url());
        let port = redis.port.to_string();
        let says = |words: &[&str]| {
            let out = Command::new("redis-cli").args(["-p", &port]).args(words).output();
            out.ok().map(|out| String::from_utf8_lossy(&out.stdout).trim().to_owned())
        };
        if says(&["PING"]).is_none() {
            eprintln!("DID NOT RUN, because redis-cli is not installed");
            return;
        }
        for (line, expected) in block("console").chunks(2).map(|pair| (pair[0], pair[1])) {
            let words: Vec<&str> = line.trim_start_matches("$ redis-cli ").split_whitespace().collect();
            assert!(
                within(SOON, || says(&words).is_some_and(|said| said == expected)),
                "{line}: {:?}",
                says(&words)
            );
        }
    });
}
