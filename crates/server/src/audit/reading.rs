//! What those who look into the audit log may ask, and what they are told, whichever way they come: over the
//! operators' listener, or on the books themselves. Who may, and that it is noted, is decided there.

use clap::Args;
use portcullis_authority::operators::Denial;
use portcullis_authority::refusal::Trouble;
use portcullis_store::{AuditQuery, Store};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use super::{Csv, JsonLines, Written, line};

/// Records on a page unless said.
const PAGE: usize = 50;
/// Bytes of a text that is looked for.
const LONGEST_TEXT: usize = 256;
/// Checkpoints and dead letters in one answer.
const MANY: usize = 1000;

/// What to look for: everything that is said must fit.
#[derive(Clone, Debug, Default, Args, Serialize, Deserialize, JsonSchema)]
#[schemars(rename = "AuditFilter")]
#[serde(deny_unknown_fields)]
pub struct Filter {
    /// Organization id.
    #[arg(long)]
    pub organization: Option<String>,
    /// Id of an application.
    #[arg(long)]
    pub client_id: Option<String>,
    /// Id of a person or application.
    #[arg(long)]
    pub subject: Option<String>,
    /// Somebody anywhere in the chain of those who acted.
    #[arg(long)]
    pub actor: Option<String>,
    /// Such as token.issued, token.refused, sign_in, registry.changed.
    #[arg(long)]
    pub event: Option<String>,
    /// Id of a login.
    #[arg(long)]
    pub sid: Option<String>,
    /// Id of a token.
    #[arg(long)]
    pub jti: Option<String>,
    /// Where the request came from.
    #[arg(long)]
    pub address: Option<String>,
    /// Id of a request.
    #[arg(long)]
    pub request_id: Option<String>,
    /// Not before this time: seconds since 1970; on the command line also 2026-01-31T00:00:00Z.
    #[arg(long, value_parser = instant)]
    pub since: Option<u64>,
    /// Before this time.
    #[arg(long, value_parser = instant)]
    pub until: Option<u64>,
    /// Before this row: `next` of the page before.
    #[arg(long, value_name = "ROW")]
    pub before: Option<u64>,
    /// At most 1000; an export has no end of its own.
    #[arg(skip)]
    pub limit: Option<usize>,
    /// Of an export: jsonl or csv.
    #[arg(skip)]
    pub format: Option<String>,
}

/// Records, newest first.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "AuditPage")]
pub struct RecordPage {
    records: Vec<Value>,
    /// Where to go on; a page may be empty and still have one after it.
    next: Option<u64>,
}

#[derive(Serialize, JsonSchema)]
#[schemars(rename = "AuditCheckpoints")]
pub struct CheckpointList {
    /// Each a compact JWS.
    checkpoints: Vec<String>,
    /// Where to go on (`after`), if there may be more.
    next: Option<u64>,
}

#[derive(Serialize, JsonSchema)]
#[schemars(rename = "AuditDestinations")]
pub struct DestinationList {
    destinations: Vec<Told>,
}

/// How far a destination is.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "AuditDestination")]
struct Told {
    destination: String,
    /// The last row that it was told.
    seq: u64,
    /// Rows that it has not been told.
    behind: u64,
    /// How often it has refused what comes next.
    tries: u64,
    trouble: Option<String>,
}

#[derive(Serialize, JsonSchema)]
#[schemars(rename = "AuditDeadLetters")]
pub struct LetterList {
    dead_letters: Vec<Letter>,
}

/// Rows that a destination would not take.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "AuditDeadLetter")]
struct Letter {
    destination: String,
    first: u64,
    last: u64,
    at: u64,
    tries: u64,
    trouble: String,
    /// Whether it will be told again.
    again: bool,
}

/// A page of what was looked for.
///
/// # Errors
/// Trouble with the books.
pub async fn find(store: &Store, query: &AuditQuery) -> Result<RecordPage, Trouble> {
    let page = store.audit_search(query).await?;
    Ok(RecordPage { records: page.entries.iter().map(line).collect(), next: page.next })
}

/// Signed checkpoints of rows after this one.
///
/// # Errors
/// Trouble with the books.
pub async fn checkpoints(store: &Store, after: u64) -> Result<CheckpointList, Trouble> {
    let page = store.checkpoints(after, MANY).await?;
    let next = page.last().filter(|_| page.len() == MANY).map(|last| last.seq);
    Ok(CheckpointList { checkpoints: page.into_iter().map(|it| it.statement).collect(), next })
}

