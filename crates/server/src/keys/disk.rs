//! Private files: written whole or not at all, for the owner's eyes only.

use std::fs::{self, DirBuilder, File, OpenOptions, Permissions};
use std::io::{self, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::path::Path;

use portcullis_authority::refusal::Trouble;

/// Whether group or world can read or write a file; `None` when it cannot be looked at.
pub fn open_to_others(path: &Path) -> Option<bool> {
    Some(fs::metadata(path).ok()?.permissions().mode() & 0o077 != 0)
}

/// Makes the directory if it is missing, and closes it to others.
pub(super) fn make_private_directory(path: &Path) -> Result<(), Trouble> {
    DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(path)
        .and_then(|()| fs::set_permissions(path, Permissions::from_mode(0o700)))
        .map_err(|e| failed(path, &e))
}

pub(super) fn read(path: &Path) -> Result<String, Trouble> {
    fs::read_to_string(path).map_err(|e| failed(path, &e))
}

/// Reads a file that nobody else may read.
pub(super) fn read_private(path: &Path) -> Result<String, Trouble> {
    let text = read(path)?;
    match open_to_others(path) {
        Some(false) => Ok(text),
        _ => Err(Trouble::new(
            "keys",
            format!(
                "others can read {}; run chmod 600 on it, and replace it if they may have",
                path.display()
            ),
        )),
    }
}

/// Writes beside, brings it to disk, renames, and brings the directory to disk.
pub(super) fn write_private(path: &Path, text: &str) -> Result<(), Trouble> {
    replace(path, text).map_err(|e| failed(path, &e))
}

fn replace(path: &Path, text: &str) -> io::Result<()> {
    let beside = path.with_extension("new");
    // What a crash left behind is in nobody's use.
    match fs::remove_file(&beside) {
        Err(e) if e.kind() != io::ErrorKind::NotFound => return Err(e),
        _ => {}
    }
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&beside)?;
    file.write_all(text.as_bytes())?;
    file.sync_all()?;
    fs::rename(&beside, path)?;
    match path.parent() {
        Some(directory) => File::open(directory)?.sync_all(),
        None => Ok(()),
    }
}

fn failed(path: &Path, error: &io::Error) -> Trouble {
    Trouble::new("keys", format!("{}: {error}", path.display()))
}
