//! Our pages: every sample that says that it is run, is run, against a server and a shop of its page's own.
//!
//! The blocks of a page whose info string is `sh test` are one script, run as `sh -eu` in an empty folder,
//! with `portcullis` on its path; the addresses of `make run` in it become those of the demo that runs here.
//! It must succeed, and print what stands behind `# ` in it, in that order, each at the end of a line.

use std::path::Path;

use portcullis::testing::Scratch;
use portcullis_tests::ground::say;
use portcullis_tests::page::{expected, pages, samples};
use portcullis_tests::program::{command, shell};

use super::demo::{open_shop, serve, token, wait_until_open, wait_until_reported};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_sample_that_is_run_is_true() {
    let repository = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let mut ran = 0;
    for page in pages(&repository) {
        let found = samples(&std::fs::read_to_string(&page).expect("a page is text"));
        if !found.is_empty() {
            ran += found.len();
            run(&page, &found.join("\n")).await;
        }
    }
    match ran {
        0 => say("street: no page has a block marked `sh test`, so no sample was run."),
        ran => say(&format!("street: {ran} samples of our pages were run and are true.")),
    }
}

async fn run(page: &Path, script: &str) {
    let (folder, home) = (Scratch::new(), Scratch::new());
    let (_server, issuer) = serve(&home, 0, "info");
    let (_shop, shop) = open_shop(&issuer);
    wait_until_open(&shop, &token(&issuer).await).await;
    wait_until_reported(&issuer).await;
    let script = script.replace("http://127.0.0.1:8080", &issuer).replace("127.0.0.1:8081", &shop);
    let program = command("portcullis").get_program().to_owned();
    let programs = Path::new(&program).parent().expect("programs lie in a folder").display().to_string();
    let path = format!("{programs}:{}", std::env::var("PATH").unwrap_or_default());
    let (done, printed) = shell(&script, folder.path(), &[("PATH", &path)]);
    assert!(done, "a sample of {} fails:\n{script}\n{printed}", page.display());
    let mut lines = printed.lines();
    for line in expected(&script) {
        let there = lines.any(|printed| printed.trim_end().ends_with(line));
        assert!(there, "a sample of {} does not print {line}:\n{script}\n{printed}", page.display());
    }
}