/// How far destinations have been told.
///
/// # Errors
/// Trouble with the books.
pub async fn destinations(store: &Store) -> Result<DestinationList, Trouble> {
    let head = store.audit_head().await?.seq;
    let told = store.audit_deliveries().await?.into_iter().map(|it| Told {
        destination: it.destination,
        seq: it.seq,
        behind: head.saturating_sub(it.seq),
        tries: it.tries,
        trouble: it.trouble,
    });
    Ok(DestinationList { destinations: told.collect() })
}

/// What destinations would not take.
///
/// # Errors
/// Trouble with the books.
pub async fn dead_letters(store: &Store) -> Result<LetterList, Trouble> {
    let letters = store.dead_letters(None, MANY).await?.into_iter().map(|it| Letter {
        destination: it.destination,
        first: it.first,
        last: it.last,
        at: it.at,
        tries: it.tries,
        trouble: it.trouble,
        again: it.again,
    });
    Ok(LetterList { dead_letters: letters.collect() })
}

/// Whether a text can be looked for: what is asked is written down with the asking, and PostgreSQL knows no NUL.
pub fn is_fit(text: &str) -> bool {
    text.len() <= LONGEST_TEXT && !text.contains('\0')
}

impl Filter {
    /// # Errors
    /// [`Denial::Invalid`] naming the member that cannot be looked for.
    pub fn checked(self) -> Result<Self, Denial> {
        let texts = [
            ("organization", &self.organization),
            ("client_id", &self.client_id),
            ("subject", &self.subject),
            ("actor", &self.actor),
            ("event", &self.event),
            ("sid", &self.sid),
            ("jti", &self.jti),
            ("address", &self.address),
            ("request_id", &self.request_id),
            ("format", &self.format),
        ];
        let bad = |text: &String| !is_fit(text);
        let wrong =
            texts.into_iter().find(|(_, text)| text.as_ref().is_some_and(bad)).map(|(member, _)| member);
        match wrong {
            None => Ok(self),
            Some(member) => {
                let sentence =
                    format!("A filter is at most {LONGEST_TEXT} bytes, without a NUL; shorten it.");
                Err(Denial::invalid(member, sentence))
            }
        }
    }

    /// What an export is written in.
    ///
    /// # Errors
    /// [`Denial::Invalid`] for a word that is no format.
    pub fn form(&self) -> Result<&'static (dyn Written + Sync), Denial> {
        match self.format.as_deref() {
            None | Some("jsonl") => Ok(&JsonLines),
            Some("csv") => Ok(&Csv),
            Some(_) => Err(Denial::invalid("format", "The format is jsonl or csv.")),
        }
    }

    /// The same as the query of an address.
    pub fn spelled(&self) -> String {
        let mut spelled = url::form_urlencoded::Serializer::new(String::new());
        let members = serde_json::to_value(self).unwrap_or_default();
        for (name, value) in members.as_object().into_iter().flatten() {
            match value {
                Value::Null => {}
                Value::String(text) => drop(spelled.append_pair(name, text)),
                other => drop(spelled.append_pair(name, &other.to_string())),
            }
        }
        spelled.finish()
    }
}

impl From<Filter> for AuditQuery {
    fn from(it: Filter) -> Self {
        Self {
            organization: it.organization,
            client_id: it.client_id,
            subject: it.subject,
            actor: it.actor,
            event: it.event,
            sid: it.sid,
            jti: it.jti,
            address: it.address,
            request_id: it.request_id,
            since: it.since,
            until: it.until,
            before: it.before,
            limit: it.limit.unwrap_or(PAGE),
        }
    }
}

fn instant(text: &str) -> Result<u64, String> {
    if let Ok(seconds) = text.parse() {
        return Ok(seconds);
    }
    let read = OffsetDateTime::parse(text, &Rfc3339).ok();
    read.and_then(|at| u64::try_from(at.unix_timestamp()).ok())
        .ok_or_else(|| "write a time like 2026-01-31T00:00:00Z, or seconds since 1970".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_asked_survives_an_address() {
        let filter =
            Filter { event: Some("a&b=c d".into()), since: Some(7), limit: Some(3), ..Filter::default() };
        let spelled = filter.spelled();
        assert_eq!(spelled, "event=a%26b%3Dc+d&since=7&limit=3");
        let read = actix_web::web::Query::<Filter>::from_query(&spelled).unwrap().into_inner();
        assert_eq!((read.event, read.since, read.limit), (filter.event, Some(7), Some(3)));
    }

    #[test]
    fn a_time_is_seconds_or_a_moment() {
        assert_eq!(instant("60"), Ok(60));
        assert_eq!(instant("1970-01-01T00:01:00Z"), Ok(60));
        assert!(instant("yesterday").is_err());
    }
}
