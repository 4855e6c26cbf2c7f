//! The command line as it is used: help that is kept under review, exit codes, and a server that is started
//! and stopped by hand.
//!
//! `UPDATE_GOLDEN=1 cargo test -p portcullis --test cli` writes the help texts anew.

use std::io::{BufRead as _, BufReader, Read as _};
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};

use portcullis::testing::Scratch;

fn portcullis(scratch: &Scratch) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_portcullis"));
    command.env_clear().current_dir(scratch.path());
    command
}

fn run(scratch: &Scratch, arguments: &[&str]) -> Output {
    portcullis(scratch).args(arguments).stdin(Stdio::null()).output().unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

#[test]
fn help_is_what_was_reviewed() {
    let scratch = Scratch::new();
    for words in [
        &[][..],
        &["serve"],
        &["seed"],
        &["keys"],
        &["keys", "init"],
        &["keys", "status"],
        &["keys", "add"],
        &["keys", "feed"],
        &["keys", "feed", "prepare"],
        &["keys", "feed", "sign"],
        &["keys", "feed", "forget"],
        &["keys", "files"],
        &["keys", "seal"],
        &["keys", "reseal"],
        &["keys", "rotate"],
        &["keys", "revoke"],
        &["token"],
        &["revoke"],
        &["revoke", "token"],
        &["revoke", "login"],
        &["revoke", "person"],
        &["revoke", "application"],
        &["revoke", "actor"],
        &["revoke", "role"],
        &["revoke", "key"],
        &["revoke", "organization"],
        &["revoke", "everything"],
        &["introspect"],
        &["backup"],
        &["restore"],
        &["dr"],
        &["dr", "promote"],
        &["audit"],
        &["audit", "verify"],
        &["audit", "search"],
        &["audit", "export"],
        &["audit", "checkpoints"],
        &["audit", "destinations"],
        &["audit", "dead-letters"],
        &["config"],
        &["config", "check"],
        &["login"],
        &["logout"],
        &["whoami"],
        &["sessions"],
        &["sessions", "list"],
        &["sessions", "end"],
        &["operators"],
        &["operators", "list"],
        &["operators", "create"],
        &["operators", "roles"],
        &["operators", "disable"],
        &["operators", "enable"],
        &["operators", "invite"],
        &["operators", "invitations"],
        &["operators", "uninvite"],
        &["operators", "reset-second-factor"],
        &["operators", "invite-again"],
        &["account"],
        &["account", "accept"],
        &["account", "password"],
        &["account", "second-factor"],
        &["account", "recovery-codes"],
        &["status"],
        &["retention"],
        &["people"],
        &["people", "list"],
        &["people", "show"],
        &["people", "create"],
        &["people", "invite"],
        &["people", "invitations"],
        &["people", "uninvite"],
        &["people", "disable"],
        &["people", "enable"],
        &["people", "password"],
        &["people", "delete"],
        &["people", "sessions"],
        &["people", "end"],
        &["people", "second-factor"],
        &["people", "places"],
        &["people", "export"],
        &["people", "erase"],
        &["organizations"],
        &["organizations", "list"],
        &["organizations", "safety"],
        &["organizations", "permit"],
        &["organizations", "entrust"],
        &["secrets"],
        &["secrets", "list"],
        &["secrets", "rotate"],
        &["secrets", "revoke"],
        &["proposals"],
        &["proposals", "list"],
        &["proposals", "show"],
        &["proposals", "approve"],
        &["proposals", "refuse"],
        &["proposals", "withdraw"],
        &["proposals", "acknowledge"],
        &["offboard"],
        &["access"],
        &["access", "list"],
        &["reviews"],
        &["reviews", "open"],
        &["reviews", "list"],
        &["reviews", "show"],
        &["reviews", "assign"],
        &["reviews", "keep"],
        &["reviews", "withdraw"],
        &["reviews", "close"],
        &["reviews", "export"],
        &["completion"],
        &["man"],
        &["version"],
    ] {
        let output = run(&scratch, &[words, &["--help"]].concat());
        assert!(output.status.success(), "{words:?}");
        let name = if words.is_empty() { "portcullis".into() } else { words.join("-") };
        golden(&name, &text(&output.stdout));
    }
}

fn golden(name: &str, seen: &str) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/golden/cli");
    let file = folder.join(format!("{name}.txt"));
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        std::fs::create_dir_all(&folder).unwrap();
        std::fs::write(&file, seen).unwrap();
    }
    let kept = std::fs::read_to_string(&file).unwrap_or_default();
    assert_eq!(seen, kept, "the help of {name} has changed; look at it, then run with UPDATE_GOLDEN=1");
}

