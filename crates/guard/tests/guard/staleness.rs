//! A guard that has lost touch: what each policy lets in, what it never lets in, and how seldom it asks.

use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use portcullis_guard::feed::{Kind, MAX_STALENESS, Position, View};
use portcullis_guard::{
    Access, BuildTrouble, Denied, Footing, Guard, Introspection, OnStale, Revocations, Unanswered, Verdict,
    Word,
};

use crate::issuer::{Issuer, NOW, claims, twin_of};

const ASK: OnStale = OnStale::Introspect { timeout: Duration::from_millis(300) };
const ALLOW: OnStale = OnStale::AllowUpTo(Duration::from_secs(900));

/// A list that the test makes old and lets speak of tokens.
struct List {
    age_ms: AtomicU64,
    ended: AtomicBool,
    as_of_ms: AtomicU64,
}

const NEVER_COMPLETE: u64 = u64::MAX;
const BOUND_MS: u64 = 10_000;
const BEGAN_MS: u64 = (NOW - 1000) * 1000;

impl Revocations for List {
    fn verdict(&self, _: &Access, _: u64) -> Verdict {
        match self.age_ms.load(SeqCst) {
            _ if self.ended.load(SeqCst) => Verdict::Ended(Kind::Family),
            0..=BOUND_MS => Verdict::Live,
            _ => Verdict::Stale,
        }
    }

    fn not_before_ms(&self) -> u64 {
        self.as_of_ms.load(SeqCst)
    }

    fn age_ms(&self, _: u64) -> Option<u64> {
        Some(self.age_ms.load(SeqCst)).filter(|age| *age != NEVER_COMPLETE)
    }
}

/// An issuer's voice.
struct Voice {
    says: Mutex<Result<Word, Unanswered>>,
    asked: AtomicUsize,
    /// Nobody is answered while this is true.
    silent: AtomicBool,
}

#[derive(Clone)]
struct Line(Arc<Voice>);

impl Introspection for Line {
    fn ask(&self, _: &str, _: Duration) -> Result<Word, Unanswered> {
        self.0.asked.fetch_add(1, SeqCst);
        while self.0.silent.load(SeqCst) {
            std::thread::sleep(Duration::from_millis(1));
        }
        self.0.says.lock().unwrap().clone()
    }
}

struct Scene {
    issuer: Issuer,
    list: Arc<List>,
    voice: Arc<Voice>,
    guard: Guard,
}

impl Scene {
    fn new() -> Self {
        let issuer = Issuer::new();
        let list = List { age_ms: 0.into(), ended: false.into(), as_of_ms: BEGAN_MS.into() };
        let list = Arc::new(list);
        let voice = Voice { says: Mutex::new(active()), asked: 0.into(), silent: false.into() };
        let voice = Arc::new(voice);
        let guard = issuer.guard().shared_revocations(list.clone()).introspection(Line(voice.clone()));
        let guard = guard.build().unwrap();
        Self { issuer, list, voice, guard }
    }

    fn stale() -> Self {
        let scene = Self::new();
        scene.ages(11);
        scene
    }

    fn ages(&self, seconds: u64) {
        self.list.age_ms.store(seconds * 1000, SeqCst);
    }

    /// The feed is heard again, up to so many seconds after it was lost.
    fn hears(&self, seconds: u64) {
        self.list.age_ms.store(0, SeqCst);
        self.list.as_of_ms.store(BEGAN_MS + seconds * 1000, SeqCst);
    }

    fn says(&self, word: Result<Word, Unanswered>) {
        *self.voice.says.lock().unwrap() = word;
    }

    fn asked(&self) -> usize {
        self.voice.asked.load(SeqCst)
    }

    fn token(&self) -> String {
        self.issuer.token(|_| {})
    }

    fn tokens(&self, count: usize) -> Vec<String> {
        (0..count).map(|n| self.issuer.token(|claims| claims["sub"] = n.to_string().into())).collect()
    }

    fn footing(&self, token: &str, policy: OnStale) -> Result<Footing, Denied> {
        self.guard.authenticate_under(token, policy).map(|access| access.footing())
    }
}

fn active() -> Result<Word, Unanswered> {
    let claims = claims();
    Ok(Word::Active { jti: claims["jti"].as_str().unwrap().to_owned(), exp: claims["exp"].as_u64().unwrap() })
}

#[test]
fn a_fresh_guard_asks_nobody_whatever_the_policy() {
    let scene = Scene::new();
    for policy in [OnStale::Deny, ASK, ALLOW] {
        assert_eq!(scene.footing(&scene.token(), policy), Ok(Footing::Fresh));
    }
    assert_eq!(scene.asked(), 0);
}

