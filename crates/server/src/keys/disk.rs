//! Private files: written whole or not at all, for the owner's eyes only.

use std::fs::{self, DirBuilder, File, OpenOptions, Permissions};
use std::io::{self, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::path::Path;

use portcullis_authority::refusal::Trouble;

/// Whether anybody but its owner can read or write a file; `None` when it cannot be looked at.
pub fn open_to_others(path: &Path) -> Option<bool> {
    let about = fs::metadata(path).ok()?;
    Some(is_open(about.permissions().mode(), about.uid()))
}

/// What belongs to root may be read by its group, as PostgreSQL has it too: so are secrets handed to a
/// container, or a certificate's key to the services of a machine.
fn is_open(mode: u32, owner: u32) -> bool {
    const ROOT: u32 = 0;
    let lent = if owner == ROOT { 0o040 } else { 0 };
    mode & 0o077 & !lent != 0
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

/// Takes a file away, and brings that to disk.
pub(super) fn remove(path: &Path) -> Result<(), Trouble> {
    fs::remove_file(path).and_then(|()| settle(path)).map_err(|e| failed(path, &e))
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
    settle(path)
}

fn settle(path: &Path) -> io::Result<()> {
    match path.parent() {
        Some(directory) => File::open(directory)?.sync_all(),
        None => Ok(()),
    }
}

fn failed(path: &Path, error: &io::Error) -> Trouble {
    Trouble::new("keys", format!("{}: {error}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_belongs_to_root_may_be_read_by_a_group() {
        let (root, somebody) = (0, 1000);
        assert!(!is_open(0o600, somebody) && !is_open(0o400, root) && !is_open(0o640, root));
        assert!(is_open(0o640, somebody));
        for mode in [0o660, 0o650, 0o604, 0o602] {
            assert!(is_open(mode, root) && is_open(mode, somebody), "{mode:o}");
        }
    }
}
