//! The real programs as child processes: the server and the shop as an operator starts them.

use std::io::{BufRead as _, BufReader, Read as _};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::sync::{Arc, Mutex, Once, OnceLock, PoisonError};
use std::time::{Duration, SystemTime};

use crate::ground::say;

/// A program that runs until it is dropped.
pub struct Program {
    child: Child,
    lines: Receiver<String>,
    /// Everything that it printed, on both outputs.
    said: Arc<Mutex<String>>,
}

/// Our programs.
const NAMES: [&str; 2] = ["portcullis", "portcullis-shop"];

/// The folder in which the build left the programs. A build of the whole workspace has made them; if not, or
/// if they are older than what they are made of, they are made now.
fn folder() -> &'static Path {
    static FOLDER: OnceLock<PathBuf> = OnceLock::new();
    FOLDER.get_or_init(|| {
        let own = std::env::current_exe().expect("a test has a file");
        // target/<profile>/deps/<this test>
        let folder = own.parent().and_then(Path::parent).expect("tests lie in target/<profile>/deps");
        let repository = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
        let sources = ["crates", "examples", "deploy/config", "Cargo.lock"].map(|name| repository.join(name));
        let newest = sources.iter().filter_map(|source| changed(source)).max();
        if NAMES.iter().any(|name| changed(&folder.join(name)) < newest) {
            build(folder);
        }
        folder.to_owned()
    })
}

fn build(folder: &Path) {
    let mut build = Command::new(env!("CARGO"));
    // Of the whole workspace, so that what others depend on is the same and nothing is built twice.
    build.args(["build", "--quiet", "--workspace", "--bins"]);
    build.current_dir(env!("CARGO_MANIFEST_DIR"));
    build.env("CARGO_TARGET_DIR", folder.parent().expect("a profile lies in the target folder"));
    if folder.ends_with("release") {
        build.arg("--release");
    }
    assert!(build.status().expect("cargo runs").success(), "the programs do not build");
}

/// When a file, or the newest file in a folder, was changed; `None` when there is none.
fn changed(path: &Path) -> Option<SystemTime> {
    match std::fs::read_dir(path) {
        Ok(entries) => entries.flatten().filter_map(|entry| changed(&entry.path())).max(),
        Err(_) => std::fs::metadata(path).and_then(|about| about.modified()).ok(),
    }
}

/// A command for one of our programs, with an empty environment, so that nothing of the machine's settings
/// reaches it.
pub fn command(name: &str) -> Command {
    command_of(&folder().join(name))
}

/// The server of the version before (`tests/previous-version`), where `scripts/previous.sh` has built it; without it
/// that is said, once.
///
/// # Panics
/// When `PORTCULLIS_TEST_PREVIOUS=required` and it is not there.
pub fn version_before() -> Option<PathBuf> {
    let commit = include_str!("../previous-version").trim();
    let target = folder().parent().expect("a profile lies in the target folder");
    let program = target.join("previous").join(format!("portcullis-{commit}"));
    if program.is_file() {
        return Some(program);
    }
    let required = std::env::var_os("PORTCULLIS_TEST_PREVIOUS").is_some_and(|wish| wish == "required");
    assert!(!required, "the version before is not built (scripts/previous.sh), and is required");
    static SAID: Once = Once::new();
    SAID.call_once(|| {
        say("The version before is not built (scripts/previous.sh): two versions side by side DID NOT RUN.");
    });
    None
}

/// A command for a program that lies somewhere, with an empty environment.
pub fn command_of(program: &Path) -> Command {
    let mut command = Command::new(program);
    command.env_clear().stdin(Stdio::null());
    command
}

impl Program {
    /// Starts a program.
    pub fn start(mut command: Command) -> Self {
        let mut child =
            command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("the program starts");
        let said = Arc::new(Mutex::new(String::new()));
        let (told, lines) = channel();
        let (out, err) = (child.stdout.take().expect("piped"), child.stderr.take().expect("piped"));
        let heard = said.clone();
        std::thread::spawn(move || {
            for line in BufReader::new(out).lines().map_while(Result::ok) {
                note(&heard, &line);
                // Nobody waits for a line any more; it is kept all the same.
                let _ = told.send(line);
            }
        });
        let heard = said.clone();
        std::thread::spawn(move || {
            for line in BufReader::new(err).lines().map_while(Result::ok) {
                note(&heard, &line);
            }
        });
        Self { child, lines, said }
    }

    /// The next line on standard output that holds this text.
    pub fn wait_for(&self, text: &str) -> String {
        loop {
            match self.lines.recv_timeout(Duration::from_secs(30)) {
                Ok(line) if line.contains(text) => return line,
                Ok(_) => {}
                Err(_) => panic!("it never said {text}; it said:\n{}", self.said()),
            }
        }
    }

    /// Everything that it has printed so far.
    pub fn said(&self) -> String {
        self.said.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Ends it as a power cut would (SIGKILL).
    pub fn kill(&mut self) {
        self.child.kill().expect("it runs");
        self.child.wait().expect("it ends");
    }

    /// Asks it to end (SIGTERM) and waits; true when it ended well.
    pub fn terminate(&mut self) -> bool {
        let pid = self.child.id().to_string();
        let told = Command::new("kill").args(["-TERM", &pid]).status().expect("kill runs");
        told.success() && self.child.wait().expect("it ends").success()
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// What a shell script printed on both outputs, and whether it succeeded.
pub fn shell(script: &str, folder: &Path, environment: &[(&str, &str)]) -> (bool, String) {
    let mut command = Command::new("sh");
    command.args(["-euc", &format!("exec 2>&1\n{script}")]).current_dir(folder);
    command.envs(environment.iter().copied()).stdin(Stdio::null()).stdout(Stdio::piped());
    let mut child = command.spawn().expect("a shell runs");
    let mut said = String::new();
    let out = child.stdout.as_mut().expect("piped");
    out.read_to_string(&mut said).expect("what it prints is text");
    (child.wait().expect("it ends").success(), said)
}

fn note(said: &Mutex<String>, line: &str) {
    let mut said = said.lock().unwrap_or_else(PoisonError::into_inner);
    said.push_str(line);
    said.push('\n');
}
