//! How long endings need to reach everybody: from their arrival at the books until every guard that is
//! connected has said that it applied them. Reports are words, not proof, as in `feed/reports.rs`.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use portcullis_authority::ledger::Position;
use prometheus_client::metrics::histogram::Histogram;

use super::Board;
use crate::feed::{GuardState, Hub};

/// Endings that are waited for; the times of more than that at once say nothing new.
const MOST: usize = 1024;
/// A fleet's reports come together, and all of its guards are looked at for each look.
const LOOK: Duration = Duration::from_millis(5);

pub(super) struct Propagation {
    pub times: Histogram,
    under_way: Mutex<VecDeque<(Position, Instant)>>,
}

impl Default for Propagation {
    fn default() -> Self {
        let times = Histogram::new([0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0]);
        Self { times, under_way: Mutex::default() }
    }
}

impl Propagation {
    /// Something was ended at this place of the feed.
    pub fn began(&self, at: Position, when: Instant) {
        let mut under_way = self.under_way.lock().unwrap_or_else(PoisonError::into_inner);
        if under_way.len() < MOST {
            under_way.push_back((at, when));
        }
    }

    /// The guard that is furthest behind has come to this place; nobody waits for anybody when there is none.
    /// Says how many endings have reached everybody by that.
    fn settle(&self, furthest_behind: Option<Position>) -> usize {
        let mut under_way = self.under_way.lock().unwrap_or_else(PoisonError::into_inner);
        let waited_for = under_way.len();
        let Some(reached) = furthest_behind else {
            under_way.clear();
            return 0;
        };
        under_way.retain(|(at, when)| {
            let there = *at <= reached;
            if there {
                self.times.observe(when.elapsed().as_secs_f64());
            }
            !there
        });
        waited_for - under_way.len()
    }

    fn is_idle(&self) -> bool {
        self.under_way.lock().unwrap_or_else(PoisonError::into_inner).is_empty()
    }
}

/// Looks at the reports of guards whenever one comes. Runs until it is aborted.
pub async fn follow(board: Arc<Board>, hub: Arc<Hub>) {
    let mut reports = hub.reports.changes();
    while reports.changed().await.is_ok() {
        if !board.propagation.is_idle() {
            let connected = hub.reports.connected(hub.time_ms(), hub.max_staleness_ms());
            board.propagation.settle(connected.iter().map(GuardState::position).min());
        }
        tokio::time::sleep(LOOK).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seq: u64) -> Position {
        Position { epoch: 1, seq }
    }

    #[test]
    fn an_ending_is_timed_when_the_last_guard_has_it() {
        let propagation = Propagation::default();
        propagation.began(at(5), Instant::now());
        propagation.began(at(6), Instant::now());
        assert_eq!(propagation.settle(Some(at(4))), 0);
        assert_eq!(propagation.settle(Some(at(5))), 1);
        assert_eq!(propagation.settle(Some(at(9))), 1);
        assert!(propagation.is_idle());
    }

    #[test]
    fn without_guards_there_is_nothing_to_time_and_nothing_is_kept() {
        let propagation = Propagation::default();
        (0..2 * MOST as u64).for_each(|seq| propagation.began(at(seq), Instant::now()));
        assert_eq!(propagation.under_way.lock().unwrap().len(), MOST);
        assert_eq!(propagation.settle(None), 0, "nothing is timed");
        assert!(propagation.is_idle());
    }
}
