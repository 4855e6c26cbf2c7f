//! `portcullis audit`: the audit log, as the operators' listener tells it to whoever has signed in, or with `--books`
//! as the settings' own books have it, whether a server runs or not.

mod way;

use std::path::{Path, PathBuf};

use clap::{Args, Subcommand, ValueEnum};
use portcullis_guard::feed::FeedKeys;
use portcullis_store::Store;
use serde_json::{Value, json};

use super::office::{text, time};
use super::serve::runtime;
use super::{Failure, Outcome};
use crate::audit::{Filter, Proof, Witness, prove};
use crate::books;
use crate::feed::Press;
use crate::settings::Settings;
use way::{Log, Way, say};

/// Records on a page, as the operators' listener has it.
const MOST: usize = 1000;

#[derive(Debug, Subcommand)]
pub(super) enum Audit {
    /// Compute the chain of hashes anew and compare it with the signed checkpoints.
    ///
    /// Names the first row that was changed, removed, reordered or slipped in, and ends with 1 when there is
    /// one. The server says it of itself; whoever doubts the server uses --books. A database that was rewritten as a
    /// whole is found by checkpoints that were kept elsewhere.
    #[command(after_help = "\
Examples:
  portcullis audit verify
  portcullis audit verify --books --checkpoints checkpoints.txt
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
        #[command(flatten)]
        way: Way,
        /// Only those of rows after this one.
        #[arg(long, value_name = "ROW", default_value_t = 0)]
        after: u64,
    },
    /// Show how far destinations outside have been told.
    Destinations {
        #[command(flatten)]
        way: Way,
    },
    /// Show what destinations would not take, or have it tried again.
    DeadLetters(DeadLetters),
}

#[derive(Debug, Args)]
pub(super) struct Verify {
    #[command(flatten)]
    way: Way,
    /// Begin with this row instead of the first.
    #[arg(long, value_name = "ROW")]
    from: Option<u64>,
    /// A file of checkpoints that was kept elsewhere, one a line.
    #[arg(long, value_name = "FILE", requires = "books")]
    checkpoints: Option<PathBuf>,
    /// A JWK set of feed keys, instead of the server's own key; older keys belong in it too.
    #[arg(long, value_name = "FILE", requires = "books")]
    keys: Option<PathBuf>,
}

#[derive(Debug, Args)]
pub(super) struct Search {
    #[command(flatten)]
    way: Way,
    #[command(flatten)]
    filter: Filter,
    /// How many.
    #[arg(long, default_value_t = 50)]
    limit: usize,
}

#[derive(Debug, Args)]
pub(super) struct Export {
    #[command(flatten)]
    way: Way,
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
    #[command(flatten)]
    way: Way,
    /// Try again what this destination would not take.
    #[arg(long, value_name = "DESTINATION", value_parser = name)]
    requeue: Option<String>,
    /// Only the one that begins with this row.
    #[arg(long, value_name = "ROW", requires = "requeue")]
    first: Option<u64>,
}

impl Audit {
    pub fn run(self, settings: &Settings) -> Outcome {
        runtime()?.block_on(async {
            match self {
                Self::Verify(it) => it.run(settings).await,
                Self::Search(it) => it.run(settings).await,
                Self::Export(it) => it.run(settings).await,
                Self::Checkpoints { way, after } => {
                    print_checkpoints(&way.open(settings).await?, after).await
                }
                Self::Destinations { way } => print_destinations(&way.open(settings).await?).await,
                Self::DeadLetters(it) => it.run(settings).await,
            }
        })
    }
}

impl Verify {
    async fn run(self, settings: &Settings) -> Outcome {
        let log = self.way.open(settings).await?;
        let proof = match &log {
            Log::Office(counter) => {
                let which = self.from.map(|from| format!("?from={from}")).unwrap_or_default();
                let answer = counter.get_patiently(&format!("/audit/verify{which}"))?;
                serde_json::from_value(answer)
                    .map_err(|e| Failure::new(format!("the verdict does not read: {e}.")))?
            }
            Log::Books { store, .. } => self.prove(settings, store).await?,
        };
        match (log.is_json(), proof.sound) {
            (true, _) => say(&format!("{}\n", json!(proof)))?,
            (false, true) => say(&format!("{proof}\n"))?,
            (false, false) => {}
        }
        match proof.sound {
            true => Ok(()),
            false => Err(Failure::new(format!("the audit log is not as it was written: {proof}"))),
        }
    }

    async fn prove(&self, settings: &Settings, store: &Store) -> Result<Proof, Failure> {
        let witness = Witness::new(&settings.feed.name, feed_keys(self.keys.as_deref(), settings)?);
        let kept = match &self.checkpoints {
            Some(file) => {
                read(file)?.lines().filter(|line| !line.trim().is_empty()).map(String::from).collect()
            }
            None => Vec::new(),
        };
        Ok(prove(store, &witness, self.from, &kept).await?)
    }
}

