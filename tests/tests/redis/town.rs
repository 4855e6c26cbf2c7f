//! Servers over one SQLite file, and guards that follow them, all in this process.

use std::sync::Arc;
use std::time::{Duration, Instant};

use portcullis::books;
use portcullis::means::Means;
use portcullis::serve::{Running, start};
use portcullis::settings::{self, Settings};
use portcullis::testing::{self, Scratch};
use portcullis_guard::feed::{
    Counts, FeedKeys, Freshness, HttpConfig, HttpFeed, RedisConfig, RedisFeed, Sink, Trust, View,
};
use portcullis_guard::{Guard, KeySet, Policy};

pub const FEED: &str = "live:eu1";
pub const SOON: Duration = Duration::from_secs(15);
const SHOP: &str = r#"
[[organizations]]
slug = "a"
[[applications]]
client_id = "i"
kind = "integration"
role = "admin"
secret = "s"
[[applications]]
client_id = "w"
kind = "sales_channel"
password_grant = true
[[guards]]
id = "shop"
secret = "guard-secret"
"#;

pub struct Town {
    pub settings: Settings,
    servers: Vec<Running>,
    _scratch: Scratch,
}

impl Town {
    /// One server that publishes there.
    pub fn new(redis_url: &str) -> Self {
        Self::new_named(redis_url, FEED)
    }

    /// The same for another feed.
    pub fn new_named(redis_url: &str, feed: &str) -> Self {
        let (scratch, means) = (Scratch::new(), Means::system());
        let mut settings = testing::settings(&scratch);
        settings.feed.name = feed.into();
        settings.redis = Some(settings::Redis::at(redis_url));
        tokio::runtime::Runtime::new().unwrap().block_on(async {
            let store = books::open(&settings, &means).await.unwrap();
            books::sow(&settings, &means, &store, SHOP).await.unwrap();
        });
        let mut town = Self { settings, servers: Vec::new(), _scratch: scratch };
        town.open();
        town.settings.issuer = town.servers[0].issuer.clone();
        town
    }

    /// One more server over the same books.
    pub fn open(&mut self) {
        self.servers.push(start(self.settings.clone(), Means::system()).unwrap());
    }

    /// Stops the server that was opened first.
    pub fn close_oldest(&mut self) {
        self.servers.remove(0).stop().unwrap();
    }

    /// Somebody guesses the password of an account at one of the servers: the status of the answer.
    pub fn guess(&self, server: usize, email: &str) -> u16 {
        let form =
            [("grant_type", "password"), ("client_id", "w"), ("username", email), ("password", "guess")];
        self.ask(server, &form)
    }

    /// Asks one of the servers for a token of the sales channel.
    pub fn guest(&self, server: usize) -> u16 {
        self.ask(server, &[("grant_type", "client_credentials"), ("client_id", "w")])
    }

    fn ask(&self, server: usize, form: &[(&str, &str)]) -> u16 {
        let agent: ureq::Agent = ureq::Agent::config_builder().http_status_as_error(false).build().into();
        let at = format!("http://{}/oauth/token", self.servers[server].address);
        agent.post(at).send_form(form.iter().copied()).unwrap().status().as_u16()
    }

    /// What one of the servers shows to those who watch.
    pub fn metrics(&self, server: usize) -> String {
        let at = self.servers[server].metrics.expect("it was opened with a metrics listener");
        let mut page = ureq::get(format!("http://{at}/metrics")).call().unwrap();
        page.body_mut().read_to_string().unwrap()
    }

    pub fn token(&self) -> String {
        let mut answer = ureq::post(self.at("/oauth/token"))
            .send_form([("grant_type", "client_credentials"), ("client_id", "i"), ("client_secret", "s")])
            .unwrap();
        let answer: serde_json::Value =
            serde_json::from_str(&answer.body_mut().read_to_string().unwrap()).unwrap();
        answer["access_token"].as_str().unwrap().to_owned()
    }

    /// Ends a token and says how long the server took for its answer.
    pub fn revoke(&self, token: &str) -> Duration {
        let began = Instant::now();
        let form = [("token", token), ("client_id", "i"), ("client_secret", "s")];
        let answer = ureq::post(self.at("/oauth/revoke")).send_form(form).unwrap();
        assert!(answer.headers().contains_key("revocation-position"));
        began.elapsed()
    }

    pub fn feed_keys(&self) -> FeedKeys {
        let mut answer = ureq::get(self.at("/.well-known/rv-jwks.json")).call().unwrap();
        FeedKeys::from_jwks(&answer.body_mut().read_to_string().unwrap()).unwrap()
    }

    /// Where the guards of this town find their server.
    pub fn http(&self) -> HttpConfig {
        let base = format!("http://{}", self.servers[0].address);
        HttpConfig::new(&self.settings.issuer, "shop", "guard-secret").base(base)
    }

