//! Looks at the log in SQL: one task looks, and whoever must know what was committed before a moment waits for
//! a look that begins after it. So any number of requests share a question to the database.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::SeqCst};
use std::time::{Duration, Instant};

use tokio::sync::{Notify, watch};

/// Looks that requests want begin so far apart at least. Under a crowd each costs the database some 500 small
/// questions a second and no more, whoever they are.
const APART: Duration = Duration::from_millis(2);

/// When the log was looked at, and by whom that is awaited.
pub struct Looks {
    wanted: Notify,
    /// Somebody wants a look that has not begun: what others want meanwhile is the same one.
    is_wanted: AtomicBool,
    /// Numbers of looks: the last that has begun,
    begun: AtomicU64,
    /// and the last that has ended.
    ended: watch::Sender<u64>,
    /// The look after which everything that was announced is known.
    announced: AtomicU64,
    /// When the last one began, microseconds of our own time.
    began_at: AtomicU64,
    /// The last one found no database.
    in_vain: AtomicBool,
    birth: Instant,
}

impl Default for Looks {
    fn default() -> Self {
        Self {
            wanted: Notify::new(),
            is_wanted: AtomicBool::new(false),
            begun: AtomicU64::new(0),
            ended: watch::Sender::new(0),
            announced: AtomicU64::new(0),
            began_at: AtomicU64::new(0),
            in_vain: AtomicBool::new(false),
            birth: Instant::now(),
        }
    }
}

impl Looks {
    /// There is news: look at once.
    pub fn want(&self) {
        if !self.is_wanted.swap(true, SeqCst) {
            self.wanted.notify_one();
        }
    }

    /// There is news that this server knows only after a look, and is about to speak of: look at once.
    pub fn announce(&self) {
        self.announced.fetch_max(self.begun.load(SeqCst) + 1, SeqCst);
        self.want();
    }

    /// Waits until everything that was announced before this call is known, at most so long.
    pub async fn up_to_announced(&self, patience: Duration) {
        let look = self.announced.load(SeqCst);
        if *self.ended.borrow() < look {
            let mut ended = self.ended.subscribe();
            // An error means what it means below.
            let _ = tokio::time::timeout(patience, ended.wait_for(|ended| *ended >= look)).await;
        }
    }

    /// Until somebody wants a look.
    pub async fn wanted(&self) {
        self.wanted.notified().await;
    }

    /// A look begins; its number.
    pub fn begin(&self) -> u64 {
        self.began_at.store(self.now(), SeqCst);
        // Before the number: whoever wants a look from here on waits for the next one.
        self.is_wanted.store(false, SeqCst);
        self.begun.fetch_add(1, SeqCst) + 1
    }

    pub fn end(&self, look: u64, found: bool) {
        self.in_vain.store(!found, SeqCst);
        self.ended.send_replace(look);
    }

    /// Waits for a look that begins after this call, at most so long.
    pub async fn next(&self, patience: Duration) {
        let next = self.begun.load(SeqCst) + 1;
        self.want();
        let mut ended = self.ended.subscribe();
        // An error means that the server stops, or that the database is slow; then what is here must do.
        let _ = tokio::time::timeout(patience, ended.wait_for(|look| *look >= next)).await;
    }

    /// The same for crowds: looks are shared and never closer together than [`APART`], and a database that is
    /// known not to answer is not waited for.
    pub async fn next_shared(&self, patience: Duration) {
        if self.in_vain.load(SeqCst) || self.hangs(patience) {
            return;
        }
        let next = self.begun.load(SeqCst) + 1;
        let mut ended = self.ended.subscribe();
        let looked = async {
            let pause = APART.saturating_sub(self.since_last());
            if !pause.is_zero() {
                tokio::time::sleep(pause).await;
            }
            // Whoever slept beside us may have asked for it already.
            if self.begun.load(SeqCst) < next {
                self.want();
            }
            // As above.
            let _ = ended.wait_for(|look| *look >= next).await;
        };
        let _ = tokio::time::timeout(patience, looked).await;
    }

    /// Whether a look has begun so long ago and not ended.
    fn hangs(&self, patience: Duration) -> bool {
        *self.ended.borrow() < self.begun.load(SeqCst) && self.since_last() > patience
    }

    fn since_last(&self) -> Duration {
        Duration::from_micros(self.now().saturating_sub(self.began_at.load(SeqCst)))
    }

    fn now(&self) -> u64 {
        u64::try_from(self.birth.elapsed().as_micros()).unwrap_or(u64::MAX)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    const LONG: Duration = Duration::from_secs(5);

    /// Looks as the hub does, each taking this long.
    fn looker(looks: &Arc<Looks>, takes: Duration) -> tokio::task::JoinHandle<()> {
        let looks = looks.clone();
        tokio::spawn(async move {
            loop {
                looks.wanted().await;
                let look = looks.begin();
                tokio::time::sleep(takes).await;
                looks.end(look, true);
            }
        })
    }

    #[tokio::test]
    async fn a_look_that_has_begun_before_is_not_enough() {
        let looks = Arc::new(Looks::default());
        let running = looks.begin();
        let waits = tokio::spawn({
            let looks = looks.clone();
            async move { looks.next_shared(LONG).await }
        });
        tokio::time::sleep(APART * 5).await;
        looks.end(running, true);
        tokio::time::sleep(APART).await;
        assert!(!waits.is_finished());
        let next = looks.begin();
        looks.end(next, true);
        waits.await.unwrap();
    }

    #[tokio::test]
    async fn what_was_announced_is_waited_for_and_nothing_else() {
        let looks = Arc::new(Looks::default());
        looks.up_to_announced(LONG).await;
        let before = looks.begin();
        looks.announce();
        looks.end(before, true);
        let waits = tokio::spawn({
            let looks = looks.clone();
            async move { looks.up_to_announced(LONG).await }
        });
        tokio::time::sleep(APART).await;
        assert!(!waits.is_finished(), "that look had begun before");
        looks.end(looks.begin(), true);
        waits.await.unwrap();
    }

    #[tokio::test]
    async fn a_crowd_shares_looks_and_cannot_make_them_denser() {
        let looks = Arc::new(Looks::default());
        let looker = looker(&looks, Duration::ZERO);
        let began = Instant::now();
        for _ in 0..20 {
            let crowd: Vec<_> = (0..100)
                .map(|_| {
                    let looks = looks.clone();
                    tokio::spawn(async move { looks.next_shared(LONG).await })
                })
                .collect();
            for one in crowd {
                one.await.unwrap();
            }
        }
        let most = began.elapsed().as_micros() / APART.as_micros() + 2;
        let looked = u128::from(looks.begun.load(SeqCst));
        assert!((20..=most.max(20)).contains(&looked), "{looked} looks, at most {most}");
        looker.abort();
    }

    #[tokio::test]
    async fn a_database_that_is_known_not_to_answer_is_not_waited_for() {
        let looks = Looks::default();
        looks.end(looks.begin(), false);
        let began = Instant::now();
        looks.next_shared(LONG).await;
        // It answers again, and then it hangs.
        looks.end(looks.begin(), true);
        looks.begin();
        tokio::time::sleep(APART * 2).await;
        looks.next_shared(APART).await;
        assert!(began.elapsed() < LONG / 5);
    }
}
