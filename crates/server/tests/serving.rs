//! A server in this process, as tests of other rooms use it: it starts on a free port, answers, and drains.

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use portcullis::books;
use portcullis::keys::{Keks, KeyDirectory, Purpose};
use portcullis::means::Means;
use portcullis::serve::start;
use portcullis::settings::{Mode, Settings};
use portcullis::testing::{Scratch, make_keys, settings};

#[test]
fn a_server_starts_on_a_free_port_answers_and_stops() {
    let scratch = Scratch::new();
    let running = start(settings(&scratch), Means::system()).unwrap();
    assert_eq!(running.issuer, format!("http://{}", running.address));
    let mut answer =
        ureq::get(format!("{}/.well-known/oauth-authorization-server", running.issuer)).call().unwrap();
    let metadata = answer.body_mut().read_to_string().unwrap();
    assert!(metadata.contains(&format!("\"issuer\":\"{}\"", running.issuer)), "{metadata}");
    let address = running.address;
    assert!(running.is_running());
    running.stop().unwrap();
    assert!(std::net::TcpStream::connect_timeout(&address, Duration::from_secs(1)).is_err());
}

#[test]
fn a_seed_that_is_sown_beside_a_running_server_is_noticed() {
    let scratch = Scratch::new();
    let settings = settings(&scratch);
    let running = start(settings.clone(), Means::system()).unwrap();
    let shop = "[[organizations]]\nslug = \"a\"\n[[applications]]\nclient_id = \"i\"\nkind = \"integration\"\nrole = \"admin\"\nsecret = \"s\"\n";
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(async {
        let store = books::open(&settings, &Means::system()).await.unwrap();
        books::sow(&settings, &Means::system(), &store, shop).await.unwrap();
    });
    let token = || {
        let form = [("grant_type", "client_credentials"), ("client_id", "i"), ("client_secret", "s")];
        ureq::post(format!("{}/oauth/token", running.issuer)).send_form(form).is_ok()
    };
    let began = std::time::Instant::now();
    while !token() {
        assert!(began.elapsed() < Duration::from_secs(5), "the server did not notice");
        std::thread::sleep(Duration::from_millis(50));
    }
    running.stop().unwrap();
}

#[test]
fn settings_that_are_refused_start_nothing() {
    let scratch = Scratch::new();
    let mut settings = settings(&scratch);
    settings.mode = Mode::Production;
    let why = start(settings.clone(), Means::system()).unwrap_err().why;
    assert!(why.contains("issuer must be https"), "{why}");
    settings.mode = Mode::Dev;
    settings.keys.directory = scratch.path().join("none");
    let why = start(settings, Means::system()).unwrap_err().why;
    assert!(why.contains("portcullis keys init"), "{why}");
}

/// Settings that production starts with, over books of its own.
fn production(scratch: &Scratch) -> Settings {
    let mut settings = settings(scratch);
    settings.mode = Mode::Production;
    settings.issuer = "https://auth.example.com".into();
    settings.passwords.memory_kib = 19456;
    settings.passwords.iterations = 2;
    settings.keys.directory = scratch.path().join("own");
    settings.keys.plaintext = true;
    make_keys(&settings, Purpose::Own);
    settings
}

