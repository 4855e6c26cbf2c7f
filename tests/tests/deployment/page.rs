//! `docs/deployment.md` is true: what can be run here is run word for word, every sample loads, and every file
//! and option that it names exists.

use std::path::Path;

use portcullis::settings::Settings;
use portcullis::testing::Scratch;
use portcullis_tests::ground::Ground;
use portcullis_tests::ports::free_port;
use portcullis_tests::program::{command, shell};
use yaml_rust2::YamlLoader;

use crate::{read, repository};

/// The blocks with this heading, in order.
fn blocks(kind: &str) -> Vec<String> {
    let (page, opening) = (read("docs/deployment.md"), format!("\n```{kind}\n"));
    let pieces = page.split(&opening).skip(1);
    pieces.map(|piece| piece.split_once("\n```").expect("the block is closed").0.to_owned()).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn three_instances_start_by_hand_word_for_word() {
    let folder = Scratch::new();
    std::os::unix::fs::symlink(repository("deploy"), folder.path().join("deploy")).unwrap();
    let ground = Ground::postgres().unwrap_or(Ground::Sqlite);
    let plot = ground.prepare(&folder).await;
    let ports = [(); 3].map(|()| free_port().unwrap().to_string()).join(" ");
    let program = command("portcullis").get_program().to_owned();
    let programs = Path::new(&program).parent().unwrap().to_string_lossy().into_owned();
    let path = format!("{programs}:{}", std::env::var("PATH").unwrap_or_default());
    let script = blocks("sh run").join("\n");
    assert!(script.contains("serve"), "the page was not understood");
    // Nothing stays behind when a line of it fails.
    let script = format!("pids=\ntrap 'kill $pids 2>/dev/null || true' EXIT\n{script}");
    let environment = [("STORE_URL", plot.url.as_str()), ("PORTS", ports.as_str()), ("PATH", path.as_str())];
    let (done, said) = shell(&script, folder.path(), &environment);
    let logs = ports.split(' ').map(|port| {
        std::fs::read_to_string(folder.path().join(format!("server-{port}.log"))).unwrap_or_default()
    });
    let logs: Vec<_> = logs.collect();
    plot.clear();
    assert!(done, "{said}\n{}", logs.concat());
    assert_eq!(said.matches("portcullis ready at ").count(), 3, "{said}");
    assert_eq!(said.matches("{\"status\":\"ready\"}").count(), 3, "{said}");
    for log in logs {
        assert!(log.contains("\"stopped\""), "it ended well: {log}");
    }
}

#[test]
fn every_sample_of_settings_loads() {
    let scratch = Scratch::new();
    let file = scratch.path().join("sample.toml");
    let mut samples = blocks("toml");
    let values = blocks("yaml").concat();
    let values = YamlLoader::load_from_str(&values).unwrap().remove(0);
    samples.push(values["settings"].as_str().unwrap().to_owned());
    assert_eq!(samples.len(), 4);
    for sample in samples {
        std::fs::write(&file, &sample).unwrap();
        let loaded = Settings::load(std::slice::from_ref(&file), std::iter::empty());
        assert!(loaded.is_ok(), "{loaded:?}: {sample}");
    }
    let defaults = YamlLoader::load_from_str(&read("deploy/helm/portcullis/values.yaml")).unwrap().remove(0);
    for (key, value) in values.as_hash().unwrap() {
        let known = &defaults[key.as_str().unwrap()];
        assert!(!known.is_badvalue(), "{key:?} is not a value of the chart");
        for inner in value.as_hash().into_iter().flat_map(|inner| inner.keys()) {
            assert!(!known[inner.as_str().unwrap()].is_badvalue(), "{key:?}.{inner:?}");
        }
    }
}

#[test]
fn every_file_and_command_that_is_named_exists() {
    let page = read("docs/deployment.md");
    let is_path = |c: char| c.is_ascii_alphanumeric() || "/._-".contains(c);
    let words = page.split(|c: char| !is_path(c)).map(|word| word.trim_end_matches('.'));
    let mut named = 0;
    for word in words.filter(|word| word.starts_with("deploy/") || word.starts_with("docs/")) {
        let made = word.starts_with("deploy/compose/secrets/");
        assert!(made || repository(word).exists(), "{word} is not there");
        named += 1;
    }
    assert!(named > 10, "{named}");
    for target in ["test", "lint-deploy"] {
        assert!(
            page.contains(&format!("make {target}")) && read("Makefile").contains(&format!("\n{target}: "))
        );
    }
}
