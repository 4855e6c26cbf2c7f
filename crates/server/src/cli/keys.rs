//! `portcullis keys`: the key directory, by hand.

use std::path::PathBuf;

use clap::{Args, Subcommand};
use portcullis_authority::keyring::KeyState;

use super::{Failure, Outcome};
use crate::keys::{KeyDirectory, Plan, Purpose};
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

Keep a copy of seal.key in a safe place: client secrets and refresh tokens are hashed with it, and without
it every client needs a new secret.")]
    Init {
        #[command(flatten)]
        place: Place,
        /// What to sign with; RS512 is for the clients of Commerce Layer.
        #[arg(long, value_delimiter = ',', default_value = "ES256,RS512")]
        algorithms: Vec<String>,
    },
    /// List the keys and how old they are.
    Status {
        #[command(flatten)]
        place: Place,
    },
    /// Add a key that stands by: published from the next start on, signing once it is activated.
    Add {
        #[command(flatten)]
        place: Place,
        /// ES256, EdDSA, RS256, RS512 or PS256.
        #[arg(long)]
        algorithm: String,
    },
    /// Let a standing-by key sign; the one before retires and stays published.
    ///
    /// Services must have seen the key first: wait a day after it was added and published.
    Activate {
        #[command(flatten)]
        place: Place,
        /// Its id, see `portcullis keys status`.
        kid: String,
    },
    /// Take a standing-by key out of use.
    Retire {
        #[command(flatten)]
        place: Place,
        /// Its id, see `portcullis keys status`.
        kid: String,
    },
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
        let path = |place: Place| place.directory.unwrap_or_else(|| settings.keys.directory.clone());
        match self {
            Self::Init { place, algorithms } => {
                let plan =
                    Plan { purpose: Purpose::Own, region: &settings.keys.region, algorithms: &algorithms };
                let keys = KeyDirectory::create(&path(place), &plan, &*means.clock, &*means.dice)?;
                println!("Made {} keys in {}.", keys.manifest().keys.len(), keys.path().display());
            }
            Self::Status { place } => show(&KeyDirectory::open(&path(place))?)?,
            Self::Add { place, algorithm } => {
                let kid = KeyDirectory::open(&path(place))?.add(&algorithm, &*means.clock)?;
                println!("Added {kid}. It is published from the next start of the server on.");
            }
            Self::Activate { place, kid } => {
                let retired = KeyDirectory::open(&path(place))?.activate(&kid)?;
                let before = retired.map(|kid| format!(" {kid} has retired.")).unwrap_or_default();
                println!("{kid} signs from the next start of the server on.{before}");
            }
            Self::Retire { place, kid } => {
                KeyDirectory::open(&path(place))?.retire(&kid)?;
                println!("{kid} has retired.");
            }
        }
        Ok(())
    }
}

fn show(keys: &KeyDirectory) -> Outcome {
    println!("{:<28} {:<6} {:<8} CREATED", "KEY", "ALG", "STATE");
    for key in &keys.manifest().keys {
        let state = match key.state {
            KeyState::Pending => "pending",
            KeyState::Active => "active",
            KeyState::Retired => "retired",
        };
        println!("{:<28} {:<6} {state:<8} {}", key.kid, key.alg, key.created_at);
    }
    // A list that looks well must not hide that the server would not start.
    keys.load()
        .map(drop)
        .map_err(|trouble| Failure::new(format!("these keys cannot be used: {}.", trouble.why)))
}
