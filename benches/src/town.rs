//! A place to measure in: a directory that vanishes, keys, books sown from `town.toml`, and a server.

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::{SystemTime, UNIX_EPOCH};

use crate::Outcome;
use crate::child::{Child, command};
use crate::roles::Role;
use crate::wire::{Answer, Wire, form};

const SEED: &str = include_str!("../town.toml");
const FILE: &str = "town.toml";
pub const FEED: &str = "live:eu1";
pub const GUARD: (&str, &str) = ("bench", "bench-guard-secret");
pub const SECRET: &str = "backend-secret";
/// Logins only prepare what is measured, so their hashes are cheap here.
const SETTINGS: [(&str, &str); 12] = [
    ("PORTCULLIS__ISSUER", "http://127.0.0.1:0"),
    ("PORTCULLIS__LISTEN__PORT", "0"),
    ("PORTCULLIS__STORE__URL", "sqlite:books.db"),
    ("PORTCULLIS__PASSWORDS__MEMORY_KIB", "64"),
    ("PORTCULLIS__PASSWORDS__ITERATIONS", "1"),
    // One machine asks as much as it can, which is what limits are there to stop. The buckets are still taken
    // from, so what that costs is measured.
    ("PORTCULLIS__LIMITS__ADDRESS__COUNT", "60000000"),
    ("PORTCULLIS__LIMITS__ADDRESS__SECONDS", "60"),
    ("PORTCULLIS__LIMITS__CLIENT__COUNT", "60000000"),
    ("PORTCULLIS__LIMITS__CLIENT__SECONDS", "60"),
    ("PORTCULLIS__LIMITS__INTROSPECTION__COUNT", "60000000"),
    ("PORTCULLIS__LIMITS__INTROSPECTION__SECONDS", "60"),
    ("PORTCULLIS__LIMITS__CONNECTIONS", "100000"),
];

/// Where a benchmark happens.
pub struct Town {
    directory: PathBuf,
}

impl Town {
    /// Makes keys and sows the books.
    pub fn found() -> Outcome<Self> {
        let nanos = SystemTime::now().duration_since(UNIX_EPOCH)?.subsec_nanos();
        let directory = std::env::temp_dir().join(format!("portcullis-bench-{}-{nanos}", std::process::id()));
        std::fs::create_dir_all(&directory)?;
        let town = Self { directory };
        std::fs::write(town.directory.join(FILE), SEED)?;
        town.tell(&["keys", "init", "--algorithms", "ES256,EdDSA,RS512"])?;
        town.tell(&["seed", FILE])?;
        Ok(town)
    }

    pub fn directory(&self) -> &Path {
        &self.directory
    }

    /// The server, open to all.
    pub fn server(&self) -> Outcome<Child> {
        self.server_with(&[])
    }

    /// The same with more settings.
    pub fn server_with(&self, more: &[(&str, &str)]) -> Outcome<Child> {
        Child::start(Role::Portcullis, &self.directory, &[&SETTINGS, more].concat())
    }

    /// The example shop behind that server.
    pub fn shop(&self, server: &Child) -> Outcome<Child> {
        let issuer = issuer(server);
        let (guard, secret) = GUARD;
        let settings = [
            ("PORTCULLIS_ISSUER", issuer.as_str()),
            ("PORTCULLIS_FEED", FEED),
            ("PORTCULLIS_GUARD_ID", guard),
            ("PORTCULLIS_GUARD_SECRET", secret),
        ];
        Child::start(Role::Shop, &self.directory, &settings)
    }

    /// Runs a command of `portcullis`.
    fn tell(&self, arguments: &[&str]) -> Outcome<()> {
        let mut told = command(Role::Portcullis, &self.directory)
            .args(arguments)
            .envs(SETTINGS)
            .stdout(Stdio::null())
            .spawn()?;
        // A child ends with its input, so that has to stay open until it is done.
        let held = told.stdin.take();
        let ended = told.wait()?;
        drop(held);
        if ended.success() {
            Ok(())
        } else {
            Err(format!("portcullis {}: {ended}", arguments.join(" ")).into())
        }
    }
}

impl Drop for Town {
    fn drop(&mut self) {
        // A directory that stays behind is untidy, and no reason to lose what was measured.
        let _ = std::fs::remove_dir_all(&self.directory);
    }
}

/// What the server calls itself.
pub fn issuer(server: &Child) -> String {
    format!("http://{}", server.address)
}

/// The form of client credentials.
pub fn credentials(client: &str) -> Vec<u8> {
    let fields = [("grant_type", "client_credentials"), ("client_id", client), ("client_secret", SECRET)];
    form("/oauth/token", &fields)
}

/// Asks once, on a connection of its own.
pub async fn ask(server: &Child, request: &[u8]) -> Outcome<Answer> {
    let answer = Wire::open(server.address).await?.call(request).await?;
    if answer.status != 200 {
        return Err(format!("{}: {}", answer.status, String::from_utf8_lossy(&answer.body)).into());
    }
    Ok(answer)
}

/// A token for this client.
pub async fn token(server: &Child, client: &str) -> Outcome<String> {
    ask(server, &credentials(client)).await?.member("access_token")
}

/// The refresh token of a new login at this shop window.
pub async fn login(server: &Child, client: &str) -> Outcome<String> {
    let fields = [
        ("grant_type", "password"),
        ("client_id", client),
        ("username", "jane@example.com"),
        ("password", "jane-buys-a-lamp"),
        ("scope", "market:all"),
    ];
    ask(server, &form("/oauth/token", &fields)).await?.member("refresh_token")
}
