//! The group committer: one task writes, and what many callers ask for within a moment shares one
//! transaction and one wait for the disk.
//!
//! A deed belongs to the task once it is in the queue, so a caller who hangs up drops nothing. What an act
//! does is in `acts.rs`; nothing here knows one from another.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use diesel::prelude::*;
use diesel::result::DatabaseErrorKind;
use diesel_async::RunQueryDsl;
use portcullis_authority::invitations::Invitation;
use portcullis_authority::ledger::{
    CodeRow, Deed, Done, Family, Ledger, LogRow, PersonFactor, Position, Session,
};
use portcullis_authority::refusal::Trouble;
use portcullis_authority::registry::Scope;
use tokio::sync::{mpsc, oneshot};
use tokio::time::{Instant, timeout_at};

use crate::acts::{Acts, Effect, Ink};
use crate::audit::AuditBook;
use crate::db::{Fault, on, tx};
use crate::feed::{Began, FeedBook};
use crate::rows::{StoredCode, StoredFamily, StoredSession};
use crate::schema::{codes, families, sessions};
use crate::{Books, Store};

/// Deeds in one transaction (design 1.2 rule 3).
const GROUP: usize = 512;
/// Deeds that may wait for their turn; beyond that, callers wait at the door.
pub(crate) const QUEUE: usize = 4 * GROUP;
/// The longest wait for more deeds (design 1.2 rule 3).
const WINDOW: Duration = Duration::from_millis(2);

/// What the database took back may be tried so often in all: a deadlock, a conflict or a lost connection
/// seldom comes twice in a row.
const TRIES: usize = 3;
/// The pause before the second try; before the third it is twice as long.
const BREATH: Duration = Duration::from_millis(25);

/// A deed in the queue.
pub(crate) struct Job {
    deed: Deed,
    /// Not begun later than this.
    due: Instant,
    answer: oneshot::Sender<Result<Done, Trouble>>,
}

#[async_trait]
impl Ledger for Store {
    async fn commit(&self, deed: Deed) -> Result<Done, Trouble> {
        // Not even into the line: whoever stands there waits for all who do.
        if self.books.db.is_shut() {
            return Err(Fault::Shut.into());
        }
        let due = Instant::now() + self.books.db.patience;
        let late = || Trouble::from(Fault::Patience(self.books.db.patience));
        let gone = || Trouble::new("store", "the writer has ended");
        let (answer, answered) = oneshot::channel();
        let door = timeout_at(due, self.jobs.reserve()).await.map_err(|_| late())?;
        door.map_err(|_| gone())?.send(Job { deed, due, answer });
        timeout_at(due, answered).await.map_err(|_| late())?.map_err(|_| gone())?
    }

    async fn code(&self, hash: &str) -> Result<Option<CodeRow>, Trouble> {
        let row: Option<StoredCode> = self
            .books
            .db
            .within(async {
                Ok(on!(self.books.db, |c| codes::table
                    .find(hash)
                    .select(StoredCode::as_select())
                    .get_result(c)
                    .await
                    .optional()?))
            })
            .await?;
        Ok(row.map(StoredCode::read).transpose()?)
    }

    async fn family(&self, id: &str) -> Result<Option<Family>, Trouble> {
        let row: Option<StoredFamily> = self
            .books
            .db
            .within(async {
                Ok(on!(self.books.db, |c| families::table
                    .find(id)
                    .select(StoredFamily::as_select())
                    .get_result(c)
                    .await
                    .optional()?))
            })
            .await?;
        Ok(row.map(StoredFamily::read).transpose()?)
    }

    async fn factor(&self, person: &str) -> Result<Option<PersonFactor>, Trouble> {
        self.factor_of(person).await
    }

    async fn invitation(&self, hash: &str, now: u64) -> Result<Option<Invitation>, Trouble> {
        self.invited(hash, now).await
    }

