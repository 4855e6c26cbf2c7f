//! Servers of two versions over the same books: the one before, built from its own commit
//! (`tests/previous-version`, `scripts/previous.sh`), and this one. A rollout goes forward and is taken back while
//! people ask; whatever either has ended is ended at both and at the guards of both, and what operators write at one
//! is read at the other.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::time::{Duration, Instant};

use portcullis::testing::Scratch;
use portcullis_tests::client::{BACKEND, Client, STOREFRONT};
use portcullis_tests::clock::TownClock;
use portcullis_tests::cluster::{Cluster, DELAY, Member};
use portcullis_tests::crossing::Crossing;
use portcullis_tests::faults::redis::Redis;
use portcullis_tests::ground::say;
use portcullis_tests::ports::free_port;
use portcullis_tests::street::{no, walker};
use portcullis_tests::town::FEED;
use portcullis_tests::{Answer, Ground, Shopfront, program};

use super::papers::{self, Clerk};
use super::traffic::Traffic;

const SERVERS: usize = 3;
const ROLES: &str = "operator,approver,auditor,owner";
const SEED: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/fixtures/town.toml");
/// How long two versions work side by side before the next is replaced.
const MIX: Duration = Duration::from_secs(2);
/// From the answer that something has ended, on a busy machine, to a guard's refusal. What was waited for with
/// `Prefer` is refused at once; the rest is for a guard whose server has just been replaced.
const BOUND: Duration = Duration::from_secs(5);

pub async fn a_rollout_goes_forward_and_back_beside_the_version_before(ground: &Ground) {
    let Some(before) = program::version_before() else { return };
    let mut house = House::open(ground, &before).await;
    house.start(0, Some(&before));
    house.start(1, Some(&before));
    house.open_shop(0);
    let traffic = Traffic::begin(&house.cluster.issuer(), 3);
    house.ends_everywhere(&[(0, 1)]).await;
    // The first of this version brings the tables up to date, under the feet of the two.
    house.start(2, None);
    house.open_shop(2);
    house.ends_everywhere(&[(0, 2), (2, 0), (2, 1), (1, 2)]).await;
    tokio::time::sleep(MIX).await;
    let create = house.cluster.members[2].command(&["operators", "create", papers::EMAIL, "--role", ROLES]);
    let mut clerk = Clerk::hire(create, house.offices[0], &house.clock).await;
    house.papers_pass(&mut clerk, &[(2, 0), (0, 2)]).await;
    for at in [1, 0] {
        house.replace(at, None);
        house.ends_everywhere(&[(0, 1), (1, 0)]).await;
    }
    tokio::time::sleep(MIX).await;
    // The way back, over tables and rows of this version.
    house.replace(1, Some(&before));
    house.ends_everywhere(&[(1, 2), (2, 1), (1, 0), (0, 1)]).await;
    house.papers_pass(&mut clerk, &[(0, 1), (1, 2)]).await;
    tokio::time::sleep(MIX).await;
    house.audit_is_whole(1);
    house.audit_is_whole(2);
    let tally = traffic.end().await;
    say(&format!(
        "cluster: the version before and this one side by side, forward and back; requests sent {}, failed {}; \
         {} ends at one were ends at both, the slowest guard after {:?}",
        tally.sent,
        tally.failed.len(),
        house.ended,
        house.slowest
    ));
    assert!(tally.failed.is_empty(), "{:#?}", tally.failed);
    assert!(tally.sent > 500, "that was no traffic: {}", tally.sent);
}

/// Three servers, guards that follow some of them, and what was found out. Fields close in this order.
struct House {
    shops: Vec<Shopfront>,
    cluster: Cluster,
    /// Where operators come in, of each server.
    offices: Vec<SocketAddr>,
    clock: Arc<TownClock>,
    http: reqwest::Client,
    ended: usize,
    slowest: Duration,
}

