//! `portcullis seed`: put organizations, applications, people and roles into the books.

use std::path::PathBuf;

use clap::Args;

use super::serve::runtime;
use super::{Failure, Outcome};
use crate::books;
use crate::means::Means;
use crate::settings::Settings;

/// Put organizations, applications, people and roles into the books.
///
/// Seeding again changes what differs and deletes nothing. A running server notices within a second. Where
/// the file says secret = "generate", a secret is made and printed once; seeding again keeps it.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  portcullis seed deploy/config/demo.toml
  portcullis --config deploy/config/production.toml seed shop.toml")]
pub(super) struct Seed {
    /// A file like deploy/config/demo.toml, which shows all that can be said.
    file: PathBuf,
}

impl Seed {
    pub fn run(self, settings: Settings) -> Outcome {
        let name = self.file.display();
        let text = std::fs::read_to_string(&self.file)
            .map_err(|e| Failure::new(format!("{name} cannot be read: {e}.")))?;
        let means = Means::system();
        let harvest = runtime()?.block_on(async {
            let store = books::open(&settings, &means).await?;
            let sown = books::sow(&settings, &means, &store, &text).await;
            sown.map_err(|why| Failure::new(format!("nothing of {name} was taken:\n{why}")))
        })?;
        let counts = &harvest.counts;
        println!(
            "Seeded {} organizations, {} applications, {} roles, {} markets, stores and stock locations, {} people, {} memberships, {} guards.",
            counts.organizations,
            counts.applications,
            counts.roles,
            counts.fences,
            counts.people,
            counts.memberships,
            counts.guards,
        );
        for (client, secret) in &harvest.generated {
            println!("The secret of {client}, shown this once: {}", secret.expose());
        }
        Ok(())
    }
}