    async fn invitations_of(&self, person: &str) -> Result<Vec<Invitation>, Trouble> {
        self.ever_invited(person).await
    }

    async fn session(&self, hash: &str) -> Result<Option<Session>, Trouble> {
        let row: Option<StoredSession> = self
            .books
            .db
            .within(async {
                Ok(on!(self.books.db, |c| sessions::table
                    .find(hash)
                    .select(StoredSession::as_select())
                    .get_result(c)
                    .await
                    .optional()?))
            })
            .await?;
        Ok(row.map(StoredSession::read).transpose()?)
    }
}

/// The one task that writes deeds. Ends when every [`Store`] is gone and the queue is empty.
pub(crate) struct Writer {
    pub(crate) books: Arc<Books>,
    pub(crate) jobs: mpsc::Receiver<Job>,
}

impl Writer {
    pub(crate) async fn run(mut self) {
        let mut crowd = 0;
        while let Some(first) = self.jobs.recv().await {
            let group = self.gather(first, crowd).await;
            crowd = group.len();
            self.settle(group).await;
        }
    }

    /// Everything that is there. After a group of several, the callers whom it answered are on their way
    /// back: wait until there are as many again, or for a moment. Somebody alone never waits.
    async fn gather(&mut self, first: Job, crowd: usize) -> Vec<Job> {
        let window = Instant::now() + WINDOW;
        let mut group = vec![first];
        while group.len() < GROUP {
            let next = match self.jobs.try_recv() {
                Ok(job) => Some(job),
                Err(_) if group.len() >= crowd => None,
                Err(_) => timeout_at(window, self.jobs.recv()).await.ok().flatten(),
            };
            match next {
                Some(job) => group.push(job),
                None => break,
            }
        }
        group
    }

    /// Writes the group and answers everybody. A group that the database refused is halved until the deed
    /// that was refused stands alone; its neighbours pass.
    async fn settle(&self, group: Vec<Job>) {
        let mut parts = VecDeque::from([group]);
        while let Some(part) = parts.pop_front() {
            let (mut part, late): (Vec<_>, Vec<_>) =
                part.into_iter().partition(|job| job.due > Instant::now());
            reply(late, |_| Err(Fault::Patience(self.books.db.patience).into()));
            if part.is_empty() {
                continue;
            }
            let deeds: Vec<&Deed> = part.iter().map(|job| &job.deed).collect();
            match self.books.write_patiently(&deeds).await {
                Ok(done) => {
                    reply(part, |at| done.get(at).cloned().ok_or_else(|| Trouble::new("store", "no answer")))
                }
                Err(Failure::Refused(_)) if part.len() > 1 => {
                    let second = part.split_off(part.len() / 2);
                    parts.push_front(second);
                    parts.push_front(part);
                }
                Err(Failure::Refused(fault) | Failure::Undone(fault) | Failure::Broken(fault)) => {
                    tracing::error!(deeds = part.len(), %fault, "deeds were not committed");
                    let trouble = Trouble::from(fault);
                    reply(part, |_| Err(trouble.clone()));
                }
            }
        }
    }
}

fn reply(part: Vec<Job>, answer: impl Fn(usize) -> Result<Done, Trouble>) {
    for (at, job) in part.into_iter().enumerate() {
        // Whoever hung up does not hear that it is done; done it is.
        let _ = job.answer.send(answer(at));
    }
}

/// Why a group was not committed.
enum Failure {
    /// The database said no to one of the statements and took everything back.
    Refused(Fault),
    /// Nothing of it was done, for a reason that passes: a deadlock, a conflict, a connection that was lost
    /// before the commit was asked for.
    Undone(Fault),
    /// The database is away, or it is not known whether the commit happened; trying again could do a deed
    /// twice.
    Broken(Fault),
}

/// What a transaction wrote.
struct Written {
    done: Vec<Done>,
    rows: Vec<LogRow>,
    raised: Vec<(Scope, String, u32)>,
    /// The snapshot is no longer what the tables say.
    amended: bool,
}

