//! What `portcullis login` leaves behind: the token of a session, in a file that only its owner can read.

use std::io::Write as _;
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};
use std::path::PathBuf;

use portcullis_authority::secret::Secret;
use serde::{Deserialize, Serialize};

use super::super::{Failure, Outcome};

/// A session at a server.
#[derive(Serialize, Deserialize)]
pub(super) struct Ticket {
    pub server: String,
    pub email: String,
    token: String,
}

impl Ticket {
    pub fn new(server: String, email: String, token: String) -> Self {
        Self { server, email, token }
    }

    pub fn token(&self) -> Secret {
        Secret::from(self.token.as_str())
    }

    /// The one that was kept, if there is one.
    pub fn kept() -> Result<Option<Self>, Failure> {
        let Some(path) = path() else { return Ok(None) };
        let text = match std::fs::read_to_string(&path) {
            Ok(text) => text,
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            Err(e) => return Err(Failure::new(format!("{} cannot be read: {e}.", path.display()))),
        };
        let mode = std::fs::metadata(&path).map(|about| about.permissions().mode()).unwrap_or_default();
        if mode & 0o077 != 0 {
            return Err(Failure::new(format!(
                "others can read {}; remove it and sign in again (portcullis login).",
                path.display()
            )));
        }
        let ticket = serde_json::from_str(&text);
        ticket.map(Some).map_err(|_| Failure::new(format!("{} does not read; remove it.", path.display())))
    }

    /// Keeps it in place of the one before. It is written beside and then moved, so that the file is never
    /// open to others, not even for a moment.
    pub fn keep(&self) -> Result<PathBuf, Failure> {
        let Some(path) = path() else {
            return Err(Failure::new(
                "there is no home directory to keep the token in; set XDG_CONFIG_HOME.",
            ));
        };
        let cannot = |e: std::io::Error| Failure::new(format!("{} cannot be written: {e}.", path.display()));
        if let Some(folder) = path.parent() {
            std::fs::create_dir_all(folder).map_err(cannot)?;
        }
        let beside = path.with_extension(format!("{}.new", std::process::id()));
        let text = serde_json::to_string(self).map_err(Failure::new)?;
        let file = std::fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(&beside);
        file.and_then(|mut file| file.write_all(text.as_bytes())).map_err(cannot)?;
        std::fs::rename(&beside, &path).map_err(cannot)?;
        Ok(path)
    }

    /// Forgets it.
    pub fn forget() -> Outcome {
        match path().map(std::fs::remove_file) {
            Some(Err(e)) if e.kind() != std::io::ErrorKind::NotFound => {
                Err(Failure::new(format!("the token could not be removed: {e}.")))
            }
            _ => Ok(()),
        }
    }
}

/// In the user's own settings, as the XDG base directories have it.
fn path() -> Option<PathBuf> {
    let set = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    let folder = set("XDG_CONFIG_HOME").or_else(|| set("HOME").map(|home| home.join(".config")))?;
    Some(folder.join("portcullis").join("operator.json"))
}
