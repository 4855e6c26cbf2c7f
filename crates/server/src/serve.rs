//! A running server: opens the books, lays the desk, and lets requests in. It runs on threads of its own,
//! so that a test can start one, ask it things and stop it.

mod confession;
mod office;
mod plain;
mod records;
mod seats;
mod story;
mod tls;
mod upkeep;
mod watchers;

use std::io::ErrorKind;
use std::net::{IpAddr, SocketAddr, TcpListener};
use std::sync::Arc;
use std::sync::mpsc;
use std::thread::JoinHandle;
use std::time::Duration;

use actix_web::dev::{Server, ServerHandle};
use actix_web::{HttpServer, web};
use portcullis_authority::Authority;
use portcullis_authority::desk::Desk;
use portcullis_authority::keyring::Vault;
use portcullis_authority::limits::Limits;
use portcullis_authority::refusal::Trouble;
use portcullis_authority::secret::Seal;
use portcullis_authority::strangers::Strangers;
use portcullis_guard::feed::View;
use portcullis_store::Store;
use portcullis_store::redis::{RedisCounts, RedisFeed};
use tokio::sync::watch;

use crate::departure::{self, Departure};
use crate::feed::{Clerk, Courier, Hub, HubParts, Press, forgets};
use crate::house::House;
use crate::inspector::Glass;
use crate::keys::{Keeper, Pkcs11Vault, Tools};
use crate::means::{Means, Passwords};
use crate::oblivion::keep_forgetting;
use crate::retention::Janitor;
use crate::settings::{Mode, Settings, Weight};
use crate::telemetry::{Board, Traces, attend};
use crate::{books, demo, http};
use seats::Seats;

pub use story::story;
pub(crate) use tls::Certificates;

/// Longer than the usual 60 seconds of load balancers, so that they close first and no request meets a
/// connection that is being closed.
const KEEP_ALIVE: Duration = Duration::from_secs(75);
/// How long a client may take to let go of a connection that is over.
const FAREWELL: Duration = Duration::from_secs(5);
/// How long requests that have begun may take when the server stops, seconds.
const DRAIN: u64 = 20;
/// Connections for each worker; beyond them the kernel lets clients wait.
const CONNECTIONS: usize = 10_000;

/// A server that answers.
#[derive(Debug)]
pub struct Running {
    /// Where it listens.
    pub address: SocketAddr,
    /// Where operators come in, if they may.
    pub admin: Option<SocketAddr>,
    /// Where it listens without TLS, to send readers over.
    pub plain: Option<SocketAddr>,
    /// Where its numbers are shown, if they are.
    pub metrics: Option<SocketAddr>,
    /// With the port that was bound, where the settings say 0.
    pub issuer: String,
    stop: watch::Sender<bool>,
    thread: JoinHandle<Result<(), Trouble>>,
}

impl Running {
    /// Says that it is leaving, waits for the delay of the settings, takes no more requests, finishes those that have begun, and ends.
    ///
    /// # Errors
    /// Trouble that it ended with.
    pub fn stop(self) -> Result<(), Trouble> {
        self.stop.send_replace(true);
        self.thread.join().map_err(|_| trouble("the server's thread panicked"))?
    }

    /// Whether it still runs; it ends by itself only when something is broken.
    pub fn is_running(&self) -> bool {
        !self.thread.is_finished()
    }
}

/// Starts a server and returns once it answers.
///
/// # Errors
/// Trouble with the settings, the keys, the store or the address.
pub fn start(settings: Settings, means: Means) -> Result<Running, Trouble> {
    // Two crypto providers in one program make rustls panic at first use, unless one is chosen before.
    // Somebody may have chosen already; then there is nothing to do.
    let _ = rustls::crypto::ring::default_provider().install_default();
    refuse_bad(&settings)?;
    let (told, ready) = mpsc::channel();
    let (stop, stopped) = watch::channel(false);
    let thread = std::thread::Builder::new()
        .name("portcullis".into())
        .spawn(move || {
            let runtime =
                tokio::runtime::Builder::new_multi_thread().enable_all().build().map_err(trouble)?;
            runtime.block_on(run(settings, means, stopped, told))
        })
        .map_err(trouble)?;
    match ready.recv() {
        Ok(Ready { address, admin, plain, metrics, issuer }) => {
            Ok(Running { address, admin, plain, metrics, issuer, stop, thread })
        }
        // The thread ended before it was ready, so it has something to say.
        Err(_) => match thread.join() {
            Ok(Err(why)) => Err(why),
            _ => Err(trouble("the server ended before it was ready")),
        },
    }
}

