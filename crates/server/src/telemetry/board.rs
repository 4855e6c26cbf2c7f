//! The board: what is counted when it happens.

use std::borrow::Cow;
use std::time::Duration;

use portcullis_authority::grants::ROSTER;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::metrics::info::Info;
use prometheus_client::registry::Registry;

use super::propagation::Propagation;
use super::{Labels, label};

/// What ends something, in the words of the label `kind`.
pub(super) const KINDS: [&str; 8] =
    ["token", "login", "key", "subject", "client", "organization", "everything", "actor"];

type Histograms = Family<Labels<1>, Histogram, fn() -> Histogram>;

/// Counters that only grow and histograms, since the start of this process.
pub struct Board {
    registry: Registry,
    pub(super) issued: Family<Labels<1>, Counter>,
    pub(super) refused: Family<Labels<2>, Counter>,
    pub(super) ended: Family<Labels<1>, Counter>,
    pub(super) commits: Histogram,
    pub(super) commits_failed: Counter,
    pub(super) group_sizes: Histogram,
    pub(super) transactions: Histogram,
    pub(super) signing: Histograms,
    pub(super) passwords: Histogram,
    pub(super) passwords_in_hand: Gauge,
    pub(super) password_failures: Counter,
    pub(super) propagation: Propagation,
    visits: Family<Labels<3>, Counter>,
    visit_times: Histograms,
}

impl Default for Board {
    fn default() -> Self {
        let mut board = Self {
            registry: Registry::default(),
            issued: Family::default(),
            refused: Family::default(),
            ended: Family::default(),
            commits: commit_times(),
            commits_failed: Counter::default(),
            group_sizes: Histogram::new([1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0, 256.0, 512.0]),
            transactions: commit_times(),
            signing: Family::new_with_constructor(signing_times),
            passwords: visit_times(),
            passwords_in_hand: Gauge::default(),
            password_failures: Counter::default(),
            propagation: Propagation::default(),
            visits: Family::default(),
            visit_times: Family::new_with_constructor(visit_times),
        };
        board.begin_at_nothing();
        board.registry = board.registered();
        board
    }
}

impl Board {
    /// An answer of either listener; `route` is the pattern, never the address that was asked for.
    pub fn answered(&self, method: &str, route: Option<String>, status: u16, took: Duration) {
        let route: Cow<'static, str> = route.map_or("none".into(), Cow::Owned);
        let class = match status {
            100..200 => "1xx",
            200..300 => "2xx",
            300..400 => "3xx",
            400..500 => "4xx",
            _ => "5xx",
        };
        let labels = [("method", known(method).into()), ("route", route.clone()), ("status", class.into())];
        self.visits.get_or_create(&labels).inc();
        self.visit_times.get_or_create(&label("route", route)).observe(took.as_secs_f64());
    }

    /// A group of deeds shared a transaction.
    pub fn grouped(&self, deeds: usize, took: Duration) {
        self.group_sizes.observe(u32::try_from(deeds).map_or(f64::MAX, f64::from));
        self.transactions.observe(took.as_secs_f64());
    }

    pub(super) fn registry(&self) -> &Registry {
        &self.registry
    }

    /// What never happened is 0 and not absent, so that its first time is seen as one.
    fn begin_at_nothing(&self) {
        for grant in ROSTER {
            drop(self.issued.get_or_create(&label("grant", short(grant.name()))));
        }
        for kind in KINDS {
            drop(self.ended.get_or_create(&label("kind", kind)));
        }
    }

    fn registered(&self) -> Registry {
        let mut all = Registry::default();
        let build = Info::new([("version", env!("CARGO_PKG_VERSION"))]);
        all.register("portcullis_build", "Which build this is", build);
        all.register("portcullis_tokens_issued", "Tokens issued, by grant", self.issued.clone());
        all.register(
            "portcullis_refusals",
            "Requests refused, by what was asked and the code of the answer",
            self.refused.clone(),
        );
        all.register(
            "portcullis_revocations",
            "Endings that this server has committed, by kind",
            self.ended.clone(),
        );
        all.register(
            "portcullis_commit_seconds",
            "From a deed's arrival at the books to its answer",
            self.commits.clone(),
        );
        all.register(
            "portcullis_commit_failures",
            "Deeds that could not be committed",
            self.commits_failed.clone(),
        );
        all.register(
            "portcullis_commit_group_deeds",
            "Deeds that shared one transaction",
            self.group_sizes.clone(),
        );
        all.register(
            "portcullis_transaction_seconds",
            "Transactions that commit deeds",
            self.transactions.clone(),
        );
        all.register("portcullis_signing_seconds", "Signatures of tokens", self.signing.clone());
        all.register(
            "portcullis_password_seconds",
            "Passwords hashed or compared, with the wait for it",
            self.passwords.clone(),
        );
        all.register(
            "portcullis_passwords_in_hand",
            "Passwords that are being hashed or wait for it",
            self.passwords_in_hand.clone(),
        );
        all.register(
            "portcullis_password_failures",
            "Passwords that could not be looked at; mostly there was no place left to wait",
            self.password_failures.clone(),
        );
        all.register(
            "portcullis_revocation_propagation_seconds",
            "From an ending's arrival at the books until all connected guards had applied it",
            self.propagation.times.clone(),
        );
        all.register(
            "portcullis_http_requests",
            "Requests answered, by route and class of status",
            self.visits.clone(),
        );
        all.register(
            "portcullis_http_request_seconds",
            "Time to the head of the answer, by route",
            self.visit_times.clone(),
        );
        all
    }
}

/// The last word of a name that is a URN.
pub(super) fn short(name: &'static str) -> &'static str {
    name.rsplit(':').next().unwrap_or(name)
}

/// Anybody may invent a method.
fn known(method: &str) -> &'static str {
    const METHODS: [&str; 8] = ["GET", "POST", "HEAD", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE"];
    METHODS.into_iter().find(|known| *known == method).unwrap_or("other")
}

fn visit_times() -> Histogram {
    Histogram::new([0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0])
}

fn commit_times() -> Histogram {
    Histogram::new([0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1.0, 3.0])
}

fn signing_times() -> Histogram {
    Histogram::new([0.00002, 0.00005, 0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.01])
}

#[cfg(test)]
mod tests {
    use super::*;
    use prometheus_client::encoding::text::encode;

    fn shown(board: &Board) -> String {
        let mut text = String::new();
        encode(&mut text, board.registry()).unwrap();
        text
    }

    #[test]
    fn an_invented_method_and_an_unknown_address_make_no_new_label() {
        let board = Board::default();
        for n in 0..100 {
            board.answered(&format!("X{n}"), None, 404, Duration::from_millis(1));
        }
        let text = shown(&board);
        let lines: Vec<_> =
            text.lines().filter(|line| line.starts_with("portcullis_http_requests_total")).collect();
        assert_eq!(
            lines,
            [r#"portcullis_http_requests_total{method="other",route="none",status="4xx"} 100"#]
        );
    }

    #[test]
    fn what_has_not_happened_yet_is_nothing() {
        let text = shown(&Board::default());
        for line in [
            r#"portcullis_tokens_issued_total{grant="token-exchange"} 0"#,
            r#"portcullis_revocations_total{kind="everything"} 0"#,
            "portcullis_commit_failures_total 0",
        ] {
            assert!(text.lines().any(|seen| seen == line), "{line}");
        }
    }
}