#[test]
fn a_stale_guard_denies_unless_the_route_says_otherwise() {
    let scene = Scene::stale();
    let token = scene.token();
    assert_eq!(scene.guard.authenticate(&token).unwrap_err(), Denied::Stale);
    assert_eq!(scene.footing(&token, OnStale::Deny), Err(Denied::Stale));
    assert_eq!(scene.footing(&token, ASK), Ok(Footing::Introspected));
    assert_eq!(scene.footing(&token, ALLOW), Ok(Footing::Old(Duration::from_secs(11))));
}

#[test]
fn the_policy_of_the_guard_is_that_of_every_route_that_names_none() {
    let scene = Scene::stale();
    let guard = scene.issuer.guard().shared_revocations(scene.list.clone()).on_stale(ALLOW).build().unwrap();
    assert!(guard.authenticate(&scene.token()).is_ok());
    assert_eq!(guard.authenticate_under(&scene.token(), OnStale::Deny).unwrap_err(), Denied::Stale);
    let mute = scene.issuer.guard().on_stale(ASK).build();
    assert_eq!(mute.unwrap_err(), BuildTrouble::NoIntrospection);
}

#[test]
fn what_the_feed_has_ended_is_refused_without_asking_under_every_policy() {
    let scene = Scene::stale();
    let token = scene.token();
    assert!(scene.footing(&token, ASK).is_ok());
    scene.list.ended.store(true, SeqCst);
    let asked = scene.asked();
    for policy in [OnStale::Deny, ASK, ALLOW] {
        assert_eq!(scene.footing(&token, policy), Err(Denied::Revoked(Kind::Family)));
    }
    assert_eq!(scene.asked(), asked);
}

#[test]
fn a_guard_that_was_never_complete_accepts_nothing_whoever_vouches() {
    let scene = Scene::new();
    scene.list.age_ms.store(NEVER_COMPLETE, SeqCst);
    for policy in [OnStale::Deny, ASK, OnStale::AllowUpTo(Duration::MAX)] {
        assert_eq!(scene.footing(&scene.token(), policy), Err(Denied::Stale));
    }
    assert_eq!(scene.asked(), 0);
    // The same with a real view, which has no salt, then a salt and no record, and both are not enough.
    let view = Arc::new(View::new("live:eu1", MAX_STALENESS));
    let guard = scene.issuer.guard().shared_revocations(view.clone()).build().unwrap();
    let denied = || guard.authenticate_under(&scene.token(), OnStale::AllowUpTo(Duration::MAX)).unwrap_err();
    assert_eq!(denied(), Denied::Stale);
    view.set_salt(b"salt");
    assert_eq!(denied(), Denied::Stale);
    view.note_as_of(Position { epoch: 1, seq: 1 }, 1_000);
    assert!(guard.authenticate_under(&scene.token(), OnStale::AllowUpTo(Duration::MAX)).is_ok());
}

#[test]
fn old_news_is_allowed_up_to_its_bound_and_not_a_millisecond_longer() {
    let scene = Scene::stale();
    let token = scene.token();
    scene.list.age_ms.store(900_000, SeqCst);
    assert_eq!(scene.footing(&token, ALLOW), Ok(Footing::Old(Duration::from_secs(900))));
    scene.list.age_ms.store(900_001, SeqCst);
    assert_eq!(scene.footing(&token, ALLOW), Err(Denied::Stale));
    assert_eq!(scene.asked(), 0);
}

#[test]
fn a_bad_token_is_never_asked_about() {
    let scene = Scene::stale();
    let expired = scene.issuer.token(|claims| claims["exp"] = (NOW - 31).into());
    let foreign = scene.issuer.token(|claims| claims["aud"] = "other".into());
    let forged = Issuer::new().token(|_| {});
    for (token, denied) in
        [(expired, Denied::Expired), (foreign, Denied::WrongAudience), (forged, Denied::BadSignature)]
    {
        assert_eq!(scene.footing(&token, ASK), Err(denied));
    }
    assert_eq!(scene.asked(), 0);
}

#[test]
fn without_the_issuers_own_word_nobody_gets_in() {
    let scene = Scene::stale();
    let Ok(Word::Active { jti, exp }) = active() else { panic!("the answer is that it is active") };
    for word in [
        Err(Unanswered),
        Ok(Word::Active { jti: "another".into(), exp }),
        Ok(Word::Active { jti: String::new(), exp }),
        Ok(Word::Active { jti: jti.clone(), exp: NOW }),
        Ok(Word::Active { jti, exp: 0 }),
    ] {
        scene.says(word);
        assert_eq!(scene.footing(&scene.token(), ASK), Err(Denied::Stale));
    }
    assert_eq!(scene.guard.metrics().introspections.failed, 5);
}

