//! Settings as operators write them: every shipped file loads, and production does not start with anything
//! that belongs to a demonstration.

use std::path::{Path, PathBuf};

use portcullis::keys::{Keks, KeyDirectory, Plan, Purpose};
use portcullis::settings::{Mode, Settings, Weight};
use portcullis::testing::{Scratch, means};

fn shipped(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../deploy/config").join(name)
}

fn load(files: &[PathBuf], variables: &[(&str, &str)]) -> Result<Settings, String> {
    let pairs = variables.iter().map(|(name, value)| (name.to_string(), value.to_string()));
    Settings::load(files, pairs).map_err(|wrong| wrong.to_string())
}

fn refusals(settings: &Settings) -> Vec<String> {
    let findings = settings.check().into_iter();
    findings.filter(|finding| finding.weight == Weight::Refusal).map(|finding| finding.sentence).collect()
}

fn keys(scratch: &Scratch, purpose: Purpose) -> PathBuf {
    let (means, _) = means(1_800_000_000);
    let path = scratch.path().join("keys");
    let plan = Plan { purpose, region: "eu1", algorithms: &["ES256".to_owned()] };
    KeyDirectory::create(&path, &plan, &*means.clock, &*means.dice).unwrap();
    path
}

/// Production as it is shipped, with keys of its own.
fn production(scratch: &Scratch) -> Settings {
    let mut settings = load(&[shipped("base.toml"), shipped("production.toml")], &[]).unwrap();
    settings.keys.directory = keys(scratch, Purpose::Own);
    settings.keys.kek = Some(kek(scratch));
    seal(&settings);
    settings
}

