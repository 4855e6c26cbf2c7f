//! Listeners around the parts of a desk that say how long their work took.

use std::sync::Arc;
use std::time::Instant;

use async_trait::async_trait;
use portcullis_authority::desk::{Clock, Desk, Slow};
use portcullis_authority::refusal::Trouble;
use portcullis_authority::secret::Secret;

use super::teller::Teller;
use super::traces::{Step, step};
use super::{Board, label};

/// The same desk, and the board hears what goes over it.
pub fn attend(desk: Desk, board: &Arc<Board>) -> Desk {
    Desk {
        ledger: Arc::new(Teller::new(desk.ledger, board.clone())),
        clock: Arc::new(Timed(desk.clock, board.clone())),
        slow: Arc::new(Queue(desk.slow, board.clone())),
        ..desk
    }
}

/// A clock that tells how long signing took.
struct Timed(Arc<dyn Clock>, Arc<Board>);

impl Clock for Timed {
    fn now_ms(&self) -> u64 {
        self.0.now_ms()
    }

    fn signing(&self, algorithm: &'static str) -> Box<dyn Send> {
        let span = step("sign");
        span.note("portcullis.algorithm", algorithm);
        Box::new(Signing { board: self.1.clone(), algorithm, began: Instant::now(), _span: span })
    }
}

/// One signature; noted when it is done, or given up.
struct Signing {
    board: Arc<Board>,
    algorithm: &'static str,
    began: Instant,
    /// Ends with this.
    _span: Step,
}

impl Drop for Signing {
    fn drop(&mut self) {
        let took = self.began.elapsed().as_secs_f64();
        self.board.signing.get_or_create(&label("algorithm", self.algorithm)).observe(took);
    }
}

/// The line for passwords.
struct Queue(Arc<dyn Slow>, Arc<Board>);

impl Queue {
    async fn through<T>(&self, work: impl Future<Output = Result<T, Trouble>>) -> Result<T, Trouble> {
        let place = Place::take(&self.1);
        let span = step("password");
        let began = Instant::now();
        let done = work.await;
        drop(place);
        match &done {
            Ok(_) => self.1.passwords.observe(began.elapsed().as_secs_f64()),
            Err(_) => {
                span.failed();
                self.1.password_failures.inc();
            }
        }
        done
    }
}

#[async_trait]
impl Slow for Queue {
    async fn password_fits(&self, phc: Option<String>, password: Secret) -> Result<bool, Trouble> {
        self.through(self.0.password_fits(phc, password)).await
    }

    async fn password_hash(&self, password: Secret) -> Result<String, Trouble> {
        self.through(self.0.password_hash(password)).await
    }

    async fn password_weakness(
        &self,
        password: Secret,
        names: Vec<String>,
    ) -> Result<Option<&'static str>, Trouble> {
        self.through(self.0.password_weakness(password, names)).await
    }
}

/// Given back also by whoever hangs up while it waits.
struct Place<'a>(&'a Board);

impl<'a> Place<'a> {
    fn take(board: &'a Board) -> Self {
        board.passwords_in_hand.inc();
        Self(board)
    }
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        self.0.passwords_in_hand.dec();
    }
}