#[test]
fn a_good_answer_counts_for_a_second_and_never_beyond_its_expiry() {
    let scene = Scene::stale();
    let token = scene.token();
    (0..5).for_each(|_| assert!(scene.footing(&token, ASK).is_ok()));
    assert_eq!(scene.asked(), 1);
    std::thread::sleep(Duration::from_millis(1_050));
    assert!(scene.footing(&token, ASK).is_ok());
    assert_eq!(scene.asked(), 2);
    // The issuer gives the token until the next second, and then it is asked again.
    let other = scene.issuer.token(|claims| claims["rand"] = 0.1.into());
    let Ok(Word::Active { jti, .. }) = active() else { panic!("the answer is that it is active") };
    scene.says(Ok(Word::Active { jti, exp: NOW + 1 }));
    assert!(scene.footing(&other, ASK).is_ok());
    let later = scene.guard.check_under(&other, (NOW + 1) * 1000, ASK);
    assert_eq!((later.unwrap_err(), scene.asked()), (Denied::Stale, 4));
}

#[test]
fn an_inactive_token_stays_refused_until_the_feed_has_caught_up() {
    let scene = Scene::stale();
    let token = scene.token();
    scene.says(Ok(Word::Inactive));
    assert_eq!(scene.footing(&token, ASK), Err(Denied::Inactive));
    scene.says(active());
    for policy in [OnStale::Deny, ASK, ALLOW] {
        assert_eq!(scene.footing(&token, policy), Err(Denied::Inactive), "refused once, refused everywhere");
    }
    assert_eq!(scene.asked(), 1);
    scene.hears(11);
    assert_eq!(scene.footing(&token, OnStale::Deny), Err(Denied::Inactive), "late, and still fresh enough");
    scene.list.as_of_ms.fetch_add(1, SeqCst);
    assert_eq!(scene.footing(&token, OnStale::Deny), Ok(Footing::Fresh), "now the feed would say so itself");
    scene.ages(11);
    assert_eq!(scene.footing(&token, ASK), Ok(Footing::Introspected), "and an old answer is forgotten");
}

/// Anybody who has an ES256 token can make its twin with the other `s` (case 10 in `forgery.rs`).
#[test]
fn the_twin_of_an_inactive_token_is_inactive_too() {
    let scene = Scene::stale();
    let token = scene.token();
    scene.says(Ok(Word::Inactive));
    assert_eq!(scene.footing(&token, ASK), Err(Denied::Inactive));
    scene.says(active());
    for policy in [OnStale::Deny, ASK, ALLOW] {
        assert_eq!(scene.footing(&twin_of(&token), policy), Err(Denied::Inactive));
    }
    assert_eq!(scene.asked(), 1);
}

#[test]
fn few_questions_are_asked_at_once_and_the_rest_is_told_to_come_again() {
    let scene = Scene::stale();
    scene.voice.silent.store(true, SeqCst);
    let tokens = scene.tokens(48);
    let shed = || scene.guard.metrics().introspections.shed;
    let outcomes: Vec<_> = std::thread::scope(|scope| {
        let scene = &scene;
        let asking: Vec<_> =
            tokens.iter().map(|token| scope.spawn(move || scene.footing(token, ASK))).collect();
        while shed() < 16 {
            std::thread::sleep(Duration::from_millis(1));
        }
        scene.voice.silent.store(false, SeqCst);
        asking.into_iter().map(|asking| asking.join().unwrap()).collect()
    });
    let count = |outcome| outcomes.iter().filter(|seen| **seen == outcome).count();
    assert_eq!((count(Ok(Footing::Introspected)), count(Err(Denied::Stale))), (32, 16));
    assert_eq!((scene.asked(), shed()), (32, 16));
    assert_eq!(scene.footing(&scene.token(), ASK), Ok(Footing::Introspected), "there is room again");
}

#[test]
fn an_issuer_that_does_not_answer_is_left_alone() {
    let scene = Scene::stale();
    scene.says(Err(Unanswered));
    for token in scene.tokens(40) {
        assert_eq!(scene.footing(&token, ASK), Err(Denied::Stale));
    }
    let counts = scene.guard.metrics().introspections;
    assert_eq!((scene.asked(), counts.failed, counts.shed), (20, 20, 20));
    // Left alone for five seconds, asked once, and one answer is enough.
    scene.says(active());
    std::thread::sleep(Duration::from_millis(5_050));
    for token in scene.tokens(3) {
        assert_eq!(scene.footing(&token, ASK), Ok(Footing::Introspected));
    }
}

#[test]
fn a_permit_says_what_it_rests_on() {
    let scene = Scene::stale();
    let access = scene.guard.authenticate_under(&scene.token(), ALLOW).unwrap();
    let permit = scene.guard.require(&access, "orders", portcullis_guard::Action::Read).unwrap();
    assert!(permit.footing().is_stale());
}
