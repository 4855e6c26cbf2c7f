//! Our pages: every sample that says that it is run, is run, against a server and a shop of its page's own.
//!
//! A block whose info string is `sh test` finds `portcullis` on its path, and in its environment `ISSUER`
//! and `SHOP`, the addresses of a demo that runs; it is run as `sh -eu`, in an empty folder that the blocks
//! of a page share, and must succeed.

use std::path::Path;

use portcullis::testing::Scratch;
use portcullis_tests::ground::say;
use portcullis_tests::page::{pages, samples};
use portcullis_tests::program::{command, shell};

use super::demo::{open_shop, serve, token, wait_until_open};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_sample_that_is_run_is_true() {
    let repository = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let mut ran = 0;
    for page in pages(&repository) {
        let text = std::fs::read_to_string(&page).expect("a page is text");
        let found = samples(&page, &text);
        if found.is_empty() {
            continue;
        }
        let (folder, home) = (Scratch::new(), Scratch::new());
        let (_server, issuer) = serve(&home, 0, "info");
        let (_shop, address) = open_shop(&issuer);
        let shop = format!("http://{address}");
        wait_until_open(&address, &token(&issuer).await).await;
        for sample in found {
            let program = command("portcullis").get_program().to_owned();
            let programs = Path::new(&program).parent().expect("programs lie in a folder").display().to_string();
            let path = format!("{programs}:{}", std::env::var("PATH").unwrap_or_default());
            let environment = [("ISSUER", issuer.as_str()), ("SHOP", shop.as_str()), ("PATH", path.as_str())];
            let (done, printed) = shell(&sample.script, folder.path(), &environment);
            assert!(done, "{}:{} is not true any more:\n{}\n{printed}", page.display(), sample.line, sample.script);
            ran += 1;
        }
    }
    match ran {
        0 => say("street: no page has a block marked `sh test`, so no sample was run."),
        ran => say(&format!("street: {ran} samples of our pages were run and are true.")),
    }
}
