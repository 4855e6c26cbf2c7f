//! The window: what is looked up when somebody asks for the numbers, beside what the board has counted.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use actix_web::web;
use portcullis_authority::keyring::KeyState;
use portcullis_authority::refusal::Trouble;
use portcullis_store::Store;
use prometheus_client::encoding::text::{encode_eof, encode_registry};
use prometheus_client::metrics::counter::{ConstCounter, Counter};
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::{ConstGauge, Gauge};
use prometheus_client::registry::Registry;

use super::{Board, Labels, label};
use crate::house::House;
use crate::serve::Certificates;

/// What the text is (OpenMetrics 1.0, which Prometheus reads).
pub const CONTENT_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";
/// How often the books are asked how far destinations of audit records are.
const GLANCE: Duration = Duration::from_secs(10);

type Gauges<const N: usize> = Family<Labels<N>, Gauge>;

/// Shared by the handlers of the metrics listener.
pub struct Window {
    house: web::Data<House>,
    store: Store,
    began: SystemTime,
    /// Of which listener.
    certificates: Vec<(&'static str, Arc<Certificates>)>,
    /// How many records each destination has not been told.
    untold: Mutex<Vec<(String, u64)>>,
}

impl Window {
    pub fn new(
        house: web::Data<House>,
        store: Store,
        certificates: Vec<(&'static str, Arc<Certificates>)>,
    ) -> Self {
        Self { house, store, began: SystemTime::now(), certificates, untold: Mutex::default() }
    }

    /// Everything, as text.
    ///
    /// # Errors
    /// Trouble when it cannot be written down.
    pub fn page(&self) -> Result<String, Trouble> {
        let mut text = String::new();
        let seen = self.look();
        encode_registry(&mut text, self.board().registry())
            .and_then(|()| encode_registry(&mut text, &seen))
            .and_then(|()| encode_eof(&mut text))
            .map_err(|e| Trouble::new("metrics", e))?;
        Ok(text)
    }

    fn board(&self) -> &Board {
        &self.house.board
    }

    fn look(&self) -> Registry {
        let mut seen = Seen(Registry::default());
        let began = self.began.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs_f64();
        seen.number("process_start_time_seconds", "When this server began, seconds since 1970", began);
        self.see_feed(&mut seen);
        self.see_guards(&mut seen);
        self.see_redis(&mut seen);
        self.see_books(&mut seen);
        self.see_limits(&mut seen);
        self.see_keys(&mut seen);
        self.see_certificates(&mut seen);
        seen.0
    }

    fn see_feed(&self, seen: &mut Seen) {
        let hub = &self.house.hub;
        let at = hub.position();
        seen.whole("portcullis_feed_epoch", "The feed's epoch", at.epoch);
        seen.whole("portcullis_feed_sequence", "The number of the feed's newest record", at.seq);
        seen.number(
            "portcullis_feed_age_seconds",
            "How old the feed's newest record is",
            seconds(hub.age_ms()),
        );
        let drift = hub.drift_ms();
        let drift = seconds(drift.unsigned_abs()) * if drift < 0 { -1.0 } else { 1.0 };
        seen.number(
            "portcullis_feed_clock_drift_seconds",
            "How far this clock is ahead of the database's",
            drift,
        );
        let bound = seconds(hub.max_staleness_ms());
        seen.number("portcullis_feed_max_staleness_seconds", "How old a guard's picture may be", bound);
        let forked = u64::from(hub.view().is_forked());
        seen.whole(
            "portcullis_feed_history_alarm",
            "1 when the database tells another history than before",
            forked,
        );
        seen.count("portcullis_feed_batches", "Batches signed and published", hub.batches());
    }

    fn see_guards(&self, seen: &mut Seen) {
        let hub = &self.house.hub;
        let (now, bound) = (hub.time_ms(), hub.max_staleness_ms());
        let all = hub.reports.all();
        let counted = ["live", "behind", "stale"].map(|word| {
            (label("state", word), all.iter().filter(|guard| guard.standing(now, bound) == word).count())
        });
        let guards = gauges(counted.map(|(labels, count)| (labels, count as u64)));
        seen.0.register("portcullis_guards", "Guards that have reported within the hour, by state", guards);
    }

    fn see_redis(&self, seen: &mut Seen) {
        let Some(carried) = self.house.hub.carried() else { return };
        let head = self.house.hub.position();
        let same = carried.to.epoch == head.epoch;
        let behind = head.seq.saturating_sub(if same { carried.to.seq } else { 0 });
        seen.whole("portcullis_redis_up", "1 while the feed reaches Redis", u64::from(carried.up));
        seen.whole(
            "portcullis_redis_behind_records",
            "Records of the feed that Redis has not taken yet",
            behind,
        );
    }

    fn see_books(&self, seen: &mut Seen) {
        let pool = self.store.pool();
        let connections = [("in_use", pool.in_use), ("idle", pool.idle)];
        let connections = gauges(connections.map(|(word, count)| (label("state", word), count as u64)));
        seen.0.register(
            "portcullis_sql_connections",
            "Open connections to the database, by state",
            connections,
        );
        seen.whole("portcullis_sql_connections_most", "How many there may be", pool.most as u64);
        seen.whole("portcullis_sql_waiting", "Who waits for one of them", pool.waiting as u64);
        let untold = self.untold.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let untold = gauges(untold.into_iter().map(|(name, count)| (label("destination", name), count)));
        seen.0.register(
            "portcullis_audit_untold_records",
            "Audit records that a destination has not been told",
            untold,
        );
    }

    fn see_limits(&self, seen: &mut Seen) {
        let limits = &self.house.authority.desk().limits;
        let refusals = Family::<Labels<1>, Counter>::default();
        for (limit, count) in limits.refusals() {
            refusals.get_or_create(&label("limit", limit)).inc_by(count);
        }
        seen.0.register("portcullis_limit_refusals", "Requests that a limit refused, by limit", refusals);
        seen.whole("portcullis_limit_buckets", "Buckets of limits in memory", limits.buckets() as u64);
        seen.count(
            "portcullis_limit_unheard",
            "Counts that other servers could not be told",
            limits.unheard(),
        );
    }

    fn see_keys(&self, seen: &mut Seen) {
        let keyring = self.house.authority.keyring();
        let counted =
            [("pending", KeyState::Pending), ("active", KeyState::Active), ("retired", KeyState::Retired)]
                .map(|(word, state)| {
                    (label("state", word), keyring.keys().iter().filter(|key| key.state == state).count())
                });
        let keys = gauges(counted.map(|(labels, count)| (labels, count as u64)));
        seen.0.register("portcullis_keys", "Signing keys of tokens, by state", keys);
        let Some(keeper) = self.house.hub.keeper() else { return };
        if let Some(due) = keeper.next_rotation_in() {
            let help = "When the key that signs by default hands over on its own, in seconds from now";
            seen.whole("portcullis_key_rotation_due_seconds", help, due);
        }
        if let Some(up) = keeper.vault_is_up() {
            let help = "1 while the PKCS#11 token does what it is asked";
            seen.whole("portcullis_vault_up", help, u64::from(up));
        }
    }

    fn see_certificates(&self, seen: &mut Seen) {
        if self.certificates.is_empty() {
            return;
        }
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let left = Gauges::default();
        for (listener, certificate) in &self.certificates {
            let Some(end) = certificate.valid_until() else { continue };
            let seconds = i128::from(end.as_secs()) - i128::from(now.as_secs());
            let seconds = i64::try_from(seconds).unwrap_or(i64::MAX);
            left.get_or_create(&label("listener", *listener)).set(seconds);
        }
        let help = "How long the certificate of a listener is still valid; negative when it is over";
        seen.0.register("portcullis_tls_expiry_seconds", help, left);
    }
}

/// Asks the books now and then what costs a query, so that it does not matter how often somebody looks. Runs
/// until it is aborted.
pub async fn glance(window: Arc<Window>) {
    let names: Vec<String> = window.house.settings.audit.destinations.keys().cloned().collect();
    while !names.is_empty() {
        match untold(&window.store, &names).await {
            Ok(untold) => *window.untold.lock().unwrap_or_else(PoisonError::into_inner) = untold,
            Err(trouble) => tracing::debug!(%trouble, "how far audit destinations are is not known"),
        }
        tokio::time::sleep(GLANCE).await;
    }
}

async fn untold(store: &Store, names: &[String]) -> Result<Vec<(String, u64)>, Trouble> {
    let (head, told) = (store.audit_head().await?.seq, store.audit_deliveries().await?);
    let seq = |name: &String| told.iter().find(|one| one.destination == *name).map_or(0, |one| one.seq);
    Ok(names.iter().map(|name| (name.clone(), head.saturating_sub(seq(name)))).collect())
}

/// What was seen at one moment.
struct Seen(Registry);

impl Seen {
    fn number(&mut self, name: &str, help: &str, value: f64) {
        self.0.register(name, help, ConstGauge::new(value));
    }

    fn whole(&mut self, name: &str, help: &str, value: u64) {
        self.0.register(name, help, ConstGauge::new(value));
    }

    fn count(&mut self, name: &str, help: &str, value: u64) {
        self.0.register(name, help, ConstCounter::new(value));
    }
}

fn gauges<const N: usize>(values: impl IntoIterator<Item = (Labels<N>, u64)>) -> Gauges<N> {
    let all = Gauges::default();
    for (labels, value) in values {
        all.get_or_create(&labels).set(i64::try_from(value).unwrap_or(i64::MAX));
    }
    all
}

fn seconds(milliseconds: u64) -> f64 {
    Duration::from_millis(milliseconds).as_secs_f64()
}
