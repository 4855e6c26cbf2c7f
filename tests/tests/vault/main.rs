//! Signing keys in a PKCS#11 token: SoftHSM2 with a token of the test's own, real servers, a shop behind a real
//! guard. A module reads its configuration from the environment when it is first used and is loaded once in a
//! process, so this program starts itself again with that, and tells its stories one after another.
//!
//! Where SoftHSM2 is not installed it says so and does nothing, unless `PORTCULLIS_TEST_SOFTHSM=required` is
//! set: then it fails.

mod box_of_keys;
mod stories;

use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

use portcullis::testing::Scratch;

use box_of_keys::BoxOfKeys;

/// Where Debian and others put it.
const MODULES: [&str; 3] = [
    "/usr/lib/softhsm/libsofthsm2.so",
    "/usr/lib64/softhsm/libsofthsm2.so",
    "/usr/local/lib/softhsm/libsofthsm2.so",
];
/// What SoftHSM2 reads, and by which this program knows that it has been started again.
const CONFIGURATION: &str = "SOFTHSM2_CONF";
const FOLDER: &str = "PORTCULLIS_TEST_SOFTHSM_FOLDER";
/// What it is to do at the token, instead of telling stories.
const ORDER: &str = "PORTCULLIS_TEST_SOFTHSM_ORDER";

fn main() -> ExitCode {
    let Some(module) = MODULES.into_iter().map(Path::new).find(|path| path.is_file()) else {
        let required = std::env::var_os("PORTCULLIS_TEST_SOFTHSM").is_some_and(|wish| wish == "required");
        assert!(!required, "SoftHSM2 is not installed, and PORTCULLIS_TEST_SOFTHSM requires it");
        eprintln!("vault: DID NOT RUN, because SoftHSM2 is not installed");
        return ExitCode::SUCCESS;
    };
    match std::env::var_os(FOLDER) {
        Some(folder) => {
            let keys = BoxOfKeys::in_folder(module, PathBuf::from(folder));
            match std::env::var(ORDER) {
                Ok(order) => keys.carry_out(&order),
                Err(_) => stories::tell(&keys),
            }
            ExitCode::SUCCESS
        }
        None => start_again(module),
    }
}

fn start_again(module: &Path) -> ExitCode {
    let folder = Scratch::new();
    let configuration = BoxOfKeys::in_folder(module, folder.path().to_owned()).furnish();
    let own = std::env::current_exe().expect("a test has a file");
    let told = Command::new(own).env(CONFIGURATION, configuration).env(FOLDER, folder.path()).status();
    match told.expect("it starts again").success() {
        true => ExitCode::SUCCESS,
        false => ExitCode::FAILURE,
    }
}
