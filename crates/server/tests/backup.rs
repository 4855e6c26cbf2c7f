//! Backups as an operator takes them: sealed, private, whole or refused, and put back into an empty place only.

use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;
use std::process::{Command, Output, Stdio};

use portcullis::testing::Scratch;

const KEK: &str = "AQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQE=";
const OTHER_KEK: &str = "AgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgI=";
const SEED: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../deploy/config/demo.toml");

/// A house with books, keys and people in it, and an empty place beside it.
struct House {
    scratch: Scratch,
}

impl House {
    fn new() -> Self {
        let house = Self { scratch: Scratch::new() };
        house.done(&["keys", "init", "--algorithms", "ES256"]);
        house.done(&["seed", SEED]);
        house
    }

    fn command(&self, words: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_portcullis"));
        command.env_clear().current_dir(self.scratch.path()).args(words).stdin(Stdio::null());
        command.env("PORTCULLIS__STORE__URL", "sqlite:books.db").env("OUR_KEK", KEK);
        command.env("PORTCULLIS__KEYS__KEK", "env:OUR_KEK").env("OTHER_KEK", OTHER_KEK);
        command
    }

    /// The same in the empty place.
    fn elsewhere(&self, words: &[&str]) -> Command {
        let mut command = self.command(words);
        command.env("PORTCULLIS__STORE__URL", "sqlite:new/books.db");
        command.env("PORTCULLIS__KEYS__DIRECTORY", "new/keys");
        command
    }

    fn done(&self, words: &[&str]) -> String {
        succeeded(&self.command(words).output().unwrap())
    }

    fn refused(&self, words: &[&str]) -> String {
        failed(&self.command(words).output().unwrap())
    }

    fn path(&self, name: &str) -> PathBuf {
        self.scratch.path().join(name)
    }

    fn files(&self) -> usize {
        std::fs::read_dir(self.scratch.path()).unwrap().count()
    }
}

fn succeeded(output: &Output) -> String {
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout.clone()).unwrap()
}

fn failed(output: &Output) -> String {
    assert_eq!(output.status.code(), Some(1), "{}", String::from_utf8_lossy(&output.stdout));
    String::from_utf8(output.stderr.clone()).unwrap()
}

fn holds(bytes: &[u8], text: &str) -> bool {
    bytes.windows(text.len()).any(|window| window == text.as_bytes())
}

#[test]
fn a_backup_is_sealed_private_and_goes_into_an_empty_place() {
    let house = House::new();
    let told = house.done(&["backup", "a.backup"]);
    assert!(told.contains("feed live:eu1 in epoch 1") && told.contains("key files: 5"), "{told}");
    let about = std::fs::metadata(house.path("a.backup")).unwrap();
    assert_eq!(about.permissions().mode() & 0o777, 0o600);
    let bytes = std::fs::read(house.path("a.backup")).unwrap();
    assert!(bytes.starts_with(b"{\"portcullis_backup\":1,"));
    for secret in ["jane@example.com", "seal.key", "argon2", "demo-backend"] {
        assert!(!holds(&bytes, secret), "{secret}");
    }
    let seen: serde_json::Value =
        serde_json::from_str(&house.done(&["backup", "--verify", "a.backup", "--json"])).unwrap();
    assert_eq!(seen["audit_sound"], true);
    assert!(seen["tables"]["people"].as_u64().unwrap() > 1 && seen["feeds"][0]["name"] == "live:eu1");

    let restored = succeeded(&house.elsewhere(&["restore", "a.backup", "--fenced"]).output().unwrap());
    assert!(restored.contains("written to new/keys") && restored.contains("sign in again"), "{restored}");
    let proof = succeeded(&house.elsewhere(&["audit", "verify", "--books"]).output().unwrap());
    assert!(proof.contains("as they were written"), "{proof}");
    let found = succeeded(
        &house
            .elsewhere(&["audit", "search", "--event", "backup.restored", "--json", "--books"])
            .output()
            .unwrap(),
    );
    assert!(found.contains("made_at") && found.contains("the database was restored"), "{found}");
    let again = failed(&house.elsewhere(&["restore", "a.backup", "--fenced"]).output().unwrap());
    assert!(again.contains("not empty") && again.contains("Nothing was changed"), "{again}");
}

