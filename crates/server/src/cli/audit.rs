//! `portcullis audit`: the audit log, on the settings' own books, whether a server runs or not.

use std::io::Write as _;
use std::path::{Path, PathBuf};

use clap::{Args, Subcommand, ValueEnum};
use portcullis_authority::ledger::{Act, AuditRecord, Deed, Ledger as _};
use portcullis_guard::feed::FeedKeys;
use portcullis_store::{AuditEntry, AuditQuery, Store};
use serde_json::json;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use super::serve::runtime;
use super::{Failure, Outcome};
use crate::audit::{Csv, JsonLines, Witness, Written, line, moment, piece, prove};
use crate::books;
use crate::feed::Press;
use crate::means::Means;
use crate::settings::Settings;

#[derive(Debug, Subcommand)]
pub(super) enum Audit {
    /// Compute the chain of hashes anew and compare it with the signed checkpoints.
    ///
    /// Names the first row that was changed, removed, reordered or slipped in, and ends with 1 when there is
    /// one. A database that was rewritten as a whole is found by checkpoints that were kept elsewhere.
    #[command(after_help = "\
Examples:
  portcullis audit verify
  portcullis audit verify --checkpoints checkpoints.txt
  portcullis audit verify --from 1200000")]
    Verify(Verify),
    /// Look for records, newest first.
    #[command(after_help = "\
Examples:
  portcullis audit search --subject 7kQZ --since 2026-01-01T00:00:00Z
  portcullis audit search --event token.refused --address 192.0.2.7 --json")]
    Search(Search),
    /// Write records to standard output, newest first: JSON lines, which are exact, or CSV for spreadsheets.
    Export(Export),
    /// Print the signed checkpoints, one a line. Keep them where the database's owner cannot reach.
    Checkpoints {
        /// Only those of rows after this one.
        #[arg(long, value_name = "ROW", default_value_t = 0)]
        after: u64,
    },
    /// Show how far destinations outside have been told.
    Destinations,
    /// Show what destinations would not take, or have it tried again.
    DeadLetters(DeadLetters),
}

#[derive(Debug, Args)]
pub(super) struct Verify {
    /// Begin with this row instead of the first.
    #[arg(long, value_name = "ROW")]
    from: Option<u64>,
    /// A file of checkpoints that was kept elsewhere, one a line.
    #[arg(long, value_name = "FILE")]
    checkpoints: Option<PathBuf>,
    /// A JWK set of feed keys, instead of the server's own key; older keys belong in it too.
    #[arg(long, value_name = "FILE")]
    keys: Option<PathBuf>,
    /// Answer as JSON.
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Args)]
pub(super) struct Filter {
    /// Organization id.
    #[arg(long)]
    organization: Option<String>,
    #[arg(long)]
    client_id: Option<String>,
    /// Id of a person or application.
    #[arg(long)]
    subject: Option<String>,
    /// Somebody anywhere in the chain of those who acted.
    #[arg(long)]
    actor: Option<String>,
    /// Such as token.issued, token.refused, sign_in, registry.changed.
    #[arg(long)]
    event: Option<String>,
    /// Id of a login.
    #[arg(long)]
    sid: Option<String>,
    /// Id of a token.
    #[arg(long)]
    jti: Option<String>,
    /// Where the request came from.
    #[arg(long)]
    address: Option<String>,
    #[arg(long)]
    request_id: Option<String>,
    /// Not before this time: 2026-01-31T00:00:00Z, or seconds since 1970.
    #[arg(long, value_parser = instant)]
    since: Option<u64>,
    /// Before this time.
    #[arg(long, value_parser = instant)]
    until: Option<u64>,
    /// Before this row.
    #[arg(long, value_name = "ROW")]
    before: Option<u64>,
}

