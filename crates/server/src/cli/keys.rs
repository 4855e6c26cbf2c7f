//! `portcullis keys`: the key directory on this machine, and the signing keys of a running server.

use std::path::PathBuf;

use clap::{Args, Subcommand};
use portcullis_authority::ledger::{Act, AuditRecord, Deed, Ledger as _};
use serde_json::{Value, json};

use super::office::{Counter, Table, text, time};
use super::revoke::Named;
use super::serve::runtime;
use super::{Failure, Outcome};
use crate::books;
use crate::keys::{Keks, KeyDirectory, Plan, Purpose};
use crate::means::Means;
use crate::settings::Settings;

#[derive(Debug, Subcommand)]
pub(super) enum Keys {
    /// Make a key directory: for each algorithm a key that signs and one that stands by, and the two
    /// secrets of the server itself.
    #[command(after_help = "\
Examples:
  portcullis keys init
  portcullis keys init --directory /var/lib/portcullis/keys --algorithms ES256

With keys.kek in the settings every private file is sealed. Keep a copy of seal.key in a safe place: client
secrets and refresh tokens are hashed with it, and without it every client needs a new secret.")]
    Init {
        #[command(flatten)]
        place: Place,
        /// What to sign with; RS512 is for the clients of Commerce Layer.
        #[arg(long, value_delimiter = ',', default_value = "ES256,RS512")]
        algorithms: Vec<String>,
    },
    /// List the key directory, and say whether a server could use it.
    Files {
        #[command(flatten)]
        place: Place,
    },
    /// Add a key that stands by: a server takes it in at its next start.
    Add {
        #[command(flatten)]
        place: Place,
        /// ES256, EdDSA, RS256, RS512 or PS256.
        #[arg(long)]
        algorithm: String,
    },
    /// Change the key that signs the feed, in three steps, while servers go on.
    #[command(subcommand)]
    Feed(FeedKey),
    /// Seal the private files of a key directory under the key-encryption key of the settings (keys.kek).
    #[command(after_help = "\
Examples:
  (umask 077; openssl rand -base64 32 > /etc/portcullis/kek)
  PORTCULLIS__KEYS__KEK=file:/etc/portcullis/kek portcullis keys seal

A server that runs has read its files already; it needs the setting at its next start.")]
    Seal {
        #[command(flatten)]
        place: Place,
    },
    /// Seal them under a new key-encryption key: keys.kek is the new one, keys.kek_before the old one.
    ///
    /// The files of the key directory and the data keys in the books. It may be interrupted and run again, and
    /// servers go on meanwhile. Once it is done, take keys.kek_before out of the settings.
    #[command(after_help = "\
Examples:
  portcullis keys reseal
  portcullis keys reseal --data             # what is plain, or under an older data key, is sealed
  portcullis keys reseal --new-data-key     # the same under a data key that is made now

Restart the servers with both key-encryption keys before you make a data key: they could not open it.")]
    Reseal {
        #[command(flatten)]
        place: Place,
        /// Seal every field of the books that is plain or sealed under an older data key.
        #[arg(long)]
        data: bool,
        /// Make a new data key first.
        #[arg(long)]
        new_data_key: bool,
    },
    /// List the signing keys of a running server and how old they are, and say where the feed's own key stands.
    Status {
        #[command(flatten)]
        counter: Counter,
    },
    /// Propose that the key that stands by signs from now on. Needs a second person.
    ///
    /// Keys rotate on their own (keys.rotate_every); this is for the day on which that is too late.
    #[command(after_help = "\
Examples:
  portcullis keys rotate ES256 --reason \"CHG-12: a laptop with a backup was lost\"")]
    Rotate {
        #[command(flatten)]
        counter: Counter,
        /// Whose algorithm rotates.
        algorithm: String,
        /// Why; it is kept in the audit log.
        #[arg(long)]
        reason: String,
        /// Owners only: do it without a second person. It is loud.
        #[arg(long)]
        break_glass: bool,
    },
    /// End a key and everything that it has signed; the one that stands by signs at once. Needs a second
    /// person.
    #[command(after_help = "\
Examples:
  portcullis keys revoke eu1.Hn8QhE4kFmE0c0ZiGNBTgP --reason \"INC-9: the key leaked\"
  portcullis keys revoke eu1.Hn8QhE4kFmE0c0ZiGNBTgP --reason \"INC-9\" --break-glass --wait 10")]
    Revoke(Named),
}

