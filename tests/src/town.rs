//! The town: the real server on a free port over a database of its own, or several behind one address, a clock
//! that can be set forward, and, where a test wants one, the shop. Everything closes when the town goes.

use std::path::Path;
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use portcullis::books;
use portcullis::keys::{KeyDirectory, Plan, Purpose};
use portcullis::means::{Means, SystemDice};
use portcullis::serve::{Running, start};
use portcullis::settings::{Day, Legacy, Redis, Settings};
use portcullis::testing::Scratch;
use portcullis_authority::desk::Clock as _;
use portcullis_authority::ledger::{Act, AuditRecord, Deed, Ledger as _};
use portcullis_authority::operators::OperatorRole;
use portcullis_store::Store;
use reqwest::RequestBuilder;
use serde_json::Value;

use crate::browser::Browser;
use crate::client::{BACKEND, Client};
use crate::clock::TownClock;
use crate::crossing::Crossing;
use crate::ground::{Ground, Held, Plot};
use crate::office::Colleague;
use crate::ports::free_port;
use crate::shopfront::Shopfront;
use crate::street::{self, Answer};

/// Who lives here; every secret begins with "hush".
const SEED: &str = include_str!("../fixtures/town.toml");
/// The feed that guards follow.
pub const FEED: &str = "live:eu1";
/// Of an authenticator (RFC 6238 section 5.2).
const STEP_SECONDS: u64 = 30;
/// How old a step may be for what takes a few seconds.
const FRESH_MS: u64 = 15_000;
/// The year in which the old hosts fall silent.
pub const OLD_HOSTS_END: i32 = 2099;

/// The one address of several servers, and that of their operators' listeners.
struct Crossings {
    door: Crossing,
    office: Crossing,
}

/// A town. Fields close in the order in which they stand here: the shop before the server, the server
/// before the database.
pub struct Town {
    shop: Option<Shopfront>,
    /// One more server over the same books, at an address of its own.
    neighbour: Option<Running>,
    servers: Vec<Running>,
    /// How many there are while they run.
    count: usize,
    /// What leads to the servers, where there are several.
    crossings: Option<Crossings>,
    pub settings: Settings,
    pub clock: Arc<TownClock>,
    http: reqwest::Client,
    plot: Plot,
    _folder: Scratch,
}

impl Town {
    /// The server alone.
    pub async fn open(ground: &Ground) -> Self {
        Self::open_with(ground, |_| {}).await
    }

    /// The server with its operators' listener, on a free port.
    pub async fn open_with_office(ground: &Ground) -> Self {
        Self::open_with(ground, |settings| {
            settings.admin.enabled = true;
            settings.admin.port = 0;
        })
        .await
    }

    /// An operator with this role, who has signed in.
    pub async fn operator(&self, role: OperatorRole) -> Colleague {
        Colleague::join(self, role).await
    }

    /// The server and the shop, whose guard is live.
    pub async fn open_with_shop(ground: &Ground) -> Self {
        let mut town = Self::open(ground).await;
        town.open_shop();
        town.shopfront().wait_until_ready();
        town
    }

    /// Fills the books with the same seed once more, under the running server.
    pub async fn sow_again(&self) {
        sow(&self.settings, &means(&self.clock)).await;
    }

    /// The server alone, with other settings than usual.
    pub async fn open_with(ground: &Ground, change: impl FnOnce(&mut Settings)) -> Self {
        let folder = Scratch::new();
        let plot = ground.prepare(&folder).await;
        let clock = Arc::new(TownClock::default());
        let mut settings = settings(&folder, &plot);
        let crossings = (ground.servers() > 1)
            .then(|| Crossings { door: Crossing::closed(), office: Crossing::closed() });
        if let Some(crossings) = &crossings {
            settings.issuer = crossings.door.url();
        }
        change(&mut settings);
        if crossings.is_none() {
            // One that it finds free again after a restart.
            settings = settings.with_port(free_port().expect("a free port"));
        }
        sow(&settings, &means(&clock)).await;
        let mut town = Self {
            shop: None,
            neighbour: None,
            servers: Vec::new(),
            count: ground.servers(),
            crossings,
            settings,
            clock,
            http: street::passer_by(),
            plot,
            _folder: folder,
        };
        town.start();
        town
    }

