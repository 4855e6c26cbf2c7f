//! The server's own program under a name that tests of this package can start without having built it
//! first.
#![forbid(unsafe_code)]

use std::process::ExitCode;

fn main() -> ExitCode {
    portcullis::cli::main()
}