#[test]
fn who_goes_on_from_the_same_backup_twice_gives_nothing_out_twice() {
    let house = House::new();
    house.done(&["backup", "a.backup"]);
    let epoch = |name: &str| {
        let mut command = house.elsewhere(&["restore", "a.backup", "--fenced", "--json"]);
        let told =
            succeeded(&command.env("PORTCULLIS__STORE__URL", format!("sqlite:{name}")).output().unwrap());
        let told: serde_json::Value = serde_json::from_str(&told).unwrap();
        told["feeds"][0]["epoch"].as_u64().unwrap()
    };
    let first = epoch("one.db");
    std::thread::sleep(std::time::Duration::from_millis(1100));
    let second = epoch("two.db");
    assert!(1 < first && first < second, "{first} {second}");
}

#[test]
fn without_a_key_nothing_is_written_unless_plain_is_said() {
    let house = House::new();
    let open = |words: &[&str]| house.command(words).env_remove("PORTCULLIS__KEYS__KEK").output().unwrap();
    // Their private files are sealed, and a backup does not look into them.
    let before = house.files();
    let why = failed(&open(&["backup", "a.backup"]));
    assert!(why.contains("--plain") && why.contains("--key"), "{why}");
    assert_eq!(house.files(), before, "not even a part of it");
    let taken = open(&["backup", "a.backup", "--plain"]);
    assert!(String::from_utf8_lossy(&taken.stderr).contains("not sealed"));
    succeeded(&taken);
    assert!(succeeded(&open(&["backup", "--verify", "a.backup"])).contains("not sealed"));
    let told = succeeded(&open(&["backup", "--verify", "a.backup", "--json"]));
    let header = std::fs::read(house.path("a.backup")).unwrap();
    let header = header.split(|byte| *byte == b'\n').next().unwrap();
    let header: serde_json::Value = serde_json::from_slice(header).unwrap();
    assert!(!told.contains(header["key"]["plain"].as_str().unwrap()), "its key is not printed");
    let why = failed(&house.elsewhere(&["restore", "a.backup", "--fenced"]).output().unwrap());
    assert!(why.contains("anybody could have made it"), "{why}");
    // Somebody calls it sealed.
    let whole = std::fs::read(house.path("a.backup")).unwrap();
    let at = whole.windows(7).position(|window| window == b"\"plain\"").unwrap();
    std::fs::write(house.path("b.backup"), [&whole[..at], b"\"sealed\"", &whole[at + 7..]].concat()).unwrap();
    let why = failed(&house.elsewhere(&["restore", "b.backup", "--fenced"]).output().unwrap());
    assert!(why.contains("it says that it is"), "{why}");
    succeeded(&house.elsewhere(&["restore", "a.backup", "--fenced", "--plain"]).output().unwrap());
    let about = std::fs::metadata(house.path("a.backup")).unwrap();
    assert_eq!(about.permissions().mode() & 0o777, 0o600);
}

#[test]
fn a_backup_opens_under_its_own_key_only() {
    let house = House::new();
    house.done(&["backup", "a.backup", "--key", "env:OTHER_KEK"]);
    let why = house.refused(&["backup", "--verify", "a.backup"]);
    assert!(why.contains("sealed under the key-encryption key"), "{why}");
    let why = failed(&house.elsewhere(&["restore", "a.backup", "--fenced"]).output().unwrap());
    assert!(why.contains("sealed under the key-encryption key"), "{why}");
    assert!(!house.path("new/keys").exists(), "nothing was written");
    house.done(&["backup", "--verify", "a.backup", "--key", "env:OTHER_KEK"]);
    let why = house.refused(&["backup", "b.backup", "--key", "env:NOBODY_SETS_THIS"]);
    assert!(why.contains("the key of the backup: the environment holds no"), "{why}");
}

