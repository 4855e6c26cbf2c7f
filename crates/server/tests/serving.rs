//! A server in this process, as tests of other rooms use it: it starts on a free port, answers, and drains.

use std::time::Duration;

use portcullis::books;
use portcullis::keys::{KeyDirectory, Plan, Purpose};
use portcullis::means::Means;
use portcullis::serve::start;
use portcullis::settings::{Mode, Settings};
use portcullis::testing::Scratch;

fn settings(scratch: &Scratch) -> Settings {
    let means = Means::system();
    let mut settings = Settings { issuer: "http://127.0.0.1:0".into(), ..Settings::default() };
    settings.listen.port = 0;
    settings.listen.workers = 1;
    settings.passwords.memory_kib = 64;
    settings.passwords.iterations = 1;
    settings.store.url = format!("sqlite:{}", scratch.path().join("books.db").display());
    settings.keys.directory = scratch.path().join("keys");
    let plan = Plan { purpose: Purpose::Demo, region: "eu1", algorithms: &["ES256".to_owned()] };
    KeyDirectory::create(&settings.keys.directory, &plan, &*means.clock, &*means.dice).unwrap();
    settings
}

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