/// Where a key-encryption key is.
fn kek(scratch: &Scratch) -> String {
    let path = scratch.path().join("kek");
    std::fs::write(&path, "AQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQE=\n").unwrap();
    std::fs::set_permissions(&path, std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
    format!("file:{}", path.display())
}

fn seal(settings: &Settings) {
    let directory = KeyDirectory::open(&settings.keys.directory).unwrap();
    directory.under(Keks::of(&settings.keys).unwrap()).reseal().unwrap();
}

#[test]
fn every_shipped_file_loads_alone_and_in_layers() {
    for name in ["base.toml", "dev.toml", "production.toml"] {
        load(&[shipped(name)], &[]).unwrap_or_else(|wrong| panic!("{name}: {wrong}"));
    }
    let dev = load(&[shipped("base.toml"), shipped("dev.toml")], &[]).unwrap();
    assert_eq!(dev, Settings::default(), "dev is the defaults, written out");
    let production = load(&[shipped("base.toml"), shipped("production.toml")], &[]).unwrap();
    assert_eq!(production.mode, Mode::Production);
    assert_eq!(production.legacy.until.unwrap().to_string(), "2027-06-30");
    assert_eq!(production.feed, dev.feed);
}

#[test]
fn what_is_printed_can_be_read_again() {
    let scratch = Scratch::new();
    for settings in [Settings::default(), production(&scratch)] {
        let file = scratch.path().join("printed.toml");
        std::fs::write(&file, toml::to_string(&settings).unwrap()).unwrap();
        assert_eq!(load(&[file], &[]).unwrap(), settings);
    }
}

#[test]
fn the_environment_lies_over_the_files() {
    let changed = load(&[shipped("dev.toml")], &[("PORTCULLIS__LISTEN__PORT", "9999")]).unwrap();
    assert_eq!(changed.listen.port, 9999);
}

#[test]
fn a_secret_can_stand_in_a_file_of_its_own() {
    let scratch = Scratch::new();
    let file = scratch.path().join("store-url");
    std::fs::write(&file, "postgres://portcullis:hush@db/books\n").unwrap();
    let name = file.to_str().unwrap();
    let settings = load(&[], &[("PORTCULLIS__STORE__URL_FILE", name)]).unwrap();
    assert_eq!(settings.store.url, "postgres://portcullis:hush@db/books");
    let both = [("PORTCULLIS__STORE__URL_FILE", name), ("PORTCULLIS__STORE__URL", "sqlite:x.db")];
    assert!(load(&[], &both).unwrap_err().contains("not both"));
    assert!(load(&[], &[("PORTCULLIS__STORE__URL_FILE", "/nowhere")]).unwrap_err().contains("/nowhere"));
}

#[test]
fn an_unknown_key_in_a_file_is_refused_with_file_and_key() {
    let scratch = Scratch::new();
    let file = scratch.path().join("mine.toml");
    std::fs::write(&file, "[tokens]\nacces_lifetime = 5\n").unwrap();
    let wrong = load(std::slice::from_ref(&file), &[]).unwrap_err();
    assert!(wrong.contains("mine.toml: tokens.acces_lifetime is not a setting"), "{wrong}");
    std::fs::write(&file, "tokens =\n").unwrap();
    assert!(load(&[file], &[]).unwrap_err().contains("mine.toml"));
    assert!(load(&["/nowhere.toml".into()], &[]).unwrap_err().contains("/nowhere.toml"));
}

#[test]
fn the_defaults_and_the_shipped_production_are_refused_nothing() {
    let scratch = Scratch::new();
    let production = production(&scratch);
    assert_eq!(refusals(&production), [""; 0]);
    assert_eq!(refusals(&Settings { keys: production.keys, ..Settings::default() }), [""; 0]);
}

#[test]
fn production_refuses_what_belongs_to_a_demonstration() {
    let scratch = Scratch::new();
    let good = production(&scratch);
    type Spoil = fn(&mut Settings);
    let spoilt: [(Spoil, &str); 8] = [
        (|it| it.issuer = "http://auth.example.com".into(), "issuer must be https"),
        (|it| it.issuer = "https://localhost:8443".into(), "this machine's own address"),
        (|it| it.store.url = "sqlite:data/demo.db".into(), "store.url names a demo"),
        (|it| it.store.url = "sqlite::memory:".into(), "store.url names a demo"),
        (|it| it.keys.directory = "/nowhere/keys".into(), "keys.directory: /nowhere/keys does not exist"),
        (|it| it.passwords.memory_kib = 64, "passwords: production needs"),
        (|it| it.trusted_proxies = everybody(), "trusted_proxies"),
        (|it| it.tls = Some(no_tls()), "tls.certificate: there is no file"),
    ];
    for (spoil, said) in spoilt {
        let mut settings = good.clone();
        spoil(&mut settings);
        let found = refusals(&settings).join("\n");
        assert!(found.contains(said), "{said}: {found}");
    }
    for purpose in [Purpose::Demo, Purpose::Example] {
        let scratch = Scratch::new();
        let mut settings = good.clone();
        settings.keys.directory = keys(&scratch, purpose);
        assert!(refusals(&settings).join("\n").contains("made for a demonstration"));
        settings.mode = Mode::Dev;
        assert_eq!(refusals(&settings), [""; 0]);
    }
}

fn everybody() -> portcullis::settings::TrustedProxies {
    load(&[], &[("PORTCULLIS__TRUSTED_PROXIES", "0.0.0.0/0")]).unwrap().trusted_proxies
}

fn no_tls() -> portcullis::settings::Tls {
    portcullis::settings::Tls::of("/nowhere/chain.pem", "/nowhere/key.pem")
}

#[test]
fn key_files_that_others_can_read_are_refused() {
    use std::os::unix::fs::PermissionsExt as _;
    let scratch = Scratch::new();
    let settings = production(&scratch);
    let seal = settings.keys.directory.join("seal.key");
    std::fs::set_permissions(&seal, std::fs::Permissions::from_mode(0o644)).unwrap();
    assert!(refusals(&settings).join("\n").contains("seal.key"));
}

#[test]
fn an_issuer_is_one_plain_name() {
    for issuer in [
        "https://auth.example.com/",
        "https://auth.example.com?x=1",
        "https://auth.example.com#x",
        "https://auth.example.com/a/",
        "https://AUTH.example.com",
        "https://auth.example.com:443",
        "https://me@auth.example.com",
        "ftp://auth.example.com",
        "auth.example.com",
        "",
    ] {
        let settings = Settings { issuer: issuer.into(), ..Settings::default() };
        assert!(refusals(&settings).join("\n").contains("issuer"), "{issuer:?}");
    }
    for issuer in ["https://auth.cl.test:8443", "https://example.com/auth", "http://127.0.0.1:0"] {
        let settings = Settings { issuer: issuer.into(), ..Settings::default() };
        assert!(!refusals(&settings).join("\n").contains("issuer"), "{issuer:?}");
    }
}

#[test]
fn production_starts_with_sealed_keys_only_unless_it_is_told_otherwise() {
    let scratch = Scratch::new();
    let sealed = production(&scratch);
    assert_eq!(refusals(&sealed), [""; 0]);
    let wrong_kek = Settings {
        keys: portcullis::settings::Keys {
            kek: Some("env:PORTCULLIS_TEST_NOBODY".into()),
            ..sealed.keys.clone()
        },
        ..sealed.clone()
    };
    assert!(refusals(&wrong_kek).join("\n").contains("keys.kek: the environment holds no"));
    let mut missing = sealed.clone();
    missing.keys.kek = None;
    assert!(refusals(&missing).join("\n").contains("say where that is with keys.kek"));
    let other = Scratch::new();
    let mut plain = sealed.clone();
    plain.keys.directory = keys(&other, Purpose::Own);
    assert!(refusals(&plain).join("\n").contains("are not sealed"));
    plain.keys.plaintext = true;
    assert_eq!(refusals(&plain), [""; 0]);
}

#[test]
fn keys_rotate_slower_than_caches_forget() {
    let mut settings = Settings::default();
    settings.keys.rotate_every = settings.keys.publish_ahead;
    assert!(refusals(&settings).join("\n").contains("keys.rotate_every"));
    settings.keys.rotate_every = 0;
    assert!(!refusals(&settings).join("\n").contains("keys.rotate_every"));
}

#[test]
fn a_key_that_is_shown_as_an_example_starts_nothing_whatever_its_manifest_says() {
    let scratch = Scratch::new();
    let mut settings = production(&scratch);
    settings.keys.plaintext = true;
    let example = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../keys.example");
    let shown = KeyDirectory::open(&example).unwrap().manifest().keys[0].kid.clone();
    // The private half of a real key under the name of the example.
    let own = Scratch::new();
    settings.keys.directory = keys(&own, Purpose::Own);
    let entry = KeyDirectory::open(&settings.keys.directory).unwrap().manifest().keys[0].clone();
    for file in [entry.file.as_str(), "manifest.json"] {
        let path = settings.keys.directory.join(file);
        let text = std::fs::read_to_string(&path).unwrap();
        let renamed = text.replace(&format!("\"{}\"", entry.kid), &format!("\"{shown}\""));
        std::fs::write(&path, renamed).unwrap();
    }
    assert!(refusals(&settings).join("\n").contains("published as an example"));
}

#[test]
fn the_example_key_directory_shows_public_halves_and_starts_nothing() {
    let example = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../keys.example");
    let directory = KeyDirectory::open(&example).unwrap();
    assert_eq!(directory.purpose(), Purpose::Example);
    assert!(directory.load().is_err());
    for entry in &directory.manifest().keys {
        let text = std::fs::read_to_string(example.join(&entry.file)).unwrap();
        let jwk: serde_json::Value = serde_json::from_str(&text).unwrap();
        assert_eq!((jwk["kid"].as_str(), jwk["alg"].as_str()), (Some(&*entry.kid), Some(&*entry.alg)));
    }
    for file in std::fs::read_dir(&example).unwrap() {
        let text = std::fs::read_to_string(file.unwrap().path()).unwrap();
        for private in ["\"d\"", "\"p\"", "\"q\"", "\"k\"", "PRIVATE"] {
            assert!(!text.contains(private), "{private}");
        }
    }
}

#[test]
fn in_production_operators_come_in_near_by_or_over_tls() {
    let scratch = Scratch::new();
    let mut settings = production(&scratch);
    assert!(settings.admin.enabled && settings.admin.address.is_loopback());
    assert_eq!(refusals(&settings), Vec::<String>::new());
    settings.admin.address = "10.0.0.7".parse().unwrap();
    assert!(refusals(&settings)[0].starts_with("admin.address: 10.0.0.7 can be reached from elsewhere"));
    settings.admin.enabled = false;
    assert_eq!(refusals(&settings), Vec::<String>::new());
    settings.admin.enabled = true;
    settings.admin.address = "127.0.0.1".parse().unwrap();
    settings.admin.port = settings.listen.port;
    assert!(refusals(&settings)[0].starts_with("admin.port must not be"));
}