/// The steps; all servers have the same key directory, and each starts again after each of them.
#[derive(Debug, Subcommand)]
pub(super) enum FeedKey {
    /// Make the next feed key. Servers publish it from their next start on; it signs nothing.
    #[command(after_help = "\
Examples:
  portcullis keys feed prepare     # then start every server again, one by one
  portcullis keys feed sign        # the same
  portcullis keys feed forget      # when nothing is checked any more that the key before has signed

Guards that pin the feed's keys need the next one before it signs: GET /.well-known/rv-jwks.json shows it.")]
    Prepare {
        #[command(flatten)]
        place: Place,
    },
    /// Let it sign from each server's next start on. The one before stays published, and signs no more.
    Sign {
        #[command(flatten)]
        place: Place,
    },
    /// Publish the one before no more; prints its public half, which checks the records that it has signed.
    Forget {
        #[command(flatten)]
        place: Place,
    },
}

impl FeedKey {
    fn take(self, settings: &Settings, means: &Means) -> Outcome {
        match self {
            Self::Prepare { place } => {
                let kid = place.open(settings)?.prepare_feed_key(&*means.clock)?;
                println!("{kid} stands by. Start every server again, one by one; then let it sign.");
            }
            Self::Sign { place } => {
                let kid = place.open(settings)?.promote_feed_key(&*means.clock)?;
                println!("{kid} signs the feed of every server that is started from now on.");
            }
            Self::Forget { place } => {
                let keys = place.open(settings)?;
                // Shown first: whoever loses it checks nothing any more that the key has signed.
                println!("{}", json!({ "keys": [keys.feed_key_before()?] }));
                keys.forget_feed_key()?;
                eprintln!("Servers that are started from now on publish it no more.");
            }
        }
        Ok(())
    }
}

#[derive(Debug, Args)]
pub(super) struct Place {
    /// The key directory, instead of the one in the settings (keys.directory).
    #[arg(long, value_name = "DIRECTORY")]
    directory: Option<PathBuf>,
}

impl Keys {
    pub fn run(self, settings: Settings) -> Outcome {
        let means = Means::system();
        match self {
            Self::Init { place, algorithms } => {
                let plan =
                    Plan { purpose: Purpose::Own, region: &settings.keys.region, algorithms: &algorithms };
                let (path, keks) = (place.path(&settings), Keks::of(&settings.keys)?);
                let keys = KeyDirectory::create_under(keks, (&path, &plan), &*means.clock, &*means.dice)?;
                println!("Made {} keys in {}.", keys.manifest().keys.len(), keys.path().display());
                Ok(())
            }
            Self::Files { place } => show(&place.open(&settings)?),
            Self::Add { place, algorithm } => {
                let kid = place.open(&settings)?.add(&algorithm, &*means.clock)?;
                println!("Added {kid}. A server takes it in at its next start.");
                Ok(())
            }
            Self::Feed(step) => step.take(&settings, &means),
            Self::Seal { place } => seal(&place.open(&settings)?),
            Self::Reseal { place, data, new_data_key } => {
                // Books without a key-encryption key are sealed under a key of the key directory.
                if settings.keys.kek.is_some() || !(data || new_data_key) {
                    seal(&place.open(&settings)?)?;
                }
                let work = Work { data: data || new_data_key, new_data_key };
                runtime()?.block_on(reseal(&place.settled(settings), &means, work))
            }
            Self::Status { counter } => {
                let answer = counter.get("/keys")?;
                counter
                    .show(&answer, |answer| format!("{}{}", listed(&answer["keys"]), feed(&answer["feed"])))
            }
            Self::Rotate { counter, algorithm, reason, break_glass } => {
                let what = json!({ "algorithm": algorithm });
                let body = json!({
                    "kind": "key_rotation", "what": what, "reason": reason, "break_glass": break_glass,
                });
                let answer = counter.post("/proposals", &body)?;
                let sentence = match break_glass {
                    true => format!("{} signs.", text(&answer["what"], "kid")),
                    false => super::office::proposed(&answer),
                };
                counter.say(&answer, sentence)
            }
            Self::Revoke(it) => it.end("key"),
        }
    }
}

impl Place {
    fn path(&self, settings: &Settings) -> PathBuf {
        self.directory.clone().unwrap_or_else(|| settings.keys.directory.clone())
    }

    /// The settings with this place for their keys.
    fn settled(self, mut settings: Settings) -> Settings {
        settings.keys.directory = self.path(&settings);
        settings
    }

    fn open(&self, settings: &Settings) -> Result<KeyDirectory, Failure> {
        let keks = Keks::of(&settings.keys)?;
        Ok(KeyDirectory::open(&self.path(settings))?.under(keks))
    }
}

fn seal(keys: &KeyDirectory) -> Outcome {
    let sealed = keys.reseal()?;
    match sealed.len() {
        0 => println!("Every private file is sealed under that key already."),
        some => println!("Sealed {some} files: {}.", sealed.join(", ")),
    }
    Ok(())
}

/// What is to be done in the books beside wrapping their data keys.
struct Work {
    data: bool,
    new_data_key: bool,
}

