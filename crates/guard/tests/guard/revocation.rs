//! Revocation and the cache: a token that was good a moment ago is asked about again.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};

use portcullis_guard::feed::Kind;
use portcullis_guard::{
    Access, BuildTrouble, DangerNothingEnded, Denied, Guard, KeySet, Revocations, Verdict,
};

use crate::issuer::{AUDIENCE, ISSUER, Issuer, NOW};

/// A list of one: its version, whether it is fresh, and whether everything has ended.
#[derive(Default)]
struct List {
    version: AtomicU64,
    ended: AtomicBool,
    stale: AtomicBool,
    verdicts: AtomicUsize,
    has_versions: bool,
    not_before_ms: AtomicU64,
}

impl Revocations for List {
    fn verdict(&self, _: &Access, _: u64) -> Verdict {
        self.verdicts.fetch_add(1, Ordering::SeqCst);
        match (self.ended.load(Ordering::SeqCst), self.stale.load(Ordering::SeqCst)) {
            (true, _) => Verdict::Ended(Kind::Family),
            (_, true) => Verdict::Stale,
            _ => Verdict::Live,
        }
    }

    fn version(&self) -> Option<u64> {
        self.has_versions.then(|| self.version.load(Ordering::SeqCst))
    }

    fn not_before_ms(&self) -> u64 {
        self.not_before_ms.load(Ordering::SeqCst)
    }

    fn unchanged(&self, version: u64, _: u64) -> bool {
        !self.stale.load(Ordering::SeqCst) && version == self.version.load(Ordering::SeqCst)
    }
}

fn guarded(has_versions: bool) -> (Issuer, Arc<List>, Guard) {
    let issuer = Issuer::new();
    let list = Arc::new(List { has_versions, ..List::default() });
    let guard = issuer.guard().shared_revocations(list.clone()).build().unwrap();
    (issuer, list, guard)
}

#[test]
fn a_cached_token_ends_at_once() {
    for has_versions in [false, true] {
        let (issuer, list, guard) = guarded(has_versions);
        let token = issuer.token(|_| {});
        for _ in 0..3 {
            guard.check(&token, NOW).unwrap();
        }
        list.ended.store(true, Ordering::SeqCst);
        list.version.fetch_add(1, Ordering::SeqCst);
        for _ in 0..3 {
            assert_eq!(guard.check(&token, NOW).unwrap_err(), Denied::Revoked(Kind::Family));
        }
    }
}

#[test]
fn what_has_expired_by_the_issuers_signed_time_is_refused_whatever_our_clock_shows() {
    for has_versions in [false, true] {
        let (issuer, list, guard) = guarded(has_versions);
        let token = issuer.token(|_| {});
        let exp = guard.check(&token, NOW).unwrap().claims().exp;
        list.not_before_ms.store((exp + 29) * 1000, Ordering::SeqCst);
        assert!(guard.check(&token, NOW).is_ok());
        list.not_before_ms.store((exp + 30) * 1000, Ordering::SeqCst);
        assert_eq!(guard.check(&token, NOW).unwrap_err(), Denied::Expired);
    }
}

#[test]
fn whoever_ends_tokens_sees_them_at_any_time_and_never_a_forgery() {
    let (issuer, list, guard) = guarded(true);
    let token = issuer.token(|_| {});
    list.ended.store(true, Ordering::SeqCst);
    list.not_before_ms.store(u64::MAX / 2, Ordering::SeqCst);
    assert!(guard.check(&token, NOW).is_err());
    assert!(guard.danger_ever_genuine(&token).is_ok());
    let forged = Issuer::new().token(|_| {});
    assert!(guard.danger_ever_genuine(&forged).is_err());
}

#[test]
fn a_stale_list_answers_for_no_token_cached_or_not() {
    for has_versions in [false, true] {
        let (issuer, list, guard) = guarded(has_versions);
        let (seen, unseen) = (issuer.token(|_| {}), issuer.token(|claims| claims["rand"] = 0.1.into()));
        guard.check(&seen, NOW).unwrap();
        list.stale.store(true, Ordering::SeqCst);
        for token in [&seen, &unseen] {
            let denied = guard.check(token, NOW).unwrap_err();
            assert!(denied.is_stale());
        }
        list.stale.store(false, Ordering::SeqCst);
        assert!(guard.check(&seen, NOW).is_ok() && guard.check(&unseen, NOW).is_ok());
    }
}

#[test]
fn a_bad_token_is_bad_even_when_the_list_is_stale() {
    let (issuer, list, guard) = guarded(true);
    list.stale.store(true, Ordering::SeqCst);
    let wrong = issuer.token(|claims| claims["aud"] = "other".into());
    assert_eq!(guard.check(&wrong, NOW).unwrap_err(), Denied::WrongAudience);
}