impl Books {
    /// Writes, and writes again what was undone for a reason that passes. What may have happened is never
    /// tried again.
    async fn write_patiently(&self, deeds: &[&Deed]) -> Result<Vec<Done>, Failure> {
        let began = Instant::now();
        let mut breath = BREATH;
        for _ in 1..TRIES {
            match self.write(deeds).await {
                Err(Failure::Undone(fault)) if began.elapsed() + breath < self.db.patience => {
                    tracing::warn!(deeds = deeds.len(), %fault, "nothing was committed; trying again");
                    tokio::time::sleep(breath).await;
                    breath *= 2;
                }
                outcome => return outcome,
            }
        }
        self.write(deeds).await
    }

    /// One transaction for all deeds, in their order. Before it returns, this server's own view has
    /// applied what was written.
    async fn write(&self, deeds: &[&Deed]) -> Result<Vec<Done>, Failure> {
        let _turn = self.turn.lock().await;
        let read_before = (self.clock)();
        let (began, sealing) = (Instant::now(), AtomicBool::new(false));
        let outcome = self.db.within(self.transact(deeds, read_before, &sealing)).await;
        match outcome {
            Ok(written) => {
                self.transactions.fetch_add(1, Ordering::Relaxed);
                self.shared(deeds.len(), began.elapsed());
                self.shelf.raise(written.raised);
                if written.amended {
                    self.show_changes().await;
                }
                self.confirmed(&written.rows);
                Ok(written.done)
            }
            Err(fault) if sealing.into_inner() => Err(Failure::Broken(fault)),
            Err(fault) if passes(&fault) => Err(Failure::Undone(fault)),
            Err(fault) if is_refusal(&fault) => Err(Failure::Refused(fault)),
            Err(fault) => Err(Failure::Broken(fault)),
        }
    }

    /// Shows what was committed before anybody hears of it, so that whoever asks for the policy that the
    /// feed announces gets that one. It is done whatever becomes of the reading; the next look repeats it.
    async fn show_changes(&self) {
        if let Err(fault) = self.reload().await {
            tracing::error!(%fault, "the registry has changed and could not be read again");
        }
    }

    /// `sealing` becomes true when nothing is left but the commit itself.
    async fn transact(
        &self,
        deeds: &[&Deed],
        read_before: u64,
        sealing: &AtomicBool,
    ) -> Result<Written, Fault> {
        tx!(self.db, |c| {
            let mut effects = Vec::with_capacity(deeds.len());
            let ink = Ink { salt: &self.salt, cipher: &self.cipher };
            for deed in deeds {
                effects.push(c.act(&deed.act, &self.feed, ink).await?);
            }
            // What did not happen leaves no audit record that it did.
            let happened = deeds.iter().zip(&effects).filter(|(_, effect)| effect.happened());
            let audit: Vec<_> = happened.flat_map(|(deed, _)| &deed.audit).collect();
            c.keep_audit(&audit, &self.cipher).await?;
            let records: Vec<_> = effects.iter().flat_map(Effect::records).collect();
            let mut rows = Vec::new();
            if !records.is_empty() {
                let as_of_ms = c.began(read_before).await?;
                rows = c.append(&self.feed, &records, as_of_ms).await?;
            }
            let head = match rows.last() {
                Some(last) => last.position,
                None if effects.iter().any(Effect::was_already) => c.position(&self.feed).await?,
                None => Position::default(),
            };
            sealing.store(true, Ordering::Relaxed);
            Ok::<_, Fault>(Written::new(effects, rows, head))
        })
    }
}

impl Written {
    /// Each effect's own answer; the rows are those of the effects with a record, in order.
    fn new(effects: Vec<Effect>, rows: Vec<LogRow>, head: Position) -> Self {
        let mut places = rows.iter().map(|row| row.position);
        let mut news = News::default();
        let answered = effects.into_iter().map(|effect| news.answer(effect, &mut places, head));
        let done = answered.collect();
        Self { done, rows, raised: news.raised, amended: news.amended }
    }
}