    fn start(&mut self) {
        for _ in 0..self.count {
            let running = start(self.settings.clone(), means(&self.clock)).expect("the server starts");
            self.servers.push(running);
        }
        if let Some(crossings) = &self.crossings {
            crossings.door.lead_to(self.servers.iter().map(|running| running.address));
            crossings.office.lead_to(self.servers.iter().filter_map(|running| running.admin));
        }
    }

    pub fn open_shop(&mut self) {
        let issuer = &self.settings.issuer;
        self.shop = Some(Shopfront::open(issuer, issuer, FEED, &self.clock));
    }

    pub fn shopfront(&self) -> &Shopfront {
        self.shop.as_ref().expect("this town has a shop")
    }

    /// Where operators come in.
    pub fn office(&self) -> String {
        let own = self.servers[0].admin.expect("this town has an operators' listener");
        self.crossings.as_ref().map_or_else(|| format!("http://{own}"), |both| both.office.url())
    }

    /// Where the numbers of the first server are shown.
    pub fn watchers(&self) -> String {
        format!("http://{}", self.servers[0].metrics.expect("this town has a metrics listener"))
    }

    pub fn issuer(&self) -> &str {
        &self.settings.issuer
    }

    /// Seconds.
    pub fn now(&self) -> u64 {
        self.clock.now()
    }

    /// Waits until the step of an authenticator has begun not long ago, for rules about the code that is shown now
    /// and the one that was shown a moment ago.
    pub async fn wait_for_a_fresh_step(&self) {
        let within = self.clock.now_ms() % (STEP_SECONDS * 1000);
        if within > FRESH_MS {
            tokio::time::sleep(Duration::from_millis(STEP_SECONDS * 1000 - within)).await;
        }
    }

    /// Stops the servers; says how long that took.
    pub fn stop(&mut self) -> Duration {
        let began = Instant::now();
        if let Some(crossings) = &self.crossings {
            crossings.door.lead_to([]);
            crossings.office.lead_to([]);
        }
        for running in std::mem::take(&mut self.servers) {
            running.stop().expect("the server ends well");
        }
        began.elapsed()
    }

    /// Starts as many again over the same books, at the same address.
    pub fn start_again(&mut self) {
        self.start();
    }

    /// Opens a second server over the same books, and says where.
    pub fn open_neighbour(&mut self) -> String {
        let mut settings = self.settings.clone();
        settings.listen.port = 0;
        let running = start(settings, means(&self.clock)).expect("a second server starts");
        let address = format!("http://{}", running.address);
        self.neighbour = Some(running);
        address
    }

    /// Sets the clock forward, and waits until the server has noticed: its feed says what time it is with
    /// each beat, and until then it knows that it does not know.
    pub async fn later(&self, seconds: u64) {
        self.clock.forward(seconds);
        let began = Instant::now();
        loop {
            let token = self.client_token(&BACKEND).await;
            let fresh = self.shop.is_none() || self.shop("/api/skus", &token).await.status == 200;
            if fresh && self.try_introspect(&token).await.status == 200 {
                return;
            }
            assert!(began.elapsed() < Duration::from_secs(15), "the town does not notice that it is later");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    /// Keeps every writer out of the books until what this gives is dropped.
    pub async fn hold_the_books(&self) -> Held {
        self.plot.hold().await
    }

    /// Changes the audit log behind everybody's back.
    pub async fn tamper_with_audit(&self, sql: &str) {
        self.plot.tamper_with_audit(sql).await;
    }

    /// Ends something as another server over the same books would; the town's own server hears of it by
    /// its log.
    pub async fn act_elsewhere(&self, act: Act) {
        let (settings, means, now) = (self.settings.clone(), means(&self.clock), self.now());
        // The store's writer lives on the runtime that opened it, and ends with it.
        let done = std::thread::spawn(move || {
            runtime().block_on(async {
                let store = books::open(&settings, &means).await.expect("the books open twice");
                let record = AuditRecord { at: now, event: "test".into(), ..AuditRecord::default() };
                store.commit(Deed::new(act, record)).await.expect("the deed is done");
            });
        });
        tokio::task::spawn_blocking(|| done.join()).await.expect("it ends").expect("it does not panic");
    }

    /// Looks into the books.
    pub async fn look<T: Send + 'static>(&self, glance: impl AsyncFnOnce(Store) -> T + Send + 'static) -> T {
        let (settings, means) = (self.settings.clone(), means(&self.clock));
        let seen = std::thread::spawn(move || {
            runtime().block_on(async {
                glance(books::open(&settings, &means).await.expect("the books open twice")).await
            })
        });
        tokio::task::spawn_blocking(|| seen.join()).await.expect("it ends").expect("it does not panic")
    }
}

/// What can be asked.
impl Town {
    /// A GET at the server.
    pub fn get(&self, path: &str) -> RequestBuilder {
        self.http.get(format!("{}{path}", self.issuer()))
    }

