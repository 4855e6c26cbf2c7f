//! What the parts cost in this process, one thread, nothing else going on: signing, checking, permissions, sealed fields.
//! Many short batches; the table has what the fastest tenth of them stayed below, because slower ones on a
//! shared machine say more about its other guests.

use std::hint::black_box;
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use portcullis_authority::keyring::SigningKey;
use portcullis_authority::registry::Profile;
use portcullis_guard::claims::{Application, Generations, Organization};
use portcullis_guard::feed::{Kind, Position, Record, View};
use portcullis_guard::policy::{Permission, Role};
use portcullis_guard::{Access, Action, Claims, Facts, Guard, KeySet, Policy, Unverified};

use crate::Outcome;
use crate::sealing;
use crate::signatures::Pair;
use crate::table::{self, figure};

const ALGORITHMS: [&str; 3] = ["ES256", "EdDSA", "RS512"];
const ISSUER: &str = "http://127.0.0.1:8080";
const AUDIENCE: &str = "commerce-api";
const ORGANIZATION: &str = "orgBenchAA";
/// Custom roles in the policy of the permission check.
const ROLES: usize = 50;
/// Revocations that the guard holds.
const RECORDS: u64 = 1_000_000;
/// A batch is about this long, so that many fit between two interruptions.
const BATCH: Duration = Duration::from_micros(500);
/// What is measured below, for sharing out the time.
const MEASUREMENTS: u32 = 30;

/// Measures for about so long and prints the tables.
pub fn run(span: Duration) -> Outcome<()> {
    let each = span / MEASUREMENTS;
    let pairs = ALGORITHMS.map(Pair::make).into_iter().collect::<Outcome<Vec<_>>>()?;
    let claims = claims()?;
    let text = serde_json::to_vec(&claims)?;
    signing(&pairs, &text, each)?;
    let view = Arc::new(view()?);
    checking(&pairs, &text, &view, each)?;
    parts(&pairs[0], &claims, &view, each)?;
    sealing::run(each)
}

/// A key in memory signs at once, and needs nobody who waits for it.
fn signed(key: &SigningKey, claims: &[u8]) -> Outcome<String> {
    match pin!(key.sign(Profile::Rfc9068, claims)).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(token) => Ok(token?),
        Poll::Pending => Err("a key in memory made us wait".into()),
    }
}

fn signing(pairs: &[Pair], claims: &[u8], each: Duration) -> Outcome<()> {
    let mut rows = Vec::new();
    for pair in pairs {
        let key = pair.keyring.active(pair.algorithm)?;
        let message = signed(key, claims)?.into_bytes();
        let raw = nanos(each, || pair.sign(&message));
        let whole = nanos(each, || signed(key, claims));
        rows.push(vec![pair.algorithm.into(), figure(raw / 1e3), figure(whole / 1e3), figure(whole / raw)]);
    }
    table::print(
        "Signing, µs",
        &["algorithm", "ring, raw", "keyring (josekit), whole token", "ratio"],
        &rows,
    );
    Ok(())
}

fn checking(pairs: &[Pair], claims: &[u8], view: &Arc<View>, each: Duration) -> Outcome<()> {
    let mut rows = Vec::new();
    for pair in pairs {
        let token = signed(pair.keyring.active(pair.algorithm)?, claims)?;
        let (message, _) = token.rsplit_once('.').ok_or("a token without a signature")?;
        let signature = pair.sign(message.as_bytes())?;
        let (cold, warm) = (guard(pair, view, 0)?, guard(pair, view, 1024)?);
        let now = now_ms()?;
        for guard in [&cold, &warm] {
            guard.check_at(&token, now)?;
        }
        let raw = nanos(each, || pair.verify(message.as_bytes(), &signature));
        let first = nanos(each, || cold.check_at(&token, now));
        let again = nanos(each, || warm.check_at(&token, now));
        rows.push(vec![
            pair.algorithm.into(),
            figure(raw / 1e3),
            figure(first / 1e3),
            figure(first / raw),
            figure(again / 1e3),
        ]);
    }
    let heads = ["algorithm", "ring, raw", "guard, first sight", "ratio", "guard, seen before"];
    table::print(&format!("Checking, µs ({RECORDS} revocations held)"), &heads, &rows);
    Ok(())
}

