//! What the mint cuts the guard accepts; one changed bit and it refuses. josekit signs, ring checks: two
//! strangers that test each other.

use std::pin::pin;
use std::sync::OnceLock;
use std::task::{Context, Poll, Waker};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use portcullis_authority::keyring::{ALGORITHMS, KeyState, Keyring, SigningKey, StoredKey, generate};
use portcullis_authority::registry::Profile;
use portcullis_guard::claims::{
    Actor, Application, Claims, Generations, Market, Organization, Owner, OwnerKind, Shown,
};
use portcullis_guard::{DangerNothingEnded, Guard, KeySet};
use proptest::prelude::*;

const ISSUER: &str = "https://auth.acme.example";
const NOW: u64 = 1_800_000_000;

/// A keyring of every algorithm and a guard that trusts it, made once.
fn pair() -> &'static (Keyring, Guard) {
    static PAIR: OnceLock<(Keyring, Guard)> = OnceLock::new();
    PAIR.get_or_init(|| {
        let made = |name| StoredKey { jwk: generate(name, "eu1").unwrap(), state: KeyState::Active };
        let keyring = Keyring::new(&ALGORITHMS.map(made)).unwrap();
        let guard = Guard::builder()
            .issuer(ISSUER)
            .audience("commerce-api")
            .keys(KeySet::from_jwks(keyring.published()).unwrap())
            .commerce_layer_profile(true)
            .revocations(DangerNothingEnded)
            .build()
            .unwrap();
        (keyring, guard)
    })
}

/// A key in memory signs at once, and needs nobody who waits for it.
fn signed(key: &SigningKey, profile: Profile, claims: &[u8]) -> String {
    match pin!(key.sign(profile, claims)).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(token) => token.unwrap(),
        Poll::Pending => panic!("a key in memory made us wait"),
    }
}

fn id() -> impl Strategy<Value = String> {
    any::<[u8; 16]>().prop_map(|bytes| URL_SAFE_NO_PAD.encode(bytes))
}

fn actor() -> impl Strategy<Value = Option<Box<Actor>>> {
    let shown = (id(), "[a-z]{1,20}", any::<u32>(), "[a-z0-9.]{1,20}", proptest::option::of(id()))
        .prop_map(|(jti, client_id, gv, kid, sid)| Shown { jti, client_id, gv, kid, sid });
    let one = ("[a-z:]{1,20}", "[a-z]{1,20}", any::<u32>(), proptest::option::of(shown));
    proptest::collection::vec(one, 0..4).prop_map(|chain| {
        chain.into_iter().fold(None, |act, (sub, client_id, gv, from)| {
            Some(Box::new(Actor { sub, client_id, gv, from, act }))
        })
    })
}

prop_compose! {
    fn claims()(
        (jti, sid, sub, scope) in (id(), proptest::option::of(id()), "\\PC{1,40}", "\\PC{0,80}"),
        (life, gv, pv, rand) in (1u64..=31_536_000, any::<[u32; 4]>(), any::<u64>(), 0u32..1024),
        (rol, act) in (proptest::collection::vec("\\PC{0,30}", 0..5), actor()),
        (market, owner, claim) in (any::<bool>(), any::<bool>(), proptest::option::of("\\PC{0,60}")),
        more in proptest::collection::vec("[a-z-]{1,12}", 0..3),
    ) -> Claims {
        let mut aud = more;
        aud.push("commerce-api".into());
        Claims {
            perm: (life % 2 == 0).then(|| serde_json::from_str(r#"{"*":["show"],"orders":["read"]}"#).unwrap()),
            iss: ISSUER.into(), sub: sub.clone(), aud, client_id: "shop".into(), iat: NOW, exp: NOW + life, jti, scope,
            sid, auth_time: market.then_some(NOW - 5),
            amr: ["pwd", "otp"].into_iter().filter(|_| market).map(str::to_owned).collect(),
            gv: Generations(gv[0], gv[1], gv[2], gv[3]), rol, pv, act,
            organization: market.then(|| Organization {
                id: "OrgAcmeAAA".into(), slug: "acme".into(), enterprise: true, region: "eu-west-1".into(),
            }),
            application: Application {
                id: "app".into(), client_id: "shop".into(), kind: "webapp".into(), public: false, confidential: true,
            },
            market: market.then(|| Market {
                id: vec!["MktEurope1".into()], stock_location_ids: vec![], geocoder_id: None, allows_external_prices: false,
            }),
            owner: owner.then_some(Owner { id: sub, kind: OwnerKind::Customer }),
            user: None,
            custom_claim: claim.map(|text| serde_json::json!({ "note": text })),
            test: false,
            // Not every fraction survives the default reader of serde_json; these do, and nobody compares them.
            rand: f64::from(rand) / 1024.0,
        }
    }
}

/// Turns one bit of the decoded part of a token.
fn turned(token: &str, part: usize, bit: usize) -> String {
    let mut parts: Vec<String> = token.split('.').map(str::to_owned).collect();
    let mut bytes = URL_SAFE_NO_PAD.decode(&parts[part]).unwrap();
    let bit = bit % (bytes.len() * 8);
    bytes[bit / 8] ^= 1 << (bit % 8);
    parts[part] = URL_SAFE_NO_PAD.encode(bytes);
    parts.join(".")
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 32, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn what_the_mint_cuts_the_guard_accepts_and_one_changed_bit_it_refuses(
        claims in claims(),
        vendor in any::<bool>(),
        bits in any::<[usize; 3]>(),
    ) {
        let (keyring, guard) = pair();
        let profile = if vendor { Profile::CommerceLayer } else { Profile::Rfc9068 };
        for algorithm in ALGORITHMS {
            let key = keyring.active(algorithm).unwrap();
            let token = signed(key, profile, &serde_json::to_vec(&claims).unwrap());
            let access = guard.check(&token, NOW).unwrap();
            prop_assert_eq!(access.claims(), &claims);
            prop_assert_eq!(access.key_id(), &key.kid);
            for (part, bit) in bits.into_iter().enumerate() {
                let changed = turned(&token, part, bit);
                prop_assert!(guard.check(&changed, NOW).is_err(), "{} part {} bit {}", algorithm, part, bit);
            }
        }
    }
}

#[test]
fn no_changed_character_is_accepted() {
    let (keyring, guard) = pair();
    let text = format!(
        r#"{{"iss":"{ISSUER}","sub":"s","aud":"commerce-api","client_id":"c","iat":{NOW},"exp":{},"jti":"{}","scope":"","rol":[],"application":{{"id":"a","client_id":"c","kind":"user","public":false,"confidential":true}},"test":false,"rand":0.5}}"#,
        NOW + 60,
        "A".repeat(22),
    );
    let token = signed(keyring.active("ES256").unwrap(), Profile::Rfc9068, text.as_bytes());
    guard.check(&token, NOW).unwrap();
    for at in 0..token.len() {
        let mut bytes = token.clone().into_bytes();
        bytes[at] = if bytes[at] == b'A' { b'B' } else { b'A' };
        assert!(guard.check(&String::from_utf8(bytes).unwrap(), NOW).is_err(), "at {at}");
    }
}