#[test]
fn the_verdict_is_asked_again_only_when_something_changed() {
    let (issuer, list, guard) = guarded(true);
    let token = issuer.token(|_| {});
    let asked = || list.verdicts.load(Ordering::SeqCst);
    for _ in 0..5 {
        guard.check(&token, NOW).unwrap();
    }
    assert_eq!(asked(), 1);
    list.version.fetch_add(1, Ordering::SeqCst);
    for _ in 0..5 {
        guard.check(&token, NOW).unwrap();
    }
    assert_eq!(asked(), 2);
}

#[test]
fn a_list_without_versions_is_asked_every_time() {
    let (issuer, list, guard) = guarded(false);
    let token = issuer.token(|_| {});
    for _ in 0..5 {
        guard.check(&token, NOW).unwrap();
    }
    assert_eq!(list.verdicts.load(Ordering::SeqCst), 5);
}

/// A record that arrives between the version and the verdict must show at the next check.
#[test]
fn what_arrives_during_the_check_is_seen_by_the_next() {
    struct Racing(AtomicU64);
    impl Revocations for Racing {
        fn verdict(&self, _: &Access, _: u64) -> Verdict {
            match self.0.fetch_add(1, Ordering::SeqCst) {
                0 => Verdict::Live,
                _ => Verdict::Ended(Kind::Token),
            }
        }
        fn version(&self) -> Option<u64> {
            Some(self.0.load(Ordering::SeqCst))
        }
        fn unchanged(&self, version: u64, _: u64) -> bool {
            version == self.0.load(Ordering::SeqCst)
        }
    }
    let issuer = Issuer::new();
    let guard = issuer.guard().revocations(Racing(AtomicU64::new(0))).build().unwrap();
    let token = issuer.token(|_| {});
    assert!(guard.check(&token, NOW).is_ok());
    assert_eq!(guard.check(&token, NOW).unwrap_err(), Denied::Revoked(Kind::Token));
}

#[test]
fn a_key_that_is_gone_takes_its_cached_tokens_along() {
    let (issuer, _, guard) = guarded(true);
    let token = issuer.token(|_| {});
    guard.check(&token, NOW).unwrap();
    assert!(!guard.replace_keys(issuer.keys()), "the same keys change nothing");
    assert!(guard.replace_keys(KeySet::from_jwks(r#"{"keys":[]}"#).unwrap()));
    assert_eq!(guard.check(&token, NOW).unwrap_err(), Denied::UnknownKey);
    assert!(guard.replace_keys(issuer.keys()));
    assert!(guard.check(&token, NOW).is_ok());
    // The same id with another key behind it.
    assert!(guard.replace_keys(Issuer::new().keys()));
    assert_eq!(guard.check(&token, NOW).unwrap_err(), Denied::BadSignature);
}

#[test]
fn a_small_cache_forgets_and_never_confuses() {
    let issuer = Issuer::new();
    for room in [0, 1, 2, 16] {
        let guard = issuer.guard().tokens_kept(room).build().unwrap();
        let tokens: Vec<_> = (0..40)
            .map(|number| issuer.token(|claims| claims["sub"] = format!("s{number}").into()))
            .collect();
        for _ in 0..2 {
            for (number, token) in tokens.iter().enumerate() {
                assert_eq!(guard.check(token, NOW).unwrap().claims().sub, format!("s{number}"));
            }
        }
    }
}

/// A hit spares the verdict, so verdicts count misses: at three quarters full nearly everything is held.
#[test]
fn a_cache_holds_about_what_it_says() {
    let issuer = Issuer::new();
    let list = Arc::new(List { has_versions: true, ..List::default() });
    let guard = issuer.guard().shared_revocations(list.clone()).tokens_kept(1024).build().unwrap();
    let token = |number| issuer.token(|claims| claims["sub"] = format!("s{number}").into());
    let tokens: Vec<_> = (0..768).map(token).collect();
    for token in tokens.iter().chain(&tokens) {
        guard.check(token, NOW).unwrap();
    }
    let missed = list.verdicts.load(Ordering::SeqCst) - tokens.len();
    assert!(missed < 20, "{missed} of 768 were forgotten");
}

#[test]
fn a_guard_is_not_built_without_what_it_needs() {
    let trouble = |builder: portcullis_guard::Builder| builder.build().unwrap_err();
    assert_eq!(trouble(Guard::builder()), BuildTrouble::NoIssuer);
    assert_eq!(trouble(Guard::builder().issuer(ISSUER)), BuildTrouble::NoAudience);
    assert_eq!(trouble(Guard::builder().issuer(ISSUER).audience(AUDIENCE)), BuildTrouble::NoRevocations);
}

#[test]
fn a_guard_that_never_heard_of_any_key_calls_no_token_bad() {
    let issuer = Issuer::new();
    let guard = issuer.guard().keys(KeySet::default()).revocations(DangerNothingEnded).build().unwrap();
    let token = issuer.token(|_| {});
    assert_eq!(guard.check(&token, NOW).unwrap_err(), Denied::Stale);
    assert!(guard.replace_keys(issuer.keys()));
    assert!(guard.check(&token, NOW).is_ok());
}