async fn reseal(settings: &Settings, means: &Means, work: Work) -> Outcome {
    let store = books::open(settings, means).await?;
    let rewrapped = store.rewrap_data_keys().await?;
    println!("Wrapped {rewrapped} data keys of the books anew.");
    let made = match work.new_data_key {
        true => Some(store.new_data_key().await?),
        false => None,
    };
    let sealed = match work.data {
        true => Some(store.reseal().await?),
        false => None,
    };
    if let Some(sealed) = &sealed {
        println!("Sealed {} rows of the books.", sealed.rows());
    }
    let record = AuditRecord {
        at: means.clock.now(),
        event: "keys.resealed".into(),
        actors: vec!["command line".into()],
        detail: Some(json!({ "rewrapped": rewrapped, "data_key": made, "rows": sealed }).to_string()),
        ..AuditRecord::default()
    };
    store.commit(Deed::new(Act::Note, record)).await?;
    if made.is_some() {
        println!("Servers take the new data key up within seconds; run it once more with --data after that.");
    }
    Ok(())
}

fn listed(keys: &Value) -> Table {
    Table::of(
        keys,
        "There are no signing keys.",
        &[
            ("key", |it| text(it, "kid")),
            ("alg", |it| text(it, "algorithm")),
            ("state", |it| text(it, "state")),
            ("since", |it| time(it, "since")),
            ("vault", |it| text(it, "vault")),
        ],
    )
}

/// The feed's own key, those beside it, and what comes next. A server of before says nothing of it.
fn feed(feed: &Value) -> String {
    if feed.is_null() {
        return String::new();
    }
    let states = [("next", "stands by"), ("signs", "signs"), ("before", "is still published")];
    let mut table = Table::new(&["feed key", "published as", "state", "since"], "");
    for (member, state) in states {
        let key = &feed[member];
        if !key.is_null() {
            table.row([text(key, "kid"), text(key, "published_as"), state.to_owned(), time(key, "since")]);
        }
    }
    format!("\n{table}\n{}\n", next_step(feed))
}

fn next_step(feed: &Value) -> String {
    let step = text(feed, "step");
    let why = match step.as_str() {
        "sign" => "once every server has started since the successor was made".to_owned(),
        "forget" => "once every server has started since the change, and ten seconds have passed".to_owned(),
        _ if feed["due"].is_null() => "once a year; how old this key is, nobody has noted".to_owned(),
        _ => format!("from {}, when the key is a year old", time(feed, "due")),
    };
    format!("Next: portcullis keys feed {step}, {why} (docs/keys.md).")
}

fn show(keys: &KeyDirectory) -> Outcome {
    println!("{:<28} {:<6} {:<8} CREATED", "KEY", "ALG", "STATE");
    for key in &keys.manifest().keys {
        println!("{:<28} {:<6} {:<8} {}", key.kid, key.alg, key.state.as_str(), key.created_at);
    }
    // A list that looks well must not hide that the server would not start.
    let loaded = keys
        .load()
        .map_err(|trouble| Failure::new(format!("these keys cannot be used: {}.", trouble.why)))?;
    let feed = &loaded.succession;
    let beside = [(&feed.next, "next"), (&feed.before, "before")];
    let beside = beside.iter().filter_map(|(key, state)| Some((key.as_ref()?, *state)));
    for (key, state) in std::iter::once((&feed.signs, "signs")).chain(beside) {
        let since = time(&json!({ "since": key.since }), "since");
        println!("{:<28} {:<6} {:<8} {since}", key.kid, "feed", state);
    }
    match loaded.plain.len() {
        0 => println!("Every private file is sealed."),
        some => println!("{some} private files are not sealed; portcullis keys seal does it."),
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_feeds_key_is_said_with_those_beside_it_and_the_next_step() {
        let key = |kid: &str, since: Option<u64>| json!({ "kid": kid, "published_as": "ab", "since": since });
        let standing = json!({ "signs": key("eu1.one", Some(0)), "next": key("eu1.two", Some(60)), "before": null, "step": "sign", "due": null });
        let said = feed(&standing);
        let lines: Vec<Vec<&str>> = said.lines().map(|line| line.split_whitespace().collect()).collect();
        assert_eq!(lines[1], ["FEED", "KEY", "PUBLISHED", "AS", "STATE", "SINCE"]);
        assert_eq!(lines[2], ["eu1.two", "ab", "stands", "by", "1970-01-01T00:01:00Z"]);
        assert_eq!(lines[3], ["eu1.one", "ab", "signs", "1970-01-01T00:00:00Z"]);
        assert!(said.contains("\nNext: portcullis keys feed sign, once every server has started"), "{said}");
        let alone = |due: Value| feed(&json!({ "signs": key("k", None), "step": "prepare", "due": due }));
        assert!(alone(json!(0)).contains("prepare, from 1970-01-01T00:00:00Z, when the key is a year old"));
        assert!(alone(Value::Null).contains("nobody has noted"));
        assert_eq!(feed(&Value::Null), "", "a server of before says nothing of it");
    }
}
