//! The two ways to the audit log: through the operators' listener, where an operator has signed in and the server
//! answers for what it says, and the books themselves, which ask nobody and believe no server.

use std::io::Write as _;

use clap::Args;
use portcullis_authority::ledger::{Act, AuditRecord, Deed, Ledger as _};
use portcullis_authority::operators::Denial;
use portcullis_store::{AuditQuery, Store};
use serde_json::{Value, json};

use super::super::office::Counter;
use super::super::{Failure, Outcome};
use crate::audit::{self, Filter, asked, piece};
use crate::books;
use crate::means::Means;
use crate::settings::Settings;

/// Whom to ask.
#[derive(Debug, Args)]
pub(in crate::cli) struct Way {
    /// Read the database that the settings name, on the server's own host, whether a server runs or not. No operator
    /// is asked for; it is noted as done on the command line.
    #[arg(long)]
    books: bool,
    #[command(flatten)]
    counter: Counter,
}

/// The log, the way that was chosen.
pub(super) enum Log<'a> {
    Office(&'a Counter),
    Books { json: bool, store: Store, means: Means },
}

impl Way {
    pub(super) async fn open(&self, settings: &Settings) -> Result<Log<'_>, Failure> {
        if !self.books {
            return Ok(Log::Office(&self.counter));
        }
        let means = Means::system();
        let store = books::open(settings, &means).await?;
        Ok(Log::Books { json: self.counter.is_json(), store, means })
    }
}

impl Log<'_> {
    pub(super) fn is_json(&self) -> bool {
        match self {
            Self::Office(counter) => counter.is_json(),
            Self::Books { json, .. } => *json,
        }
    }

    pub(super) async fn find(&self, filter: &Filter, first: bool) -> Result<Value, Failure> {
        match self {
            Self::Office(counter) => counter.get(&format!("/audit?{}", filter.spelled())),
            Self::Books { store, means, .. } => {
                let query = filter.clone().checked()?.into();
                // A search of several pages is one look.
                if first {
                    note(store, means, "audit.searched", &query).await?;
                }
                told(&audit::find(store, &query).await?)
            }
        }
    }

    pub(super) async fn export(&self, filter: &Filter) -> Outcome {
        match self {
            Self::Office(counter) => {
                counter.pour(&format!("/audit/export?{}", filter.spelled()), &mut std::io::stdout().lock())
            }
            Self::Books { store, means, .. } => {
                let form = filter.form()?;
                let query: AuditQuery = filter.clone().checked()?.into();
                note(store, means, "audit.exported", &query).await?;
                say(form.head())?;
                let mut next = Some(query);
                while let Some(query) = next {
                    let (text, rest) = piece(store, &query, form).await?;
                    say(&text)?;
                    next = rest;
                }
                Ok(())
            }
        }
    }

    pub(super) async fn checkpoints(&self, after: u64) -> Result<Value, Failure> {
        match self {
            Self::Office(counter) => counter.get(&format!("/audit/checkpoints?after={after}")),
            Self::Books { store, .. } => told(&audit::checkpoints(store, after).await?),
        }
    }

    pub(super) async fn destinations(&self) -> Result<Value, Failure> {
        match self {
            Self::Office(counter) => counter.get("/audit/destinations"),
            Self::Books { store, .. } => told(&audit::destinations(store).await?),
        }
    }

    pub(super) async fn dead_letters(&self) -> Result<Value, Failure> {
        match self {
            Self::Office(counter) => counter.get("/audit/dead-letters"),
            Self::Books { store, .. } => told(&audit::dead_letters(store).await?),
        }
    }

    pub(super) async fn requeue(&self, destination: &str, first: Option<u64>) -> Result<Value, Failure> {
        match self {
            Self::Office(counter) => {
                let which = first.map(|first| format!("?first={first}")).unwrap_or_default();
                counter.post(&format!("/audit/destinations/{destination}/requeue{which}"), &json!({}))
            }
            Self::Books { store, means, .. } => {
                let again = store.requeue(destination, first).await?;
                let detail = json!({ "destination": destination, "letters": again });
                write(store, means, "audit.requeued", &detail).await?;
                Ok(json!({ "requeued": again }))
            }
        }
    }
}

/// Standard output may be a pipe whose reader has had enough; that is no failure of ours to shout about.
pub(super) fn say(text: &str) -> Outcome {
    std::io::stdout().lock().write_all(text.as_bytes()).map_err(Failure::new)
}

/// Whoever reads what is kept on people leaves a record of it, also here.
async fn note(store: &Store, means: &Means, event: &str, query: &AuditQuery) -> Outcome {
    write(store, means, event, &asked(query)).await
}

async fn write(store: &Store, means: &Means, event: &str, detail: &Value) -> Outcome {
    let record = AuditRecord {
        at: means.clock.now(),
        event: event.into(),
        reason: Some("command line".into()),
        detail: Some(detail.to_string()),
        ..AuditRecord::default()
    };
    store.commit(Deed::new(Act::Note, record)).await?;
    Ok(())
}

fn told(answer: &impl serde::Serialize) -> Result<Value, Failure> {
    serde_json::to_value(answer).map_err(Failure::new)
}

impl From<Denial> for Failure {
    fn from(denial: Denial) -> Self {
        match denial {
            Denial::Unknown(why) | Denial::Forbidden(why) | Denial::Missing(why) | Denial::Conflict(why) => {
                Self::new(why)
            }
            Denial::Invalid(objections) => {
                let sentences: Vec<_> = objections.iter().map(|it| it.detail.as_ref()).collect();
                Self::new(sentences.join(" "))
            }
            Denial::Later(seconds) => Self::new(format!("too often; try again in {seconds} seconds.")),
            Denial::Broken(trouble) => trouble.into(),
        }
    }
}