    /// A POST at the server.
    pub fn post(&self, path: &str) -> RequestBuilder {
        self.http.post(format!("{}{path}", self.issuer()))
    }

    /// Any method at the server.
    pub fn request(&self, method: reqwest::Method, path: &str) -> RequestBuilder {
        self.http.request(method, format!("{}{path}", self.issuer()))
    }

    /// A person with a browser.
    pub fn browser(&self) -> Browser {
        Browser::new(self.issuer())
    }

    /// Asks for a token with the client's credentials in the form.
    pub async fn token(&self, client: &Client, grant: &str, more: &[(&str, &str)]) -> Answer {
        let mut form = client.form(&[("grant_type", grant)]);
        form.extend_from_slice(more);
        Answer::to(self.post("/oauth/token").form(&form)).await
    }

    /// An access token by client credentials.
    pub async fn client_token(&self, client: &Client) -> String {
        self.token(client, "client_credentials", &[]).await.with_status(200).access_token()
    }

    /// Jane logs in at the storefront.
    pub async fn jane(&self, client: &Client) -> Answer {
        self.password(client, "jane@example.com", "hush-jane").await.with_status(200)
    }

    pub async fn password(&self, client: &Client, username: &str, password: &str) -> Answer {
        self.token(client, "password", &[("username", username), ("password", password)]).await
    }

    pub async fn refresh(&self, client: &Client, token: &str) -> Answer {
        self.token(client, "refresh_token", &[("refresh_token", token)]).await
    }

    pub async fn revoke(&self, client: &Client, token: &str) -> Answer {
        Answer::to(self.post("/oauth/revoke").form(&client.form(&[("token", token)]))).await
    }

    /// Introspects as the shop's guard account, which may see every token.
    pub async fn introspect(&self, token: &str) -> Value {
        self.try_introspect(token).await.with_status(200).json()
    }

    pub async fn introspect_as(&self, client: &Client, token: &str) -> Answer {
        Answer::to(self.post("/oauth/introspect").form(&client.form(&[("token", token)]))).await
    }

    async fn try_introspect(&self, token: &str) -> Answer {
        let form = [("client_id", "shop"), ("client_secret", "hush-guard"), ("token", token)];
        Answer::to(self.post("/oauth/introspect").form(&form)).await
    }

    pub async fn is_active(&self, token: &str) -> bool {
        self.introspect(token).await["active"] == true
    }

    /// A GET at the shop with a token.
    pub async fn shop(&self, path: &str, token: &str) -> Answer {
        Answer::to(self.at_shop(reqwest::Method::GET, path, token)).await
    }

    /// Any request at the shop with a token.
    pub fn at_shop(&self, method: reqwest::Method, path: &str, token: &str) -> RequestBuilder {
        let address = format!("http://{}{path}", self.shopfront().address);
        self.http.request(method, address).bearer_auth(token)
    }

    /// Where each guard stands, as the server knows it.
    pub async fn guards(&self) -> Value {
        let asked = self.get("/feed/guards").basic_auth("shop", Some("hush-guard"));
        Answer::to(asked).await.with_status(200).json()
    }

    /// Waits until the shop's guard has said where it stands; receipts speak of those that have.
    pub async fn until_shop_has_reported(&self) {
        self.until_guards(|guards| guards[0]["connected"] == true).await;
    }