fn parts(pair: &Pair, claims: &Claims, view: &Arc<View>, each: Duration) -> Outcome<()> {
    let guard = guard(pair, view, 1024)?;
    let subjects: Vec<String> = guard.actions(claims).into_iter().map(|(name, _)| name.to_owned()).collect();
    guard.replace_policy(policy(&subjects)?);
    let custom = Claims { rol: vec![format!("{ORGANIZATION}/role-7")], ..claims.clone() };
    let token = signed(pair.keyring.active(pair.algorithm)?, &serde_json::to_vec(&custom)?)?;
    let access: Access = guard.check_at(&token, now_ms()?)?;
    let facts = Facts::new().id("AbCdEfGhIj").organization(ORGANIZATION);
    let orders = guard.subject_id("orders").ok_or("no subject is called orders")?;
    guard.permit(&access, orders, Action::Update, &facts).map_err(|why| format!("{why:?}"))?;
    let rows = [
        ("token parsed, nothing proved", nanos(each, || Unverified::parse(&token))),
        ("revocation looked up, not cached", nanos(each, || view.ended(access.key_id(), access.claims()))),
        (
            "permission, subject by name",
            nanos(each, || guard.permit(&access, "orders", Action::Update, &facts)),
        ),
        (
            "permission, subject by number",
            nanos(each, || guard.permit(&access, orders, Action::Update, &facts)),
        ),
    ];
    let rows: Vec<_> = rows.into_iter().map(|(name, nanos)| vec![name.to_owned(), figure(nanos)]).collect();
    let title = format!("Parts, ns ({ROLES} custom roles, {} subjects)", subjects.len());
    table::print(&title, &["part", "ns"], &rows);
    Ok(())
}

/// Nanoseconds for one: the fastest tenth of many batches took no longer.
pub fn nanos<T>(span: Duration, work: impl Fn() -> T) -> f64 {
    let mut times = 1u32;
    while batch(times, &work) < BATCH && times < 1 << 20 {
        times *= 2;
    }
    let (began, mut each) = (Instant::now(), Vec::new());
    while began.elapsed() < span || each.len() < 5 {
        each.push(batch(times, &work).as_nanos() as f64 / f64::from(times));
    }
    each.sort_by(f64::total_cmp);
    each[each.len() / 10]
}

fn batch<T>(times: u32, work: &impl Fn() -> T) -> Duration {
    let began = Instant::now();
    for _ in 0..times {
        black_box(work());
    }
    began.elapsed()
}

fn guard(pair: &Pair, view: &Arc<View>, tokens: usize) -> Outcome<Guard> {
    let keys = KeySet::from_jwks(pair.keyring.published())?;
    let told = Guard::builder().issuer(ISSUER).audience(AUDIENCE).keys(keys).tokens_kept(tokens);
    Ok(told.shared_revocations(view.clone()).build()?)
}

/// A complete view that stays fresh for longer than any benchmark, with many records that end other tokens.
fn view() -> Outcome<View> {
    let view = View::new("bench:one", Duration::from_secs(3600));
    view.set_salt(&[7; 32]);
    let record = |number: u64| {
        let id =
            (u128::from(number.wrapping_mul(0x9e37_79b9_7f4a_7c15)) << 64 | u128::from(number)).to_be_bytes();
        Record { kind: Kind::Token, flags: 0, exp: u32::MAX, val: 0, id }
    };
    let records: Vec<Record> = (0..RECORDS).map(record).collect();
    for some in records.chunks(65_536) {
        view.apply(some);
    }
    view.note_as_of(Position { epoch: 1, seq: RECORDS }, now_ms()?);
    Ok(view)
}

/// Every role may read and change everything; what differs is only the name.
fn policy(subjects: &[String]) -> Outcome<Policy> {
    let permissions: Vec<_> =
        subjects.iter().map(|name| Permission::new(name, [Action::Read, Action::Update])).collect();
    let mut policy = Policy::new(1);
    for number in 0..ROLES {
        policy =
            policy.with_role(&format!("{ORGANIZATION}/role-{number}"), Role::new(permissions.clone()))?;
    }
    Ok(policy)
}

/// What a token of client credentials says.
fn claims() -> Outcome<Claims> {
    let now = now_ms()? / 1000;
    Ok(Claims {
        iss: ISSUER.into(),
        sub: "client:backend".into(),
        aud: vec![AUDIENCE.into()],
        client_id: "backend".into(),
        iat: now,
        exp: now + 7200,
        jti: "AZJk0gAAcAAAAAAAAAAAAA".into(),
        scope: "market:all".into(),
        sid: None,
        auth_time: None,
        amr: Vec::new(),
        gv: Generations(0, 1, 1, 0),
        rol: vec!["admin".into()],
        pv: 1,
        perm: None,
        act: None,
        organization: Some(Organization {
            id: ORGANIZATION.into(),
            slug: "bench".into(),
            enterprise: false,
            region: "eu-west-1".into(),
        }),
        application: Application {
            id: "backend".into(),
            client_id: "backend".into(),
            kind: "integration".into(),
            public: false,
            confidential: true,
        },
        market: None,
        owner: None,
        user: None,
        custom_claim: None,
        test: false,
        rand: 0.421_875,
    })
}

fn now_ms() -> Outcome<u64> {
    Ok(u64::try_from(SystemTime::now().duration_since(UNIX_EPOCH)?.as_millis())?)
}