#[test]
fn production_starts_with_books_of_its_own_and_not_with_what_everybody_knows() {
    let scratch = Scratch::new();
    let settings = production(&scratch);
    start(settings.clone(), Means::system()).unwrap().stop().unwrap();
    let sow = |seed: &str| {
        let runtime = tokio::runtime::Runtime::new().unwrap();
        runtime.block_on(async {
            let store = books::open(&settings, &Means::system()).await.unwrap();
            books::sow(&settings, &Means::system(), &store, seed).await.unwrap();
        });
    };
    // One after another: each is refused on its own, and changing what is public is enough.
    let organization = "[[organizations]]\nslug = \"a\"\n";
    let user = |password: &str| {
        let id = demo_member("users", "id");
        format!(
            "{organization}[[users]]\nid = \"{id}\"\nemail = \"ringo@example.com\"\npassword = \"{password}\"\n"
        )
    };
    let guard = |secret: &str| {
        format!("{organization}[[guards]]\nid = \"{}\"\nsecret = \"{secret}\"\n", demo_member("guards", "id"))
    };
    let backend = |secret: &str| {
        format!(
            "{organization}[[applications]]\nclient_id = \"demo-backend\"\nkind = \"integration\"\nrole = \"admin\"\nsecret = \"{secret}\"\n"
        )
    };
    type Seed<'a> = &'a dyn Fn(&str) -> String;
    let shown: [(Seed<'_>, String, &str); 3] = [
        (&user, demo_member("users", "password"), "the password of the person"),
        (&guard, demo_member("guards", "secret"), "the secret of the guard"),
        (&backend, "demo-backend-secret".into(), "the secret of the application demo-backend"),
    ];
    for (seed, public, said) in shown {
        sow(&seed(&public));
        let why = start(settings.clone(), Means::system()).unwrap_err().why;
        assert!(why.contains(said) && why.contains("is public"), "{why}");
        sow(&seed("hush-this-is-ours"));
        start(settings.clone(), Means::system()).unwrap().stop().unwrap();
    }
}

/// A member of the first of a list in the demonstration's seed.
fn demo_member(list: &str, member: &str) -> String {
    let shop: toml::Table = portcullis::demo::SHOP.parse().unwrap();
    shop[list][0][member].as_str().unwrap().to_owned()
}

#[test]
fn books_whose_keys_are_sealed_by_another_house_start_nothing() {
    let scratch = Scratch::new();
    let mut settings = settings(&scratch);
    start(settings.clone(), Means::system()).unwrap().stop().unwrap();
    settings.keys.directory = scratch.path().join("others");
    make_keys(&settings, Purpose::Demo);
    let why = start(settings, Means::system()).unwrap_err().why;
    assert!(why.contains("is seal.key the one of the other servers?"), "{why}");
}

/// The demonstration's shop, sown, and a customer who has signed in once.
fn a_day_of_the_demo(settings: &Settings) {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(async {
        let store = books::open(settings, &Means::system()).await.unwrap();
        books::sow(settings, &Means::system(), &store, portcullis::demo::SHOP).await.unwrap();
        portcullis::demo::settle(settings, &Means::system(), &store).await.unwrap();
    });
    let running = start(settings.clone(), Means::system()).unwrap();
    let form = [
        ("grant_type", "client_credentials"),
        ("client_id", "demo-backend"),
        ("client_secret", "demo-backend-secret"),
    ];
    ureq::post(format!("{}/oauth/token", running.issuer)).send_form(form).unwrap();
    running.stop().unwrap();
}

#[test]
fn the_file_of_the_books_tells_nobody_who_is_in_them() {
    let scratch = Scratch::new();
    let settings = settings(&scratch);
    a_day_of_the_demo(&settings);
    let bytes: Vec<u8> = ["books.db", "books.db-wal"]
        .into_iter()
        .filter_map(|name| std::fs::read(scratch.path().join(name)).ok())
        .flatten()
        .collect();
    let has =
        |text: &str| bytes.windows(text.len()).any(|window| window.eq_ignore_ascii_case(text.as_bytes()));
    assert!(has("custJaneAA") && has("pc1:"), "the file is looked into");
    for secret in [
        "jane@example.com",
        "ringo@example.com",
        portcullis::demo::OWNER,
        "first_name",
        "demo-owner-keeps-wat",
        portcullis::demo::SEED_BASE32,
        "\"addresses\"",
    ] {
        assert!(!has(secret), "{secret} stands in the file");
    }
}

#[test]
fn a_key_encryption_key_is_named_and_changed_and_the_one_before_opens_nothing() {
    let scratch = Scratch::new();
    let mut settings = settings(&scratch);
    a_day_of_the_demo(&settings);
    let kek = |name: &str, byte: u8| {
        use std::os::unix::fs::OpenOptionsExt as _;
        let path = scratch.path().join(name);
        let mut file =
            std::fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(&path).unwrap();
        std::io::Write::write_all(&mut file, STANDARD.encode([byte; 32]).as_bytes()).unwrap();
        Some(format!("file:{}", path.display()))
    };
    let (one, two) = (kek("one", 1), kek("two", 2));
    let runtime = tokio::runtime::Runtime::new().unwrap();
    for (today, before) in [(&one, &None), (&two, &one)] {
        let running = start(settings.clone(), Means::system()).unwrap();
        (settings.keys.kek, settings.keys.kek_before) = (today.clone(), before.clone());
        let keks = Keks::of(&settings.keys).unwrap();
        KeyDirectory::open(&settings.keys.directory).unwrap().under(keks).reseal().unwrap();
        runtime.block_on(async {
            let store = books::open(&settings, &Means::system()).await.unwrap();
            assert_eq!(store.rewrap_data_keys().await.unwrap(), 2);
        });
        assert!(ureq::get(format!("{}/readyz", running.issuer)).call().is_ok(), "it goes on");
        running.stop().unwrap();
        settings.keys.kek_before = None;
        start(settings.clone(), Means::system()).unwrap().stop().unwrap();
    }
    settings.keys.kek = one;
    let why = start(settings, Means::system()).unwrap_err().why;
    assert!(why.contains("keys.kek_before"), "{why}");
}