/// What the snapshot must hear of.
#[derive(Default)]
struct News {
    raised: Vec<(Scope, String, u32)>,
    amended: bool,
}

impl News {
    /// The answer to an effect. It takes as many places as the effect has records.
    fn answer(
        &mut self,
        effect: Effect,
        places: &mut impl Iterator<Item = Position>,
        head: Position,
    ) -> Done {
        match effect {
            Effect::Quiet => Done::Committed { position: None },
            Effect::Record(_) => Done::Committed { position: places.next() },
            Effect::Raised { record, scope, id } => {
                self.raised.push((scope, id, record.val));
                Done::Committed { position: places.next() }
            }
            Effect::Amended { records, raised } => {
                self.amended = true;
                self.raised.extend(raised);
                Done::Committed { position: places.by_ref().take(records.len()).last() }
            }
            Effect::Several(parts) => {
                let mut last = None;
                for part in parts {
                    if let Done::Committed { position } = self.answer(part, places, head) {
                        last = position.or(last);
                    }
                }
                Done::Committed { position: last }
            }
            Effect::Already => Done::Committed { position: Some(head) },
            Effect::Spent { family } => Done::Spent { family },
            Effect::Lost => Done::Lost,
        }
    }
}

/// Whether a fault before the commit may be gone at the next try. PostgreSQL's deadlock has no kind of its
/// own in diesel, only its words.
fn passes(fault: &Fault) -> bool {
    use diesel::result::Error;
    match fault {
        Fault::Query(Error::DatabaseError(kind, about)) => match kind {
            DatabaseErrorKind::SerializationFailure
            | DatabaseErrorKind::ClosedConnection
            | DatabaseErrorKind::UnableToSendCommand => true,
            DatabaseErrorKind::Unknown => {
                ["deadlock detected", "connection closed", "terminating connection"]
                    .iter()
                    .any(|words| about.message().contains(words))
            }
            _ => false,
        },
        Fault::Connection(_) => true,
        _ => false,
    }
}

/// Whether a fault is about a deed, so that its neighbours may try again without it.
fn is_refusal(fault: &Fault) -> bool {
    use diesel::result::Error;
    match fault {
        Fault::Unreadable { .. } | Fault::Locked { .. } | Fault::Copy(_) => true,
        Fault::Query(Error::DatabaseError(kind, _)) => {
            !matches!(kind, DatabaseErrorKind::ClosedConnection | DatabaseErrorKind::UnableToSendCommand)
        }
        Fault::Query(Error::SerializationError(_) | Error::DeserializationError(_)) => true,
        Fault::Query(_) | Fault::Connection(_) | Fault::Patience(_) | Fault::Shut => false,
    }
}

#[cfg(test)]
mod tests {
    use diesel::result::Error;

    use super::*;

    fn database(kind: DatabaseErrorKind, words: &str) -> Fault {
        Fault::Query(Error::DatabaseError(kind, Box::new(words.to_owned())))
    }

    #[test]
    fn only_what_was_undone_for_a_reason_that_passes_is_tried_again() {
        for fault in [
            database(DatabaseErrorKind::SerializationFailure, "could not serialize access"),
            database(DatabaseErrorKind::Unknown, "deadlock detected"),
            database(DatabaseErrorKind::ClosedConnection, "gone"),
            Fault::Connection("refused".into()),
        ] {
            assert!(passes(&fault), "{fault}");
        }
        for fault in [
            database(DatabaseErrorKind::UniqueViolation, "duplicate key"),
            database(DatabaseErrorKind::Unknown, "canceling statement due to statement timeout"),
            Fault::Patience(Duration::from_secs(1)),
            Fault::unreadable("a row", "nonsense"),
        ] {
            assert!(!passes(&fault), "{fault}");
        }
    }
}