impl House {
    /// Keys and people by the version before, as in a house that has stood for a while; nobody runs yet.
    async fn open(ground: &Ground, before: &Path) -> Self {
        let folder = Scratch::new();
        let mut plot = ground.prepare_bare(&folder).await;
        plot.redis = Some(Redis::start(&folder.path().join("redis"), false).expect("redis-server starts"));
        let (addresses, offices) = (free_addresses(), free_addresses());
        let crossing = Crossing::open(addresses.iter().copied());
        let redis = plot.redis.as_ref().expect("started above").address();
        let common = settings(&crossing.url(), &plot.url, redis, &folder.path().join("keys"));
        let describe = |(address, office): (&SocketAddr, &SocketAddr)| {
            let (address, office) = (*address, office.port());
            let config = folder.path().join(format!("server-{}.toml", address.port()));
            let text = format!(
                "{common}[listen]\naddress = '127.0.0.1'\nport = {}\nworkers = 2\ndrain_delay_ms = {}\n\
                 [admin]\nenabled = true\nport = {office}\n",
                address.port(),
                DELAY.as_millis(),
            );
            std::fs::write(&config, text).expect("the folder is ours");
            let mut member = Member::with_settings(address, config);
            member.becomes(Some(before));
            member
        };
        let members: Vec<_> = addresses.iter().zip(&offices).map(describe).collect();
        done(members[0].command(&["keys", "init", "--algorithms", "ES256"]));
        done(members[0].command(&["seed", SEED]));
        Self {
            shops: Vec::new(),
            cluster: Cluster::of(members, crossing, plot, folder),
            offices,
            clock: Arc::default(),
            http: walker(),
            ended: 0,
            slowest: Duration::ZERO,
        }
    }

    fn start(&mut self, at: usize, build: Option<&Path>) {
        self.cluster.members[at].becomes(build);
        self.cluster.members[at].start();
        self.cluster.wait_until_led_to(at);
    }

    fn replace(&mut self, at: usize, build: Option<&Path>) {
        self.cluster.members[at].terminate();
        self.start(at, build);
    }

    /// A shop whose guard follows one server and no other.
    fn open_shop(&mut self, at: usize) {
        let shop = Shopfront::open(&self.cluster.issuer(), &self.url(at, ""), FEED, &self.clock);
        shop.wait_until_ready();
        self.shops.push(shop);
    }

    fn url(&self, at: usize, path: &str) -> String {
        format!("http://{}{path}", self.cluster.members[at].address)
    }

    /// What one server answers as ended, the other one and every guard know as ended; for each pair of them.
    async fn ends_everywhere(&mut self, pairs: &[(usize, usize)]) {
        for &(one, other) in pairs {
            self.a_token_ends(one, other).await;
            self.a_login_ends(one, other).await;
        }
    }

    async fn a_token_ends(&mut self, one: usize, other: usize) {
        let token = self.token(one, &BACKEND, &[("grant_type", "client_credentials")]).await.access_token();
        assert!(self.is_active(other, &token).await, "{one} issued it, and {other} does not know it");
        for shop in &self.shops {
            assert_eq!(self.at_shop(shop, &token).await, 200);
        }
        self.revoke(one, &BACKEND, &token).await;
        self.is_dead(&[one, other], &token).await;
    }

    /// A login goes from server to server, and ends at the one with what the other gave out.
    async fn a_login_ends(&mut self, one: usize, other: usize) {
        let named = [("username", "jane@example.com"), ("password", "hush-jane"), ("grant_type", "password")];
        let login = self.token(one, &STOREFRONT, &named).await;
        let next = self.refreshed(other, &login.refresh_token()).await.with_status(200);
        let last = self.refreshed(one, &next.refresh_token()).await.with_status(200);
        self.revoke(other, &STOREFRONT, &last.refresh_token()).await;
        self.is_dead(&[one, other], &last.access_token()).await;
        for at in [one, other] {
            let refused = self.refreshed(at, &last.refresh_token()).await;
            assert_eq!(refused.refusal(), no(400, "invalid_grant"), "at {at}");
        }
    }