/// What there is to say once requests are answered.
struct Ready {
    address: SocketAddr,
    admin: Option<SocketAddr>,
    plain: Option<SocketAddr>,
    metrics: Option<SocketAddr>,
    issuer: String,
}

async fn run(
    settings: Settings,
    means: Means,
    stopped: watch::Receiver<bool>,
    ready: mpsc::Sender<Ready>,
) -> Result<(), Trouble> {
    let (listener, address) = bind("listen.port", (settings.listen.address, settings.listen.port))?;
    let settings = settings.with_port(address.port());
    let store = books::open(&settings, &means).await?;
    let strangers = Arc::new(Strangers::new(Arc::new(store.clone())));
    let (house, keeper) = furnish(&settings, &means, &store, strangers.clone()).await?;
    if settings.mode == Mode::Production {
        demo::refuse(house.authority.desk()).await?;
    }
    confession::make(&settings, &means, &store).await?;
    let house = web::Data::new(house);
    let stopped = departure::announced(house.clone(), stopped, settings.listen.drain_delay());
    let couriers = couriers(&settings, &means, &house.hub, &stopped).await?;
    let records = records::open(&settings, &means, &store, strangers)?;
    let mut upkeep = vec![
        tokio::spawn(house.hub.clone().follow(stopped.clone())),
        tokio::spawn(upkeep::uses(store.clone())),
        tokio::spawn(upkeep::data_keys(store.clone())),
        tokio::spawn(keeper.tend()),
        tokio::spawn(Janitor { store: store.clone(), house: house.clone().into_inner() }.tend()),
        tokio::spawn(keep_forgetting(store.clone(), means.clock.clone())),
    ];
    upkeep.extend(couriers);
    upkeep.extend(records.keep(&settings));
    let senders = records.tell(&settings, &means, &store, &stopped)?;
    let traces = house.traces.clone();
    let office = office::open(&settings, house.clone(), store.clone()).await?;
    let (admin, office) = office.map_or((None, None), |it| (Some(it.address), Some(it)));
    upkeep.push(tokio::spawn(upkeep::limits(house.clone().into_inner())));
    let plain = plain::open(&settings)?;
    let plain_address = plain.as_ref().map(|(address, _)| *address);
    let certificates = settings.tls.as_ref().map(tls::Certificates::open).transpose()?;
    let inside = office.as_ref().and_then(|it| it.certificates.clone());
    let named = [certificates.clone().map(|it| ("public", it)), inside.map(|it| ("operators", it))];
    let watchers = watchers::open(&settings, &house, store, named.into_iter().flatten().collect())?;
    let server = open_door(&settings, listener, house, certificates.as_ref())?;
    let fresh = certificates.into_iter().chain(office.as_ref().and_then(|it| it.certificates.clone()));
    upkeep.push(tls::keep_fresh(fresh.collect())?);
    let office = office.map(|it| it.server);
    upkeep.extend(plain.map(|(_, server)| tokio::spawn(plain::send_over(server, stopped.clone()))));
    upkeep.extend(office.as_ref().map(|office| tokio::spawn(close(office.handle(), stopped.clone()))));
    upkeep.push(tokio::spawn(close(server.handle(), stopped)));
    let (metrics, watchers) = watchers.map(|watchers| watchers.attend(&mut upkeep)).unzip();
    let issuer = settings.issuer.clone();
    // Nobody listens any more when the starter has gone away; then there is nobody to serve either way.
    let _ = ready.send(Ready { address, admin, plain: plain_address, metrics, issuer });
    tracing::info!(%address, issuer = settings.issuer, "ready");
    let office = async {
        match office {
            Some(server) => server.await,
            None => Ok(()),
        }
    };
    let ended = futures_util::future::try_join(server, office).await.map(drop).map_err(trouble);
    // The last to go: how the server drains is worth watching.
    if let Some(watchers) = watchers {
        watchers.stop(false).await;
    }
    upkeep.iter().for_each(tokio::task::JoinHandle::abort);
    records.close(senders).await;
    if let Some(traces) = traces {
        // Its thread is asked, and waited for.
        let _ = tokio::task::spawn_blocking(move || traces.close()).await;
    }
    tracing::info!("stopped");
    ended
}

