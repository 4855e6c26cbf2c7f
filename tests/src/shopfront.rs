//! The example shop in this process, behind its real guard, which follows the feed over HTTP.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::mpsc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use actix_web::dev::ServerHandle;
use actix_web::{App, HttpServer};
use portcullis_guard::feed::{HttpFeed, View};
use portcullis_guard::{Guard, OnStale};
use portcullis_shop::Shop;
use portcullis_shop::follow::{Followed, follow_with};
use portcullis_shop::settings::{Settings, World};

use crate::clock::TownClock;

/// A shop that is open.
pub struct Shopfront {
    pub address: SocketAddr,
    pub view: Arc<View>,
    feed: Option<HttpFeed>,
    guard: Guard,
    handle: ServerHandle,
    thread: Option<JoinHandle<()>>,
}

impl Shopfront {
    /// Opens one. Its guard is cold until the feed has been read once.
    pub fn open(issuer: &str, feed_url: &str, feed: &str, clock: &Arc<TownClock>) -> Self {
        Self::open_with(issuer, feed_url, feed, clock, OnStale::Deny)
    }

    /// The same with a policy for the catalog of a shop that has lost touch.
    pub fn open_with(
        issuer: &str,
        feed_url: &str,
        feed: &str,
        clock: &Arc<TownClock>,
        catalog_when_stale: OnStale,
    ) -> Self {
        let settings = Settings {
            listen: SocketAddr::from(([127, 0, 0, 1], 0)),
            issuer: issuer.to_owned(),
            audience: "commerce-api".into(),
            feed_url: Some(feed_url.to_owned()),
            ca: None,
            feed: feed.into(),
            redis_url: None,
            redis_ca: None,
            guard_id: "shop".into(),
            guard_secret: "hush-guard".into(),
            environment: World::Live,
            commerce_layer: false,
            catalog_when_stale,
            stock: None,
            tls_cert: None,
            tls_key: None,
        };
        let clock = clock.for_guard();
        let followed = follow_with(&settings, |guard| guard.clock(clock)).expect("a guard can be made");
        let metrics = followed.metrics();
        let Followed { guard, view, feed, .. } = followed;
        let (told, ready) = mpsc::channel();
        let (watched, hint, kept) = (view.clone(), feed.key_hint(), guard.clone());
        let thread = std::thread::spawn(move || {
            let shop = Shop::new(kept.clone()).ready_when(move || Followed::is_ready(&kept, &watched));
            let shop = shop.catalog_when_stale(catalog_when_stale).metrics(metrics);
            let app = shop.on_unknown_key(move || hint.wake()).app();
            let serve = async move {
                let server = HttpServer::new(move || App::new().configure(app.clone())).workers(1);
                let server = server.disable_signals().bind(settings.listen).expect("a free port");
                let address = server.addrs()[0];
                let server = server.run();
                told.send((address, server.handle())).expect("the opener waits");
                server.await.expect("the shop runs until it is stopped");
            };
            actix_web::rt::System::new().block_on(serve);
        });
        let (address, handle) = ready.recv().expect("the shop opens");
        Self { address, view, feed: Some(feed), guard, handle, thread: Some(thread) }
    }

    /// Stops following the feed, as if it had been cut. The issuer can still be asked.
    pub fn lose_the_feed(&mut self) {
        drop(self.feed.take());
    }

    /// The guard, for questions that go past HTTP.
    pub fn guard(&self) -> &Guard {
        &self.guard
    }

    /// Waits until it may be sent customers.
    pub fn wait_until_ready(&self) {
        let began = Instant::now();
        while !Followed::is_ready(&self.guard, &self.view) {
            assert!(began.elapsed() < Duration::from_secs(15), "the shop does not become ready");
            std::thread::sleep(Duration::from_millis(2));
        }
    }
}

impl Drop for Shopfront {
    fn drop(&mut self) {
        drop(self.feed.take());
        // Told to stop now; whoever still asks is cut off, because the test is over.
        drop(self.handle.stop(false));
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}
