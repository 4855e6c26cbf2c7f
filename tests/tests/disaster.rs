//! `docs/disaster.md` is made of commands, and here they are run, in their order, on a house of their own.

use std::path::Path;
use std::process::Command;

use portcullis::testing::Scratch;
use portcullis_tests::program::command;

const PAGE: &str = include_str!("../../docs/disaster.md");
/// One for each block of the page: whoever adds one looks here.
const BLOCKS: usize = 9;
const SEED: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../deploy/config/demo.toml");

fn blocks() -> Vec<&'static str> {
    PAGE.split("```sh\n").skip(1).map(|rest| rest.split("```").next().expect("split gives one")).collect()
}

/// A shell in the house's folder that finds our program and nothing of this machine's settings.
fn shell(scratch: &Scratch, script: &str) -> Command {
    let program = command("portcullis");
    let folder = Path::new(program.get_program()).parent().expect("a program lies in a folder").to_owned();
    let mut shell = Command::new("sh");
    shell.env_clear().current_dir(scratch.path()).args(["-euc", script]);
    shell.env("PATH", format!("{}:/usr/bin:/bin", folder.display())).env("HOME", scratch.path());
    shell.env("PORTCULLIS__STORE__URL", "sqlite:books.db").env("PORTCULLIS__KEYS__DIRECTORY", "keys");
    shell.env("PORTCULLIS__KEYS__KEK", "file:kek").env("BACKUPS", "backups").env("TODAY", "today");
    shell.env("NEW_DATABASE", "sqlite:new.db").env("NEW_KEYS", "new-keys").env("SEED", SEED);
    shell
}

fn done(scratch: &Scratch, script: &str) -> String {
    let output = shell(scratch, script).output().expect("sh runs");
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{script}\n{said}{}", String::from_utf8_lossy(&output.stderr));
    said
}

#[test]
fn the_page_on_disasters_does_what_it_says() {
    let scratch = Scratch::new();
    done(
        &scratch,
        "mkdir -m 700 backups\n(umask 077; openssl rand -base64 32 > kek)\n\
         portcullis keys init --algorithms ES256\nportcullis seed \"$SEED\"",
    );
    let blocks = blocks();
    assert_eq!(blocks.len(), BLOCKS);
    let told: Vec<_> = blocks.iter().map(|block| done(&scratch, block)).collect();
    assert!(told.concat().contains("Everything that was issued before has ended"));
    // The key-encryption key has changed since then, for the files and for the books that are still there.
    let events = done(
        &scratch,
        "export PORTCULLIS__KEYS__KEK_BEFORE=file:kek PORTCULLIS__KEYS__KEK=file:kek.new\n\
         PORTCULLIS__STORE__URL=sqlite:new.db portcullis audit search --books --limit 1000",
    );
    for event in ["backup.taken", "backup.restored", "feed.promoted"] {
        assert!(events.contains(event), "{event}\n{events}");
    }
}