/// Lets a server finish what has begun, once somebody says stop.
async fn close(handle: ServerHandle, mut stopped: watch::Receiver<bool>) {
    // An error means that nobody can say stop any more, which is the same wish.
    let _ = stopped.wait_for(|stopped| *stopped).await;
    handle.stop(true).await;
}

/// Everything that handlers reach, and who tends the signing keys.
async fn furnish(
    settings: &Settings,
    means: &Means,
    store: &Store,
    strangers: Arc<Strangers>,
) -> Result<(House, Arc<Keeper>), Trouble> {
    let keys = books::keys(settings)?;
    let staleness = Duration::from_millis(settings.feed.max_staleness_ms);
    let view = Arc::new(View::new(&settings.feed.name, staleness));
    let glass = Arc::new(Glass::new(&settings.issuer, view.clone()).map_err(trouble)?);
    let seal = Arc::new(Seal::new(&keys.seal_master));
    let tools = Tools {
        store: store.clone(),
        seal: seal.clone(),
        glass: glass.clone(),
        clock: means.clock.clone(),
        dice: means.dice.clone(),
        keys: settings.keys.clone(),
        terms: settings.terms(),
        vault: vault(settings).await?,
    };
    let keeper = Keeper::open(tools, &keys.keyring).await?;
    // Without a beat an idle feed would look stale, and introspection would refuse until the first one.
    store.beat().await?;
    let hub = Hub::open(HubParts {
        feed: settings.feed.name.clone(),
        issuer: settings.issuer.clone(),
        max_staleness: staleness,
        beat: Duration::from_millis(settings.feed.beat_ms),
        store: store.clone(),
        clock: means.clock.clone(),
        view,
        press: Press::of(&keys)?,
        jwks: keeper.published(),
        keeper: Some(keeper.clone()),
        glass: Some(glass.clone()),
    })
    .await?;
    let limits = Arc::new(limits(settings, &seal)?);
    let board = Arc::<Board>::default();
    let desk = Desk {
        registry: Arc::new(store.clone()),
        ledger: strangers,
        clock: means.clock.clone(),
        dice: means.dice.clone(),
        slow: Arc::new(Passwords::new(&settings.passwords, means.dice.clone())?),
        inspector: glass,
        seal,
        limits,
        terms: settings.terms(),
    };
    let authority = Authority::sharing(attend(desk, &board), keeper.keyring());
    let departure = Departure::default();
    let traces = Traces::of(&settings.traces)?.map(Arc::new);
    let house = House { authority, hub, departure, board, traces, settings: settings.clone() };
    Ok((house, keeper))
}

/// The PKCS#11 token of the settings, if they name one. Its calls block.
async fn vault(settings: &Settings) -> Result<Option<Arc<dyn Vault>>, Trouble> {
    let Some(pkcs11) = settings.keys.pkcs11.clone() else { return Ok(None) };
    let opened = tokio::task::spawn_blocking(move || Pkcs11Vault::open(&pkcs11)).await.map_err(trouble)?;
    Ok(Some(Arc::new(opened?)))
}

