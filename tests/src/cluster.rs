//! Several real servers, each a process of its own, over the same books and behind one address.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::time::{Duration, Instant};

use portcullis::means::{Means, SystemDice};
use portcullis::settings::Settings;
use portcullis::testing::Scratch;

use crate::clock::TownClock;
use crate::crossing::Crossing;
use crate::ground::{Ground, Plot};
use crate::ports::free_port;
use crate::program::{Program, command, command_of};
use crate::town;

/// How long a server goes on answering after SIGTERM: a few looks of the crossing.
pub const DELAY: Duration = Duration::from_millis(600);
const SOON: Duration = Duration::from_secs(20);

/// Servers behind a crossing. Fields close in the order in which they stand here.
pub struct Cluster {
    pub members: Vec<Member>,
    pub crossing: Crossing,
    pub plot: Plot,
    folder: Scratch,
}

/// One server.
pub struct Member {
    pub address: SocketAddr,
    config: PathBuf,
    /// Where its program lies, when that is not the one of this version.
    build: Option<PathBuf>,
    program: Option<Program>,
}

impl Cluster {
    /// So many servers over fresh books that hold the town's people; none of them runs yet.
    pub async fn prepare(ground: &Ground, count: usize) -> Self {
        Self::prepare_with(ground, count, true).await
    }

    /// The same over books that not even have tables.
    pub async fn prepare_empty(ground: &Ground, count: usize) -> Self {
        Self::prepare_with(ground, count, false).await
    }

    async fn prepare_with(ground: &Ground, count: usize, sown: bool) -> Self {
        let folder = Scratch::new();
        let plot = if sown { ground.prepare(&folder).await } else { ground.prepare_bare(&folder).await };
        let addresses: Vec<_> = (0..count)
            .map(|_| SocketAddr::from((Ipv4Addr::LOCALHOST, free_port().expect("a free port"))))
            .collect();
        let crossing = Crossing::open(addresses.iter().copied());
        let mut settings = town::settings(&folder, &plot);
        settings.issuer = crossing.url();
        // The same few people come all the time, from one address.
        let limits = &mut settings.limits;
        for limit in [&mut limits.passwords, &mut limits.passwords_long, &mut limits.passwords_in_all] {
            limit.count = 0;
        }
        limits.address.count = 0;
        limits.writes.count = 0;
        settings.listen.drain_delay_ms = u64::try_from(DELAY.as_millis()).expect("a short time");
        if sown {
            let clock = Arc::new(TownClock::default());
            town::sow(&settings, &Means { clock, dice: Arc::new(SystemDice::default()) }).await;
        }
        let members = addresses.into_iter().map(|address| Member::new(address, &settings, &folder)).collect();
        Self { members, crossing, plot, folder }
    }

    /// Servers whose settings are written down already, over what is prepared.
    pub fn of(members: Vec<Member>, crossing: Crossing, plot: Plot, folder: Scratch) -> Self {
        Self { members, crossing, plot, folder }
    }

    /// Starts every member, one after another.
    pub fn start(&mut self) {
        for member in &mut self.members {
            member.start();
        }
        for at in 0..self.members.len() {
            self.wait_until_led_to(at);
        }
    }

    /// Until the crossing leads requests to a member.
    pub fn wait_until_led_to(&self, at: usize) {
        let (member, began) = (&self.members[at], Instant::now());
        while !self.crossing.leads_to(member.address) {
            assert!(began.elapsed() < SOON, "it is not ready: {}", member.said());
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    pub fn issuer(&self) -> String {
        self.crossing.url()
    }

    /// Where its keys and settings lie.
    pub fn folder(&self) -> &Scratch {
        &self.folder
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        self.members.clear();
        self.plot.clear();
    }
}

impl Member {
    fn new(address: SocketAddr, settings: &Settings, folder: &Scratch) -> Self {
        let mut settings = settings.clone();
        settings.listen.port = address.port();
        let config = folder.path().join(format!("server-{}.toml", address.port()));
        let text = toml::to_string(&settings).expect("settings can be written");
        std::fs::write(&config, text).expect("the folder is ours");
        Self::with_settings(address, config)
    }

    /// One whose settings are written down already.
    pub fn with_settings(address: SocketAddr, config: PathBuf) -> Self {
        Self { address, config, build: None, program: None }
    }

    /// From its next start on it runs this program; `None` is the one of this version.
    pub fn becomes(&mut self, build: Option<&Path>) {
        self.build = build.map(Path::to_owned);
    }

    /// A command line with its settings, for the program that it runs.
    pub fn command(&self, words: &[&str]) -> Command {
        let mut program = self.build.as_deref().map_or_else(|| command("portcullis"), command_of);
        program.arg("--config").arg(&self.config).args(words);
        program
    }

    /// Starts it without waiting.
    pub fn launch(&mut self) {
        self.program = Some(Program::start(self.command(&["serve"])));
    }

    /// Waits until it says that it answers.
    pub fn wait_until_ready(&self) {
        self.program.as_ref().expect("it was launched").wait_for("portcullis ready at");
    }

    /// Starts it; says how long it took until it answered.
    pub fn start(&mut self) -> Duration {
        let began = Instant::now();
        self.launch();
        self.wait_until_ready();
        began.elapsed()
    }

    /// SIGTERM; says how long it took to end. It must end well.
    pub fn terminate(&mut self) -> Duration {
        let began = Instant::now();
        let mut program = self.program.take().expect("it runs");
        assert!(program.terminate(), "it ended badly: {}", program.said());
        began.elapsed()
    }

    pub fn said(&self) -> String {
        self.program.as_ref().map(Program::said).unwrap_or_default()
    }
}