    /// A guard that knows nothing but Redis.
    pub fn guard_on(&self, redis_url: &str, staleness: Duration) -> Watch {
        let trust = Trust::Pinned {
            issuer: self.settings.issuer.clone(),
            keys: self.feed_keys(),
            clock_error: Duration::from_secs(2),
        };
        Watch::new(self, Some((redis_url, trust)), false, staleness)
    }

    /// The feed over Redis alone, when Redis may show these authorities' certificates and no other.
    pub fn follow_over_tls(&self, redis_url: &str, authorities: &str) -> Sighted {
        let view = Arc::new(View::new(FEED, Duration::from_secs(10)));
        let trust = Trust::Pinned {
            issuer: self.settings.issuer.clone(),
            keys: self.feed_keys(),
            clock_error: Duration::from_secs(2),
        };
        let config = RedisConfig { url: redis_url.into(), authorities: Some(authorities.into()), trust };
        let feed = RedisFeed::start(config, view, Arc::new(Deaf)).unwrap();
        Sighted(feed)
    }

    /// A guard that follows Redis alone and can ask the issuer.
    pub fn guard_beside_issuer(&self, redis_url: &str) -> Watch {
        Watch::new(self, Some((redis_url, Trust::Issuer(self.http()))), false, Duration::from_secs(10))
    }

    /// A guard that follows both.
    pub fn guard_on_both(&self, redis_url: &str) -> Watch {
        let trust = Trust::Issuer(self.http());
        Watch::new(self, Some((redis_url, trust)), true, Duration::from_secs(10))
    }

    fn at(&self, path: &str) -> String {
        format!("http://{}{path}", self.servers[0].address)
    }
}

impl Drop for Town {
    fn drop(&mut self) {
        for server in self.servers.drain(..) {
            // What went wrong with it has shown in the test.
            let _ = server.stop();
        }
    }
}

/// A guard and what it follows.
pub struct Watch {
    pub guard: Guard,
    pub view: Arc<View>,
    redis: Option<RedisFeed>,
    http: Option<HttpFeed>,
    delivery: Arc<Delivery>,
}

/// A feed over Redis without a guard behind it.
pub struct Sighted(RedisFeed);

impl Sighted {
    pub fn is_live_within(&self, patience: Duration) -> bool {
        self.0.wait_until_live(patience)
    }
}

struct Deaf;

impl Sink for Deaf {
    fn keys(&self, _: &str) {}
    fn policy(&self, _: &str) {}
}

struct Delivery(Guard);

impl Sink for Delivery {
    fn keys(&self, jwks: &str) {
        self.0.replace_keys(KeySet::from_jwks(jwks).unwrap());
    }

    fn policy(&self, json: &str) {
        self.0.replace_policy(Policy::from_json(json).unwrap());
    }
}

impl Watch {
    fn new(town: &Town, redis: Option<(&str, Trust)>, http: bool, staleness: Duration) -> Self {
        let view = Arc::new(View::new(FEED, staleness));
        let guard = Guard::builder()
            .issuer(&town.settings.issuer)
            .audience("commerce-api")
            .environment(portcullis_guard::Environment::Any)
            .shared_revocations(view.clone())
            .build()
            .unwrap();
        let delivery = Arc::new(Delivery(guard.clone()));
        let redis = redis.map(|(url, trust)| {
            let config = RedisConfig { url: url.into(), authorities: None, trust };
            RedisFeed::start(config, view.clone(), delivery.clone()).unwrap()
        });
        let http = http.then(|| HttpFeed::start(town.http(), view.clone(), delivery.clone()).unwrap());
        Self { guard, view, redis, http, delivery }
    }

    /// Waits until it is live and has keys, so that refusals have no other cause than the feed.
    pub fn ready(self, token: &str) -> Self {
        let ready = super::child::within(SOON, || self.accepts(token));
        assert!(ready, "{:?}, {:?}", self.guard.authenticate(token).err(), self.counts());
        self
    }

    pub fn accepts(&self, token: &str) -> bool {
        self.guard.authenticate(token).is_ok()
    }

    /// Refused because it has ended, and for no other reason.
    pub fn knows_end_of(&self, token: &str) -> bool {
        matches!(self.guard.authenticate(token), Err(portcullis_guard::Denied::Revoked(_)))
    }

    pub fn is_live(&self) -> bool {
        self.view.freshness_now() == Freshness::Live
    }

    /// What the follower on Redis met.
    pub fn counts(&self) -> Counts {
        self.redis.as_ref().map(|feed| feed.counts()).unwrap_or_default()
    }

    /// Follows over HTTP from now on as well.
    pub fn also_over_http(&mut self, town: &Town) {
        self.http = Some(HttpFeed::start(town.http(), self.view.clone(), self.delivery.clone()).unwrap());
    }
}