impl Search {
    async fn run(self, settings: &Settings) -> Outcome {
        let log = self.way.open(settings).await?;
        let (mut next, mut left) = (Some(self.filter.before), self.limit);
        if !log.is_json() {
            say(&header())?;
        }
        // A page may be empty where what is looked for is rare; going on costs a page at a time.
        while let Some(before) = next.filter(|_| left > 0) {
            let filter = Filter { before, limit: Some(left.min(MOST)), ..self.filter.clone() };
            let page = log.find(&filter, before == self.filter.before).await?;
            let records = page["records"].as_array().map(Vec::as_slice).unwrap_or_default();
            left -= records.len().min(left);
            say(&records.iter().map(|it| shown(it, log.is_json())).collect::<String>())?;
            next = page["next"].as_u64().map(Some);
        }
        Ok(())
    }
}

impl Export {
    async fn run(self, settings: &Settings) -> Outcome {
        let format = match self.format {
            Form::Jsonl => "jsonl",
            Form::Csv => "csv",
        };
        let filter = Filter { format: Some(format.into()), ..self.filter };
        self.way.open(settings).await?.export(&filter).await
    }
}

impl DeadLetters {
    async fn run(self, settings: &Settings) -> Outcome {
        let log = self.way.open(settings).await?;
        if let Some(destination) = &self.requeue {
            let again = log.requeue(destination, self.first).await?;
            return match log.is_json() {
                true => say(&format!("{again}\n")),
                false => say(&format!("{} will be tried again by the server.\n", text(&again, "requeued"))),
            };
        }
        let answer = log.dead_letters().await?;
        if log.is_json() {
            return say(&format!("{answer:#}\n"));
        }
        say(&format!(
            "{:<20} {:>10} {:>10} {:<20} {:<6} WHY\n",
            "DESTINATION", "FIRST", "LAST", "SINCE", "TRIES"
        ))?;
        for it in answer["dead_letters"].as_array().into_iter().flatten() {
            say(&format!(
                "{:<20} {:>10} {:>10} {:<20} {:<6} {}\n",
                text(it, "destination"),
                text(it, "first"),
                text(it, "last"),
                time(it, "at"),
                text(it, "tries"),
                text(it, "trouble")
            ))?;
        }
        Ok(())
    }
}

async fn print_checkpoints(log: &Log<'_>, after: u64) -> Outcome {
    let mut next = Some(after);
    while let Some(after) = next {
        let page = log.checkpoints(after).await?;
        let lines = page["checkpoints"].as_array().into_iter().flatten().filter_map(Value::as_str);
        say(&lines.map(|line| format!("{line}\n")).collect::<String>())?;
        next = page["next"].as_u64();
    }
    Ok(())
}

async fn print_destinations(log: &Log<'_>) -> Outcome {
    let answer = log.destinations().await?;
    if log.is_json() {
        return say(&format!("{answer:#}\n"));
    }
    say(&format!("{:<20} {:>10} {:>10} {:<6} TROUBLE\n", "DESTINATION", "TOLD", "BEHIND", "TRIES"))?;
    for it in answer["destinations"].as_array().into_iter().flatten() {
        say(&format!(
            "{:<20} {:>10} {:>10} {:<6} {}\n",
            text(it, "destination"),
            text(it, "seq"),
            text(it, "behind"),
            text(it, "tries"),
            text(it, "trouble")
        ))?;
    }
    Ok(())
}

fn header() -> String {
    format!(
        "{:>10} {:<20} {:<22} {:<24} {:<24} {:<16} REASON\n",
        "ROW", "TIME", "EVENT", "CLIENT", "SUBJECT", "ADDRESS"
    )
}

fn shown(record: &Value, json: bool) -> String {
    if json {
        return format!("{record}\n");
    }
    format!(
        "{:>10} {:<20} {:<22} {:<24} {:<24} {:<16} {}\n",
        text(record, "seq"),
        time(record, "at"),
        text(record, "event"),
        text(record, "client_id"),
        text(record, "subject"),
        text(record, "address"),
        text(record, "reason")
    )
}

fn feed_keys(file: Option<&Path>, settings: &Settings) -> Result<Vec<FeedKeys>, Failure> {
    let Some(file) = file else { return Ok(Press::of(&books::keys(settings)?)?.witnesses()?) };
    let keys = FeedKeys::from_jwks(&read(file)?);
    let keys = keys.map_err(|_| Failure::new("there is no feed key in the JWK set."))?;
    Ok(vec![keys])
}

fn read(file: &Path) -> Result<String, Failure> {
    std::fs::read_to_string(file)
        .map_err(|e| Failure::new(format!("{} cannot be read: {e}.", file.display())))
}

/// A destination's name goes into an address, so it holds nothing that an address could take for its own.
fn name(text: &str) -> Result<String, &'static str> {
    let plain = !text.is_empty() && text.chars().all(|c| c.is_ascii_alphanumeric() || "-_.".contains(c));
    plain.then(|| text.to_owned()).ok_or("this is no name of a destination: letters, digits, -, _ and . only")
}