#[derive(Debug, Args)]
pub(super) struct Search {
    #[command(flatten)]
    filter: Filter,
    /// How many, at most 1000.
    #[arg(long, default_value_t = 50)]
    limit: usize,
    /// Whole records, as JSON lines.
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Args)]
pub(super) struct Export {
    #[command(flatten)]
    filter: Filter,
    #[arg(long, value_enum, default_value_t = Form::Jsonl)]
    format: Form,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Form {
    Jsonl,
    Csv,
}

#[derive(Debug, Args)]
pub(super) struct DeadLetters {
    /// Try again what this destination would not take.
    #[arg(long, value_name = "DESTINATION")]
    requeue: Option<String>,
    /// Only the one that begins with this row.
    #[arg(long, value_name = "ROW", requires = "requeue")]
    first: Option<u64>,
}

impl Audit {
    pub fn run(self, settings: &Settings) -> Outcome {
        let means = Means::system();
        runtime()?.block_on(async {
            let store = books::open(settings, &means).await?;
            match self {
                Self::Verify(it) => it.run(settings, &store).await,
                Self::Search(it) => it.run(&store, &means).await,
                Self::Export(it) => it.run(&store, &means).await,
                Self::Checkpoints { after } => print_checkpoints(&store, after).await,
                Self::Destinations => print_destinations(&store).await,
                Self::DeadLetters(it) => it.run(&store, &means).await,
            }
        })
    }
}

impl Verify {
    async fn run(self, settings: &Settings, store: &Store) -> Outcome {
        let witness = Witness::new(&settings.feed.name, feed_keys(self.keys.as_deref(), settings)?);
        let kept = match &self.checkpoints {
            Some(file) => {
                read(file)?.lines().filter(|line| !line.trim().is_empty()).map(String::from).collect()
            }
            None => Vec::new(),
        };
        let proof = prove(store, &witness, self.from, &kept).await?;
        match (self.json, proof.sound) {
            (true, _) => say(&format!("{}\n", json!(proof)))?,
            (false, true) => say(&format!("{proof}\n"))?,
            (false, false) => {}
        }
        match proof.sound {
            true => Ok(()),
            false => Err(Failure::new(format!("the audit log is not as it was written: {proof}"))),
        }
    }
}

impl Search {
    async fn run(self, store: &Store, means: &Means) -> Outcome {
        let query = AuditQuery { limit: self.limit, ..self.filter.into() };
        note(store, means, "audit.searched", &query).await?;
        let mut next = Some(query.before);
        let mut left = self.limit;
        if !self.json {
            say(&header())?;
        }
        // A page may be empty where what is looked for is rare; going on costs a page at a time.
        while let Some(before) = next.filter(|_| left > 0) {
            let page = store.audit_search(&AuditQuery { before, limit: left, ..query.clone() }).await?;
            left -= page.entries.len().min(left);
            let lines: String = page.entries.iter().map(|it| shown(it, self.json)).collect();
            say(&lines)?;
            next = page.next.map(Some);
        }
        Ok(())
    }
}

impl Export {
    async fn run(self, store: &Store, means: &Means) -> Outcome {
        let form: &(dyn Written + Sync) = match self.format {
            Form::Jsonl => &JsonLines,
            Form::Csv => &Csv,
        };
        let query: AuditQuery = self.filter.into();
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

impl DeadLetters {
    async fn run(self, store: &Store, means: &Means) -> Outcome {
        if let Some(destination) = &self.requeue {
            let again = store.requeue(destination, self.first).await?;
            let record = AuditRecord {
                at: means.clock.now(),
                event: "audit.requeued".into(),
                reason: Some("command line".into()),
                detail: Some(json!({ "destination": destination, "letters": again }).to_string()),
                ..AuditRecord::default()
            };
            store.commit(Deed::new(Act::Note, record)).await?;
            return say(&format!("{again} will be tried again by the server.\n"));
        }
        say(&format!(
            "{:<20} {:>10} {:>10} {:<20} {:<6} WHY\n",
            "DESTINATION", "FIRST", "LAST", "SINCE", "TRIES"
        ))?;
        for it in store.dead_letters(None, 1000).await? {
            let since = moment(it.at);
            say(&format!(
                "{:<20} {:>10} {:>10} {since:<20} {:<6} {}\n",
                it.destination, it.first, it.last, it.tries, it.trouble
            ))?;
        }
        Ok(())
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
            limit: 0,
        }
    }
}

/// Whoever reads what is kept on people leaves a record of it, also here.
async fn note(store: &Store, means: &Means, event: &str, query: &AuditQuery) -> Outcome {
    let record = AuditRecord {
        at: means.clock.now(),
        event: event.into(),
        reason: Some("command line".into()),
        detail: Some(crate::audit::asked(query).to_string()),
        ..AuditRecord::default()
    };
    store.commit(Deed::new(Act::Note, record)).await?;
    Ok(())
}

async fn print_checkpoints(store: &Store, mut after: u64) -> Outcome {
    loop {
        let page = store.checkpoints(after, 1000).await?;
        let Some(last) = page.last() else { return Ok(()) };
        after = last.seq;
        say(&page.iter().map(|it| format!("{}\n", it.statement)).collect::<String>())?;
    }
}

async fn print_destinations(store: &Store) -> Outcome {
    let head = store.audit_head().await?.seq;
    say(&format!("{:<20} {:>10} {:>10} {:<6} TROUBLE\n", "DESTINATION", "TOLD", "BEHIND", "TRIES"))?;
    for it in store.audit_deliveries().await? {
        let trouble = it.trouble.unwrap_or_default();
        let behind = head.saturating_sub(it.seq);
        say(&format!("{:<20} {:>10} {behind:>10} {:<6} {trouble}\n", it.destination, it.seq, it.tries))?;
    }
    Ok(())
}

fn header() -> String {
    format!(
        "{:>10} {:<20} {:<22} {:<24} {:<24} {:<16} REASON\n",
        "ROW", "TIME", "EVENT", "CLIENT", "SUBJECT", "ADDRESS"
    )
}

fn shown(entry: &AuditEntry, json: bool) -> String {
    if json {
        return format!("{}\n", line(entry));
    }
    let r = &entry.record;
    // What strangers wrote must not move the cursor of whoever reads it.
    let cell = |text: &Option<String>| -> String {
        let text = text.as_deref().unwrap_or("-");
        text.chars().map(|c| if c.is_control() { '\u{fffd}' } else { c }).collect()
    };
    format!(
        "{:>10} {:<20} {:<22} {:<24} {:<24} {:<16} {}\n",
        entry.seq,
        moment(r.at),
        r.event,
        cell(&r.client_id),
        cell(&r.subject),
        cell(&r.address),
        cell(&r.reason)
    )
}

fn feed_keys(file: Option<&Path>, settings: &Settings) -> Result<Vec<FeedKeys>, Failure> {
    let set = match file {
        Some(file) => read(file)?,
        None => Press::of(&books::keys(settings)?)?.jwks().to_owned(),
    };
    let keys = FeedKeys::from_jwks(&set).map_err(|_| Failure::new("there is no feed key in the JWK set."))?;
    Ok(vec![keys])
}

fn read(file: &Path) -> Result<String, Failure> {
    std::fs::read_to_string(file)
        .map_err(|e| Failure::new(format!("{} cannot be read: {e}.", file.display())))
}

/// Standard output may be a pipe whose reader has had enough; that is no failure of ours to shout about.
fn say(text: &str) -> Outcome {
    std::io::stdout().lock().write_all(text.as_bytes()).map_err(Failure::new)
}

fn instant(text: &str) -> Result<u64, String> {
    if let Ok(seconds) = text.parse() {
        return Ok(seconds);
    }
    let read = OffsetDateTime::parse(text, &Rfc3339).ok();
    read.and_then(|at| u64::try_from(at.unix_timestamp()).ok())
        .ok_or_else(|| "write a time like 2026-01-31T00:00:00Z, or seconds since 1970".to_owned())
}