#[test]
fn the_exit_code_says_done_refused_or_not_understood() {
    let scratch = Scratch::new();
    assert_eq!(run(&scratch, &["version"]).status.code(), Some(0));
    let refused = run(&scratch, &["keys", "files"]);
    assert_eq!(refused.status.code(), Some(1));
    assert!(text(&refused.stderr).starts_with("portcullis: keys: keys/manifest.json"));
    assert_eq!(run(&scratch, &["fly"]).status.code(), Some(2));
    let unreachable = ["introspect", "--server", "http://127.0.0.1:1", "--client-id", "x", "token"];
    let unreachable = run(&scratch, &unreachable);
    assert_eq!(unreachable.status.code(), Some(1));
    assert!(text(&unreachable.stderr).contains("cannot be reached"));
}

#[test]
fn keys_are_made_seen_and_changed() {
    let scratch = Scratch::new();
    assert!(run(&scratch, &["keys", "init", "--algorithms", "ES256"]).status.success());
    assert!(!run(&scratch, &["keys", "init"]).status.success(), "never over keys");
    let added = text(&run(&scratch, &["keys", "add", "--algorithm", "ES256"]).stdout);
    let kid = added.strip_prefix("Added ").unwrap().split(". ").next().unwrap();
    let files = text(&run(&scratch, &["keys", "files"]).stdout);
    assert!(files.lines().any(|line| line.starts_with(kid) && line.contains(" pending ")), "{files}");
    assert!(files.ends_with("5 private files are not sealed; portcullis keys seal does it.\n"), "{files}");
}

#[test]
fn a_key_directory_is_sealed_under_a_key_from_the_environment() {
    let scratch = Scratch::new();
    let with = |name: &str, more: &[(&str, &str)]| {
        let mut command = portcullis(&scratch);
        let said = command.args(["keys", name]).envs(more.iter().copied()).output().unwrap();
        (said.status.success(), text(&said.stdout), text(&said.stderr))
    };
    let kek = [
        ("PORTCULLIS__KEYS__KEK", "env:OUR_KEK"),
        ("OUR_KEK", "AQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQE="),
    ];
    assert!(run(&scratch, &["keys", "init", "--algorithms", "ES256"]).status.success());
    let (done, _, why) = with("seal", &[]);
    assert!(!done && why.contains("keys.kek"), "{why}");
    let (done, said, _) = with("seal", &kek);
    assert!(done && said.starts_with("Sealed 4 files: "), "{said}");
    assert!(with("seal", &kek).1.starts_with("Every private file is sealed"));
    assert!(with("files", &kek).1.ends_with("Every private file is sealed.\n"));
    let (done, _, why) = with("files", &[]);
    assert!(!done && why.contains("sealed under the key-encryption key"), "{why}");
    let (done, _, why) = with("files", &kek[..1]);
    assert!(!done && why.contains("the environment holds no OUR_KEK"), "{why}");
}

