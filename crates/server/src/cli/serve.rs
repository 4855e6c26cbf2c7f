//! `portcullis serve`: run the server until somebody says stop.

use std::io::{IsTerminal as _, Write as _};
use std::time::Duration;

use clap::Args;
use portcullis_authority::refusal::Trouble;
use portcullis_authority::registry::Registry as _;
use tokio::signal::unix::{SignalKind, signal};
use tracing_subscriber::EnvFilter;

use super::{Failure, Outcome, environment};
use crate::books;
use crate::demo;
use crate::keys::{Keks, KeyDirectory, Plan, Purpose};
use crate::means::Means;
use crate::serve::{Running, start, story};
use crate::settings::{Log, LogFormat, Mode, Settings};

/// ES256 as the default has it, RS512 for the vendor's clients.
const DEMO_ALGORITHMS: [&str; 2] = ["ES256", "RS512"];
/// How often a server is looked after that should not end by itself.
const GLANCE: Duration = Duration::from_millis(500);

/// Run the server.
///
/// Prints one line with its address once it answers. SIGTERM or SIGINT lets requests that have begun finish
/// and then ends it.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  portcullis serve --demo
  portcullis --config deploy/config/base.toml --config deploy/config/production.toml serve
  PORTCULLIS__LISTEN__PORT=0 portcullis serve")]
pub(super) struct Serve {
    /// Make keys and a demo shop first, if there are none, and tell what to try.
    #[arg(long)]
    demo: bool,
}

impl Serve {
    pub fn run(self, settings: Settings) -> Outcome {
        keep_log(&settings.log)?;
        for finding in Settings::misspelt(environment()) {
            tracing::warn!("{}", finding.sentence);
        }
        let means = Means::system();
        if self.demo {
            prepare_demo(&settings, &means)?;
        }
        let running = start(settings, means)?;
        // A server does not stop because nobody listens to what it says.
        let _ = std::io::stdout().write_all(greeting(&running, self.demo).as_bytes());
        wait(&running)?;
        running.stop().map_err(Failure::from)
    }
}

fn greeting(running: &Running, demo: bool) -> String {
    let mut greeting = format!("portcullis ready at {} (issuer {})\n", running.address, running.issuer);
    if let Some(admin) = running.admin {
        greeting.push_str(&format!("operators come in at {admin}\n"));
    }
    if let Some(metrics) = running.metrics {
        greeting.push_str(&format!("metrics are at http://{metrics}/metrics\n"));
    }
    if demo {
        greeting.push_str(&format!("\n{}\n", story(&running.issuer, running.admin)));
    }
    greeting
}

fn keep_log(log: &Log) -> Outcome {
    let filter = EnvFilter::try_new(&log.filter).map_err(|e| Failure::new(format!("log.filter: {e}.")))?;
    let to = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal());
    let kept = match log.format {
        LogFormat::Text => to.with_target(false).try_init(),
        LogFormat::Json => to.json().flatten_event(true).try_init(),
    };
    kept.map_err(Failure::new)
}

/// Keys and a shop, where there are none yet. What is there is left alone.
fn prepare_demo(settings: &Settings, means: &Means) -> Outcome {
    if settings.mode == Mode::Production {
        return Err(Failure::new("a demo does not run in production: its secrets are public."));
    }
    if !settings.keys.directory.exists() {
        let algorithms = DEMO_ALGORITHMS.map(str::to_owned);
        let plan = Plan { purpose: Purpose::Demo, region: &settings.keys.region, algorithms: &algorithms };
        let keks = Keks::of(&settings.keys)?;
        KeyDirectory::create_under(keks, (&settings.keys.directory, &plan), &*means.clock, &*means.dice)?;
    }
    runtime()?.block_on(async {
        let store = books::open(settings, means).await?;
        if store.directory().organizations().next().is_none() {
            books::sow(settings, means, &store, demo::SHOP).await.map_err(Failure::new)?;
        }
        demo::settle(settings, means, &store).await?;
        Ok(())
    })
}

/// Until a signal asks for the end, or the server has ended by itself.
fn wait(running: &Running) -> Outcome {
    runtime()?.block_on(async {
        let mut terminate = signal(SignalKind::terminate()).map_err(Failure::new)?;
        let mut interrupt = signal(SignalKind::interrupt()).map_err(Failure::new)?;
        loop {
            tokio::select! {
                _ = terminate.recv() => return Ok(()),
                _ = interrupt.recv() => return Ok(()),
                () = tokio::time::sleep(GLANCE) => if !running.is_running() { return Ok(()) },
            }
        }
    })
}

/// For work of the command itself; the store wants several threads.
pub(super) fn runtime() -> Result<tokio::runtime::Runtime, Failure> {
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .map_err(|e| Failure::from(Trouble::new("runtime", e)))
}
