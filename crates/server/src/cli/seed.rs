//! `portcullis seed`: put organizations, applications, people and roles into the books.

use std::path::PathBuf;

use clap::Args;
use portcullis_store::Counts;

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
        println!("{}", told(&harvest.counts));
        for (client, secret) in &harvest.generated {
            println!("The secret of {client}, shown this once: {}", secret.expose());
        }
        Ok(())
    }
}

/// What is in the file and so in the books now; what it has none of is left out.
fn told(counts: &Counts) -> String {
    let counted = [
        (counts.organizations, "organization", "organizations"),
        (counts.applications, "application", "applications"),
        (counts.roles, "role", "roles"),
        (counts.fences, "market, store or stock location", "markets, stores and stock locations"),
        (counts.people, "person", "people"),
        (counts.memberships, "membership", "memberships"),
        (counts.guards, "guard", "guards"),
    ];
    let said = counted.into_iter().filter_map(|(count, one, several)| match count {
        0 => None,
        1 => Some(format!("1 {one}")),
        many => Some(format!("{many} {several}")),
    });
    match said.collect::<Vec<_>>().join(", ") {
        nothing if nothing.is_empty() => "There is nothing in the file.".into(),
        list => format!("Seeded {list}."),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_there_is_counted() {
        let counts = Counts { organizations: 1, roles: 2, people: 1, ..Counts::default() };
        assert_eq!(told(&counts), "Seeded 1 organization, 2 roles, 1 person.");
        assert!(told(&Counts::default()).starts_with("There is nothing"));
    }
}