#[test]
fn the_books_are_sealed_anew_by_a_command() {
    let scratch = Scratch::new();
    let kek = [
        ("PORTCULLIS__KEYS__KEK", "env:OUR_KEK"),
        ("OUR_KEK", "AQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQE="),
    ];
    let said = |arguments: &[&str], more: &[(&str, &str)]| {
        let run = portcullis(&scratch).args(arguments).envs(more.iter().copied()).output().unwrap();
        assert!(run.status.success(), "{arguments:?}: {}", text(&run.stderr));
        text(&run.stdout)
    };
    said(&["keys", "init", "--algorithms", "ES256"], &[]);
    said(&["audit", "search", "--books", "--event", "nothing"], &[]);
    let made = said(&["keys", "reseal", "--new-data-key"], &[]);
    assert!(made.starts_with("Wrapped 0 data keys of the books anew.\nSealed 1 rows"), "{made}");
    let wrapped = said(&["keys", "reseal"], &kek);
    assert!(wrapped.contains("Sealed 4 files") && wrapped.contains("Wrapped 3 data keys"), "{wrapped}");
    let sealed = said(&["keys", "reseal", "--data"], &kek);
    assert!(sealed.contains("Wrapped 0 data keys") && sealed.contains("Sealed 0 rows"), "{sealed}");
    let audit = said(&["audit", "search", "--event", "keys.resealed", "--json", "--books"], &kek);
    assert_eq!(audit.matches("keys.resealed").count(), 3, "{audit}");
}

#[test]
fn config_check_prints_what_is_in_force_and_hides_secrets() {
    let scratch = Scratch::new();
    let checked = run(&scratch, &["config", "check"]);
    assert!(checked.status.success(), "{}", text(&checked.stderr));
    assert!(text(&checked.stdout).contains("access_lifetime = 7200"));
    let refused = portcullis(&scratch)
        .args(["config", "check"])
        .env("PORTCULLIS__MODE", "production")
        .env("PORTCULLIS__STORE__URL", "postgres://portcullis:hush@db/books")
        .output()
        .unwrap();
    assert_eq!(refused.status.code(), Some(1));
    assert!(!text(&refused.stdout).contains("hush") && text(&refused.stdout).contains("hidden"));
    assert!(text(&refused.stderr).contains("refused: issuer must be https in production."));
}

#[test]
fn a_variable_with_one_line_too_few_is_told_from_a_setting() {
    let scratch = Scratch::new();
    let checked = portcullis(&scratch)
        .args(["config", "check"])
        .env("PORTCULLIS_LISTEN_PORT", "9000")
        .output()
        .unwrap();
    assert!(checked.status.success() && text(&checked.stdout).contains("port = 8080"));
    let said = text(&checked.stderr);
    assert_eq!(said, "warning: the server reads PORTCULLIS__LISTEN__PORT, and not PORTCULLIS_LISTEN_PORT.\n");
}

#[test]
fn a_port_that_is_taken_is_named_with_its_setting() {
    let scratch = Scratch::new();
    assert!(run(&scratch, &["keys", "init", "--algorithms", "ES256"]).status.success());
    let other = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = other.local_addr().unwrap().port().to_string();
    for (name, setting) in [("LISTEN", "listen.port"), ("ADMIN", "admin.port")] {
        let mut server = portcullis(&scratch);
        server.arg("serve").env("PORTCULLIS__ADMIN__ENABLED", "true").env("PORTCULLIS__ADMIN__PORT", "0");
        server.env("PORTCULLIS__LISTEN__PORT", "0").env("PORTCULLIS__ISSUER", "http://127.0.0.1:0");
        server.env(format!("PORTCULLIS__{name}__PORT"), &port);
        let refused = server.output().unwrap();
        assert_eq!(refused.status.code(), Some(1));
        let said = text(&refused.stderr);
        assert!(said.contains(&format!("127.0.0.1:{port} already")) && said.contains(setting), "{said}");
    }
}

/// Ends with the test, also when the test fails.
struct Started(Child);

impl Drop for Started {
    fn drop(&mut self) {
        // It has ended already when all went well.
        let _ = self.0.kill();
    }
}