/// Those who carry the feed to Redis, if there is one. A Redis that is away keeps nobody from starting; one
/// that would forget what has ended does, in production.
async fn couriers(
    settings: &Settings,
    means: &Means,
    hub: &Arc<Hub>,
    stopped: &watch::Receiver<bool>,
) -> Result<Vec<tokio::task::JoinHandle<()>>, Trouble> {
    let Some(redis) = &settings.redis else { return Ok(Vec::new()) };
    let redis = Arc::new(RedisFeed::open(&redis.reach(&settings.feed.name))?);
    let strict = settings.mode == Mode::Production;
    if strict && redis.habits().await.is_ok_and(|habits| forgets(&habits)) {
        return Err(Trouble::new(
            "redis",
            "set maxmemory-policy noeviction; otherwise a full Redis forgets what has ended",
        ));
    }
    let courier = Courier::new(hub.clone(), redis.clone(), means.dice.clone(), strict);
    let clerk = Clerk::new(hub.clone(), redis, means.dice.as_ref());
    Ok(vec![tokio::spawn(courier.run(stopped.clone())), tokio::spawn(clerk.run(stopped.clone()))])
}

/// Limits that hold for this server, or for all that share a Redis.
fn limits(settings: &Settings, seal: &Arc<Seal>) -> Result<Limits, Trouble> {
    let allow = settings.limits.allowances();
    let Some(redis) = &settings.redis else { return Ok(Limits::new(allow)) };
    let counts = RedisCounts::open(&redis.reach(&settings.feed.name))?;
    Ok(Limits::shared(allow, seal.clone(), Arc::new(counts)))
}

fn open_door(
    settings: &Settings,
    listener: TcpListener,
    house: web::Data<House>,
    certificates: Option<&Arc<tls::Certificates>>,
) -> Result<Server, Trouble> {
    let workers = match settings.listen.workers {
        0 => std::thread::available_parallelism().map_or(1, usize::from),
        workers => workers,
    };
    let seats = Seats::new(settings.limits.connections, settings.trusted_proxies.clone());
    let patience = Duration::from_millis(settings.limits.head_ms);
    let server = HttpServer::new(move || http::door(house.clone()))
        .on_connect(move |connection, extensions| seats.usher(connection, extensions))
        .workers(workers)
        .keep_alive(KEEP_ALIVE)
        .client_request_timeout(patience)
        .client_disconnect_timeout(FAREWELL)
        .tls_handshake_timeout(patience)
        .max_connections(CONNECTIONS)
        .shutdown_timeout(DRAIN)
        .disable_signals();
    let server = match certificates {
        Some(certificates) => server.listen_rustls_0_23(listener, certificates.config()?),
        None => server.listen(listener),
    };
    Ok(server.map_err(trouble)?.run())
}

/// `setting` is where the port comes from.
fn bind(setting: &str, at: (IpAddr, u16)) -> Result<(TcpListener, SocketAddr), Trouble> {
    let listener = TcpListener::bind(at).map_err(|e| {
        let place = SocketAddr::from(at);
        match e.kind() {
            ErrorKind::AddrInUse => trouble(format!(
                "another program listens at {place} already, perhaps a server that still runs; stop it or choose another {setting}"
            )),
            _ => trouble(format!("{place} ({setting}): {e}")),
        }
    })?;
    let bound = listener.local_addr().map_err(trouble)?;
    Ok((listener, bound))
}

fn refuse_bad(settings: &Settings) -> Result<(), Trouble> {
    let (refused, warned): (Vec<_>, Vec<_>) =
        settings.check().into_iter().partition(|finding| finding.weight == Weight::Refusal);
    for finding in warned {
        tracing::warn!("{}", finding.sentence);
    }
    if refused.is_empty() {
        return Ok(());
    }
    let sentences: Vec<_> = refused.into_iter().map(|finding| finding.sentence).collect();
    Err(Trouble::new("settings", sentences.join("\n")))
}

fn trouble(why: impl std::fmt::Display) -> Trouble {
    Trouble::new("server", why)
}
