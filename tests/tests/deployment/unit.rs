//! The systemd unit: its settings exist, and systemd finds nothing wrong and little exposed.

use std::process::Command;

use portcullis::testing::Scratch;
use portcullis_tests::program::command;

use crate::settings::{is_known, named, production, refusals};
use crate::{has, read};

const UNIT: &str = "deploy/systemd/portcullis.service";
const BACKUP: &str = "deploy/systemd/portcullis-backup.service";

/// Everything that is set under this name, in order.
fn values(name: &str) -> Vec<String> {
    let front = format!("{name}=");
    read(UNIT).lines().filter_map(|line| line.strip_prefix(&front)).map(str::to_owned).collect()
}

#[test]
fn the_unit_starts_a_server_that_refuses_nothing() {
    for name in named(&read(UNIT)) {
        assert!(is_known(&name), "{name}");
    }
    let credentials = Scratch::new();
    for credential in values("LoadCredential") {
        let (name, file) = credential.split_once(':').expect("a name and a file");
        assert!(file.starts_with("/etc/portcullis/secrets/"));
        let url = "postgres://portcullis:hush@db.internal/portcullis?sslmode=verify-full";
        std::fs::write(credentials.path().join(name), url).unwrap();
    }
    let variables: Vec<_> = values("Environment")
        .iter()
        .flat_map(|line| line.split_whitespace())
        .filter_map(|pair| pair.split_once('='))
        .map(|(name, value)| (name.to_owned(), value.replace("%d", &credentials.path().to_string_lossy())))
        .collect();
    assert!(variables.len() >= 2);
    let settings = production(&[], &variables);
    assert!(settings.store.url.contains("hush"), "the secret comes from its file");
    assert_eq!(refusals(&settings), [""; 0]);
    assert!(
        settings.keys.directory.starts_with("/var/lib/portcullis"),
        "the only folder that it may write to"
    );
}

#[test]
fn systemd_finds_nothing_wrong_and_little_exposed() {
    if !has("systemd-analyze", "The unit was read by us alone.") {
        return;
    }
    let scratch = Scratch::new();
    let file = scratch.path().join("portcullis.service");
    // It checks that the program is there, and on this machine nobody has installed it.
    let program = command("portcullis").get_program().to_string_lossy().into_owned();
    let unit = read(UNIT);
    assert!(unit.contains("ExecStart=/usr/bin/portcullis "));
    std::fs::write(&file, unit.replace("=/usr/bin/portcullis ", &format!("={program} "))).unwrap();
    let analyze = |arguments: &[&str]| {
        let ran = Command::new("systemd-analyze").args(arguments).arg(&file).output().expect("it runs");
        (ran.status.success(), String::from_utf8_lossy(&[ran.stdout, ran.stderr].concat()).into_owned())
    };
    let (good, said) = analyze(&["verify", "--man=no"]);
    assert!(good && !said.contains("portcullis.service:"), "{said}");
    // In tenths: 1.5 of 10 is what remains for something that must reach the network.
    let (good, said) = analyze(&["security", "--offline=true", "--threshold=15"]);
    assert!(good, "{said}");
}

#[test]
fn the_unit_that_backs_up_works_with_the_files_of_the_server() {
    let (server, backup) = (read(UNIT), read(BACKUP));
    for name in ["LoadCredential=", "Environment=", "WorkingDirectory=", "UMask=", "ProtectSystem="] {
        let lines = |unit: &str| -> Vec<String> {
            unit.lines().filter(|line| line.starts_with(name)).map(str::to_owned).collect()
        };
        assert!(!lines(&backup).is_empty(), "{name}");
        assert_eq!(lines(&backup), lines(&server), "{name}");
    }
    let files: Vec<_> = server.split_whitespace().filter(|word| word.ends_with(".toml")).collect();
    assert!(files.iter().all(|file| backup.contains(file)), "{files:?}");
    if !has("systemd-analyze", "The units of the backup were read by us alone.") {
        return;
    }
    let scratch = Scratch::new();
    for name in ["portcullis-backup.service", "portcullis-backup.timer"] {
        std::fs::write(scratch.path().join(name), read(&format!("deploy/systemd/{name}"))).unwrap();
    }
    let timer = scratch.path().join("portcullis-backup.timer");
    let ran =
        Command::new("systemd-analyze").args(["verify", "--man=no"]).arg(&timer).output().expect("it runs");
    let said = String::from_utf8_lossy(&[ran.stdout, ran.stderr].concat()).into_owned();
    assert!(ran.status.success() && !said.contains("portcullis-backup."), "{said}");
}
