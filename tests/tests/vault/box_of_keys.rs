//! A SoftHSM2 token in a folder: made, taken away, put back, and looked into by a process of its own, as another
//! server would.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use cryptoki::context::{CInitializeArgs, CInitializeFlags, Pkcs11};
use cryptoki::object::{Attribute, AttributeType, ObjectClass, ObjectHandle};
use cryptoki::session::{Session, UserType};
use cryptoki::types::AuthPin;
use portcullis::settings;

use super::{FOLDER, ORDER};

const LABEL: &str = "town";
const PIN: &str = "hush-4711";

pub struct BoxOfKeys {
    module: PathBuf,
    folder: PathBuf,
}

impl BoxOfKeys {
    pub fn in_folder(module: &Path, folder: PathBuf) -> Self {
        Self { module: module.to_owned(), folder }
    }

    /// Makes the token, and says where its configuration is.
    pub fn furnish(&self) -> PathBuf {
        fs::create_dir(self.tokens()).expect("the folder is ours");
        let configuration = self.configuration();
        let text = format!(
            "directories.tokendir = {}\nobjectstore.backend = file\nlog.level = ERROR\n",
            self.tokens().display()
        );
        fs::write(&configuration, text).expect("the folder is ours");
        for (name, pin) in [("pin", PIN), ("wrong-pin", "hush-4712")] {
            let path = self.folder.join(name);
            fs::write(&path, format!("{pin}\n")).expect("the folder is ours");
            let private = std::os::unix::fs::PermissionsExt::from_mode(0o600);
            fs::set_permissions(&path, private).expect("it is ours");
        }
        let mut make = Command::new("softhsm2-util");
        make.args(["--init-token", "--free", "--label", LABEL, "--so-pin", "hush-officer", "--pin", PIN]);
        let made = make.env("SOFTHSM2_CONF", &configuration).output().expect("softhsm2-util is installed");
        assert!(made.status.success(), "{made:?}");
        configuration
    }

    pub fn configuration(&self) -> PathBuf {
        self.folder.join("softhsm2.conf")
    }

    /// What a server needs to know.
    pub fn settings(&self) -> settings::Pkcs11 {
        let pin = format!("file:{}", self.folder.join("pin").display());
        settings::Pkcs11 { token: Some(LABEL.into()), ..settings::Pkcs11::of(&self.module, pin) }
    }

    /// The same with another PIN than the token has.
    pub fn settings_with_wrong_pin(&self) -> settings::Pkcs11 {
        let pin = format!("file:{}", self.folder.join("wrong-pin").display());
        settings::Pkcs11 { pin, ..self.settings() }
    }

    /// The token is pulled out.
    pub fn take_away(&self) {
        fs::rename(self.tokens(), self.folder.join("away")).expect("it was there");
        fs::create_dir(self.tokens()).expect("the folder is ours");
    }

    /// And put in again.
    pub fn put_back(&self) {
        fs::remove_dir_all(self.tokens()).expect("the folder is ours");
        fs::rename(self.folder.join("away"), self.tokens()).expect("it was taken away");
    }

    /// The names of the private keys in it, each of which cannot be taken out.
    pub fn private_keys(&self) -> Vec<String> {
        self.ask("list").lines().map(str::to_owned).collect()
    }

    /// A key disappears behind everybody's back.
    pub fn lose(&self, kid: &str) {
        self.ask(&format!("lose {kid}"));
    }

    /// Somebody else puts a key of theirs in the place of ours, under the same id.
    pub fn relabel(&self, kid: &str) {
        self.ask(&format!("relabel {kid}"));
    }

    /// Has this program started once more, with something to do.
    fn ask(&self, order: &str) -> String {
        let mut other = Command::new(std::env::current_exe().expect("a test has a file"));
        other.env("SOFTHSM2_CONF", self.configuration()).env(FOLDER, &self.folder).env(ORDER, order);
        let told = other.output().expect("it starts once more");
        assert!(told.status.success(), "{told:?}");
        String::from_utf8(told.stdout).expect("names are text")
    }

    /// In that process.
    pub fn carry_out(&self, order: &str) {
        let session = self.enter();
        match order.split_once(' ') {
            Some(("lose", kid)) => {
                for object in session.find_objects(&[Attribute::Id(kid.into())]).expect("it looks") {
                    session.destroy_object(object).expect("it is there");
                }
            }
            Some(("relabel", kid)) => {
                for object in session.find_objects(&[Attribute::Id(kid.into())]).expect("it looks") {
                    let label = [Attribute::Label("somebody else's".into())];
                    session.update_attributes(object, &label).expect("labels may change");
                }
            }
            _ => list(&session),
        }
    }

    fn enter(&self) -> Session {
        let pkcs11 = Pkcs11::new(&self.module).expect("it loads");
        pkcs11.initialize(CInitializeArgs::new(CInitializeFlags::OS_LOCKING_OK)).expect("it begins");
        let slot = pkcs11.get_slots_with_initialized_token().expect("it answers")[0];
        let session = pkcs11.open_rw_session(slot).expect("it opens");
        session.login(UserType::User, Some(&AuthPin::from(PIN))).expect("it lets us in");
        session
    }

    fn tokens(&self) -> PathBuf {
        self.folder.join("tokens")
    }
}

/// Prints the names of the private keys, and tries to get them out.
fn list(session: &Session) {
    let keys = || {
        let asked = [Attribute::Class(ObjectClass::PRIVATE_KEY)];
        session.find_objects(&asked).expect("it looks")
    };
    for key in keys() {
        match locked_up(session, key) {
            Ok(name) => println!("{name}"),
            // Whatever is said of a key that a server destroys at this moment says nothing.
            Err(why) => assert!(!keys().contains(&key), "{why}"),
        }
    }
}

/// The name of a private key that cannot be taken out, or why it is no such key.
fn locked_up(session: &Session, key: ObjectHandle) -> Result<String, String> {
    let asked = [AttributeType::Id, AttributeType::Extractable, AttributeType::NeverExtractable];
    let seen = session.get_attributes(key, &asked).map_err(|why| why.to_string())?;
    let [Attribute::Id(id), Attribute::Extractable(false), Attribute::NeverExtractable(true)] = &seen[..]
    else {
        return Err(format!("{seen:?}"));
    };
    let inside = [AttributeType::Value, AttributeType::PrivateExponent];
    let out = session.get_attributes(key, &inside).map_err(|why| why.to_string())?;
    match out.is_empty() {
        true => Ok(String::from_utf8_lossy(id).into_owned()),
        false => Err("a key came out".into()),
    }
}
