//! What an operator is handed: the files in `deploy/` and the page about them, the ways that are protected by
//! TLS, and the image's own files with the server running in them.

mod authority;
mod chart;
mod compose;
mod image;
mod links;
mod page;
mod settings;
mod tls;
mod unit;

use std::path::{Path, PathBuf};

/// Something in the repository.
fn repository(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(path)
}

fn read(path: &str) -> String {
    let file = repository(path);
    std::fs::read_to_string(&file).unwrap_or_else(|e| panic!("{}: {e}", file.display()))
}

/// Whether a program is installed. Where it is not, that is said, past the harness that hides what passes.
fn has(program: &str, otherwise: &str) -> bool {
    let folders = std::env::var_os("PATH").unwrap_or_default();
    let places = ["/usr/sbin", "/sbin"].map(PathBuf::from).into_iter().chain(std::env::split_paths(&folders));
    let found = places.map(|folder| folder.join(program)).any(|file| file.is_file());
    if !found {
        portcullis_tests::ground::say(&format!("deployment: {program} is not installed. {otherwise}"));
    }
    found
}
