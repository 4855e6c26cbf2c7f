//! A guard's way to Redis through TLS: it believes the authority that it was given, and no other.

use std::time::Duration;

use portcullis::testing::Scratch;
use portcullis_tests::ports::free_port;

use crate::child::{with_redis, with_redis_like};
use crate::town::{SOON, Town};

/// A certificate for this machine, in files, and as PEM.
fn certificate(folder: &Scratch, name: &str) -> (String, String, String) {
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let path = |kind: &str| folder.path().join(format!("{name}-{kind}.pem")).display().to_string();
    let (chain, key) = (path("chain"), path("key"));
    std::fs::write(&chain, made.cert.pem()).unwrap();
    std::fs::write(&key, made.signing_key.serialize_pem()).unwrap();
    (chain, key, made.cert.pem())
}

#[test]
fn a_guard_believes_the_redis_of_its_own_authority_alone() {
    let folder = Scratch::new();
    let (chain, key, own) = certificate(&folder, "own");
    let (_, _, other) = certificate(&folder, "other");
    let port = free_port().unwrap();
    let tls = port.to_string();
    let arguments = [
        "--save",
        "",
        "--appendonly",
        "no",
        "--tls-port",
        &tls,
        "--tls-cert-file",
        &chain,
        "--tls-key-file",
        &key,
        "--tls-auth-clients",
        "no",
    ];
    with_redis_like(&arguments, |redis| {
        let town = Town::new(&redis.url());
        let address = format!("rediss://localhost:{port}");
        assert!(town.follow_over_tls(&address, &own).is_live_within(SOON));
        let stranger = town.follow_over_tls(&address, &other);
        assert!(
            !stranger.is_live_within(Duration::from_secs(2)),
            "another authority vouches for nobody here"
        );
    });
}

#[test]
fn a_redis_without_tls_is_not_believed_where_tls_was_asked_for() {
    let folder = Scratch::new();
    let (_, _, own) = certificate(&folder, "own");
    with_redis(|redis| {
        let town = Town::new(&redis.url());
        let address = format!("rediss://localhost:{}", redis.port);
        assert!(!town.follow_over_tls(&address, &own).is_live_within(Duration::from_secs(2)));
    });
}