    async fn is_dead(&mut self, servers: &[usize], token: &str) {
        let began = Instant::now();
        for &at in servers {
            assert!(!self.is_active(at, token).await, "{at} still knows a token that has ended");
        }
        for shop in &self.shops {
            while self.at_shop(shop, token).await != 401 {
                assert!(began.elapsed() < BOUND, "the guard at {} still accepts it", shop.address);
                tokio::time::sleep(Duration::from_millis(2)).await;
            }
        }
        self.ended += 1;
        self.slowest = self.slowest.max(began.elapsed());
    }

    async fn token(&self, at: usize, client: &Client, more: &[(&str, &str)]) -> Answer {
        let asked = self.http.post(self.url(at, "/oauth/token")).form(&client.form(more));
        Answer::to(asked).await.with_status(200)
    }

    async fn refreshed(&self, at: usize, token: &str) -> Answer {
        let form = STOREFRONT.form(&[("grant_type", "refresh_token"), ("refresh_token", token)]);
        Answer::to(self.http.post(self.url(at, "/oauth/token")).form(&form)).await
    }

    async fn revoke(&self, at: usize, client: &Client, token: &str) {
        let asked = self.http.post(self.url(at, "/oauth/revoke")).form(&client.form(&[("token", token)]));
        Answer::to(asked.header("prefer", "wait=2")).await.with_status(200);
    }

    async fn is_active(&self, at: usize, token: &str) -> bool {
        let form = [("client_id", "shop"), ("client_secret", "hush-guard"), ("token", token)];
        let asked = self.http.post(self.url(at, "/oauth/introspect")).form(&form);
        Answer::to(asked).await.with_status(200).json()["active"] == true
    }

    async fn at_shop(&self, shop: &Shopfront, token: &str) -> u16 {
        let asked = self.http.get(format!("http://{}/api/skus", shop.address)).bearer_auth(token);
        Answer::to(asked).await.status
    }

    /// What an operator writes at one server, it and the other one read.
    async fn papers_pass(&self, clerk: &mut Clerk, pairs: &[(usize, usize)]) {
        for &(one, other) in pairs {
            clerk.write(self.offices[one]).await;
            for at in [one, other] {
                clerk.read(self.offices[at]).await;
            }
        }
    }

    /// The chain of the audit log, as the version that a server runs reads it.
    fn audit_is_whole(&self, at: usize) {
        let member = &self.cluster.members[at];
        // The version before always read the books.
        let help = member.command(&["audit", "verify", "--help"]).output().expect("the program runs");
        let words = ["audit", "verify", "--books"];
        let known = if String::from_utf8_lossy(&help.stdout).contains("--books") { 3 } else { 2 };
        done(member.command(&words[..known]));
    }
}

/// Ports that nobody has at this moment, one for each server.
fn free_addresses() -> Vec<SocketAddr> {
    let free = || SocketAddr::from((Ipv4Addr::LOCALHOST, free_port().expect("a free port")));
    (0..SERVERS).map(|_| free()).collect()
}

/// What both versions understand; a setting of this version alone has no place here.
fn settings(issuer: &str, store: &str, redis: SocketAddr, keys: &Path) -> String {
    format!(
        "issuer = '{issuer}'\ndomain = 'town.test'\n{LIMITS}[store]\nurl = '{store}'\npool = 4\n\
         [redis]\nurl = 'redis://{redis}'\n[keys]\ndirectory = '{}'\n\
         [passwords]\nmemory_kib = 64\niterations = 1\n",
        keys.display(),
    )
}

/// The same few people come all the time, from one address.
const LIMITS: &str = "
[limits]
address = { count = 0, seconds = 60 }
passwords = { count = 0, seconds = 60 }
passwords_long = { count = 0, seconds = 3600 }
passwords_in_all = { count = 0, seconds = 3600 }
reads = { count = 0, seconds = 60 }
writes = { count = 0, seconds = 60 }
";

fn done(mut command: Command) {
    let output = command.output().expect("the program runs");
    let said = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
    assert!(output.status.success(), "{command:?}\n{said}");
}