#[test]
fn a_demo_starts_issues_revokes_and_stops_when_told() {
    let scratch = Scratch::new();
    let started = portcullis(&scratch)
        .args(["serve", "--demo"])
        .env("PORTCULLIS__LISTEN__PORT", "0")
        .env("PORTCULLIS__ISSUER", "http://127.0.0.1:0")
        .env("PORTCULLIS__LOG__FILTER", "warn")
        .stdout(Stdio::piped())
        .spawn();
    let mut server = Started(started.unwrap());
    let mut said = BufReader::new(server.0.stdout.take().unwrap());
    let mut first = String::new();
    said.read_line(&mut first).unwrap();
    assert!(first.starts_with("portcullis ready at 127.0.0.1:"), "{first}");
    let issuer = first.split("issuer ").nth(1).unwrap().trim().trim_end_matches(')');
    let ask = |arguments: &[&str]| {
        portcullis(&scratch)
            .args(arguments)
            .args(["--server", issuer, "--client-id", "demo-backend"])
            .env("PORTCULLIS_CLIENT_SECRET", "demo-backend-secret")
            .stdin(Stdio::null())
            .output()
            .unwrap()
    };
    let token = ask(&["token"]);
    assert!(token.status.success(), "{}", text(&token.stderr));
    let token = text(&token.stdout).trim().to_owned();
    assert_eq!(token.split('.').count(), 3);
    assert!(text(&ask(&["introspect", &token]).stdout).contains("\"active\": true"));
    assert!(ask(&["revoke", &token]).status.success());
    assert!(text(&ask(&["introspect", &token]).stdout).contains("\"active\": false"));
    let refused = ask(&["token", "--scope", "market:code:atlantis"]);
    assert_eq!(refused.status.code(), Some(1));
    assert!(text(&refused.stderr).starts_with("portcullis: refused (invalid_scope)"));

    let id = server.0.id().to_string();
    assert!(Command::new("kill").args(["-TERM", &id]).status().unwrap().success());
    assert!(server.0.wait().unwrap().success(), "SIGTERM is a wish, not an accident");
    let mut rest = String::new();
    said.read_to_string(&mut rest).unwrap();
    assert!(rest.contains("ringo@example.com") && rest.contains(issuer));
}