#[test]
fn what_was_cut_altered_or_is_no_backup_is_refused_in_a_sentence() {
    let house = House::new();
    house.done(&["backup", "a.backup"]);
    let whole = std::fs::read(house.path("a.backup")).unwrap();
    let header = whole.iter().position(|byte| *byte == b'\n').unwrap();
    let middle = (header + whole.len()) / 2;
    let mut flipped = whole.clone();
    flipped[middle] ^= 1;
    let other_header = {
        let text = String::from_utf8(whole[..header].to_vec()).unwrap();
        let other = text.replace("\"epoch\":1", "\"epoch\":2");
        assert_ne!(text, other);
        [other.as_bytes(), &whole[header..]].concat()
    };
    for (bytes, why) in [
        (whole[..middle].to_vec(), "cut"),
        (whole[..=header].to_vec(), "cut"),
        (flipped, "altered"),
        (other_header, "altered"),
        ([&whole[..], b"more"].concat(), "altered"),
        (b"something else\n".to_vec(), "no backup of ours"),
        (Vec::new(), "no backup of ours"),
        (b"{\"portcullis_backup\":9}\n".to_vec(), "form 9"),
    ] {
        std::fs::write(house.path("b.backup"), bytes).unwrap();
        let verified = house.refused(&["backup", "--verify", "b.backup"]);
        assert!(verified.contains("b.backup") && verified.contains(why), "{why}: {verified}");
        let restored = failed(&house.elsewhere(&["restore", "b.backup", "--fenced"]).output().unwrap());
        assert!(restored.contains(why), "{why}: {restored}");
    }
    assert!(!house.path("new").exists(), "nothing was made of any of them");
}

#[test]
fn nothing_is_written_over() {
    let house = House::new();
    house.done(&["backup", "a.backup"]);
    let before = std::fs::read(house.path("a.backup")).unwrap();
    assert!(house.refused(&["backup", "a.backup"]).contains("never written over"));
    assert_eq!(std::fs::read(house.path("a.backup")).unwrap(), before);
    let why = house.refused(&["restore", "a.backup"]);
    assert!(why.contains("--fenced"), "{why}");
    let why = house.refused(&["restore", "a.backup", "--fenced"]);
    assert!(why.contains("not empty"), "{why}");
}

#[test]
fn a_database_that_refuses_a_backup_leaves_no_key_files_behind() {
    let house = House::new();
    house.done(&["backup", "a.backup"]);
    let mut restore = house.command(&["restore", "a.backup", "--fenced"]);
    let why = failed(&restore.env("PORTCULLIS__KEYS__DIRECTORY", "elsewhere/keys").output().unwrap());
    assert!(why.contains("not empty"), "{why}");
    assert!(!house.path("elsewhere").exists(), "keys of a house that does not stand there");
    // And where the database takes it, but the keys have no place, that is said, and they come afterwards.
    std::fs::write(house.path("in-the-way"), "a file").unwrap();
    let mut restore = house.elsewhere(&["restore", "a.backup", "--fenced"]);
    let why = failed(&restore.env("PORTCULLIS__KEYS__DIRECTORY", "in-the-way/keys").output().unwrap());
    assert!(why.contains("the database is restored") && why.contains("--keys-only"), "{why}");
    succeeded(&house.elsewhere(&["restore", "a.backup", "--keys-only"]).output().unwrap());
    succeeded(&house.elsewhere(&["audit", "verify", "--books"]).output().unwrap());
}

#[test]
fn lost_key_files_come_back_and_another_house_s_are_left_alone() {
    let house = House::new();
    house.done(&["backup", "a.backup"]);
    let keys = |name: &str| {
        let mut command = house.command(&["restore", "a.backup", "--keys-only"]);
        command.env("PORTCULLIS__KEYS__DIRECTORY", name).output().unwrap()
    };
    assert!(succeeded(&keys("keys")).contains("left as they are"));
    assert!(succeeded(&keys("again")).contains("were written to again"));
    for name in ["seal.key", "feed.jwk", "manifest.json"] {
        let (one, two) = (house.path("keys").join(name), house.path("again").join(name));
        assert_eq!(std::fs::read(one).unwrap(), std::fs::read(&two).unwrap(), "{name}");
        assert_eq!(std::fs::metadata(two).unwrap().permissions().mode() & 0o777, 0o600);
    }
    let theirs = house.command(&["keys", "init", "--directory", "theirs"]).output().unwrap();
    succeeded(&theirs);
    let why = failed(&keys("theirs"));
    assert!(why.contains("another house's"), "{why}");
}
