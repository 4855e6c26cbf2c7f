//! The image: the Containerfile names what is there, and the server runs in exactly the files that it ships.
//! No container engine is needed, and none was used: the build itself is not run here.

use std::process::Command;

use portcullis_tests::ground::say;
use portcullis_tests::program::command;

use crate::{read, repository};

/// The account in which everything runs.
pub const ACCOUNT: &str = "10001";

fn containerfile() -> Vec<String> {
    read("deploy/container/Containerfile").lines().map(str::to_owned).collect()
}

#[test]
fn whatever_the_image_is_made_of_is_there_and_may_be_seen_by_the_build() {
    let seen = read(".dockerignore");
    let mut copied = 0;
    for line in containerfile().iter().filter(|line| line.starts_with("COPY ") && !line.contains("--from")) {
        let words: Vec<_> = line.split_whitespace().skip(1).collect();
        let (_, sources) = words.split_last().expect("COPY names a place");
        for source in sources {
            assert!(repository(source).exists(), "{source} is not there");
            let covered = |shown: &str| *source == shown || source.starts_with(&format!("{shown}/"));
            assert!(
                seen.lines().filter_map(|line| line.strip_prefix('!')).any(covered),
                "{source} is hidden"
            );
            copied += 1;
        }
    }
    assert!(copied >= 7, "the Containerfile was not understood: {copied}");
    // Every member of the workspace is needed, or cargo reads no manifest at all.
    let workspace: toml::Table = read("Cargo.toml").parse().unwrap();
    let text = containerfile().join("\n");
    for member in workspace["workspace"]["members"].as_array().unwrap() {
        let room = member.as_str().unwrap().split('/').next().unwrap();
        assert!(text.contains(&format!("COPY {room} {room}")), "{room} is not copied");
    }
}

#[test]
fn the_last_stage_has_no_shell_and_an_account_without_rights() {
    let lines = containerfile();
    let last = lines.iter().rposition(|line| line.starts_with("FROM ")).unwrap();
    assert_eq!(lines[last], "FROM scratch");
    let stage = &lines[last..];
    assert!(stage.contains(&format!("USER {ACCOUNT}:{ACCOUNT}")));
    assert!(!stage.iter().any(|line| line.starts_with("RUN ") || line.starts_with("ADD ")));
    let layout = read("deploy/container/rootfs.sh");
    assert!(layout.contains(&format!("id={ACCOUNT}\n")), "the files' owner is the account");
}

#[test]
fn the_server_runs_in_the_images_files_alone() {
    let program = command("portcullis").get_program().to_owned();
    let ran = Command::new(repository("deploy/container/smoke.sh")).arg(program).output().expect("bash runs");
    let said = String::from_utf8_lossy(&[ran.stdout, ran.stderr].concat()).into_owned();
    assert!(ran.status.success(), "{said}");
    if rustix::process::geteuid().is_root() {
        assert!(
            said.contains("read-only root, account 10001, no capability, /readyz 200, ended well"),
            "{said}"
        );
    } else {
        assert!(said.contains("NOT RUN"), "{said}");
        say(&format!("deployment: {}", said.trim_end()));
    }
}