    /// Waits until this is so of the guards, whichever server is asked; answers what was shown last.
    pub async fn until_guards(&self, is_so: impl Fn(&Value) -> bool) -> Value {
        let (began, mut in_a_row) = (Instant::now(), 0);
        loop {
            let guards = self.guards().await["guards"].clone();
            in_a_row = if is_so(&guards) { in_a_row + 1 } else { 0 };
            // Servers are asked in turn.
            if in_a_row > self.count {
                return guards;
            }
            assert!(began.elapsed() < Duration::from_secs(5), "not every server knows: {guards}");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    /// Waits until the shop no longer serves this token, and says how long that took.
    pub async fn until_shop_refuses(&self, token: &str) -> Duration {
        let began = Instant::now();
        loop {
            let seen = self.shop("/api/skus", token).await;
            if seen.status == 401 {
                return began.elapsed();
            }
            assert_eq!(seen.status, 200, "{seen:?}");
            assert!(began.elapsed() < Duration::from_secs(10), "the shop goes on serving a dead token");
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    }
}

impl Drop for Town {
    fn drop(&mut self) {
        drop(self.shop.take());
        for running in self.neighbour.take().into_iter().chain(self.servers.drain(..)) {
            // What went wrong while serving has been seen by the test; an end that fails is only untidy.
            let _ = running.stop();
        }
        self.plot.clear();
    }
}

/// What every town begins with.
pub(crate) fn settings(folder: &Scratch, plot: &Plot) -> Settings {
    let mut settings = Settings { issuer: "http://127.0.0.1:0".into(), ..Settings::default() };
    settings.listen.port = 0;
    settings.listen.workers = 2;
    settings.domain = Some("town.test".into());
    settings.legacy = Legacy { until: Some(Day::of(OLD_HOSTS_END, 1, 1)), ..Legacy::default() };
    // Cheap hashes: what they cost is no business of these tests.
    settings.passwords.memory_kib = 64;
    settings.passwords.iterations = 1;
    settings.store.url = plot.url.clone();
    settings.store.pool = 4;
    settings.redis = plot.redis.as_ref().map(|redis| Redis::at(format!("redis://{}", redis.address())));
    settings.keys.directory = folder.path().join("keys");
    copy_keys(&settings.keys.directory);
    settings
}

fn means(clock: &Arc<TownClock>) -> Means {
    Means { clock: clock.clone(), dice: Arc::new(SystemDice::default()) }
}

/// Keys are made once for all towns of a process; each has a copy of its own.
fn copy_keys(to: &Path) {
    static MADE: OnceLock<Scratch> = OnceLock::new();
    let made = MADE.get_or_init(|| {
        let folder = Scratch::new();
        let plan = Plan { purpose: Purpose::Demo, region: "eu1", algorithms: &["ES256".to_owned()] };
        let means = Means::system();
        KeyDirectory::create(folder.path(), &plan, &*means.clock, &*means.dice).expect("keys can be made");
        folder
    });
    // A new directory may be read by others, and the server refuses such keys.
    std::fs::create_dir(to).expect("a new folder");
    let private = std::os::unix::fs::PermissionsExt::from_mode(0o700);
    std::fs::set_permissions(to, private).expect("it is ours");
    for file in std::fs::read_dir(made.path()).expect("it was made above") {
        let file = file.expect("it reads");
        std::fs::copy(file.path(), to.join(file.file_name())).expect("copies keep their permissions");
    }
}

/// Fills the books.
pub(crate) async fn sow(settings: &Settings, means: &Means) {
    let (settings, means) = (settings.clone(), means.clone());
    let sown = std::thread::spawn(move || {
        runtime().block_on(async {
            let store = books::open(&settings, &means).await.expect("the books open");
            if let Err(wrong) = books::sow(&settings, &means, &store, SEED).await {
                panic!("the town's seed is wrong: {wrong}");
            }
        });
    });
    tokio::task::spawn_blocking(|| sown.join()).await.expect("it ends").expect("it does not panic");
}

/// The store wants several threads.
fn runtime() -> tokio::runtime::Runtime {
    let mut builder = tokio::runtime::Builder::new_multi_thread();
    builder.worker_threads(2).enable_all().build().expect("threads can be made")
}