#[test]
fn an_operator_signs_in_looks_around_and_signs_out() {
    let scratch = Scratch::new();
    let started = portcullis(&scratch)
        .args(["serve", "--demo"])
        .env("PORTCULLIS__LISTEN__PORT", "0")
        .env("PORTCULLIS__ISSUER", "http://127.0.0.1:0")
        .env("PORTCULLIS__ADMIN__ENABLED", "true")
        .env("PORTCULLIS__ADMIN__PORT", "0")
        .env("PORTCULLIS__LOG__FILTER", "warn")
        .stdout(Stdio::piped())
        .spawn();
    let mut server = Started(started.unwrap());
    let mut said = BufReader::new(server.0.stdout.take().unwrap());
    // The reader stays, so that the server can tell its story to the end.
    let address = said.by_ref().lines().map_while(Result::ok).find_map(|line| {
        line.strip_prefix("operators come in at ").map(|address| format!("http://{address}"))
    });
    let address = address.unwrap();
    let home = scratch.path().join("home");
    let ask = |arguments: &[&str]| {
        portcullis(&scratch).args(arguments).env("HOME", &home).stdin(Stdio::null()).output().unwrap()
    };
    let nobody = ask(&["whoami", "--server", &address]);
    assert_eq!(nobody.status.code(), Some(1));
    assert!(text(&nobody.stderr).contains("you are not signed in"));
    let entered = ask(&["login", "--demo", "--server", &address]);
    assert!(entered.status.success(), "{}", text(&entered.stderr));
    assert!(!text(&entered.stdout).contains("pco_"));
    let kept = home.join(".config/portcullis/operator.json");
    let mode = std::os::unix::fs::PermissionsExt::mode(&std::fs::metadata(&kept).unwrap().permissions());
    assert_eq!(mode & 0o777, 0o600);
    // The code was taken, and the same one does not come in again.
    let again = ask(&["login", "--demo", "--server", &address]);
    assert_eq!(again.status.code(), Some(1));
    let told = |arguments: &[&str]| {
        let output = ask(arguments);
        assert!(output.status.success(), "{arguments:?}: {}", text(&output.stderr));
        text(&output.stdout)
    };
    assert!(told(&["whoami"]).starts_with("owner@example.com (operator, approver, auditor, owner)"));
    assert!(told(&["operators", "list"]).contains("owner@example.com"));
    assert!(told(&["sessions", "list"]).contains("127.0.0.1"));
    let people = told(&["people", "list", "example.com"]);
    assert!(people.starts_with("ID ") && people.contains("jane@example.com"), "{people}");
    let shown = told(&["people", "show", "custJaneAA", "--json"]);
    let shown: serde_json::Value = serde_json::from_str(&shown).unwrap();
    assert_eq!(shown["person"]["has_password"], true);
    assert!(told(&["secrets", "list"]).contains("demo-backend"));
    let rotated = told(&["secrets", "rotate", "demo-backend", "--reason", "drill", "--break-glass"]);
    assert!(rotated.starts_with("The new secret of demo-backend, shown this once: pcs_"), "{rotated}");
    assert_eq!(told(&["secrets", "list", "demo-backend"]).lines().count(), 3);
    assert!(told(&["people", "disable", "custJaneAA"]).contains("everything of it has ended"));
    assert!(told(&["completion", "bash"]).contains("portcullis"));
    assert!(told(&["man"]).contains(".TH PORTCULLIS 1"));
    told(&["logout"]);
    assert!(!kept.exists());
}

#[test]
fn the_first_owner_is_made_on_the_books_and_once() {
    let scratch = Scratch::new();
    assert!(run(&scratch, &["keys", "init", "--algorithms", "ES256"]).status.success());
    let create = || run(&scratch, &["operators", "create", "Ann@Example.com", "--role", "owner"]);
    let made = create();
    assert!(made.status.success(), "{}", text(&made.stderr));
    let told = text(&made.stdout);
    assert!(told.starts_with("Made ann@example.com."), "{told}");
    assert!(told.contains("otpauth://totp/Portcullis:ann%40example.com?"), "{told}");
    assert_eq!(told.lines().count(), 14);
    assert!(told.ends_with("portcullis login --email ann@example.com\n"), "{told}");
    let again = create();
    assert_eq!(again.status.code(), Some(1));
    assert!(text(&again.stderr).contains("There is an operator with this address."));
}

#[test]
fn a_seed_is_taken_whole_or_not_at_all() {
    let scratch = Scratch::new();
    assert!(run(&scratch, &["keys", "init", "--algorithms", "ES256"]).status.success());
    let file = scratch.path().join("shop.toml");
    let shop = "[[organizations]]\nslug = \"a\"\n[[guards]]\nid = \"g\"\nsecret = \"generate\"\n";
    std::fs::write(&file, shop).unwrap();
    let seed = || run(&scratch, &["seed", "shop.toml"]);
    let first = seed();
    assert!(first.status.success(), "{}", text(&first.stderr));
    assert!(text(&first.stdout).contains("The secret of guard:g, shown this once: pcs_"));
    assert!(!text(&seed().stdout).contains("pcs_"), "the second seeding keeps the secret");
    std::fs::write(&file, format!("{shop}[[roles]]\nid = \"admin\"\n")).unwrap();
    let wrong = seed();
    assert_eq!(wrong.status.code(), Some(1));
    assert!(text(&wrong.stderr).contains("nothing of shop.toml was taken:\nline 7, roles[0].id:"));
}
